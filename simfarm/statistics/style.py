"""Style of answers and other covariates: what a judge likes in how an answer looks, taken out of who wins.

A feature is a signed relative difference, (second − first) / (second + first), a covariate of the user's own
the plain one, scaled by its spread about zero. It is
never mean-centred: swapping the two answers must turn x into −x, and a centred feature would move part of every
model's strength into a constant that depends on which side the models happened to be on.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from simfarm.errors import InputError
from simfarm.statistics.bradley_terry import ELO_SCALE, BradleyTerry, Matches, bradley_terry
from simfarm.statistics.estimate import Array, Estimate, mean_estimate
from simfarm.statistics.logistic import Codes
from simfarm.text.marks import SHOWN_FIRST

__all__ = [
    "ControlledRanking",
    "ControlledWinRates",
    "StyleDifferences",
    "controlled_bradley_terry",
    "controlled_win_rates",
    "frequent",
    "style_differences",
]

_FEWEST = 2.5
"""Instructions that must carry a feature, as if all did so evenly: from two alone no interval can be had that holds the
truth, however wide, and the slope of one is that instruction's verdict."""


@dataclass(frozen=True)
class StyleDifferences:
    """`x` (n × K) in units of `spread` (root mean square about zero), columns `names`; `constant` were equal in every
    comparison, so that nothing can be said of them and they are left out."""

    names: tuple[str, ...]
    x: Array
    spread: Array
    constant: tuple[str, ...]


@dataclass(frozen=True)
class ControlledRanking:
    """Bradley-Terry without and with style and order; `slopes` are those of every feature, NaN where it is too
    rare to estimate and so not controlled for."""

    raw: BradleyTerry
    controlled: BradleyTerry
    slopes: Mapping[str, Estimate]


@dataclass(frozen=True)
class ControlledWinRates:
    """Win rates over the baseline as fractions, raw and at equal style, by model; slopes in logits for one spread, NaN
    where a feature is too rare to estimate and so not controlled for."""

    raw: dict[str, Estimate]
    controlled: dict[str, Estimate]
    slopes: dict[str, Estimate]
    prior: bool


def style_differences(
    first: Array, second: Array, names: Sequence[str], *, covariates: Collection[str] = ()
) -> StyleDifferences:
    """Signed relative differences, second minus first, of counts (n × K each), scaled by their spread about zero.

    Relative, (b − a) / (a + b) and 0 where neither has any, so that one answer with 200 list items does not decide the
    slope. For slim files, which carry lengths alone, pass those as the one column of `length`. The `covariates` among
    the names are no counts: they may be negative, and theirs is the plain difference.
    """
    if first.shape != second.shape or first.shape[1:] != (len(names),):
        raise InputError(f"style counts of shapes {first.shape} and {second.shape} do not fit the names {list(names)}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("the style of some answers is unknown; control for style needs every text, or every length")
    total = first + second
    relative = np.divide(second - first, total, out=np.zeros_like(total), where=total > 0)
    own = np.array([name in covariates for name in names], dtype=bool)
    relative[:, own] = (second - first)[:, own]
    spread = np.sqrt((relative**2).mean(axis=0)) if len(relative) else np.zeros(len(names))
    kept = spread > 0
    relative = relative[:, kept] if not kept.all() else relative
    relative /= spread[kept]
    return StyleDifferences(
        names=tuple(n for n, keep in zip(names, kept, strict=True) if keep),
        x=relative,
        spread=spread[kept],
        constant=tuple(n for n, keep in zip(names, kept, strict=True) if not keep),
    )


def controlled_bradley_terry(
    matches: Matches, style: StyleDifferences, *, drop_ties: bool = False, raw: Matches | None = None
) -> ControlledRanking:
    """Ratings with and without `style`: the first are what the models would have if every pair looked alike.

    Where `matches` have an order, how much being shown first helps is held equal too, and `style` may have no feature.
    Their rows are then calls that share the weight one of a comparison, and `raw` are the comparisons, which are rated
    without control.

    Raises `InputError` as `bradley_terry` does, also where a feature is a fixed trait of each model (one always writes
    lists, the other never), which no statistics can tell from the model's strength. A feature that hardly three
    instructions carry is left out; `InputError` where that is every one.
    """
    weight = np.ones(len(matches.p)) if matches.weight is None else matches.weight
    covariates = style
    if matches.order is not None:
        covariates = replace(
            style,
            names=(SHOWN_FIRST, *style.names),
            x=np.column_stack([matches.order, style.x]),
            spread=np.append(1.0, style.spread),
        )
    _require_features(covariates)
    kept = _frequent(covariates, weight, matches.cluster)
    ordered = SHOWN_FIRST in kept.names
    x, names = (kept.x[:, 1:], kept.names[1:]) if ordered else (kept.x, kept.names)
    styled = replace(
        matches,
        order=matches.order if ordered else None,
        features=x if names else None,
        feature_names=names,
    )
    unit = None if raw is None else 1.0
    controlled = bradley_terry(styled, drop_ties=drop_ties, unit=unit)
    return ControlledRanking(
        raw=bradley_terry(replace(matches, order=None) if raw is None else raw, drop_ties=drop_ties),
        controlled=controlled,
        slopes={name: controlled.slopes.get(name, _missing()) for name in covariates.names},
    )


def controlled_win_rates(
    models: tuple[str, ...], model: Codes, p: Array, cluster: Codes, style: StyleDifferences
) -> ControlledWinRates:
    """Win rates of models over one baseline at equal style, slopes shared by all models.

    Row n says how strongly `models[model[n]]` was preferred to the baseline, `style` is model minus baseline. The model
    is logit P = θ_m + x·β and the controlled rate σ(θ_m): what the model would score with answers styled like the
    baseline's. The likelihood equations make the mean fitted chance equal the raw rate, so with all slopes zero the two
    rates are the same number. Several rows of a model in one cluster share the weight of one, as in the raw rate.

    Rows without a verdict (NaN) are left out; a model without any has NaN for its rates, and one that won or lost
    everything gets the prior of `fit_rows`. A feature that hardly three instructions carry is left out; `InputError`
    where that is every one.
    """
    _require_features(style)
    known = np.flatnonzero(~np.isnan(p))
    model, p, cluster, x = model[known], p[known], cluster[known], style.x[known]
    judged, position = np.unique(model, return_inverse=True)
    n = len(judged)
    _, code = np.unique(cluster, return_inverse=True)
    _, group, times = np.unique(code * n + position, return_inverse=True, return_counts=True)
    kept = _frequent(replace(style, x=x), 1 / times[group], cluster)
    star = Matches(
        models=(*(models[m] for m in judged), "the baseline"),
        model_1=np.full(len(p), n),
        model_2=position,
        p=p,
        cluster=cluster,
        weight=1 / times[group],
        features=kept.x,
        feature_names=kept.names,
    )
    fitted = bradley_terry(star, unit=1.0)
    ratings = list(fitted.ratings.values())
    raw = {name: mean_estimate(p[model == m], cluster[model == m]) for m, name in enumerate(models)}
    controlled = dict(raw)
    for k, m in enumerate(judged):
        controlled[models[m]] = _as_rate(ratings[k] - ratings[n])
    slopes = {name: fitted.slopes.get(name, _missing()) for name in style.names}
    return ControlledWinRates(raw=raw, controlled=controlled, slopes=slopes, prior=fitted.prior)


def _as_rate(gap: Estimate) -> Estimate:
    """An Elo difference as the chance of winning, with its errors (delta method)."""
    rate = float(expit(gap.value / ELO_SCALE))
    slope = rate * (1 - rate) / ELO_SCALE
    return Estimate(
        rate,
        slope * gap.influence,
        gap.clusters,
        shared=slope * gap.shared,
        freedom=gap.freedom,
        endless=gap.endless,
    )


def frequent(x: Array, weight: Array, cluster: Codes) -> NDArray[np.bool_]:
    """Which columns of x (n × K) instructions enough carry: (Σ t)² / Σ t², t an instruction's Σ weight · x²."""
    _, code = np.unique(cluster, return_inverse=True)
    carried = np.stack([np.bincount(code, weight * column**2) for column in x.T])
    squares = (carried**2).sum(axis=1)
    kept: NDArray[np.bool_] = (carried.sum(axis=1) ** 2 >= _FEWEST * squares) & (squares > 0)
    return kept


def _frequent(style: StyleDifferences, weight: Array, cluster: Codes) -> StyleDifferences:
    """The features that instructions enough carry."""
    kept = frequent(style.x, weight, cluster)
    if kept.all():
        return style
    names = tuple(name for name, keep in zip(style.names, kept, strict=True) if keep)
    if not names:
        raise InputError(
            f"the answers differ in {', '.join(style.names)} on fewer than three instructions: too rare to estimate; "
            "leave it out"
        )
    return replace(style, names=names, x=style.x[:, kept], spread=style.spread[kept])


def _missing() -> Estimate:
    return Estimate(math.nan, np.zeros(0), np.zeros(0, dtype=np.int64), rate=False)


def _require_features(style: StyleDifferences) -> None:
    if not style.names:
        same = ", ".join(style.constant) or "any feature"
        raise InputError(f"the answers do not differ in {same}; there is no style to control for")
