"""A board carried to a new judge: the old judge's verdicts on everything, the new one's on a random part.

A model with enough comparisons judged by both is *bridged*: its new rate is the new verdicts' mean with the part of
their sampling noise that the old verdicts can see taken away (the same estimate as with human labels, see
`statistics.calibration`). One without is carried by the *link* between the two judges' rates of the models that were.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import Any

import numpy as np
import pandas as pd

from simfarm.data.frames import Verdicts
from simfarm.errors import InputError
from simfarm.ranking.rejudge import Flip, flip_of
from simfarm.ranking.table import plain, records
from simfarm.ranking.units import Units, units_of
from simfarm.ranking.winrate import win_rates
from simfarm.statistics.bridge import Link, fit_link, missing_to_judge
from simfarm.statistics.calibration import (
    ALARM,
    MIN_LABELS,
    Calibrated,
    calibrate,
    sampling_checks,
)
from simfarm.statistics.estimate import Array, Estimate, mean_estimate
from simfarm.text.words import plural

__all__ = ["POINTS", "Bridged", "carry"]

POINTS = 0.02
"""How close to the rate that judging everything anew would give a carried rate is planned to be."""


@dataclass(frozen=True)
class Bridged:
    """The board in the new judge's units. `table` has a row a model, best first:

    model, old_win_rate, old_low, old_high, n_both (instructions judged by both), win_rate, standard_error,
    win_rate_low, win_rate_high (percent, NaN where nothing carries it), how ("judged" all of it by both, "bridged",
    "link", "new judge alone", "not carried"), to_judge (of its instructions by both, for `POINTS`; missing where no
    part of it says), old_rank, rank, old_annotator, annotator, baseline.
    `no_link` says why there is none; `flips` are pairs of models that change sides beyond noise in both.
    """

    old_annotator: str
    annotator: str
    baseline: str
    level: float
    table: pd.DataFrame
    estimates: Mapping[str, Estimate] = field(repr=False)
    link: Link | None
    no_link: str | None
    flips: tuple[Flip, ...]
    n_pairs: int
    correlation: float
    warnings: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a number that does not exist is null."""
        names = ("intercept", "slope", "slope_low", "slope_high", "misfit", "missed", "n_models", "lowest", "highest")
        link = None if self.link is None else {name: plain(getattr(self.link, name)) for name in names}
        return {
            "old_annotator": self.old_annotator,
            "annotator": self.annotator,
            "baseline": self.baseline,
            "level": self.level,
            "models": records(self.table),
            "link": link,
            "no_link": self.no_link,
            "correlation": plain(self.correlation),
            "flips": [vars(flip) for flip in self.flips],
            "n_pairs": self.n_pairs,
            "warnings": list(self.warnings),
        }


def carry(old: Verdicts, new: Verdicts | None, baseline: str, level: float = 0.95, *, mixed: bool = False) -> Bridged:
    """Carry the board of `old` to the judge of `new` (None: it has judged nothing yet).

    Both are of one annotator each and one reading (`together`): only then are their clusters the same. Raises
    `InputError` where they share no comparison.
    """
    before = _units(old, baseline, mixed)
    after = None if new is None else _units(new, baseline, mixed)
    table = _beside(before.table, None if after is None else after.table)
    if after is not None and not (table["p"].notna() & table["new"].notna()).any():
        raise InputError(
            "the two files share no comparison with a verdict; judge a random part of the old file's comparisons anew"
        )
    olds = {m: e for m, e in win_rates(before.table).items() if e.n_clusters > 1 and m != baseline}
    parts = {str(m): part for m, part in table.groupby("model", sort=False, observed=True) if m != baseline}
    hashes = ["mixed" if after is None else after.judge_hash]
    own = {m: found for m, part in parts.items() if (found := _own(part, hashes)) is not None}
    link, no_link = _linked(olds, own, level)
    rows, estimates = [], {}
    spread = float(np.median([_spread(one) for one in own.values()])) if own else math.nan
    for model, part in parts.items():
        row, estimate = _carried(part, olds.get(model), own.get(model), link, level)
        rows.append({"model": model, **row, "to_judge": _to_judge(model, olds, own, spread, level)})
        if estimate is not None:
            estimates[model] = estimate
    pairs = list(combinations([m for m in estimates if m in olds], 2))
    flips = [flip for pair in pairs if (flip := flip_of(olds, estimates, *pair, level)) is not None]
    both = table.dropna(subset=["p", "new"])
    varies = len(both) > 2 and both["p"].nunique() > 1 < both["new"].nunique()
    board = _ranked(pd.DataFrame(rows, columns=_COLUMNS)).assign(
        old_annotator=before.annotator, annotator="" if after is None else after.annotator, baseline=baseline
    )
    return Bridged(
        old_annotator=before.annotator,
        annotator="" if after is None else after.annotator,
        baseline=baseline,
        level=level,
        table=board,
        estimates=estimates,
        link=link,
        no_link=no_link,
        flips=tuple(flips),
        n_pairs=len(pairs),
        correlation=float(both["p"].corr(both["new"])) if varies else math.nan,
        warnings=tuple(_warnings(table, parts, board, link)),
    )


_COLUMNS = [
    "model", "old_win_rate", "old_low", "old_high", "n_both", "win_rate", "standard_error", "win_rate_low",
    "win_rate_high", "how", "to_judge",
]  # fmt: skip


def _units(verdicts: Verdicts, baseline: str, mixed: bool) -> Units:
    name = verdicts.annotators()[0]
    return units_of(verdicts.table, name, baseline, allow_mixed=mixed)


def _beside(old: pd.DataFrame, new: pd.DataFrame | None) -> pd.DataFrame:
    """One row a comparison: cluster, model, length, length_baseline, p (old) and `new`, in the old file's order.

    Samples of one model on one instruction are told apart by their lengths, where both files have them.
    """
    lengths = ["length", "length_baseline"]
    if new is None:
        return old.assign(new=np.nan)
    keys = ["cluster", "model"]
    if old[lengths].notna().all(axis=None) and new[lengths].notna().all(axis=None):
        keys += lengths
    sides = [t.groupby([t[k] if k != "model" else t[k].astype(str) for k in keys], sort=False) for t in (old, new)]
    known = [s["p"].mean().rename(name) for s, name in zip(sides, ("p", "new"), strict=True)]
    table = known[0].to_frame().join(known[1], how="outer", sort=False).reset_index()
    place = {key: i for i, key in enumerate(known[0].index)}
    order = [place.get(key, len(place)) for key in zip(*(table[k] for k in keys), strict=True)]
    table = table.iloc[np.argsort(order, kind="stable")].reset_index(drop=True)
    return table if "length" in table else table.assign(length=np.nan, length_baseline=np.nan)


def _own(part: pd.DataFrame, hashes: Sequence[str]) -> Calibrated | None:
    """The new judge's rate of a model by its own comparisons judged by both; None where they are too few."""
    both = part["p"].notna() & part["new"].notna()
    if part.loc[both, "cluster"].nunique() < MIN_LABELS:
        return None
    return calibrate(part["p"].to_numpy(), part["new"].to_numpy(), part["cluster"].to_numpy(), hashes, _features(part))


def _features(part: pd.DataFrame) -> dict[str, Array]:
    length = (part["length"] - part["length_baseline"]).to_numpy(dtype=float)
    return {} if np.isnan(length).any() else {"length difference": length}


def _linked(
    olds: Mapping[str, Estimate], own: Mapping[str, Calibrated], level: float
) -> tuple[Link | None, str | None]:
    """(the link that the bridged models give, or why there is none)."""
    models = [m for m in own if m in olds]
    try:
        link = fit_link(
            [olds[m] for m in models],
            [own[m].estimate for m in models],
            [own[m].n_labelled for m in models],
            level,
        )
    except InputError as error:
        return None, str(error)
    return link, None


def _carried(
    part: pd.DataFrame, old: Estimate | None, own: Calibrated | None, link: Link | None, level: float
) -> tuple[dict[str, Any], Estimate | None]:
    """(the model's row, its rate under the new judge where something carries it)."""
    both = part["p"].notna() & part["new"].notna()
    row: dict[str, Any] = {"n_both": part.loc[both, "cluster"].nunique()}
    if old is not None:
        low, high = old.interval(level)
        row |= {"old_win_rate": 100 * old.value, "old_low": 100 * low, "old_high": 100 * high}
    if own is not None:
        estimate, (low, high) = own.estimate, own.interval(level)
        row["how"] = "bridged" if own.n_unlabelled else "judged"
    elif old is None:
        estimate = mean_estimate(part["new"].to_numpy(), part["cluster"].to_numpy())
        if estimate.n_clusters < 2:
            return row | {"how": "not carried"}, None
        low, high = estimate.interval(level)
        row["how"] = "new judge alone"
    elif link is not None:
        estimate, low, high = link.rate(old)
        row["how"] = "link"
    else:
        return row | {"how": "not carried"}, None
    value = min(max(estimate.value, 0.0), 1.0)
    row |= {"win_rate": 100 * value, "standard_error": 100 * estimate.standard_error}
    return row | {"win_rate_low": 100 * low, "win_rate_high": 100 * high}, estimate


def _spread(own: Calibrated) -> float:
    """Variance over instructions of the new verdict given the old one; at least that of half an unseen verdict, for a
    part in which all agree has none of its own."""
    labels = own.human
    unseen = 0.5 / (labels.n_clusters + 1)
    seen = labels.n_clusters * labels.standard_error**2 * (1 - max(own.rho, 0.0) ** 2)
    return max(seen, unseen * (1 - unseen))


def _to_judge(
    model: str, olds: Mapping[str, Estimate], own: Mapping[str, Calibrated], spread: float, level: float
) -> int | None:
    """How many of the model's instructions to judge with both: by its own part, else by the other models' median."""
    if model not in olds or math.isnan(spread):
        return None
    n = olds[model].n_clusters
    needed = missing_to_judge(_spread(own[model]) if model in own else spread, n, POINTS, level)
    return min(n, max(needed, MIN_LABELS))


def _ranked(table: pd.DataFrame) -> pd.DataFrame:
    """Best first, with the places before and after."""
    ranks = {
        "old_rank": table["old_win_rate"].astype(float).rank(ascending=False, method="min").astype("Int64"),
        "rank": table["win_rate"].astype(float).rank(ascending=False, method="min").astype("Int64"),
    }
    table = table.assign(**ranks, to_judge=table["to_judge"].astype("Int64"))
    by = ["win_rate", "old_win_rate", "model"]
    return table.sort_values(by, ascending=[False, False, True], na_position="last", ignore_index=True)


def _warnings(
    table: pd.DataFrame, parts: Mapping[str, pd.DataFrame], board: pd.DataFrame, link: Link | None
) -> list[str]:
    """What speaks against the assumption that the part judged by both is a random part, and against the link."""
    lines = []
    judged = set(table.loc[table["p"].notna(), "model"])
    checked = {"": table[table["model"].isin(judged)]} | {m: part for m, part in parts.items() if m in judged}
    found = []
    for model, part in checked.items():
        known = part[part["p"].notna()]
        old, new, clusters = (known[c].to_numpy() for c in ("p", "new", "cluster"))
        checks = sampling_checks(old, new, clusters, _features(known))
        found += [(p, name, model) for name, p in checks.items()]
    # the whole and the models one by one: two families, and the second is corrected for its size
    worst = min(((p if not m else min(1.0, p * len(parts)), name, m) for p, name, m in found), default=(1.0, "", ""))
    if worst[0] < ALARM:
        whose = f" of {worst[2]}" if worst[2] else ""
        what = worst[1].replace("the judge's verdicts", "the old judge's verdicts")
        lines.append(
            f"the comparisons{whose} judged by both do not look like a random part of the old file ({what}, "
            f"p = {worst[0]:.1g}); if they are not one, the carried rates are biased: judge a part drawn at random"
        )
    unused = int((table["p"].isna() & table["new"].notna() & table["model"].isin(judged)).sum())
    if unused:
        lines.append(
            f"{plural(unused, 'verdict')} of the new judge on comparisons that the old one never judged are left out: "
            "name the old judge's file first"
        )
    if link is not None:
        beyond = board[board["how"] == "link"]
        rates = beyond["old_win_rate"] / 100
        outside = beyond.loc[(rates < link.lowest) | (rates > link.highest), "model"].tolist()
        if outside:
            lines.append(
                f"{', '.join(outside[:4])}{' …' if len(outside) > 4 else ''}: the old rate lies outside those that the "
                f"link was fitted on ({100 * link.lowest:.1f} to {100 * link.highest:.1f} %): judge "
                f"{plural(MIN_LABELS, 'instruction')} or more of it by both"
            )
    return lines
