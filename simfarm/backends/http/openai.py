"""OpenAI, Azure, and every server that speaks OpenAI's chat completions or decisions, through the official SDK.

The SDK's aiohttp transport, its untyped `post` (no pydantic model per answer) and no retries of its own: the engine
retries, because only it knows the limits and the budget.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import openai

from simfarm.backends.http.about import About, ask_about
from simfarm.backends.http.answers import (
    answer_json,
    bounded,
    message_text,
    says_it_thought,
    shown_thoughts,
    token_logprobs,
    usage_fields,
    word,
)
from simfarm.backends.http.deciding import Deciding
from simfarm.backends.http.decisions import BREAKPOINT, check_limits, openai_body, read_openai
from simfarm.backends.http.dialect import EXTENSIONS, READS_TEXT, Dialect
from simfarm.backends.http.failures import (
    answer_error,
    check_address,
    check_key,
    connection_error,
    error_fields,
    status_error,
    words_of,
)
from simfarm.backends.http.likelihoods import check_server, server_likelihood
from simfarm.data.decision import Decision, Question
from simfarm.data.exchange import CallError, Completion, Likelihood, Request, Starved, TransientError
from simfarm.errors import InputError, ProviderError

__all__ = ["OpenAIBackend"]

CUT = {"model_length": "length", "max_tokens": "length"}
"""Other servers' words for an answer that was cut off: Mistral's for the context's end, some gateways' for Claude's."""

NO_KEY = "no-key"
"""Sent where a compatible server needs no key: the SDK insists on one."""


class OpenAIBackend:
    """Chat completions over one shared connection pool. Raises `InputError` where the key is missing."""

    name = "openai"
    in_process = False
    concurrency = 64

    def __init__(self, *, base_url: str | None = None, timeout: float = 120.0) -> None:
        self.base_url = base_url or os.environ.get("OPENAI_BASE_URL") or None
        check_address(self.base_url, "--base-url" if base_url else "OPENAI_BASE_URL")
        self._logprobs_seen: set[str] = set()
        self._schema_seen: set[str] = set()
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
            self._dialect = Dialect(endpoint)
            self._client = openai.AsyncAzureOpenAI(azure_endpoint=endpoint, **options)
            self._deciding = self._decisions()
            return
        self._dialect = Dialect(self.base_url)
        check_key("OPENAI_API_KEY")
        key = os.environ.get("OPENAI_API_KEY")
        if not key:
            host = urlsplit(self.base_url).hostname if self.base_url else None
            if host is None or host.endswith("openai.com"):
                raise InputError("OPENAI_API_KEY is not set: export it, or write it into a .env file here")
            key = NO_KEY
        self._client = openai.AsyncOpenAI(api_key=key, base_url=self.base_url, **options)
        self._deciding = self._decisions()

    def _decisions(self) -> Deciding:
        """How this server is asked for decisions: OpenAI's own marks where its cache ends, others may not know that."""
        host = self._dialect.host
        spared = () if host is None or host.endswith("openai.com") else (BREAKPOINT,)
        return Deciding(self._client, self, "/decisions", body=_decision_body, read=read_openai, spared=spared)

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses, before any call, what this model cannot do. Raises `InputError`."""
        self._dialect.check(model, sampling)

    def most_tokens(self, request: Request) -> int | None:
        """The most tokens that the answer may have, thinking among them."""
        return self._dialect.most_tokens(request)

    def check_questions(self, model: str, questions: Sequence[Question]) -> None:
        """Refuses, before any call, more than any server takes. Raises `InputError`."""
        check_limits(questions)

    async def decide(self, request: Request) -> Decision:
        """The answers to a request's questions (`POST /decisions`)."""
        self._dialect.check(request.model, request.sampling)
        return await self._deciding.decide(request)

    def check_likelihoods(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses, before any call, what tells no likelihoods. Raises `InputError`."""
        check_server(self.base_url, sampling)

    async def likelihood(self, request: Request) -> Likelihood:
        """How likely a request's last message is to this server's model (`POST /completions`)."""
        return await server_likelihood(self._client, self, request)

    async def complete(self, request: Request) -> Completion:
        """One completion. A body that the model refuses for one of its parameters is adjusted and sent again at once.
        `Starved` is for a limit that was used up by thinking; the process remembers both."""
        while True:
            body = self._dialect.body(request)
            started = time.perf_counter()
            try:
                answer = await self._client.post("/chat/completions", cast_to=bytes, body=body)
            except openai.APIStatusError as error:
                fields = error_fields(error.body)
                words = words_of(fields, self, request)
                if error.status_code in (400, 422) and self._dialect.learns(request, body, fields, words):
                    continue
                raise status_error(error.status_code, error.response.headers, error.body, self, request) from None
            except (openai.APIConnectionError, aiohttp.ClientError) as error:
                raise connection_error(error, self.name, self.base_url) from None
            except UnicodeEncodeError:
                raise CallError("the prompt is not valid Unicode text") from None
            completion, thought = self._read(answer_json(answer, self.name), request, time.perf_counter() - started)
            if self._dialect.starved(request, body, completion.text, thought, completion.finish_reason == "length"):
                raise Starved(completion)
            self._doubt(request, body, completion, thought)
            return completion

    def _read(self, answer: Any, request: Request, seconds: float) -> tuple[Completion, bool]:
        """An answer as a completion, and whether it shows that the model thought."""
        error = answer_error(answer, self, request)
        if error is not None:
            raise error
        try:
            choice = answer["choices"][0]
            message = dict(choice["message"])
        except (KeyError, IndexError, TypeError, ValueError):
            # an error with status 200 (some gateways) says why; a web page or a half-made answer does not
            words = words_of(error_fields(answer), self, request)
            what = "is a page, not JSON" if isinstance(answer, str) else "has no choices"
            raise TransientError(f"openai: the answer {what}" + (f": {words}" if words else "")) from None
        text, said = message_text(message.get("content")), word(choice, "finish_reason")
        finish_reason = CUT.get(said or "", said)
        refusal = message_text(message.get("refusal"))
        if refusal:
            text, finish_reason = text or refusal, "refusal"
        completion = Completion(
            text=text,
            logprobs=token_logprobs(choice.get("logprobs")),
            finish_reason=finish_reason,
            thinking=shown_thoughts(message),
            model=word(answer, "model"),
            seconds=round(seconds, 4),
            **usage_fields(answer),
        )
        return completion, says_it_thought(answer, message)

    def _doubt(self, request: Request, body: Mapping[str, Any], completion: Completion, thought: bool) -> None:
        """Ends a run whose first answer shows that no verdict can be read from this model, and tells once what a server
        ignores without a word. Raises `ProviderError`."""
        model, whole = request.model, completion.finish_reason not in ("refusal", "content_filter")
        if request.sampling.get("logprobs"):
            if thought and model not in self._logprobs_seen:
                raise ProviderError(f"{model} thinks first, so that its first token is no verdict: {READS_TEXT}")
            if completion.logprobs is not None:
                self._logprobs_seen.add(model)
            elif completion.text and whole and model not in self._logprobs_seen:
                raise ProviderError(f"{model} answered without log probabilities: {READS_TEXT}")
        if "response_format" in body and whole and model not in self._schema_seen:
            self._schema_seen.add(model)
            if completion.finish_reason != "length" and not completion.text.lstrip().startswith(("{", "[")):
                logging.getLogger("simfarm").warning(
                    "%s was not held to the JSON schema it was asked for: replies that are none have no verdict", model
                )

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def about(self, model: str) -> About | None:
        """What the server says of a model, None where it says nothing."""
        errors = (openai.OpenAIError, aiohttp.ClientError)
        listed = self.base_url is not None
        return await ask_about(lambda path: self._client.get(path, cast_to=bytes), model, errors, listed=listed)


def _decision_body(request: Request, without: Collection[str]) -> dict[str, Any]:
    framing = {wire: request.sampling[name] for name, wire in EXTENSIONS.items() if name in request.sampling}
    return openai_body(request, without) | framing | dict(request.sampling.get("extra", {}))
