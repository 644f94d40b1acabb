"""What a parser gives back: a verdict on the *presented* pair, or the fact that there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`p_second` is how strongly the second-shown output is preferred, in [0, 1]; None means unparseable, and then
    `problem` says why in a few words. `strength` is the five-level grade as a number (0 tie, 1 better, 2 much better),
    `scores` are per criterion, `reason` is the judge's own explanation."""

    p_second: float | None
    problem: str | None = None
    strength: int | None = None
    reason: str | None = None
    scores: Mapping[str, float] | None = None
