"""Judges beside each other: is one better than another, and how many more labels would tell them apart?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from simfarm.agreement.trust import mean_over
from simfarm.data.identity import Codes
from simfarm.statistics.estimate import Array, Estimate

__all__ = ["Pair", "compared"]

_POWER = 0.8
_ALL = 8
"""Judges up to which every pair is compared; of more each is compared with the best alone."""


@dataclass(frozen=True)
class Pair:
    """Two judges on the same labelled comparisons: `difference` is how much more `a` agrees with people than `b`;
    `needed` comparisons would tell a difference of that size apart with a chance of 80 % (∞ for none)."""

    a: str
    b: str
    difference: Estimate
    n_comparisons: int
    needed: float


def compared(fits: Mapping[str, Array], cluster: Codes, level: float) -> list[Pair]:
    """Every pair of judges, the better one first, of how well each verdict fits people's (`fits`, NaN for none); with
    many judges each beside the best one."""
    mean = {name: float(np.nanmean(fit)) for name, fit in fits.items() if not np.isnan(fit).all()}
    ranked = sorted(mean, key=lambda name: -mean[name])
    heads = ranked if len(ranked) <= _ALL else ranked[:1]
    pairs = [(a, b) for i, a in enumerate(heads) for b in ranked[i + 1 :]]
    return [pair for a, b in pairs if (pair := _pair(a, b, fits[a] - fits[b], cluster, level)) is not None]


def _pair(a: str, b: str, gap: Array, cluster: Codes, level: float) -> Pair | None:
    n = int((~np.isnan(gap)).sum())
    difference = mean_over(gap, cluster, (-1.0, 1.0))
    if difference.n_clusters < 2:
        return None
    needed = math.inf
    if abs(difference.value) > 1e-9:
        quantiles = float(ndtri(0.5 + level / 2) + ndtri(_POWER))
        needed = math.ceil(n * (quantiles * difference.standard_error / difference.value) ** 2)
    return Pair(a, b, difference, n, needed)
