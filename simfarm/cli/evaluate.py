"""Make a leaderboard.

INPUT is one or more annotation files, or output files (then they are annotated first; --baseline says what they are
compared with). Intervals are at the level of --level, with the instruction as the unit of independence."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from simfarm.cli.options import add_judging, add_ranking

if TYPE_CHECKING:
    import pandas as pd

    from simfarm.ranking import Board

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="annotations or outputs: .json, .jsonl, .csv, .parquet"
    )
    board = add_ranking(parser)
    board.add_argument("--breakdown", action="store_true", help="win rates by dataset or category too")
    board.add_argument("--board", metavar="NAME", help="place the models among a published board's (alpaca-eval-2)")
    board.add_argument("--add-to", type=Path, metavar="BOARD", help="keep the board in files that later models join")
    board.add_argument("-o", "--output", metavar="FILE", help="write the board as .csv, .json or .md too")
    add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Annotate where needed, rank, print; gives the exit status."""
    from simfarm.cli.boards import ranked
    from simfarm.cli.judging import dry_run
    from simfarm.inputs import read_for_evaluation
    from simfarm.report.board import board_json, check_target, print_board, write_board
    from simfarm.report.published import place_among

    if arguments.output:
        check_target(arguments.output)
    read = read_for_evaluation(arguments.inputs, arguments.baseline)
    if read is None and arguments.dry_run:
        return dry_run(arguments)
    frame, name, status = _annotated(arguments) if read is None else (*read, 0)
    boards = ranked(frame, name, arguments)
    if arguments.add_to:
        boards = [_added(arguments, frame, boards)]
    if arguments.json:
        print(board_json(boards))
    else:
        for board in boards:
            print_board(board, breakdown=arguments.breakdown)
            if arguments.board:
                print("\n".join(place_among(board, arguments.board)))
    if arguments.output:
        write_board(arguments.output, boards)
        print(f"wrote {arguments.output}", file=sys.stderr)
    return status


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
    from simfarm.tables import annotations_frame

    session, pairs = open_run(arguments)
    rows = [annotation.row() for annotation in streamed(session, pairs)]
    status = report_summary(session)
    return annotations_frame(pd.DataFrame(rows), "the new annotations"), None, status
