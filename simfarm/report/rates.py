"""Rates at equal style and rates that people would give: as columns, as remarks below a table, and for machines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from simfarm.ranking import Calibrated
from simfarm.ranking.table import plain
from simfarm.text.marks import ORDER, SHOWN_FIRST
from simfarm.text.words import limits, plural

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.report.ranked import RankedBoard
    from simfarm.statistics.estimate import Estimate

__all__ = [
    "estimate_json",
    "rates_json",
    "rates_lines",
    "slope_columns",
    "slope_lines",
    "with_rates",
]


def with_rates(ranked: RankedBoard) -> pd.DataFrame:
    """The board's table with columns for the rates at equal style (`style_controlled_winrate`, its standard error and
    limits, the slopes) and those that people would give (`human_winrate`, `labels_winrate` from their labels alone), in
    percent."""
    table, level = ranked.board.table, ranked.board.level
    if ranked.style is not None:
        names = ("style_controlled_winrate", "style_standard_error", "style_low", "style_high")
        table = table.assign(**_rate_columns(table["model"], ranked.style.controlled, names, level))
        table = table.assign(**slope_columns(ranked.style.slopes, level))
    if ranked.people:
        for kind in ("human", "labels"):
            names = (f"{kind}_winrate", f"{kind}_standard_error", f"{kind}_low", f"{kind}_high")
            whose = {m: one if kind == "human" else one.human for m, one in ranked.people.items()}
            table = table.assign(**_rate_columns(table["model"], whose, names, level))
        labelled = {model: one.n_labelled for model, one in ranked.people.items()}
        table = table.assign(n_labelled=table["model"].map(labelled).astype("Int64"))
    return table


def _rate_columns(
    models: pd.Series[Any], estimates: Mapping[str, Estimate | Calibrated], names: Sequence[str], level: float
) -> dict[str, pd.Series[float]]:
    """Value, standard error and limits of each model in percent, under `names`; missing where there is no estimate."""
    figures = {}
    for m, one in estimates.items():
        e = _estimate(one)
        figures[m] = (e.value, e.standard_error, *one.interval(level))
    return {
        name: models.map({m: 100 * values[k] for m, values in figures.items()}).astype(float)
        for k, name in enumerate(names)
    }


def _estimate(one: Estimate | Calibrated) -> Estimate:
    """The estimate itself; the limits of a calibrated one are its own (`Calibrated.interval`)."""
    return one.estimate if isinstance(one, Calibrated) else one


def slope_columns(slopes: Mapping[str, Estimate], level: float) -> dict[str, float]:
    """The judge's slope on each feature with its limits: one number, and so the same in every row."""
    columns: dict[str, float] = {}
    for name, slope in slopes.items():
        low, high = slope.interval(level)
        columns |= {f"style_slope_{name}": slope.value}
        columns |= {f"style_slope_{name}_low": low, f"style_slope_{name}_high": high}
    return columns


def slope_lines(slopes: Mapping[str, Estimate], level: float) -> list[str]:
    """What the judge likes beside an output's quality, a line for each feature and covariate."""
    lines = []
    for name, slope in slopes.items():
        first = name == SHOWN_FIRST
        if math.isnan(slope.value):
            called = ORDER if first else name
            lines.append(
                f"{called}: too rare to estimate (it differs on fewer than three instructions), not held equal"
            )
            continue
        low, high = slope.interval(level)
        interval = f"{100 * level:g} %: {limits(low, high, '+.2f')}"
        if first:
            lines.append(f"shown first {slope.value:+.2f} ({interval}) logits for the output that was shown first")
        else:
            lines.append(f"slope of {name} {slope.value:+.2f} ({interval}) logits for one spread of it")
    return lines


def rates_lines(ranked: RankedBoard) -> list[str]:
    """The slopes behind the rates at equal style, then what the rates that people would give rest on."""
    level = ranked.board.level
    lines = [] if ranked.style is None else slope_lines(ranked.style.slopes, level)
    for model, one in ranked.people.items():
        low, high = one.human.interval(level)
        lines.append(
            f"{model}: from the labels alone {100 * one.human.value:.1f} ({100 * level:g} %: {100 * low:.1f} to "
            f"{100 * high:.1f}); {one}"
        )
        if one.left_out:
            lines.append(f"{model}: {plural(one.left_out, 'label is', 'labels are')} left out, without a verdict")
    if ranked.people:
        judge = next(iter(ranked.people.values())).judge_hash
        lines.append(f"calibrated for {ranked.annotator} (judge hash {judge}); another judge needs labels of its own")
    return lines


def rates_json(ranked: RankedBoard) -> dict[str, Any]:
    """`style_controlled` (by model) and `slopes`, `human_calibrated` (by model, and what it rests on), in fractions;
    those that were not asked for are left out."""
    level = ranked.board.level
    record: dict[str, Any] = {}
    if ranked.style is not None:
        record["style_controlled"] = {m: estimate_json(e, level) for m, e in ranked.style.controlled.items()}
        record["slopes"] = {name: estimate_json(e, level) for name, e in ranked.style.slopes.items()}
    if ranked.people:
        record["human_calibrated"] = {
            model: {
                "win_rate": estimate_json(one, level),
                "human_only": estimate_json(one.human, level),
                "judge_hash": one.judge_hash,
                "n_labelled": one.n_labelled,
                "n_unlabelled": one.n_unlabelled,
                "rho": plain(one.rho),
                "predicted_width_ratio": plain(one.predicted_width_ratio),
                "width_ratio": plain(one.width_ratio),
                "worth_labels": one.worth,
                "sampling": {k: plain(v) for k, v in one.sampling.items()},
                "warnings": one.warnings,
            }
            for model, one in ranked.people.items()
        }
    return record


def estimate_json(one: Estimate | Calibrated, level: float) -> dict[str, Any]:
    """An estimate and its limits as plain JSON values."""
    low, high = one.interval(level)
    estimate = _estimate(one)
    return {
        "value": plain(estimate.value),
        "standard_error": plain(estimate.standard_error),
        "low": plain(low),
        "high": plain(high),
    }
