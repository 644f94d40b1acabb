"""Logistic regression under a normal prior: weights that are finite and sane from a handful of verdicts.

A dozen features and eight verdicts have no maximum likelihood; with a prior the weights are what the verdicts add to
what was believed before. There is no intercept: features are differences of two outputs, and swapping the outputs must
turn the verdict round.
"""

from __future__ import annotations

import numpy as np
from scipy.special import expit

from simfarm.errors import SimfarmError
from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["each_apart", "evidence", "ridge_logistic"]

_MOST_STEPS = 100
_FLAT = 1e-10
_COMMON = 1.0
"""Precision of the weights that all groups share: N(0, 1²) each."""
_SPREADS = (0.125, 0.25, 0.5, 1.0, 2.0)
"""Logits by which groups may differ: from not that anyone would notice to one's love being another's dislike."""


def ridge_logistic(x: Array, p: Array, precision: float, center: Array | None = None) -> Array:
    """The most likely weights (K) of logit P = x·β, given β ~ N(`center`, 1/`precision`) in every place (center 0).

    `x` (n × K) are differences, `p` (n) verdicts in [0, 1], a soft one counts as the share of verdicts it is. By
    Newton's method: the likelihood is concave and the prior makes it strictly so. Raises `SimfarmError` where it does
    not settle.
    """
    prior = np.zeros(x.shape[1]) if center is None else center
    weights = prior.copy()
    for _ in range(_MOST_STEPS):
        said = expit(x @ weights)
        slope = x.T @ (p - said) - precision * (weights - prior)
        curve = x.T @ (x * (said * (1 - said))[:, None]) + precision * np.eye(len(weights))
        step = np.linalg.solve(curve, slope)
        # a whole step may go too far where all verdicts are foreseen
        weights = weights + step / max(1.0, float(np.abs(step).max(initial=0)))
        if np.abs(step).max(initial=0) < _FLAT:
            return weights
    raise SimfarmError("the weights of a logistic model did not settle; are its features of a size near one?")


def evidence(x: Array, p: Array, precision: float, center: Array, weights: Array) -> float:
    """The log likelihood of the verdicts under the prior alone, the weights integrated out by Laplace's method around
    the most likely ones, up to a term that is the same for every precision."""
    logits = x @ weights
    said = expit(logits)
    curve = x.T @ (x * (said * (1 - said))[:, None]) + precision * np.eye(len(weights))
    fitted = float(p @ logits - np.logaddexp(0, logits).sum())
    held = precision * float((weights - center) @ (weights - center))
    return (
        fitted - 0.5 * held + 0.5 * len(weights) * float(np.log(precision)) - 0.5 * float(np.linalg.slogdet(curve)[1])
    )


def each_apart(x: Array, p: Array, group: Codes) -> Array:
    """(groups, K) weights of each group's own (`group` has codes from 0), drawn to what all groups share.

    How far groups lie apart is read from the verdicts themselves: the weights are averaged over spreads about the
    shared ones, each spread as it is likely (empirical Bayes). So groups that are alike come out alike, however few
    verdicts they have, and opposite ones apart.
    """
    shared = ridge_logistic(x, p, _COMMON)
    rows = [group == code for code in range(int(group.max()) + 1)]
    found = [[ridge_logistic(x[own], p[own], spread**-2, shared) for own in rows] for spread in _SPREADS]
    likely = np.array(
        [
            sum(evidence(x[own], p[own], spread**-2, shared, one) for own, one in zip(rows, each, strict=True))
            for spread, each in zip(_SPREADS, found, strict=True)
        ]
    )
    share = np.exp(likely - likely.max())
    made: Array = np.tensordot(share / share.sum(), np.array(found), axes=1)
    return made
