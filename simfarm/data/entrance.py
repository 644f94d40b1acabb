"""Where files and tables come in: their columns under our names (`--columns`).

The one place in which that happens, between the readers of files, who know nothing of columns, and the records, who
know only ours. Rows stream through it: a block in, a block out.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

from simfarm.data.parsing import Row
from simfarm.data.reading import Columns, iter_columns, iter_rows
from simfarm.data.sources import is_path, table_rows
from simfarm.errors import InputError
from simfarm.settings import spelled

__all__ = ["File", "Renaming", "columns_in", "our_rows", "rows_in", "under"]

_HEAD = 100
"""Rows that tell which columns there are."""


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


def our_rows(rows: Iterable[Row], source: str, renaming: Renaming | None = None) -> Iterator[Row]:
    """The rows of a file or table as ours; `source` is what messages call it."""
    rows = iter(rows)
    if renaming is None:
        return rows
    first = list(islice(rows, _HEAD))
    return _renamed(chain(first, rows), renaming.names(_present(first), source), source)


def _present(rows: Iterable[Row]) -> list[str]:
    return list({name: None for row in rows for name in row})


def rows_in(source: str | os.PathLike[str], name: str) -> Iterator[Row]:
    """The rows of a file as ours. Raises `InputError` as `iter_rows`."""
    return our_rows(iter_rows(source), name, getattr(source, "renaming", None))


def columns_in(source: str | os.PathLike[str], wanted: frozenset[str], name: str) -> Iterator[Columns]:
    """The same by column, of the `wanted` ones those that are there."""
    renaming: Renaming | None = getattr(source, "renaming", None)
    if renaming is None:
        yield from iter_columns(source, wanted)
        return
    names = renaming.names(_present(islice(iter_rows(source), _HEAD)), name)
    # of the same class: it may want more than it lists
    for part in iter_columns(source, type(wanted)([*wanted, *names])):
        values = {names.get(column, column): of_column for column, of_column in part.values.items()}
        yield Columns(values, part.length)


def under(source: Any, name: str, renaming: Renaming) -> Any:
    """A file that will be read with its columns under our names, or a table that has them so: a pandas frame stays one,
    anything else becomes a list of rows."""
    if is_path(source):
        return File(os.fspath(source), renaming)
    table = source
    if hasattr(table, "iloc") and hasattr(table, "columns"):
        return table.rename(columns=renaming.names([*map(str, table.columns)], name))
    return list(our_rows(table_rows(table, name), name, renaming))
