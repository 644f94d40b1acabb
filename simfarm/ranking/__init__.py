"""Annotations in, estimates out: win rates, length control, leaderboards. Knows nothing of judges or backends."""

from simfarm.ranking.board import COLUMNS, LENGTH_CONTROLS, Board, Slope, leaderboard, paired_difference
from simfarm.ranking.difference import Difference, differences
from simfarm.ranking.each import each_board
from simfarm.ranking.partitions import PartitionedRanking, rank_partitions
from simfarm.ranking.people import calibrated_win_rates
from simfarm.ranking.ratings import RATING_COLUMNS, Ratings, rate_models, style_win_rates
from simfarm.ranking.rejudge import Flip, Rejudged, compare_judges
from simfarm.statistics.bradley_terry import BradleyTerry, Comparisons, bootstrap_ratings, bradley_terry, rank_intervals
from simfarm.statistics.calibration import Calibrated, align_labels, calibrate
from simfarm.statistics.estimate import Estimate
from simfarm.statistics.flips import flip_corrected
from simfarm.statistics.lottery import CyclicTriads, Lottery, cyclic_triads, lottery, maximal_lottery, pair_rates
from simfarm.statistics.style import (
    ControlledRanking,
    ControlledWinRates,
    StyleDifferences,
    control_names,
    controlled_bradley_terry,
    controlled_win_rates,
    style_differences,
    text_features,
)
from simfarm.statistics.tiers import Power, Tiers, power, tiers

__all__ = [
    "COLUMNS",
    "LENGTH_CONTROLS",
    "RATING_COLUMNS",
    "Board",
    "BradleyTerry",
    "Calibrated",
    "Comparisons",
    "ControlledRanking",
    "ControlledWinRates",
    "CyclicTriads",
    "Difference",
    "Estimate",
    "Flip",
    "Lottery",
    "PartitionedRanking",
    "Power",
    "Ratings",
    "Rejudged",
    "Slope",
    "StyleDifferences",
    "Tiers",
    "align_labels",
    "bootstrap_ratings",
    "bradley_terry",
    "calibrate",
    "calibrated_win_rates",
    "compare_judges",
    "control_names",
    "controlled_bradley_terry",
    "controlled_win_rates",
    "cyclic_triads",
    "differences",
    "each_board",
    "flip_corrected",
    "leaderboard",
    "lottery",
    "maximal_lottery",
    "pair_rates",
    "paired_difference",
    "power",
    "rank_intervals",
    "rank_partitions",
    "rate_models",
    "style_differences",
    "style_win_rates",
    "text_features",
    "tiers",
]
