"""How often the 95 % intervals of agreement, κ, α, a judge's habits and two boards' likeness hold the truth.

    python benchmarks/agreement.py --replicates 1000 --sizes 50 100 300 1000 --speed -o page.md

Planted (`PANELS`): people with error rates of their own see an item's better answer or err, ties among the verdicts,
votes that are missing, near-perfect agreement, items in clusters that share their difficulty. People are the same in
every replicate, items are drawn anew: so the truth is the same coefficient on 400,000 items. Judges (`JUDGES`) have
planted habits: longer, their own model's, too sure. Boards: rates of models are drawn anew in every replicate, judge's
and people's with a planted correlation, and verdicts share the instruction's difficulty.
A judge beside people and the longest output (`BESIDE`): the card's differences. `replaced`: the range of the share of
people that a judge may replace. `--speed` times every figure on 100,000 items that 20 people voted on, and the whole
card of ten judges and ten people as a command and in Python.
"""

from __future__ import annotations

import argparse
import itertools
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit, ndtr
from scipy.stats import kendalltau, spearmanr

from simfarm.agreement.habits import excess
from simfarm.agreement.trust import Definitions, People, fit, mean_over
from simfarm.statistics.agreement import agreement_with_mode, agreement_with_votes, leave_one_out, pairwise_agreement
from simfarm.statistics.alternative import Replacement, alternative_annotator_test
from simfarm.statistics.bias import judge_bias, vote_variance
from simfarm.statistics.boards import _error, board_agreement
from simfarm.statistics.chance import cohen_kappa, fleiss_kappa, gwet_ac1, krippendorff_alpha
from simfarm.statistics.estimate import Array, Estimate, mean_estimate
from simfarm.statistics.habits import longer_given, preference_for
from simfarm.statistics.own import self_preference
from simfarm.statistics.panels import effective_judges
from simfarm.statistics.reliability import reliability
from simfarm.statistics.temperature import temperature

POPULATION = 400_000


@dataclass(frozen=True)
class Panel:
    """People who vote: `raters` of them, right on an easy item with chances from `right` (the worst) to as much again
    of what is left to 1; `ties` the share of items that are truly even, `missing` of votes not cast, `lean` the share
    of items whose better answer is output_2, `together` items to a cluster of one difficulty."""

    name: str
    raters: int
    right: float
    ties: float = 0.1
    missing: float = 0.0
    lean: float = 0.5
    together: int = 1


PANELS = (
    Panel("two people", 2, 0.8),
    Panel("four people, no ties", 4, 0.7, ties=0.0),
    Panel("four people", 4, 0.75),
    Panel("twenty people", 20, 0.75),
    Panel("three, nearly perfect", 3, 0.985),
    Panel("two, nearly perfect", 2, 0.98, ties=0.0),
    Panel("five, votes missing", 5, 0.75, missing=0.5),
    Panel("three, one side common", 3, 0.93, ties=0.03, lean=0.9),
    Panel("three, clusters of 5", 3, 0.75, together=5),
)


@dataclass(frozen=True)
class Drawn:
    """Votes (n × raters), a judge's verdicts (n) and the cluster of each item."""

    votes: Array
    judged: Array
    cluster: np.ndarray

    @property
    def rows(self) -> tuple[np.ndarray, Array, np.ndarray]:
        n, raters = self.votes.shape
        return np.repeat(np.arange(n), raters), self.votes.ravel(), self.cluster


def draw(panel: Panel, n: int, rng: np.random.Generator) -> Drawn:
    """n items and what people and one judge, as good as the middle one of them, say of them."""
    clusters = -(-n // panel.together)
    cluster = np.repeat(np.arange(clusters), panel.together)[:n]
    hard = rng.beta(1, 3, clusters)[cluster] if panel.together > 1 else np.zeros(n)
    truth = np.where(rng.random(n) < panel.ties, 0.5, (rng.random(n) < panel.lean).astype(float))
    best = panel.right + (1 - panel.right) / 2
    right = np.append(np.linspace(panel.right, best, panel.raters), (panel.right + best) / 2)
    knows = rng.random((n, panel.raters + 1)) < right * (1 - hard[:, None])
    guess = np.where(rng.random(knows.shape) < panel.ties, 0.5, (rng.random(knows.shape) < panel.lean).astype(float))
    said = np.where(knows, truth[:, None], guess)
    votes, judged = said[:, :-1].copy(), said[:, -1]
    votes[rng.random(votes.shape) < panel.missing] = np.nan
    return Drawn(votes, judged, cluster)


FIGURES: dict[str, Callable[[Drawn], Estimate]] = {
    "pairwise agreement": lambda d: pairwise_agreement(*d.rows),
    "leave one out": lambda d: leave_one_out(*d.rows),
    "judge with mode": lambda d: agreement_with_mode(d.judged, *d.rows),
    "judge with votes": lambda d: agreement_with_votes(d.judged, *d.rows),
    "Cohen's kappa": lambda d: cohen_kappa(d.votes[:, 0], d.judged, d.cluster),
    "Fleiss' kappa": lambda d: fleiss_kappa(*d.rows),
    "alpha, nominal": lambda d: krippendorff_alpha(*d.rows),
    "alpha, ordinal": lambda d: krippendorff_alpha(*d.rows, "ordinal"),
    "AC1": lambda d: gwet_ac1(*d.rows),
}


@dataclass(frozen=True)
class Judge:
    """A judge beside three people: it adds `longer` to the longer output's chance and `own` to that of generator 0;
    its preferences have the temperature `sure`, on logits of the given `spread`."""

    name: str
    longer: float = 0.0
    own: float = 0.0
    sure: float = 1.0
    spread: float = 1.5


JUDGES = (
    Judge("fair", 0.0, 0.0, 1.0),
    Judge("prefers longer, its own", 0.15, 0.15, 1.0),
    Judge("far too sure", 0.0, 0.05, 3.0, 4.0),
    Judge("too unsure", 0.1, 0.0, 0.5, 1.0),
)


@dataclass(frozen=True)
class Judged:
    """What the judge said (hard and soft), people's mean, one person's vote, which output is longer, generators."""

    hard: Array
    soft: Array
    label: Array
    people: Array
    which: np.ndarray
    generators: tuple[np.ndarray, np.ndarray]

    @property
    def item(self) -> np.ndarray:
        return np.arange(len(self.hard))


def draw_judged(judge: Judge, n: int, rng: np.random.Generator) -> Judged:
    """n items; people prefer longer outputs too, and the truth is in the chances, not in a few items."""
    first = rng.integers(0, 5, n)
    second = (first + rng.integers(1, 5, n)) % 5
    which = rng.choice([-1, 0, 1], n, p=[0.45, 0.1, 0.45])
    z = judge.spread * rng.standard_normal(n) + 0.5 * which
    chance = expit(z / judge.sure)
    habit = judge.longer * which + judge.own * ((second == 0).astype(float) - (first == 0))
    # a habit is a share of the verdicts given over to it, so that no chance leaves [0, 1]
    given = rng.random(n) < np.abs(habit)
    hard = np.where(given, habit > 0, rng.random(n) < chance).astype(float)
    people = rng.binomial(3, chance) / 3
    label = (rng.random(n) < chance).astype(float)
    return Judged(hard, expit(z), label, people, which, (first, second))


def _temperature(d: Judged) -> tuple[float, float, float]:
    found = temperature(d.soft, d.label, d.item)
    return found.value, found.low, found.high


def _of(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, *estimate.interval()


HABITS: dict[str, Callable[[Judged], tuple[float, float, float]]] = {
    "P(longer)": lambda d: _of(preference_for(d.item, d.hard, d.which, d.item)),
    "P(longer) beyond people": lambda d: _of(longer_given(d.hard, d.item, d.label, d.which, d.item).bias),
    "self-preference": lambda d: _of(self_preference(d.hard, d.people, *d.generators, d.item, own=0)),
    "temperature": _temperature,
}


def calibration_error(judge: Judge, whole: Judged, d: Judged) -> tuple[float, float, float]:
    """(the whole population's in the bins that the sample made, the limits from the sample)."""
    found = reliability(d.soft, d.label, d.item)
    edges = [(one.high + after.low) / 2 for one, after in itertools.pairwise(found.bins)]
    gap = expit(logit(whole.soft) / judge.sure) - whole.soft
    truth = np.abs(np.bincount(np.searchsorted(edges, whole.soft), gap)).sum() / len(gap)
    return float(truth), *found.interval


def table(figures: dict[str, Callable[[Drawn], Estimate]], sizes: list[int], replicates: int, seed: int) -> str:
    """For each panel and size: how often each figure's interval holds the truth, and how often it is all below and all
    above."""
    page = heading("panel", "figure", sizes)
    for k, panel in enumerate(PANELS):
        rng = np.random.default_rng([seed, k])
        whole = draw(panel, POPULATION, rng)
        truth = {name: figure(whole).value for name, figure in figures.items()}
        tallies = {(name, n): Tally() for name in figures for n in sizes}
        for n in sizes:
            for _ in range(replicates):
                drawn = draw(panel, n, rng)
                for name, figure in figures.items():
                    tallies[name, n].add(*figure(drawn).interval(), truth[name])
        part = [line(panel.name, name, truth[name], [tallies[name, n] for n in sizes]) for name in figures]
        print("".join(part), flush=True)
        page += "".join(part)
    return page


def habits_table(sizes: list[int], replicates: int, seed: int) -> str:
    """The same of judges' habits."""
    page = heading("judge", "figure", sizes)
    for k, judge in enumerate(JUDGES):
        rng = np.random.default_rng([seed, 100 + k])
        whole = draw_judged(judge, POPULATION, rng)
        truth = {name: HABITS[name](whole)[0] for name in list(HABITS)[:3]}
        truth |= {"temperature": judge.sure, "calibration error": np.nan}
        tallies = {(name, n): Tally() for name in truth for n in sizes}
        some = draw_judged(judge, POPULATION // 10, rng)
        for n in sizes:
            for _ in range(replicates):
                drawn = draw_judged(judge, n, rng)
                true, *limits = calibration_error(judge, some, drawn)
                tallies["calibration error", n].add(*limits, true)
                for name, figure in HABITS.items():
                    tallies[name, n].add(*figure(drawn)[1:], truth[name])
        part = [line(judge.name, name, truth[name], [tallies[name, n] for n in sizes]) for name in truth]
        print("".join(part), flush=True)
        page += "".join(part)
    return page


def boards_table(replicates: int, seed: int) -> str:
    """The same of two boards, by the number of models and of instructions."""
    sizes = [50, 300]
    page = heading("models, correlation", "figure", sizes)
    rng = np.random.default_rng([seed, 200])
    for m, rho in itertools.product((4, 8, 20), (0.3, 0.95)):
        tallies = {(name, n): Tally() for name in ("spearman", "kendall", "mean_absolute_error") for n in sizes}
        for n in sizes:
            for _ in range(replicates):
                rates, wins = _boards(m, rho, 0.2, n, rng)
                board = [mean_estimate(column, np.arange(n)) for column in wins]
                found = board_agreement(board[:m], board[m:])
                truth = spearmanr(*rates).statistic, kendalltau(*rates).statistic, np.abs(rates[0] - rates[1]).mean()
                for name, true in zip(("spearman", "kendall", "mean_absolute_error"), truth, strict=True):
                    figure = getattr(found, name)
                    tallies[name, n].add(figure.low, figure.high, float(true))
        part = [line(f"{m}, {rho}", name, np.nan, [tallies[name, n] for n in sizes])
                for name in ("spearman", "kendall", "mean_absolute_error")]  # fmt: skip
        print("".join(part), flush=True)
        page += "".join(part)
    return page


def errors_table(replicates: int, seed: int) -> str:
    """The same of the boards' mean absolute error alone, which costs far less than the correlations; boards that hardly
    differ are among them (correlation .99, no shift)."""
    sizes = [50, 300]
    page = heading("models, correlation, shift", "figure", sizes)
    cells = [(m, rho, 0.2) for m in (4, 8, 20) for rho in (0.3, 0.95)]
    cells += [(m, 0.99, 0.0) for m in (4, 8, 20)] + [(m, 0.95, 1.0) for m in (3, 8)]
    for m, rho, shift in cells:
        rng, tallies, widths = np.random.default_rng([seed, 500, m, int(100 * rho)]), [], []
        for n in sizes:
            tally, width = Tally(), 0.0
            for _ in range(replicates):
                rates, wins = _boards(m, rho, shift, n, rng)
                seen = wins.mean(axis=1)
                root = (wins - seen[:, None]) / np.sqrt(n * (n - 1))
                found = _error(seen.reshape(2, m), root, 0.025, np.random.default_rng(0))
                tally.add(found.low, found.high, float(np.abs(rates[0] - rates[1]).mean()))
                width += (found.high - found.low) / replicates
            tallies.append(tally)
            widths.append(f"{width:.3f}")
        page += line(f"{m}, {rho}, {shift}", f"error, widths {', '.join(widths)}", np.nan, tallies)
        print(page.splitlines()[-1], flush=True)
    return page


def _boards(m: int, rho: float, shift: float, n: int, rng: np.random.Generator) -> tuple[Array, Array]:
    """(rates of m models on two boards, 2 × m; their verdicts on n instructions, 2m × n)."""
    z = rng.standard_normal((2, m))
    rates = expit(0.8 * np.stack([z[0], rho * z[0] + np.sqrt(1 - rho**2) * z[1]]) - [[shift], [0]])
    luck = ndtr(0.5 * rng.standard_normal((n, 1)) + np.sqrt(0.75) * rng.standard_normal((n, 2 * m)))
    return rates, (luck < rates.ravel()).astype(float).T


@dataclass(frozen=True)
class Beside:
    """A judge and three people on items where one output is `longer`, in that direction better with chance `tells`:
    people are right with chance `people`, the judge with `judge` but for a share `longest` of verdicts given over to
    the longer output; `together` items to a cluster, in which those are all alike; ties a share of either's."""

    name: str
    people: float
    judge: float
    longest: float = 0.0
    tells: float = 0.6
    ties: float = 0.05
    together: int = 1


BESIDE = (
    Beside("as good as people", 0.8, 0.8),
    Beside("often the longer", 0.8, 0.8, longest=0.4),
    Beside("nearly the longest", 0.8, 0.8, longest=0.9),
    Beside("all nearly perfect", 0.98, 0.98, ties=0.0, tells=0.95),
    Beside("clusters of 4", 0.8, 0.75, longest=0.2, together=4),
)


def draw_beside(kind: Beside, n: int, rng: np.random.Generator) -> dict[str, Estimate]:
    """The card's figures of n drawn items that set a judge beside people, or beside `longest`."""
    clusters = -(-n // kind.together)
    cluster = np.repeat(np.arange(clusters), kind.together)[:n]
    long = rng.integers(0, 2, n).astype(float)
    truth = np.where(rng.random(n) < kind.tells, long, 1 - long)
    right = np.append(np.full(3, kind.people), kind.judge)
    said = np.where(rng.random((n, 4)) < right, truth[:, None], 1 - truth[:, None])
    given = (rng.random(clusters) < kind.longest)[cluster]
    said[:, 3] = np.where(given, long, said[:, 3])
    said[rng.random((n, 4)) < kind.ties] = 0.5
    people = People(np.repeat(np.arange(n), 3), said[:, :3].ravel(), np.tile(np.arange(3), n), cluster, Definitions())
    judged, which = said[:, 3], np.where(long > 0, 1, -1)
    fitting = fit(judged, people.credit)
    of_others, own = people.left_out
    return {
        "agreement": mean_over(fitting, cluster),
        "above longest": mean_over(fitting - fit(long, people.credit), cluster, (-1.0, 1.0)),
        "against the ceiling": mean_over(fit(judged, of_others) - own, cluster, (-1.0, 1.0)),
        "longer, more than people": excess(judged, people, which),
    }


def beside_table(sizes: list[int], replicates: int, seed: int) -> str:
    """The same of a card's differences: above `longest`, against the ceiling, longer than people."""
    page = heading("judge", "figure", sizes)
    for k, kind in enumerate(BESIDE):
        rng = np.random.default_rng([seed, 300 + k])
        truth = {name: e.value for name, e in draw_beside(kind, POPULATION, rng).items()}
        tallies = {(name, n): Tally() for name in truth for n in sizes}
        for n in sizes:
            for _ in range(replicates):
                for name, e in draw_beside(kind, n, rng).items():
                    tallies[name, n].add(*e.interval(), truth[name])
        part = [line(kind.name, name, truth[name], [tallies[name, n] for n in sizes]) for name in truth]
        print("".join(part), flush=True)
        page += "".join(part)
    return page


def replaced_table(replicates: int, seed: int) -> str:
    """How often the range of ω holds the ω of as many other items, and how wide it is, by how good the judge is."""
    sizes = [50, 100, 300, 1000]
    page = "| the judge is right in | " + " | ".join(f"{n} items" for n in sizes) + " |\n|---|" + "---:|" * 4 + "\n"
    for right in (0.6, 0.7, 0.75, 0.85):
        rng, cells = np.random.default_rng([seed, 400 + int(100 * right)]), []
        for n in sizes:
            held, widths = 0, 0.0
            item, rater = np.repeat(np.arange(n), 8), np.tile(np.arange(8), n)
            found: list[Replacement] = []
            for _ in range(replicates + 1):
                truth = rng.integers(0, 2, (n, 1)).astype(float)
                said = np.where(rng.random((n, 9)) < np.append(np.linspace(0.65, 0.85, 8), right), truth, 1 - truth)
                said[:, :8][rng.random((n, 8)) < 0.3] = np.nan
                found.append(alternative_annotator_test(said[:, 8], item, said[:, :8].ravel(), rater, np.arange(n)))
            for one, after in itertools.pairwise(found):
                low, high = one.winning_range
                held += low <= after.winning_rate <= high
                widths += high - low
            cells.append(f"{held / replicates:.3f} ({widths / replicates:.2f})")
        page += f"| {right} | {' | '.join(cells)} |\n"
        print(page.splitlines()[-1], flush=True)
    return page


@dataclass
class Tally:
    """Intervals so far: all below the truth, all above it, and how many."""

    below: int = 0
    above: int = 0
    n: int = 0

    def add(self, low: float, high: float, truth: float) -> None:
        if not np.isnan(low):
            self.n += 1
            self.below += high < truth - 1e-12
            self.above += low > truth + 1e-12

    def __str__(self) -> str:
        n = max(1, self.n)
        return f"{1 - (self.below + self.above) / n:.3f} ({self.below / n:.3f}, {self.above / n:.3f})"


def heading(kind: str, figure: str, sizes: list[int]) -> str:
    return (
        f"| {kind} | {figure} | truth | "
        + " | ".join(f"{n} items" for n in sizes)
        + " |\n|---|---|---:|"
        + ("---:|" * len(sizes) + "\n")
    )


def line(kind: str, figure: str, truth: float, tallies: list[Tally]) -> str:
    shown = "varies" if np.isnan(truth) else f"{truth:.3f}"
    return f"| {kind} | {figure} | {shown} | " + " | ".join(map(str, tallies)) + " |\n"


def speed(seed: int) -> str:
    """CPU seconds of each figure, interval included, on 100,000 items × 20 people, and the most memory held."""
    rng = np.random.default_rng(seed)
    panel = Panel("large", 20, 0.75, missing=0.2)
    drawn, judged = draw(panel, 100_000, rng), draw_judged(JUDGES[1], 100_000, rng)
    item, vote, cluster = drawn.rows
    rater = np.tile(np.arange(20), 100_000)
    todo: dict[str, Callable[[], object]] = {
        name: lambda figure=figure: figure(drawn).interval() for name, figure in FIGURES.items()
    }
    todo |= {name: lambda figure=figure: figure(judged) for name, figure in HABITS.items()}
    todo["bias"] = lambda: judge_bias(cluster, drawn.judged, item, vote, cluster).interval()
    todo["variance"] = lambda: vote_variance(item, vote, cluster).interval()
    todo["alternative annotator"] = lambda: alternative_annotator_test(drawn.judged, item, vote, rater, cluster)
    todo["effective judges, 20"] = lambda: effective_judges(drawn.votes.T, cluster).interval()
    page, total = "| figure | CPU seconds |\n|---|---:|\n", 0.0
    for name, figure in todo.items():
        start = time.process_time()
        figure()
        total += time.process_time() - start
        page += f"| {name} | {time.process_time() - start:.2f} |\n"
    held = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return page + f"| all | {total:.2f} |\n\n{held:.0f} MB\n"


AS_FRAMES = """
import sys, pandas as pd, simfarm
simfarm.report_card(pd.read_parquet(sys.argv[1]), human=pd.read_parquet(sys.argv[2])).to_json()
"""


def whole_card(seed: int) -> str:
    """Processor seconds and most memory of the whole card, ten judges and ten people on 100,000 comparisons: by the
    command through files, and in Python from tables."""
    rng, n = np.random.default_rng(seed), 100_000
    truth = rng.integers(0, 2, n)
    base = pd.DataFrame(
        {
            "instruction_id": np.arange(n),
            "generator_1": rng.choice(["a", "b", "c", "d", "e"], n),
            "generator_2": "base",
            "length_1": rng.integers(50, 3000, n),
            "length_2": rng.integers(50, 3000, n),
        }
    )
    page = "| whole card, 100,000 × (10 + 10) | processor seconds | MB |\n|---|---:|---:|\n"
    with tempfile.TemporaryDirectory() as folder:
        files = []
        for kind, right in (("judge", 0.75), ("person", 0.8)):
            said = [np.where(rng.random(n) < right, truth, 1 - truth) for _ in range(10)]
            rows = [base.assign(annotator=f"{kind}{k}", preference=1.0 + p) for k, p in enumerate(said)]
            files.append(str(Path(folder, f"{kind}.parquet")))
            pd.concat(rows, ignore_index=True).to_parquet(files[-1])
        command = [sys.executable, "-m", "simfarm", "agreement", files[0], "--human", files[1]]
        for name, argv in (("the command", command), ("tables", [sys.executable, "-c", AS_FRAMES, *files])):
            child = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
            _, status, used = os.wait4(child.pid, 0)
            if status:
                raise SystemExit(f"{name}: exit status {status}")
            page += f"| {name} | {used.ru_utime + used.ru_stime:.1f} | {used.ru_maxrss / 1024:.0f} |\n"
    return page


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=1000, help="of each cell (default 1000; 0: none)")
    parser.add_argument("--sizes", type=int, nargs="+", default=[50, 100, 300, 1000])
    parser.add_argument("--parts", nargs="+", default=["panels", "judges", "boards", "errors", "beside", "replaced"])
    parser.add_argument("--speed", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("-o", "--output", type=Path, help="write the tables as Markdown")
    options = parser.parse_args()
    page = (
        f"Made by `benchmarks/agreement.py --replicates {options.replicates} --seed {options.seed}`: coverage of 95 %"
    )
    page += " intervals (how often all below the truth, all above it); the Monte-Carlo error of a coverage near .95 is"
    page += f" {np.sqrt(0.95 * 0.05 / max(1, options.replicates)):.4f}.\n"
    start = time.time()
    if options.speed:
        page += "\n## 100,000 items, 20 people\n\n" + speed(options.seed) + "\n" + whole_card(options.seed)
    parts = {
        "panels": ("People and a judge", lambda: table(FIGURES, options.sizes, options.replicates, options.seed)),
        "judges": ("Judges with planted habits", lambda: habits_table(options.sizes, options.replicates, options.seed)),
        "boards": (
            "Two boards (half as many replicates)",
            lambda: boards_table(max(1, options.replicates // 2), options.seed),
        ),
    }
    parts |= {
        "errors": ("Two boards' mean absolute error", lambda: errors_table(options.replicates, options.seed)),
        "beside": (
            "A judge beside people and the longest output",
            lambda: beside_table(options.sizes, options.replicates, options.seed),
        ),
        "replaced": (
            "People whom a judge may replace: the range of ω and its width (a fifth of the replicates)",
            lambda: replaced_table(max(1, options.replicates // 5), options.seed),
        ),
    }
    for name, (title, make) in parts.items():
        if name in options.parts and options.replicates:
            page += f"\n## {title}\n\n{make()}"
            print(f"{name}: {time.time() - start:.0f} s", flush=True)
    print(page)
    if options.output:
        options.output.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
