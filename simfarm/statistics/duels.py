"""Places head to head: who is shown to beat whom where the two met, with nothing carried over from other pairs.

The lottery takes no transitivity for granted, so neither may the places beside it. Ratings would: a model that beats
every other one by a little, and another that beats the weak ones by more, stand the other way round there.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simfarm.errors import InputError
from simfarm.statistics.bounded import mean_p_values
from simfarm.statistics.bradley_terry import Matches
from simfarm.statistics.discoveries import holm
from simfarm.statistics.estimate import Array
from simfarm.statistics.levels import levels
from simfarm.statistics.logistic import Codes
from simfarm.statistics.lottery import Cells

__all__ = ["Duels", "duels"]

_VERDICTS_AT_ONCE = 1 << 20


@dataclass(frozen=True)
class Duels:
    """`tier` (M,) and `ranks` (M × 2) as in `Tiers`; `p_values` (M × M), adjusted for all pairs, 1 where two never met.

    `circles` are the models (codes) that run in a circle in which some are shown to beat others.
    """

    tier: Codes
    ranks: Codes
    p_values: Array
    circles: tuple[tuple[int, ...], ...]


def duels(matches: Matches, *, level: float = 0.95) -> Duels:
    """Tiers and ranks of M models from their pairs' own verdicts, with family-wise error at most 1 − `level`.

    A pair's p is that of a mean of bounded verdicts (`mean_p_values`) on the instructions it met on, adjusted for all
    pairs by step-down (Holm 1979, whatever their dependence: few pairs share verdicts, and no draw is needed). Models
    in a circle, each no worse than the next by its rate, share their places, however sure its pairs are: there is no
    order among them. So every model with weight in the maximal lottery is of tier 1 and can be the first.
    Raises `InputError` as `lottery` does for fewer than two instructions.
    """
    if not 0 < level < 1:
        raise InputError(f"level {level} is not between 0 and 1; 0.95 is the usual one")
    from scipy.sparse.csgraph import connected_components

    cells = Cells.of(matches)
    n, rates = cells.n_models, cells.rates(np.ones((1, cells.n_clusters)))[0]
    _, circle = connected_components(np.where(np.isnan(rates), False, rates >= 0.5), connection="strong")
    p_values = np.ones((n, n))
    p_values[cells.first, cells.second] = p_values[cells.second, cells.first] = holm(_own_p(cells))
    worse = (p_values <= 1 - level) & (np.where(np.isnan(rates), 0.5, rates) < 0.5)
    together = circle[:, None] == circle[None, :]
    tier, ranks = levels(worse & ~together)
    turned = np.unique(circle[(worse & together).any(axis=1)])
    circles = tuple(tuple(int(m) for m in np.flatnonzero(circle == one)) for one in turned)
    return Duels(tier, ranks, p_values, circles)


def _own_p(cells: Cells) -> Array:
    """The p (pairs,) of "neither beats the other", pair by pair; 1 where the two met on fewer than two instructions."""
    p = np.empty(len(cells.first))
    step = max(1, _VERDICTS_AT_ONCE // cells.n_clusters)
    for start in range(0, len(p), step):
        part = slice(start, start + step)
        met, won = cells.met[part].toarray(), cells.won[part].toarray()
        p[part] = mean_p_values(np.where(met > 0, won, np.nan), 0.5)
    return np.where(np.isnan(p), 1.0, p)
