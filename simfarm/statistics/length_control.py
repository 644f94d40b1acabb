"""Length-controlled win rate by one logistic model over all models at once (`joint`), on any instructions.

    logit P(model m preferred on instruction i) = θ_m + c_m · z_i + γ_i + β_m · x_mi
    γ_i ~ N(0, s_γ²),  β_m ~ N(β, s_β²),  c_m ~ N(c, .7²)

with x_mi = tanh(Δlength / scale of that model's Δlength), which is 0 at equal length, and z_i the panel's mean x on the
instruction, less its mean over the instructions. What is reported is the mean over instructions of
σ(θ_m + c_m · z_i + γ_i): the win rate had both answers been of one length. Soft preferences enter as quasi-binomial
responses.

Why one joint model: a length slope fitted to one weak model alone is nearly unidentified (it wins only where it happens
to be long) and runs away; the slope that the panel shares holds it. Why c (Mundlak 1978, Econometrica 46): instructions
on which the models are long are also easier or harder for them; without c that is taken for the judge's love of length,
and more so the fewer models there are. Why a c_m for each (below 20 models; one c for all from there on): that of a
model near one half, whose verdicts say most, would be forced on weak ones, and their slopes run up against it. Both
variances are found by marginal likelihood. γ is integrated out by adaptive Gauss-Hermite quadrature, because plugging
in its mode, the usual shortcut, pulls every win rate away from one half; the slopes, each backed by a whole column of
verdicts, by Laplace's approximation.

Small panels say little of c, β and s_β. c has the prior N(0, .7²) always, and below 20 models β has N(0, 2²) and s_β a
Rayleigh density with its mode at .5. The numbers were chosen on 16 real models and tried on 15 others; what a
prior adds to an estimate's uncertainty is in its `shared` terms.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize_scalar

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.marginal import SMALL_PANEL, Panel, Pass, State, length_feature, look, pulled, rates

__all__ = ["JointFit", "fit_joint", "length_feature"]

SMALL_PANEL_PRIOR_SD = 2.0
"""Below `SMALL_PANEL` models the pooled slope has the stated prior N(0, 2²)."""

_MAX_STEPS = 40
_TOLERANCE = 1e-6
_MIN_SPREAD, _MAX_SPREAD = 0.01, 5.0
"""Bounds of s_γ and s_β: at nought the formulas divide by it, and a hundredth of a logit is nought; with five logits
nearly all models win or nearly all lose an instruction. Where one of two models wins next to nothing, the likelihood is
flat from there on, and the quadrature cannot follow it."""
_HALVINGS = 12
_CLOSE, _CLOSE_SLOPE = 1e-4, 5e-4
"""Steps of log s_γ and of s_β that move no rate."""
_LONGEST = 0.7
"""Longest step of log s_γ: a Newton step from a flat place would end at a bound."""
_BETWEEN_SD, _OWN_SD = 0.7, 0.7
"""c has the stated prior N(0, .7²), and a model's own c N(c, .7²): as wide, as nothing says otherwise."""
_SPREAD_MODE = 0.5
"""Below 20 models s_β has the density s · exp(−s² / (2 · .5²)): two or three slopes do not say how far slopes differ,
and neither nought nor the three logits that their likelihood may find is a spread to trust."""


@dataclass(frozen=True)
class JointFit:
    """A fitted panel of M models on G clusters.

    `estimates[m]` is the length-controlled win rate as a fraction; `slopes` (M,) are β_m; `pooled` is the panel's β
    with the models as its units (Hartung-Knapp, t with M − 1 degrees of freedom); `between` is the mean of c_m,
    `spread_slope` s_β, `spread_instruction` s_γ. `thin_side` is the smaller of the shares of length differences above
    and below nought. `converged` is false where a search did not end.
    """

    estimates: list[Estimate]
    slopes: Array
    pooled: Estimate
    between: float
    spread_slope: float
    spread_instruction: float
    thin_side: float
    converged: bool


def fit_joint(p: Array, delta: Array) -> JointFit:
    """Fit the panel: `p` (G × M) is how strongly each model is preferred in each cluster, NaN where it was not judged;
    `delta` (G × M) is the model's length minus the baseline's, in characters.

    Every model needs a verdict and a p that is not all 0 or all 1: such a model has no finite effect and its win rate
    needs no length control. Raises `InputError` for one model, whose length and quality cannot be told apart.
    """
    n_models = p.shape[1]
    if n_models < 2:
        raise InputError("length control needs two models or more on the same instructions; add another model")
    panel = Panel.of(p, delta)
    # With no length difference anywhere a flat prior would leave the pooled slope without any value.
    prior = SMALL_PANEL_PRIOR_SD if n_models < SMALL_PANEL or not panel.x.any() else math.inf
    state, last, converged = _fit(panel, prior)
    known = int(panel.weight.sum())
    above, below = (int((~np.isnan(p) & side).sum()) / known for side in (delta > 0, delta < 0))
    return JointFit(
        estimates=_influences(panel, last, state, prior),
        slopes=state.slope,
        pooled=_pooled_over_models(last, state),
        between=float(state.between.mean()),
        spread_slope=state.spread_slope,
        spread_instruction=state.spread_instruction,
        thin_side=min(above, below),
        converged=converged,
    )


def _fit(panel: Panel, prior: float) -> tuple[State, Pass, bool]:
    """(the fit, the pass at it, whether it converged): s_β is where the marginal likelihood of the slopes about the
    fit at that s_β is highest, all else is at its most likely given s_β.

    Two searches, one in the other, each in a bracket that cannot be left and is halved from the twentieth step on, so
    that both end. With s_β moving while s_γ is sought, as one would do first, neither score has a zero to find.
    """
    rate = np.clip(panel.by_model(panel.y) / panel.by_model(panel.weight), 1e-6, 1 - 1e-6)
    state = State(np.log(rate / (1 - rate)), np.zeros(panel.n_models), np.zeros(panel.n_between), 1.0, _SPREAD_MODE)
    low, high, close, converged = math.log(_MIN_SPREAD), math.log(_MAX_SPREAD), 0.1, False
    current = look(panel, state)
    for turn in range(_MAX_STEPS):
        state, current, _ = _most_likely(panel, state, current, prior, close)
        at = math.log(state.spread_slope)
        step = math.log(_likely_spread(current, state, prior)) - at
        low, high = (at, high) if step > 0 else (low, at)
        before, step = state.spread_slope, _kept_inside(at, step, low, high, turn)
        state = replace(state, spread_slope=math.exp(at + step))
        converged = abs(state.spread_slope - before) < _CLOSE_SLOPE
        if converged:
            break
        close = min(close, max(_CLOSE, 0.05 * abs(step)))
    state, current, ended = _most_likely(panel, state, current, prior, _CLOSE)
    state, current = _settled(panel, state, current, prior, _TOLERANCE)
    return state, current, converged and ended


def _kept_inside(at: float, step: float, low: float, high: float, turn: int) -> float:
    """`step`, or half the way to the bracket's end where it would leave the bracket or creeps."""
    if turn < _MAX_STEPS // 2 and low < at + step < high:
        return step
    return (high - at if step > 0 else low - at) / 2


def _most_likely(panel: Panel, state: State, current: Pass, prior: float, close: float) -> tuple[State, Pass, bool]:
    """All but s_β at its most likely, log s_γ to within `close`; and whether that was reached.

    Given s_γ and s_β the likelihood is log-concave in all that is left, so that Newton's method cannot fail; the score
    of log s_γ changes sign where the profile likelihood is highest. Newton on all parameters at once stops far from it
    on panels of two models.
    """
    low, high, converged = math.log(_MIN_SPREAD), math.log(_MAX_SPREAD), False
    state, current = _settled(panel, state, current, prior, close)
    for turn in range(_MAX_STEPS):
        at, score = math.log(state.spread_instruction), float(current.score[-1])
        low, high = (at, high) if score > 0 else (low, at)
        newton, across = _spread_step(current, state, prior, score)
        step = _kept_inside(at, min(max(newton, -_LONGEST), _LONGEST), low, high, turn)
        converged = abs(step) < close
        state = replace(_moved(state, -across * step), spread_instruction=math.exp(at + step))
        current = look(panel, state, current.mode)
        state, current = _settled(panel, state, current, prior, min(close, 0.05 * abs(step)))
        if converged:
            break
    return state, current, converged


def _spread_step(current: Pass, state: State, prior: float, score: float) -> tuple[float, Array]:
    """Newton's step of log s_γ on the profile likelihood, and how much the others (P − 1,) fall as it rises by one."""
    information = current.observed + _slope_prior(state, prior)[0]
    across = np.asarray(np.linalg.solve(information[:-1, :-1], information[:-1, -1]), dtype=np.float64)
    curvature = float(information[-1, -1] - information[:-1, -1] @ across)
    return (score / curvature if curvature > 0 else math.copysign(_LONGEST, score)), across


def _settled(panel: Panel, state: State, current: Pass, prior: float, close: float) -> tuple[State, Pass]:
    """θ, β_m and c_m at the state's s_γ and s_β to within `close`, or as near as rounding lets the likelihood rise."""
    penalty = _slope_prior(state, prior)[0]
    for _ in range(_MAX_STEPS):
        gradient = (current.score + _slope_prior(state, prior)[1])[:-1]
        step: Array = np.asarray(np.linalg.solve((current.observed + penalty)[:-1, :-1], gradient), dtype=np.float64)
        largest = float(np.abs(step).max())
        if largest < close:
            break
        step *= min(1.0, 2.0 / largest)
        before = current.loglik + _log_prior(state, prior)
        for _ in range(_HALVINGS):
            trial = _moved(state, step)
            after = look(panel, trial, current.mode)
            if after.loglik + _log_prior(trial, prior) >= before - 1e-9 * abs(before):
                break
            step = step / 2
        else:
            break
        state, current = trial, after
    return state, current


def _moved(state: State, step: Array) -> State:
    n = len(state.theta)
    theta, slope = state.theta + step[:n], state.slope + step[n : 2 * n]
    return replace(state, theta=theta, slope=slope, between=state.between + step[2 * n :])


def _log_prior(state: State, prior: float) -> float:
    """Log density of the slopes and c, up to a constant, at the pooled slope that suits them best."""
    return 0.5 * float(_slope_prior(state, prior)[1] @ np.concatenate([state.theta, state.slope, state.between, [0.0]]))


def _slope_prior(state: State, prior: float) -> tuple[Array, Array]:
    """Precision (P × P) and gradient (P,) of the prior of the slopes and c, the pooled slope profiled out."""
    n = len(state.slope)
    precision = 1 / state.spread_slope**2
    total = n * precision + prior**-2
    block = np.eye(n) * precision - precision**2 / total
    size = 2 * n + len(state.between) + 1
    penalty = np.zeros((size, size))
    penalty[n : 2 * n, n : 2 * n] = block
    penalty[2 * n : -1, 2 * n : -1] = of_between = _between_prior(len(state.between))
    pull = np.zeros(size)
    pull[n : 2 * n] = -block @ state.slope
    pull[2 * n : -1] = -of_between @ state.between
    return penalty, pull


def _between_prior(n_between: int) -> Array:
    """Precision (K × K) of c: the panel's is N(0, .7²), and where each model has its own it is N(that, .7²)."""
    own = _OWN_SD if n_between > 1 else 0.0
    covariance = _BETWEEN_SD**2 * np.ones((n_between, n_between)) + own**2 * np.eye(n_between)
    return np.asarray(np.linalg.inv(covariance), dtype=np.float64)


def _positive(matrix: Array) -> bool:
    try:
        np.linalg.cholesky(matrix)
    except np.linalg.LinAlgError:
        return False
    return True


def _likely_spread(current: Pass, state: State, prior: float) -> float:
    """s_β that maximises the marginal likelihood of the slopes, to second order about the present fit (Laplace).

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
            loglik += np.log(spread) - 0.5 * (spread / _SPREAD_MODE) ** 2
        return loglik

    grid = np.linspace(math.log(_MIN_SPREAD), math.log(_MAX_SPREAD), 60)
    best = int(np.argmax(loglik_of(np.exp(grid))))
    ends = grid[max(best - 1, 0)], grid[min(best + 1, len(grid) - 1)]
    found = minimize_scalar(
        lambda s: -loglik_of(np.exp([s]))[0], bounds=ends, method="bounded", options={"xatol": 1e-8}
    )
    return math.exp(float(found.x))


def _slope_likelihood(current: Pass, state: State) -> tuple[Array, Array, Array]:
    """The slopes' log likelihood −½ b'Sb + r'b, θ and c profiled out, along the eigenvectors V of S: the
    eigenvalues, V'1 and V'r, each (M,)."""
    n = len(state.slope)
    information = current.observed if _positive(current.observed) else current.complete
    slopes = np.arange(n, 2 * n)
    between = np.arange(2 * n, len(current.score) - 1)
    others = np.append(np.arange(n), between)
    information, score = information.copy(), current.score.copy()
    of_between = _between_prior(len(between))
    information[np.ix_(between, between)] += of_between
    score[between] -= of_between @ state.between
    cross = np.linalg.solve(information[np.ix_(others, others)], information[np.ix_(others, slopes)])
    curvature = information[np.ix_(slopes, slopes)] - information[np.ix_(slopes, others)] @ cross
    linear = score[slopes] - cross.T @ score[others] + curvature @ state.slope
    values, vectors = np.linalg.eigh(curvature)
    return np.where(values > 1e-10 * values[-1], values, 0), vectors.T @ np.ones(n), vectors.T @ linear


def _pooled_over_models(last: Pass, state: State) -> Estimate:
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


def _influences(panel: Panel, last: Pass, state: State, prior: float) -> list[Estimate]:
    """Estimates of the M win rates from the stacked estimating equations of θ, β_m, c, log s_γ and β.

    A cluster moves a win rate in two ways: it is one draw from the population of instructions (its own expected rate
    against the mean), and its score moves the parameters. The priors are no cluster: each model's slope being a draw
    from N(β, s_β²) adds one shared term, the prior's score times its standard deviation, and so do those of c and β.
    The degrees of freedom are Satterthwaite's: G − 1 of the clusters' part, M − 1 of the slopes', whose spread M models
    tell, and as many as one likes of the priors'.
    """
    expected, slope_of = rates(panel, state, last.mode)
    n_clusters, n = expected.shape
    size, slopes = panel.size + 1, np.arange(n, 2 * n)
    between = np.arange(2 * n, 2 * n + panel.n_between)
    precision = state.spread_slope**-2
    information = np.zeros((size, size))
    information[:-1, :-1] = last.observed
    if not 2 * _MIN_SPREAD < state.spread_instruction < 0.95 * _MAX_SPREAD:
        # At a bound s_γ is no parameter: nothing moves it.
        information[-2, :], information[:, -2], information[-2, -2] = 0.0, 0.0, 1e12
    information[slopes, slopes] += precision
    information[slopes, -1] -= precision
    information[-1, slopes] -= precision
    information[-1, -1] += n * precision + prior**-2
    of_between = _between_prior(panel.n_between)
    information[np.ix_(between, between)] += of_between
    gradient = np.zeros((n, size))
    gradient[:, :-1] = slope_of
    moved = np.linalg.solve(information, gradient.T).T
    influence = pulled(panel, last, n_clusters * moved[:, :-1].T)
    value = expected.mean(axis=0)
    influence += expected - value
    shared = [
        (moved[:, slopes] - moved[:, -1:]) / state.spread_slope,
        moved[:, between] @ np.linalg.cholesky(of_between),
    ]
    if prior < math.inf:
        shared.append(moved[:, -1:] / prior)
    terms = np.hstack(shared)
    clusters = np.arange(n_clusters, dtype=np.int64)
    of_slopes = (shared[0] ** 2).sum(axis=1)
    # the priors' terms are known, so that they only add to the degrees of freedom of the slopes'
    freedom = np.divide((terms**2).sum(axis=1), of_slopes, out=np.ones(n), where=of_slopes > 0) ** 2 * (n - 1)
    return [
        Estimate(float(value[m]), influence[:, m], clusters, shared=terms[m], shared_freedom=float(freedom[m]))
        for m in range(n)
    ]
