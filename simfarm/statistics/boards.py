"""Would people rank the models as the judge does? Rank correlation and mean absolute error of two boards.

A board is a sample of verdicts, and noise makes two boards less alike than the rates behind them: a bootstrap adds that
noise once more, and Fisher's z knows of the number of models only. So the rates behind are drawn instead: each model's
two rates (judge's, people's) from a normal population of pairs whose spread and correlation are drawn too (Gibbs's
sampler; as vague beforehand as leaves them unbiased for few models), given the observed rates and the covariance that
all of them have through the instructions they share. The figures of the drawn rates are the interval.

But a mean of |differences| is never 0 of drawn rates, nor near it where they are noisy: a lower limit from them lies
above the truth of boards that hardly differ, in two of five draws of four such models and 50 instructions. So the
error's lower limit is no higher than the least error under which one as large as is seen comes up often enough.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.stats import rankdata

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.text.words import plural

__all__ = ["MIN_MODELS", "BoardAgreement", "Figure", "board_agreement"]

MIN_MODELS = 3
"""Of two models there is one order or the other."""

_CHAINS, _BURNT, _KEPT = 100, 30, 15
"""Gibbs chains, side by side; the steps of each that are forgotten, and those that are kept."""
_SCALES, _SHARES = 20, 60
"""Guesses at how large the noise is, and at its share in a difference."""
_HALVINGS = 20
"""Of the least error: to a millionth of the seen one."""
_MANY = 60
"""Models beyond which a quarter of the chains do: a step costs their number cubed, and their spread is well known."""


@dataclass(frozen=True)
class Figure:
    """One figure of two boards: of the rates as observed (`plain`), and of the rates behind them: `value` (median),
    `low` and `high`."""

    plain: float
    value: float
    low: float
    high: float


@dataclass(frozen=True)
class BoardAgreement:
    """How a judge's board and people's go together, over `n_models` models: rank correlations, and the mean over models
    of |judge's rate − people's rate|, in the rates' own unit."""

    spearman: Figure
    kendall: Figure
    mean_absolute_error: Figure
    n_models: int


def board_agreement(
    judge: Sequence[Estimate], people: Sequence[Estimate], *, level: float = 0.95, seed: int = 0
) -> BoardAgreement:
    """Agreement of two boards of the same models in the same order, each an `Estimate` whose clusters are the same
    codes on both boards. Raises `InputError` for fewer than `MIN_MODELS` models or a rate without an error."""
    if len(judge) != len(people):
        raise InputError(f"the judge's board ranks {len(judge)}, people's {len(people)}; give the models of both")
    if len(judge) < MIN_MODELS:
        raise InputError(
            f"{plural(len(judge), 'model is', 'models are')} on both boards; comparing them takes {MIN_MODELS}"
        )
    both = [*judge, *people]
    if any(np.isnan(e.standard_error) for e in both):
        raise InputError("a rate has fewer than two instructions; leave out models that hardly anyone judged")
    seen = np.array([e.value for e in both]).reshape(2, -1)
    rng, root = np.random.default_rng(seed), _root(both)
    drawn, chance = _rates_behind(seen, root, rng), (1 - level) / 2
    return BoardAgreement(
        spearman=_figure(_spearman(seen[None]), _spearman(drawn), chance),
        kendall=_figure(_kendall(seen[None]), _kendall(drawn), chance),
        mean_absolute_error=_error(seen, root, chance, rng),
        n_models=len(judge),
    )


def _figure(of_seen: Array, of_drawn: Array, chance: float) -> Figure:
    low, middle, high = np.quantile(of_drawn, [chance, 0.5, 1 - chance])
    return Figure(float(of_seen[0]), float(middle), float(low), float(high))


def _error(seen: Array, root: Array, chance: float, rng: np.random.Generator) -> Figure:
    """The mean absolute error of `seen` (2 × M), with `chance` of the truth beyond either limit."""
    gaps = _gaps_behind(seen, root, rng)
    found = _figure(np.abs(seen[:1] - seen[1:]).mean(axis=1), np.abs(gaps).mean(axis=1), chance)
    return replace(found, low=min(found.low, _least_error(seen, root, chance, rng)))


def _root(estimates: Sequence[Estimate]) -> Array:
    """R (estimates × sources) with R Rᵀ the covariance of the values' errors."""
    ids = np.unique(np.concatenate([e.clusters for e in estimates]))
    root = np.zeros((len(estimates), len(ids)))
    for row, e in zip(root, estimates, strict=True):
        row[np.searchsorted(ids, e.clusters)] = e.influence / np.sqrt(e.n_clusters * (e.n_clusters - 1))
    shared = np.zeros((len(estimates), max(len(e.shared) for e in estimates)))
    for row, e in zip(shared, estimates, strict=True):
        row[: len(e.shared)] = e.shared
    return np.hstack([root, shared])


def _rates_behind(seen: Array, root: Array, rng: np.random.Generator) -> Array:
    """Draws (D × 2 × M) of the rates behind `seen` (2 × M), whose errors have the covariance root·rootᵀ."""
    m = seen.shape[1]
    chains = _CHAINS // (4 if m > _MANY else 1)
    noise = root @ root.T
    values, axes = np.linalg.eigh(noise)
    short = axes * np.sqrt(np.maximum(values, 0))
    floor = np.eye(2) * max(float(np.diag(noise).mean()) / 2, 1e-12)
    # how large the errors are is known from as many clusters as there are
    freedom = max(1, int(np.count_nonzero(root.any(axis=0))) - 1)
    scale = np.sqrt(freedom / rng.chisquare(freedom, chains))[:, None, None]
    # of three models a drawn spread may be beyond all numbers; ten thousand times what is seen is as good as any
    widest = 1e4 * float(np.trace(np.cov(seen) + floor))
    theta = np.broadcast_to(seen, (chains, 2, m))
    spread = np.broadcast_to(np.cov(seen) + floor, (chains, 2, 2))
    found = np.empty((_KEPT, chains, 2, m))
    for k in range(_BURNT + _KEPT):
        centre = theta.mean(axis=2, keepdims=True)
        centre = centre + np.linalg.cholesky(spread / m) @ rng.standard_normal((chains, 2, 1))
        left = theta - centre
        # a larger freedom would make few models more alike than they are
        spread = _inverse_wishart(left @ left.transpose(0, 2, 1) + floor, m - 1, rng)
        spread = spread * np.minimum(1, widest / np.trace(spread, axis1=1, axis2=2))[:, None, None]
        # Matheron: a draw of rates and of errors, moved by what they miss of the data
        prior = centre + np.linalg.cholesky(spread) @ rng.standard_normal((chains, 2, m))
        missed = seen - prior - scale * (rng.standard_normal((chains, 2 * m)) @ short.T).reshape(chains, 2, m)
        wide = np.einsum("cij,kl->cikjl", spread, np.eye(m)).reshape(chains, 2 * m, 2 * m)
        theta = prior + (wide @ np.linalg.solve(wide + scale**2 * noise, missed.reshape(chains, -1, 1))).reshape(
            chains, 2, m
        )
        if k >= _BURNT:
            found[k - _BURNT] = theta
    return found.reshape(-1, 2, m)


def _gaps_behind(seen: Array, root: Array, rng: np.random.Generator) -> Array:
    """Draws (D × M) of the differences of rates behind `seen` (2 × M), which are normal about a common one.

    The share of noise in an observed difference is as likely to be anything between 0 and 1 beforehand (the uniform
    shrinkage prior; Daniels 1999): a flat spread would make up an error where a few noisy boards agree.
    """
    m = seen.shape[1]
    draws = _CHAINS * _KEPT
    apart = root[:m] - root[m:]
    noise, axes = np.linalg.eigh(apart @ apart.T)
    noise = np.maximum(noise, 0) + 1e-12
    freedom = max(1, int(np.count_nonzero(apart.any(axis=0))) - 1)
    # S scales of the noise × B shares of it × M axes
    scale = freedom / rng.chisquare(freedom, _SCALES)[:, None, None]
    share = ((np.arange(_SHARES) + 0.5) / _SHARES)[None, :, None]
    spread = scale * float(noise.mean()) * (1 - share) / share
    precision = 1 / (scale * noise + spread)
    gaps, ones = axes.T @ (seen[0] - seen[1]), axes.T @ np.ones(m)
    known = (precision * ones**2).sum(axis=2)
    middle = (precision * ones * gaps).sum(axis=2) / known
    missed = gaps - middle[:, :, None] * ones
    fit = (np.log(precision).sum(axis=2) - np.log(known) - (precision * missed**2).sum(axis=2)) / 2
    chance = np.exp(fit - fit.max(axis=1, keepdims=True))
    chance /= chance.sum(axis=1, keepdims=True)
    s = rng.integers(_SCALES, size=draws)
    b = (np.cumsum(chance, axis=1)[s] < rng.random((draws, 1))).sum(axis=1).clip(max=_SHARES - 1)
    centre = (middle[s, b] + rng.standard_normal(draws) / np.sqrt(known[s, b]))[:, None] * ones
    wide = spread[s, b]
    drawn = centre + wide * precision[s, b] * (gaps - centre)
    drawn += np.sqrt(wide * precision[s, b] * scale[s, 0] * noise) * rng.standard_normal((draws, m))
    found: Array = drawn @ axes.T
    return found


def _least_error(seen: Array, root: Array, chance: float, rng: np.random.Generator) -> float:
    """The mean |difference| of rates behind `seen` (2 × M) under which the seen one or more comes up with `chance`; 0
    where it does so of equal rates.

    The differences behind are taken for the seen ones, all smaller by one factor: by how much is one unknown, and the
    chance grows with it (Anderson 1955: of symmetric noise about a symmetric convex set).
    """
    gaps, apart = seen[0] - seen[1], root[: seen.shape[1]] - root[seen.shape[1] :]
    noise, axes = np.linalg.eigh(apart @ apart.T)
    freedom = max(1, int(np.count_nonzero(apart.any(axis=0))) - 1)
    scale = np.sqrt(freedom / rng.chisquare(freedom, (_CHAINS * _KEPT, 1)))
    luck = scale * (rng.standard_normal((len(scale), len(gaps))) * np.sqrt(np.maximum(noise, 0))) @ axes.T
    luck = np.concatenate([luck, -luck])
    size = float(np.abs(gaps).mean())

    def too_much(factor: float) -> float:
        return float((np.abs(factor * gaps + luck).mean(axis=1) >= size).mean()) - chance

    if too_much(0.0) >= 0:
        return 0.0
    low, high = 0.0, 1.0
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if too_much(middle) < 0 else (low, middle)
    return low * size


def _inverse_wishart(scale: Array, freedom: float, rng: np.random.Generator) -> Array:
    """A 2 × 2 draw for each of C scales, by Bartlett's (1933) decomposition."""
    n = len(scale)
    lower = np.zeros((n, 2, 2))
    lower[:, 0, 0] = np.sqrt(rng.chisquare(freedom, n))
    lower[:, 1, 0] = rng.standard_normal(n)
    lower[:, 1, 1] = np.sqrt(rng.chisquare(freedom - 1, n))
    half = np.linalg.solve(lower, np.linalg.cholesky(scale).transpose(0, 2, 1))
    drawn: Array = half.transpose(0, 2, 1) @ half
    return drawn


def _spearman(rates: Array) -> Array:
    """Spearman's correlation of the two rows of each of D × 2 × M; NaN where one has no order."""
    ranks = rankdata(rates, axis=2)
    ranks -= ranks.mean(axis=2, keepdims=True)
    size = np.sqrt((ranks**2).sum(axis=2).prod(axis=1))
    found: Array = np.divide(ranks.prod(axis=1).sum(axis=1), size, out=np.full(len(rates), np.nan), where=size > 0)
    return found


def _kendall(rates: Array) -> Array:
    """Kendall's τ_b of the two rows of each of D × 2 × M; NaN where one has no order."""
    first, second = np.triu_indices(rates.shape[2], 1)
    one, other = (np.sign(rates[:, k, first] - rates[:, k, second]) for k in (0, 1))
    size = np.sqrt(np.abs(one).sum(axis=1) * np.abs(other).sum(axis=1))
    found: Array = np.divide((one * other).sum(axis=1), size, out=np.full(len(rates), np.nan), where=size > 0)
    return found
