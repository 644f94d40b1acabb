"""What passes between the farm and a model: messages, requests, completions, likelihoods, and why a call has none.

`Request` and `Completion` are plain frozen values, so that the store can hash one and keep the other, and so that a
recorded completion and a fresh one cannot be told apart by the code that reads the verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from simfarm.data.decision import Question

__all__ = [
    "COUNTS",
    "LEAST_LOGPROB",
    "CallError",
    "Completion",
    "Judged",
    "Likelihood",
    "Message",
    "Metered",
    "Request",
    "Starved",
    "TokenLogprob",
    "TransientError",
    "read_cost",
    "read_count",
    "read_logprob",
    "read_metered",
    "read_places",
    "read_seconds",
    "read_usage",
    "whole_text",
]

Message = Mapping[str, str]
"""A chat message: `role` (system, user or assistant) and `content`."""

MOST_TOKENS = 2**31
"""Beyond any context: a larger count is no count."""

MOST_DOLLARS = 10_000
"""What no one call costs: a larger amount is in another unit, or none."""

PARTS = {
    "input_tokens": ("cached_tokens", "cache_written_tokens"),
    "cache_written_tokens": ("cache_written_1h_tokens",),
    "output_tokens": ("thinking_tokens",),
}
"""Counts that are shares of another, in an order in which a whole is read before its parts."""

COUNTS = ("input_tokens", "output_tokens", *(part for parts in PARTS.values() for part in parts))

ROUNDING = 1e-3
"""Nats above 0 that a log probability in half precision may have by rounding; more is no log probability."""

LEAST_LOGPROB = -9999.0
"""What stands for a probability of zero, as OpenAI writes it: JSON has no infinity."""


@dataclass(frozen=True, slots=True)
class Judged:
    """What a request is about, and who judges; never sent and never hashed. Recordings are found by it."""

    instruction: str
    generator_1: str | None
    generator_2: str | None
    order: str = "12"
    repeat: int = 0
    step: int = 0
    annotator: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """One question to one model. `sampling` holds the provider-neutral names of `data.sampling.VOCABULARY`. `sample`
    tells repeats of one question apart, `attempt` tells a later try after an unparseable answer from the first. With
    `questions` it asks for a decision (`data.decision`): the messages are what all of them are about."""

    model: str
    messages: tuple[Message, ...]
    sampling: Mapping[str, Any] = field(default_factory=dict)
    sample: int = 0
    attempt: int = 0
    judged: Judged | None = field(default=None, compare=False)
    questions: tuple[Question, ...] = ()


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One generated token, its log probability (nats), and the most likely tokens at its place (token -> nats)."""

    token: str
    logprob: float
    top: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Metered:
    """What an answer took, whatever its kind. `model` is the name the provider returned; token counts are the
    provider's, None where it gave none; `seconds` is wall time; `engine` is what ran a model in this process, with its
    version.

    `input_tokens` counts all of the prompt: also what was read from the provider's cache (`cached_tokens`) and what was
    written to it (`cache_written_tokens`, of which `cache_written_1h_tokens` for an hour). `output_tokens` counts the
    thinking too (`thinking_tokens`). `cost` is in US dollars, where the provider itself says what it charged."""

    input_tokens: int | None = None
    output_tokens: int | None = None
    model: str | None = None
    seconds: float | None = None
    engine: str | None = None
    cached_tokens: int | None = None
    cache_written_tokens: int | None = None
    cache_written_1h_tokens: int | None = None
    thinking_tokens: int | None = None
    cost: float | None = None

    def metered(self) -> dict[str, Any]:
        """What it took as JSON values, without what is None."""
        values = {name: getattr(self, name) for name in (*COUNTS, "cost", "model", "seconds", "engine")}
        return {name: value for name, value in values.items() if value is not None}

    def after(self, earlier: Sequence[Metered]) -> Self:
        """The same, with what `earlier` answers took that were paid for and held nothing; None where that of one is."""
        if not earlier:
            return self
        total: dict[str, Any] = {}
        for name in (*COUNTS, "cost"):
            took = [getattr(c, name) for c in (*earlier, self)]
            # a share that is not told is none
            whole = name in ("input_tokens", "output_tokens", "cost")
            total[name] = None if took[-1] is None or (whole and None in took) else sum(v or 0 for v in took)
        return replace(self, **total)


@dataclass(frozen=True, slots=True)
class Completion(Metered):
    """A text that came back. `logprobs` are None where none were given and () where they cannot be read;
    `finish_reason` is OpenAI's word (stop, length, content_filter, refusal); `thinking` is what a server shows apart of
    what the model thought first."""

    text: str
    logprobs: tuple[TokenLogprob, ...] | None = None
    finish_reason: str | None = None
    thinking: str | None = None

    def to_json(self) -> dict[str, Any]:
        """As JSON values, without what is None: what the store keeps and an annotation's `raw_completion` shows."""
        row: dict[str, Any] = {"text": self.text}
        if self.logprobs is not None:
            row["logprobs"] = [{"token": t.token, "logprob": t.logprob, "top": dict(t.top)} for t in self.logprobs]
        if self.finish_reason is not None:
            row["finish_reason"] = self.finish_reason
        if self.thinking is not None:
            row["thinking"] = self.thinking
        return row | self.metered()

    @classmethod
    def from_json(cls, row: object) -> Completion:
        """The completion that `to_json` wrote, read as suspiciously as a provider's answer: what is beside the text and
        makes no sense is unknown. Raises `ValueError` where there is no text."""
        if not isinstance(row, Mapping) or not isinstance(row.get("text"), str):
            raise ValueError("no text")
        beside = {name: row.get(name) for name in ("finish_reason", "thinking")}
        words: dict[str, Any] = {name: whole_text(word) for name, word in beside.items() if isinstance(word, str)}
        return cls(whole_text(row["text"]), read_places(row.get("logprobs")), **words, **read_metered(row))


@dataclass(frozen=True, slots=True)
class Likelihood(Metered):
    """How likely a text is to a model after its prompt: `nats` is its log probability, a sum over its `tokens`. Nothing
    is generated: `input_tokens` are all that was read, prompt and text (where the engine does not tell, without what a
    chat template puts between messages), and there are no output tokens."""

    nats: float
    tokens: int

    @property
    def per_token(self) -> float:
        """Nats per token of the text: a sum falls with every token, so that its best of n is the shortest."""
        return self.nats / max(1, self.tokens)

    def to_json(self) -> dict[str, Any]:
        """As JSON values, what the store keeps: in the form of a completion without text whose only token has all of
        the log probability and whose output tokens are the text's, which every simfarm has written and lists as an
        answer of its model."""
        place = {"token": "", "logprob": self.nats, "top": {}}
        counts = {"input_tokens": max(0, (self.input_tokens or 0) - self.tokens), "output_tokens": self.tokens}
        return {"text": "", "logprobs": [place], **self.metered(), **counts}

    def recorded(self) -> dict[str, Any]:
        """As an annotation's `raw_completion` shows it."""
        return {"nats": self.nats, "tokens": self.tokens}

    @classmethod
    def from_json(cls, row: object) -> Likelihood:
        """The likelihood that `to_json` or `recorded` wrote. Raises `ValueError` for any other row."""
        if isinstance(row, Mapping) and "nats" in row:
            tokens = read_count(row.get("tokens"))
            if tokens is None:
                raise ValueError("no likelihood")
            return cls(read_logprob(row["nats"]), tokens, **(read_metered(row) | {"output_tokens": 0}))
        kept = Completion.from_json(row)
        if not kept.logprobs or len(kept.logprobs) > 1:
            raise ValueError("no likelihood")
        tokens = kept.output_tokens or 0
        took = {name: getattr(kept, name) for name in ("model", "seconds", "engine", "cached_tokens", "cost")}
        read = (kept.input_tokens or 0) + tokens
        return cls(kept.logprobs[0].logprob, tokens, input_tokens=read, output_tokens=0, **took)


def read_metered(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Metered` that `metered` wrote, each None for what can be none."""
    words = {name: row.get(name) for name in ("model", "engine")}
    texts: dict[str, Any] = {name: whole_text(word) for name, word in words.items() if isinstance(word, str)}
    return {"seconds": read_seconds(row.get("seconds")), **read_usage(row), **texts}


def read_count(value: object) -> int | None:
    """A number of tokens, None for what can be none: a price is made of it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_TOKENS:
        return None
    return int(value) if value == int(value) else None


def read_seconds(value: object) -> float | None:
    """A duration, None for what can be none."""
    return _amount(value, MOST_TOKENS)


def read_usage(row: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `Metered` that make its price, each None for what can be none: so is a part larger than its
    whole, such as more tokens from the cache than the prompt has."""
    read: dict[str, Any] = {name: read_count(row.get(name)) for name in COUNTS}
    for whole, parts in PARTS.items():
        if sum(read[part] or 0 for part in parts) > (read[whole] or 0):
            read |= dict.fromkeys(parts)
    return read | {"cost": read_cost(row.get("cost"))}


def read_cost(value: object) -> float | None:
    """US dollars for one call, None for what can be none."""
    return _amount(value, MOST_DOLLARS)


def _amount(value: object, most: float) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < most:
        return None
    return float(value)


def read_logprob(value: object) -> float:
    """A log probability; `ROUNDING` above 0 is 0, -inf is `LEAST_LOGPROB`. Raises `ValueError` for what can be none."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not value <= ROUNDING:
        raise ValueError("no log probability")
    return LEAST_LOGPROB if value == -math.inf else min(0.0, float(value))


def read_places(value: object) -> tuple[TokenLogprob, ...] | None:
    """Tokens with their log probabilities as `Completion.to_json` writes them: None where none were given, () where a
    single one cannot be read, since which token was how likely must not be guessed."""
    if value is None:
        return None
    try:
        return tuple(
            TokenLogprob(
                _token(place["token"]),
                read_logprob(place["logprob"]),
                {_token(token): read_logprob(logprob) for token, logprob in place["top"].items()},
            )
            for place in value  # type: ignore[attr-defined]
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()


def _token(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("no token")
    return whole_text(value)


def whole_text(text: str) -> str:
    """A text with U+FFFD for halves of surrogate pairs, which JSON can spell and no file can hold."""
    if text.isascii():
        return text
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


class CallError(Exception):
    """This call failed and asking again will not help (400, no recording): its row is an error, the run goes on.

    `own`: it lies in what the row says (a content filter), so that it tells nothing about other rows."""

    def __init__(self, message: str, *, own: bool = False) -> None:
        super().__init__(message)
        self.own = own


class TransientError(Exception):
    """This call failed and may succeed later (408, 409, 429, 5xx, connection lost, time-out, truncated answer).

    `throttled`: the provider said that it is asked too fast; `overloaded`: that it is, by all who ask; `slow`: the time
    was up, and what was worked on until then may be billed."""

    def __init__(
        self,
        message: str,
        *,
        throttled: bool = False,
        overloaded: bool = False,
        slow: bool = False,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.throttled = throttled
        self.overloaded = overloaded
        self.slow = slow
        self.retry_after = retry_after


class Starved(TransientError):
    """The answer held nothing, since the model used up its limit by thinking. It was `paid` for; the request is to be
    sent again at once, and goes out otherwise: with more room, which may cost more, or without thinking."""

    def __init__(self, paid: Completion) -> None:
        super().__init__("the model used up its limit by thinking")
        self.paid = paid
