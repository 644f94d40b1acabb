"""Annotation rows in, comparable units out: one p per (comparison, annotator), always seen from the baseline.

A row is one call. Two orders and several repeats of one comparison are not independent evidence, so they are averaged
to one p before anything is counted, and a comparison that lost one of its orders has no verdict at all: half of a
swapped pair is exactly the position bias that asking twice was meant to remove.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from simfarm.errors import InputError
from simfarm.ranking.identity import (
    cluster_codes,
    comparison_codes,
    identifiers,
    lacking,
    objects,
    output_hashes,
    row_codes,
    text_digests,
)
from simfarm.ranking.position import first_shown

__all__ = [
    "Orders",
    "Units",
    "averaged",
    "by_annotator",
    "cluster_codes",
    "find_baseline",
    "judge_hash_of",
    "prepare",
    "units_by_annotator",
    "units_of",
]

GROUPS = ("dataset", "category")


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


def prepare(rows: pd.DataFrame) -> pd.DataFrame:
    """The rows with every column the estimates read: generators, status, order, repeat, lengths and a cluster code.

    The cluster is `instruction_id` where every row has one (with `dataset` where ids repeat across datasets), else the
    stripped instruction text or the messages. Ids are compared as text, because 0, 0.0 and "0" are one id that file
    formats change into each other. Raises `InputError` where no row can be told from another, or where one id stands
    for two instructions.
    """
    if rows.empty:
        raise InputError("there are no annotations to evaluate; was the run that wrote them stopped?")
    for column in ("preference", "annotator"):
        if column not in rows:
            raise InputError(f"the annotations have no column {column!r}; evaluate needs files written by annotate")
    data = rows.reset_index(drop=True)
    preference = data["preference"].to_numpy(dtype="float64")
    for side in ("1", "2"):
        data[f"generator_{side}"] = _filled(data, f"generator_{side}", f"output_{side}")
        data[f"length_{side}"] = _lengths(data, side)
        data[f"output_{side}_hash"] = output_hashes(data, side)
    if "status" not in data or data["status"].isna().any():
        derived = np.where(np.isnan(preference), "unparseable", "verdict").astype(object)
        status = _column(data, "status").to_numpy(dtype=object)
        data["status"] = objects(np.where(pd.isna(status), derived, status))
    data["preference"] = np.where((data["status"] == "verdict").to_numpy(), preference, np.nan)
    data["order"] = _column(data, "order")
    for column in ("repeat", "sample"):
        data[column] = identifiers(data[column], 0) if column in data else 0
    data["judge_hash"] = _filled(data, "judge_hash", "unknown")
    for column in ("instruction", "messages"):
        if column in data or f"{column}_sha256" in data:
            data[f"{column}_sha256"] = text_digests(data, column)
    data["cluster"] = cluster_codes(data)
    return data


def find_baseline(data: pd.DataFrame, baseline: str | None = None) -> str:
    """The generator all others are compared with: the one named, else the only one on the output_1 side."""
    first = list(pd.unique(data["generator_1"]))
    if baseline is not None:
        known = sorted({*first, *pd.unique(data["generator_2"])}, key=str)
        if baseline not in known:
            raise InputError(f"no annotation has the baseline {baseline!r}; the generators are {_names(known)}")
        return baseline
    if len(first) > 1:
        raise InputError(f"the baseline could be {_names(sorted(first, key=str))}; choose one with --baseline NAME")
    return str(first[0])


def units_by_annotator(data: pd.DataFrame, baseline: str, *, allow_mixed: bool = False) -> list[Units]:
    """Units of each annotator in `data` (from `prepare`), in order of first appearance; raises as `judge_hash_of`."""
    return [units_of(part, annotator, baseline, allow_mixed=allow_mixed) for annotator, part in by_annotator(data)]


def by_annotator(data: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """(annotator, its rows) in order of first appearance; a lone annotator's rows are not copied."""
    names = pd.unique(data["annotator"])
    if len(names) == 1:
        yield str(names[0]), data
        return
    for name, part in data.groupby("annotator", sort=False, observed=True):
        yield str(name), part


def units_of(part: pd.DataFrame, annotator: str, baseline: str, *, allow_mixed: bool = False) -> Units:
    """Units of one annotator's rows (from `prepare`); raises as `judge_hash_of`."""
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


def _turned(column: pd.Series[Any], other: pd.Series[Any], flipped: np.ndarray[Any, Any]) -> Any:
    """The column's values, those of the other column in the rows that are flipped."""
    return np.where(flipped, other, column) if flipped.any() else column.values


def averaged(part: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray[Any, Any], Orders]:
    """(one row of each comparison, its p averaged over the calls, what its orders did) of one annotator's rows (from
    `prepare`). p is how strongly output_2 is preferred, NaN without a verdict."""
    slim = lacking(part)
    comparison = comparison_codes(part, slim)
    p, orders = _average_calls(part, comparison)
    if len(p) == len(part):
        return part, p, orders
    last = np.argsort(slim, kind="stable")[::-1]
    first = np.empty(len(p), dtype=np.int64)
    first[comparison[last]] = (
        last  # of equal ones the last that is written stays: the first, one with texts before others
    )
    return part.iloc[first], p, orders


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


def _average_calls(part: pd.DataFrame, comparison: np.ndarray[Any, Any]) -> tuple[np.ndarray[Any, Any], Orders]:
    """p of each comparison (mean over its complete repeats, NaN without any), and what the orders did to it."""
    n = int(comparison.max()) + 1 if len(comparison) else 0
    order = part["order"]
    p = part["preference"].to_numpy() - 1
    if n == len(part) and order.isna().all():
        values = np.full(n, np.nan)
        values[comparison] = p
        return values, Orders()
    question = row_codes([comparison, part["repeat"]])
    of_question = np.zeros(int(question.max()) + 1, dtype=np.int64)
    of_question[question] = comparison
    in_order = {name: (order == name).to_numpy() for name in ("12", "21")}
    called = {name: np.bincount(question[rows], minlength=len(of_question)) > 0 for name, rows in in_order.items()}
    either, both = called["12"] | called["21"], called["12"] & called["21"]
    values, orders = _group_mean(question, p, len(of_question)), Orders()
    if both.any():
        means = {name: _group_mean(question[rows], p[rows], len(of_question)) for name, rows in in_order.items()}
        values = np.where(either, (means["12"] + means["21"]) / 2, values)
        sides = np.sign(np.column_stack([means["12"], means["21"]])[~np.isnan(means["12"] + means["21"])] - 0.5)
        half_asked = np.setdiff1d(of_question[either], of_question[both])
        orders = Orders(half_asked=len(half_asked))
        if len(sides):
            reversed_, changed = sides.prod(axis=1) < 0, (sides == 0).sum(axis=1) == 1
            orders = Orders(float(reversed_.mean()), float(changed.mean()), len(half_asked))
    complete = ~np.isnan(values)
    return _group_mean(of_question[complete], values[complete], n), orders


def _group_mean(group: np.ndarray[Any, Any], values: np.ndarray[Any, Any], n: int) -> np.ndarray[Any, Any]:
    known = ~np.isnan(values)
    count = np.bincount(group[known], minlength=n)
    total = np.bincount(group[known], values[known], minlength=n)
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def _lengths(data: pd.DataFrame, side: str) -> np.ndarray[Any, Any]:
    given = pd.to_numeric(_column(data, f"length_{side}")).to_numpy(dtype="float64", na_value=np.nan)
    if f"output_{side}" not in data:
        return given
    text = data[f"output_{side}"]
    return np.where(text.isna(), given, text.map(len, na_action="ignore").astype("float64"))


def _filled(data: pd.DataFrame, name: str, default: str) -> pd.Series[Any]:
    column = _column(data, name)
    return column.astype(object).where(column.notna(), default) if column.isna().any() else column


def _cut_off(head: pd.DataFrame) -> int:
    sides = [head[c] == "length" for c in ("finish_reason_1", "finish_reason_2") if c in head]
    return int(np.logical_or.reduce(sides).sum()) if sides else 0


def _column(data: pd.DataFrame, name: str) -> pd.Series[Any]:
    """A column; where it is absent, one in which nothing is there."""
    if name in data:
        return data[name]
    return pd.Series(pd.Categorical.from_codes(np.full(len(data), -1), pd.Index([], dtype=object)))


def _names(values: Sequence[Any]) -> str:
    shown = ", ".join(repr(v) for v in values[:5])
    return shown if len(values) <= 5 else f"{shown} and {len(values) - 5} more"
