"""Whole-process time of `simfarm --help`, and of `simfarm evaluate` on 33 models × 805 instructions, both controls.

    python benchmarks/evaluate.py --data ../shared/data/alpaca_eval_2 [--alpaca-eval peer/bin/python]

The peer computes its own length control (one of our two) for the same models; the contenders take turns, so that a slow
moment of the machine falls on both.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]


def seconds(command: list[str]) -> float:
    begun = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - begun


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "alpaca_eval_2")
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--alpaca-eval", metavar="PYTHON", help="a Python that has alpaca_eval 0.6.6")
    options = parser.parse_args()
    ours = [sys.executable, "-m", "simfarm"]
    board = ["evaluate", str(options.data / "preferences.parquet"), "--lc-data", str(options.data)]
    board += ["--length-control", "joint", "--length-control", "alpaca-eval-2"]
    contenders = {"simfarm --help": [*ours, "--help"], "simfarm evaluate": [*ours, *board]}
    if options.alpaca_eval:
        peer = str(ROOT / "benchmarks" / "peer_alpaca_eval.py")
        contenders["alpaca_eval"] = [options.alpaca_eval, peer, "evaluate", "--data", str(options.data)]
    times: dict[str, list[float]] = {name: [] for name in contenders}
    for turn in range(options.runs + 1):
        for name, command in contenders.items():
            took = seconds(command)
            if turn:
                times[name].append(took)
    for name, took in times.items():
        print(
            f"{name:18}{statistics.median(took):6.2f} s (median of {options.runs}, {min(took):.2f} to {max(took):.2f})"
        )
    if options.alpaca_eval:
        ratios = [a / b for a, b in zip(times["alpaca_eval"], times["simfarm evaluate"], strict=True)]
        print(f"alpaca_eval / simfarm evaluate: {statistics.median(ratios):.1f}")


if __name__ == "__main__":
    main()
