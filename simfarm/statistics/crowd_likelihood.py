"""The likelihood behind the calibrated crowd: people's labels, what they see in a comparison integrated out.

    η = x·β + own·w + offset + τ · u_i,  u_i ~ N(0, 1);   P(output_2) = σ(η − t), P(output_1) = σ(−η − t), else a tie

One pass gives the log likelihood, each item's score and the observed information (Louis, 1982) of β, τ, log t and w.
The nodes lie about each item's own mode, as wide as its posterior: with fifty labels on an item nodes about 0 miss it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit

from simfarm.statistics.crowd import hermite
from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["Labels", "Pass", "State", "look"]

_NODES = 15
_BLOCK = 500_000
"""Most numbers in one array over (label, node, parameter), but for an item that has more by itself."""


@dataclass(frozen=True)
class Labels:
    """Labels (n,) sorted by item: `side` (0 output_1, 1 a tie, 2 output_2), `item` from 0 without gaps, the columns of
    the slopes `x` (n × B) and of persons' own numbers `own` (n × W), and what is given of η (`offset`)."""

    side: Codes
    item: Codes
    x: Array
    own: Array
    offset: Array

    @property
    def starts(self) -> Codes:
        """The first label of each item."""
        return np.flatnonzero(np.diff(self.item, prepend=-1))


@dataclass(frozen=True)
class State:
    """β (B,), τ, t, persons' own w (W,)."""

    beta: Array
    item_sd: float
    tie: float
    own: Array


@dataclass(frozen=True)
class Pass:
    """The log marginal likelihood at a state; the scores of each item (G × P) and the observed information (P × P) of
    (β, τ, log t, w); each item's most likely u (G,), where the next pass begins to look for it."""

    loglik: float
    scores: Array
    information: Array
    mode: Array


def look(labels: Labels, state: State, near: Array | None = None) -> Pass:
    """Likelihood, scores and information at `state`; `near` (G,) are the modes at a state not far off."""
    starts = labels.starts
    ends = np.append(starts[1:], len(labels.item))
    fixed = labels.x @ state.beta + labels.own @ state.own + labels.offset
    mode = np.zeros(len(starts)) if near is None else near.copy()
    size = labels.x.shape[1] + 2 + labels.own.shape[1]
    scores, information, loglik = np.empty((len(starts), size)), np.zeros((size, size)), 0.0
    most = max(1, _BLOCK // (_NODES * size))
    first = 0
    while first < len(starts):
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + most, side="right")))
        rows, items = slice(starts[first], ends[last - 1]), slice(first, last)
        block = _Block(
            labels.side[rows], labels.item[rows] - first, np.hstack([labels.x[rows], labels.own[rows]]), fixed[rows]
        )
        mode[items] = block.modes(state, mode[items])
        found, scores[items], part = block.integrated(state, mode[items], labels.x.shape[1])
        loglik += found
        information += part
        first = last
    return Pass(loglik, scores, information, mode)


@dataclass(frozen=True)
class _Slopes:
    """Of log P(label) at η: its value, first and negative second derivative in η, the derivative in t, minus the mixed
    one, minus the second one in t."""

    value: Array
    first: Array
    curved: Array
    by_tie: Array
    mixed: Array
    tie_curved: Array


def _slopes(side: Codes, eta: Array, tie: float) -> _Slopes:
    """`eta` is labels × nodes. log P is a sum of log σ: of a tie log σ(η + t) + log σ(t − η) + log(1 − e^(−2t))."""
    second, first = (side == 2)[:, None], (side == 0)[:, None]
    low, high = expit(eta - tie), expit(eta + tie)
    flat, steep = low * (1 - low), high * (1 - high)
    over_low, over_high = ~first, ~second  # whether σ(±(η − t)), σ(±(η + t)) has a part in the label
    value = np.where(second, log_expit(eta - tie), 0.0) + np.where(first, log_expit(-eta - tie), 0.0)
    pull = over_low * np.where(second, 1 - low, -low) + over_high * np.where(first, -high, 1 - high)
    by_tie = over_low * np.where(second, low - 1, low) + over_high * np.where(first, -high, 1 - high)
    curved, mixed = over_low * flat + over_high * steep, over_high * steep - over_low * flat
    tie_curved = curved
    neither = ~first & ~second
    if neither.any():
        own = log_expit(eta + tie) + log_expit(tie - eta) + np.log(-np.expm1(-2 * tie))
        value = np.where(neither, own, value)
        by_tie = by_tie + neither * 2 / np.expm1(2 * tie)
        tie_curved = curved + neither / np.sinh(tie) ** 2
    return _Slopes(value, pull, curved, by_tie, mixed, tie_curved)


@dataclass(frozen=True)
class _Block:
    """Labels of some items: side, item from 0, all columns, what η has without u."""

    side: Codes
    item: Codes
    columns: Array
    fixed: Array

    @property
    def starts(self) -> NDArray[np.int64]:
        return np.flatnonzero(np.diff(self.item, prepend=-1))

    def _at(self, state: State, u: Array) -> _Slopes:
        """`u` is items × nodes."""
        return _slopes(self.side, self.fixed[:, None] + state.item_sd * u[self.item], state.tie)

    def modes(self, state: State, u: Array) -> Array:
        """Each item's most likely u, by Newton; log P is concave, and a step of two keeps it from swinging."""
        for _ in range(50):
            at = self._at(state, u[:, None])
            pull = state.item_sd * np.add.reduceat(at.first[:, 0], self.starts) - u
            step = np.clip(pull / self._curvature(state, at), -2.0, 2.0)
            u = u + step
            if np.abs(step).max() < 1e-7:
                break
        return u

    def _curvature(self, state: State, at: _Slopes) -> Array:
        return np.asarray(1 + state.item_sd**2 * np.add.reduceat(at.curved[:, 0], self.starts), dtype=np.float64)

    def integrated(self, state: State, mode: Array, n_slopes: int) -> tuple[float, Array, Array]:
        """(log likelihood, scores of the items, information)."""
        width = 1 / np.sqrt(self._curvature(state, self._at(state, mode[:, None])))
        node, weight = hermite(_NODES)
        u = mode[:, None] + width[:, None] * node
        at = self._at(state, u)
        terms = np.add.reduceat(at.value, self.starts) + np.log(weight) + (node**2 - u**2) / 2
        top = terms.max(axis=1, keepdims=True)
        chance = np.exp(terms - top)
        total = chance.sum(axis=1, keepdims=True)
        chance = chance / total
        loglik = float((np.log(total[:, 0]) + top[:, 0] + np.log(width)).sum())
        # derivatives of a label in (slopes, τ, log t, own): columns · first, u · first, t · by_tie
        spread, tie = u[self.item], state.tie
        by = np.empty((*at.first.shape, self.columns.shape[1] + 2))
        own = n_slopes + 2
        by[..., :n_slopes] = at.first[..., None] * self.columns[:, None, :n_slopes]
        by[..., own:] = at.first[..., None] * self.columns[:, None, n_slopes:]
        by[..., n_slopes] = at.first * spread
        by[..., n_slopes + 1] = tie * at.by_tie
        scores = np.add.reduceat(by, self.starts, axis=0)
        mean = np.einsum("gq,gqp->gp", chance, scores)
        rooted = ((scores - mean[:, None]) * np.sqrt(chance)[..., None]).reshape(-1, scores.shape[-1])
        return loglik, mean, self._complete(state, at, chance[self.item], spread, n_slopes) - rooted.T @ rooted

    def _complete(self, state: State, at: _Slopes, chance: Array, spread: Array, n_slopes: int) -> Array:
        """The information that there were with u known, its mean over the nodes (`chance`, labels × nodes)."""
        tie, curved, mixed = state.tie, at.curved * chance, state.tie * at.mixed * chance
        k = [*range(n_slopes), *range(n_slopes + 2, self.columns.shape[1] + 2)]
        made = np.zeros((self.columns.shape[1] + 2,) * 2)
        made[np.ix_(k, k)] = self.columns.T @ (self.columns * curved.sum(axis=1)[:, None])
        at_spread, at_tie = n_slopes, n_slopes + 1
        made[at_spread, k] = made[k, at_spread] = self.columns.T @ (curved * spread).sum(axis=1)
        made[at_tie, k] = made[k, at_tie] = self.columns.T @ mixed.sum(axis=1)
        made[at_spread, at_spread] = float((curved * spread**2).sum())
        made[at_spread, at_tie] = made[at_tie, at_spread] = float((mixed * spread).sum())
        made[at_tie, at_tie] = float(((tie**2 * at.tie_curved - tie * at.by_tie) * chance).sum())
        return made
