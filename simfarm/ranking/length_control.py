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
from scipy.special import expit, roots_hermitenorm

from simfarm.ranking.estimate import Array, Estimate

__all__ = ["JointFit", "fit_joint", "length_feature"]

SMALL_PANEL = 20
SMALL_PANEL_PRIOR_SD = 2.0
"""Below 20 models the pooled slope has the stated prior N(0, 2²)."""

NODES = 15
_MAX_STEPS = 200
_TOLERANCE = 1e-7
_MIN_SPREAD = 1e-3
"""Numerical floor of s_γ and s_β: at nought the formulas divide by it, and a thousandth of a logit is nought."""
_BLOCK = 4_000_000
"""Most numbers held at once by a pass over (instruction, node, model)."""


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


@dataclass(frozen=True)
class _State:
    """Parameters: θ (M,), β_m (M,), pooled β, s_γ, s_β."""

    theta: Array
    slope: Array
    pooled: float
    spread_instruction: float
    spread_slope: float


@dataclass(frozen=True)
class _Pass:
    """One look at the data: log marginal likelihood, per-cluster scores (G, P), observed and complete-data information
    (P, P), and, in a last pass, expected win rates (G, M) with the gradient (M, P) of their means. P = 2M + 1: θ, β_m,
    log s_γ."""

    loglik: float
    score: Array
    observed: Array
    complete: Array
    mean_rates: Array
    gradient: Array


def length_feature(delta: Array) -> Array:
    """tanh(Δ / sd(Δ)) of each model (G × M, NaN where missing; sd with ddof 1); 0 where a model has no spread."""
    known = ~np.isnan(delta)
    count = known.sum(axis=0)
    mean = np.where(known, delta, 0).sum(axis=0) / np.maximum(count, 1)
    square = np.where(known, (delta - mean) ** 2, 0).sum(axis=0)
    sd = np.sqrt(square / np.maximum(count - 1, 1))
    scaled = np.tanh(np.divide(delta, sd, out=np.zeros_like(delta), where=sd > 0))
    return np.where(known, scaled, 0.0)


def fit_joint(p: Array, delta: Array) -> JointFit:
    """Fit the panel: `p` (G × M) is how strongly each model is preferred in each cluster, NaN where it was not judged;
    `delta` (G × M) is the model's length minus the baseline's, in characters.

    Every model needs a verdict and a p that is not all 0 or all 1: such a model has no finite effect and its win rate
    needs no length control.
    """
    n_models, known = p.shape[1], ~np.isnan(p)
    y = np.where(known, p, 0.0)
    x = np.where(known, length_feature(np.where(known, delta, np.nan)), 0.0)
    weight = known.astype(np.float64)
    with_gamma = n_models > 1
    # With no length difference anywhere a flat prior would leave the pooled slope without any value.
    prior = SMALL_PANEL_PRIOR_SD if n_models < SMALL_PANEL or not x.any() else math.inf
    state = _fit(y, x, weight, with_gamma, prior)
    last = _pass(y, x, weight, state, with_gamma, final=True)
    estimates, pooled = _influences(last, state, prior)
    if prior == math.inf:
        pooled = _pooled_over_models(last, state)
    above, below = float((delta[known] > 0).mean()), float((delta[known] < 0).mean())
    return JointFit(
        estimates=estimates,
        slopes=state.slope,
        pooled=pooled,
        spread_slope=state.spread_slope if n_models > 1 else 0.0,
        spread_instruction=state.spread_instruction if with_gamma else 0.0,
        thin_side=min(above, below),
    )


def _fit(y: Array, x: Array, weight: Array, with_gamma: bool, prior: float) -> _State:
    """Newton on θ, β_m and log s_γ; after each step the slopes' own distribution is set by its marginal likelihood."""
    n_models = y.shape[1]
    rate = np.clip(y.sum(axis=0) / weight.sum(axis=0), 1e-6, 1 - 1e-6)
    state = _State(np.log(rate / (1 - rate)), np.zeros(n_models), 0.0, 1.0, 1.0)
    current = _pass(y, x, weight, state, with_gamma)
    for _ in range(_MAX_STEPS):
        state = _set_slope_prior(current, state, prior)
        penalty, pull = _slope_prior(state, prior)
        gradient = current.score.sum(axis=0) + pull
        information = current.observed + penalty
        if not _positive(information):
            information = current.complete + penalty
        step = np.linalg.solve(information, gradient)
        if state.spread_instruction <= _MIN_SPREAD and step[-1] < 0:
            step[-1] = 0.0
        step *= min(1.0, 2.0 / np.abs(step).max()) if np.abs(step).max() > 0 else 1.0
        if np.abs(step).max() < _TOLERANCE:
            break
        before = current.loglik + _log_prior(state, prior)
        for _ in range(30):
            trial = _moved(state, step, with_gamma)
            after = _pass(y, x, weight, trial, with_gamma)
            if after.loglik + _log_prior(trial, prior) >= before - 1e-9 * abs(before):
                break
            step = step / 2
        state, current = trial, after
    return state


def _moved(state: _State, step: Array, with_gamma: bool) -> _State:
    n = len(state.theta)
    spread = max(state.spread_instruction * math.exp(float(step[-1])), _MIN_SPREAD) if with_gamma else 0.0
    return replace(state, theta=state.theta + step[:n], slope=state.slope + step[n : 2 * n], spread_instruction=spread)


def _log_prior(state: _State, prior: float) -> float:
    """Log density of the slopes, up to a constant, at the pooled slope that suits them best."""
    return 0.5 * float(_slope_prior(state, prior)[1] @ np.concatenate([state.theta, state.slope, [0.0]]))


def _slope_prior(state: _State, prior: float) -> tuple[Array, Array]:
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
    return bool(np.linalg.eigvalsh(matrix)[0] > 0)


def _set_slope_prior(current: _Pass, state: _State, prior: float) -> _State:
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


def _slope_likelihood(current: _Pass, state: _State) -> tuple[Array, Array, Array]:
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
    score = current.score.sum(axis=0)
    linear = score[slopes] - cross.T @ score[others] + curvature @ state.slope
    values, vectors = np.linalg.eigh(curvature)
    return np.where(values > 1e-10 * values[-1], values, 0), vectors.T @ np.ones(n), vectors.T @ linear


def _pooled_over_models(last: _Pass, state: _State) -> Estimate:
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


def _pass(y: Array, x: Array, weight: Array, state: _State, with_gamma: bool, *, final: bool = False) -> _Pass:
    """Likelihood, scores and information at `state`, instructions in blocks so that memory stays bounded."""
    n_clusters, n_models = y.shape
    size = 2 * n_models + 1
    rule = roots_hermitenorm(NODES) if with_gamma else (np.zeros(1), np.ones(1))
    loglik, score = 0.0, np.zeros((n_clusters, size))
    observed, complete = np.zeros((size, size)), np.zeros((size, size))
    rates, gradient = np.zeros((n_clusters if final else 0, n_models)), np.zeros((n_models, size))
    block = max(1, _BLOCK // (len(rule[0]) * size))
    fixed = np.where(weight > 0, state.theta + state.slope * x, 0.0)
    for start in range(0, n_clusters, block):
        rows = slice(start, min(start + block, n_clusters))
        yb, xb, wb, eta0 = y[rows], x[rows], weight[rows], fixed[rows]
        gamma, posterior, part = _quadrature(yb, wb, eta0, state.spread_instruction, rule)
        loglik += part
        mu = expit(eta0[:, None, :] + gamma[:, :, None]) * wb[:, None, :]
        design = np.empty((*gamma.shape, size))
        design[:, :, :n_models] = yb[:, None, :] - mu
        design[:, :, n_models : 2 * n_models] = design[:, :, :n_models] * xb[:, None, :]
        scale = state.spread_instruction**2
        design[:, :, -1] = gamma**2 / scale - 1 if with_gamma else 0.0
        score[rows] = np.einsum("gq,gqp->gp", posterior, design)
        curved = np.einsum("gq,gqm->gm", posterior, mu * (1 - mu))
        centred = design - score[rows][:, None, :]
        flat = (centred * np.sqrt(posterior)[:, :, None]).reshape(-1, size)
        observed -= flat.T @ flat
        m = np.arange(n_models)
        complete[m, m] += curved.sum(axis=0)
        complete[m, n_models + m] += (curved * xb).sum(axis=0)
        complete[n_models + m, n_models + m] += (curved * xb**2).sum(axis=0)
        complete[-1, -1] += 2 * float((posterior * gamma**2).sum()) / scale if with_gamma else 1.0
        if final:
            level = expit(state.theta + gamma[:, :, None])
            mean = np.einsum("gq,gqm->gm", posterior, level)
            rates[rows] = mean
            gradient[m, m] += np.einsum("gq,gqm->m", posterior, level * (1 - level))
            weighted = ((level - mean[:, None, :]) * posterior[:, :, None]).reshape(-1, n_models)
            gradient += weighted.T @ centred.reshape(-1, size)
    complete[n_models + m, m] = complete[m, n_models + m]
    return _Pass(loglik, score, observed + complete, complete, rates, gradient / n_clusters)


def _quadrature(
    y: Array, weight: Array, eta0: Array, spread: float, rule: tuple[Array, Array]
) -> tuple[Array, Array, float]:
    """Nodes γ about each cluster's mode and their posterior weights (G × Q, rows sum to 1); the log likelihood."""
    nodes, node_weights = rule
    if len(nodes) == 1:
        zero = np.zeros((len(y), 1))
        return zero, zero + 1, float(((y * eta0) - np.logaddexp(0, eta0) * weight).sum())
    mode = np.zeros(len(y))
    for _ in range(50):
        mu = expit(eta0 + mode[:, None]) * weight
        slope = (y - mu).sum(axis=1) - mode / spread**2
        step = slope / ((mu * (1 - mu)).sum(axis=1) + spread**-2)
        mode += np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-3:
            break
    mu = expit(eta0 + mode[:, None]) * weight
    width = 1 / np.sqrt((mu * (1 - mu)).sum(axis=1) + spread**-2)
    gamma = mode[:, None] + width[:, None] * nodes
    eta = eta0[:, None, :] + gamma[:, :, None]
    joint = (y.sum(axis=1)[:, None] * gamma) + (y * eta0).sum(axis=1)[:, None]
    joint -= (np.logaddexp(0, eta) * weight[:, None, :]).sum(axis=2)
    joint += -0.5 * (gamma / spread) ** 2 - math.log(spread) + 0.5 * nodes**2
    joint += np.log(width)[:, None] + np.log(node_weights / node_weights.sum())
    top = joint.max(axis=1)
    posterior = np.exp(joint - top[:, None])
    total = posterior.sum(axis=1)
    return gamma, posterior / total[:, None], float((top + np.log(total)).sum())


def _influences(last: _Pass, state: _State, prior: float) -> tuple[list[Estimate], Estimate]:
    """Estimates of the M win rates and of the pooled slope from the stacked estimating equations.

    A cluster moves a win rate in two ways: it is one draw from the population of instructions (its own expected rate
    against the mean), and its score moves the parameters. The slopes' prior is no cluster: each model's slope being a
    draw from N(β, s_β²) adds one shared term, the prior's score times its standard deviation.
    """
    n_clusters, n = last.mean_rates.shape
    size = 2 * n + 2
    precision, slopes = state.spread_slope**-2, np.arange(n, 2 * n)
    information = np.zeros((size, size))
    information[:-1, :-1] = last.observed
    information[slopes, slopes] += precision
    information[slopes, -1] -= precision
    information[-1, slopes] -= precision
    information[-1, -1] += n * precision + prior**-2
    gradient = np.zeros((n + 1, size))
    gradient[:n, :-1] = last.gradient
    gradient[n, -1] = 1.0
    moved = np.linalg.solve(information, gradient.T).T
    score = last.score - last.score.mean(axis=0)
    influence = n_clusters * score @ moved[:, :-1].T
    influence[:, :n] += last.mean_rates - last.mean_rates.mean(axis=0)
    shared = (moved[:, slopes] - moved[:, -1:]) / state.spread_slope
    if prior < math.inf:
        shared = np.hstack([shared, moved[:, -1:] / prior])
    clusters = np.arange(n_clusters, dtype=np.int64)
    value = last.mean_rates.mean(axis=0)
    estimates = [Estimate(float(value[m]), influence[:, m], clusters, shared=shared[m]) for m in range(n)]
    return estimates, Estimate(state.pooled, influence[:, n], clusters, rate=False, shared=shared[n])
