"""Annotations in, estimates out: win rates, length control, leaderboards. Knows nothing of judges or backends."""

from simfarm.ranking.board import COLUMNS, LENGTH_CONTROLS, Board, Slope, leaderboard, paired_difference
from simfarm.ranking.bradley_terry import BradleyTerry, Comparisons, bootstrap_ratings, bradley_terry, rank_intervals
from simfarm.ranking.estimate import Estimate
from simfarm.ranking.partitions import PartitionedRanking, rank_partitions
from simfarm.ranking.rejudge import Flip, Rejudged, compare_judges
from simfarm.ranking.style import (
    ControlledRanking,
    ControlledWinRates,
    StyleDifferences,
    control_names,
    controlled_bradley_terry,
    controlled_win_rates,
    style_differences,
    text_features,
)

__all__ = [
    "COLUMNS",
    "LENGTH_CONTROLS",
    "Board",
    "BradleyTerry",
    "Comparisons",
    "ControlledRanking",
    "ControlledWinRates",
    "Estimate",
    "Flip",
    "PartitionedRanking",
    "Rejudged",
    "Slope",
    "StyleDifferences",
    "bootstrap_ratings",
    "bradley_terry",
    "compare_judges",
    "control_names",
    "controlled_bradley_terry",
    "controlled_win_rates",
    "leaderboard",
    "paired_difference",
    "rank_intervals",
    "rank_partitions",
    "style_differences",
    "text_features",
]
