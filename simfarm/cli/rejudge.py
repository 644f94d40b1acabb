"""Does the ranking survive a change of judge?

A and B are annotation files of two judges on the same outputs. Prints both win rates of every model, Spearman's rank
correlation, the mean absolute difference, and the pairs of models that change sides beyond noise."""

from __future__ import annotations

import argparse

from simfarm.cli.options import add_ranking
from simfarm.report.terminal import answer_json

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="annotations by the first judge")
    parser.add_argument("b", metavar="B", help="annotations by the second judge")
    add_ranking(parser, length=False)


def run(arguments: argparse.Namespace) -> int:
    """Compare the two judges, print; gives the exit status."""
    from simfarm.data.sources import opened
    from simfarm.errors import InputError
    from simfarm.report.ranking import RankingOptions
    from simfarm.report.rejudged import rejudged, rejudged_part
    from simfarm.report.tables import print_part

    options = RankingOptions.of(level=arguments.level, mix_judges=arguments.mix_judges)
    with opened([arguments.a, arguments.b], arguments.baseline) as (files, (baseline,)):
        if len(files) != 2:
            raise InputError(f"{arguments.a} and {arguments.b} are {len(files)} files; name two")
        both = rejudged(files[0], files[1], baseline, options)
    if arguments.json:
        answer_json(both.to_json())
    else:
        print_part(rejudged_part(both, arguments.level))
    return 0
