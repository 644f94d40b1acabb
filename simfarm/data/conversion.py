"""Files from one format into another, by way of our rows: what is read, what is written, what had to be left out."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice

from simfarm.data.cells import dump
from simfarm.data.entrance import our_rows, rows_in
from simfarm.data.files import write_rows
from simfarm.data.formats import FORMATS, Format, Left
from simfarm.data.formats.format import Unfit
from simfarm.data.parsing import Row
from simfarm.data.reading import format_of
from simfarm.data.records import ANNOTATION_COLUMNS, kind_of_rows
from simfarm.data.sources import Source, called, is_path, table_rows
from simfarm.data.writing import open_text, replacing
from simfarm.errors import InputError
from simfarm.text.words import plural

__all__ = ["NAMES", "Conversion"]

WRITTEN = {one.name: one for one in FORMATS if one.write is not None}
NAMES = tuple(WRITTEN)
"""The formats that are written."""

_OF_OUTPUTS = ("simfarm", "alpaca-eval", "mt-bench-single")


@dataclass(slots=True)
class Conversion:
    """Files on their way into a format. `annotator` and `generator` name who judged and who answered in rows that do
    not say it. `said` tells in lines what was read and left out, once the rows have been through."""

    to: Format
    sources: Sequence[Source]
    annotator: str | None = None
    generator: str | None = None
    reads: list[tuple[str, Left, int]] = field(default_factory=list)
    left: Left = field(default_factory=Left)
    written: int = 0

    @classmethod
    def of(cls, sources: Sequence[Source], to: str, annotator: str | None, generator: str | None) -> Conversion:
        """Raises `InputError` for a format that is not known, or not written."""
        if to not in WRITTEN:
            known = "read, not written" if any(one.name == to for one in FORMATS) else "no known format"
            raise InputError(f"{to!r} is {known}; choose from {', '.join(NAMES)}")
        return cls(WRITTEN[to], sources, annotator, generator)

    def rows(self) -> Iterator[Row]:
        """The rows of the format. Raises `InputError` for what cannot be read, and where nothing is left to write."""
        assert self.to.write is not None
        ours = (row for place, source in enumerate(self.sources, 1) for row in self._read(source, place))
        try:
            for row in self.to.write(ours, self.left):
                self.written += 1
                yield row
        except Unfit as error:
            raise InputError(f"a row of {plural(len(self.sources), 'file')} {error}") from error
        if not self.written:
            why = f" ({self.left.said()})" if self.left.counts else ""
            raise InputError(f"there is nothing that {self.to.name} can hold{why}")

    def _read(self, source: Source, position: int) -> Iterator[Row]:
        name, left, count = called(source, position), Left(told=True), 0
        rows = rows_in(source, name, left) if is_path(source) else our_rows(table_rows(source, name), name, None, left)
        first = list(islice(rows, 100))
        if not first and left.counts:
            raise InputError(f"{name}: nothing in it can be read ({left.said()})")
        kind = kind_of_rows(first, name)
        if kind == "outputs" and self.to.name not in _OF_OUTPUTS:
            raise InputError(
                f"{name}: holds outputs, and {self.to.name} holds {self.to.holds}; make verdicts by simfarm annotate"
            )
        for row in chain(first, rows):
            count += 1
            yield self._named(row, "generator" if kind == "outputs" else "annotator")
        self.reads.append((name, left, count))

    def _named(self, row: Row, column: str) -> Row:
        name = getattr(self, column)
        return row if name is None or row.get(column) is not None else row | {column: name}

    def write(self, output: str | os.PathLike[str] | None, rows: Iterable[Row] | None = None) -> None:
        """Writes the rows to a file, or as JSON lines to standard output; `rows` are those that are at hand."""
        rows = self.rows() if rows is None else rows
        if self.to.whole and output is not None:
            name = os.fspath(output)
            kind, compression = format_of(name)
            if kind != ".json":
                raise InputError(f"{name}: {self.to.name} is one JSON object; write it to a .json file")
            with replacing(name) as temporary, open_text(name, temporary, compression) as stream:
                for row in rows:
                    stream.write(dump(row) + "\n")
        else:
            write_rows(output, rows, ANNOTATION_COLUMNS if self.to.name == "simfarm" else ())

    def said(self) -> list[str]:
        """What was read, in a line for each file, and what was left out."""
        lines = []
        for name, left, count in self.reads:
            rows = plural(count, "row")
            what = f"{plural(left.read, 'row')} of {left.form} are {rows} of ours" if left.form else f"{rows} of ours"
            lines.append(f"{name}: {what}" + (f"; left out: {left.said()}" if left.counts else ""))
        rest = f"; left out: {self.left.said()}" if self.left.counts else ""
        return [*lines, f"{plural(self.written, 'row')} of {self.to.name}{rest}"]
