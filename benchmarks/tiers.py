"""How often tiers part equals, whether all ranks hold together, and what a board of many models costs.

    python benchmarks/tiers.py --replicates 2000

Shapes: eight models of one true win rate, four with verdicts of one shape and four of another (`coverage.py` has the
shapes), every instruction drawn anew. Panels: every instruction is judged in 2 orders with 3 repeats each; it has its
own difficulty (shared by all models), each model its own luck with it, the order adds or takes 0.5 logits, and repeats
are draws from one chance, so the six verdicts of a cluster are nearly one. Overlap: each model of a panel of equals has
answered 60 % of the instructions, drawn at random. Length-controlled: twenty models of one length-controlled rate and
of raw rates that lengths move apart, fitted by `joint`, hard and soft verdicts; and the same with ten of them better
by six points. Family-wise error: the share of
replicates in which any two models of equal truth are parted, or an unequal pair the wrong way round. Ranks together:
the share in which the rank intervals of all models hold the true ranks.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from coverage import SHAPES
from scipy.special import expit, roots_hermitenorm

from simfarm.statistics.estimate import Estimate, mean_estimate
from simfarm.statistics.length_control import fit_joint, length_feature
from simfarm.statistics.tiers import tiers

DIFFICULTY, LUCK, ORDER = 1.2, 0.8, np.array([0.5, -0.5])
REPEATS = 3
PANELS = {
    "8 equal": np.zeros(8),
    "8 close": np.linspace(-0.2, 0.2, 8),
    "groups of 4, 3, 3": np.repeat([0.9, 0.2, -0.6], [4, 3, 3]),
    "10 different": np.linspace(-0.9, 0.9, 10),
}
MIXES = (
    ("hard", "soft, lopsided"), ("hard", "log-probability"), ("hard", "rare spikes"), ("hard", "narrow"),
    ("soft, lopsided", "rare spikes"), ("ties", "log-probability"),
)  # fmt: skip
EQUAL, BETTER = -0.3, 0.0
STEPS = np.random.default_rng(0).permutation(20)
"""The models of a length-controlled panel, which have lengths in the order of their numbers, in another order."""


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


def gap_at_one_length() -> float:
    """How much more the better models of a length-controlled panel win at one length, as a fraction."""
    nodes, weights = roots_hermitenorm(80)
    return float((expit(BETTER + DIFFICULTY * nodes) - expit(EQUAL + DIFFICULTY * nodes)) @ weights / weights.sum())


def ranks_hold(ranks: np.ndarray, truth: np.ndarray) -> bool:
    """Whether every model's interval has all ranks that its true rate leaves it."""
    best = 1 + (truth.round(12)[None, :] > truth.round(12)[:, None]).sum(axis=1)
    worst = len(truth) - (truth.round(12)[None, :] < truth.round(12)[:, None]).sum(axis=1)
    return bool((ranks[:, 0] <= best).all() and (ranks[:, 1] >= worst).all())


def gap_of(a: Estimate, b: Estimate) -> Estimate:
    """The paired difference on what both answered."""
    both = np.intersect1d(a.clusters, b.clusters)
    return a.on(both) - b.on(both)


class Tally:
    """What happened in the replicates of one case."""

    def __init__(self, truth: np.ndarray) -> None:
        self.truth = truth
        self.wrong: list[bool] = []
        self.ranks: list[bool] = []
        self.parted: list[float] = []

    def add(self, estimates: list[Estimate], seed: int) -> None:
        found = tiers(estimates, replicates=1000, seed=seed)
        first, second = np.triu_indices(len(estimates), 1)
        gaps = np.zeros_like(found.p_values)
        for i, j in zip(first, second, strict=True):
            gaps[i, j] = np.sign(gap_of(estimates[i], estimates[j]).value)
            gaps[j, i] = -gaps[i, j]
        truth = self.truth.round(12)
        declared = gaps * (found.p_values <= 0.05)
        self.wrong.append(((declared != 0) & (declared != np.sign(truth[:, None] - truth[None, :]))).any())
        self.ranks.append(ranks_hold(found.ranks, self.truth))
        different = truth[first] != truth[second]
        if different.any():
            self.parted.append((found.p_values[first, second] <= 0.05)[different].mean())

    def line(self, *case: object) -> str:
        parted = f"{np.mean(self.parted):.3f}" if self.parted else "–"
        cells = [*map(str, case), f"{np.mean(self.wrong):.3f}", f"{np.mean(self.ranks):.3f}", parted]
        print(*cells, flush=True)
        return "| " + " | ".join(cells) + " |\n"


HEADING = "| models | p | instructions | family-wise error | all ranks together | unequal pairs parted |\n"
HEADING += "|---|---|---|---|---|---|\n"


def shapes_page(replicates: int, rng: np.random.Generator) -> str:
    """Eight models of one rate, four of either shape."""
    page = HEADING
    for one, other in MIXES:
        for p in (0.1, 0.3):
            for n in (20, 30, 60):
                tally = Tally(np.full(8, p))
                for seed in range(replicates):
                    verdicts = np.concatenate([SHAPES[one](p, (4, n), rng), SHAPES[other](p, (4, n), rng)])
                    tally.add([mean_estimate(x, np.arange(n)) for x in verdicts], seed)
                page += tally.line(f"4 {one} + 4 {other}", f"{p:g}", n)
    return page


def panels_page(replicates: int, rng: np.random.Generator) -> str:
    """Panels with a shared difficulty, whole and with 60 % of the instructions each."""
    page = HEADING
    for name, theta in PANELS.items():
        for n, share in ((50, 1.0), (200, 1.0), (200, 0.6)):
            tally = Tally(true_rates(theta))
            for seed in range(replicates):
                whole = [mean_estimate(x.mean(axis=1), np.arange(n)) for x in plant(theta, n, rng)]
                tally.add(whole if share == 1 else [e.on(np.flatnonzero(rng.random(n) < share)) for e in whole], seed)
            page += tally.line(name if share == 1 else f"{name}, 60 % each", "", n)
    return page


def controlled(models: int, n: int, soft: bool, rng: np.random.Generator, ahead: int = 0) -> list[Estimate]:
    """The length-controlled rates of a panel (at one length 44 % each, the `ahead` models drawn 50 %), with the means
    that they adjust."""
    while True:
        common, own = rng.standard_normal((n, 1)), rng.standard_normal((n, models))
        delta = np.linspace(-600, 300, models) + 300 * common + 350 * own
        slope = 1.5 + 0.5 * rng.standard_normal(models)
        theta = np.full(models, EQUAL)
        theta[STEPS[:ahead]] = BETTER
        chance = expit(theta + DIFFICULTY * rng.standard_normal((n, 1)) + slope * length_feature(delta))
        p = rng.beta(0.3 * chance, 0.3 * (1 - chance)) if soft else rng.binomial(1, chance).astype(float)
        if ((p.mean(axis=0) > 0) & (p.mean(axis=0) < 1)).all():
            fitted = zip(fit_joint(p, delta).estimates, p.T, strict=True)
            return [replace(e, plain=mean_estimate(verdicts, np.arange(n))) for e, verdicts in fitted]


def controlled_page(replicates: int, seed: int) -> str:
    """How often any two of twenty models of one length-controlled rate are parted; and of ten that are better by six
    points and ten others, how many pairs are, and how many intervals of their differences hold the truth."""
    page = "| verdicts | models | instructions | panels | family-wise error | better by 6 points: pairs parted "
    page += "| pairs wrongly parted in any | their differences' coverage |\n|---|---|---|---|---|---|---|---|\n"
    for soft in (False, True):
        for n in (60, 200):
            wrong = []
            for k in range(replicates):
                panel = controlled(20, n, soft, np.random.default_rng([seed, k, n, soft]))
                wrong.append((tiers(panel, replicates=1000, seed=k).tier > 1).any())
            unlike = np.array([_unlike(n, soft, seed, k) for k in range(replicates)]).mean(axis=0)
            figures = " | ".join(f"{x:.3f}" for x in (np.mean(wrong), *unlike))
            page += f"| {'soft' if soft else 'hard'} | 20 | {n} | {replicates} | {figures} |\n"
            print(page.splitlines()[-1], flush=True)
    return page


def _unlike(n: int, soft: bool, seed: int, k: int) -> tuple[float, bool, float]:
    """(share of the unequal pairs parted, whether a pair is parted that is equal or the other way round, share of ten
    unequal pairs whose interval holds the truth)."""
    panel = controlled(20, n, soft, np.random.default_rng([seed, k, n, soft, 1]), ahead=10)
    ahead, behind = STEPS[:10], STEPS[10:]
    shown = tiers(panel, replicates=1000, seed=k).p_values <= 0.05
    value = np.array([e.value for e in panel])
    wrong = shown[np.ix_(ahead, ahead)].any() or shown[np.ix_(behind, behind)].any()
    wrong = wrong or (shown[np.ix_(ahead, behind)] & (value[ahead][:, None] < value[behind])).any()
    truth = gap_at_one_length()
    limits = np.array([(panel[a] - panel[b]).interval() for a, b in zip(ahead, behind, strict=True)])
    held = (limits[:, 0] <= truth) & (limits[:, 1] >= truth)
    return float(shown[np.ix_(ahead, behind)].mean()), bool(wrong), float(held.mean())


def speed_page(rng: np.random.Generator) -> str:
    """Median of five runs on soft verdicts."""
    page = "| models | instructions | seconds |\n|---|---|---|\n"
    for n_models in (33, 200):
        verdicts = rng.beta(0.3, 0.5 + np.arange(n_models)[:, None] / 20, (n_models, 805))
        estimates = [mean_estimate(x, np.arange(805)) for x in verdicts]
        seconds = []
        for _ in range(5):
            start = time.perf_counter()
            tiers(estimates)
            seconds.append(time.perf_counter() - start)
        page += f"| {n_models} | 805 | {np.median(seconds):.2f} |\n"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--replicates", type=int, default=2000, help="of each case (panels: a quarter; length-controlled: a tenth)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="write the tables as Markdown")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    error = np.sqrt(0.05 * 0.95 / options.replicates)
    page = f"Made by `benchmarks/tiers.py --replicates {options.replicates} --seed {options.seed}`; the Monte-Carlo"
    page += f" error of a share near .05 is {error:.4f}, in panels twice that.\n\n"
    page += "## Equals of two shapes\n\n" + shapes_page(options.replicates, rng)
    page += "\n## Panels with a shared difficulty\n\n" + panels_page(max(1, options.replicates // 4), rng)
    page += "\n## Length-controlled rates\n\n" + controlled_page(max(1, options.replicates // 10), options.seed)
    page += "\n## Seconds for all pairs\n\n" + speed_page(rng)
    if options.output:
        options.output.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
