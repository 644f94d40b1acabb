"""A rerun over a store that already holds every answer: annotations a second and peak memory of `simfarm annotate`.

python benchmarks/rerun.py           # 50,000 pairs in both orders: 100,000 completions
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from simfarm.data.exchange import Completion
from simfarm.data.files import read_rows
from simfarm.data.records import comparisons_from_rows
from simfarm.engine.store import Store, request_key
from simfarm.judges import load_judge
from simfarm.runs.asking import Member, plan_calls, request_for

URL = "http://127.0.0.1:9/v1"
WORDS = "the farm judges many answers to every question and keeps what it paid for in one small file "


def fill(path: Path, pairs: Path) -> None:
    """Put an answer to every question into a new store."""
    judge = load_judge("pairwise-logprob")
    model = str(judge.model).removeprefix("openai/")
    answer = Completion.from_json(
        {
            "text": "m",
            "logprobs": [
                {"token": "m", "logprob": -0.1, "top": {"m": -0.1, "M": -2.4, "A": -9.0, "The": -9.5, "B": -10.0}}
            ],
            "finish_reason": "length",
            "input_tokens": 700,
            "output_tokens": 1,
            "model": model,
            "seconds": 0.1,
        }
    )
    keys = (
        request_key("openai", URL, request_for(call))
        for call in plan_calls(comparisons_from_rows(read_rows(pairs), "pairs"), [Member(judge, model)])
    )

    async def put() -> None:
        store = Store(path)
        batch = []
        for key in keys:
            batch.append(store.put(key, answer))
            if len(batch) == 1000:
                await asyncio.gather(*batch)
                batch.clear()
        await asyncio.gather(*batch)
        store.close()

    asyncio.run(put())


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=50_000)
    chosen = options.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pairs = folder / "pairs.jsonl"
        with open(pairs, "w", encoding="utf-8") as stream:
            for i in range(chosen.pairs):
                row = {"instruction": f"Question {i}: " + WORDS, "output_1": f"One {i}. " + WORDS * 8}
                stream.write(json.dumps(row | {"output_2": f"Two {i}. " + WORDS * 9}) + "\n")
        fill(folder / "store.sqlite", pairs)
        command = [sys.executable, "-m", "simfarm", "annotate", str(pairs), "--judge", "pairwise-logprob"]
        command += ["--base-url", URL, "--store", str(folder / "store.sqlite"), "-o", str(folder / "out.jsonl")]
        begun = time.perf_counter()
        done = subprocess.run(
            command, env=os.environ | {"OPENAI_API_KEY": "none"}, capture_output=True, text=True, check=True
        )
        seconds = time.perf_counter() - begun
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(done.stderr.strip())
    count = 2 * chosen.pairs
    print(f"{count:,} annotations from the store in {seconds:.1f} s: {count / seconds:,.0f} a second")
    print(f"peak memory {peak:.0f} MB (start-up, reading and writing the files included)")


if __name__ == "__main__":
    main()
