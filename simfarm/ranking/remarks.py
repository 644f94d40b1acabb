"""What stands beside a board's numbers: what could mislead a reader, and what a reader may want to know."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from simfarm.data.inspection import Flag
from simfarm.ranking.guard import watch as guard
from simfarm.ranking.position import position_warnings
from simfarm.ranking.units import Units
from simfarm.statistics.estimate import Estimate
from simfarm.statistics.swaps import Orders
from simfarm.text.words import plural

__all__ = ["UNCHECKED", "remarks", "unnamed"]

UNCHECKED = "the file has no texts: constant outputs and outputs that address the judge were not checked"
MANY = 0.10
"""The share of comparisons above which leaving them out may change what the board says."""
UNNAMED = ("output_1", "output_2")
"""What stands for a model where the file has no generator columns."""


def unnamed(models: Collection[str]) -> list[str]:
    """A warning where the file did not name its models; it is about the file, whoever judged."""
    names = [name for name in UNNAMED if name in models]
    if not names:
        return []
    columns = " and ".join(name.replace("output", "generator") for name in names)
    return [
        f"the file does not say in {columns} which model wrote what: {' and '.join(names)} stands for a model "
        "here; add the column, or annotate output files"
    ]


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
    first, told = _order_lines(units.orders, len(units.table))
    warnings[:0] = first
    notes += told
    if any(guard.NOT_CHECKED in raised.get(m, ()) for m in estimates):
        notes.append(UNCHECKED)
    return warnings, notes


def _order_lines(orders: Orders, n: int) -> tuple[list[str], list[str]]:
    """(warnings, notes) about the orders of `n` comparisons."""
    warnings, notes = [], []
    if orders.reversals is not None and orders.tie_changes is not None:
        notes.append(
            f"asked in both orders, the judge reverses itself in {100 * orders.reversals:.1f} % of the comparisons and "
            f"turns a tie into a choice or back in {100 * orders.tie_changes:.1f} %"
        )
    if half := orders.half_asked:
        which = f"{plural(half, 'comparison was', 'comparisons were')} asked in one order only, others in both"
        line = f"{which}: no verdict; run annotate again to ask for the missing order"
        if half > MANY * n:
            warnings.append(f"{100 * half / n:.0f} % of the comparisons are left out: {line}")
        else:
            notes.append(line)
    return warnings, notes
