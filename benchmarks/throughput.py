"""Annotations a second against a loopback provider with 50 ms latency, and the memory and processor time they take.

    python benchmarks/throughput.py [--calls 3000] [--concurrency 64] [--latency-ms 50] [--alpaca-eval peer/bin/python]
    python benchmarks/throughput.py --decisions

The provider (tests/loopback.py) and every contender run in processes of their own, one contender after another, twice
each; the better run counts. `bare` is a plain aiohttp loop that posts ready bodies and reads the verdict: the floor
that the official SDK, the retries, the limits and the store on disk are measured against. `engine` is simfarm's engine
alone, `annotate` all that `simfarm annotate` does (templates, parsing, the store and the file it writes), `rerun` the
same again on the store that `annotate` filled. With `--decisions` a decision judge is asked, in OpenAI's
shape. `alpaca_eval` answers 805 pairs at its best number of threads. Imports
count for memory, not for time, in every contender.
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
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
SAMPLING = {"temperature": 0, "max_tokens": 1, "logprobs": 5}
FILLER = "The answer weighs both sides and gives an example. " * 40
"""About 2,000 characters: two answers of ordinary length."""


def prompt(number: int) -> str:
    return f"{number}. Which answer is better?\n{FILLER}\nSay m or M."


def asked_bare(number: int, decisions: bool) -> tuple[str, dict[str, Any]]:
    """The path and the body of one question, ready to be posted."""
    if decisions:
        choices = [{"value": "m"}, {"value": "M"}]
        question = {"type": "choice", "name": "q", "instructions": "Which is better?", "choices": choices}
        message = {"type": "message", "role": "user", "content": prompt(number)}
        return "decisions", {"model": "judge", "input": [message], "questions": [question]}
    body = {"model": "judge", "temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": 5}
    return "chat/completions", body | {"messages": [{"role": "user", "content": prompt(number)}]}


async def bare(url: str, calls: int, concurrency: int, decisions: bool) -> None:
    """The floor: one session, as many workers as may be in flight."""
    import aiohttp

    numbers = iter(range(calls))
    verdicts: dict[int, str] = {}

    async def worker(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            path, body = asked_bare(number, decisions)
            async with session.post(f"{url}/{path}", json=body) as response:
                answer = await response.json()
                verdicts[number] = (
                    answer["answers"][0]["choice"] if decisions else answer["choices"][0]["message"]["content"]
                )

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(worker(session) for _ in range(concurrency)))
    assert len(verdicts) == calls


async def engine(url: str, calls: int, concurrency: int, store_path: str, decisions: bool) -> None:
    """The engine with the OpenAI backend and a store on disk, and nothing of judging."""
    from simfarm.backends import open_backend
    from simfarm.data.decision import Option, Question
    from simfarm.data.exchange import Request
    from simfarm.engine.runner import Engine
    from simfarm.engine.store import Store

    backend, model = open_backend("openai/judge", base_url=url)
    store = Store(store_path)
    numbers = iter(range(calls))
    verdicts: dict[int, Any] = {}
    questions = (Question("q", "choice", "Which is better?", (Option("m"), Option("M"))),) if decisions else ()
    sampling = {} if decisions else SAMPLING

    async def worker(opened: Engine) -> None:
        for number in numbers:
            messages = ({"role": "user", "content": prompt(number)},)
            request = Request(model, messages, sampling, questions=questions)
            verdicts[number], _ = await (opened.decide if decisions else opened.complete)(request)

    async with Engine(backend, store, concurrency=concurrency) as opened:
        await asyncio.gather(*(worker(opened) for _ in range(concurrency)))
    store.close()
    assert len(verdicts) == calls


def annotate(url: str, calls: int, concurrency: int, store_path: str, decisions: bool) -> None:
    """Everything between the comparisons and the annotation file."""
    from simfarm.data.files import write_rows
    from simfarm.data.records import Comparison
    from simfarm.runs.annotation import AnnotationRun
    from simfarm.runs.options import JudgeOptions, RunOptions
    from simfarm.runs.stream import frozen

    pairs = [Comparison(f"Question {i}?", f"One {i}. {FILLER}", f"Two {i}. {FILLER}", "a", "b") for i in range(calls)]
    session = AnnotationRun.open(
        JudgeOptions("pairwise-decision" if decisions else "pairwise-logprob", order="hashed"),
        RunOptions(base_url=url, store=Path(store_path), concurrency=concurrency),
    )
    with frozen():
        count = write_rows(f"{store_path}.jsonl", (annotation.row() for annotation in session.results(pairs)))
    assert count == session.tallies.status["verdict"] == calls


def contend(name: str, url: str, calls: int, concurrency: int, store: str, *, decisions: bool) -> None:
    """Runs one contender in this process and prints what it took."""
    import aiohttp  # noqa: F401

    if name != "bare":
        import openai  # noqa: F401

        import simfarm.runs.annotation  # noqa: F401
    started, cpu = time.perf_counter(), time.process_time()
    if name == "bare":
        asyncio.run(bare(url, calls, concurrency, decisions))
    elif name == "engine":
        asyncio.run(engine(url, calls, concurrency, store, decisions))
    else:
        annotate(url, calls, concurrency, store, decisions)
    took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    print(json.dumps(took | {"peak_mb": peak}))


def measured(command: list[str], calls: int) -> dict[str, float]:
    """One contender in a process of its own: calls, seconds, CPU seconds and peak memory."""
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"OPENAI_API_KEY": "x"})
    took: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return took | {"calls": calls, "rate": calls / took["seconds"]}


def contenders(url: str, options: argparse.Namespace, folder: str) -> Iterator[tuple[str, list[str], int]]:
    """(name, command, calls) of everybody, in turn."""
    own = [sys.executable, __file__, "--url", url, "--calls", str(options.calls)]
    own += ["--concurrency", str(options.concurrency), *(["--decisions"] if options.decisions else [])]
    for name, store in (("bare", ""), ("engine", "engine"), ("annotate", "annotate"), ("rerun", "annotate")):
        yield name, [*own, "--contender", name, "--store", f"{folder}/{store}.sqlite"], options.calls
    if options.alpaca_eval:
        peer = [options.alpaca_eval, str(ROOT / "benchmarks" / "peer_alpaca_eval.py"), "annotate", "--url", url]
        for threads in (5, 20, 64):
            yield "alpaca_eval", [*peer, "--pairs", "805", "--threads", str(threads)], 805


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--decisions", action="store_true", help="questions to a decision model")
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--alpaca-eval", metavar="PYTHON", help="a Python that has alpaca_eval 0.6.6")
    parser.add_argument("--contender", choices=["bare", "engine", "annotate", "rerun"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        contend(
            options.contender,
            options.url,
            options.calls,
            options.concurrency,
            options.store,
            decisions=options.decisions,
        )
        return
    server = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "loopback.py", "--latency-ms", str(options.latency_ms)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        best: dict[str, dict[str, float]] = {}
        for _ in range(2):
            with tempfile.TemporaryDirectory() as folder:
                for name, command, calls in contenders(url, options, folder):
                    took = measured(command, calls)
                    if name not in best or took["rate"] > best[name]["rate"]:
                        best[name] = took
    finally:
        server.kill()
        server.wait()
    setting = f"{options.calls} calls, {options.concurrency} at a time, {options.latency_ms:g} ms latency"
    print(f"{setting}, {os.cpu_count()} cores")
    print(f"{'':12}{'a second':>10}{'of bare':>9}{'CPU ms a call':>15}{'peak MB':>9}")
    for name, took in best.items():
        share, cpu = took["rate"] / best["bare"]["rate"], 1000 * took["cpu"] / took["calls"]
        print(f"{name:12}{took['rate']:10.0f}{share:9.2f}{cpu:15.2f}{took['peak_mb']:9.0f}")
    if "alpaca_eval" in best:
        print(f"annotate / alpaca_eval: {best['annotate']['rate'] / best['alpaca_eval']['rate']:.1f}")


if __name__ == "__main__":
    main()
