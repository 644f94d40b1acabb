"""Ratings of models on any graph of comparisons: Bradley-Terry on the Elo scale, or the maximal lottery.

A baseline is not needed: round robins, stars and sparse graphs are all fitted together. Where style is controlled for,
the raw ratings stand beside the controlled ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from simfarm.data.frames import Verdicts
from simfarm.errors import InputError
from simfarm.ranking.each import each_or_else
from simfarm.ranking.position import first_shown, position_warnings
from simfarm.ranking.remarks import order_lines, told_apart
from simfarm.ranking.style import Calls, calls_of, style_of
from simfarm.ranking.units import averaged, judge_hash_of
from simfarm.statistics.bradley_terry import BradleyTerry, Matches, bradley_terry
from simfarm.statistics.duels import Duels, duels
from simfarm.statistics.estimate import Array, Estimate, intervals
from simfarm.statistics.logistic import Codes
from simfarm.statistics.lottery import CyclicTriads, cyclic_triads, lottery, pair_rates, regularised_winner
from simfarm.statistics.style import StyleDifferences, controlled_bradley_terry
from simfarm.statistics.tiers import Tiers, tiers
from simfarm.text.marks import ORDER, control_names
from simfarm.text.shown import Shown
from simfarm.text.words import named, plural

__all__ = ["RATING_COLUMNS", "Ratings", "rate_models"]

RATING_COLUMNS = (
    "model",
    "rating",
    "rating_se",
    "rating_low",
    "rating_high",
    "tier",
    "rank_low",
    "rank_high",
    "n_total",
    "annotator",
    "judge_hash",
)


_PRIOR = (
    "of some leads no verdict says how large they may be (∞): a weak prior keeps the ratings finite, and against an "
    "average that such a model is part of the others have no lower limit; add instructions, or compare two models"
)


@dataclass(frozen=True)
class Ratings(Shown):
    """One annotator's ratings. `table` has `RATING_COLUMNS` (with style control also `rating_raw`), best first.

    `rating` is Elo for bradley-terry and the weight for lottery, which has no standard error: low and high are missing.
    A limit of a rating is infinite where no verdict limits a lead (`BradleyTerry`), and its standard error is missing.
    `rank_low` and `rank_high` are the ranks that the comparisons leave which make the tiers: of ratings those of
    `tiers`, beside a lottery those of `duels`, head to head.
    `lottery` is model -> weight where that was asked for, with `tau` the column `regularised_weight` that of the Nash
    winner held near the even mixture; `slopes` are in logits for one spread of a feature. An
    annotator that could not be rated, beside others that could, has no models, and `warnings` say why. `matches` is
    what all this is of."""

    annotator: str
    rank: str
    level: float
    table: pd.DataFrame
    estimates: Mapping[str, Estimate]
    lottery: Mapping[str, float] | None
    slopes: Mapping[str, Estimate]
    n_clusters: int
    notes: tuple[str, ...]
    warnings: tuple[str, ...]
    tau: float | None = None
    matches: Matches | None = field(default=None, repr=False, compare=False)

    @cached_property
    def wins(self) -> pd.DataFrame:
        """How often the row's model is preferred to the column's (a fraction, mean over the instructions on which they
        met; missing where they never did), best first."""
        names = [str(model) for model in self.table["model"]]
        if self.matches is None:
            return pd.DataFrame(index=names, columns=names, dtype=float)
        models = list(self.matches.models)
        rates = np.where(np.eye(len(models), dtype=bool), np.nan, pair_rates(self.matches))
        return pd.DataFrame(rates, index=models, columns=models).loc[names, names]


def rate_models(
    verdicts: Verdicts,
    rank: str,
    *,
    control: str | None = None,
    tau: float | None = None,
    level: float = 0.95,
    allow_mixed: bool = False,
) -> list[Ratings]:
    """Ratings by each annotator; `rank` is `bradley-terry` or `lottery`.

    `control` names style features, `order` and covariates (`length,order,latency`), for bradley-terry
    alone; `tau` is for the lottery alone, see `regularised_winner`. Raises `InputError` for one model,
    fewer than two instructions, a disconnected graph (its parts are named), a lottery where two models never met; with
    several annotators only where that holds for all of them.
    """
    if rank not in ("bradley-terry", "lottery"):
        raise InputError(f"unknown ranking {rank!r}; choose bradley-terry or lottery")
    if control is not None and rank == "lottery":
        raise InputError("a lottery takes no covariates; drop --control, or rank by bradley-terry")
    if tau is not None and rank != "lottery":
        raise InputError("tau holds the lottery's winner near the even mixture; rank by lottery, or leave it out")
    if control is not None:
        control_names(control)
    made = each_or_else(
        verdicts.by_annotator(),
        lambda name, part: _rated(
            part, name, judge_hash_of(part, name, allow_mixed), rank=rank, control=control, tau=tau, level=level
        ),
        lambda name, _, why: _unrated(name, rank, level, why),
    )
    return [replace(one, warnings=told_apart(one.annotator, one.warnings, len(made))) for one in made]


def _unrated(annotator: str, rank: str, level: float, why: str) -> Ratings:
    empty = pd.DataFrame(columns=list(RATING_COLUMNS))
    return Ratings(annotator, rank, level, empty, {}, None, {}, 0, (), (f"{annotator} is not ranked: {why}",))


def _rated(
    part: pd.DataFrame,
    annotator: str,
    judge_hash: str,
    *,
    rank: str,
    control: str | None,
    tau: float | None,
    level: float,
) -> Ratings:
    head, p, orders = averaged(part)
    known = ~np.isnan(p)
    lost = int((~known).sum()) - orders.half_asked
    if not known.all():
        head, p = head[known], p[known]
    if head.empty:
        raise InputError(
            f"annotator {annotator!r} has no verdict at all; run annotate again to ask for the missing ones"
        )
    matches, used = _matches(head, p)
    names = matches.models
    style = None if control is None else style_of(head.iloc[used], control)
    ordered = control is not None and ORDER in control_names(control)
    calls = calls_of(part, np.flatnonzero(known)[used]) if ordered else None
    raw, fitted, slopes = _fit(matches, style, calls)
    warnings, notes = order_lines(orders, names)
    notes += _notes(matches, fitted, style, level)
    weights: Array | None = None
    places: Tiers | Duels
    if rank == "lottery":
        weights, told = _lottery(matches, tau)
        places = duels(matches, level=level)
        notes += [*told, *_places_told(places, names)]
    else:
        places = tiers(list(fitted.ratings.values()), level=level)
    if len(names) > 2:
        notes += _circles(matches, raw)
    table = _table(matches, fitted, raw if style else None, weights=weights, places=places, level=level)
    if tau is not None:
        held = dict(zip(names, regularised_winner(pair_rates(matches), tau), strict=True))
        table = table.assign(regularised_weight=table["model"].map(held).astype(float))
    return Ratings(
        annotator=annotator,
        rank=rank,
        level=level,
        table=table.assign(annotator=annotator, judge_hash=judge_hash),
        tau=tau,
        estimates=fitted.ratings,
        lottery=None if weights is None else {m: float(w) for m, w in zip(matches.models, weights, strict=True)},
        slopes=slopes,
        n_clusters=raw.ratings[names[0]].n_clusters,
        matches=matches,
        notes=tuple(notes),
        warnings=(
            *warnings,
            *([f"{plural(lost, 'comparison')} without a verdict left out"] if lost else []),
            *position_warnings(first_shown(part), orders.reversals),
            *([_PRIOR] if fitted.prior and weights is None else []),
        ),
    )


def _lottery(matches: Matches, tau: float | None) -> tuple[Array, list[str]]:
    """(the weights, what is to be said of them)."""
    drawn = lottery(matches)
    notes = [
        f"in {100 * share:.0f} % of bootstrap samples {model} has weight (mean {mean:.2f})"
        for model, share, mean in zip(drawn.models, drawn.support, drawn.mean_weights, strict=True)
        if 0 < share < 1 or mean > 0.005
    ]
    notes.append(f"{drawn.winner} beats every other model" if drawn.winner else "no model beats every other one")
    if tau is not None:
        notes.append(
            f"τ = {tau:g}: the Nash winner that pays {tau:g} for each unit of divergence from the even mixture; near 0 "
            "it is the lottery, where large all weights are even"
        )
    return drawn.weights, notes


def _places_told(places: Duels, names: Sequence[str]) -> list[str]:
    notes = ["tiers and ranks are head to head: who beats whom where the two met"]
    for circle in places.circles:
        who = named([names[k] for k in circle], 6)
        notes.append(
            f"{who} run in a circle, each no worse than the next: there is no order among them, and they share a tier"
        )
    return notes


def _matches(head: pd.DataFrame, p: Array) -> tuple[Matches, Codes]:
    """(the comparisons of two models as matches, which rows those are); a model beside itself is none."""
    names, first, second = _coded(head["generator_1"], head["generator_2"])
    used = np.flatnonzero(first != second)
    matches = Matches(
        models=names,
        model_1=first[used],
        model_2=second[used],
        p=p[used],
        cluster=head["cluster"].to_numpy()[used],
    )
    return matches, used


def _coded(first: pd.Series[Any], second: pd.Series[Any]) -> tuple[tuple[str, ...], Codes, Codes]:
    """(the names on either side, sorted; the code of each row's name on the first side; on the second)."""
    sides = [pd.factorize(side) for side in (first, second)]
    names = sorted({str(name) for _, values in sides for name in values})
    place = {name: k for k, name in enumerate(names)}
    one, other = (np.array([place[str(name)] for name in values], dtype=np.int64)[codes] for codes, values in sides)
    return tuple(names), one, other


def _fit(
    matches: Matches, style: StyleDifferences | None, calls: Calls | None
) -> tuple[BradleyTerry, BradleyTerry, Mapping[str, Estimate]]:
    """(raw, controlled, slopes). With `calls` each is a row, and those of a comparison share the weight of one."""
    if style is None:
        fitted = bradley_terry(matches)
        return fitted, fitted, {}
    if calls is None:
        both = controlled_bradley_terry(matches, style)
    else:
        of = calls.comparison
        rows = Matches(
            models=matches.models,
            model_1=matches.model_1[of],
            model_2=matches.model_2[of],
            p=calls.p,
            cluster=matches.cluster[of],
            weight=1 / np.bincount(of)[of],
            order=calls.order,
        )
        both = controlled_bradley_terry(rows, replace(style, x=style.x[of]), raw=matches)
    return both.raw, both.controlled, both.slopes


def _notes(matches: Matches, fitted: BradleyTerry, style: StyleDifferences | None, level: float) -> list[str]:
    notes = []
    if style is not None and style.constant:
        notes.append(f"the outputs never differ in {', '.join(style.constant)}: not controlled for")
    ties = int((matches.p == 0.5).sum())
    if 0 < ties < len(matches.p) and style is None:
        try:
            dropped = bradley_terry(matches, drop_ties=True)
        except InputError:
            notes.append(f"without ties ({ties}) the models are no longer all connected")
        else:
            moved = max(abs(dropped.ratings[m].value - fitted.ratings[m].value) for m in dropped.ratings)
            count = plural(ties, "tie counts", "ties count")
            notes.append(f"{count} half a win each; dropped, no rating would move by more than {moved:.0f}")
    return notes


def _circles(matches: Matches, fitted: BradleyTerry) -> list[str]:
    try:
        triads: CyclicTriads = cyclic_triads(matches, fitted)
    except InputError:
        # a star or a sparse graph has no three models that all met
        return []
    return [
        f"{100 * triads.share:.1f} % of {plural(triads.n_triads, 'triple')} run in a circle (Bradley-Terry expects "
        f"{100 * triads.expected:.1f} %, p = {triads.p_value:.2g})"
    ]


def _table(
    matches: Matches,
    fitted: BradleyTerry,
    raw: BradleyTerry | None,
    *,
    weights: Array | None,
    places: Tiers | Duels,
    level: float,
) -> pd.DataFrame:
    models = list(matches.models)
    estimates = [fitted.ratings[m] for m in models]
    met = np.bincount(np.concatenate([matches.model_1, matches.model_2]), minlength=len(models))
    lines: dict[str, Any] = {"model": models}
    if weights is None:
        bounds = np.array(intervals(estimates, level))
        errors = np.where(np.isfinite(bounds).all(axis=1), [e.standard_error for e in estimates], np.nan)
        lines |= {"rating": [e.value for e in estimates], "rating_se": errors}
        lines |= {"rating_low": bounds[:, 0], "rating_high": bounds[:, 1]}
    else:
        lines |= {"rating": weights, "rating_se": np.nan, "rating_low": np.nan, "rating_high": np.nan}
    lines |= {"tier": places.tier, "rank_low": places.ranks[:, 0], "rank_high": places.ranks[:, 1], "n_total": met}
    if raw is not None:
        lines["rating_raw"] = [raw.ratings[m].value for m in models]
    # models without weight stand by their tiers, equals by their Bradley-Terry ratings
    order = pd.DataFrame(lines).assign(
        tier=0 if weights is None else places.tier, strength=[e.value for e in estimates]
    )
    ascending = {"rating": False, "tier": True, "strength": False, "model": True}
    order = order.sort_values(list(ascending), ascending=list(ascending.values()))
    return pd.DataFrame(lines).loc[order.index].reset_index(drop=True)
