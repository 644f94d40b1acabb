"""Which models can be told apart at all, every pair at once, and how many instructions it would take.

A board of 50 models holds 1,225 comparisons: at 5 % each, sixty differences would be announced among equals. The
largest |t| over all pairs has a distribution of its own; it is drawn here from the clusters' influences, so it knows
that models judged on the same instructions err together, which Bonferroni does not.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri, stdtr, stdtrit

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.text.words import plural

__all__ = ["Power", "Tiers", "power", "tiers"]

_REPLICATES_AT_ONCE = 64
_PAIRS_AT_ONCE = 1 << 11
"""A block of both is a megabyte: it stays in the processor's cache."""


@dataclass(frozen=True)
class Tiers:
    """`tier` (M,), 1 the best; `ranks` (M × 2), the lowest and highest that each model can have; `p_values` (M × M),
    adjusted for all pairs; `quantile`, for intervals of all pairs.

    A model's tier is one more than the lowest tier of the models shown to be better than it. So nobody in a tier is
    told apart from anybody else in it, and every model of tier k + 1 is shown to be worse than some model of tier k.
    It does not say that all of tier k are better than all of tier k + 1: that is in `p_values`.
    A rank is at least one more than the models shown to be better, directly or through others between them, and leaves
    room for those shown to be worse; so it is never below the tier, and the ranks of all models hold together with the
    level asked for (Mogstad, Romano, Shaikh and Wilhelm 2024), where a bootstrap's hold one at a time.
    `value ± quantile · standard_error` of all differences hold together with the level asked for; with one of their
    intervals alone, plain `Estimate.interval`, only that pair does.
    """

    tier: NDArray[np.int64]
    ranks: NDArray[np.int64]
    p_values: Array
    quantile: float


def tiers(estimates: Sequence[Estimate], *, level: float = 0.95, replicates: int = 4000, seed: int = 0) -> Tiers:
    """Tiers of M estimates of one kind (higher is better) with family-wise error at most 1 − `level`.

    Studentised differences of all pairs; their joint null is a multiplier bootstrap over the clusters (Gaussian
    weights on the influences; Chernozhukov, Chetverikov, Kato 2013: a normal with the influences' covariance, so that M
    numbers a replicate are enough). Each |t| is first taken to the normal with the same tail as t with G − 1 degrees of
    freedom, so that one pair is the t test. (One χ² for all pairs, the usual multivariate t, is too bold here: each
    pair has a standard error of its own, and the maximum picks those that came out small.) Pairs are rejected
    step-down (Romano and Wolf 2005), which loses no error control and finds more. Raises
    `InputError` for fewer than two estimates, a missing value, or an estimate over fewer than two clusters.
    """
    _require_usable(estimates)
    if not 0 < level < 1:
        raise InputError(f"level {level} is not between 0 and 1; 0.95 is the usual one")
    root = _covariance_root(estimates)
    first, second = np.triu_indices(len(estimates), 1)
    values = np.array([e.value for e in estimates])
    difference = np.abs(values[first] - values[second])
    errors = _pair_errors(root)
    noisy = errors > 1e-12
    scale = np.divide(1.0, errors, out=np.zeros_like(errors), where=noisy)
    by_size = np.argsort(-difference * scale, kind="stable")
    df = min(e.n_clusters for e in estimates) - 1
    size = -ndtri(stdtr(df, -(difference * scale)[by_size]))
    one, other, scale = first[by_size], second[by_size], scale[by_size]
    rng = np.random.default_rng(seed)
    exceeded = np.zeros(len(size))
    largest = np.empty(replicates)
    for start in range(0, replicates, _REPLICATES_AT_ONCE):
        n = min(_REPLICATES_AT_ONCE, replicates - start)
        noise = root @ rng.standard_normal((n, root.shape[1])).T
        reached = np.zeros(n)
        for first_pair in reversed(range(0, len(size), _PAIRS_AT_ONCE)):
            part = slice(first_pair, first_pair + _PAIRS_AT_ONCE)
            drawn = noise[one[part]]
            drawn -= noise[other[part]]
            np.abs(drawn, out=drawn)
            drawn *= scale[part, None]
            below, reached = reached, np.maximum(reached, drawn.max(axis=0))
            if reached.max() < size[part][-1]:
                continue  # pairs so far apart that no draw comes near them
            # Step-down: the k-th largest |t| is held against the maximum over itself and all smaller ones.
            np.maximum(drawn[-1], below, out=drawn[-1])
            np.maximum.accumulate(drawn[::-1], axis=0, out=drawn[::-1])
            exceeded[part] += (drawn >= size[part, None]).sum(axis=1)
        largest[start : start + n] = reached
    adjusted = np.empty(len(size))
    adjusted[by_size] = np.maximum.accumulate((exceeded + 1) / (replicates + 1))
    # Two unanimous models have no spread to studentise by: the sign test of their clusters, Bonferroni over all pairs.
    certain = ~noisy & (difference > 1e-12)
    adjusted[~noisy] = np.where(certain[~noisy], min(1.0, 2.0 ** (-df) * len(size)), 1.0)
    p_values = np.ones((len(estimates), len(estimates)))
    p_values[first, second] = p_values[second, first] = adjusted
    quantile = float(stdtrit(df, ndtr(np.quantile(largest, level))))
    return Tiers(*_levels(values, p_values <= 1 - level), p_values, quantile)


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
    by_error = np.argsort(_pair_errors(root), kind="stable")
    middle = by_error[(len(by_error) - 1) // 2]
    pair = estimates[int(first[middle])] - estimates[int(second[middle])]
    have = pair.n_clusters
    fixed = float(pair.shared @ pair.shared)
    spread = max(0.0, pair.standard_error**2 - fixed) * have
    quantiles = float(stdtrit(have - 1, 0.5 + level / 2) + ndtri(chance))
    detectable = quantiles * math.sqrt(spread / have + fixed)
    z = float(ndtri(0.5 + level / 2) + ndtri(chance))
    room = (points / z) ** 2 - fixed
    if room <= 0:
        return Power(points, math.inf, have, detectable)
    needed = max(2, math.ceil(spread / room))
    for _ in range(50):  # the t quantile depends on the number sought
        q = float(stdtrit(needed - 1, 0.5 + level / 2) + ndtri(chance))
        room = (points / q) ** 2 - fixed
        if room > 0 and spread / room <= needed:
            break
        needed = math.ceil(spread / room) if room > 0 else 2 * needed
    return Power(points, float(needed), have, detectable)


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


def _pair_errors(root: Array) -> Array:
    """Standard error of the difference of each pair, in the order of `np.triu_indices`, a model's pairs at a time."""
    return np.concatenate([np.linalg.norm(root[m + 1 :] - root[m], axis=1) for m in range(len(root) - 1)])


def _levels(values: Array, told_apart: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(1 + the longest chain of models shown to be better, one above the other; the ranks that leaves, M × 2)."""
    tier = np.ones(len(values), dtype=np.int64)
    above = told_apart & (values > values[:, None])
    for m in np.argsort(-values, kind="stable"):
        if above[m].any():
            tier[m] = 1 + tier[above[m]].max()
            above[m] |= above[above[m]].any(axis=0)
    return tier, np.stack([1 + above.sum(axis=1), len(values) - above.sum(axis=0)], axis=1)
