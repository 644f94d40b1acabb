"""Does the ranking survive a change of judge?

A and B are annotation files of two judges on the same outputs. Prints both win rates of every model, Spearman's rank
correlation, the mean absolute difference, and the pairs of models that change sides beyond noise."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from simfarm.cli.options import add_ranking
from simfarm.errors import InputError
from simfarm.report.terminal import answer_json
from simfarm.text.words import plural

if TYPE_CHECKING:
    from simfarm.ranking import Rejudged
    from simfarm.report.tables import Part

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("a", metavar="A", help="annotations by the first judge")
    parser.add_argument("b", metavar="B", help="annotations by the second judge")
    add_ranking(parser, length=False)


def run(arguments: argparse.Namespace) -> int:
    """Compare the two judges, print; gives the exit status."""
    from simfarm.data.sources import opened
    from simfarm.report.evaluation import Ranking, rejudged
    from simfarm.report.tables import print_part

    ranking = Ranking.of((), level=arguments.level, mix_judges=arguments.mix_judges)
    with opened([arguments.a, arguments.b], arguments.baseline) as (files, (baseline,)):
        if len(files) != 2:
            raise InputError(f"{arguments.a} and {arguments.b} are {len(files)} files; name two")
        found = rejudged(files[0], files[1], baseline, ranking)
    if arguments.json:
        answer_json(found.to_json())
    else:
        print_part(_part(found, arguments.level))
    return 0


def _part(found: Rejudged, level: float) -> Part:
    from simfarm.report.tables import Part

    rows = [
        [
            row["model"],
            f"{row['win_rate_a']:.1f}",
            f"{row['win_rate_b']:.1f}",
            f"{row['difference']:+.1f} ({row['difference_low']:+.1f} to {row['difference_high']:+.1f})",
        ]
        for row in found.table.to_dict("records")
    ]
    spearman = f"– ({found.no_spearman})" if found.no_spearman else f"{found.spearman:.3f}"
    told = [
        f"A: {found.annotator_a}",
        f"B: {found.annotator_b}",
        f"Spearman {spearman}, mean absolute difference {found.mean_absolute_difference:.1f} points",
        f"{len(found.flips)} of {plural(found.n_pairs, 'pair')} of models change sides beyond noise",
    ]
    for flip in found.flips[:20]:
        (a, *_), (b, *_) = flip.under_a, flip.under_b
        told.append(f"  {flip.first} − {flip.second}: {100 * a:+.1f} under A, {100 * b:+.1f} under B")
    headings = ["model", "win rate A", "win rate B", f"B − A {100 * level:g} %"]
    return Part("two judges on the same outputs · sorted by win rate A", headings, rows, told)
