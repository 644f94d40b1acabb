"""Length-controlled win rate by one logistic model over all models at once (`joint`), on any instructions.

    logit P(model m preferred on instruction i) = θ_m + γ_i + β_m · x_mi,   γ_i ~ N(0, s_γ²),   β_m ~ N(β, s_β²)

with x_mi = tanh(Δlength / sd of that model's Δlength), which is 0 at equal length. What is reported is the mean over
instructions of σ(θ_m + γ_i): the win rate had both answers been of one length. Soft preferences enter as
quasi-binomial responses.

Why one joint model: a length slope fitted to one weak model alone is nearly unidentified (it wins only where it happens
to be long) and runs away; the slope that the panel shares holds it. Both variances are found by marginal likelihood.
γ is integrated out by adaptive Gauss-Hermite quadrature, because plugging in its mode, the usual shortcut, pulls every
win rate away from one half; the slopes, each backed by a whole column of verdicts, by Laplace's approximation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.marginal import Panel, Pass, State, length_feature, look, pulled, rates

__all__ = ["JointFit", "fit_joint", "length_feature"]

SMALL_PANEL = 20
SMALL_PANEL_PRIOR_SD = 2.0
"""Below 20 models the pooled slope has the stated prior N(0, 2²)."""

_MAX_STEPS = 200
_TOLERANCE = 1e-7
_MIN_SPREAD = 1e-3
"""Numerical floor of s_γ and s_β: at nought the formulas divide by it, and a thousandth of a logit is nought."""


@dataclass(frozen=True)
class JointFit:
    """A fitted panel of M models on G clusters.

    `estimates[m]` is the length-controlled win rate as a fraction; `slopes` (M,) are β_m; `pooled` is the panel's β;
    `spread_slope` is s_β, `spread_instruction` s_γ (0 where γ was dropped). From 20 models on, the pooled slope's units
    are the models (t with M−1 degrees of freedom): its 95 % interval covers .93 to .96, with soft verdicts .89 to .95.
    Below, they are the instructions, and it covers .87 to .95. `thin_side` is the smaller of the shares of length
    differences above and below nought.
    """

    estimates: list[Estimate]
    slopes: Array
    pooled: Estimate
    spread_slope: float
    spread_instruction: float
    thin_side: float


def fit_joint(p: Array, delta: Array) -> JointFit:
    """Fit the panel: `p` (G × M) is how strongly each model is preferred in each cluster, NaN where it was not judged;
    `delta` (G × M) is the model's length minus the baseline's, in characters.

    Every model needs a verdict and a p that is not all 0 or all 1: such a model has no finite effect and its win rate
    needs no length control.
    """
    n_models, panel = p.shape[1], Panel.of(p, delta)
    with_gamma = n_models > 1
    # With no length difference anywhere a flat prior would leave the pooled slope without any value.
    prior = SMALL_PANEL_PRIOR_SD if n_models < SMALL_PANEL or not panel.x.any() else math.inf
    state, last = _fit(panel, with_gamma, prior)
    estimates, pooled = _influences(panel, last, state, prior)
    if prior == math.inf:
        pooled = _pooled_over_models(last, state)
    known = int(panel.weight.sum())
    above, below = (int((~np.isnan(p) & side).sum()) / known for side in (delta > 0, delta < 0))
    return JointFit(
        estimates=estimates,
        slopes=state.slope,
        pooled=pooled,
        spread_slope=state.spread_slope if n_models > 1 else 0.0,
        spread_instruction=state.spread_instruction if with_gamma else 0.0,
        thin_side=min(above, below),
    )


def _fit(panel: Panel, with_gamma: bool, prior: float) -> tuple[State, Pass]:
    """Newton on θ, β_m and log s_γ; after each step the slopes' own distribution is set by its marginal likelihood."""
    n_models = panel.n_models
    rate = np.clip(panel.by_model(panel.y) / panel.by_model(panel.weight), 1e-6, 1 - 1e-6)
    state = State(np.log(rate / (1 - rate)), np.zeros(n_models), 0.0, 1.0 if with_gamma else 0.0, 1.0)
    current = look(panel, state)
    for _ in range(_MAX_STEPS):
        state = _set_slope_prior(current, state, prior)
        penalty, pull = _slope_prior(state, prior)
        gradient = current.score + pull
        information = current.observed + penalty
        if not _positive(information):
            information = current.complete + penalty
        step: Array = np.asarray(np.linalg.solve(information, gradient), dtype=np.float64)
        if state.spread_instruction <= _MIN_SPREAD and step[-1] < 0:
            step[-1] = 0.0
        step *= min(1.0, 2.0 / np.abs(step).max()) if np.abs(step).max() > 0 else 1.0
        if np.abs(step).max() < _TOLERANCE:
            break
        before = current.loglik + _log_prior(state, prior)
        for _ in range(30):
            trial = _moved(state, step, with_gamma)
            after = look(panel, trial, current.mode)
            if after.loglik + _log_prior(trial, prior) >= before - 1e-9 * abs(before):
                break
            step = step / 2
        state, current = trial, after
    return state, current


def _moved(state: State, step: Array, with_gamma: bool) -> State:
    n = len(state.theta)
    spread = max(state.spread_instruction * math.exp(float(step[-1])), _MIN_SPREAD) if with_gamma else 0.0
    return replace(state, theta=state.theta + step[:n], slope=state.slope + step[n : 2 * n], spread_instruction=spread)


def _log_prior(state: State, prior: float) -> float:
    """Log density of the slopes, up to a constant, at the pooled slope that suits them best."""
    return 0.5 * float(_slope_prior(state, prior)[1] @ np.concatenate([state.theta, state.slope, [0.0]]))


def _slope_prior(state: State, prior: float) -> tuple[Array, Array]:
    """Precision (P × P) and gradient (P,) of the slopes' prior, the pooled slope profiled out."""
    n = len(state.slope)
    precision = 1 / state.spread_slope**2
    total = n * precision + prior**-2
    block = np.eye(n) * precision - precision**2 / total
    penalty = np.zeros((2 * n + 1, 2 * n + 1))
    penalty[n : 2 * n, n : 2 * n] = block
    pull = np.zeros(2 * n + 1)
    pull[n : 2 * n] = -block @ state.slope
    return penalty, pull


def _positive(matrix: Array) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def _set_slope_prior(current: Pass, state: State, prior: float) -> State:
    """s_β and β that maximise the marginal likelihood of the slopes, to second order about the present fit (Laplace).

    The slopes' likelihood is that of `_slope_likelihood`. Integrating b over N(β, s²I) and β over its prior (flat: the
    restricted likelihood, which counts the degree of freedom that β costs) leaves one dimension, s.
    """
    n = len(state.slope)
    values, ones, target = _slope_likelihood(current, state)
    if n == 1:
        # One model: β_1 is the pooled slope itself, and its prior the stated one.
        return replace(state, pooled=float(state.slope[0]), spread_slope=_MIN_SPREAD)

    def pooled_and_loglik(spread: float) -> tuple[float, float]:
        shrink = 1 / (1 + spread**2 * values)
        precision = float((ones**2 * values * shrink).sum()) + prior**-2
        moment = float((ones * target * shrink).sum())
        fitted = moment / precision
        quadratic = float((target**2 * shrink).sum()) * spread**2 + moment**2 / precision
        return fitted, 0.5 * (quadratic + float(np.log(shrink).sum()) - math.log(precision))

    grid = np.exp(np.linspace(math.log(_MIN_SPREAD), math.log(20.0), 60))
    best = int(np.argmax([pooled_and_loglik(s)[1] for s in grid]))
    low, high = math.log(grid[max(best - 1, 0)]), math.log(grid[min(best + 1, len(grid) - 1)])
    for _ in range(40):
        left, right = low + 0.382 * (high - low), low + 0.618 * (high - low)
        if pooled_and_loglik(math.exp(left))[1] < pooled_and_loglik(math.exp(right))[1]:
            low = left
        else:
            high = right
    spread = math.exp((low + high) / 2)
    return replace(state, pooled=pooled_and_loglik(spread)[0], spread_slope=spread)


def _slope_likelihood(current: Pass, state: State) -> tuple[Array, Array, Array]:
    """The slopes' log likelihood −½ b'Sb + r'b, the other parameters profiled out, along the eigenvectors V of S: the
    eigenvalues, V'1 and V'r, each (M,)."""
    n = len(state.slope)
    information = current.observed if _positive(current.observed) else current.complete
    slopes = np.arange(n, 2 * n)
    others = np.setdiff1d(np.arange(2 * n + 1), slopes)
    if state.spread_instruction <= _MIN_SPREAD:
        others = others[:-1]
    cross = np.linalg.solve(information[np.ix_(others, others)], information[np.ix_(others, slopes)])
    curvature = information[np.ix_(slopes, slopes)] - information[np.ix_(slopes, others)] @ cross
    linear = current.score[slopes] - cross.T @ current.score[others] + curvature @ state.slope
    values, vectors = np.linalg.eigh(curvature)
    return np.where(values > 1e-10 * values[-1], values, 0), vectors.T @ np.ones(n), vectors.T @ linear


def _pooled_over_models(last: Pass, state: State) -> Estimate:
    """The pooled slope with the models as its units: weighted mean of their unshrunk slopes b, with variance
    q / (1'W1), W = (S⁻¹ + s_β² I)⁻¹ and q = (b − β)'W(b − β)/(M − 1).

    q is what Hartung & Knapp (2001, Statistics in Medicine 20) add to a random-effects mean: it makes up for s_β being
    estimated and for S, which takes soft preferences for coin flips. A model without length differences has no weight.
    """
    values, ones, target = _slope_likelihood(last, state)
    n = len(values)
    shrink = 1 / (1 + state.spread_slope**2 * values)
    total = float((ones**2 * values * shrink).sum())
    value = float((ones * target * shrink).sum()) / total
    residual = np.divide(target - values * ones * value, np.sqrt(values), out=np.zeros(n), where=values > 0)
    return Estimate(value, residual * np.sqrt(shrink * n / total), np.arange(n, dtype=np.int64), rate=False)


def _influences(panel: Panel, last: Pass, state: State, prior: float) -> tuple[list[Estimate], Estimate]:
    """Estimates of the M win rates and of the pooled slope from the stacked estimating equations.

    A cluster moves a win rate in two ways: it is one draw from the population of instructions (its own expected rate
    against the mean), and its score moves the parameters. The slopes' prior is no cluster: each model's slope being a
    draw from N(β, s_β²) adds one shared term, the prior's score times its standard deviation.
    """
    expected, slope_of = rates(panel, state, last.mode)
    n_clusters, n = expected.shape
    size = 2 * n + 2
    precision, slopes = state.spread_slope**-2, np.arange(n, 2 * n)
    information = np.zeros((size, size))
    information[:-1, :-1] = last.observed
    information[slopes, slopes] += precision
    information[slopes, -1] -= precision
    information[-1, slopes] -= precision
    information[-1, -1] += n * precision + prior**-2
    gradient = np.zeros((n + 1, size))
    gradient[:n, :-1] = slope_of
    gradient[n, -1] = 1.0
    moved = np.linalg.solve(information, gradient.T).T
    influence = pulled(panel, last, n_clusters * moved[:, :-1].T)
    value = expected.mean(axis=0)
    expected -= value
    influence[:, :n] += expected
    shared = (moved[:, slopes] - moved[:, -1:]) / state.spread_slope
    if prior < math.inf:
        shared = np.hstack([shared, moved[:, -1:] / prior])
    clusters = np.arange(n_clusters, dtype=np.int64)
    estimates = [Estimate(float(value[m]), influence[:, m], clusters, shared=shared[m]) for m in range(n)]
    return estimates, Estimate(state.pooled, influence[:, n], clusters, rate=False, shared=shared[n])
