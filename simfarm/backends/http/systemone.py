"""Decision models behind System One (`systemone/NAME`): TypeSafe's own, or any server that speaks it.

One address, `POST …/systemone`, no text: such a model answers typed questions with probabilities and nothing else. So
it serves decision judges, and whatever reads a reply is refused before a call.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NoReturn

import openai

from simfarm.backends.http.answers import bounded
from simfarm.backends.http.deciding import Deciding
from simfarm.backends.http.decisions import check_limits, read_systemone, systemone_body
from simfarm.backends.http.failures import check_address, check_key
from simfarm.data.decision import Decision, Question
from simfarm.data.exchange import Completion, Request
from simfarm.errors import InputError

__all__ = ["TYPESAFE", "SystemOneBackend"]

TYPESAFE = "https://api.typesafe.ai/v1"
"""Where requests go that name no other server; the key is then TypeSafe's own, which goes nowhere else."""

NO_KEY = "no-key"

WHOLE = re.compile(r"/(?:systemone|decisions|invocations)/?$|/ai/run/")
"""An address that is asked as it is (Perplexity's and OpenRouter's `decisions`, Databricks', Cloudflare's); to any
other `/systemone` is added."""


class SystemOneBackend:
    """Decisions over one shared connection pool. Raises `InputError` where the key is missing."""

    name = "systemone"
    in_process = False
    concurrency = 64
    only_decides = True

    def __init__(self, *, base_url: str | None = None, timeout: float = 120.0) -> None:
        given = base_url or os.environ.get("SYSTEMONE_BASE_URL") or None
        check_address(given, "--base-url" if base_url else "SYSTEMONE_BASE_URL")
        address = given or TYPESAFE
        self.base_url: str | None = address
        self.key_variable = "SYSTEMONE_API_KEY" if given else "TYPESAFE_API_KEY"
        check_key(self.key_variable)
        key = os.environ.get(self.key_variable)
        if not key and not given:
            raise InputError(
                "TYPESAFE_API_KEY is not set: export it, write it into a .env file here, or name another System One "
                "server with --base-url"
            )
        self._client = openai.AsyncOpenAI(
            api_key=key or NO_KEY,
            base_url=address,
            timeout=timeout,
            max_retries=0,
            http_client=openai.DefaultAioHttpClient(timeout=timeout, event_hooks={"response": [bounded]}),
        )
        # OpenAI's own, which the SDK takes from the environment
        self._client.organization = self._client.project = None
        path = address.partition("?")[0]
        url = address if WHOLE.search(path) else f"{path.rstrip('/')}/systemone"
        self._deciding = Deciding(self._client, self, url, body=_body, read=read_systemone)

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses, before any call, whatever draws or bounds a reply. Raises `InputError`."""
        if sampling.keys() - {"extra"}:
            _refuse(model, min(sampling.keys() - {"extra"}))

    def check_questions(self, model: str, questions: Sequence[Question]) -> None:
        """Refuses, before any call, more than any server takes. Raises `InputError`."""
        check_limits(questions)

    def most_tokens(self, request: Request) -> int:
        """None are generated."""
        return 0

    async def complete(self, request: Request) -> Completion:
        """Refused: there is no text."""
        _refuse(request.model, "text")

    async def decide(self, request: Request) -> Decision:
        """The answers to a request's questions."""
        self.check(request.model, request.sampling)
        return await self._deciding.decide(request)

    async def close(self) -> None:
        """Closes the connections."""
        await self._client.close()


def _refuse(model: str, what: str) -> NoReturn:
    raise InputError(
        f"systemone/{model} only decides and takes no {what}: use the judge pairwise-decision for verdicts, or a model "
        "that writes text (openai/NAME)"
    )


def _body(request: Request, without: Collection[str]) -> dict[str, Any]:
    return systemone_body(request, without) | dict(request.sampling.get("extra", {}))
