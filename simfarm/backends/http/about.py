"""What a server says of a model before it is asked anything: how long it lives, how much it takes, what it can do.

`GET /v1/models/NAME` costs nothing. OpenAI has a `shutdown_date` there, Anthropic a lifecycle and capabilities, Mistral
an end and a successor, OpenRouter an expiry and the parameters it takes, vLLM a context. A server that has none of it,
or no such address, says nothing: that is never an error of a run. Where a provider is silent about its dates, simfarm's
own table speaks.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Protocol, runtime_checkable
from urllib.parse import quote

from simfarm.backends.http.answers import answer_json, word
from simfarm.backends.http.retirements import Retirement
from simfarm.data.exchange import CallError, TransientError, read_count

__all__ = ["PROVIDER", "About", "Describing", "ask_about", "known_about", "read_about"]

SECONDS = 5.0
"""For all that is read of a model: a run waits for it."""

DATES = ("shutdown_date", "retires_at", "expiration_date", "deprecation")
"""How OpenAI, Anthropic, OpenRouter and Mistral name the end; null where none is planned. Azure's `deprecation` holds
one for each use."""

CONTEXTS = ("max_model_len", "max_input_tokens", "context_length", "max_context_length", "context_window")
"""The same of a context: vLLM, Anthropic, OpenRouter, Mistral, Groq."""

EPOCH = 10**9
"""Seconds since 1970 of a day before any model."""

NAME = re.compile(r"[\w.:/@-]{1,100}", re.ASCII)

PROVIDER = "the provider"
"""Who speaks of an end, where it is not the table."""


@dataclass(frozen=True, slots=True)
class About:
    """What is known of a model; None where nothing is. `learnt` says who speaks of its end: "the provider", or the
    table with its date; a provider that plans no end is `learnt` without a `shutdown`.

    `lifecycle` is the provider's word (active, deprecated, retired); `context` and `most_tokens` are tokens of prompt
    and reply together, and of a reply; `efforts`, `thinking` and `parameters` are what a request may name.
    """

    shutdown: date | None = None
    replacement: str | None = None
    lifecycle: str | None = None
    learnt: str | None = None
    context: int | None = None
    most_tokens: int | None = None
    efforts: tuple[str, ...] | None = None
    thinking: tuple[str, ...] | None = None
    structured_outputs: bool | None = None
    parameters: tuple[str, ...] | None = None

    def warning(self, model: str, today: date, made: str = "this board") -> str | None:
        """What a user must know of the model's end, on one line; None where none is known. `made` is what a run adds
        to."""
        if self.shutdown is None:
            return None
        heard = f"by {self.learnt}" if self.learnt and self.learnt != PROVIDER else ""
        new = f"replacement: {self.replacement}" if self.replacement else ""
        more = f" ({'; '.join(filter(None, (new, heard)))})" if new or heard else ""
        if self.shutdown <= today:
            return f"{model} was shut down on {self.shutdown}{more}: name another model with --model"
        return f"{model} is shut down on {self.shutdown}{more}: {made} cannot be continued after that"


@runtime_checkable
class Describing(Protocol):
    """A backend whose server can be asked about a model."""

    async def about(self, model: str) -> About | None: ...


def known_about(said: About | None, line: Retirement | None) -> About | None:
    """What the provider says today, filled in with what the table knows; None where neither knows anything."""
    if line is None:
        return said
    if said is not None and said.learnt is not None:
        return replace(said, replacement=said.replacement or line.replacement) if said.shutdown is not None else said
    learnt = f"simfarm's table of {line.checked}"
    return replace(said or About(), shutdown=line.shutdown, replacement=line.replacement, learnt=learnt)


async def ask_about(
    get: Callable[[str], Awaitable[bytes]], model: str, errors: tuple[type[Exception], ...], *, listed: bool
) -> About | None:
    """What `get` (of a path beside /chat/completions) gives about a model, None where it gives nothing within some
    seconds. `errors` are the client's own. With `listed` a server without an address for one model is asked for all of
    its models."""
    caught: tuple[type[Exception], ...] = (*errors, CallError, TransientError)
    try:
        async with asyncio.timeout(SECONDS):
            for path in (f"/models/{quote(model, safe='/:@')}", *(["/models"] if listed else [])):
                try:
                    about = read_about(answer_json(await get(path), "models"), model)
                except caught:
                    continue
                if about is not None:
                    return about
    except TimeoutError:
        pass
    return None


def read_about(answer: object, model: str) -> About | None:
    """An answer about one model, or the model's line in one about many; None where it says nothing of it. Read as
    suspiciously as any answer: what makes no sense is unknown."""
    fields: Any = answer
    if isinstance(answer, Mapping) and "id" not in answer:
        fields = answer.get("data")
    if isinstance(fields, list):
        fields = next((one for one in fields if isinstance(one, Mapping) and one.get("id") == model), None)
    if not isinstance(fields, Mapping):
        return None
    capable, best = _mapping(fields, "capabilities"), _mapping(fields, "top_provider")
    lifecycle = word(fields, "lifecycle") or word(fields, "lifecycle_status")
    heir = word(fields, "deprecation_replacement_model") or ""
    ends = [fields.get(name) for name in DATES] + [_mapping(fields, "deprecation").get("inference")]
    dated = lifecycle is not None or any(name in fields for name in DATES)
    about = About(
        shutdown=next((day for day in map(_date, ends) if day is not None), None),
        replacement=heir if NAME.fullmatch(heir) else None,
        lifecycle=lifecycle,
        learnt=PROVIDER if dated else None,
        context=_first(fields.get(name) for name in CONTEXTS),
        most_tokens=_first((fields.get("max_tokens"), best.get("max_completion_tokens"))),
        efforts=_supported(_mapping(capable, "effort")),
        thinking=_supported(_mapping(_mapping(capable, "thinking"), "types")),
        structured_outputs=_flag(_mapping(capable, "structured_outputs")),
        parameters=_words(fields.get("supported_parameters")),
    )
    return None if about == About() else about


def _date(value: object) -> date | None:
    """A day, as a date, a time or seconds since 1970 tell it."""
    try:
        if isinstance(value, str):
            return datetime.fromisoformat(value).date()
        # a flag is an int, and a small number counts something else
        return datetime.fromtimestamp(value, UTC).date() if isinstance(value, int) and value > EPOCH else None
    except (ValueError, OverflowError, OSError):
        return None


def _mapping(fields: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = fields.get(name)
    return value if isinstance(value, Mapping) else {}


def _first(values: Any) -> int | None:
    """The first that can be a number of tokens."""
    return next((count for count in map(read_count, values) if count), None)


def _flag(capability: Mapping[str, Any]) -> bool | None:
    value = capability.get("supported")
    return value if isinstance(value, bool) else None


def _supported(levels: Mapping[str, Any]) -> tuple[str, ...] | None:
    """The names that are said to be supported, None where nothing is said of any."""
    said = {name: _flag(level) for name, level in levels.items() if isinstance(level, Mapping)}
    return tuple(str(name) for name, flag in said.items() if flag) if said else None


def _words(value: object) -> tuple[str, ...] | None:
    return tuple(one for one in value if isinstance(one, str)) if isinstance(value, list) else None
