"""Whether all outputs to an instruction fit the model that is to order them, before anything is asked.

A prompt that is too long is refused call by call, which costs nothing but leaves exactly the instructions with long
answers without a verdict: a board of the others. Where the context's length is known, the longest prompt decides.
"""

from __future__ import annotations

from collections.abc import Iterable

from simfarm.data.exchange import Message
from simfarm.engine.runner import Engine
from simfarm.errors import InputError
from simfarm.runs.asking import Call, request_for
from simfarm.text.words import plural

__all__ = ["check_room"]

BYTES = 6
"""UTF-8 bytes of a token, on the high side: a prompt that is too long even so is too long."""


async def check_room(calls: Iterable[Call], engine: Engine) -> None:
    """Raise `InputError` where the longest prompt of `calls` is longer than the model's context, as far as its server,
    or its own file, tells that. Nothing is looked up where the answer to it is in the store."""
    longest: Call | None = None
    size = 0
    for call in calls:
        if call.order is None or call.place or call.repeat:
            continue
        own = len(call.comparison.instruction) + sum(map(len, _texts(call)))
        if own > size:
            longest, size = call, own
    if longest is None:
        return
    request = request_for(longest)
    if engine.cached(request) is not None:
        return
    await engine.lifetime.read(request.model)
    about = engine.lifetime.about
    if about is None or about.context is None:
        return
    tokens = await _tokens(engine, request.messages)
    if tokens >= about.context:
        shown = plural(len(_texts(longest)), "output")
        raise InputError(
            f"the {shown} to {longest.comparison.instruction[:40]!r} are a prompt of {tokens:,} tokens or more, and "
            f"{request.model} holds {about.context:,}: name fewer files, another model, or a judge that compares two"
        )


def _texts(call: Call) -> set[str]:
    """The outputs that a call's prompt shows."""
    pairs = [pair for pair, _ in call.mates] or [call.comparison]
    return {text for pair in pairs for text in (pair.output_1, pair.output_2)}


async def _tokens(engine: Engine, messages: Iterable[Message]) -> int:
    """Tokens that messages have at least: counted, where the model runs in this process."""
    texts = [message["content"] for message in messages]
    count = getattr(engine.backend, "count_tokens", None)
    if count is not None and engine.backend.in_process:
        return sum([await count(text) for text in texts])
    return sum(len(text.encode("utf-8", "surrogatepass")) for text in texts) // BYTES
