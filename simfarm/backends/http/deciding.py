"""Asking a server for decisions, and what its refusals teach about it, whichever shape it speaks.

What a question is also understood without is left out once a server refuses it, for all calls of the process. What the
server cannot do at all it says of every request alike, so that the first refusal ends the run.
"""

from __future__ import annotations

import logging
import re
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Mapping
from typing import Any

import aiohttp
import openai

from simfarm.backends.http.answers import answer_json
from simfarm.backends.http.complaints import error_fields, unquoted
from simfarm.backends.http.decisions import BREAKPOINT
from simfarm.backends.http.dialect import objects, refuse_wanted
from simfarm.backends.http.failures import Asker, answer_error, connection_error, status_error, words_of
from simfarm.data.decision import Decision, Question
from simfarm.data.exchange import CallError, Request

__all__ = ["Deciding"]

SPARED: Mapping[str, tuple[re.Pattern[str], str]] = {
    BREAKPOINT: (re.compile(BREAKPOINT), "no mark where its cache ends: it is asked without"),
    "description": (re.compile(r"\bdescription\b"), "no description of an option: the question says it"),
    "name": (re.compile(r"(?:^|[.'\"`\]])name\b(?!\s+of)"), "no name of a question: answers are read in order"),
    "role": (re.compile(r"\brole\b|valid string"), "no messages: it is given one text"),
}
"""What a body is also understood without -> how a refusal names it, and what is said of it once."""


class Deciding:
    """Decisions of one server: `body` makes a request's body, `read` reads an answer, `url` is an address or a path
    beside the client's own. `spared` are what this server is not sent from the start."""

    def __init__(
        self,
        client: openai.AsyncOpenAI,
        asker: Asker,
        url: str,
        *,
        body: Callable[[Request, Collection[str]], dict[str, Any]],
        read: Callable[[Any, Request, float, str], Decision],
        spared: Collection[str] = (),
    ) -> None:
        self._client, self._asker, self._url, self._body, self._read = client, asker, url, body, read
        self._without: defaultdict[str, set[str]] = defaultdict(lambda: set(spared))
        self._answered: set[tuple[str, tuple[Question, ...]]] = set()

    async def decide(self, request: Request) -> Decision:
        """The answers to a request's questions. A body that is refused for what it is understood without is sent again
        at once."""
        asker, without = self._asker, self._without[request.model]
        while True:
            body = self._body(request, without)
            started = time.perf_counter()
            try:
                answer = await self._client.post(self._url, cast_to=bytes, body=body)
            except openai.APIStatusError as error:
                if error.status_code in (400, 422) and self._learns(request, body, error_fields(error.body)):
                    continue
                raise status_error(
                    error.status_code,
                    error.response.headers,
                    error.body,
                    asker,
                    request,
                    answered=self._has_answered(request),
                ) from None
            except (openai.APIConnectionError, aiohttp.ClientError) as error:
                raise connection_error(error, asker.name, asker.base_url) from None
            except UnicodeEncodeError:
                raise CallError("the prompt is not valid Unicode text") from None
            read = answer_json(answer, asker.name)
            failed = answer_error(read, asker, request)
            if failed is not None:
                raise failed
            decision = self._read(read, request, time.perf_counter() - started, asker.name)
            self._answered.add((request.model, request.questions))
            return decision

    def _has_answered(self, request: Request) -> bool:
        """Whether these questions were answered before: then a refusal is about what they are asked about."""
        return (request.model, request.questions) in self._answered

    def _learns(self, request: Request, body: Mapping[str, Any], error: Mapping[str, str]) -> bool:
        """Whether a refusal is about what can be spared, by this call or by another while it was under way: then the
        request is to be sent again. Raises `ProviderError` for what was asked for by name."""
        error, without = unquoted(error, request.messages), self._without[request.model]
        said = f"{error['param']} {error['message']}".lower()
        if objects(error) and not self._has_answered(request):
            words = words_of(error, self._asker, request)
            refuse_wanted(request.model, request.sampling, said, f": {words}" if words else "")
            for name, (named, told) in SPARED.items():
                if name not in without and named.search(said) and self._body(request, {*without, name}) != body:
                    without.add(name)
                    logging.getLogger("simfarm").warning("%s takes %s", request.model, told)
                    break
        return self._body(request, without) != body
