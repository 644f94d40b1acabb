"""Choose one of n samples.

INPUT is a file of outputs with several samples to each instruction, as `simfarm generate --n 16` writes them. The
chosen ones are outputs of a generator of their own, ready for evaluate. What a method costs is printed and stands in
each row, so that methods can be compared at equal cost; random, longest and oracle are controls and cost nothing."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from simfarm.cli.options import INPUT_HELP, add_judging, add_options, judge_options, run_options
from simfarm.report.terminal import answer, say
from simfarm.settings.options import CHOICE, CURVE, METHOD

if TYPE_CHECKING:
    from simfarm.selection.choice import Choice, Selection
    from simfarm.selection.samples import Manner, Scores

__all__ = ["add_arguments", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("input", metavar="INPUT", help=f"outputs with samples: {INPUT_HELP}")
    add_options(parser, METHOD, required="method")
    parser.add_argument(
        "-o", "--output", metavar="FILE", help="where the chosen ones go (default, and -: JSONL to stdout)"
    )
    add_options(parser.add_argument_group("choice"), CHOICE)
    add_options(parser.add_argument_group("best-of-n curve"), CURVE)
    add_judging(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score, choose, write the chosen rows in input order, sum up on stderr; gives the exit status."""
    from dataclasses import replace

    from simfarm.data.sources import opened
    from simfarm.errors import InputError
    from simfarm.selection.choice import Selection

    choice = _choice(arguments)
    choice.check()
    with opened(arguments.input, arguments.baseline, arguments.chat_template) as (inputs, (baseline, template)):
        if len(inputs) != 1:
            raise InputError(f"{arguments.input}: is {len(inputs)} files; select takes one")
        _check_targets(arguments, inputs)
        selection = Selection.of(inputs[0], replace(choice, baseline=baseline, chat_template=template), say)
        return _selected(arguments, selection)


def _choice(arguments: argparse.Namespace) -> Choice:
    """How to choose, as the options say."""
    from simfarm.selection.choice import Choice

    names = ("method", "n", "by", "baseline", "rivals", "score", "seed", "chat_template", "generator", "gold", "curve")
    return Choice(
        **{name: getattr(arguments, name) for name in (*names, "level", "limit", "allow_missing")},
        judging=judge_options(arguments),
        running=run_options(arguments),
    )


def _check_targets(arguments: argparse.Namespace, inputs: Sequence[object]) -> None:
    """Refuse to write where nothing can be written, over what is read, or twice over one file. Raises `InputError`."""
    from simfarm.data.files import check_writable
    from simfarm.errors import InputError
    from simfarm.report.files import check_target

    if arguments.output == "":
        raise InputError("-o is empty; name a file, or - for standard output")
    if arguments.curve:
        check_target(arguments.curve)
    taken = {
        os.path.realpath(path): f"{path} is read"
        for path in (*inputs, arguments.baseline, arguments.chat_template)
        if isinstance(path, str) and os.path.exists(path)
    }
    if arguments.output == "-":
        arguments.output = None
    for option, path in (("-o", arguments.output), ("--curve", arguments.curve)):
        if path is None:
            continue
        place = os.path.realpath(path)
        if place in taken:
            raise InputError(f"{option} {path} would write over it: {taken[place]}; name another file")
        taken[place] = f"{path} is where the chosen outputs go"
    if arguments.output:
        check_writable(arguments.output)


def _selected(arguments: argparse.Namespace, selection: Selection) -> int:
    """What `run` does once the samples are read."""
    from simfarm.data.files import write_rows

    scored = _scores(arguments, selection)
    if scored is None:
        return 0
    scores, manner, status = scored
    rows, told = selection.chosen(scores, manner, stopped=status == 3)
    write_rows(arguments.output, rows)
    if arguments.output:
        say(f"wrote {arguments.output}")
    for line in told:
        say(line)
    _curves(arguments, selection, scores)
    # what has no baseline output was allowed for; what has no verdict is in the status already
    return status or (4 if selection.unscored(scores) and not arguments.allow_missing else 0)


def _scores(arguments: argparse.Namespace, selection: Selection) -> tuple[Scores, Manner, int] | None:
    """(scores, how they were made, the exit status so far); None where it was a dry run."""
    choice = selection.choice
    if choice.asks:
        return _judged(arguments, selection)
    if choice.score_by == "likelihood":
        found = selection.likelihoods(_steps, dry_run=arguments.dry_run)
        if isinstance(found, str):
            answer(found)
            return None
        return *found, 0
    if arguments.dry_run:
        answer("no model is asked: $0.00")
        return None
    return *selection.free(), 0


def _judged(arguments: argparse.Namespace, selection: Selection) -> tuple[Scores, Manner, int] | None:
    from simfarm.cli.judging import allow_no_key, introduce, open_session, report_summary, streamed

    contest = selection.contest()
    if arguments.dry_run:
        allow_no_key()
    session = open_session(arguments)
    if arguments.dry_run:
        answer(session.estimate(contest.comparisons))
        return None
    introduce(session)
    scores, manner = selection.judged(contest, session, streamed)
    return scores, manner, report_summary(session)


@contextmanager
def _steps(name: str, total: int) -> Iterator[Callable[[], None]]:
    from simfarm.cli.progress import progress

    with progress(name, total) as bar:
        yield bar.step


def _curves(arguments: argparse.Namespace, selection: Selection, scores: Scores) -> None:
    """Each generator's curve: powers of two are printed, every n is written."""
    from simfarm.report.curve import curve_part, write_curve
    from simfarm.report.tables import print_part

    curves = selection.curve(scores)
    shown = [row for rows in curves for row in rows if row["n"] & (row["n"] - 1) == 0 or row["n"] == rows[-1]["n"]]
    if not shown:
        return
    limits = arguments.level or 0.95
    print_part(curve_part(shown, limits), aside=not arguments.output)
    if arguments.curve:
        write_curve(arguments.curve, [row for rows in curves for row in rows], limits)
        say(f"wrote {arguments.curve}")
