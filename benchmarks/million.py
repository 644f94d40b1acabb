"""Boards of 1,000,000 slim verdicts, whole process, beside evalica's whole process on the same file.

    pip install evalica
    python benchmarks/million.py -o figures.json

Processor seconds and peak memory of each process. evalica reads three columns by pandas and gives ratings without
errors; simfarm gives intervals, tiers, ranks and circles too. The contenders take turns, one BLAS thread each, and a
format is held against evalica on the same format. Three runs take five minutes; `-o` writes Markdown where it ends so.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

PEER = """
import sys, evalica, numpy as np, pandas as pd
path, columns = sys.argv[1], ["generator_1", "generator_2", "preference"]
if path.endswith(".parquet"):
    rows = pd.read_parquet(path, columns=columns)
elif path.endswith(".csv"):
    rows = pd.read_csv(path, usecols=columns)
else:
    rows = pd.read_json(path, lines=True)
sides = [rows.preference < 1.5, rows.preference > 1.5]
winner = np.select(sides, [evalica.Winner.X, evalica.Winner.Y], evalica.Winner.Draw).tolist()
print(evalica.bradley_terry(rows.generator_1, rows.generator_2, winner).scores)
"""


FORMATS = ("parquet", "csv", "jsonl")


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
    frame = pd.DataFrame(rows | {"length_1": lengths[0], "length_2": lengths[1]})
    frame.to_parquet(path, compression="zstd")
    if shape != "sparse":
        frame.to_csv(path.with_suffix(".csv"), index=False)
        frame.to_json(path.with_suffix(".jsonl"), orient="records", lines=True)


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
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON, or as .md")
    options = parser.parse_args()
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    ours = [sys.executable, "-m", "simfarm", "evaluate"]
    found: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        files = {shape: str(Path(folder) / f"{shape}.parquet") for shape in ("win", "sparse", "robin")}
        for shape, path in files.items():
            # a child's peak memory begins at its parent's: what planting takes stays in a process of its own
            planting = multiprocessing.get_context("spawn").Process(target=plant, args=(shape, Path(path)))
            planting.start()
            planting.join()
        contenders = {}
        for kind in FORMATS:
            robin, win = (str(Path(files[shape]).with_suffix(f".{kind}")) for shape in ("robin", "win"))
            contenders[f"evalica, {kind}"] = [sys.executable, "-c", PEER, robin]
            contenders[f"bradley-terry, {kind}"] = [*ours, robin, "--rank", "bradley-terry"]
            contenders[f"win rate, {kind}"] = [*ours, win, "--length-control", "none"]
        contenders["joint, 50 of 50 models, parquet"] = [*ours, files["win"]]
        contenders["joint, 10 of 50 models, parquet"] = [*ours, files["sparse"]]
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in contenders}
        for _ in range(options.runs):
            for name, command in contenders.items():
                taken[name].append(measured(command))
        for name, figures in taken.items():
            seconds = statistics.median(figure[0] for figure in figures)
            peer = statistics.median(figure[0] for figure in taken[f"evalica, {name.rpartition(', ')[2]}"])
            found[name] = {"seconds": seconds, "peak_mb": max(figure[1] for figure in figures)}
            found[name]["times_evalica"] = seconds / peer
            print(f"{name:34}{seconds:7.2f} s  {found[name]['peak_mb']:6.0f} MB  {seconds / peer:6.2f} ×", flush=True)
    if options.output:
        options.output.write_text(
            markdown(found, options.runs) if options.output.suffix == ".md" else json.dumps(found, indent=1) + "\n"
        )


def markdown(found: dict[str, dict[str, float]], runs: int) -> str:
    """The figures as the page in `results/`."""
    machine = f"{os.cpu_count()} cores, load {os.getloadavg()[2]:.1f} over the last quarter of an hour"
    software = f"Python {platform.python_version()}, evalica {version('evalica')}, pandas {pd.__version__}"
    head = f"""# Boards of 1,000,000 slim verdicts, {date.today().isoformat()}

`python benchmarks/million.py --runs {runs}`: whole processes, processor seconds (median of {runs}) and peak memory (the
largest of {runs}), one BLAS thread, {software},
{machine}. "×" is against evalica's process on a file of the same format.

| process | seconds | peak MB | × |
|---|---|---|---|
"""
    lines = [f"| {n} | {f['seconds']:.2f} | {f['peak_mb']:.0f} | {f['times_evalica']:.2f} |" for n, f in found.items()]
    return head + "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
