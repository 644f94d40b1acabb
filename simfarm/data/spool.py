"""Records on disk where they are many: what is to be judged may be more than memory holds, and is read several times.

A run goes over its comparisons to check them, to count its calls and to ask; between these nobody needs their texts.
The file has no name (nothing is left when the process is killed) and lies in the folder for temporary files (`TMPDIR`).
"""

from __future__ import annotations

import os
import pickle
import tempfile
from array import array
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, TypeVar, overload

from simfarm.errors import InputError

__all__ = ["spooled"]

T = TypeVar("T")

_HELD = 1 << 26
"""Bytes of records that stay in memory: a run of some thousand comparisons never touches the disk again."""


def spooled(records: Iterable[T]) -> Sequence[T]:
    """The records, to be read again and again: a list while they are few, else a file of them.

    Raises `InputError` where the folder for temporary files has no room.
    """
    held: list[T] = []
    offsets = array("q", [0])
    with tempfile.TemporaryFile() as file:
        for record in records:
            data = pickle.dumps(record, pickle.HIGHEST_PROTOCOL)
            try:
                file.write(data)
                if offsets[-1] > _HELD:
                    held.clear()
                else:
                    held.append(record)
            except OSError as error:
                raise _no_room(error) from error
            offsets.append(offsets[-1] + len(data))
        if len(held) == len(offsets) - 1:
            return held
        try:
            file.flush()
        except OSError as error:
            raise _no_room(error) from error
        return _Spool(os.dup(file.fileno()), offsets)


def _no_room(error: OSError) -> InputError:
    return InputError(
        f"the input is kept in {tempfile.gettempdir()} while it is worked on, which failed ({error.strerror}); make "
        "room there, or name another folder in TMPDIR"
    )


class _Spool(Sequence[T]):
    """Pickled records in a file without a name, closed with the last reference."""

    def __init__(self, handle: int, offsets: array[int]) -> None:
        self._handle = handle
        self._offsets = offsets

    def __len__(self) -> int:
        return len(self._offsets) - 1

    @overload
    def __getitem__(self, place: int) -> T: ...
    @overload
    def __getitem__(self, place: slice) -> list[T]: ...
    def __getitem__(self, place: int | slice) -> T | list[T]:
        if isinstance(place, slice):
            return [self._read(i) for i in range(*place.indices(len(self)))]
        return self._read(range(len(self))[place])

    def __iter__(self) -> Iterator[T]:
        return map(self._read, range(len(self)))

    def _read(self, place: int) -> T:
        start, end = self._offsets[place], self._offsets[place + 1]
        made: Any = pickle.loads(os.pread(self._handle, end - start, start))
        return made  # type: ignore[no-any-return]

    def __del__(self) -> None:
        os.close(self._handle)
