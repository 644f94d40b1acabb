"""Do two crowds lean the same way on the same items? What noise in single labels cannot change.

An item's leaning is h = 2p − 1, p the share of all people there could be who prefer output_2. Nobody sees it: the mean
of four labels is it plus noise, and a correlation of means is lower the fewer labels there are. But the second moments
are known without that noise, from pairs of different labels: of two labels e, e′ ∈ {−1, 0, 1} of one item E[e·e′] = h².
So ρ = E[hs]/√(E[h²]·E[s²]) of people's leanings h and a crowd's s is what it would be with labels without end.

It is said only where both second moments are shown to be above 0. Those of noisy labels that are shown to be are too
large, by luck, and ρ too small. So a limit of ρ goes as far from 0 as that luck may have hidden.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.optimize import brentq
from scipy.special import log_ndtr, ndtri

from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes
from simfarm.statistics.ratios import ratio_estimate

__all__ = ["Leanings", "leanings"]


@dataclass(frozen=True)
class Leanings:
    """How two crowds lean: `correlation` is ρ, NaN where labels of either show no leaning beyond chance (`strength`:
    E[h²] and E[s²]).

    `shared_error` is the correlation r of what two labels of the second crowd have wrong, its labels' distance from the
    first one's leaning: 0 for more of the same people, 1 for one judge asked twice. n such labels are worth
    n/(1 + (n − 1)·r) people.
    """

    correlation: Estimate
    strength: tuple[Estimate, Estimate]
    shared_error: Estimate

    def limits(self, level: float = 0.95) -> tuple[float, float]:
        """The limits of ρ, within −1 and 1; NaN where either strength is not shown to be above 0 at `level`."""
        low, high = self.correlation.interval(level)
        by = _flattered(self.strength[0], level) * _flattered(self.strength[1], level)
        if np.isnan(by):
            return math.nan, math.nan
        return max(low * by if low < 0 else low, -1.0), min(high * by if high > 0 else high, 1.0)


def leanings(one: tuple[Codes, Array], other: tuple[Codes, Array], cluster: Codes) -> Leanings:
    """The leanings of two crowds, each given as (item, vote) of its labels; votes count as the sides that they take.

    E[hs] is over items that both labelled, E[h²] over those with two labels of the first or more, E[s²] of the other.
    """
    n = len(cluster)
    (mean_1, square_1, _), (mean_2, square_2, size_2) = (_moments(item, vote, n) for item, vote in (one, other))
    product = mean_1 * mean_2
    ones = np.ones(n)
    strength = [ratio_estimate(square, ones, cluster, (-1.0, 1.0)) for square in (square_1, square_2)]
    b, c = (x.value for x in strength)
    known = ~np.isnan(product)
    found = _correlation(product, square_1, square_2, cluster) if b > 0 and c > 0 else _nothing(cluster)
    # (s − h)² beside the distance of single labels, (e − h)²
    common, off = square_2 - 2 * product + square_1, size_2 - 2 * product + square_1
    known &= ~np.isnan(common)
    whole = float(off[known].mean()) if known.any() else 0.0
    far = max(1.0, 4 / whole) if whole > 0 else 1.0
    shared = ratio_estimate(np.where(known, common, np.nan), off, cluster, (-far, far))
    return Leanings(found, (strength[0], strength[1]), shared)


def _flattered(strength: Estimate, level: float) -> float:
    """√(strength / its median-unbiased value, given that it was shown to be above 0): by what ρ was divided too much;
    infinite where there is no such value above 0, NaN where the strength was not shown to be.

    As a normal z of which only those above z₀ are seen: the mean μ is such that P(Z > z) = ½·P(Z > z₀) (as Zhong
    and Prentice 2008 take back what effects printed for being significant have too much).
    """
    low = strength.interval(level)[0]
    if not low > 0:
        return math.nan
    least = float(ndtri(0.5 + level / 2))
    z = least * strength.value / (strength.value - low)

    def beyond(mean: float) -> float:
        return float(log_ndtr(mean - z) - log_ndtr(mean - least)) + math.log(2)

    return math.sqrt(z / brentq(beyond, 0, z)) if beyond(0.0) < 0 else math.inf


def _moments(item: Codes, vote: Array, n: int) -> tuple[Array, Array, Array]:
    """(mean of the labels −1, 0, 1 of each item; mean product of two different ones; mean of their squares), NaN for
    items with too few."""
    cast = ~np.isnan(vote)
    e = np.sign(vote[cast] - 0.5)
    count, total, squares = (np.bincount(item[cast], w, minlength=n) for w in (np.ones(len(e)), e, e * e))
    mean, size = (np.divide(x, count, out=np.full(n, np.nan), where=count > 0) for x in (total, squares))
    pairs = count * (count - 1)
    return mean, np.divide(total**2 - squares, pairs, out=np.full(n, np.nan), where=pairs > 0), size


def _correlation(product: Array, square_1: Array, square_2: Array, cluster: Codes) -> Estimate:
    """ρ as a ratio of sums: an item's part in √(E[h²]E[s²]) is that value plus its influence on it."""
    used = ~np.isnan(product)
    n = int(used.sum())
    b, c = float(np.nanmean(square_1)), float(np.nanmean(square_2))
    size = np.sqrt(b * c)
    whole = np.ones(len(product))
    for square, value in ((square_1, b), (square_2, c)):
        has = ~np.isnan(square)
        whole[has] += (square[has] / value - 1) / 2 * n / has.sum()
        used |= has
    part = np.nan_to_num(product)
    return ratio_estimate(part[used], size * whole[used], cluster[used], (-1 / size, 1 / size))


def _nothing(cluster: Codes) -> Estimate:
    return Estimate(np.nan, np.zeros(0), cluster[:0], rate=False)
