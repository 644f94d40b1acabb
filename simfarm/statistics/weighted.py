"""Limits of a ratio of sums over clusters, with the unseen half verdict that plain means have.

Agreement over people who voted unequally often, Cohen's κ, Krippendorff's α: each is Σ part / Σ whole over clusters.
Near 1, or at few items, its few disagreements decide everything, and a symmetric interval passes 1 or has no width.
As in `simfarm.statistics.bounded` the ratio is below t where S(t) = Σ gᵢ(partᵢ − t·wholeᵢ) < 0 for independent
gᵢ ~ Gamma(1), the Bayesian bootstrap, with one further cluster of mean size and half a verdict's weight at the far end.
The tail is a saddlepoint's, r* = r + log(q/r)/r (Barndorff-Nielsen 1986), held against t with G − 1 degrees of freedom:
so skewness is met, and where all clusters agree the interval still has the width that an unseen one may bring.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq
from scipy.special import stdtr, stdtrit

from simfarm.statistics.bounded import Array

__all__ = ["Weighted", "tail_root"]

_UNSEEN = 0.5
"""The weight of the far end, in verdicts, as in `bounded`."""
_STEPS = 100
"""Newton needs four or five; halving, where one cluster outweighs all others, some forty."""


@dataclass(frozen=True)
class Weighted:
    """A `value`, its clusters' `influence` on it and their `weights` (mean 1): part − t·whole of a cluster, in units of
    the mean whole, is influence + (value − t)·weight. `low` and `high` are what one unseen cluster may say."""

    value: float
    influence: Array
    weights: Array
    low: float
    high: float

    def interval(self, level: float) -> tuple[float, float]:
        """Two-sided limits at `level`."""
        turned = Weighted(-self.value, -self.influence, self.weights, -self.high, -self.low)
        kinds, count = self._kinds
        vars(turned)["_kinds"] = -kinds.conj(), count  # sorting a hundred thousand clusters costs more than all else
        return self._lowest((1 - level) / 2), -turned._lowest((1 - level) / 2)

    def p_value(self, null: float) -> float:
        """Two-sided p of "the value is `null`": below 1 − level just where the interval leaves `null` out."""
        if null > self.value:
            return Weighted(-self.value, -self.influence, self.weights, -self.high, -self.low).p_value(-null)
        root = self._root(null)
        return min(1.0, 2 * float(stdtr(len(self.influence) - 1.0, root)))

    def _lowest(self, chance: float) -> float:
        """The lower limit, which the truth is below with `chance`."""
        if self.value <= self.low:
            return self.low
        target = float(stdtrit(len(self.influence) - 1.0, chance))
        room, error = self.value - self.low, float(np.sqrt((self.influence**2).sum())) / len(self.influence)
        near = self.value
        for half_widths in (1.25, 2.0, 4.0):  # the first holds nearly every limit
            far = near if error == 0 else self.value + half_widths * target * error
            if not self.low + 1e-9 * room < far < near:
                break
            if self._root(far) < target:
                return self._between(far, near, target)
            near = far
        far = self.low + 1e-9 * room
        return self.low if self._root(far) >= target else self._between(far, near, target)

    def _between(self, far: float, near: float, target: float) -> float:
        """Where r* is `target`."""
        room = self.value - self.low
        return float(brentq(lambda t: self._root(t) - target, far, near, xtol=1e-10 * room, rtol=1e-12))

    def _root(self, t: float) -> float:
        """r* ≤ 0, whose normal tail is the chance that the ratio is below `t` ≤ value."""
        kinds, count = self._kinds
        return tail_root(kinds.real + (self.value - t) * kinds.imag, count, self.low - t)

    @cached_property
    def _kinds(self) -> tuple[NDArray[np.complex128], Array]:
        """The distinct clusters, influence + i·weight, and how many of each: hard verdicts have a handful."""
        kinds, count = np.unique(self.influence + 1j * self.weights, return_counts=True)
        return kinds, count.astype(np.float64)


def tail_root(pulls: Array, count: Array, unseen: float) -> float:
    """r* ≤ 0, whose normal tail is the chance that Σ gᵢ·pullᵢ < 0, where `count` clusters have each of `pulls` (K,) and
    half a verdict has the pull `unseen`; 0 where the sum of all is not above 0, −∞ where no pull is below 0."""
    d, count = np.append(pulls, unseen), np.append(count, _UNSEEN)
    if d.min() >= 0:
        return -np.inf
    if (count * d).sum() <= 0:
        return 0.0
    tilt = _tilt(d, count)
    spread = 1 - tilt * d
    r = -np.sqrt(2 * max(float((count * np.log(spread)).sum()), 0.0))
    if r > -1e-5:
        return 0.0
    q = tilt * np.sqrt(float((count * (d / spread) ** 2).sum()))
    return min(0.0, float(r + np.log(q / r) / r))


def _tilt(d: Array, count: Array) -> float:
    """The λ < 0 under whose weights count/(1 − λd) the mean of `d` is 0: by Newton's steps, halved at the ends."""
    end = 1 / float(d.min())
    near, far = 0.0, end
    tilt = max(-float((count * d).sum()) / float((count * d * d).sum()), end / 2)
    for _ in range(_STEPS):
        pull = d / (1 - tilt * d)
        gap, slope = float((count * pull).sum()), float((count * pull * pull).sum())
        near, far = (tilt, far) if gap > 0 else (near, tilt)
        room = 1 - tilt / end  # times which the gap has no pole, and is nearly straight
        before, tilt = tilt, tilt - gap * room / (slope * room - gap / end)
        if not far < tilt < near:
            tilt = (near + far) / 2
        if abs(tilt - before) <= 1e-9 * abs(tilt):
            break
    return tilt
