"""Several annotators in one file: what is the matter with one of them is said of that one, and costs no other's board.

Sixteen people label the same pairs, and one of them saw a single instruction: fifteen boards and one sentence are worth
more than the sentence alone. Where nobody can be estimated there is no answer, and that is an error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TypeVar

from simfarm.errors import InputError

__all__ = ["each_or_why"]

Of = TypeVar("Of")
Made = TypeVar("Made")


def each_or_why(parts: Iterable[tuple[str, Of]], make: Callable[[str, Of], Made]) -> list[tuple[str, Made | str]]:
    """(annotator, what is made of its part, or why nothing can be: the words of an `InputError`), for each annotator.

    Raises the `InputError` where no annotator has a result; with several annotators it is the first one's.
    """
    found: list[tuple[str, Made | str]] = []
    first: InputError | None = None
    for annotator, part in parts:
        try:
            found.append((annotator, make(annotator, part)))
        except InputError as error:
            first = first or error
            found.append((annotator, str(error)))
    if first is not None and all(isinstance(one, str) for _, one in found):
        if len(found) == 1:
            raise first
        raise InputError(f"none of the {len(found)} annotators can be estimated; {found[0][0]}: {first}") from first
    return found
