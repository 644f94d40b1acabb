"""The verbs that say how far judges and simulated people can be trusted, as functions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from simfarm.api.calls import nearest_named, tell, warn
from simfarm.data.sources import Sources, listed, opened
from simfarm.settings import check, refuse_empty

if TYPE_CHECKING:
    from simfarm.agreement.card import ReportCard
    from simfarm.agreement.measures import Fidelity
    from simfarm.report.calibrated import CalibratedCrowd

__all__ = ["calibrate", "fidelity", "report_card"]


@nearest_named
def report_card(
    inputs: Sources,
    *,
    human: Sources | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    compat: str | None = None,
    own: Mapping[str, str] | None = None,
    epsilon: float = 0.1,
    jury: str | None = None,
    signed: bool = False,
    columns: Mapping[str, str] | None = None,
) -> ReportCard:
    """How far can a judge be trusted? The report card of one judge or several, as `simfarm agreement` prints it.

    `inputs` are annotations, `human` people's labels of some of the comparisons, each files or tables of any kind.
    The value has `table` (one row a rater, beside people and `longest`; NAME, NAME_low and NAME_high of each figure,
    rates in percent), `judges` (rows whose `figures` are estimates by name, and `why` where there is none), `advice`,
    `pairs`, `slices`, `travel`, `sets` and `to_json()`. `compat="alpaca-eval"` takes AlpacaEval's definitions, `own`
    says which generator a judge is itself, `epsilon` how much worse than a person a judge may be that replaces one.
    `jury` is `majority`, `mean`, `weighted` (fitted on the labels, cross-fitted; negative weights only if `signed`) or
    a panel's file: the judges together as one more, and in the value's `jury` how it did beside its best member. Raises
    `InputError` for bad input.
    """
    from simfarm.report.agreement import card_of
    from simfarm.report.jury import jury_named

    refuse_empty({"compat": compat})
    check({"level": level, "compat": compat, "epsilon": epsilon})
    together = jury_named(jury, signed=signed)
    how: dict[str, Any] = {"level": level, "compat": compat, "own": own, "epsilon": epsilon, "mix_judges": mix_judges}
    labels: list[Any] = [] if human is None else listed(human)
    with opened(inputs, *labels, columns=columns) as (sources, people):
        card = card_of(sources, people, **how, jury=together)
    for note in card.notes:
        tell(note)
    for warning in () if card.jury is None else card.jury.warnings:
        warn(warning)
    return card


@nearest_named
def fidelity(
    inputs: Sources,
    human: Sources,
    *,
    annotations: Sources | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Fidelity:
    """Can simulated people be told from real ones? As `simfarm fidelity` prints it.

    `inputs` are labels of a simulated crowd, `human` people's labels of the same comparisons, two or more of each,
    `annotations` a judge's runs on them, each files or tables of any kind. The value has `table` (one row a measure:
    people, crowd and difference with limits, p, verdict; percent), `get(NAME)`, `passes`, `told_apart` (measures),
    `why` (what could not be estimated) and `to_json()`. Raises `InputError` for bad input.
    """
    from simfarm.report.fidelity import fidelity_of

    check({"level": level})
    people: list[Any] = listed(human)
    runs: list[Any] = [] if annotations is None else listed(annotations)
    with opened(inputs, *people, *runs, columns=columns, strict=False) as (simulated, others):
        n = len(people)
        found = fidelity_of(simulated, others[:n], others[n:], level=level, mix_judges=mix_judges)
    for note in found.notes:
        tell(note)
    return found


@nearest_named
def calibrate(
    population: str | os.PathLike[str],
    human: Sources,
    *,
    annotations: Sources | None = None,
    level: float = 0.95,
    mix_judges: bool = False,
    columns: Mapping[str, str] | None = None,
) -> CalibratedCrowd:
    """Fit a crowd of simulated people to real ones, as `simfarm calibrate` does.

    `population` is a population's file or name, `human` people's labels, several of each comparison, `annotations` the
    runs of its judge on the same comparisons, each files or tables of any kind. The value has `table` (one row a
    parameter: value, standard error, limits, whether it was fitted), `fidelity` (a crowd fitted to one half of the
    instructions beside people on the other), `advice`, `write(PATH)` (the population with its numbers) and `to_json()`.
    Raises `InputError` for bad input.
    """
    from simfarm.report.calibrated import calibrated_crowd, crowd_population, runs_missing

    check({"level": level})
    described = crowd_population(population)
    people: list[Any] = listed(human)
    runs: list[Any] = [] if annotations is None else listed(annotations)
    runs_missing(described, runs)
    with opened(runs, *people, columns=columns, strict=False) as (verdicts, labels):
        made = calibrated_crowd(described, labels, verdicts, level=level, mix_judges=mix_judges)
    for note in made.notes:
        tell(note)
    return made
