"""Means of groups of numbers, where some are not known."""

from __future__ import annotations

import numpy as np

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["group_means", "quotient"]


def group_means(values: Array, code: Codes, n: int) -> Array:
    """The mean of the values (NaN left out) under each code below n; NaN where there is none."""
    known = ~np.isnan(values)
    total = np.bincount(code[known], values[known], minlength=n).astype(np.float64)
    return quotient(total, np.bincount(code[known], minlength=n).astype(np.float64))


def quotient(part: Array, whole: Array) -> Array:
    """part / whole, NaN where there is no whole."""
    return np.asarray(np.divide(part, whole, out=np.full(np.shape(part), np.nan), where=whole > 0), dtype=np.float64)
