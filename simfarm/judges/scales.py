"""The keys of a judge's file that only a judge that rates has: its scale, and how a score is read.

As in `fields`, each function takes a raw value and gives a valid one, or an InputError with the remedy.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from simfarm.errors import InputError
from simfarm.judges import fields
from simfarm.judges.parsers import VerdictSpec

__all__ = ["MOST_SCORES", "PARSERS", "rating_verdict", "scale"]

PARSERS = {
    "label": ("parser", "delimiters"),
    "json": ("parser", "score", "reason"),
    "criteria": ("parser",),
    "token_logprobs": ("parser",),
    "decision": ("parser", "question", "descriptions"),
}
"""The parsers of judges that rate, with their keys."""

MOST_SCORES = 100
"""Places on a scale: a label each."""


def scale(where: str, value: Any) -> dict[str, float]:
    """The scale of a judge that rates: [1, 5] for whole numbers, or a number for each label."""
    if isinstance(value, list):
        whole = all(isinstance(end, int) and not isinstance(end, bool) for end in value)
        if not (whole and len(value) == 2 and 0 < value[1] - value[0] < MOST_SCORES):
            raise InputError(
                f"{where}: must be the lowest and the highest of two to {MOST_SCORES} whole numbers, such as [1, 5], "
                f"not {value!r}"
            )
        return {str(number): float(number) for number in range(value[0], value[1] + 1)}
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be [1, 5], for example, or map labels to numbers, not {value!r}")
    numbers: dict[str, float] = {}
    for raw, number in value.items():
        label = str(raw)
        if isinstance(raw, bool) or not isinstance(raw, str | int) or not label.strip() or label != label.strip():
            raise InputError(f"{where}: {raw!r} is no label; put a text without blanks around it in quotes")
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise InputError(f"{where}.{label}: must be a number, not {number!r}")
        if label in numbers:
            raise InputError(f"{where}: the label {label!r} is given twice; labels must be distinct")
        numbers[label] = float(number)
    if len({*numbers.values()}) < 2 or len(numbers) > MOST_SCORES:
        raise InputError(f"{where}: has one value or over {MOST_SCORES} labels; give two or more different numbers")
    return numbers


def rating_verdict(where: str, value: Any, numbers: Mapping[str, float]) -> VerdictSpec:
    """How the reply of a judge that rates is read: parser and what it needs; the labels are those of its scale."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping with parser, not {value!r}")
    if "labels" in value:
        raise InputError(f"{where}.labels: a judge that rates takes its labels from scale; leave them out")
    parser = fields.choice(f"{where}.parser", value.get("parser"), PARSERS)
    fields.known_keys(where, value, PARSERS[parser])
    labels = {label: label for label in numbers}
    if parser == "label":
        return VerdictSpec(parser, labels, delimiters=fields.around(where, value), scale=numbers)
    if parser == "json":
        winner = fields.text(f"{where}.score", value.get("score", "score"))
        reason = fields.text(f"{where}.reason", value.get("reason", "reason"))
        if winner == reason:
            raise InputError(f"{where}: score and reason name the same field {winner!r}; give them two names")
        return VerdictSpec(parser, labels, winner=winner, reason=reason, scale=numbers)
    if parser == "decision":
        question = fields.text(f"{where}.question", value.get("question"))
        described = fields.descriptions(where, value, labels)
        return VerdictSpec(parser, labels, question=question, descriptions=described, scale=numbers)
    if parser == "criteria":
        return VerdictSpec(parser, labels, scale=numbers)
    if begun := next((a for a in labels for b in labels if a != b and b.startswith(a)), None):
        raise InputError(
            f"{where}: the label {begun!r} begins another one, so that their first tokens may be the same; use a scale "
            "of one digit or of letters, or the parser label"
        )
    return VerdictSpec(parser, labels, scale=numbers)
