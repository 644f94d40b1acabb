"""Bradley-Terry ratings from any graph of comparisons, with intervals that know what an instruction is.

The clusters' scores, not resampled rows, give the standard errors: two orders and several repeats of one comparison are
one piece of evidence. A bootstrap of exploded rows takes them for several and covers 73 % where it says 95 %.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.leverage import Pulls, pulls
from simfarm.statistics.logistic import Codes, Fit, Rows, fit_rows, require_connected, unseen
from simfarm.statistics.separation import endless
from simfarm.text.marks import ORDER, SHOWN_FIRST
from simfarm.text.words import plural

__all__ = [
    "ELO_CENTRE",
    "ELO_SCALE",
    "SHOWN_FIRST",
    "BradleyTerry",
    "Matches",
    "bradley_terry",
    "compact",
]

ELO_CENTRE = 1000.0
ELO_SCALE = 400 / math.log(10)
"""Elo points of one logit: 400 points are odds of ten to one."""

_KINDS = {
    "model_1": np.int64,
    "model_2": np.int64,
    "p": np.float64,
    "cluster": np.int64,
    "weight": np.float64,
    "order": np.int64,
    "features": np.float64,
}
_BLOCK = 1 << 13


@dataclass(frozen=True)
class Matches:
    """n comparisons as arrays; codes index `models`. Raises `InputError` for values no fit could use.

    `p` is how strongly model_2 is preferred, in [0, 1], a tie 0.5. `cluster` (any integers) names the instruction.
    `weight` scores a verdict's strength (two for "much better"): never write such a row twice. `order` is +1 where
    model_2's output was shown first, −1 where model_1's was, 0 where both orders are averaged in the row. `features`
    (n × K) are signed differences, model_2 minus model_1, scaled but not centred (`simfarm.statistics.style`). A model
    against itself says nothing of strengths, but of order and style.
    """

    models: tuple[str, ...]
    model_1: Codes
    model_2: Codes
    p: Array
    cluster: Codes
    weight: Array | None = None
    order: Codes | None = None
    features: Array | None = None
    feature_names: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, kind in _KINDS.items():
            column = getattr(self, name)
            if column is not None:
                object.__setattr__(self, name, np.asarray(column, dtype=kind))
        n = len(self.p)
        if len(self.models) < 2:
            raise InputError("only one model was compared; a ranking needs at least two")
        for name in _KINDS:
            column = getattr(self, name)
            if column is not None and len(column) != n:
                raise InputError(f"{name} has {len(column)} values for {n} preferences; give one for each comparison")
        if n and not (np.min(self.p) >= 0 and np.max(self.p) <= 1):
            row = int(np.flatnonzero(~((self.p >= 0) & (self.p <= 1)))[0])
            raise InputError(f"preference {self.p[row]} (comparison {row}) is not in [0, 1]; drop it or recode it")
        for name in ("model_1", "model_2"):
            codes = getattr(self, name)
            if n and not (codes.min() >= 0 and codes.max() < len(self.models)):
                raise InputError(f"{name} has codes outside 0 … {len(self.models) - 1}, the positions of `models`")
        if self.weight is not None and not (np.isfinite(self.weight).all() and (self.weight >= 0).all()):
            raise InputError("a weight is negative or not finite; weights are scores of strength, 0 or more")
        if self.order is not None and not np.isin(self.order, (-1, 0, 1)).all():
            raise InputError("order must be +1 (model_2 shown first), -1 (model_1 shown first) or 0 (both, averaged)")
        n_features = 0 if self.features is None else self.features.shape[1]
        if len(self.feature_names) != n_features:
            raise InputError(f"{n_features} feature columns have {len(self.feature_names)} names; name each one")
        if self.features is not None and not np.isfinite(self.features).all():
            raise InputError("a style feature is not finite; compute features from texts with simfarm.statistics.style")


@dataclass(frozen=True)
class BradleyTerry:
    """Ratings on the Elo scale, 1000 + 400 log10 of the strength, their mean 1000; subtract two to compare two models.

    `ratings` and `slopes` keep one influence per cluster, so `a - b` is the paired difference. A rating on its own is
    "against the average of this panel". `slopes` are in logits: of `shown_first` (how much being shown first helps) and
    of each feature, one spread of it. `prior` says that the weak prior of `fit_rows` was needed (a model won or lost
    everything, or nearly): leads that no verdict limits have a number by it, but no limit (`Estimate.endless`).
    Against an average that such a model is part of, the others have none on the other side.
    """

    ratings: dict[str, Estimate]
    slopes: dict[str, Estimate]
    strengths: Array
    n_comparisons: int
    ties_dropped: int
    prior: bool


def bradley_terry(matches: Matches, *, drop_ties: bool = False, unit: float | None = None) -> BradleyTerry:
    """Maximum-likelihood ratings with cluster-sandwich influences.

    A tie counts half a win each; `drop_ties` leaves rows with p = 0.5 out, which is a sensitivity check and not an
    estimate of the same thing. Rows of weight 0 are left out. `unit` is the mean weight of a comparison, where several
    rows are one (its calls, or samples that share a weight); by default that of a row.
    Raises `InputError` for one model, fewer than two
    clusters, a disconnected graph (the parts are named), or covariates that cannot be told apart.
    """
    used, ties = _used(matches, drop_ties)
    n_models = len(used.models)
    pair = used.model_1 * n_models + used.model_2
    require_connected(pair, used.models)
    cluster, ids = compact(used.cluster)
    if len(ids) < 2:
        raise InputError(f"all comparisons belong to {plural(len(ids), 'instruction')}; an interval needs at least two")
    rows, names = _rows(used, pair)
    unit = float(rows.weight.mean()) if unit is None else unit
    called = tuple(ORDER if name == SHOWN_FIRST else name for name in names)
    sums = _summed(rows, used.order, n_models)
    fit = fit_rows(sums, n_models, called, unit=unit)
    if used.features is not None:
        plain = np.concatenate([fit.params, np.zeros(used.features.shape[1])])
        fit = fit_rows(rows, n_models, called, unit=unit, start=plain)
    terms = (
        unseen(fit, n_models, sums.pair, sums.weight, unit),
        endless(sums if used.features is None else rows, n_models, fit, unit),
    )
    estimates = _estimates(fit, _pulls(rows, n_models, fit, cluster, len(ids)), terms, ids, n_models)
    return BradleyTerry(
        ratings=dict(zip(used.models, estimates[:n_models], strict=True)),
        slopes=dict(zip(names, estimates[n_models:], strict=True)),
        strengths=fit.params[:n_models],
        n_comparisons=len(used.p),
        ties_dropped=ties,
        prior=fit.prior > 0,
    )


def elo_scale(fit: Fit, n_models: int) -> tuple[Array, Array]:
    """The fit's values on the Elo scale (slopes in logits), and what one logit of each is worth."""
    scale = np.where(np.arange(len(fit.params)) < n_models, ELO_SCALE, 1.0)
    return scale * fit.params + np.where(scale > 1, ELO_CENTRE, 0.0), scale


def _pulls(rows: Rows, n_models: int, fit: Fit, cluster: Codes, n_clusters: int) -> Pulls:
    """How far each cluster pulls the params.

    Clusters in order of their rows are taken a block at a time, which keeps the scores in the processor's cache; in
    any other order, all at once.
    """
    in_order = bool((cluster[1:] >= cluster[:-1]).all())
    edges = np.append(np.arange(0, n_clusters, _BLOCK if in_order else n_clusters), n_clusters)
    cuts = np.searchsorted(cluster, edges) if in_order else np.array([0, len(cluster)])
    changes = np.empty((len(fit.params), n_clusters))
    shares, squares, n_large = np.zeros(len(changes)), np.zeros(len(changes)), 0
    for low, high, start, stop in zip(edges[:-1], edges[1:], cuts[:-1], cuts[1:], strict=True):
        part = Rows(rows.pair[start:stop], rows.weight[start:stop], rows.won[start:stop], rows.x[start:stop])
        found = pulls(part, n_models, fit, cluster[start:stop] - low, int(high - low), of=n_clusters)
        changes[:, low:high] = found.changes
        shares, squares, n_large = shares + found.shares, squares + found.squares, n_large + found.n_large
    return Pulls(changes, shares, squares, n_large)


def _estimates(fit: Fit, found: Pulls, terms: tuple[Array, Array], ids: Codes, n_models: int) -> list[Estimate]:
    """The params as estimates; `terms` are those of `unseen` and of `endless`."""
    values, scale = elo_scale(fit, n_models)
    changes = found.changes
    changes *= len(ids) * scale[:, None]
    if fit.prior:
        changes -= changes.mean(axis=1, keepdims=True)  # the prior's pull is no cluster's
    shared, freedom = scale[:, None] * terms[0], found.freedom(len(ids))
    return [
        Estimate(
            float(values[k]),
            changes[k],
            ids,
            rate=False,
            shared=shared[k],
            freedom=float(freedom[k]),
            endless=terms[1][k],
        )
        for k in range(len(values))
    ]


def _used(matches: Matches, drop_ties: bool) -> tuple[Matches, int]:
    """The rows that carry weight, ties left out where asked; how many ties that were."""
    keep = None if matches.weight is None or matches.weight.all() else matches.weight > 0
    ties = 0
    if drop_ties:
        decided = matches.p != 0.5
        ties = int((~decided if keep is None else ~decided & keep).sum())
        keep = decided if keep is None else keep & decided
    if keep is not None:
        columns = {name: column[keep] for name in _KINDS if (column := getattr(matches, name)) is not None}
        matches = replace(matches, **columns)
    if not len(matches.p):
        raise InputError("no comparison is left to rank from; every one is a tie or has weight 0")
    return matches, ties


def _rows(used: Matches, pair: Codes) -> tuple[Rows, tuple[str, ...]]:
    n = len(pair)
    weight = np.ones(n) if used.weight is None else used.weight
    won = used.p if used.weight is None else used.weight * used.p
    x: Array = np.empty((n, 0)) if used.features is None else used.features
    if used.order is not None:
        shown: Array = used.order.astype(np.float64)
        x = np.concatenate([shown.reshape(n, 1), x], axis=1)
    names = (() if used.order is None else (SHOWN_FIRST,)) + used.feature_names
    return Rows(pair, weight, won, x), names


def _cells(pair: Codes, order: Codes | None, n_models: int) -> tuple[Codes, Rows]:
    """The cell (ordered pair, and order where known) of each row, and an empty row for each cell that occurs."""
    levels = 1 if order is None else 3
    key = pair if order is None else pair * 3 + (order + 1)
    present = np.bincount(key, minlength=n_models**2 * levels) > 0
    keys = np.flatnonzero(present)
    x: Array = np.empty((len(keys), 0)) if order is None else (keys % 3 - 1.0).astype(np.float64).reshape(-1, 1)
    zero = np.zeros(len(keys))
    return (np.cumsum(present) - 1)[key], Rows(keys // levels, zero, zero, x)


def _summed(rows: Rows, order: Codes | None, n_models: int) -> Rows:
    """One row for each cell: sufficient for the fit, whatever the number of comparisons."""
    cell, head = _cells(rows.pair, order, n_models)
    weight: Array = np.bincount(cell, rows.weight, len(head.pair)).astype(np.float64)
    won: Array = np.bincount(cell, rows.won, len(head.pair)).astype(np.float64)
    return replace(head, weight=weight, won=won)


def compact(cluster: Codes) -> tuple[Codes, Codes]:
    """Clusters as 0 … G−1 and the ids they stand for; without sorting where they are dense already."""
    if cluster.min() >= 0 and cluster.max() < 4 * len(cluster) + 1000:
        present = np.bincount(cluster) > 0
        ids = np.flatnonzero(present)
        return (cluster if len(ids) == len(present) else (np.cumsum(present) - 1)[cluster]), ids
    ids, compact = np.unique(cluster, return_inverse=True)
    return compact, ids
