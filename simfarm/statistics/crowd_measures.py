"""What a crowd of known parameters is expected to do, by the measures that it is held against people by, and how far a
fit's errors move that.

A crowd fitted to half of the labels differs from people on the other half for two reasons, people's luck there and the
fit's own error; a verdict that knows only of the first calls a right crowd wrong.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from simfarm.statistics.crowd import CrowdParameters, crowd_logit, crowd_shares, hermite
from simfarm.statistics.crowd_fit import CrowdFit
from simfarm.statistics.estimate import Array

__all__ = ["crowd_errors", "crowd_measures"]

_NODES, _PERSON_NODES = 15, 7
_MOST_ITEMS = 800
"""Items that an expectation is taken over at most, evenly spaced among all: it is a mean."""
_FAR = 30
"""Characters that outputs differ by where one is the longer."""


def crowd_measures(parameters: CrowdParameters, lean: Array, delta: Array, m: int) -> dict[str, float]:
    """The expected `pairwise`, `leave_one_out` and `entropy` (bits) of m labels an item, `longer`, `output_1`,
    `follows_sure`, `follows_unsure` (the judge's side, where its runs agree and where they do not) and `longer_spread`
    (the sd of persons in `longer`), those that the items can tell.

    `lean` is the mean of a judge's runs on each item, −1 to 1, `delta` output_2's length less that of output_1.
    """
    thin = max(1, math.ceil(len(lean) / _MOST_ITEMS))
    lean, delta = lean[::thin], delta[::thin]
    unanimous = np.where(np.abs(lean) == 1, lean, 0.0)
    shares = _shares(parameters, unanimous, delta)
    made = {"pairwise": float(_mean((shares**2).sum(axis=-1)))}
    if m > 1:
        made["leave_one_out"] = sum(_mean(chance * _next_is_mode(shares, n)) for n, chance in _splits(shares, m - 1))
        made["entropy"] = sum(_mean(chance) * _entropy(n) for n, chance in _splits(shares, m))
    taken = np.einsum("iqs,q->is", shares, hermite(_NODES)[1])
    sides = {
        "longer": np.sign(delta) * (np.abs(delta) > _FAR),
        "output_1": -np.ones(len(delta)),
        "follows_sure": unanimous,
        "follows_unsure": np.where(unanimous == 0, np.sign(lean), 0.0),
    }
    made |= {name: share for name, side in sides.items() if not math.isnan(share := _taken(taken, side))}
    if parameters.length_sd > 0 and "longer" in made:
        made["longer_spread"] = _spread(parameters, unanimous, delta, sides["longer"])
    return made


def crowd_errors(fit: CrowdFit, lean: Array, delta: Array, m: int) -> dict[str, float]:
    """The standard error that each of `crowd_measures` has of the fit (delta method)."""
    names = [name for name in (*fit.covered, *fit.spread_of) if getattr(fit.parameters, name) or name not in _LEAST]
    covariance = np.diag([fit.standard_errors[name] ** 2 for name in names])
    n = sum(name in fit.covered for name in names)
    kept = [k for k, name in enumerate(fit.covered) if name in names]
    covariance[:n, :n] = fit.covariance[np.ix_(kept, kept)]
    slopes = []
    for name in names:
        value, step = getattr(fit.parameters, name), 0.1 * fit.standard_errors[name]
        low = max(0.0, value - step) if name in _LEAST else value - step
        ends = [crowd_measures(replace(fit.parameters, **{name: x}), lean, delta, m) for x in (low, value + step)]
        slopes.append({key: (ends[1][key] - ends[0].get(key, 0.0)) / (value + step - low) for key in ends[1]})
    keys = crowd_measures(fit.parameters, lean, delta, m)
    by_key = {key: np.array([slope.get(key, 0.0) for slope in slopes]) for key in keys}
    return {key: math.sqrt(max(0.0, float(v @ covariance @ v))) for key, v in by_key.items()}


_LEAST = frozenset({"item_sd", "tie", "length_sd", "position_sd"})
"""What is not below 0."""


def _shares(parameters: CrowdParameters, unanimous: Array, delta: Array) -> Array:
    """The shares of the sides on each item at each node of u (items × nodes × 3), the mean over persons."""
    node, _ = hermite(_NODES)
    own, weight = hermite(_PERSON_NODES if parameters.length_sd or parameters.position_sd else 1)
    x = np.tanh(delta / parameters.scale)
    spread = np.sqrt((parameters.length_sd * x) ** 2 + parameters.position_sd**2)
    eta = crowd_logit(parameters, unanimous[:, None], delta[:, None], item=node)
    every = crowd_shares(parameters, eta[:, :, None] + spread[:, None, None] * own)
    return np.asarray(np.einsum("iqps,p->iqs", every, weight), dtype=np.float64)


def _mean(values: Array) -> float:
    """The mean over items and nodes of u (items × nodes)."""
    return float(values.mean(axis=0) @ hermite(_NODES)[1])


def _splits(shares: Array, m: int) -> Iterator[tuple[Array, Array]]:
    """Each way that m labels fall on the three sides, and how likely it is on each item and node."""
    for a in range(m + 1):
        for b in range(m + 1 - a):
            counts = np.array([a, b, m - a - b])
            ways = math.factorial(m) / math.prod(math.factorial(int(n)) for n in counts)
            yield counts, ways * (shares**counts).prod(axis=-1)


def _next_is_mode(shares: Array, counts: Array) -> Array:
    """How likely one more label is the mode of labels that took the sides so often, a share of it where they tie."""
    top = counts == counts.max()
    return np.asarray(shares[..., top].sum(axis=-1) / top.sum(), dtype=np.float64)


def _entropy(counts: Array) -> float:
    p = counts[counts > 0] / counts.sum()
    return float(-(p @ np.log2(p)))


def _taken(taken: Array, side: Array) -> float:
    """How often a label without a tie takes `side` (±1, 0 left out), of the shares of the sides (items × 3)."""
    right = np.where(side > 0, taken[:, 2], taken[:, 0])[side != 0]
    whole = (taken[:, 0] + taken[:, 2])[side != 0]
    return float(right.sum() / whole.sum()) if whole.sum() > 0 else math.nan


def _spread(parameters: CrowdParameters, unanimous: Array, delta: Array, side: Array) -> float:
    """The sd of persons in the share that takes `side`; their taste for a place hardly moves it."""
    node, weight = hermite(_PERSON_NODES)
    rest = replace(parameters, length_sd=0.0, position_sd=0.0)
    own = [replace(rest, length=parameters.length + parameters.length_sd * g) for g in node]
    u = hermite(_NODES)[1]
    rates = np.array([_taken(np.einsum("iqs,q->is", _shares(one, unanimous, delta), u), side) for one in own])
    return float(np.sqrt(weight @ (rates - weight @ rates) ** 2))
