"""The weights of cheap signals by which people's votes can be told, each with the sign that its meaning suggests."""

from __future__ import annotations

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["signal_weights"]


def signal_weights(x: Array, people: Array, cluster: Codes, signs: Array | None = None) -> Array:
    """Weights (K) of logit P(output_2) = x·β under a standard normal prior on each, every instruction counting once.

    `x` (n × K) are differences of the two outputs' signals in units of about one, `people` (n) the mean vote of each
    item (NaN none). `signs` (±1 each) hold a weight to its side of nought, where labels that are few would say by luck
    that people like repetition; None leaves it free. There is no intercept: it would be position bias.
    """
    known = ~np.isnan(people)
    z, y = x[known], people[known]
    _, code, size = np.unique(cluster[known], return_inverse=True, return_counts=True)
    v = 1 / size[code]

    def loss(beta: Array) -> tuple[float, Array]:
        score = z @ beta
        value = float(v @ (np.logaddexp(0, score) - y * score) + beta @ beta / 2)
        return value, z.T @ (v * (expit(score) - y)) + beta

    bounds = None if signs is None else [(0, None) if sign > 0 else (None, 0) for sign in signs]
    found = minimize(loss, np.zeros(x.shape[1]), jac=True, bounds=bounds, method="L-BFGS-B")
    return np.asarray(found.x, dtype=np.float64)
