"""Make a leaderboard.

INPUT is one or more annotation files, or output files: then they are annotated first, and --baseline says what they are
compared with (a judge that rates each by itself, such as rating-5, needs none). Intervals are at the level of --level,
with the instruction as the unit of independence."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from simfarm.cli.options import INPUT_HELP, add_judging, add_options, add_ranking
from simfarm.report.terminal import say
from simfarm.settings.options import BOARD, RANKED, RANKING

if TYPE_CHECKING:
    from simfarm.data.frames import Verdicts
    from simfarm.report.ranking import RankingOptions

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=f"annotations or outputs: {INPUT_HELP}")
    board = add_options(add_ranking(parser), (*RANKED, *BOARD))
    board.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the board as .csv (an apostrophe before names that are formulas), .json or .md too, as a "
        "picture .svg, .png or .pdf (-: CSV to stdout instead)",
    )
    add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Annotate where needed, rank, print; gives the exit status."""
    from dataclasses import replace

    from simfarm.data.sources import opened
    from simfarm.report.targets import refuse_overwriting

    options = _checked(arguments)
    beside = (arguments.baseline, arguments.human, arguments.panel)
    given = [*arguments.inputs, *beside]
    with opened(arguments.inputs, *beside, columns=arguments.columns) as (inputs, (baseline, human, panel)):
        if arguments.output and arguments.output != "-":
            refuse_overwriting(arguments.output, [*given, *inputs])
        arguments.inputs = inputs
        return _evaluated(arguments, replace(options, baseline=baseline, human=human, panel=panel))


def _checked(arguments: argparse.Namespace) -> RankingOptions:
    """How to rank, as the options say; raises `InputError` for what cannot be or does not go together, before anything
    is read."""
    from simfarm.errors import InputError
    from simfarm.report.ranking import RankingOptions
    from simfarm.report.targets import check_board_file

    if arguments.output == "":
        raise InputError("-o is empty; give it a value or leave it out")
    options = RankingOptions.of(**{option.name: getattr(arguments, option.name) for option in RANKING})
    if arguments.output == "-" and arguments.json:
        raise InputError("-o - and --json both write to standard output; leave one of them out")
    if arguments.output and arguments.output != "-":
        check_board_file(arguments.output, drawn=True)
    if options.add_to:
        from simfarm.report.kept import check_kept  # it knows the ends of models, and so all that asks them

        check_kept(options.add_to)
    return options


def _evaluated(arguments: argparse.Namespace, options: RankingOptions) -> int:
    """What `run` does once its inputs are at hand."""
    from simfarm.data.inputs import scores_for
    from simfarm.data.scores import Scores
    from simfarm.data.sources import called
    from simfarm.report.evaluation import evaluate, evaluate_scores, labels_in, verdicts_in
    from simfarm.report.files import show_evaluation
    from simfarm.settings import refuse_asking

    read, labels = verdicts_in(arguments.inputs, options), labels_in(options)
    status, asked = 0, dict[str, Any]()
    name = None
    verdicts: Verdicts | Scores
    if read is None and (scores := scores_for(arguments.inputs, **options.of_scores)) is not None:
        refuse_asking(vars(arguments), called(arguments.inputs[0]))
        verdicts = scores
    elif read is None:
        from simfarm.cli.verdicts import asked_verdicts, print_estimate  # with it comes all that asks a judge

        if arguments.dry_run:
            return print_estimate(arguments, options, labels)
        verdicts, status, asked = asked_verdicts(arguments, options, labels)
    else:
        refuse_asking(vars(arguments), called(arguments.inputs[0]))
        verdicts, name = read
    if verdicts.table["score" if isinstance(verdicts, Scores) else "preference"].isna().all():
        status = status or 4
    if isinstance(verdicts, Scores):
        show_evaluation(evaluate_scores(verdicts, options, labels), arguments.output, as_json=arguments.json)
        return _said(arguments, status)
    evaluation = evaluate(verdicts, name, options, labels)
    if options.add_to and evaluation.boards:
        from simfarm.report.kept import keep

        evaluation = keep(evaluation, verdicts, options, arguments.inputs, asked)
        say(f"wrote {str(options.add_to).removesuffix('.csv')}.csv, .parquet and .json")
    show_evaluation(evaluation, arguments.output, as_json=arguments.json)
    return _said(arguments, status)


def _said(arguments: argparse.Namespace, status: int) -> int:
    """The exit status, once the file that was written is named."""
    if arguments.output and arguments.output != "-":
        say(f"wrote {arguments.output}")
    return status
