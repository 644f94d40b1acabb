"""What `-o FILE.svg` writes: everything that a value has to show, one picture below the other."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simfarm.errors import InputError
from simfarm.report.plots.boards import board_forest, difference_forests, ratings_forest, scores_forest
from simfarm.report.plots.cards import agreement_forest, bias_forest
from simfarm.report.plots.forest import Forest, draw, height
from simfarm.report.plots.lines import curves
from simfarm.report.plots.rewards import rejudged_forest, rewards_forests
from simfarm.report.plots.style import WIDE, figure_of, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from simfarm.agreement.card import ReportCard
    from simfarm.ranking import Rejudged
    from simfarm.report.compared import Compared
    from simfarm.report.dissected import Dissection
    from simfarm.report.evaluation import Evaluation

__all__ = [
    "card_picture",
    "comparison_picture",
    "curve_picture",
    "dissection_picture",
    "evaluation_picture",
    "rejudged_picture",
]


def evaluation_picture(evaluation: Evaluation, *, width: float = WIDE) -> Figure:
    """Each annotator's board, ratings or mean scores."""
    boards = [board_forest(one.board) for one in evaluation.boards if len(one.board.table)]
    ratings = [ratings_forest(one) for one in evaluation.ratings if len(one.table)]
    scored = [scores_forest(one) for one in evaluation.scored if len(one.table)]
    return _stacked([*boards, *ratings, *scored], width)


def card_picture(card: ReportCard, *, width: float = WIDE) -> Figure:
    """The judges' agreement with people, where there are labels, and what moves them."""
    made = []
    for forest in (agreement_forest, bias_forest):
        try:
            made.append(forest(card))
        except InputError:
            # a card without people has no agreement, one without texts or orders no bias
            continue
    return _stacked(made, width)


def comparison_picture(compared: Compared, *, width: float = WIDE) -> Figure:
    """The difference of two models, by each annotator and way to compare."""
    return _stacked(difference_forests(compared), width)


def dissection_picture(dissection: Dissection, *, width: float = WIDE) -> Figure:
    """What each judge rewards, beside people where there are labels."""
    return _stacked(rewards_forests(dissection), width)


def rejudged_picture(both: Rejudged, *, width: float = WIDE) -> Figure:
    """The win rates of two judges."""
    return _stacked([rejudged_forest(both)], width)


@styled
def curve_picture(rows: Sequence[Mapping[str, Any]], level: float, *, width: float = WIDE) -> Figure:
    """The best-of-n curves that the rows of `curve_rows` hold, with their `generator`."""
    figure = figure_of(width, 0.7 * width)
    curves(rows, figure.subplots(), level=level, width=width)
    return figure


@styled
def _stacked(forests: Sequence[Forest], width: float) -> Figure:
    """One below the other, each as high as it needs."""
    if not forests:
        raise InputError("there is nothing to draw; write a table (.csv, .json or .md) instead")
    heights = [height(forest, width) for forest in forests]
    figure = figure_of(width, sum(heights))
    axes = figure.subplots(len(forests), squeeze=False, height_ratios=heights)
    for forest, one in zip(forests, axes[:, 0], strict=True):
        draw(forest, one, width)
    return figure
