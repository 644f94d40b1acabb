"""The three records that flow through the farm: outputs, comparisons, annotations.

Frozen dataclasses, validated once when a file is read (`outputs_from_rows`, `comparisons_from_rows`) and trusted
afterwards. Columns simfarm does not know travel in `extra`, untouched, to the annotation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Annotation", "Comparison", "Output"]

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Output:
    """One model's answer to one instruction. `messages` is set where the instruction is a chat."""

    instruction: str
    output: str
    generator: str
    instruction_id: str | int | None = None
    dataset: str | None = None
    sample: int = 0
    messages: tuple[Mapping[str, Any], ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Comparison:
    """Two outputs to one instruction."""

    instruction: str
    output_1: str
    output_2: str
    generator_1: str | None = None
    generator_2: str | None = None
    instruction_id: str | int | None = None
    dataset: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Annotation:
    """One call's result. `preference` is the file's number (1.0 output_1, 2.0 output_2, 1.5 tie, None no verdict);
    `status` is verdict, unparseable or error; `order` is "12" (output_1 shown first) or "21", None without a call."""

    comparison: Comparison
    annotator: str
    preference: float | None
    status: str
    order: str | None = None
    repeat: int = 0
    strength: int | None = None
    scores: Mapping[str, float] | None = None
    reason: str | None = None
    raw_completion: Any = None
    error: str | None = None
    judge_hash: str | None = None
    model: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    price: float | None = None
    seconds: float | None = None
