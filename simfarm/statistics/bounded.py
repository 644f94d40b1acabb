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

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtr, stdtrit

__all__ = ["Array", "mean_intervals", "mean_p_values"]

Array = NDArray[np.float64]

_UNSEEN = 0.5
"""The weight of the far end, in verdicts."""
_LOWEST, _HIGHEST, _HALVINGS = -20.0, 690.0, 20
"""Where log(−λ) is looked for, the largest verdict being 1, and how often that is halved: to .0007, where all is so
nearly straight that two steps along the chord leave 1e-10."""
_AT_ONCE = 1 << 17
"""Most verdicts in one array: a few such stay in the processor's cache."""


def mean_intervals(x: Array, level: float, low: float = 0.0, high: float = 1.0) -> tuple[Array, Array]:
    """Two-sided limits, (B,) and (B,), of the means of the rows of `x` (B × G), values in [low, high].

    A NaN in `x` is a cluster that the row has not; a row with fewer than two values has NaN for limits.
    """
    unit, chance = _unit(x, low, high), (1 - level) / 2
    below, above = _in_blocks(_lowest, unit, chance), _in_blocks(_lowest, 1 - unit, chance)
    lower: Array = low + (high - low) * below
    upper: Array = high - (high - low) * above
    return lower, upper


def mean_p_values(x: Array, null: float | Array, low: float = 0.0, high: float = 1.0) -> Array:
    """Two-sided p (B,) of "the mean is `null`" (one, or (B,)) for each row of `x`, as in `mean_intervals`: below
    1 − level just where the interval at that level leaves `null` out."""
    unit, at = _unit(x, low, high), (null - low) / (high - low)
    above = _means(unit) >= at
    turned = np.where(above[:, None], unit, 1 - unit)
    return _in_blocks(_p_values, turned, np.where(above, at, 1 - at))


def _unit(x: Array, low: float, high: float) -> Array:
    """The values on [0, 1]; what rounding took beyond the ends is put back."""
    return np.asarray(np.clip((x - low) / (high - low), 0.0, 1.0), dtype=np.float64)


def _means(x: Array) -> Array:
    known = ~np.isnan(x)
    total = np.where(known, x, 0.0).sum(axis=1)
    means: Array = np.divide(total, known.sum(axis=1), out=np.full(len(x), np.nan), where=known.any(axis=1))
    return means


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
    lessened by: so no sum needs a mask. `top` is what the rows were divided by.
    """

    x: Array
    missing: Array
    top: Array

    @classmethod
    def of(cls, x: Array) -> _Tilted:
        known = ~np.isnan(x)
        zeros = np.where(known, x, 0.0)
        top = zeros.max(axis=1, initial=0.0)
        top = np.where(top > 0, top, 1.0)
        return cls(zeros / top[:, None], (~known).sum(axis=1).astype(np.float64), top)

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
        some = (r < -1e-5) & (curved > 0)
        ratio = np.divide(np.sqrt(np.maximum(curved, 0.0)), -r, out=np.ones_like(r), where=some)
        return np.where(some, np.minimum(r + np.log(ratio) / np.where(some, r, 1.0), 0.0), 0.0), t

    def searched(self, gap: Callable[[Array], Array]) -> Array:
        """The tilt λ (B,) at which `gap`, which falls as −λ grows, is 0: by halving log(−λ), then along the chord."""
        near, far = np.full(len(self.x), _LOWEST), np.full(len(self.x), _HIGHEST)
        for _ in range(_HALVINGS):
            middle = (near + far) / 2
            beyond = gap(-np.exp(middle)) < 0
            near, far = np.where(beyond, near, middle), np.where(beyond, middle, far)
        start = gap(-np.exp(near))
        fall = start - gap(-np.exp(far))
        for_one = np.divide(far - near, fall, out=np.zeros_like(fall), where=fall > 0)
        at = np.clip(near + start * for_one, near, far)
        tilt: Array = -np.exp(np.clip(at + gap(-np.exp(at)) * for_one, near, far))
        return tilt


def _lowest(x: Array, chance: Array) -> Array:
    """The lower limit (B,) of each row's mean, which the truth is below with `chance`."""
    rows = _Tilted.of(x)
    few = rows.n_known < 2
    target = stdtrit(np.where(few, 1.0, rows.n_known - 1), chance)
    limit = rows.top * rows.root(rows.searched(lambda tilt: rows.root(tilt)[0] - target))[1]
    nothing = (rows.x == 0).all(axis=1)
    return np.where(few, np.nan, np.where(nothing, 0.0, limit))


def _p_values(x: Array, null: Array) -> Array:
    """Two-sided p (B,) of rows whose mean is not below `null` (B,)."""
    rows = _Tilted.of(x)
    few, at = rows.n_known < 2, null / rows.top
    tilt = rows.searched(lambda tilt: rows.level(tilt)[2] - at)
    tail = stdtr(np.where(few, 1.0, rows.n_known - 1), rows.root(tilt)[0])
    beyond = np.where((rows.x > 0).any(axis=1) | (at < 0), 0.0, 1.0)  # of a mean at its end, or past it
    return np.where(few, np.nan, np.where(at > 0, np.minimum(1.0, 2 * tail), beyond))
