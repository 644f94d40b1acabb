"""Several annotators in one file: what is the matter with one of them is said of that one, and costs no other's board.

Sixteen people label the same pairs, and one of them saw a single instruction: fifteen boards and one sentence are worth
more than the sentence alone. Where nobody can be estimated there is no answer, and that is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

from simfarm.errors import InputError
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.ranking.board import Board

__all__ = ["each_or_else", "warned"]

Of = TypeVar("Of")
Made = TypeVar("Made")


def each_or_else(
    parts: Iterable[tuple[str, Of]],
    make: Callable[[str, Of], Made],
    otherwise: Callable[[str, Of, str], Made],
    can: str = "can be estimated",
) -> list[Made]:
    """`make(annotator, part)` for each annotator; where that is an `InputError`, `otherwise` of it and the reason.

    Raises the `InputError` where no annotator has a result; with several annotators it is the first one's, of which
    none `can`.
    """
    results: list[Made] = []
    reasons: list[tuple[str, InputError]] = []
    for annotator, part in parts:
        try:
            results.append(make(annotator, part))
        except InputError as error:
            reasons.append((annotator, error))
            results.append(otherwise(annotator, part, str(error)))
    if reasons and len(reasons) == len(results):
        annotator, first = reasons[0]
        if len(results) == 1:
            raise first
        raise InputError(f"none of {plural(len(results), 'annotator')} {can}; {annotator}: {first}") from first
    return results


def warned(board: Board, line: str) -> Board:
    """The board with one more warning."""
    return replace(board, warnings=(*board.warnings, line))
