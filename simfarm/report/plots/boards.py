"""Boards, ratings and differences of models as pictures."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simfarm.errors import InputError
from simfarm.report.plots.forest import Forest, Series, draw
from simfarm.report.plots.style import LOOKS, WIDE, label, percent
from simfarm.statistics.estimate import intervals
from simfarm.text.words import plural

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from simfarm.ranking import Board, Difference, Ratings
    from simfarm.ranking.scores import ScoreBoard
    from simfarm.report.compared import Compared
    from simfarm.statistics.estimate import Array

__all__ = [
    "board_forest",
    "difference_forests",
    "differences",
    "leaderboard",
    "ratings",
    "ratings_forest",
    "scores_forest",
]

_NAME = 30
"""Columns of a name within a sentence."""


def leaderboard(board: Board, axes: Axes | None = None, *, width: float = WIDE) -> Axes:
    """Win rates over the baseline with their intervals, best model first, and beside them those at equal length.

    Models on the same ground are of one tier: no two of them can be told apart. Draws on `axes`, or on new ones of
    `width` inches, and gives them. Raises `InputError` for a board without models."""
    return draw(board_forest(board), axes, width)


def ratings(ratings: Ratings, axes: Axes | None = None, *, width: float = WIDE) -> Axes:
    """Bradley-Terry ratings with their intervals (an arrow where no verdict limits a lead), or a lottery's weights,
    best model first; tiers as in `leaderboard`. Raises `InputError` for ratings without models."""
    return draw(ratings_forest(ratings), axes, width)


def board_forest(board: Board) -> Forest:
    """What `leaderboard` draws."""
    table = board.table
    if table.empty:
        raise InputError(f"{board.annotator} has no model on its board; there is nothing to draw")
    series = [Series("win rate", _columns(table, "win_rate", "win_rate_low", "win_rate_high"), LOOKS[0])]
    controls = list(board.lc_estimates)
    for k, control in enumerate(controls):
        name = "length-controlled" if len(controls) == 1 else f"length-controlled ({control})"
        values = _equal_length(board, control, first=k == 0)
        if not np.isnan(values[:, 0]).all():
            series.append(Series(name, values, LOOKS[k + 1]))
    n = max((estimate.n_clusters for estimate in board.estimates.values()), default=0)
    heading = "%" if len(series) < 2 else "raw %" if board.headline == "win_rate" else "LC %"
    return Forest(
        names=[str(model) for model in table["model"]],
        series=series,
        what=f"preferred by {label(board.annotator, _NAME)} over {label(board.baseline, _NAME)}, %\n"
        f"{percent(board.level)} intervals, {plural(n, 'instruction')}",
        within=(0, 100),
        lines=[(50, "-")],
        columns=[(heading, [f"{value:.1f}" for value in table[board.headline]]), *_tiers(table)],
        bands=list(table["tier"].astype(object).where(table["tier"].notna(), None)),
    )


def ratings_forest(ratings: Ratings) -> Forest:
    """What `ratings` draws."""
    table = ratings.table
    if table.empty:
        raise InputError(f"{ratings.annotator} rated no model; there is nothing to draw")
    values = _columns(table, "rating", "rating_low", "rating_high")
    elo = ratings.rank == "bradley-terry"
    series = [Series("rating", values, LOOKS[0])]
    if "rating_raw" in table:
        raw = table["rating_raw"].to_numpy(float)
        missing = np.full(len(raw), np.nan)
        series[0] = series[0]._replace(name="at equal style")
        series.append(Series("raw", np.column_stack([raw, missing, missing]), LOOKS[1]))
    instructions = plural(ratings.n_clusters, "instruction")
    by = label(ratings.annotator, _NAME)
    scale = f"Bradley-Terry rating by {by}, Elo points\n{percent(ratings.level)} intervals, {instructions}"
    return Forest(
        names=[str(model) for model in table["model"]],
        series=series,
        what=scale if elo else f"weight in the maximal lottery by {by}\n{instructions}",
        within=(-np.inf, np.inf) if elo else (0, 1),
        columns=[
            ("Elo" if elo else "weight", [f"{value:.{0 if elo else 2}f}" for value in values[:, 0]]),
            *_tiers(table),
        ],
        bands=list(table["tier"]),
    )


def scores_forest(board: ScoreBoard) -> Forest:
    """The mean scores of a judge that rates, with their intervals, best model first; tiers as in `leaderboard`. Raises
    `InputError` for a board without models."""
    table = board.table
    if table.empty:
        raise InputError(f"{board.annotator} has no model on its board; there is nothing to draw")
    scale = "" if board.scale is None else f" ({board.scale[0]:g} to {board.scale[1]:g})"
    return Forest(
        names=[str(model) for model in table["model"]],
        series=[Series("mean score", _columns(table, "score", "score_low", "score_high"), LOOKS[0])],
        what=f"mean score by {label(board.annotator, _NAME)}{scale}\n"
        f"{percent(board.level)} intervals, {plural(board.n_clusters, 'instruction')}",
        within=board.scale or (-np.inf, np.inf),
        columns=[("score", [f"{value:.2f}".replace("-", "−") for value in table["score"]]), *_tiers(table)],
        bands=list(table["tier"].astype(object).where(table["tier"].notna(), None)),
    )


def _columns(table: pd.DataFrame, *names: str) -> Array:
    values: Array = table[list(names)].to_numpy(float)
    return values


def _equal_length(board: Board, control: str, *, first: bool) -> Array:
    """(models, 3): percent under one length control, with limits; of the first the table has them."""
    table = board.table
    if first:
        return _columns(table, "length_controlled_winrate", "lc_low", "lc_high")
    found = board.lc_estimates[control]
    models = [model for model in table["model"] if model in found]
    limits = dict(zip(models, intervals([found[m] for m in models], board.level), strict=True))
    none = (np.nan,) * 3
    return 100 * np.array([(found[m].value, *limits[m]) if m in found else none for m in table["model"]])


def _tiers(table: pd.DataFrame) -> list[tuple[str, list[str]]]:
    """The column of tiers, each named once; none where no model has one."""
    tiers = [None if pd_isna else int(tier) for tier, pd_isna in zip(table["tier"], table["tier"].isna(), strict=True)]
    if not any(tiers):
        return []
    before = [None, *tiers]
    return [("tier", [str(tier) if tier and tier != last else "" for tier, last in zip(tiers, before, strict=False)])]


def differences(compared: Compared, axes: Axes | None = None, *, width: float = WIDE) -> Axes:
    """How much more the first model wins than the second, by each annotator and way to compare (`report.compared`):
    an interval that leaves 0 out is a real difference. Without a baseline it is the difference of ratings."""
    return draw(difference_forests(compared)[0], axes, width)


def difference_forests(compared: Compared) -> list[Forest]:
    """What a comparison has to show, one of each unit."""
    made = []
    for elo in (False, True):
        found = [one for one in compared.differences if (one.by == "bradley-terry") == elo]
        if not found:
            continue
        several = len({one.annotator for one in found}) > 1
        a, b = (label(name, _NAME) for name in (compared.a, compared.b))
        unit = "Elo points" if elo else "points"
        n = max(one.n_instructions for one in found)
        made.append(
            Forest(
                names=[_way(one) + (f", {one.annotator}" if several else "") for one in found],
                series=[Series("difference", np.array([(x.value, x.low, x.high) for x in found]), LOOKS[0])],
                what=f"{a} over {b}, {unit}\n{percent(compared.level)} intervals, {plural(n, 'instruction')}",
                within=(-np.inf, np.inf) if elo else (-100, 100),
                lines=[(0.0, "-")],
                columns=[(unit, [f"{x.value:+.1f}".replace("-", "−") for x in found])],
                rows="way",
                wrapped=True,
            )
        )
    return made


def _way(one: Difference) -> str:
    """By what a difference was found."""
    if one.by != "win-rate":
        return {"bradley-terry": "Bradley-Terry", "head-to-head": "head to head"}[one.by]
    return "win rate" if one.length_control is None else f"length-controlled ({one.length_control})"
