"""Which of many principles explain preferences: right more often than chance, and not what others explain already.

A principle's vote on a pair is 1 where it favours the preferred output, -1 where it favours the other, 0 where it has
no bearing, NaN where nobody knows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import expit, ndtr
from scipy.stats import binom

from simfarm.statistics.discoveries import false_discovery_rates
from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes
from simfarm.statistics.ridge import ridge_logistic

__all__ = ["Kept", "keep", "score"]

_DISCOVERY = 0.1
"""The share of false ones among the principles that pass the first test, on average, at most."""
_ADDS = 0.05
"""The chance that a principle which adds nothing is kept at a step, over all that are tried at it."""
_PRIOR = 0.25
"""Precision of the weights, N(0, 2²): a principle that is always right has a finite one."""


@dataclass(frozen=True)
class Kept:
    """The principles kept, as columns, the strongest first; their `weights` in logits; `q` of every candidate, adjusted
    for their number (NaN: it never applied); `against`: q of the opposite, that it is wrong more often than right."""

    order: tuple[int, ...]
    weights: Array
    q: Array
    against: Array


def keep(votes: Array, cluster: Codes, most: int) -> Kept:
    """At most `most` of the principles whose `votes` (pairs × principles) are given; pairs of one `cluster` count once.

    First each by itself: an exact sign test over clusters, one-sided, false discoveries held to a tenth (Benjamini and
    Hochberg). Of those that pass, the one whose score is furthest from zero is taken, and again, given those taken
    already (the efficient score of a logistic model without intercept, its spread from the clusters), while that is
    beyond chance for the best of all that are left. Two principles that vote alike are so kept once.
    """
    known = np.nan_to_num(votes)
    sums = _by_cluster(known, cluster)
    wins, losses = (sums > 0).sum(axis=0), (sums < 0).sum(axis=0)
    tested = wins + losses > 0
    q, against = (
        false_discovery_rates(np.where(tested, binom.sf(side - 1, wins + losses, 0.5), np.nan))
        for side in (wins, losses)
    )
    left = [k for k in range(votes.shape[1]) if q[k] <= _DISCOVERY]
    order: list[int] = []
    weights = np.zeros(0)
    while left and len(order) < most:
        scores = [score(known[:, order], weights, known[:, k], cluster) for k in left]
        best = int(np.argmax(scores))
        if float(ndtr(-scores[best])) > _ADDS / len(left):
            break
        order.append(left.pop(best))
        weights = ridge_logistic(known[:, order], np.ones(len(known)), _PRIOR)
    return Kept(tuple(order), weights, q, against)


def _by_cluster(values: Array, cluster: Codes) -> Array:
    _, place = np.unique(cluster, return_inverse=True)
    sums = np.zeros((int(place.max()) + 1, *values.shape[1:]))
    np.add.at(sums, place, values)
    return sums


def score(taken: Array, weights: Array, candidate: Array, cluster: Codes) -> float:
    """How many standard errors the efficient score of a candidate is above zero, given the principles taken (pairs ×
    principles) with their weights: what they could say in its place is taken out of it."""
    p = expit(taken @ weights)
    spread = p * (1 - p)
    information = taken.T @ (taken * spread[:, None]) + _PRIOR * np.eye(taken.shape[1])
    own = candidate - taken @ np.linalg.solve(information, taken.T @ (spread * candidate))
    parts = _by_cluster(own * (1 - p), cluster)
    size = float(np.sqrt(parts @ parts))
    # what is left of a twin is rounding
    return float(parts.sum()) / size if size > 1e-9 * len(parts) else 0.0
