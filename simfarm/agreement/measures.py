"""What a report on simulated people is made of: measures of them beside people, and what is said of each.

A measure is inside where the interval of its difference from people holds 0: |crowd − people| is no more than 1.96
standard errors of that difference, where a fit went before with the fit's own error in it. Of ten measures one in three
reports on real people would have one outside by luck; so what the report says in the end goes by p-values that know how
many there are (Holm).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Literal

import numpy as np
import pandas as pd

from simfarm.agreement.figures import Value, known
from simfarm.data.identity import Codes
from simfarm.ranking.table import plain
from simfarm.statistics.discoveries import holm
from simfarm.statistics.estimate import Array, Estimate

__all__ = ["LIKE", "Bench", "Fidelity", "Labels", "Measure", "judged"]

LIKE = "not told apart"
"""The verdict of a measure that is inside."""


@dataclass(frozen=True)
class Labels:
    """Labels of a crowd, people or simulated: `item` (a row of `Votes.items`), `vote` (0 output_1, ½ a tie, 1 output_2)
    and `person` (a code) of each; `swapped` is 1 where output_2 was shown first, 0 where output_1, NaN where unknown.
    """

    item: Codes
    vote: Array
    person: Codes
    swapped: Array | None = None

    def among(self, items: Codes) -> Labels:
        """Those of some of the items."""
        return self.at(np.flatnonzero(np.isin(self.item, items)))

    def at(self, rows: Codes) -> Labels:
        """Some of them."""
        swapped = None if self.swapped is None else self.swapped[rows]
        return Labels(self.item[rows], self.vote[rows], self.person[rows], swapped)


@dataclass(frozen=True)
class Measure:
    """One measure of people and of the crowd, its `difference` (crowd − people), the limits of that, the p of "there is
    none", and the `verdict` in words.

    Of a discriminator `people` is the planted null and `crowd` the area under its curve, which have no difference of
    their own. What only describes (`p` NaN) has no verdict.
    """

    name: str
    words: str
    unit: Literal["percent", "number"]
    people: Value | None
    crowd: Value | None
    difference: Value | None = None
    limits: tuple[float, float] = (math.nan, math.nan)
    p: float = math.nan
    verdict: str = ""

    @property
    def tested(self) -> bool:
        """Whether the measure may tell the crowd from people."""
        return not math.isnan(self.p)

    @property
    def inside(self) -> bool:
        """Whether it does not."""
        return self.tested and self.verdict == LIKE


@dataclass(frozen=True)
class Fidelity:
    """How far a simulated crowd can be told from people: `measures` in their order, and why others are missing (`why`).

    `n_comparisons` have labels of both; of `n_even` of them `per_item` labels, people's and the crowd's, go into what
    hangs on their number (splits, entropy, leave-one-out, the classifiers). `person_error` is the standard error that
    people's P(longer) has of who these people are, which no interval here has in it (NaN: not known).
    """

    name: str
    measures: tuple[Measure, ...]
    n_comparisons: int
    n_instructions: int
    n_people: int
    n_simulated: int
    per_item: int
    n_even: int
    person_error: float = math.nan
    why: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    level: float = 0.95

    def limits(self, value: Value | None) -> tuple[float, float]:
        """The limits of a value at the report's level; NaN without one."""
        if value is None:
            return math.nan, math.nan
        return value.interval(self.level) if isinstance(value, Estimate) else (value.low, value.high)

    def get(self, name: str) -> Measure | None:
        """The measure of a name, None where it could not be estimated."""
        return next((m for m in self.measures if m.name == name), None)

    @property
    def outside(self) -> tuple[Measure, ...]:
        """The measures that are outside, each by its own interval."""
        return tuple(m for m in self.measures if m.tested and not m.inside)

    @cached_property
    def adjusted(self) -> Mapping[str, float]:
        """The p of each measure for being one of all."""
        tested = [m for m in self.measures if m.tested]
        p = holm(np.array([m.p for m in tested]))
        return dict(zip((m.name for m in tested), p.tolist(), strict=True))

    @property
    def told_apart(self) -> tuple[Measure, ...]:
        """The measures that tell the crowd from people, allowing for how many there are."""
        return tuple(m for m in self.measures if self.adjusted.get(m.name, 1.0) < 1 - self.level)

    @property
    def passes(self) -> bool:
        """Whether no measure tells the crowd from people: of real people so in 95 % of reports or more."""
        return not self.told_apart

    @property
    def table(self) -> pd.DataFrame:
        """One row a measure: people, crowd and difference with limits, p, p among all, and the verdict; percent."""
        return pd.DataFrame([self._record(m) for m in self.measures])

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a number that does not exist is null."""
        return {
            "crowd": self.name,
            "level": self.level,
            "n_comparisons": self.n_comparisons,
            "n_instructions": self.n_instructions,
            "n_people": self.n_people,
            "n_simulated": self.n_simulated,
            "labels_per_comparison": self.per_item,
            "n_with_so_many": self.n_even,
            "person_error": plain(100 * self.person_error),
            "passes": self.passes,
            "told_apart_by": [m.name for m in self.told_apart],
            "measures": [{k: plain(v) for k, v in self._record(m).items()} for m in self.measures],
            "not_estimable": dict(self.why),
            "notes": list(self.notes),
        }

    def _record(self, measure: Measure) -> dict[str, Any]:
        times = 100 if measure.unit == "percent" else 1
        line: dict[str, Any] = {"measure": measure.name, "unit": measure.unit}
        for stem, value in (("people", measure.people), ("crowd", measure.crowd), ("difference", measure.difference)):
            low, high = measure.limits if stem == "difference" else self.limits(value)
            numbers = (np.nan if value is None else value.value, low, high)
            named = zip((stem, f"{stem}_low", f"{stem}_high"), numbers, strict=True)
            line |= {name: times * number for name, number in named}
        inside = measure.inside if measure.tested else None
        p = {"p": measure.p, "p_among_all": self.adjusted.get(measure.name, np.nan)}
        return line | p | {"inside": inside, "verdict": measure.verdict}


@dataclass(frozen=True)
class Bench:
    """What is held against what: labels of `people` and of the `crowd` on the same items, and of both the `kept` ones,
    `m` of each item; why measures are missing is written into `why`."""

    people: Labels
    crowd: Labels
    kept: tuple[Labels, Labels]
    m: int
    cluster: Codes
    level: float
    fit_errors: Mapping[str, float]
    why: dict[str, str]

    def compared(
        self,
        name: str,
        words: str,
        off: tuple[str, str],
        people: Estimate,
        crowd: Estimate,
        *,
        why: str = "fewer than two instructions have labels for it",
    ) -> list[Measure]:
        """A measure by two estimates, or none and `why`: `off` says what a crowd is whose value is above people's, or
        below. Where the crowd was fitted to other labels the fit's standard error is in the difference's."""
        if not (known(people) and known(crowd)):
            self.why.setdefault(name, why)
            return []
        difference = crowd - people
        if (error := self.fit_errors.get(name, 0.0)) > 0:
            difference = replace(difference, bounds=None, shared=np.append(difference.shared, error))
        limits, p = difference.interval(self.level), difference.p_value()
        return [judged(name, (words, *off), people, crowd, difference, limits=limits, p=p)]


def judged(
    name: str,
    words: tuple[str, str, str],
    people: Value | None,
    crowd: Value | None,
    difference: Value,
    *,
    limits: tuple[float, float],
    p: float,
    unit: Literal["percent", "number"] = "percent",
) -> Measure:
    """A measure with its verdict: outside where the limits of the difference leave 0 out."""
    low, high = limits
    verdict = words[1] if low > 0 else words[2] if high < 0 else LIKE
    return Measure(name, words[0], unit, people, crowd, difference, limits, p, verdict)
