"""Boards, ratings and report cards in a notebook: the picture, and below it the tables that a terminal has.

All that a model or a file wrote is text there: no name is markup.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

from simfarm.agreement.card import ReportCard
from simfarm.errors import InputError
from simfarm.ranking import Board, Ratings
from simfarm.report.agreement import card_sheet
from simfarm.report.evaluation import Evaluation
from simfarm.report.plots import card_picture, evaluation_picture, svg
from simfarm.report.ranked import RankedBoard
from simfarm.report.tables import Part, Sheet
from simfarm.report.told import Told
from simfarm.text.harmless import one_line

__all__ = ["html_of"]


def html_of(value: Board | Ratings | ReportCard | Evaluation | Told[Any]) -> str:
    """What a cell shows that ends in the value. The tables alone where there is nothing to draw, or no matplotlib."""
    if isinstance(value, Board):
        value = Evaluation(boards=(RankedBoard(value),))
    elif isinstance(value, Ratings):
        value = Evaluation(ratings=(value,))
    sheets = [card_sheet(value)] if isinstance(value, ReportCard) else value.sheets
    return "\n".join(["<div>", _picture(value), *(_sheet(sheet) for sheet in sheets), "</div>"])


def _picture(value: ReportCard | Evaluation | Told[Any]) -> str:
    if isinstance(value, Told):
        return ""
    try:
        return svg(card_picture(value) if isinstance(value, ReportCard) else evaluation_picture(value))
    except InputError:
        return ""


def _sheet(sheet: Sheet) -> str:
    warnings = [f"warning: {line}" for line in sheet.warnings]
    return "\n".join([*(_part(part) for part in sheet.parts), _lines(warnings)])


def _part(part: Part) -> str:
    rows = [_row(part.headings, "th"), *(_row(cells, "td") for cells in part.rows)]
    return f"<table><caption>{_text(part.title)}</caption>{''.join(rows)}</table>{_lines(part.remarks)}"


def _row(cells: Sequence[object], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{_text(cell)}</{tag}>' for cell in cells)}</tr>"


def _lines(lines: Sequence[object]) -> str:
    said = [f"<li>{_text(line)}</li>" for line in lines if str(line).strip()]
    return f"<ul>{''.join(said)}</ul>" if said else ""


def _text(value: object) -> str:
    return escape(one_line(value).strip())
