"""Win rates with the known flips of their verdicts undone, and what a reader must know of them."""

from __future__ import annotations

from collections.abc import Mapping

from simfarm.errors import InputError
from simfarm.statistics.estimate import Estimate
from simfarm.statistics.flips import flip_corrected

__all__ = ["unflipped"]


def unflipped(estimates: Mapping[str, Estimate], flip: float | None) -> tuple[dict[str, Estimate], list[str]]:
    """(the rates without flips, the lines that say so); as they are where `flip` is None or 0.

    Raises `InputError` for a rate that verdicts of which a share `flip` was turned round cannot have.
    """
    if not flip:
        return dict(estimates), []
    undone = {}
    for model, estimate in estimates.items():
        try:
            undone[model] = flip_corrected(estimate, flip)
        except InputError as error:
            raise InputError(f"{model}: {error}") from error
    lines = [
        f"win rates are corrected for {100 * flip:g} % of the verdicts flipped by chance; the counts, and the share of "
        "sides, are as judged"
    ]
    beyond = [model for model, e in undone.items() if e.value < 0 or e.value > 1]
    if beyond:
        lines.append(f"{', '.join(beyond)}: corrected beyond 0 or 100, by chance; read it as that end")
    return undone, lines
