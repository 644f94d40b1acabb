"""Can a classifier tell whose labels it sees? A two-sample test by classifiers (Lopez-Paz and Oquab 2017).

Each item gives two rows, its set of labels by people and its set by the simulated crowd, both with the item's features,
so that a classifier may learn that the one crowd follows length, or a judge, more than the other. It is fitted on other
items than it is tried on. The area under its curve is the chance that it finds a crowd's set more like a crowd's than a
set of people's: ½ where there is nothing to see.

The same test on a planted null stands beside it: of each cluster a coin says which set is called whose, so that there
is nothing to see, and everything else is as it was. That is what says how far from ½ luck gets.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.special import expit, stdtr, stdtrit
from scipy.stats import rankdata

from simfarm.errors import InputError
from simfarm.statistics.boosting import bin_edges, binned, boosted_scores
from simfarm.statistics.estimate import Array, Estimate, grouped
from simfarm.statistics.logistic import Codes

__all__ = ["MIN_CLUSTERS", "Discrimination", "discriminators", "label_rows"]

MIN_CLUSTERS = 30
"""Clusters below which nothing is told apart: a fold of them has six."""
_FOLDS = 5
_NULLS = 20
_PENALTY = 1.0
_STEPS = 25

Scores = Callable[[Array, Array, Array], Array]
"""Log odds (k × R) for new rows (k × F), from rows (n × F) and R labellings of them (n × R)."""


@dataclass(frozen=True)
class Discrimination:
    """One classifier's `area` under the curve, those of the planted `null` (20,), and the p of "no more than luck"."""

    area: Estimate
    null: Array

    @property
    def p(self) -> float:
        """One-sided: a crowd that is *less* easily told apart than chance has it is no news. The area is held against
        the null's as one more draw of them."""
        n = len(self.null)
        off = (self.area.value - self.null.mean()) / max(self.null.std(ddof=1) * np.sqrt(1 + 1 / n), 1e-12)
        return float(stdtr(n - 1.0, -off))

    def band(self, level: float = 0.95) -> tuple[float, float]:
        """Within which the area is but for luck, with this chance on either side together."""
        n = len(self.null)
        half = float(stdtrit(n - 1.0, 0.5 + level / 2)) * float(self.null.std(ddof=1)) * np.sqrt(1 + 1 / n)
        return float(self.null.mean() - half), float(self.null.mean() + half)


def label_rows(counts: Array, features: Array) -> Array:
    """What a classifier sees of each item's labels (`counts`, n × 3 sides) and of the item (`features`, n × K, each of
    output_2 minus output_1): how the labels lean, how they split, and how either goes with the features."""
    total = counts.sum(axis=1, keepdims=True)
    shares = counts / total
    lean = shares[:, 2:] - shares[:, :1]
    columns = [lean, np.abs(lean), shares[:, 1:2], lean * features, np.abs(lean) * np.abs(features)]
    return np.concatenate(columns, axis=1)


def discriminators(people: Array, crowd: Array, cluster: Codes) -> dict[str, Discrimination]:
    """The classifiers "logistic" and "boosted" on rows of people and of the crowd (n × F each, one of either an item,
    of its `cluster`).

    Raises `InputError` below `MIN_CLUSTERS` clusters.
    """
    ids, of_item = grouped(cluster)
    if len(ids) < MIN_CLUSTERS:
        raise InputError(f"classifiers need {MIN_CLUSTERS} instructions with labels of both, there are {len(ids)}")
    random = np.random.default_rng(0)
    fold = (random.permutation(len(ids)) % _FOLDS)[of_item]
    coins = np.column_stack([np.zeros(len(ids)), random.integers(0, 2, (len(ids), _NULLS))])[of_item]
    x = np.concatenate([people, crowd])
    y = np.concatenate([coins, 1 - coins])
    of_row = np.concatenate([of_item, of_item])
    folds = np.concatenate([fold, fold])
    return {
        name: _crossed(x, y, (of_row, ids), folds, scores)
        for name, scores in (("logistic", _logistic_scores), ("boosted", _boosted))
    }


def _crossed(x: Array, y: Array, clusters: tuple[Codes, Codes], folds: Codes, scores: Scores) -> Discrimination:
    """The area of scores from the other folds, the mean over folds weighed by their rows; the first column of `y` is
    who was whose, the others are the null's."""
    of_row, ids = clusters
    pulls, areas = np.zeros((y.shape[1], len(ids))), np.zeros(y.shape[1])
    for k in range(_FOLDS):
        new = folds == k
        found = scores(x[~new], y[~new], x[new])
        share = new.sum() / len(new)
        # labellings of one item's two rows are opposite: a fold has as many of either
        half = new.sum() / 2
        ranks = rankdata(found, axis=0)
        areas += share * ((ranks * y[new]).sum(axis=0) / half - (half + 1) / 2) / half
        for r, (score, labelling) in enumerate(zip(found.T, y[new].T, strict=True)):
            pulls[r] += share * np.bincount(of_row[new], _placements(score, labelling), minlength=len(ids))
    # folds learn from each other's rows: where there is nothing to learn areas vary more than placements know
    known = np.sqrt((pulls[1:] ** 2).sum(axis=1)).mean()
    wider = max(1.0, float(areas[1:].std(ddof=1)) / known) if known > 0 else 1.0
    return Discrimination(Estimate(float(areas[0]), wider * pulls[0] * len(ids), ids), areas[1:])


def _placements(score: Array, y: Array) -> Array:
    """Each row's pull on the area: how many of the other kind it is placed right beside, from the mean (DeLong and
    others 1988)."""
    pull = np.zeros(len(score))
    for own, other, sign in ((y == 1, y == 0, 1.0), (y == 0, y == 1, -1.0)):
        mine, theirs = score[own], np.sort(score[other])
        below = (np.searchsorted(theirs, mine, "left") + np.searchsorted(theirs, mine, "right")) / 2 / len(theirs)
        placed = below if sign > 0 else 1 - below
        pull[own] = (placed - placed.mean()) / len(mine)
    return pull


def _boosted(x: Array, y: Array, new: Array) -> Array:
    edges = bin_edges(x)
    return boosted_scores(binned(x, edges), y, binned(new, edges))


def _logistic_scores(x: Array, y: Array, new: Array) -> Array:
    """Logistic regression with a little ridge, which also ends what would be perfectly told apart."""
    spread = x.std(axis=0)
    used = spread > 1e-9
    centre, spread = x[:, used].mean(axis=0), spread[used]
    rows, rows_new = (np.column_stack([np.ones(len(z)), (z[:, used] - centre) / spread]) for z in (x, new))
    k, r = rows.shape[1], y.shape[1]
    squares = (rows[:, :, None] * rows[:, None, :]).reshape(len(rows), k * k)
    ridge = _PENALTY * np.diag(np.arange(k) > 0)
    beta = np.zeros((k, r))
    for _ in range(_STEPS):
        p = expit(rows @ beta)
        gradient = rows.T @ (y - p) - ridge @ beta
        information = ((p * (1 - p)).T @ squares).reshape(r, k, k) + ridge
        step = np.linalg.solve(information, gradient.T[:, :, None])[:, :, 0].T
        beta += step
        if np.abs(step).max() < 1e-8:
            break
    found: Array = rows_new @ beta
    return found
