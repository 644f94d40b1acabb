"""How far can a judge be trusted?

ANNOTATIONS are verdicts of one judge or several; --human are people's labels of some of the comparisons. Prints each
judge's report card: agreement with people beside the human ceiling and the longest output, what moves the judge (place,
length, lists), its price, and what to do. Without labels: everything that needs none."""

from __future__ import annotations

import argparse

from simfarm.cli.options import INPUT_HELP, add_options
from simfarm.report.terminal import answer_json, say
from simfarm.settings.options import AGREEMENT, INPUT, INTERVALS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="ANNOTATIONS", help=f"verdicts of judges: {INPUT_HELP}")
    parser.add_argument("--human", nargs="+", default=[], metavar="LABELS", help="labels by people, one file or more")
    add_options(parser, INPUT)
    card = add_options(parser.add_argument_group("card"), (*INTERVALS, *AGREEMENT))
    card.add_argument("--json", action="store_true", help="everything, for machines")
    card.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write every figure as .csv, .json or .md, or a picture: .svg, .png, .pdf",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print the card; gives the exit status."""
    from simfarm.data.sources import opened
    from simfarm.report.agreement import card_of, card_sheet
    from simfarm.report.files import write_sheet
    from simfarm.report.plots import card_picture
    from simfarm.report.tables import print_sheet
    from simfarm.report.targets import check_board_file, refuse_overwriting

    if arguments.output is not None:
        check_board_file(arguments.output, drawn=True)
        refuse_overwriting(arguments.output, [*arguments.inputs, *arguments.human])
    with opened(arguments.inputs, *arguments.human, columns=arguments.columns) as (inputs, human):
        card = card_of(
            inputs,
            human,
            level=arguments.level,
            compat=arguments.compat,
            own={judge: str(generator) for judge, generator in arguments.own},
            epsilon=arguments.epsilon,
            mix_judges=arguments.mix_judges,
        )
    for note in card.notes:
        say(note)
    sheet = card_sheet(card)
    if arguments.output:
        write_sheet(arguments.output, sheet, lambda: card_picture(card))
        say(f"wrote {arguments.output}")
    if arguments.json:
        answer_json(dict(sheet.record))
    else:
        print_sheet(sheet)
    return 0
