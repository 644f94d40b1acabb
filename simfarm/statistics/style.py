"""Style of answers as covariates: what a judge likes in how an answer looks, taken out of who wins.

A feature is a signed relative difference, (second − first) / (second + first), scaled by its spread about zero. It is
never mean-centred: swapping the two answers must turn x into −x, and a centred feature would move part of every
model's strength into a constant that depends on which side the models happened to be on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import expit

from simfarm.errors import InputError
from simfarm.statistics.bradley_terry import ELO_SCALE, BradleyTerry, Matches, bradley_terry
from simfarm.statistics.estimate import Array, Estimate, mean_estimate
from simfarm.statistics.logistic import Codes

__all__ = [
    "ControlledRanking",
    "ControlledWinRates",
    "StyleDifferences",
    "controlled_bradley_terry",
    "controlled_win_rates",
    "style_differences",
]


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
    """Bradley-Terry without and with style; the slopes are in `controlled.slopes`."""

    raw: BradleyTerry
    controlled: BradleyTerry


@dataclass(frozen=True)
class ControlledWinRates:
    """Win rates over the baseline as fractions, raw and at equal style, by model; slopes in logits for one spread."""

    raw: dict[str, Estimate]
    controlled: dict[str, Estimate]
    slopes: dict[str, Estimate]
    prior: bool


def style_differences(first: Array, second: Array, names: Sequence[str]) -> StyleDifferences:
    """Signed relative differences, second minus first, of counts (n × K each), scaled by their spread about zero.

    Relative, (b − a) / (a + b) and 0 where neither has any, so that one answer with 200 list items does not decide the
    slope. For slim files, which carry lengths alone, pass those as the one column of `length`.
    """
    if first.shape != second.shape or first.shape[1:] != (len(names),):
        raise InputError(f"style counts of shapes {first.shape} and {second.shape} do not fit the names {list(names)}")
    if not (np.isfinite(first).all() and np.isfinite(second).all()):
        raise InputError("the style of some answers is unknown; control for style needs every text, or every length")
    total = first + second
    relative = np.divide(second - first, total, out=np.zeros_like(total), where=total > 0)
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
    matches: Matches, style: StyleDifferences, *, drop_ties: bool = False
) -> ControlledRanking:
    """Ratings with and without `style`: the second are what the models would have if every pair looked alike.

    Raises `InputError` as `bradley_terry` does, also where a feature is a fixed trait of each model (one always writes
    lists, the other never), which no statistics can tell from the model's strength.
    """
    _require_features(style)
    styled = replace(matches, features=style.x, feature_names=style.names)
    return ControlledRanking(
        raw=bradley_terry(matches, drop_ties=drop_ties), controlled=bradley_terry(styled, drop_ties=drop_ties)
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
    everything gets the prior of `fit_rows`.
    """
    _require_features(style)
    known = np.flatnonzero(~np.isnan(p))
    model, p, cluster, x = model[known], p[known], cluster[known], style.x[known]
    judged, position = np.unique(model, return_inverse=True)
    n = len(judged)
    _, code = np.unique(cluster, return_inverse=True)
    _, group, times = np.unique(code * n + position, return_inverse=True, return_counts=True)
    star = Matches(
        models=(*(models[m] for m in judged), "the baseline"),
        model_1=np.full(len(p), n),
        model_2=position,
        p=p,
        cluster=cluster,
        weight=1 / times[group],
        features=x,
        feature_names=style.names,
    )
    fitted = bradley_terry(star)
    ratings = list(fitted.ratings.values())
    raw = {name: mean_estimate(p[model == m], cluster[model == m]) for m, name in enumerate(models)}
    controlled = dict(raw)
    for k, m in enumerate(judged):
        controlled[models[m]] = _as_rate(ratings[k] - ratings[n])
    return ControlledWinRates(raw=raw, controlled=controlled, slopes=fitted.slopes, prior=fitted.prior)


def _as_rate(gap: Estimate) -> Estimate:
    """An Elo difference as the chance of winning, with its errors (delta method)."""
    rate = float(expit(gap.value / ELO_SCALE))
    slope = rate * (1 - rate) / ELO_SCALE
    return Estimate(rate, slope * gap.influence, gap.clusters, shared=slope * gap.shared, freedom=gap.freedom)


def _require_features(style: StyleDifferences) -> None:
    if not style.names:
        same = ", ".join(style.constant) or "any feature"
        raise InputError(f"the answers do not differ in {same}; there is no style to control for")
