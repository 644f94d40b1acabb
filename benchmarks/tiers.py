"""How often tiers part equals, and how often the paired difference of two models holds the truth, on planted data.

    python benchmarks/tiers.py --replicates 1000

Every instruction is judged in 2 orders with 3 repeats each for each of 10 models: it has its own difficulty (shared by
all models), each model its own luck with it, the order adds or takes 0.5 logits, and repeats are draws from one chance,
so the six verdicts of a cluster are nearly one. Family-wise error: the share of replicates in which any two models
of equal truth are parted, or an unequal pair the wrong way round. Beside it: t tests of each pair without adjustment,
and AlpacaEval's standard error, which takes every verdict for independent and two models for unrelated.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.special import expit, roots_hermitenorm

from simfarm.ranking import Estimate
from simfarm.statistics.estimate import mean_estimate
from simfarm.statistics.tiers import tiers

DIFFICULTY, LUCK, ORDER = 1.2, 0.8, np.array([0.5, -0.5])
REPEATS = 3
TRUTHS = {
    "all equal": np.zeros(10),
    "groups of 4, 3, 3": np.repeat([0.9, 0.2, -0.6], [4, 3, 3]),
    "all different": np.linspace(-0.9, 0.9, 10),
}


def plant(theta: np.ndarray, n: int, rng: np.random.Generator) -> np.ndarray:
    """Verdicts (models × instructions × 6 calls) of 0 or 1."""
    latent = DIFFICULTY * rng.standard_normal(n) + LUCK * rng.standard_normal((len(theta), n)) + theta[:, None]
    chance = expit(latent[:, :, None] + np.repeat(ORDER, REPEATS))
    return rng.binomial(1, chance).astype(float)


def true_rates(theta: np.ndarray) -> np.ndarray:
    nodes, weights = roots_hermitenorm(80)
    spread = np.hypot(DIFFICULTY, LUCK) * nodes
    chance = expit(theta[:, None, None] + ORDER[None, :, None] + spread)
    return (chance @ weights / weights.sum()).mean(axis=1)


def parted_wrongly(p_values: np.ndarray, estimates: list[Estimate], truth: np.ndarray) -> bool:
    """Whether any pair is declared different whose truth is equal or the other way round."""
    values = np.array([e.value for e in estimates])
    declared = np.sign(values[:, None] - values[None, :]) * (p_values <= 0.05)
    return bool(((declared != 0) & (declared != np.sign((truth[:, None] - truth[None, :]).round(12)))).any())


def measure(theta: np.ndarray, n: int, replicates: int, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    truth = true_rates(theta)
    first, second = np.triu_indices(len(theta), 1)
    wanted = truth[first] - truth[second]
    wrong, plain_wrong, parted, paired, simultaneous, upstream, upstream_rate = [], [], [], [], [], [], []
    for replicate in range(replicates):
        calls = plant(theta, n, rng)
        estimates = [mean_estimate(p.ravel(), np.repeat(np.arange(n), p.shape[1])) for p in calls]
        found = tiers(estimates, replicates=2000, seed=replicate)
        wrong.append(parted_wrongly(found.p_values, estimates, truth))
        different = wanted.round(12) != 0
        if different.any():
            parted.append((found.p_values[first, second] <= 0.05)[different].mean())
        differences = [estimates[i] - estimates[j] for i, j in zip(first, second, strict=True)]
        unadjusted = np.ones_like(found.p_values)
        unadjusted[first, second] = unadjusted[second, first] = [d.p_value() for d in differences]
        plain_wrong.append(parted_wrongly(unadjusted, estimates, truth))
        intervals = np.array([d.interval() for d in differences])
        paired.append(((intervals[:, 0] <= wanted) & (wanted <= intervals[:, 1])).mean())
        values, errors = (np.array([getattr(d, k) for d in differences]) for k in ("value", "standard_error"))
        simultaneous.append((np.abs(values - wanted) <= found.quantile * errors).all())
        rows = calls.reshape(len(theta), -1)
        variance = rows.var(axis=1, ddof=1) / rows.shape[1]
        half = 1.96 * np.sqrt(variance[first] + variance[second])
        upstream.append((np.abs(values - wanted) <= half).mean())
        upstream_rate.append((np.abs(rows.mean(axis=1) - truth) <= 1.96 * np.sqrt(variance)).mean())
    return {
        "family_wise_error": float(np.mean(wrong)),
        "unadjusted_family_wise_error": float(np.mean(plain_wrong)),
        "unequal_pairs_parted": float(np.mean(parted)) if parted else 0.0,
        "simultaneous_coverage": float(np.mean(simultaneous)),
        "paired_difference_coverage": float(np.mean(paired)),
        "alpaca_eval_difference_coverage": float(np.mean(upstream)),
        "alpaca_eval_win_rate_coverage": float(np.mean(upstream_rate)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    found = []
    for name, theta in TRUTHS.items():
        for n in (50, 200, 805):
            figures = measure(theta, n, options.replicates, options.seed)
            found.append({"truth": name, "instructions": n, **figures})
            print(f"{name}, {n} instructions: " + ", ".join(f"{k} {v:.3f}" for k, v in figures.items()), flush=True)
    if options.output:
        made = {"replicates": options.replicates, "seed": options.seed}
        options.output.write_text(json.dumps({"options": made, "figures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
