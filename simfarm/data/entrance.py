"""Where files and tables come in: their columns under our names (`--columns`), others' formats as ours.

The one place in which that happens, between the readers of files, who know nothing of columns, and the records, who
know only ours. Rows stream through it: a block in, a block out.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Any

from simfarm.data.envelopes import unwrapped
from simfarm.data.formats import Left, found
from simfarm.data.parsing import Row
from simfarm.data.reading import Columns, columns_of, iter_columns, iter_rows
from simfarm.data.sources import is_path, table_rows
from simfarm.errors import InputError
from simfarm.settings import spelled

if TYPE_CHECKING:
    from simfarm.data.formats import Format

__all__ = ["File", "Renaming", "columns_in", "our_rows", "rows_in", "table_columns", "under"]

_HEAD = 100
"""Rows that tell which columns there are."""

_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Renaming:
    """What columns are called: our names with theirs. A file that has neither name of a pair is refused, or where the
    renaming is not `strict` (for a baseline, for labels) left as it is."""

    columns: Mapping[str, str]
    strict: bool = True

    @classmethod
    def of(cls, columns: Mapping[str, str] | Iterable[tuple[str, str]] | None) -> Renaming | None:
        """What a user gave, None for nothing. Raises `InputError` for a name that is no text or stands twice."""
        pairs = [*(columns.items() if isinstance(columns, Mapping) else columns or ())]
        for place, names in enumerate(zip(*pairs, strict=True)):
            wrong = next((name for name in names if not isinstance(name, str) or not name), None)
            if wrong is not None:
                raise InputError(f"{spelled('columns')} has {wrong!r}; it takes names of columns, ours and theirs")
            twice = next((name for i, name in enumerate(names) if name in names[:i]), None)
            if twice is not None:
                whose = ("our", "their")[place]
                raise InputError(f"{spelled('columns')} has {whose} column {twice!r} twice; leave one out")
        return cls(dict(pairs)) if pairs else None

    def fits(self, present: Collection[str]) -> bool:
        """Whether a file has one of the names of each pair."""
        return all(theirs in present or ours in present for ours, theirs in self.columns.items())

    def names(self, present: Collection[str], source: str) -> dict[str, str]:
        """Their names with ours, of those that are `present`. Raises `InputError` for one that is not, unless the file
        has ours already, and for a column that is in the place of another."""
        names = {theirs: ours for ours, theirs in self.columns.items() if theirs in present}
        for ours, theirs in self.columns.items():
            if theirs not in present and ours not in present and self.strict:
                raise InputError(
                    f"{source}: has no column {theirs!r} to be {ours!r}, as {spelled('columns')} says; it has "
                    f"{', '.join(sorted(present)[:12])}"
                )
            if theirs in present and ours in present and ours not in names:
                raise InputError(
                    f"{source}: has a column {ours!r} beside {theirs!r}, which is to be {ours!r}; give it another name "
                    f"too, as in {spelled('columns', f'old_{ours}={ours}')}"
                )
        return names


class File(str):
    """A path that says what its columns are called; everybody else sees the path."""

    renaming: Renaming

    def __new__(cls, path: str, renaming: Renaming) -> File:
        made = super().__new__(cls, path)
        made.renaming = renaming
        return made


def _renamed(rows: Iterable[Row], names: Mapping[str, str], source: str) -> Iterator[Row]:
    """Rows with their columns under our names; raises `InputError` for one that has a column under both."""
    for number, row in enumerate(rows, 1):
        made = {names.get(name, name): value for name, value in row.items()}
        if len(made) < len(row):
            both = next(name for name, ours in names.items() if name in row and ours in row)
            raise InputError(f"{source}: row {number} has {both!r} and {names[both]!r}, which are one; drop one")
        yield made


def _translated(rows: Iterator[Row], source: str, form: Format, left: Left) -> Iterator[Row]:
    """The rows of another's format as ours; what is left out is said at the end, unless somebody counts it."""

    def counted() -> Iterator[Row]:
        for row in rows:
            left.read += 1
            yield row

    assert form.read is not None
    judged = False
    for row in form.read(counted(), source, left):
        judged = judged or "preference" in row
        yield row
    if left.counts and (judged if left.told is None else not left.told):
        logging.getLogger("simfarm").warning("%s: left out: %s", source, left.said())


def our_rows(
    rows: Iterable[Row], source: str, renaming: Renaming | None = None, left: Left | None = None
) -> Iterator[Row]:
    """The rows of a file or table as ours, under our names, whoever's format they are in; `source` is what messages
    call it. What our rows cannot be is left out and counted, in `left` or in a warning of the logger `simfarm`.

    Raises `InputError` for columns that are not there, for those of two formats, and for a row that is not as the rows
    before it.
    """
    rows = _whole(iter(rows))
    first = list(islice(rows, _HEAD))
    present, rows = _present(first), chain(first, rows)
    early = renaming is not None and renaming.fits(present)
    names = renaming.names(present, source) if renaming is not None and early else {}
    if names:
        rows = _renamed(rows, names, source)
    form = _form(first, present, names, source)
    if form is not None:
        left = left or Left()
        left.form = form.name
        rows = _translated(rows, source, form, left)
    if renaming is not None and not early:
        # the columns of a format that was read, or none at all
        first = list(islice(rows, _HEAD))
        rows = _renamed(chain(first, rows), renaming.names(_present(first), source), source)
    return rows


def _whole(rows: Iterator[Row]) -> Iterator[Row]:
    """The rows, those in the objects that hold a list of them one by one."""
    for row in rows:
        yield from unwrapped(row) or (row,)


def _form(rows: Sequence[Row], present: Iterable[str], names: Mapping[str, str], source: str) -> Format | None:
    """The format of rows that have the columns `present`, some of which have other `names` by now."""
    ours = [[names.get(name, name) for name in columns] for columns in (present, *rows[:1])]
    return found(ours[0], source, *ours[1:])


def _present(rows: Iterable[Row]) -> list[str]:
    return list({name: None for row in rows for name in row})


def rows_in(source: str | os.PathLike[str], name: str, left: Left | None = None) -> Iterator[Row]:
    """The rows of a file as ours. Raises `InputError` as `iter_rows` and `our_rows`."""
    return our_rows(iter_rows(source), name, _renaming(source), left)


def _renaming(source: object) -> Renaming | None:
    return source.renaming if isinstance(source, File) else None


def columns_in(source: str | os.PathLike[str], wanted: frozenset[str], name: str) -> Iterator[Columns]:
    """The same by column, of the `wanted` ones those that are there."""
    renaming = _renaming(source)
    first = list(islice(_whole(iter_rows(source)), _HEAD))
    present = _present(first)
    fits = renaming is None or renaming.fits(present)
    names = renaming.names(present, name) if renaming is not None and fits else {}
    if _form(first, present, names, name) or not fits:
        # outputs are looked at for verdicts, and then read once more
        yield from _gathered(rows_in(source, name, Left(told=None)), wanted)
        return
    # of the same class: it may want more than it lists
    for part in iter_columns(source, type(wanted)([*wanted, *names])):
        values = {names.get(column, column): of_column for column, of_column in part.values.items()}
        yield Columns(values, part.length)


def _gathered(rows: Iterator[Row], wanted: frozenset[str]) -> Iterator[Columns]:
    while batch := list(islice(rows, _BATCH)):
        yield columns_of(batch, wanted)


def table_columns(table: Any, wanted: frozenset[str], name: str) -> Iterator[Columns] | None:
    """The columns of a table that is in another's format, None for one that is in ours."""
    columns = getattr(table, "columns", ())
    if found([*map(str, columns)], name) is None:
        return None
    return _gathered(our_rows(table_rows(table, name), name), wanted)


def under(source: Any, name: str, renaming: Renaming) -> Any:
    """A file that will be read with its columns under our names, or a table that has them so: a pandas frame stays one,
    anything else becomes a list of rows."""
    if is_path(source):
        return File(os.fspath(source), renaming)
    if hasattr(source, "iloc") and hasattr(source, "columns"):
        present = [*map(str, source.columns)]
        if renaming.fits(present) and found(present, name) is None:
            return source.rename(columns=renaming.names(present, name))
    return list(our_rows(table_rows(source, name), name, renaming))
