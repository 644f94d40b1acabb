"""Typed questions and the probabilities of their options: what a decision model reads and gives back.

Nothing is generated, so that nothing has to be parsed or repaired; but what comes over a wire is a claim all the same.
`Decision` keeps it as it came, and `distribution` is the one reader: probabilities that are none are no verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from simfarm.data.exchange import Metered, read_metered, whole_text

__all__ = [
    "KINDS",
    "MOST_LEVELS",
    "MOST_OPTIONS",
    "MOST_QUESTIONS",
    "SCORE",
    "Decision",
    "Option",
    "Question",
    "distribution",
]

KINDS = ("choice", "predicate", "score")

MOST_OPTIONS, MOST_LEVELS, MOST_QUESTIONS = 255, 10, 400
"""Of a choice, of a score, of a request: OpenAI's limits; other servers have lower ones and say so."""

SCORE = "score"
"""The name of the question how good one output is, and of its answer among the scores by criterion."""

YES, NO = "yes", "no"
"""The options of a predicate."""

SLACK = 0.01
"""How far a distribution's sum may lie from 1, and how much further for each option beyond two, up to `MOST_SLACK`:
providers round to two places."""

MOST_SLACK = 0.05


@dataclass(frozen=True, slots=True)
class Option:
    """One answer that a question can have: a short `value`, and what it stands for where that says more."""

    value: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Question:
    """A question about a request's messages. `kind` is choice (one of the `options`), predicate (is what the
    `instructions` state true? no options) or score (the `options` are levels, the lowest first). `name` is its key in a
    decision."""

    name: str
    kind: str
    instructions: str
    options: tuple[Option, ...] = ()

    @property
    def values(self) -> tuple[str, ...]:
        """The options by their values, in order; those of a predicate are yes and no."""
        return (YES, NO) if self.kind == "predicate" else tuple(option.value for option in self.options)

    def to_json(self) -> list[Any]:
        """What makes it this question, as the store's key has it."""
        return [
            self.name,
            self.kind,
            self.instructions,
            [[option.value, option.description] for option in self.options],
        ]


@dataclass(frozen=True, slots=True)
class Decision(Metered):
    """What came back: for each question that was answered, option -> probability, as it came (None where that is no
    finite number). A question that was `refused` has no answer; one that is in neither was not answered."""

    answers: Mapping[str, Mapping[str, float | None]]
    refused: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As JSON values: what the store keeps and an annotation's `raw_completion` shows."""
        row: dict[str, Any] = {"answers": {name: dict(chances) for name, chances in self.answers.items()}}
        if self.refused:
            row["refused"] = list(self.refused)
        return row | self.metered()

    @classmethod
    def from_json(cls, row: object) -> Decision:
        """The decision that `to_json` wrote, or one that a provider's reader put in that form. Raises `ValueError`
        where there are no answers."""
        if not isinstance(row, Mapping) or not isinstance(row.get("answers"), Mapping):
            raise ValueError("no answers")
        answers = {
            whole_text(name): {whole_text(value): _number(chance) for value, chance in chances.items()}
            for name, chances in row["answers"].items()
            if isinstance(chances, Mapping) and isinstance(name, str) and all(isinstance(v, str) for v in chances)
        }
        refused = row.get("refused")
        names = refused if isinstance(refused, Iterable) and not isinstance(refused, str) else ()
        return cls(answers, tuple(name for name in names if isinstance(name, str)), **read_metered(row))


def _number(value: object) -> float | None:
    """A number as it came, None for what is no finite one."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def distribution(question: Question, decision: Decision) -> dict[str, float]:
    """Option -> probability, which sum to 1, in the order of the question's options; an option that the answer leaves
    out has what the others leave, which must be none. Raises `ValueError`, in a few words, where the decision has no
    such distribution: a refusal, no answer, another option, what is no probability or sums to something else."""
    if question.name in decision.refused:
        raise ValueError("refused")
    chances = decision.answers.get(question.name)
    if chances is None:
        raise ValueError("the question was not answered")
    values = question.values
    if unknown := chances.keys() - set(values):
        raise ValueError(f"the answer has an option that was not asked for ({min(unknown)[:40]})")
    known = {value: chances.get(value, 0.0) for value in values}
    read: dict[str, float] = {}
    for value, chance in known.items():
        if chance is None:
            raise ValueError(f"the probability of {value[:40]} is no number")
        if not -SLACK <= chance <= 1 + SLACK:
            raise ValueError(f"the probability of {value[:40]} is not from 0 to 1")
        read[value] = min(1.0, max(0.0, chance))
    total = math.fsum(read.values())
    if abs(total - 1) > min(MOST_SLACK, SLACK * (len(values) - 1)) + 1e-9:
        raise ValueError(f"the probabilities sum to {total:.3g}")
    return {value: chance / total for value, chance in read.items()}
