"""What stands beside a board's numbers: what could mislead a reader, and what a reader may want to know."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from simfarm.data.inspection import Flag
from simfarm.ranking.guard import watch as guard
from simfarm.ranking.position import position_warnings
from simfarm.ranking.units import Units
from simfarm.settings import spelled
from simfarm.statistics.estimate import Estimate
from simfarm.statistics.swaps import Orders
from simfarm.text.words import named, plural

__all__ = ["UNCHECKED", "order_lines", "remarks", "told_apart", "unnamed"]

UNCHECKED = "the file has no texts: constant outputs and outputs that address the judge were not checked"
MANY = 0.10
"""The share of comparisons above which leaving them out, or asking them otherwise, may change what the board says."""
UNNAMED = ("output_1", "output_2")
"""What stands for a model where the file has no generator columns."""


def unnamed(models: Collection[str]) -> list[str]:
    """A warning where the file did not name its models; it is about the file, whoever judged."""
    names = [name for name in UNNAMED if name in models]
    if not names:
        return []
    columns = " and ".join(name.replace("output", "generator") for name in names)
    stand = "stands for a model" if len(names) == 1 else "stand for models"
    add = "the column" if len(names) == 1 else "the columns"
    return [
        f"the file does not say in {columns} which model wrote what: {' and '.join(names)} {stand} here; add {add}, or "
        "annotate output files"
    ]


def told_apart(annotator: str, lines: Sequence[str], n_annotators: int) -> tuple[str, ...]:
    """The warnings of one annotator, with its name where there are others."""

    def names(line: str) -> bool:
        return n_annotators == 1 or line.startswith(f"{annotator} ") or f" for {annotator}: " in line

    return tuple(line if names(line) else f"{annotator}: {line}" for line in lines)


def remarks(
    units: Units, estimates: Mapping[str, Estimate], raised: Mapping[str, tuple[Flag, ...]]
) -> tuple[list[str], list[str]]:
    """(warnings, notes): what could mislead a reader, and what a reader may want to know."""
    warnings, notes = [], []
    for model in sorted({*estimates, units.baseline}):
        for flag in raised.get(model, ()):
            if flag in guard.MEANINGS:
                warnings.append(f"{model} {guard.MEANINGS[flag]} ({flag}): {flag.example}")
    warnings += position_warnings(units.first_shown, units.orders.reversals)
    for model, estimate in estimates.items():
        if estimate.n_clusters == 0:
            warnings.append(f"{model} has no verdict at all; run annotate again to ask for the missing ones")
        elif estimate.n_clusters == 1:
            warnings.append(f"{model} was judged on one instruction alone: no interval can be given")
    if units.left_out:
        notes.append(f"{plural(units.left_out, 'row')} without the baseline {units.baseline} left out")
    if units.empty_outputs:
        notes.append(f"{plural(units.empty_outputs, 'output is', 'outputs are')} empty, judged like any other")
    if units.cut_off_outputs:
        which = plural(units.cut_off_outputs, "comparison has", "comparisons have")
        notes.append(f"{which} an output cut off by its token limit")
    first, told = order_lines(units.orders, [m for m in estimates if m != units.baseline], units.baseline)
    warnings[:0] = first
    notes += told
    if any(guard.NOT_CHECKED in raised.get(m, ()) for m in estimates):
        notes.append(UNCHECKED)
    return warnings, notes


def order_lines(orders: Orders, models: Collection[str], baseline: str | None = None) -> tuple[list[str], list[str]]:
    """(warnings, notes) about the orders in which the comparisons of `models` (with the `baseline`) were asked."""
    warnings, notes = [], []
    if orders.reversals is not None and orders.tie_changes is not None:
        notes.append(
            f"asked in both orders, the judge reverses itself in {100 * orders.reversals:.1f} % of the comparisons and "
            f"turns a tie into a choice or back in {100 * orders.tie_changes:.1f} %"
        )
    half, once, twice = orders.half_asked, orders.once_asked, orders.twice_asked
    if half:
        which = f"{plural(half, 'comparison was', 'comparisons were')} asked in one order only"
        line = f"{which}, where both belong together: no verdict; run annotate again to ask for the missing order"
        share = half / (half + once + twice)
        if share > MANY:
            warnings.append(f"{100 * share:.0f} % of the comparisons are left out: {line}")
        else:
            notes.append(line)
    if once and twice:
        whose = [name for name in orders.once_by if name != baseline]
        of = "" if {*models} <= {*whose} else f" (of {named(whose)})"
        line = (
            f"{twice:,} of {plural(once + twice, 'comparison')} were asked in both orders, the others{of} in one, "
            f"where the judge's habits of place are not averaged out; ask all in both ({spelled('order', 'both')})"
        )
        (warnings if min(once, twice) > MANY * (once + twice) else notes).append(line)
    if orders.halves_kept:
        warnings.append(
            f"the judge asks both orders, and the file has one alone of {plural(orders.halves_kept, 'comparison')}: "
            "they count, with whatever the judge thinks of the place; add the rows of the other order"
        )
    return warnings, notes
