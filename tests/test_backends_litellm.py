"""litellm, where it is installed, against the loopback provider; and what is said where it is not."""

from __future__ import annotations

import importlib.util
import json
import math
from collections.abc import AsyncIterator, Iterator

import pytest
from loopback import Loopback, share_first

from simfarm.backends import open_backend
from simfarm.backends.base import Backend
from simfarm.data.exchange import CallError, Request, TransientError
from simfarm.errors import InputError, ProviderError

INSTALLED = importlib.util.find_spec("litellm") is not None
needs_litellm = pytest.mark.skipif(not INSTALLED, reason="the extra litellm is not installed")


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture
async def backend(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Backend]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret-0123456789")
    made, _ = open_backend("litellm/openai/gpt-4.1", base_url=f"{server.url}/v1", timeout=3.0)
    yield made
    await made.close()


def ask(**sampling: object) -> Request:
    return Request("openai/gpt-4.1", ({"role": "user", "content": "which one, the badger or the fox?"},), sampling)


@pytest.mark.skipif(INSTALLED, reason="the extra litellm is installed")
def test_without_the_extra() -> None:
    with pytest.raises(InputError, match=r"pip install 'simfarm\[litellm\]'"):
        open_backend("litellm/groq/llama-3.1-8b-instant")


@needs_litellm
def test_a_missing_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GROQ_API_KEY", raising=False)
    with pytest.raises(InputError, match="GROQ_API_KEY"):
        open_backend("litellm/groq/llama-3.1-8b-instant")


@needs_litellm
async def test_a_completion(backend: Backend, server: Loopback) -> None:
    done = await backend.complete(ask(temperature=0, max_tokens=1, logprobs=5, seed=3))
    first = share_first("which one, the badger or the fox?")
    assert done.text == ("m" if first > 0.5 else "M")
    assert done.logprobs is not None
    assert done.logprobs[0].top["m"] == pytest.approx(math.log(first), abs=1e-12)
    assert (done.finish_reason, done.model, done.output_tokens) == ("stop", "gpt-4.1", 1)
    assert server.calls[0].body["top_logprobs"] == 5
    assert server.calls[0].body["seed"] == 3


@needs_litellm
@pytest.mark.parametrize("fault", ["429", "500", "drop", "empty"])
async def test_passing_faults(backend: Backend, server: Loopback, fault: str) -> None:
    server.script(fault)
    with pytest.raises(TransientError) as caught:
        await backend.complete(ask())
    assert caught.value.throttled == (fault == "429")
    assert server.received == 1, "litellm must not retry by itself"


@needs_litellm
async def test_lasting_faults(backend: Backend, server: Loopback) -> None:
    server.script("400", "401", "404")
    with pytest.raises(CallError) as caught:
        await backend.complete(ask())
    assert "badger" not in str(caught.value)
    with pytest.raises(ProviderError) as stopped:
        await backend.complete(ask())
    assert "0123456789" not in str(stopped.value)
    with pytest.raises(ProviderError, match=r"no model 'openai/gpt-4\.1'"):
        await backend.complete(ask())


@needs_litellm
async def test_a_model_without_log_probabilities(backend: Backend, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-ant-secret")
    claude, name = open_backend("litellm/anthropic/claude-sonnet-4-5")
    with pytest.raises(InputError, match="log probabilities"):
        await claude.complete(Request(name, ask().messages, {"logprobs": 5}))


@needs_litellm
async def test_a_content_that_is_null_is_empty_text(backend: Backend, server: Loopback) -> None:
    message = {"role": "assistant", "content": None, "reasoning_content": "First, ..."}
    server.script("json:" + json.dumps({"model": "m", "choices": [{"message": message, "finish_reason": "length"}]}))
    done = await backend.complete(ask())
    assert (done.text, done.finish_reason) == ("", "length")


@needs_litellm
@pytest.mark.parametrize("answer", ["page", "json:{}", 'json:{"choices": [{"message": null}]}', "json:[]"])
async def test_what_is_no_answer_may_be_tried_again(backend: Backend, server: Loopback, answer: str) -> None:
    server.script(answer)
    with pytest.raises(TransientError):
        await backend.complete(ask())


def test_an_address_no_call_can_go_to_is_refused_first() -> None:
    with pytest.raises(InputError, match=r"^--base-url 'localhost:8171' is no web address"):
        open_backend("litellm/openai/m", base_url="localhost:8171")
