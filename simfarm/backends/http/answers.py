"""Reading an answer's JSON: servers that speak a provider's wire format differ in its corners, and none may end a run.

What is absent, of another type or no such number is unknown (None, ""); log probabilities that cannot be read are told
from none at all (() and None), so that an answer that was paid for is kept, and a half-read verdict is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from simfarm.data.exchange import (
    CallError,
    TokenLogprob,
    TransientError,
    read_cost,
    read_count,
    read_logprob,
    read_places,
    read_usage,
    whole_text,
)

__all__ = [
    "answer_json",
    "bounded",
    "decision_usage",
    "message_text",
    "says_it_thought",
    "shown_thoughts",
    "token_logprobs",
    "usage_fields",
    "word",
]

MOST_BYTES = 2**26
"""An answer's size; a long one with log probabilities has a few millions."""

XAI_TICKS = 10**10
"""xAI's unit of money: so many are a US dollar."""

PLACE = ("token", "logprob", "top")

TEXT_PARTS = (None, "text", "output_text")
"""Types of a content part that are the reply itself; others hold what the model thought or called."""


def message_text(content: object) -> str:
    """A message's content as text: as it is, or the text parts of a list of parts (what the model thought is not among
    them); "" for anything else, such as the null beside a `reasoning_content` that used up the token limit."""
    if isinstance(content, list):
        parts = [p.get("text") if p.get("type") in TEXT_PARTS else "" for p in content if isinstance(p, Mapping)]
        return whole_text("".join(text for text in parts if isinstance(text, str)))
    return whole_text(content) if isinstance(content, str) else ""


def word(answer: Mapping[str, Any], name: str) -> str | None:
    """A field that is one text (a model's name, a reason), None where it is anything else."""
    value = answer.get(name)
    return whole_text(value) if isinstance(value, str) else None


def usage_fields(answer: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer's `usage` says of its tokens and its cost, in the fields of `Completion`, None for what makes no
    sense. Servers name the same shares differently, and count them inside or beside the whole."""
    usage = answer.get("usage")
    if not isinstance(usage, Mapping):
        return {}
    read = _openai_usage(usage) if "prompt_tokens" in usage else _anthropic_usage(usage)
    return read_usage(read | {"cost": _stated_cost(usage)})


def decision_usage(answer: Mapping[str, Any]) -> dict[str, Any]:
    """The same of a decision: OpenAI and System One count in words of their own, every share inside its whole; SGLang
    counts as for chat completions."""
    usage = answer.get("usage")
    if not isinstance(usage, Mapping) or "prompt_tokens" in usage:
        return usage_fields(answer)
    asked = _inner(usage, "input_tokens_details")
    read = {
        "input_tokens": usage.get("input_tokens"),
        "output_tokens": usage.get("output_tokens"),
        # Fireworks counts them beside the details
        "cached_tokens": _first(asked.get("cached_tokens"), usage.get("cached_input_tokens")),
        "cache_written_tokens": asked.get("cache_write_tokens"),
    }
    return read_usage(read | {"cost": _stated_cost(usage)})


def _anthropic_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """Anthropic counts what the cache read and wrote beside `input_tokens`, and thinking in `output_tokens`."""
    split = _inner(usage, "cache_creation")
    fresh, cached = read_count(usage.get("input_tokens")), read_count(usage.get("cache_read_input_tokens"))
    long = read_count(split.get("ephemeral_1h_input_tokens"))
    written = read_count(usage.get("cache_creation_input_tokens"))
    if written is None and split:
        written = (read_count(split.get("ephemeral_5m_input_tokens")) or 0) + (long or 0)
    return {
        "input_tokens": None if fresh is None else fresh + (cached or 0) + (written or 0),
        "output_tokens": usage.get("output_tokens"),
        "cached_tokens": cached,
        "cache_written_tokens": written,
        "cache_written_1h_tokens": long,
        "thinking_tokens": _inner(usage, "output_tokens_details").get("thinking_tokens"),
    }


def _openai_usage(usage: Mapping[str, Any]) -> dict[str, Any]:
    """OpenAI counts every share inside its whole. Gemini and xAI have thinking in the total and not in
    `completion_tokens`; some gateways likewise have what Claude's cache read and wrote in the total alone."""
    asked = _inner(usage, "prompt_tokens_details")
    tokens_in, tokens_out, total = (read_count(usage.get(f"{n}_tokens")) for n in ("prompt", "completion", "total"))
    cached = _first(
        asked.get("cached_tokens"),
        # DeepSeek; Moonshot; LiteLLM and Databricks
        *(usage.get(name) for name in ("prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens")),
    )
    written = _first(
        *(asked.get(name) for name in ("cache_write_tokens", "cache_creation_tokens")),
        usage.get("cache_creation_input_tokens"),
    )
    thinking = _stated_thinking(usage)
    beyond = 0 if total is None or tokens_in is None else total - tokens_in - (tokens_out or 0)
    if beyond > 0 and not thinking and beyond == (cached or 0) + (written or 0):
        tokens_in = beyond + (tokens_in or 0)
    elif beyond > 0:
        thinking = beyond if thinking is None and tokens_out is not None else thinking
        tokens_out = beyond + (tokens_out or 0)
    elif thinking is not None and tokens_out is not None and thinking > tokens_out:
        tokens_out += thinking
    return {
        "input_tokens": tokens_in,
        "output_tokens": tokens_out,
        "cached_tokens": cached,
        "cache_written_tokens": written,
        "cache_written_1h_tokens": _inner(asked, "cache_creation_token_details").get("ephemeral_1h_input_tokens"),
        "thinking_tokens": thinking,
    }


def says_it_thought(answer: Mapping[str, Any], message: Mapping[str, Any]) -> bool:
    """Whether an answer's message shows thoughts, or its usage counts some; what a total holds beside its parts may be
    anything."""
    shown = any(message.get(name) for name in ("reasoning_content", "reasoning"))
    return shown or bool(_stated_thinking(_inner(answer, "usage")))


def shown_thoughts(message: Mapping[str, Any]) -> str | None:
    """What a message shows apart of what the model thought: in a field of its own, or in parts of the content (of which
    a signed one may be empty); None where it shows nothing."""
    content = message.get("content")
    parts = [part for part in content if isinstance(part, Mapping)] if isinstance(content, list) else []
    # some servers have one text under both names
    texts = [message.get("reasoning_content") or message.get("reasoning"), *(part.get("thinking") for part in parts)]
    said = [text.strip() for text in texts if isinstance(text, str) and text.strip()]
    return whole_text("\n\n".join(said)) if said else None


def _stated_thinking(usage: Mapping[str, Any]) -> int | None:
    return _first(_inner(usage, "completion_tokens_details").get("reasoning_tokens"), usage.get("reasoning_tokens"))


def _stated_cost(usage: Mapping[str, Any]) -> float | None:
    """US dollars that xAI or OpenRouter says it charged; another server's `cost` may be in any unit."""
    ticks = usage.get("cost_in_usd_ticks")
    if isinstance(ticks, int | float):
        return read_cost(ticks / XAI_TICKS)
    if "is_byok" not in usage and "cost_details" not in usage:
        return None
    cost = read_cost(usage.get("cost"))
    if usage.get("is_byok") is not True:
        return cost
    # with the user's own key: OpenRouter's fee, beside what the key is charged
    upstream = read_cost(_inner(usage, "cost_details").get("upstream_inference_cost"))
    return None if cost is None or upstream is None else cost + upstream


def _inner(row: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = row.get(name)
    return inner if isinstance(inner, Mapping) else {}


def _first(*values: object) -> int | None:
    """The first of several that is a count."""
    return next((count for value in values if (count := read_count(value)) is not None), None)


def token_logprobs(logprobs: object) -> tuple[TokenLogprob, ...] | None:
    """The tokens of OpenAI's `choices[0].logprobs`, or of its older completions', which Together gives: three lists
    side by side. None where there are none, () where they are of another shape."""
    if isinstance(logprobs, Mapping) and logprobs.get("tokens"):
        columns = [logprobs.get(name) for name in ("tokens", "token_logprobs", "top_logprobs")]
        try:
            return read_places([dict(zip(PLACE, row, strict=True)) for row in zip(*columns, strict=True)])
        except (TypeError, ValueError):
            return ()
    content: Any = logprobs.get("content") if isinstance(logprobs, Mapping) else logprobs
    if not content:
        return None
    try:
        return read_places(
            [{"token": p["token"], "logprob": p["logprob"], "top": _top(p.get("top_logprobs"))} for p in content]
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        return ()


def _top(listed: Any) -> dict[str, Any]:
    """Token -> log probability; of two tokens that are spelled alike the likelier one counts, wherever it stands."""
    return {other["token"]: other["logprob"] for other in sorted(listed or (), key=_likely)}


def _likely(other: Mapping[str, Any]) -> float:
    return float(read_logprob(other["logprob"]))


def answer_json(body: bytes, provider: str) -> Any:
    """An answer's JSON. Raises `TransientError` for half an answer or a page, and `CallError` for what nests too deeply
    to be read: asking again would give, and cost, the same."""
    try:
        return json.loads(body, parse_int=_number)
    except RecursionError:
        raise CallError(f"{provider}: the answer's JSON nests too deeply to be read") from None
    except ValueError:
        what = "is a page, not JSON" if body.lstrip()[:1] == b"<" else "is cut off or not JSON"
        raise TransientError(f"{provider}: the answer {what}") from None


def _number(digits: str) -> float:
    """Python refuses to read a number of more than 4,300 digits; it is infinite for whatever it was meant to be."""
    return int(digits) if len(digits) < 20 else float(digits)


async def bounded(response: Any) -> None:
    """For an SDK's client, as its hook on responses: no answer fills the memory. Raises `CallError`."""
    size = response.headers.get("content-length", "")
    if size.isdecimal() and int(size[:18]) > MOST_BYTES:
        raise CallError(f"the answer is larger than {MOST_BYTES >> 20} MiB")
