"""Scores of single outputs in their one normal form, and the preferences that they imply.

A file of scores is what a judge that rates has written, here or elsewhere (MT-bench's grades): a row for each output
and repeat with `generator`, `annotator` and `score`. Wrong values end here, with the file and the row.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from simfarm.data.decision import SCORE
from simfarm.data.evidence import text_digest
from simfarm.data.identity import cluster_codes, identifiers
from simfarm.data.marks import COLUMNS, DOUBT, HIGH, LOW, MARK, Marks
from simfarm.data.meaning import STATUSES, TIE, status_of
from simfarm.data.reading import Columns
from simfarm.errors import InputError

__all__ = ["Scores", "holds_scores", "implied_preferences", "scores_from_rows"]

Row = Mapping[str, Any]

_NAMES = ("instruction", "instruction_id", "dataset", "judge_hash")
_TAKEN = ("price", "seconds")


@dataclass(frozen=True, slots=True)
class Scores:
    """A row for each score: `annotator`, `judge_hash`, `generator`, `sample`, `repeat`, `score` (NaN for none),
    `status`, `low` and `high` (the scale's ends, NaN where nobody says), `length` of the output, `instruction`,
    `instruction_id`, `dataset`, and `cluster`, the instruction's code and the unit of independence. Where they were
    asked for, the scores by criterion as `simfarm.data.marks` names them, with the score itself among them where the
    judge says how sure it is of it."""

    table: pd.DataFrame

    def by_annotator(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Each annotator's rows, in order of appearance."""
        for name, part in self.table.groupby("annotator", sort=False):
            yield str(name), part


def holds_scores(rows: Sequence[Row]) -> bool:
    """Whether a file holds scores, by the columns of its first rows: `score` alone may be an output's true score."""
    columns = {name for row in rows for name in row}
    return {"score", "annotator", "generator"} <= columns and not columns & {"preference", "output_1", "output_2"}


def scores_from_rows(
    sources: Iterable[tuple[str, Iterable[Row]]], criteria: bool = False, *, texts: bool = False
) -> Scores:
    """The scores of (name for messages, rows), with those by criterion where `criteria` are asked for and the outputs
    where `texts` are; raises `InputError` naming the row."""
    tables = []
    for source, rows in sources:
        kept, cells = [], []
        for number, row in enumerate(rows, 1):
            kept.append(_score(row, source, number) | ({"output": row.get("output")} if texts else {}))
            cells.append({name: row.get(name) for name in COLUMNS} if criteria else {})
        tables.append(_with_marks(pd.DataFrame(kept), cells, source) if criteria else pd.DataFrame(kept))
    table = pd.concat(tables, ignore_index=True)
    for column in ("sample", "repeat"):
        table[column] = identifiers(table[column], "0")
    return Scores(table.assign(cluster=cluster_codes(table)))


def _with_marks(table: pd.DataFrame, cells: Sequence[Row], source: str) -> pd.DataFrame:
    """The rows of one file with their scores by criterion (`cells` are what they hold of them)."""
    marks = Marks(wanted=True)
    marks.add(Columns({name: [row[name] for row in cells] for name in COLUMNS}, len(cells)))
    marks.require(source)
    table = table.assign(**marks.columns())
    if DOUBT + SCORE in table:
        ends = {MARK: "score", LOW: "low", HIGH: "high"}
        table = table.assign(**{f"{kind}{SCORE}": table[column] for kind, column in ends.items()})
    return table


def _score(row: Row, source: str, number: int) -> dict[str, Any]:
    where = f"{source}: row {number}"
    score, low, high = (_number(row, name, where) for name in ("score", "scale_low", "scale_high"))
    if not math.isnan(low) and not low < high:
        raise InputError(f"{where} has a scale from {low:g} to {high:g}, which is no scale; mend scale_low, scale_high")
    if score < low or score > high:
        raise InputError(
            f"{where} has the score {score:g}, outside of its scale ({low:g} to {high:g}); mend the score or the scale"
        )
    for name in ("generator", "annotator"):
        if row.get(name) is None or not str(row[name]).strip():
            raise InputError(f"{where} has no {name!r}; fill it in or drop the row")
    status = row.get("status") or status_of(None, not math.isnan(score))
    if status not in STATUSES or (status == "verdict") == math.isnan(score):
        raise InputError(f"{where} has the status {status!r} but its score says otherwise; mend one of the two")
    text, output = row.get("instruction"), row.get("output")
    named = {name: row.get(name) for name in _NAMES}
    return named | {
        "judge_hash": named["judge_hash"] or "unknown",
        "instruction_sha256": text_digest(text.strip()) if isinstance(text, str) else None,
        "instruction_start": text if isinstance(text, str) else None,
        "annotator": str(row["annotator"]),
        "generator": str(row["generator"]),
        "sample": row.get("sample"),
        "repeat": row.get("repeat"),
        "score": score,
        "low": low,
        "high": high,
        "status": status,
        "length": len(output) if isinstance(output, str) else math.nan,
        **{name: _number(row, name, where) for name in _TAKEN},
    }


def _number(row: Row, name: str, where: str) -> float:
    """A cell as a number, NaN where there is none."""
    value = row.get(name)
    if value is None or value == "":
        return math.nan
    try:
        number = math.inf if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.inf
    if math.isinf(number):
        raise InputError(f"{where} has the {name} {value!r}, which is no number; mend it or leave it empty")
    return number


def implied_preferences(scores: Scores, baseline: str | None = None) -> pd.DataFrame:
    """Rows of annotations: of two outputs to one instruction (and sample) by one annotator the higher score is
    preferred, equal scores are a tie. A model's score is the mean over repeats; where one is missing there is no
    verdict. What scoring an output took is shared among the pairs that it is in. Each model is compared with the
    `baseline`, or with each other where none is named. Raises `InputError` for a baseline without scores, and where no
    two models have scores on one instruction."""
    models = sorted({*scores.table["generator"]})
    if baseline is not None and baseline not in models:
        raise InputError(
            f"the baseline {baseline!r} has no scores; name one of {', '.join(models[:6])}, or add its outputs to the "
            "inputs, so that they are rated too"
        )
    groups: dict[tuple[Any, ...], dict[str, Row]] = {}
    for one in _by_model(scores.table):
        groups.setdefault((one["annotator"], one["cluster"], one["sample"]), {})[one["generator"]] = one
    rows: list[dict[str, Any]] = []
    for group in groups.values():
        pairs = list(combinations(sorted(group), 2))
        if baseline is not None:
            pairs = [(baseline, name) for name in group if name != baseline and baseline in group]
        shares = Counter(name for pair in pairs for name in pair)
        first = next(iter(group.values()))
        about = {name: first[name] for name in (*_NAMES, "annotator", "sample")}
        for names in pairs:
            taken = {t: sum(group[name][t] / shares[name] for name in names) for t in _TAKEN}
            rows.append(
                about
                | _preferred(*(group[name] for name in names))
                | dict(zip(("generator_1", "generator_2"), names, strict=True))
                | {name: value for name, value in taken.items() if not math.isnan(value)}
            )
    if not rows:
        raise InputError(
            "no two models have scores on one instruction: nothing is preferred; score the same instructions"
        )
    return pd.DataFrame(rows)


def _by_model(table: pd.DataFrame) -> list[dict[Any, Any]]:
    """The first row of each annotator, instruction, sample and model, with the mean of all scores there and what all of
    them took (NaN where one does not say)."""
    keys = ["annotator", "cluster", "sample", "generator"]
    by = table.groupby(keys, sort=False, observed=True)
    whole = {name: by[name].sum().where(by[name].count() == by.size()).to_numpy() for name in _TAKEN}
    rows = table.drop_duplicates(keys).assign(score=by["score"].mean().to_numpy(), **whole)
    return [dict(row) for row in rows.to_dict("records")]


def _preferred(one: Row, other: Row) -> dict[str, Any]:
    """What two scores say of their outputs, as columns of an annotation."""
    gap = other["score"] - one["score"]
    missing = math.isnan(gap)
    status = next((side["status"] for side in (one, other) if math.isnan(side["score"])), "verdict")
    preference = None if missing else TIE + 0.5 * float(np.sign(gap))
    texts = {f"output_{side}": row["output"] for side, row in ((1, one), (2, other)) if "output" in row}
    return texts | {
        "preference": preference,
        "status": status,
        "length_1": one["length"],
        "length_2": other["length"],
    }
