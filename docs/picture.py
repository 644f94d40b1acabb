"""Draws the pictures of these pages from the recorded verdicts and the labels in `examples/`: python docs/picture.py

They are those of `simfarm.report.plots`, as `-o FILE.svg` writes them.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import simfarm
from simfarm.report import plots

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DOCS = Path(__file__).parent
EXAMPLES = DOCS.parent / "examples"
VERDICTS = EXAMPLES / "recordings" / "pairwise-letter.jsonl.zst"


def pictures() -> Iterator[tuple[str, Figure]]:
    """Each file's name and what is in it."""
    from matplotlib.figure import Figure

    with warnings.catch_warnings():
        # what a board or card is warned of stands in the examples' own pages
        warnings.simplefilter("ignore", simfarm.SimfarmWarning)
        yield "leaderboard", plots.evaluation_picture(simfarm.evaluation(VERDICTS))
        card = simfarm.report_card(VERDICTS, human=EXAMPLES / "labels.jsonl")
    yield "card", plots.card_picture(card)
    figure = Figure(figsize=(5.5, 3.4), layout="constrained")
    plots.lengths(card, figure.subplots())
    yield "lengths", figure


if __name__ == "__main__":
    for name, figure in pictures():
        plots.save(figure, DOCS / f"{name}.svg")
