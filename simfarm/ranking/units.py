"""Annotation rows in, comparable units out: one p per (comparison, annotator), always seen from the baseline.

A row is one call. Two orders and several repeats of one comparison are not independent evidence, so they are averaged
to one p before anything is counted, and a comparison that lost one of its orders has no verdict at all: half of a
swapped pair is exactly the position bias that asking twice was meant to remove.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from simfarm.errors import InputError
from simfarm.ranking.position import first_shown

__all__ = [
    "Orders",
    "Units",
    "averaged",
    "cluster_codes",
    "find_baseline",
    "judge_hash_of",
    "prepare",
    "units_by_annotator",
]

TEXT = ("output_1", "output_2")
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
    dataset, category, instruction, instruction_id where the file has them. `calls` counts calls by model in columns
    n_unparseable and n_error. `first_shown` is how often the output shown first won (see `position`).
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
    data = rows.reset_index(drop=True).copy(deep=False)
    data["preference"] = data["preference"].astype("float64")
    for side in ("1", "2"):
        default = f"output_{side}"
        data[f"generator_{side}"] = _column(data, f"generator_{side}").fillna(default).astype(object)
        data[f"length_{side}"] = _lengths(data, side)
    status = _column(data, "status")
    data["status"] = status.where(
        status.notna(), np.where(data["preference"].isna(), "unparseable", "verdict").astype(object)
    )
    data.loc[data["status"] != "verdict", "preference"] = np.nan
    data["order"] = _column(data, "order").astype(object)
    for column in ("repeat", "sample"):
        data[column] = _identifiers(_column(data, column), 0)
    data["judge_hash"] = _column(data, "judge_hash").fillna("unknown").astype(object)
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
    return [
        _units(part, str(annotator), baseline, judge_hash_of(part, str(annotator), allow_mixed))
        for annotator, part in data.groupby("annotator", sort=False)
    ]


def _units(part: pd.DataFrame, annotator: str, baseline: str, judge_hash: str) -> Units:
    involved = (part["generator_1"] == baseline) | (part["generator_2"] == baseline)
    left_out = int((~involved).sum())
    part = part[involved]
    head, p, orders = averaged(part)
    flipped = ((head["generator_2"] == baseline) & (head["generator_1"] != baseline)).to_numpy()
    table = pd.DataFrame(
        {
            "cluster": head["cluster"].to_numpy(),
            "model": np.where(flipped, head["generator_1"], head["generator_2"]),
            "p": np.where(flipped, 1 - p, p),
            "length": np.where(flipped, head["length_1"], head["length_2"]),
            "length_baseline": np.where(flipped, head["length_2"], head["length_1"]),
        }
    )
    for column in (*GROUPS, "instruction", "instruction_id"):
        if column in head:
            table[column] = head[column].to_numpy()
    model = np.where(part["generator_2"] == baseline, part["generator_1"], part["generator_2"])
    status = part["status"].to_numpy()
    calls = pd.DataFrame(
        {"n_unparseable": status == "unparseable", "n_error": ~np.isin(status, ["verdict", "unparseable"])}
    )
    empty = (table["length"] == 0).sum() + (table.drop_duplicates("cluster")["length_baseline"] == 0).sum()
    return Units(
        annotator=annotator,
        baseline=baseline,
        judge_hash=judge_hash,
        table=table,
        calls=calls.groupby(model).sum(),
        orders=orders,
        left_out=left_out,
        empty_outputs=int(empty),
        cut_off_outputs=_cut_off(head),
        first_shown=first_shown(part),
    )


def averaged(part: pd.DataFrame) -> tuple[pd.DataFrame, np.ndarray[Any, Any], Orders]:
    """(one row of each comparison, its p averaged over the calls, what its orders did) of one annotator's rows (from
    `prepare`). p is how strongly output_2 is preferred, NaN without a verdict."""
    lacking = _lacking(part)
    comparison = _comparison_codes(part, lacking)
    p, orders = _average_calls(part, comparison)
    texts_first = np.argsort(lacking, kind="stable")
    _, first = np.unique(comparison[texts_first], return_index=True)
    return part.iloc[texts_first[first]], p, orders


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
    order = part["order"].to_numpy()
    p = part["preference"].to_numpy() - 1
    asked = pd.DataFrame({"c": comparison, "r": part["repeat"].to_numpy(), "p": p})
    if part["order"].isna().all() and not asked.duplicated(["c"]).any():
        values = np.full(n, np.nan)
        values[comparison] = p
        return values, Orders()
    question = asked.groupby(["c", "r"], sort=False).ngroup().to_numpy()
    of_question = np.zeros(int(question.max()) + 1, dtype=np.int64)
    of_question[question] = comparison
    called = {name: np.bincount(question[order == name], minlength=len(of_question)) > 0 for name in ("12", "21")}
    either, both = called["12"] | called["21"], called["12"] & called["21"]
    values, orders = _group_mean(question, p, len(of_question)), Orders()
    if both.any():
        means = {name: _group_mean(question[order == name], p[order == name], len(of_question)) for name in called}
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


def _text_columns(part: pd.DataFrame) -> list[str]:
    return [c for c in TEXT if c in part and part[c].notna().any()]


def _lacking(part: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Rows without a text that other rows have: those of a slim file among full ones."""
    return part[_text_columns(part)].isna().any(axis=1).to_numpy()


def _comparison_codes(part: pd.DataFrame, lacking: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which comparison each row is about: the same two outputs to the same instruction (slim: the same lengths).

    A row without texts among rows with them is the comparison that has its lengths, so that a model given in a full and
    in a slim file counts once.
    """
    lengths = ["length_1", "length_2"]
    keys = ["cluster", "generator_1", "generator_2", "sample", *lengths]
    codes = part.groupby([*keys, *_text_columns(part)], sort=False, dropna=False).ngroup().to_numpy()
    if not lacking.any() or lacking.all():
        return codes
    alike = part.groupby(keys, sort=False, dropna=False).ngroup().to_numpy()
    of_alike = np.full(alike.max() + 1, -1)
    of_alike[alike[~lacking][::-1]] = codes[~lacking][::-1]
    found = lacking & part[lengths].notna().all(axis=1).to_numpy() & (of_alike[alike] >= 0)
    return pd.factorize(np.where(found, of_alike[alike], codes))[0].astype(np.int64)


def cluster_codes(data: pd.DataFrame) -> np.ndarray[Any, Any]:
    """The cluster of each row, from its instruction_id, dataset and instruction (or messages), as `prepare` says."""
    if "instruction_id" in data and data["instruction_id"].notna().all():
        keys = {"id": _identifiers(data["instruction_id"])}
        if "dataset" in data:
            with_dataset = keys | {"dataset": _identifiers(data["dataset"], "")}
            if pd.DataFrame(with_dataset).drop_duplicates()["id"].duplicated().any():
                keys = with_dataset
        codes = pd.DataFrame(keys).groupby(list(keys), sort=False).ngroup().to_numpy()
        _refuse_shared_ids(data, codes)
        return codes
    text = _column(data, "instruction").map(str.strip, na_action="ignore")
    if text.isna().any() and "messages" in data:
        text = text.fillna(data["messages"].map(_message_key, na_action="ignore"))
    if text.isna().any():
        raise InputError(
            f"annotation row {int(text.isna().to_numpy().argmax()) + 1} has neither instruction_id nor instruction; "
            "one of them must say which answers belong together"
        )
    return pd.factorize(text)[0].astype(np.int64)


def _refuse_shared_ids(data: pd.DataFrame, cluster: np.ndarray[Any, Any]) -> None:
    """Two sets that both number their instructions from 0 would otherwise be taken for one."""
    for column, key in (("instruction", str.strip), ("messages", _message_key)):
        texts = _column(data, column).map(key, na_action="ignore").replace("", None)
        known = texts.notna().to_numpy()
        row = np.flatnonzero(known)
        codes, different = pd.factorize(texts[known])
        pairs = pd.DataFrame({"cluster": cluster[row], "code": codes}).drop_duplicates()
        again = pairs["cluster"].duplicated().to_numpy()
        if again.any():
            place, second = int(pairs.index[again][0]), int(pairs["code"][again].iloc[0])
            first = int(codes[cluster[row] == cluster[row[place]]][0])
            raise InputError(
                f"instruction_id {str(data['instruction_id'].iloc[row[place]])!r} stands for two different "
                f"instructions, {different[first][:40]!r} and {different[second][:40]!r}; drop the column "
                "instruction_id, or add a column dataset that tells the sets apart"
            )


def _identifiers(column: pd.Series[Any], missing: Any = None) -> pd.Series[Any]:
    """Ids so that equal ones compare equal, whatever a file format made of them; `missing` stands where none is."""
    if pd.api.types.is_numeric_dtype(column) and column.notna().all():
        return column
    return column.astype(object).where(column.notna(), missing).map(_identifier)


def _identifier(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip().removesuffix(".0")


def _message_key(messages: Any) -> str:
    return messages if isinstance(messages, str) else json.dumps(list(messages), sort_keys=True, default=str)


def _lengths(data: pd.DataFrame, side: str) -> np.ndarray[Any, Any]:
    length = pd.to_numeric(_column(data, f"length_{side}")).astype("float64")
    text = _column(data, f"output_{side}")
    return length.where(text.isna(), text.map(len, na_action="ignore").astype("float64")).to_numpy()


def _cut_off(head: pd.DataFrame) -> int:
    sides = [head[c] == "length" for c in ("finish_reason_1", "finish_reason_2") if c in head]
    return int(np.logical_or.reduce(sides).sum()) if sides else 0


def _column(data: pd.DataFrame, name: str) -> pd.Series[Any]:
    return data[name] if name in data else pd.Series(None, index=data.index, dtype=object)


def _names(values: Sequence[Any]) -> str:
    shown = ", ".join(repr(v) for v in values[:5])
    return shown if len(values) <= 5 else f"{shown} and {len(values) - 5} more"
