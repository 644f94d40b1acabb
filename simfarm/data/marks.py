"""The scores by criterion of annotations and ratings, as numbers by row: `scores`, `scores_sd` and `scores_scale`.

A judge with criteria marks both outputs of a pair (NAME_1, NAME_2), the one output that it rates, or the instruction
(NAME). What it is sure of, and from where to where a mark can go, stands beside the marks where it says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from simfarm.data.cells import plain
from simfarm.data.numbers import Floats, as_numbers
from simfarm.data.reading import Columns
from simfarm.errors import InputError

__all__ = ["COLUMNS", "DOUBT", "HIGH", "LOW", "MARK", "Marks", "mappings", "marked", "stem_of"]

COLUMNS = ("scores", "scores_sd", "scores_scale")
"""What is read of a row."""

MARK, DOUBT, LOW, HIGH = "mark_", "doubt_", "scale_low_of_", "scale_high_of_"
"""What the columns of a table begin with: a mark by its name, its standard deviation, and by the criterion the ends of
its scale."""

MOST = 1_000
"""Names of marks in one file: a file of more has something else there."""


def mappings(cells: Any, length: int) -> list[Mapping[str, Any]]:
    """The mapping in each cell, none where there is no such; a format without objects holds it as JSON."""
    values = cells.to_pylist() if hasattr(cells, "to_pylist") else cells or [None] * length
    made: list[Mapping[str, Any]] = []
    for value in values:
        try:
            read = json.loads(value) if isinstance(value, str) else value
        except (ValueError, RecursionError):
            read = None
        made.append(read if isinstance(read, Mapping) else {})
    return made


def stem_of(name: str) -> str:
    """The criterion of a mark on one of two outputs: NAME of NAME_1 and NAME_2."""
    return name[:-2] if name.endswith(("_1", "_2")) else name


def marked(columns: Sequence[str]) -> list[str]:
    """The names of the marks in a table that has these columns, as they came."""
    return [name.removeprefix(MARK) for name in columns if name.startswith(MARK)]


class Marks:
    """The marks of one file, gathered as its rows stream by. Where nobody wants them nothing is kept."""

    def __init__(self, wanted: bool) -> None:
        self._wanted = wanted
        self._parts: dict[str, list[tuple[int, Floats]]] = {}
        self._length = 0
        self._odd: tuple[int, str, Any] | None = None

    def add(self, columns: Columns) -> None:
        """The next rows of the file."""
        if self._wanted:
            marks, doubts, scales = (mappings(columns.values.get(name), columns.length) for name in COLUMNS)
            self._keep(MARK, marks, lambda value: value)
            self._keep(DOUBT, doubts, lambda value: value)
            self._keep(LOW, scales, lambda value: _end(value, 0))
            self._keep(HIGH, scales, lambda value: _end(value, 1))
        self._length += columns.length

    def _keep(self, kind: str, rows: Sequence[Mapping[str, Any]], number: Callable[[Any], Any]) -> None:
        for name in dict.fromkeys(name for row in rows for name in row):
            numbers, odd = as_numbers([number(row.get(name)) for row in rows], len(rows))
            wrong = np.isinf(numbers) | (numbers < 0 if kind == DOUBT else False)
            if odd is None and wrong.any():
                odd = (int(wrong.argmax()), numbers[wrong.argmax()])
            if odd is not None and (self._odd is None or self._length + odd[0] < self._odd[0]):
                self._odd = (self._length + odd[0], f"{_CALLED[kind]} of {str(name)!r}", plain(odd[1]))
            self._parts.setdefault(f"{kind}{name}", []).append((self._length, numbers))

    def require(self, source: str) -> None:
        """Raises `InputError` for a mark that is no number or not on its scale, and for more names than criteria."""
        if self._odd is not None:
            row, what, value = self._odd
            raise InputError(
                f"{source}: row {row + 1} has {value!r} as the {what}, which is no such number; mend it or leave it out"
            )
        columns = self.columns()
        names = marked(list(columns))
        if len(names) > MOST:
            raise InputError(f"{source}: has scores of {len(names):,} names, and {MOST:,} are the most; name fewer")
        for name in names:
            mark = columns[f"{MARK}{name}"]
            stem = stem_of(name) if f"{LOW}{stem_of(name)}" in columns else name
            low, high = (columns.get(f"{end}{stem}", np.full(len(mark), math.nan)) for end in (LOW, HIGH))
            outside = (mark < low - _SLACK) | (mark > high + _SLACK)
            if outside.any():
                row = int(outside.argmax())
                raise InputError(
                    f"{source}: row {row + 1} has the score {mark[row]:g} of {name!r}, outside of its scale "
                    f"({low[row]:g} to {high[row]:g}); mend the score or scores_scale"
                )

    def columns(self) -> dict[str, Floats]:
        """Each name's numbers by row, NaN where a row has none."""
        made: dict[str, Floats] = {}
        for name, parts in self._parts.items():
            made[name] = np.full(self._length, math.nan)
            for start, numbers in parts:
                made[name][start : start + len(numbers)] = numbers
        return made


_SLACK = 1e-6
"""How far beyond the end of its scale rounding may take a mark."""

_CALLED = {MARK: "score", DOUBT: "scores_sd", LOW: "scores_scale", HIGH: "scores_scale"}


def _end(value: Any, place: int) -> Any:
    """An end of a scale [low, high], None where there is none; what is no scale comes back as it is."""
    if value is None:
        return None
    pair = plain(value)
    return pair[place] if isinstance(pair, list) and len(pair) == 2 else str(pair) or "nothing"
