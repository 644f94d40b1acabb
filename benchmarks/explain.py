"""Principles behind preferences, with a proposer, voter and judge by rule: are planted ones found, is noise left alone?

    python benchmarks/explain.py --replicates 40 -o explain.md

`planted`: 300 labels by somebody who prefers the shorter answer, or a list, or the longer one; a coin gives 4 % of the
labels. The reader of `tests/reader.py` proposes what fits four pairs at a time, votes and judges, and knows nothing
else; without a principle it tosses a coin. `noise`: the share of runs that keep any of 20 principles whose votes have
nothing to do with the labels (they apply to 70 % of the pairs), and those of one that is right 65 or 80 times in 100
among them that keep it.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import simfarm
from simfarm.statistics.principles import keep

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from reader import LISTS, LONGER, SHORTER, Reader, planted

PLANTED = {
    "prefer shorter": (SHORTER, False, SHORTER),
    "prefer lists": (LISTS, False, LISTS),
    "labels inverted": (SHORTER, True, LONGER),
}


def plantings(replicates: int) -> list[str]:
    """Lines of a table: how often the principle is found, and accuracies over replicates, mean ± Monte-Carlo error."""
    lines = [
        "| planted | found | with | without | shuffled | kept of shuffled |",
        "|---|---|---|---|---|---|",
    ]
    for name, (principle, inverted, expected) in PLANTED.items():
        made = []
        for seed in range(replicates):
            labels = planted(300, principle, inverted=inverted, noise=0.04, seed=seed)
            with tempfile.TemporaryDirectory() as folder:
                made.append(simfarm.explain(labels, Reader(), store=f"{folder}/store.sqlite"))
        cells = []
        for row in ("principles", "without", "shuffled"):
            rates = np.array([one.accuracy[row].value for one in made if row in one.accuracy])
            cells.append(f"{rates.mean():.3f} ± {rates.std(ddof=1) / math.sqrt(len(rates)):.3f}")
        found = sum(one.principles[:1] == (expected,) for one in made)
        noise = sum(one.found.counts["kept_shuffled"] > 0 for one in made)
        lines.append(f"| {name} | {found} of {replicates} | {' | '.join(cells)} | {noise} of {replicates} |")
    return lines


def noise(replicates: int, rng: np.random.Generator) -> list[str]:
    """Lines of a table: how often anything false is kept, and the true one."""
    lines = ["| pairs that vote | any false one, none true | true: .65 | true: .8 |", "|---|---|---|---|"]
    for n in (30, 60, 200):
        shares = []
        for truth in (0.5, 0.65, 0.8):
            hits = 0
            for _ in range(replicates):
                right = np.full(20, 0.5)
                right[0] = truth
                votes = np.where(rng.random((n, 20)) < right, 1.0, -1.0) * (rng.random((n, 20)) < 0.7)
                order = keep(votes, np.arange(n), 5).order
                hits += bool(order) if truth == 0.5 else 0 in order
            shares.append(hits / replicates)
        error = [math.sqrt(max(s * (1 - s), 1 / replicates) / replicates) for s in shares]
        cells = [f"{100 * s:.1f} ± {100 * e:.1f} %" for s, e in zip(shares, error, strict=True)]
        lines.append(f"| {n} | {' | '.join(cells)} |")
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--replicates", type=int, default=40)
    parser.add_argument("-o", "--output", type=Path)
    chosen = parser.parse_args()
    begun = time.perf_counter()
    lines = [*plantings(chosen.replicates), "", *noise(50 * chosen.replicates, np.random.default_rng(0))]
    lines += ["", f"{chosen.replicates} replicates, {time.perf_counter() - begun:.0f} s"]
    text = "\n".join(lines)
    print(text)
    if chosen.output:
        chosen.output.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
