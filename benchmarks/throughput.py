"""Annotations a second against a loopback provider with 50 ms latency, and the memory and processor time they take.

    python benchmarks/throughput.py [--calls 3000] [--concurrency 64] [--latency-ms 50]

The provider (tests/loopback.py) and every contender run in processes of their own, one contender after another, twice
each; the better run counts. `bare` is a plain aiohttp loop that posts ready bodies and reads the verdict: the floor
that the official SDK, the retries, the limits and the store on disk are measured against. `rerun` is simfarm again on
the store that `simfarm` filled.
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
from typing import Any

ROOT = Path(__file__).parents[1]
SAMPLING = {"temperature": 0, "max_tokens": 1, "logprobs": 5}
FILLER = "The answer weighs both sides and gives an example. " * 40
"""About 2,000 characters: two answers of ordinary length."""


def prompt(number: int) -> str:
    return f"{number}. Which answer is better?\n{FILLER}\nSay m or M."


async def bare(url: str, calls: int, concurrency: int) -> None:
    """The floor: one session, as many workers as may be in flight."""
    import aiohttp

    body = {"model": "judge", "temperature": 0, "max_tokens": 1, "logprobs": True, "top_logprobs": 5}
    numbers = iter(range(calls))
    verdicts: dict[int, str] = {}

    async def worker(session: aiohttp.ClientSession) -> None:
        for number in numbers:
            asked = body | {"messages": [{"role": "user", "content": prompt(number)}]}
            async with session.post(f"{url}/chat/completions", json=asked) as response:
                verdicts[number] = (await response.json())["choices"][0]["message"]["content"]

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=concurrency)) as session:
        await asyncio.gather(*(worker(session) for _ in range(concurrency)))
    assert len(verdicts) == calls


async def simfarm(url: str, calls: int, concurrency: int, store_path: str) -> None:
    """The engine with the OpenAI backend and a store on disk."""
    from simfarm.backends import open_backend
    from simfarm.backends.base import Request
    from simfarm.engine.runner import Engine
    from simfarm.engine.store import Store

    backend, model = open_backend("openai/judge", base_url=url)
    store = Store(store_path)
    numbers = iter(range(calls))
    verdicts: dict[int, str] = {}

    async def worker(engine: Engine) -> None:
        for number in numbers:
            request = Request(model, ({"role": "user", "content": prompt(number)},), SAMPLING)
            completion, _ = await engine.complete(request)
            verdicts[number] = completion.text

    async with Engine(backend, store, concurrency=concurrency) as engine:
        await asyncio.gather(*(worker(engine) for _ in range(concurrency)))
    store.close()
    assert len(verdicts) == calls


def contend(name: str, url: str, calls: int, concurrency: int, store: str) -> None:
    """Runs one contender in this process and prints what it took. Imports count for memory, not for time."""
    import aiohttp  # noqa: F401

    if name != "bare":
        import openai  # noqa: F401
    started, cpu = time.perf_counter(), time.process_time()
    if name == "bare":
        asyncio.run(bare(url, calls, concurrency))
    else:
        asyncio.run(simfarm(url, calls, concurrency, store))
    took = {"seconds": time.perf_counter() - started, "cpu": time.process_time() - cpu}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024**2 if sys.platform == "darwin" else 1024)
    print(json.dumps(took | {"peak_mb": peak}))


def measure(name: str, url: str, options: argparse.Namespace, store: str) -> dict[str, Any]:
    """One contender in a process of its own."""
    command = [sys.executable, __file__, "--contender", name, "--url", url, "--store", store]
    command += ["--calls", str(options.calls), "--concurrency", str(options.concurrency)]
    done = subprocess.run(command, check=True, capture_output=True, text=True, env=os.environ | {"OPENAI_API_KEY": "x"})
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--calls", type=int, default=3000)
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    parser.add_argument("--contender", choices=["bare", "simfarm", "rerun"], help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--store", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contender:
        contend(options.contender, options.url, options.calls, options.concurrency, options.store)
        return
    server = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "loopback.py", "--latency-ms", str(options.latency_ms)],
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert server.stdout is not None
        url = server.stdout.readline().strip()
        best: dict[str, dict[str, Any]] = {}
        with tempfile.TemporaryDirectory() as folder:
            for turn in range(2):
                store = f"{folder}/{turn}.sqlite"
                for name in ("bare", "simfarm", "rerun"):
                    took = measure(name, url, options, store)
                    if name not in best or took["seconds"] < best[name]["seconds"]:
                        best[name] = took
    finally:
        server.kill()
        server.wait()
    setting = f"{options.calls} calls, {options.concurrency} at a time, {options.latency_ms:g} ms latency"
    print(f"{setting}, {os.cpu_count()} cores")
    print(f"{'':10}{'a second':>10}{'of bare':>9}{'CPU ms a call':>15}{'peak MB':>9}")
    for name, took in best.items():
        share = best["bare"]["seconds"] / took["seconds"]
        cpu = 1000 * took["cpu"] / options.calls
        print(f"{name:10}{options.calls / took['seconds']:10.0f}{share:9.2f}{cpu:15.2f}{took['peak_mb']:9.0f}")


if __name__ == "__main__":
    main()
