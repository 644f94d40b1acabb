"""Boards by criterion: what a judge with criteria says of every model under each of them.

Two views: the mean of a model's scores, and its win rate over the baseline (whose output has the higher score, or
fewer errors; equal ones a half). Both go through the units of the main board, so that an order that failed, a repeat or
a swapped pair counts here as it does there, and the instruction is the unit of every interval.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from simfarm.data.frames import Verdicts, frame_verdicts
from simfarm.data.marks import DOUBT, HIGH, LOW, MARK, marked, stem_of
from simfarm.data.meaning import FEWER
from simfarm.data.scores import Scores, implied_preferences
from simfarm.errors import InputError
from simfarm.ranking.each import each_or_else
from simfarm.ranking.table import records
from simfarm.ranking.units import averaged, judge_hash_of, units_of
from simfarm.ranking.winrate import win_rates
from simfarm.statistics.doubt import own_error
from simfarm.statistics.estimate import Array, Estimate, intervals, mean_estimate
from simfarm.text.shown import Shown
from simfarm.text.words import named

__all__ = ["CRITERIA_COLUMNS", "CriteriaBoard", "criteria_boards", "criteria_of_scores"]

CRITERIA_COLUMNS = (
    *("criterion", "model", "value", "standard_error", "low", "high", "own_error"),
    *("n_instructions", "scale_low", "scale_high"),
)

_CALL = (
    *("cluster", "generator_1", "generator_2", "sample", "length_1", "length_2", "output_1_hash", "output_2_hash"),
    *("repeat", "order", "judge_order", "judge_hash", "status", "annotator"),
)
"""What tells which comparison a row is of, and which call."""


_SAME = 1e-9


@dataclass(frozen=True)
class CriteriaBoard(Shown):
    """One annotator's scores by criterion. `by` is mean (values on the criterion's scale) or win-rate (percent, over
    the `baseline`). `table` has `CRITERIA_COLUMNS`, a row for each criterion and model; `own_error` is what the judge's
    own probabilities leave open of a mean (see `statistics.doubt`), NaN where they are not known. `of_pairs` has the
    same of scores that are of no one output (is the instruction ambiguous?), without a model. An annotator without
    such scores, beside others with some, has an empty table and `warnings` that say why."""

    annotator: str
    by: str
    baseline: str | None
    level: float
    table: pd.DataFrame
    of_pairs: pd.DataFrame
    notes: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def criteria(self) -> list[str]:
        """Their names, in the order of the judge's answers."""
        return list(pd.unique(self.table["criterion"]))

    def to_json(self) -> dict[str, Any]:
        """The board as plain JSON values; a number that does not exist is null."""
        return {
            "by": self.by,
            "baseline": self.baseline,
            "models": records(self.table),
            "of_pairs": records(self.of_pairs.drop(columns="model")),
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class _Asked:
    """What is wanted of every annotator."""

    by: str
    baseline: str | None
    level: float

    def board(self, annotator: str, lines: Sequence[pd.DataFrame], of_pairs: Sequence[pd.DataFrame]) -> CriteriaBoard:
        """The board of these tables; raises `InputError` for none."""
        lines, of_pairs = ([part for part in parts if len(part)] for parts in (lines, of_pairs))
        if not lines and not of_pairs:
            raise InputError(
                "no row has scores by criterion (column scores) of an output; ask a judge that has criteria, such as "
                "examples/judges/rubric, rating-decision"
            )
        table, aside = (pd.concat(parts, ignore_index=True) if parts else _nothing() for parts in (lines, of_pairs))
        notes = []
        if free := list(pd.unique(table["criterion"][table["scale_low"].isna()])):
            notes.append(f"the file does not say the scale of {named(free)} (scores_scale): intervals by t")
        return CriteriaBoard(annotator, self.by, self.baseline, self.level, table, aside, tuple(notes))

    def each(
        self, parts: Iterator[tuple[str, pd.DataFrame]], made: Callable[[str, pd.DataFrame], CriteriaBoard]
    ) -> list[CriteriaBoard]:
        """`made` of every annotator's rows; without scores by criterion, beside others with some, it is a warning."""
        if self.by == "win-rate" and self.baseline is None:
            raise InputError(
                "win rates by criterion are over a baseline, and there is none; name one, or take the means"
            )
        return each_or_else(
            parts,
            made,
            lambda name, _, why: CriteriaBoard(
                name, self.by, self.baseline, self.level, _nothing(), _nothing(), (), (f"{name}: {why}",)
            ),
            "has scores by criterion",
        )


def _nothing() -> pd.DataFrame:
    return pd.DataFrame(columns=list(CRITERIA_COLUMNS))


def criteria_boards(
    verdicts: Verdicts, by: str, baseline: str | None, *, level: float = 0.95, allow_mixed: bool = False
) -> list[CriteriaBoard]:
    """One board for each annotator; of verdicts that were read with `Inspection.criteria`. Raises `InputError` where no
    annotator has scores by criterion, and for win rates without a `baseline`."""
    asked = _Asked(by, baseline, level)

    def made(name: str, part: pd.DataFrame) -> CriteriaBoard:
        part = part[[c for c in part.columns if c in _CALL or c.startswith((MARK, DOUBT, LOW, HIGH))]]
        if baseline is not None:
            part = part[(part["generator_1"] == baseline) | (part["generator_2"] == baseline)]
        judge_hash_of(part, name, allow_mixed)
        names = _told(part)
        stems = list(dict.fromkeys(stem_of(mark) for mark in names))
        pairs = [stem for stem in stems if {f"{stem}_1", f"{stem}_2"} <= {*names}]
        if by == "win-rate":
            return asked.board(name, [_wins(part, name, stem, str(baseline), level) for stem in pairs], [])
        alone = [mark for mark in names if stem_of(mark) not in pairs]
        lines = [_means(_sided(part, stem), stem, _scale(part, stem), level) for stem in pairs]
        of_pairs = [_means(_unsided(part, mark), mark, _scale(part, mark), level) for mark in alone]
        return asked.board(name, lines, of_pairs)

    return asked.each(verdicts.by_annotator(), made)


def criteria_of_scores(
    scores: Scores, by: str, baseline: str | None, *, level: float = 0.95, allow_mixed: bool = False
) -> list[CriteriaBoard]:
    """The same of ratings of single outputs, read with their criteria; a judge that says how sure it is of the score
    itself has that beside them. A win rate is that of the preferences which the scores by criterion imply."""
    asked = _Asked(by, baseline, level)

    def made(name: str, part: pd.DataFrame) -> CriteriaBoard:
        judge_hash_of(part, name, allow_mixed)
        if by == "win-rate":
            lines = [_implied_wins(part, name, mark, str(baseline), level) for mark in _told(part)]
        else:
            lines = [_means(_alone(part, mark), mark, _scale(part, mark), level) for mark in _told(part)]
        return asked.board(name, lines, [])

    return asked.each(scores.by_annotator(), made)


def _told(part: pd.DataFrame) -> list[str]:
    """The names of the marks that any row has."""
    return [mark for mark in marked(list(part.columns)) if part[MARK + mark].notna().any()]


def _alone(part: pd.DataFrame, mark: str) -> pd.DataFrame:
    """(model, cluster, value, doubt) of every rated output under a criterion."""
    return _known(part["generator"], part["cluster"], part[MARK + mark], _doubts(part, mark))


def _sided(part: pd.DataFrame, stem: str) -> pd.DataFrame:
    """(model, cluster, value, doubt) of every comparison's two outputs under a criterion."""
    sides = []
    for side in ("1", "2"):
        head, value = _averaged(part, part[f"{MARK}{stem}_{side}"])
        _, doubt = _averaged(part, _doubts(part, f"{stem}_{side}"))
        sides.append(_known(head[f"generator_{side}"], head["cluster"], value, doubt))
    return pd.concat(sides, ignore_index=True)


def _unsided(part: pd.DataFrame, mark: str) -> pd.DataFrame:
    """The same of what is of no output: the model has no name."""
    head, value = _averaged(part, part[MARK + mark])
    _, doubt = _averaged(part, _doubts(part, mark))
    return _known(pd.Series("", index=head.index), head["cluster"], value, doubt)


def _averaged(part: pd.DataFrame, values: Any) -> tuple[pd.DataFrame, Array]:
    """(one row of each comparison, the mean of its calls' values), as verdicts are averaged: half of a swap is none."""
    head, p, _ = averaged(part.assign(preference=1 + np.asarray(values, dtype=np.float64)))
    return head, p


def _known(model: Any, cluster: Any, value: Any, doubt: Any) -> pd.DataFrame:
    """The rows that have a value."""
    columns = {"model": model, "cluster": cluster, "value": value, "doubt": doubt}
    table = pd.DataFrame({name: np.asarray(column) for name, column in columns.items()})
    return table[table["value"].notna()]


def _doubts(part: pd.DataFrame, mark: str) -> Array:
    name = DOUBT + mark
    return part[name].to_numpy(dtype=np.float64) if name in part else np.full(len(part), math.nan)


def _scale(part: pd.DataFrame, criterion: str) -> tuple[float, float] | None:
    """The ends of a criterion's one scale, None where no row says them; raises `InputError` for two scales."""
    if LOW + criterion not in part or HIGH + criterion not in part:
        return None
    ends = part[[LOW + criterion, HIGH + criterion]].drop_duplicates().dropna()
    if len(ends) > 1:
        listed = ", ".join(f"{low:g} to {high:g}" for low, high in ends.itertuples(index=False))
        raise InputError(f"{criterion} has scores on several scales ({listed}); evaluate them apart")
    if not len(ends):
        return None
    low, high = map(float, ends.iloc[0])
    if not low < high:
        raise InputError(f"{criterion} has a scale from {low:g} to {high:g}, which is no scale; mend scores_scale")
    return low, high


def _means(rows: pd.DataFrame, criterion: str, scale: tuple[float, float] | None, level: float) -> pd.DataFrame:
    """The lines of a criterion: each model's mean over instructions of its mean on each."""
    groups = [(str(m), part) for m, part in rows.groupby("model", sort=False, observed=True)]
    estimates = {
        m: mean_estimate(part["value"].to_numpy(dtype=float), part["cluster"].to_numpy(), scale) for m, part in groups
    }
    own = {m: own_error(part["doubt"].to_numpy(dtype=float), part["cluster"].to_numpy()) for m, part in groups}
    return _lines(criterion, estimates, level, own, scale)


def _wins(part: pd.DataFrame, annotator: str, stem: str, baseline: str, level: float) -> pd.DataFrame:
    """The lines of a criterion: each model's win rate over the baseline by its scores."""
    gap = _better(stem) * (part[f"{MARK}{stem}_2"].to_numpy() - part[f"{MARK}{stem}_1"].to_numpy())
    judged = units_of(part.assign(preference=1.5 + np.sign(gap) / 2), annotator, baseline, allow_mixed=True)
    return _rates(judged.table, stem, baseline, level)


def _better(criterion: str) -> int:
    """Which way a score is better: 1 for more, -1 for fewer."""
    return -1 if criterion.startswith(FEWER) else 1


def _implied_wins(part: pd.DataFrame, annotator: str, mark: str, baseline: str, level: float) -> pd.DataFrame:
    """The same of ratings."""
    value = _better(mark) * part[MARK + mark]
    unsaid = value.isna() & (part["status"] == "verdict")
    rows = part.assign(score=value, status=part["status"].mask(unsaid, "unparseable"))
    preferences = frame_verdicts(implied_preferences(Scores(rows), baseline), "the preferences that the scores imply")
    judged = units_of(preferences.table, annotator, baseline, allow_mixed=True)
    return _rates(judged.table, mark, baseline, level)


def _rates(table: pd.DataFrame, criterion: str, baseline: str, level: float) -> pd.DataFrame:
    rates = {m: e for m, e in win_rates(table[table["p"].notna()]).items() if m != baseline}
    lines = _lines(criterion, rates, level, {}, (0.0, 1.0))
    percents = ["value", "standard_error", "low", "high", "scale_low", "scale_high"]
    return lines.assign(**{column: 100 * lines[column] for column in percents})


def _lines(
    criterion: str,
    estimates: dict[str, Estimate],
    level: float,
    own: dict[str, float],
    scale: tuple[float, float] | None,
) -> pd.DataFrame:
    low, high = scale or (math.nan, math.nan)
    rows = []
    for (m, e), ends in zip(estimates.items(), intervals([*estimates.values()], level), strict=True):
        # equal scores on no known scale: their spread says that all is certain, and t believes it
        told = ends if scale is not None or e.standard_error > _SAME else (math.nan, math.nan)
        rows.append((criterion, m, e.value, e.standard_error, *told, own.get(m, math.nan), e.n_clusters, low, high))
    return pd.DataFrame(rows, columns=list(CRITERIA_COLUMNS))
