"""Anthropic's messages, through the official SDK (aiohttp transport, no retries of its own, untyped answers).

Claude gives no log probabilities and takes no seed. Families after 4.6 refuse a temperature; a name this module does
not know is asked with it once, and the refusal remembered.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anthropic

from simfarm.backends.about import About, ask_about
from simfarm.backends.answers import answer_json, bounded, message_text, token_count, word
from simfarm.backends.base import CallError, Completion, Request, TransientError
from simfarm.backends.failures import check_address, check_key, connection_error, error_fields, status_error
from simfarm.errors import InputError

__all__ = ["DEFAULT_MAX_TOKENS", "AnthropicBackend"]

DEFAULT_MAX_TOKENS = 4096
"""Anthropic requires a limit; this one stands in where a judge names none."""

NAMES = {"temperature", "top_p", "max_tokens", "seed", "stop", "effort", "schema"}
FINISH = {"max_tokens": "length", "model_context_window_exceeded": "length", "refusal": "refusal"}


class AnthropicBackend:
    """Messages over one shared connection pool. Raises `InputError` where the key is missing."""

    name = "anthropic"
    in_process = False
    concurrency = 64
    key_variable = "ANTHROPIC_API_KEY"

    def __init__(self, *, base_url: str | None = None, timeout: float = 120.0) -> None:
        self.base_url = base_url or os.environ.get("ANTHROPIC_BASE_URL") or None
        check_address(self.base_url, "--base-url" if base_url else "ANTHROPIC_BASE_URL")
        self._refused: dict[str, set[str]] = {}
        check_key("ANTHROPIC_API_KEY")
        key = os.environ.get("ANTHROPIC_API_KEY")
        if not key:
            host = urlsplit(self.base_url).hostname if self.base_url else None
            if host is None or host.endswith("anthropic.com"):
                raise InputError("ANTHROPIC_API_KEY is not set: export it, or write it into a .env file here")
            key = "no-key"
        self._client = anthropic.AsyncAnthropic(
            api_key=key,
            base_url=self.base_url,
            timeout=timeout,
            max_retries=0,
            http_client=anthropic.DefaultAioHttpClient(timeout=timeout, event_hooks={"response": [bounded]}),
        )

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses, before any call, what no Claude can do. Raises `InputError`."""
        if sampling.get("logprobs"):
            raise InputError(
                f"{model} gives no log probabilities: use a judge that reads text, such as pairwise-reasoned"
            )
        unknown = sampling.keys() - NAMES - {"logprobs"}
        if unknown:
            raise InputError(f"unknown sampling option '{min(unknown)}': anthropic/ takes {', '.join(sorted(NAMES))}")

    def body(self, request: Request) -> dict[str, Any]:
        """The request as it goes over the wire: system messages apart, the schema as an output format."""
        sampling = request.sampling
        self.check(request.model, sampling)
        refused = self._refused.get(request.model, ())
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": sampling.get("max_tokens", DEFAULT_MAX_TOKENS),
            "messages": [dict(m) for m in request.messages if m["role"] != "system"],
        }
        system = "\n\n".join(m["content"] for m in request.messages if m["role"] == "system")
        if system:
            body["system"] = system
        for name in ("temperature", "top_p"):
            if name in sampling and name not in refused:
                body[name] = sampling[name]
        if "stop" in sampling:
            stop = sampling["stop"]
            body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
        config: dict[str, Any] = {}
        if "effort" in sampling and "output_config" not in refused:
            config["effort"] = sampling["effort"]
        if "schema" in sampling and "output_config" not in refused:
            config["format"] = {"type": "json_schema", "schema": anthropic.transform_schema(dict(sampling["schema"]))}
        if config:
            body["output_config"] = config
        return body

    async def complete(self, request: Request) -> Completion:
        """One completion. A body refused for its temperature or output format is sent again without it at once."""
        while True:
            body = self.body(request)
            started = time.perf_counter()
            try:
                answer = await self._client.post("/v1/messages", cast_to=bytes, body=body)
            except anthropic.APIStatusError as error:
                if error.status_code == 400 and self._learn(request.model, body, error_fields(error.body)["message"]):
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
            except (anthropic.APIConnectionError, aiohttp.ClientError) as error:
                raise connection_error(error, self.name, self.base_url) from None
            except UnicodeEncodeError:
                raise CallError("the prompt is not valid Unicode text") from None
            return _completion(answer_json(answer, self.name), time.perf_counter() - started)

    def _learn(self, model: str, body: Mapping[str, Any], message: str) -> bool:
        """Whether a 400 objects to a parameter that can be left out, and was not refused before."""
        refused = self._refused.setdefault(model, set())
        for name, words in (
            ("temperature", ("temperature",)),
            ("top_p", ("top_p",)),
            ("output_config", ("output_config", "output format", "effort")),
        ):
            if name in body and name not in refused and any(word in message.lower() for word in words):
                refused.add(name)
                return True
        return False

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def about(self, model: str) -> About | None:
        """What the provider says of a model, None where it says nothing."""
        errors = (anthropic.AnthropicError, aiohttp.ClientError)
        return await ask_about(lambda path: self._client.get(f"/v1{path}", cast_to=bytes), model, errors, listed=False)


def _completion(answer: Any, seconds: float) -> Completion:
    blocks = answer.get("content") if isinstance(answer, Mapping) else None
    finish_reason = FINISH.get(str(answer.get("stop_reason")), "stop") if blocks is not None else "stop"
    if (not blocks and finish_reason == "stop") or not isinstance(blocks, str | list):
        what = "is a page, not JSON" if isinstance(answer, str) else "has no content"
        raise TransientError(f"anthropic: the answer {what}")
    read = [token_count(answer, n) for n in ("input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens")]
    return Completion(
        text=message_text(blocks),
        finish_reason=finish_reason,
        input_tokens=None if read[0] is None else sum(n or 0 for n in read),
        output_tokens=token_count(answer, "output_tokens"),
        model=word(answer, "model"),
        seconds=round(seconds, 4),
    )
