"""Read verdicts as a person does: the instruction, the outputs, the verdict or score, and the judge's reason."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping
from typing import Any

from simfarm.cli.options import INPUT_HELP, add_options, whole
from simfarm.data.meaning import STATUSES
from simfarm.report.terminal import answer, answer_lines, width_of
from simfarm.settings.options import INPUT
from simfarm.text.words import plural

__all__ = ["add_arguments", "run"]

PIPE = 114
"""Columns where stdout is no terminal: a pager has a width too."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="FILE", help=f"annotations or scores: {INPUT_HELP}")
    add_options(parser, INPUT)
    parser.add_argument("-n", "--number", type=whole, default=10, metavar="N", help="how many verdicts (default 10)")
    parser.add_argument("--status", choices=STATUSES, help="only rows of this status")
    parser.add_argument("--generator", metavar="NAME", help="only what this model wrote")
    parser.add_argument("--full", action="store_true", help="whole outputs (default: the first lines)")
    parser.add_argument("--json", action="store_true", help="the rows themselves, as JSON lines")


def run(arguments: argparse.Namespace) -> int:
    """Print the first N rows that match; raises `InputError` when the file holds no annotations."""
    from simfarm.data.files import write_rows
    from simfarm.data.inputs import named_rows
    from simfarm.data.records import kind_of_rows
    from simfarm.data.scores import holds_scores
    from simfarm.data.sources import opened
    from simfarm.errors import InputError
    from simfarm.report.verdict import verdict_text

    with opened(arguments.input, columns=arguments.columns) as (inputs, _):
        rows = [row for file in inputs for row in named_rows(file)[1]]
    if kind_of_rows(rows, arguments.input) != "annotations" and not holds_scores(rows[:100]):
        raise InputError(f"{arguments.input}: holds no verdicts (column 'preference'); make them by simfarm annotate")
    chosen = [row for row in rows if _matches(row, arguments)]
    if not chosen:
        raise InputError(f"{arguments.input}: none of its {plural(len(rows), 'row')} matches --status and --generator")
    if arguments.json:
        write_rows(None, chosen[: arguments.number])
        return 0
    width = width_of(sys.stdout) or PIPE
    for number, row in enumerate(chosen[: arguments.number], 1):
        answer(verdict_text(row, f"{number} of {len(chosen)}", full=arguments.full, width=width))
    if len(chosen) > arguments.number:
        answer_lines([f"… {len(chosen) - arguments.number} more; -n N shows more of them"])
    return 0


def _matches(row: Mapping[str, Any], arguments: argparse.Namespace) -> bool:
    from simfarm.report.verdict import row_status

    if arguments.status and row_status(row) != arguments.status:
        return False
    names = (row.get(column) for column in ("generator", "generator_1", "generator_2"))
    return not arguments.generator or arguments.generator in names
