"""Two ways of asking one judge: where they part, do they name opposite sides, or does one of them tie?

Told apart because they mean different things. A scale of five has ties that a choice of two has not: that is the
question's doing. A strict reversal is the judge's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simfarm.statistics.agreement import sides
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes
from simfarm.statistics.ratios import ratio_estimate

__all__ = ["Disagreement", "disagreement"]


@dataclass(frozen=True)
class Disagreement:
    """Shares of the items that both judged: another verdict (`any`), a tie against a side (`ties`), the opposite side
    (`reversals`); the first is the sum of the others."""

    any: Estimate
    ties: Estimate
    reversals: Estimate
    n_items: int


def disagreement(one: Array, other: Array, cluster: Codes) -> Disagreement:
    """How two sets of verdicts (p of each item, NaN none) part, clustered; over the items that have both."""
    both = ~np.isnan(one) & ~np.isnan(other)
    a, b = sides(one), sides(other)

    def share(where: Array) -> Estimate:
        return ratio_estimate(np.where(both, where, np.nan), np.ones(len(one)), cluster)

    return Disagreement(
        share(a != b), share((a != b) & ((a == 1) | (b == 1))), share(np.abs(a - b) == 2), int(both.sum())
    )
