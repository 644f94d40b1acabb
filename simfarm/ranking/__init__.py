"""Annotations in, estimates out: win rates, length control, leaderboards. Knows nothing of judges or backends."""

from simfarm.ranking.board import COLUMNS, LENGTH_CONTROLS, Board, Slope, leaderboard, paired_difference
from simfarm.ranking.estimate import Estimate

__all__ = ["COLUMNS", "LENGTH_CONTROLS", "Board", "Estimate", "Slope", "leaderboard", "paired_difference"]
