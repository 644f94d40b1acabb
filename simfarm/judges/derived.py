"""Criteria that are derived for each instruction: of a few answers to it, compared once, what tells good from bad.

A judge that compares N answers to an instruction in pairs asks N² questions; one that rates each by itself has nothing
to hold them to. Between the two: a stage of a judge that rates sees some of the answers together (`auxiliary`) and says
by what such answers differ in worth; every answer is then rated by these criteria, N + 1 questions. What the stage asks
is the same for all answers to an instruction, and is asked and paid for once.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import nsmallest
from typing import Any

from simfarm.data.cells import stable_digest
from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges.parsers import last_object

__all__ = [
    "COLUMN",
    "COMPARED",
    "FEWEST",
    "MOST_AUXILIARY",
    "auxiliary_of",
    "check_derived",
    "compared",
    "derived_schema",
    "instruction_key",
    "listed",
    "read_derived",
]

COMPARED = "compared"
"""What a template that derives criteria shows."""

COLUMN = "auxiliary"
"""A column of the input: the texts that are compared, where they are not to be drawn from what is rated."""

MOST_AUXILIARY, FEWEST = 8, 2
MOST_CRITERIA = 20
CRITERIA = "criteria"

Key = tuple[str, str | None]


def auxiliary_of(where: str, item: Mapping[str, Any]) -> int:
    """How many answers a stage of a judge's file compares to derive criteria, 0 for one that derives none. Raises
    `InputError`."""
    if "auxiliary" not in item:
        return 0
    count: Any = item["auxiliary"]
    if isinstance(count, bool) or not isinstance(count, int) or not FEWEST <= count <= MOST_AUXILIARY:
        raise InputError(
            f"{where}.auxiliary: must be a whole number from {FEWEST} to {MOST_AUXILIARY}, how many answers to an "
            f"instruction are compared, not {count!r}"
        )
    if other := [key for key in ("rounds", "contexts") if key in item]:
        raise InputError(f"{where}: criteria are derived once; remove {other[0]}")
    return count


def check_derived(where: str, deriving: Sequence[str], protocol: str) -> None:
    """Refuse stages that derive criteria for nobody, by their names. Raises `InputError`."""
    if deriving and protocol != "rating":
        raise InputError(f"{where}: {deriving[0]} derives criteria to rate by; name protocol: rating, or no auxiliary")
    if len(deriving) > 1:
        raise InputError(f"{where}: {deriving[0]} and {deriving[1]} both derive criteria; keep one")


def derived_schema() -> dict[str, Any]:
    """The JSON schema of a reply that derives criteria."""
    return {
        "type": "object",
        "properties": {CRITERIA: {"type": "array", "items": {"type": "string"}}},
        "required": [CRITERIA],
        "additionalProperties": False,
    }


def read_derived(text: str) -> list[str]:
    """The criteria that a reply derives. Raises `ValueError` where it holds none, or more than anyone goes by."""
    found = (last_object(text) or {}).get(CRITERIA)
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"the reply holds no JSON object with a list {CRITERIA} of texts")
    # a small model may give the form back as it was shown: "…" is no criterion
    criteria = [" ".join(one.split()) for one in found if any(character.isalpha() for character in one)]
    if not criteria:
        raise ValueError("the reply derives no criterion")
    if len(criteria) > MOST_CRITERIA:
        raise ValueError(f"the reply derives {len(criteria)} criteria, and {MOST_CRITERIA} are the most")
    return criteria


def listed(text: str) -> str:
    """What later templates show of such a reply, a line each; of any other text itself."""
    try:
        return "\n".join(f"{number}. {one}" for number, one in enumerate(read_derived(text), 1))
    except ValueError:
        return text


def instruction_key(record: Comparison) -> Key:
    """Of which records the criteria are the same."""
    return record.instruction.strip(), record.dataset


@dataclass(slots=True)
class _Asked:
    """What is known of one instruction: how many answers there are, the first of them by their digests, and the texts
    that the file itself names."""

    count: int = 0
    drawn: dict[str, bytes] = field(default_factory=dict)
    named: tuple[str, ...] = ()


def compared(records: Iterable[Comparison], count: int) -> dict[Key, tuple[str, ...]]:
    """The texts that are compared for each instruction (`instruction_key`): those of the column `auxiliary`, else
    `count` of the answers to it, drawn by a digest of their texts. So they are the same in every run and whatever the
    order of the rows, no model is favoured by its name, and a model that joins later changes them only where it is
    drawn. Raises `InputError` for an instruction with one answer and no such column."""
    known: dict[Key, _Asked] = {}
    for record in records:
        _gather(known.setdefault(instruction_key(record), _Asked()), record, count)
    for (instruction, _), asked in known.items():
        if asked.count < FEWEST and not asked.named:
            raise InputError(
                f"the instruction {instruction[:40]!r} has one answer, and criteria are derived from {FEWEST} or more: "
                f"add outputs of other models, or a column {COLUMN!r} with a list of texts"
            )
    return {key: asked.named or tuple(asked.drawn) for key, asked in known.items()}


def _gather(asked: _Asked, record: Comparison, count: int) -> None:
    asked.count += 1
    named = _named(record)
    if named and asked.named not in ((), named):
        raise InputError(
            f"the instruction {record.instruction[:40]!r} has two different lists in the column {COLUMN!r}; give all "
            "its rows one"
        )
    asked.named = named or asked.named
    if record.output_1.strip() and record.output_1 not in asked.drawn:
        asked.drawn[record.output_1] = stable_digest(record.instruction, record.output_1)
        asked.drawn = dict(nsmallest(count, asked.drawn.items(), key=lambda item: item[1]))


def _named(record: Comparison) -> tuple[str, ...]:
    """The texts that a record's own column has, none where it has no such column."""
    value = record.extra.get(COLUMN)
    if value is None or value == "":
        return ()
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            value = None
    texts = tuple(value) if isinstance(value, list | tuple) else ()
    if not FEWEST <= len(texts) <= MOST_AUXILIARY or not all(isinstance(one, str) and one.strip() for one in texts):
        raise InputError(
            f"the instruction {record.instruction[:40]!r} has no list of {FEWEST} to {MOST_AUXILIARY} texts in the "
            f"column {COLUMN!r}; mend it or leave the column out"
        )
    return texts
