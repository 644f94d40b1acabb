"""What runs count, as values that add: a run over many machines is the sum of the runs over its parts.

They travel pickled from where a part was made. What they say of single records keeps those records' places among all.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

from simfarm.data.exchange import Metered
from simfarm.data.records import Annotation, Instruction
from simfarm.engine.stats import Stats
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.runs.asking import Paid

__all__ = ["AnnotationTallies", "Failure", "GenerationTallies", "StageTallies", "Tallies"]


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
class StageTallies:
    """What each stage of a judge took, over all answers in the rows, whoever paid them; `unpriced` are those without a
    price. Of verdicts under contexts `mixed` counts those mixed, `split` those whose contexts do not take one side;
    `middle` and `squares` are the sums of their means and of the squares of these, `within` of their variances."""

    answers: Counter[str] = field(default_factory=Counter)
    tokens: Counter[str] = field(default_factory=Counter)
    price: dict[str, float] = field(default_factory=dict)
    unpriced: Counter[str] = field(default_factory=Counter)
    mixed: int = 0
    split: int = 0
    middle: float = 0.0
    squares: float = 0.0
    within: float = 0.0

    def count(self, paid: Iterable[Paid], price_of: Callable[[Metered], float | None]) -> None:
        """The answers that a call paid for."""
        for one in paid:
            if one.stage:
                price = price_of(one.answer)
                self.answers[one.stage] += 1
                self.tokens[one.stage] += (one.answer.input_tokens or 0) + (one.answer.output_tokens or 0)
                self.price[one.stage] = self.price.get(one.stage, 0.0) + (price or 0.0)
                self.unpriced[one.stage] += price is None

    def mix(self, parts: Sequence[tuple[float, float]], *, sided: bool) -> None:
        """A verdict under contexts, if it was: the weight of each, and how strongly output_2 is preferred under it; or
        a score, which takes no side."""
        if not parts:
            return
        mean = math.fsum(weight * value for weight, value in parts)
        self.mixed += 1
        self.split += sided and len({(value > 0.5) - (value < 0.5) for _, value in parts}) > 1
        self.middle += mean
        self.squares += mean**2
        self.within += math.fsum(weight * (value - mean) ** 2 for weight, value in parts)

    @property
    def share(self) -> float | None:
        """Of the variance of verdicts under contexts, the part that lies between the contexts of one verdict; None
        where nothing varies."""
        if not self.mixed:
            return None
        within, between = self.within / self.mixed, self.squares / self.mixed - (self.middle / self.mixed) ** 2
        whole = within + max(0.0, between)
        return within / whole if whole > 1e-12 else None

    def add(self, more: Self) -> None:
        """Adds what another part of a run took."""
        for mine, theirs in ((self.answers, more.answers), (self.tokens, more.tokens), (self.unpriced, more.unpriced)):
            mine.update(theirs)
        for name, price in more.price.items():
            self.price[name] = self.price.get(name, 0.0) + price
        for name in ("mixed", "split", "middle", "squares", "within"):
            setattr(self, name, getattr(self, name) + getattr(more, name))

    def costs(self, *, priced: bool) -> list[str]:
        """What each stage took, and cost where that is `priced`, in words; nothing of a judge that asks once."""
        said = []
        for name, count in self.answers.items():
            money = ", unknown price" if self.unpriced[name] else f", ${self.price[name]:.4f}"
            said.append(f"{name} {plural(count, 'answer')}, {self.tokens[name]:,} tokens{money if priced else ''}")
        return [f"by stage, with what was in the store: {'; '.join(said)}"] if said else []

    def contexts(self) -> list[str]:
        """What the contexts made, in words."""
        if not self.mixed:
            return []
        share = ""
        if self.share is not None:
            share = f", {100 * self.share:.0f} % of their variance lies between contexts, chance with it"
        split = f", {self.split:,} of them over contexts that differ about the side" if self.split else ""
        return [f"{plural(self.mixed, 'verdict')} mixed over contexts{split}{share}"]


@dataclass(slots=True)
class AnnotationTallies(Tallies):
    """Annotations by `status`, and why some have no verdict. `exhausted` counts unparseable ones that no run asks again
    by itself, `refused` calls refused for good, `unmarked` the criteria of verdicts that have no score; `stages` what
    those of a judge of several calls took."""

    status: Counter[str] = field(default_factory=Counter)
    problems: Counter[str] = field(default_factory=Counter)
    answered_by: Counter[str] = field(default_factory=Counter)
    ties_without_call: int = 0
    repaired: int = 0
    cut_off: int = 0
    exhausted: int = 0
    refused: int = 0
    unmarked: int = 0
    stages: StageTallies = field(default_factory=StageTallies)

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
        self.stages.add(more.stages)


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
