"""Ask a judge which outputs are better.

INPUT is one or more files of outputs (then --baseline FILE, or the name of a generator in them, says what they are
compared with) or of comparisons (instruction, output_1, output_2). Every answer is kept in a store as it comes: run the
same command again and only what is missing is asked."""

from __future__ import annotations

import argparse
from contextlib import closing

from simfarm.cli.cluster import add_cluster, annotate_on_cluster, check_cluster
from simfarm.cli.options import add_judging
from simfarm.report.terminal import say

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=".json, .jsonl, .csv, .parquet, hf://…")
    parser.add_argument("--baseline", metavar="FILE|NAME", help="the outputs that all others are compared with")
    parser.add_argument("-o", "--output", metavar="FILE", help="where annotations go (default: JSONL to stdout)")
    add_judging(parser)
    add_cluster(parser)


def run(arguments: argparse.Namespace) -> int:
    """Annotate, write the rows in input order, sum up on stderr; gives the exit status."""
    from simfarm.cli.judging import allow_no_key, dry_run, open_run, report_summary, streamed
    from simfarm.files import check_writable, write_rows
    from simfarm.records import ANNOTATION_COLUMNS

    check_cluster(arguments)
    if arguments.output and not arguments.engine:
        check_writable(arguments.output, [*arguments.inputs, arguments.baseline])
    if arguments.dry_run and not arguments.engine:
        return dry_run(arguments)
    if arguments.dry_run:
        allow_no_key()
    session, pairs = open_run(arguments)
    if session.judge.rule == "surface":
        from simfarm.judges.surface import banner

        say(banner())
    if arguments.engine:
        return annotate_on_cluster(arguments, session, pairs)
    with closing(streamed(session, pairs)) as made:
        write_rows(arguments.output, (annotation.row() for annotation in made), ANNOTATION_COLUMNS)
    if arguments.output:
        say(f"wrote {arguments.output}")
    return report_summary(session)
