"""One number with everything needed to say how sure it is, and to compare it with another of its kind.

An `Estimate` keeps the influence of every cluster, not just a standard error: the difference of two models judged on
the same instructions then follows by subtraction, and the part of the noise they share cancels by itself.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from simfarm.statistics.bounded import Array, mean_intervals, mean_p_values

__all__ = ["Array", "Estimate", "mean_estimate"]


def _no_terms() -> Array:
    return np.zeros(0)


@dataclass(frozen=True)
class Estimate:
    """A value with the influence of each cluster on it; rates are fractions in [0, 1], tables print them times 100.

    `influence[g]` is how far the value is pulled by cluster `clusters[g]`: the value minus the truth is, to first
    order, the mean of `influence`. `shared` holds error terms that are no cluster's (uncertainty that comes from a
    prior, such as a length slope drawn at random for each model): each term adds its square to the variance, and the
    same position means the same source in every estimate of one fit, so that they subtract too.

    `bounds` says that the value is a plain mean over the clusters of numbers within them (value + influence are these
    numbers): its interval and p are those of `simfarm.statistics.bounded`, which small and lopsided samples do not
    fool. Any other `rate` gets its interval on the logit scale, so that it never leaves [0, 1], anything else a plain
    one, both by t with `freedom` degrees of freedom, by default G − 1.
    """

    value: float
    influence: Array
    clusters: NDArray[np.int64]
    rate: bool = True
    shared: Array = field(default_factory=_no_terms)
    bounds: tuple[float, float] | None = None
    freedom: float = math.nan

    @property
    def n_clusters(self) -> int:
        """How many independent units stand behind the value."""
        return len(self.influence)

    @property
    def degrees_of_freedom(self) -> float:
        """`freedom`, or G − 1 where it is not given."""
        return self.n_clusters - 1.0 if math.isnan(self.freedom) else self.freedom

    @property
    def standard_error(self) -> float:
        """Cluster-sandwich standard error; with one row per cluster it is sd(ddof 1)/√G. NaN below two clusters."""
        n = self.n_clusters
        if n < 2:
            return math.nan
        variance = float(self.influence @ self.influence) / (n * (n - 1)) + float(self.shared @ self.shared)
        return math.sqrt(variance)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided interval: of a mean of bounded numbers as in `mean_intervals`, else by t, on the logit scale for a
        rate.

        At zero variance the sandwich of a rate that is no mean knows nothing: Wilson's interval with n = G stands in.
        (NaN, NaN) below two clusters.
        """
        n = self.n_clusters
        if n < 2:
            return math.nan, math.nan
        if self.bounds is not None:
            if self.bounds[0] == self.bounds[1]:
                return self.value, self.value
            low, high = mean_intervals(self._values, level, *self.bounds)
            return float(low[0]), float(high[0])
        error = self.standard_error
        quantile = float(stdtrit(self.degrees_of_freedom, 0.5 + level / 2))
        if not self.rate:
            return self.value - quantile * error, self.value + quantile * error
        if error < 1e-12 or not 0 < self.value < 1:
            return _wilson(self.value, n, level)
        centre = math.log(self.value) - math.log1p(-self.value)
        half = quantile * error / (self.value * (1 - self.value))
        return _sigmoid(centre - half), _sigmoid(centre + half)

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided p of value = null: below 1 − level where the interval of a mean leaves `null` out, else a t test.
        NaN below two clusters."""
        error = self.standard_error
        if math.isnan(error):
            return math.nan
        if self.bounds is not None and self.bounds[0] < self.bounds[1]:
            return float(mean_p_values(self._values, null, *self.bounds)[0])
        if error == 0:
            return 1.0 if self.value == null else 0.0
        return float(2 * stdtr(self.degrees_of_freedom, -abs(self.value - null) / error))

    def on(self, clusters: NDArray[np.int64]) -> Estimate:
        """A mean over `clusters` alone, which must be among its own; only what is a mean over clusters has one."""
        values = (self.value + self.influence)[np.searchsorted(self.clusters, clusters)]
        return replace(self, value=float(values.mean()), influence=values - values.mean(), clusters=clusters)

    @property
    def _values(self) -> Array:
        """The numbers (1 × G) whose mean the value is, where there are bounds."""
        values: Array = (self.value + self.influence)[None, :]
        return values

    def __sub__(self, other: Estimate) -> Estimate:
        """The paired difference: influences subtract where both have the cluster.

        A cluster only one side has still counts, with that side's influence alone, rescaled so that each side keeps
        its own variance; with no cluster in common it is the unpaired difference. Its degrees of freedom are then
        Welch's and Satterthwaite's (1946), of the parts that one side, the other, and both have: 3 clusters beside 805
        are 3. Of two means on the same clusters it is a mean of differences.
        """
        clusters = np.union1d(self.clusters, other.clusters)
        influence = np.zeros(len(clusters))
        known = np.zeros((2, len(clusters)), dtype=bool)
        for k, (sign, side) in enumerate(((1.0, self), (-1.0, other))):
            if side.n_clusters:
                at = np.searchsorted(clusters, side.clusters)
                n, whole = side.n_clusters, len(clusters)
                influence[at] += sign * math.sqrt(whole * (whole - 1) / (n * max(1, n - 1))) * side.influence
                known[k, at] = True
        shared = np.zeros(max(len(self.shared), len(other.shared)))
        shared[: len(self.shared)] += self.shared
        shared[: len(other.shared)] -= other.shared
        bounds, freedom = None, min(self.degrees_of_freedom, other.degrees_of_freedom)
        if not known.all():
            freedom = _satterthwaite(influence, known, (self, other))
        elif self.bounds is not None and other.bounds is not None:
            bounds = (self.bounds[0] - other.bounds[1], self.bounds[1] - other.bounds[0])
        return Estimate(
            self.value - other.value, influence, clusters, rate=False, shared=shared, bounds=bounds, freedom=freedom
        )


def mean_estimate(
    values: Array, clusters: NDArray[np.int64], bounds: tuple[float, float] | None = (0.0, 1.0)
) -> Estimate:
    """Mean over clusters of the cluster means of `values` (shape n), NaNs left out.

    The cluster, not the row, is the unit: an instruction with ten sampled answers weighs as much as one with a single
    answer. `bounds` are those of the values, None where they have none: then the estimate is no rate and has a t
    interval. With no value at all it is NaN over no clusters.
    """
    known = ~np.isnan(values)
    ids, position = np.unique(clusters[known], return_inverse=True)
    if not len(ids):
        return Estimate(math.nan, np.zeros(0), ids)
    means = np.bincount(position, values[known]) / np.bincount(position)
    value = float(means.mean())
    return Estimate(value, means - value, ids, rate=bounds == (0.0, 1.0), bounds=bounds)


def _satterthwaite(influence: Array, known: NDArray[np.bool_], sides: tuple[Estimate, Estimate]) -> float:
    """Degrees of freedom of a difference whose sides have clusters of their own: (Σ Vₖ)² / Σ Vₖ²/νₖ over the parts that
    the one, the other, and both have; a part has its share of the degrees of its side, the fewer of the two for both.
    """
    rates = [side.degrees_of_freedom / max(1, side.n_clusters) for side in sides]
    total, squares = 0.0, 0.0
    for part, rate in ((known[0] & ~known[1], rates[0]), (known[1] & ~known[0], rates[1]), (known.all(0), min(rates))):
        variance = float(influence[part] @ influence[part])
        if variance > 0:
            total += variance
            squares += variance**2 / (rate * part.sum())
    return total**2 / squares if squares > 0 else min(side.degrees_of_freedom for side in sides)


def _sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x)) if x >= 0 else math.exp(x) / (1 + math.exp(x))


def _wilson(p: float, n: int, level: float) -> tuple[float, float]:
    """Wilson's (1927) score interval for a proportion."""
    z = float(ndtri(0.5 + level / 2))
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
