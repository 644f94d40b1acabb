"""Two models compared, for people and machines: over a baseline, or where there is none on the graph of comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from simfarm.ranking import Board, Difference, Ratings, differences, rate_models, rated_differences
from simfarm.report.board import remarks
from simfarm.report.evaluation import ranked_boards
from simfarm.report.tables import Part, Sheet
from simfarm.text.words import limits, plural

if TYPE_CHECKING:
    from simfarm.data.frames import Verdicts
    from simfarm.report.ranking import RankingOptions

__all__ = ["Compared", "compared", "compared_sheet"]

_WHAT = {"bradley-terry": ("Bradley-Terry", "Elo points"), "head-to-head": ("head to head", "points above one half")}


@dataclass(frozen=True)
class Compared:
    """The `differences` of `a` and `b`, and what they come from: a board or ratings of each annotator (`sides`)."""

    a: str
    b: str
    level: float
    differences: tuple[Difference, ...]
    sides: Sequence[Board | Ratings]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values."""
        return {
            "a": self.a,
            "b": self.b,
            "level": self.level,
            "differences": [one.to_json() for one in self.differences],
            "warnings": [line for side in self.sides for line in side.warnings],
        }

    @property
    def lines(self) -> list[str]:
        """A sentence for each difference, and what stands below a board, by annotator."""
        lines = []
        for side in self.sides:
            found = [one for one in self.differences if one.annotator == side.annotator]
            own = [_sentence(one, self.level, found[0].n_instructions) for one in found]
            beside = remarks(side, counts=False) if isinstance(side, Board) else side.notes
            lines += [f"judge {side.annotator}:", *own, *beside] if own else []
        return lines


def compared(verdicts: Verdicts, baseline: str | None, options: RankingOptions, a: str, b: str) -> Compared:
    """What the verdicts say of `a` and `b`; raises `InputError` where they say nothing of one of them."""
    sides: Sequence[Board | Ratings]
    if options.by_rating(verdicts, baseline):
        sides = rate_models(verdicts, "bradley-terry", level=options.level, allow_mixed=options.mix_judges)
    else:
        sides = ranked_boards(verdicts, baseline, options)
    found = [
        one
        for side in sides
        if side.estimates
        for one in (differences(side, a, b) if isinstance(side, Board) else rated_differences(side, verdicts, a, b))
    ]
    return Compared(a, b, options.level, tuple(found), sides)


def compared_sheet(found: Compared) -> Sheet:
    """The differences as a table for people, all their columns, and plain values."""
    rows = [
        [
            *(one.annotator, one.by, one.length_control or "–", f"{one.value:+.1f}", limits(one.low, one.high)),
            *("yes" if one.real else "no", str(one.n_instructions)),
        ]
        for one in found.differences
    ]
    headings = ["annotator", "by", "length control", f"{found.a} − {found.b}", f"{100 * found.level:g} %"]
    part = Part(f"{found.a} beside {found.b}", [*headings, "real", "instructions"], rows)
    record = found.to_json()
    return Sheet([part], pd.DataFrame(record["differences"]), record, record["warnings"])


def _sentence(one: Difference, level: float, of_raw: int | None) -> str:
    """The difference in words; `of_raw` instructions stand behind the raw one of the same annotator."""
    name, unit = _WHAT.get(one.by, ("win rate", "points"))
    if one.length_control:
        name = f"length-controlled ({one.length_control})"
    interval = f"{100 * level:g} %: {limits(one.low, one.high)}"
    count = plural(one.n_instructions, "instruction")
    p = f"p = {one.p_value:.2g}" if not one.p_value < 1e-16 else "p < 1e-16"
    line = f"{name}: {one.a} − {one.b} = {one.value:+.1f} {unit} ({interval}, {p}, {count})"
    if one.by == "bradley-terry":
        line += (
            f", an expected win rate of {one.win_rate:.1f} % ({one.win_rate_low:.1f} to {one.win_rate_high:.1f}) for "
            f"{one.a} over {one.b}"
        )
    line += ": the difference is real" if one.real else ": the difference may be chance"
    most = max((n for n in (one.n_a, one.n_b) if n is not None), default=0)
    if one.length_control is None and 2 * one.n_instructions < most:
        line += f" on these, but one of the two was judged on {most}: annotate both on the same"
    if one.length_control is not None and one.n_instructions != of_raw:
        line += f", on all {count}; the raw one is of the {of_raw} that both answered"
    return line
