"""Who may ask this, and why: weighted contexts of an instruction, under each of which the verdict is asked.

A question does not say what it is for, and which answer serves better may hang on it. A judge that mixes its verdicts
over proposed contexts says how much: by the share of its verdicts' variance that the context makes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simfarm.judges.parsers import last_object
from simfarm.judges.verdict import Verdict
from simfarm.text.words import plural

__all__ = ["MOST_CONTEXTS", "Context", "contexts_schema", "mixed", "read_contexts"]

MOST_CONTEXTS = 12
CONTEXTS, WHO, WHY, WEIGHT = "contexts", "who", "why", "weight"


@dataclass(frozen=True, slots=True)
class Context:
    """Who asks and why, and how likely that is among the contexts of one instruction (they sum to 1)."""

    who: str
    why: str
    weight: float

    @property
    def text(self) -> str:
        """What a template shows of it."""
        return f"{self.who}\n{self.why}" if self.why else self.who


def contexts_schema() -> dict[str, Any]:
    """The JSON schema of a reply that proposes contexts."""
    entry = {
        "type": "object",
        "properties": {WHO: {"type": "string"}, WHY: {"type": "string"}, WEIGHT: {"type": "number"}},
        "required": [WHO, WHY, WEIGHT],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": {CONTEXTS: {"type": "array", "items": entry}},
        "required": [CONTEXTS],
        "additionalProperties": False,
    }


def read_contexts(text: str, most: int) -> list[Context]:
    """The contexts that a reply proposes, the first `most` of them, each once and none of no weight. Raises
    `ValueError` where it holds fewer than two: under a single one nothing is mixed."""
    reply = last_object(text)
    entries = (reply or {}).get(CONTEXTS)
    if not isinstance(entries, list):
        raise ValueError(f"the reply holds no JSON object with a list {CONTEXTS}")
    weights: dict[tuple[str, str], float] = {}
    for context in map(_context, entries[:most]):
        if context.weight > 0:
            key = (context.who, context.why)
            weights[key] = weights.get(key, 0.0) + context.weight
    if len(weights) < 2:
        raise ValueError(f"the reply proposes {plural(len(weights), 'context')} with a weight, and two are the least")
    total = math.fsum(weights.values())
    return [Context(who, why, weight / total) for (who, why), weight in weights.items()]


def _context(entry: Any) -> Context:
    who, why, weight = (entry.get(name) if isinstance(entry, Mapping) else None for name in (WHO, WHY, WEIGHT))
    if not isinstance(who, str) or not who.strip():
        raise ValueError("a context does not say who asks")
    if isinstance(weight, bool) or not isinstance(weight, int | float) or not 0 <= weight < 1e9:
        raise ValueError("the weight of a context is no number from 0 on")
    return Context(who.strip(), why.strip() if isinstance(why, str) else "", float(weight))


def mixed(contexts: Sequence[Context], verdicts: Sequence[Verdict]) -> Verdict:
    """The verdict over contexts: the mean by weight of what was said under each, none where one has none. Half of a
    mixture is another mixture, as one order is no verdict of both."""
    for context, verdict in zip(contexts, verdicts, strict=True):
        if not verdict.found:
            return Verdict(None, f"under one of the contexts: {verdict.problem or 'no verdict'}", reason=context.who)
    weights = [context.weight for context in contexts]

    def mean(values: Sequence[float | None]) -> float | None:
        known = [value for value in values if value is not None]
        if len(known) < len(values):
            return None
        # rounding must not carry a mean of ones past one
        middle = math.fsum(w * v for w, v in zip(weights, known, strict=True))
        return min(max(middle, min(known)), max(known))

    common = set.intersection(*({*(verdict.scores or ())} for verdict in verdicts))
    scores = {name: mean([(verdict.scores or {})[name] for verdict in verdicts]) for name in sorted(common)}
    said = [f"{100 * w:.0f} % {c.who}: {_side(v)}" for w, c, v in zip(weights, contexts, verdicts, strict=True)]
    return Verdict(
        mean([verdict.p_second for verdict in verdicts]),
        reason="\n".join(said),
        scores={name: value for name, value in scores.items() if value is not None} or None,
        score=mean([verdict.score for verdict in verdicts]),
    )


def _side(verdict: Verdict) -> str:
    """What was said under one context, in a few words."""
    if verdict.score is not None:
        return f"{verdict.score:g}"
    p = verdict.p_second
    assert p is not None
    side = "a tie" if p == 0.5 else "the second shown" if p > 0.5 else "the first shown"
    return side if p in (0.0, 0.5, 1.0) else f"{side} ({max(p, 1 - p):.2f})"
