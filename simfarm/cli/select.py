"""Choose one of n samples.

INPUT is a file of outputs with several samples to each instruction, as `simfarm generate --n 16` writes them. The
chosen ones are outputs of a generator of their own, ready for evaluate. What a method costs is printed and stands in
each row, so that methods can be compared at equal cost; random, longest and oracle are controls and cost nothing."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from simfarm.cli.options import INPUT_HELP, add_judging, add_options, judge_options, run_options
from simfarm.report.terminal import answer, say
from simfarm.settings.options import CHOICE, CURVE, INPUT, METHOD

if TYPE_CHECKING:
    from simfarm.selection.choice import Selection
    from simfarm.selection.samples import Manner, Scores

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="INPUT", help=f"outputs with samples: {INPUT_HELP}")
    add_options(parser, (*METHOD, *INPUT), required="method")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where the chosen ones go (default, and -: JSONL to stdout)"
    )
    add_options(parser.add_argument_group("choice"), CHOICE)
    add_options(parser.add_argument_group("best-of-n curve"), CURVE)
    add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score, choose, write the chosen rows in input order, sum up on stderr; gives the exit status."""
    from dataclasses import fields, replace

    from simfarm.data.sources import opened
    from simfarm.errors import InputError
    from simfarm.report.targets import rows_and_curve_targets
    from simfarm.selection.choice import Choice, Selection

    names = {field.name for field in fields(Choice)} - {"judging", "running"}
    choice = Choice(
        **{name: getattr(arguments, name) for name in names},
        judging=judge_options(arguments),
        running=run_options(arguments),
    )
    choice.check()
    beside = (arguments.baseline, arguments.chat_template)
    with opened(arguments.input, *beside, columns=arguments.columns) as (inputs, (baseline, template)):
        if len(inputs) != 1:
            raise InputError(f"{arguments.input}: is {len(inputs)} files; select takes one")
        read = [*inputs, arguments.baseline, arguments.chat_template]
        arguments.output = rows_and_curve_targets(arguments.output, arguments.curve, read)
        selection = Selection.of(inputs[0], replace(choice, baseline=baseline, chat_template=template), say)
        return _selected(arguments, selection)


def _selected(arguments: argparse.Namespace, selection: Selection) -> int:
    """What `run` does once the samples are read."""
    from simfarm.data.files import write_rows
    from simfarm.report.curve import show_curves

    scored = _scores(arguments, selection)
    if scored is None:
        return 0
    scores, manner, status = scored
    rows, lines = selection.chosen(scores, manner, stopped=status == 3)
    write_rows(arguments.output, rows)
    if arguments.output:
        say(f"wrote {arguments.output}")
    for line in lines:
        say(line)
    show_curves(selection.curve(scores), arguments.curve, arguments.level or 0.95, aside=not arguments.output)
    # what has no baseline output was allowed for; what has no verdict is in the status already
    return status or (4 if selection.unscored(scores) and not arguments.allow_missing else 0)


def _scores(arguments: argparse.Namespace, selection: Selection) -> tuple[Scores, Manner, int] | None:
    """(scores, how they were made, the exit status so far); None where it was a dry run."""
    choice = selection.choice
    if choice.asks:
        return _judged(arguments, selection)
    if choice.score_by == "likelihood":
        scored = selection.likelihoods(_steps, dry_run=arguments.dry_run)
        if isinstance(scored, str):
            answer(scored)
            return None
        return *scored, 0
    if arguments.dry_run:
        answer("no model is asked: $0.00")
        return None
    return *selection.free(), 0


def _judged(arguments: argparse.Namespace, selection: Selection) -> tuple[Scores, Manner, int] | None:
    from simfarm.cli.judging import allow_no_key, introduce, report_summary, streamed
    from simfarm.runs.annotation import AnnotationRun

    contest = selection.contest()
    if arguments.dry_run:
        allow_no_key()
    run = AnnotationRun.open(judge_options(arguments), run_options(arguments))
    if arguments.dry_run:
        answer(run.estimate(contest.comparisons))
        return None
    introduce(run)
    scores, manner = selection.judged(contest, run, streamed)
    return scores, manner, report_summary(run)


@contextmanager
def _steps(name: str, total: int) -> Iterator[Callable[[], None]]:
    from simfarm.cli.progress import progress

    with progress(name, total) as bar:
        yield bar.step
