"""OpenAI, Azure, and every server that speaks OpenAI's chat completions, through the official SDK.

The SDK's aiohttp transport, its untyped `post` (no pydantic model per answer) and no retries of its own: the engine
retries, because only it knows the limits and the budget.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import openai

from simfarm.backends.about import About, ask_about
from simfarm.backends.answers import answer_json, bounded, message_text, token_count, token_logprobs, word
from simfarm.backends.base import CallError, Completion, Request, TransientError
from simfarm.backends.failures import (
    check_address,
    check_key,
    connection_error,
    error_fields,
    provider_words,
    status_error,
)
from simfarm.errors import InputError, ProviderError
from simfarm.masking import secrets_of

__all__ = ["OpenAIBackend", "is_reasoning_model"]

WIRE = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "effort": "reasoning_effort",
}
EXTENSIONS = {
    "repetition_penalty": "repetition_penalty",
    "chat_template": "chat_template",
    "template_args": "chat_template_kwargs",
}
"""What the servers for open models add to OpenAI's body."""
NAMES = {*WIRE, *EXTENSIONS, "max_tokens", "logprobs", "schema"}
REASONING = re.compile(r"(?:o[1-9]|gpt-[5-9]|codex)(?!.*-chat)")
NO_KEY = "no-key"
"""Sent where a compatible server needs no key: the SDK insists on one."""


def is_reasoning_model(model: str) -> bool:
    """Whether a model thinks before it answers, by its name: such a model takes `max_completion_tokens` and an effort,
    and neither temperature nor log probabilities. Others are recognised by how the server refuses (`_learn`)."""
    name = model.rpartition("/")[2].removeprefix("ft:")
    return REASONING.match(name) is not None


class OpenAIBackend:
    """Chat completions over one shared connection pool. Raises `InputError` where the key is missing."""

    name = "openai"
    in_process = False
    concurrency = 64

    def __init__(self, *, base_url: str | None = None, timeout: float = 120.0) -> None:
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        check_address(self.base_url, "--base-url" if base_url else "OPENAI_BASE_URL")
        self._refused: dict[str, set[str]] = {}
        self._logprobs_seen: set[str] = set()
        http = openai.DefaultAioHttpClient(timeout=timeout, event_hooks={"response": [bounded]})
        options: dict[str, Any] = {"timeout": timeout, "max_retries": 0, "http_client": http}
        endpoint = os.environ.get("AZURE_OPENAI_ENDPOINT")
        self.key_variable = "AZURE_OPENAI_API_KEY" if endpoint and base_url is None else "OPENAI_API_KEY"
        self._client: openai.AsyncOpenAI
        if endpoint and base_url is None:
            check_address(endpoint, "AZURE_OPENAI_ENDPOINT")
            for variable in ("AZURE_OPENAI_API_KEY", "OPENAI_API_VERSION"):
                if not os.environ.get(variable) and not (
                    variable.endswith("KEY") and os.environ.get("AZURE_OPENAI_AD_TOKEN")
                ):
                    raise InputError(
                        f"AZURE_OPENAI_ENDPOINT is set but {variable} is not: set it, or unset the endpoint"
                    )
            check_key("AZURE_OPENAI_API_KEY")
            self.base_url = endpoint
            self._client = openai.AsyncAzureOpenAI(azure_endpoint=endpoint, **options)
            return
        check_key("OPENAI_API_KEY")
        key = os.environ.get("OPENAI_API_KEY")
        if not key:
            host = urlsplit(self.base_url).hostname if self.base_url else None
            if host is None or host.endswith("openai.com"):
                raise InputError("OPENAI_API_KEY is not set: export it, or write it into a .env file here")
            key = NO_KEY
        self._client = openai.AsyncOpenAI(api_key=key, base_url=self.base_url, **options)

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses, before any call, what this model cannot do. Raises `InputError`."""
        unknown = sampling.keys() - NAMES
        if unknown:
            raise InputError(f"unknown sampling option '{min(unknown)}': openai/ takes {', '.join(sorted(NAMES))}")
        extended = EXTENSIONS.keys() & sampling.keys()
        if extended and self.base_url is None:
            raise InputError(
                f"OpenAI's own models take no {min(extended)}: leave it out, or name a server with --base-url"
            )
        if sampling.get("logprobs") and is_reasoning_model(model) and sampling.get("effort") != "none":
            raise InputError(
                f"{model} gives no log probabilities while it reasons: use a judge that reads text (pairwise-reasoned)"
                ", another model, or sampling effort: none where the model has it"
            )

    def body(self, request: Request) -> dict[str, Any]:
        """The request as it goes over the wire. Raises `InputError` as `check` does."""
        sampling, model = request.sampling, request.model
        self.check(model, sampling)
        refused = self._refused.get(model, ())
        reasoning = is_reasoning_model(model)
        body: dict[str, Any] = {"model": model, "messages": [dict(m) for m in request.messages]}
        for name, wire in WIRE.items():
            if name in sampling and wire not in refused:
                body[wire] = sampling[name]
        if reasoning and sampling.get("effort") != "none":
            for name in ("temperature", "top_p", "stop"):
                body.pop(name, None)
        body |= {wire: sampling[name] for name, wire in EXTENSIONS.items() if name in sampling}
        if "max_tokens" in sampling:
            renamed = reasoning or "max_tokens" in refused
            body["max_completion_tokens" if renamed else "max_tokens"] = sampling["max_tokens"]
        if sampling.get("logprobs"):
            body["logprobs"] = True
            body["top_logprobs"] = sampling["logprobs"]
        if "schema" in sampling and "response_format" not in refused:
            described = {"name": "verdict", "schema": sampling["schema"], "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": described}
        return body

    async def complete(self, request: Request) -> Completion:
        """One completion. A body that the model refuses for one of its parameters is adjusted and sent again at once;
        the process remembers."""
        while True:
            body = self.body(request)
            started = time.perf_counter()
            try:
                answer = await self._client.post("/chat/completions", cast_to=bytes, body=body)
            except openai.APIStatusError as error:
                if error.status_code == 400 and self._learn(request.model, body, error_fields(error.body)):
                    continue
                raise status_error(
                    error.status_code,
                    error.response.headers,
                    error.body,
                    provider=self.name,
                    key_variable=self.key_variable,
                    model=request.model,
                    messages=request.messages,
                    base_url=self.base_url,
                ) from None
            except (openai.APIConnectionError, aiohttp.ClientError) as error:
                raise connection_error(error, self.name, self.base_url) from None
            except UnicodeEncodeError:
                raise CallError("the prompt is not valid Unicode text") from None
            return self._completion(answer_json(answer, self.name), request, time.perf_counter() - started)

    def _learn(self, model: str, body: Mapping[str, Any], error: Mapping[str, str]) -> bool:
        """Whether a 400 names a parameter that can be left out or renamed, and was not refused before."""
        message = error["message"].lower()
        objection = error["code"].startswith("unsupported") or any(
            word in message for word in ("unsupported", "not support", "deprecated", "unrecognized", "not permitted")
        )
        if not objection:
            return False
        if "logprobs" in body and "logprobs" in (error["param"] or message):
            raise ProviderError(f"{model} gives no log probabilities: use a judge that reads text (pairwise-reasoned)")
        refused = self._refused.setdefault(model, set())
        for name in ("max_tokens", *WIRE.values(), "response_format"):
            if name in body and name not in refused and (error["param"] or message).find(name) >= 0:
                refused.add(name)
                return True
        return False

    def _completion(self, answer: Any, request: Request, seconds: float) -> Completion:
        try:
            choice = answer["choices"][0]
            message = dict(choice["message"])
        except (KeyError, IndexError, TypeError, ValueError):
            # an error with status 200 (some gateways) says why; a web page or a half-made answer does not
            secrets = secrets_of(self.base_url, self.key_variable)
            words = provider_words(error_fields(answer)["message"], request.messages, secrets)
            what = "is a page, not JSON" if isinstance(answer, str) else "has no choices"
            raise TransientError(f"openai: the answer {what}" + (f": {words}" if words else "")) from None
        text, finish_reason = message_text(message.get("content")), word(choice, "finish_reason")
        refusal = message_text(message.get("refusal"))
        if refusal:
            text, finish_reason = text or refusal, "refusal"
        content = token_logprobs(choice.get("logprobs"))
        if content is not None:
            self._logprobs_seen.add(request.model)
        elif (
            request.sampling.get("logprobs")
            and text
            and finish_reason in ("stop", "length")
            and request.model not in self._logprobs_seen
        ):
            raise ProviderError(
                f"{request.model} answered without log probabilities: use a judge that reads text (pairwise-reasoned)"
            )
        return Completion(
            text=text,
            logprobs=content,
            finish_reason=finish_reason,
            input_tokens=token_count(answer, "prompt_tokens"),
            output_tokens=token_count(answer, "completion_tokens"),
            model=word(answer, "model"),
            seconds=round(seconds, 4),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def about(self, model: str) -> About | None:
        """What the server says of a model, None where it says nothing."""
        errors = (openai.OpenAIError, aiohttp.ClientError)
        listed = self.base_url is not None
        return await ask_about(lambda path: self._client.get(path, cast_to=bytes), model, errors, listed=listed)
