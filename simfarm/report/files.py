"""An evaluation on the terminal, and as files: CSV, JSON, Markdown, each with every column, or a picture.

These are for people's spreadsheets and pages, so their cells are made harmless there; files of data, which simfarm
reads back, are not (see `simfarm.data.files`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.data.writing import standard_output, write_text
from simfarm.ranking.table import records
from simfarm.report.tables import Sheet, print_sheet
from simfarm.report.targets import PICTURES
from simfarm.report.terminal import answer_json, say
from simfarm.text.harmless import csv_cell, markdown_cell, visible

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from simfarm.report.evaluation import Evaluation

__all__ = ["csv_text", "markdown_lines", "show_evaluation", "write_evaluation", "write_sheet"]


def write_evaluation(path: str | os.PathLike[str], evaluation: Evaluation) -> None:
    """Write all annotators' boards to one file, in the format of its name: a table or a picture."""
    if Path(path).suffix in PICTURES:
        from simfarm.report.plots import evaluation_picture, save

        save(evaluation_picture(evaluation), path)
    else:
        _write(path, evaluation.table, evaluation.sheets, evaluation.to_json())


def write_sheet(path: str | os.PathLike[str], sheet: Sheet, picture: Callable[[], Figure] | None = None) -> None:
    """Write one sheet to a file, in the format of its name: a table, or the `picture` that shows the same."""
    if picture is not None and Path(path).suffix in PICTURES:
        from simfarm.report.plots import save

        save(picture(), path)
    else:
        _write(path, sheet.table, [sheet], sheet.record)


def _write(path: str | os.PathLike[str], table: pd.DataFrame, sheets: Sequence[Sheet], record: Any) -> None:
    suffix = Path(path).suffix
    if suffix == ".csv":
        text = csv_text(table)
    elif suffix == ".md":
        text = "\n\n".join(_markdown(sheet) for sheet in sheets) + "\n"
    else:
        text = json.dumps(record, ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    write_text(path, text)


def show_evaluation(evaluation: Evaluation, output: str | None, *, as_json: bool = False) -> None:
    """The evaluation on stdout, as tables or JSON, and in a file where `output` names one; `-` is CSV on stdout
    instead. What could mislead a reader is said on stderr."""
    for line in evaluation.doubts:
        say(f"warning: {line}")
    if output == "-":
        for line in (line for sheet in evaluation.sheets for line in sheet.warnings):
            say(f"warning: {line}")
        text = csv_text(evaluation.table)
        with standard_output() as stream:
            stream.write(visible(text) if sys.stdout.isatty() else text)
        return
    if output:
        # before it is printed: whoever reads that may leave (`| head`)
        write_evaluation(output, evaluation)
    if as_json:
        answer_json(evaluation.to_json())
    else:
        for sheet in evaluation.sheets:
            print_sheet(sheet)


def csv_text(table: pd.DataFrame) -> str:
    """The table as CSV whose texts no spreadsheet takes for formulas (an apostrophe stands before them)."""
    safe = table.copy()
    for name, column in safe.items():
        if column.dtype == object or column.dtype.kind not in "biuf":
            safe[name] = column.map(csv_cell)
    return safe.to_csv(index=False)


def markdown_lines(headings: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[str]:
    """A Markdown table, every cell harmless there."""
    lines = [f"| {' | '.join(markdown_cell(heading) for heading in headings)} |", f"|{' --- |' * len(headings)}"]
    return lines + [f"| {' | '.join(markdown_cell(cell) for cell in row)} |" for row in rows]


def _markdown(sheet: Sheet) -> str:
    """What a README or an issue can hold: the tables that people read with remarks and warnings, then every column."""
    blocks = []
    for part in sheet.parts:
        blocks.append([f"### {markdown_cell(part.title)}", "", *markdown_lines(part.headings, part.rows)])
        blocks.append([f"- {markdown_cell(line.strip())}" for line in part.remarks])
    blocks.append([f"- warning: {markdown_cell(line)}" for line in sheet.warnings])
    cells = [[_cell(value) for value in row.values()] for row in records(sheet.table)]
    blocks.append(["### Every column", "", *markdown_lines([str(c) for c in sheet.table.columns], cells)])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _cell(value: Any) -> str:
    """A value in Markdown; what is 0 but for the arithmetic is 0 to a reader."""
    if isinstance(value, float):
        return f"{value if abs(value) > 1e-9 else 0.0:.4g}"
    return "–" if value is None else str(value)
