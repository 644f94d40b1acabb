"""Your models among a published board's: where would they stand, and what makes the comparison unfair?

The published rows are not re-estimated; a model of yours is placed by the same column, and marked wherever its judge,
baseline, instructions or length control are not those of the board.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from simfarm.errors import InputError
from simfarm.report.tables import Part
from simfarm.resources import leaderboards_dir
from simfarm.settings import spelled
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.ranking import Board

__all__ = ["check_published", "place_among", "placed_json"]


def published_names() -> list[str]:
    """Names of the published boards."""
    return sorted(path.stem for path in leaderboards_dir().glob("*.csv"))


def check_published(name: str) -> None:
    """Raise `InputError` for a name that no published board has."""
    if name not in published_names():
        raise InputError(f"{spelled('board')} {name}: no such board; there is {', '.join(published_names())}")


def place_among(board: Board, name: str) -> Part:
    """A table with a line for each model: its place among the published ones, and the two that it stands between.

    Placed by the length-controlled rate where the first length control is the published board's own, else by the raw
    win rate. What differs from the published board's way of judging stands below.
    """
    path: Path = leaderboards_dir() / f"{name}.csv"
    published = pd.read_csv(path)
    manifest = json.loads(path.with_suffix(".json").read_text("utf-8"))
    own = board.table[(board.table["model"] != board.baseline) & board.table["win_rate"].notna()]
    control = manifest.get("length_control")
    controlled = control is not None and next(iter(board.lc_estimates), None) == control
    column = "length_controlled_winrate" if controlled else "win_rate"
    others = published[~published["model"].isin(own["model"])].sort_values(column, ascending=False, ignore_index=True)
    rows = []
    for _, row in own.sort_values(column, ascending=False).iterrows():
        above = int((others[column] > row[column]).sum())
        near = [
            f"{others['model'][k]} {others[column][k]:.1f}" if 0 <= k < len(others) else "–" for k in (above - 1, above)
        ]
        rows.append([str(row["model"]), f"{above + 1} of {len(others) + 1}", f"{row[column]:.1f}", *near])
    notes = [f"not comparable as it stands: {mark}" for mark in _marks(board, own, manifest, published)]
    if not controlled:
        notes.append(
            "raw win rates: add --length-control alpaca-eval-2 --lc-data DIR to place by length-controlled ones"
        )
    rate = "length-controlled" if controlled else "win rate"
    title = f"among the {plural(len(published), 'model')} of {name}, by {rate}"
    return Part(title, ["model", "place", rate, "above", "below"], rows, notes, least=["below", "above"])


def placed_json(place: Part) -> dict[str, Any]:
    """`published`: the table of `place_among` for machines."""
    models = [dict(zip(place.headings, row, strict=True)) for row in place.rows]
    return {"published": {"board": place.title, "models": models, "remarks": list(place.remarks)}}


def _marks(board: Board, own: pd.DataFrame, manifest: Mapping[str, str], published: pd.DataFrame) -> list[str]:
    """What differs from the published board's way of judging."""
    marks = []
    if board.annotator != manifest["annotator"]:
        marks.append(f"judge {board.annotator}, not {manifest['annotator']}")
    elif "judge_hash" in manifest and manifest["judge_hash"] not in set(board.table["judge_hash"]):
        marks.append(f"judge {board.annotator} of another hash than {manifest['judge_hash']}")
    if board.baseline != manifest["baseline"]:
        marks.append(f"baseline {board.baseline}, not {manifest['baseline']}")
    usual = int(published["n_total"].max())
    for n_total in own["n_total"].unique():
        models = own.loc[own["n_total"] == n_total, "model"]
        if n_total != usual:
            whose = (
                "" if len(models) == len(own) else f" of {', '.join(map(str, models[:3]))}" + " …" * (len(models) > 3)
            )
            marks.append(f"{plural(int(str(n_total)), 'instruction')}{whose}, not {usual}")
    return marks
