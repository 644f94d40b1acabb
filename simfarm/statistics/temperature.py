"""The one number that would set a judge's preferences right, if being too sure of itself is all that is wrong with it.

Of temperature T a preference p becomes σ(logit(p)/T) (Guo et al. 2017, On calibration of modern neural networks): it
is drawn towards ½ above 1, away from it below. T is fitted to what people said by maximum likelihood. Its interval is
made of the T whose score the clusters do not refute (`simfarm.statistics.weighted`), since the score of a sure judge
rests on the few labels that contradict it. It may reach infinity: preferences that may say nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, stdtrit

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes
from simfarm.statistics.weighted import tail_root
from simfarm.text.words import plural

__all__ = ["Temperature", "temperature"]

_SUREST = 1e-4
"""No preference is taken for surer: a log probability of 10⁻²⁰ that people contradict once would decide alone."""
_STEEPEST = 50.0
"""The largest 1/T; beyond, only the side of a preference counts."""
_FEWEST = 20
"""Clusters, as for reliability."""


@dataclass(frozen=True)
class Temperature:
    """T with the interval at `level`; infinite where preferences say no more than a coin, or the opposite."""

    value: float
    low: float
    high: float
    n_clusters: int
    level: float


def temperature(p: Array, y: Array, clusters: Codes, *, level: float = 0.95) -> Temperature:
    """The temperature of preferences `p` beside what people said, `y`, both in [0, 1] (n,); NaNs are left out.

    A cluster with k rows gives each the weight 1/k. Half a label that contradicts itself is added at the usual
    strength, without which a judge that is always right has the temperature 0. Raises `InputError` for fewer than 20
    clusters, and for hard verdicts (0, ½, 1), which have no strength that could be set right.
    """
    known = ~np.isnan(p) & ~np.isnan(y)
    ids, at = np.unique(clusters[known], return_inverse=True)
    if len(ids) < _FEWEST:
        raise InputError(
            f"{plural(len(ids), 'instruction has', 'instructions have')} both a verdict and a label; a temperature "
            f"needs at least {_FEWEST}: label more"
        )
    if np.isin(p[known], (0.0, 0.5, 1.0)).all():
        raise InputError(
            "the verdicts are 0, 1/2 or 1 and say nothing of how sure they are; a temperature needs soft ones"
        )
    z, said = logit(np.clip(p[known], _SUREST, 1 - _SUREST)), y[known]
    weight = 1 / np.bincount(at)[at]
    usual = float(np.median(np.abs(z)))
    ones = np.ones(len(ids))

    def scores(slope: float) -> Array:
        pulls: Array = np.bincount(at, weight * z * (said - expit(slope * z))).astype(np.float64)
        return pulls

    def score(slope: float) -> float:
        return float(scores(slope).sum()) + 0.5 * usual * (0.5 - float(expit(slope * usual)))

    target = float(stdtrit(len(ids) - 1, (1 - level) / 2))

    def not_flatter(slope: float) -> float:  # falls through 0 where labels that contradict could still have been drawn
        against = -float((weight * np.abs(z) * expit(slope * np.abs(z))).sum()) / len(ids)
        return target - tail_root(scores(slope), ones, against)

    def not_steeper(slope: float) -> float:
        for_it = float((weight * np.abs(z) * expit(-slope * np.abs(z))).sum()) / len(ids)
        return tail_root(-scores(slope), ones, -for_it) - target

    value, low, high = (1 / x if x > 0 else np.inf for x in map(_zero, (score, not_steeper, not_flatter)))
    return Temperature(value, low, high, len(ids), level)


def _zero(falling: Callable[[float], float]) -> float:
    """Where a falling function of the slope 1/T is zero, within ±`_STEEPEST`."""
    if falling(_STEEPEST) >= 0:
        return _STEEPEST
    if falling(-_STEEPEST) <= 0:
        return -_STEEPEST
    return float(brentq(falling, -_STEEPEST, _STEEPEST, xtol=1e-10))
