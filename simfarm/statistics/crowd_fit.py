"""The crowd of `simfarm.statistics.crowd` fitted to people's labels, with errors that hold.

What people see in a comparison (u_i) is integrated out (`simfarm.statistics.crowd_likelihood`). A person has many
labels and two numbers of his own (γ_k, π_k), crossed with the comparisons: these are fitted beside the parameters under
their normal prior (a Laplace approximation outside, quadrature inside), their spreads by the restricted likelihood.
Standard errors are those of the sandwich with the instruction as the unit, to which the persons' prior adds what
sampling other people would change: without it β_L of sixteen people is believed twice as well as it is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from scipy.special import chdtri, stdtrit

from simfarm.errors import InputError
from simfarm.statistics.agreement import sides
from simfarm.statistics.crowd import CrowdParameters, length_scale
from simfarm.statistics.crowd_likelihood import Labels, Pass, State, look
from simfarm.statistics.crowd_persons import by_person, likeliest_variance, looked_at, own_noise
from simfarm.statistics.estimate import Array, grouped
from simfarm.statistics.logistic import Codes

__all__ = ["CrowdFit", "fit_crowd"]

_STEPS = 100
_FAR = 15.0
"""Logits by which the slopes move a label where nothing holds them back."""
_NO_SPREAD = 1e-3
_LEAST_VARIANCE, _MOST_VARIANCE = 1e-6, 25.0
_FEWEST_ITEMS = 100  # with several labels, for item_sd to have an interval
_SLOPES = ("judge", "length", "bias")
_SPREADS = ("length_sd", "position_sd")
_SPREAD_OF = {"length_sd": "length", "position_sd": "bias"}


@dataclass(frozen=True)
class CrowdFit:
    """Parameters, and for each that was fitted (`free`) its standard error and degrees of freedom.

    `covariance` is of the fitted among judge, length, bias, item_sd and tie, in that order, as in `covered`.
    `spread_of` has for each fitted spread of persons (its variance, the usual sampling variance of a person's own
    number, the persons). `loglik` is the log marginal likelihood of the labels, `n_several` counts the items with two
    labels or more, `n_persons` those who were looked at singly.
    """

    parameters: CrowdParameters
    free: tuple[str, ...]
    standard_errors: Mapping[str, float]
    freedom: Mapping[str, float]
    covered: tuple[str, ...]
    covariance: Array
    loglik: float
    n_labels: int
    n_items: int
    n_several: int
    n_persons: int
    n_clusters: int
    spread_of: Mapping[str, tuple[float, float, int]]

    def interval(self, name: str, level: float = 0.95) -> tuple[float, float]:
        """Of a fitted parameter: by t, a spread of persons by χ² of its variance with the sampling variance; spreads
        and tie not below 0. (NaN, NaN) for one that was not fitted, and for item_sd of fewer than 100 items with
        several labels: found too small there, it was in 89 % of the intervals of planted crowds."""
        if name in self.spread_of:
            variance, noise, n = self.spread_of[name]
            tail = (1 - level) / 2
            ends = [(n - 1) * (variance + noise) / chdtri(n - 1, q) - noise for q in (tail, 1 - tail)]
            low, high = (math.sqrt(max(0.0, float(end))) for end in ends)
            return low, high
        if name not in self.free or (name == "item_sd" and self.n_several < _FEWEST_ITEMS):
            return math.nan, math.nan
        value = getattr(self.parameters, name)
        reach = float(stdtrit(self.freedom[name], (1 + level) / 2)) * self.standard_errors[name]
        least = -math.inf if name in _SLOPES else 0.0
        return max(least, value - reach), value + reach


def fit_crowd(
    unanimous: Array,
    delta: Array,
    item: Codes,
    person: Codes,
    vote: Array,
    *,
    cluster: Codes,
    fixed: Mapping[str, float] = MappingProxyType({"bias": 0.0}),
) -> CrowdFit:
    """The crowd most like these labels. `unanimous`, `delta` and `cluster` have one value an item, `item`, `person` and
    `vote` (0, ½, 1) one a label.

    `fixed` are parameters that are given and not fitted (of `CrowdParameters`; `scale` is the length differences' sd
    where it is not given, `tie` 0 where no label is one). The persons' spreads are 0 where fewer than three people have
    eight labels. Labels without a side, and those on items without unanimity or length, are left out. Raises
    `InputError` where fewer than two items are left, none has two labels to fit item_sd by, labels have ties and `tie`
    is fixed at 0, nothing tells a slope from the others, and where the labels leave one of the parameters no end.
    """
    used = ~np.isnan(vote) & ~np.isnan(unanimous[item]) & ~np.isnan(delta[item])
    order = np.flatnonzero(used)[np.argsort(item[used], kind="stable")]
    ids, at = grouped(item[order])
    side = sides(vote[order])
    several = int((np.bincount(at) > 1).sum()) if len(ids) else 0
    _require_enough(len(ids), several, (side == 1).any(), fixed)
    scale = fixed.get("scale", length_scale(delta[ids]))
    x = np.tanh(delta[ids] / scale)[at]
    columns = {"judge": unanimous[ids][at], "length": x, "bias": np.ones(len(x))}
    slopes = tuple(name for name in _SLOPES if name not in fixed)
    offset = sum((fixed[name] * columns[name] for name in _SLOPES if name in fixed), np.zeros(len(x)))
    _require_known(slopes, columns)
    person = looked_at(person[order])
    n_looked = int(person.max()) + 1
    spreads = tuple(name for name in _SPREADS if n_looked and fixed.get(name, 1.0) > 0)
    own = [by_person(person, n_looked, columns[_SPREAD_OF[name]]) for name in spreads]
    slope_columns = np.column_stack([columns[name] for name in slopes]) if slopes else np.zeros((len(x), 0))
    labels = Labels(side, at, slope_columns, np.hstack(own) if own else np.zeros((len(x), 0)), offset)
    searched = ("item_sd", "tie") if (side == 1).any() else ("item_sd",)
    places = tuple(name for name in searched if name not in fixed)
    search = _Search(labels, slopes, places, spreads, dict(fixed))
    found = search.run()
    return _fit_of(search, found, search.parameters(found, scale), cluster[ids], several)


def _require_enough(n_items: int, several: int, ties: bool, fixed: Mapping[str, float]) -> None:
    if n_items < 2:
        raise InputError(f"a crowd is fitted to labels on many comparisons, here are {n_items}; give more labels")
    if "item_sd" not in fixed and not several:
        raise InputError(
            "how far people agree needs at least two labels on the same items: 0 items have them; give labels of "
            "several people, or set item_sd in the population"
        )
    if ties and fixed.get("tie", 1.0) == 0:
        raise InputError(
            "labels have ties, and tie is fixed at 0; leave tie out of the population, or ties of the labels"
        )


def _require_known(slopes: tuple[str, ...], columns: Mapping[str, Array]) -> None:
    """A slope that nothing tells would be a number by luck, with no error."""
    why = {
        "judge": "the judge's runs agree on none of the comparisons, or on one side of all",
        "length": "the outputs are of one length, or the longer is always the judge's",
        "bias": "output_2 is always the judge's, or always the longer",
    }
    for k, name in enumerate(slopes):
        some = np.column_stack([columns[one] for one in slopes[: k + 1]])
        if np.linalg.matrix_rank(some) <= k:
            raise InputError(f"{name} cannot be fitted: {why[name]}; set {name} in the population")


@dataclass(frozen=True)
class _Found:
    """Where the search ended: the state, its last pass, the prior's precision of each parameter, the inverse of
    information and precision, and the persons' variances."""

    state: State
    passed: Pass
    precision: Array
    inverse: Array
    variances: Array


@dataclass(frozen=True)
class _Search:
    """Newton's search over (β, τ, log t, w), the persons' variances renewed at each step."""

    labels: Labels
    slopes: tuple[str, ...]
    places: tuple[str, ...]
    spreads: tuple[str, ...]
    fixed: dict[str, float]

    @property
    def free(self) -> Array:
        """Which of (β, τ, log t, w) are searched."""
        places = [name in self.places for name in ("item_sd", "tie")]
        return np.array([True] * len(self.slopes) + places + [True] * self.labels.own.shape[1])

    def run(self) -> _Found:
        """The most likely state. Raises `InputError` where it does not settle."""
        state, variances = self._start()
        at = look(self.labels, state)
        for _ in range(_STEPS):
            precision = self._precision(variances)
            score = at.scores.sum(axis=0) - precision * _vector(state)
            inverse = self._inverse(at.information, precision)
            step = inverse @ score
            state, at = self._better(state, at, step, precision)
            before = variances
            variances = self._renewed(state, self._inverse(at.information, self._precision(before)), before)
            still = np.abs(step).max() < 1e-5 and (np.abs(variances - before) <= 1e-5 + 1e-3 * before).all()
            if still and self._ends(state, variances):
                precision = self._precision(variances)
                return _Found(state, at, precision, self._inverse(at.information, precision), variances)
        raise InputError(
            "the crowd's parameters do not settle on these labels: a side is always the judge's or the longer one's, "
            "or all are alike; give more labels, or set a parameter in the population"
        )

    def _ends(self, state: State, variances: Array) -> bool:
        """Whether the labels hold the parameters back: else slopes and spreads would grow for ever."""
        fitted = [v for v, name in zip(variances.tolist(), self.spreads, strict=True) if name not in self.fixed]
        return bool(np.abs(self.labels.x @ state.beta).max() < _FAR and max(fitted, default=0.0) < _MOST_VARIANCE)

    def parameters(self, found: _Found, scale: float) -> CrowdParameters:
        """What was found and what is given."""
        spreads = np.sqrt(np.where(found.variances > _LEAST_VARIANCE, found.variances, 0.0)).tolist()
        values = dict.fromkeys(_SLOPES, 0.0) | {name: v for name, v in self.fixed.items() if name not in _SPREADS}
        values |= dict(zip(self.slopes, found.state.beta.tolist(), strict=True))
        values |= {"scale": scale, "item_sd": found.state.item_sd, "tie": found.state.tie}
        return CrowdParameters(**values | dict(zip(self.spreads, spreads, strict=True)))

    def _start(self) -> tuple[State, Array]:
        ties = float((self.labels.side == 1).mean())
        tie = self.fixed.get("tie", float(np.log((1 + ties) / (1 - ties))) if ties < 1 else 1.0)
        state = State(
            np.zeros(len(self.slopes)), self.fixed.get("item_sd", 0.8), tie, np.zeros(self.labels.own.shape[1])
        )
        return state, np.array([self.fixed.get(name, 0.3) ** 2 for name in self.spreads])

    def _precision(self, variances: Array) -> Array:
        each = self.labels.own.shape[1] // max(1, len(self.spreads))
        return np.concatenate([np.zeros(len(self.slopes) + 2), np.repeat(1 / variances, each)])

    def _inverse(self, information: Array, precision: Array) -> Array:
        """Of information and precision over the free, 0 elsewhere; definite where the likelihood is not concave too."""
        free = np.flatnonzero(self.free)
        whole = (information + np.diag(precision))[np.ix_(free, free)]
        size = np.sqrt(np.maximum(np.abs(np.diag(whole)), 1e-8))
        value, vector = np.linalg.eigh(whole / np.outer(size, size))
        made = np.zeros(information.shape)
        made[np.ix_(free, free)] = (vector / np.maximum(np.abs(value), 1e-6)) @ vector.T / np.outer(size, size)
        return made

    def _better(self, state: State, at: Pass, step: Array, precision: Array) -> tuple[State, Pass]:
        """The state a step on, or as much of the step as does not lower the penalised likelihood."""
        here = at.loglik - float(precision @ _vector(state) ** 2) / 2
        step = step * min(1.0, 3 / max(float(np.abs(step).max()), 1e-300))
        for _ in range(20):
            next_state = _stepped(state, step)
            next_at = look(self.labels, next_state)
            if next_at.loglik - float(precision @ _vector(next_state) ** 2) / 2 >= here - 1e-7 * (1 + abs(here)):
                return next_state, next_at
            step = step / 2
        return state, at

    def _renewed(self, state: State, inverse: Array, variances: Array) -> Array:
        """The spreads most likely if a person's own number, without the prior, is seen with normal error: where it
        settles this is the restricted likelihood's own, and unlike MacKay's (1992) update it does not creep to 0."""
        n = len(state.own) // max(1, len(self.spreads))
        renewed = variances.copy()
        for k, name in enumerate(self.spreads):
            if name not in self.fixed:
                at = len(state.beta) + 2 + n * k
                noise = own_noise(np.diag(inverse)[at : at + n], float(variances[k]))
                seen = state.own[n * k : n * (k + 1)] * (1 + noise / variances[k])
                renewed[k] = np.clip(likeliest_variance(seen**2, noise), _LEAST_VARIANCE, _MOST_VARIANCE)
        return renewed


def _vector(state: State) -> Array:
    tie = math.log(state.tie) if state.tie > 0 else 0.0
    return np.concatenate([state.beta, [state.item_sd, tie], state.own])


def _stepped(state: State, step: Array) -> State:
    """τ has no sign: a step beyond 0 comes back."""
    n = len(state.beta)
    return State(
        state.beta + step[:n],
        abs(float(state.item_sd + step[n])),
        state.tie * math.exp(step[n + 1]),
        state.own + step[n + 2 :],
    )


def _fit_of(search: _Search, found: _Found, parameters: CrowdParameters, cluster: Codes, several: int) -> CrowdFit:
    """The search's end as errors and counts beside the `parameters`."""
    labels, state = search.labels, found.state
    n_persons = labels.own.shape[1] // max(1, len(search.spreads))
    named = [*search.slopes, "item_sd", "tie"]
    n_clusters, parts = _variances(found, cluster)
    covered = [k for k, name in enumerate(named) if name in search.slopes or name in search.places]
    to_value = np.array([*np.ones(len(named) - 1), state.tie])[covered]
    total = (parts[0] + parts[1])[np.ix_(covered, covered)] * np.outer(to_value, to_value)
    errors = dict(zip((named[k] for k in covered), np.sqrt(np.diag(total)).tolist(), strict=True))
    freedom = {}
    for k in covered:
        shares = [(float(parts[0][k, k]), n_clusters - 1), (float(parts[1][k, k]), max(1, n_persons - 1))]
        freedom[named[k]] = sum(v for v, _ in shares) ** 2 / max(1e-300, sum(v**2 / n for v, n in shares))
    spread_of = _spreads(search, found, n_persons)
    errors |= {name: error for name, (_, error) in spread_of.items()}
    return CrowdFit(
        parameters=parameters,
        free=(*(named[k] for k in covered), *spread_of),
        standard_errors=errors,
        freedom=freedom,
        covered=tuple(named[k] for k in covered),
        covariance=total,
        loglik=_laplace(found, len(state.own)),
        n_labels=len(labels.item),
        n_items=len(cluster),
        n_several=several,
        n_persons=n_persons,
        n_clusters=n_clusters,
        spread_of={name: spread for name, (spread, _) in spread_of.items()},
    )


def _spreads(search: _Search, found: _Found, n: int) -> dict[str, tuple[tuple[float, float, int], float]]:
    """Of each fitted spread of persons what `CrowdFit.spread_of` has, and its standard error: that of the variance,
    carried over where there is any, else its root."""
    made = {}
    for k, (name, variance) in enumerate(zip(search.spreads, found.variances.tolist(), strict=True)):
        if name in search.fixed:
            continue
        place = len(found.inverse) - n * (len(search.spreads) - k)
        error = np.diag(found.inverse)[place : place + n]
        noise = own_noise(error, variance)
        known = variance if variance > _LEAST_VARIANCE else 0.0
        of_variance = math.sqrt(2 / float((1 / (known + noise) ** 2).sum()))
        own = of_variance / (2 * math.sqrt(known)) if known else math.inf
        made[name] = (known, float(np.median(noise)), n), min(own, math.sqrt(of_variance))
    return made


def _variances(found: _Found, cluster: Codes) -> tuple[int, tuple[Array, Array]]:
    """(clusters, the covariance that comes of them and that which comes of the persons): H⁻¹ (Σ s sᵀ + Λ) H⁻¹."""
    ids, at = grouped(cluster)
    pulls = np.zeros((len(ids), found.passed.scores.shape[1]))
    np.add.at(pulls, at, found.passed.scores)
    pulls = (pulls - pulls.mean(axis=0)) @ found.inverse
    by_cluster = pulls.T @ pulls * len(ids) / max(1, len(ids) - 1)
    place = len(found.state.beta)
    if found.state.item_sd < _NO_SPREAD:  # nothing pulls τ at 0, whatever is known of it: what the curvature says
        by_cluster[place, place] = found.inverse[place, place]
    return len(ids), (by_cluster, found.inverse @ (found.precision[:, None] * found.inverse))


def _laplace(found: _Found, n_own: int) -> float:
    """The log likelihood with the persons' numbers integrated out."""
    loglik, own = found.passed.loglik, found.state.own
    if not n_own:
        return loglik
    precision = found.precision[-n_own:]
    curved = found.passed.information[-n_own:, -n_own:] + np.diag(precision)
    return float(loglik - (precision @ own**2 + np.linalg.slogdet(curved)[1] - np.log(precision).sum()) / 2)
