"""Judges against people and each other: what they agree on, what moves them, how far they can be trusted.

Files come in as `Votes` and go out as a `ReportCard`; the figures themselves are functions of arrays.
"""

from simfarm.agreement.card import ReportCard, report_card
from simfarm.agreement.figures import FIGURES, Figure, Limits, Row
from simfarm.agreement.votes import Votes, votes_of
from simfarm.statistics.agreement import agreement_with_mode, agreement_with_votes, leave_one_out, pairwise_agreement
from simfarm.statistics.alternative import alternative_annotator_test
from simfarm.statistics.bias import judge_bias, vote_variance
from simfarm.statistics.boards import board_agreement
from simfarm.statistics.chance import cohen_kappa, fleiss_kappa, gwet_ac1, krippendorff_alpha
from simfarm.statistics.habits import first_shown, longer, longer_given, preference_for, swaps
from simfarm.statistics.own import self_preference
from simfarm.statistics.panels import effective_judges
from simfarm.statistics.reliability import reliability
from simfarm.statistics.sets import set_agreement
from simfarm.statistics.temperature import temperature

__all__ = [
    "FIGURES",
    "Figure",
    "Limits",
    "ReportCard",
    "Row",
    "Votes",
    "agreement_with_mode",
    "agreement_with_votes",
    "alternative_annotator_test",
    "board_agreement",
    "cohen_kappa",
    "effective_judges",
    "first_shown",
    "fleiss_kappa",
    "gwet_ac1",
    "judge_bias",
    "krippendorff_alpha",
    "leave_one_out",
    "longer",
    "longer_given",
    "pairwise_agreement",
    "preference_for",
    "reliability",
    "report_card",
    "self_preference",
    "set_agreement",
    "swaps",
    "temperature",
    "vote_variance",
    "votes_of",
]
