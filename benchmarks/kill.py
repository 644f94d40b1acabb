"""kill -9 at random moments of an annotation run, then one clean rerun: is anything lost or paid for twice?

A loopback server with 50 ms latency counts every request. Prints what it saw and exits 1 when a request came twice
beyond those in flight at a kill, or when the final file differs from that of a run nobody disturbed.

    python benchmarks/kill.py            # 805 pairs, 20 kills
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONCURRENCY = 16


class Server:
    """The loopback provider in a process of its own."""

    def __init__(self, latency_ms: float) -> None:
        command = [sys.executable, str(ROOT / "tests" / "loopback.py"), "--latency-ms", str(latency_ms)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def counts(self) -> dict[str, Any]:
        with urllib.request.urlopen(self.url.removesuffix("/v1") + "/calls") as answer:
            counts: dict[str, Any] = json.load(answer)
        return counts

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


def start(folder: Path, server: Server, name: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "simfarm", "annotate", str(folder / "pairs.jsonl"), "--judge", "pairwise-reasoned"]
    command += ["--base-url", server.url, "--concurrency", str(CONCURRENCY)]
    command += ["--store", str(folder / f"{name}.sqlite"), "-o", str(folder / f"{name}.jsonl")]
    environment = os.environ | {"OPENAI_API_KEY": "loopback"}
    return subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL)


def rows_without_timing(path: Path) -> list[str]:
    return [json.dumps(json.loads(line) | {"seconds": None}) for line in path.read_text("utf-8").splitlines()]


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--pairs", type=int, default=805)
    options.add_argument("--kills", type=int, default=20)
    options.add_argument("--latency-ms", type=float, default=50.0)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    chance = random.Random(chosen.seed)
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        pair = {"generator_1": "a", "generator_2": "b"}
        with open(folder / "pairs.jsonl", "w", encoding="utf-8") as stream:
            for i in range(chosen.pairs):
                row = pair | {"instruction": f"Question {i}?", "output_1": f"One {i}.", "output_2": f"Two {i}!"}
                stream.write(json.dumps(row) + "\n")
        quiet, disturbed = Server(chosen.latency_ms), Server(chosen.latency_ms)
        try:
            begun = time.monotonic()
            assert start(folder, quiet, "quiet").wait() == 0
            whole = time.monotonic() - begun
            calls_last = 2 * chosen.pairs / CONCURRENCY * chosen.latency_ms / 1000
            landed = 0
            for _ in range(chosen.kills):
                running = start(folder, disturbed, "disturbed")
                known = disturbed.counts()["received"]
                while running.poll() is None and disturbed.counts()["received"] == known:
                    time.sleep(0.005)
                # among the calls, and short enough that the work outlives the kills
                time.sleep(chance.uniform(0.0, 1.6 * calls_last / chosen.kills))
                landed += running.poll() is None
                running.send_signal(signal.SIGKILL)
                running.wait()
            before = disturbed.counts()["received"]
            assert start(folder, disturbed, "disturbed").wait() == 0
            undisturbed, counts = quiet.counts(), disturbed.counts()
        finally:
            quiet.close()
            disturbed.close()
        same = rows_without_timing(folder / "quiet.jsonl") == rows_without_timing(folder / "disturbed.jsonl")
    twice = counts["received"] - len(counts["asked"])
    allowed = CONCURRENCY * landed
    print(
        f"{chosen.pairs} pairs, {len(counts['asked'])} different requests, {landed} of {chosen.kills} kills hit a run"
    )
    print(f"undisturbed: {undisturbed['received']} requests in {whole:.1f} s")
    print(f"killed: {before} requests before the clean rerun, {counts['received'] - before} in it")
    print(f"asked twice: {twice} (in flight at the kills: at most {allowed}); asked more often: {most(counts)}")
    print(f"final file equal to the undisturbed one but for timing: {same}")
    return 0 if same and twice <= allowed and len(counts["asked"]) == undisturbed["received"] else 1


def most(counts: dict[str, Any]) -> str:
    worst = max(counts["asked"].values())
    return f"one request at most {worst} times"


if __name__ == "__main__":
    raise SystemExit(main())
