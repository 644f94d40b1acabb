"""What do people and judges reward?

ANNOTATIONS are verdicts of one judge or several; --human are people's labels of some of the comparisons. Prints for
each judge how much length, lists, hedging, copying of the prompt and the like weigh in its preferences, beside people's
weights, and where the two differ. With --by: on which kinds of instruction the judge or a model fails; --model names
the topics that --by instructions finds (without it their words do)."""

from __future__ import annotations

import argparse

from simfarm.cli.options import INPUT_HELP, add_options, add_running, run_options
from simfarm.report.terminal import answer, answer_json, say
from simfarm.settings.options import DISSECT, INPUT, INTERVALS, MODEL

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="ANNOTATIONS", help=f"verdicts of judges: {INPUT_HELP}")
    parser.add_argument("--human", nargs="+", default=[], metavar="LABELS", help="labels by people, one file or more")
    add_options(parser, INPUT)
    shown = add_options(parser.add_argument_group("weights"), (*DISSECT, *INTERVALS))
    shown.add_argument("--json", action="store_true", help="everything, for machines")
    shown.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write every weight as .csv, .json or .md, or a picture: .svg, .png, .pdf",
    )
    add_options(parser.add_argument_group("naming topics"), MODEL)
    add_running(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print the weights, and the slices; gives the exit status."""
    from dataclasses import replace

    from simfarm.cli.judging import allow_no_key, streamed
    from simfarm.data.sources import opened
    from simfarm.methods.naming import Naming, refuse_unnamed
    from simfarm.report.dissected import Material, dissected, dissection_sheet
    from simfarm.report.files import write_sheet
    from simfarm.report.plots import dissection_picture
    from simfarm.report.tables import print_sheet
    from simfarm.report.targets import check_board_file, refuse_overwriting

    refuse_unnamed(vars(arguments))
    if arguments.output is not None:
        check_board_file(arguments.output, drawn=True)
        refuse_overwriting(arguments.output, [*arguments.inputs, *arguments.human])
    with opened(arguments.inputs, *arguments.human, columns=arguments.columns) as (inputs, human):
        material = Material.read(
            inputs, human, control=arguments.control, by=arguments.by, mix_judges=arguments.mix_judges
        )
    status = 0
    if arguments.model is not None and material.slices is not None:
        if arguments.dry_run:
            allow_no_key()
        naming = Naming(material.slices, arguments.model, run_options(arguments))
        if arguments.dry_run:
            answer(naming.estimate())
            return 0
        named = naming.named(streamed)
        for note in named.notes:
            say(note)
        material, status = replace(material, slices=named.slices), named.status
    found = dissected(material, level=arguments.level)
    for note in found.notes:
        say(note)
    sheet = dissection_sheet(found)
    if arguments.output:
        write_sheet(arguments.output, sheet, lambda: dissection_picture(found))
        say(f"wrote {arguments.output}")
    if arguments.json:
        answer_json(dict(sheet.record))
    else:
        print_sheet(sheet)
    return status
