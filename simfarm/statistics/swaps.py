"""Half of a swap is no verdict: the calls about one comparison as one preference, or as none.

Two orders and several repeats of one question are not independent evidence, so they are averaged before anything is
counted. A question that was to be asked in both orders and lost one of them has no answer at all: what is left is
exactly the position bias that asking twice was meant to remove.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["Orders", "swap_means"]


@dataclass(frozen=True)
class Orders:
    """What swapping the two outputs did to one annotator's verdicts.

    Of the questions answered in both orders, `reversals` is the share whose two verdicts name different winners and
    `tie_changes` the share where one is a tie and the other is not: to waver at a tie is not to contradict oneself.
    None where no question was answered in both. `half_asked` counts comparisons asked in one order only where others
    were asked in both; they have no verdict.
    """

    reversals: float | None = None
    tie_changes: float | None = None
    half_asked: int = 0


def swap_means(
    question: Codes, comparison: Codes, p: Array, asked: tuple[NDArray[np.bool_], NDArray[np.bool_]], n: int
) -> tuple[Array, Orders]:
    """(p of each of `n` comparisons, NaN without a verdict; what the orders did), from one judge's calls.

    Each call has `p` (NaN without a verdict) and the number of its `question`, which is one repeat of a comparison;
    `asked` says which calls showed output_1 first, and which output_2 (a tie without a call neither). `comparison` has
    one number for each question. A question's p is the mean of its two orders where any question was
    asked in both, a comparison's the mean of its questions that have one.
    """
    called = [np.bincount(question[rows], minlength=len(comparison)) > 0 for rows in asked]
    either, both = called[0] | called[1], called[0] & called[1]
    values, orders = _group_means(question, p, len(comparison)), Orders()
    if both.any():
        first, second = (_group_means(question[rows], p[rows], len(comparison)) for rows in asked)
        values = np.where(either, (first + second) / 2, values)
        sides = np.sign(np.column_stack([first, second])[~np.isnan(first + second)] - 0.5)
        half_asked = len(np.setdiff1d(comparison[either], comparison[both]))
        orders = Orders(half_asked=half_asked)
        if len(sides):
            reversed_, changed = sides.prod(axis=1) < 0, (sides == 0).sum(axis=1) == 1
            orders = Orders(float(reversed_.mean()), float(changed.mean()), half_asked)
    complete = ~np.isnan(values)
    return _group_means(comparison[complete], values[complete], n), orders


def _group_means(group: Codes, values: Array, n: int) -> Array:
    """The mean of each group's values, NaN where it has none."""
    known = ~np.isnan(values)
    count = np.bincount(group[known], minlength=n)
    total = np.bincount(group[known], values[known], minlength=n)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
