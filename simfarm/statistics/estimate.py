"""One number with everything needed to say how sure it is, and to compare it with another of its kind.

An `Estimate` keeps the influence of every cluster, not just a standard error: the difference of two models judged on
the same instructions then follows by subtraction, and the part of the noise they share cancels by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

__all__ = ["Array", "Estimate", "mean_estimate"]

Array = NDArray[np.float64]


def _no_terms() -> Array:
    return np.zeros(0)


@dataclass(frozen=True)
class Estimate:
    """A value with the influence of each cluster on it; rates are fractions in [0, 1], tables print them times 100.

    `influence[g]` is how far the value is pulled by cluster `clusters[g]`: the value minus the truth is, to first
    order, the mean of `influence`. `shared` holds error terms that are no cluster's (uncertainty that comes from a
    prior, such as a length slope drawn at random for each model): each term adds its square to the variance, and the
    same position means the same source in every estimate of one fit, so that they subtract too.

    A `rate` gets its interval on the logit scale, so it never leaves [0, 1]; a difference gets a plain one.
    """

    value: float
    influence: Array
    clusters: NDArray[np.int64]
    rate: bool = True
    shared: Array = field(default_factory=_no_terms)

    @property
    def n_clusters(self) -> int:
        """How many independent units stand behind the value."""
        return len(self.influence)

    @property
    def standard_error(self) -> float:
        """Cluster-sandwich standard error; with one row per cluster it is sd(ddof 1)/√G. NaN below two clusters."""
        n = self.n_clusters
        if n < 2:
            return math.nan
        variance = float(self.influence @ self.influence) / (n * (n - 1)) + float(self.shared @ self.shared)
        return math.sqrt(variance)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided interval: t with G−1 degrees of freedom, on the logit scale for a rate.

        At zero variance (all wins, all losses, all ties) the sandwich knows nothing, so a rate falls back on Wilson's
        interval with n = G. (NaN, NaN) below two clusters.
        """
        n = self.n_clusters
        if n < 2:
            return math.nan, math.nan
        error = self.standard_error
        quantile = float(stdtrit(n - 1, 0.5 + level / 2))
        if not self.rate:
            return self.value - quantile * error, self.value + quantile * error
        if error < 1e-12 or not 0 < self.value < 1:
            return _wilson(self.value, n, level)
        centre = math.log(self.value) - math.log1p(-self.value)
        half = quantile * error / (self.value * (1 - self.value))
        return _sigmoid(centre - half), _sigmoid(centre + half)

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided t test of value = null, G−1 degrees of freedom; NaN below two clusters."""
        error = self.standard_error
        if math.isnan(error):
            return math.nan
        if error == 0:
            return 1.0 if self.value == null else 0.0
        return float(2 * stdtr(self.n_clusters - 1, -abs(self.value - null) / error))

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference: influences subtract where both have the cluster.

        A cluster only one side has still counts, with that side's influence alone, rescaled so that each side keeps
        its own variance. With no cluster in common it is the unpaired difference.
        """
        clusters = np.union1d(self.clusters, other.clusters)
        influence = np.zeros(len(clusters))
        for sign, side in ((1.0, self), (-1.0, other)):
            if side.n_clusters:
                scale = sign * len(clusters) / side.n_clusters
                influence[np.searchsorted(clusters, side.clusters)] += scale * side.influence
        shared = np.zeros(max(len(self.shared), len(other.shared)))
        shared[: len(self.shared)] += self.shared
        shared[: len(other.shared)] -= other.shared
        return Estimate(self.value - other.value, influence, clusters, rate=False, shared=shared)


def mean_estimate(values: Array, clusters: NDArray[np.int64]) -> Estimate:
    """Mean over clusters of the cluster means of `values` (shape n), NaNs left out.

    The cluster, not the row, is the unit: an instruction with ten sampled answers weighs as much as one with a single
    answer. With no value at all the estimate is NaN over no clusters.
    """
    known = ~np.isnan(values)
    ids, position = np.unique(clusters[known], return_inverse=True)
    if not len(ids):
        return Estimate(math.nan, np.zeros(0), ids)
    means = np.bincount(position, values[known]) / np.bincount(position)
    value = float(means.mean())
    return Estimate(value, means - value, ids)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _wilson(p: float, n: int, level: float) -> tuple[float, float]:
    """Wilson's (1927) score interval for a proportion."""
    z = float(ndtri(0.5 + level / 2))
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
