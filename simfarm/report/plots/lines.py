"""What a value does as another grows: verdicts by length difference, best of n, and how true preferences are."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simfarm.agreement.trust import Definitions, People
from simfarm.errors import InputError
from simfarm.report.plots.style import (
    GREY,
    LETTER,
    LINE,
    LOOKS,
    PEOPLE,
    WIDE,
    Look,
    axes_of,
    grid,
    label,
    percent,
    styled,
)
from simfarm.statistics.estimate import mean_estimate
from simfarm.statistics.reliability import Reliability
from simfarm.statistics.reliability import reliability as reliability_of
from simfarm.text.words import plural

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from simfarm.agreement.card import ReportCard
    from simfarm.agreement.votes import Votes
    from simfarm.selection.curve import Curve
    from simfarm.statistics.estimate import Array

__all__ = ["best_of_n", "curves", "lengths", "reliability"]

_DASHED = (0, (4, 2))
_BINS = 8
_LEAST = 20
"""Comparisons of a bin."""


@styled
def best_of_n(
    curve: Curve | Mapping[str, Curve], axes: Axes | None = None, *, level: float = 0.95, width: float = WIDE
) -> Axes:
    """The true score of the sample that is chosen among n, with its interval, and dashed what the proxy promises of it:
    where the two part, choosing among more pays in the proxy's coin alone. Several curves by name share the axes."""
    from simfarm.selection.curve import Curve, curve_rows

    named = {"": curve} if isinstance(curve, Curve) else curve
    rows = [{"generator": name, **row} for name, one in named.items() for row in curve_rows(one, level)]
    return curves(rows, axes, level=level, width=width)


@styled
def curves(rows: Sequence[Mapping[str, Any]], axes: Axes | None = None, *, level: float, width: float = WIDE) -> Axes:
    """As `best_of_n`, of the rows of `curve_rows` with their `generator`."""
    from matplotlib.ticker import FixedLocator, NullLocator, ScalarFormatter

    names = list(dict.fromkeys(row["generator"] for row in rows))
    if not rows or len(names) > len(LOOKS):
        raise InputError(f"a picture holds up to {plural(len(LOOKS), 'curve')}, and one at least; choose among them")
    promised = any(row["proxy"] != row["gold"] for row in rows)
    keys = promised + (len(names) if promised or len(names) > 1 else 0)
    axes = axes_of(axes, width, _deep(width, keys))
    for name, look in zip(names, LOOKS, strict=False):
        own = [row for row in rows if row["generator"] == name]
        n = [row["n"] for row in own]
        low, gold, high, proxy = ([row[key] for row in own] for key in ("gold_low", "gold", "gold_high", "proxy"))
        axes.fill_between(n, low, high, color=look.colour, alpha=0.18, linewidth=0)
        doubled = [k for k, size in enumerate(n) if size & (size - 1) == 0 or size == n[-1]]
        known = label(name, 24) if name else "chosen"
        marked: dict[str, Any] = {"marker": look.marker, "markerfacecolor": _face(look), "markevery": doubled}
        axes.plot(n, gold, color=look.colour, label=known, **marked)
        if promised:
            axes.plot(n, proxy, color=look.colour, linestyle=_DASHED)
    if promised:
        axes.plot([], [], color=GREY, linestyle=_DASHED, label="promised by the proxy")
    grid(axes, "y")
    most = max(row["n"] for row in rows)
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator([2**k for k in range(int(np.log2(most)) + 1)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(ScalarFormatter())
    counts = f"{percent(level)} intervals, {plural(rows[0]['instructions'], 'instruction')}"
    axes.set_xlabel(f"n, samples to choose from\n{counts}")
    axes.set_ylabel("expected score")
    if keys:
        _key(axes, width)
    return axes


@styled
def lengths(
    card: ReportCard, axes: Axes | None = None, *, judges: Sequence[str] | None = None, width: float = WIDE
) -> Axes:
    """How often output_2 is preferred, by how much longer it is, with intervals: of people, and of each judge. With one
    baseline as output_1 it is the win rate over it. Comparisons are binned by the rank of their difference.

    `judges` are the names of at most three, by default those that agree most with people. Raises `InputError` for a
    card without lengths."""
    votes = _votes(card)
    longer = (votes.items["length_2"] - votes.items["length_1"]).to_numpy(float)
    names = list(judges) if judges is not None else [row.name for row in card.judges][:3]
    if not 0 < len(names) <= len(LOOKS):
        raise InputError(f"a picture holds up to {plural(len(LOOKS), 'judge')}, and one at least; name others")
    said = [(name, _judged(votes, name), look) for name, look in zip(names, LOOKS, strict=False)]
    people = People.of(votes, Definitions.of(None))
    if (~np.isnan(people.mean)).any():
        said.insert(0, ("people", people.mean, PEOPLE))
    known = ~np.isnan(longer) & ~np.all([np.isnan(p) for _, p, _ in said], axis=0)
    if not known.any():
        raise InputError(
            "no comparison with a verdict has both lengths; the files need the outputs, or length_1, length_2"
        )
    place, middles = _binned(longer, known, most=min(_BINS, int(1.8 * width)))
    axes = axes_of(axes, width, _deep(width, len(said)))
    for k, (name, p, look) in enumerate(said):
        at = np.arange(len(middles)) + (k - (len(said) - 1) / 2) * 0.12
        values = _rates(p, place, votes.cluster, len(middles), card.level)
        axes.vlines(at, values[:, 1], values[:, 2], color=look.colour, linewidth=1)
        line: dict[str, Any] = {
            "linestyle": look.line,
            "linewidth": 0.9,
            "marker": look.marker,
            "markerfacecolor": _face(look),
        }
        axes.plot(at, values[:, 0], color=look.colour, label=label(name, 24), **line)
    axes.axhline(50, color=GREY, linewidth=0.8, zorder=1)
    axes.set_xticks(
        range(len(middles)), [f"{round(middle):+d}".replace("-", "−").replace("+0", "0") for middle in middles]
    )
    grid(axes, "y")
    counts = f"{percent(card.level)} intervals, {plural(int(known.sum()), 'comparison')}"
    what = textwrap.fill("characters by which output_2 is longer (median of a bin)", int((width - 0.8) / LETTER))
    axes.set_xlabel(f"{what}\n{counts}")
    axes.set_ylabel("output_2 preferred, %")
    _key(axes, width)
    return axes


@styled
def reliability(
    found: Reliability | ReportCard, axes: Axes | None = None, *, judge: str | None = None, width: float = 3.25
) -> Axes:
    """Do eight people in ten prefer what the judge gives .8? A point for each bin of verdicts, with its interval.

    On the diagonal the judge's preferences are probabilities. `found` is a `Reliability`, or a card and its `judge`, by
    default the one that agrees most with people. Raises `InputError` where too few comparisons have both."""
    if not isinstance(found, Reliability):
        votes, judge = _votes(found), judge or found.judges[0].name
        people = People.of(votes, Definitions.of(None))
        found = reliability_of(_judged(votes, judge), people.mean, votes.cluster, level=found.level)
    axes = axes_of(axes, width, width + 0.1)
    look = LOOKS[0]
    x, y = (100 * np.array([getattr(one, name) for one in found.bins]) for name in ("mean_p", "mean_y"))
    ends = 100 * np.array([one.interval for one in found.bins])
    axes.plot([0, 100], [0, 100], color=GREY, linewidth=0.8, linestyle=_DASHED, zorder=1)
    axes.vlines(x, ends[:, 0], ends[:, 1], color=look.colour, clip_on=False)
    axes.plot(x, y, look.marker, color=look.colour, linestyle="none", clip_on=False, label=label(judge or "judge", 24))
    axes.set(xlim=(0, 100), ylim=(0, 100), aspect="equal")
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_ticks(range(0, 101, 25))
    grid(axes, "both")
    whose = f"{label(judge, 24)}'s" if judge else "the judge's"
    axes.set_xlabel(
        f"{whose} preference for output_2, %\n{percent(found.level)} intervals, "
        f"{plural(found.n_clusters, 'instruction')}"
    )
    axes.set_ylabel("people who prefer output_2, %")
    low, high = (100 * end for end in found.interval)
    text = f"off by {100 * found.ece:.1f} points\n({low:.1f} to {high:.1f})"
    axes.text(0.97, 0.04, text, transform=axes.transAxes, ha="right", va="bottom")
    return axes


def _votes(card: ReportCard) -> Votes:
    if card.votes is None:
        raise InputError("the card has no votes; make it by simfarm.report_card")
    return card.votes


def _judged(votes: Votes, judge: str) -> Array:
    """p of one judge by comparison."""
    if judge not in votes.judges:
        raise InputError(f"no judge {judge!r}; there are {', '.join(votes.judges[:6])}")
    p: Array = votes.judged[votes.judges.index(judge)]
    return p


def _binned(longer: Array, known: Any, most: int) -> tuple[Any, Array]:
    """(the bin of each comparison by the rank of its difference, −1 for none; each bin's median difference)."""
    n = max(1, min(most, int(known.sum()) // _LEAST))
    edges = np.unique(np.quantile(longer[known], np.arange(1, n) / n))
    place = np.full(len(longer), -1)
    place[known] = np.unique(np.searchsorted(edges, longer[known]), return_inverse=True)[1]
    return place, np.array([np.median(longer[place == k]) for k in range(place.max() + 1)])


def _rates(p: Array, place: Any, cluster: Any, bins: int, level: float) -> Array:
    """(bins, 3): how often output_2 is preferred, percent, with its limits; NaN where nobody said."""
    values = np.full((bins, 3), np.nan)
    for k in range(bins):
        own = (place == k) & ~np.isnan(p)
        if own.any():
            rate = mean_estimate(p[own], cluster[own])
            values[k] = 100 * np.array([rate.value, *rate.interval(level)])
    return values


def _deep(width: float, keys: int) -> float:
    """Inches of height, the key's lines included."""
    return 0.3 + 0.62 * width + LINE * -(-keys // _beside(width))


def _beside(width: float) -> int:
    """Series in a line of the key."""
    return 3 if width >= WIDE else 1


def _key(axes: Axes, width: float) -> None:
    axes.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=_beside(width), columnspacing=1)


def _face(look: Look) -> str:
    return look.colour if look.filled else "white"
