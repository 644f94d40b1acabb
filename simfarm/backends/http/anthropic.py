"""Anthropic's messages, through the official SDK (aiohttp transport, no retries of its own, untyped answers).

Claude gives no log probabilities and takes no seed. Families after 4.6 take no temperature, and from 5 on they think
unless they are told not to, if they can be; what a model refuses is remembered, for the calls under way as well.
"""

from __future__ import annotations

import os
import time
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import anthropic

from simfarm.backends.http.about import About, ask_about
from simfarm.backends.http.answers import answer_json, bounded, message_text, shown_thoughts, usage_fields, word
from simfarm.backends.http.complaints import unquoted
from simfarm.backends.http.dialect import READS_TEXT, check_thinking, objects
from simfarm.backends.http.failures import (
    answer_error,
    check_address,
    check_key,
    connection_error,
    error_fields,
    status_error,
    words_of,
)
from simfarm.backends.http.traits import ROOM, Traits, budget_of, room_for, traits, wants_none
from simfarm.data.exchange import CallError, Completion, Request, TransientError
from simfarm.data.sampling import ANTHROPIC, DRAWN, refuse_unknown
from simfarm.errors import InputError, ProviderError

__all__ = ["DEFAULT_MAX_TOKENS", "AnthropicBackend"]

DEFAULT_MAX_TOKENS = 4096
"""Anthropic requires a limit; this one stands in where a judge names none."""

KEPT_FROM = 4096
"""Characters from which Claude is asked to keep a rubric: about the 1,024 tokens below which none of its models does
(https://platform.claude.com/docs/en/build-with-claude/prompt-caching). Writing costs 1.25 times the input, reading a
tenth."""

REFUSABLE = {
    "temperature": ("temperature",),
    "top_p": ("top_p",),
    "off": ("thinking",),
    "least": ("effort", "output_config:"),
    "format": (
        "output_config.format",
        "output_config:",
        "output format",
        "structured output",
        "json_schema",
    ),
}
"""What a request is also understood without -> the words of a refusal that is about it."""

BUDGET = {"thinking": {"type": "enabled", "budget_tokens": ROOM // 2}}

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
        self._host = urlsplit(self.base_url).hostname if self.base_url else None
        self._refused: defaultdict[str, set[str]] = defaultdict(set)
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
            raise InputError(f"{model} gives no log probabilities: {READS_TEXT}")
        refuse_unknown("anthropic", ANTHROPIC, sampling.keys() - {"logprobs"})
        check_thinking(model, self._host, sampling)

    def _traits(self, model: str) -> Traits:
        """What is known of a model, in the words of this wire; others than Claude that are served over it may not be
        switched off in them."""
        known = traits(model, self._host)
        return known if "thinking" in (known.on or ()) else replace(known, off=None, on=BUDGET, least={})

    def thinks(self, request: Request) -> bool:
        """Whether the model will think about a request, as far as is known."""
        sampling, known = request.sampling, self._traits(request.model)
        if "thinking" not in sampling and not wants_none(sampling):
            return known.thinks
        refused = self._refused[request.model]
        return bool(sampling.get("thinking")) or (known.thinks and (known.off is None or "off" in refused))

    def most_tokens(self, request: Request) -> int:
        """The most tokens that the answer may have: the reply's own, and room to think in where it will be needed."""
        limit = int(request.sampling.get("max_tokens", DEFAULT_MAX_TOKENS))
        return limit + room_for(request.sampling) if self.thinks(request) else limit

    def _kept(self, model: str, system: str) -> str | list[dict[str, Any]]:
        """The system messages, which are the same for every pair: Claude keeps them for five minutes where it is asked
        to and they are long enough. Only its own address is asked: other servers may not know the word."""
        own = self._host is None or self._host.endswith("anthropic.com")
        if not own or "claude" not in model.lower() or len(system) < KEPT_FROM:
            return system
        return [{"type": "text", "text": system, "cache_control": {"type": "ephemeral"}}]

    def body(self, request: Request) -> dict[str, Any]:
        """The request as it goes over the wire: system messages apart, the schema as an output format."""
        sampling, thinks = request.sampling, self.thinks(request)
        self.check(request.model, sampling)
        known, refused = self._traits(request.model), self._refused[request.model]
        body: dict[str, Any] = {
            "model": request.model,
            "max_tokens": self.most_tokens(request),
            "messages": [dict(m) for m in request.messages if m["role"] != "system"],
        }
        system = "\n\n".join(m["content"] for m in request.messages if m["role"] == "system")
        if system:
            body["system"] = self._kept(request.model, system)
        if known.drawn if thinks else known.drawn_quiet:
            body |= {name: sampling[name] for name in DRAWN if name in sampling.keys() - refused}
        if "stop" in sampling:
            stop = sampling["stop"]
            body["stop_sequences"] = [stop] if isinstance(stop, str) else list(stop)
        config: dict[str, Any] = {}
        if "effort" in sampling:
            config["effort"] = sampling["effort"]
        if sampling.get("thinking") and not known.thinks:
            body |= _budgeted(known.on or {}, sampling)
        elif known.thinks and (sampling.get("thinking") is False or wants_none(sampling)):
            if not thinks:
                body |= known.off or {}
            elif "least" not in refused:
                config |= known.least.get("output_config", {})
        if "schema" in sampling and "format" not in refused:
            config["format"] = {"type": "json_schema", "schema": anthropic.transform_schema(dict(sampling["schema"]))}
        if config:
            body["output_config"] = config
        return body | dict(sampling.get("extra", {}))

    async def complete(self, request: Request) -> Completion:
        """One completion. A body refused for one of its parameters is sent again without it at once."""
        while True:
            body = self.body(request)
            started = time.perf_counter()
            try:
                answer = await self._client.post("/v1/messages", cast_to=bytes, body=body)
            except anthropic.APIStatusError as error:
                if error.status_code in (400, 422) and self._learns(request, body, error_fields(error.body)):
                    continue
                raise status_error(error.status_code, error.response.headers, error.body, self, request) from None
            except (anthropic.APIConnectionError, aiohttp.ClientError) as error:
                raise connection_error(error, self.name, self.base_url) from None
            except UnicodeEncodeError:
                raise CallError("the prompt is not valid Unicode text") from None
            read = answer_json(answer, self.name)
            failed = answer_error(read, self, request)
            if failed is not None:
                raise failed
            return _completion(read, time.perf_counter() - started)

    def _learns(self, request: Request, body: Mapping[str, Any], error: Mapping[str, str]) -> bool:
        """Whether a refusal is about a parameter that can be left out, by this call or by another while it was under
        way: then the request is to be sent again. One that speaks of what was not sent is this row's own, and so was
        the one that taught to leave it out. Raises `ProviderError` for an effort that the model has not."""
        error, refused = unquoted(error, request.messages), self._refused[request.model]
        message, config = error["message"].lower(), body.get("output_config", {})
        named = [name for name, words in REFUSABLE.items() if any(word in message for word in words)]
        if not objects(error) or not named:
            return self.body(request) != body
        if "effort" in request.sampling and "least" in named and not {"off", "format"} & set(named):
            words = words_of(error, self, request)
            ending = f": {words}" if words else ""
            raise ProviderError(f"{request.model} refuses the effort '{request.sampling['effort']}'{ending}")
        there = {"off": "thinking" in body, "least": "effort" in config, "format": "format" in config}
        sent = [name for name in named if there.get(name, name in body)]
        if not sent:
            refused.difference_update(named)
            return False
        refused.update(sent if "output_config:" in message else sent[:1])
        return self.body(request) != body

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()

    async def about(self, model: str) -> About | None:
        """What the provider says of a model, None where it says nothing."""
        errors = (anthropic.AnthropicError, aiohttp.ClientError)
        return await ask_about(lambda path: self._client.get(f"/v1{path}", cast_to=bytes), model, errors, listed=False)


def _budgeted(on: Mapping[str, Any], sampling: Mapping[str, Any]) -> dict[str, Any]:
    """What makes a Claude think, for as many tokens as a request names."""
    budget = budget_of(sampling)
    return {**on, "thinking": {**on["thinking"], "budget_tokens": budget}} if budget else dict(on)


def _completion(answer: Any, seconds: float) -> Completion:
    blocks = answer.get("content") if isinstance(answer, Mapping) else None
    finish_reason = FINISH.get(str(answer.get("stop_reason")), "stop") if blocks is not None else "stop"
    if (not blocks and finish_reason == "stop") or not isinstance(blocks, str | list):
        what = "is a page, not JSON" if isinstance(answer, str) else "has no content"
        raise TransientError(f"anthropic: the answer {what}")
    return Completion(
        text=message_text(blocks),
        finish_reason=finish_reason,
        thinking=shown_thoughts(answer),
        model=word(answer, "model"),
        seconds=round(seconds, 4),
        **usage_fields(answer),
    )
