"""The user's whole way on large files: processor time and peak memory of whole processes, beside a peer's.

    pip install evalica
    python benchmarks/scale.py [--folder DIR] [--rows 1000000] [--pairs 100000] [--megabytes 166]

Board of slim rows against evalica on the same file; texts against one plain pass of `json` over the same file; annotate
with a judge that is a rule. Files are made in a temporary folder (3 GB by default) and removed.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

PEER = """
import sys, pandas, evalica
name = sys.argv[1]
read = {"parquet": pandas.read_parquet, "csv": pandas.read_csv}.get(name.rsplit(".", 1)[-1])
frame = read(name) if read else pandas.read_json(name, lines=True)
winner = frame["preference"].map({1.0: evalica.Winner.X, 2.0: evalica.Winner.Y, 1.5: evalica.Winner.Draw})
print(evalica.bradley_terry(frame["generator_1"], frame["generator_2"], winner).scores)
"""
PLAIN = "import json, sys\nfor line in open(sys.argv[1]): json.loads(line)"
EVALUATE = [sys.executable, "-m", "simfarm", "evaluate"]


def took(command: list[str]) -> tuple[float, float]:
    """(processor seconds, peak megabytes) of a whole process."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"failed: {' '.join(command)}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def apart(make: Callable[..., None], *given: object) -> None:
    """Make a file in a process of its own: the memory of this one would count as that of those it starts."""
    process = multiprocessing.get_context("spawn").Process(target=make, args=given)
    process.start()
    process.join()
    if process.exitcode:
        raise SystemExit(f"failed: {make.__name__}")


def told(name: str, ours: tuple[float, float], peer: tuple[float, float] | None = None) -> None:
    ratio = f"   × {ours[0] / peer[0]:.2f} of {peer[0]:.2f} s, {peer[1]:.0f} MB" if peer else ""
    print(f"{name:34}{ours[0]:8.2f} s {ours[1]:7.0f} MB{ratio}", flush=True)


def slim_rows(files: list[Path], n: int) -> None:
    import pandas as pd

    rng = np.random.default_rng(0)
    models, questions = 50, n // 50
    frame = pd.DataFrame(
        {
            "instruction_id": np.tile(np.arange(questions), models),
            "generator_1": "base",
            "generator_2": np.repeat([f"model-{k}" for k in range(models)], questions),
            "length_1": np.tile(rng.integers(100, 4000, questions), models),
            "length_2": rng.integers(100, 4000, models * questions),
            "annotator": "judge",
            "preference": rng.choice([1.0, 2.0, 1.5], models * questions, p=[0.5, 0.45, 0.05]),
            "status": "verdict",
            "judge_hash": "abc",
        }
    )
    frame.to_parquet(files[0])
    frame.to_csv(files[1], index=False)
    frame.to_json(files[2], orient="records", lines=True)


class Writer:
    """Texts of any length out of one pool of words."""

    def __init__(self) -> None:
        self._rng = np.random.default_rng(0)
        self._pool = " ".join(self._rng.choice([f"word{k}" for k in range(3000)], 400_000))

    def text(self, length: int) -> str:
        start = int(self._rng.integers(len(self._pool) - length))
        return self._pool[start : start + length]


def annotations(path: Path, size: int) -> None:
    write = Writer()
    asked = [(write.text(200), write.text(2000)) for _ in range(805)]
    with path.open("w") as stream:
        model = 0
        while stream.tell() < size:
            for number, (instruction, baseline) in enumerate(asked):
                row = {"instruction_id": number, "instruction": instruction, "output_1": baseline}
                row |= {"output_2": write.text(1800), "generator_1": "base", "generator_2": f"model-{model}"}
                row |= {"annotator": "judge", "preference": 1 + (number * 7 + model) % 3 / 2, "judge_hash": "abc"}
                for order in ("12", "21"):
                    stream.write(json.dumps(row | {"status": "verdict", "order": order, "repeat": 0}) + "\n")
            model += 1


def pairs(path: Path, n: int) -> None:
    write = Writer()
    with path.open("w") as stream:
        for number in range(n):
            row = {"instruction": f"question {number}", "output_1": write.text(5000), "output_2": write.text(5001)}
            stream.write(json.dumps(row | {"generator_1": "a", "generator_2": "b"}) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", help="where the files are made")
    parser.add_argument("--rows", type=int, default=1_000_000, help="0 leaves them out")
    parser.add_argument("--pairs", type=int, default=100_000)
    parser.add_argument("--megabytes", type=int, default=166)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as made:
        folder = Path(made)
        files = [folder / f"slim.{suffix}" for suffix in ("parquet", "csv", "jsonl")] if options.rows else []
        if files:
            apart(slim_rows, files, options.rows)
        for file in files:
            peer = took([sys.executable, "-c", PEER, str(file)])
            told(f"board of {file.name}", took([*EVALUATE, str(file), "--length-control", "none"]), peer)
        if files:
            told("joint length control", took([*EVALUATE, str(files[0])]))
        file = folder / "texts.jsonl"
        for size in (options.megabytes, 4 * options.megabytes):
            apart(annotations, file, size * 10**6)
            ours = took([*EVALUATE, str(file), "--length-control", "none"])
            told(f"board of {size} MB with texts", ours, took([sys.executable, "-c", PLAIN, str(file)]))
        apart(pairs, file, options.pairs)
        annotate = [sys.executable, "-m", "simfarm", "annotate", str(file), "--judge", "longest"]
        told(f"annotate {options.pairs} pairs", took([*annotate, "-o", str(folder / "out.jsonl")]))


if __name__ == "__main__":
    main()
