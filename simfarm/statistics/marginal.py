"""The likelihood behind the joint length control: a panel's verdicts, the instructions' effects integrated out.

    logit P(model m preferred on instruction i) = θ_m + c_m · z_i + γ_i + β_m · x_mi,   γ_i ~ N(0, s_γ²)

One pass gives the likelihood with its first two derivatives. What a million verdicts cost is here, so the verdicts are
packed (an instruction that ten of fifty models answered has ten cells, not fifty) and taken in blocks that stay in the
processor's cache: beyond the packed cells themselves a pass needs a few megabytes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, roots_hermitenorm

from simfarm.statistics.estimate import Array

__all__ = ["SMALL_PANEL", "Panel", "Pass", "State", "length_feature", "look", "pulled", "rates"]

_NODES, _NODES_SMALL = 15, 41
_TINY = 6
"""Below this many models s_γ may be several logits, and its likelihood needs more nodes."""
SMALL_PANEL = 20
"""Below this many models each has a c of its own (K = M); from there on one serves all (K = 1)."""
_BLOCK = 1 << 18
"""Most numbers in one array over (instruction, node, model)."""
_SPARSE = 4
"""With this many times more models than a line has cells, a line's products are added up cell by cell."""
_LEAST_SCALE = 0.5
"""A model's length scale is at least this share of the median model's."""

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Panel:
    """Verdicts of M models on G clusters, packed: a line for each cluster, as long as the fullest one (G × K).

    `model` is the cell's model, M where the line has no more; there `y`, `x` and `weight` are 0, elsewhere `weight` is
    1. `y` is how strongly the model is preferred, `x` the length feature. `z` (G,) is the mean x of the line's cells,
    less the mean of all lines. `full` says that every model has a verdict on every cluster: the lines are then those of
    the table.
    """

    n_models: int
    full: bool
    model: Codes
    y: Array
    x: Array
    weight: Array
    z: Array

    @classmethod
    def of(cls, p: Array, delta: Array) -> Panel:
        """From `p` and `delta` (G × M, NaN in `p` where there is no verdict)."""
        n_clusters, n_models = p.shape
        row, column = np.nonzero(~np.isnan(p))
        count = np.bincount(row, minlength=n_clusters)
        place = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        shape = (n_clusters, int(count.max()))

        def packed(values: Array) -> Array:
            lines = np.zeros(shape)
            lines[row, place] = values
            return lines

        model = np.full(shape, n_models)
        model[row, place] = column
        x = packed(_scaled(delta[row, column], column, n_models))
        z = x.sum(axis=1) / count
        full = len(row) == p.size
        return cls(n_models, full, model, packed(p[row, column]), x, packed(np.ones(len(row))), z - z.mean())

    @property
    def sparse(self) -> bool:
        """Whether the lines are much shorter than the models are many."""
        return bool(self.n_models >= _SPARSE * self.model.shape[1])

    def unpacked(self, rows: slice, cells: Array) -> Array:
        """Cells (g × … × K) as a table (g × … × M), 0 where a line has none."""
        if self.full:
            return cells
        shape = (*cells.shape[:-1], self.n_models + 1)
        model = self.model[rows].reshape(len(cells), *[1] * (cells.ndim - 2), -1)
        table = np.zeros(shape)
        np.put_along_axis(table, np.broadcast_to(model, cells.shape), cells, axis=-1)
        return table[..., : self.n_models]

    @property
    def size(self) -> int:
        """How many parameters there are (P)."""
        return 2 * self.n_models + self.n_between + 1

    @property
    def few(self) -> bool:
        """Whether each model has a c of its own."""
        return self.n_models < SMALL_PANEL

    @property
    def n_between(self) -> int:
        """How many c there are (K)."""
        return self.n_models if self.few else 1

    def by_between(self, of_models: Array) -> Array:
        """Numbers of the models (… × M) as those of the c (… × K): theirs, or the sum."""
        return of_models if self.few else of_models.sum(axis=-1, keepdims=True)

    def by_model(self, cells: Array) -> Array:
        """Sums (M,) of cells (G × K)."""
        total = np.bincount(self.model.ravel(), cells.ravel(), self.n_models + 1)[: self.n_models]
        return np.asarray(total, dtype=np.float64)


@dataclass(frozen=True)
class State:
    """Parameters: θ (M,), β_m (M,), c (K,), s_γ, s_β."""

    theta: Array
    slope: Array
    between: Array
    spread_instruction: float
    spread_slope: float


@dataclass(frozen=True)
class Pass:
    """One look at the data. P = 2M + K + 1: θ, β_m, c, log s_γ.

    `loglik` is the log marginal likelihood, `score` (P,) its gradient; `observed` and `complete` (P × P) are the
    information of the verdicts, and what it were with γ known. `pulls` (G × K) are the scores of the θ of the panel's
    cells, those of the slopes are `pulls · x`, those of c `pulls · z`, and `spread_pulls` (G,) those of log s_γ.
    `mode` (G,) is each γ's most likely value, where the next pass begins to look for it.
    """

    loglik: float
    score: Array
    observed: Array
    complete: Array
    pulls: Array
    spread_pulls: Array
    mode: Array


@dataclass(frozen=True)
class _Block:
    """Some clusters at a state: nodes γ, their posterior weights (g × Q, rows sum to 1), μ at them (g × Q × K)."""

    rows: slice
    gamma: Array
    posterior: Array
    mu: Array
    mode: Array
    loglik: float


def length_feature(delta: Array) -> Array:
    """tanh(Δ / scale) of each model (G × M, NaN where missing): the scale is the sd of the model's Δ (ddof 1), but at
    least half the median model's; 0 where there is no spread.

    Without that floor a near-copy of the baseline, always some twenty characters longer, would stand where other models
    stand that are twice as long as the baseline.
    """
    row, column = np.nonzero(~np.isnan(delta))
    x = np.zeros(delta.shape)
    x[row, column] = _scaled(delta[row, column], column, delta.shape[1])
    return x


def _scaled(delta: Array, model: Codes, n_models: int) -> Array:
    count = np.bincount(model, minlength=n_models)
    mean = np.bincount(model, delta, n_models) / np.maximum(count, 1)
    square = np.bincount(model, (delta - mean[model]) ** 2, n_models)
    sd = np.sqrt(square / np.maximum(count - 1, 1))
    scale = np.maximum(sd, _LEAST_SCALE * np.median(sd))[model]
    return np.asarray(np.tanh(np.divide(delta, scale, out=np.zeros_like(scale), where=scale > 0)), dtype=np.float64)


def look(panel: Panel, state: State, near: Array | None = None) -> Pass:
    """Likelihood, scores and information at `state`; `near` (G,) are the modes of γ at a state not far off."""
    n, size = panel.n_models, panel.size
    loglik, around_zero, observed, curved = 0.0, 0.0, np.zeros((size, size)), np.zeros((3, 3, n + 1))
    pulls, spread_pulls, mode = np.empty_like(panel.y), np.empty(len(panel.y)), np.empty(len(panel.y))
    for block in _blocks(panel, state, near):
        rows = block.rows
        loglik += block.loglik
        mode[rows] = block.mode
        pulls[rows], spread_pulls[rows], lines, of_spread = _scores(panel, block, state)
        observed -= _products(panel, rows, lines, of_spread)
        around_zero += float((block.posterior * block.gamma**2).sum())
        weight = np.einsum("gq,gqk->gk", block.posterior, block.mu * (1 - block.mu))
        at, x, z = panel.model[rows].ravel(), panel.x[rows], panel.z[rows, None]
        for k, power in ((0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (2, 0)):
            curved[k, power] += np.bincount(at, (weight * x**power * z**k).ravel(), n + 1)
    complete, m = np.zeros((size, size)), np.arange(n)
    complete[m, m], complete[n + m, n + m] = curved[0, 0, :n], curved[0, 2, :n]
    complete[n + m, m] = complete[m, n + m] = curved[0, 1, :n]
    c = 2 * n + (m if panel.few else np.zeros_like(m))
    complete[c, m] = complete[m, c] = curved[1, 0, :n]
    complete[c, n + m] = complete[n + m, c] = curved[1, 1, :n]
    np.add.at(complete, (c, c), curved[2, 0, :n])
    complete[-1, -1] = 2 * around_zero / state.spread_instruction**2
    score = np.concatenate(
        [
            panel.by_model(pulls),
            panel.by_model(pulls * panel.x),
            panel.by_between(panel.by_model(pulls * panel.z[:, None])),
            [float(spread_pulls.sum())],
        ]
    )
    return Pass(loglik, score, observed + complete, complete, pulls, spread_pulls, mode)


def rates(panel: Panel, state: State, near: Array) -> tuple[Array, Array]:
    """(expected win rates at equal length (G × M), the gradient (M × P) of their means over the clusters)."""
    n, m = panel.n_models, np.arange(panel.n_models)
    expected, gradient = np.empty((len(panel.y), n)), np.zeros((n, panel.size))
    for block in _blocks(panel, state, near):
        _, _, lines, of_spread = _scores(panel, block, state)
        z = panel.z[block.rows]
        level = expit(state.theta + (z[:, None] * state.between)[:, None, :] + block.gamma[:, :, None])
        moved = np.einsum("gq,gqm->gm", block.posterior, level * (1 - level))
        gradient[m, m] += moved.sum(axis=0)
        gradient[:, 2 * n : -1] += panel.by_between(np.diag(z @ moved)) if panel.few else (z @ moved)[:, None]
        expected[block.rows] = np.einsum("gq,gqm->gm", block.posterior, level)
        level -= expected[block.rows][:, None, :]
        level *= np.sqrt(block.posterior)[:, :, None]
        gradient += level.reshape(-1, n).T @ _design(panel, block.rows, lines, of_spread)
    return expected, gradient / len(panel.y)


def pulled(panel: Panel, last: Pass, turn: Array) -> Array:
    """Each cluster's score, less the mean of all, times `turn` (P × R): G × R."""
    made = np.empty((len(panel.y), turn.shape[1]))
    step = max(1, _BLOCK // len(turn))
    for start in range(0, len(made), step):
        rows = slice(start, start + step)
        design = _design(panel, rows, last.pulls[rows, None, :], last.spread_pulls[rows, None])
        made[rows] = design @ turn
    made -= made.mean(axis=0)
    return made


def _scores(panel: Panel, block: _Block, state: State) -> tuple[Array, Array, Array, Array]:
    """(the cells' scores (g × K), those of log s_γ (g,), what each node adds to both about them, times the root of its
    weight: (g × Q × K) and (g × Q))."""
    residual = panel.y[block.rows][:, None, :] - block.mu
    pulls = np.einsum("gq,gqk->gk", block.posterior, residual)
    root = np.sqrt(block.posterior)
    residual -= pulls[:, None, :]
    residual *= root[:, :, None]
    of_spread = (block.gamma / state.spread_instruction) ** 2 - 1
    mean = (block.posterior * of_spread).sum(axis=1)
    return pulls, mean, residual, (of_spread - mean[:, None]) * root


def _design(panel: Panel, rows: slice, lines: Array, of_spread: Array) -> Array:
    """Scores of all P parameters (g·Q × P) from those of the cells (g × Q × K) and of log s_γ (g × Q)."""
    x = panel.x[rows][:, None, :]
    own = panel.unpacked(rows, lines)
    parts = [own, panel.unpacked(rows, lines * x), *_of_line(panel, rows, own, of_spread)]
    return np.concatenate(parts, axis=2).reshape(-1, panel.size)


def _of_line(panel: Panel, rows: slice, lines: Array, of_spread: Array) -> tuple[Array, Array]:
    """Scores of c (g × Q × K) and log s_γ (g × Q × 1)."""
    return panel.by_between(lines) * panel.z[rows, None, None], of_spread[:, :, None]


def _products(panel: Panel, rows: slice, lines: Array, of_spread: Array) -> Array:
    """Sum over clusters and nodes of score × scoreᵀ (P × P)."""
    if panel.few or not panel.sparse:
        design = _design(panel, rows, lines, of_spread)
        return np.asarray(design.T @ design, dtype=np.float64)
    of_line = _of_line(panel, rows, lines, of_spread)
    short = np.concatenate([lines, lines * panel.x[rows][:, None, :], *of_line], axis=2)
    n, size, model = panel.n_models, panel.size, panel.model[rows]
    empty = model == n
    shared = np.tile([2 * n, 2 * n + 1], (len(model), 1))
    places = [np.where(empty, size, model), np.where(empty, size, n + model), shared]
    place = np.concatenate(places, axis=1)
    key = place[:, :, None] * (size + 1) + place[:, None, :]
    total = np.bincount(key.ravel(), (short.transpose(0, 2, 1) @ short).ravel(), (size + 1) ** 2)
    return np.asarray(total.reshape(size + 1, size + 1)[:size, :size], dtype=np.float64)


@cache
def _nodes(n: int) -> tuple[Array, Array]:
    """n nodes and their weights for a standard normal, which sum to 1."""
    nodes, weights = roots_hermitenorm(n)
    return nodes, weights / weights.sum()


def _blocks(panel: Panel, state: State, near: Array | None) -> Iterator[_Block]:
    nodes = _nodes(_NODES_SMALL if panel.n_models < _TINY else _NODES)
    theta, slope = np.append(state.theta, 0.0), np.append(state.slope, 0.0)
    width = panel.model.shape[1] if panel.sparse else panel.n_models
    step = max(1, _BLOCK // (len(nodes[0]) * (2 * width + 2)))
    for start in range(0, len(panel.y), step):
        rows = slice(start, start + step)
        model = panel.model[rows]
        fixed = (
            theta[model]
            + slope[model] * panel.x[rows]
            + np.append(np.broadcast_to(state.between, panel.n_models), 0.0)[model] * panel.z[rows, None]
        )
        mode = np.zeros(len(model)) if near is None else near[rows]
        yield _quadrature(panel, rows, fixed, mode, spread=state.spread_instruction, rule=nodes)


def _quadrature(
    panel: Panel, rows: slice, fixed: Array, mode: Array, *, spread: float, rule: tuple[Array, Array]
) -> _Block:
    """Nodes γ about each cluster's mode, found by Newton's method, and their posterior weights."""
    y, weight, (nodes, node_weights) = panel.y[rows], panel.weight[rows], rule
    won = y.sum(axis=1)
    for _ in range(50):
        mu = expit(fixed + mode[:, None]) * weight
        step = (won - mu.sum(axis=1) - mode / spread**2) / ((mu * (1 - mu)).sum(axis=1) + spread**-2)
        mode = mode + np.clip(step, -2, 2)
        if np.abs(step).max() < 1e-3:
            break
    mu = expit(fixed + mode[:, None]) * weight
    width = 1 / np.sqrt((mu * (1 - mu)).sum(axis=1) + spread**-2)
    gamma = mode[:, None] + width[:, None] * nodes
    mu, loss = _chances(fixed[:, None, :] + gamma[:, :, None], weight[:, None, :])
    joint = won[:, None] * gamma + (y * fixed).sum(axis=1)[:, None] - loss
    joint += -0.5 * (gamma / spread) ** 2 - math.log(spread) + 0.5 * nodes**2
    joint += np.log(width)[:, None] + np.log(node_weights)
    top = joint.max(axis=1)
    posterior = np.exp(joint - top[:, None])
    total = posterior.sum(axis=1)
    return _Block(rows, gamma, posterior / total[:, None], mu, mode, float((top + np.log(total)).sum()))


def _chances(eta: Array, weight: Array) -> tuple[Array, Array]:
    """(σ(η) · weight (g × Q × K), log(1 + eⁿ) summed over the cells (g × Q)): one exponential serves both."""
    small = np.exp(-np.abs(eta))
    whole = 1 + small
    mu = np.where(eta >= 0, 1.0, small)
    mu /= whole
    mu *= weight
    np.log(whole, out=whole)
    whole += np.maximum(eta, 0)
    return mu, np.einsum("gqk,gqk->gq", whole, np.broadcast_to(weight, whole.shape))
