"""Annotations in, estimates out: win rates, length control, leaderboards. Knows nothing of judges or backends."""

from simfarm.ranking.board import COLUMNS, LENGTH_CONTROLS, Board, Slope, leaderboard, paired_difference
from simfarm.ranking.estimate import Estimate
from simfarm.ranking.rejudge import Flip, Rejudged, compare_judges

__all__ = [
    "COLUMNS",
    "LENGTH_CONTROLS",
    "Board",
    "Estimate",
    "Flip",
    "Rejudged",
    "Slope",
    "compare_judges",
    "leaderboard",
    "paired_difference",
]
