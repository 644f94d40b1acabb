"""Judges beside each other: is one better than another, and how many more labels would tell them apart?

Of twelve equal judges the best looks better than some: each difference keeps its own interval, but whether it is real
is said by a p that knows of all pairs of judges. And do two judges say the same, so that the second adds nothing?
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from simfarm.agreement.trust import mean_over
from simfarm.data.identity import Codes
from simfarm.statistics.chance import cohen_kappa, cohen_kappas
from simfarm.statistics.discoveries import holm
from simfarm.statistics.estimate import Array, Estimate

__all__ = ["Alike", "Pair", "alike", "compared"]

_POWER = 0.8
_ALL = 8
"""Judges up to which every pair is compared; of more each is compared with the best alone."""


@dataclass(frozen=True)
class Pair:
    """Two judges on the same labelled comparisons: `difference` is how much more `a` agrees with people than `b`;
    `needed` comparisons would tell a difference of that size apart with a chance of 80 % (∞ for none). `p_value` is of
    "neither is better", adjusted for all pairs of judges (Holm), and the difference `real` where it is below 1 − level.
    """

    a: str
    b: str
    difference: Estimate
    n_comparisons: int
    needed: float
    p_value: float
    real: bool


@dataclass(frozen=True)
class Alike:
    """Two judges on the comparisons that both judged: Cohen's `kappa` of their verdicts, with its `limits` where there
    are few pairs of judges."""

    a: str
    b: str
    kappa: float
    limits: tuple[float, float] | None
    n_comparisons: int


def alike(names: Sequence[str], judged: Array, cluster: Codes, level: float) -> list[Alike]:
    """Every pair of judges (`names`, whose verdicts are the rows of `judged`), those that say the same most first; a
    pair that shares fewer than two comparisons, or could not disagree, is left out."""
    values = cohen_kappas(judged)
    pairs = [(i, j) for j in range(len(names)) for i in range(j) if not np.isnan(values[i, j])]
    made = []
    for i, j in sorted(pairs, key=lambda pair: -values[pair]):
        n = int((~np.isnan(judged[i] + judged[j])).sum())
        if n < 2:
            continue
        few = len(names) <= _ALL
        limits = cohen_kappa(judged[i], judged[j], cluster).interval(level) if few else None
        made.append(Alike(names[i], names[j], float(values[i, j]), limits, n))
    return made


def compared(fits: Mapping[str, Array], cluster: Codes, level: float) -> list[Pair]:
    """Every pair of judges, the better one first, of how well each verdict fits people's (`fits`, NaN for none); with
    many judges each beside the best one."""
    mean = {name: float(np.nanmean(fit)) for name, fit in fits.items() if not np.isnan(fit).all()}
    ranked = sorted(mean, key=lambda name: -mean[name])
    heads = ranked if len(ranked) <= _ALL else ranked[:1]
    pairs = [(a, b) for i, a in enumerate(heads) for b in ranked[i + 1 :]]
    met = [(a, b, gap) for a, b in pairs if (gap := mean_over(fits[a] - fits[b], cluster, (-1.0, 1.0))).n_clusters > 1]
    # the best was chosen on these data too: whom it is beside are a part of all pairs
    p = holm(np.array([gap.p_value() for *_, gap in met]), math.comb(len(ranked), 2))
    found = []
    for (a, b, gap), adjusted in zip(met, p.tolist(), strict=True):
        n = int((~np.isnan(fits[a] - fits[b])).sum())
        found.append(Pair(a, b, gap, n, _needed(gap, n, level), adjusted, adjusted < 1 - level))
    return found


def _needed(difference: Estimate, n: int, level: float) -> float:
    if abs(difference.value) < 1e-9:
        return math.inf
    quantiles = float(ndtri(0.5 + level / 2) + ndtri(_POWER))
    return math.ceil(n * (quantiles * difference.standard_error / difference.value) ** 2)
