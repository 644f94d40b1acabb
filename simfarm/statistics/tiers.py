"""Which models can be told apart at all, every pair at once, and how many instructions it would take.

A board of 50 models holds 1,225 comparisons: at 5 % each, sixty differences would be announced among equals. The
smallest p over all pairs has a distribution of its own; it is drawn here from the clusters' influences, so it knows
that models judged on the same instructions err together, which Bonferroni does not.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

from simfarm.errors import InputError
from simfarm.statistics.bounded import mean_p_values
from simfarm.statistics.estimate import Array, Estimate, mean_behind
from simfarm.statistics.levels import levels
from simfarm.statistics.secants import stretch
from simfarm.text.words import plural

__all__ = ["Power", "Tiers", "power", "shared_clusters", "tiers"]

Codes = NDArray[np.int64]

_REPLICATES_AT_ONCE = 64
_PAIRS_AT_ONCE = 1 << 11
"""A block of both is a megabyte: it stays in the processor's cache."""
_VERDICTS_AT_ONCE = 1 << 17
_NOTHING = 1e-12
"""What rounding makes of a standard error of 0."""


@dataclass(frozen=True)
class Tiers:
    """`tier` (M,), 1 the best; `ranks` (M × 2), the lowest and highest that each model can have; `p_values` (M × M),
    adjusted for all pairs.

    A model's tier is one more than the lowest tier of the models shown to be better than it. So nobody in a tier is
    told apart from anybody else in it, and every model of tier k + 1 is shown to be worse than some model of tier k.
    It does not say that all of tier k are better than all of tier k + 1: that is in `p_values`.
    A rank is at least one more than the models shown to be better, directly or through others between them, and leaves
    room for those shown to be worse; so it is never below the tier, and the ranks of all models hold together with the
    level asked for (Mogstad, Romano, Shaikh and Wilhelm 2024), where a bootstrap's hold one at a time.
    Models judged on different instructions can each be shown to be better than the other, round a circle of pairs: what
    is of no direction tells nobody apart, whatever `p_values` says of the single pair.
    """

    tier: Codes
    ranks: Codes
    p_values: Array


def tiers(estimates: Sequence[Estimate], *, level: float = 0.95, replicates: int = 4000, seed: int = 0) -> Tiers:
    """Tiers of M estimates of one kind (higher is better) with family-wise error at most 1 − `level`.

    Each pair first has the p that `compare` prints for it: of the paired difference on the clusters both have where
    the estimates are plain means (`mean_p_values`), else of the t test of `a - b`, or of the means that the two adjust
    where that is larger. Fewer than two clusters in common are so little that the p is 1. The p of all pairs, as
    normal quantiles, are then held against the largest of as many normals that vary together as the differences do
    (Gaussian weights on the influences; Chernozhukov, Chetverikov, Kato 2013: a normal with the influences' covariance,
    so that M numbers a replicate are enough). A |t| would not do in place of the p: each pair has a standard error of
    its own, and the largest picks those that came out small. Pairs are rejected step-down (Romano and Wolf 2005), which
    loses no error control and finds more. Raises `InputError` for fewer than two estimates, a missing value, or an
    estimate over fewer than two clusters.
    """
    _require_usable(estimates)
    if not 0 < level < 1:
        raise InputError(f"level {level} is not between 0 and 1; 0.95 is the usual one")
    root = _covariance_root(estimates)
    pairs = _pairs(estimates, root)
    adjusted = _adjusted(pairs, root, replicates, seed)
    n_models = len(estimates)
    p_values = np.ones((n_models, n_models))
    p_values[pairs.first, pairs.second] = p_values[pairs.second, pairs.first] = adjusted
    better = np.zeros((n_models, n_models), dtype=np.bool_)
    shown = adjusted <= 1 - level
    ahead = pairs.difference > 0
    for worse, best, these in ((pairs.second, pairs.first, ahead), (pairs.first, pairs.second, ~ahead)):
        better[worse[shown & these], best[shown & these]] = True
    return Tiers(*levels(better), p_values)


def shared_clusters(estimates: Sequence[Estimate]) -> Codes:
    """How many clusters each two of M estimates have in common, M × M."""
    known = ~np.isnan(_values(estimates))
    counts: Codes = np.rint(known.astype(np.float64) @ known.T.astype(np.float64)).astype(np.int64)
    return counts


@dataclass(frozen=True)
class _Pairs:
    """Pairs that share two clusters or more (codes of the models), the paired `difference` of each, its own `p`, and
    `common`: the share of its variance that is drawn from the models' influences, the rest being its own."""

    first: Codes
    second: Codes
    difference: Array
    p: Array
    common: Array


def _pairs(estimates: Sequence[Estimate], root: Array) -> _Pairs:
    counts = shared_clusters(estimates)
    first, second = np.triu_indices(len(estimates), 1)
    enough = counts[first, second] >= 2
    first, second = first[enough], second[enough]
    behind = [mean_behind(e) for e in estimates]
    ends = np.array([(math.nan, math.nan) if e is None or e.bounds is None else e.bounds for e in behind])
    bounds = np.stack([ends[first, 0] - ends[second, 1], ends[first, 1] - ends[second, 0]], axis=1)
    plain = np.array([e.is_mean for e in estimates])
    means = plain[first] & plain[second]
    difference, p, common = np.empty(len(first)), np.empty(len(first)), np.ones(len(first))
    difference[means], p[means] = _mean_pairs(_values(estimates), first[means], second[means], bounds[means])
    difference[~means], p[~means] = _t_pairs(estimates, counts, root, first[~means], second[~means])
    adjusted = np.flatnonzero(~means & ~np.isnan(bounds[:, 0]))
    if len(adjusted):
        values = _values([e if mean is None else mean for e, mean in zip(estimates, behind, strict=True)])
        pairs = first[adjusted], second[adjusted], bounds[adjusted]
        p[adjusted] = np.maximum(p[adjusted], _mean_pairs(values, *pairs, difference[adjusted])[1])
    # What two pairs share shrinks with what each shares: too little correlation errs on the careful side.
    size = np.sqrt(np.diag(counts))
    common[means] = (counts[first, second] / (size[first] * size[second]))[means]
    return _Pairs(first, second, difference, p, common)


def _values(estimates: Sequence[Estimate]) -> Array:
    """Value + influence of each model (M) on each cluster (G), NaN where it has none: of a plain mean, its verdicts."""
    clusters = np.unique(np.concatenate([e.clusters for e in estimates]))
    values = np.full((len(estimates), len(clusters)), np.nan)
    for row, e in zip(values, estimates, strict=True):
        row[np.searchsorted(clusters, e.clusters)] = e.value + e.influence
    return values


def _mean_pairs(
    values: Array, first: Codes, second: Codes, bounds: Array, moved: Array | None = None
) -> tuple[Array, Array]:
    """(difference, p) of pairs of plain means, on the clusters both have; `bounds` (P × 2) are those of differences.

    The p is of a difference of 0, were the difference `moved` (P,): of values that adjust the means.
    """
    difference, p = np.empty(len(first)), np.ones(len(first))
    step = max(1, _VERDICTS_AT_ONCE // values.shape[1])
    for low, high in np.unique(bounds, axis=0):
        alike = np.flatnonzero((bounds == (low, high)).all(axis=1))
        for start in range(0, len(alike), step):
            part = alike[start : start + step]
            gaps = values[first[part]] - values[second[part]]
            sums = gaps.sum(axis=1)
            difference[part] = np.nanmean(gaps, axis=1) if np.isnan(sums).any() else sums / gaps.shape[1]
            if low < high:
                null = 0.0 if moved is None else difference[part] - moved[part]
                p[part] = mean_p_values(gaps, null, low, high)
    return difference, p


def _t_pairs(
    estimates: Sequence[Estimate], counts: Codes, root: Array, first: Codes, second: Codes
) -> tuple[Array, Array]:
    """(difference, p) of pairs by the t test of `a - b`; of n clusters without any error 2 · ½ⁿ, as if all were won."""
    value = np.array([e.value for e in estimates])
    difference = value[first] - value[second]
    size = np.diag(counts)
    if (counts == size).all() and all(math.isnan(e.shared_freedom) for e in estimates):
        error = np.linalg.norm(root[first] - root[second], axis=1)
        error *= _stretches(estimates, root, first, second, error)
        freedom = np.array([e.degrees_of_freedom for e in estimates])
        freedom, n = np.minimum(freedom[first], freedom[second]), size[first]
    else:
        alone = [replace(e, plain=None) for e in estimates]
        gaps = [alone[a] - alone[b] for a, b in zip(first, second, strict=True)]
        error, stretched, freedom, n = (
            np.array([getattr(gap, what) for gap in gaps])
            for what in ("standard_error", "at_zero", "degrees_of_freedom", "n_clusters")
        )
        error *= stretched
    flat = error <= _NOTHING
    p = 2 * stdtr(freedom, -np.abs(difference) / np.where(flat, 1.0, error))
    p = np.where(flat, np.where(np.abs(difference) > _NOTHING, 2.0 * 0.5**n, 1.0), p)
    if any(len(e.endless) for e in estimates):
        limits = [(estimates[a] - estimates[b]).has_limits for a, b in zip(first, second, strict=True)]
        p[~np.where(difference > 0, *np.array(limits, dtype=bool).reshape(-1, 2).T)] = 1.0
    return difference, p


def _stretches(estimates: Sequence[Estimate], root: Array, first: Codes, second: Codes, error: Array) -> Array:
    """`Estimate.at_zero` (P,) of the pairs' differences, whose errors are `error`."""
    value = np.array([e.value if e.by_logit else 0.5 for e in estimates])
    bent = root / (value * (1 - value))[:, None]
    both = np.array([e.by_logit for e in estimates])
    on_logits = np.linalg.norm(bent[first] - bent[second], axis=1)
    return np.where(both[first] & both[second], stretch(value[first], value[second], error, on_logits), 1.0)


def _adjusted(pairs: _Pairs, root: Array, replicates: int, seed: int) -> Array:
    """The p of each pair for being one of all, by step-down against the largest of normals that vary as they do."""
    if len(pairs.p) < 2:
        return pairs.p
    by_size = np.argsort(pairs.p, kind="stable")
    one, other, size = pairs.first[by_size], pairs.second[by_size], -ndtri(pairs.p[by_size] / 2)
    error = np.linalg.norm(root[one] - root[other], axis=1)
    common = np.where(error > _NOTHING, pairs.common[by_size], 0.0)
    scale = np.divide(np.sqrt(common), error, out=np.zeros_like(error), where=common > 0)
    own = np.sqrt(np.maximum(0.0, 1 - common))
    has_own = bool((own > 0).any())
    rng = np.random.default_rng(seed)
    exceeded = np.zeros(len(size))
    for start in range(0, replicates, _REPLICATES_AT_ONCE):
        n = min(_REPLICATES_AT_ONCE, replicates - start)
        noise = root @ rng.standard_normal((n, root.shape[1])).T
        reached = np.zeros(n)
        for first_pair in reversed(range(0, len(size), _PAIRS_AT_ONCE)):
            part = slice(first_pair, first_pair + _PAIRS_AT_ONCE)
            drawn = noise[one[part]]
            drawn -= noise[other[part]]
            drawn *= scale[part, None]
            if has_own:
                drawn += own[part, None] * rng.standard_normal(drawn.shape)
            np.abs(drawn, out=drawn)
            below, reached = reached, np.maximum(reached, drawn.max(axis=0))
            if reached.max() < size[part][-1]:
                continue  # pairs so far apart that no draw comes near them
            # Step-down: the k-th smallest p is held against the largest of itself and of all larger ones.
            np.maximum(drawn[-1], below, out=drawn[-1])
            np.maximum.accumulate(drawn[::-1], axis=0, out=drawn[::-1])
            exceeded[part] += (drawn >= size[part, None]).sum(axis=1)
    adjusted = np.empty(len(size))
    drawn_p = np.maximum.accumulate((exceeded + 1) / (replicates + 1))
    adjusted[by_size] = np.maximum(np.minimum(drawn_p, 1.0), pairs.p[by_size])
    return adjusted


@dataclass(frozen=True)
class Power:
    """`needed` instructions to tell `points` apart (infinite where a prior's uncertainty alone is more), `have` now.

    `detectable` is the smallest difference, in the estimates' unit, that `have` instructions tell apart.
    """

    points: float
    needed: float
    have: int
    detectable: float

    def __str__(self) -> str:
        wanted = f"{100 * self.points:g} points"
        if math.isinf(self.needed):
            return f"no number of instructions tells {wanted} apart: the uncertainty that is not theirs is larger"
        return f"to tell {wanted} apart you need {plural(round(self.needed), 'instruction')} (you have {self.have:,})"


def power(estimates: Sequence[Estimate], points: float = 0.02, *, level: float = 0.95, chance: float = 0.8) -> Power:
    """How many instructions tell a difference of `points` apart with probability `chance`, at `level`, two-sided.

    Planned for one pair fixed beforehand; with more than two estimates, for the pair of median standard error. The
    spread of the paired difference over instructions comes from the influences, so the noise two models share is not
    counted. Raises `InputError` as `tiers` does, and for points that are not positive.
    """
    _require_usable(estimates)
    if not points > 0:
        raise InputError(f"a difference of {points} cannot be told apart; give a positive number of points")
    if not (0 < level < 1 and 0.5 <= chance < 1):
        raise InputError(f"level {level} or chance {chance} cannot be planned for; 0.95 and 0.8 are the usual ones")
    root = _covariance_root(estimates)
    first, second = np.triu_indices(len(estimates), 1)
    by_error = np.argsort(np.linalg.norm(root[first] - root[second], axis=1), kind="stable")
    middle = by_error[(len(by_error) - 1) // 2]
    one, other = estimates[int(first[middle])], estimates[int(second[middle])]
    shared = np.intersect1d(one.clusters, other.clusters)
    means = one.is_mean and other.is_mean and len(shared) > 1
    pair = one.on(shared) - other.on(shared) if means else one - other
    plan = _Plan.of(pair, level, chance)
    have, gap = pair.n_clusters, 1.0
    while plan.room(have, gap) < 0 and gap < 1e9:
        gap *= 2
    detectable = _halved(lambda d: plan.room(have, d) >= 0, 0.0, gap) if gap < 1e9 else math.inf
    least, most = 1.0, 2.0
    while plan.room(most, points) < 0 and most < 1e15:
        least, most = most, 2 * most
    if most >= 1e15:
        return Power(points, math.inf, have, detectable)
    needed = math.ceil(_halved(lambda n: plan.room(max(2.0, n), points) >= 0, least, most))
    return Power(points, float(max(2, needed)), have, detectable)


@dataclass(frozen=True)
class _Plan:
    """`spread`: a cluster's variance; `fixed`: the variance that more clusters do not lessen; `far`: how far below 0
    the lowest difference is, where it is one of plain means (0 for others: the t test)."""

    spread: float
    fixed: float
    far: float
    level: float
    chance: float

    @classmethod
    def of(cls, pair: Estimate, level: float, chance: float) -> _Plan:
        fixed = float(pair.shared @ pair.shared)
        spread = max(0.0, pair.standard_error**2 - fixed) * pair.n_clusters
        return cls(spread, fixed, -min(pair.bounds) if pair.bounds else 0.0, level, chance)

    def room(self, n: float, points: float) -> float:
        """How far the limit of a difference of `points` is above 0 with `chance`, given `n` clusters.

        The half verdict that `mean_intervals` gives the unseen far end draws the limit down and widens it.
        """
        unseen = 0.5 if self.far else 0.0
        reach = unseen * (points + self.far) / (n + unseen)
        widened = self.spread + reach * (points + self.far)
        error = math.sqrt(widened / (n + 2 * unseen) + self.fixed)
        luck = float(ndtri(self.chance)) * math.sqrt(self.spread / n + self.fixed)
        return points - reach - float(stdtrit(n - 1, 0.5 + self.level / 2)) * error - luck


def _halved(is_enough: Callable[[float], bool], low: float, high: float) -> float:
    """The number from which on `is_enough` is true, between `low` and `high`, to 1e-10 of itself."""
    while high - low > 1e-10 * high:
        middle = (low + high) / 2
        low, high = (low, middle) if is_enough(middle) else (middle, high)
    return high


def _require_usable(estimates: Sequence[Estimate]) -> None:
    if len(estimates) < 2:
        raise InputError(
            f"{plural(len(estimates), 'model')} cannot be told apart from others; give the estimates of at least two"
        )
    for position, estimate in enumerate(estimates, 1):
        if not math.isfinite(estimate.value):
            raise InputError(f"estimate {position} has no value; leave out models without a verdict")
        if estimate.n_clusters < 2:
            raise InputError(
                f"estimate {position} rests on {plural(estimate.n_clusters, 'instruction')}; it needs at least two"
            )


def _covariance_root(estimates: Sequence[Estimate]) -> Array:
    """R (M × at most M) with R Rᵀ the covariance of the estimates: differences of its rows give every pair's error."""
    clusters = np.unique(np.concatenate([e.clusters for e in estimates]))
    terms = np.zeros((len(estimates), len(clusters) + max(len(e.shared) for e in estimates)))
    for row, e in enumerate(estimates):
        terms[row, np.searchsorted(clusters, e.clusters)] = e.influence / math.sqrt(e.n_clusters * (e.n_clusters - 1))
        terms[row, len(clusters) : len(clusters) + len(e.shared)] = e.shared
    return np.asarray(np.linalg.qr(terms.T, mode="r"), dtype=np.float64).T
