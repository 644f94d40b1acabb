"""Verdicts in, comparable units out: one p per (comparison, annotator), always seen from the baseline.

A row is one call. Two orders and several repeats of one comparison are averaged to one p before anything is counted
(see `swap_means`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.data.frames import Verdicts
from simfarm.data.identity import Codes, comparison_codes, lacking, row_codes
from simfarm.errors import InputError
from simfarm.ranking.position import first_shown
from simfarm.statistics.estimate import Array
from simfarm.statistics.swaps import Orders, order_counts, swap_means

__all__ = [
    "Units",
    "averaged",
    "find_baseline",
    "judge_hash_of",
    "orders_asked",
    "units_by_annotator",
    "units_of",
]

GROUPS = ("dataset", "category")


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


def averaged(part: pd.DataFrame, both_wanted: bool | None = None) -> tuple[pd.DataFrame, Array, Orders]:
    """(one row of each comparison, its p averaged over the calls, what its orders did) of one annotator's rows (of
    `Verdicts.table`). p is how strongly output_2 is preferred, NaN without a verdict. `both_wanted` is for rows that
    are a part of all: whether the judge is to ask both orders (see `swap_means`)."""
    slim = lacking(part)
    comparison = comparison_codes(part, slim)
    p, orders = _average_calls(part, comparison, both_wanted)
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


def orders_asked(part: pd.DataFrame) -> tuple[int, int]:
    """(comparisons that were asked, those asked in both orders) among one annotator's rows (of `Verdicts.table`)."""
    return order_counts(*_questions(part, comparison_codes(part, lacking(part))))


def _questions(
    part: pd.DataFrame, comparison: Codes
) -> tuple[Codes, Codes, tuple[NDArray[np.bool_], NDArray[np.bool_]]]:
    """(the question of each call, the comparison of each question, which calls showed either output first)."""
    question = row_codes([comparison, part["repeat"]])
    of_question = np.zeros(int(question.max()) + 1, dtype=np.int64)
    of_question[question] = comparison
    return question, of_question, ((part["order"] == "12").to_numpy(), (part["order"] == "21").to_numpy())


def _average_calls(part: pd.DataFrame, comparison: Codes, both_wanted: bool | None) -> tuple[Array, Orders]:
    """p of each comparison (mean over its complete repeats, NaN without any), and what the orders did to it."""
    n = int(comparison.max()) + 1 if len(comparison) else 0
    p = part["preference"].to_numpy() - 1
    if n == len(part) and part["order"].isna().all():
        values = np.full(n, np.nan)
        values[comparison] = p
        return values, Orders()
    question, of_question, asked = _questions(part, comparison)
    return swap_means(question, of_question, p, asked, n, both_wanted=both_wanted)


def _cut_off(head: pd.DataFrame) -> int:
    sides = [head[c] == "length" for c in ("finish_reason_1", "finish_reason_2") if c in head]
    return int(np.logical_or.reduce(sides).sum()) if sides else 0


def _names(values: Sequence[Any]) -> str:
    shown = ", ".join(repr(v) for v in values[:5])
    return shown if len(values) <= 5 else f"{shown} and {len(values) - 5} more"
