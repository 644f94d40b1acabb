"""A few principles in words that explain preferences, and a judge that goes by them.

ANNOTATIONS are verdicts of a judge or labels of people, with their texts. A model reads some of them and proposes
principles, says of each which output it favours on others, and those that are right beyond chance are kept. Printed is
how often they reconstruct preferences nobody has looked at so far, beside the same judge without them and beside all
of it on shuffled labels. The judge of -o is for annotate --judge. See the price first: --dry-run."""

from __future__ import annotations

import argparse

from simfarm.cli.options import INPUT_HELP, add_options, add_running, judge_options, run_options
from simfarm.report.terminal import answer, answer_json, say
from simfarm.settings.options import DATA, EXPLAIN, INPUT, INTERVALS, JUDGE, RETRY

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="ANNOTATIONS", help=f"preferences with their texts: {INPUT_HELP}")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="the judge, as .yaml (its template beside it, as .jinja)"
    )
    limit = [option for option in DATA if option.name == "limit"]
    add_options(parser, (*EXPLAIN, *limit, *INPUT))
    parser.add_argument("--json", action="store_true", help="everything, for machines")
    add_options(parser.add_argument_group("intervals"), INTERVALS)
    add_options(parser.add_argument_group("judge"), JUDGE)
    add_running(parser, more=RETRY)


def run(arguments: argparse.Namespace) -> int:
    """Ask, print the principles and what they are worth, write the judge; gives the exit status."""
    from functools import partial

    from simfarm.cli.judging import allow_no_key, streamed
    from simfarm.data.sources import opened
    from simfarm.methods.explain import Explainer
    from simfarm.methods.labelled import labelled
    from simfarm.report.explained import Explanation, check_judge_file, explanation_sheet, judge_model
    from simfarm.report.tables import print_sheet
    from simfarm.report.targets import refuse_overwriting

    if arguments.output is not None:
        check_judge_file(arguments.output)
        refuse_overwriting(arguments.output, arguments.inputs)
    if arguments.dry_run:
        allow_no_key()
    judging, running = judge_options(arguments), run_options(arguments)
    with opened(arguments.inputs, columns=arguments.columns) as (inputs, _):
        data = labelled(inputs, arguments.by, limit=arguments.limit, mix_judges=arguments.mix_judges)
    # three of its steps judge the same pairs
    follow = partial(streamed, told=set())
    explainer = Explainer(data, judging, running, follow, most=arguments.n, level=arguments.level)
    if arguments.dry_run:
        answer(explainer.estimate())
        return 0
    made = Explanation(explainer.explained(), judge_model(judging.model))
    for note in made.notes:
        say(note)
    sheet = explanation_sheet(made)
    if arguments.output and made.judge is not None:
        made.write(arguments.output)
        say(f"wrote {arguments.output}")
    if arguments.json:
        answer_json(dict(sheet.record))
    else:
        print_sheet(sheet)
    return 4 if made.found.counts["missing"] else 0
