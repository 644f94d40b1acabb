"""Everything that was paid for, in one SQLite file: completions under the hash of their request.

The store is the resume: a request whose completion is here is never asked again. It holds completions and hashes, no
prompts, no credentials and no errors. One writer thread commits what has gathered since its last commit, so that a
thousand completions a second cost a few dozen transactions; a completion is committed before its caller sees it.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import queue
import sqlite3
import sys
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

from simfarm.backends.base import Completion, Request
from simfarm.errors import InputError, SimfarmError

__all__ = ["Store", "default_store_path", "request_key"]

APPLICATION_ID = 0x53464D31
"""Written in the file's header ("SFM1"), so that someone else's database is not taken for a store."""

_Item = tuple[bytes, Completion, "asyncio.Future[None]"]


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

    The body is hashed in simfarm's own words (model, messages, sampling), not as it went over the wire: what a server
    had to be told differently (`max_completion_tokens`) does not make it another question. What the request is *about*
    (`judged`) and any user name or password in the address stay outside.
    """
    server = ""
    if base_url:
        parts = urlsplit(base_url)
        server = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path.rstrip('/')}"
    named = [
        backend,
        server,
        request.model,
        # a plain message as its two texts, one with more (a name, a tool's call) whole
        [[m["role"], m["content"]] if len(m) == 2 else dict(m) for m in request.messages],
        dict(request.sampling),
        request.sample,
        request.attempt,
    ]
    text = json.dumps(named, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()


class Store:
    """An open store. Several processes may share the file; the first answer to a request stays.

    Raises `InputError` for a file that is not a store, is damaged, or cannot be created. Reads are synchronous and one
    at a time: at a few tens of microseconds, handing them to a thread or gathering them would cost more.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # SQLite gives its -wal and -shm files the mode of this one
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600))
        except OSError as error:
            raise InputError(f"{self.path}: cannot be opened ({error.strerror}); name another with --store") from None
        self._reader = self._connect()
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._writer = threading.Thread(target=self._write, name="simfarm-store", daemon=True)
        self._writer.start()

    def _connect(self) -> sqlite3.Connection:
        try:
            connection = sqlite3.connect(self.path, timeout=30.0, isolation_level=None, check_same_thread=False)
            (marked,) = connection.execute("PRAGMA application_id").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            if marked != APPLICATION_ID:
                if tables:
                    connection.close()
                    raise InputError(f"{self.path}: a database, but no simfarm store; name another file with --store")
                connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = NORMAL")
            connection.execute(
                "CREATE TABLE IF NOT EXISTS completions"
                " (key BLOB PRIMARY KEY, completion TEXT NOT NULL, created REAL NOT NULL)"
            )
        except sqlite3.DatabaseError as error:
            raise InputError(
                f"{self.path}: cannot be used as a store ({error}); move it away or name another"
            ) from None
        return connection

    def get(self, key: bytes) -> Completion | None:
        """The completion of one request, None where it was never answered."""
        try:
            row = self._reader.execute("SELECT completion FROM completions WHERE key = ?", (key,)).fetchone()
        except sqlite3.DatabaseError as error:
            raise InputError(f"{self.path}: cannot be read ({error}); move it away or name another") from None
        if row is None:
            return None
        try:
            return Completion.from_json(json.loads(row[0]))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise InputError(
                f"{self.path}: holds a damaged answer ({type(error).__name__}); "
                "move the file away or name another with --store"
            ) from None

    async def put(self, key: bytes, completion: Completion) -> None:
        """Keeps a completion; returns when it is committed. It is written even where the caller is cancelled meanwhile.

        Raises `SimfarmError` where the file cannot be written (a full disk).
        """
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put((key, completion, done))
        await done

    def close(self) -> None:
        """Writes what is queued and closes the file."""
        self._queue.put(None)
        self._writer.join()
        self._reader.close()

    def _write(self) -> None:
        connection = self._connect()
        closing = False
        while not closing:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            items = [item for item in batch if item is not None]
            closing = len(items) < len(batch)
            if items:
                self._commit(connection, items)
        connection.close()

    def _commit(self, connection: sqlite3.Connection, items: list[_Item]) -> None:
        failure: SimfarmError | None = None
        now = round(time.time(), 3)
        rows = [(key, json.dumps(c.to_json(), separators=(",", ":")), now) for key, c, _ in items]
        try:
            connection.execute("BEGIN IMMEDIATE")
            connection.executemany("INSERT OR IGNORE INTO completions VALUES (?, ?, ?)", rows)
            connection.execute("COMMIT")
        except sqlite3.Error as error:
            failure = SimfarmError(
                f"{self.path}: cannot be written ({error}); free the disk or name another with --store"
            )
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        loop = items[0][2].get_loop()
        if not loop.is_closed():
            loop.call_soon_threadsafe(_settle, [done for _, _, done in items], failure)


def _settle(waiting: list[asyncio.Future[None]], failure: SimfarmError | None) -> None:
    for done in waiting:
        if done.done():
            continue
        if failure is None:
            done.set_result(None)
        else:
            done.set_exception(failure)
