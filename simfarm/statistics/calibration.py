"""A few human labels and many judge verdicts: the win rate people would give, with an interval that is theirs.

The judge alone is biased and its interval never holds the human rate; the labels alone are few. Prediction-powered
inference (PPI++; Angelopoulos, Duchi and Zrnic 2023) starts from the labels' mean and takes away the part of its
sampling noise that the judge can see: right whatever the judge is worth, and the narrower the better it is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit, ndtri, stdtr, stdtrit

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate, mean_estimate
from simfarm.text.words import plural

__all__ = ["ALARM", "MIN_LABELS", "Calibrated", "calibrate", "interval_with_ends", "sampling_checks"]

MIN_LABELS = 30
"""Below this λ and the labels' own variance are too unsure for a t interval to hold its level."""

ALARM = 0.01
"""Adjusted p-value at which the labels are said not to look like a random sample; one honest sample in 100 is."""


@dataclass(frozen=True)
class Calibrated:
    """The human-calibrated win rate of one model under one judge.

    `estimate` has an influence for every cluster, `human` is the labels' mean alone. `weight` is λ, `rho` the
    correlation of labels and verdicts over labelled clusters, `predicted_width_ratio` = √(1 − ρ²N/(n+N)),
    `width_ratio` what was reached (standard errors), `worth` the number of further labels that would narrow the
    labels' own interval as much. `sampling` has the adjusted p-value of each check that the labels are a random sample.
    `ends` is how far out a label can lie once λ times its verdict is taken off: where the two contradict each other.
    """

    estimate: Estimate
    human: Estimate
    judge_hash: str
    n_labelled: int
    n_unlabelled: int
    left_out: int
    weight: float
    rho: float
    predicted_width_ratio: float
    width_ratio: float
    worth: int
    sampling: dict[str, float]
    ends: tuple[float, float] = (0.0, 1.0)

    def __str__(self) -> str:
        worth = (
            f"your judge is worth {plural(self.worth, 'more label')}" if self.worth else "your judge is worth no label"
        )
        return (
            f"{plural(self.n_labelled, 'label')}, {plural(self.n_unlabelled, 'verdict')} without: ρ = {self.rho:.2f}, "
            f"predicted width {self.predicted_width_ratio:.2f} of the labels' own "
            f"(reached {self.width_ratio:.2f}); {worth}"
        )

    @property
    def warnings(self) -> list[str]:
        """What speaks against the one assumption: that the labelled comparisons are a random sample of all."""
        return [
            f"the labels do not look like a random sample of the comparisons ({name}, p = {p:.1g}); "
            "if they are not one, the calibrated win rate is biased: label comparisons drawn at random"
            for name, p in self.sampling.items()
            if p < ALARM
        ]

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Two-sided interval that also allows for what so few labels cannot have seen: half a label at either far end.

        Few labels of a rate near 0 or 1 are mostly alike, and their spread says nothing of the rare other one: where
        the rate is .026, `estimate.interval()` covers .55 at 30 labels and .80 at 60 (recorded soft verdicts). The
        limit towards each end is that of the labels with half a label there (`ends`); t with the labels' n − 1.
        """
        return interval_with_ends(self.estimate, self.n_labelled, level, self.ends)

    def require_judge(self, judge_hash: str) -> None:
        """Raises `InputError` where `judge_hash` is not the judge these labels were compared with."""
        if judge_hash != self.judge_hash:
            raise InputError(
                f"this calibration belongs to judge {self.judge_hash}, the annotations to judge {judge_hash}; "
                "a correction learnt for one judge is none for another: calibrate anew with the same labels"
            )

    def __sub__(self, other: Calibrated) -> Estimate:
        """The paired difference of two models under one judge; `InputError` across judges."""
        self.require_judge(other.judge_hash)
        return self.estimate - other.estimate


def calibrate(
    verdicts: Array,
    labels: Array,
    clusters: NDArray[np.int64],
    judge_hashes: Sequence[str],
    features: Mapping[str, Array] | None = None,
) -> Calibrated:
    """PPI++ for the mean human preference over all n comparisons, clustered, λ cross-fitted.

    `verdicts`, `labels` and `clusters` have one value for each comparison, in file order: p in [0, 1] seen from the
    model, NaN without a verdict or label (several people on one comparison: their mean). A cluster with a label is
    labelled: its comparisons without one are left out, and so are labels without a verdict, counted in `left_out`.

    λ for each labelled cluster is fitted on all the others (leave-one-out), so it never sees the label it weighs and
    the estimate is unbiased at any n; it is at least 0, a judge that contradicts people counts for nothing. Where no
    label differs from what the verdict predicts, Wilson's bound on the disagreement that n labels cannot rule out is
    added, as a `shared` term: the labels have never seen the judge err, which is not to say that it does not.

    `features` (such as length differences, n values each) are compared between labelled and unlabelled clusters too.
    Raises `InputError` for several judge hashes, values outside [0, 1], fewer than 30 labelled clusters, or no
    verdicts at all.
    """
    judge_hash = _one_judge(judge_hashes)
    for name, values in (("verdict", verdicts), ("label", labels)):
        if len(values) != len(clusters):
            raise InputError(f"there are {len(values)} {name}s for {len(clusters)} comparisons; give one each, or NaN")
        if np.isinf(values).any() or np.nanmin(values, initial=0.0) < 0 or np.nanmax(values, initial=0.0) > 1:
            raise InputError(f"a {name} is outside [0, 1]; recode 1 / 1.5 / 2 to 0 / 0.5 / 1")
    labelled = ~np.isnan(labels)
    used = labelled & ~np.isnan(verdicts)
    human = mean_estimate(labels[used], clusters[used])
    n = human.n_clusters
    if n < MIN_LABELS:
        raise InputError(
            f"{plural(n, 'labelled instruction has', 'labelled instructions have')} a verdict; calibration needs at "
            f"least {MIN_LABELS}: label more, at random"
        )
    judged = mean_estimate(verdicts[used], clusters[used])
    y, f = human.influence + human.value, judged.influence + judged.value
    rest = ~np.isin(clusters, clusters[labelled])
    pool = mean_estimate(verdicts[rest], clusters[rest])
    rho = _correlation(y, f)
    share = pool.n_clusters / (n + pool.n_clusters)
    estimate, weight = _powered(human, y, f, pool, share)
    ratio = estimate.standard_error / human.standard_error if human.standard_error > 0 else 1.0
    return Calibrated(
        estimate=estimate,
        human=human,
        judge_hash=judge_hash,
        n_labelled=n,
        n_unlabelled=pool.n_clusters,
        left_out=int((labelled & ~used).sum()),
        weight=weight,
        rho=rho,
        predicted_width_ratio=math.sqrt(1 - max(rho, 0.0) ** 2 * share),
        width_ratio=ratio,
        worth=max(0, round(n * (1 / ratio**2 - 1))),
        sampling=sampling_checks(verdicts, labels, clusters, features or {}),
        ends=(-weight * (1 - pool.value), 1 + weight * pool.value) if weight else (0.0, 1.0),
    )


def _powered(human: Estimate, y: Array, f: Array, pool: Estimate, share: float) -> tuple[Estimate, float]:
    """The estimate and the mean λ. θ = mean of y − λ(f − mean f of the pool), each λ from the other labels."""
    if pool.n_clusters < 2:
        return human, 0.0
    n, n_all = len(y), len(y) + pool.n_clusters
    weight = _leave_one_out_slopes(y, f) * share
    mean_weight = float(weight.mean())
    if not weight.any():
        return human, 0.0
    rectified = y - weight * (f - pool.value)
    value = float(rectified.mean())
    # Each part is scaled to keep its own n − 1 when `Estimate` divides by all clusters.
    influence = np.concatenate(
        [
            (rectified - value) * math.sqrt(n_all * (n_all - 1) / (n * (n - 1))),
            mean_weight * pool.influence * math.sqrt(n_all * (n_all - 1) / (pool.n_clusters * (pool.n_clusters - 1))),
        ]
    )
    residual = y - mean_weight / share * f
    z = float(ndtri(0.975))
    shared = np.array([z / (n + z * z)]) if np.ptp(residual) < 1e-9 else np.zeros(0)
    clusters = np.concatenate([human.clusters, pool.clusters])
    order = np.argsort(clusters)
    estimate = Estimate(value, influence[order], clusters[order], rate=0 < value < 1, shared=shared)
    return estimate, mean_weight


def _leave_one_out_slopes(y: Array, f: Array) -> Array:
    """Slope of y on f without label i, for every i, at least 0; 0 where f does not vary."""
    n = len(y)
    dy, df = y - y.mean(), f - f.mean()
    shrink = n / (n - 1)
    covariance = dy @ df - shrink * dy * df
    variance = df @ df - shrink * df * df
    varies = variance > 1e-12 * n
    slopes: Array = np.divide(covariance, variance, out=np.zeros(n), where=varies)
    return np.where(slopes > 0, slopes, 0.0)


def _correlation(y: Array, f: Array) -> float:
    dy, df = y - y.mean(), f - f.mean()
    scale = math.sqrt(float(dy @ dy) * float(df @ df))
    return float(dy @ df) / scale if scale > 0 else 0.0


def interval_with_ends(
    estimate: Estimate, n: int, level: float = 0.95, ends: tuple[float, float] = (0.0, 1.0)
) -> tuple[float, float]:
    """The interval of a rate that n clusters vouch for, each limit with half a value more at its end."""
    quantile = float(stdtrit(n - 1, 0.5 + level / 2))
    value = min(max(estimate.value, 0.0), 1.0)
    limits = []
    for end, sign in zip(ends, (-1.0, 1.0), strict=True):
        centre = (n * value + end / 2) / (n + 0.5)
        if not 0 < centre < 1:
            limits.append(float(centre >= 1))
            continue
        error = math.hypot(n * estimate.standard_error, (end - value) / math.sqrt(2)) / (n + 0.5)
        limits.append(float(expit(logit(centre) + sign * quantile * error / (centre * (1 - centre)))))
    return limits[0], limits[1]


def sampling_checks(
    verdicts: Array, labels: Array, clusters: NDArray[np.int64], features: Mapping[str, Array]
) -> dict[str, float]:
    """p-values that the labelled clusters are a random sample of all, adjusted (Bonferroni) for their number.

    Compared: the judge's mean verdict and each feature in labelled and other clusters (t, the smaller group's n − 1),
    where in the file the labels lie (rank sum), and whether they come in blocks (Wald and Wolfowitz's runs). What no
    file shows, such as people who skipped what they found hard, no test finds. Empty where all are labelled, or none.
    """
    ids, first, position = np.unique(clusters, return_index=True, return_inverse=True)
    chosen = np.bincount(position, ~np.isnan(labels)) > 0
    n, m = int(chosen.sum()), int((~chosen).sum())
    if not n or not m:
        return {}
    in_file = chosen[np.argsort(first, kind="stable")]
    p_values: dict[str, float] = {}
    compared = {"the judge's verdicts differ": verdicts} | {f"{name} differs": v for name, v in features.items()}
    for name, values in compared.items():
        if len(values) != len(clusters):
            raise InputError(f"{len(values)} values say how {name}, of {len(clusters)} comparisons; give one for each")
        mean = mean_estimate(values, clusters, None)
        there = chosen[np.searchsorted(ids, mean.clusters)]
        a, b = mean.influence[there], mean.influence[~there]
        if len(a) > 1 and len(b) > 1:
            error = math.sqrt(a.var(ddof=1) / len(a) + b.var(ddof=1) / len(b))
            t = (float(a.mean()) - float(b.mean())) / error if error > 0 else 0.0
            p_values[name] = _two_sided(t, min(len(a), len(b)) - 1)
    ranks = float((np.flatnonzero(in_file) + 1).sum())
    p_values["their places in the file"] = _two_sided(
        (ranks - n * (n + m + 1) / 2) / math.sqrt(n * m * (n + m + 1) / 12)
    )
    runs = 1 + int((in_file[1:] != in_file[:-1]).sum())
    expected = 1 + 2 * n * m / (n + m)
    variance = (expected - 1) * (expected - 2) / (n + m - 1)
    if variance > 0:
        p_values["they come in blocks"] = _two_sided((runs - expected) / math.sqrt(variance))
    return {name: min(1.0, p * len(p_values)) for name, p in p_values.items()}


def _two_sided(t: float, df: float = math.inf) -> float:
    return float(2 * stdtr(df, -abs(t)))


def _one_judge(judge_hashes: Sequence[str]) -> str:
    hashes = sorted(set(judge_hashes))
    if not hashes:
        raise InputError("there are no verdicts to calibrate; annotate the comparisons first")
    if len(hashes) > 1:
        raise InputError(
            f"the verdicts mix {len(hashes)} judges ({', '.join(hashes[:3])}); a calibration belongs to one judge hash"
        )
    return hashes[0]
