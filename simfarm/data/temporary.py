"""Files that are being written, beside the ones they will replace, and how none of them stays behind.

A run that ends, whatever ends it, removes its own; SIGTERM (`kill`, the end of a batch job's time) and SIGHUP (a closed
terminal) do so too. kill -9 and a power cut leave it, and the next run that writes the same file removes it: a living
writer holds a lock on its file, so that what can be locked is nobody's.
"""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from types import FrameType

try:
    import fcntl
except ImportError:  # Windows: nothing shows whether a file is in use, and left ones stay
    fcntl = None  # type: ignore[assignment]

__all__ = ["temporary"]

_MARK = ".simfarm-"
"""In the name of every such file, so that no file of a user's is taken for one."""

_SIGNALS = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]

_ours: set[str] = set()
"""What this process is writing."""


@contextmanager
def temporary(name: str, *, folder: bool = False) -> Iterator[str]:
    """The path of a new file (or folder) beside `name`, which is gone when the block ends. Raises `OSError`."""
    where, stem = os.path.split(os.path.abspath(name))
    prefix = f".{stem}{_MARK}"
    _remove_left(where, prefix)
    paths: list[str] = []
    locks: list[int] = []
    with _removed_when_ended():
        try:
            yield _made(os.path.join(where, prefix), folder, paths, locks)
        finally:
            for path in paths:
                _removed(path)
                _ours.discard(path)
            for lock in locks:
                os.close(lock)


def _made(prefix: str, folder: bool, paths: list[str], locks: list[int]) -> str:
    """The new file or folder. It is in `paths` before it is there, since Ctrl-C may come at any moment; what shows that
    it is in use is in `locks`."""
    while True:
        path = prefix + secrets.token_hex(4)
        paths.append(path)
        _ours.add(path)
        try:
            if folder:
                os.mkdir(path, 0o700)
            else:
                os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600))
        except FileExistsError:
            paths.remove(path)
            _ours.discard(path)
            continue
        lock = _locked(path, wait=True)
        if lock is not None:
            locks.append(lock)
        # another run may have taken it for a left one before it was locked
        if os.path.exists(path):
            return path


def _locked(path: str, *, wait: bool) -> int | None:
    """A lock on `path`, held until it is closed; None where there is none to have."""
    if fcntl is None:
        return None
    try:
        held = os.open(path, os.O_RDONLY if os.path.isdir(path) else os.O_RDWR)
    except OSError:
        return None
    try:
        fcntl.flock(held, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except OSError:
        os.close(held)
        return None
    return held


def _remove_left(where: str, prefix: str) -> None:
    """Removes what killed runs left of this name."""
    with suppress(OSError), os.scandir(where) as entries:
        left = [entry.path for entry in entries if entry.name.startswith(prefix)]
        for path in left:
            held = _locked(path, wait=False)
            if held is not None:
                _removed(path)
                os.close(held)


def _removed(path: str) -> None:
    with suppress(OSError):
        if os.path.isdir(path):
            shutil.rmtree(path, ignore_errors=True)
        else:
            Path(path).unlink()


@contextmanager
def _removed_when_ended() -> Iterator[None]:
    """While the block runs, a signal that ends the process removes what it is writing first; a program that handles the
    signal itself, or ignores it (nohup), is left alone, and so are threads, which cannot handle any."""
    free = []
    if threading.current_thread() is threading.main_thread():
        free = [number for number in _SIGNALS if signal.getsignal(number) == signal.SIG_DFL]
    for number in free:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number in free:
            signal.signal(number, signal.SIG_DFL)


def _end(number: int, _: FrameType | None) -> None:
    for path in list(_ours):
        _removed(path)
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
