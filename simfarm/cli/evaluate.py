"""Make a leaderboard.

INPUT is one or more annotation files, or output files (then they are annotated first; --baseline says what they are
compared with). Intervals are at the level of --level, with the instruction as the unit of independence."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from simfarm.cli.options import add_judging, add_ranking
from simfarm.report.terminal import answer_json, say

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.ranking import Board
    from simfarm.report.tables import Sheet

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="annotations or outputs: .json, .jsonl, .csv, .parquet"
    )
    board = add_ranking(parser)
    board.add_argument(
        "--rank",
        choices=["win-rate", "bradley-terry", "lottery"],
        help="what is ranked by (default: win rate over the baseline, bradley-terry where there is none)",
    )
    board.add_argument(
        "--control", metavar="FEATURES", help="hold style equal too: length, headers, lists, bold, code, markdown"
    )
    board.add_argument(
        "--human", metavar="FILE", help="human labels of some of the comparisons: the win rate people would give"
    )
    board.add_argument("--breakdown", action="store_true", help="win rates by dataset or category too")
    board.add_argument("--board", metavar="NAME", help="place the models among a published board's (alpaca-eval-2)")
    board.add_argument("--add-to", type=Path, metavar="BOARD", help="keep the board in files that later models join")
    board.add_argument("-o", "--output", metavar="FILE", help="write the board as .csv, .json or .md too")
    add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Annotate where needed, rank, print; gives the exit status."""
    from simfarm.cli.judging import dry_run, refuse_judging
    from simfarm.errors import InputError
    from simfarm.inputs import read_for_evaluation
    from simfarm.report.files import check_target
    from simfarm.report.published import published_names

    if arguments.output:
        check_target(arguments.output)
    read = read_for_evaluation(arguments.inputs, arguments.baseline)
    if read is None and arguments.dry_run:
        return dry_run(arguments)
    if read is not None:
        refuse_judging(arguments)
    if arguments.board and arguments.board not in published_names():
        raise InputError(f"--board {arguments.board}: no such board; there is {', '.join(published_names())}")
    if arguments.add_to and (arguments.human or arguments.control):
        raise InputError("--add-to ranks all models of the board anew; give --human and --control in a run without it")
    frame, name, status = _annotated(arguments) if read is None else (*read, 0)
    if frame["preference"].isna().all():
        status = status or 4
    if _by_rating(arguments, frame, name):
        _rate(arguments, frame)
    else:
        _board(arguments, frame, name)
    if arguments.output:
        say(f"wrote {arguments.output}")
    return status


def _by_rating(arguments: argparse.Namespace, frame: pd.DataFrame, name: str | None) -> bool:
    """Whether models are rated on the graph of their comparisons and not against a baseline."""
    from simfarm.errors import InputError

    if arguments.rank:
        chosen = bool(arguments.rank != "win-rate")
    else:
        chosen = name is None and frame["generator_1"].nunique() > 1
    if chosen:
        for option in ("add_to", "board", "human", "breakdown"):
            if getattr(arguments, option):
                spelled = option.replace("_", "-")
                raise InputError(f"--{spelled} needs win rates over a baseline; give --baseline or --rank win-rate")
    return chosen


def _rate(arguments: argparse.Namespace, frame: pd.DataFrame) -> None:
    """Bradley-Terry or the lottery, printed and written."""
    from simfarm.ranking import rate_models
    from simfarm.report.ratings import ratings_sheet

    found = rate_models(
        frame,
        arguments.rank or "bradley-terry",
        control=arguments.control,
        level=arguments.level,
        allow_mixed=arguments.mix_judges,
    )
    _show(arguments, [ratings_sheet(one) for one in found])


def _board(arguments: argparse.Namespace, frame: pd.DataFrame, name: str | None) -> None:
    """Win rates over the baseline, printed and written, with style control and human labels where asked for."""
    from simfarm.cli.boards import annotations_in, ranked
    from simfarm.ranking import calibrated_win_rates, style_win_rates
    from simfarm.report.board import board_sheet
    from simfarm.report.published import place_among, placed_json
    from simfarm.report.ratings import calibrated_json, calibrated_lines, style_json, style_lines, with_rates

    boards = ranked(frame, name, arguments)
    styles = [style_win_rates(frame, board, arguments.control) if arguments.control else None for board in boards]
    labels = annotations_in([arguments.human], None)[0] if arguments.human else None
    people = [calibrated_win_rates(frame, labels, board) if labels is not None else {} for board in boards]
    if arguments.add_to:
        boards = [_added(arguments, frame, boards)]
    sheets = []
    for style, found, board in zip(styles, people, boards, strict=True):
        for warning in (line for one in found.values() for line in one.warnings):
            say(f"warning: {warning}")
        told = [*style_lines(style, board), *calibrated_lines(found, board.level)]
        placed = [place_among(board, arguments.board)] if arguments.board else []
        more = style_json(style, board) | calibrated_json(found, board) | placed_json(placed)
        rated = with_rates(board, style, found)
        sheets.append(board_sheet(rated, more, told, placed, breakdown=arguments.breakdown))
    _show(arguments, sheets)


def _show(arguments: argparse.Namespace, sheets: Sequence[Sheet]) -> None:
    """Print the sheets, as JSON where that was asked for, and write them."""
    from simfarm.report.files import json_value, write_sheets
    from simfarm.report.tables import print_sheet

    if arguments.json:
        answer_json(json_value(sheets))
    else:
        for sheet in sheets:
            print_sheet(sheet)
    if arguments.output:
        write_sheets(arguments.output, sheets)


def _added(arguments: argparse.Namespace, frame: pd.DataFrame, boards: list[Board]) -> Board:
    """The kept board with these annotations in it, ranked anew as one panel."""
    from simfarm.cli.boards import ranked
    from simfarm.errors import InputError
    from simfarm.report.kept import flags_of, join_kept, keep

    if len(boards) != 1:
        raise InputError(
            f"--add-to keeps one judge a board; the files hold {len(boards)} annotators, give one at a time"
        )
    joined = join_kept(arguments.add_to, frame, boards[0].baseline)
    (whole,) = ranked(joined, boards[0].baseline, arguments)
    return keep(arguments.add_to, joined, whole, flags_of(boards[0]), arguments.inputs)


def _annotated(arguments: argparse.Namespace) -> tuple[pd.DataFrame, None, int]:
    """(annotations of the output files, no baseline by name: it is output_1 throughout, the exit status so far)."""
    import pandas as pd

    from simfarm.cli.judging import open_run, report_summary, streamed
    from simfarm.errors import BudgetError
    from simfarm.tables import annotations_frame

    session, pairs = open_run(arguments)
    with closing(streamed(session, pairs)) as made:
        rows = [annotation.row() for annotation in made]
    status = report_summary(session)
    if session.summary.stopped and not session.summary.status["verdict"]:
        raise BudgetError("there is no verdict to rank yet; raise --budget and run the same command again")
    return annotations_frame(pd.DataFrame(rows), "the new annotations"), None, status
