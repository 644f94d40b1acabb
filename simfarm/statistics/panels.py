"""How many independent judges a panel is worth: judges that err together are one judge asked twice.

n judges whose verdicts have the mean correlation r̄ vary in their mean as n/(1 + (n − 1)·r̄) independent ones would
(Kish 1965, the design effect of clusters). With people's votes at hand it is of how far they are off: judges that
are right are alike in that, and are not less worth for it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes

__all__ = ["EffectiveJudges", "effective_judges"]


@dataclass(frozen=True)
class EffectiveJudges:
    """`n` judges and the mean correlation of two of them, over all pairs that judged the same items and vary there."""

    n: int
    correlation: Estimate

    @property
    def value(self) -> float:
        """The effective number, between 1 and n; n where judges are not correlated, or against one another."""
        return self._number(self.correlation.value)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Its interval: that of the correlation, on Fisher's scale by t, turned."""
        r, error = self.correlation.value, self.correlation.standard_error
        if not abs(r) < 1:
            return self._number(r), self._number(r)
        half = float(stdtrit(self.correlation.degrees_of_freedom, 0.5 + level / 2)) * error / (1 - r * r)
        return self._number(np.tanh(np.arctanh(r) + half)), self._number(np.tanh(np.arctanh(r) - half))

    def _number(self, r: float) -> float:
        return self.n / (1 + (self.n - 1) * max(0.0, float(r))) if not np.isnan(r) else np.nan


def effective_judges(p: Array, cluster: Codes, people: Array | None = None) -> EffectiveJudges:
    """The effective number of the judges whose verdicts are `p` (judges × items, NaN none).

    With `people`, the mean of people's votes on each item (NaN none), the correlation is that of |p − people|. NaN
    where no two judges vary on items that both judged. Raises `InputError` for fewer than two judges.
    """
    if len(p) < 2:
        raise InputError("one judge is one judge; give two or more")
    x = p if people is None else np.abs(p - people)
    known = ~np.isnan(x)
    x = np.where(known, x, 0.0)
    total, n_pairs = 0.0, 0
    pull = np.zeros(x.shape[1])
    for k in range(len(x) - 1):
        both = known[k] & known[k + 1 :]
        count = np.maximum(both.sum(axis=1), 1)
        one, other = (both * y for y in (x[k], x[k + 1 :]))
        one, other = (both * (y - (y.sum(axis=1) / count)[:, None]) for y in (one, other))
        sizes = [np.sqrt((y * y).sum(axis=1) / count) for y in (one, other)]
        vary = (sizes[0] > 1e-9) & (sizes[1] > 1e-9)
        if not vary.any():
            continue
        one, other = (y[vary] / size[vary, None] for y, size in zip((one, other), sizes, strict=True))
        r = (one * other).sum(axis=1) / count[vary]
        total, n_pairs = total + float(r.sum()), n_pairs + len(r)
        # an item's influence on r, in units of the pair's own number of items
        bent = one * other - (r / 2)[:, None] * (one * one + other * other)
        pull += (bent / count[vary, None]).sum(axis=0)
    ids, at = np.unique(cluster[known.sum(axis=0) > 1], return_inverse=True)
    if not n_pairs:
        return EffectiveJudges(len(p), Estimate(np.nan, np.zeros(0), ids[:0], rate=False))
    influence = np.bincount(at, pull[known.sum(axis=0) > 1]) / n_pairs * len(ids)
    return EffectiveJudges(len(p), Estimate(total / n_pairs, influence - influence.mean(), ids, rate=False))
