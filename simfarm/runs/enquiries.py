"""What a model is asked where it is examined: questions whose answer shows what it can do."""

from __future__ import annotations

from collections.abc import Mapping

from simfarm.backends.base import Backend
from simfarm.backends.http.meanings import (
    BAD_KEY,
    NO_ACCESS,
    NO_DECISIONS,
    NO_DECISIONS_HERE,
    NO_ENTRY,
    NOT_THERE,
    OTHER_INTERFACE,
    RETIRED,
    UNKNOWN,
)
from simfarm.data.decision import Question
from simfarm.data.exchange import Message, Request
from simfarm.engine.prices import Tariff

__all__ = ["CLAIM", "DRAWN", "IS_TRUE", "LETTER", "MOST_CALLS", "NUMBER", "PLAIN", "SCHEMA", "STEPS", "most_cost"]

MOST_CALLS = 8
"""Of an examination."""

STEPS: Mapping[str, tuple[str, ...]] = {
    "server": (NOT_THERE.what, NO_DECISIONS_HERE.what),
    "key": ("wants a key", BAD_KEY.what, NO_ENTRY.what),
    "model": (NO_ACCESS.what, UNKNOWN.what, RETIRED.what, OTHER_INTERFACE.what, NO_DECISIONS.what),
}
"""How far a call came, by what a failure says that no other call gets past."""

SYSTEM = "Whatever you are asked, reply with the one word badger and nothing else."
PLAIN: tuple[Message, ...] = ({"role": "system", "content": SYSTEM}, {"role": "user", "content": "Who says moo?"})
LETTER: tuple[Message, ...] = (
    {
        "role": "user",
        "content": "m) badger\nM) table\n\nWhich one is an animal? Reply with its letter and nothing else.",
    },
)
NUMBER: tuple[Message, ...] = ({"role": "user", "content": "Which number is larger, the first or the second: 7 or 3?"},)
SCHEMA = {
    "type": "object",
    "properties": {"larger": {"type": "string", "enum": ["first", "second"]}},
    "required": ["larger"],
    "additionalProperties": False,
}
CLAIM: tuple[Message, ...] = ({"role": "user", "content": "7 is larger than 3."},)
IS_TRUE = Question("true", "predicate", "What the input says is true.")
DRAWN = {"temperature": 0, "seed": 7, "max_tokens": 64}
"""More than a label needs, so that nobody switches a model's thinking off for this question."""


def most_cost(backend: Backend, model: str, price: tuple[float, float] | None) -> float | None:
    """US dollars that an examination costs at most, None where the model's price is unknown."""
    if backend.in_process:
        return 0.0
    request = Request(model, PLAIN, DRAWN)
    bound = backend.most_tokens(request)
    one = None if bound is None else Tariff(backend.name, backend.base_url, price).most(model, 200, bound)
    return None if one is None else one * MOST_CALLS
