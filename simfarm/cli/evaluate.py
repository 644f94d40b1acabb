"""Make a leaderboard.

INPUT is one or more annotation files, or output files (then they are annotated first; --baseline says what they are
compared with). Intervals are at the level of --level, with the instruction as the unit of independence."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING

from simfarm.cli.options import add_judging, add_ranking

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "inputs", nargs="+", metavar="INPUT", help="annotations or outputs: .json, .jsonl, .csv, .parquet"
    )
    board = add_ranking(parser)
    board.add_argument("--breakdown", action="store_true", help="win rates by dataset or category too")
    board.add_argument("-o", "--output", metavar="FILE", help="write the board as .csv, .json or .md too")
    add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Annotate where needed, rank, print; gives the exit status."""
    from simfarm.cli.boards import ranked
    from simfarm.cli.judging import dry_run
    from simfarm.inputs import read_for_evaluation
    from simfarm.report.board import board_json, check_target, print_board, write_board

    if arguments.output:
        check_target(arguments.output)
    read = read_for_evaluation(arguments.inputs, arguments.baseline)
    if read is None and arguments.dry_run:
        return dry_run(arguments)
    frame, name, status = _annotated(arguments) if read is None else (*read, 0)
    boards = ranked(frame, name, arguments)
    if arguments.json:
        print(board_json(boards))
    else:
        for board in boards:
            print_board(board, breakdown=arguments.breakdown)
    if arguments.output:
        write_board(arguments.output, boards)
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
