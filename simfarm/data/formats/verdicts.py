"""Verdicts in others' words, and ours in theirs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from simfarm.data.formats.format import LeftOut
from simfarm.data.meaning import TIE, preference_of
from simfarm.data.parsing import Row

__all__ = ["PEOPLE", "by_person", "preferred", "side", "three_way", "verdict", "word_of"]


PEOPLE = "people"
"""The annotator of labels by people; who it was is the row's `person`."""


def verdict(preference: float | None, status: str | None = None) -> Row:
    """The columns of a verdict, or of none: what cannot be read is unparseable, and never a tie."""
    return {"preference": preference, "status": status or ("unparseable" if preference is None else "verdict")}


def by_person(who: Any) -> Row:
    """Who judged, where people did: one crowd is the annotator, for a board for each of a thousand voters is none."""
    return {"annotator": PEOPLE} | ({} if who is None or who == "" else {"person": str(who)})


def word_of(value: Any, words: Mapping[str, float]) -> float | None:
    """The preference that a word is, None for one that is none of the `words`."""
    return words.get(value.strip().lower()) if isinstance(value, str) else None


def preferred(row: Mapping[str, Any]) -> float | None:
    """The preference of a row of ours (1 to 2), None for no verdict. Raises `LeftOut` for any other."""
    value = row.get("preference")
    if isinstance(value, str):
        # out of a CSV file
        try:
            value = float(value)
        except ValueError:
            raise LeftOut("a preference that is no number") from None
    if value is None or value != value:  # noqa: PLR0124  NaN
        return None
    value = preference_of(float(value))
    if not 1 <= value <= 2:
        raise LeftOut("a preference that is not from 1 to 2")
    return value


def side(rows: Iterable[Mapping[str, Any]]) -> float | None:
    """Whom the calls of one comparison prefer together (the mean of their verdicts), None where none has one."""
    values = [value for row in rows if (value := preferred(row)) is not None]
    return sum(values) / len(values) if values else None


def three_way(preference: float | None) -> int:
    """-1 for output_1, 0 for a tie, 1 for output_2. Raises `LeftOut` for no verdict."""
    if preference is None:
        raise LeftOut("no verdict")
    return (preference > TIE) - (preference < TIE)
