"""Cells as numbers, however a file's format stored them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Floats", "as_numbers"]

Floats = NDArray[np.float64]


def as_numbers(values: Any, length: int) -> tuple[Floats, tuple[int, Any] | None]:
    """(the numbers, NaN where there is none; the first value that is something else, with its place)."""
    if values is None:
        return np.full(length, math.nan), None
    if hasattr(values, "dictionary_encode"):
        kind = str(values.type)
        if kind.startswith(("int", "uint", "float", "double")):
            return values.to_numpy(zero_copy_only=False).astype(float), None
        if kind.startswith("dictionary"):
            return _of_each(values, length)
        values = values.to_pylist()
    try:
        if {*map(type, values)} <= {int, float, str, type(None)}:
            return np.array([math.nan if v is None else float(v) for v in values]), None
    except (ValueError, OverflowError):
        pass
    numbers = [_number(v) for v in values]
    odd = next(((i, values[i]) for i, number in enumerate(numbers) if number is None), None)
    return np.array([math.nan if number is None else number for number in numbers]), odd


def _of_each(values: Any, length: int) -> tuple[Floats, tuple[int, Any] | None]:
    """`as_numbers` of an Arrow dictionary, each of its values made a number once."""
    each = values.dictionary.to_pylist()
    places = values.indices.fill_null(len(each)).to_numpy(zero_copy_only=False)
    numbers = [_number(value) for value in (*each, None)]
    by_row = np.array([math.nan if number is None else number for number in numbers])[places]
    wrong = np.array([number is None for number in numbers])[places]
    row = int(wrong.argmax())
    return by_row, (row, each[places[row]]) if wrong[row] else None


def _number(value: Any) -> float | None:
    """A cell as a number, NaN where it is empty, None where it is something else (also true and false)."""
    if value is None or (isinstance(value, str) and not value.strip()):
        return math.nan
    try:
        return None if str(value) in ("True", "False") else float(value)
    except (TypeError, ValueError, OverflowError):
        return None
