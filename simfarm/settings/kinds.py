"""What an option accepts: how a text becomes its value, which values will do, and what to say of one that does not."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from numbers import Integral, Real
from pathlib import Path
from typing import Any, NamedTuple

__all__ = [
    "FLIP",
    "FLOAT",
    "INTEGER",
    "LEVEL",
    "MARGIN",
    "NUMBER",
    "PATH",
    "PRICE",
    "RENAMING",
    "SETTING",
    "SWITCH",
    "TEXT",
    "WHOLE",
    "Kind",
    "one_of",
]


class Kind(NamedTuple):
    """What an option accepts. `read` makes a value of a text or raises `ValueError`; `holds` says whether a value will
    do; `must_be` says in words what will, `is_not` how that ends the sentence "'x' is not …"."""

    read: Callable[[str], Any]
    holds: Callable[[Any], bool] = lambda value: True
    must_be: str = ""
    is_not: str = ""
    choices: tuple[str, ...] = ()


def _is_number(value: Any) -> bool:
    # NumPy's numbers are numbers too
    return isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value)


def _is_price(value: Any) -> bool:
    pair = isinstance(value, tuple | list) and len(value) == 2
    return pair and all(_is_number(part) and part >= 0 for part in value)


def _setting(text: str) -> tuple[str, Any]:
    """The value of `NAME=VALUE` is read as JSON where it is such (true, 2, 0.9), else it is the text."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ValueError(f"{text!r} is not NAME=VALUE")
    try:
        read = json.loads(value)
    except ValueError:
        return name, value
    if isinstance(read, float) and not math.isfinite(read):
        raise ValueError(f"{text!r} is beyond any number")
    return name, read


def _renaming(text: str) -> tuple[str, str]:
    ours, equals, theirs = text.partition("=")
    if not (ours and equals and theirs):
        raise ValueError(f"{text!r} is not OURS=THEIRS")
    return ours, theirs


def one_of(*choices: str) -> Kind:
    """One of these words."""
    return Kind(str, lambda value: value in choices, choices=choices)


TEXT, INTEGER, FLOAT, PATH = Kind(str), Kind(int), Kind(float), Kind(Path)
SWITCH = Kind(bool)
WHOLE = Kind(int, lambda n: isinstance(n, Integral) and _is_number(n) and int(n) >= 1, "a whole number of at least 1")
NUMBER = Kind(float, lambda value: _is_number(value) and value > 0, "a number above 0")
PRICE = Kind(
    lambda text: tuple(float(part) for part in text.split(",")),
    _is_price,
    "(IN, OUT), dollars a million tokens",
    "IN,OUT, dollars a million tokens, for example 2.00,8.00",
)
LEVEL = Kind(
    float,
    # beyond, a limit rests on what no sample can show, and a heading would round it to 100 %
    lambda value: _is_number(value) and 0.5 <= value <= 0.9999,
    "from 0.5 to 0.9999, for example 0.95",
    "a level from 0.5 to 0.9999, for example 0.95",
)
FLIP = Kind(
    float,
    lambda value: _is_number(value) and 0 <= value < 0.5,
    "at least 0 and below 0.5",
    "a flip rate of at least 0 and below 0.5, for example 0.25",
)
MARGIN = Kind(
    float,
    lambda value: _is_number(value) and 0 <= value < 1,
    "at least 0 and below 1",
    "a margin of at least 0 and below 1, for example 0.1",
)
SETTING = Kind(_setting)
RENAMING = Kind(_renaming, must_be="OURS=THEIRS, for example instruction=question")
