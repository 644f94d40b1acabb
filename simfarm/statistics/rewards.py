"""What a reader rewards: logistic weights of preferences on property differences, right in small samples too.

A dozen properties and a hundred comparisons are few verdicts for a weight: plain maximum likelihood is too large there
by a third, and infinite where a property splits the verdicts. So the likelihood has Jeffreys' prior, which takes the
first order of that bias away and has a maximum always (Firth 1993; Heinze and Schemper 2002), and the intervals are the
cluster sandwich of `leverage`, which knows how few comparisons a rare property hangs on. The larger a weight, the fewer
verdicts it leaves undecided, and those say how large it is: its error grows with it (`Estimate.growth`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from simfarm.errors import SimfarmError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.leverage import pulls
from simfarm.statistics.logistic import Codes, Fit, Rows

__all__ = ["independent", "property_weights"]

_FLAT = 1e-4
"""Slope of the likelihood at its maximum: a ten-thousandth of a standard error away."""
_UNSEEN = 0.5
"""Of a verdict, as in `bounded`."""
_MOST_COLUMNS = 1000
"""Apart enough for the terms of two readers never to be taken for one another's."""
_LEAST_DISPERSION = 0.1
"""A prior of nearly no weight would not bound the weights, and a reader that only ties would be sure of them."""


@dataclass(frozen=True)
class _Maximum:
    """The params, the inverse of the verdicts' information there, what is left of a pull (K × K) where the prior holds
    against it, and the dispersion."""

    params: Array
    bread: Array
    held: Array
    dispersion: float


def property_weights(x: Array, p: Array, weight: Array, cluster: Codes, *, reader: int = 0) -> list[Estimate]:
    """The weight of each column of x (n × K) in logit P(second preferred) = x·β, in logits for one of x.

    `p` is how strongly the second is preferred, in [0, 1], `weight` what a verdict counts (those on one comparison
    share the weight one), `cluster` the unit of independence. The columns must not be combinations of one another
    (`independent`). Weights of two `reader`s, numbered from 0, on the same comparisons subtract to a paired difference,
    as if both were fitted at once with every term apart; what either has not shown adds up.
    """
    ids, code = np.unique(cluster, return_inverse=True)
    fit = _fit(x, p, weight, code)
    # `leverage` fits strengths of models beside: here one, which has none
    bread = np.zeros((x.shape[1] + 1,) * 2)
    bread[0, 0], bread[1:, 1:] = 1.0, fit.bread
    rows = Rows(np.zeros(len(p), dtype=np.int64), weight, weight * p, x)
    found = pulls(rows, 1, Fit(np.append(0.0, fit.params), bread, 0.0), code, len(ids), of=len(ids))
    changes = fit.held @ found.changes[1:] * len(ids)
    changes -= changes.mean(axis=1, keepdims=True)  # the prior's pull is no cluster's
    freedom = found.freedom(len(ids))[1:]
    unseen = np.hstack([fit.held @ _unseen(x, weight, fit), _model_error((x, p, weight, code), changes, fit)])
    shared = np.hstack([np.zeros((len(unseen), reader * _MOST_COLUMNS)), unseen])
    made = [
        Estimate(float(value), change, ids, rate=False, shared=terms, freedom=float(df))
        for value, change, terms, df in zip(fit.params, changes, shared, freedom, strict=True)
    ]
    return [
        replace(e, growth=(1 - at_zero) * e.standard_error / e.value if e.value else 0.0)
        for e, at_zero in zip(made, _at_zero(x, weight, fit).tolist(), strict=True)
    ]


def _at_zero(x: Array, weight: Array, fit: _Maximum) -> Array:
    """How large the model's error of each weight (K,) is were the weight 0, beside what it is: at most 1. One that
    decides nearly every verdict leaves few to tell how large it is. The other weights go with it, as the fit has them
    hang together."""
    found = np.ones(len(fit.params))
    for k, value in enumerate(fit.params):
        chance = expit(x @ (fit.params - value * fit.bread[:, k] / fit.bread[k, k]))
        information = (x * (weight * chance * (1 - chance))[:, None]).T @ x
        found[k] = np.sqrt(np.linalg.inv(information)[k, k] / fit.bread[k, k])
    return np.minimum(1.0, found)


def _unseen(x: Array, weight: Array, fit: _Maximum) -> Array:
    """Error terms (K × K) of what the few that carry a rare property have not shown: half a verdict the other way.

    Where a tenth of the comparisons carry it, they differ by several spreads, the verdicts there are nearly all alike,
    and residuals near zero are falsely sure. The verdict stands as far out as the property's tail is longer than a
    normal one's (fourth moment 3), which itself has none.
    """
    squares = weight @ x**2
    tail = np.maximum(0.0, weight @ x**4 / squares / (3 * squares / weight.sum()) - 1) * squares / weight.sum()
    missed = fit.dispersion * expit(np.abs(fit.params) * np.sqrt(tail))
    terms: Array = fit.bread * np.sqrt(_UNSEEN * tail) * missed
    return terms


def _model_error(rows: tuple[Array, Array, Array, Codes], changes: Array, fit: _Maximum) -> Array:
    """Error terms (K × K) of what the model says a weight cannot be surer than, beyond what the clusters say.

    Where a property decides nearly every verdict, or a reader nearly always takes one side, the residuals are nearly
    nought but for a few, and a sample that happens to lack these is sure of a weight that is too small. `rows` are x,
    p, weight and the cluster, of which there are as many as `changes` (K × G) has columns.
    """
    x, p, weight, cluster = rows
    reach = weight[:, None] * (x @ fit.bread @ fit.held.T)
    own, left = _variances(p, expit(x @ fit.params))
    n = changes.shape[1]
    pulled = np.stack([np.bincount(cluster, column * left, minlength=n) for column in reach.T])
    told = (pulled**2).sum(axis=1) + (own - left**2) @ reach**2
    told = np.maximum(told, _LEAST_DISPERSION * np.diag(fit.held @ fit.bread @ fit.held.T))
    said = (changes**2).sum(axis=1) / max(1, n * (n - 1))
    return np.diag(np.sqrt(np.maximum(0.0, told - said)))


def _fit(x: Array, p: Array, weight: Array, cluster: Codes) -> _Maximum:
    """The maximum of the likelihood with φ times Jeffreys' log prior, φ the dispersion of what the clusters say.

    Four people's mean is surer than one verdict, and its weights are that much less too large (Kosmidis and Lunardon
    2024 for quasi-likelihoods). φ is taken at the maximum for φ = 1, and once more at that.
    """
    first = _maximum(x, p, weight, 1.0, np.zeros(x.shape[1]))
    second = _maximum(x, p, weight, _dispersion(p, expit(x @ first.params), weight, cluster), first.params)
    return _maximum(x, p, weight, _dispersion(p, expit(x @ second.params), weight, cluster), second.params)


def _maximum(x: Array, p: Array, weight: Array, dispersion: float, start: Array) -> _Maximum:
    """The maximum by quasi-Newton steps (Newton's own, without the prior's curvature, may go round it), in columns that
    are made independent first, so that its steps are of one size."""
    turn = np.linalg.inv(np.linalg.cholesky((x * weight[:, None]).T @ x / 4)).T
    z = x @ turn

    def loss(params: Array) -> tuple[float, Array]:
        eta = z @ params
        chance = expit(eta)
        curved = weight * chance * (1 - chance)
        information = (z * curved[:, None]).T @ z
        sign, size = np.linalg.slogdet(information)
        if sign <= 0:
            return np.inf, np.zeros(len(params))
        leverage = curved * ((z @ np.linalg.inv(information)) * z).sum(axis=1)
        value = weight @ (p * eta - np.logaddexp(0, eta)) + dispersion / 2 * size
        score = z.T @ (weight * (p - chance) + dispersion * leverage * (0.5 - chance))
        return -float(value), -score

    found = minimize(
        loss, np.linalg.solve(turn, start), jac=True, method="BFGS", options={"gtol": 1e-7, "maxiter": 500}
    )
    if not np.abs(found.jac).max() < _FLAT:
        raise SimfarmError("the weights did not converge; leave a property out and try again")
    params = turn @ found.x
    chance = expit(x @ params)
    curved = chance * (1 - chance)
    bread = np.linalg.inv((x * (weight * curved)[:, None]).T @ x)
    leverage = weight * curved * ((x @ bread) * x).sum(axis=1)
    # the prior is so many verdicts more, on which the estimate leans: no cluster pulls it as far as it would without
    leaning = np.linalg.inv((x * ((weight + dispersion * leverage) * curved)[:, None]).T @ x)
    return _Maximum(params, bread, leaning @ np.linalg.inv(bread), dispersion)


def _dispersion(p: Array, chance: Array, weight: Array, cluster: Codes) -> float:
    """The variance of what clusters say beside that of one verdict each, at most 1; the products of two verdicts in a
    cluster are taken from the residuals."""
    variance = chance * (1 - chance)
    own, left = _variances(p, chance)
    together = np.bincount(cluster, weight * left) ** 2
    found = float((weight**2 * own).sum() + together.sum() - (weight**2 * left**2).sum())
    return min(1.0, max(_LEAST_DISPERSION, found / float((weight * variance).sum())))


def _variances(p: Array, chance: Array) -> tuple[Array, Array]:
    """(the variance of each verdict, its residual): that of a hard one is known, π(1 − π), whatever the fit; only of
    soft ones is it the residual's square, which near separation is nought."""
    left = p - chance
    return np.where((p == 0) | (p == 1), chance * (1 - chance), left**2), left


def independent(x: Array) -> list[int]:
    """The columns (n × K) that are no combination of those before them, to a part in a million."""
    kept: list[int] = []
    basis = np.zeros((len(x), 0))
    for k in range(x.shape[1]):
        left = x[:, k] - basis @ (basis.T @ x[:, k])
        left -= basis @ (basis.T @ left)
        size = float(np.linalg.norm(left))
        if size > 1e-6 * float(np.linalg.norm(x[:, k])):
            kept.append(k)
            basis = np.column_stack([basis, left / size])
    return kept
