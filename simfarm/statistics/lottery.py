"""The maximal lottery: the mixture of models that no model beats on average, clones or not, cycles or not.

A win rate against a panel depends on who is in the panel: near-copies of a model move everyone they beat. The lottery
(Kreweras 1965, Fishburn 1984; the minimax or Nash strategy of "you name a model, I name a model, a judge decides") does
not, it is all on the Condorcet winner where there is one, and where preferences run in circles it says so.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy.sparse import csr_matrix
from scipy.special import expit

from simfarm.errors import InputError, SimfarmError
from simfarm.statistics.bradley_terry import BradleyTerry, Matches, bradley_terry, compact
from simfarm.statistics.estimate import Array
from simfarm.text.words import plural

__all__ = [
    "Cells",
    "CyclicTriads",
    "Lottery",
    "cyclic_triads",
    "lottery",
    "maximal_lottery",
    "pair_rates",
    "regularised_winner",
]

_ZERO = 1e-9
"""Below this a weight or a margin is rounding."""
_REPLICATES_AT_ONCE = 32
_NEWTON_STEPS = 200
_SOLVED = 1e-10
"""Largest residual, in log weights, at which the regularised winner is its own best answer."""


@dataclass(frozen=True)
class Lottery:
    """`weights` (M, in the order of `models`, sum 1) and how firm they are.

    `mean_weights` and `support` are over bootstrap samples of instructions: a model's mean weight, and the share of
    samples in which it has any. `winner` is the Condorcet winner, None where no model beats every other.
    """

    models: tuple[str, ...]
    weights: Array
    mean_weights: Array
    support: Array
    winner: str | None


@dataclass(frozen=True)
class CyclicTriads:
    """Of `n_triads` triples whose pairs all met, the `share` where each beats one and loses to the other.

    `expected` is the mean share if Bradley-Terry were true (no circles but those of sampling noise), `p_value` the
    chance of at least `share` under it.
    """

    share: float
    expected: float
    p_value: float
    n_triads: int


def maximal_lottery(rates: Array) -> Array:
    """The least-norm maximal lottery (M,) of `rates` (M × M): `rates[i, j]` is how often i is preferred to j.

    Margins are rates[i, j] − rates[j, i]; the diagonal does not matter. Optima need not be unique (clones, exact ties);
    the one of least norm is, and it treats equals equally. One linear programme finds a strictly complementary optimum
    (Tucker 1956), which names the face of all optima; the least norm on that face is a small least-distance problem
    (Lawson and Hanson 1974, chapter 23). Raises `InputError` for a value that is not finite off the diagonal.
    """
    n = len(rates)
    margins = rates - rates.T
    np.fill_diagonal(margins, 0)
    if not np.isfinite(margins).all():
        raise InputError("a pair of models has no preference rate; every pair must have been compared for a lottery")
    ahead = (margins > 0).sum(axis=1)
    if ahead.max() == n - 1:
        return np.asarray(np.eye(n)[ahead.argmax()], dtype=np.float64)
    from scipy.optimize import linprog  # it takes a third of a board's import time, and few boards come here

    # Maximise t with w >= 0, w'margins >= 0, w + w'margins >= t, sum w = 1.
    free = np.zeros((n, 1))
    optimum = linprog(
        np.append(np.zeros(n), -1),
        A_ub=np.vstack([np.hstack([-margins.T, free]), np.hstack([-np.eye(n) - margins.T, free + 1])]),
        b_ub=np.zeros(2 * n),
        A_eq=np.append(np.ones(n), 0)[None],
        b_eq=[1.0],
        method="highs",
    )
    if optimum.x is None:
        raise SimfarmError(
            f"the linear programme of the lottery found no optimum ({optimum.message}); please report it"
        )
    interior = optimum.x[:n]
    alive = interior > interior @ margins
    weights = np.zeros(n)
    weights[alive] = _least_norm(margins[np.ix_(alive, alive)], margins[np.ix_(alive, ~alive)], interior[alive])
    return weights


def regularised_winner(rates: Array, tau: float) -> Array:
    """The Nash winner (M,) of `rates` (M × M, as in `maximal_lottery`) held near the even mixture μ by `tau` > 0.

    The π of max over π, min over π' of P(π ≻ π') − τ KL(π‖μ) + τ KL(π'‖μ) (Munos and others 2024, Nash-MD): unique,
    and its own best answer, π_i ∝ exp(P(i ≻ π)/τ). Near 0 it tends to a maximal lottery (of several, the one of most
    entropy), for large τ to the even mixture. Newton's method on that equation in log π, τ halved
    from where it is nearly even down to the one asked for, each start the last solution. Raises `InputError` as
    `maximal_lottery`, and for a τ that is not positive.
    """
    if not tau > 0:
        raise InputError(f"tau {tau} is not positive; give a number above 0, or rank by the lottery without it")
    chance = np.array(rates, dtype=np.float64)
    np.fill_diagonal(chance, 0.5)
    if not np.isfinite(chance).all():
        raise InputError("a pair of models has no preference rate; every pair must have been compared for a lottery")
    scores, at = np.zeros(len(chance)), max(tau, 1.0)
    while True:
        scores = _best_answer(chance, at, scores)
        if at == tau:
            return np.asarray(_softmax(scores), dtype=np.float64)
        scores, at = scores * (at / max(tau, at / 2)), max(tau, at / 2)


def _best_answer(chance: Array, tau: float, scores: Array) -> Array:
    """Scores s with s = (chance · softmax(s))/τ up to a constant, by damped Newton from `scores`."""

    def gap(scores: Array) -> Array:
        left: Array = scores - chance @ _softmax(scores) / tau
        left -= left.mean()
        return left

    now = gap(scores)
    for _ in range(_NEWTON_STEPS):
        if np.abs(now).max() < _SOLVED:
            return scores
        weights = _softmax(scores)
        slope = np.eye(len(scores)) - (chance * weights - np.outer(chance @ weights, weights)) / tau
        step = np.linalg.solve(slope, -now)
        step -= step.mean()
        size = 1.0
        while np.abs(then := gap(scores + size * step)).max() > np.abs(now).max() and size > 1e-6:
            size /= 2
        scores, now = scores + size * step, then
    if np.abs(now).max() < 1e-6:
        return scores
    raise SimfarmError(f"the regularised winner did not converge at tau {tau:g}; give a larger one")


def _softmax(scores: Array) -> Array:
    raised: Array = np.exp(scores - scores.max())
    raised /= raised.sum()
    return raised


def _least_norm(inside: Array, outside: Array, start: Array) -> Array:
    """Least-norm w ≥ 0 with w'inside = 0, w'outside ≥ 0 and sum 1, given one such w in the relative interior."""
    from scipy.linalg import null_space
    from scipy.optimize import nnls

    basis = null_space(np.vstack([inside.T, np.ones(len(start))]), rcond=_ZERO)
    exact = np.vstack([inside.T, np.ones(len(start))])
    nearest = np.linalg.lstsq(exact, np.append(np.zeros(len(start)), 1.0), rcond=_ZERO)[0]
    bounds = np.vstack([np.eye(len(start)), outside.T])
    if basis.shape[1] and (bounds @ nearest).min() < -_ZERO:
        # min |z| with G z >= h, by nonnegative least squares on its dual.
        g, h = bounds @ basis, -bounds @ nearest
        dual = np.vstack([g.T, h])
        target = np.append(np.zeros(basis.shape[1]), 1.0)
        residual = dual @ nnls(dual, target)[0] - target
        nearest = nearest - basis @ (residual[:-1] / residual[-1])
    nearest = np.where(nearest > _ZERO, nearest, 0.0)
    return np.asarray(nearest / nearest.sum(), dtype=np.float64)


def lottery(matches: Matches, *, replicates: int = 500, seed: int = 0) -> Lottery:
    """The maximal lottery of all comparisons with its bootstrap over instructions.

    A pair's rate is the mean over the instructions it met on, orders and repeats averaged first, ties a half. The
    bootstrap draws exponential weights (Rubin 1981), so that no pair vanishes from a sample. Raises `InputError` where
    a pair never met: a lottery takes no transitivity for granted, so it cannot fill the gap; Bradley-Terry can.
    """
    cells = Cells.of(matches)
    n = len(matches.models)
    rates = cells.rates(np.ones((1, cells.n_clusters)))[0]
    missing = np.argwhere(np.isnan(rates) & ~np.eye(n, dtype=bool))
    if len(missing):
        a, b = (matches.models[i] for i in missing[0])
        raise InputError(f"{a} and {b} were never compared, and a lottery needs every pair; rank by bradley-terry")
    weights = maximal_lottery(rates)
    rng = np.random.default_rng(seed)
    drawn = np.zeros((replicates, n))
    for start in range(0, replicates, _REPLICATES_AT_ONCE):
        stop = min(start + _REPLICATES_AT_ONCE, replicates)
        for b, sample in enumerate(cells.rates(rng.standard_exponential((stop - start, cells.n_clusters))), start):
            drawn[b] = maximal_lottery(sample)
    ahead = (rates > 0.5).sum(axis=1)
    return Lottery(
        models=matches.models,
        weights=weights,
        mean_weights=drawn.mean(axis=0),
        support=(drawn > 0).mean(axis=0),
        winner=matches.models[int(ahead.argmax())] if ahead.max() == n - 1 else None,
    )


def pair_rates(matches: Matches) -> Array:
    """How often i is preferred to j (M × M): mean over the instructions they met on; NaN where they never met."""
    cells = Cells.of(matches)
    return np.asarray(cells.rates(np.ones((1, cells.n_clusters)))[0], dtype=np.float64)


def cyclic_triads(
    matches: Matches, fitted: BradleyTerry | None = None, *, replicates: int = 500, seed: int = 0
) -> CyclicTriads:
    """The share of triples that run in a circle, beside what Bradley-Terry (`fitted`, where it is at hand) expects of
    the same data.

    Sampling noise closes circles among near-equals by itself. So each replicate takes Bradley-Terry's rates and adds
    noise with the covariance that the clusters show (Gaussian weights on their deviations from the pairs' rates).
    Pairs that never met, or that tie exactly, are in no circle. Raises `InputError` where Bradley-Terry does.
    """
    cells = Cells.of(matches)
    n = len(matches.models)
    rates = cells.rates(np.ones((1, cells.n_clusters)))[0]
    met = ~np.isnan(rates) & ~np.eye(n, dtype=bool)
    n_triads = round(float(np.trace(np.linalg.matrix_power(met.astype(float), 3))) / 6)
    if not n_triads:
        raise InputError("no three models were all compared with each other, so there is no circle to look for")
    strengths = (fitted or bradley_terry(matches)).strengths
    model = expit(strengths[:, None] - strengths[None, :])
    share = _circles(np.where(met, rates, 0.5)) / n_triads
    noises = cells.noises(rates)
    rng = np.random.default_rng(seed)
    shares = np.empty(replicates)
    for start in range(0, replicates, _REPLICATES_AT_ONCE):
        stop = min(start + _REPLICATES_AT_ONCE, replicates)
        for b, noise in enumerate(noises(rng.standard_normal((stop - start, cells.n_clusters))), start):
            shares[b] = _circles(np.where(met, model + noise, 0.5)) / n_triads
    p_value = (1 + (shares >= share - _ZERO).sum()) / (replicates + 1)
    return CyclicTriads(share, float(shares.mean()), float(p_value), n_triads)


def _circles(rates: Array) -> float:
    """Closed walks of length three among "beats": each circle is counted from each of its three corners."""
    beats = (rates > 0.5).astype(float)
    return float(np.einsum("ij,ji->", beats @ beats, beats)) / 3


@dataclass(frozen=True)
class Cells:
    """One value for each (cluster, unordered pair) that occurs: mean preference for the pair's lower-numbered model."""

    n_models: int
    first: np.ndarray[tuple[int], np.dtype[np.int64]]
    second: np.ndarray[tuple[int], np.dtype[np.int64]]
    met: csr_matrix
    won: csr_matrix

    @property
    def n_clusters(self) -> int:
        return int(self.met.shape[1])

    @classmethod
    def of(cls, matches: Matches) -> Cells:
        n = len(matches.models)
        keep = matches.model_1 != matches.model_2
        if matches.weight is not None:
            keep &= matches.weight > 0
        a, b, p = matches.model_1[keep], matches.model_2[keep], matches.p[keep]
        weight = np.ones(len(p)) if matches.weight is None else matches.weight[keep]
        cluster, ids = compact(matches.cluster[keep])
        if len(ids) < 2:
            raise InputError(
                f"all comparisons belong to {plural(len(ids), 'instruction')}; a ranking needs at least two"
            )
        low, high = np.minimum(a, b), np.maximum(a, b)
        won = np.where(a < b, 1 - p, p)
        pair, pairs = compact(low * n + high)
        shape = (len(pairs), len(ids))
        # several rows of a pair on one instruction are summed here
        total, taken = (csr_matrix((values, (pair, cluster)), shape=shape) for values in (weight, weight * won))
        cells = (np.ones_like(total.data), taken.data / total.data)
        met, mean = (csr_matrix((values, total.indices, total.indptr), shape) for values in cells)
        return cls(n, pairs // n, pairs % n, met, mean)

    def rates(self, weights: Array) -> Array:
        """Pair rates (B × M × M) under cluster weights (B × G); NaN for pairs that never met and on the diagonal."""
        met, won = self.met @ weights.T, self.won @ weights.T
        rate = np.divide(won, met, out=np.full_like(won, np.nan), where=met > 0)
        result = np.full((len(weights), self.n_models, self.n_models), np.nan)
        result[:, self.first, self.second] = rate.T
        result[:, self.second, self.first] = 1 - rate.T
        return result

    def noises(self, rates: Array) -> Callable[[Array], Array]:
        """Cluster weights (B × G) of mean 0 and variance 1 into antisymmetric (B × M × M) deviations of pair rates."""
        pair = np.repeat(np.arange(len(self.first)), np.diff(self.met.indptr))
        expected, count = rates[self.first, self.second], np.bincount(pair, self.met.data)
        deviations = self.won.copy()
        deviations.data = (self.won.data - expected[pair] * self.met.data) / count[pair]

        def drawn(weights: Array) -> Array:
            noise = deviations @ np.ascontiguousarray(weights.T)
            result = np.zeros((len(weights), self.n_models, self.n_models))
            result[:, self.first, self.second] = noise.T
            result[:, self.second, self.first] = -noise.T
            return result

        return drawn
