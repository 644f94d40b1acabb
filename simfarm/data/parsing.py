"""Text of JSON, JSONL and CSV into rows, from pieces of any size: some rows for each piece.

A row longer than `ROW_LIMIT` is none: it ends the reading, so that memory is bounded whatever comes. JSON is decoded a
row at a time, also inside an array, since a decoded array is several times its text.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import chain
from typing import Any, TypeAlias, TypeVar

import orjson

from simfarm.data.envelopes import streamed, unwrapped
from simfarm.data.unquoted import unquoted_columns
from simfarm.errors import InputError

__all__ = ["ROW_LIMIT", "Row", "csv_columns", "json_rows", "jsonl_rows"]

ROW_LIMIT = 1 << 26
"""Characters of a row: 64 million. A row with a whole book in it has one."""

Row: TypeAlias = dict[str, Any]

_LONG = 500
"""Characters from which on a line is decoded by orjson: in a short one the look for numbers that it changes costs more
than it gains."""

_NUMBERS_IN = {float, dict, list}

_SPACE = re.compile(r"[ \t\n\r]*")
_WRAPPED = re.compile(r'\{[ \t\n\r]*"(?:[^"\\]|\\.)*"[ \t\n\r]*:[ \t\n\r]*\[')

T = TypeVar("T")


def _too_long(name: str, where: str) -> InputError:
    return InputError(f"{name}: {where} is longer than {ROW_LIMIT >> 20} million characters; is it a file of rows?")


def _no_json(name: str, where: str, error: Exception) -> InputError:
    if isinstance(error, RecursionError):
        return InputError(f"{name}: {where} is nested too deeply for a row; flatten it")
    if isinstance(error, json.JSONDecodeError):
        return InputError(f"{name}: {where} is not valid JSON: {error.msg}")
    return InputError(f"{name}: {where} holds a number of too many digits; write it as text")


def _object(value: Any, name: str, where: str) -> Row:
    if not isinstance(value, dict):
        raise InputError(f"{name}: {where} is not a JSON object with named columns")
    return value


def _whole_lines(texts: Iterable[str], name: str) -> Iterator[str]:
    """The text again, cut behind a newline wherever there is one."""
    number = 1
    rest: list[str] = []
    size = 0
    for text in texts:
        head, newline, tail = text.rpartition("\n")
        if newline:
            whole = "".join([*rest, head, newline])
            yield whole
            number += whole.count("\n")
            rest, size = [], 0
        rest.append(tail)
        size += len(tail)
        if size > ROW_LIMIT:
            raise _too_long(name, f"line {number}")
    if last := "".join(rest):
        yield last


def jsonl_rows(texts: Iterable[str], name: str) -> Iterator[list[Row]]:
    """The rows of JSON lines; raises `InputError` naming the line at fault."""
    number = 0
    for text in _whole_lines(texts, name):
        rows = []
        for line in text.split("\n"):
            number += 1
            if not line or line.isspace():
                continue
            try:
                if len(line) > _LONG:
                    rows.append(_object(_fast(line), name, f"line {number}"))
                    continue
                value, end = _DECODE(line)
                if end != len(line):
                    # a space around it, or a fault
                    value = json.loads(line)
            except (ValueError, RecursionError) as error:
                raise _no_json(name, f"line {number}", error) from error
            rows.append(_object(value, name, f"line {number}"))
        yield rows
        number -= text.endswith("\n")


def _fast(line: str) -> Any:
    """A long line decoded by orjson, which takes half the time, and by `json` where the two would differ: NaN, halves
    of surrogate pairs, and whole numbers beyond 64 bits, which come as floats."""
    try:
        value = orjson.loads(line)
    except ValueError:
        return json.loads(line)
    return json.loads(line) if _huge([value]) else value


def _huge(value: Any) -> bool:
    inside = value.values() if isinstance(value, dict) else value
    found = [one for one in inside if type(one) in _NUMBERS_IN]
    return any(_huge(one) if isinstance(one, dict | list) else abs(one) >= 2**63 for one in found)


def json_rows(texts: Iterable[str], name: str) -> Iterator[list[Row]]:
    """The rows of an array, of an object that wraps one, of one object, or of one object after the other.

    Raises `InputError` naming the line or the row at fault.
    """
    pieces = _Counted(texts)
    return _by_piece(_json_rows(_Window(pieces, name), name), pieces)


class _Counted(Iterator[str]):
    """Pieces of text, and how many were taken."""

    def __init__(self, texts: Iterable[str]) -> None:
        self._texts = iter(texts)
        self.taken = 0

    def __next__(self) -> str:
        self.taken += 1
        return next(self._texts)


def _by_piece(values: Iterable[T], pieces: _Counted) -> Iterator[list[T]]:
    """The values in lists, one for each time that more text was taken for them."""
    batch: list[T] = []
    taken = pieces.taken
    for value in values:
        batch.append(value)
        if pieces.taken != taken:
            yield batch
            batch, taken = [], pieces.taken
    yield batch


def _json_rows(window: _Window, name: str) -> Iterator[Row]:
    first = window.peek()
    if first == "[":
        yield from window.array()
        window.end()
        return
    if not first:
        return
    try:
        value = window.value("the file")
    except _Cut:
        # an array of any size under its one key
        wrapped = _WRAPPED.match(window.text, window.at)
        if wrapped is None:
            yield from streamed(window, name, ROW_LIMIT)
            return
        window.at = wrapped.end() - 1
        yield from window.array()
        window.close()
        return
    if not isinstance(value, dict):
        raise InputError(f"{name}: holds a single value, not an array of rows")
    if not window.peek():
        (only, *more) = value.values() or [None]
        rows = only if isinstance(only, list) and not more else unwrapped(value) or [value]
        yield from (_object(row, name, f"row {number}") for number, row in enumerate(rows, 1))
        return
    number = 1
    yield value
    while window.peek():
        number += 1
        yield _object(window.value(f"row {number}"), name, f"row {number}")


class _Cut(InputError):
    """A value that does not end within `ROW_LIMIT`."""


class _Window:
    """The piece of a JSON text that is being decoded; `at` is the place of what comes next in `text`, `passed` counts
    the characters before it."""

    def __init__(self, texts: Iterator[str], name: str) -> None:
        self.text = ""
        self.at = 0
        self.passed = 0
        self._lines = 0
        self._texts = texts
        self._name = name

    def _more(self) -> bool:
        """Drop what is decoded and at least double what is not, so that a long row costs twice its length at most."""
        rest = self.text[self.at :]
        self._lines += self.text.count("\n", 0, self.at)
        self.passed += self.at
        parts, size = [rest], 0
        while size <= len(rest) and (new := next(self._texts, "")):
            parts.append(new)
            size += len(new)
        self.text, self.at = "".join(parts), 0
        return size > 0

    def _line(self, at: int) -> int:
        return self._lines + self.text.count("\n", 0, at) + 1

    def peek(self) -> str:
        """The next character that is no space, empty at the end of the text."""
        while True:
            self.at = _match_end(self.text, self.at)
            if self.at < len(self.text):
                return self.text[self.at]
            if not self._more():
                return ""

    def value(self, where: str) -> Any:
        """The JSON value that begins here."""
        while True:
            try:
                value, self.at = _DECODE(self.text, self.at)
            except json.JSONDecodeError as error:
                # not the end of what is there yet: a fault, however much follows
                ends = error.msg.startswith("Unterminated string") or error.pos >= len(self.text) - 16
                if ends and len(self.text) - self.at > ROW_LIMIT:
                    raise _Cut(str(_too_long(self._name, where))) from error
                if not ends or not self._more():
                    line = self._line(error.pos if ends is False else min(error.pos, len(self.text)))
                    raise InputError(f"{self._name}: not valid JSON at line {line}: {error.msg}") from error
            except (ValueError, RecursionError) as error:
                raise _no_json(self._name, where, error) from error
            else:
                return value

    def array(self) -> Iterator[Row]:
        """The rows of the array that begins here, one at a time."""
        self.at += 1
        number = 0
        if self.peek() == "]":
            self.at += 1
            return
        while True:
            number += 1
            where = f"row {number}"
            self.peek()
            yield _object(self.value(where), self._name, where)
            mark = self.peek()
            self.at += 1
            if mark == "]":
                return
            if mark != ",":
                raise self._fault("Expecting ',' delimiter")

    def _fault(self, what: str) -> InputError:
        return InputError(f"{self._name}: not valid JSON at line {self._line(self.at)}: {what}")

    def close(self) -> None:
        """The object around the array ends here, and the text."""
        if self.peek() != "}":
            raise InputError(f"{self._name}: holds more beside its array of rows; keep the array alone")
        self.at += 1
        self.end()

    def end(self) -> None:
        """Nothing follows."""
        if self.peek():
            raise self._fault("Extra data")


_DECODE = json.JSONDecoder().raw_decode


def _match_end(text: str, at: int) -> int:
    found = _SPACE.match(text, at)
    assert found is not None
    return found.end()


def csv_columns(
    texts: Iterable[str], name: str, wanted: Collection[str] | None = None
) -> Iterator[tuple[dict[str, Sequence[Any]], int]]:
    """(the `wanted` columns of some rows, how many rows), again and again; raises `InputError` naming the row at fault.

    Cells are strings, empty ones None, but for those of outputs. As long as nothing is quoted and no texts are wanted
    Arrow cuts the cells, in a fifth of the time, and the columns are its arrays.
    """
    pieces = _whole_lines(texts, name)
    head, number = "", 0
    for piece in pieces:
        lines = piece
        if not head:
            first, newline, lines = piece.lstrip("\n").partition("\n")
            head = first + newline
        columns = None if wanted is None else unquoted_columns(head, lines, wanted)
        if columns is None:
            yield from _quoted_columns(chain([head + lines], pieces), name, wanted, number)
            return
        if columns and (n := len(next(iter(columns.values())))):
            yield columns, n
            number += n


def _quoted_columns(
    pieces: Iterable[str], name: str, wanted: Collection[str] | None, number: int
) -> Iterator[tuple[dict[str, Sequence[Any]], int]]:
    """`csv_columns` of any cells, behind the first `number` rows."""
    csv.field_size_limit(ROW_LIMIT)
    counted = _Counted(pieces)
    reader = csv.reader(chain.from_iterable(io.StringIO(piece, newline="") for piece in counted))
    filled = filter(None, reader)
    skipped = number
    try:
        header = next(filled, None)
        if header is None:
            return
        twice = next((c for i, c in enumerate(header) if c and c in header[:i]), None)
        if twice is not None:
            raise InputError(f"{name}: has the column {twice!r} twice; rename or drop one")
        for rows in filter(None, _by_piece(filled, counted)):
            if set(map(len, rows)) != {len(header)}:
                wrong = next(i for i, row in enumerate(rows, 1) if len(row) != len(header))
                raise InputError(f"{name}: row {number + wrong} does not have the header's {len(header)} cells")
            number += len(rows)
            columns: dict[str, Sequence[Any]] = {
                column: [cell or None for cell in cells] if "" in cells and column[:6] != "output" else list(cells)
                for column, cells in zip(header, zip(*rows, strict=True), strict=True)
                if wanted is None or column in wanted
            }
            yield columns, len(rows)
    except csv.Error as error:
        raise InputError(f"{name}: line {skipped + reader.line_num} is not valid CSV: {error}") from error
