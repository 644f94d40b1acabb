"""Does one set of instructions rank models as the rest does? Only beside what any set of its size would do.

AlpacaFarm's second claim is that its instructions rank methods as real use does, shown by a rank correlation. A small
set ranks models imperfectly for its size alone; so the correlation is set beside the band of sets of the same size
drawn at random from the same instructions: within it there is no news.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array
from simfarm.text.words import plural

__all__ = ["SetAgreement", "set_agreement"]

_AT_ONCE = 1 << 24
"""Most numbers in the matrix of random sets."""


@dataclass(frozen=True)
class SetAgreement:
    """Spearman's correlation of models' rates on the set and on the rest (`value`), the band (`low` to `high`) and the
    `middle` of random sets, the two-sided p of being one of them, and the sizes in clusters."""

    value: float
    low: float
    middle: float
    high: float
    p: float
    n_in: int
    n_out: int

    @property
    def news(self) -> bool:
        """Whether the set ranks models otherwise than a random one of its size would."""
        return not self.low <= self.value <= self.high


def set_agreement(
    p: Array, chosen: NDArray[np.bool_], *, level: float = 0.95, draws: int = 2000, seed: int = 0
) -> SetAgreement:
    """How the rates of models (`p`, models × clusters, NaN where there is none) on the `chosen` clusters rank them,
    beside the rest. Raises `InputError` for fewer than three models, or a model without verdicts on either side."""
    if len(p) < 3:
        raise InputError(f"{plural(len(p), 'model')}; a rank correlation takes three or more")
    known = ~np.isnan(p)
    x = np.where(known, p, 0.0)
    size, n = int(chosen.sum()), p.shape[1]
    rates = _rates(x, known, chosen[None].astype(np.float64))
    if np.isnan(rates).any():
        raise InputError("a model has verdicts on one side of the set only; leave it out or choose a larger set")
    value = float(_correlations(*rates)[0])
    rng = np.random.default_rng(seed)
    found: list[Array] = []
    step = max(1, min(draws, _AT_ONCE // n))
    for start in range(0, draws, step):
        some = min(step, draws - start)
        picked = np.zeros((some, n))
        np.put_along_axis(picked, np.argsort(rng.random((some, n)), axis=1)[:, :size], 1.0, axis=1)
        found.append(_correlations(*_rates(x, known, picked)))
    random = np.concatenate(found)
    random = random[~np.isnan(random)]
    if not len(random):
        raise InputError("every model has the same rate; there is no ranking to compare")
    low, middle, high = np.quantile(random, [(1 - level) / 2, 0.5, (1 + level) / 2])
    below, above = (random <= value).sum(), (random >= value).sum()
    chance = min(1.0, 2 * (1 + min(below, above)) / (1 + len(random)))
    return SetAgreement(value, float(low), float(middle), float(high), float(chance), size, n - size)


def _rates(x: Array, known: NDArray[np.bool_], picked: Array) -> Array:
    """Rates of the models in each of D sets (D × clusters of 0 and 1) and out of it, 2 × D × models."""
    count, total = picked @ known.T.astype(np.float64), picked @ x.T
    counts = np.stack([count, known.sum(axis=1) - count])
    totals = np.stack([total, x.sum(axis=1) - total])
    rates: Array = np.divide(totals, counts, out=np.full(counts.shape, np.nan), where=counts > 0)
    return rates


def _correlations(one: Array, other: Array) -> Array:
    """Spearman's correlation of the rows of two D × M."""
    ranks = [rankdata(x, axis=1) for x in (one, other)]
    a, b = (r - r.mean(axis=1, keepdims=True) for r in ranks)
    size = np.sqrt((a * a).sum(axis=1) * (b * b).sum(axis=1))
    found: Array = np.divide((a * b).sum(axis=1), size, out=np.full(len(a), np.nan), where=size > 0)
    return found
