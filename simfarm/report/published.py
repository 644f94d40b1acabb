"""Your models among a published board's: where would they stand, and what makes the comparison unfair?

The published rows are not re-estimated; a model of yours is placed by the same column, and marked wherever its judge,
baseline, instructions or length control are not those of the board.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from simfarm.errors import InputError
from simfarm.resources import leaderboards_dir

if TYPE_CHECKING:
    from simfarm.ranking import Board

__all__ = ["place_among", "published_names"]

NEIGHBOURS = 2
"""Published models shown above and below each of yours."""


def published_names() -> list[str]:
    """Names that `--board` takes."""
    return sorted(path.stem for path in leaderboards_dir().glob("*.csv"))


def place_among(board: Board, name: str) -> list[str]:
    """Lines for people: each model's place among the published ones, with its neighbours, and the marks.

    Placed by the length-controlled rate where the first length control is the published board's own, else by the raw
    win rate. Raises `InputError` for a board that is not there.
    """
    path: Path = leaderboards_dir() / f"{name}.csv"
    if not path.is_file():
        raise InputError(f"--board {name}: no such published board; there is {', '.join(published_names())}")
    published = pd.read_csv(path)
    manifest = json.loads(path.with_suffix(".json").read_text("utf-8"))
    n_instructions = int(published["n_total"].max())
    own = board.table[(board.table["model"] != board.baseline) & board.table["win_rate"].notna()]
    control = manifest.get("length_control")
    controlled = control is not None and next(iter(board.lc_estimates), None) == control
    column = "length_controlled_winrate" if controlled else "win_rate"
    lines = [f"among the {len(published)} models of {name}, by {column}:"]
    others = published[~published["model"].isin(own["model"])].sort_values(column, ascending=False, ignore_index=True)
    for _, row in own.sort_values(column, ascending=False).iterrows():
        above = int((others[column] > row[column]).sum())
        marks = _marks(board, int(row["n_total"]), manifest, n_instructions)
        lines.append(f"  {row['model']}: place {above + 1} of {len(others) + 1}" + "".join(f" [{m}]" for m in marks))
        for position in range(max(0, above - NEIGHBOURS), min(len(others), above + NEIGHBOURS)):
            if position == above:
                lines.append(f"    {row[column]:5.1f}  → {row['model']}")
            lines.append(f"    {others[column][position]:5.1f}    {others['model'][position]}")
        if above == len(others):
            lines.append(f"    {row[column]:5.1f}  → {row['model']}")
    if not controlled:
        lines.append(
            "  (raw win rates: add --length-control alpaca-eval-2 --lc-data DIR to place by length-controlled ones)"
        )
    return lines


def _marks(board: Board, n_total: int, manifest: Mapping[str, str], n_instructions: int) -> list[str]:
    """What differs from the published board's way of judging."""
    marks = []
    if board.annotator != manifest["annotator"]:
        marks.append(f"judge {board.annotator}, not {manifest['annotator']}")
    elif "judge_hash" in manifest and manifest["judge_hash"] not in set(board.table["judge_hash"]):
        marks.append(f"judge {board.annotator} of another hash than {manifest['judge_hash']}")
    if board.baseline != manifest["baseline"]:
        marks.append(f"baseline {board.baseline}, not {manifest['baseline']}")
    if n_total != n_instructions:
        marks.append(f"{n_total} instructions, not {n_instructions}")
    return marks
