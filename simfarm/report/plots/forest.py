"""Rows of values with their intervals: the picture of leaderboards, ratings, agreement, biases and differences."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simfarm.report.plots.style import GREY, LETTER, LINE, Look, axes_of, grid, inches, label, labels, styled
from simfarm.text.words import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simfarm.statistics.estimate import Array

__all__ = ["Forest", "Series", "draw", "height"]

MOST = 200
"""Rows that are drawn; a picture of more is longer than anybody scrolls."""


class Series(NamedTuple):
    """A value, its low and its high limit for each row: shape (rows, 3), NaN for none, ±∞ for a limit that there is
    not."""

    name: str
    values: Array
    look: Look


@dataclass(frozen=True)
class Forest:
    """`names` of the rows from above, and what is drawn in each. `what` is measured along `unit`'s axis; `within` are
    the ends that a value can have; `lines` stand at values that rows are to be seen beside; `columns` are (heading, a
    text for each row) to the right. Rows of one of `bands`' values share a ground. Series of `one_line` do not stand
    below one another: each row has a value of one of them."""

    names: Sequence[str]
    series: Sequence[Series]
    what: str
    within: tuple[float, float] = (-np.inf, np.inf)
    lines: Sequence[tuple[float, str]] = ()
    columns: Sequence[tuple[str, Sequence[str]]] = ()
    bands: Sequence[object] = ()
    one_line: bool = False
    rows: str = "model"
    wrapped: bool = False


@styled
def height(forest: Forest, width: float) -> float:
    """Inches that it takes at a width."""
    text = _Text.of(forest, width)
    deep = 1 if forest.one_line else len(forest.series)
    row = max(0.1 + 0.08 * deep, 0.14 * max((name.count("\n") + 1 for name in text.names), default=1) + 0.04)
    return 0.4 + LINE * (text.above + text.what.count("\n") + 1) + len(text.names) * row


class _Text(NamedTuple):
    """What a forest says at a width: the rows' names, the axis's label, in how many columns the series are named,
    whether that stands over the columns' headings, and how many lines are above the rows."""

    names: list[str]
    what: str
    key_columns: int
    over: bool
    above: int

    @classmethod
    def of(cls, forest: Forest, width: float) -> _Text:
        room = int(width * 5.6)
        if forest.wrapped:
            names = [textwrap.fill(label(name, 2 * room), room) for name in forest.names[:MOST]]
        else:
            names = labels(forest.names[:MOST], room)
        left = max((inches(part) for name in names for part in name.split("\n")), default=0.0)
        right = sum(_column_width(column) for column in forest.columns)
        more = len(forest.names) - len(names)
        lines = forest.what.split("\n") + ([f"{plural(more, f'more {forest.rows}')} not drawn"] if more else [])
        # the label stands under the middle of the axes, and may reach below the names and the columns
        wide = max(24, int((width - left - right + 2 * min(left, right)) / LETTER))
        keys = 0 if forest.one_line or len(forest.series) < 2 else len(forest.series)
        longest = max(len(series.name) for series in forest.series) + 5
        key_columns = min(max(1, int((width - left) / (LETTER * longest))), keys or 1)
        over = bool(keys and forest.columns) and LETTER * longest * key_columns > width - left - right
        above = max(-(-keys // key_columns) + over, int(bool(forest.columns)))
        return cls(names, "\n".join(textwrap.fill(line, wide) for line in lines), key_columns, over, above)


@styled
def draw(forest: Forest, axes: Axes | None, width: float) -> Axes:
    """The rows on `axes`, or on new ones of `width` inches."""
    axes = axes_of(axes, width, height(forest, width))
    text = _Text.of(forest, width)
    n = len(text.names)
    axes.set_yticks(range(n), text.names)
    axes.tick_params(axis="y", length=0, pad=6)
    axes.set_ylim(n - 0.5, -0.5)
    axes.spines["left"].set_visible(False)
    grid(axes, "x")
    low, high = _span(forest, n)
    axes.set_xlim(low, high)
    _bands(axes, forest.bands[:n])
    for at, line in forest.lines:
        axes.axvline(at, color=GREY, linewidth=0.8, linestyle=line, zorder=1)
    shift = 0.0 if forest.one_line else 0.6 / max(1, len(forest.series))
    first = -shift * (len(forest.series) - 1) / 2
    for k, series in enumerate(forest.series):
        _intervals(axes, series, np.arange(n, dtype=float) + first + k * shift, series.values[:n], (low, high))
    _columns(axes, forest.columns, n)
    axes.set_xlabel(text.what)
    if len(forest.series) > 1 and not forest.one_line:
        axes.legend(
            loc="lower left",
            bbox_to_anchor=(0, 1),
            borderaxespad=1.6 if text.over else 0.2,
            ncols=text.key_columns,
            columnspacing=1,
            handletextpad=0.4,
        )
    return axes


def _span(forest: Forest, n: int) -> tuple[float, float]:
    """The ends of the axis: all that is finite, with a margin, but no place where no value can be."""
    every = np.concatenate([series.values[:n].ravel() for series in forest.series] + [[at for at, _ in forest.lines]])
    known = every[np.isfinite(every)]
    if not len(known):
        known = np.array([x for x in forest.within if np.isfinite(x)] or [0.0, 1.0])
    low, high = float(known.min()), float(known.max())
    # an arrow needs room beside the value
    margin = (0.12 if np.isinf(every).any() else 0.06) * (high - low) or 1.0
    least, most = forest.within
    room = 0.02 * (most - least) if np.isfinite(most - least) else 0.0
    return max(low - margin, least - room), min(high + margin, most + room)


def _intervals(axes: Axes, series: Series, y: Array, values: Array, span: tuple[float, float]) -> None:
    """One series: a marker for each value, a line for its interval, an arrow where that has no end."""
    value, low, high = values.T
    look = series.look
    known = ~np.isnan(value)
    limited = known & ~np.isnan(low) & ~np.isnan(high)
    axes.hlines(y[limited], np.clip(low[limited], *span), np.clip(high[limited], *span), color=look.colour, zorder=2)
    for ends, at, arrow in ((low, span[0], "<"), (high, span[1], ">")):
        endless = limited & np.isinf(ends)
        if endless.any():
            where = np.full(int(endless.sum()), at)
            axes.plot(where, y[endless], arrow, color=look.colour, markersize=4, clip_on=False, zorder=3)
    face = look.colour if look.filled else "white"
    axes.plot(
        value[known],
        y[known],
        look.marker,
        color=look.colour,
        markerfacecolor=face,
        markeredgewidth=1,
        clip_on=False,
        zorder=3,
        label=series.name,
    )


def _bands(axes: Axes, bands: Sequence[object]) -> None:
    """Every other run of equal values on a grey ground."""
    start, dark = 0, False
    for row in range(1, len(bands) + 1):
        if row == len(bands) or bands[row] != bands[start]:
            if dark:
                axes.axhspan(start - 0.5, row - 0.5, color="#f0f0f0", linewidth=0, zorder=0)
            start, dark = row, not dark


def _column_width(column: tuple[str, Sequence[str]]) -> float:
    """Inches that a column to the right of the axes takes."""
    heading, texts = column
    return LETTER * (max(len(text) for text in (heading, *texts[:MOST])) + 1)


def _columns(axes: Axes, columns: Sequence[tuple[str, Sequence[str]]], n: int) -> None:
    """Texts to the right of the axes, under their headings."""
    points = 3.0
    for heading, texts in columns:
        points += 72 * _column_width((heading, texts))
        for y, text in [(-0.5, heading), *enumerate(texts[:n])]:
            axes.annotate(
                text,
                (1, y),
                xycoords=axes.get_yaxis_transform(),
                xytext=(points, 3 if y < 0 else 0),
                textcoords="offset points",
                ha="right",
                va="bottom" if y < 0 else "center",
                color=GREY if y < 0 else "black",
                annotation_clip=False,
            )
