"""The paired difference of two models on one board, raw and at equal length: numbers for machines, one value each."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from simfarm.errors import InputError
from simfarm.ranking.board import Board, paired_difference

__all__ = ["Difference", "differences"]


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


def differences(board: Board, a: str, b: str) -> list[Difference]:
    """The difference raw, then under each length control that has both models. Raises `InputError` for one model, or
    one that is not on the board."""
    if a == b:
        raise InputError(f"{a!r} is compared with itself; name two models")
    found = []
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
        found.append(Difference(board.annotator, control, a, b, value, low, high, p, count, real))
    return found
