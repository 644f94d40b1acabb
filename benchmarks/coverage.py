"""How often the 95 % intervals hold the truth, on planted data and on real verdicts.

    python benchmarks/coverage.py --replicates 8000 --data ../shared/data/alpaca_eval_2

Planted: seven shapes of verdicts (`SHAPES`), five true win rates, six numbers of instructions; the truth is the mean of
the infinite population that the verdicts are drawn from. Near-duplicates: two models that differ on 4 instructions in
100, the one ahead on one of them and the other on three. Real: the verdicts of each model on AlpacaEval's 805
instructions are the population, and samples are drawn from them with and without replacement.
Beside the interval of `mean_estimate`: the t interval on the logit scale that simfarm had before (Wilson's with n = G
where nothing varies), AlpacaEval's mean ± 1.96 standard errors and, for hard verdicts, statsmodels' Wilson interval.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtri, roots_hermitenorm, stdtrit

from simfarm.statistics.bounded import mean_intervals

NODES, WEIGHTS = roots_hermitenorm(200)
RATES = (0.02, 0.05, 0.1, 0.3, 0.5)
SIZES = (10, 20, 30, 60, 100, 805)
AT_ONCE = 1 << 20
"""Most verdicts drawn at once."""


def population_mean(theta: np.ndarray, spread: float) -> np.ndarray:
    """E σ(θ + γ), γ ~ N(0, spread²)."""
    return expit(np.asarray(theta)[..., None] + spread * NODES) @ WEIGHTS / WEIGHTS.sum()


def centre_for(p: float, spread: float) -> float:
    """θ with E σ(θ + γ) = p, by bisection."""
    low, high = -60.0, 60.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if population_mean(middle, spread) < p else (low, middle)
    return (low + high) / 2


Draw = Callable[[float, tuple[int, int], np.random.Generator], np.ndarray]
"""(the true mean, (replicates, instructions), generator) to verdicts of that shape."""


def hard(p: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """A win or a loss."""
    return (rng.random(shape) < p).astype(float)


def both_orders(p: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The mean of two calls that mostly agree, since the instruction has a chance of its own (spread 1.5 logits)."""
    chance = expit(centre_for(p, 1.5) + 1.5 * rng.standard_normal(shape))
    return rng.binomial(2, chance) / 2


def ties(p: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Wins, losses and ties: up to 4 in 10 are ties, and ties give up to half of the win rate."""
    tied = min(0.4, p)
    drawn = rng.random(shape)
    return np.where(drawn < tied, 0.5, (drawn < tied + p - tied / 2).astype(float))


def soft(p: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """The chance itself, normal on the logit scale with spread 1.5: lopsided where p is small."""
    return expit(centre_for(p, 1.5) + 1.5 * rng.standard_normal(shape))


def log_probability(p: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """As a judge's letters weigh: spread 6 on the logit scale, so that most are near 0 or 1."""
    return expit(centre_for(p, 6.0) + 6.0 * rng.standard_normal(shape))


def rare_spikes(p: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Small alike verdicts, and a 1 on one instruction in 2/p, which gives half of the win rate."""
    spike = p / 2
    rest = (p - spike) / (1 - spike)
    return np.where(rng.random(shape) < spike, 1.0, rest * rng.uniform(0.5, 1.5, shape))


def narrow(p: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """All near one value: Beta with a tenth of the standard deviation that hard verdicts have."""
    return rng.beta(99 * p, 99 * (1 - p), shape)


SHAPES: dict[str, Draw] = {
    "hard": hard,
    "both orders": both_orders,
    "ties": ties,
    "soft, lopsided": soft,
    "log-probability": log_probability,
    "rare spikes": rare_spikes,
    "narrow": narrow,
}


def logit_t_intervals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What was compared with: t with G − 1 degrees of freedom on the logit scale; Wilson's where nothing varies."""
    n = x.shape[1]
    value = x.mean(axis=1)
    error = x.std(axis=1, ddof=1) / np.sqrt(n)
    usual = (error >= 1e-12) & (value > 0) & (value < 1)
    inside = np.where(usual, value, 0.5)
    half = stdtrit(n - 1, 0.975) * error / (inside * (1 - inside))
    z = ndtri(0.975)
    centre = (value + z * z / (2 * n)) / (1 + z * z / n)
    wilson = z * np.sqrt(value * (1 - value) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    low = np.where(usual, expit(logit(inside) - half), np.maximum(0.0, centre - wilson))
    return low, np.where(usual, expit(logit(inside) + half), np.minimum(1.0, centre + wilson))


def t_intervals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The paired t interval that differences had."""
    half = stdtrit(x.shape[1] - 1, 0.975) * x.std(axis=1, ddof=1) / np.sqrt(x.shape[1])
    return x.mean(axis=1) - half, x.mean(axis=1) + half


def upstream_intervals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """AlpacaEval's: 1.96 standard errors of the mean either way."""
    half = 1.96 * x.std(axis=1, ddof=1) / np.sqrt(x.shape[1])
    return x.mean(axis=1) - half, x.mean(axis=1) + half


def wilson_intervals(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """statsmodels' Wilson interval of the count of wins."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(x.sum(axis=1), x.shape[1], method="wilson")
    return low, high


Intervals = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


class Tally:
    """Coverage and mean width of several rules on the same samples."""

    def __init__(self, rules: dict[str, Intervals]) -> None:
        self.rules = rules
        self.held = dict.fromkeys(rules, 0)
        self.width = dict.fromkeys(rules, 0.0)
        self.n = 0

    def add(self, x: np.ndarray, truth: float) -> None:
        """Count the samples `x` (replicates × instructions) of a population with mean `truth`."""
        self.n += len(x)
        for name, rule in self.rules.items():
            low, high = rule(x)
            # sums in floating point: 1e-9 is the room that a verdict of exactly the limit needs
            self.held[name] += int(((low <= truth + 1e-9) & (truth - 1e-9 <= high)).sum())
            self.width[name] += float((high - low).sum())

    def coverage(self, rule: str = "simfarm") -> float:
        """Share of the samples whose interval holds the truth."""
        return self.held[rule] / self.n

    def ratio(self) -> float:
        """Mean width over that of the rule before."""
        return self.width["simfarm"] / self.width["before"]


RULES: dict[str, Intervals] = {
    "simfarm": lambda x: mean_intervals(x, 0.95),
    "before": logit_t_intervals,
    "AlpacaEval": upstream_intervals,
}


def in_parts(replicates: int, n: int) -> list[int]:
    """Numbers of replicates that are drawn at once."""
    step = max(1, AT_ONCE // n)
    return [min(step, replicates - start) for start in range(0, replicates, step)]


def planted(replicates: int, rng: np.random.Generator) -> pd.DataFrame:
    """A row for each shape, win rate and number of instructions."""
    rows = []
    for name, draw in SHAPES.items():
        rules = RULES | ({"Wilson": wilson_intervals} if name == "hard" else {})
        for p in RATES:
            for n in SIZES:
                tally = Tally(rules)
                for part in in_parts(replicates, n):
                    tally.add(draw(p, (part, n), rng), p)
                found = {rule: tally.coverage(rule) for rule in rules}
                rows.append({"shape": name, "p": p, "n": n, **found, "width": tally.ratio()})
            shown = " ".join(f"{r['simfarm']:.3f}" for r in rows[-len(SIZES) :])
            print(f"{name}, {p}: {shown}", flush=True)
    return pd.DataFrame(rows)


def near_duplicates(replicates: int, rng: np.random.Generator) -> pd.DataFrame:
    """Differences of two models of which one is ahead on 1 % of the instructions and the other on 3 %."""
    rows = []
    for n in (3, *SIZES):
        tally = Tally({"simfarm": lambda d: mean_intervals(d, 0.95, -1, 1), "before": t_intervals})
        for part in in_parts(replicates, n):
            drawn = rng.random((part, n))
            tally.add((drawn < 0.01).astype(float) - (drawn > 0.97), -0.02)
        rows.append({"n": n, "simfarm": tally.coverage(), "before": tally.coverage("before"), "width": tally.ratio()})
    return pd.DataFrame(rows)


def real(data: Path, replicates: int, rng: np.random.Generator) -> pd.DataFrame:
    """A row for each model, way of drawing and number of instructions: its verdicts on all are the population."""
    table = pd.read_parquet(data / "preferences.parquet", columns=["generator_1", "generator_2", "preference"])
    table = table[table["generator_2"] != table["generator_1"]].dropna()
    rows = []
    for model, part in table.groupby("generator_2"):
        verdicts = part["preference"].to_numpy() - 1
        for replaced in (True, False):
            for n in (10, 30, 60, 100):
                if replaced:
                    chosen = rng.integers(len(verdicts), size=(replicates, n))
                else:
                    chosen = np.argpartition(rng.random((replicates, len(verdicts))), n, axis=1)[:, :n]
                tally = Tally(RULES)
                tally.add(verdicts[chosen], float(verdicts.mean()))
                found = {rule: tally.coverage(rule) for rule in RULES}
                rows.append({"model": model, "rate": verdicts.mean(), "replaced": replaced, "n": n, **found,
                             "width": tally.ratio()})  # fmt: skip
        print(f"{model}: {min(r['simfarm'] for r in rows[-8:]):.3f}", flush=True)
    return pd.DataFrame(rows)


def line(cells: list[object]) -> str:
    """A row of a Markdown table."""
    return "| " + " | ".join(f"{c:.3f}" if isinstance(c, float) else str(c) for c in cells) + " |\n"


def heading(names: list[str]) -> str:
    return line(list(names)) + "|" + "---|" * len(names) + "\n"


def planted_page(found: pd.DataFrame) -> str:
    """Coverage by cell; then the worst cell and the width of each shape, beside the other rules."""
    page = "## Planted verdicts: coverage by number of instructions\n\n"
    page += heading(["verdicts", "p", *map(str, SIZES)])
    for (shape, p), part in found.groupby(["shape", "p"], sort=False):
        page += line([shape, f"{p:g}", *part["simfarm"].tolist()])
    page += "\nWorst cell of each shape, up to 100 and at 805 instructions, and mean width over that of the rule before"
    page += " (p .1 to .5, G 30 to 100; at 805).\n\n"
    rules = [r for r in ("simfarm", "before", "AlpacaEval", "Wilson") if r in found]
    page += heading(["verdicts", *(f"{r}, {n}" for r in rules for n in ("≤ 100", "805")), "width", "width, 805"])
    for shape, part in found.groupby("shape", sort=False):
        small, large = part[part["n"] <= 100], part[part["n"] == 805]
        usual = small[(small["p"] >= 0.1) & (small["n"] >= 30)]
        cells = [float(x[r].min()) if x[r].notna().all() else "–" for r in rules for x in (small, large)]
        page += line([shape, *cells, float(usual["width"].mean()), float(large["width"].mean())])
    return page


def real_page(found: pd.DataFrame) -> str:
    """The worst model and the mean of the models under 5 %, by number of instructions."""
    page = "\n## Real verdicts: each model's on AlpacaEval's instructions are the population\n\n"
    page += heading(["drawn", "n", "worst model", "before", "AlpacaEval", "models under 5 %", "before", "AlpacaEval",
                     "width"])  # fmt: skip
    for (replaced, n), part in found.groupby(["replaced", "n"], sort=False):
        rare = part[part["rate"] < 0.05]
        rules = ("simfarm", "before", "AlpacaEval")
        cells = [float(x) for x in (*(part[r].min() for r in rules), *(rare[r].mean() for r in rules))]
        how = "with replacement" if replaced else "without"
        page += line([how, n, *cells, float(part["width"].mean())])
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=8000, help="of each planted cell (default 8000)")
    parser.add_argument("--data", type=Path, default=Path("../shared/data/alpaca_eval_2"), help="AlpacaEval's verdicts")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="write the tables as Markdown")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    error = np.sqrt(0.95 * 0.05 / options.replicates)
    page = f"Made by `benchmarks/coverage.py --replicates {options.replicates} --seed {options.seed}`; the Monte-Carlo"
    page += f" error of a coverage near .95 is {error:.4f}.\n\n"
    page += planted_page(planted(options.replicates, rng))
    page += "\n## Near-duplicates: ahead on 1 %, behind on 3 % of the instructions\n\n"
    page += heading(["n", "simfarm", "before (t)", "width over before"])
    for row in near_duplicates(options.replicates, rng).itertuples():
        page += line([row.n, row.simfarm, row.before, row.width])
    if (options.data / "preferences.parquet").exists():
        page += real_page(real(options.data, max(1, options.replicates // 2), rng))
    else:
        print(f"{options.data}: no preferences.parquet, so nothing is drawn from real verdicts")
    print(page)
    if options.output:
        options.output.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
