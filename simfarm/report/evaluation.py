"""One evaluation as one value: of every annotator a board with what was asked for beside it, or ratings.

The terminal, JSON, Markdown, CSV and kept boards all read it. Verdicts and ranking options go in; what a judge is asked
before that, and how it is shown afterwards, is no business of it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pandas as pd

from simfarm.data.frames import frame_verdicts
from simfarm.data.inputs import read_for_evaluation, scores_for
from simfarm.data.scores import Scores, implied_preferences
from simfarm.data.sources import Source, called
from simfarm.errors import InputError
from simfarm.ranking import Board, Ratings, calibrated_win_rates, inspection, rate_models, style_win_rates
from simfarm.ranking import boards as boards_of
from simfarm.ranking.criteria import CriteriaBoard, criteria_boards, criteria_of_scores
from simfarm.ranking.each import each_or_else
from simfarm.ranking.scores import ScoreBoard, score_boards
from simfarm.report.board import board_sheet
from simfarm.report.criteria import with_criteria
from simfarm.report.published import placed_json
from simfarm.report.ranked import RankedBoard, placed
from simfarm.report.ranking import OVER_BASELINE
from simfarm.report.ratings import ratings_sheet
from simfarm.report.scored import scores_sheet
from simfarm.settings import refuse, spelled
from simfarm.text.shown import Shown
from simfarm.text.words import named

if TYPE_CHECKING:
    from simfarm.data.frames import Verdicts
    from simfarm.ranking import Calibrated, ControlledWinRates
    from simfarm.report.ranking import RankingOptions
    from simfarm.report.tables import Part, Sheet

__all__ = ["Evaluation", "annotations_in", "evaluate", "evaluate_scores", "labels_in", "ranked_boards", "verdicts_in"]


@dataclass(frozen=True)
class Evaluation(Shown):
    """What every annotator says: `boards` where models are ranked by their win rates over a baseline, `ratings` where
    by Bradley-Terry or the lottery, `scored` where by mean scores; the others are empty. `breakdown` shows rates by
    dataset and category too, `criteria` has by annotator the scores by criterion, where they were asked for."""

    boards: tuple[RankedBoard, ...] = ()
    ratings: tuple[Ratings, ...] = ()
    scored: tuple[ScoreBoard, ...] = ()
    breakdown: bool = False
    criteria: Mapping[str, CriteriaBoard] = field(default_factory=dict)

    @property
    def styles(self) -> dict[str, ControlledWinRates]:
        """By annotator the win rates at equal style, where they were asked for and could be had."""
        return {one.annotator: one.style for one in self.boards if one.style is not None}

    @property
    def people(self) -> dict[str, Mapping[str, Calibrated]]:
        """By annotator, then model, the win rates that people would give."""
        return {one.annotator: one.people for one in self.boards if one.people}

    @property
    def places(self) -> dict[str, Part]:
        """By annotator the table of the models among a published board's."""
        return {one.annotator: one.place for one in self.boards if one.place is not None}

    @property
    def doubts(self) -> list[str]:
        """What the rates that people would give are warned of."""
        return [line for one in self.boards for line in one.doubts]

    @property
    def warnings(self) -> list[str]:
        """What could mislead a reader: of the boards or ratings first, then of the rates that people would give."""
        whose: Sequence[Board | Ratings | ScoreBoard]
        whose = [one.board for one in self.boards] or self.ratings or self.scored
        marked = [line for one in self.criteria.values() for line in one.warnings]
        return [*(line for one in whose for line in one.warnings), *marked, *self.doubts]

    @cached_property
    def sheets(self) -> list[Sheet]:
        """Each annotator's tables, record and remarks."""
        made = [
            *((one.annotator, board_sheet(one, breakdown=self.breakdown)) for one in self.boards),
            *((one.annotator, ratings_sheet(one)) for one in self.ratings),
            *((one.annotator, scores_sheet(one)) for one in self.scored),
        ]
        return [with_criteria(sheet, self.criteria.get(name)) for name, sheet in made]

    @property
    def table(self) -> pd.DataFrame:
        """All annotators' tables one below the other, with every column that `-o board.csv` has; the places among a
        published board, by annotator, are in its `attrs["published"]`."""
        tables = [sheet.table for sheet in self.sheets]
        table = pd.concat([table for table in tables if not table.empty] or tables, ignore_index=True)
        if self.places:
            table.attrs["published"] = {name: placed_json(place)["published"] for name, place in self.places.items()}
        return table

    def to_json(self) -> Any:
        """One annotator's record as plain JSON values; several as `{"boards": [...]}`."""
        records = [sheet.record for sheet in self.sheets]
        return records[0] if len(records) == 1 else {"boards": records}


def evaluate(
    verdicts: Verdicts, baseline: str | None, options: RankingOptions, labels: Verdicts | None = None
) -> Evaluation:
    """What the verdicts come to. `baseline` is a generator's name, `labels` are verdicts by people.

    Where there are several annotators, what cannot be had for one of them is a warning on its board. Raises
    `InputError` where there is nothing to rank, or nobody has what was asked for.
    """
    if options.by_rating(verdicts, baseline):
        ratings = tuple(_rated(verdicts, options))
        return Evaluation(ratings=ratings, criteria=_by_criterion(verdicts, None, options))
    boards = [RankedBoard(board) for board in ranked_boards(verdicts, baseline, options)]
    if control := options.control:
        boards = _each(
            boards,
            "rates at equal style",
            lambda one: replace(one, style=style_win_rates(verdicts, one.board, control)),
        )
    if labels is not None:
        boards = _each(
            boards,
            "calibrated rates",
            lambda one: replace(one, people=calibrated_win_rates(verdicts, labels, one.board)),
        )
        if crowd := labels.simulated():
            line = f"the labels are simulated, by {named(crowd)}: 'as people judge' is as that crowd does"
            boards = [one.warned(line) for one in boards]
    return Evaluation(
        tuple(placed(one, options.board) for one in boards),
        breakdown=options.breakdown,
        criteria=_by_criterion(verdicts, boards[0].board.baseline, options),
    )


def _by_criterion(judged: Verdicts | Scores, baseline: str | None, options: RankingOptions) -> dict[str, CriteriaBoard]:
    """By annotator the scores by criterion, where they were asked for."""
    if options.criteria is None:
        return {}
    by, level, mixed = options.criteria, options.level, options.mix_judges
    if isinstance(judged, Scores):
        boards = criteria_of_scores(judged, by, baseline, level=level, allow_mixed=mixed)
    else:
        boards = criteria_boards(judged, by, baseline, level=level, allow_mixed=mixed)
    return {one.annotator: one for one in boards}


def evaluate_scores(scores: Scores, options: RankingOptions, labels: Verdicts | None = None) -> Evaluation:
    """What scores of single outputs come to: mean scores; with a baseline, or a ranking that is named, what the
    preferences come to that they imply (`implied_preferences`). Raises `InputError` as `evaluate`, and for an option
    that says nothing of mean scores."""
    rank, baseline = options.rank, options.baseline
    if baseline is not None and not isinstance(baseline, str):
        raise InputError(f"{spelled('baseline')} must be a model's name where outputs were scored; name one of them")
    if rank is not None or baseline is not None:
        preferences = implied_preferences(scores, baseline if rank in (None, "win-rate") else None)
        verdicts = frame_verdicts(preferences, "the preferences that the scores imply", inspection(options.control))
        found = evaluate(verdicts, baseline, replace(options, criteria=None), labels)
        return replace(found, criteria=_by_criterion(scores, baseline, options))
    idle = {name: getattr(options, name) for name in (*OVER_BASELINE, "control", "tau")}
    refuse(idle, f"for mean scores: {spelled('baseline', 'NAME')} compares models by the preferences they imply")
    boards = score_boards(scores, level=options.level, allow_mixed=options.mix_judges)
    return Evaluation(scored=tuple(boards), criteria=_by_criterion(scores, None, options))


def ranked_boards(verdicts: Verdicts, baseline: str | None, options: RankingOptions) -> list[Board]:
    """One board for each annotator; raises `InputError` where there is nothing to rank."""
    boards = boards_of(
        verdicts,
        baseline=baseline,
        length_control=options.controls(verdicts),
        lc_data=options.lc_data,
        level=options.level,
        allow_mixed=options.mix_judges,
        panel=None if options.panel is None else annotations_in([options.panel])[0],
        flip_rate=options.flip_rate,
    )
    if all(set(board.table["model"]) <= {board.baseline} for board in boards):
        raise InputError(f"there is no model but the baseline {boards[0].baseline}; annotate another model's outputs")
    if max((e.n_clusters for board in boards for e in board.estimates.values()), default=0) == 1:
        raise InputError("all verdicts are about one instruction; an interval needs at least two, annotate more")
    return boards


def _rated(verdicts: Verdicts, options: RankingOptions) -> list[Ratings]:
    return rate_models(
        verdicts,
        options.rank or "bradley-terry",
        control=options.control,
        tau=options.tau,
        level=options.level,
        allow_mixed=options.mix_judges,
    )


def _each(boards: Sequence[RankedBoard], what: str, make: Callable[[RankedBoard], RankedBoard]) -> list[RankedBoard]:
    """The boards as `make` gives them, with `what`; one of which it cannot be had has a warning that says why, one
    without models stays as it is. Raises as `each_or_else`."""
    return each_or_else(
        ((one.annotator, one) for one in boards),
        lambda _, one: make(one) if one.board.estimates else one,
        lambda name, one, why: one.warned(f"no {what} for {name}: {why}"),
    )


def verdicts_in(sources: Sequence[Source], options: RankingOptions) -> tuple[Verdicts, str | None] | None:
    """(verdicts, the baseline's name if there is one), or None where the sources hold none yet. Raises `InputError`
    for a baseline that the ranking has no use for."""
    read = read_for_evaluation(sources, options.baseline, inspection(options.control, options.criteria is not None))
    if read is not None and options.rank in ("bradley-terry", "lottery") and read[1] is options.baseline:
        refuse({"baseline": read[1]}, f"with {spelled('rank', options.rank)}, which needs none")
    return read


def labels_in(options: RankingOptions) -> Verdicts | None:
    """The labels of people, where some were named; raises `InputError` for a file without verdicts."""
    return None if options.human is None else annotations_in([options.human])[0]


def annotations_in(inputs: Sequence[Source], baseline: Source | None = None) -> tuple[Verdicts, str | None]:
    """(verdicts, the baseline's name where one was given), of scores the preferences they imply. Raises `InputError`
    for files without verdicts."""
    read = read_for_evaluation(inputs, baseline, inspection())
    scores = scores_for(inputs) if read is None else None
    if scores is not None and (baseline is None or isinstance(baseline, str)):
        return frame_verdicts(implied_preferences(scores, baseline), called(inputs[0])), baseline
    if read is None:
        raise InputError(f"{called(inputs[0])}: holds no verdicts (column 'preference'); make them by simfarm annotate")
    return read
