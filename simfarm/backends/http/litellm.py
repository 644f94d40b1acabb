"""Every other provider, through litellm (`litellm/groq/llama-3.1-8b-instant`), an optional extra.

litellm knows each provider's address, key variable and dialect; retries, limits and prices stay simfarm's own. What a
provider refuses it leaves out by itself, so that whoever may think gets room to think whatever was asked.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import openai

from simfarm.backends.http.answers import message_text, shown_thoughts, token_logprobs, usage_fields, word
from simfarm.backends.http.decisions import check_limits, openai_questions, read_openai, whole_text_of
from simfarm.backends.http.dialect import READS_TEXT, WIRE, check_thinking
from simfarm.backends.http.failures import check_address, check_key, connection_error, status_error
from simfarm.backends.http.traits import budget_of, room_for, traits, wants_none
from simfarm.data.decision import Decision, Question
from simfarm.data.exchange import Completion, Request, TransientError
from simfarm.data.sampling import LITELLM, refuse_unknown
from simfarm.errors import InputError

__all__ = ["LiteLLMBackend"]


class LiteLLMBackend:
    """Chat completions of the model `model` (litellm's name for it). Raises `InputError` where litellm is not installed
    or the provider's key is missing."""

    name = "litellm"
    in_process = False
    concurrency = 64

    def __init__(self, model: str, *, base_url: str | None = None, timeout: float = 120.0) -> None:
        check_address(base_url, "--base-url")
        try:
            import litellm
        except ImportError:
            raise InputError("litellm/ needs an extra: pip install 'simfarm[litellm]'") from None
        # of each error it prints where to get help, on stdout, amidst the rows
        litellm.suppress_debug_info = True
        self.base_url = base_url
        self._litellm = litellm
        self._timeout = timeout
        missing = [] if base_url else litellm.validate_environment(model)["missing_keys"]
        self.key_variable = missing[0] if missing else f"{model.partition('/')[0].upper()}_API_KEY"
        check_key(self.key_variable)
        if missing:
            raise InputError(f"{missing[0]} is not set: export it, or write it into a .env file here")

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses, before any call, what litellm says this model cannot do. Raises `InputError`."""
        refuse_unknown("litellm", LITELLM, sampling)
        check_thinking(model, None, sampling)
        takes = self._litellm.get_supported_openai_params(model) or []
        if sampling.get("logprobs") and "logprobs" not in takes:
            raise InputError(f"{model} gives no log probabilities: {READS_TEXT}")
        if "effort" in sampling and "reasoning_effort" not in takes:
            raise InputError(f"{model} takes no effort (litellm would drop it): leave it out")

    def most_tokens(self, request: Request) -> int | None:
        """The most tokens that the answer may have, thinking among them; None where the request names no limit."""
        limit, known = request.sampling.get("max_tokens"), traits(request.model)
        thinks = known.thinks or request.sampling.get("thinking")
        return limit + room_for(request.sampling) if limit is not None and thinks else limit

    def body(self, request: Request) -> dict[str, Any]:
        """litellm's arguments for a request."""
        sampling = request.sampling
        self.check(request.model, sampling)
        body: dict[str, Any] = {"model": request.model, "messages": [dict(m) for m in request.messages]}
        body |= {wire: sampling[name] for name, wire in WIRE.items() if name in sampling}
        known, limit = traits(request.model), self.most_tokens(request)
        if limit is not None:
            body["max_tokens"] = limit
        switch = known.on if sampling.get("thinking") else known.off if known.thinks and wants_none(sampling) else None
        # the two switches that litellm translates for each provider
        body |= {name: value for name, value in (switch or {}).items() if name in ("reasoning_effort", "thinking")}
        if budget := budget_of(sampling):
            body["thinking"] = {"type": "enabled", "budget_tokens": budget}
        if "extra" in sampling:
            body["extra_body"] = dict(sampling["extra"])
        if sampling.get("logprobs"):
            body |= {"logprobs": True, "top_logprobs": sampling["logprobs"]}
        if "schema" in sampling:
            described = {"name": "verdict", "schema": sampling["schema"], "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": described}
        return body

    async def complete(self, request: Request) -> Completion:
        """One completion; parameters that the provider lacks (a seed, a schema) are left out by litellm."""
        body = self.body(request)
        started = time.perf_counter()
        answer = await self._asked("acompletion", request, body | {"drop_params": True})
        try:
            choice = answer["choices"][0]
            message = dict(choice["message"])
        except (KeyError, IndexError, TypeError, ValueError):
            raise TransientError("litellm: the answer has no choices") from None
        more = message.get("provider_specific_fields")
        refusal = message_text(more.get("refusal")) if isinstance(more, Mapping) else ""
        return Completion(
            text=message_text(message.get("content")) or refusal,
            logprobs=token_logprobs(choice.get("logprobs")),
            finish_reason="refusal" if refusal else word(choice, "finish_reason"),
            thinking=shown_thoughts(message),
            model=word(answer, "model"),
            seconds=round(time.perf_counter() - started, 4),
            **usage_fields(answer),
        )

    def check_questions(self, model: str, questions: Sequence[Question]) -> None:
        """Refuses, before any call, a litellm that serves no decisions. Raises `InputError`."""
        check_limits(questions)
        if not hasattr(self._litellm, "adecisions"):
            raise InputError(
                "this litellm gives no decisions: pip install -U 'litellm>=1.104.3', or use systemone/NAME or a judge "
                "that reads text (pairwise-reasoned)"
            )

    async def decide(self, request: Request) -> Decision:
        """The answers to a request's questions. litellm passes no roles and no marks of a cache on: one text."""
        self.check_questions(request.model, request.questions)
        refuse_unknown("litellm", LITELLM, request.sampling)
        body = {
            "model": request.model,
            "input": whole_text_of(request.messages),
            "questions": openai_questions(request.questions),
            **request.sampling.get("extra", {}),
        }
        started = time.perf_counter()
        answer = await self._asked("adecisions", request, body)
        return read_openai(answer, request, time.perf_counter() - started, self.name)

    async def _asked(self, function: str, request: Request, body: Mapping[str, Any]) -> Any:
        """What a function of litellm's answers, as JSON values."""
        try:
            response = await getattr(self._litellm, function)(
                **body, base_url=self.base_url, timeout=self._timeout, num_retries=0, max_retries=0
            )
        except openai.APIStatusError as error:
            # litellm's exceptions are subclasses of the OpenAI SDK's, for every provider
            raise status_error(
                error.status_code, error.response.headers, {"message": str(error), "code": _code(error)}, self, request
            ) from None
        except openai.APIConnectionError as error:
            raise connection_error(error, self.name, self.base_url) from None
        except openai.APIError as error:
            raise TransientError(f"litellm: the answer cannot be read ({type(error).__name__})") from None
        return response.model_dump()

    async def close(self) -> None:
        """Closes the clients that litellm keeps for the process."""
        await self._litellm.close_litellm_async_clients()


def _code(error: openai.APIStatusError) -> str:
    """litellm folds a provider's error body into its message; only an unknown model has a class of its own."""
    return "model_not_found" if error.status_code == 404 else ""
