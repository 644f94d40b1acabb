"""Can simulated people be told from real ones?

SIMULATED are labels of a simulated crowd; --human are people's labels of the same comparisons, two or more of each.
Prints whether the crowd leans as people do, whether it agrees with itself as little as they do, whether length and the
like move it as they move them, and whether classifiers can say whose labels they see; each beside people, with a
verdict. Agreement with people alone shows nothing: one judge that never wavers reaches it too."""

from __future__ import annotations

import argparse

from simfarm.cli.options import INPUT_HELP, add_options
from simfarm.report.terminal import answer_json, say
from simfarm.settings.options import INPUT, INTERVALS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="SIMULATED", help=f"labels of simulated people: {INPUT_HELP}")
    parser.add_argument("--human", nargs="+", required=True, metavar="LABELS", help="labels by people")
    parser.add_argument(
        "--annotations",
        nargs="+",
        default=[],
        metavar="RUNS",
        help="a judge's verdicts, one run or more: how people and the crowd follow it where it is sure",
    )
    add_options(parser, INPUT)
    shown = add_options(parser.add_argument_group("report"), INTERVALS)
    shown.add_argument("--json", action="store_true", help="everything, for machines")
    shown.add_argument("-o", "--output", metavar="FILE", help="write every measure as .csv, .json or .md too")


def run(arguments: argparse.Namespace) -> int:
    """Print the report; gives the exit status."""
    from simfarm.data.sources import opened
    from simfarm.report.fidelity import fidelity_of, fidelity_sheet
    from simfarm.report.files import write_sheet
    from simfarm.report.tables import print_sheet
    from simfarm.report.targets import check_board_file, refuse_overwriting

    others = [*arguments.human, *arguments.annotations]
    if arguments.output is not None:
        check_board_file(arguments.output)
        refuse_overwriting(arguments.output, [*arguments.inputs, *others])
    with opened(arguments.inputs, *others, columns=arguments.columns, strict=False) as (simulated, rest):
        n = len(arguments.human)
        found = fidelity_of(simulated, rest[:n], rest[n:], level=arguments.level, mix_judges=arguments.mix_judges)
    for note in found.notes:
        say(note)
    sheet = fidelity_sheet(found)
    if arguments.output:
        write_sheet(arguments.output, sheet)
        say(f"wrote {arguments.output}")
    if arguments.json:
        answer_json(dict(sheet.record))
    else:
        print_sheet(sheet)
    return 0
