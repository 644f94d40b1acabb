"""The verbs about judges themselves, as functions: which to take, what fools them, and one fitted to labels."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.api.calls import collected, followed, judging_in, nearest_named, running_in, tell, tell_all, warn
from simfarm.data.sources import Source, Sources, listed, opened
from simfarm.settings import check

if TYPE_CHECKING:
    from simfarm.agreement.choice import Choice
    from simfarm.backends.base import Backend
    from simfarm.judges import Judge
    from simfarm.methods.fitting import FittedJudge
    from simfarm.methods.probed import Probed
    from simfarm.methods.stress import Stressed
    from simfarm.methods.weighing import FittedCriteria
    from simfarm.report.told import Told

__all__ = ["compare_judges", "fit_judge", "probe_judge", "stress_judges"]


@nearest_named
def compare_judges(
    inputs: Sources,
    human: Sources,
    *,
    judges: Sequence[str] = (),
    level: float = 0.95,
    mix_judges: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Told[Choice]:
    """Which judge to take, as `simfarm judges compare` prints it.

    `inputs` are annotations of two judges or more (of these the `judges`, where they are named), `human` people's
    labels, each files or tables of any kind. The value has `table` (a row a judge), `found` (a
    `simfarm.agreement.choice.Choice`: its `card`, the `front` in agreement and price, the cheapest that is `enough`)
    and `to_json()`. Raises `InputError` for bad input.
    """
    from simfarm.report.chosen import choice_sheet, chosen
    from simfarm.report.told import Told

    check({"level": level})
    with opened(inputs, *listed(human), columns=columns) as (sources, people):
        choice = chosen(sources, people, names=judges, level=level, mix_judges=mix_judges)
    for note in choice.card.notes:
        tell(note)
    return Told(choice, choice_sheet(choice))


@nearest_named
def fit_judge(
    labels: Source,
    annotations: Sources | None = None,
    *,
    judge: str | os.PathLike[str] | None = None,
    signed: bool = False,
    level: float = 0.95,
    mix_judges: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Told[FittedJudge] | Told[FittedCriteria]:
    """A judge fitted to people's `labels`, as `simfarm judges fit` prints it: of surface signals of their texts and,
    where there are `annotations` of judges on the same pairs, of these. Where a `judge` is named it is that one, by the
    weights of its criteria, whose marks are in the annotations.

    The value has `table`, `found` (a `simfarm.methods.fitting.FittedJudge`: weights, agreement on instructions that it
    never saw beside the longer output; `found.write(PATH, level)` writes it for `judge=PATH` and refuses one that does
    not beat the longer output) and `to_json()`. Raises `InputError` for bad input.
    """
    from simfarm.report.fitted import fitted_to

    check({"level": level})
    verdicts: list[Any] = [] if annotations is None else listed(annotations)
    with opened([labels], *verdicts, columns=columns) as (sources, judged):
        told = fitted_to(sources[0], judged, judge=judge, signed=signed, level=level, mix_judges=mix_judges)
    for note in told.found.notes:
        tell(note)
    return told


@nearest_named
def probe_judge(
    judge: str | Path | Judge,
    *,
    outputs: Sources | None = None,
    twins: str | Backend | None = None,
    along: Sequence[str] = (),
    limit: int | None = None,
    level: float = 0.95,
    model: str | Backend | None = None,
    base_url: str | None = None,
    engine_args: Mapping[str, Any] | None = None,
    repeats: int = 1,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    effort: str | None = None,
    concurrency: int | None = None,
    rpm: float | None = None,
    tpm: float | None = None,
    timeout: float | None = None,
    budget: float | None = None,
    price: tuple[float, float] | None = None,
    store: str | os.PathLike[str] | None = None,
    retry_unparseable: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Told[Probed]:
    """What a judge can be fooled by, as `simfarm judges probe` prints it.

    Pairs whose right verdict is known are made of `outputs` (files or tables; by default answers that ship with
    simfarm), and of worse and better twins that the model `twins` makes of them in the respects of `along`. Everything
    is asked as by `annotate`, with its options. The value has `table` (a row a figure), `found` (a
    `simfarm.methods.probed.Probed`) and `to_json()`. Raises `InputError` for bad input and `BudgetError` where the
    budget ends among the twins.
    """
    return _probed(locals())


def _probed(given: Mapping[str, Any]) -> Told[Probed]:
    from simfarm.data.inputs import outputs_for
    from simfarm.methods.probing import Prober, bundled_outputs
    from simfarm.report.probed import probed_sheet
    from simfarm.report.told import Told

    check({"level": given["level"], "limit": given["limit"]})
    judging, running = judging_in(given), running_in(given)
    outputs = bundled_outputs(given["limit"])
    if given["outputs"] is not None:
        with opened(given["outputs"], columns=given["columns"]) as (sources, _):
            outputs = list(outputs_for(sources, given["limit"]))
    respects = (given["along"],) if isinstance(given["along"], str) else tuple(given["along"])
    prober = Prober(outputs, judging, running, followed, twins=given["twins"], respects=respects, level=given["level"])
    # in a notebook, whose event loop is running already, all of it goes to another thread
    ((found, _),) = collected(lambda: (prober.probed() for _ in range(1)))
    tell_all([*prober.notes, *prober.run.closing_lines()], bad=bool(prober.missing or prober.run.tallies.missing))
    return _warned(Told(found, probed_sheet(found)))


@nearest_named
def stress_judges(
    judges: str | Path | Sequence[str | Path],
    outputs: Sources,
    *,
    baseline: Source | None = None,
    limit: int | None = None,
    level: float = 0.95,
    model: str | Backend | None = None,
    base_url: str | None = None,
    engine_args: Mapping[str, Any] | None = None,
    order: str | None = None,
    repeats: int = 1,
    max_tokens: int | None = None,
    temperature: float | None = None,
    top_p: float | None = None,
    effort: str | None = None,
    concurrency: int | None = None,
    rpm: float | None = None,
    tpm: float | None = None,
    timeout: float | None = None,
    budget: float | None = None,
    price: tuple[float, float] | None = None,
    store: str | os.PathLike[str] | None = None,
    retry_unparseable: bool = False,
    columns: Mapping[str, str] | None = None,
) -> Told[Stressed]:
    """The price of tricks in points on the board of one judge or several, as `simfarm judges stress` prints it.

    `outputs` are one model's, and the `baseline`'s too where that is named; without one the price is over the outputs
    as they are. Everything is asked as by `annotate`, with its options. The value has `table` (a row a judge and
    trick), `found` (a `simfarm.methods.stress.Stressed`) and `to_json()`. Raises `InputError` for bad input.
    """
    return _stressed(locals())


def _stressed(given: Mapping[str, Any]) -> Told[Stressed]:
    from simfarm.methods.stress import Stress, stressed_outputs
    from simfarm.report.stressed import stressed_sheet
    from simfarm.report.told import Told

    check({"level": given["level"], "limit": given["limit"]})
    judging, running = judging_in(given), running_in(given)
    judges = [given["judges"]] if isinstance(given["judges"], str | Path) else list(given["judges"])
    with opened(given["outputs"], given["baseline"], columns=given["columns"]) as (sources, (named,)):
        outputs, baseline = stressed_outputs(sources, named, given["limit"])
    stress = Stress(judges, outputs, baseline, judging, running, followed, level=given["level"])
    (found,) = collected(lambda: (stress.stressed() for _ in range(1)))
    for run in stress.runs:
        tell_all(run.closing_lines(), bad=bool(run.tallies.missing))
    return _warned(Told(found, stressed_sheet(found)))


def _warned(told: Told[Any]) -> Told[Any]:
    for line in told.sheet.warnings:
        warn(line)
    return told
