"""Choose among judges: agreement with people, dollars and seconds a thousand comparisons, which differences are real,
who is dominated, and how many labels would tell two apart.

A and B are annotation files, or annotators in them by name (then only these)."""

from __future__ import annotations

import argparse

from simfarm.cli.options import add_options
from simfarm.report.terminal import answer_json, say
from simfarm.settings.options import INPUT, INTERVALS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("judges", nargs="+", metavar="A B", help="annotation files, and annotators in them by name")
    parser.add_argument(
        "--human", nargs="+", required=True, metavar="LABELS", help="labels by people, one file or more"
    )
    add_options(parser, (*INPUT, *INTERVALS))
    parser.add_argument("--json", action="store_true", help="everything, for machines")
    parser.add_argument("-o", "--output", metavar="FILE", help="write every figure as .csv, .json or .md")


def run(arguments: argparse.Namespace) -> int:
    """Print the choice; gives the exit status."""
    from simfarm.data.sources import opened
    from simfarm.report.chosen import choice_sheet, chosen, files_and_names
    from simfarm.report.files import write_sheet
    from simfarm.report.tables import print_sheet
    from simfarm.report.targets import check_board_file, refuse_overwriting

    files, names = files_and_names(arguments.judges)
    if arguments.output is not None:
        check_board_file(arguments.output)
        refuse_overwriting(arguments.output, [*files, *arguments.human])
    with opened(files, *arguments.human, columns=arguments.columns) as (inputs, human):
        choice = chosen(inputs, human, names=names, level=arguments.level, mix_judges=arguments.mix_judges)
    for note in choice.card.notes:
        say(note)
    sheet = choice_sheet(choice)
    if arguments.output:
        write_sheet(arguments.output, sheet)
        say(f"wrote {arguments.output}")
    if arguments.json:
        answer_json(dict(sheet.record))
    else:
        print_sheet(sheet)
    return 0
