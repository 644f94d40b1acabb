"""Does a judge go by the place where an output stands? Its verdicts, seen from the output it was shown first.

A judge that always names the first output gives every model 50 % where both orders are asked, and otherwise whatever
the orders were: figures that look like a draw and are none. How good the models are cancels out: what makes the first
output win in one order makes it lose in the other.
"""

from __future__ import annotations

import numpy as np
import pandas as pd

__all__ = ["CALLS", "first_shown", "position_warnings"]

CALLS = 20
"""Verdicts in both orders together below which chance alone may look like a habit; at least half in either order."""

BLIND = 0.90


def first_shown(part: pd.DataFrame) -> float | None:
    """The share of verdicts for the output shown first, the mean of both orders, of one annotator's rows (of
    `Verdicts.table`); a tie counts a half. None under `CALLS` verdicts, or where one order has next to none."""
    order = part["order"]
    side = np.sign(part["preference"].to_numpy() - 1.5) / 2 + 0.5
    for_second = {name: side[(order == name).to_numpy() & ~np.isnan(side)] for name in ("12", "21")}
    if min(len(values) for values in for_second.values()) < CALLS // 2:
        return None
    return float(1 - for_second["12"].mean() + for_second["21"].mean()) / 2


def position_warnings(first: float | None, reversals: float | None = None) -> list[str]:
    """What to tell of a judge that goes by the place (`first` from `first_shown`), or whose verdicts turn with the
    order in nearly all comparisons (`reversals`, a share)."""
    if first is None:
        return []
    if first >= BLIND or first <= 1 - BLIND:
        shown, share = ("first", first) if first >= BLIND else ("second", 1 - first)
        habit = f"the judge names the output shown {shown} in {100 * share:.0f} % of its verdicts, whichever that is"
    elif reversals is not None and reversals >= BLIND:
        habit = f"with the order turned, the judge names another winner in {100 * reversals:.0f} % of the comparisons"
    else:
        return []
    return [f"{habit}: its verdicts say nothing about the outputs, take another judge"]
