"""Mean of bounded verdicts: limits and p values that are not fooled by what a small sample has not seen.

Where a model wins once in fifty instructions, twenty of them often hold no win, or one: their spread says that all is
certain. What was not seen could lie at the far end, so that end gets half a verdict before anything is estimated: for
the lower limit at 0, for the upper one at 1. The limit is where the mean of the verdicts under Dirichlet(1, …, 1, ½)
weights (the Bayesian bootstrap, Rubin 1981, with that half verdict) leaves the tail that Student's t with G − 1 degrees
of freedom has. For verdicts of 0 and 1 these are nearly the limits of Beta(k, G − k + ½) and Beta(k + ½, G − k).

The tail is a saddlepoint's, r* = r + log(q/r)/r (Barndorff-Nielsen 1986): a mean under Dirichlet weights is below t
where Σ gᵢ(xᵢ − t) < 0 for independent gᵢ ~ Gamma(wᵢ), whose cumulants are known. With λ for the tilt, so that the
weights are proportional to wᵢ/(1 − λxᵢ), everything is a sum over verdicts, and t too: one dimension is searched.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtr, stdtrit

__all__ = ["Array", "mean_intervals", "mean_p_values", "wilson"]

Array = NDArray[np.float64]

_UNSEEN = 0.5
"""The weight of the far end, in verdicts."""
_LOWEST, _HIGHEST, _CLOSE = -20.0, 690.0, 1e-7
"""Where log(−λ) is looked for, the largest verdict being 1; and the step from which on secants leave 1e-11."""
_STEPS, _HALVED_FROM = 70, 15
_WORTH_A_COPY = 0.6
"""Where fewer of the rows are still looked for, they go on alone."""
_FLAT = 1e-3
"""The r below which log(q/r)/r is rounding: its limit stands in."""
_NOUGHT = 1e-300
_AT_ONCE = 1 << 16
"""Most verdicts in one array: a few such stay in the processor's cache."""


def mean_intervals(x: Array, level: float, low: float = 0.0, high: float = 1.0) -> tuple[Array, Array]:
    """Two-sided limits, (B,) and (B,), of the means of the rows of `x` (B × G), values in [low, high].

    A NaN in `x` is a cluster that the row has not; a row with fewer than two values has NaN for limits.
    """
    chance = (1 - level) / 2
    below = _in_blocks(lambda some, each: _lowest(_unit(some, low, high), each), x, chance)
    above = _in_blocks(lambda some, each: _lowest(1 - _unit(some, low, high), each), x, chance)
    lower: Array = low + (high - low) * below
    upper: Array = high - (high - low) * above
    return lower, upper


def mean_p_values(x: Array, null: float | Array, low: float = 0.0, high: float = 1.0) -> Array:
    """Two-sided p (B,) of "the mean is `null`" (one, or (B,)) for each row of `x`, as in `mean_intervals`: below
    1 − level just where the interval at that level leaves `null` out."""
    at = (null - low) / (high - low)
    return _in_blocks(lambda some, each: _p_values(*_turned(_unit(some, low, high), each)), x, at)


def _unit(x: Array, low: float, high: float) -> Array:
    """The values on [0, 1]; what rounding took beyond the ends is put back."""
    return np.asarray(np.clip((x - low) / (high - low), 0.0, 1.0), dtype=np.float64)


def _turned(unit: Array, null: Array) -> tuple[Array, Array]:
    """The rows and their nulls, seen from the other end where the mean is below the null."""
    sums = unit.sum(axis=1)
    n = np.full(len(unit), unit.shape[1])
    if np.isnan(sums).any():
        sums, n = np.nansum(unit, axis=1), (~np.isnan(unit)).sum(axis=1)
    below = sums < null * n
    unit[below] = 1 - unit[below]
    return unit, np.where(below, 1 - null, null)


def _in_blocks(make: Callable[[Array, Array], Array], x: Array, with_each: float | Array) -> Array:
    """`make` of the rows of `x` and the number that goes with each, some rows at a time."""
    each, made = np.broadcast_to(with_each, len(x)), np.empty(len(x))
    step = max(1, _AT_ONCE // max(1, x.shape[1]))
    for start in range(0, len(x), step):
        rows = slice(start, start + step)
        made[rows] = make(x[rows], each[rows])
    return made


@dataclass(frozen=True)
class _Tilted:
    """Rows of verdicts (B × G, the largest of each 1) under weights proportional to w/(1 − λx), λ < 0.

    `missing` cells (a count for each row) are zeros in `x` that the unseen verdict's weight, which is at 0 as well, is
    lessened by: so no sum needs a mask. `top` is what the rows were divided by; `mean` and `variance` are at λ = 0.
    """

    x: Array
    missing: Array
    top: Array
    mean: Array
    variance: Array

    @classmethod
    def of(cls, x: Array) -> _Tilted:
        missing = np.zeros(len(x))
        if np.isnan(x.sum(axis=1)).any():
            unknown = np.isnan(x)
            x, missing = np.where(unknown, 0.0, x), unknown.sum(axis=1).astype(np.float64)
        top = x.max(axis=1, initial=0.0)
        top = np.where(top > 0, top, 1.0)
        x = x / top[:, None]
        weight = x.shape[1] - missing + _UNSEEN
        mean = x.sum(axis=1) / weight
        return cls(x, missing, top, mean, np.maximum(np.einsum("bg,bg->b", x, x) / weight - mean**2, 0.0))

    def of_rows(self, these: NDArray[np.bool_]) -> _Tilted:
        return _Tilted(self.x[these], self.missing[these], self.top[these], self.mean[these], self.variance[these])

    @property
    def n_known(self) -> Array:
        return np.asarray(self.x.shape[1] - self.missing, dtype=np.float64)

    def level(self, tilt: Array) -> tuple[Array, Array, Array]:
        """(1 − λx (B × G), c = 1 + s·t (B,), the mean t under the tilted weights (B,)) at `tilt` = λ."""
        spread = 1 - tilt[:, None] * self.x
        c = ((1 / spread).sum(axis=1) + _UNSEEN - self.missing) / (self.n_known + _UNSEEN)
        return spread, c, (c - 1) / (tilt * c)

    def root(self, tilt: Array) -> tuple[Array, Array]:
        """(r* ≤ 0 (B,), the t (B,) whose tail it is) at `tilt`."""
        spread, c, t = self.level(tilt)
        loss = (self.n_known + _UNSEEN) * np.log(c) + np.log(spread).sum(axis=1)
        r = -np.sqrt(2 * np.maximum(loss, 0.0))
        curved = ((1 / (spread * c[:, None]) - 1) ** 2).sum(axis=1) + (_UNSEEN - self.missing) * (1 / c - 1) ** 2
        ratio = np.divide(np.sqrt(np.maximum(curved, 0.0)), -r, out=np.ones_like(r), where=r < 0)
        shift = np.divide(_log(ratio), r, out=np.zeros_like(r), where=r < 0)
        flat = r > -_FLAT
        if flat.any():
            shift[flat] = self.of_rows(flat).skew() / 6
        return np.minimum(r + shift, 0.0), t

    def skew(self) -> Array:
        """Skewness (B,) of the weights' sum at λ = 0: six times what r* − r goes to as r does to 0."""
        aside = self.x - self.mean[:, None]
        rest = _UNSEEN - self.missing
        third = 2 * (np.einsum("bg,bg,bg->b", aside, aside, aside) - rest * self.mean**3)
        second = (self.n_known + _UNSEEN) * self.variance
        skewed: Array = np.divide(third, second**1.5, out=np.zeros_like(third), where=second > 0)
        return skewed

    def depth(self, tilt: Array) -> tuple[Array, None]:
        """log −r* (B,) at `tilt`, of slope 1 where the tilt is small; the slope is left to secants."""
        return _log(-self.root(tilt)[0]), None

    def fall(self, tilt: Array) -> tuple[Array, Array]:
        """log(mean/t − 1) (B,) at `tilt`, which has slope 1 where the tilt is small and where it is large, and that
        slope."""
        share = tilt[:, None] * self.x
        np.subtract(1, share, out=share)
        np.divide(1, share, out=share)
        once, whole = share.sum(axis=1), self.n_known + _UNSEEN
        c = (once + _UNSEEN - self.missing) / whole
        t = np.maximum((c - 1) / (tilt * c), _NOUGHT)
        bent = (np.einsum("bg,bg->b", share, share) - once) / whole
        ahead = np.maximum(self.mean - t, _NOUGHT)
        slope = (1 + bent / np.maximum(c * (1 - c), _NOUGHT)) * self.mean / ahead
        return _log(ahead / t), slope

    def searched(self, height: Height, wanted: Array, start: Array) -> Array:
        """The tilt λ (B,) at which `height`, which rises with −λ, is `wanted`; a NaN there is not looked for.

        By Newton's steps of log(−λ) from `start`, or secants where the height does not tell its slope: both heights are
        so nearly straight that five or six do. They stay in a bracket, which is halved from the fifteenth step on.
        """
        rows, left, going = self, np.arange(len(wanted)), ~np.isnan(wanted)
        at = np.where(going, np.clip(start, _LOWEST, _HIGHEST), 0.0)
        found, low, high = at.copy(), np.full_like(at, _LOWEST), np.full_like(at, _HIGHEST)
        before, gap_before, slope = at, np.zeros_like(at), np.ones_like(at)
        for turn in range(_STEPS):
            if going.mean() < _WORTH_A_COPY:
                rows, left, at = rows.of_rows(going), left[going], at[going]
                low, high, before, gap_before, slope = (a[going] for a in (low, high, before, gap_before, slope))
                going = going[going]
            if not len(left):
                break
            reached, rise = height(rows, -np.exp(at))
            gap = reached - wanted[left]
            low, high = np.where(gap < 0, at, low), np.where(gap < 0, high, at)
            if rise is None:
                rise = np.divide(gap - gap_before, at - before, out=np.zeros_like(at), where=at != before)
            slope = np.where(rise > 0, rise, slope)
            to = np.clip(at - gap / slope, _LOWEST, _HIGHEST)
            halved = (to < low) | (to > high) | (turn >= _HALVED_FROM)
            before, gap_before = at, gap
            at = np.where(going, np.where(halved, (low + high) / 2, to), at)
            going = going & (np.abs(at - before) > _CLOSE)
            found[left] = at
        tilt: Array = -np.exp(found)
        return tilt


Height = Callable[[_Tilted, Array], tuple[Array, Array | None]]


def _log(x: Array) -> Array:
    """log x, and something very low where x is not above 0."""
    logs: Array = np.log(np.maximum(x, _NOUGHT))
    return logs


def _lowest(x: Array, chance: Array) -> Array:
    """The lower limit (B,) of each row's mean, which the truth is below with `chance`."""
    rows = _Tilted.of(x)
    few = rows.n_known < 2
    target = stdtrit(np.where(few, 1.0, rows.n_known - 1), chance)
    nothing = rows.mean == 0
    wanted = np.where(few | nothing, np.nan, _log(-target))
    near = wanted - 0.5 * _log((rows.n_known + _UNSEEN) * rows.variance)
    limit = rows.top * rows.root(rows.searched(_Tilted.depth, wanted, near))[1]
    return np.where(few, np.nan, np.where(nothing, 0.0, limit))


def _p_values(x: Array, null: Array) -> Array:
    """Two-sided p (B,) of rows whose mean is not below `null` (B,)."""
    rows = _Tilted.of(x)
    few, at = rows.n_known < 2, null / rows.top
    inside = ~few & (at > 0) & (rows.mean > 0)
    wanted = np.where(inside, _log(rows.mean / np.where(inside, at, 1.0) - 1), np.nan)
    tilt = rows.searched(_Tilted.fall, wanted, wanted + _log(rows.mean) - _log(rows.variance))
    root = np.where(inside & (at < rows.mean), rows.root(tilt)[0], 0.0)
    tail = stdtr(np.where(few, 1.0, rows.n_known - 1), root)
    beyond = np.where((rows.x > 0).any(axis=1) | (at < 0), 0.0, 1.0)  # of a mean at its end, or past it
    return np.where(few, np.nan, np.where(at > 0, np.minimum(1.0, 2 * tail), beyond))


def wilson(p: float, n: int, level: float) -> tuple[float, float]:
    """Wilson's (1927) score interval for a proportion."""
    z = float(ndtri(0.5 + level / 2))
    centre = (p + z * z / (2 * n)) / (1 + z * z / n)
    half = z * math.sqrt(p * (1 - p) / n + z * z / (4 * n * n)) / (1 + z * z / n)
    return max(0.0, centre - half), min(1.0, centre + half)
