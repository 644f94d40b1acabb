"""Boards and ratings as files: CSV, JSON, Markdown, each with every column.

These are for people's spreadsheets and pages, so their cells are made harmless there; files of data, which simfarm
reads back, are not (see `simfarm.data.files`).
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.data.writing import standard_output, write_text
from simfarm.errors import InputError
from simfarm.ranking.table import records
from simfarm.report.tables import Sheet
from simfarm.text.harmless import csv_cell, markdown_cell, visible

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["check_target", "csv_text", "json_value", "markdown_lines", "write_csv", "write_sheets"]


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuse a board file that cannot be written before anything is paid for; raises `InputError`."""
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    if Path(path).suffix not in {".csv", ".json", ".md"}:
        raise InputError(f"{path}: a board is written as .csv, .json or .md; choose one of these names")
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise InputError(f"{path}: the folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: cannot be written there; choose another file")


def write_sheets(path: str | os.PathLike[str], sheets: Sequence[Sheet]) -> None:
    """Write all annotators' sheets to one file, in the format of its name."""
    import pandas as pd

    suffix = Path(path).suffix
    if suffix == ".csv":
        tables = [sheet.table for sheet in sheets]
        text = csv_text(pd.concat([t for t in tables if not t.empty] or tables, ignore_index=True))
    elif suffix == ".md":
        text = "\n\n".join(_markdown(sheet) for sheet in sheets) + "\n"
    else:
        text = json.dumps(json_value(sheets), ensure_ascii=False, indent=1, allow_nan=False) + "\n"
    write_text(path, text)


def write_csv(sheets: Sequence[Sheet]) -> None:
    """All annotators' sheets on standard output, as a .csv file has them, harmless where that is a terminal."""
    import pandas as pd

    text = csv_text(pd.concat([sheet.table for sheet in sheets], ignore_index=True))
    with standard_output() as stream:
        stream.write(visible(text) if sys.stdout.isatty() else text)


def json_value(sheets: Sequence[Sheet]) -> Any:
    """One annotator's record; several as `{"boards": [...]}`."""
    made = [sheet.record for sheet in sheets]
    return made[0] if len(made) == 1 else {"boards": made}


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
    cells = [[_told(value) for value in row.values()] for row in records(sheet.table)]
    blocks.append(["### Every column", "", *markdown_lines([str(c) for c in sheet.table.columns], cells)])
    return "\n\n".join("\n".join(block) for block in blocks if block)


def _told(value: Any) -> str:
    return "–" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
