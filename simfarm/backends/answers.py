"""Reading an answer's JSON: servers that speak a provider's wire format differ in its corners, and none may end a run.

What is absent or of another type is unknown (None, ""); only a half-read verdict would be worse than none, so log
probabilities of an unknown shape are a failed call.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from simfarm.backends.base import TokenLogprob, TransientError

__all__ = ["message_text", "token_count", "token_logprobs"]

TEXT_PARTS = (None, "text", "output_text")
"""Types of a content part that are the reply itself; others hold what the model thought or called."""


def message_text(content: object) -> str:
    """A message's content as text: as it is, or the text parts of a list of parts (what the model thought is not among
    them); "" for anything else, such as the null beside a `reasoning_content` that used up the token limit."""
    if isinstance(content, list):
        parts = [p.get("text") if p.get("type") in TEXT_PARTS else "" for p in content if isinstance(p, Mapping)]
        return "".join(text for text in parts if isinstance(text, str))
    return content if isinstance(content, str) else ""


def token_count(answer: Mapping[str, Any], name: str) -> int | None:
    """A count of the answer's `usage`, None where the server gave none."""
    usage = answer.get("usage")
    count = usage.get(name) if isinstance(usage, Mapping) else None
    return int(count) if isinstance(count, int | float) else None


def token_logprobs(logprobs: Any) -> tuple[TokenLogprob, ...] | None:
    """The tokens of `choices[0].logprobs`, None where there are none. Raises `TransientError` for another shape than
    OpenAI's: which token was how likely must not be guessed."""
    content = logprobs.get("content") if isinstance(logprobs, Mapping) else None
    if not content:
        return None
    try:
        return tuple(
            TokenLogprob(
                str(t["token"]),
                float(t["logprob"]),
                {str(o["token"]): float(o["logprob"]) for o in t.get("top_logprobs") or ()},
            )
            for t in content
        )
    except (KeyError, TypeError, ValueError, AttributeError):
        raise TransientError("the answer's log probabilities are not in OpenAI's form") from None
