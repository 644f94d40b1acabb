"""How often the 95 % intervals hold the truth, on planted data.

    python benchmarks/coverage.py --replicates 2000

Win rates: each instruction has its own chance of a win, drawn about p on the logit scale (or, for `soft`, is itself the
verdict), and a judge's verdict is drawn from it; the truth is the mean over the infinite population of instructions.
Joint length control: θ of 20 models is fixed; instructions, lengths and slopes are drawn anew in each replicate; the
truth for model m is the mean over the population of σ(θ_m + γ), which is not what any finite sample holds.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
from scipy.special import expit, logit, roots_hermitenorm

from simfarm.statistics.estimate import mean_estimate
from simfarm.statistics.length_control import fit_joint

NODES, WEIGHTS = roots_hermitenorm(80)


def population_mean(theta: np.ndarray, spread: float) -> np.ndarray:
    """E σ(θ + γ), γ ~ N(0, spread²)."""
    return expit(np.asarray(theta)[..., None] + spread * NODES) @ WEIGHTS / WEIGHTS.sum()


def centre_for(p: float, spread: float) -> float:
    """θ with E σ(θ + γ) = p, by bisection."""
    low, high = -20.0, 20.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if population_mean(middle, spread) < p else (low, middle)
    return (low + high) / 2


def win_rate_coverage(p: float, n: int, kind: str, replicates: int, rng: np.random.Generator) -> float:
    """Share of replicates whose interval holds p; `kind` is hard (one verdict), both (mean of two orders) or soft."""
    theta = centre_for(p, 1.5)
    hits = 0
    for _ in range(replicates):
        chance = expit(theta + 1.5 * rng.standard_normal(n))
        if kind == "soft":
            verdict = chance
        else:
            verdict = rng.binomial(1 if kind == "hard" else 2, chance) / (1 if kind == "hard" else 2)
        low, high = mean_estimate(verdict, np.arange(n)).interval(0.95)
        hits += low <= p <= high
    return hits / replicates


def plant_panel(
    n_models: int, n_clusters: int, rng: np.random.Generator, *, soft: bool = False
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(p, delta, truth): a panel like AlpacaEval's, s_γ = 1.5, slopes N(2, 0.45²), true win rates from 7 to 73 %
    (from 12 % with few instructions, so that every model wins somewhere and has a finite effect)."""
    theta = np.linspace(logit(0.03 if n_clusters > 400 else 0.06), logit(0.80), n_models)
    gamma = 1.5 * rng.standard_normal((n_clusters, 1))
    slope = 2 + 0.45 * rng.standard_normal(n_models)
    delta = np.linspace(-600, 150, n_models) + 500 * rng.standard_normal((n_clusters, n_models))
    chance = expit(theta + gamma + slope * np.tanh(delta / delta.std(axis=0, ddof=1)))
    p = rng.binomial(1, chance).astype(float)
    if soft:
        p = rng.beta(0.3 * chance + 1e-3, 0.3 * (1 - chance) + 1e-3)
    return p, delta, population_mean(theta, 1.5)


def joint_coverage(
    n_models: int, n_clusters: int, replicates: int, rng: np.random.Generator, *, soft: bool = False
) -> dict[str, float]:
    """Coverage over models and replicates of the win rates, of all paired differences of neighbours, of the slope."""
    hits, pairs, slopes, ratios = [], [], [], []
    for _ in range(replicates):
        p, delta, truth = plant_panel(n_models, n_clusters, rng, soft=soft)
        fitted = fit_joint(p, delta)
        for m, estimate in enumerate(fitted.estimates):
            low, high = estimate.interval(0.95)
            hits.append(low <= truth[m] <= high)
            ratios.append((estimate.value - truth[m]) / estimate.standard_error)
            if m:
                low, high = (estimate - fitted.estimates[m - 1]).interval(0.95)
                pairs.append(low <= truth[m] - truth[m - 1] <= high)
        low, high = fitted.pooled.interval(0.95)
        slopes.append(low <= 2 <= high)
    return {
        "joint": float(np.mean(hits)),
        "joint_difference": float(np.mean(pairs)),
        "joint_slope": float(np.mean(slopes)),
        "joint_bias_in_se": float(np.mean(ratios)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=2000, help="of each win rate case (default 2000)")
    parser.add_argument("--joint-replicates", type=int, default=150, help="of each joint case (default 150)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    found = []
    for kind in ("hard", "both", "soft"):
        for n in (30, 60, 805):
            for p in (0.02, 0.1, 0.5, 0.9):
                coverage = win_rate_coverage(p, n, kind, options.replicates, rng)
                found.append({"what": f"win_rate {kind}", "p": p, "clusters": n, "coverage": coverage})
                print(f"win rate, {kind:4s} verdicts, p = {p:4}, {n:3d} clusters: {coverage:.3f}", flush=True)
    for n_models, n_clusters, soft in ((20, 805, False), (20, 200, False), (32, 805, False), (20, 805, True)):
        result = joint_coverage(n_models, n_clusters, options.joint_replicates, rng, soft=soft)
        kind = "soft" if soft else "hard"
        found.append({"what": f"joint {kind}", "models": n_models, "clusters": n_clusters, **result})
        shown = ", ".join(f"{k} {v:.3f}" for k, v in result.items())
        print(f"joint, {kind} verdicts, {n_models} models, {n_clusters} clusters: {shown}", flush=True)
    if options.output:
        options.output.write_text(
            json.dumps({"options": vars(options), "figures": found}, indent=1, default=str) + "\n"
        )


if __name__ == "__main__":
    main()
