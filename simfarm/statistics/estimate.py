"""One number with everything needed to say how sure it is, and to compare it with another of its kind.

An `Estimate` keeps the influence of every cluster, not just a standard error: the difference of two models judged on
the same instructions then follows by subtraction, and the part of the noise they share cancels by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, stdtr, stdtrit

from simfarm.statistics import secants
from simfarm.statistics.bounded import Array, mean_intervals, mean_p_values, wilson
from simfarm.statistics.weighted import Weighted

__all__ = ["Array", "Estimate", "grouped", "intervals", "mean_behind", "mean_estimate"]


_SOME = 1e-9
"""More than what rounding leaves of terms that cancel."""


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
    fool. With `weights`, one for each cluster and 1 on average, it is a ratio of sums over the clusters instead, and
    its interval and p are those of `simfarm.statistics.weighted`. Any other `rate` gets its interval on the logit
    scale, so that it never leaves [0, 1], anything else a plain one, both by t with `freedom` degrees of freedom, by
    default G − 1; `shared_freedom` are those of the `shared` terms where they have their own. `plain` is the mean that
    such a value adjusts (the raw rate behind a length-controlled one): what a sample has not seen of it is not seen of
    the value either, so that the value's interval is never narrower than the mean's, moved there, and its p never
    smaller.

    `endless` names what may be infinite (a lead that no verdict limits) by how much of it the value holds; it subtracts
    as `shared` does. With any of it above 0 the value has no upper limit, with any below 0 no lower one.

    `at_zero` is how many times larger the error is where the value is 0: of a difference of two rates that have their
    intervals on the logit scale, see `simfarm.statistics.secants`. `growth` is by how much the error grows for each
    unit of the value, away from 0 (of logistic weights, see there). `ends` are where no value can be
    beyond, nor a limit of it: −1 and 1 for a difference of two rates.
    """

    value: float
    influence: Array
    clusters: NDArray[np.int64]
    rate: bool = True
    shared: Array = field(default_factory=_no_terms)
    bounds: tuple[float, float] | None = None
    weights: Array | None = None
    freedom: float = math.nan
    shared_freedom: float = math.nan
    plain: Estimate | None = None
    endless: Array = field(default_factory=_no_terms)
    at_zero: float = 1.0
    growth: float = 0.0
    ends: tuple[float, float] = (-math.inf, math.inf)

    @property
    def n_clusters(self) -> int:
        """How many independent units stand behind the value."""
        return len(self.influence)

    @property
    def is_mean(self) -> bool:
        """Whether the value is a plain mean over the clusters of bounded numbers."""
        return self.bounds is not None and self.weights is None

    @property
    def by_logit(self) -> bool:
        """Whether the value is a rate whose error is that of its logit."""
        return self.rate and self.bounds is None and 0 < self.value < 1

    @property
    def degrees_of_freedom(self) -> float:
        """`freedom`, or G − 1 where it is not given; with a `shared_freedom` Satterthwaite's of the two parts."""
        own = self._own_freedom
        if math.isnan(self.shared_freedom):
            return own
        n = self.n_clusters
        parts = np.array([self.influence @ self.influence / max(1, n * (n - 1)), self.shared @ self.shared])
        squares = float((parts**2 / (max(1.0, own), self.shared_freedom)).sum())
        return float(parts.sum()) ** 2 / squares if squares > 0 else own

    @property
    def _own_freedom(self) -> float:
        return self.n_clusters - 1.0 if math.isnan(self.freedom) else self.freedom

    @property
    def standard_error(self) -> float:
        """Cluster-sandwich standard error; with one row per cluster it is sd(ddof 1)/√G. NaN below two clusters."""
        return _error(self.influence, self.shared)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided interval: of a mean of bounded numbers as in `mean_intervals`, else by t, on the logit scale for a
        rate.

        At zero variance the sandwich of a rate that is no mean knows nothing: Wilson's interval with n = G stands in.
        A limit that there is not (`endless`) is infinite, of a rate 0 or 1. (NaN, NaN) below two clusters.
        """
        return self._not_within(None if self.plain is None else self.plain.interval(level), self._interval(level))

    @property
    def has_limits(self) -> tuple[bool, bool]:
        """Whether there is a lower limit, and an upper one."""
        return not (self.endless < -_SOME).any(), not (self.endless > _SOME).any()

    def _interval(self, level: float) -> tuple[float, float]:
        """The interval by what the value itself knows."""
        n = self.n_clusters
        if n < 2:
            return math.nan, math.nan
        if self.bounds is not None:
            return self._bounded_interval(level, self.bounds)
        low, high = self._by_t(level)
        least, most = (0.0, 1.0) if self.rate else (-math.inf, math.inf)
        has_low, has_high = self.has_limits
        return low if has_low else least, high if has_high else most

    def _by_t(self, level: float) -> tuple[float, float]:
        error = self.standard_error
        quantile = float(stdtrit(self.degrees_of_freedom, 0.5 + level / 2))
        if not self.rate and self.growth:
            return secants.grown_limits(self.value, error, self.growth, quantile)
        if not self.rate:
            return secants.limits(self.value, quantile * error, self.at_zero)
        if error < 1e-12 or not 0 < self.value < 1:
            return wilson(self.value, self.n_clusters, level)
        centre = logit(self.value)
        half = quantile * error / (self.value * (1 - self.value))
        return float(expit(centre - half)), float(expit(centre + half))

    def _bounded_interval(self, level: float, bounds: tuple[float, float]) -> tuple[float, float]:
        if bounds[0] == bounds[1]:
            return self.value, self.value
        if self.weights is not None:
            return Weighted(self.value, self.influence, self.weights, *bounds).interval(level)
        low, high = mean_intervals(self._values, level, *bounds)
        return float(low[0]), float(high[0])

    def _not_within(self, of_plain: tuple[float, float] | None, own: tuple[float, float]) -> tuple[float, float]:
        """The interval, which holds that of the mean it adjusts, moved to the value (by logits), and within `ends`."""
        if of_plain is None or self.plain is None or math.isnan(of_plain[0]):
            return max(own[0], self.ends[0]), min(own[1], self.ends[1])
        if self.rate and 0 < self.value < 1 and 0 < self.plain.value < 1:
            by = logit(self.value) - logit(self.plain.value)
            low, high = (x if x in (0.0, 1.0) else float(expit(logit(x) + by)) for x in of_plain)
        else:
            low, high = (x + self.value - self.plain.value for x in of_plain)
        return max(min(own[0], low), self.ends[0]), min(max(own[1], high), self.ends[1])

    def p_value(self, null: float = 0.0) -> float:
        """Two-sided p of value = null: below 1 − level where the interval of a mean leaves `null` out, else a t test,
        or the p of the mean it adjusts where that is larger; 1 on a side without a limit. NaN below two clusters."""
        if self.plain is not None and self.plain.n_clusters > 1:
            return max(
                replace(self, plain=None).p_value(null), self.plain.p_value(null - self.value + self.plain.value)
            )
        error = self.standard_error
        if math.isnan(error):
            return math.nan
        if self.bounds is not None and self.weights is not None:
            return Weighted(self.value, self.influence, self.weights, *self.bounds).p_value(null)
        if self.bounds is not None and self.bounds[0] < self.bounds[1]:
            return float(mean_p_values(self._values, null, *self.bounds)[0])
        limited = self.has_limits[0 if null < self.value else 1]
        if error == 0 or not limited:
            return 0.0 if limited and self.value != null else 1.0
        error *= secants.stretch_towards(null, self.value, self.at_zero)
        distance = secants.grown_distance(null, self.value, error, self.growth)
        return float(2 * stdtr(self.degrees_of_freedom, -distance))

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
        are 3. Of two means on the same clusters it is a mean of differences, and so is its `plain` of two values that
        adjust means, on the clusters that both means have.
        """
        clusters = np.union1d(self.clusters, other.clusters)
        parts = np.zeros((2, len(clusters)))
        known = np.zeros((2, len(clusters)), dtype=bool)
        for k, (sign, side) in enumerate(((1.0, self), (-1.0, other))):
            if side.n_clusters:
                at = np.searchsorted(clusters, side.clusters)
                n, whole = side.n_clusters, len(clusters)
                parts[k, at] = sign * math.sqrt(whole * (whole - 1) / (n * max(1, n - 1))) * side.influence
                known[k, at] = True
        influence = parts.sum(axis=0)
        bounds, freedom = None, min(self._own_freedom, other._own_freedom)
        if not known.all():
            freedom = _satterthwaite(influence, known, (self, other))
        elif self.is_mean and other.is_mean and self.bounds is not None and other.bounds is not None:
            bounds = (self.bounds[0] - other.bounds[1], self.bounds[1] - other.bounds[0])
        return Estimate(
            value=self.value - other.value,
            influence=influence,
            clusters=clusters,
            rate=False,
            shared=_less(self.shared, other.shared),
            bounds=bounds,
            freedom=freedom,
            shared_freedom=float(np.fmin(self.shared_freedom, other.shared_freedom)),
            plain=None if bounds is not None else _plain_difference(self, other),
            endless=_less(self.endless, other.endless),
            at_zero=_at_zero(self, other, parts),
            growth=_growth(self, other),
            ends=(-1.0, 1.0) if self.rate and other.rate else (-math.inf, math.inf),
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
    ids, position = grouped(clusters[known])
    if not len(ids):
        return Estimate(math.nan, np.zeros(0), ids)
    means = np.bincount(position, values[known]) / np.bincount(position)
    value = float(means.mean())
    return Estimate(value, means - value, ids, rate=bounds == (0.0, 1.0), bounds=bounds)


def grouped(clusters: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(the clusters that there are, in order; the place of each row's among them), as `np.unique` gives them: codes
    from 0 without great gaps are counted, not sorted, which is ten times faster where there are millions."""
    if not len(clusters) or clusters.min() < 0 or clusters.max() > 4 * len(clusters):
        ids, position = np.unique(clusters, return_inverse=True)
        return ids, position
    there = np.bincount(clusters) > 0
    return np.flatnonzero(there), (np.cumsum(there) - 1)[clusters]


def intervals(estimates: Sequence[Estimate], level: float = 0.95) -> list[tuple[float, float]]:
    """`Estimate.interval` of each; plain means within the same bounds are done at once, in a tenth of the time."""
    found: dict[int, tuple[float, float]] = {}
    means: dict[tuple[float, float], list[int]] = {}
    adjusted: list[int] = []
    for k, e in enumerate(estimates):
        if e.is_mean and e.bounds is not None and e.bounds[0] < e.bounds[1] and e.n_clusters > 1:
            means.setdefault(e.bounds, []).append(k)
        elif e.bounds is None and e.plain is not None:
            adjusted.append(k)
        else:
            found[k] = e.interval(level)
    if adjusted:
        of_plain = intervals([plain for k in adjusted if (plain := estimates[k].plain) is not None], level)
        for k, limits in zip(adjusted, of_plain, strict=True):
            found[k] = estimates[k]._not_within(limits, estimates[k]._interval(level))
    for bounds, alike in means.items():
        values = np.full((len(alike), max(estimates[k].n_clusters for k in alike)), np.nan)
        for row, k in zip(values, alike, strict=True):
            row[: estimates[k].n_clusters] = estimates[k]._values[0]
        ends = zip(*(end.tolist() for end in mean_intervals(values, level, *bounds)), strict=True)
        found |= dict(zip(alike, ends, strict=True))
    return [found[k] for k in range(len(estimates))]


def _satterthwaite(influence: Array, known: NDArray[np.bool_], sides: tuple[Estimate, Estimate]) -> float:
    """Degrees of freedom of a difference whose sides have clusters of their own: (Σ Vₖ)² / Σ Vₖ²/νₖ over the parts that
    the one, the other, and both have; a part has its share of the degrees of its side, the fewer of the two for both.
    """
    rates = [side._own_freedom / max(1, side.n_clusters) for side in sides]
    total, squares = 0.0, 0.0
    for part, rate in ((known[0] & ~known[1], rates[0]), (known[1] & ~known[0], rates[1]), (known.all(0), min(rates))):
        variance = float(influence[part] @ influence[part])
        if variance > 0:
            total += variance
            squares += variance**2 / (rate * part.sum())
    return total**2 / squares if squares > 0 else min(side._own_freedom for side in sides)


def _error(influence: Array, shared: Array) -> float:
    n = len(influence)
    return math.sqrt(float(influence @ influence) / (n * (n - 1)) + float(shared @ shared)) if n > 1 else math.nan


def _at_zero(one: Estimate, other: Estimate, parts: Array) -> float:
    """`Estimate.at_zero` of one − other, whose influences are the two `parts` (2 × G)."""
    if not (one.by_logit and other.by_logit):
        return 1.0
    error = _error(parts[0] + parts[1], _less(one.shared, other.shared))
    a, b = (e.value * (1 - e.value) for e in (one, other))
    on_logits = _error(parts[0] / a + parts[1] / b, _less(one.shared / a, other.shared / b))
    return float(secants.stretch(*np.array([one.value, other.value, error, on_logits])))


def _growth(one: Estimate, other: Estimate) -> float:
    """`Estimate.growth` of one − other: where it grows, each side moves by its share of the variance."""
    if not one.growth and not other.growth:
        return 0.0
    parts = np.array([one.standard_error, other.standard_error])
    return float(parts**3 @ (one.growth, -other.growth) / max(1e-300, float(parts @ parts) ** 1.5))


def mean_behind(estimate: Estimate) -> Estimate | None:
    """The plain mean that an estimate is or adjusts, if any."""
    return estimate if estimate.is_mean else estimate.plain


def _plain_difference(one: Estimate, other: Estimate) -> Estimate | None:
    a, b = mean_behind(one), mean_behind(other)
    if a is None or b is None:
        return None
    shared = np.intersect1d(a.clusters, b.clusters)
    return a.on(shared) - b.on(shared) if len(shared) > 1 else None


def _less(one: Array, other: Array) -> Array:
    """Terms of which the same position means the same source, subtracted; those that are not there are 0."""
    left = np.zeros(max(len(one), len(other)))
    left[: len(one)] += one
    left[: len(other)] -= other
    return left
