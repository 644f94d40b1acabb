"""Everybody beside everybody: who beats whom, and which judges say the same."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simfarm.errors import InputError
from simfarm.report.plots.style import LETTER, LINE, WIDE, axes_of, inches, label, labels, styled
from simfarm.statistics.chance import cohen_kappas
from simfarm.text.words import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simfarm.agreement.card import ReportCard
    from simfarm.ranking import Ratings
    from simfarm.statistics.estimate import Array

__all__ = ["kappas", "wins"]

_CELL, _SMALLEST = 0.27, 0.14
"""Inches of a cell that holds a number, and of one that a name can stand beside."""


def wins(ratings: Ratings, axes: Axes | None = None, *, width: float = WIDE) -> Axes:
    """How often each model (a row) is preferred to each other one (a column), over the instructions on which the two
    met, best model first; a pair that never met is left empty. Raises `InputError` for ratings without models."""
    if ratings.wins.empty:
        raise InputError(f"{ratings.annotator} rated no model; there is nothing to draw")
    what = f"{label(ratings.annotator, 24)} prefers the row to the column, %"
    rates = 100 * ratings.wins.to_numpy(float)
    return _draw(_Matrix(rates, [str(name) for name in ratings.wins], what, "{:.0f}", (0, 100), "model"), axes, width)


def kappas(card: ReportCard, axes: Axes | None = None, *, width: float = WIDE) -> Axes:
    """How far two judges agree beyond chance (Cohen's κ, on the comparisons that both judged), those that agree most
    with people first. Judges that are much alike are one judge asked twice. Raises `InputError` for one judge."""
    votes = card.votes
    names = [row.name for row in card.judges]
    if votes is None or len(names) < 2:
        raise InputError("judges are compared with each other: give the verdicts of two or more")
    names = names[: _most(width)]
    judged = votes.judged[[votes.judges.index(name) for name in names]]
    found = np.where(np.tri(len(names), k=-1, dtype=bool), cohen_kappas(judged), np.nan)
    least = min(0.0, float(np.nanmin(found, initial=0.0)))
    more = len(card.judges) - len(names)
    return _draw(_Matrix(found, names, "Cohen's κ of two judges", "{:.2f}", (least, 1), "judge", more), axes, width)


def _most(width: float) -> int:
    """As many rows as stay legible."""
    return int((0.72 * width - 0.65) / _SMALLEST)


class _Matrix(NamedTuple):
    """Square `values` (NaN is an empty cell) of `names`, as they are `written`; `ends` are those of the colours, and
    `more` of `who` are left out already."""

    values: Array
    names: Sequence[str]
    what: str
    written: str
    ends: tuple[float, float]
    who: str
    more: int = 0


@styled
def _draw(matrix: _Matrix, axes: Axes | None, width: float) -> Axes:
    """Cells from dark (the low end) to light, with their numbers where there is room, else with a bar of colours."""
    ends = matrix.ends
    n = min(len(matrix.names), _most(width))
    more = matrix.more + len(matrix.names) - n
    values = matrix.values[:n, :n]
    short = labels(matrix.names[:n], int(width * 4.4))
    room = max(inches(name) for name in short)
    cell = min(0.42, (width - room - 0.3) / n)
    numbers = cell >= _CELL
    cell = cell if numbers else (width - room - 1.0) / n
    what = textwrap.fill(matrix.what, max(30, int((n * cell + room) / LETTER)))
    what += f"\n{plural(more, f'more {matrix.who}')} not drawn" if more else ""
    axes = axes_of(axes, width, n * cell + room + 0.34 + LINE * (what.count("\n") + 1))
    image = axes.imshow(values, cmap="cividis", vmin=ends[0], vmax=ends[1], aspect="equal")
    axes.set_xticks(range(n), short, rotation=90)
    axes.set_yticks(range(n), short)
    axes.tick_params(length=0)
    for spine in axes.spines.values():
        spine.set_visible(False)
    if numbers:
        middle = (ends[0] + ends[1]) / 2
        for (i, j), value in np.ndenumerate(values):
            if not np.isnan(value):
                text = matrix.written.format(round(value, 2) + 0.0).replace("-", "−").replace("0.", ".")
                axes.text(j, i, text, ha="center", va="center", color="white" if value < middle else "black")
    else:
        axes.figure.colorbar(image, ax=axes, shrink=0.6, pad=0.02)
    # from its right end on, below the names too: centred under the cells it would leave the picture
    axes.set_xlabel(what, x=1, horizontalalignment="right")
    return axes
