"""Which of many tests to believe: p-values that know how many were made, of groups that were chosen on other data."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["false_discovery_rates", "holm", "lower_groups"]

_CHOSEN = -0.67
"""Standard errors below the rest at which the first half puts a group forward: the lower quarter, were all alike."""
_FEWEST = 5
"""Units of a group in either half: of fewer nothing is found, and testing them makes it harder for the others."""
_SHUFFLES = 4999


def false_discovery_rates(p: Array) -> Array:
    """p-values adjusted by Benjamini and Hochberg (1995): those up to q hold q false ones at most, on average.

    It holds for independent tests and for those that lean the same way. NaN, no test, stays NaN.
    """
    known = np.flatnonzero(~np.isnan(p))
    order = known[np.argsort(p[known], kind="stable")]
    scaled = p[order] * len(order) / np.arange(1, len(order) + 1)
    found = np.full(len(p), np.nan)
    found[order] = np.minimum(1.0, np.minimum.accumulate(scaled[::-1])[::-1])
    return found


def holm(p: Array, among: int | None = None) -> Array:
    """p-values adjusted by step-down (Holm 1979): that any true null is among those up to α has probability α at most,
    whatever the tests' dependence. `among` is how many nulls there are where `p` is only a part of them, chosen in any
    way."""
    by_size = np.argsort(p, kind="stable")
    left = (len(p) if among is None else among) - np.arange(len(p))
    adjusted = np.empty_like(p)
    adjusted[by_size] = np.minimum(1.0, np.maximum.accumulate(p[by_size] * left))
    return adjusted


def lower_groups(values: Array, group: Codes, first: NDArray[np.bool_], *, seed: int = 0) -> Array:
    """p of each group (0 … n − 1) having lower values than the rest, NaN for those that are not tested.

    `values` are of independent units. Those in the `first` half say which groups look lower and are worth a test, the
    others test these: a group is not judged by the data that it was chosen for. The p is that of the group's mean among
    the means of as many units drawn from all without looking (a permutation, exact whatever the values' shape), where
    all groups are shuffled at once; with the smallest possible p of 1 in 5,000.
    """
    n = int(group.max()) + 1
    counts = np.stack([np.bincount(group[half], minlength=n) for half in (first, ~first)])
    worth = (counts >= _FEWEST).all(axis=0) & (counts < np.stack([first.sum(), (~first).sum()])[:, None]).all(axis=0)
    found = np.full(n, np.nan)
    if not worth.any():
        return found
    chosen = np.flatnonzero(worth & (_distances(values[first], group[first], n) <= _CHOSEN))
    tested, place = values[~first] - values[~first].mean(), group[~first]
    sums = np.bincount(place, tested, minlength=n)
    random = np.random.default_rng(seed)
    as_low = np.zeros(n)
    # equal sums of the same numbers may differ in the last digit
    near = sums + 1e-9 * max(1.0, float(np.abs(tested).sum()))
    for _ in range(_SHUFFLES if len(chosen) else 0):
        as_low += np.bincount(place, random.permutation(tested), minlength=n) <= near
    found[chosen] = (1 + as_low[chosen]) / (1 + _SHUFFLES)
    return found


def _distances(values: Array, group: Codes, n: int) -> Array:
    """How far each group's mean is from all units', in standard errors of as many drawn from all."""
    count = np.bincount(group, minlength=n)
    means = np.bincount(group, values, minlength=n) / np.maximum(1, count)
    error = values.std() * np.sqrt(np.maximum(0, 1 / np.maximum(1, count) - 1 / len(values)))
    found: Array = np.divide(means - values.mean(), error, out=np.zeros(n), where=error > 0)
    return found
