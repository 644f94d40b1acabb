"""alpaca_eval 0.6.6 at the same work, for the benchmarks beside it. Runs under a Python that has it installed:

    python3.11 -m venv peer && peer/bin/pip install 'alpaca_eval==0.6.6' 'datasets<4'
    python benchmarks/throughput.py --alpaca-eval peer/bin/python
    python benchmarks/evaluate.py --alpaca-eval peer/bin/python

`annotate`: its default judge (one letter, log probabilities) on a loopback provider. `evaluate`: win rate and
length-controlled win rate of every model in preferences.parquet, its two hub files read from the data folder instead.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import sys
import tempfile
import time
from pathlib import Path


def annotate(url: str, pairs: int, threads: int) -> None:
    folder = Path(tempfile.mkdtemp())
    config = folder / "client.yaml"
    config.write_text(f'default:\n  - api_key: "x"\n    base_url: "{url}"\n')
    os.environ["OPENAI_CLIENT_CONFIG_PATH"] = str(config)
    os.environ["OPENAI_MAX_CONCURRENCY"] = str(threads)
    from alpaca_eval.annotators import PairwiseAnnotator

    filler = "The answer weighs both sides and gives an example. " * 40
    ours = [{"instruction": f"Question {i}?", "output": f"One {i}. {filler}", "generator": "a"} for i in range(pairs)]
    theirs = [{"instruction": f"Question {i}?", "output": f"Two {i}. {filler}", "generator": "b"} for i in range(pairs)]
    annotator = PairwiseAnnotator(
        annotators_config="weighted_alpaca_eval_gpt4_turbo", caching_path=str(folder / "cache.json")
    )
    begun, cpu = time.perf_counter(), time.process_time()
    made = annotator.annotate_head2head(outputs_1=ours, outputs_2=theirs)
    seconds, cpu = time.perf_counter() - begun, time.process_time() - cpu
    assert len(made) == pairs
    assert all(row["preference"] is not None for row in made)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"seconds": seconds, "cpu": cpu, "peak_mb": peak}))


def evaluate(data: Path) -> None:
    import pandas as pd
    from alpaca_eval.metrics import glm_winrate

    glm_winrate.hf_hub_download = lambda *, filename, **_: str(data / filename)
    rows = pd.read_parquet(data / "preferences.parquet")
    found = {}
    for model, own in rows.groupby("generator_2"):
        # it wants texts to count characters, and the row's position as its index
        texts = {f"output_{side}": own[f"length_{side}"].map("x".__mul__) for side in (1, 2)}
        if model != own["generator_1"].iloc[0]:
            ready = own.assign(**texts).reset_index(drop=True).rename_axis("index")
            found[model] = glm_winrate.get_length_controlled_winrate(ready, save_weights_dir=None)
    print(json.dumps({model: round(row["length_controlled_winrate"], 2) for model, row in found.items()}))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["annotate", "evaluate"])
    parser.add_argument("--url")
    parser.add_argument("--pairs", type=int, default=805)
    parser.add_argument("--threads", type=int, default=64)
    parser.add_argument("--data", type=Path)
    options = parser.parse_args()
    logging.disable(logging.WARNING)
    if options.what == "annotate":
        annotate(options.url, options.pairs, options.threads)
    else:
        evaluate(options.data)


if __name__ == "__main__":
    sys.exit(main())
