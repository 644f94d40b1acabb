"""May a judge stand in for a person? The alternative-annotator test (Calderon, Reichart and Dror 2025, ACL 2025.782).

Each person in turn is left out, and the judge is held against that person: who agrees better with the others' votes on
the same items? A judge wins over a person where it is not worse by `epsilon` or more, which is what its cheapness is
worth (.1 beside crowdworkers, .15 skilled annotators, .2 experts), by a one-sided t test whose false discoveries over
all people are controlled (Benjamini and Yekutieli 2001: people judge the same items, so that their tests depend on one
another). It passes where it wins over half of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr

from simfarm.errors import InputError
from simfarm.statistics.agreement import side_counts, sides
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes

__all__ = ["MIN_ITEMS", "MIN_PEOPLE", "Replacement", "alternative_annotator_test", "discoveries"]

_NEARNESS = 1 - np.abs(np.subtract.outer([0.0, 0.5, 1.0], [0.0, 0.5, 1.0]))
"""How near two sides are: a tie is half right beside a side, or a judge that ties in doubt would lose to a coin."""

MIN_PEOPLE = 3
"""Of two, either one is all of the other's company: the test would compare the judge with nobody's consensus."""
MIN_ITEMS = 30
"""Fewer make a t test of differences of 0 and ±1 doubtful; people with fewer are left out and counted."""


_SETS, _REDRAWN = 4000, 600
"""Sets of items that are drawn for the range of ω: of their leads, or item by item."""
_NO_ERROR = 1e-9
_TOLD = 50
"""Items of the middle person below which the range is all there is: drawn ones hold too few."""
_FEW = 2000
"""Clusters up to which they are drawn item by item: of more, leads and their errors say the same."""


@dataclass(frozen=True)
class Replacement:
    """What the test says of one judge; arrays have one entry for each person tested, `people` their codes.

    `judge` and `person` are the shares of items where the one is no worse than the other, `p` that of "the judge is
    worse by ε or more", `won` where that is refuted. `advantage` is ρ, the mean of `judge` over people: the chance that
    the judge is as good as a person drawn at random, which compares judges and needs no ε. `winning_range` is where ω
    would be for as many other items that the same people and the judge vote on.
    """

    people: Codes
    n_items: Codes
    judge: Array
    person: Array
    p: Array
    won: NDArray[np.bool_]
    advantage: Estimate
    epsilon: float
    n_left_out: int
    winning_range: tuple[float, float]

    @property
    def winning_rate(self) -> float:
        """ω, the share of people whom the judge may replace."""
        return float(self.won.mean())

    @property
    def passes(self) -> bool:
        """Whether the judge may replace half of the people or more."""
        return self.winning_rate >= 0.5


def alternative_annotator_test(
    judged: Array,
    item: Codes,
    vote: Array,
    rater: Codes,
    cluster: Codes,
    *,
    epsilon: float = 0.1,
    level: float = 0.95,
) -> Replacement:
    """The test for a judge's verdicts (`judged`, one for each item, NaN none) beside people's votes (n rows each of
    `item`, `vote`, `rater`).

    An item counts where the judge and two people or more have a verdict; of a person's several votes on it the first.
    The t test takes clusters for independent, which are items in the paper. Raises `InputError` where fewer than
    `MIN_PEOPLE` people have `MIN_ITEMS` items.
    """
    n = len(cluster)
    item, vote, rater = _first(item, vote, rater, judged)
    counts = side_counts(item, vote, n)
    shared = counts.sum(axis=1)[item] > 1
    item, side, rater = item[shared], sides(vote[shared]), rater[shared]
    others = counts[item]
    rows = np.arange(len(item))
    others[rows, side] -= 1
    near = others @ _NEARNESS
    with_person, with_judge = near[rows, side], near[rows, sides(judged)[item]]
    everyone, number = np.unique(rater, return_inverse=True)
    tested = np.flatnonzero(np.bincount(number, minlength=len(everyone)) >= MIN_ITEMS)
    if len(tested) < MIN_PEOPLE:
        raise InputError(
            f"the alternative-annotator test needs {MIN_PEOPLE} people with {MIN_ITEMS} votes each on items that the "
            f"judge and another person judged too; there {'is' if len(tested) == 1 else 'are'} {len(tested) or 'none'}"
        )
    judge_wins, person_wins = (with_judge >= with_person).astype(float), (with_person >= with_judge).astype(float)
    ids, at = np.unique(cluster[item], return_inverse=True)
    judge, person, p = np.zeros((3, len(tested)))
    pull, leads = np.zeros(len(ids)), np.zeros((len(tested), len(ids)))
    for k, one in enumerate(tested):
        mine = number == one
        lead = person_wins[mine] - judge_wins[mine]
        judge[k], person[k] = judge_wins[mine].mean(), person_wins[mine].mean()
        p[k] = _no_worse(lead, at[mine], epsilon)
        pull += np.bincount(at[mine], judge_wins[mine] - judge[k], minlength=len(ids)) / mine.sum()
        leads[k] = np.bincount(at[mine], lead - lead.mean(), minlength=len(ids)) / mine.sum()
    return Replacement(
        people=everyone[tested],
        n_items=np.bincount(number)[tested],
        judge=judge,
        person=person,
        p=p,
        won=discoveries(p, 1 - level),
        advantage=Estimate(float(judge.mean()), pull * len(ids) / len(tested), ids),
        epsilon=epsilon,
        n_left_out=len(everyone) - len(tested),
        winning_range=_redrawn((number, at, person_wins - judge_wins), epsilon, 1 - level)
        if len(ids) <= _FEW
        else _range(person - judge - epsilon, leads, 1 - level),
    )


def _range(excess: Array, leads: Array, rate: float) -> tuple[float, float]:
    """Where ω would be for as many other items, but for the share `rate` of such sets.

    `excess` is by how much more than ε each person leads the judge (m,), `leads` what each cluster adds to that (m ×
    G). The leads of another set differ from these by the errors of both. ω counts tests, of which many are near their
    limit at once: so it swings where the leads hardly move.
    """
    clusters = np.count_nonzero(leads, axis=1).clip(min=2)
    noise = leads @ leads.T
    values, axes = np.linalg.eigh(2 * noise)
    moved = np.random.default_rng(0).standard_normal((_SETS, len(excess))) * np.sqrt(np.maximum(values, 0)) @ axes.T
    error = np.sqrt(np.diag(noise) * clusters / (clusters - 1))
    t = np.divide(excess + moved, error, out=np.where(excess + moved < 0, -np.inf, np.inf), where=error > 0)
    return _limits(stdtr(clusters - 1, t), rate)


def _redrawn(rows: tuple[Codes, Codes, Array], epsilon: float, rate: float) -> tuple[float, float]:
    """The same for few items, where a set's errors and who has `MIN_ITEMS` change with it: `rows` are the person, the
    cluster and the lead. Clusters are drawn twice, once for the truth behind these and once for the others."""
    number, at, lead = rows
    # who has half as many may have them in another set
    counts = np.bincount(number)
    if np.median(counts[counts >= MIN_ITEMS]) < _TOLD:
        return 0.0, 1.0
    counted = np.flatnonzero(counts >= MIN_ITEMS / 2)
    kept = np.isin(number, counted)
    m, n, rng = len(counted), int(at.max()) + 1, np.random.default_rng(0)
    cell = np.searchsorted(counted, number[kept]) * n + at[kept]
    sums, votes = (np.bincount(cell, x, minlength=m * n).reshape(m, n) for x in (lead[kept], np.ones(len(cell))))
    drawn = rng.multinomial(n, rng.multinomial(n, np.full(n, 1 / n), _REDRAWN) / n).astype(np.float64)
    count, total, clusters = drawn @ votes.T, drawn @ sums.T, drawn @ (votes > 0).T
    mean = total / np.maximum(count, 1)
    squares = drawn @ (sums**2).T - 2 * mean * (drawn @ (sums * votes).T) + mean**2 * (drawn @ (votes**2).T)
    error = np.sqrt(np.maximum(squares, 0) * clusters / np.maximum(clusters - 1, 1)) / np.maximum(count, 1)
    t = np.divide(mean - epsilon, error, out=np.where(mean < epsilon, -np.inf, np.inf), where=error > _NO_ERROR)
    p = np.where(count < MIN_ITEMS, np.nan, stdtr(np.maximum(clusters - 1, 1), t))
    return _limits(p[(count >= MIN_ITEMS).sum(axis=1) >= MIN_PEOPLE], rate)


def _limits(p: Array, rate: float) -> tuple[float, float]:
    """Where the shares of people won are, but for `rate` of the sets (rows of p, NaN for a person not tested)."""
    # step up (Benjamini and Yekutieli 2001), all sets at once
    place, m = np.arange(1, p.shape[1] + 1), (~np.isnan(p)).sum(axis=1)
    limits = place / m[:, None] * rate / np.cumsum(1 / place)[m - 1][:, None]
    below = np.sort(p, axis=1) <= limits
    won = np.where(below.any(axis=1), len(place) - np.argmax(below[:, ::-1], axis=1), 0) / m
    low, high = np.quantile(won, [rate / 2, 1 - rate / 2], method="inverted_cdf")
    return float(low), float(high)


def discoveries(p: Array, rate: float) -> NDArray[np.bool_]:
    """Which of the hypotheses with these p (m,) are refuted with a false-discovery rate of `rate` at most, however
    they depend on one another (Benjamini and Yekutieli 2001)."""
    m = len(p)
    order = np.argsort(p)
    limits = np.arange(1, m + 1) / m * rate / (1 / np.arange(1, m + 1)).sum()
    below = np.flatnonzero(p[order] <= limits)
    refuted = np.zeros(m, dtype=np.bool_)
    refuted[order[: below[-1] + 1 if len(below) else 0]] = True
    return refuted


def _first(item: Codes, vote: Array, rater: Codes, judged: Array) -> tuple[Codes, Array, Codes]:
    """The first vote of each person on each item that the judge judged."""
    cast = np.flatnonzero(~np.isnan(vote) & ~np.isnan(judged[item]))
    _, first = np.unique(rater[cast] * (1 + item.max(initial=0)) + item[cast], return_index=True)
    kept = cast[first]
    return item[kept], vote[kept], rater[kept]


def _no_worse(lead: Array, cluster: Codes, epsilon: float) -> float:
    """One-sided p of "a person's lead over the judge is `epsilon` or more", by t over clusters (sums, where uneven)."""
    _, at = np.unique(cluster, return_inverse=True)
    mean, clusters = float(lead.mean()), int(at.max()) + 1
    sums = np.bincount(at, lead - mean)
    error = float(np.sqrt((sums**2).sum() * clusters / max(1, clusters - 1))) / len(lead)
    if error == 0:
        return 0.0 if mean < epsilon else 1.0
    return float(stdtr(max(1, clusters - 1), (mean - epsilon) / error))
