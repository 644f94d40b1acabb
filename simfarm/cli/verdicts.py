"""Verdicts for `evaluate` where its inputs are outputs: a judge is asked, once it is known that they can be ranked."""

from __future__ import annotations

import argparse
from contextlib import closing
from typing import TYPE_CHECKING, Any

from simfarm.cli.judging import allow_no_key, open_run, report_summary, streamed
from simfarm.data.frames import Verdicts, read_verdicts, row_columns
from simfarm.data.inputs import comparisons_for
from simfarm.data.scores import Scores, scores_from_rows
from simfarm.errors import BudgetError, InputError
from simfarm.ranking import inspection
from simfarm.report.rehearsal import rehearse
from simfarm.report.terminal import answer, say
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.judging import alone_in, takes_all, takes_joint

if TYPE_CHECKING:
    from collections.abc import Sequence

    from simfarm.data.records import Comparison
    from simfarm.report.ranking import RankingOptions
    from simfarm.runs.judging import JudgingRun

__all__ = ["asked_verdicts", "print_estimate"]


def print_estimate(arguments: argparse.Namespace, options: RankingOptions, labels: Verdicts | None) -> int:
    """Print what asking would cost at most; asks nothing, and so needs no key. Gives the exit status."""
    allow_no_key()
    run, pairs = _rehearsed(arguments, options, labels)
    answer(run.estimate(pairs))
    return 0


def asked_verdicts(
    arguments: argparse.Namespace, options: RankingOptions, labels: Verdicts | None
) -> tuple[Verdicts | Scores, int, dict[str, Any]]:
    """(verdicts on the output files, or the scores of a judge that rates, the exit status so far, what is known of the
    model that was asked). Raises `InputError` for what could not be ranked before the judge is asked, `BudgetError`
    where no verdict was allowed."""
    run, pairs = _rehearsed(arguments, options, labels)
    verdicts: Verdicts | Scores | None
    with closing(streamed(run, pairs)) as annotations:
        rows = (annotation.row() for annotation in annotations)
        if alone_in(run) is not None:
            verdicts = scores_from_rows([("the new scores", rows)], **options.of_scores)
        else:
            looked = inspection(options.control, options.criteria is not None)
            verdicts = read_verdicts([("the new annotations", row_columns(rows, looked))], looked)
    status = report_summary(run)
    if run.tallies.stopped and not run.tallies.status["verdict"]:
        raise BudgetError("there is no verdict to rank yet; raise --budget and run the same command again")
    if verdicts is None:
        raise InputError("there is nothing to judge; name output files with rows")
    return verdicts, status, {run.model: run.life()} if isinstance(run, AnnotationRun) and run.backend else {}


def _rehearsed(
    arguments: argparse.Namespace, options: RankingOptions, labels: Verdicts | None
) -> tuple[JudgingRun, Sequence[Comparison]]:
    """The run that the options describe and the comparisons it is to judge; their verdicts can be ranked."""
    run = open_run(arguments)
    given = {"allow_missing": arguments.allow_missing, "limit": arguments.limit, "note": say}
    alone = alone_in(run)
    given |= {"alone": alone, "whole": takes_all(run), "joint": takes_joint(run)}
    pairs = comparisons_for(arguments.inputs, options.baseline if alone is None else None, **given)
    rehearse(options, run, pairs, labels)
    return run, pairs
