"""Ratings and calibrations as people and machines read them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.ranking.columns import plain, records
from simfarm.report.terminal import say

if TYPE_CHECKING:
    from simfarm.ranking import Board, Calibrated, ControlledWinRates, Ratings
    from simfarm.ranking.estimate import Estimate

__all__ = [
    "calibrated_json",
    "calibrated_lines",
    "print_ratings",
    "ratings_json",
    "slope_lines",
    "style_json",
    "style_lines",
    "write_ratings",
]


def slope_lines(slopes: Mapping[str, Estimate], level: float) -> list[str]:
    """What the judge likes in how an output looks, a line for each feature."""
    told = []
    for name, slope in slopes.items():
        low, high = slope.interval(level)
        told.append(f"slope of {name} {slope.value:+.2f} ({low:+.2f} to {high:+.2f}) logits for one spread of it")
    return told


def print_ratings(found: Ratings) -> None:
    """A table with its remarks on stdout, warnings on stderr."""
    from simfarm.report.board import print_table

    controlled = "rating_raw" in found.table
    elo = found.rank == "bradley-terry"
    headings = ["model", f"rating  {100 * found.level:g} %" if elo else "weight", *(["raw"] if controlled else [])]
    rows = []
    for row in found.table.to_dict("records"):
        rating = (
            f"{row['rating']:.0f}  {row['rating_low']:4.0f}–{row['rating_high']:.0f}" if elo else f"{row['rating']:.3f}"
        )
        raw = [f"{row['rating_raw']:.0f}"] if controlled else []
        rank = f"{row['rank_low']}–{row['rank_high']}"
        rows.append([row["model"], rating, *raw, str(row["tier"]), rank, str(row["n_total"])])
    title = f"{found.annotator} · {found.rank} · {found.n_clusters} instructions"
    print_table(
        title, [*headings, "tier", "rank", "comparisons"], rows, [*slope_lines(found.slopes, found.level), *found.notes]
    )
    for line in found.warnings:
        say(f"warning: {line}")


def ratings_json(found: Sequence[Ratings]) -> str:
    """One annotator's ratings as a JSON object; several as `{"boards": [...]}`."""
    made: list[dict[str, Any]] = [
        {
            "annotator": one.annotator,
            "rank": one.rank,
            "level": one.level,
            "models": records(one.table),
            "lottery": one.lottery,
            "slopes": {name: _estimate(slope, one.level) for name, slope in one.slopes.items()},
            "warnings": list(one.warnings),
            "remarks": list(one.notes),
        }
        for one in found
    ]
    return json.dumps(made[0] if len(made) == 1 else {"boards": made}, ensure_ascii=False, indent=1, allow_nan=False)


def write_ratings(path: Path, found: Sequence[Ratings]) -> None:
    """Write ratings as .csv, .json or .md."""
    import pandas as pd

    if path.suffix == ".json":
        text = ratings_json(found) + "\n"
    else:
        table = pd.concat([one.table for one in found], ignore_index=True)
        if path.suffix == ".csv":
            text = table.to_csv(index=False)
        else:
            lines = [f"| {' | '.join(table.columns)} |", f"|{' --- |' * len(table.columns)}"]
            for row in records(table):
                cells = (f"{v:.3f}" if isinstance(v, float) else "–" if v is None else str(v) for v in row.values())
                lines.append("| " + " | ".join(cells) + " |")
            text = "\n".join(lines) + "\n"
    path.write_text(text, encoding="utf-8")


def style_lines(found: ControlledWinRates | None, board: Board) -> list[str]:
    """Win rates at equal style, a line for each model, and the slopes."""
    if found is None:
        return []
    told = []
    for model in [m for m in board.table["model"] if m in found.controlled]:
        low, high = found.controlled[model].interval(board.level)
        told.append(
            f"{model} at equal style: {100 * found.controlled[model].value:.1f} ({100 * low:.1f} to {100 * high:.1f}), "
            f"raw {100 * found.raw[model].value:.1f}"
        )
    return told + slope_lines(found.slopes, board.level)


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
    """What people would say, in words: the calibrated win rate beside the one from labels alone."""
    told = []
    for model, one in found.items():
        (low, high), (own_low, own_high) = one.estimate.interval(level), one.human.interval(level)
        told.append(
            f"{model}, as people would judge: {100 * one.estimate.value:.1f} % ({100 * low:.1f} to {100 * high:.1f}); "
            f"from {one.n_labelled} labels alone {100 * one.human.value:.1f} % "
            f"({100 * own_low:.1f} to {100 * own_high:.1f})"
        )
        told.append(f"  {one}")
        if one.left_out:
            told.append(f"  {one.left_out} labels are of comparisons without a verdict and were left out")
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
