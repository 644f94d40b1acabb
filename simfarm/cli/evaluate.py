"""Make a leaderboard.

INPUT is one or more annotation files, or output files (then they are annotated first; --baseline says what they are
compared with). Intervals are at the level of --level, with the instruction as the unit of independence."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from simfarm.cli.options import add_judging

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_arguments", "run"]


def _level(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.5 <= value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a level from 0.5 to below 1, for example 0.95")
    return value


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="annotations or outputs: .json, .jsonl, .csv, .parquet"
    )
    parser.add_argument("--baseline", metavar="NAME|FILE", help="the generator that others are compared with")
    board = parser.add_argument_group("board")
    board.add_argument(
        "--length-control",
        action="append",
        choices=["joint", "alpaca-eval-2", "none"],
        help="how length is held equal (default joint; may be repeated)",
    )
    board.add_argument(
        "--lc-data", type=Path, metavar="DIR", help="AlpacaEval 2's df_gamed.csv and instruction_difficulty.csv"
    )
    board.add_argument("--level", type=_level, default=0.95, metavar="L", help="of the intervals (default 0.95)")
    board.add_argument("--difference", nargs=2, metavar=("A", "B"), help="the paired difference of two models")
    board.add_argument("--breakdown", action="store_true", help="win rates by dataset or category too")
    board.add_argument("--mix-judges", action="store_true", help="accept two judge hashes under one annotator's name")
    board.add_argument("--json", action="store_true", help="everything, for machines")
    board.add_argument("-o", "--output", metavar="FILE", help="write the board as .csv, .json or .md too")
    add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Annotate where needed, rank, print; gives the exit status."""
    from simfarm.cli.judging import dry_run
    from simfarm.inputs import read_for_evaluation
    from simfarm.report.board import board_json, check_target, difference_lines, print_board, write_board

    if arguments.output:
        check_target(arguments.output)
    read = read_for_evaluation(arguments.inputs, arguments.baseline)
    if read is None and arguments.dry_run:
        return dry_run(arguments)
    frame, name, status = _annotated(arguments) if read is None else (*read, 0)
    from simfarm.ranking import leaderboard

    boards = leaderboard(
        frame,
        baseline=name,
        length_control=[c for c in arguments.length_control or ["joint"] if c != "none"],
        lc_data=arguments.lc_data,
        level=arguments.level,
        allow_mixed=arguments.mix_judges,
    )
    more = [difference_lines(board, *arguments.difference) if arguments.difference else [] for board in boards]
    if arguments.json:
        print(board_json(boards, more))
    else:
        for board, lines in zip(boards, more, strict=True):
            print_board(board, lines, breakdown=arguments.breakdown)
    if arguments.output:
        write_board(arguments.output, boards, more)
        print(f"wrote {arguments.output}", file=sys.stderr)
    return status


def _annotated(arguments: argparse.Namespace) -> tuple[pd.DataFrame, None, int]:
    """(annotations of the output files, no baseline by name: it is output_1 throughout, the exit status so far)."""
    import pandas as pd

    from simfarm.cli.judging import open_run, report_summary, streamed
    from simfarm.tables import annotations_frame

    session, pairs = open_run(arguments)
    rows = [annotation.row() for annotation in streamed(session, pairs)]
    status = report_summary(session)
    return annotations_frame(pd.DataFrame(rows), "the new annotations"), None, status
