"""Everything that was paid for, in one SQLite file: completions under the hash of their request.

The store is the resume: a request whose completion is here is never asked again. It holds completions and hashes, no
prompts, no credentials and no errors. A completion is committed before its caller sees it (`engine.writer`).
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from simfarm.data.decision import Decision
from simfarm.data.exchange import Completion, Likelihood, Request
from simfarm.engine.writer import Writer, is_busy
from simfarm.errors import InputError
from simfarm.text.harmless import one_line

__all__ = ["Answer", "Store", "default_store_path", "request_key"]

Answer = TypeVar("Answer", Completion, Decision, Likelihood)
"""What is kept under a request: which of them it is follows from the request."""

APPLICATION_ID = 0x53464D31
"""Written in the file's header ("SFM1"), so that someone else's database is not taken for a store."""

SCHEMA = 1
"""Written beside it; the first simfarm wrote 0 for the same tables."""

COLUMNS = ["key", "completion", "created"]

OPENING = 10.0
"""Seconds to wait at the start for another program that keeps the file locked: nothing is paid for yet."""


def default_store_path() -> Path:
    """`simfarm.sqlite` in the user's data folder, or the file that `SIMFARM_STORE` names."""
    named = os.environ.get("SIMFARM_STORE")
    if named:
        return Path(named).expanduser()
    if sys.platform == "win32":
        base = Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Application Support"
    else:
        base = Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share")
    return base / "simfarm" / "simfarm.sqlite"


def request_key(backend: str, base_url: str | None, request: Request) -> bytes:
    """The SHA-256 that names a request: protocol, server, body, sample and attempt.

    The body is hashed in simfarm's own words (model, messages, sampling, questions), not as it went over the wire: what
    a server had to be told differently (`max_completion_tokens`) does not make it another question. What the request is
    *about* (`judged`) and any user name or password in the address stay outside.
    """
    server = ""
    if base_url:
        parts = urlsplit(base_url)
        server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    named: list[Any] = [
        backend,
        server,
        request.model,
        # a plain message as its two texts, one with more (a name, a tool's call) whole
        [[m["role"], m["content"]] if len(m) == 2 else dict(m) for m in request.messages],
        dict(request.sampling),
        request.sample,
        request.attempt,
    ]
    if request.questions:
        named.append([question.to_json() for question in request.questions])
    text = json.dumps(named, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class Store:
    """An open store. Several processes may share the file; the first answer to a request stays.

    Raises `InputError` for a file that is not a store, is damaged, locked, of a later simfarm, or cannot be created.
    Reads are synchronous and one at a time: at a few tens of microseconds, handing them to a thread or gathering them
    would cost more.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self._name = one_line(str(path))
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite gives its -wal and -shm files the mode of this one
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except (OSError, ValueError) as error:
            why = getattr(error, "strerror", None) or error
            raise InputError(f"{self._name}: cannot be opened ({why}); name another with --store") from None
        self.damaged: set[bytes] = set()
        self._reader = self._opened()
        # here and not in its thread, so that a file that cannot be opened twice is told before the first call
        self._writer = Writer(self.path, self._opened(), self.damaged)

    def _opened(self) -> sqlite3.Connection:
        until = time.monotonic() + OPENING
        while True:
            try:
                return self._connect()
            except sqlite3.Error as error:
                if is_busy(error) and time.monotonic() < until:
                    # two that turn a new file into a store at once are not always made to wait for each other
                    time.sleep(0.02)
                    continue
                raise InputError(f"{self._name}: {_unusable(error)}") from None

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=1.0, isolation_level=None, check_same_thread=False)
        try:
            self._check(connection)
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            # a lock that another program holds is told before the first call
            connection.execute("BEGIN IMMEDIATE")
            connection.execute("ROLLBACK")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self, connection: sqlite3.Connection) -> None:
        """Turns an empty file into a store, and refuses what is none of this schema."""
        (marked,) = connection.execute("PRAGMA application_id").fetchone()
        if marked != APPLICATION_ID:
            connection.execute("BEGIN IMMEDIATE")
            with connection:
                (marked,) = connection.execute("PRAGMA application_id").fetchone()
                (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
                if tables and marked != APPLICATION_ID:
                    raise InputError(f"{self._name}: a database, but no simfarm store; name another file with --store")
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS completions"
                    " (key BLOB PRIMARY KEY, completion TEXT NOT NULL, created REAL NOT NULL)"
                )
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
                connection.execute(f"PRAGMA user_version = {SCHEMA}")
        (schema,) = connection.execute("PRAGMA user_version").fetchone()
        columns = [row[1] for row in connection.execute("PRAGMA table_info(completions)")]
        if schema > SCHEMA or columns != COLUMNS:
            raise InputError(
                f"{self._name}: was written by another version of simfarm (schema {schema}, this one knows {SCHEMA}); "
                "upgrade simfarm, or name another file with --store"
            )
        # both ends of both trees: a file that was cut short is told before the first call
        connection.execute("SELECT min(key), max(key), min(rowid), max(rowid) FROM completions").fetchone()

    def get(self, key: bytes) -> Completion | None:
        """The completion of one request, as `read` gives it."""
        return self.read(key, Completion)

    def read(self, key: bytes, kind: type[Answer]) -> Answer | None:
        """The answer to one request, None where it was never answered, or where what is kept cannot be read: then its
        key is in `damaged`, and the next answer takes its place."""
        try:
            row = self._reader.execute("SELECT completion FROM completions WHERE key = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise InputError(f"{self._name}: {_unusable(error)}") from None
        if row is None:
            return None
        try:
            return kind.from_json(json.loads(row[0]))
        except (ValueError, TypeError, RecursionError):
            self.damaged.add(key)
            return None

    async def put(self, key: bytes, answer: Completion | Decision | Likelihood) -> None:
        """Keeps an answer; returns when it is committed. It is written even where the caller is cancelled meanwhile.

        Where another program keeps the file locked, it waits for as long as `engine.writer.PATIENCE`. Raises
        `SimfarmError` where the file cannot be written (a full disk).
        """
        await self._writer.write((key, _written(answer), round(time.time(), 3)))

    async def ready(self) -> None:
        """For before a call: waits while the file is locked, and raises `SimfarmError` where it cannot be written: the
        answer would be paid for and lost."""
        await self._writer.ready()

    def close(self) -> None:
        """Writes what is queued and closes the file."""
        self._writer.close()
        self._reader.close()


def _unusable(error: sqlite3.Error) -> str:
    """What is the matter with the file, and what to do."""
    if is_busy(error):
        return "another program keeps it locked; end that, or name another file with --store"
    code = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR):
        # the file may be sound, and what is in it was paid for
        return (
            f"cannot be used as a store ({error}): make room, see that the file and its folder can be written and that "
            "enough files may be open (ulimit -n), or name another with --store"
        )
    return f"cannot be used as a store ({error}); move it away or name another with --store"


def _written(answer: Completion | Decision | Likelihood) -> str:
    """An answer as JSON. A field that has no form there (a number of a million digits) is left out: what was paid
    for is the rest."""
    row = answer.to_json()
    try:
        return json.dumps(row, separators=(",", ":"))
    except (TypeError, ValueError, RecursionError):
        kept = {}
        for name, value in row.items():
            with suppress(TypeError, ValueError, RecursionError):
                json.dumps(value)
                kept[name] = value
        return json.dumps({"text": "", **kept}, separators=(",", ":"))
