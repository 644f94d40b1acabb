"""What a parser gives back: a verdict on the *presented* pair, or the fact that there is none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

__all__ = ["Verdict"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`p_second` is how strongly the second-shown output is preferred, in [0, 1]; None means unparseable, and then
    `problem` says why in a few words. Of a rating it is None too, and `score` is the place on the judge's scale;
    `found` says whether there is a verdict at all. `strength` is the five-level grade as a number (0 tie, 1 better,
    2 much better), `scores` are per criterion, `scores_sd` the standard deviations of what the judge has given as
    probabilities, `reason` is the judge's own explanation. Raises `ValueError` for a
    `p_second` that is no such number: it would be recorded as a verdict without a preference."""

    p_second: float | None
    problem: str | None = None
    strength: int | None = None
    reason: str | None = None
    scores: Mapping[str, float] | None = None
    score: float | None = None
    scores_sd: Mapping[str, float] | None = None

    @property
    def found(self) -> bool:
        """Whether there is a verdict."""
        return self.p_second is not None or self.score is not None

    def __post_init__(self) -> None:
        if self.p_second is not None and not 0 <= self.p_second <= 1:
            raise ValueError(f"{self.p_second} is no preference")
