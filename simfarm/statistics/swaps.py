"""Half of a swap is no verdict: the calls about one comparison as one preference, or as none.

Two orders and several repeats of one question are not independent evidence, so they are averaged before anything is
counted. A question that was to be asked in both orders and lost one of them has no answer at all: what is left is
exactly the position bias that asking twice was meant to remove. Whether it was to be, the file says, or else the
majority: one comparison that somebody asked the other way too does not make halves of two hundred others.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["Orders", "asked_orders", "asks_both", "swap_means", "wanted_both"]

TELLING = 10
"""Comparisons of one pair of models below which the majority of them all tells more than their own."""


@dataclass(frozen=True)
class Orders:
    """What swapping the two outputs did to one annotator's verdicts.

    Of the questions answered in both orders, `reversals` is the share whose two verdicts name different winners and
    `tie_changes` the share where one is a tie and the other is not: to waver at a tie is not to contradict oneself.
    None where no question was answered in both. `half_asked` counts comparisons asked in one order only that were to be
    asked in both; they have no verdict. Those that count were asked in one order (`once_asked`) or in both
    (`twice_asked`); where there are both kinds, `once_by` names the models of the former. `halves_kept` are those that
    were to be asked in both of a file that has one order alone, and count.
    """

    reversals: float | None = None
    tie_changes: float | None = None
    half_asked: int = 0
    once_asked: int = 0
    twice_asked: int = 0
    once_by: tuple[str, ...] = ()
    halves_kept: int = 0


def swap_means(
    question: Codes,
    comparison: Codes,
    p: Array,
    asked: tuple[NDArray[np.bool_], NDArray[np.bool_]],
    n: int,
    *,
    both_wanted: NDArray[np.bool_] | None = None,
) -> tuple[Array, Orders]:
    """(p of each of `n` comparisons, NaN without a verdict; what the orders did), from one judge's calls.

    Each call has `p` (NaN without a verdict) and the number of its `question`, which is one repeat of a comparison;
    `asked` says which calls showed output_1 first, and which output_2 (a tie without a call neither). `comparison` has
    one number for each question. A question's p is the mean of its two orders where it was asked in both; asked in one,
    it has none where `both_wanted` of its comparison (by default as `wanted_both` tells it of these calls alone), and
    else what that order says. A comparison's is the mean of its questions that have one.
    """
    either, both = _called(question, len(comparison), asked)
    orders = asked_orders(question, comparison, asked, n)
    if both_wanted is None:
        both_wanted = wanted_both(orders)
    values, reversals, tie_changes = _group_means(question, p, len(comparison)), None, None
    whole = np.where(both_wanted[comparison], either, both)
    if whole.any():
        first, second = (_group_means(question[rows], p[rows], len(comparison)) for rows in asked)
        values = np.where(whole, (first + second) / 2, values)
        sides = np.sign(np.column_stack([first, second])[~np.isnan(first + second)] - 0.5)
        if len(sides):
            reversals = float((sides.prod(axis=1) < 0).mean())
            tie_changes = float(((sides == 0).sum(axis=1) == 1).mean())
    once = orders == 1
    half, alone, twice = (int(kind.sum()) for kind in (once & both_wanted, once & ~both_wanted, orders == 2))
    told = Orders(reversals, tie_changes, half_asked=half, once_asked=alone, twice_asked=twice)
    complete = ~np.isnan(values)
    return _group_means(comparison[complete], values[complete], n), told


def asked_orders(
    question: Codes, comparison: Codes, asked: tuple[NDArray[np.bool_], NDArray[np.bool_]], n: int
) -> Codes:
    """In how many orders (0, 1 or 2) each of `n` comparisons was asked within one question, of calls as `swap_means`
    takes them."""
    orders = np.zeros(n, dtype=np.int64)
    for called in _called(question, len(comparison), asked):
        orders += np.bincount(comparison[called], minlength=n) > 0
    return orders


def wanted_both(orders: Codes, recorded: Codes | None = None, pair: Codes | None = None) -> NDArray[np.bool_]:
    """Whether each of n comparisons, asked in so many `orders`, was to be asked in both.

    As is `recorded` of it (1 in both, 0 in one, −1 nothing), else as the majority says of those of its `pair` of models
    of which nothing is (`asks_both`). None of them where all were asked in one: whoever keeps one order's rows of a
    judge that asks both means to look at them.
    """
    if not (orders == 2).any():
        return np.zeros(len(orders), dtype=np.bool_)
    known = np.full(len(orders), -1) if recorded is None else recorded
    of = np.zeros(len(orders), dtype=np.int64) if pair is None else pair
    told = np.where(known < 0, orders, 0)
    each, twice = (np.bincount(of[told >= k], minlength=int(of.max()) + 1) for k in (1, 2))
    return np.where(known < 0, asks_both(each, twice)[of], known == 1)


def asks_both(asked: Codes | list[int], both: Codes | list[int]) -> NDArray[np.bool_]:
    """Whether the comparisons of each pair of models were to be asked in both orders: where at least half of those that
    were `asked` were asked in `both`. Of fewer than `TELLING` the majority of all pairs decides, which is one judge's.
    """
    each, twice = np.asarray(asked, dtype=np.int64), np.asarray(both, dtype=np.int64)
    of_all = 2 * twice.sum() >= max(1, each.sum())
    return np.where(each >= TELLING, 2 * twice >= each, of_all)


def _called(
    question: Codes, n: int, asked: tuple[NDArray[np.bool_], NDArray[np.bool_]]
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which of `n` questions were asked in either order, and which in both."""
    called = [np.bincount(question[rows], minlength=n) > 0 for rows in asked]
    return called[0] | called[1], called[0] & called[1]


def _group_means(group: Codes, values: Array, n: int) -> Array:
    """The mean of each group's values, NaN where it has none."""
    known = ~np.isnan(values)
    count = np.bincount(group[known], minlength=n)
    total = np.bincount(group[known], values[known], minlength=n)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
