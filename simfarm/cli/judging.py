"""From options to a run that asks, with a progress bar and a summary on stderr: shared by every verb that asks."""

from __future__ import annotations

import argparse
import os
from collections.abc import Generator, Sequence
from contextlib import closing
from typing import TYPE_CHECKING

from simfarm.cli.options import judge_options, run_options
from simfarm.cli.progress import progress
from simfarm.data.records import Record
from simfarm.report.terminal import say
from simfarm.runs.judging import open_judging
from simfarm.runs.run import Result, Run
from simfarm.runs.stream import frozen

if TYPE_CHECKING:
    from simfarm.runs.judging import JudgingRun

__all__ = ["allow_no_key", "introduce", "open_run", "report_summary", "streamed"]


def open_run(arguments: argparse.Namespace) -> JudgingRun:
    """The annotation run that the options describe."""
    return open_judging(judge_options(arguments), run_options(arguments))


def allow_no_key() -> None:
    """For a run that asks nothing: the SDKs want a key even then."""
    for key in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "TYPESAFE_API_KEY"):
        os.environ.setdefault(key, "none-this-is-a-dry-run")


def introduce(run: JudgingRun) -> None:
    """Say what a judge that is a rule is for."""
    if run.introduction is not None:
        say(run.introduction)


def streamed(run: Run[Record, Result], records: Sequence[Record], told: set[str] | None = None) -> Generator[Result]:
    """The run's results, with a progress bar where stderr is a terminal. Close it when done. What was `told` of a run
    before it is not said again."""
    told = set() if told is None else told
    for line in run.notes(records):
        if line not in told:
            say(line)
        told.add(line)
    with progress(run.name, run.count(records)) as bar, frozen(), closing(run.results(records)) as results:
        run.tell = bar.tell
        for result in results:
            yield result
            bar.step(run.pace())


def report_summary(run: Run[Record, Result]) -> int:
    """Say what happened on stderr; gives the exit status (0, 3 stopped by budget, 4 results missing)."""
    for line in run.closing_lines():
        say(line)
    return run.tallies.exit_status
