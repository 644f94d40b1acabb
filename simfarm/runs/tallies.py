"""What runs count, as values that add: a run over many machines is the sum of the runs over its parts.

They travel pickled from where a part was made. What they say of single records keeps those records' places among all.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple, Self

from simfarm.data.records import Annotation, Instruction
from simfarm.engine.stats import Stats

__all__ = ["AnnotationTallies", "Failure", "GenerationTallies", "Tallies"]


@dataclass(slots=True)
class Tallies(ABC):
    """What every run counts: its calls, and why it `stopped` before its end."""

    stats: Stats = field(default_factory=Stats)
    stopped: str | None = None

    @property
    @abstractmethod
    def missing(self) -> int:
        """Results that the next run would try to give."""

    @abstractmethod
    def add(self, more: Self, start: int) -> None:
        """Adds what was counted over a part, whose first record is the one at `start` (from 0) among all."""

    @property
    def exit_status(self) -> int:
        """0 done, 3 stopped by the budget, 4 finished but some results are missing."""
        return 3 if self.stopped else 4 if self.missing else 0


@dataclass(slots=True)
class AnnotationTallies(Tallies):
    """Annotations by `status`, and why some have no verdict. `exhausted` counts unparseable ones that no run asks again
    by itself, `refused` calls refused for good, `unmarked` the criteria of verdicts that have no score."""

    status: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    answered_by: Counter[str] = field(default_factory=Counter)
    ties_without_call: int = 0
    repaired: int = 0
    cut_off: int = 0
    exhausted: int = 0
    refused: int = 0
    unmarked: int = 0

    @property
    def missing(self) -> int:
        """Annotations without a verdict."""
        return self.status["unparseable"] + self.status["error"]

    def count(self, annotation: Annotation) -> None:
        """One more annotation."""
        self.status[annotation.status] += 1
        if annotation.error:
            self.problems[annotation.error] += 1
        if annotation.model:
            self.answered_by[annotation.model] += 1

    def add(self, more: Self, start: int) -> None:
        """Annotations have no places of their own: `start` changes nothing."""
        self.stats.add(more.stats)
        self.stopped = self.stopped or more.stopped
        self.status.update(more.status)
        self.problems.update(more.problems)
        self.answered_by.update(more.answered_by)
        self.ties_without_call += more.ties_without_call
        self.repaired += more.repaired
        self.cut_off += more.cut_off
        self.exhausted += more.exhausted
        self.refused += more.refused
        self.unmarked += more.unmarked


class Failure(NamedTuple):
    """An output that could not be made, and why; `position` is its instruction's, from 1."""

    position: int
    asked: Instruction
    sample: int
    why: str


@dataclass(slots=True)
class GenerationTallies(Tallies):
    """Outputs `made`, those of them `cut_off` or `empty`, and those that could not be made, of which `passing` may be
    made by another run (a busy server, not a prompt that is too long). `further` counts samples after an instruction's
    first, `repeated` those of them that are the one before word for word."""

    made: int = 0
    cut_off: int = 0
    empty: int = 0
    further: int = 0
    repeated: int = 0
    passing: int = 0
    failed: list[Failure] = field(default_factory=list)

    @property
    def missing(self) -> int:
        """Outputs that could not be made."""
        return len(self.failed)

    def add(self, more: Self, start: int) -> None:
        """Failures are put in the order of all records."""
        self.stats.add(more.stats)
        self.stopped = self.stopped or more.stopped
        self.made += more.made
        self.cut_off += more.cut_off
        self.empty += more.empty
        self.further += more.further
        self.repeated += more.repeated
        self.passing += more.passing
        self.failed.extend(failure._replace(position=start + failure.position) for failure in more.failed)
        self.sort()

    def sort(self) -> None:
        """Puts the failures in the order of their records."""
        self.failed.sort(key=lambda failure: (failure.position, failure.sample))
