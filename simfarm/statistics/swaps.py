"""Half of a swap is no verdict: the calls about one comparison as one preference, or as none.

Two orders and several repeats of one question are not independent evidence, so they are averaged before anything is
counted. A question that was to be asked in both orders and lost one of them has no answer at all: what is left is
exactly the position bias that asking twice was meant to remove. Whether it was to be is told by the majority: one
comparison that somebody asked the other way too does not make halves of two hundred others.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["Orders", "asks_both", "order_counts", "swap_means"]


@dataclass(frozen=True)
class Orders:
    """What swapping the two outputs did to one annotator's verdicts.

    Of the questions answered in both orders, `reversals` is the share whose two verdicts name different winners and
    `tie_changes` the share where one is a tie and the other is not: to waver at a tie is not to contradict oneself.
    None where no question was answered in both. `half_asked` counts comparisons asked in one order only where most
    were asked in both; they have no verdict.
    """

    reversals: float | None = None
    tie_changes: float | None = None
    half_asked: int = 0


def swap_means(
    question: Codes,
    comparison: Codes,
    p: Array,
    asked: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    n: int,
    *,
    both_wanted: bool | None = None,
) -> tuple[Array, Orders]:
    """(p of each of `n` comparisons, NaN without a verdict; what the orders did), from one judge's calls.

    Each call has `p` (NaN without a verdict) and the number of its `question`, which is one repeat of a comparison;
    `asked` says which calls showed output_1 first, and which output_2 (a tie without a call neither). `comparison` has
    one number for each question. A question's p is the mean of its two orders where it was asked in both; asked in one,
    it has none where both are wanted (by default where `asks_both` of these calls), and else what that order says. A
    comparison's is the mean of its questions that have one.
    """
    either, both = _called(question, len(comparison), asked)
    if both_wanted is None:
        both_wanted = asks_both([_asked(comparison, either, both)])
    values, orders = _group_means(question, p, len(comparison)), Orders()
    if both.any():
        first, second = (_group_means(question[rows], p[rows], len(comparison)) for rows in asked)
        values = np.where(either if both_wanted else both, (first + second) / 2, values)
        sides = np.sign(np.column_stack([first, second])[~np.isnan(first + second)] - 0.5)
        half_asked = len(np.setdiff1d(comparison[either], comparison[both])) if both_wanted else 0
        orders = Orders(half_asked=half_asked)
        if len(sides):
            reversed_, changed = sides.prod(axis=1) < 0, (sides == 0).sum(axis=1) == 1
            orders = Orders(float(reversed_.mean()), float(changed.mean()), half_asked)
    complete = ~np.isnan(values)
    return _group_means(comparison[complete], values[complete], n), orders


def order_counts(
    question: Codes, comparison: Codes, asked: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> tuple[int, int]:
    """(comparisons that were asked, those asked in both orders) among calls as `swap_means` takes them."""
    return _asked(comparison, *_called(question, len(comparison), asked))


def asks_both(counts: Iterable[tuple[int, int]]) -> bool:
    """Whether both orders were to be asked: at least half of the comparisons that were asked were asked in both.
    `counts` are those of `order_counts`, of all parts that one judge's calls lie in."""
    parts = list(counts)
    return 2 * sum(both for _, both in parts) >= max(1, sum(asked for asked, _ in parts))


def _called(
    question: Codes, n: int, asked: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of `n` questions were asked in either order, and which in both."""
    called = [np.bincount(question[rows], minlength=n) > 0 for rows in asked]
    return called[0] | called[1], called[0] & called[1]


def _asked(comparison: Codes, either: NDArray[np.bool_], both: NDArray[np.bool_]) -> tuple[int, int]:
    return len(np.unique(comparison[either])), len(np.unique(comparison[both]))


def _group_means(group: Codes, values: Array, n: int) -> Array:
    """The mean of each group's values, NaN where it has none."""
    known = ~np.isnan(values)
    count = np.bincount(group[known], minlength=n)
    total = np.bincount(group[known], values[known], minlength=n)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
