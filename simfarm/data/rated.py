"""One output that a judge rates by itself, and the rating: records beside a comparison and its annotation.

A rated output is a comparison without its other side, so that everything that asks a judge takes it as it is; its row
has the columns of an output, and a `score` on a scale whose ends stand beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simfarm.data.records import ANNOTATION_COLUMNS, GENERATION_COLUMNS, OF_CRITERIA, Annotation, Comparison, Output

__all__ = ["RATING_COLUMNS", "Rated", "Rating", "rated"]

_OTHER_SIDE = ("output_2", "generator_2", "preference", "order", "judge_order", "strength")
_ALONE = {"output_1": "output", "generator_1": "generator"}
_SCALED = ("score", "scale_low", "scale_high")
_LEFT_OUT = {"engine", "sampling", "system", "thinking"}


@dataclass(frozen=True, slots=True)
class Rated(Comparison):
    """One output to one instruction: `output_1` by `generator_1`; there is no other side (an empty text by nobody).
    `beside` are answers to the same instruction that a judge compares to derive its criteria; they are in no file."""

    beside: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Rating(Annotation):
    """One call's result on a `Rated`. `score` is on the judge's `scale` (its ends), None where there is no verdict;
    `preference` is always None, and so are the ends of what has no scale."""

    score: float | None = None
    scale: tuple[float | None, float | None] = (0.0, 1.0)

    def row(self) -> dict[str, Any]:
        """The rating as a file's row: every column of `RATING_COLUMNS`, then the unknown ones."""
        row: dict[str, Any] = {}
        whole = Annotation.row(self)
        sample = whole.pop("sample", 0)
        for name, value in whole.items():
            if name in _OTHER_SIDE:
                continue
            row[_ALONE.get(name, name)] = value
            if name == "generator_1":
                row["sample"] = sample
            elif name == "annotator":
                row |= dict(zip(_SCALED, (self.score, *self.scale), strict=True))
        return row


RATING_COLUMNS = tuple(
    Rating(Rated("", "", "", instruction_id="", dataset="", messages=()), "", None, "").row(),
)
"""The columns of a file of ratings, in writing order."""

_RESERVED = {*ANNOTATION_COLUMNS, *GENERATION_COLUMNS, *_SCALED}


def rated(output: Output) -> Rated:
    """An output as a record to rate, with what is known of it; what it cost to make goes in as `price_1` and so on, and
    the verdict of another judge is left behind."""
    known = {name: value for name, value in output.extra.items() if name not in _LEFT_OUT}
    if "annotator" in known:
        known = {name: value for name, value in known.items() if name not in (*RATING_COLUMNS, *OF_CRITERIA)}
    extra = {f"{name}_1" if name in _RESERVED else name: value for name, value in known.items() if value is not None}
    return Rated(
        instruction=output.instruction,
        output_1=output.output,
        output_2="",
        generator_1=output.generator,
        instruction_id=output.instruction_id,
        dataset=output.dataset,
        messages=output.messages,
        extra=extra | ({"sample": output.sample} if output.sample else {}),
    )
