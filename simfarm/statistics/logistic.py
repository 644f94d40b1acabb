"""The paired logistic likelihood behind Bradley-Terry: one pass over rows, Newton steps, the prior near separation.

logit P(second preferred) = θ[second] − θ[first] + x·β. A row may be one comparison or the sum of many with equal
covariates: without style features a million comparisons are a few thousand rows, and the fit is free.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from simfarm.errors import InputError, SimfarmError
from simfarm.statistics.estimate import Array

__all__ = [
    "Codes",
    "Fit",
    "Rows",
    "chances",
    "cluster_sums",
    "fit_rows",
    "named_parts",
    "points",
    "reached",
    "require_connected",
    "unseen",
]

Codes = NDArray[np.int64]

_TOLERANCE = 1e-8  # Newton converges quadratically: a last step of 1e-8 leaves an error near 1e-16
_MAX_STEPS = 40
_DIVERGED = 30.0  # logits; odds of 10^13 to 1 are no estimate, they are separation
_BLOCK = 1 << 12  # rows at a time: a block and its covariates stay in the processor's cache
_UNSEEN = 0.5  # verdicts that the data are taken not to have shown, as in `bounded`


@dataclass(frozen=True)
class Rows:
    """n rows of the likelihood: `pair` = first · M + second, `weight`, `won` = weight × p, `x` (n × K covariates)."""

    pair: Codes
    weight: Array
    won: Array
    x: Array


@dataclass(frozen=True)
class Fit:
    """θ (mean zero, logits) then β in `params`; `bread` (P × P) turns a summed score into a change of `params`.

    `prior` is the weight of the prior's comparison, 0 where the likelihood had a maximum of its own.
    """

    params: Array
    bread: Array
    prior: float


@dataclass(frozen=True)
class _Pass:
    value: float
    gradient: Array
    information: Array


def fit_rows(
    rows: Rows, n_models: int, names: tuple[str, ...] = (), *, unit: float = 1.0, start: Array | None = None
) -> Fit:
    """Maximum likelihood of M strengths and K slopes by Newton's method, with a prior where there is hardly a maximum.

    The likelihood has no maximum under separation: some group of models never lost a point to the rest (Ford 1957), or
    a covariate splits the verdicts perfectly. Then every model gets half a win and half a loss against an imaginary
    model of average strength, and every slope the same half and half at x = 1 (Jeffreys' Beta(½, ½) for a single coin),
    each of weight `unit`, which is the mean weight of one comparison. Soft verdicts can come as near to separation as
    they like: so where the weaker side took less than the half verdict that the prior would give it, the prior has the
    weight of what is missing. A cut with half a verdict against it has none, and the fit is plain maximum likelihood.

    The comparisons must be connected (`require_connected`). Raises `InputError` where covariates cannot be told from
    the strengths or from one another; `names` are theirs.
    """
    start = np.zeros(n_models + rows.x.shape[1]) if start is None else start
    prior, took = unit, points(rows, n_models)
    if not _separated(took):
        if rows.x.shape[1]:
            _require_identified(_penalised(rows, n_models, np.zeros_like(start), 0.0).information, n_models, names)
        fit = _newton(rows, n_models, start, 0.0)
        if fit is not None:
            prior = unit - _least_taken(rows, took, fit.params) / _UNSEEN
            if prior <= 0:
                return fit
    fit = _newton(rows, n_models, np.zeros_like(start), prior)
    if fit is None:
        raise SimfarmError("the Bradley-Terry fit did not converge; leave out a style feature or a model and try again")
    return fit


def points(rows: Rows, n_models: int) -> Array:
    """The points (M × M) that each model (row) took from each other one (column)."""
    square = (n_models, n_models)
    took: Array = np.bincount(rows.pair, rows.won, n_models**2).astype(np.float64).reshape(square).T
    took = took + np.bincount(rows.pair, rows.weight - rows.won, n_models**2).reshape(square)
    np.fill_diagonal(took, 0)
    return took


def _least_taken(rows: Rows, took: Array, params: Array) -> float:
    """The points that the weaker side took, at the cut of the ratings (or of the verdicts, where there are covariates)
    that comes nearest to separation."""
    n_models = len(took)
    order = np.argsort(params[:n_models])
    below = took[np.ix_(order, order)].cumsum(axis=0).cumsum(axis=1)
    least = float((below[:-1, -1] - np.diagonal(below)[:-1]).min())
    against = 0.0
    for low in range(0, len(rows.pair) if rows.x.shape[1] else 0, _BLOCK):
        part = slice(low, low + _BLOCK)
        some = Rows(rows.pair[part], rows.weight[part], rows.won[part], rows.x[part])
        ahead = chances(some, n_models, params) > 0.5
        against += float(np.where(ahead, some.weight - some.won, some.won).sum())
        if against > least:
            return least
    return min(least, against) if rows.x.shape[1] else least


def chances(rows: Rows, n_models: int, params: Array) -> Array:
    """The fitted chance (n,) that the second is preferred."""
    chance = np.empty(len(rows.pair))
    table = _strength_differences(params, n_models)
    for start in range(0, len(chance), _BLOCK):
        part = slice(start, start + _BLOCK)
        eta = table[rows.pair[part]]
        for k in range(rows.x.shape[1]):
            eta += params[n_models + k] * rows.x[part, k]
        chance[part] = expit(eta)
    return chance


def cluster_sums(rows: Rows, n_models: int, values: Array, cluster: Codes, n_clusters: int) -> Array:
    """Σ values × covariates of each cluster's rows (P × G): of what rows won beyond their chance, its score."""
    first, second = np.divmod(rows.pair, n_models)
    key = np.concatenate([second * n_clusters + cluster, first * n_clusters + cluster])
    signed = np.concatenate([values, -values])
    flat = np.bincount(key, signed, minlength=(n_models + rows.x.shape[1]) * n_clusters)
    sums: Array = flat.astype(np.float64, copy=False).reshape(-1, n_clusters)
    for k in range(rows.x.shape[1]):
        sums[n_models + k] = np.bincount(cluster, values * rows.x[:, k], minlength=n_clusters)
    return sums


def unseen(fit: Fit, n_models: int, pair: Codes, weight: Array, unit: float) -> Array:
    """Error terms (P × P) of what the clusters have not shown: half a verdict at the far end for each model and slope.

    Verdicts that are all alike leave residuals near zero, and a sandwich of them is falsely sure. So each model's
    errors hold half a verdict (of weight `unit`) that went the less likely way, against the others in the shares in
    which it met them, and each slope's the same at x = 1: what `bounded` gives a mean. In `pair` and `weight` rows may
    be sums. Where a model never lost, this is nearly the spread of independent verdicts under the fitted model; where
    a model has n verdicts near even it adds 1/(2n) of the variance.
    """
    met = np.bincount(pair, weight, minlength=n_models**2).reshape(n_models, n_models)
    met = met + met.T
    np.fill_diagonal(met, 0)
    total = met.sum(axis=1)
    share = np.divide(met, np.minimum.outer(total, total), out=np.zeros_like(met), where=met > 0)
    chance = expit(_strength_differences(fit.params, n_models)).reshape(n_models, n_models)
    amount = _UNSEEN * unit**2 * share * np.maximum(chance, 1 - chance) ** 2
    verdicts = np.zeros_like(fit.bread)
    verdicts[:n_models, :n_models] = np.diag(amount.sum(axis=1)) - amount
    slopes = np.arange(n_models, len(verdicts))
    verdicts[slopes, slopes] = _UNSEEN * unit**2 * expit(np.abs(fit.params[n_models:])) ** 2
    values, vectors = np.linalg.eigh(verdicts)
    terms: Array = fit.bread @ vectors * np.sqrt(np.maximum(values, 0))
    return terms


def require_connected(pair: Codes, models: tuple[str, ...]) -> None:
    """Raises `InputError`, naming the parts, where some models were never compared with others, even indirectly."""
    first, second = np.divmod(np.flatnonzero(np.bincount(pair, minlength=len(models) ** 2)), len(models))
    graph = np.zeros((len(models), len(models)), dtype=bool)
    graph[first, second] = graph[second, first] = True
    part, n_parts = np.full(len(models), -1), 0
    while (part < 0).any():
        part[reached(graph, int((part < 0).argmax()))] = n_parts
        n_parts += 1
    if n_parts > 1:
        raise InputError(
            f"the models fall into {n_parts} parts with no comparison between them: {named_parts(models, part)}; "
            "rate each part apart, or add comparisons across"
        )


def reached(graph: NDArray[np.bool_], start: int) -> NDArray[np.bool_]:
    """The models that the graph (M × M, from the row's to the column's) leads to from `start`, itself among them."""
    seen: NDArray[np.bool_] = np.arange(len(graph)) == start
    new = seen
    while new.any():
        new = graph[new].any(axis=0) & ~seen
        seen = seen | new
    return seen


def named_parts(models: tuple[str, ...], part: NDArray[np.int64]) -> str:
    """{a, b} and {c}: the models of each part, long lists cut."""

    def short(items: list[str], most: int) -> list[str]:
        return items if len(items) <= most else [*items[: most - 1], f"{len(items) - most + 1} more"]

    parts = []
    for p in range(int(part.max()) + 1):
        members = [m for m, of in zip(models, part, strict=True) if of == p]
        parts.append("{" + ", ".join(short(members, 6)) + "}")
    return " and ".join(short(parts, 4))


def _newton(rows: Rows, n_models: int, start: Array, prior: float) -> Fit | None:
    """Newton with step halving from `start`; None where it runs away (separation by a covariate)."""
    params, current = start, _penalised(rows, n_models, start, prior)
    for _ in range(_MAX_STEPS):
        try:
            step = np.linalg.solve(current.information, current.gradient)
        except np.linalg.LinAlgError:
            return None
        largest = float(np.abs(step).max())
        if not np.isfinite(largest) or np.abs(params + step).max() > _DIVERGED:
            return None
        if largest < _TOLERANCE:
            centre = _centring(len(params), n_models)
            return Fit(centre @ (params + step), centre @ np.linalg.inv(current.information) @ centre, prior)
        after = _penalised(rows, n_models, params + step, prior)
        while after.value < current.value - 1e-9 * abs(current.value) and largest > _TOLERANCE:
            step, largest = step / 2, largest / 2
            after = _penalised(rows, n_models, params + step, prior)
        params, current = params + step, after
    return None


def _penalised(rows: Rows, n_models: int, params: Array, prior: float) -> _Pass:
    """Log posterior, gradient and information on the plane Σθ = 0; off it the information is made regular.

    Verdicts know differences alone, so the plane costs nothing, and it is what makes the prior's imaginary model (of
    strength 0) the average one. A Newton step from the plane stays on it.
    """
    found = _pass(rows, n_models, params)
    value, gradient, information = found.value, found.gradient, found.information
    if prior:
        chance = expit(params)
        value -= prior / 2 * float((2 * np.logaddexp(0, params) - params).sum())
        gradient = gradient - prior * (chance - 0.5)
        information = information + np.diag(prior * chance * (1 - chance))
    centre = _centring(len(params), n_models)
    information = centre @ information @ centre
    information[:n_models, :n_models] += float(np.trace(information[:n_models, :n_models])) / n_models**2 + 1e-300
    return _Pass(value, centre @ gradient, information)


def _centring(n_params: int, n_models: int) -> Array:
    centre = np.eye(n_params)
    centre[:n_models, :n_models] -= 1 / n_models
    return centre


def _pass(rows: Rows, n_models: int, params: Array) -> _Pass:
    """Sums over the rows in blocks, so that memory beyond the rows themselves stays at a few megabytes."""
    cells, n_slopes = n_models**2, rows.x.shape[1]
    block = max(_BLOCK, 2 * cells)
    table = _strength_differences(params, n_models)
    value, residual, curved = 0.0, np.zeros(cells), np.zeros(cells)
    crossed, pulled, squared = np.zeros((n_slopes, cells)), np.zeros(n_slopes), np.zeros((n_slopes, n_slopes))
    for start in range(0, len(rows.pair), block):
        part = slice(start, start + block)
        pair, weight, won = rows.pair[part], rows.weight[part], rows.won[part]
        x = np.ascontiguousarray(rows.x[part].T)
        eta = table[pair]
        for k in range(n_slopes):
            eta += params[n_models + k] * x[k]
        small = np.exp(-np.abs(eta))
        chance = np.where(eta >= 0, 1.0, small) / (1 + small)
        value += float(won @ eta - weight @ (np.maximum(eta, 0) + np.log(1 + small)))
        gap = won - weight * chance
        spread = weight * chance * (1 - chance)
        residual += np.bincount(pair, gap, minlength=cells)
        curved += np.bincount(pair, spread, minlength=cells)
        if n_slopes:
            weighted = x * spread
            squared += x @ weighted.T
            for k in range(n_slopes):
                pulled[k] += gap @ x[k]
                crossed[k] += np.bincount(pair, weighted[k], minlength=cells)
    information = np.zeros((len(params), len(params)))
    both = curved.reshape(n_models, n_models)
    both = both + both.T
    information[:n_models, :n_models] = np.diag(both.sum(axis=1)) - both
    cross = _by_model(crossed, n_models)
    information[n_models:, :n_models] = cross
    information[:n_models, n_models:] = cross.T
    information[n_models:, n_models:] = squared
    return _Pass(value, np.concatenate([_by_model(residual[None], n_models)[0], pulled]), information)


def _by_model(cells: Array, n_models: int) -> Array:
    """Sums over pairs (K × M²) to sums by model (K × M): plus as second, minus as first."""
    square = cells.reshape(len(cells), n_models, n_models)
    summed: Array = square.sum(axis=1) - square.sum(axis=2)
    return summed


def _strength_differences(params: Array, n_models: int) -> Array:
    theta = params[:n_models]
    table: Array = (theta[None, :] - theta[:, None]).ravel()
    return table


def _separated(took: Array) -> bool:
    """Whether some models took every point from the others: the graph of "took something from" is not one circuit."""
    took_something = took > 1e-12 * float(took.max())
    return not (reached(took_something, 0).all() and reached(took_something.T, 0).all())


def _require_identified(information: Array, n_models: int, names: tuple[str, ...]) -> None:
    diagonal = np.sqrt(np.maximum(np.diag(information), 1e-300))
    values, vectors = np.linalg.eigh(information / np.outer(diagonal, diagonal))
    if values[0] < 1e-10:
        worst = names[int(np.abs(vectors[n_models:, 0]).argmax())]
        raise InputError(
            f"the effect of {worst!r} cannot be told from the models' strengths or from the other covariates; "
            f"leave {worst!r} out"
        )
