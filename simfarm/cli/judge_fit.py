"""Fit a judge to people's labels and write it, for any --judge.

LABELS are labels with their texts, whose surface is weighed; ANNOTATIONS are verdicts of judges on the same pairs,
which are weighed beside it, as a panel. With --judge the criteria of that judge are weighed, by the scores in its
ANNOTATIONS. Prints how often the judge agrees with people on instructions it never saw, and does not write one that is
not shown to beat the longer output, or equal weights of its criteria."""

from __future__ import annotations

import argparse

from simfarm.cli.options import INPUT_HELP, add_options
from simfarm.report.terminal import answer_json, say
from simfarm.settings.options import BY_NAME, INPUT, INTERVALS

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("labels", metavar="LABELS", help=f"labels by people, with their texts: {INPUT_HELP}")
    parser.add_argument("annotations", nargs="*", metavar="ANNOTATIONS", help="verdicts of judges on the same pairs")
    add_options(parser, (BY_NAME["signed"], *INPUT, *INTERVALS))
    parser.add_argument("--judge", metavar="NAME|FILE", help="weigh its criteria, by the scores in its ANNOTATIONS")
    parser.add_argument("-o", "--output", metavar="FILE", help="the judge, as .yaml")
    parser.add_argument("--json", action="store_true", help="everything, for machines")


def run(arguments: argparse.Namespace) -> int:
    """Print what the judge is worth and write it; gives the exit status."""
    from simfarm.data.sources import opened
    from simfarm.errors import InputError
    from simfarm.report.fitted import check_judge_path, fitted_to
    from simfarm.report.tables import print_sheet
    from simfarm.report.targets import refuse_overwriting

    if arguments.output is not None:
        check_judge_path(arguments.output)
        refuse_overwriting(arguments.output, [arguments.labels, *arguments.annotations])
    with opened([arguments.labels], *arguments.annotations, columns=arguments.columns) as (labels, annotations):
        if len(labels) != 1:
            raise InputError(f"{arguments.labels} is {len(labels)} files; name one of labels")
        given = {name: getattr(arguments, name) for name in ("judge", "signed", "level", "mix_judges")}
        told = fitted_to(labels[0], annotations, **given)
    for note in told.found.notes:
        say(note)
    if arguments.json:
        answer_json(told.to_json())
    else:
        print_sheet(told.sheet)
    if arguments.output:
        for file in told.found.write(arguments.output, arguments.level):
            say(f"wrote {file}")
    return 0
