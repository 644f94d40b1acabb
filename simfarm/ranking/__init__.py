"""Verdicts in, estimates out: win rates, length control, ratings, boards. Knows nothing of judges or backends."""

from simfarm.ranking.board import COLUMNS, Board, boards
from simfarm.ranking.bridge import Bridged, carry
from simfarm.ranking.difference import Difference, differences, paired_difference, rated_differences
from simfarm.ranking.guard.watch import inspection
from simfarm.ranking.lengths import LENGTH_CONTROLS, Slope
from simfarm.ranking.partitions import PartitionedRanking, rank_partitions
from simfarm.ranking.people import align_labels, calibrated_win_rates
from simfarm.ranking.ratings import RATING_COLUMNS, Ratings, rate_models
from simfarm.ranking.rejudge import Flip, Rejudged, compare_judges
from simfarm.ranking.style import style_win_rates
from simfarm.ranking.units import find_baseline
from simfarm.statistics.bradley_terry import BradleyTerry, Matches, bradley_terry
from simfarm.statistics.calibration import Calibrated, calibrate
from simfarm.statistics.estimate import Estimate
from simfarm.statistics.flips import flip_corrected
from simfarm.statistics.lottery import CyclicTriads, Lottery, cyclic_triads, lottery, maximal_lottery, pair_rates
from simfarm.statistics.style import (
    ControlledRanking,
    ControlledWinRates,
    StyleDifferences,
    controlled_bradley_terry,
    controlled_win_rates,
    style_differences,
)
from simfarm.statistics.tiers import Power, Tiers, power, tiers
from simfarm.text.marks import control_names

__all__ = [
    "COLUMNS",
    "LENGTH_CONTROLS",
    "RATING_COLUMNS",
    "Board",
    "BradleyTerry",
    "Bridged",
    "Calibrated",
    "ControlledRanking",
    "ControlledWinRates",
    "CyclicTriads",
    "Difference",
    "Estimate",
    "Flip",
    "Lottery",
    "Matches",
    "PartitionedRanking",
    "Power",
    "Ratings",
    "Rejudged",
    "Slope",
    "StyleDifferences",
    "Tiers",
    "align_labels",
    "boards",
    "bradley_terry",
    "calibrate",
    "calibrated_win_rates",
    "carry",
    "compare_judges",
    "control_names",
    "controlled_bradley_terry",
    "controlled_win_rates",
    "cyclic_triads",
    "differences",
    "find_baseline",
    "flip_corrected",
    "inspection",
    "lottery",
    "maximal_lottery",
    "pair_rates",
    "paired_difference",
    "power",
    "rank_partitions",
    "rate_models",
    "rated_differences",
    "style_differences",
    "style_win_rates",
    "tiers",
]
