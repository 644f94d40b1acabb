"""Logistic persons: from how many labels are two tastes told apart, and what are they worth on real people?

    python benchmarks/persons.py --replicates 1000 --data ../shared/data/human

Planted: two persons who go by two features, one the other way round than the other, k labels each. *Told apart*: each
one's weights foresee their own labels better than the other's do, over all comparisons. *Named*: k fresh labels of one
of them are more likely under that one's weights. Features are plain (independent, standard normal), or those of the
example outputs of this repository, where a person likes long answers without lists and another short ones with them.

Real: AlpacaFarm's sixteen crowdworkers, weights of each fitted on half of the comparisons and tested on the other.
"""

from __future__ import annotations

import argparse
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from simfarm.data.inputs import comparisons_for
from simfarm.judges.surface import WEIGHTS, differences
from simfarm.statistics.estimate import Array
from simfarm.statistics.ridge import each_apart, ridge_logistic

ROOT = Path(__file__).parents[1]
LABELS = (4, 8, 16, 32)
TASTE = {"length": 1.0, "lists": -0.5}
"""Of the one person, in logits for one scale."""


def examples() -> Array:
    """Feature differences of all pairs of example outputs to one instruction."""
    files = sorted(str(path) for path in (ROOT / "examples" / "outputs").glob("*.json"))
    made = [
        pair
        for one, other in combinations(files, 2)
        for pair in comparisons_for([one], other)
        if pair.output_1 != pair.output_2
    ]
    return np.array([differences(pair.instruction, pair.output_1, pair.output_2) for pair in made])


def likelihood(x: Array, p: Array, weights: Array) -> float:
    """The mean log likelihood of verdicts."""
    logits = x @ weights
    return float((p * logits - np.logaddexp(0, logits)).mean())


def planted(random: np.random.Generator, pool: Array | None, k: int, taste: Array) -> tuple[bool, bool]:
    """Whether two persons of k labels each were told apart, and k fresh labels of the first named."""

    def drawn(n: int) -> Array:
        return random.standard_normal((n, len(taste))) if pool is None else pool[random.integers(len(pool), size=n)]

    x, who = drawn(2 * k), np.repeat([0, 1], k)
    p = (random.random(2 * k) < expit((1 - 2 * who) * (x @ taste))) * 1.0
    one, other = each_apart(x, p, who)
    all_x = np.eye(len(taste)) if pool is None else pool
    # the expected log likelihood differs by the mean of (2σ(x·taste) − 1) x·(one − other) / 2, the rest cancels
    lean = all_x @ taste if pool is None else (2 * expit(all_x @ taste) - 1) @ all_x
    apart = float(lean @ (one - other)) > 0
    fresh = drawn(k)
    said = (random.random(k) < expit(fresh @ taste)) * 1.0
    return apart, likelihood(fresh, said, one) > likelihood(fresh, said, other)


def real(data: Path, splits: int) -> list[str]:
    """Rows of log likelihood and agreement on held-out labels: shared weights, persons', and persons' without a prior
    around the shared."""
    rows = pd.read_parquet(data / "alpacafarm_cross.parquet")
    texts = zip(rows["instruction"], rows["output_1"], rows["output_2"], strict=True)
    x, p = np.array([differences(*three) for three in texts]), rows["preference"].to_numpy() - 1
    who, item = pd.factorize(rows["annotator"])[0], pd.factorize(rows["instruction"])[0]
    found: dict[str, list[tuple[float, float]]] = {"shared": [], "persons": [], "each alone": []}
    for seed in range(splits):
        order = np.random.default_rng(seed).permutation(item.max() + 1)
        learnt = np.isin(item, order[: len(order) // 2])
        shared = ridge_logistic(x[learnt], p[learnt], 1.0)
        alone = [ridge_logistic(x[learnt & (who == k)], p[learnt & (who == k)], 1.0) for k in range(who.max() + 1)]
        own = np.tile(shared, (who.max() + 1, 1))
        # who labelled none of the half that is learnt from is like all
        own[: who[learnt].max() + 1] = each_apart(x[learnt], p[learnt], who[learnt])
        weights = {
            "shared": np.tile(shared, (who.max() + 1, 1)),
            "persons": own,
            "each alone": np.array(alone),
        }
        for name, each in weights.items():
            logits = (x * each[who]).sum(axis=1)[~learnt]
            fit = float((p[~learnt] * logits - np.logaddexp(0, logits)).mean())
            found[name].append((fit, float(((logits > 0) == (p[~learnt] > 0.5)).mean())))
    return [
        f"| {name} | {np.mean(v, axis=0)[0]:.4f} | {100 * np.mean(v, axis=0)[1]:.1f} |" for name, v in found.items()
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "human")
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--splits", type=int, default=20)
    options = parser.parse_args()
    taste = np.array([TASTE.get(name, 0.0) for name in WEIGHTS])
    print("| features | labels each | told apart | named |\n|---|---:|---:|---:|")
    for name, pool in (("plain", None), ("example outputs", examples())):
        for k in LABELS:
            random = np.random.default_rng(k)
            found = np.array([planted(random, pool, k, taste) for _ in range(options.replicates)])
            print(f"| {name} | {k} | {found[:, 0].mean():.3f} | {found[:, 1].mean():.3f} |", flush=True)
    print("\n| weights | mean log likelihood | names the choice, % |\n|---|---:|---:|")
    print("\n".join(real(options.data, options.splits)))


if __name__ == "__main__":
    main()
