"""The metadata of a GGUF file: what a model says about itself, without loading it.

The library `gguf` reads them too, but brings `requests` and takes seconds over the vocabulary; here the arrays are
skipped.
Format: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md
"""

from __future__ import annotations

import struct
from pathlib import Path
from typing import BinaryIO

from simfarm.errors import InputError

__all__ = ["context_length", "read_metadata"]

NUMBERS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
"""GGUF's type numbers and their struct codes; 8 is a string, 9 an array."""

Value = int | float | bool | str | None


def read_metadata(path: Path) -> dict[str, Value]:
    """The file's keys and values; an array is None. Raises `InputError` for a file that is no GGUF or is cut off."""
    try:
        with path.open("rb") as file:
            if file.read(4) != b"GGUF":
                raise InputError(f"{path}: is no GGUF file; is the download complete?")
            _, _, count = _unpack(file, "IQQ")
            return {_string(file): _value(file, int(_unpack(file, "I")[0])) for _ in range(int(count))}
    except (struct.error, UnicodeDecodeError, KeyError, MemoryError, OverflowError):
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
