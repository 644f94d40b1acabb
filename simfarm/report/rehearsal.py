"""A ranking of made-up verdicts: whatever will be refused is refused before the judge is paid."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from typing import TYPE_CHECKING

from simfarm.data.rated import Rating
from simfarm.data.scores import scores_from_rows
from simfarm.errors import InputError
from simfarm.judges.marks import marks_expected
from simfarm.report.evaluation import evaluate, evaluate_scores
from simfarm.report.kept import join_kept
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.judging import alone_in
from simfarm.runs.options import JudgeOptions
from simfarm.settings import spelled

if TYPE_CHECKING:
    from simfarm.data.frames import Verdicts
    from simfarm.data.records import Comparison
    from simfarm.judges import Judge
    from simfarm.report.ranking import RankingOptions
    from simfarm.runs.judging import JudgingRun

__all__ = ["rehearse"]


def rehearse(options: RankingOptions, run: JudgingRun, pairs: Sequence[Comparison], labels: Verdicts | None) -> None:
    """Evaluate made-up verdicts and throw the result away; raises `InputError` for what cannot be ranked, or does not
    belong on the kept board. The length control that needs nothing but the verdicts, and the most time, is left out."""
    if not run.asks:
        return
    options = _without_criteria(options, run)
    if alone_in(run) is not None and isinstance(run, AnnotationRun):
        _rehearse_scores(options, run, pairs, labels)
        return
    verdicts = _made_up(run, pairs, options.control)
    if options.by_rating(verdicts, None):
        evaluate(verdicts, None, options)
        return
    quick = replace(
        options, length_control=tuple(name for name in options.controls(verdicts) if name != "joint") or ("none",)
    )
    boards = evaluate(verdicts, None, replace(quick, rank="win-rate", board=None), labels).boards
    if options.add_to is not None:
        join_kept(options.add_to, verdicts, boards)


def _marks(judge: Judge) -> bool:
    """Whether a judge gives scores by criterion, or says how sure it is of the one score that it gives."""
    return marks_expected(judge) > 0 or (judge.alone and bool(judge.questions))


def _without_criteria(options: RankingOptions, run: JudgingRun) -> RankingOptions:
    """The options without a board by criterion, which made-up verdicts have nothing for; raises `InputError` for one of
    a judge that gives none."""
    judge = run.judge if isinstance(run, AnnotationRun) else None
    if options.criteria is not None and judge is not None and not _marks(judge):
        example = "rating-decision" if judge.alone else "examples/judges/rubric"
        raise InputError(
            f"the judge {run.name} gives no scores by criterion; leave {spelled('criteria')} out or name one that "
            f"has, such as {example}"
        )
    return replace(options, criteria=None)


def _rehearse_scores(
    options: RankingOptions, run: AnnotationRun, records: Sequence[Comparison], labels: Verdicts | None
) -> None:
    """The same of a judge that rates single outputs."""
    judge = run.judge
    ends = judge.ends if judge.scoring is None else (0.0, 1.0)
    made_up = (
        Rating(record, judge.name, None, "verdict", judge_hash=judge.hash, score=ends[k % 2], scale=judge.ends)
        for k, record in enumerate(records)
    )
    scores = scores_from_rows([("the outputs", (rating.row() for rating in made_up))], **options.of_scores)
    evaluate_scores(scores, options, labels)


def _made_up(run: JudgingRun, pairs: Sequence[Comparison], control: str | None) -> Verdicts:
    """The verdicts that a run will give, as the judge `random` makes them up."""
    from simfarm.data.frames import read_verdicts, row_columns
    from simfarm.ranking import inspection

    with closing(AnnotationRun.open(JudgeOptions("random", order=run.order)).results(pairs)) as made_up:
        rows = (annotation.row() for annotation in made_up)
        looked = inspection(control)
        verdicts = read_verdicts([("the comparisons", row_columns(rows, looked))], looked)
    if verdicts is None:
        raise InputError("there is nothing to judge; name output files with rows")
    return verdicts.by(run.name, run.judge_hash)
