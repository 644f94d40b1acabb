"""Your models among a published board's: where would they stand, and what makes the comparison unfair?

The published rows are not re-estimated; a model of yours is placed by the same column, and marked wherever its judge,
baseline, instructions or length control are not those of the board.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from simfarm.errors import InputError
from simfarm.resources import leaderboards_dir

if TYPE_CHECKING:
    from simfarm.ranking import Board

__all__ = ["place_among", "published_names"]

_ALPACA_EVAL_2 = {"annotator": "weighted_alpaca_eval_gpt4_turbo", "baseline": "gpt4_1106_preview", "n": 805}
NEIGHBOURS = 2
"""Published models shown above and below each of yours."""


def published_names() -> list[str]:
    """Names that `--board` takes."""
    return sorted(path.stem for path in leaderboards_dir().glob("*.csv"))


def place_among(board: Board, name: str) -> list[str]:
    """Lines for people: each model's place among the published ones, with its neighbours, and the marks.

    Placed by the length-controlled rate where the first length control is `alpaca-eval-2`, else by the raw win rate.
    Raises `InputError` for a board that is not there.
    """
    path: Path = leaderboards_dir() / f"{name}.csv"
    if not path.is_file():
        raise InputError(f"--board {name}: no such published board; there is {', '.join(published_names())}")
    published = pd.read_csv(path)
    own = board.table[(board.table["model"] != board.baseline) & board.table["win_rate"].notna()]
    controlled = next(iter(board.lc_estimates), None) == "alpaca-eval-2"
    column = "length_controlled_winrate" if controlled else "win_rate"
    lines = [f"among the {len(published)} models of {name}, by {column}:"]
    others = published[~published["model"].isin(own["model"])].sort_values(column, ascending=False, ignore_index=True)
    for _, row in own.sort_values(column, ascending=False).iterrows():
        above = int((others[column] > row[column]).sum())
        marks = _marks(board, int(row["n_total"]))
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


def _marks(board: Board, n_total: int) -> list[str]:
    """What differs from the published board's way of judging."""
    marks = []
    if board.annotator != _ALPACA_EVAL_2["annotator"]:
        marks.append(f"judge {board.annotator}, not {_ALPACA_EVAL_2['annotator']}")
    if board.baseline != _ALPACA_EVAL_2["baseline"]:
        marks.append(f"baseline {board.baseline}, not {_ALPACA_EVAL_2['baseline']}")
    if n_total != _ALPACA_EVAL_2["n"]:
        marks.append(f"{n_total} instructions, not {_ALPACA_EVAL_2['n']}")
    return marks
