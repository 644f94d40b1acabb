"""How far judges can be trusted, as pictures: agreement beside people and the longest output, and what moves them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from simfarm.agreement.card import scaled
from simfarm.agreement.figures import FIGURES, Row
from simfarm.errors import InputError
from simfarm.report.plots.forest import Forest, Series, draw
from simfarm.report.plots.style import GREY, LOOKS, PEOPLE, WIDE, Look, label, percent
from simfarm.text.words import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simfarm.agreement.card import ReportCard
    from simfarm.statistics.estimate import Array

__all__ = ["agreement", "agreement_forest", "bias_forest", "biases"]

_LONGEST = Look(GREY, "s", True, ":")
_NONE = (np.nan,) * 3

_BIASES = (
    "first",
    "longer",
    "longer_excess",
    "lists",
    "lists_excess",
    "bold",
    "bold_excess",
    "self_preference",
)


def agreement(card: ReportCard, axes: Axes | None = None, *, width: float = WIDE) -> Axes:
    """Each judge's agreement with people, the best first, under the human ceiling (how well one person agrees with the
    others) and beside the judge that prefers the longer output; their values are lines through all rows.

    Raises `InputError` for a card without people."""
    return draw(agreement_forest(card), axes, width)


def biases(
    card: ReportCard, axes: Axes | None = None, *, judges: Sequence[str] | None = None, width: float = WIDE
) -> Axes:
    """What moves each judge, in points from what an unmoved one would do: the output shown first, the longer
    one, lists, bold text, its own. People's own habits stand beside them: those are no bias, the excess over them is.

    `judges` are the names of at most six, by default those that agree most with people. Raises `InputError` where
    nothing of it could be estimated."""
    return draw(bias_forest(card, judges), axes, width)


def agreement_forest(card: ReportCard) -> Forest:
    """What `agreement` draws."""
    rows = [*card.rows_beside, *card.judges]
    if not any(row.get("agreement") is not None for row in card.judges):
        raise InputError("no judge's agreement with people is known; give labels of some comparisons (human)")
    rows = [row for row in rows if row.get("agreement") is not None or row.kind == "judge"]
    looks = {"people": PEOPLE, "longest": _LONGEST, "judge": LOOKS[0]}
    values = {kind: np.array([_numbers(row, "agreement", row.kind == kind) for row in rows]) for kind in looks}
    beside = {row.kind: row for row in rows if row.kind != "judge"}
    fewest, most = (of(row.n_labelled for row in card.judges) for of in (min, max))
    return Forest(
        names=[row.name for row in rows],
        series=[Series(kind, values[kind], look) for kind, look in looks.items() if kind == "judge" or kind in beside],
        what=f"agreement with {plural(len(card.people), 'person', 'people')}, %\n"
        f"{percent(card.level)} intervals, {'' if fewest == most else f'{fewest:,} to '}{plural(most, 'comparison')}",
        within=(0, 100),
        lines=[(float(values[kind][rows.index(row)][0]), str(looks[kind].line)) for kind, row in beside.items()],
        columns=[("%", [_text(row) for row in rows])],
        one_line=True,
        rows="judge",
    )


def bias_forest(card: ReportCard, judges: Sequence[str] | None = None) -> Forest:
    """What `biases` draws."""
    chosen = [card.row(name) for name in judges] if judges is not None else list(card.judges[: len(LOOKS)])
    if len(chosen) > len(LOOKS):
        raise InputError(f"a picture holds the biases of up to {plural(len(LOOKS), 'judge')}; name fewer")
    words = {figure.name: figure.words for figure in FIGURES}
    shown = [name for name in _BIASES if any(row.get(name) is not None for row in chosen)]
    if not shown:
        raise InputError("no bias of these judges is known: no order, no lengths, no texts in their files")
    people = [row for row in card.rows_beside if row.kind == "people" and any(row.get(name) for name in shown)]
    raters = [(row, PEOPLE) for row in people] + list(zip(chosen, LOOKS, strict=False))
    left = len(card.judges) - len(chosen)
    return Forest(
        names=[words[name] for name in shown],
        series=[
            Series(label(row.name, 24), np.array([_numbers(row, name, True) for name in shown]) - _centres(shown), look)
            for row, look in raters
        ],
        what="points from no bias\n"
        + f"{percent(card.level)} intervals"
        # judges that were named are no cut
        + (f"; {plural(left, 'more judge')} not drawn" if left and judges is None else ""),
        within=(-100, 100),
        lines=[(0.0, "-")],
        rows="bias",
        wrapped=True,
    )


def _centres(names: Sequence[str]) -> Array:
    """(names, 1): what a figure is without a bias, even odds or nothing more than others."""
    unit = {figure.name: figure.unit for figure in FIGURES}
    return np.array([[50.0 if unit[name] == "percent" else 0.0] for name in names])


def _numbers(row: Row, name: str, wanted: bool) -> tuple[float, float, float]:
    """A figure with its limits as they are printed; NaN for none, or where it is not wanted."""
    figure = next(figure for figure in FIGURES if figure.name == name)
    return (scaled(row, figure) if wanted else None) or _NONE


def _text(row: Row) -> str:
    value = _numbers(row, "agreement", True)[0]
    return "–" if np.isnan(value) else f"{value:.1f}"
