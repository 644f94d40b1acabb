"""What a joint fit says of its models' length slopes: how far they differ, how surely, and where they meet.

The slopes β_m ~ N(β, s_β²) are each backed by a column of verdicts, so that their likelihood about a fit is near
enough a normal one (Laplace). Along the eigenvectors of its curvature everything below costs a few sums of M numbers.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy.optimize import minimize_scalar

from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.marginal import Pass, State

__all__ = [
    "MAX_SPREAD",
    "MIN_SPREAD",
    "SPREAD_MODE",
    "between_prior",
    "likely_spread",
    "pooled_over_models",
    "uncertain_spread",
]

MIN_SPREAD, MAX_SPREAD = 0.01, 5.0
"""Bounds of s_γ and s_β: at nought the formulas divide by it, and a hundredth of a logit is nought; with five logits
nearly all models win or nearly all lose an instruction. Where one of two models wins next to nothing, the likelihood is
flat from there on, and the quadrature cannot follow it."""
SPREAD_MODE = 0.5
"""Below 20 models s_β has the density s · exp(−s² / (2 · .5²)): two or three slopes do not say how far slopes differ,
and neither nought nor the three logits that their likelihood may find is a spread to trust."""
_BETWEEN_SD, _OWN_SD = 0.7, 0.7
"""c has the stated prior N(0, .7²), and a model's own c N(c, .7²): as wide, as nothing says otherwise."""
_GRID = 400
"""Points of s_β's posterior: closer than its width with a thousand models."""


def between_prior(n_between: int) -> Array:
    """Precision (K × K) of c: the panel's is N(0, .7²), and where each model has its own it is N(that, .7²)."""
    own = _OWN_SD if n_between > 1 else 0.0
    covariance = _BETWEEN_SD**2 * np.ones((n_between, n_between)) + own**2 * np.eye(n_between)
    return np.asarray(np.linalg.inv(covariance), dtype=np.float64)


def likely_spread(current: Pass, state: State, prior: float) -> float:
    """s_β that maximises the marginal likelihood of the slopes, to second order about the present fit."""
    loglik_of = _spread_loglik(current, state, prior)
    grid = np.linspace(math.log(MIN_SPREAD), math.log(MAX_SPREAD), 60)
    best = int(np.argmax(loglik_of(np.exp(grid))))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(
        lambda s: -loglik_of(np.exp([s]))[0], bounds=ends, method="bounded", options={"xatol": 1e-8}
    )
    return math.exp(float(found.x))


def uncertain_spread(last: Pass, state: State, prior: float) -> tuple[float, float]:
    """(the root of the posterior mean of s_β², the degrees of freedom that it has as a variance).

    At its most likely value s_β is as often too small as too large, and near nought in a panel of ten where sixty
    instructions say little of a slope; an error that takes it for known is then far too small. A mixture over s_β has
    the mean of the variance over the posterior. 2 E(s_β²)² / Var(s_β²) are the degrees of the χ² that is as uncertain,
    at most the M − 1 of slopes that were known.
    """
    grid = np.linspace(MIN_SPREAD, MAX_SPREAD, _GRID)
    loglik = _spread_loglik(last, state, prior)(grid)
    weight = np.exp(loglik - loglik.max())
    mean, square = (float(weight @ grid**power / weight.sum()) for power in (2, 4))
    most = len(state.slope) - 1.0
    return math.sqrt(mean), min(most, 2 * mean**2 / max(square - mean**2, 1e-12))


def _spread_loglik(current: Pass, state: State, prior: float) -> Callable[[Array], Array]:
    """The log posterior of s_β up to a constant, as a function of some s_β (S,).

    The slopes' likelihood is that of `_slope_likelihood`. Integrating b over N(β, s²I) and β over its prior (flat: the
    restricted likelihood, which counts the degree of freedom that β costs) leaves one dimension, s.
    """
    values, ones, target = _slope_likelihood(current, state)

    def loglik_of(spread: Array) -> Array:
        shrink = 1 / (1 + spread[:, None] ** 2 * values)
        precision = shrink @ (ones**2 * values) + prior**-2
        quadratic = shrink @ target**2 * spread**2 + (shrink @ (ones * target)) ** 2 / precision
        loglik: Array = 0.5 * (quadratic + np.log(shrink).sum(axis=1) - np.log(precision))
        if prior < math.inf:
            loglik += np.log(spread) - 0.5 * (spread / SPREAD_MODE) ** 2
        return loglik

    return loglik_of


def _slope_likelihood(current: Pass, state: State) -> tuple[Array, Array, Array]:
    """The slopes' log likelihood −½ b'Sb + r'b, θ and c profiled out, along the eigenvectors V of S: the
    eigenvalues, V'1 and V'r, each (M,)."""
    n = len(state.slope)
    information = current.observed if _positive(current.observed) else current.complete
    slopes = np.arange(n, 2 * n)
    between = np.arange(2 * n, len(current.score) - 1)
    others = np.append(np.arange(n), between)
    information, score = information.copy(), current.score.copy()
    of_between = between_prior(len(between))
    information[np.ix_(between, between)] += of_between
    score[between] -= of_between @ state.between
    cross = np.linalg.solve(information[np.ix_(others, others)], information[np.ix_(others, slopes)])
    curvature = information[np.ix_(slopes, slopes)] - information[np.ix_(slopes, others)] @ cross
    linear = score[slopes] - cross.T @ score[others] + curvature @ state.slope
    values, vectors = np.linalg.eigh(curvature)
    return np.where(values > 1e-10 * values[-1], values, 0), vectors.T @ np.ones(n), vectors.T @ linear


def pooled_over_models(last: Pass, state: State) -> Estimate:
    """The pooled slope with the models as its units: weighted mean of their unshrunk slopes b, with variance
    q / (1'W1), W = (S⁻¹ + s_β² I)⁻¹ and q = (b − β)'W(b − β)/(M − 1).

    q is what Hartung & Knapp (2001, Statistics in Medicine 20) add to a random-effects mean: it makes up for s_β being
    estimated and for S, which takes soft preferences for coin flips. A model without length differences has no weight;
    where no model has any, there is no slope (NaN).
    """
    values, ones, target = _slope_likelihood(last, state)
    n = len(values)
    shrink = 1 / (1 + state.spread_slope**2 * values)
    total = float((ones**2 * values * shrink).sum())
    if total == 0:
        return Estimate(math.nan, np.full(n, math.nan), np.arange(n, dtype=np.int64), rate=False)
    value = float((ones * target * shrink).sum()) / total
    residual = np.divide(target - values * ones * value, np.sqrt(values), out=np.zeros(n), where=values > 0)
    return Estimate(value, residual * np.sqrt(shrink * n / total), np.arange(n, dtype=np.int64), rate=False)


def _positive(matrix: Array) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True
