"""Does the ranking survive a change of judge?

A and B are annotation files of two judges on the same outputs. Prints both win rates of every model, Spearman's rank
correlation, the mean absolute difference, and the pairs of models that change sides beyond noise.

With --hindsight, A judged at once and B what became of the answers (judge hindsight): prints the gap of each model,
win rate at once less win rate in hindsight, so who promises more than is found.

With --bridge, A is a board's verdicts and B those of a new judge on a random part of its comparisons (or an empty
file): prints the board in the new judge's units, what carries each rate, and how many comparisons both should judge."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from simfarm.cli.options import add_options, add_ranking
from simfarm.report.terminal import answer_json, say
from simfarm.settings import refuse, spelled
from simfarm.settings.options import BRIDGE

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

    from simfarm.data.sources import Source
    from simfarm.report.ranking import RankingOptions
    from simfarm.report.tables import Sheet

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="annotations by the first judge")
    parser.add_argument("b", metavar="B", help="annotations by the second judge")
    board = add_options(add_ranking(parser, length=False), BRIDGE)
    board.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the board as .csv, .json or .md, or (without --bridge or --hindsight) a picture: .svg, .png, .pdf",
    )


def run(arguments: argparse.Namespace) -> int:
    """Compare the two judges, or carry the board, and print; gives the exit status."""
    from simfarm.data.sources import opened
    from simfarm.errors import InputError
    from simfarm.report.plots import rejudged_picture
    from simfarm.report.ranking import RankingOptions
    from simfarm.report.rejudged import rejudged, rejudged_sheet

    refuse(
        {"hindsight": arguments.hindsight if arguments.bridge else None},
        f"with {spelled('bridge')}, which carries a board",
    )
    options = RankingOptions.of(level=arguments.level, mix_judges=arguments.mix_judges)
    _check_output(arguments)
    both = [arguments.a, arguments.b]
    with opened(both, arguments.baseline, columns=arguments.columns) as (files, (baseline,)):
        if len(files) != 2:
            raise InputError(f"{arguments.a} and {arguments.b} are {len(files)} files; name two")
        if arguments.bridge:
            return _bridged(arguments, files[0], files[1], baseline, options)
        result = rejudged(files[0], files[1], baseline, options, hindsight=arguments.hindsight)
    picture = None if arguments.hindsight else lambda: rejudged_picture(result)
    return _shown(arguments, rejudged_sheet(result), picture)


def _shown(arguments: argparse.Namespace, sheet: Sheet, picture: Callable[[], Figure] | None = None) -> int:
    """Write and print; gives the exit status."""
    from simfarm.report.files import write_sheet
    from simfarm.report.tables import print_sheet

    if arguments.output:
        write_sheet(arguments.output, sheet, picture)
        say(f"wrote {arguments.output}")
    if arguments.json:
        answer_json(dict(sheet.record))
    else:
        print_sheet(sheet)
    return 0


def _check_output(arguments: argparse.Namespace) -> None:
    """Raise `InputError` for a file that cannot be written, before anything is read."""
    from simfarm.report.targets import check_board_file, refuse_overwriting

    if arguments.output is None:
        return
    check_board_file(arguments.output, drawn=not (arguments.bridge or arguments.hindsight))
    refuse_overwriting(arguments.output, [arguments.a, arguments.b, arguments.baseline])


def _bridged(
    arguments: argparse.Namespace, old: Source, new: Source, baseline: Source | None, options: RankingOptions
) -> int:
    from simfarm.report.bridged import bridged, bridged_sheet

    return _shown(arguments, bridged_sheet(bridged(old, new, baseline, options)))
