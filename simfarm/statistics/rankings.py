"""Two rankings of the same models, by two judges or a judge and people: how alike, and how sure that is.

Rates are means over clusters, and both rankings are of the same clusters: what the two share of the noise is drawn
together. Correlations of estimated rates fall short of those of the true ones, because noise has no order; resampling
adds the noise once more. Limits are the widest of three: the resampled correlations, their mirror image about the
estimate, and their spread about what a parabola through the correlations under no, one and two more doses of noise says
of one dose less (simulation extrapolation, Cook and Stefanski 1994).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.special import stdtrit

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["Alike", "alike", "kendall", "rate_table", "rates", "spearman"]

_DRAWS = 1000
_GROUPS = 500
"""Clusters beyond this many are resampled in groups of equal size: a mean over many does not mind."""
_SURE = 1.96
_AT_ONCE = 1 << 20
"""Pairs of models in a block of draws."""
_ALIKE = 9
"""Decimals beyond which rates are equal: what differs there is one rate, summed in two orders."""


@dataclass(frozen=True)
class Alike:
    """`spearman`, `kendall` (τ-b) and `error` (mean absolute difference of the rates), each with its limits."""

    spearman: tuple[float, float, float]
    kendall: tuple[float, float, float]
    error: tuple[float, float, float]
    n_clusters: int


def rate_table(first: Codes, second: Codes, p: Array, cluster: Codes, n_models: int) -> tuple[Array, Array]:
    """(what each model won, how often it met another), each clusters × models, of comparisons of the models `first` and
    `second` with `p` for the second (NaN left out)."""
    known = ~np.isnan(p)
    _, place = np.unique(cluster[known], return_inverse=True)
    n = (int(place.max()) + 1 if len(place) else 0) * n_models
    at = [place * n_models + side[known] for side in (first, second)]
    won = np.bincount(at[0], 1 - p[known], minlength=n) + np.bincount(at[1], p[known], minlength=n)
    met = np.bincount(at[0], minlength=n) + np.bincount(at[1], minlength=n)
    return won.astype(np.float64).reshape(-1, n_models), met.astype(np.float64).reshape(-1, n_models)


def rates(won: Array, met: Array) -> Array:
    """Each model's share of what it met, over the first axis; NaN where it met nothing."""
    total = met.sum(axis=0)
    found: Array = np.divide(won.sum(axis=0), total, out=np.full(total.shape, np.nan), where=total > 0)
    return found


def alike(one: Array, other: Array, met: Array, level: float = 0.95, seed: int = 0) -> Alike:
    """How alike the rankings by `one` and `other` are: what each model won under either (clusters × models) of what it
    `met`. Models without a rate are left out; with fewer than three there is no correlation (NaN)."""
    kept = met.sum(axis=0) > 0
    one, other, met = _grouped([table[:, kept] for table in (one, other, met)])
    n = len(met)
    a, b = rates(one, met), rates(other, met)
    rng = np.random.default_rng(seed)
    drawn = [_drawn(one, other, met, rng) for _ in range(2)]
    # noise once more, and twice more, than the estimates have
    more = [drawn[0], tuple(x + y - mean for x, y, mean in zip(*drawn, (a, b), strict=True))]
    limits = []
    values = _correlations(a[None], b[None])
    noisy = [_correlations(*pair) for pair in more]
    for k in range(2):
        limits.append(_limits(float(values[k, 0]), [found[k] for found in noisy], level))
    value, low, high = limits[1]
    limits[1] = (value, low, max(high, _most_alike(a, b, drawn[0])))
    return Alike(limits[0], limits[1], _error(one - other, met, a - b, level, rng), n)


def _grouped(tables: list[Array]) -> list[Array]:
    n = len(tables[0])
    if n <= _GROUPS:
        return tables
    group = np.random.default_rng(0).permutation(np.arange(n) % _GROUPS)
    return [np.column_stack([np.bincount(group, column, _GROUPS) for column in table.T]) for table in tables]


def _drawn(one: Array, other: Array, met: Array, rng: np.random.Generator) -> tuple[Array, Array]:
    """Rates under either of resampled clusters, draws × models, without draws in which a model met nothing."""
    n = len(met)
    weights = rng.multinomial(n, np.full(n, 1 / n), size=_DRAWS).astype(np.float64)
    total = weights @ met
    whole = np.where((total > 0).all(axis=1, keepdims=True), np.where(total > 0, total, 1), np.nan)
    return weights @ one / whole, weights @ other / whole


def _limits(value: float, noisy: list[Array], level: float) -> tuple[float, float, float]:
    """A correlation with its limits, from those under noise once and twice more."""
    once, twice = (x[~np.isnan(x)] for x in noisy)
    if np.isnan(value) or min(len(once), len(twice)) < _DRAWS / 2:
        return value, np.nan, np.nan
    low, high = (float(x) for x in np.quantile(once, [0.5 - level / 2, 0.5 + level / 2]))
    middle = float(once.mean())
    without = value - 3 * (middle - value) + float(twice.mean()) - value
    return (
        value,
        max(-1.0, min(low, 2 * value - high, without - (high - middle))),
        min(1.0, max(high, 2 * value - low, without + (middle - low))),
    )


def _most_alike(a: Array, b: Array, drawn: tuple[Array, Array]) -> float:
    """Kendall's τ were all pairs of models alike but those that the two tell apart in opposite orders: models that
    neither could order lower a τ of estimates however alike the true rankings are."""
    i, j = np.triu_indices(len(a), 1)
    sure = []
    for rate, more in zip((a, b), drawn, strict=True):
        gap, spread = rate[i] - rate[j], np.nanstd(more[:, i] - more[:, j], axis=0)
        sure.append(np.sign(gap) * (np.abs(gap) > _SURE * spread))
    return 1 - 2 * float((sure[0] * sure[1] < 0).mean()) if len(i) else np.nan


def _error(
    gap: Array, met: Array, difference: Array, level: float, rng: np.random.Generator
) -> tuple[float, float, float]:
    """The mean of |d| over models with limits that hold whatever the d are: at most its estimate and t standard errors
    of the worst signs; at least its estimate less what noise alone would give (see `reliability`)."""
    n, models = met.shape
    total = met.sum(axis=0)
    pulls = n * (gap - difference * met) / total
    covariance = np.cov(pulls, rowvar=False).reshape(models, models) / n
    spread = np.sqrt(np.diag(covariance))
    plain = float(np.abs(difference).mean())
    values, axes = np.linalg.eigh(covariance)
    noise = np.abs(rng.standard_normal((_DRAWS * 4, models)) * np.sqrt(np.maximum(values, 0)) @ axes.T).mean(axis=1)
    high = plain + float(stdtrit(n - 1, 0.5 + level / 2)) * float(spread.mean())
    return plain, max(0.0, plain - float(np.quantile(noise, 0.5 + level / 2))), min(1.0, high)


def spearman(a: Array, b: Array) -> float:
    """Spearman's ρ with middle ranks; NaN below three models, or where all of one side are equal."""
    return float(_correlations(a[None], b[None])[0, 0])


def kendall(a: Array, b: Array) -> float:
    """Kendall's τ-b; NaN below three models, or where all of one side are equal."""
    return float(_correlations(a[None], b[None])[1, 0])


def _correlations(a: Array, b: Array) -> Array:
    """(ρ, τ-b) of each row of rates (draws × models), 2 × draws, both from which of two models is ahead: a middle rank
    is half the sum of that over the other models."""
    draws, models = a.shape
    found = np.full((2, draws), np.nan)
    step = max(1, _AT_ONCE // max(1, models * models))
    for low in range(0, draws if models > 2 else 0, step):
        rows = slice(low, low + step)
        one, other = (np.sign(np.round(x[:, :, None] - x[:, None, :], _ALIKE)) for x in (a[rows], b[rows]))
        ranks = one.sum(axis=2), other.sum(axis=2)
        found[0, rows] = _cosine(*ranks)
        found[1, rows] = _cosine(one.reshape(len(one), -1), other.reshape(len(one), -1))
    return found


def _cosine(x: Array, y: Array) -> Array:
    scale = np.sqrt((x * x).sum(axis=1) * (y * y).sum(axis=1))
    found: Array = np.divide((x * y).sum(axis=1), scale, out=np.full(len(x), np.nan), where=scale > 0)
    return found
