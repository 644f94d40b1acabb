"""Is the difference of two models real?

INPUT is one or more annotation files; A and B are generators in them (or the baseline). They are compared on the
instructions that both answered, raw and at equal length; without a single baseline by Bradley-Terry on all comparisons
and head to head."""

from __future__ import annotations

import argparse

from simfarm.cli.options import INPUT_HELP, add_options, add_ranking
from simfarm.report.terminal import answer_json, answer_lines, say
from simfarm.settings.options import BY_NAME

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=f"annotations: {INPUT_HELP}")
    parser.add_argument("a", metavar="A", help="a generator in the files")
    parser.add_argument("b", metavar="B", help="the generator it is compared with")
    ranking = add_options(add_ranking(parser), [BY_NAME["flip_rate"]])
    ranking.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the differences as .csv, .json or .md, or a picture: .svg, .png, .pdf",
    )


def run(arguments: argparse.Namespace) -> int:
    """Print one sentence for each annotator and length control; gives the exit status."""
    from dataclasses import replace

    from simfarm.data.sources import opened
    from simfarm.report.compared import compared, compared_sheet
    from simfarm.report.evaluation import annotations_in
    from simfarm.report.files import write_sheet
    from simfarm.report.plots import comparison_picture
    from simfarm.report.ranking import RankingOptions
    from simfarm.report.targets import check_board_file, refuse_overwriting

    if arguments.output is not None:
        check_board_file(arguments.output, drawn=True)
        refuse_overwriting(arguments.output, [*arguments.inputs, arguments.baseline, arguments.panel])
    names = ("length_control", "lc_data", "panel", "level", "mix_judges", "flip_rate")
    options = RankingOptions.of(**{name: getattr(arguments, name) for name in names})
    beside = (arguments.baseline, arguments.panel)
    with opened(arguments.inputs, *beside, columns=arguments.columns) as (inputs, (baseline, panel)):
        found = compared(*annotations_in(inputs, baseline), replace(options, panel=panel), arguments.a, arguments.b)
    for side in found.sides:
        for warning in side.warnings:
            say(f"warning: {warning}")
    if arguments.output:
        write_sheet(arguments.output, compared_sheet(found), lambda: comparison_picture(found))
        say(f"wrote {arguments.output}")
    if arguments.json:
        answer_json(found.to_json())
    else:
        answer_lines(found.lines)
    return 0
