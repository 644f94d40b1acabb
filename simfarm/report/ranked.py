"""One annotator's board with everything that was asked for beside it: one value, read by whatever shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from simfarm.ranking import Board, Calibrated, ControlledWinRates
from simfarm.report.published import place_among
from simfarm.statistics.calibration import ALARM
from simfarm.text.words import named

if TYPE_CHECKING:
    from simfarm.report.tables import Part

__all__ = ["RankedBoard", "placed"]


@dataclass(frozen=True)
class RankedBoard:
    """`style` has the win rates at equal style, `people` those that people would give (by model), `place` the table of
    the models among a published board's; each is missing or empty where it was not asked for or could not be had, and
    then the board's warnings say why."""

    board: Board
    style: ControlledWinRates | None = None
    people: Mapping[str, Calibrated] = field(default_factory=dict)
    place: Part | None = None

    @property
    def annotator(self) -> str:
        """Under which name the verdicts are recorded."""
        return self.board.annotator

    @property
    def doubts(self) -> list[str]:
        """What the rates that people would give are warned of, which is no fault of the board's."""
        by_check: dict[str, list[tuple[float, str]]] = {}
        for model, one in self.people.items():
            for check, p in one.sampling.items():
                if p < ALARM:
                    by_check.setdefault(check, []).append((p, model))
        if not by_check:
            return []
        told = (f"{c} (p = {min(found)[0]:.1g}; {named([m for _, m in found])})" for c, found in by_check.items())
        return [
            f"the labels do not look like a random sample of what {self.annotator} judged: {', '.join(told)}; if they "
            "are not one, the rates that people would give are biased: label comparisons drawn at random"
        ]

    def warned(self, line: str) -> RankedBoard:
        """The same with one more warning of the board."""
        return replace(self, board=replace(self.board, warnings=(*self.board.warnings, line)))


def placed(ranked: RankedBoard, published: str | None) -> RankedBoard:
    """The same with the place of its models among the `published` board's, if one is named and there are any."""
    if published is None or not ranked.board.estimates:
        return ranked
    return replace(ranked, place=place_among(ranked.board, published))
