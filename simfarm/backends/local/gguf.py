"""The metadata of a GGUF file: what a model says about itself, without loading it.

The library `gguf` reads them too, but brings `requests` and takes seconds over the vocabulary; here the arrays are
skipped.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import math
import struct
from pathlib import Path
from typing import BinaryIO

from simfarm.errors import InputError

__all__ = ["context_length", "read_metadata"]

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""GGUF's type numbers and their struct codes; 8 is a string, 9 an array."""

Value = int | float | bool | str | None


TENSORS = {0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 8: (32, 34), 12: (256, 144), 14: (256, 210), 30: (1, 2)}
"""GGUF's numbers of the kinds of tensors in use: how many weights stand in how many bytes."""


def read_metadata(path: Path) -> dict[str, Value]:
    """The file's keys and values; an array is None. Raises `InputError` for a file that is no GGUF or is cut off: an
    engine that maps it into memory would read beyond its end and answer nonsense."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise InputError(f"{path}: is no GGUF file; is the download complete?")
            _, tensors, count = (int(n) for n in _unpack(file, "IQQ"))
            metadata = {_string(file): _value(file, int(_unpack(file, "I")[0])) for _ in range(count)}
            needed = max((_tensor_end(file) for _ in range(tensors)), default=0)
            alignment = metadata.get("general.alignment")
            step = alignment if isinstance(alignment, int) and alignment > 0 else 32
            if -(-file.tell() // step) * step + needed > path.stat().st_size:
                raise InputError(f"{path}: is cut off; is the download complete?")
            return metadata
    except (struct.error, UnicodeDecodeError, KeyError, MemoryError, OverflowError, RecursionError):
        raise InputError(f"{path}: is a damaged GGUF file; is the download complete?") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


def context_length(metadata: dict[str, Value]) -> int | None:
    """Tokens that the model was made to hold, None where the file does not say."""
    length = metadata.get(f"{metadata.get('general.architecture')}.context_length")
    return int(length) if isinstance(length, int) else None


def _unpack(file: BinaryIO, codes: str) -> tuple[int | float | bool, ...]:
    return struct.unpack(f"<{codes}", file.read(struct.calcsize(f"<{codes}")))


def _string(file: BinaryIO) -> str:
    return file.read(int(_unpack(file, "Q")[0])).decode()


def _tensor_end(file: BinaryIO) -> int:
    """Where the next tensor described ends, counted from the first one's beginning."""
    _string(file)
    dimensions = _unpack(file, f"{int(_unpack(file, 'I')[0])}Q")
    kind, offset = (int(n) for n in _unpack(file, "IQ"))
    weights, size = TENSORS.get(kind, (1, 0))
    return offset + math.prod(int(d) for d in dimensions) // weights * size


def _value(file: BinaryIO, kind: int) -> Value:
    if kind == 8:
        return _string(file)
    if kind != 9:
        return _unpack(file, NUMBERS[kind])[0]
    item, length = (int(n) for n in _unpack(file, "IQ"))
    if item in NUMBERS:
        file.seek(length * struct.calcsize(f"<{NUMBERS[item]}"), 1)
    else:
        for _ in range(length):
            _value(file, item)
    return None
