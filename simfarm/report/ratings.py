"""Ratings, rates at equal style and rates that people would give, as people and machines read them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simfarm.ranking.table import plain, records
from simfarm.report.tables import Part, Sheet
from simfarm.text.words import plural

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.ranking import Board, Calibrated, ControlledWinRates, Ratings
    from simfarm.statistics.estimate import Estimate

__all__ = [
    "calibrated_json",
    "calibrated_lines",
    "ratings_sheet",
    "slope_lines",
    "style_json",
    "style_lines",
    "with_rates",
]


def slope_lines(slopes: Mapping[str, Estimate], level: float) -> list[str]:
    """What the judge likes in how an output looks, a line for each feature."""
    told = []
    for name, slope in slopes.items():
        low, high = slope.interval(level)
        limits = f"{100 * level:g} %: {low:+.2f} to {high:+.2f}"
        told.append(f"slope of {name} {slope.value:+.2f} ({limits}) logits for one spread of it")
    return told


def ratings_sheet(found: Ratings) -> Sheet:
    """A table with its remarks, every column, and the record for machines."""
    controlled = "rating_raw" in found.table
    elo = found.rank == "bradley-terry"
    headings = ["model", f"rating {100 * found.level:g} %" if elo else "weight", *(["raw"] if controlled else [])]
    rows = []
    for row in found.table.to_dict("records"):
        rating = (
            f"{row['rating']:.0f} {row['rating_low']:4.0f}–{row['rating_high']:.0f}" if elo else f"{row['rating']:.3f}"
        )
        raw = [f"{row['rating_raw']:.0f}"] if controlled else []
        rank = f"{row['rank_low']}–{row['rank_high']}"
        rows.append([row["model"], rating, *raw, str(row["tier"]), rank, str(row["n_total"])])
    by = "rating" if elo else "weight"
    title = f"{found.annotator} · {found.rank} · {plural(found.n_clusters, 'instruction')} · sorted by {by}"
    remarks = [*slope_lines(found.slopes, found.level), *found.notes]
    headings = [*headings, "tier", f"rank {100 * found.level:g} %", "comparisons"]
    record = {
        "annotator": found.annotator,
        "rank": found.rank,
        "level": found.level,
        "models": records(found.table),
        "lottery": found.lottery,
        "slopes": {name: _estimate(slope, found.level) for name, slope in found.slopes.items()},
        "warnings": list(found.warnings),
        "remarks": list(found.notes),
    }
    slopes = _slope_columns(found.slopes, found.level)
    main = Part(title, headings, rows, remarks, least=["comparisons", "tier", "raw"])
    # an annotator that could not be rated has no table, only the warning that says why
    return Sheet([main] if rows else [], found.table.assign(**slopes), record, found.warnings)


def with_rates(board: Board, style: ControlledWinRates | None, people: Mapping[str, Calibrated]) -> Board:
    """The board with columns for the rates at equal style (`style_controlled_winrate`, its standard error and limits,
    the slopes) and those that people would give (`human_winrate`, `labels_winrate` from their labels alone), in
    percent."""
    table = board.table
    if style is not None:
        names = ("style_controlled_winrate", "style_standard_error", "style_low", "style_high")
        table = table.assign(**_rate_columns(table["model"], style.controlled, names, board.level))
        table = table.assign(**_slope_columns(style.slopes, board.level))
    if people:
        for kind, of in (("human", "estimate"), ("labels", "human")):
            names = (f"{kind}_winrate", f"{kind}_standard_error", f"{kind}_low", f"{kind}_high")
            estimates = {model: getattr(one, of) for model, one in people.items()}
            table = table.assign(**_rate_columns(table["model"], estimates, names, board.level))
        table = table.assign(
            n_labelled=table["model"].map({m: c.n_labelled for m, c in people.items()}).astype("Int64")
        )
    return replace(board, table=table)


def _rate_columns(
    models: pd.Series[Any], estimates: Mapping[str, Estimate], names: Sequence[str], level: float
) -> dict[str, pd.Series[float]]:
    """Value, standard error and limits of each model in percent, under `names`; missing where there is no estimate."""
    told = {m: (e.value, e.standard_error, *e.interval(level)) for m, e in estimates.items()}
    return {
        name: models.map({m: 100 * values[k] for m, values in told.items()}).astype(float)
        for k, name in enumerate(names)
    }


def _slope_columns(slopes: Mapping[str, Estimate], level: float) -> dict[str, float]:
    """The judge's slope on each feature with its limits: one number, and so the same in every row."""
    made: dict[str, float] = {}
    for name, slope in slopes.items():
        low, high = slope.interval(level)
        made |= {f"style_slope_{name}": slope.value, f"style_slope_{name}_low": low, f"style_slope_{name}_high": high}
    return made


def style_lines(found: ControlledWinRates | None, board: Board) -> list[str]:
    """The slopes behind the rates at equal style, none where style was not controlled for."""
    return [] if found is None else slope_lines(found.slopes, board.level)


def style_json(found: ControlledWinRates | None, board: Board) -> dict[str, Any]:
    """`style_controlled` (by model, fractions) and `slopes`, empty where style was not controlled for."""
    if found is None:
        return {}
    return {
        "style_controlled": {m: _estimate(e, board.level) for m, e in found.controlled.items()},
        "slopes": {n: _estimate(e, board.level) for n, e in found.slopes.items()},
    }


def _estimate(estimate: Estimate, level: float) -> dict[str, Any]:
    low, high = estimate.interval(level)
    return {
        "value": plain(estimate.value),
        "standard_error": plain(estimate.standard_error),
        "low": plain(low),
        "high": plain(high),
    }


def calibrated_lines(found: Mapping[str, Calibrated], level: float) -> list[str]:
    """What the rates that people would give rest on, a line a model."""
    told = []
    for model, one in found.items():
        low, high = one.human.interval(level)
        told.append(
            f"{model}: from the labels alone {100 * one.human.value:.1f} ({100 * level:g} %: {100 * low:.1f} to "
            f"{100 * high:.1f}); {one}"
        )
        if one.left_out:
            told.append(f"{model}: {plural(one.left_out, 'label is', 'labels are')} left out, without a verdict")
    if found:
        judge = next(iter(found.values())).judge_hash
        told.append(f"calibrated for judge {judge}; another judge needs labels of its own")
    return told


def calibrated_json(found: Mapping[str, Calibrated], board: Board) -> dict[str, Any]:
    """`human_calibrated`: by model the calibrated win rate (fractions) and what it rests on; empty without labels."""
    made = {
        model: {
            "win_rate": _estimate(one.estimate, board.level),
            "human_only": _estimate(one.human, board.level),
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
        for model, one in found.items()
    }
    return {"human_calibrated": made} if made else {}
