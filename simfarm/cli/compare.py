"""Is the difference of two models real?

INPUT is one or more annotation files; A and B are generators in them (or the baseline). They are compared on the
instructions that both answered, raw and at equal length."""

from __future__ import annotations

import argparse

from simfarm.cli.options import INPUT_HELP, add_ranking
from simfarm.report.terminal import answer_json, answer_lines, say

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("inputs", nargs="+", metavar="INPUT", help=f"annotations: {INPUT_HELP}")
    parser.add_argument("a", metavar="A", help="a generator in the files")
    parser.add_argument("b", metavar="B", help="the generator it is compared with")
    add_ranking(parser)


def run(arguments: argparse.Namespace) -> int:
    """Print one sentence for each annotator and length control; gives the exit status."""
    from simfarm.data.sources import opened
    from simfarm.report.board import difference_lines, remarks
    from simfarm.report.evaluation import annotations_in, ranked_boards
    from simfarm.report.ranking import RankingOptions

    names = ("length_control", "lc_data", "level", "mix_judges")
    options = RankingOptions.of(**{name: getattr(arguments, name) for name in names})
    with opened(arguments.inputs, arguments.baseline) as (inputs, (baseline,)):
        boards = ranked_boards(*annotations_in(inputs, baseline), options)
    ranked = [board for board in boards if board.estimates]
    sentences = {board.annotator: difference_lines(board, arguments.a, arguments.b) for board in ranked}
    for board in boards:
        for warning in board.warnings:
            say(f"warning: {warning}")
    if arguments.json:
        answer_json(sentences)
        return 0
    for board in ranked:
        answer_lines([f"judge {board.annotator}:", *sentences[board.annotator], *remarks(board)])
    return 0
