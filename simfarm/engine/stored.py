"""What a store holds, for people: how many answers, of which model and judge, how old; and pruning.

An answer names its model. The judge that asked is written beside it when a run ends (`remember`), in a table of its
own, which stores of earlier versions lack and earlier versions ignore; where it is missing the judge is `unknown`.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from simfarm.engine.store import APPLICATION_ID
from simfarm.errors import InputError, SimfarmError
from simfarm.text.harmless import one_line

__all__ = ["Chosen", "Contents", "Group", "contents", "prune", "remember"]

UNKNOWN = "unknown"
WAIT = 10.0
"""Seconds to wait for another process that is writing."""

_TABLE = "CREATE TABLE IF NOT EXISTS judges (key BLOB PRIMARY KEY, judge TEXT NOT NULL) WITHOUT ROWID"
_MODEL = "coalesce(CASE WHEN json_valid(completion) THEN json_extract(completion, '$.model') END, 'unknown')"
_JUDGE = "coalesce(judge, 'unknown')"


@dataclass(frozen=True, slots=True)
class Group:
    """Answers of one model to one judge's questions: `judge` is `NAME (HASH)`, or `unknown` (also outputs, which no
    judge asked for); `bytes` is of the answers themselves; `first` and `last` are Unix times."""

    model: str
    judge: str
    answers: int
    bytes: int
    first: float
    last: float


@dataclass(frozen=True, slots=True)
class Contents:
    """`bytes` is the size on disk, with the files that SQLite keeps beside it."""

    path: str
    bytes: int
    answers: int
    groups: tuple[Group, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Chosen:
    """Which answers to prune: those that fit everything that is named. `older_than` is in seconds; `judge` is a name
    or a hash."""

    older_than: float | None = None
    model: str | None = None
    judge: str | None = None

    def where(self) -> tuple[str, list[Any]]:
        """The condition in SQL, and its values. Raises `InputError` where nothing is named."""
        parts: list[tuple[str, list[Any]]] = []
        if self.older_than is not None:
            parts.append(("created < ?", [time.time() - self.older_than]))
        if self.model is not None:
            parts.append((f"{_MODEL} = ?", [self.model]))
        if self.judge is not None:
            named = f"({_JUDGE} = ? OR {_JUDGE} LIKE ? ESCAPE '\\' OR {_JUDGE} LIKE ? ESCAPE '\\')"
            plain = self.judge.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
            parts.append((named, [self.judge, f"{plain} (%", f"%({plain})"]))
        if not parts:
            raise InputError("--prune needs to know what: add --older-than 90d, --model NAME or --judge NAME")
        return " AND ".join(text for text, _ in parts), [value for _, values in parts for value in values]


def remember(path: Path, keys: Iterable[bytes], judge: str) -> None:
    """Write beside the answers `keys` which judge asked. It is a note: where it cannot be written, the answers are
    `unknown`, and a store that was removed meanwhile is not made again, as a file that is none."""
    rows = [(key, judge) for key in keys]
    if not rows:
        return
    address = _address(path, "rw")
    with suppress(sqlite3.Error), closing(sqlite3.connect(address, uri=True, timeout=1.0)) as connection, connection:
        connection.execute(_TABLE)
        connection.executemany("INSERT OR IGNORE INTO judges VALUES (?, ?)", rows)


def contents(path: Path) -> Contents:
    """What a store holds, largest group first. Raises `InputError` for a file that is no store."""
    with _opened(path) as connection:
        groups = connection.execute(
            f"SELECT {_MODEL} AS m, {_JUDGE} AS j, count(*), sum(length(completion)), min(created), max(created)"
            f" FROM {_joined(connection)} GROUP BY m, j ORDER BY 4 DESC, m, j"
        ).fetchall()
    kept = tuple(Group(*row) for row in groups)
    return Contents(str(path), _size(path), sum(group.answers for group in kept), kept)


def prune(path: Path, chosen: Chosen, *, dry_run: bool = False) -> tuple[int, bool]:
    """(how many answers were, or would be, deleted; whether their room was given back).

    The room is not given back while another process reads the file. Raises `SimfarmError` where another one keeps it
    locked.
    """
    condition, values = chosen.where()
    with _opened(path) as connection:
        source = _joined(connection)
        if dry_run:
            (count,) = connection.execute(f"SELECT count(*) FROM {source} WHERE {condition}", values).fetchone()
            return int(count), False
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            keys = f"SELECT key FROM {source} WHERE {condition}"
            count = connection.execute(f"DELETE FROM completions WHERE key IN ({keys})", values).rowcount
            if "judges" in source:
                connection.execute("DELETE FROM judges WHERE key NOT IN (SELECT key FROM completions)")
        freed = False
        if count:
            with suppress(sqlite3.OperationalError):
                connection.execute("VACUUM")
                (busy, *_) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
                freed = not busy
        return int(count), freed


def _joined(connection: sqlite3.Connection) -> str:
    """The answers with their judges: a store of an earlier version has no table of these."""
    known = connection.execute("SELECT count(*) FROM sqlite_master WHERE name = 'judges'").fetchone()[0]
    if known:
        return "completions LEFT JOIN judges USING (key)"
    return "(SELECT key, completion, created, NULL AS judge FROM completions)"


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """A connection to a store that is there already; nothing is created."""
    name = one_line(path)
    if not path.is_file():
        raise InputError(f"{name}: no such store; name another with --store")
    address = _address(path, "rw" if os.access(path, os.W_OK) else "ro")
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=WAIT, isolation_level=None)) as connection:
            (marked,) = connection.execute("PRAGMA application_id").fetchone()
            if marked != APPLICATION_ID:
                raise InputError(f"{name}: is no simfarm store; name another with --store")
            yield connection
    except sqlite3.OperationalError as error:
        raise SimfarmError(f"{name}: cannot be used ({error}); is another process writing to it? try again") from error
    except sqlite3.DatabaseError as error:
        raise InputError(f"{name}: cannot be read as a store ({error}); name another with --store") from error


def _address(path: Path, mode: str) -> str:
    """The URI with which SQLite opens a file that is there, and creates none."""
    return f"file:{quote(str(path.absolute()))}?mode={mode}"


def _size(path: Path) -> int:
    beside = (path.with_name(path.name + suffix) for suffix in ("-wal", "-shm"))
    return sum(file.stat().st_size for file in (path, *beside) if file.exists())
