"""Does the ranking survive a change of judge?

A and B are annotation files of two judges on the same outputs. Prints both win rates of every model, Spearman's rank
correlation, the mean absolute difference, and the pairs of models that change sides beyond noise.

With --bridge, A is a board's verdicts and B those of a new judge on a random part of its comparisons (or an empty
file): prints the board in the new judge's units, what carries each rate, and how many comparisons both should judge."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from simfarm.cli.options import add_options, add_ranking
from simfarm.report.terminal import answer_json, say
from simfarm.settings.options import BRIDGE

if TYPE_CHECKING:
    from simfarm.data.sources import Source
    from simfarm.report.ranking import RankingOptions

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="annotations by the first judge")
    parser.add_argument("b", metavar="B", help="annotations by the second judge")
    board = add_options(add_ranking(parser, length=False), BRIDGE)
    board.add_argument(
        "-o", "--output", metavar="FILE", help="with --bridge: write the carried board as .csv, .json or .md too"
    )


def run(arguments: argparse.Namespace) -> int:
    """Compare the two judges, or carry the board, and print; gives the exit status."""
    from simfarm.data.sources import opened
    from simfarm.errors import InputError
    from simfarm.report.ranking import RankingOptions
    from simfarm.report.rejudged import rejudged, rejudged_part
    from simfarm.report.tables import print_part

    options = RankingOptions.of(level=arguments.level, mix_judges=arguments.mix_judges)
    _check_output(arguments)
    both = [arguments.a, arguments.b]
    with opened(both, arguments.baseline, columns=arguments.columns) as (files, (baseline,)):
        if len(files) != 2:
            raise InputError(f"{arguments.a} and {arguments.b} are {len(files)} files; name two")
        if arguments.bridge:
            return _bridged(arguments, files[0], files[1], baseline, options)
        result = rejudged(files[0], files[1], baseline, options)
    if arguments.json:
        answer_json(result.to_json())
    else:
        print_part(rejudged_part(result, arguments.level))
    return 0


def _check_output(arguments: argparse.Namespace) -> None:
    """Raise `InputError` for a file that cannot be written, before anything is read."""
    from simfarm.errors import InputError
    from simfarm.report.targets import check_board_file, refuse_overwriting

    if arguments.output is None:
        return
    if not arguments.bridge:
        raise InputError("-o goes with --bridge, which makes a board; give --bridge, or leave -o out (--json > FILE)")
    check_board_file(arguments.output)
    refuse_overwriting(arguments.output, [arguments.a, arguments.b, arguments.baseline])


def _bridged(
    arguments: argparse.Namespace, old: Source, new: Source, baseline: Source | None, options: RankingOptions
) -> int:
    from simfarm.report.bridged import bridged, bridged_sheet
    from simfarm.report.files import write_sheet
    from simfarm.report.tables import print_sheet

    sheet = bridged_sheet(bridged(old, new, baseline, options))
    if arguments.output:
        write_sheet(arguments.output, sheet)
        say(f"wrote {arguments.output}")
    if arguments.json:
        answer_json(dict(sheet.record))
    else:
        print_sheet(sheet)
    return 0
