"""Verdicts in, comparable units out: one p per (comparison, annotator), always seen from the baseline.

A row is one call. Two orders and several repeats of one comparison are averaged to one p before anything is counted
(see `swap_means`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.data.frames import Verdicts
from simfarm.data.identity import Codes, comparison_codes, lacking, row_codes
from simfarm.errors import InputError
from simfarm.ranking.position import first_shown
from simfarm.statistics.estimate import Array
from simfarm.statistics.swaps import Orders, asked_orders, asks_both, swap_means, wanted_both

__all__ = [
    "Units",
    "averaged",
    "both_wanted",
    "find_baseline",
    "judge_hash_of",
    "orders_asked",
    "units_by_annotator",
    "units_of",
]

GROUPS = ("dataset", "category")

Pair = tuple[str, str]
"""Two generators, in the order of their names: in either place."""
Asked = tuple[dict[Pair, tuple[int, int]], bool]


@dataclass(frozen=True)
class Units:
    """What one annotator said, against one baseline.

    `table` has one row per comparison: cluster (int code, the same in every annotator's units), model, p (how strongly
    the model is preferred, NaN without a verdict), length (characters of the model's output), length_baseline, and
    dataset, category, instruction_sha256, instruction_id where the file has them. `calls` counts calls by model in
    columns n_unparseable and n_error. `first_shown` is how often the output shown first won (see `position`).
    """

    annotator: str
    baseline: str
    judge_hash: str
    table: pd.DataFrame
    calls: pd.DataFrame
    orders: Orders
    left_out: int
    empty_outputs: int
    cut_off_outputs: int
    first_shown: float | None = None


def find_baseline(verdicts: Verdicts, baseline: str | None = None) -> str:
    """The generator all others are compared with: the one named, else the only one on the output_1 side."""
    data = verdicts.table
    first = list(pd.unique(data["generator_1"]))
    if baseline is not None:
        known = sorted({*first, *pd.unique(data["generator_2"])}, key=str)
        if baseline not in known:
            raise InputError(f"no annotation has the baseline {baseline!r}; the generators are {_names(known)}")
        return baseline
    if len(first) > 1:
        raise InputError(f"the baseline could be {_names(sorted(first, key=str))}; choose one with --baseline NAME")
    return str(first[0])


def units_by_annotator(verdicts: Verdicts, baseline: str, *, allow_mixed: bool = False) -> list[Units]:
    """Units of each annotator, in order of first appearance; raises as `judge_hash_of`."""
    return [units_of(part, annotator, baseline, allow_mixed=allow_mixed) for annotator, part in verdicts.by_annotator()]


def units_of(part: pd.DataFrame, annotator: str, baseline: str, *, allow_mixed: bool = False) -> Units:
    """Units of one annotator's rows (of `Verdicts.table`); raises as `judge_hash_of`."""
    judge_hash = judge_hash_of(part, annotator, allow_mixed)
    involved = (part["generator_1"] == baseline) | (part["generator_2"] == baseline)
    left_out = int((~involved).sum())
    part = part[involved] if left_out else part
    head, p, orders = averaged(part)
    flipped = ((head["generator_2"] == baseline) & (head["generator_1"] != baseline)).to_numpy()
    table = pd.DataFrame(
        {
            "cluster": head["cluster"].to_numpy(),
            "model": _turned(head["generator_2"], head["generator_1"], flipped),
            "p": np.where(flipped, 1 - p, p),
            "length": np.where(flipped, head["length_1"], head["length_2"]),
            "length_baseline": np.where(flipped, head["length_2"], head["length_1"]),
        }
    )
    for column in (*GROUPS, "instruction_sha256", "instruction_id"):
        if column in head:
            table[column] = head[column].values
    model = _turned(part["generator_2"], part["generator_1"], (part["generator_2"] == baseline).to_numpy())
    unparseable = part["status"] == "unparseable"
    calls = pd.DataFrame(
        {"n_unparseable": unparseable.to_numpy(), "n_error": ((part["status"] != "verdict") & ~unparseable).to_numpy()}
    )
    empty = (table["length"] == 0).sum() + (table.drop_duplicates("cluster")["length_baseline"] == 0).sum()
    return Units(
        annotator=annotator,
        baseline=baseline,
        judge_hash=judge_hash,
        table=table,
        calls=calls.groupby(model, observed=True).sum(),
        orders=orders,
        left_out=left_out,
        empty_outputs=int(empty),
        cut_off_outputs=_cut_off(head),
        first_shown=first_shown(part),
    )


def _turned(column: pd.Series[Any], other: pd.Series[Any], flipped: NDArray[np.bool_]) -> Any:
    """The column's values, those of the other column in the rows that are flipped."""
    return np.where(flipped, other, column) if flipped.any() else column.values


def averaged(part: pd.DataFrame, wanted: Mapping[Pair, bool] | None = None) -> tuple[pd.DataFrame, Array, Orders]:
    """(one row of each comparison, its p averaged over the calls, what its orders did) of one annotator's rows (of
    `Verdicts.table`). p is how strongly output_2 is preferred, NaN without a verdict. `wanted` is for rows that are a
    part of all: whose comparisons are to be asked in both orders where no row says so (`both_wanted`)."""
    slim = lacking(part)
    comparison = comparison_codes(part, slim)
    p, orders = _average_calls(part, comparison, wanted)
    if len(p) == len(part):
        return part, p, orders
    last = np.argsort(slim, kind="stable")[::-1]
    first = np.empty(len(p), dtype=np.int64)
    first[comparison[last]] = (
        last  # of equal ones the last that is written stays: the first, one with texts before others
    )
    head = part.iloc[first]
    # a covariate may be measured at each call
    own = [str(column) for column in part if str(column).startswith("covariate_")]
    measured = {column: part[column].groupby(comparison).mean().to_numpy() for column in own}
    return head.assign(**measured) if measured else head, p, orders


def judge_hash_of(part: pd.DataFrame, annotator: str, allow_mixed: bool) -> str:
    """The one judge hash of an annotator's rows; raises `InputError` where the name covers two judges: a mean over
    both is nobody's verdict."""
    hashes = list(pd.unique(part["judge_hash"]))
    if len(hashes) > 1 and not allow_mixed:
        raise InputError(
            f"annotator {annotator!r} mixes {len(hashes)} judges (judge_hash {_names(hashes)}); "
            "evaluate them apart, or give --mix-judges"
        )
    return str(hashes[0]) if len(hashes) == 1 else "mixed"


def orders_asked(part: pd.DataFrame) -> Asked:
    """(comparisons that were asked, those asked in both orders) of each pair of models, among one annotator's rows (of
    `Verdicts.table`) that do not say what was to be asked; and whether any comparison was asked in both."""
    comparison = comparison_codes(part, lacking(part))
    n = _number(comparison)
    pairs, of = _pairs(part, comparison, n)
    orders = asked_orders(*_questions(part, comparison), n)
    told = np.where(_recorded(part, comparison, n) < 0, orders, 0)
    each, twice = (np.bincount(of[told >= k], minlength=len(pairs)) for k in (1, 2))
    return {pair: (int(each[k]), int(twice[k])) for k, pair in enumerate(pairs)}, bool((orders == 2).any())


def both_wanted(asked: Iterable[Asked]) -> dict[Pair, bool] | None:
    """Whether each pair's comparisons are to be asked in both orders where no row says so, told by what was asked
    (`asks_both`), in all parts together (`orders_asked` of each). None where nothing was asked in both."""
    total: dict[Pair, tuple[int, int]] = {}
    any_twice = False
    for counts, some in asked:
        any_twice |= some
        for pair, (each, twice) in counts.items():
            known = total.get(pair, (0, 0))
            total[pair] = known[0] + each, known[1] + twice
    told = asks_both([each for each, _ in total.values()], [twice for _, twice in total.values()])
    return dict(zip(total, map(bool, told), strict=True)) if any_twice else None


def _number(comparison: Codes) -> int:
    return int(comparison.max()) + 1 if len(comparison) else 0


def _pairs(part: pd.DataFrame, comparison: Codes, n: int) -> tuple[list[Pair], Codes]:
    """(the pairs of models, which of them each of `n` comparisons is of)."""
    row = np.empty(n, dtype=np.int64)
    row[comparison] = np.arange(len(comparison))
    sides = [part[f"generator_{side}"].iloc[row] for side in ("1", "2")]
    codes, names = pd.factorize(np.concatenate([side.astype(object).to_numpy() for side in sides]))
    rank = np.argsort(np.argsort(names.astype(str)))[codes].reshape(2, -1)
    listed = sorted(map(str, names))
    both, of = np.unique(rank.min(axis=0) * len(listed) + rank.max(axis=0), return_inverse=True)
    return [(listed[int(k) // len(listed)], listed[int(k) % len(listed)]) for k in both], of


def _recorded(part: pd.DataFrame, comparison: Codes, n: int) -> Codes:
    """What `judge_order` says of each of `n` comparisons: 1 that it was to be asked in both orders, 0 in one, −1
    nothing."""
    recorded = np.full(n, -1, dtype=np.int64)
    if "judge_order" in part:
        judge = part["judge_order"]
        for says, rows in ((0, judge.notna()), (1, judge == "both")):
            recorded[comparison[rows.to_numpy(dtype=bool)]] = says
    return recorded


def _wanted(
    part: pd.DataFrame, comparison: Codes, orders: Codes, told: Mapping[Pair, bool] | None
) -> tuple[NDArray[np.bool_], tuple[str, ...], int]:
    """(whether each comparison is to be asked in both orders; whose were asked in one of those that count, where others
    were asked in both; how many halves count, because the file has one order alone).

    A row's `judge_order` says it, else the majority (`wanted_both`), or what was `told`.
    """
    n = len(orders)
    recorded = _recorded(part, comparison, n)
    if told is None and not (orders == 2).any():
        return wanted_both(orders, recorded), (), int(((recorded == 1) & (orders == 1)).sum())
    if not (orders == 1).any():
        return np.ones(n, dtype=bool), (), 0
    pairs, of = _pairs(part, comparison, n)
    if told is None:
        wanted = wanted_both(orders, recorded, of)
    else:
        wanted = np.where(recorded < 0, np.array([told[pair] for pair in pairs])[of], recorded == 1)
    once = np.unique(of[(orders == 1) & ~wanted])
    return wanted, tuple(sorted({name for k in once for name in pairs[k]})), 0


def _questions(
    part: pd.DataFrame, comparison: Codes
) -> tuple[Codes, Codes, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """(the question of each call, the comparison of each question, which calls showed either output first)."""
    question = row_codes([comparison, part["repeat"]])
    of_question = np.zeros(int(question.max()) + 1, dtype=np.int64)
    of_question[question] = comparison
    return question, of_question, ((part["order"] == "12").to_numpy(), (part["order"] == "21").to_numpy())


def _average_calls(part: pd.DataFrame, comparison: Codes, told: Mapping[Pair, bool] | None) -> tuple[Array, Orders]:
    """p of each comparison (mean over its complete repeats, NaN without any), and what the orders did to it."""
    n = _number(comparison)
    p = part["preference"].to_numpy() - 1
    if n == len(part) and part["order"].isna().all():
        values = np.full(n, np.nan)
        values[comparison] = p
        return values, Orders()
    question, of_question, asked = _questions(part, comparison)
    wanted, once_by, halves = _wanted(part, comparison, asked_orders(question, of_question, asked, n), told)
    values, orders = swap_means(question, of_question, p, asked, n, both_wanted=wanted)
    return values, replace(orders, once_by=once_by, halves_kept=halves)


def _cut_off(head: pd.DataFrame) -> int:
    sides = [head[c] == "length" for c in ("finish_reason_1", "finish_reason_2") if c in head]
    return int(np.logical_or.reduce(sides).sum()) if sides else 0


def _names(values: Sequence[Any]) -> str:
    shown = ", ".join(repr(v) for v in values[:5])
    return shown if len(values) <= 5 else f"{shown} and {len(values) - 5} more"
