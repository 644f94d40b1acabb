"""Boards of 1,000,000 slim verdicts, whole process, beside evalica's whole process on the same file.

    pip install evalica
    python benchmarks/million.py -o figures.json

Processor seconds and peak memory of each process. evalica reads three columns and gives ratings without errors;
simfarm gives intervals, tiers, ranks and circles too. The contenders take turns, one BLAS thread each.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

PEER = """
import sys, evalica, numpy as np, pandas as pd
rows = pd.read_parquet(sys.argv[1], columns=["generator_1", "generator_2", "preference"])
sides = [rows.preference < 1.5, rows.preference > 1.5]
winner = np.select(sides, [evalica.Winner.X, evalica.Winner.Y], evalica.Winner.Draw).tolist()
print(evalica.bradley_terry(rows.generator_1, rows.generator_2, winner).scores)
"""


def plant(shape: str, path: Path) -> None:
    """`win`: 50 models over a baseline on 20,000 instructions; `sparse`: ten of 50 on each of 100,000; `robin`: any two
    of 50."""
    rng = np.random.default_rng(0)
    n, names = 1_000_000, np.array([f"model-{k:02d}" for k in range(50)])
    strength, slope = rng.normal(0, 1, 50), rng.normal(0.6, 0.3, 50)
    each = {"win": 50, "sparse": 10, "robin": 50}[shape]
    asked = np.repeat(np.arange(n // each), each)
    second = np.argsort(rng.random((n // each, 50)), axis=1)[:, :each].ravel()
    first = (second + rng.integers(1, 50, n)) % 50
    lengths = rng.gamma(4, 300, (2, n)).astype(int) + 20
    if shape != "robin":
        lengths[0] = lengths[0][asked * each]
    effect = strength[second] + rng.normal(0, 1, n // each)[asked]
    effect += slope[second] * np.tanh((lengths[1] - lengths[0]) / 800)
    chance = expit(strength[second] - strength[first] if shape == "robin" else effect)
    p = np.where(rng.random(n) < 0.1, 0.5, rng.random(n) < chance)
    rows = {"instruction_id": asked, "generator_1": names[first] if shape == "robin" else "baseline"}
    rows |= {"generator_2": names[second], "annotator": "judge", "preference": 1 + p}
    pd.DataFrame(rows | {"length_1": lengths[0], "length_2": lengths[1]}).to_parquet(path, compression="zstd")


def measured(command: list[str]) -> tuple[float, float]:
    """(processor seconds, peak MB) of a command."""
    started = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, used = os.wait4(started.pid, 0)
    if status:
        raise SystemExit(f"{' '.join(command)} failed: {started.stderr.read().decode() if started.stderr else ''}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    ours = [sys.executable, "-m", "simfarm", "evaluate"]
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {shape: str(Path(folder) / f"{shape}.parquet") for shape in ("win", "sparse", "robin")}
        for shape, path in files.items():
            plant(shape, Path(path))
        contenders = {
            "evalica": [sys.executable, "-c", PEER, files["robin"]],
            "bradley-terry": [*ours, files["robin"], "--rank", "bradley-terry"],
            "win rate": [*ours, files["win"], "--length-control", "none"],
            "joint, 50 of 50 models": [*ours, files["win"]],
            "joint, 10 of 50 models": [*ours, files["sparse"]],
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        for _ in range(options.runs):
            for name, command in contenders.items():
                taken[name].append(measured(command))
        for name, figures in taken.items():
            seconds = statistics.median(figure[0] for figure in figures)
            found[name] = {"seconds": seconds, "peak_mb": max(figure[1] for figure in figures)}
            found[name]["times_evalica"] = seconds / found["evalica"]["seconds"]
            print(f"{name:24}{seconds:7.2f} s  {found[name]['peak_mb']:6.0f} MB  {found[name]['times_evalica']:6.2f} ×")
    if options.output:
        options.output.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
