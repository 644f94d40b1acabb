"""The difference of two models, paired on one board, or where there is no baseline on the graph of comparisons.

On a board raw and at equal length, else by Bradley-Terry and head to head: numbers for machines, one value each.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy.special import expit

from simfarm.data.frames import Verdicts
from simfarm.errors import InputError
from simfarm.ranking.board import Board
from simfarm.ranking.ratings import Ratings
from simfarm.ranking.table import plain
from simfarm.ranking.units import averaged
from simfarm.statistics.bradley_terry import ELO_SCALE
from simfarm.statistics.estimate import Estimate, mean_estimate
from simfarm.text.words import plural

__all__ = ["Difference", "differences", "paired_difference", "rated_differences"]


@dataclass(frozen=True)
class Difference:
    """`value` is how much more `a` wins than `b`, with its interval and p.

    `by` is `win-rate` (over a baseline, in points; `length_control` is None for the raw rate), `bradley-terry` (Elo
    points) or `head-to-head` (points above one half, where the two met). The latter two have the win rate of `a` over
    `b` too, in percent, which Bradley-Terry expects. `n_instructions` stand behind it, `n_a` and `n_b` behind
    either side.
    """

    annotator: str
    length_control: str | None
    a: str
    b: str
    value: float
    low: float
    high: float
    p_value: float
    n_instructions: int
    real: bool
    by: str = "win-rate"
    win_rate: float | None = None
    win_rate_low: float | None = None
    win_rate_high: float | None = None
    n_a: int | None = None
    n_b: int | None = None

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {name: plain(value) for name, value in asdict(self).items()}


def paired_difference(board: Board, a: str, b: str, *, length_control: str | None = None) -> Estimate:
    """How much more `a` wins than `b` on the same instructions, as a fraction, with `interval` and `p_value`.

    On raw win rates, or on the named length control. The baseline stands at one half against itself, exactly,
    whether or not it met itself.
    """
    known = dict(board.estimates if length_control is None else board.lc_estimates.get(length_control, {}))
    for name, other in ((a, b), (b, a)):
        if name == board.baseline and other in known:
            clusters = known[other].clusters
            known[name] = Estimate(0.5, np.zeros(len(clusters)), clusters, bounds=(0.5, 0.5))
    for name in (a, b):
        if name not in known:
            names = ", ".join(sorted({*known, board.baseline}))
            raise InputError(f"no estimate of {name!r} on this board; it has {names}")
    left, right = known[a], known[b]
    shared = np.intersect1d(left.clusters, right.clusters)
    if len(shared) < 2:
        raise InputError(
            f"{a} and {b} share {plural(len(shared), 'instruction')}; a paired difference needs at least two"
        )
    # a model that won or lost everything keeps its raw rate at equal length: a plain mean there too
    if left.bounds is None or right.bounds is None:
        return left - right
    return left.on(shared) - right.on(shared)


def differences(board: Board, a: str, b: str) -> list[Difference]:
    """The difference raw, then under each length control that has both models. Raises `InputError` for one model, or
    one that is not on the board."""
    _require_two(a, b)
    gaps = []
    for control in (None, *board.lc_estimates):
        if control is not None and not {a, b} <= {*board.lc_estimates[control], board.baseline}:
            continue
        estimate = paired_difference(board, a, b, length_control=control)
        sides = [board.estimates[m].n_clusters if m in board.estimates else None for m in (a, b)]
        gaps.append(_difference(estimate, board, control, (a, b), n_a=sides[0], n_b=sides[1]))
    return gaps


def rated_differences(ratings: Ratings, verdicts: Verdicts, a: str, b: str) -> list[Difference]:
    """The difference by Bradley-Terry `ratings` on the whole graph, then head to head where `a` and `b` met on two
    instructions or more. Raises `InputError` for one model, or one without a rating."""
    _require_two(a, b)
    for name in (a, b):
        if name not in ratings.estimates:
            raise InputError(f"no verdict about {name!r}; there are {', '.join(sorted(ratings.estimates))}")
    gap = ratings.estimates[a] - ratings.estimates[b]
    expected = [100 * float(expit(x / ELO_SCALE)) for x in (gap.value, *gap.interval(ratings.level))]
    found = [_difference(gap, ratings, None, (a, b), scale=1.0, by="bradley-terry", rates=expected)]
    head, p, _ = averaged(verdicts.of(ratings.annotator).table)
    first = (head["generator_1"] == a).to_numpy() & (head["generator_2"] == b).to_numpy()
    second = (head["generator_1"] == b).to_numpy() & (head["generator_2"] == a).to_numpy()
    met = (first | second) & ~np.isnan(p)
    won = np.where(first, 1 - p, p)[met]
    above = mean_estimate(won - 0.5, head["cluster"].to_numpy()[met], (-0.5, 0.5))
    if above.n_clusters > 1:
        rates = [50 + 100 * x for x in (above.value, *above.interval(ratings.level))]
        found.append(_difference(above, ratings, None, (a, b), by="head-to-head", rates=rates))
    return found


def _require_two(a: str, b: str) -> None:
    if a == b:
        raise InputError(f"{a!r} is compared with itself; name two models")


def _difference(
    estimate: Estimate,
    whose: Board | Ratings,
    control: str | None,
    names: tuple[str, str],
    *,
    scale: float = 100.0,
    by: str = "win-rate",
    rates: Sequence[float] = (),
    n_a: int | None = None,
    n_b: int | None = None,
) -> Difference:
    """The `estimate` of `names`' difference under one annotator's board or ratings, times `scale`; `rates` are the win
    rate of the first over the second and its limits, in percent, where there is one."""
    low, high = (scale * bound for bound in estimate.interval(whose.level))
    rate, rate_low, rate_high = rates or (None, None, None)
    return Difference(
        annotator=whose.annotator,
        length_control=control,
        a=names[0],
        b=names[1],
        value=scale * estimate.value,
        low=low,
        high=high,
        p_value=estimate.p_value(),
        n_instructions=estimate.n_clusters,
        real=low * high > 0,
        by=by,
        win_rate=rate,
        win_rate_low=rate_low,
        win_rate_high=rate_high,
        n_a=n_a,
        n_b=n_b,
    )
