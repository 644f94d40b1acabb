"""The `joint` length control beside AlpacaEval 2's published one, which it never sees, and on planted truth.

    python benchmarks/joint.py --data ../shared/data/alpaca_eval_2 -o benchmarks/results/joint

Random panels of real models: mean distance of `joint` and of the raw win rate to the published length control, and how
often the printed 95 % interval holds the published value. The model whose outputs are one constant string is fitted
apart. Planted panels: coverage of the rates and of the slope, where instructions are harder or not for long answers.
`-o` names a file without its ending: .json and .md are written.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, roots_hermitenorm

from simfarm.statistics.estimate import Estimate
from simfarm.statistics.length_control import fit_joint, length_feature

CONSTANT = "NullModel"
SPREAD, SLOPE, SLOPE_SPREAD = 1.2, 1.5, 0.5


def inside(estimates: list[Estimate], truth: np.ndarray) -> float:
    """Share of the 95 % intervals that hold `truth`."""
    limits = np.array([e.interval() for e in estimates])
    return float(((limits[:, 0] <= truth) & (truth <= limits[:, 1])).mean())


def real_panels(
    p: pd.DataFrame, delta: pd.DataFrame, published: pd.Series, sizes: dict[int, int], seed: int
) -> list[dict[str, float]]:
    """A line for each size of panel: random panels of the columns of `p`."""
    rng, lines = np.random.default_rng(seed), []
    for size, replicates in sizes.items():
        each = []
        for _ in range(replicates):
            chosen = list(rng.choice(p.columns, size, replace=False))
            target = published[chosen].to_numpy()
            estimates = fit_joint(p[chosen].to_numpy(), delta[chosen].to_numpy()).estimates
            values = np.array([e.value for e in estimates])
            raw = np.abs(p[chosen].mean().to_numpy() - target).mean()
            each.append([100 * np.abs(values - target).mean(), 100 * raw, inside(estimates, target)])
        distance, raw_distance, holds = np.mean(each, axis=0)
        error = np.std(each, axis=0) / np.sqrt(replicates)
        lines.append(
            {"models": size, "panels": replicates, "joint": distance, "joint_error": error[0], "raw": raw_distance}
            | {"holds": holds, "holds_error": error[2]}
        )
    return lines


def planted(models: int, clusters: int, correlation: float, replicates: int, seed: int) -> dict[str, float]:
    """Coverage of hard verdicts' rates and slope; γ correlates with the panel's mean feature."""
    rng, nodes = np.random.default_rng(seed), roots_hermitenorm(60)
    theta = np.linspace(-2.5, 1, models)
    truth = expit(theta[:, None] + SPREAD * nodes[0]) @ nodes[1] / nodes[1].sum()
    rates, slopes = [], []
    while len(rates) < replicates:
        common = 300 * rng.standard_normal((clusters, 1))
        delta = np.linspace(-600, 100, models) + common + 350 * rng.standard_normal((clusters, models))
        x = length_feature(delta)
        z = x.mean(axis=1, keepdims=True)
        own = np.sqrt(1 - correlation**2) * rng.standard_normal((clusters, 1))
        gamma = SPREAD * (correlation * (z - z.mean()) / z.std() + own)
        slope = SLOPE + SLOPE_SPREAD * rng.standard_normal(models)
        p = rng.binomial(1, expit(theta + gamma + slope * x)).astype(float)
        if (p.mean(axis=0) % 1 == 0).any():
            continue
        fit = fit_joint(p, delta)
        rates.append(inside(fit.estimates, truth))
        slopes.append(inside([fit.pooled], np.array([SLOPE])))
    error = float(np.std(rates) / np.sqrt(replicates))
    return {
        "models": models,
        "instructions": clusters,
        "correlation": correlation,
        "replicates": replicates,
        "rates": float(np.mean(rates)),
        "rates_error": error,
        "slope": float(np.mean(slopes)),
    }


def table(lines: list[dict[str, float]]) -> str:
    """A Markdown table."""
    head = list(lines[0])
    rows = [[f"{line[k]:.3f}" if isinstance(line[k], float) else str(line[k]) for k in head] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/alpaca_eval_2"))
    parser.add_argument("--replicates", type=int, default=60, help="random panels of the smallest size (default 60)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="write the figures as .json and .md")
    options = parser.parse_args()
    rows = pd.read_parquet(options.data / "preferences.parquet")
    published = pd.read_csv(options.data / "published_leaderboard.csv").set_index("model")
    target = published["length_controlled_winrate"] / 100
    rows = rows[rows["generator_2"].isin(target.index) & (rows["generator_2"] != rows["generator_1"])]
    rows = rows.assign(p=rows["preference"] - 1, delta=(rows["length_2"] - rows["length_1"]).astype(float))
    p, delta = (rows.pivot(index="instruction_id", columns="generator_2", values=v) for v in ("p", "delta"))
    panel = [m for m in p.columns if m != CONSTANT]
    fit = fit_joint(p[panel].to_numpy(), delta[panel].to_numpy())
    values = pd.Series([e.value for e in fit.estimates], panel)
    apart = [*panel, CONSTANT]
    values[CONSTANT] = fit_joint(p[apart].to_numpy(), delta[apart].to_numpy()).estimates[-1].value
    whole = {
        "models": len(values),
        "joint": float(100 * (values - target[values.index]).abs().mean()),
        "raw": float(100 * (p.mean() - target[p.columns]).abs().mean()),
        "spearman": float(values.rank().corr(target[values.index].rank())),
        "between": fit.between,
        "slope": fit.pooled.value,
    }
    n = options.replicates
    sizes = {2: n, 3: n, 5: n, 10: max(1, n // 2), 20: max(1, n // 4)}
    kept = panel[1::2]
    figures = {
        "whole": [whole],
        "panels": real_panels(p[panel], delta[panel], target, sizes, options.seed),
        "kept": real_panels(p[kept], delta[kept], target, {k: v for k, v in sizes.items() if k < 20}, options.seed),
        "planted": [
            planted(m, g, c, max(1, int(n * 3 / m)), options.seed)
            for m, g in ((2, 805), (3, 805), (10, 805), (3, 60), (10, 60))
            for c in (0.0, 0.3)
        ],
    }
    titles = {
        "whole": "All models, the constant one apart: points to the published rate",
        "panels": "Random panels of all models",
        "kept": "Random panels of the models on which no constant was chosen",
        "planted": "Planted panels: coverage of 95 % intervals, hard verdicts",
    }
    text = "# `joint` length control\n\n" + "\n".join(f"## {titles[k]}\n\n{table(v)}" for k, v in figures.items())
    print(text)
    if options.output:
        options.output.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
        options.output.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
