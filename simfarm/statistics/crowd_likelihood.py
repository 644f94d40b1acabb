"""The likelihood behind the calibrated crowd: people's labels, what they see in a comparison integrated out.

    η = x·β + own·w + offset + τ · u_i,  u_i ~ N(0, 1);   P(output_2) = σ(η − t), P(output_1) = σ(−η − t), else a tie

One pass gives the log likelihood, each item's score and the observed information (Louis, 1982) of β, τ, log t and w.
The integral is the trapezoidal rule on one grid, which for what falls off as a normal density does is exact to
exp(−2π²s²/h²), h the step and s the width of the narrowest posterior there can be. At τ below 1 and four labels an item
that is as few nodes as Gauss–Hermite needs; where people nearly always agree (τ of 5 and more) Gauss–Hermite, about 0
or about each item's mode, is off by whole logits, and fifty labels on an item are beyond it too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, log_expit, logsumexp

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["Labels", "Pass", "State", "look"]

_FAR = 7.0
"""Standard deviations of u that are looked at on either side."""
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
    (β, τ, log t, w)."""

    loglik: float
    scores: Array
    information: Array


def look(labels: Labels, state: State) -> Pass:
    """Likelihood, scores and information at `state`."""
    starts = labels.starts
    ends = np.append(starts[1:], len(labels.item))
    fixed = labels.x @ state.beta + labels.own @ state.own + labels.offset
    node, weight = _grid(state.item_sd, int(np.bincount(labels.item).max()))
    size = labels.x.shape[1] + 2 + labels.own.shape[1]
    scores, information, loglik = np.empty((len(starts), size)), np.zeros((size, size)), 0.0
    most = max(1, _BLOCK // (len(node) * size))
    first = 0
    while first < len(starts):
        last = max(first + 1, int(np.searchsorted(ends, starts[first] + most, side="right")))
        rows, items = slice(starts[first], ends[last - 1]), slice(first, last)
        block = _Block(
            labels.side[rows], labels.item[rows] - first, np.hstack([labels.x[rows], labels.own[rows]]), fixed[rows]
        )
        found, scores[items], part = block.integrated(state, node, weight, labels.x.shape[1])
        loglik += found
        information += part
        first = last
    return Pass(loglik, scores, information)


def _grid(item_sd: float, most: int) -> tuple[Array, Array]:
    """(nodes, log weights) of a mean over N(0, 1) of what `most` labels on an item say."""
    step = min(0.9, 1 / float(np.sqrt(1 + item_sd**2 * most / 4)))
    n = int(np.ceil(_FAR / step))
    node = np.arange(-n, n + 1, dtype=np.float64) * step
    return node, np.asarray(np.log(step / np.sqrt(2 * np.pi)) - node**2 / 2, dtype=np.float64)


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

    def integrated(self, state: State, node: Array, weight: Array, n_slopes: int) -> tuple[float, Array, Array]:
        """(log likelihood, scores of the items, information)."""
        at = _slopes(self.side, self.fixed[:, None] + state.item_sd * node, state.tie)
        terms = np.add.reduceat(at.value, self.starts) + weight
        loglik = logsumexp(terms, axis=1)
        chance = np.exp(terms - loglik[:, None])
        loglik = float(loglik.sum())
        # derivatives of a label in (slopes, τ, log t, own): columns · first, u · first, t · by_tie
        spread, tie = node, state.tie
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
