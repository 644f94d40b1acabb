"""What a backend is: one method that turns a request into a completion, awaited many at a time.

`Request` and `Completion` are plain frozen values, so that the store can hash one and keep the other, and so that a
recorded completion and a fresh one cannot be told apart by the code that reads the verdict.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

__all__ = ["Backend", "CallError", "Completion", "Judged", "Message", "Request", "TokenLogprob", "TransientError"]

Message = Mapping[str, str]
"""A chat message: `role` (system, user or assistant) and `content`."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a request is about; never sent and never hashed. Recordings are found by it."""

    instruction: str
    generator_1: str | None
    generator_2: str | None
    order: str = "12"
    repeat: int = 0
    step: int = 0


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one model. `sampling` holds provider-neutral names (temperature, max_tokens, logprobs, seed,
    effort, stop, schema); `sample` tells repeats of one question apart, `attempt` tells a later try after an
    unparseable answer from the first."""

    model: str
    messages: tuple[Message, ...]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    sample: int = 0
    attempt: int = 0
    judged: Judged | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One generated token, its log probability (nats), and the most likely tokens at its place (token -> nats)."""

    token: str
    logprob: float
    top: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Completion:
    """What came back. `model` is the name the provider returned; `finish_reason` is OpenAI's word (stop, length,
    content_filter, refusal); token counts are the provider's, None where it gave none; `seconds` is wall time."""

    text: str
    logprobs: tuple[TokenLogprob, ...] | None = None
    finish_reason: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str | None = None
    seconds: float | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values, without what is None: what the store keeps and an annotation's `raw_completion` shows."""
        row: dict[str, Any] = {"text": self.text}
        if self.logprobs is not None:
            row["logprobs"] = [{"token": t.token, "logprob": t.logprob, "top": dict(t.top)} for t in self.logprobs]
        for name in ("finish_reason", "input_tokens", "output_tokens", "model", "seconds"):
            value = getattr(self, name)
            if value is not None:
                row[name] = value
        return row

    @classmethod
    def from_json(cls, row: Mapping[str, Any]) -> Completion:
        """The completion that `to_json` wrote."""
        rest = dict(row)
        tokens = rest.pop("logprobs", None)
        return cls(logprobs=None if tokens is None else tuple(TokenLogprob(**t) for t in tokens), **rest)


class CallError(Exception):
    """This call failed and asking again will not help (400, no recording): its row is an error, the run goes on."""


class TransientError(Exception):
    """This call failed and may succeed later (408, 409, 429, 5xx, connection lost, time-out, truncated answer)."""

    def __init__(self, message: str, *, throttled: bool = False, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.throttled = throttled
        self.retry_after = retry_after


class Backend(Protocol):
    """Where completions come from. Raises `CallError`, `TransientError`, or `simfarm.errors.ProviderError`."""

    name: str
    """The provider's prefix (openai, anthropic, litellm, replay)."""

    base_url: str | None
    """Where requests go, part of the store's key; None for the provider's own address or no network."""

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuse, before any call, what this model cannot do (log probabilities …); raises `InputError`."""

    async def complete(self, request: Request) -> Completion: ...

    async def close(self) -> None: ...
