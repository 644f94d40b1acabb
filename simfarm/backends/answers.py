"""Reading an answer's JSON: servers that speak a provider's wire format differ in its corners, and none may end a run.

What is absent, of another type or no such number is unknown (None, ""); log probabilities that cannot be read are told
from none at all (() and None), so that an answer that was paid for is kept, and a half-read verdict is none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from simfarm.backends.base import (
    CallError,
    TokenLogprob,
    TransientError,
    read_count,
    read_logprob,
    read_places,
    whole_text,
)

__all__ = ["answer_json", "bounded", "message_text", "token_count", "token_logprobs", "word"]

MOST_BYTES = 2**26
"""An answer's size; a long one with log probabilities has a few millions."""

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


def token_count(answer: Mapping[str, Any], name: str) -> int | None:
    """A count of the answer's `usage`, None where the server gave none that can be one."""
    usage = answer.get("usage")
    return read_count(usage.get(name)) if isinstance(usage, Mapping) else None


def token_logprobs(logprobs: object) -> tuple[TokenLogprob, ...] | None:
    """The tokens of OpenAI's `choices[0].logprobs`: None where there are none, () where they are of another shape."""
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
