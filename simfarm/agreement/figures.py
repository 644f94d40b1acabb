"""The figures of a report card: what each is called, how it is printed, and one rater's as a row."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

import numpy as np

from simfarm.statistics.estimate import Estimate, intervals

__all__ = ["FIGURES", "Figure", "Kind", "Limits", "Row", "Value", "known", "with_limits"]

_MANY = 2000
"""Clusters from which it pays to look at distinct values."""
_TOO_MANY = 20_000
"""Clusters beyond which a figure keeps its limits alone: influences of hundreds of figures would be a gigabyte."""

Kind = Literal["people", "longest", "judge"]
Unit = Literal["percent", "points", "number", "dollars", "seconds"]


class Figure(NamedTuple):
    """What a figure is: its column, its unit and its words. Percent and points are fractions in code."""

    name: str
    unit: Unit
    words: str


@dataclass(frozen=True)
class Limits:
    """A value whose interval does not follow from influences: `low` and `high` are those of the card's level."""

    value: float
    low: float
    high: float
    n_clusters: int


Value = Estimate | Limits


@dataclass(frozen=True)
class Row:
    """One rater's figures by name, and their `limits` at the card's level. What could not be estimated is in `why`
    instead, with the reason; `n_comparisons` have a verdict, `n_labelled` of them a label too."""

    name: str
    kind: Kind
    figures: Mapping[str, Value]
    why: Mapping[str, str] = field(default_factory=dict)
    n_comparisons: int = 0
    n_labelled: int = 0
    limits: Mapping[str, tuple[float, float]] = field(default_factory=dict)

    def get(self, name: str) -> Value | None:
        """The figure, None where it could not be estimated."""
        found = self.figures.get(name)
        return found if found is not None and known(found) else None

    def above(self, name: str, null: float) -> bool:
        """Whether the figure's whole interval is above a number; not so without a figure."""
        return self.get(name) is not None and self.limits[name][0] > null

    def below(self, name: str, null: float) -> bool:
        """Whether the figure's whole interval is below a number."""
        return self.get(name) is not None and self.limits[name][1] < null


def with_limits(rows: Sequence[Row], level: float) -> list[Row]:
    """The rows with the limits of all their figures at `level`, found together: plain means cost a tenth so."""
    named = [(k, name, v) for k, row in enumerate(rows) for name in row.figures if (v := row.get(name)) is not None]
    estimates = [_counted(v) for _, _, v in named if isinstance(v, Estimate)]
    found = iter(intervals(estimates, level))
    limits: list[dict[str, tuple[float, float]]] = [{} for _ in rows]
    figures = [dict(row.figures) for row in rows]
    for k, name, value in named:
        low, high = limits[k][name] = next(found) if isinstance(value, Estimate) else (value.low, value.high)
        if value.n_clusters > _TOO_MANY:
            figures[k][name] = Limits(value.value, low, high, value.n_clusters)
    return [replace(row, figures=f, limits=own) for row, f, own in zip(rows, figures, limits, strict=True)]


def _counted(estimate: Estimate) -> Estimate:
    """The estimate; a mean over very many clusters as a ratio, whose limits are the same and looked for among the
    distinct values alone, of which hard verdicts have three."""
    if estimate.bounds is None or estimate.weights is not None or estimate.n_clusters < _MANY:
        return estimate
    return replace(estimate, weights=np.ones(estimate.n_clusters))


def known(value: Value) -> bool:
    """Whether there is a number, of two independent instructions or more."""
    return not math.isnan(value.value) and value.n_clusters > 1


TRUST = (
    Figure("agreement", "percent", "agreement with people"),
    Figure("above_longest", "points", "above 'longest output wins'"),
    Figure("below_ceiling", "points", "against the human ceiling"),
    Figure("agreement_exact", "percent", "the very same verdict, ties too"),
    Figure("agreement_sides", "percent", "agreement where people take a side"),
    Figure("agreement_votes", "percent", "the very same as each person"),
    Figure("agreement_distance", "percent", "agreement with each person"),
    Figure("agreement_12", "percent", "agreement, output_1 shown first"),
    Figure("agreement_21", "percent", "agreement, output_2 shown first"),
    Figure("pairwise", "percent", "two votes agree"),
    Figure("winning_rate", "percent", "share of people whom it may replace"),
    Figure("advantage", "percent", "no worse than a person"),
    Figure("bias", "percent", "bias"),
    Figure("variance", "percent", "variance"),
)
CHANCE = (
    Figure("cohen_kappa", "number", "Cohen's κ"),
    Figure("fleiss_kappa", "number", "Fleiss' κ"),
    Figure("alpha_nominal", "number", "Krippendorff's α, nominal"),
    Figure("alpha_ordinal", "number", "Krippendorff's α, ordinal"),
    Figure("ac1", "number", "Gwet's AC1"),
)
HABITS = (
    Figure("ties", "percent", "ties"),
    Figure("output_1", "percent", "prefers output_1"),
    Figure("first", "percent", "prefers the output shown first"),
    Figure("reversals", "percent", "names another winner when swapped"),
    Figure("tie_changes", "percent", "ties in one order alone"),
    Figure("longer", "percent", "prefers the longer output"),
    Figure("longer_excess", "points", "longer, more than people do"),
    Figure("longer_rightly", "percent", "longer, where people say longer"),
    Figure("longer_wrongly", "percent", "longer, where people say shorter"),
    Figure("length_bias", "points", "errs towards the longer"),
    Figure("lists", "percent", "prefers the output with a list"),
    Figure("lists_excess", "points", "list, more than people do"),
    Figure("bold", "percent", "prefers the output with bold text"),
    Figure("bold_excess", "points", "bold, more than people do"),
    Figure("self_preference", "points", "prefers its own outputs, beside people"),
)
CALLS = (
    Figure("retest", "percent", "same verdict when asked again"),
    Figure("unparseable", "percent", "calls without a readable verdict"),
    Figure("error", "percent", "calls that failed"),
    Figure("price_per_1000", "dollars", "price of 1,000 comparisons"),
    Figure("seconds_per_1000", "seconds", "seconds for 1,000 comparisons"),
)
BOARDS = (
    Figure("spearman", "number", "models ranked as people do, Spearman"),
    Figure("kendall", "number", "models ranked as people do, Kendall"),
    Figure("board_error", "percent", "win rates off by, on average, points"),
)
SOFT = (
    Figure("calibration_error", "percent", "preferences off by (ECE)"),
    Figure("brier", "number", "Brier score"),
    Figure("temperature", "number", "temperature that fits people"),
)
FIGURES = (*TRUST, *CHANCE, *HABITS, *CALLS, *BOARDS, *SOFT)
"""All of them, in the order of the columns."""
