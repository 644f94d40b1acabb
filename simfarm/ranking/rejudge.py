"""Two judges on the same outputs: does the ranking survive the change of judge?

A ranking that turns with the judge says more about the judge. Pairs of models whose order differs are listed only where
both judges are sure of theirs: two orders that differ within noise are no disagreement.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from simfarm.errors import InputError
from simfarm.ranking.board import Board
from simfarm.ranking.table import plain, records
from simfarm.ranking.units import Units
from simfarm.statistics.disagreement import Disagreement, disagreement
from simfarm.statistics.estimate import Estimate, mean_estimate

__all__ = ["Flip", "Rejudged", "compare_judges", "flip_of", "parted"]

_LENGTHS = ["length", "length_baseline"]
_ALIKE = 9
"""Decimals of a percentage: what differs only beyond them is one rate, summed in two orders."""


@dataclass(frozen=True)
class Flip:
    """Two models that the judges put in opposite orders, both beyond noise: `first` − `second` under either judge, as
    fractions, each with its interval."""

    first: str
    second: str
    under_a: tuple[float, float, float]
    under_b: tuple[float, float, float]


@dataclass(frozen=True)
class Rejudged:
    """How two boards of the same models over the `baseline` compare, on `n_instructions` at most. `table` has model,
    win_rate_a, win_rate_b and difference, each with limits (`_low`, `_high`), in percent; `spearman` is NaN where
    `no_spearman` says why; `n_pairs` counts pairs of models; `warnings` are those of the boards. `parted` is
    how the verdicts on single comparisons part, None where they cannot be put side by side; `hindsight`: the second
    judge judged what became of the answers, so that the `gaps` are shown."""

    annotator_a: str
    annotator_b: str
    table: pd.DataFrame
    spearman: float
    mean_absolute_difference: float
    flips: tuple[Flip, ...]
    n_pairs: int
    baseline: str
    n_instructions: int
    level: float
    warnings: tuple[str, ...] = ()
    parted: Disagreement | None = None
    hindsight: bool = False

    @property
    def gaps(self) -> pd.DataFrame:
        """What each model promised beyond what was found, where the first judge judged at once and the second in
        hindsight: the difference with its sign turned (`gap` with `_low` and `_high`, in points), the largest first. A
        model that over-promises has one above 0, and more of it than the baseline, against which both rates are."""
        made = self.table[["model", "win_rate_a", "win_rate_b"]].copy()
        for name, of in (("gap", "difference"), ("gap_low", "difference_high"), ("gap_high", "difference_low")):
            made[name] = 0.0 - self.table[of]
        return made.sort_values("gap", ascending=False, ignore_index=True)

    @property
    def no_spearman(self) -> str | None:
        """Why there is no rank correlation: fewer than three models, or a judge that ranks none above another."""
        if len(self.table) < 3:
            return "a rank correlation needs three models"
        for side, judge in (("a", "first"), ("b", "second")):
            if self.table[f"win_rate_{side}"].round(_ALIKE).nunique() == 1:
                return f"the {judge} judge gives every model the same rate: no ranking to compare"
        return None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a number that does not exist is null."""
        return {
            "annotator_a": self.annotator_a,
            "annotator_b": self.annotator_b,
            "models": records(self.table),
            "spearman": plain(self.spearman),
            "no_spearman": self.no_spearman,
            "mean_absolute_difference": self.mean_absolute_difference,
            "flips": [vars(flip) for flip in self.flips],
            "n_pairs": self.n_pairs,
            "parted": None if self.parted is None else self._parted(self.parted),
            "warnings": list(self.warnings),
        } | ({"gaps": records(self.gaps)} if self.hindsight else {})

    def _parted(self, parted: Disagreement) -> dict[str, Any]:
        """Each share with its limits, as fractions."""
        shares = {"any": parted.any, "ties": parted.ties, "reversals": parted.reversals}
        limits = {name: (e.value, *e.interval(self.level)) for name, e in shares.items()}
        return {name: [plain(x) for x in three] for name, three in limits.items()} | {"n_items": parted.n_items}


def parted(a: Units, b: Units) -> Disagreement | None:
    """How two judges' verdicts on the same comparisons part, ties against sides and opposite sides told apart; the
    instruction is the unit. several answers of a model are told apart by their lengths. None where they share no
    comparison, or have some that nothing tells apart."""
    keys = ["cluster", "model"]
    tables = [units.table[[*keys, *_LENGTHS, "p"]].astype({"model": str}) for units in (a, b)]
    if any(table.duplicated(keys).any() for table in tables):
        keys += _LENGTHS
        if any(table.duplicated(keys).any() or table[_LENGTHS].isna().any().any() for table in tables):
            return None
    both = tables[0].merge(tables[1], on=keys, suffixes=("_a", "_b"))
    both = both[both["model"] != a.baseline].dropna()
    if both["cluster"].nunique() < 2:
        return None
    return disagreement(both["p_a"].to_numpy(), both["p_b"].to_numpy(), both["cluster"].to_numpy())


def compare_judges(a: Board, b: Board) -> Rejudged:
    """Compare two boards over the models that both have.

    Both must come from one call of `boards`: only then do their clusters carry the same codes, and the difference
    of the judges is taken on the same instructions. Raises `InputError` for two baselines or no shared model.
    """
    if a.baseline != b.baseline:
        raise InputError(f"the first file is against {a.baseline}, the second against {b.baseline}; give one baseline")
    models = [m for m in a.estimates if m in b.estimates and m != a.baseline]
    models = [m for m in models if a.estimates[m].n_clusters > 1 and b.estimates[m].n_clusters > 1]
    if not models:
        raise InputError("the two files share no model with verdicts; rejudge compares judges on the same outputs")
    rows, n_instructions = [], 0
    for model in models:
        first, second = _shared(a.estimates[model], b.estimates[model])
        difference = second - first
        row: dict[str, Any] = {"model": model}
        for name, e in (("win_rate_a", first), ("win_rate_b", second), ("difference", difference)):
            low, high = e.interval(a.level)
            row |= {name: 100 * e.value, f"{name}_low": 100 * low, f"{name}_high": 100 * high}
        rows.append(row | {"difference": 100 * (second.value - first.value)})
        n_instructions = max(n_instructions, difference.n_clusters)
    table = pd.DataFrame(rows).sort_values("win_rate_a", ascending=False, ignore_index=True)
    pairs = list(combinations(models, 2))
    flips = [flip for pair in pairs if (flip := flip_of(a.estimates, b.estimates, *pair, a.level)) is not None]
    return Rejudged(
        annotator_a=a.annotator,
        annotator_b=b.annotator,
        table=table,
        spearman=_spearman(table["win_rate_a"], table["win_rate_b"]),
        mean_absolute_difference=float(table["difference"].abs().mean()),
        flips=tuple(flips),
        n_pairs=len(pairs),
        baseline=a.baseline,
        n_instructions=n_instructions,
        level=a.level,
        warnings=(*a.warnings, *b.warnings),
    )


def _shared(first: Estimate, second: Estimate) -> tuple[Estimate, Estimate]:
    """Both win rates on the instructions that both judges judged."""
    _, at, of = np.intersect1d(first.clusters, second.clusters, return_indices=True)
    if len(at) < 2:
        raise InputError("the two files share fewer than two instructions; rejudge compares judges on the same outputs")
    one = mean_estimate(first.value + first.influence[at], first.clusters[at])
    return one, mean_estimate(second.value + second.influence[of], second.clusters[of])


def flip_of(a: Mapping[str, Estimate], b: Mapping[str, Estimate], first: str, second: str, level: float) -> Flip | None:
    """The two models' order under either judge, where both are sure of theirs and they differ."""
    gaps = []
    for estimates in (a, b):
        difference = estimates[first] - estimates[second]
        gaps.append((difference.value, *difference.interval(level)))
    (value_a, low_a, high_a), (value_b, low_b, high_b) = gaps
    if low_a * high_a > 0 and low_b * high_b > 0 and value_a * value_b < 0:
        return Flip(first, second, gaps[0], gaps[1])
    return None


def _spearman(a: pd.Series[float], b: pd.Series[float]) -> float:
    one, other = a.round(_ALIKE).rank(), b.round(_ALIKE).rank()
    return float(one.corr(other)) if len(a) > 2 and one.nunique() > 1 < other.nunique() else math.nan
