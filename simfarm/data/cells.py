"""Any value as a file can hold it: rows may have cost money, and none is lost for a column that JSON has no form for.

Unknown columns come from people's own Parquet files and data frames: time stamps, bytes, decimals, NumPy scalars, NaN.
"""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

__all__ = ["ESCAPE", "as_text", "cell", "dump", "encodable", "plain", "stable_digest"]

ESCAPE = "backslashreplace"
"""A lone surrogate is written as its JSON escape: it has no UTF-8 form."""


def plain(value: Any) -> Any:
    """A value as JSON has it, nested ones too: NaN and infinities are null, tuples and sets lists, bytes their text
    (hexadecimal where they are none), NumPy's numbers and arrays Python's, anything else (dates, decimals) `str`."""
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(plain(key)): plain(v) for key, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(v) for v in value]
    return value if value is None or isinstance(value, str | int) else _foreign(value)


def _foreign(value: Any) -> Any:
    """A value of a type that JSON lacks. NumPy's are known by their `dtype`: importing it would cost memory."""
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return value.hex()
    if getattr(value, "ndim", 0):
        return [plain(v) for v in value]
    if getattr(getattr(value, "dtype", None), "kind", "") in tuple("biuf"):
        return plain(value.item())
    # NaT, NA and a decimal NaN are missing values; each writes itself like this
    return None if str(value) in ("NaT", "<NA>", "NaN") else str(value)


def dump(value: Any) -> str:
    """One line of JSON, whatever the value holds."""
    try:
        return json.dumps(value, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError):
        return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def cell(value: Any) -> Any:
    """A value as a CSV cell: nested ones as JSON text."""
    made = plain(value)
    return dump(made) if isinstance(made, dict | list) else made


def encodable(value: Any) -> Any:
    """The value; of a text its lone surrogates as escapes, since a table's text columns have no form for them."""
    return value.encode("utf-8", ESCAPE).decode() if isinstance(value, str) and not value.isascii() else value


def as_text(value: Any) -> str | None:
    """A value as UTF-8 text, None where it is null; nested ones as JSON text."""
    made = cell(value)
    if made is None:
        return None
    return (made if isinstance(made, str) else dump(made)).encode("utf-8", ESCAPE).decode()


def stable_digest(*parts: Any) -> bytes:
    """32 bytes that follow from JSON values alone (SHA-256): the same in every process and on every machine, for draws
    that a rerun must repeat."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).digest()
