"""Clusters that decide for themselves: the sandwich corrected for them, and how many of them a value rests on.

A cluster pulls the fit towards its own verdicts, so that its residuals are too small and the sandwich is too sure: a
little with hundreds of even clusters, much with few, with sizes of a heavy tail, or where a rare mark of style is
carried by a handful. The jackknife's correction (CR3 of Bell and McCaffrey 2002: every cluster's pull on a fit without
it, in one Newton step) errs on the safe side, and t has the degrees of freedom of Satterthwaite, of the shares that the
clusters have in what is known of the value.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes, Fit, Rows, cluster_sums, row_terms

__all__ = ["Pulls", "pulls"]

_MATTERS = 0.02
"""Leverage below which a cluster's correction would move a standard error by under 2 %; at most P/.02 are above."""
_AT_ONCE = 1 << 20
"""Numbers in a block of P × P matrices."""


@dataclass(frozen=True)
class Pulls:
    """`changes` (P × G) is how far each cluster pulls the params, in logits; `shares` and `squares` (P,) are the sums,
    over the `n_large` clusters of large leverage, of their shares of the information on a param, and of the squares."""

    changes: Array
    shares: Array
    squares: Array
    n_large: int

    def freedom(self, n_clusters: int) -> Array:
        """Degrees of freedom (P,): 1/Σ share², the clusters of small leverage taken for equal; at most G − 1."""
        rest = np.maximum(0.0, 1 - self.shares) ** 2 / max(1, n_clusters - self.n_large)
        return np.asarray(np.minimum(n_clusters - 1.0, 1 / np.maximum(self.squares + rest, 1e-12)), dtype=np.float64)


def pulls(rows: Rows, n_models: int, fit: Fit, cluster: Codes, n_here: int, *, of: int) -> Pulls:
    """The pulls of `n_here` clusters, whose rows must all be here, out of the `of` that there are.

    A cluster of equal size among G in a plain mean has the leverage 1/G, and its correction is exactly the G/(G − 1)
    that every sandwich here has: so the two are the same number, and what is above is the clusters' own.
    """
    residual, curved = row_terms(rows, n_models, fit.params)
    changes = fit.bread @ cluster_sums(rows, n_models, residual, cluster, n_here)
    large = np.flatnonzero(np.bincount(cluster, curved * _leverage(rows, n_models, fit.bread), n_here) > _MATTERS)
    shares, squares = np.zeros(len(changes)), np.zeros(len(changes))
    if not len(large):
        return Pulls(changes, shares, squares, 0)
    place = np.full(n_here, -1)
    place[large] = np.arange(len(large))
    kept = np.flatnonzero(place[cluster] >= 0)
    kept = kept[np.argsort(place[cluster[kept]], kind="stable")]
    own, at = Rows(rows.pair[kept], rows.weight[kept], rows.won[kept], rows.x[kept]), place[cluster[kept]]
    diagonal = np.diag(fit.bread)
    step = max(1, _AT_ONCE // len(diagonal) ** 2)
    for low in range(0, len(large), step):
        part = slice(*np.searchsorted(at, (low, low + step)))
        some = Rows(own.pair[part], own.weight[part], own.won[part], own.x[part])
        which = large[low : low + step]
        turned = fit.bread @ _informations(some, n_models, curved[kept[part]], at[part] - low, len(which))
        share = (turned * fit.bread).sum(axis=2) / diagonal
        shares += share.sum(axis=0)
        squares += (share**2).sum(axis=0)
        # a hair short of the whole, so that what a cluster alone decides (its residual is nought there) has a solution
        left = np.eye(len(diagonal)) - (1 - 1e-7) * turned
        solved = np.linalg.solve(left, changes[:, which].T[:, :, None])[:, :, 0].T
        changes[:, which] = solved * (1 - 1 / of)
    return Pulls(changes, shares, squares, len(large))


def _leverage(rows: Rows, n_models: int, bread: Array) -> Array:
    """zᵀ·bread·z of each row (n,), z its covariates: one at `second`, minus one at `first`, then x."""
    spread = np.diag(bread)[:n_models]
    table = (spread[:, None] + spread[None, :] - 2 * bread[:n_models, :n_models]).ravel()
    found: Array = table[rows.pair]
    for k in range(rows.x.shape[1]):
        across = bread[n_models + k, :n_models]
        found += 2 * (across[None, :] - across[:, None]).ravel()[rows.pair] * rows.x[:, k]
        found += rows.x[:, k] * (rows.x @ bread[n_models:, n_models + k])
    return found


def _informations(rows: Rows, n_models: int, curved: Array, cluster: Codes, n_here: int) -> Array:
    """The information (G × P × P) of each cluster's rows."""
    n_slopes = rows.x.shape[1]
    made = np.zeros((n_here, n_models + n_slopes, n_models + n_slopes))
    both = np.bincount(cluster * n_models**2 + rows.pair, curved, n_here * n_models**2)
    both = both.reshape(n_here, n_models, n_models)
    both = both + both.transpose(0, 2, 1)
    made[:, :n_models, :n_models] = -both
    models = np.arange(n_models)
    made[:, models, models] += both.sum(axis=2)
    for k in range(n_slopes):
        sums = cluster_sums(rows, n_models, curved * rows.x[:, k], cluster, n_here).T
        made[:, n_models + k, :] = sums
        made[:, :n_models, n_models + k] = sums[:, :n_models]
    return made
