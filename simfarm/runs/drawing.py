"""From what a judge's runs say to the labels of a calibrated crowd's people: chances, and draws that a rerun repeats.

Nothing here is kept: the store holds what the judge said, and the same answers serve another crowd, other numbers and
the judge by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from simfarm.data.records import Annotation, Comparison
from simfarm.errors import InputError
from simfarm.judges.draws import comparison_key, normal, uniform
from simfarm.judges.population import Crowd, Population
from simfarm.statistics.crowd import (
    CrowdParameters,
    crowd_logit,
    crowd_mean,
    crowd_shares,
    crowd_votes,
    unanimity,
)

__all__ = ["Drawn", "draw", "missing", "parameters_of", "shares"]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A person's label: `preference` as a file has it, and the chance of output_2 (a tie half) it was drawn with."""

    preference: float
    p: float


def parameters_of(population: Population) -> CrowdParameters:
    """The numbers of a calibrated crowd. Raises `InputError` where some are left open."""
    crowd = population.crowd
    assert crowd is not None
    if crowd.open:
        raise InputError(
            f"{population.path}: population: {', '.join(crowd.open)} left open; fit them with simfarm calibrate "
            f"{population.path} --human FILE, or write numbers"
        )
    return _parameters(crowd)


def _parameters(crowd: Crowd) -> CrowdParameters:
    spreads = {}
    if crowd.persons is not None:
        spreads = {"length_sd": crowd.persons.length_sd or 0.0, "position_sd": crowd.persons.position_sd or 0.0}
    return CrowdParameters(
        scale=crowd.length_scale or 0.0,
        judge=crowd.judge or 0.0,
        length=crowd.length or 0.0,
        bias=crowd.bias or 0.0,
        item_sd=crowd.item_sd or 0.0,
        tie=crowd.tie or 0.0,
        **spreads,
    )


def draw(
    parameters: CrowdParameters, name: str, comparison: Comparison, runs: Sequence[float], people: Sequence[str]
) -> list[Drawn]:
    """The labels of `people` about a comparison, drawn by its hash and the population's `name`, where the judge's
    `runs` preferred output_2 so strongly (0 to 1). Nobody ("") is the mean of the whole crowd.

    What people see in a comparison beyond judge and length is drawn only where it gets several labels: one label alone
    cannot show it, and it would only make that label tell less of the judge.
    """
    key = comparison_key(comparison)
    agreed = unanimity(np.array(runs)[:, None])
    delta = np.array([float(len(comparison.output_2) - len(comparison.output_1))])
    if list(people) == [""]:
        mean = float(crowd_mean(parameters, agreed, delta)[0])
        return [Drawn(1 + mean, mean)]
    # a person's taste is theirs, whatever they are asked
    eta = crowd_logit(
        parameters,
        agreed,
        delta,
        person_length=np.array([normal("taste for length", name, person) for person in people]),
        person_position=np.array([normal("taste for a place", name, person) for person in people]),
        item=normal("what is seen in it", name, key) if len(people) > 1 else 0.0,
    )
    shares = crowd_shares(parameters, eta)
    votes = crowd_votes(parameters, eta, np.array([uniform("label", name, key, person) for person in people]))
    p = shares[:, 2] + shares[:, 1] / 2
    return [Drawn(1 + float(vote), float(one)) for vote, one in zip(votes, p, strict=True)]


def missing(runs: Sequence[Annotation]) -> tuple[str, str] | None:
    """(status, why) where a run has no verdict: a crowd is drawn around all of them or not at all."""
    lost = [run for run in runs if run.preference is None]
    if not lost:
        return None
    status = "error" if any(run.status == "error" for run in lost) else "unparseable"
    why = next(run.error for run in lost if run.status == status)
    return status, f"a run of the judge has no verdict: {why}"


def shares(runs: Sequence[Annotation], nth: int, of: int) -> dict[str, Any]:
    """The `nth` person's part of what a comparison's runs took, so that the rows of all are the whole."""
    asked = [run for run in runs if run.raw_completion is not None]
    if not asked:
        return {}
    made: dict[str, Any] = {}
    for name in ("input_tokens", "output_tokens", "price", "seconds"):
        took = [getattr(run, name) for run in asked]
        if None not in took:
            whole = sum(took)
            made[name] = whole // of + (nth < whole % of) if isinstance(whole, int) else whole / of
    return made
