"""What a format of others is to simfarm, and what each format's module needs: what is left out, what passes through."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from simfarm.data.parsing import Row
from simfarm.data.records import ANNOTATION_COLUMNS
from simfarm.errors import InputError

__all__ = [
    "Format",
    "Left",
    "LeftOut",
    "Unfit",
    "calls_together",
    "carried",
    "each",
    "identity",
    "name_of",
    "named",
    "passed",
    "structure",
    "unpassed",
]


class LeftOut(Exception):
    """A row that is not taken; its text says what it has: "an image"."""


class Unfit(InputError):
    """A row that cannot be what its file is. The text goes on where file and row are named: "has a list in …"."""


class Left:
    """What was left out of a file, why, and how often. `form` is the format that it was read as, empty for ours; where
    somebody has `told` that they say it, nobody else does (None: nobody of what are no verdicts). `read` counts their
    rows."""

    def __init__(self, *, told: bool | None = False) -> None:
        self.counts: Counter[str] = Counter()
        self.form = ""
        self.read = 0
        self.told = told

    def out(self, why: str) -> None:
        """One more row is left out."""
        self.counts[why] += 1

    def said(self) -> str:
        """How many rows were left out for what, in words; empty for none."""
        return "; ".join(f"{count:,} with {why}" for why, count in self.counts.most_common())


Read = Callable[[Iterator[Row], str, Left], Iterator[Row]]
Write = Callable[[Iterator[Row], Left], Iterator[Row]]


@dataclass(frozen=True, slots=True)
class Format:
    """A format: its `name`, what it `holds` in a few words, whether these columns `tell` it, how its rows are read as
    ours and ours are written as its. `read` takes the file's name for messages. A format that is `whole` is one JSON
    object, which its `write` gives as its only row."""

    name: str
    holds: str
    tells: Callable[[Collection[str]], bool]
    read: Read | None = None
    write: Write | None = None
    whole: bool = False


def each(one: Callable[[Row], Iterable[Row]], needed: Collection[str]) -> Read:
    """A reader that makes our rows of `one` row of theirs, which has the columns `needed`. Raises `InputError` for a
    row without them; one that raises `LeftOut` is counted."""

    def read(rows: Iterator[Row], source: str, left: Left) -> Iterator[Row]:
        for number, row in enumerate(rows, 1):
            missing = next((name for name in needed if name not in row), None)
            if missing is not None:
                raise InputError(
                    f"{source}: row {number} has no {missing!r}, as the rows before it have; give one format at a time"
                )
            try:
                made = list(one(row))
            except LeftOut as why:
                left.out(str(why))
                continue
            except Unfit as error:
                raise InputError(f"{source}: row {number} {error}") from error
            yield from made

    return read


_OURS = {
    *ANNOTATION_COLUMNS,
    *("output", "generator", "sample", "input", "length_1", "length_2", "messages_1", "messages_2"),
}
_CARRIED = ("annotator", "instruction_id", "dataset", "order", "repeat", "judge_hash")
"""Of these, what means the same in everybody's file."""

_THEIRS = "their_"


def passed(row: Mapping[str, Any], used: Collection[str]) -> Row:
    """The columns of a foreign row that were not `used`; one whose name means something here is `their_NAME`."""
    own = _OURS.difference(_CARRIED)
    return {_THEIRS + name if name in own else name: value for name, value in row.items() if name not in used}


def carried(row: Mapping[str, Any], *without: str) -> Row:
    """The columns of a row of ours that mean the same in everybody's file, those it has."""
    return {name: row[name] for name in _CARRIED if name not in without and row.get(name) is not None}


def unpassed(row: Mapping[str, Any], used: Collection[str]) -> Row:
    """The columns that `passed` gave, under their own names, of a row of ours."""
    return {name.removeprefix(_THEIRS): value for name, value in row.items() if name not in _OURS and name not in used}


def identity(row: Mapping[str, Any], name: str) -> str | int | None:
    """A column that holds an id, None where it is missing. Raises `InputError` for anything else."""
    value = row.get(name)
    if value is None or (isinstance(value, str | int) and not isinstance(value, bool)):
        return value
    raise Unfit(f"has a {type(value).__name__} in {name!r}; it must be an id")


def named(row: Mapping[str, Any], name: str) -> str | None:
    """A column that holds a name, None where it is missing. Raises `InputError` for anything else."""
    value = row.get(name)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    if value is None or isinstance(value, str):
        return value or None
    raise Unfit(f"has a {type(value).__name__} in {name!r}; it must be a name")


def name_of(row: Mapping[str, Any], name: str, otherwise: str) -> str:
    """A name of a row of ours, `otherwise` where it has none."""
    value = row.get(name)
    return otherwise if value is None else str(value)


def structure(value: Any, kind: type[Any], name: str) -> Any:
    """A nested value, out of its JSON text where a CSV cell has it so. Raises `InputError` for another kind."""
    if isinstance(value, str):
        with suppress(ValueError, RecursionError):
            value = json.loads(value)
    if not isinstance(value, kind):
        raise Unfit(f"has a {type(value).__name__} in {name!r}; it must be {'a list' if kind is list else 'an object'}")
    return value


def calls_together(rows: Iterable[Row], also: Collection[str] = ()) -> Iterator[list[Row]]:
    """The rows of each comparison by one annotator, in order of first appearance; columns in `also` tell them apart
    too. They may lie anywhere in a file, so it is held."""
    groups: dict[bytes, list[Row]] = {}
    known = ("instruction_id", "dataset", "instruction", "messages", "generator_1", "generator_2", "sample")
    for row in rows:
        key = [row.get(name) for name in (*known, "output_1", "output_2", "annotator", "person", *also)]
        digest = hashlib.sha256(json.dumps(key, default=str).encode()).digest()
        groups.setdefault(digest, []).append(row)
    yield from groups.values()
