"""Where rows are written: a temporary file beside the target, so that a killed run never leaves half a file under the
name a later command reads, and one line for a target that cannot be written.

By the time a disk is full the answers are paid for and in the store: the line says so, and only failures of the target
itself are told this way, never those of whatever the rows come from.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import IO

from simfarm.data.cells import ESCAPE
from simfarm.data.temporary import temporary
from simfarm.errors import SimfarmError

__all__ = ["Target", "open_text", "replacing", "standard_output", "telling", "write_text"]


@contextmanager
def telling(name: str) -> Iterator[None]:
    """An `OSError` in the block is a target that cannot be written; a closed pipe is the reader's own wish."""
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise SimfarmError(
            f"cannot write {name} ({error.strerror or error}); the answers are in the store: make room or name another "
            "-o FILE, then run again"
        ) from error


@contextmanager
def standard_output() -> Iterator[Target]:
    """Standard output as a target; what fails on it once is not tried again when the interpreter ends."""
    target = Target("to standard output", sys.stdout)
    try:
        yield target
        target.flush()
    except SimfarmError as error:
        if isinstance(error.__cause__, OSError):
            with suppress(io.UnsupportedOperation):
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise


class Target:
    """A text stream that tells which target could not be written; what the rows' own source raises is left alone."""

    def __init__(self, name: str, stream: IO[str]) -> None:
        self._name = name
        self._stream = stream

    def write(self, text: str) -> int:
        with telling(self._name):
            return self._stream.write(text)

    def flush(self) -> None:
        with telling(self._name):
            self._stream.flush()


@contextmanager
def replacing(name: str) -> Iterator[str]:
    """A temporary file beside `name` that takes its place when the block ends well or is stopped by a budget. What is
    no file (a device, a pipe) is written as it is, and a link stays one."""
    place = os.path.realpath(name)
    if os.path.exists(place) and not os.path.isfile(place):
        yield place
        return
    with ExitStack() as removed:
        with telling(name):
            path = removed.enter_context(temporary(place))
        yield path
        with telling(name):
            mask = os.umask(0)
            os.umask(mask)
            os.chmod(path, 0o666 & ~mask)
            os.replace(path, place)


def write_text(name: str | os.PathLike[str], text: str) -> None:
    """A whole text under `name`, or what was there before. Raises `SimfarmError` where it cannot be written."""
    with replacing(os.fspath(name)) as path, telling(os.fspath(name)):
        Path(path).write_text(text, encoding="utf-8", errors=ESCAPE)


@contextmanager
def open_text(name: str, temporary: str, compression: str) -> Iterator[Target]:
    """The target `name`, written to `temporary`; closing it writes what is still buffered."""
    closing = ExitStack()
    with telling(name):
        stream = closing.enter_context(_opened(temporary, compression))
    try:
        yield Target(name, stream)
    except BaseException:
        with suppress(OSError):
            closing.close()
        raise
    with telling(name):
        closing.close()


@contextmanager
def _opened(name: str, compression: str) -> Iterator[IO[str]]:
    if compression == ".zst":
        from simfarm.data.unpacking import zstd

        with (
            open(name, "wb") as raw,
            zstd.ZstdFile(raw, "wb", level=9) as packed,
            io.TextIOWrapper(packed, encoding="utf-8", errors=ESCAPE, newline="\n") as stream,
        ):
            yield stream
    elif compression == ".gz":
        # no file name and no time in the header: the same rows give the same bytes
        with (
            open(name, "wb") as raw,
            gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed_gz,
            io.TextIOWrapper(packed_gz, encoding="utf-8", errors=ESCAPE, newline="\n") as stream,
        ):
            yield stream
    else:
        with open(name, "w", encoding="utf-8", errors=ESCAPE, newline="\n") as stream:
            yield stream
