"""The error of a difference of two rates, which is not the same wherever the two may be.

An adjusted rate's error is even on the logit scale; on its own it shrinks towards 0 and 1. So of equals, the rate that
came out far from one half has a small error by luck, and the largest of many differences is one of those: their t would
be beyond a .001 limit twice as often as it should. Were the two equal, their difference would be that of their logits
times one slope, the secant's between them; the t test of no difference is therefore that of the logits. At the
difference found its error is the usual one, by the slope of each. Between the two it is interpolated, which gives the
interval that leaves 0 out where the test does.

A logistic weight has it the other way round: the larger it is, the fewer verdicts are undecided, and those say how
large. Its error grows with it, and away from 0 every step on the way to the limit is in units of the error there. Not
towards 0, where few verdicts on one side would make a narrow error of no evidence.
"""

from __future__ import annotations

import math

import numpy as np

from simfarm.statistics.bounded import Array

__all__ = ["grown_distance", "grown_limits", "limits", "stretch", "stretch_towards"]

_CLOSE = 1e-6
"""Below this difference of logits their secant is the tangent."""
_STEEPEST = 50.0
"""What a limit may be away, as a power of e: as good as nowhere."""


def stretch(one: Array, other: Array, error: Array, on_logits: Array) -> Array:
    """How many times larger the error of `one` − `other` is where it is 0 (P,), at least 1.

    `error` is that of the difference of the rates (strictly between 0 and 1), `on_logits` of the difference of their
    logits. Where there is no error, 1.
    """
    gap = np.log(one / (1 - one)) - np.log(other / (1 - other))
    apart = np.abs(gap) > _CLOSE
    slope = np.where(apart, (one - other) / np.where(apart, gap, 1.0), one * (1 - one))
    times = np.divide(slope * on_logits, error, out=np.ones_like(slope), where=error > 0)
    return np.asarray(np.maximum(1.0, times), dtype=np.float64)


def stretch_towards(null: float, value: float, at_zero: float) -> float:
    """How many times larger the error of `value` is where the truth is `null`, if it is `at_zero` times at 0."""
    share = 1 - null / value if value else 1.0
    return 1 + (at_zero - 1) * min(1.0, max(0.0, share))


def limits(value: float, half: float, at_zero: float) -> tuple[float, float]:
    """The interval of `value`, of half the width `half` but for what `at_zero` adds on the side of 0."""
    towards = half * at_zero
    if towards < abs(value):
        towards = half / (1 - half * (at_zero - 1) / abs(value))
    return (value - towards, value + half) if value > 0 else (value - half, value + towards)


def grown_limits(value: float, error: float, growth: float, quantile: float) -> tuple[float, float]:
    """The interval of `value` whose error is `error` there and grows by `growth` for each unit of it: on the side where
    it grows the limit is where the way, every step of it in units of the error there, is `quantile`."""
    half = quantile * error
    steep = min(abs(growth) * quantile, _STEEPEST)
    farther = half * math.expm1(steep) / steep if steep > _CLOSE else half
    return (value - half, value + farther) if growth > 0 else (value - farther, value + half)


def grown_distance(null: float, value: float, error: float, growth: float) -> float:
    """How many errors `value` is from `null`, in the sense of `grown_limits`."""
    plain, away = abs(null - value) / error, growth * (null - value) / error
    return plain if away < _CLOSE else math.log1p(away) / abs(growth)
