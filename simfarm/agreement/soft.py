"""Soft preferences: does .8 mean that eight people in ten prefer it, and by which temperature would it?"""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logit, stdtrit

from simfarm.agreement.figures import Limits, Value
from simfarm.agreement.trust import People
from simfarm.data.identity import Codes
from simfarm.statistics.estimate import Array
from simfarm.statistics.reliability import MIN_CLUSTERS, reliability

__all__ = ["HARD", "judge_softness"]

HARD = 0.9
"""The share of verdicts that are 0, ½ or 1 from which a judge's preferences are no probabilities."""
_STEEPEST = 50.0


def judge_softness(judged: Array, single: Array, people: People, level: float) -> tuple[dict[str, Value], str | None]:
    """(calibration error, Brier score and temperature of one judge's p; why there are none). `single` are the p of its
    calls: a mean of sides is no probability."""
    both = ~np.isnan(judged) & ~np.isnan(people.mean)
    p, y, cluster = judged[both], people.mean[both], people.cluster[both]
    if len(np.unique(cluster)) < MIN_CLUSTERS:
        return {}, f"needs {MIN_CLUSTERS} instructions with a verdict and a label"
    if np.isin(single[~np.isnan(single)], (0.0, 0.5, 1.0)).mean() > HARD:
        return {}, "its verdicts are sides, not probabilities"
    found = reliability(p, y, cluster, level=level)
    made: dict[str, Value] = {
        "calibration_error": Limits(found.ece, *found.interval, found.n_clusters),
        "brier": found.brier,
    }
    fitted = temperature(p, y, cluster, level)
    if fitted is not None:
        made["temperature"] = fitted
    return made, None


def temperature(p: Array, y: Array, cluster: Codes, level: float) -> Limits | None:
    """The T for which σ(logit(p)/T) has the highest likelihood under `y`; above 1 the judge is surer than people are.

    The slope 1/T solves Σ x(y − σ(x/T)) = 0 with x = logit p (p held off 0 and 1 by 10⁻⁶); its limits are by the
    cluster sandwich and t, those of T their inverses, ∞ where the slope may be 0. None where no slope above 0 fits.
    """
    x = logit(np.clip(p, 1e-6, 1 - 1e-6))

    def gap(slope: float) -> float:
        return float(x @ (y - expit(slope * x)))

    if gap(0.0) <= 0 or gap(_STEEPEST) >= 0:
        return None
    slope = float(brentq(gap, 0.0, _STEEPEST))
    fitted = expit(slope * x)
    _, place = np.unique(cluster, return_inverse=True)
    pulls = np.bincount(place, x * (y - fitted))
    n = len(pulls)
    error = float(np.sqrt(pulls @ pulls * n / (n - 1))) / float((x * x * fitted * (1 - fitted)).sum())
    half = float(stdtrit(n - 1, 0.5 + level / 2)) * error
    low, high = slope - half, slope + half
    return Limits(1 / slope, 1 / high, 1 / low if low > 0 else float("inf"), n)
