"""A leaderboard as people read it: the table that decides, and the remarks that could change a reader's mind.

The terminal shows the headline rate and its interval, raw beside controlled; files carry every column. Remarks stand
with the table, not in a log.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simfarm.judges.rules import banners
from simfarm.ranking import Board
from simfarm.report.published import placed_json
from simfarm.report.rates import rates_json, rates_lines, with_rates
from simfarm.report.tables import Part, Sheet
from simfarm.text.words import plural

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.report.ranked import RankedBoard

__all__ = ["board_sheet", "remarks"]


SOFT = 0.1
"""Points between the mean preference and the share of sides at which a reader can see that they are not one thing."""

_RATES = {
    "win_rate": ("win rate", "standard_error", "win_rate_low", "win_rate_high"),
    "length_controlled_winrate": ("length-controlled", "lc_standard_error", "lc_low", "lc_high"),
    "style_controlled_winrate": ("at equal style", "style_standard_error", "style_low", "style_high"),
    "human_winrate": ("as people judge", "human_standard_error", "human_low", "human_high"),
}
"""Of each rate that a board may have: its heading, and the columns of its standard error and limits."""


def remarks(board: Board, *, counts: bool = True) -> list[str]:
    """What stands below the table: the embedded judge's confession first, then the board's own notes; where no `counts`
    are shown, nothing of them."""
    lines = list(board.notes)
    if counts and (board.table["win_rate"] - board.table["discrete_win_rate"]).abs().max() >= SOFT:
        lines.append(
            "won–lost–tied counts comparisons by the side that is ahead, the win rate is the mean preference over "
            "instructions: the two can differ"
        )
    if board.slope is not None:
        low, high = board.slope.low, board.slope.high
        meaning = "no clear preference for length"
        if low * high > 0:
            meaning = f"at equal quality the judge prefers the {'longer' if low > 0 else 'shorter'} output"
        value, *ends = (_signed(x) for x in (board.slope.value, low, high))
        lines.append(f"length slope {value} ({_percent(board.level)}: {' to '.join(ends)}): {meaning}")
    lines += _worth(board.length_worth)
    return [*banners(board.annotator, board.table["judge_hash"].dropna().astype(str)), *lines]


def _signed(x: float) -> str:
    """Two digits, and no sign of what is nought to these."""
    return f"{x:+.2f}" if round(x, 2) else "0.00"


def _worth(worth: Mapping[str, float]) -> list[str]:
    """What length is worth in points, on average and at either end: a slope on its own scale says little."""
    if not any(round(points, 1) for points in worth.values()):
        return []
    low, high = min(worth, key=lambda m: worth[m]), max(worth, key=lambda m: worth[m])
    if round(worth[low], 1) == round(worth[high], 1):
        whom = low if len(worth) == 1 else "each model"
        return [f"length is worth {worth[low]:+.1f} points to {whom} (win rate − length-controlled)"]
    mean = sum(worth.values()) / len(worth)
    return [
        f"length is worth {mean:+.1f} points on average (win rate − length-controlled); least {worth[low]:+.1f} "
        f"({low}), most {worth[high]:+.1f} ({high})"
    ]


def _percent(level: float) -> str:
    return f"{100 * level:g} %"


def _cell(value: float, digits: int = 1) -> str:
    return "–" if math.isnan(value) else f"{value:.{digits}f}"


def _count(value: Any) -> str:
    return "–" if value is None or str(value) == "<NA>" else str(value)


def _rate(row: Any, value: str, low: str, high: str) -> str:
    if math.isnan(row[value]):
        return "–"
    interval = "" if math.isnan(row[low]) else f" {row[low]:4.1f}–{row[high]:.1f}"
    return f"{row[value]:.1f}{interval}"


def _columns(board: Board) -> tuple[list[str], list[list[str]]]:
    """(headings, rows) of the table; columns that would be empty throughout are left out."""
    table = board.table
    rates = {
        name: c for name, c in _RATES.items() if name == "win_rate" or (name in table and table[name].notna().any())
    }
    extra = [c for c in table.columns if c.startswith("length_controlled_winrate_")]
    lost = ["n_unparseable", "n_error"] if (table["n_unparseable"] + table["n_error"]).sum() else []
    shown = table["flags"].str.replace("not checked", "")
    headings = ["model", *(f"{heading} {_percent(board.level)}" for heading, *_ in rates.values())]
    headings += [f"LC {c.removeprefix('length_controlled_winrate_')}" for c in extra]
    headings += ["tier", "won–lost–tied", *(c.removeprefix("n_") for c in lost), "length"]
    headings += ["flags"] if shown.any() else []
    rows = []
    for flags, (_, row) in zip(shown, table.iterrows(), strict=True):
        own = row["model"] == board.baseline
        cells = [f"{row['model']} (baseline)" if own else row["model"]]
        cells += ["50.0" if own else _rate(row, name, *limits) for name, (_, _, *limits) in rates.items()]
        cells += [_cell(row[c]) for c in extra]
        cells.append(_count(row["tier"]))
        cells.append("–".join(str(row[c]) for c in ("n_wins", "n_wins_base", "n_draws")))
        cells += [str(row[c]) for c in lost]
        cells.append(_count(row["avg_length"]))
        cells += [flags] if shown.any() else []
        rows.append(cells)
    return headings, rows


def _main(board: Board, remarked: Sequence[str]) -> Part:
    instructions = max((e.n_clusters for e in board.estimates.values()), default=0)
    title = f"{board.annotator} · against {board.baseline} · {plural(instructions, 'instruction')}"
    headings, rows = _columns(board)
    least = ["length", "won–lost–tied", "tier", *(h for h in headings if h.startswith("LC ")), "error", "unparseable"]
    # names that nobody can read are worse than one rate less: the one that does not lead goes last of all
    least += [h for h in headings if h.startswith(tuple(_RATES[by][0] for by in _RATES if by != board.headline))]
    return Part(f"{title} · sorted by {_RATES[board.headline][0]}", headings, rows, remarked, least)


def _breakdown(board: Board) -> list[Part]:
    """A table for each column that groups the rows (dataset, category); models stand as they do on the board."""
    if board.breakdown.empty:
        return []
    parts = []
    for by, part in board.breakdown.groupby("by", sort=False):
        rows = [
            [row["group"], row["model"], _rate(row, "win_rate", "win_rate_low", "win_rate_high"), row["n_total"]]
            for _, row in part.iterrows()
        ]
        parts.append(Part(f"win rate by {by}", ["group", "model", f"win rate {_percent(board.level)}", "n"], rows))
    return parts


def _wide(board: Board) -> pd.DataFrame:
    """The board's table with a rate, its limits and n for each group of the breakdown, one row a model as ever."""
    table = board.table
    for (by, group), part in board.breakdown.groupby(["by", "group"], sort=False):
        own = part.set_index("model")
        columns = {
            f"{column}_{by}_{group}": table["model"].map(own[column])
            for column in ("win_rate", "win_rate_low", "win_rate_high", "n_total")
        }
        table = table.assign(**columns)
    return table


def board_sheet(ranked: RankedBoard, *, breakdown: bool = False) -> Sheet:
    """The board and what was asked for beside it, as a sheet. Each model's `rating` in the record is its headline rate
    in percent; `breakdown` adds the rates by dataset and category, to the table of every column too."""
    board = replace(ranked.board, table=with_rates(ranked))
    places = [] if ranked.place is None else [ranked.place]
    remarked = [*remarks(board), *rates_lines(ranked)]
    record = board.to_json() | {"rank": "win-rate", "remarks": remarked} | rates_json(ranked)
    record |= {} if ranked.place is None else placed_json(ranked.place)
    _, error, low, high = _RATES[board.headline]
    for model in record["models"]:
        model |= {"rating": model[board.headline], "rating_se": model[error]}
        model |= {"rating_low": model[low], "rating_high": model[high]}
    groups = _breakdown(board) if breakdown else []
    if breakdown and not groups:
        remarked.append("no breakdown: the rows name no dataset or category, or only one")
    whole = _wide(board) if breakdown else board.table
    # an annotator that could not be ranked has no table, only the warning that says why
    parts = [_main(board, remarked), *groups, *places] if board.estimates else []
    return Sheet(parts, whole, record, board.warnings)
