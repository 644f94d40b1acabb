"""What each provider's own refusals mean: the bodies are those of its pages, or of threads where users show them."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from loopback import Loopback, raw
from refusals import AGAIN, ANTHROPIC_STOPS, FLAGGED, MODEL, NO_CREDIT, OTHERS, PROMPT, ROWS, STOPS, openai, openrouter

from simfarm.backends.http.anthropic import AnthropicBackend
from simfarm.backends.http.complaints import error_fields, retry_after
from simfarm.backends.http.failures import status_error
from simfarm.backends.http.openai import OpenAIBackend
from simfarm.data.exchange import CallError, Request, TransientError
from simfarm.errors import ProviderError


@pytest.fixture(scope="module")
def server() -> Iterator[Loopback]:
    with Loopback(keep=False) as running:
        yield running


@pytest.fixture
async def backends(
    server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[dict[str, OpenAIBackend | AnthropicBackend]]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret-0123456789")
    server.script()
    made = {
        "openai": OpenAIBackend(base_url=f"{server.url}/v1", timeout=5.0),
        "anthropic": AnthropicBackend(base_url=server.url, timeout=5.0),
    }
    yield made
    for backend in made.values():
        await backend.close()


async def asked(backend: OpenAIBackend | AnthropicBackend, server: Loopback, fault: str) -> Exception:
    server.script(fault)
    before = server.received
    with pytest.raises((CallError, TransientError, ProviderError)) as caught:
        await backend.complete(Request(MODEL, ({"role": "user", "content": PROMPT},), {}))
    assert server.received == before + 1
    line = str(caught.value)
    assert "\n" not in line
    assert "secret" not in line
    assert len(line) < 450
    return caught.value


@pytest.mark.parametrize("name", STOPS)
async def test_what_no_call_gets_past_ends_the_run_in_the_providers_words(
    backends: dict[str, Any], server: Loopback, name: str
) -> None:
    status, body, (what, remedy), words = STOPS[name]
    error = await asked(backends["openai"], server, raw(status, body))
    assert type(error) is ProviderError
    reason = f"{words.rstrip('.')}; {remedy}" if words else remedy
    assert str(error) == f"openai at {server.url}/… {what} ({status}): {reason}"


async def test_anthropics_address_ends_without_v1(backends: dict[str, Any], server: Loopback) -> None:
    error = await asked(backends["anthropic"], server, raw(404, "404 page not found"))
    assert str(error).endswith("; check --base-url (for anthropic/ it ends without /v1)")


@pytest.mark.parametrize("name", ANTHROPIC_STOPS)
async def test_what_no_call_to_anthropic_gets_past(backends: dict[str, Any], server: Loopback, name: str) -> None:
    status, body, what = ANTHROPIC_STOPS[name]
    error = await asked(backends["anthropic"], server, raw(status, body))
    assert type(error) is ProviderError
    assert f" {what} ({status}): {body['error']['message'].rstrip('.')}; " in str(error)


@pytest.mark.parametrize("name", ROWS)
async def test_what_one_prompt_is_refused_for_is_that_rows_own(
    backends: dict[str, Any], server: Loopback, name: str
) -> None:
    provider, status, body, words = ROWS[name]
    error = await asked(backends[provider], server, raw(status, body))
    assert isinstance(error, CallError)
    assert error.own
    if len(words) > 200:
        words = words[: words.rindex(" ", 0, 200)] + " …"
    assert str(error) == f"{provider} answered {status}: {words.rstrip('.')}"


@pytest.mark.parametrize("name", OTHERS)
async def test_any_other_refusal_may_be_of_one_row_or_of_all(
    backends: dict[str, Any], server: Loopback, name: str
) -> None:
    error = await asked(backends["openai"], server, raw(*OTHERS[name]))
    assert isinstance(error, CallError)
    assert not error.own


@pytest.mark.parametrize("name", AGAIN)
async def test_what_passes_says_of_what_it_was(backends: dict[str, Any], server: Loopback, name: str) -> None:
    provider, status, body, headers, kind, seconds = AGAIN[name]
    error = await asked(backends[provider], server, raw(status, body, **headers))
    assert isinstance(error, TransientError)
    assert [k for k in ("throttled", "overloaded", "slow") if getattr(error, k)] == ([kind] if kind else [])
    assert error.retry_after == (None if seconds is None else pytest.approx(seconds))


CHOICE = {"index": 0, "message": {"role": "assistant", "content": ""}, "finish_reason": "error"}
WITHIN: dict[str, tuple[Any, type[Exception], str]] = {
    "credit": (
        openrouter(402, "Insufficient credits"),
        ProviderError,
        r"has no credit left .*\(402\): Insufficient cr",
    ),
    "as words": ({"error": {"code": "402", "message": "Insufficient credits"}}, ProviderError, "no credit left"),
    "rate": (openrouter(429, "Rate limited"), TransientError, "openai answered 429: Rate limited"),
    "down": (openrouter(502, "Upstream is down") | {"choices": []}, TransientError, "answered 502: Upstream is down"),
    "moderation": (openrouter(403, "Flagged", **FLAGGED), CallError, "openai answered 403: Flagged"),
    "in the choice": (
        {
            "choices": [CHOICE | {"error": {"code": 502, "message": "experiencing high demand"}}],
            "usage": {"cost": 0},
        },
        TransientError,
        "openai answered 502: experiencing high demand",
    ),
    "a choice that broke off": (
        {"choices": [CHOICE | {"message": {"role": "assistant", "content": "The first is"}}]},
        TransientError,
        "openai answered 500",
    ),
    "beside an empty choice": (
        openrouter(503, "Busy") | {"choices": [CHOICE | {"finish_reason": "stop"}]},
        TransientError,
        "openai answered 503: Busy",
    ),
    "flat": (
        {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404},
        ProviderError,
        f"has no model '{MODEL}'",
    ),
    "no code": ({"error": "something broke"}, TransientError, "openai answered 500: something broke"),
}


@pytest.mark.parametrize("name", WITHIN)
async def test_an_error_inside_an_answer_is_read_as_its_status(
    backends: dict[str, Any], server: Loopback, name: str
) -> None:
    body, kind, words = WITHIN[name]
    for backend in backends.values():
        error = await asked(backend, server, raw(200, body))
        assert type(error) is kind
        with pytest.raises(kind, match=words.replace("openai", backend.name)):
            raise error


async def test_an_answer_beside_an_empty_error_is_an_answer(backends: dict[str, Any], server: Loopback) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "m"}, "finish_reason": "stop"}
    server.script(raw(200, {"choices": [choice], "error": None}))
    done = await backends["openai"].complete(Request(MODEL, ({"role": "user", "content": PROMPT},), {}))
    assert done.text == "m"


async def test_what_the_provider_behind_a_gateway_said_is_what_is_told(
    backends: dict[str, Any], server: Loopback
) -> None:
    upstream = json.dumps(openai("Invalid schema for response_format", "invalid_request_error"))
    fault = raw(400, openrouter(400, "Provider returned error", raw=upstream, provider_name="OpenAI"))
    assert (
        str(await asked(backends["openai"], server, fault)) == "openai answered 400: Invalid schema for response_format"
    )
    fault = raw(400, openrouter(400, "Provider returned error", raw="bad things", provider_name="X"))
    assert str(await asked(backends["openai"], server, fault)) == "openai answered 400: bad things"


async def test_words_that_quote_the_prompt_are_withheld_and_the_remedy_stays(
    backends: dict[str, Any], server: Loopback
) -> None:
    error = await asked(backends["openai"], server, raw(402, openai(f"No money for {PROMPT}")))
    assert str(error).endswith("has no credit left for this account (402): " + NO_CREDIT[1])


def test_an_address_that_the_user_did_not_name_is_not_what_is_wrong() -> None:
    asker: Any = SimpleNamespace(name="openai", base_url=None, key_variable="OPENAI_API_KEY")
    error = status_error(404, {}, "Not Found", asker, Request(MODEL, ()))
    assert str(error) == "openai has nothing at this address (404): Not Found; take another model with --model"


FIELDS: dict[str, tuple[Any, str, str]] = {
    "mistral": (OTHERS["a field"][1], "Extra inputs are not permitted", "x"),
    "fastapi": (
        {"detail": [{"loc": ["body", "top_logprobs"], "msg": "Field required"}]},
        "Field required",
        "top_logprobs",
    ),
    "nested": ({"detail": [{"loc": ["body", "messages", 0, "role"], "msg": "Bad"}]}, "Bad", "role"),
    "openai": (openai("No", param="temperature"), "No", "temperature"),
    "inner": (openai("No", param="temperature")["error"], "No", "temperature"),
    "text": ("Model is overloaded", "Model is overloaded", ""),
    "page": ("<html>", "", ""),
    "errors": ({"errors": [{"code": 5007, "message": "No such model x"}], "success": False}, "No such model x", ""),
    "nothing": (None, "", ""),
    "odd": ({"error": [[[]]], "message": {"a": 1}, "detail": 3}, "", ""),
}


@pytest.mark.parametrize("name", FIELDS)
def test_the_fields_of_a_refusal_whatever_their_nesting(name: str) -> None:
    body, message, param = FIELDS[name]
    found = error_fields(body)
    assert (found["message"], found["param"]) == (message, param)
    assert set(found) == {"message", "code", "type", "param", "reason"}


def test_no_nesting_is_too_deep() -> None:
    deep: Any = "end"
    for _ in range(10_000):
        deep = {"error": deep}
    assert error_fields(deep)["message"] == ""
    assert error_fields("[" * 100_000)["message"] == "[" * 100_000


@pytest.mark.parametrize(
    ("message", "seconds"),
    [
        ("Please retry in 10h17m5.5s.", 36000 + 17 * 60 + 5.5),
        ("Please try again in 6ms.", 0.006),
        ("Please try again in 2m0s.", 120.0),
        ("Try again in 5 seconds. Passed", 5.0),
        ("Please retry after 86400 seconds.", 86400.0),
        ("Please try again later.", None),
        ("wait a moment and try again.", None),
    ],
)
def test_a_wait_that_stands_in_the_message(message: str, seconds: float | None) -> None:
    assert retry_after({}, message) == seconds
    assert retry_after({"retry-after": "3"}, message) == 3.0, "the header is exact"
