"""From options to a running session, with a progress bar and a summary on stderr: shared by annotate and evaluate."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Generator, Sequence
from contextlib import closing

from simfarm.cli.options import judge_options, run_options
from simfarm.cli.progress import progress
from simfarm.data.inputs import comparisons_for
from simfarm.data.records import Annotation, Comparison
from simfarm.judges.rules import banner
from simfarm.report.terminal import answer, say
from simfarm.runs.annotation import AnnotationRun

__all__ = [
    "allow_no_key",
    "dry_run",
    "introduce",
    "open_run",
    "open_session",
    "report_summary",
    "streamed",
]


def open_session(arguments: argparse.Namespace) -> AnnotationRun:
    """The session that the options describe."""
    return AnnotationRun.open(judge_options(arguments), run_options(arguments))


def open_run(arguments: argparse.Namespace) -> tuple[AnnotationRun, Sequence[Comparison]]:
    """The session that the options describe, and the comparisons it is to judge."""
    session = open_session(arguments)
    pairs = comparisons_for(
        arguments.inputs,
        arguments.baseline,
        allow_missing=arguments.allow_missing,
        limit=arguments.limit,
        note=say,
    )
    return session, pairs


def allow_no_key() -> None:
    """For a run that asks nothing: the SDKs want a key even then."""
    for key in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        os.environ.setdefault(key, "none-this-is-a-dry-run")


def dry_run(
    arguments: argparse.Namespace, check: Callable[[AnnotationRun, Sequence[Comparison]], None] | None = None
) -> int:
    """Print what a run would ask and cost at most; asks nothing, and so needs no key. `check` may refuse what would be
    refused later."""
    allow_no_key()
    session, pairs = open_run(arguments)
    if check is not None:
        check(session, pairs)
    answer(session.estimate(pairs))
    return 0


def introduce(session: AnnotationRun) -> None:
    """Say what a judge that is a rule is for."""
    if session.judge.rule is not None:
        say(banner(session.judge.rule))


def streamed(session: AnnotationRun, pairs: Sequence[Comparison]) -> Generator[Annotation]:
    """The session's annotations, with a progress bar where stderr is a terminal. Close it when done."""
    for note in session.notes(pairs):
        say(note)
    total = session.count_calls(pairs)
    with progress(session.judge.name, total) as bar, closing(session.annotations(pairs)) as made:
        session.tell = bar.tell
        for annotation in made:
            yield annotation
            bar.step(session.cost_so_far())


def report_summary(session: AnnotationRun) -> int:
    """Say what happened on stderr; gives the exit status (0, 3 stopped by budget, 4 verdicts missing)."""
    for line in session.closing_lines():
        say(line)
    if session.summary.stopped:
        return 3
    return 4 if session.summary.missing else 0
