"""A server on the loopback interface that speaks as a provider (`providers.py`), and simfarm asking it.

Every request is counted by what came of it, so that a test can say which prompt was paid for, how often, and what was
refused on the way.
"""

from __future__ import annotations

import io
import json
import os
import socket
from collections import Counter
from collections.abc import Callable, Container, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from aiohttp import web
from loopback import Call, Loopback
from providers import KEY, Provider, Said, completion, message, prompt_of, refused_of

from simfarm.cli import main


class Speaker(Loopback):
    """A server that speaks as `provider`. With `stop` it refuses everything for that reason; of its requests, by number
    from 1, those in `busy` come too fast and those in `overloaded` at a bad moment; prompts that hold `flagged` are
    refused for what they say. `paid` counts each prompt's answers, `refused` the refusals by what they were."""

    def __init__(
        self,
        provider: Provider,
        *,
        stop: str | None = None,
        busy: Container[int] = (),
        overloaded: Container[int] = (),
        flagged: str = "",
    ) -> None:
        super().__init__()
        self.provider = provider
        self.stop, self.busy, self.overloaded, self.flagged = stop, busy, overloaded, flagged
        self.paid: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    @property
    def base_url(self) -> str:
        """The address to give, under the provider's own host (see `led_home`)."""
        return f"http://{self.provider.host}:{self.port}{self.provider.path}"

    def add_routes(self, router: web.UrlDispatcher) -> None:
        if self.provider.prefix == "anthropic":
            router.add_post("/{path:.*}/messages", self._anthropic)
        else:
            router.add_post("/{path:.*}/chat/completions", self._openai)
        router.add_get("/{path:.*}/models/{name:.*}", self._model)

    async def _model(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name in self.provider.models:
            return web.json_response({"id": name, "object": "model", "created": 0, "owned_by": self.provider.name})
        return _said(self.provider.stops["model"], model=name)

    async def _faulty(self, fault: str | None, call: Call, request: web.Request) -> web.StreamResponse:
        if self.provider.prefix == "azure":
            call.body.setdefault("model", request.path.split("/")[-3])
        found = self._refusal(call)
        if found is not None:
            name, said, words = found
            self.refused[name] += 1
            return _said(said, model=call.body["model"], key=_key(call), **words)
        prompt = prompt_of(call.body)
        self.paid[prompt] += 1
        self.answered += 1
        make = message if self.provider.prefix == "anthropic" else completion
        return web.json_response(make(self.provider, call, prompt), headers=dict(self.provider.headers))

    def _refusal(self, call: Call) -> tuple[str, Said, dict[str, str]] | None:
        """What a request is refused for: its name, the words, and what is filled in."""
        provider = self.provider
        stop = self.stop or (None if _key(call) == KEY else "key")
        if stop is None and call.body["model"] not in provider.models:
            stop = "model"
        if stop is not None:
            return stop, provider.stops[stop], {}
        if self.received in self.busy:
            return "busy", provider.busy, {}
        if self.received in self.overloaded:
            return "overloaded", provider.overloaded, {}
        if self.flagged and self.flagged in prompt_of(call.body):
            return "flagged", provider.flagged, {}
        found = refused_of(provider, call.body)
        return None if found is None else (found[0], provider.words[found[0]], found[1])


def _key(call: Call) -> str:
    sent = call.headers.get("x-api-key") or call.headers.get("api-key") or call.headers.get("authorization", "")
    return sent.removeprefix("Bearer ")


def _said(said: Said, **words: str) -> web.Response:
    return web.json_response(_filled(said.body, words), status=said.status, headers=dict(said.headers))


def _filled(body: Any, words: Mapping[str, str]) -> Any:
    if isinstance(body, str):
        for name, word in words.items():
            body = body.replace(f"{{{name}}}", word)
        return body
    if isinstance(body, Mapping):
        return {name: _filled(value, words) for name, value in body.items()}
    return [_filled(value, words) for value in body] if isinstance(body, list) else body


@contextmanager
def led_home(*hosts: str) -> Iterator[None]:
    """Within it these names are this machine: clients know some servers by their host."""
    resolve: Callable[..., Any] = socket.getaddrinfo

    def here(host: Any, *rest: Any, **more: Any) -> Any:
        return resolve("127.0.0.1" if host in hosts else host, *rest, **more)

    with mock.patch("socket.getaddrinfo", here):
        yield


@dataclass(frozen=True, slots=True)
class Run:
    """What came of a run: its exit status, its rows, and what it said on stderr."""

    code: int
    rows: list[dict[str, Any]]
    said: str

    @property
    def verdicts(self) -> int:
        return sum(row["status"] == "verdict" for row in self.rows)


def ask(server: Speaker, model: str, judge: str, folder: Path, *, rows: int = 200, key: str = KEY) -> Run:
    """`simfarm annotate` of `rows` comparisons with one order each, 64 at a time."""
    provider = server.provider
    folder.mkdir(exist_ok=True)
    pairs = [
        {"instruction": f"Question {i}", "output_1": f"One answer, {i}", "output_2": f"Another, {i}"}
        for i in range(rows)
    ]
    (folder / "pairs.json").write_text(json.dumps(pairs))
    made, told = folder / "made.jsonl", io.StringIO()
    command = ["annotate", str(folder / "pairs.json"), "--judge", judge, "--order", "hashed", "--concurrency", "64"]
    command += ["--store", str(folder / "store.sqlite"), "-o", str(made)]
    prefix = "anthropic" if provider.prefix == "anthropic" else "openai"
    command += ["--model", f"{prefix}/{model}"]
    environment = {provider.variable: key}
    if provider.prefix == "azure":
        environment |= {"AZURE_OPENAI_ENDPOINT": server.base_url, "OPENAI_API_VERSION": "2025-04-01-preview"}
    else:
        command += ["--base-url", server.base_url]
    with mock.patch.dict(os.environ, environment), led_home(provider.host), redirect_stderr(told):
        code = main(command)
    written = made.read_text().splitlines() if made.exists() else []
    return Run(code, [json.loads(line) for line in written], told.getvalue())
