"""JSON objects that hold a list of rows beside what all of them share: annotated pairs, an evaluation's log.

Each row comes with what it shares, as `simfarm.data.formats` reads it. One that does not fit into `ROW_LIMIT` is read a
row at a time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Protocol

from simfarm.errors import InputError

__all__ = ["streamed", "unwrapped"]

_LISTS = {"comparisons": ("comparison", "annotators"), "samples": ("sample", "eval")}
"""The list's key, what one of its rows is called, and what must stand beside it."""


def unwrapped(value: Mapping[str, Any]) -> Iterator[dict[str, Any]] | None:
    """The rows in such an object, None for any other."""
    for key, (one, beside) in _LISTS.items():
        if isinstance(value.get(key), list) and beside in value:
            shared = {name: part for name, part in value.items() if name != key}
            return ({**shared, one: row} for row in value[key])
    return None


class _Window(Protocol):
    """What `parsing` decodes in."""

    at: int
    passed: int

    def peek(self) -> str: ...
    def value(self, where: str) -> Any: ...
    def array(self) -> Iterator[dict[str, Any]]: ...


def streamed(window: _Window, name: str, limit: int) -> Iterator[dict[str, Any]]:
    """The rows of the object that begins in the window; what follows the list is left behind. Raises `InputError` for
    an object of no known kind, and for more than `limit` characters before the list."""
    shared: dict[str, Any] = {}
    start = window.passed + window.at
    window.at += 1
    while window.peek() == '"':
        key = window.value("a column's name")
        if window.peek() != ":":
            break
        window.at += 1
        opening = window.peek()
        if key in _LISTS and _LISTS[key][1] in shared and opening == "[":
            for row in window.array():
                yield {**shared, _LISTS[key][0]: row}
            return
        shared[key] = window.value(f"{key!r}")
        if window.peek() != "," or window.passed + window.at - start > limit:
            break
        window.at += 1
        window.peek()
    raise InputError(f"{name}: the file is longer than a row can be; is it a file of rows?")
