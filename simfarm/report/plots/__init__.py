"""Pictures of boards, ratings, cards and curves, on matplotlib's axes (extra `plots`).

Each function takes a value and, where the caller has them, axes to draw on, and gives the axes; `save` writes them.
matplotlib is imported as the first picture is drawn.
"""

from simfarm.report.plots.boards import differences, leaderboard, ratings
from simfarm.report.plots.cards import agreement, biases
from simfarm.report.plots.lines import best_of_n, lengths, reliability
from simfarm.report.plots.matrices import kappas, wins
from simfarm.report.plots.style import save, svg
from simfarm.report.plots.whole import card_picture, comparison_picture, curve_picture, evaluation_picture

__all__ = [
    "agreement",
    "best_of_n",
    "biases",
    "card_picture",
    "comparison_picture",
    "curve_picture",
    "differences",
    "evaluation_picture",
    "kappas",
    "leaderboard",
    "lengths",
    "ratings",
    "reliability",
    "save",
    "svg",
    "wins",
]
