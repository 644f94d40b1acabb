"""The best-of-n curve as people read it, and as a file."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simfarm.data.files import write_rows
from simfarm.data.writing import write_text
from simfarm.report.files import markdown_lines
from simfarm.report.tables import Part, print_part
from simfarm.report.targets import PICTURES
from simfarm.report.terminal import say

__all__ = ["curve_part", "show_curves", "write_curve"]


def curve_part(rows: Sequence[Mapping[str, Any]], level: float) -> Part:
    """The rows of `curve_rows` as a table, the limits beside each value (none of a single cluster)."""
    columns = [c for c in rows[0] if not c.endswith(("_low", "_high"))]
    headings = [f"{c} {100 * level:g} %" if f"{c}_low" in rows[0] else c.replace("_", " ") for c in columns]
    least = ["kl bound", *(h for h in headings if h.startswith("proxy")), "instructions"]
    return Part("what the best of n is worth", headings, [[_cell(row, c) for c in columns] for row in rows], (), least)


def _cell(row: Mapping[str, Any], column: str) -> str:
    value = row[column]
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    if math.isnan(row.get(f"{column}_low", math.nan)):
        return text
    return f"{text} ({row[f'{column}_low']:.4g} to {row[f'{column}_high']:.4g})"


def show_curves(curves: Sequence[Sequence[Mapping[str, Any]]], path: str | None, level: float, *, aside: bool) -> None:
    """Print each generator's curve at powers of two, on stderr where it stands `aside`; write every n to `path`."""
    rows = [row for curve in curves for row in curve]
    shown = [row for curve in curves for row in curve if row["n"] & (row["n"] - 1) == 0 or row["n"] == curve[-1]["n"]]
    if not shown:
        return
    print_part(curve_part(shown, level), aside=aside)
    if path:
        write_curve(path, rows, level)
        say(f"wrote {path}")


def write_curve(path: str, rows: Sequence[Mapping[str, Any]], level: float) -> None:
    """Write the rows of `curve_rows` to a file: a table for .md, a picture, else as `write_rows` does."""
    if Path(path).suffix in PICTURES:
        from simfarm.report.plots import curve_picture, save

        save(curve_picture(rows, level), path)
    elif path.endswith(".md"):
        part = curve_part(rows, level)
        write_text(path, "\n".join(markdown_lines(part.headings, part.rows)) + "\n")
    else:
        write_rows(path, [dict(row) for row in rows])
