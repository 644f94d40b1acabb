"""How long a model lives: what providers say of it, the table where they say nothing, and a run that reads both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback

from simfarm.backends import open_backend
from simfarm.backends.base import Backend
from simfarm.backends.http import about, retirements
from simfarm.backends.http.about import About, known_about, read_about
from simfarm.backends.http.retirements import Retirement, named, retirement
from simfarm.data.exchange import Request
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store
from simfarm.errors import InputError

TODAY = datetime.now(UTC).date()
SOON, PAST = TODAY + timedelta(days=40), TODAY - timedelta(days=40)
OPENAI = {"id": "gpt-4.1", "object": "model", "created": 1744316542, "owned_by": "system"}
"""OpenAI's answer but for its date (`openai.types.Model`)."""

CLAUDE = {
    "id": "claude-haiku-5-5",
    "type": "model",
    "display_name": "Claude Haiku 5.5",
    "created_at": "2026-10-07T00:00:00Z",
    "lifecycle": "active",
    "deprecated_at": None,
    "retires_at": None,
    "line": "haiku",
    "max_input_tokens": 1000000,
    "max_tokens": 128000,
    "capabilities": {
        "effort": {"supported": True, "low": {"supported": True}, "medium": {"supported": True}}
        | {"high": {"supported": True}, "xhigh": {"supported": False}, "max": None},
        "structured_outputs": {"supported": True},
        "thinking": {
            "supported": True,
            "types": {
                "adaptive": {"supported": True},
                "disabled": {"supported": True},
                "enabled": {"supported": False},
            },
        },
    },
}
"""Anthropic's (`anthropic.types.ModelInfo`)."""

VLLM = {"object": "list", "data": [{"id": "other"}, {"id": "org/tiny", "object": "model", "max_model_len": 2048}]}
OPENROUTER = {
    "data": [
        {
            "id": "openai/gpt-4.1",
            "context_length": 1047576,
            "expiration_date": "2027-01-14",
            "top_provider": {"max_completion_tokens": 32768},
            "supported_parameters": ["max_tokens", "seed", "temperature"],
        }
    ]
}


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture(params=["openai", "anthropic"])
async def backend(request: pytest.FixtureRequest, server: Loopback) -> AsyncIterator[Backend]:
    url = server.url if request.param == "anthropic" else f"{server.url}/v1"
    opened, _ = open_backend(f"{request.param}/m", base_url=url)
    yield opened
    await opened.close()


@pytest.fixture
def at_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback is OpenAI, as far as the table is concerned."""
    monkeypatch.setitem(retirements.HOSTS, "127.0.0.1", "openai")


def tell_of(backend: Backend, store: Store | None = None, **options: Any) -> tuple[Engine, list[tuple[str, str]]]:
    told: list[tuple[str, str]] = []
    made = Engine(backend, store, tell=lambda kind, line: told.append((kind, line)), close_backend=False, **options)
    return made, told


def ask(number: int, model: str = "gpt-4.1") -> Request:
    return Request(model, ({"role": "user", "content": f"pair {number}"},), {"max_tokens": 20})


# the table


def test_the_table_is_whole() -> None:
    table = retirements.retirements()
    assert len(table) > 150
    assert {provider for provider, _ in table} == {*retirements.HOSTS.values()}
    for (provider, model), line in table.items():
        assert (line.provider, line.model) == (provider, model)
        assert model == model.lower().strip()
        assert date(2025, 1, 1) < line.shutdown < date(2030, 1, 1)
        assert line.source.startswith("https://")
        assert line.checked >= date(2026, 11, 26)
        # what is named in a model's place lives longer than it
        heir = table.get((provider, line.replacement or ""))
        assert heir is None or heir.shutdown > line.shutdown


@pytest.mark.parametrize(
    ("spec", "url", "day"),
    [
        ("openai/gpt-4.1-2025-04-14", None, "2027-01-14"),
        ("openai/GPT-4o", "https://api.openai.com/v1", "2027-01-14"),
        ("openai/ft:gpt-4o-mini-2024-07-18:acme::abc123", None, "2027-01-14"),
        ("openai/gpt-4.1", "https://acme.openai.azure.com", "2027-04-14"),
        ("openai/gpt-4.1", "http://127.0.0.1:8000/v1", None),
        ("openai/gpt-4.1", "https://notopenai.com/v1", None),
        ("openai/gpt-6-luna", None, None),
        ("anthropic/claude-sonnet-4-5", None, "2026-11-30"),
        ("litellm/gemini/gemini-2.5-pro", None, "2026-12-01"),
        ("openai/models/gemini-2.5-flash", "https://generativelanguage.googleapis.com/v1beta/openai", "2026-12-01"),
        ("openai/llama-3.3-70b-versatile", "https://api.groq.com/openai/v1", "2026-08-16"),
        ("openai/deepseek-chat", "https://api.deepseek.com", "2026-07-24"),
        ("openai/grok-4", "https://api.x.ai/v1", "2026-05-15"),
        ("openai/mistral-large-2411", "https://api.mistral.ai/v1", "2026-05-31"),
        ("openvino/gpt-4.1", None, None),
    ],
)
def test_whose_dates_hold(spec: str, url: str | None, day: str | None) -> None:
    line = retirement(spec, url)
    assert (line and str(line.shutdown)) == day


def test_a_name_alone_tells_only_of_models_that_nobody_else_serves() -> None:
    assert str(named("gpt-4.1-2025-04-14").shutdown) == "2027-01-14"  # type: ignore[union-attr]
    assert named("llama-3.3-70b-versatile") is None
    assert named("org/tiny@main") is None


# what a server says


def test_openais_date_is_read() -> None:
    assert read_about(OPENAI | {"shutdown_date": "2027-01-14"}, "gpt-4.1") == About(
        date(2027, 1, 14), learnt="the provider"
    )
    assert read_about(OPENAI | {"shutdown_date": None}, "gpt-4.1") == About(learnt="the provider")
    assert read_about(OPENAI, "gpt-4.1") is None


def test_anthropics_lifecycle_and_capabilities_are_read() -> None:
    assert read_about(CLAUDE, "claude-haiku-5-5") == About(
        lifecycle="active",
        learnt="the provider",
        context=1_000_000,
        most_tokens=128_000,
        efforts=("low", "medium", "high"),
        thinking=("adaptive", "disabled"),
        structured_outputs=True,
    )
    ends = read_about(CLAUDE | {"lifecycle": "deprecated", "retires_at": "2027-01-22T17:00:00Z"}, "claude-haiku-5-5")
    assert ends is not None
    assert (ends.shutdown, ends.lifecycle) == (date(2027, 1, 22), "deprecated")


def test_others_give_what_they_give() -> None:
    assert read_about(VLLM, "org/tiny") == About(context=2048)
    assert read_about(VLLM, "absent") is None
    assert read_about(OPENROUTER, "openai/gpt-4.1") == About(
        date(2027, 1, 14),
        learnt="the provider",
        context=1_047_576,
        most_tokens=32_768,
        parameters=("max_tokens", "seed", "temperature"),
    )
    mistral = {"id": "m-2508", "deprecation": "2027-08-31T12:00:00Z", "deprecation_replacement_model": "m-3-5"}
    assert read_about(mistral | {"max_context_length": 262144}, "m-2508") == About(
        date(2027, 8, 31), "m-3-5", learnt="the provider", context=262_144
    )
    assert read_about({"id": "m", "deprecation": None}, "m") == About(learnt="the provider")
    azure = {"id": "gpt-4.1", "lifecycle_status": "deprecated", "deprecation": {"inference": 1807660800}}
    read = read_about(azure, "gpt-4.1")
    assert read is not None
    assert (read.shutdown, read.lifecycle) == (date(2027, 4, 14), "deprecated")


@pytest.mark.parametrize(
    "answer",
    [
        *(None, [], {}, "no", 7, {"data": None}, {"data": [None, 3]}, {"id": "m"}),
        {"id": "m", "deprecation_replacement_model": "\x1b[2J buy this", "context_window": -1},
        {"id": "m", "max_model_len": "many", "capabilities": [], "top_provider": 3, "supported_parameters": "all"},
        {"id": "m", "capabilities": {"effort": {"low": 3}, "thinking": {"types": None}}, "max_tokens": -1},
    ],
)
def test_odd_answers_say_nothing(answer: object) -> None:
    assert read_about(answer, "m") is None


@pytest.mark.parametrize("day", ["soon", "", 7.5, True, 30, [], {}, -4, 10**30, "2027-13-45"])
def test_an_odd_date_is_none(day: object) -> None:
    read = read_about({"id": "m", "shutdown_date": day}, "m")
    assert read is not None
    assert read.shutdown is None


async def test_both_wires_ask_for_the_model(backend: Backend, server: Loopback) -> None:
    server.plan.models = {"claude-haiku-5-5": CLAUDE}
    said = await backend.about("claude-haiku-5-5")  # type: ignore[attr-defined]
    assert (said.lifecycle, said.efforts) == ("active", ("low", "medium", "high"))
    assert server.looked == ["claude-haiku-5-5"]


async def test_a_server_without_an_address_for_one_model_is_asked_for_all(server: Loopback) -> None:
    server.plan.models = {"": VLLM}
    opened, _ = open_backend("openai/org/tiny", base_url=f"{server.url}/v1")
    assert await opened.about("org/tiny") == About(context=2048)  # type: ignore[attr-defined]
    assert server.looked == ["org/tiny", ""]
    await opened.close()


@pytest.mark.parametrize("said", [404, 405, 401, 500, "<html>hello</html>", '{"id": "gpt', "[" * 100_000, "[]", None])
async def test_what_is_no_answer_is_never_an_error_of_the_run(
    backend: Backend, server: Loopback, said: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(about, "SECONDS", 0.3)
    server.plan.models = {"gpt-4.1": said}
    engine, told = tell_of(backend)
    async with engine:
        completion, _ = await engine.complete(ask(1))
    assert completion.text
    assert told == []
    assert engine.lifetime.about is None


async def test_nobody_listens_and_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    opened, _ = open_backend("openai/m", base_url="http://127.0.0.1:9/v1")
    assert await opened.about("m") is None  # type: ignore[attr-defined]
    await opened.close()


# which of the two holds


def test_what_the_provider_says_today_beats_the_table() -> None:
    line = Retirement("openai", "m", date(2027, 1, 14), "heir", "https://x", date(2026, 11, 26))
    moved = About(date(2027, 6, 1), learnt="the provider")
    assert known_about(moved, line) == About(date(2027, 6, 1), "heir", learnt="the provider")
    named_its_own = About(date(2027, 6, 1), "other", learnt="the provider")
    assert known_about(named_its_own, line) == named_its_own
    assert known_about(About(learnt="the provider"), line) == About(learnt="the provider")
    silent = known_about(About(context=2048), line)
    assert silent == About(date(2027, 1, 14), "heir", learnt="simfarm's table of 2026-11-26", context=2048)
    assert known_about(None, line) == About(date(2027, 1, 14), "heir", learnt="simfarm's table of 2026-11-26")
    assert known_about(None, None) is None


def test_the_words_of_a_warning() -> None:
    ends = About(date(2027, 1, 14), "gpt-6-luna", learnt="the provider")
    assert ends.warning("gpt-4.1", date(2026, 11, 26)) == (
        "gpt-4.1 is shut down on 2027-01-14 (replacement: gpt-6-luna): this board cannot be continued after that"
    )
    assert About(date(2027, 1, 14), learnt="simfarm's table of 2026-11-26").warning("m", date(2027, 1, 14)) == (
        "m was shut down on 2027-01-14 (by simfarm's table of 2026-11-26): name another model with --model"
    )
    assert About(learnt="the provider").warning("m", date(2027, 1, 14)) is None


# in a run


async def test_the_end_is_told_once_before_the_first_call(backend: Backend, server: Loopback) -> None:
    server.plan.models = {"gpt-4.1": OPENAI | {"shutdown_date": str(SOON)}}
    server.plan.refuse = lambda call: None if server.looked else "400:asked before the model was looked up"
    engine, told = tell_of(backend)
    async with engine:
        await asyncio.gather(*(engine.complete(ask(n)) for n in range(20)))
    line = f"warning: gpt-4.1 is shut down on {SOON}: this board cannot be continued after that"
    assert told == [("note", line)]
    assert server.looked == ["gpt-4.1"]


async def test_a_run_that_asks_nothing_new_looks_nothing_up(backend: Backend, server: Loopback, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    for _ in range(2):
        engine, _ = tell_of(backend, store)
        async with engine:
            await asyncio.gather(*(engine.complete(ask(n)) for n in range(4)))
    assert len(server.looked) == (2 if backend.name == "openai" else 1)
    assert server.received == 4
    store.close()


@pytest.mark.usefixtures("at_openai")
async def test_a_date_of_the_table_that_has_passed_only_warns(server: Loopback) -> None:
    opened, _ = open_backend("openai/gpt-4", base_url=f"{server.url}/v1")
    engine, told = tell_of(opened)
    async with engine:
        completion, _ = await engine.complete(ask(1, "gpt-4"))
    assert completion.text
    assert [line for _, line in told] == [
        "warning: gpt-4 was shut down on 2026-10-23 (replacement: gpt-5.6-sol; by simfarm's table of 2026-11-26): "
        "name another model with --model"
    ]
    await opened.close()


async def test_a_model_that_its_provider_calls_retired_is_not_asked(backend: Backend, server: Loopback) -> None:
    server.plan.models = {"gpt-4.1": CLAUDE | {"lifecycle": "retired", "retires_at": f"{PAST}T00:00:00Z"}}
    engine, told = tell_of(backend)
    async with engine:
        ends = await asyncio.gather(*(engine.complete(ask(n)) for n in range(8)), return_exceptions=True)
    assert {type(end) for end in ends} == {InputError}
    assert str(ends[0]) == f"{backend.name} has retired gpt-4.1 since {PAST}: name another model with --model"
    assert (server.received, len(server.looked), told) == (0, 1, [])
