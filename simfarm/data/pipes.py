"""What can be read only once (`-`, `/dev/stdin`, `<( )`), copied to a temporary file whose format its content tells."""

from __future__ import annotations

import os
import shutil
import stat
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import IO, Any

from simfarm.data.temporary import temporary
from simfarm.data.unpacking import compression_of, unpacked
from simfarm.errors import InputError, SimfarmError
from simfarm.text.harmless import one_line

__all__ = ["Pipes", "is_pipe", "sniffed"]

STDIN = {"-", "/dev/stdin", "/dev/fd/0"}

HEAD = 1 << 16
"""Bytes that tell the format."""


def is_pipe(name: str) -> bool:
    """Whether a name is standard input, or a pipe or device: what is there once, without a suffix that tells."""
    if name in STDIN:
        return True
    try:
        mode = os.stat(name).st_mode
    except (OSError, ValueError):
        return False
    return stat.S_ISFIFO(mode) or stat.S_ISCHR(mode) or stat.S_ISSOCK(mode)


class Pipes:
    """The pipes of one command and their copies. Standard input can be read for one of its inputs only."""

    def __init__(self) -> None:
        self._closing = ExitStack()
        self._folder: str | None = None
        self._names: dict[str, str] = {}
        self._read_stdin = False

    def copied(self, source: Any) -> Any:
        """The copy of a pipe, or the source itself where it is none. Raises `InputError` for a second `-`, and for
        content of no known format."""
        name = os.fspath(source)
        if not is_pipe(name):
            return source
        shown = "standard input" if name in STDIN else one_line(name)
        if name in STDIN:
            if self._read_stdin:
                raise InputError("standard input ('-') is named twice; it can be read once: write the other to a file")
            self._read_stdin = True
            return self._copy(sys.stdin.buffer, shown)
        try:
            with open(name, "rb") as stream:
                return self._copy(stream, shown)
        except OSError as error:
            raise InputError(f"{shown}: cannot be read ({error.strerror})") from error

    def _copy(self, stream: IO[bytes], shown: str) -> str:
        head = stream.read(HEAD)
        suffix = sniffed(head, shown)
        try:
            if self._folder is None:
                self._folder = self._closing.enter_context(
                    temporary(os.path.join(tempfile.gettempdir(), "pipe"), folder=True)
                )
            path = str(Path(self._folder, f"pipe-{len(self._names) + 1}{suffix}"))
            with open(path, "wb") as target:
                target.write(head)
                shutil.copyfileobj(stream, target, 1 << 20)
        except OSError as error:
            raise SimfarmError(
                f"{shown}: cannot be copied to {tempfile.gettempdir()} ({error.strerror}); "
                "write it to a file and name that"
            ) from error
        self._names[path] = shown
        return path

    def renamed(self, text: str) -> str:
        """A message with each copy under the name that the user knows it by."""
        for path, shown in self._names.items():
            text = text.replace(path, shown)
        return text

    def remove(self) -> None:
        """Deletes the copies."""
        self._closing.close()


def sniffed(head: bytes, name: str) -> str:
    """The suffix of the format that a content begins in (`.json`, `.csv.gz`, `.parquet` …; `.json` may be JSON lines).

    Raises `InputError`, naming `name`, for an empty content and for one of no known format.
    """
    if not head.strip():
        raise InputError(f"{name}: has no rows; was the command that writes it stopped?")
    if head.startswith(b"PAR1"):
        return ".parquet"
    if head.startswith(b"PK\x03\x04"):
        return ".eval"
    compression = compression_of(head)
    text = next(unpacked(iter([head]), name, compression), b"")
    if b"\0" in text:
        raise InputError(f"{name}: is neither JSON, JSONL, CSV nor Parquet; give one of these, plain, .gz or .zst")
    first = text.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    return (".json" if first in (b"[", b"{") else ".csv") + compression
