"""Tables on a terminal: a row is a line, whatever the width and whatever a name holds.

Where a terminal is too narrow, long names are cut in the middle, then the least useful columns go; the reader is told
which. A pipe has no width: nothing is cut or left out there.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simfarm.report.terminal import answer_lines, say, shortened, width_of
from simfarm.text.harmless import one_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Part", "Sheet", "print_part", "print_sheet", "table_lines"]

NAMES = (
    "model",
    "group",
    "figure",
    "flags",
    "annotator",
    "above",
    "below",
    "name",
    "description",
    "generator",
    "judge",
    "first",
    "second",
    "property",
    "who",
)
"""Headings of columns that stand to the left and may be cut; all others are numbers and stand to the right."""

_GAP = 2


@dataclass(frozen=True)
class Part:
    """One table as people read it: `remarks` stand below; `least` names the columns that go first."""

    title: str
    headings: Sequence[str]
    rows: Sequence[Sequence[object]]
    remarks: Sequence[str] = ()
    least: Sequence[str] = ()


@dataclass(frozen=True)
class Sheet:
    """What one annotator's evaluation has to show: `parts` for people, `table` with every column for files, `record`
    for machines (plain JSON values), and what could mislead a reader as `warnings`."""

    parts: Sequence[Part]
    table: pd.DataFrame
    record: Mapping[str, Any]
    warnings: Sequence[str] = ()


def print_sheet(sheet: Sheet) -> None:
    """The parts on stdout, the warnings on stderr."""
    for part in sheet.parts:
        print_part(part)
    for line in sheet.warnings:
        say(f"warning: {line}")


def print_part(part: Part, *, aside: bool = False) -> None:
    """A table on stdout, its title above and its remarks below; a row is a line, as `table_lines` makes it.

    `aside` prints it on stderr, where stdout has the rows of a file.
    """
    lines, narrow = table_lines(part.headings, part.rows, width_of(sys.stderr if aside else sys.stdout), part.least)
    remarks = [*part.remarks, *narrow]
    whole = [part.title, "", *lines, "", *remarks, *[""] * bool(remarks)]
    if not aside:
        answer_lines(whole)
    for line in whole if aside else ():
        say(line)


def table_lines(
    headings: Sequence[str], rows: Sequence[Sequence[object]], width: int | None, least: Sequence[str] = ()
) -> tuple[list[str], list[str]]:
    """(the heading, a rule and a line a row, none wider than `width`; what was cut or left out, in words).

    The columns in `least` go where there is no room, the first one first, and where numbers still do not fit side by
    side, those furthest to the right: half a number is a wrong one. All cells are made harmless here.
    """
    from rich.cells import cell_len

    table = [[one_line(cell) for cell in row] for row in (headings, *rows)]
    widths = [max(cell_len(row[k]) for row in table) for k in range(len(headings))]
    shown = list(range(len(headings)))
    gone: list[str] = []
    cut, enough = _shared(headings, widths, shown, width)
    numbers = [heading for heading in headings if heading not in NAMES]
    for heading in (*least, *reversed(numbers[1:])):
        fits = width is None or sum(cut.values()) + _GAP * (len(cut) - 1) <= width
        if heading in gone or heading not in headings or enough or (fits and heading not in least):
            continue
        shown = [k for k in shown if headings[k] != heading]
        gone.append(heading)
        cut, enough = _shared(headings, widths, shown, width)
    shortened_rows = [[shortened(row[k], cut[k]) for k in shown] for row in table]
    lines = []
    for row in shortened_rows:
        padded = []
        for k, cell in zip(shown, row, strict=True):
            pad = " " * (cut[k] - cell_len(cell))
            padded.append(cell + pad if headings[k] in NAMES else pad + cell)
        lines.append((" " * _GAP).join(padded).rstrip())
    lines.insert(1, "─" * min(width or 10_000, sum(cut.values()) + _GAP * (len(cut) - 1)))
    remarks = [f"not shown for want of width: {', '.join(gone)}"] if gone else []
    if len({row[0] for row in shortened_rows}) < len({row[shown[0]] for row in table}):
        remarks.append("some names look alike here: they were cut for want of width")
    return [line if width is None else shortened(line, width) for line in lines], remarks


def _shared(
    headings: Sequence[str], widths: Sequence[int], shown: Sequence[int], width: int | None
) -> tuple[dict[int, int], bool]:
    """(the width of each column shown, names cut to what the numbers leave them; whether that is enough for them)."""
    cut = {k: widths[k] for k in shown}
    if width is None:
        return cut, True
    names = sorted((k for k in shown if headings[k] in NAMES), key=lambda k: widths[k])
    room = width - _GAP * (len(shown) - 1) - sum(widths[k] for k in shown if k not in names)
    enough = room >= 0
    for number, k in enumerate(names):
        # the narrow ones first: what they leave is for the wide
        cut[k] = max(8, min(widths[k], room // (len(names) - number)))
        room -= cut[k]
        enough &= cut[k] >= min(widths[k], width * 2 // 5 if k == 0 else 15)
    return cut, enough
