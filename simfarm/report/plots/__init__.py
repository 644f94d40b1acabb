"""Pictures of boards, ratings, cards and curves, on matplotlib's axes (extra `plots`).

Each function takes a value and, where the caller has them, axes to draw on, and gives the axes; `save` writes them.
matplotlib is imported as the first picture is drawn.
"""

from simfarm.report.plots.boards import differences, leaderboard, ratings
from simfarm.report.plots.cards import agreement, biases
from simfarm.report.plots.lines import best_of_n, lengths, reliability
from simfarm.report.plots.matrices import kappas, wins
from simfarm.report.plots.rewards import rejudged, rewards
from simfarm.report.plots.style import save, svg
from simfarm.report.plots.whole import (
    card_picture,
    comparison_picture,
    curve_picture,
    dissection_picture,
    evaluation_picture,
    rejudged_picture,
)

__all__ = [
    "agreement",
    "best_of_n",
    "biases",
    "card_picture",
    "comparison_picture",
    "curve_picture",
    "differences",
    "dissection_picture",
    "evaluation_picture",
    "kappas",
    "leaderboard",
    "lengths",
    "ratings",
    "rejudged",
    "rejudged_picture",
    "reliability",
    "rewards",
    "save",
    "svg",
    "wins",
]
