"""How many tokens a request can take at most, before it is asked: what budgets and rates set aside for it."""

from __future__ import annotations

from dataclasses import replace

from simfarm.data.exchange import Request

__all__ = ["estimate_tokens", "most_output", "system_tokens"]

UNBOUNDED_TOKENS = 4096
"""Output tokens reserved for a request that names no `max_tokens`."""


def estimate_tokens(request: Request) -> int:
    """Input tokens of a request, on the high side: a third of its UTF-8 bytes and a few for the frame of each message,
    question and option."""
    texts = [message["content"] for message in request.messages]
    for question in request.questions:
        texts += [f"{question.name} {question.instructions}"]
        texts += [f"{option.value} {option.description}" for option in question.options]
    return sum(len(text.encode("utf-8", "surrogatepass")) // 3 + 8 for text in texts) + 8


def system_tokens(request: Request) -> int:
    """Those of its system messages alone, which a provider may be asked to keep."""
    return estimate_tokens(replace(request, messages=tuple(m for m in request.messages if m["role"] == "system")))


def most_output(request: Request, limit: int | None) -> int:
    """Output tokens of a request with this limit; a decision and a likelihood have none."""
    return 0 if request.questions or "log_likelihood" in request.sampling else limit or UNBOUNDED_TOKENS
