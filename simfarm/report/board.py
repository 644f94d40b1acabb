"""A leaderboard as people and machines read it: a terminal table, CSV, JSON, Markdown.

The terminal shows what decides (the headline rate and its interval, raw beside length-controlled); files carry every
column. Remarks that could change a reader's mind stand with the table, not in a log.
"""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.errors import InputError
from simfarm.ranking import Board, paired_difference
from simfarm.report.terminal import answer, say

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

__all__ = [
    "board_json",
    "board_markdown",
    "check_target",
    "difference_lines",
    "print_board",
    "print_table",
    "remarks",
    "write_board",
]


_HEADLINES = {
    "win_rate": ("win_rate", "standard_error", "win_rate_low", "win_rate_high"),
    "length_controlled_winrate": ("length_controlled_winrate", "lc_standard_error", "lc_low", "lc_high"),
}


def remarks(board: Board) -> list[str]:
    """What stands below the table: the embedded judge's confession first, then the board's own notes."""
    told = list(board.notes)
    if board.slope is not None:
        low, high = board.slope.low, board.slope.high
        meaning = "no clear preference for length"
        if low * high > 0:
            meaning = f"at equal quality the judge prefers the {'longer' if low > 0 else 'shorter'} output"
        told.append(f"length slope {board.slope.value:+.2f} ({low:+.2f} to {high:+.2f}): {meaning}")
    if board.annotator == "surface":
        from simfarm.judges.surface import banner

        told.insert(0, banner())
    return told


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
    """(headings, rows) of the terminal and Markdown tables; columns that would be empty throughout are left out."""
    table = board.table
    level = f"{100 * board.level:g} %"
    extra = [c for c in table.columns if c.startswith("length_controlled_winrate_")]
    has_lc = bool(table["length_controlled_winrate"].notna().any())
    lost = bool((table["n_unparseable"] + table["n_error"]).sum())
    shown = table["flags"].str.replace("not checked", "")
    headings = ["model", f"win rate {level}"]
    headings += [f"length-controlled {level}"] if has_lc else []
    headings += [f"LC {c.removeprefix('length_controlled_winrate_')}" for c in extra]
    headings += ["tier"]
    headings += ["won–lost–tied"] + (["unparseable", "error"] if lost else []) + ["length"]
    headings += ["flags"] if shown.any() else []
    rows = []
    for flags, (_, row) in zip(shown, table.iterrows(), strict=True):
        cells = [row["model"], _rate(row, "win_rate", "win_rate_low", "win_rate_high")]
        if row["model"] == board.baseline:
            cells = [f"{row['model']} (baseline)", "50.0"]
        if has_lc:
            lc = _rate(row, "length_controlled_winrate", "lc_low", "lc_high")
            cells.append("50.0" if row["model"] == board.baseline else lc)
        cells += [_cell(row[c]) for c in extra]
        cells.append(_count(row["tier"]))
        cells.append("–".join(str(row[c]) for c in ("n_wins", "n_wins_base", "n_draws")))
        cells += [str(row[c]) for c in ("n_unparseable", "n_error")] if lost else []
        cells.append(_count(row["avg_length"]))
        cells += [flags] if shown.any() else []
        rows.append(cells)
    return headings, rows


def _title(board: Board) -> str:
    instructions = max((e.n_clusters for e in board.estimates.values()), default=0)
    return f"{board.annotator} · against {board.baseline} · {instructions} instructions"


def print_table(
    title: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[str]],
    remarks: Sequence[str] = (),
    *,
    least: Sequence[str] = (),
) -> None:
    """A table on stdout with lines below it; numbers to the right, model names and flags to the left.

    Where a terminal is too narrow, the columns in `least` go, the first one first, before a name is broken.
    """
    from rich.console import Console

    # a pipe has no width: nothing is cut or wrapped there
    console = Console(highlight=False, soft_wrap=True, width=None if sys.stdout.isatty() else 10_000)
    shown = list(range(len(headings)))
    gone: list[str] = []
    unbounded = console.options.update(width=10_000)
    for heading in least:
        if console.measure(_table(title, headings, rows, shown), options=unbounded).maximum <= console.width:
            break
        shown = [i for i in shown if headings[i] != heading]
        gone.append(heading)
    # what is still too wide wraps in the terminal, where it can be read, instead of being cut
    console.width = max(console.width, console.measure(_table(title, headings, rows, shown), options=unbounded).maximum)
    console.print(_table(title, headings, rows, shown))
    narrow = [f"not shown for want of width: {', '.join(gone)}"] if gone else []
    for line in [*remarks, *narrow]:
        console.print(line, markup=False)


def _table(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]], shown: Sequence[int]) -> Table:
    """The columns `shown` as a rich table. Names go in as `Text`: a model called `llama[/INST]` is not markup."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, title=Text(title, style="bold"), title_justify="left")
    for number in shown:
        left = number == 0 or headings[number] == "flags"
        table.add_column(Text(headings[number]), justify="left" if left else "right", no_wrap=True, overflow="fold")
    for row in rows:
        table.add_row(*(Text(row[number]) for number in shown))
    return table


def print_board(board: Board, *, breakdown: bool = False) -> None:
    """The board with its remarks on stdout, its warnings on stderr."""
    print_table(_title(board), *_columns(board), least=("length", "won–lost–tied", "tier"))
    if breakdown:
        _print_breakdown(board.breakdown)
    answer("\n".join(remarks(board)))
    for line in board.warnings:
        say(f"warning: {line}")


def _print_breakdown(breakdown: pd.DataFrame) -> None:
    if breakdown.empty:
        answer("no breakdown: the rows name no dataset or category, or only one")
        return
    for by, part in breakdown.groupby("by", sort=False):
        groups = list(dict.fromkeys(part["group"]))
        rows = []
        for model, own in part.groupby("model", sort=False):
            rates = own.set_index("group")
            told = [
                f"{rates.loc[g, 'win_rate']:.1f} ±{_cell(rates.loc[g, 'standard_error'])}" if g in rates.index else "–"
                for g in groups
            ]
            rows.append([str(model), *told])
        print_table(f"win rate by {by}", ["model", *(str(g) for g in groups)], rows)


def difference_lines(board: Board, a: str, b: str) -> list[str]:
    """The paired difference of two models in plain sentences, raw and length-controlled."""
    told = []
    if a == b:
        raise InputError(f"{a!r} is compared with itself; name two models")
    for name, control in [("win rate", None), *((f"length-controlled ({n})", n) for n in board.lc_estimates)]:
        if control is not None and not {a, b} <= {*board.lc_estimates[control], board.baseline}:
            continue
        estimate = paired_difference(board, a, b, length_control=control)
        low, high = (100 * bound for bound in estimate.interval(board.level))
        value, p = 100 * estimate.value, estimate.p_value()
        if estimate.standard_error == 0 and value:
            # every instruction says the same: no spread to go by, so the sign test of the instructions
            p = 2 * 0.5**estimate.n_clusters
            low = high = 1.0 if p < 1 - board.level else 0.0
            told.append(
                f"{name}: {a} − {b} = {value:+.1f} points on each of {estimate.n_clusters} instructions "
                f"(sign test p = {p:.2g}): the difference {'is real' if low else 'may be chance'}"
            )
            continue
        verdict = "the difference is real" if low * high > 0 else "the difference may be chance"
        told.append(
            f"{name}: {a} − {b} = {value:+.1f} points ({100 * board.level:g} %: {low:+.1f} to {high:+.1f}, "
            f"p = {p:.2g}, {estimate.n_clusters} instructions): {verdict}"
        )
    return told


def board_json(boards: Sequence[Board], more: Sequence[Mapping[str, Any]] = ()) -> str:
    """One board as a JSON object; several as `{"boards": [...]}`. Each model's `rating` is its headline rate in
    percent; `more` adds to each board, in their order."""
    made = []
    for board, rest in zip(boards, more or [{}] * len(boards), strict=True):
        row = board.to_json() | {"rank": "win-rate", "remarks": remarks(board)} | dict(rest)
        value, error, low, high = _HEADLINES[board.headline]
        for model in row["models"]:
            model |= {"rating": model[value], "rating_se": model[error]}
            model |= {"rating_low": model[low], "rating_high": model[high]}
        made.append(row)
    return json.dumps(made[0] if len(made) == 1 else {"boards": made}, ensure_ascii=False, indent=1, allow_nan=False)


def board_markdown(boards: Sequence[Board], more: Sequence[Mapping[str, Any]] = ()) -> str:
    """Tables that a README or an issue can hold, each with its remarks and warnings."""
    parts = []
    for board, rest in zip(boards, more or [{}] * len(boards), strict=True):
        headings, rows = _columns(board)
        lines = [f"### {_title(board)}", "", f"| {' | '.join(headings)} |", f"|{' --- |' * len(headings)}"]
        lines += ["| " + " | ".join(c.replace("|", "\\|") for c in row) + " |" for row in rows]
        lines += ["", *(f"- {line}" for line in remarks(board)), *(f"- warning: {line}" for line in board.warnings)]
        lines += [f"- {line.strip()}" for line in rest.get("told", ())]
        parts.append("\n".join(lines))
    return "\n\n".join(parts) + "\n"


def check_target(path: str | os.PathLike[str]) -> None:
    """Refuse a board file that cannot be written before anything is paid for; raises `InputError`."""
    if Path(path).is_dir():
        raise InputError(f"{path}: is a folder; name a file in it")
    if Path(path).suffix not in {".csv", ".json", ".md"}:
        raise InputError(f"{path}: a board is written as .csv, .json or .md; choose one of these names")
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise InputError(f"{path}: the folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK):
        raise InputError(f"{path}: cannot be written there; choose another file")


def write_board(path: str | os.PathLike[str], boards: Sequence[Board], more: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write all boards to one file, in the format of its name; `more` as in `board_json` (Markdown shows its lines)."""
    import pandas as pd

    suffix = Path(path).suffix
    if suffix == ".csv":
        text = pd.concat([board.table for board in boards], ignore_index=True).to_csv(index=False)
    else:
        text = board_markdown(boards, more) if suffix == ".md" else board_json(boards, more) + "\n"
    Path(path).write_text(text, encoding="utf-8")
