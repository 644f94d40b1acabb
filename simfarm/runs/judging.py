"""The run that a judge's name asks for: a judge's own, a population's or a panel's."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

from simfarm.judges import Judge, Panel, Population, load_judge
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.options import JudgeOptions, RunOptions

if TYPE_CHECKING:
    from simfarm.runs.panel import PanelRun
    from simfarm.runs.population import PopulationRun

__all__ = ["JudgingRun", "alone_in", "open_judging", "takes_all", "takes_joint", "takes_pairs"]

JudgingRun: TypeAlias = "AnnotationRun | PopulationRun | PanelRun"
"""Whoever judges."""


def open_judging(judging: JudgeOptions | None = None, running: RunOptions | None = None) -> JudgingRun:
    """The run of the judge, population or panel that the options name, everything checked. Raises `InputError`."""
    judging, running = judging or JudgeOptions(), running or RunOptions()
    if judging.judge is not None and not isinstance(judging.judge, Judge | Population | Panel):
        judging = replace(judging, judge=load_judge(judging.judge))
    if isinstance(judging.judge, Panel):
        # only here: it decides with NumPy
        from simfarm.runs.panel import PanelRun

        return PanelRun.open(judging, running)
    if not isinstance(judging.judge, Population):
        return AnnotationRun.open(judging, running)
    # only here: it draws with SciPy, which a judge's run need not wait for
    from simfarm.runs.population import PopulationRun

    return PopulationRun.open(judging, running)


def alone_in(run: JudgingRun) -> str | None:
    """The name of a run's judge that rates outputs one by one; None for one that compares."""
    if isinstance(run, AnnotationRun) and (run.judge.alone or run.judge.scoring is not None):
        return run.judge.name
    return None


def takes_pairs(run: JudgingRun) -> bool:
    """Whether a run's judge compares the outputs of a pair, be it by rating each."""
    return not (isinstance(run, AnnotationRun) and run.judge.alone)


def takes_joint(run: JudgingRun) -> bool:
    """Whether a run's judge is shown answers to two instructions."""
    return isinstance(run, AnnotationRun) and run.judge.protocol == "joint"


def takes_all(run: JudgingRun) -> bool:
    """Whether a run's judge orders all outputs to an instruction at once."""
    return isinstance(run, AnnotationRun) and run.judge.ranks
