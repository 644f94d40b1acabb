"""Spans that a judge quotes as errors: a quote that is not in the output is made up, and does not count."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from simfarm.judges.neutral import MARK

__all__ = ["PER", "density", "quoted"]

PER = 1000
"""Characters of an output that errors are counted on, so that a long one may have more of them."""


def quoted(entries: Iterable[Mapping[str, Any]], types: Iterable[str], output: str) -> dict[str, int]:
    """How many different spans of each type are quoted (`type`, `quote`) that stand in the output, blanks alike."""
    body, known = _plain(output), list(types)
    found: dict[str, set[str]] = {name: set() for name in known}
    for entry in entries:
        name, quote = entry.get("type"), entry.get("quote")
        if name in known and isinstance(quote, str) and (span := _plain(quote)) and span in body:
            found[name].add(span)
    return {name: len(spans) for name, spans in found.items()}


def density(count: int, output: str) -> float:
    """Errors per `PER` characters of an output."""
    return PER * count / len(output) if output else 0.0


def _plain(text: str) -> str:
    """A text as it is compared: what was set into the prompt to break tags is taken out again."""
    return " ".join(text.replace(MARK, "").split())
