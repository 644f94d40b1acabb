"""The paired difference of two models on one board, raw and at equal length: numbers for machines, one value each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from simfarm.errors import InputError
from simfarm.ranking.board import Board
from simfarm.statistics.estimate import Estimate
from simfarm.text.words import plural

__all__ = ["Difference", "differences", "paired_difference"]


@dataclass(frozen=True)
class Difference:
    """`value` is how much more `a` wins than `b`, in points (percent), with its interval and p.

    `length_control` is None for the raw win rate. Where every instruction says the same there is no spread to go by:
    the p is the sign test's, and the interval is missing (None).
    """

    annotator: str
    length_control: str | None
    a: str
    b: str
    value: float
    low: float | None
    high: float | None
    p_value: float
    n_instructions: int
    real: bool

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return asdict(self)


def paired_difference(board: Board, a: str, b: str, *, length_control: str | None = None) -> Estimate:
    """How much more `a` wins than `b` on the same instructions, as a fraction, with `interval` and `p_value`.

    On raw win rates, or on the named length control. The baseline stands at one half against itself, exactly.
    """
    known = dict(board.estimates if length_control is None else board.lc_estimates.get(length_control, {}))
    for name, other in ((a, b), (b, a)):
        if name == board.baseline and other in known:
            clusters = known[other].clusters
            known.setdefault(name, Estimate(0.5, np.zeros(len(clusters)), clusters, bounds=(0.5, 0.5)))
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
    if length_control is not None:
        return left - right
    return left.on(shared) - right.on(shared)


def differences(board: Board, a: str, b: str) -> list[Difference]:
    """The difference raw, then under each length control that has both models. Raises `InputError` for one model, or
    one that is not on the board."""
    if a == b:
        raise InputError(f"{a!r} is compared with itself; name two models")
    gaps = []
    for control in (None, *board.lc_estimates):
        if control is not None and not {a, b} <= {*board.lc_estimates[control], board.baseline}:
            continue
        estimate = paired_difference(board, a, b, length_control=control)
        low: float | None
        high: float | None
        low, high = (100 * bound for bound in estimate.interval(board.level))
        p, real = estimate.p_value(), low * high > 0
        if estimate.standard_error == 0 and estimate.value:
            p = 2 * 0.5**estimate.n_clusters
            low, high, real = None, None, p < 1 - board.level
        value, count = 100 * estimate.value, estimate.n_clusters
        gaps.append(Difference(board.annotator, control, a, b, value, low, high, p, count, real))
    return gaps
