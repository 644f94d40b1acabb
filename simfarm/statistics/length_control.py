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

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.marginal import SMALL_PANEL, Panel, Pass, State, length_feature, look, pulled, rates
from simfarm.statistics.slopes import (
    MAX_SPREAD,
    MIN_SPREAD,
    SPREAD_MODE,
    between_prior,
    likely_spread,
    pooled_over_models,
    uncertain_spread,
)

__all__ = ["JointFit", "fit_joint", "length_feature"]

SMALL_PANEL_PRIOR_SD = 2.0
"""Below `SMALL_PANEL` models the pooled slope has the stated prior N(0, 2²)."""

_MAX_STEPS = 40
_TOLERANCE = 1e-6
_HALVINGS = 12
_CLOSE, _CLOSE_SLOPE = 1e-4, 5e-4
"""Steps of log s_γ and of s_β that move no rate."""
_LONGEST = 0.7
"""Longest step of log s_γ: a Newton step from a flat place would end at a bound."""


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
        pooled=pooled_over_models(last, state),
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
    state = State(np.log(rate / (1 - rate)), np.zeros(panel.n_models), np.zeros(panel.n_between), 1.0, SPREAD_MODE)
    low, high, close, converged = math.log(MIN_SPREAD), math.log(MAX_SPREAD), 0.1, False
    current = look(panel, state)
    for turn in range(_MAX_STEPS):
        state, current, _ = _most_likely(panel, state, current, prior, close)
        at = math.log(state.spread_slope)
        step = math.log(likely_spread(current, state, prior)) - at
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
    low, high, converged = math.log(MIN_SPREAD), math.log(MAX_SPREAD), False
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
    penalty[2 * n : -1, 2 * n : -1] = of_between = between_prior(len(state.between))
    pull = np.zeros(size)
    pull[n : 2 * n] = -block @ state.slope
    pull[2 * n : -1] = -of_between @ state.between
    return penalty, pull


def _influences(panel: Panel, last: Pass, state: State, prior: float) -> list[Estimate]:
    """Estimates of the M win rates from the stacked estimating equations of θ, β_m, c, log s_γ and β.

    A cluster moves a win rate in two ways: it is one draw from the population of instructions (its own expected rate
    against the mean), and its score moves the parameters. The priors are no cluster: each model's slope being a draw
    from N(β, s_β²) adds one shared term, the prior's score times its standard deviation, and so do those of c and β.
    How far slopes differ is itself not known: s_β² is here its mean over all that it may be, not its likeliest value.
    The degrees of freedom are Satterthwaite's: G − 1 of the clusters' part, those of s_β² of the slopes', and as many
    as one likes of the priors'.
    """
    expected, slope_of = rates(panel, state, last.mode)
    spread, known = uncertain_spread(last, state, prior)
    n_clusters, n = expected.shape
    size, slopes = panel.size + 1, np.arange(n, 2 * n)
    between = np.arange(2 * n, 2 * n + panel.n_between)
    precision = spread**-2
    information = np.zeros((size, size))
    information[:-1, :-1] = last.observed
    if not 2 * MIN_SPREAD < state.spread_instruction < 0.95 * MAX_SPREAD:
        # At a bound s_γ is no parameter: nothing moves it.
        information[-2, :], information[:, -2], information[-2, -2] = 0.0, 0.0, 1e12
    information[slopes, slopes] += precision
    information[slopes, -1] -= precision
    information[-1, slopes] -= precision
    information[-1, -1] += n * precision + prior**-2
    of_between = between_prior(panel.n_between)
    information[np.ix_(between, between)] += of_between
    gradient = np.zeros((n, size))
    gradient[:, :-1] = slope_of
    moved = np.linalg.solve(information, gradient.T).T
    influence = pulled(panel, last, n_clusters * moved[:, :-1].T)
    value = expected.mean(axis=0)
    influence += expected - value
    shared = [
        (moved[:, slopes] - moved[:, -1:]) / spread,
        moved[:, between] @ np.linalg.cholesky(of_between),
    ]
    if prior < math.inf:
        shared.append(moved[:, -1:] / prior)
    terms = np.hstack(shared)
    clusters = np.arange(n_clusters, dtype=np.int64)
    of_slopes = (shared[0] ** 2).sum(axis=1)
    # the priors' terms are known, so that they only add to the degrees of freedom of the slopes'
    freedom = np.divide((terms**2).sum(axis=1), of_slopes, out=np.ones(n), where=of_slopes > 0) ** 2 * known
    return [
        Estimate(float(value[m]), influence[:, m], clusters, shared=terms[m], shared_freedom=float(freedom[m]))
        for m in range(n)
    ]
