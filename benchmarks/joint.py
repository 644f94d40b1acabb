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
import math
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, roots_hermitenorm

from simfarm.statistics.estimate import Estimate
from simfarm.statistics.length_control import fit_joint, length_feature

CONSTANT = "NullModel"
SPREAD, SLOPE, SLOPE_SPREAD = 1.2, 1.5, 0.5
LENGTH_SD = math.hypot(300, 350)


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


@dataclass(frozen=True)
class Cell:
    """A planted case: `soft` verdicts are Beta(.3 μ, .3 (1 − μ)) about their chance μ, `graded` ones
    Beta(3 μ, 3 (1 − μ)), `hard` ones 0 or 1; where the panel is long, instructions are easier, by `correlation`."""

    verdicts: str
    models: int
    instructions: int
    correlation: float


CERTAINTY = {"soft": 0.3, "graded": 3.0}
CELLS = [
    *(Cell("hard", m, g, c) for m in (3, 5, 10, 33, 2, 20) for g in (60, 200) for c in (0.0, 0.3)),
    *(Cell("soft", m, g, c) for m in (3, 5, 10, 33, 2, 20) for g in (60, 200) for c in (0.0, 0.3)),
    *(Cell("hard", m, 805, c) for m in (3, 10, 2, 33) for c in (0.0, 0.3)),
    *(Cell("graded", m, g, 0.3) for m in (3, 10, 33) for g in (60, 200)),
]


class Plant:
    """A cell's population: its true rates, and panels drawn from it."""

    def __init__(self, cell: Cell) -> None:
        self.cell = cell
        self.theta = np.linspace(-2.5, 1, cell.models)
        z = np.tanh(self.lengths(200_000, np.random.default_rng(0)) / LENGTH_SD).mean(axis=1)
        self.moments = z.mean(), z.std()
        self.own = SPREAD * np.sqrt(1 - cell.correlation**2)
        nodes, weights = roots_hermitenorm(60)
        common = SPREAD * cell.correlation * np.quantile((z - z.mean()) / z.std(), (np.arange(400) + 0.5) / 400)
        chance = expit(self.theta[:, None, None] + common[:, None] + self.own * nodes) @ weights / weights.sum()
        self.truth = chance.mean(axis=1)

    def lengths(self, n: int, rng: np.random.Generator) -> np.ndarray:
        """Differences in characters (n × models), of spread `LENGTH_SD`."""
        m = self.cell.models
        common = 300 * rng.standard_normal((n, 1))
        return np.linspace(-600, 100, m) + common + 350 * rng.standard_normal((n, m))

    def panel(self, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        """(p, Δ), in which every model has won and lost something."""
        cell = self.cell
        while True:
            delta = self.lengths(cell.instructions, rng)
            z = np.tanh(delta / LENGTH_SD).mean(axis=1, keepdims=True)
            gamma = SPREAD * cell.correlation * (z - self.moments[0]) / self.moments[1]
            gamma = gamma + self.own * rng.standard_normal(z.shape)
            slope = SLOPE + SLOPE_SPREAD * rng.standard_normal(cell.models)
            chance = expit(self.theta + gamma + slope * length_feature(delta))
            if cell.verdicts == "hard":
                p = rng.binomial(1, chance).astype(float)
            else:
                certainty = CERTAINTY[cell.verdicts]
                p = rng.beta(certainty * chance + 1e-3, certainty * (1 - chance) + 1e-3)
            if ((p.mean(axis=0) > 0) & (p.mean(axis=0) < 1)).all():
                return p, delta


def held(plant: Plant, seed: int, replicate: int) -> np.ndarray:
    """Whether each model's interval holds its true rate, and, last, the slope's holds the true one."""
    fit = fit_joint(*plant.panel(np.random.default_rng([seed, replicate])))
    truth = np.append(plant.truth, SLOPE)
    limits = np.array([e.interval() for e in (*fit.estimates, fit.pooled)])
    return (limits[:, 0] <= truth) & (truth <= limits[:, 1])


def coverage(cell: Cell, found: np.ndarray) -> dict[str, float | str]:
    """A line of the table from `held` of each replicate; models of one panel share a draw, so errors are of panels."""
    n, rates = len(found), found[:, :-1].mean(axis=1)
    error = rates.std(ddof=1) / np.sqrt(n) if n > 1 else math.nan
    slope = float(found[:, -1].mean())
    return asdict(cell) | {
        "replicates": n,
        "rates": float(rates.mean()),
        "rates_error": float(error),
        "worst_model": float(found[:, :-1].mean(axis=0).min()),
        "slope": slope,
        "slope_error": math.sqrt(slope * (1 - slope) / n),
    }


def measured(cell: Cell, replicates: int, seed: int) -> dict[str, float | str]:
    """The line of a cell."""
    plant = Plant(cell)
    line = coverage(cell, np.array([held(plant, seed, replicate) for replicate in range(replicates)]))
    print(*line.values(), flush=True)
    return line


def table(lines: list[dict[str, float]] | list[dict[str, float | str]]) -> str:
    """A Markdown table."""
    head = list(lines[0])
    rows = [[f"{line[k]:.3f}" if isinstance(line[k], float) else str(line[k]) for k in head] for line in lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/alpaca_eval_2"))
    parser.add_argument("--replicates", type=int, default=60, help="random panels of the smallest size (default 60)")
    parser.add_argument("--planted", type=int, default=1000, help="replicates of each planted cell (default 1000)")
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
        "planted": [measured(cell, options.planted, options.seed) for cell in CELLS],
    }
    titles = {
        "whole": "All models, the constant one apart: points to the published rate",
        "panels": "Random panels of all models",
        "kept": "Random panels of the models on which no constant was chosen",
        "planted": "Planted panels: coverage of 95 % intervals",
    }
    text = "# `joint` length control\n\n" + "\n".join(f"## {titles[k]}\n\n{table(v)}" for k, v in figures.items())
    print(text)
    if options.output:
        options.output.with_suffix(".json").write_text(json.dumps(figures, indent=1) + "\n")
        options.output.with_suffix(".md").write_text(text)


if __name__ == "__main__":
    main()
