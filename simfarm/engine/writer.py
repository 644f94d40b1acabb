"""The thread that writes the store: it commits what has gathered since its last commit, so that a thousand completions
a second cost a few dozen transactions.

What cannot be written stops the asking at once, and is kept in memory for another try at the end: a full disk, a thread
that died. A lock that another program holds is waited for; whoever waits for a commit holds its place among the calls,
so that no more than those in flight are ever in memory alone.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import sqlite3
import threading
import time
from collections.abc import Set
from contextlib import suppress
from pathlib import Path

from simfarm.errors import SimfarmError
from simfarm.text.harmless import one_line

__all__ = ["PATIENCE", "Row", "Writer", "is_busy"]

Row = tuple[bytes, str, float]
"""Key, completion as JSON, seconds since 1970."""

_Item = tuple[Row | None, "asyncio.Future[None]"]

PATIENCE = 600.0
"""Seconds that another program may keep the file locked before the run ends."""

LAST_PATIENCE = 10.0
"""The same once the run is at its end: Ctrl-C must not wait for minutes."""

NOTICE, NOTICE_AGAIN = 5.0, 60.0
"""Seconds of waiting before it is said, and between two times."""

_said = logging.getLogger("simfarm")


def is_busy(error: sqlite3.Error) -> bool:
    """Whether another program is at the file, and waiting may help."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


class Writer:
    """Writes rows to `connection`, which it takes over and which has the file `path` open. The first answer to a
    request stays, unless its key is among the `damaged`."""

    def __init__(self, path: Path, connection: sqlite3.Connection, damaged: Set[bytes] = frozenset()) -> None:
        self._name = one_line(path)
        self._path, self._file = path, _identity(path)
        self._damaged = damaged
        self._connection = connection
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._taken: list[_Item] = []
        self._unwritten: list[Row] = []
        self._failure: SimfarmError | None = None
        self._locked_since: float | None = None
        self._closing_since: float | None = None
        self._ended = False
        self._thread = threading.Thread(target=self._run, name="simfarm-store", daemon=True)
        self._thread.start()

    async def write(self, row: Row | None) -> None:
        """Returns when `row` (and every row before it) is committed; raises `SimfarmError` where it cannot be."""
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.put((row, done))
        if self._ended:
            self._refuse()
        await done

    async def ready(self) -> None:
        """Waits while the file is locked; raises `SimfarmError` where anything could not be written."""
        if self._failure is not None:
            raise self._failure
        if self._locked_since is not None:
            await self.write(None)

    def close(self) -> None:
        """Writes what is queued, tries once more what could not be written, and ends the thread."""
        self._closing_since = time.monotonic()
        self._queue.put(None)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._write_queued()
        except BaseException as error:  # noqa: BLE001 it is not lost: whoever has something to write gets it
            self._failure = SimfarmError(
                f"{self._name}: its writer stopped ({type(error).__name__}: {error}); run the same command again"
            )
        finally:
            self._connection.close()
            self._ended = True
            self._refuse()

    def _write_queued(self) -> None:
        closing = False
        while not closing:
            batch = [self._queue.get()]
            while not self._queue.empty():
                batch.append(self._queue.get())
            self._taken = [item for item in batch if item is not None]
            closing = len(self._taken) < len(batch)
            failure = self._commit([row for row, _ in self._taken if row is not None])
            _settle([done for _, done in self._taken], failure)
        left, self._unwritten = self._unwritten, []
        if self._commit(left) is not None:
            _said.warning("%s: %d answers could not be kept; the next run asks for them again", self._name, len(left))

    def _commit(self, rows: list[Row]) -> SimfarmError | None:
        """Writes `rows`; what came of it."""
        while rows:
            if _identity(self._path) != self._file:
                # SQLite would go on writing into a file that nobody finds again
                self._failure = SimfarmError(
                    f"{self._name}: was removed or replaced while it was in use; run the same command again: what was "
                    "kept in it is lost, unless you put it back"
                )
                self._unwritten += rows
                return self._failure
            try:
                self._connection.execute("BEGIN IMMEDIATE")
                damaged = [(row[0],) for row in rows if row[0] in self._damaged]
                self._connection.executemany("DELETE FROM completions WHERE key = ?", damaged)
                self._connection.executemany("INSERT OR IGNORE INTO completions VALUES (?, ?, ?)", rows)
                self._connection.execute("COMMIT")
                break
            except sqlite3.Error as error:
                with suppress(sqlite3.Error):
                    self._connection.rollback()
                if is_busy(error) and self._may_wait():
                    continue
                self._failure = SimfarmError(f"{self._name}: {_unwritable(error)}")
                self._unwritten += rows
                return self._failure
        self._locked_since = None
        return None

    def _may_wait(self) -> bool:
        """Whether a locked file is tried again; says so from time to time."""
        now = time.monotonic()
        if self._locked_since is None:
            self._locked_since, self._told = now, now - NOTICE_AGAIN + NOTICE
        if now - self._told >= NOTICE_AGAIN:
            self._told = now
            _said.warning(
                "%s: another program has kept it locked for %.0f s; waiting for it, nothing new is asked meanwhile",
                self._name,
                now - self._locked_since,
            )
        if self._closing_since is not None:
            return now - self._closing_since < LAST_PATIENCE
        return now - self._locked_since < PATIENCE

    def _refuse(self) -> None:
        """Nobody writes any more: who waits for it is told."""
        failure = self._failure or SimfarmError(f"{self._name}: is closed")
        _settle([done for _, done in self._taken], failure)
        with suppress(queue.Empty):
            while True:
                item = self._queue.get_nowait()
                if item is not None:
                    _settle([item[1]], failure)


def _identity(path: Path) -> tuple[int, int] | None:
    """Which file a path names, None where it names none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _unwritable(error: sqlite3.Error) -> str:
    """Why a file that could be opened cannot be written, and what to do."""
    again = "then run the same command again: what is kept is not asked twice"
    if is_busy(error):
        return f"another program keeps it locked; end that, or name another file with --store, {again}"
    return f"cannot be written ({error}); free the disk or name another file with --store, {again}"


def _settle(waiting: list[asyncio.Future[None]], failure: SimfarmError | None) -> None:
    """Tells those who wait, in the loop that they wait in; where that is closed nobody does."""

    def tell() -> None:
        for done in waiting:
            if done.done():
                continue
            if failure is None:
                done.set_result(None)
            else:
                done.set_exception(failure)

    if waiting:
        with suppress(RuntimeError):
            waiting[0].get_loop().call_soon_threadsafe(tell)
