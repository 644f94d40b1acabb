"""Files of others into ours, and ours into theirs.

INPUT is one or more files of outputs, comparisons or verdicts in any format that simfarm reads, told by its columns:
AlpacaEval, Arena-Hard, MT-bench, LMArena, TRL, RewardBench, annotated pairs, lm-eval, inspect, Label Studio, Argilla.
What a format cannot hold is left out, counted and said."""

from __future__ import annotations

import argparse

from simfarm.cli.options import INPUT_HELP, add_options
from simfarm.report.terminal import say
from simfarm.settings.options import CONVERT, INPUT

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=INPUT_HELP)
    parser.add_argument("-o", "--output", metavar="FILE", help="where rows go (default, and -: JSONL to stdout)")
    add_options(parser, (*CONVERT, *INPUT))


def run(arguments: argparse.Namespace) -> int:
    """Read, convert, write, say what was read, written and left out; gives the exit status."""
    from simfarm.data.conversion import Conversion
    from simfarm.data.sources import opened
    from simfarm.report.targets import rows_target

    with opened(arguments.inputs, columns=arguments.columns) as (inputs, _):
        output = rows_target(arguments.output, inputs)
        conversion = Conversion.of(inputs, arguments.to, arguments.annotator, arguments.generator)
        conversion.write(output)
    for line in conversion.said():
        say(line)
    if output:
        say(f"wrote {output}")
    return 0
