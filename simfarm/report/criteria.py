"""Scores by criterion beside a board: models × criteria, as people and machines read them."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from simfarm.report.tables import Part, Sheet

if TYPE_CHECKING:
    from simfarm.ranking.criteria import CriteriaBoard

__all__ = ["with_criteria"]

AT_ONCE = 4
"""Criteria side by side in one table: more are in tables below it, since what does not fit a screen is left out."""

WIDE = 20
"""From here on a score has one digit after the point."""

_WORDS = {"mean": "mean score by criterion", "win-rate": "win rate by criterion"}
_COLUMNS = {
    "mean": {
        "value": "score",
        "standard_error": "standard_error",
        "low": "score_low",
        "high": "score_high",
        "own_error": "own_error",
        "n_instructions": "n_instructions",
    },
    "win-rate": {
        "value": "win_rate",
        "standard_error": "standard_error",
        "low": "win_rate_low",
        "high": "win_rate_high",
        "n_instructions": "n_instructions",
    },
}

OWN = (
    "the interval is about other instructions of this kind; the judge's own uncertainty is about these very answers: "
    "how far from the score what is true of them may lie (one standard error), if the judge's probabilities are true; "
    "the two are not to be added up"
)


def with_criteria(sheet: Sheet, board: CriteriaBoard | None) -> Sheet:
    """The sheet of an annotator's board with the scores by criterion: tables below it, columns `…_criterion_NAME`
    beside those of its models, and `criteria` in the record. None is no change."""
    if board is None:
        return sheet
    order = [str(model) for model in sheet.table["model"]]
    parts = _parts(board, order)
    record = {**sheet.record, "criteria": board.to_json()}
    return replace(
        sheet,
        parts=[*sheet.parts, *parts],
        table=_wide(sheet.table, board),
        record=record,
        warnings=[*sheet.warnings, *board.warnings],
    )


def _wide(table: pd.DataFrame, board: CriteriaBoard) -> pd.DataFrame:
    for criterion, part in board.table.groupby("criterion", sort=False):
        own = part.set_index("model")
        table = table.assign(
            **{
                f"{ours}_criterion_{criterion}": table["model"].map(own[column])
                for column, ours in _COLUMNS[board.by].items()
            }
        )
    return table


def _parts(board: CriteriaBoard, order: Sequence[str]) -> list[Part]:
    percent = f"{100 * board.level:g} %"
    over = "" if board.by == "mean" else f" over {board.baseline}"
    title = f"{board.annotator} · {_WORDS[board.by]}{over}"
    remarks = [*board.notes, *_of_pairs(board, percent)]
    doubted = board.table["own_error"].notna().any()
    parts = _tables(board, order, f"{title} · {percent}", _interval)
    if doubted:
        remarks.append(OWN)
        parts += _tables(
            board, order, f"{board.annotator} · the judge's own uncertainty of these scores · one standard error", _own
        )
    if not parts and remarks:
        parts = [Part(title, ["criterion"], [])]
    return [*parts[:-1], replace(parts[-1], remarks=remarks)] if parts else []


def _tables(board: CriteriaBoard, order: Sequence[str], title: str, cell: Callable[[Any], str]) -> list[Part]:
    """Models × criteria, so many criteria a table as a screen holds."""
    cells = {(row["criterion"], row["model"]): cell(row) for row in board.table.to_dict("records")}
    marked = [str(model) for model in pd.unique(board.table["model"])]
    models = [*(model for model in order if model in marked), *(model for model in marked if model not in order)]
    called = {model: f"{model} (baseline)" if model == board.baseline else model for model in models}
    parts = []
    for start in range(0, len(board.criteria), AT_ONCE):
        some = board.criteria[start : start + AT_ONCE]
        rows = [[called[model], *(cells.get((criterion, model), "–") for criterion in some)] for model in models]
        parts.append(Part(title, ["model", *some], rows))
    return parts


def _interval(row: Any) -> str:
    digits = _digits(row)
    if math.isnan(row["low"]):
        return f"{row['value']:.{digits}f}"
    return f"{row['value']:.{digits}f} {row['low']:.{digits}f}–{row['high']:.{digits}f}".replace("-", "−")


def _own(row: Any) -> str:
    return "–" if math.isnan(row["own_error"]) else f"± {row['own_error']:.{_digits(row) + 1}f}"


def _digits(row: Any) -> int:
    """One for percents and wide scales, two for the others."""
    return 1 if abs(row["value"]) >= WIDE or abs(row["scale_high"]) >= WIDE else 2


def _of_pairs(board: CriteriaBoard, percent: str) -> list[str]:
    return [
        f"{row['criterion']}, which is of no one output: {row['value']:.2f} ({percent}: {row['low']:.2f} to "
        f"{row['high']:.2f})"
        for row in board.of_pairs.to_dict("records")
    ]
