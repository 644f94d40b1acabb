"""What a panel of judges says, by a rule, and the weights of its members.

Each member is a row of p (how strongly output_2 is preferred, 0 to 1). A member without a verdict (NaN) abstains: the
others decide, as long as they are half of all. A tie is a vote for neither side.

Weights are fitted by ridge least squares of people's votes on verdicts, both from −1 to 1, and not by logistic
regression: a verdict that is missing or a tie then pulls nothing, soft verdicts and split votes are what they are, and
the sum needs no link to be a vote. They are non-negative unless asked for (Breiman 1996 found that stacking needs it):
a member that errs alike everywhere is worth something with its sign turned, until the data change.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import nnls

from simfarm.data.juries import Rule
from simfarm.errors import InputError
from simfarm.statistics.agreement import side_counts
from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["FOLDS", "Jury", "cross_weighted", "folds_of", "jury", "jury_weights"]

FOLDS = 10
_RIDGE = 10.0
"""As if each member had, beside its labels, ten verdicts on pairs over which people are split evenly. The best of 1 to
300 on LLMBar's processed and case-study items, not on those that figures are shown of."""
_NOUGHT = 1e-9


@dataclass(frozen=True)
class Jury:
    """A panel's verdicts on n items: `p` (NaN where fewer than half of the members have one), how clear they are
    (`strength`, 0 an even split to 1 all alike and sure), the `entropy` of the members' sides in bits (0: all took
    one), and how many `voted`."""

    p: Array
    strength: Array
    entropy: Array
    voted: Codes


def jury(p: Array, rule: Rule, weights: Array | None = None) -> Jury:
    """The verdicts of members (`p`, members × items, NaN none) by a rule.

    `majority`: the side that more members take, ½ where as many take either. `mean`: the mean p. `weighted`:
    ½ + Σ wₖ(pₖ − ½)/Σ|wₖ| over the members with a verdict; `weights` (one a member) belong to it alone. Raises
    `InputError` for weights that are not as many or sum to 0.
    """
    w = np.ones(len(p)) if rule != "weighted" else _checked(weights, len(p))
    known = ~np.isnan(p)
    leaning = np.where(known, 2 * p - 1, 0.0)
    if rule == "majority":
        leaning = np.sign(leaning)
    voted = known.sum(axis=0)
    total = np.abs(w) @ known
    pull = np.divide(w @ leaning, total, out=np.zeros(p.shape[1]), where=total > _NOUGHT)
    pull = np.where(np.abs(pull) < _NOUGHT, 0.0, np.clip(pull, -1.0, 1.0))
    decided = 0.5 + 0.5 * (np.sign(pull) if rule == "majority" else pull)
    enough = 2 * voted >= len(p)
    return Jury(
        np.where(enough & (voted > 0), decided, np.nan),
        np.where(voted > 0, np.abs(pull), np.nan),
        _entropy(p),
        voted.astype(np.int64),
    )


def _checked(weights: Array | None, n: int) -> Array:
    if weights is None or len(weights) != n:
        raise InputError(f"a weighted panel of {n} members has {0 if weights is None else len(weights)} weights")
    if float(np.abs(weights).sum()) < _NOUGHT:
        raise InputError("the weights of the panel's members are all 0; give one of them a weight")
    return weights


def _entropy(p: Array) -> Array:
    """Of the sides that the members take on each item, in bits; NaN without a verdict."""
    item = np.tile(np.arange(p.shape[1]), len(p))
    counts = side_counts(item, p.ravel(), p.shape[1])
    n = counts.sum(axis=1, keepdims=True)
    share = np.divide(counts, n, out=np.ones_like(counts), where=counts > 0)
    bits = -(share * np.log2(share)).sum(axis=1)
    return np.where(n[:, 0] > 0, bits + 0.0, np.nan)


def jury_weights(p: Array, people: Array, cluster: Codes, *, signed: bool = False, ridge: float = _RIDGE) -> Array:
    """The weight of each member (`p`, members × items, NaN none) by people's mean vote on each item (NaN none).

    Minimises Σ vᵢ(yᵢ − Σ wₖxᵢₖ)² + `ridge`·Σ wₖ² with x = 2p − 1 and y = 2·people − 1, 0 without a verdict, and v such
    that every instruction (`cluster`) counts once; wₖ ≥ 0 unless `signed`. All 0 where no member (non-negative) leans
    as people do.
    """
    labelled = ~np.isnan(people)
    x = np.nan_to_num(2 * p[:, labelled].T - 1)
    y = 2 * people[labelled] - 1
    _, code, size = np.unique(cluster[labelled], return_inverse=True, return_counts=True)
    v = np.sqrt(1 / size[code])
    rows = np.vstack([v[:, None] * x, np.sqrt(ridge) * np.eye(len(p))])
    wanted = np.concatenate([v * y, np.zeros(len(p))])
    found: Array = np.linalg.lstsq(rows, wanted, rcond=None)[0] if signed else nnls(rows, wanted)[0]
    return np.where(np.abs(found) < _NOUGHT, 0.0, found)


def cross_weighted(p: Array, people: Array, cluster: Codes, *, signed: bool = False) -> tuple[Jury, Array]:
    """(a weighted panel's verdicts, each by weights that never saw a label of its instruction; the weights by all).

    Folds are of whole instructions. In a fold where no member leans as people do the panel ties. Raises `InputError`
    where there are fewer than two instructions with labels, or no member leans as people do in all.
    """
    weights = jury_weights(p, people, cluster, signed=signed)
    if not weights.any():
        raise InputError(
            "no member leans as people do, so there is nothing to weigh; name other judges, or allow negative weights "
            "(--signed)"
        )
    made = jury(p, "weighted", weights)
    decided, strength = made.p.copy(), made.strength.copy()
    for fold in folds_of(cluster[~np.isnan(people)], cluster):
        own = jury_weights(p, np.where(fold, np.nan, people), cluster, signed=signed)
        if own.any():
            part = jury(p[:, fold], "weighted", own)
            decided[fold], strength[fold] = part.p, part.strength
        else:
            decided[fold], strength[fold] = np.where(np.isnan(made.p[fold]), np.nan, 0.5), 0.0
    return Jury(decided, strength, made.entropy, made.voted), weights


def folds_of(labelled: Codes, cluster: Codes, folds: int = FOLDS) -> list[NDArray[np.bool_]]:
    """Which items each fold holds: the `labelled` instructions dealt out at random, the same way every time. Raises
    `InputError` for fewer than two."""
    ids = np.unique(labelled)
    if len(ids) < 2:
        raise InputError("weights that are tested need labels of two instructions or more; give --human more labels")
    dealt = np.random.default_rng(0).permutation(ids)
    return [np.isin(cluster, part) for part in np.array_split(dealt, min(folds, len(ids)))]
