"""Does a preference of .8 mean that eight people in ten prefer it? Predicted preferences beside what people said.

Verdicts are binned by their rank, not by equal widths: a judge's preferences crowd at the ends, where bins of one width
hold nearly everything or nothing, and bins of one mass are less biased (Roelofs et al. 2022, Mitigating bias in
calibration error estimation). The expected calibration error is over these bins, and so at most that of the judge.

Sampled, it is above zero for the best of judges: a gap's noise counts like a gap. Its value is therefore debiased, and
its interval is not a bootstrap's, which fails where |gap| has its corner, but follows from two inequalities that hold
whatever the gaps are (`_bounds`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, stdtrit

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate, mean_estimate
from simfarm.statistics.logistic import Codes
from simfarm.text.words import plural

__all__ = ["MIN_CLUSTERS", "MOST_BINS", "Bin", "Reliability", "reliability"]

MIN_CLUSTERS = 20
"""Clusters that a bin has room for, and without which there is no reliability: gaps of fewer are far from normal."""

MOST_BINS = 10
"""More tell nothing that people can see in a diagram, and every bin adds its noise to the error."""

_DRAWS = 10_000


@dataclass(frozen=True)
class Bin:
    """Verdicts of about one strength: the least and the greatest `p` among them, means of p and of what people said,
    the `interval` of the latter (clustered; all of [0, 1] for one cluster), how many verdicts and clusters."""

    low: float
    high: float
    mean_p: float
    mean_y: float
    interval: tuple[float, float]
    n: int
    n_clusters: int


@dataclass(frozen=True)
class Reliability:
    """How predicted preferences and people's compare; all figures are fractions, a cluster weighs one.

    `plain` is the expected calibration error as it is usually given, Σ mass · |mean y − mean p|; `ece` is debiased, and
    `interval` its interval. `brier` is the mean of (p − y)². `overconfidence` is how much farther the verdicts are from
    ½ than people on the side they take (negative: people are surer), `lean` how much more they prefer output_2 than
    people do.
    """

    bins: tuple[Bin, ...]
    plain: float
    ece: float
    interval: tuple[float, float]
    brier: Estimate
    overconfidence: Estimate
    lean: Estimate
    n: int
    level: float = 0.95

    @property
    def n_clusters(self) -> int:
        """How many independent units stand behind it."""
        return self.lean.n_clusters

    @property
    def findings(self) -> tuple[str, ...]:
        """What is wrong with the verdicts beyond chance: over-confident, under-confident, leans to output_1, leans to
        output_2, or only miscalibrated. A calibrated judge is accused of anything with probability 1 − `level` at
        most: the error has half of that, the two directions a quarter each."""
        found = []
        level = 1 - (1 - self.level) / 4
        for estimate, above, below in (
            (self.overconfidence, "over-confident", "under-confident"),
            (self.lean, "leans to output_2", "leans to output_1"),
        ):
            low, high = estimate.interval(level)
            if low > 0 or high < 0:
                found.append(above if low > 0 else below)
        return tuple(found or (["miscalibrated"] if self.interval[0] > 0 else []))

    def __str__(self) -> str:
        low, high = self.interval
        said = ", ".join(self.findings) or "no miscalibration found"
        return (
            f"ECE {self.ece:.3f} ({low:.3f} to {high:.3f}; plain {self.plain:.3f}) in "
            f"{plural(len(self.bins), 'bin')}, {plural(self.n_clusters, 'instruction')}: {said}"
        )


def reliability(p: Array, y: Array, clusters: Codes, *, n_bins: int = MOST_BINS, level: float = 0.95) -> Reliability:
    """The reliability of predicted preferences `p` beside what people said, `y`; both in [0, 1], shape n.

    `y` is the share of people who prefer output_2 (a tie counts a half), or one person's 0, ½ or 1. Rows where one of
    the two is NaN are left out. A cluster with k rows gives each the weight 1/k. There are at most `n_bins` bins, and
    fewer where a bin would have less than `MIN_CLUSTERS` clusters' weight; equal verdicts are never parted. Raises
    `InputError` for values outside [0, 1], no clusters' worth, or fewer than `MIN_CLUSTERS` clusters.
    """
    known = _known(p, y, clusters)
    p, y = p[known], y[known]
    ids, cluster = np.unique(clusters[known], return_inverse=True)
    n = len(ids)
    if n < MIN_CLUSTERS:
        raise InputError(
            f"{plural(n, 'instruction has', 'instructions have')} both a verdict and a label; reliability needs at "
            f"least {MIN_CLUSTERS}: label more"
        )
    weight = 1 / np.bincount(cluster)[cluster] / n
    place = _bins(p, weight, min(n_bins, MOST_BINS, max(1, n // MIN_CLUSTERS)))
    bins = tuple(_bin(p, y, weight, cluster, place == b) for b in range(place.max() + 1))
    pulls = np.zeros((n, len(bins)))
    np.add.at(pulls, (cluster, place), n * weight * (y - p))
    gaps = pulls.mean(axis=0)
    covariance = np.cov(pulls, rowvar=False).reshape(len(bins), len(bins)) / n
    # what a bin has not seen is possible all the same: one further cluster, at the far end
    covariance += np.diag([max(b.mean_y, 1 - b.mean_y) ** 2 for b in bins]) / n**2
    plain = float(np.abs(gaps).sum())
    noise = np.sqrt(np.diag(covariance))
    bias = float((_folded(gaps, noise) - np.abs(gaps)).sum())
    away = np.sign(p - 0.5)
    return Reliability(
        bins=bins,
        plain=plain,
        ece=max(0.0, plain - bias),
        interval=_bounds(plain, covariance, n, level),
        brier=mean_estimate((p - y) ** 2, cluster),
        overconfidence=_difference(away * (p - y), cluster, float(weight @ np.maximum(p, 1 - p))),
        lean=_difference(p - y, cluster, float(max(weight @ p, 1 - weight @ p))),
        n=len(p),
        level=level,
    )


def _known(p: Array, y: Array, clusters: Codes) -> NDArray[np.bool_]:
    for name, values in (("verdict", p), ("label", y)):
        if len(values) != len(clusters):
            raise InputError(f"there are {len(values)} {name}s for {len(clusters)} comparisons; give one each, or NaN")
        if np.nanmin(values, initial=0.0) < 0 or np.nanmax(values, initial=0.0) > 1:
            raise InputError(f"a {name} is outside [0, 1]; recode 1 / 1.5 / 2 to 0 / 0.5 / 1")
    return ~np.isnan(p) & ~np.isnan(y)


def _difference(values: Array, cluster: Codes, reach: float) -> Estimate:
    """The clusters' mean, with room for one further cluster at the far end (`reach`): of verdicts near 0 or 1 a few
    dozen people often all agree, and their variance is then none."""
    mean = mean_estimate(values, cluster, None)
    unseen = np.array([reach / mean.n_clusters])
    return Estimate(mean.value, mean.influence, mean.clusters, rate=False, shared=unseen)


def _bins(p: Array, weight: Array, n_bins: int) -> Codes:
    """The bin of each verdict, from 0 without gaps: by the middle of the ranks of its value, so that equal ones stay
    together and a crowded value has a bin of its own."""
    _, value = np.unique(p, return_inverse=True)
    mass = np.bincount(value, weight)
    middle = np.cumsum(mass) - mass / 2
    return np.unique(np.floor(n_bins * middle / mass.sum()), return_inverse=True)[1][value]


def _bin(p: Array, y: Array, weight: Array, cluster: Codes, inside: NDArray[np.bool_]) -> Bin:
    p, y, weight = p[inside], y[inside], weight[inside]
    ids, at = np.unique(cluster[inside], return_inverse=True)
    mean_y = float(weight @ y / weight.sum())
    pull = np.bincount(at, weight * (y - mean_y)) * len(ids) / weight.sum()
    return Bin(
        low=float(p.min()),
        high=float(p.max()),
        mean_p=float(weight @ p / weight.sum()),
        mean_y=mean_y,
        interval=Estimate(mean_y, pull, ids).interval() if len(ids) > 1 else (0.0, 1.0),
        n=len(p),
        n_clusters=len(ids),
    )


def _folded(mean: Array, sd: Array) -> Array:
    """E|X| of normal X. What it is beyond |mean| is the bias of |gap|, by which Kumar, Liang and Ma (2019, Verified
    uncertainty calibration) correct; the gap being an estimate itself, two fifths of it go where all gaps are zero,
    and nearly all where they are as large as their noise."""
    z = mean / sd
    folded: Array = mean * (2 * ndtr(z) - 1) + 2 * sd * np.exp(-z * z / 2) / np.sqrt(2 * np.pi)
    return folded


def _bounds(plain: float, covariance: Array, n: int, level: float) -> tuple[float, float]:
    """The interval of Σ|d_b| from its sample D = Σ|d̂_b|, for any gaps d: each end is passed with (1 − level)/2.

    D ≥ Σ s_b·d̂_b with s the signs of d, a normal variable about Σ|d_b|: so Σ|d_b| ≤ D + t·sd(s·d̂), for the worst s.
    D ≤ Σ|d_b| + Σ|d̂_b − d_b|, so Σ|d_b| ≥ D − the quantile of the last sum, which is that of pure noise.
    """
    bins = len(covariance)
    signs = np.array(np.meshgrid(*[[-1.0, 1.0]] * bins)).reshape(bins, -1)
    widest = float(np.sqrt(np.einsum("bs,bc,cs->s", signs, covariance, signs).max()))
    high = plain + float(stdtrit(n - 1, 0.5 + level / 2)) * widest
    rng = np.random.default_rng(0)
    values, axes = np.linalg.eigh(covariance)
    drawn = rng.standard_normal((_DRAWS, bins)) * np.sqrt(np.maximum(values, 0)) @ axes.T
    noise = np.abs(drawn).sum(axis=1) / np.sqrt(rng.chisquare(n - 1, _DRAWS) / (n - 1))
    return max(0.0, plain - float(np.quantile(noise, 0.5 + level / 2))), min(1.0, high)
