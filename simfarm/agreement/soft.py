"""Soft preferences: does .8 mean that eight people in ten prefer it, and by which temperature would it?"""

from __future__ import annotations

import numpy as np

from simfarm.agreement.figures import Limits, Value
from simfarm.agreement.trust import People
from simfarm.errors import InputError
from simfarm.statistics.estimate import Array
from simfarm.statistics.reliability import MIN_CLUSTERS, reliability
from simfarm.statistics.temperature import temperature

__all__ = ["HARD", "judge_softness"]

HARD = 0.9
"""The share of verdicts that are 0, ½ or 1 from which a judge's preferences are no probabilities."""


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
    try:
        heat = temperature(p, y, cluster, level=level)
    except InputError:
        return made, None
    return made | {"temperature": Limits(heat.value, heat.low, heat.high, heat.n_clusters)}, None
