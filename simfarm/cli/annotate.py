"""Ask a judge which outputs are better.

INPUT is one or more files of outputs (then --baseline FILE, or the name of a generator in them, says what they are
compared with; a judge that rates each by itself, such as rating-5, or ranks them all, ranking-letter, needs none) or
of comparisons (instruction, output_1, output_2). --pair compares the samples of one model with each other instead. Of
a population (simulated people) --annotators K gives K people's labels. Every answer is kept in a store as it comes:
run the same command again and only what is missing is asked."""

from __future__ import annotations

import argparse
from contextlib import closing

from simfarm.cli.cluster import add_cluster, check_cluster, run_on_cluster
from simfarm.cli.options import INPUT_HELP, add_judging, add_options
from simfarm.report.terminal import answer, say
from simfarm.settings import refuse
from simfarm.settings.options import CROWD, INPUT, PAIR

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=INPUT_HELP)
    parser.add_argument("--baseline", metavar="FILE|NAME", help="the outputs that all others are compared with")
    parser.add_argument("-o", "--output", metavar="FILE", help="where annotations go (default, and -: JSONL to stdout)")
    add_options(parser, (*PAIR, *INPUT))
    add_judging(parser, more=CROWD)
    add_cluster(parser)


def run(arguments: argparse.Namespace) -> int:
    """Annotate, write the rows in input order, sum up on stderr; gives the exit status."""
    from simfarm.cli.judging import allow_no_key, introduce, open_run, report_summary, streamed
    from simfarm.data.files import write_rows
    from simfarm.data.inputs import comparisons_for
    from simfarm.data.sources import opened
    from simfarm.report.targets import rows_target
    from simfarm.runs.annotation import AnnotationRun
    from simfarm.runs.judging import alone_in, takes_all, takes_joint, takes_pairs

    check_cluster(arguments)
    if arguments.dry_run:
        allow_no_key()
    with opened(arguments.inputs, arguments.baseline, columns=arguments.columns) as (inputs, (baseline,)):
        output = arguments.output if arguments.cluster else rows_target(arguments.output, [*inputs, baseline])
        asking = open_run(arguments)
        data = {name: getattr(arguments, name) for name in ("allow_missing", "limit", "pair", "score")}
        data |= {
            "alone": alone_in(asking),
            "or_pairs": takes_pairs(asking),
            "whole": takes_all(asking),
            "joint": takes_joint(asking),
        }
        pairs = comparisons_for(inputs, baseline, **data, note=say)
        if arguments.dry_run and not arguments.cluster:
            answer(asking.estimate(pairs))
            return 0
        introduce(asking)
        if arguments.cluster and not isinstance(asking, AnnotationRun):
            refuse({"cluster": arguments.cluster}, "with a population or a panel, which one machine puts together")
        elif arguments.cluster and takes_all(asking):
            refuse({"cluster": arguments.cluster}, "with a judge that ranks, whose outputs stay together")
        elif arguments.cluster:
            return run_on_cluster(arguments, asking, pairs)
        with closing(streamed(asking, pairs)) as annotations:
            write_rows(output, (annotation.row() for annotation in annotations), asking.columns)
    if output:
        say(f"wrote {output}")
    return report_summary(asking)
