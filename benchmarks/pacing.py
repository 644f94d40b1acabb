"""Throttled replies, and how much of the allowed rate is reached, against a provider that enforces a limit.

    python benchmarks/pacing.py [--per-minute 1200] [--seconds 30] [--latency-ms 50]

The provider (tests/loopback.py) grants requests as providers do: a bucket that refills evenly and holds a second's
worth, a fifth of it or a tenth. Beyond it a call gets a 429, with or without a Retry-After. Each line is its own run,
concurrency 64, without a store; the rate counts from the first answer to the last, and so includes what the bucket held
at the start. Where no limit is named the first 64 calls leave at once: what was throttled after them stands apart.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from loopback import Call, Loopback

from simfarm.backends import open_backend
from simfarm.data.exchange import Request
from simfarm.engine.runner import Engine

CASES = (
    # (what the user names, seconds of the rate that the bucket holds, what a 429 says)
    ("--rpm", 1.0, "429"),
    ("--rpm", 0.2, "429"),
    ("--rpm", 0.1, "429"),
    ("--rpm", 1.0, "429-after:1"),
    ("--tpm", 1.0, "429"),
    ("nothing", 1.0, "429"),
    ("nothing", 0.2, "429"),
    ("nothing", 1.0, "429-after:1"),
)


class Bucket:
    """A provider's limit: `rate` requests a second, `held` of them at once."""

    def __init__(self, rate: float, held: float, fault: str) -> None:
        self.rate, self.most, self.fault = rate, max(1.0, held), fault
        self.level, self.at = self.most, time.monotonic()
        self.granted: list[float] = []
        self.refused: list[float] = []

    def __call__(self, call: Call) -> str | None:
        now = time.monotonic()
        self.level = min(self.most, self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level < 1:
            self.refused.append(now)
            return self.fault
        self.level -= 1
        self.granted.append(now)
        return None


async def run(named: str, held: float, fault: str, options: argparse.Namespace) -> tuple[int, int, int, float]:
    """Answers, throttled replies, those of them after the first second, and the share of the allowed rate."""
    rate = options.per_minute / 60
    bucket = Bucket(rate, held * rate, fault)
    calls = int(rate * options.seconds)
    body = "Which answer is better? " * 10
    # what the engine reserves for such a request; the loopback server says that it used all of it
    tokens = len(body) // 4 + 1
    limits = {"--rpm": {"rpm": options.per_minute}, "--tpm": {"tpm": options.per_minute * tokens}}.get(named, {})
    with Loopback(keep=False, latency=options.latency_ms / 1000, refuse=bucket) as server:
        backend, model = open_backend("openai/judge", base_url=f"{server.url}/v1")
        async with Engine(backend, concurrency=64, retries=50, **limits) as engine:
            asked = (
                engine.complete(Request(model, ({"role": "user", "content": body},), {"max_tokens": 1, "seed": n}))
                for n in range(calls)
            )
            await asyncio.gather(*asked)
    first, last = bucket.granted[0], bucket.granted[-1]
    later = sum(at > first + 1 for at in bucket.refused)
    return calls, len(bucket.refused), later, (calls - 1) / (last - first) / rate


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--per-minute", type=float, default=1200.0)
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--latency-ms", type=float, default=50.0)
    options = parser.parse_args()
    print(f"{options.per_minute:g} a minute allowed, {options.latency_ms:g} ms latency, {options.seconds:g} s of calls")
    columns = f"{'answers':>8}{'throttled':>11}{'share':>8}{'after 1 s':>11}{'of the rate':>13}"
    print(f"{'named':9}{'bucket, s':>10}  {'says':12}{columns}")
    for named, held, fault in CASES:
        answers, throttled, later, reached = asyncio.run(run(named, held, fault, options))
        share = throttled / (answers + throttled)
        told = f"{answers:8}{throttled:11}{share:8.1%}{later:11}{reached:13.1%}"
        print(f"{named:9}{held:10.1f}  {fault:12}{told}", flush=True)


if __name__ == "__main__":
    main()
