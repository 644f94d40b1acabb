"""How likely a text is to a server's model: `POST /completions` that repeats what it reads (`echo`), token by token.

That endpoint takes a text as it is, so that the chat is framed here, by the template in the request's sampling. The
text's own tokens are found from the end: the shortest run of them that spells it. A token that begins in the prompt is
one of them too, for the server cuts prompt and text in one.
"""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import openai

from simfarm.backends.http.answers import answer_json, usage_fields, word
from simfarm.backends.http.complaints import error_fields
from simfarm.backends.http.failures import Asker, answer_error, connection_error, status_error, words_of
from simfarm.backends.local.chat_template import render_chat
from simfarm.data.exchange import CallError, Likelihood, Request, TransientError, read_logprob
from simfarm.errors import InputError, ProviderError

__all__ = ["check_server", "server_likelihood"]

ANOTHER = "name a model in this process (embedded, a GGUF file, transformers/PATH, vllm/PATH)"


def check_server(base_url: str | None, sampling: Mapping[str, Any]) -> None:
    """Refuses, before any call, a provider that tells no likelihoods, and a chat that nothing frames. Raises
    `InputError`."""
    host = urlsplit(base_url).hostname if base_url else None
    if host is None or host.endswith("openai.com") or host.endswith("azure.com"):
        raise InputError(
            f"OpenAI tells no likelihood of a text that it is given: {ANOTHER}, or a server that does by --base-url"
        )
    if not sampling.get("chat_template"):
        raise InputError(
            "a server's completions take a text as it is: put the model's chat template into the judge's file "
            "(sampling: {chat_template: …})"
        )


async def server_likelihood(client: openai.AsyncOpenAI, asker: Asker, request: Request) -> Likelihood:
    """How likely a request's last message is. Raises as `Backend.complete`; `ProviderError` for a server that does not
    repeat what it reads, or not with log probabilities: it does so for no text."""
    *chat, answer = request.messages
    text = answer["content"]
    if not text:
        raise CallError("the text is empty: it has no likelihood")
    arguments = request.sampling.get("template_args") or {}
    prompt = render_chat(request.sampling["chat_template"], chat, tokens={}, arguments=arguments)
    body = {"model": request.model, "prompt": prompt + text, "echo": True, "logprobs": 1}
    body |= {"max_tokens": 1, "temperature": 0} | dict(request.sampling.get("extra") or {})
    started = time.perf_counter()
    try:
        raw = await client.post("/completions", cast_to=bytes, body=body)
    except openai.APIStatusError as error:
        raise status_error(error.status_code, error.response.headers, error.body, asker, request) from None
    except (openai.APIConnectionError, aiohttp.ClientError) as error:
        raise connection_error(error, asker.name, asker.base_url) from None
    except UnicodeEncodeError:
        raise CallError("the text is not valid Unicode") from None
    read = answer_json(raw, asker.name)
    failed = answer_error(read, asker, request)
    if failed is not None:
        raise failed
    try:
        choice = dict(read["choices"][0])
    except (KeyError, IndexError, TypeError, ValueError):
        words = words_of(error_fields(read), asker, request)
        raise TransientError(f"{asker.name}: the answer has no choices" + (f": {words}" if words else "")) from None
    nats, tokens = _told(choice, prompt + text, text, request.model)
    usage = usage_fields(read) | {"output_tokens": 0, "thinking_tokens": None}
    return Likelihood(nats, tokens, model=word(read, "model"), seconds=round(time.perf_counter() - started, 4), **usage)


def _told(choice: Mapping[str, Any], whole: str, text: str, model: str) -> tuple[float, int]:
    """(the log probability of a text, its tokens), of the tokens of what was read and of what was written after it."""
    said, told = choice.get("text"), choice.get("logprobs")
    if not isinstance(said, str) or not said.startswith(whole) or not isinstance(told, Mapping):
        raise ProviderError(f"{model} does not repeat what it reads with log probabilities (echo): {ANOTHER}")
    tokens: Any = told.get("tokens")
    nats: Any = told.get("token_logprobs")
    same = isinstance(tokens, list) and isinstance(nats, list) and len(tokens) == len(nats)
    if not same or not all(isinstance(token, str) for token in tokens):
        raise ProviderError(f"{model} repeats what it reads without log probabilities: {ANOTHER}")
    end = len(tokens)
    written = len(said) - len(whole)
    while written > 0 and end:
        end -= 1
        written -= len(tokens[end])
    start, spelt = end, ""
    while len(spelt) < len(text) and start:
        start -= 1
        spelt = tokens[start] + spelt
    if written or not spelt.endswith(text):
        raise CallError("the server's tokens do not spell the text, so that its own cannot be told from the prompt's")
    try:
        return math.fsum(read_logprob(value) for value in nats[start:end]), end - start
    except ValueError:
        raise CallError("the server gives no log probability of one of the text's tokens") from None
