"""Boosted trees of two levels, small and deterministic: a classifier that finds what a straight line cannot.

Newton boosting of the logistic loss on binned features (Friedman 2001; Chen and Guestrin 2016), for as many labellings
of the same rows at once as are asked for: the null of a two-sample test needs forty. That is why it is written here
and not taken from a library, which would bin and sort the same rows forty times; with the same settings
scikit-learn's histogram trees give the same scores.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit

from simfarm.statistics.estimate import Array

__all__ = ["bin_edges", "binned", "boosted_scores"]

ROUNDS, RATE, PENALTY, MIN_LEAF = 50, 0.1, 1.0, 20
_BINS = 16
_DIGITS = 9
"""Gains alike to so many digits are equal, so that no machine's rounding chooses among features that say the same."""


def bin_edges(x: Array) -> list[Array]:
    """Where each feature (columns of n × F) may be cut: between its values, of many between 16 equally full bins."""
    edges = []
    for column in x.T:
        values = np.unique(column)
        if len(values) > _BINS:
            values = np.unique(np.quantile(column, np.linspace(0, 1, _BINS + 1), method="nearest"))
        edges.append((values[:-1] + values[1:]) / 2)
    return edges


def binned(x: Array, edges: list[Array]) -> Array:
    """For each row (n × all cuts) on which side of each cut it is: 1 at or below, 0 above."""
    parts = [column[:, None] <= cuts[None, :] for column, cuts in zip(x.T, edges, strict=True)]
    return np.concatenate(parts, axis=1).astype(np.float64)


def boosted_scores(below: Array, y: Array, new: Array) -> Array:
    """Log odds of y = 1 for the rows `new` (k × cuts), from the rows `below` (n × cuts, see `binned`) that have the
    labels `y` (n × R, 0 or 1): k × R, each labelling by itself."""
    start = logit(np.clip(y.mean(axis=0), 1e-6, 1 - 1e-6))
    score, score_new = np.tile(start, (len(y), 1)), np.tile(start, (len(new), 1))
    if not below.shape[1]:
        return score_new
    counts = below.sum(axis=0)[:, None]
    for _ in range(ROUNDS):
        tree = _tree(below, y, score, counts)
        score += _leaves(tree, below)
        score_new += _leaves(tree, new)
    return score_new


@dataclass(frozen=True)
class _Tree:
    """A cut of all rows, and a further one of those below and of those above it, for each of R labellings: `cuts`
    (3 × R) are columns, made or not (`made`), and `values` (4 × R) those of the leaves below and above further cuts."""

    cuts: NDArray[np.intp]
    made: Array
    values: Array


class _Sums(NamedTuple):
    """Sums of gradients, second derivatives and ones over the rows below each cut (cuts × R, or × 1), and over all of
    a node's rows (R,)."""

    g: Array
    h: Array
    n: Array
    all_g: Array
    all_h: Array
    all_n: Array


def _tree(below: Array, y: Array, score: Array, counts: Array) -> _Tree:
    """One more tree for the labellings `y`, whose log odds so far are `score`; `counts` are the rows below each cut."""
    n, r = y.shape
    p = expit(score)
    g, h = p - y, p * (1 - p)
    sums = below.T @ np.concatenate([g, h], axis=1)
    root = _Sums(sums[:, :r], sums[:, r:], counts, g.sum(axis=0), h.sum(axis=0), np.full(r, float(n)))
    at, made = _best(root)
    side = below[:, at] * made
    parts = np.concatenate([g * side, h * side, side], axis=1)
    inside = _Sums(*np.split(below.T @ parts, 3, axis=1), *np.split(parts.sum(axis=0), 3))
    outside = _Sums(*(a - b for a, b in zip(root, inside, strict=True)))
    cuts, were_made, values = [at], [made], []
    for node in (inside, outside):
        at, made = _best(node)
        low_g, low_h = (x[at, np.arange(r)] * made for x in (node.g, node.h))
        values += [_value(low_g, low_h), _value(node.all_g - low_g, node.all_h - low_h)]
        cuts.append(at)
        were_made.append(made)
    return _Tree(np.array(cuts), np.array(were_made), np.array(values))


def _best(sums: _Sums) -> tuple[NDArray[np.intp], Array]:
    """(the cut that gains most, for each labelling; 1 where it is made, 0 where none gains anything)."""
    above_g, above_h = sums.all_g - sums.g, sums.all_h - sums.h
    gain = sums.g**2 / (sums.h + PENALTY) + above_g**2 / (above_h + PENALTY) - sums.all_g**2 / (sums.all_h + PENALTY)
    allowed = (sums.n >= MIN_LEAF) & (sums.all_n - sums.n >= MIN_LEAF)
    gain = np.where(allowed, np.round(gain, _DIGITS), 0.0)
    at = gain.argmax(axis=0)
    return at, (gain[at, np.arange(gain.shape[1])] > 0).astype(np.float64)


def _value(g: Array, h: Array) -> Array:
    return -RATE * g / (h + PENALTY)


def _leaves(tree: _Tree, rows: Array) -> Array:
    """What a tree adds for each row and labelling."""
    first, low, high = (rows[:, at] * made > 0 for at, made in zip(tree.cuts, tree.made, strict=True))
    v = tree.values
    added: Array = np.where(first, np.where(low, v[0], v[1]), np.where(high, v[2], v[3]))
    return added
