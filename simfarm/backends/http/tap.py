"""What passes between a backend and its server beside the answers: how many calls, their status, headers and refusals.

For who examines a model (`simfarm doctor`). It hooks into the connection pool of the SDK that a backend holds, so that
what is counted is what went over the wire, with the requests that were sent again for a refused parameter. litellm
keeps its connections to itself: there `open` is False, and nothing is known but what an answer says.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from simfarm.backends.http.answers import answer_json
from simfarm.backends.http.complaints import error_fields, provider_words
from simfarm.data.exchange import CallError, Message, TransientError
from simfarm.text.masking import secrets_of

__all__ = ["NOT_ASKED", "Tap"]

NOT_ASKED = "not asked"

RATES = ("x-ratelimit-limit", "anthropic-ratelimit")
"""How headers begin that say how often one may ask."""

LONGEST = 60
"""Characters of a header's value that can be a limit; more is none."""


class Tap:
    """Watches a backend's calls and refuses those beyond `most` (`CallError`). `calls` counts them; `sent` are the
    fields of the last body, `status` and `headers` those of the last answer, None and empty where there was none;
    `refusals` are the provider's own words, without a prompt or a key."""

    def __init__(self, backend: Any, most: int) -> None:
        self.calls = 0
        self.sent: Mapping[str, Any] = {}
        self.status: int | None = None
        self.headers: Mapping[str, str] = {}
        self.refusals: list[str] = []
        self._backend, self._most = backend, most
        self._client = getattr(backend, "_client", None)
        pool = getattr(self._client, "_client", None)
        self.open = hasattr(pool, "event_hooks")
        if self.open:
            hooks = pool.event_hooks  # type: ignore[union-attr]
            pool.event_hooks = {  # type: ignore[union-attr]
                "request": [*hooks["request"], self._on_request],
                "response": [*hooks["response"], self._on_response],
            }

    @property
    def left(self) -> int:
        """The calls that may still be made."""
        return self._most - self.calls

    async def _on_request(self, request: Any) -> None:
        if request.method != "POST":
            # what is looked up asks the model nothing
            return
        if not self.left:
            raise CallError(f"{NOT_ASKED}: the {self._most} calls of an examination were made")
        self.calls += 1
        self.status, self.headers = None, {}
        self.sent = json.loads(request.content)

    async def _on_response(self, response: Any) -> None:
        if response.request.method != "POST":
            return
        self.status, self.headers = response.status_code, dict(response.headers)
        if response.status_code >= 400:
            await response.aread()
            self.refusals.append(self._words(response.content))

    def _words(self, body: bytes) -> str:
        try:
            fields = error_fields(answer_json(body, ""))
        except (CallError, TransientError):
            return ""
        messages: tuple[Message, ...] = tuple(self.sent.get("messages") or ())
        secrets = secrets_of(self._backend.base_url, self._backend.key_variable)
        return provider_words(fields["message"], messages, secrets)

    def refusal_of(self, parameter: str) -> str:
        """The provider's words against a parameter, "" where it said none."""
        return next((words for words in self.refusals if parameter in words), "")

    def rates(self) -> dict[str, str]:
        """The headers of the last answer that say how often one may ask, by their names without the prefix."""
        limits = {}
        for name, value in self.headers.items():
            prefix = next((prefix for prefix in RATES if name.lower().startswith(prefix)), None)
            if prefix is not None and "reset" not in name and "remaining" not in name and len(value) <= LONGEST:
                what = name.lower().removeprefix(prefix).removesuffix("-limit").strip("-")
                limits[what or "requests"] = value
        return limits
