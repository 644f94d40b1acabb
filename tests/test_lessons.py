"""What one refusal or answer must not teach of the others: a prompt's words, what was not sent, what is in flight."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Call, Loopback, answer_openai, raw

from simfarm.backends.base import insist
from simfarm.backends.http.anthropic import AnthropicBackend
from simfarm.backends.http.openai import OpenAIBackend
from simfarm.backends.http.traits import ROOM
from simfarm.data.exchange import CallError, Completion, Request
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store
from simfarm.errors import BudgetError, ProviderError


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture
async def openai(server: Loopback) -> AsyncIterator[OpenAIBackend]:
    backend = OpenAIBackend(base_url=f"{server.url}/v1")
    yield backend
    await backend.close()


@pytest.fixture
async def claude(server: Loopback) -> AsyncIterator[AnthropicBackend]:
    backend = AnthropicBackend(base_url=server.url)
    yield backend
    await backend.close()


def ask(model: str, prompt: str = "Which is better?", **sampling: Any) -> Request:
    return Request(model, ({"role": "user", "content": prompt},), sampling)


def refused(message: str, param: str | None = None) -> str:
    return raw(400, {"error": {"message": message, "type": "invalid_request_error", "param": param, "code": None}})


QUESTION = (
    "My IP address was leaked and an unknown model of temperature sensor is no longer available. Which is better?"
)


@pytest.mark.parametrize("words", ["Invalid content: {prompt}", "x" * 300 + " is invalid: {prompt}"])
@pytest.mark.parametrize("prompt", [QUESTION, f"reasoning effort, thinking: {QUESTION}"])
async def test_what_a_prompt_says_is_no_word_of_the_provider(
    openai: OpenAIBackend, claude: AnthropicBackend, server: Loopback, words: str, prompt: str
) -> None:
    server.plan.refuse = lambda call: refused(words.replace("{prompt}", prompt)) if prompt in call.prompt else None
    for backend, model in ((openai, "gpt-6-luna"), (claude, "claude-sonnet-5")):
        with pytest.raises(CallError, match="answered 400"):
            await backend.complete(ask(model, prompt, temperature=0, effort="low"))
        await backend.complete(ask(model, temperature=0, max_tokens=16))
    assert server.calls[1].body["temperature"] == 0
    assert server.calls[-1].body["thinking"] == {"type": "disabled"}
    assert server.received == 4


async def test_what_was_not_sent_was_not_refused(
    openai: OpenAIBackend, claude: AnthropicBackend, server: Loopback
) -> None:
    """A row that is refused as well without the parameter that its refusal spoke of was not refused for it."""
    server.plan.refuse = lambda call: refused("Invalid text: the temperature") if "Weather" in call.prompt else None
    for backend, model in ((openai, "judge"), (claude, "claude-haiku-4-5")):
        with pytest.raises(CallError, match="the temperature"):
            await backend.complete(ask(model, "Weather", temperature=0))
        await backend.complete(ask(model, temperature=0))
        assert server.calls[-1].body["temperature"] == 0
    assert server.received == 6


async def test_a_prompt_that_is_too_long_takes_no_room_from_the_others(openai: OpenAIBackend, server: Loopback) -> None:
    def context(call: Call) -> str | None:
        size, limit = len(call.prompt), call.body["max_tokens"]
        words = f"'max_tokens' is too large: {limit}. This model's maximum context length is 16384 tokens"
        return refused(words, "max_tokens") if size + limit > 16384 else None

    server.plan.refuse = context
    long = "long " * 2000
    for prompt in ("short", long, "short", long):
        await openai.complete(ask("Qwen3-8B", prompt, max_tokens=2048))
    room = 2048 + ROOM
    assert [call.body["max_tokens"] for call in server.calls] == [room, room, 2048, room, 2048]


async def test_a_limit_that_is_too_high_by_another_name_takes_the_room(openai: OpenAIBackend, server: Loopback) -> None:
    """OpenAI says `max_tokens` of whatever the limit was called."""
    words = "max_tokens is too large: 10240. This model supports at most 4096 completion tokens"
    server.plan.refuse = lambda call: refused(words) if call.body["max_completion_tokens"] > 4096 else None
    await openai.complete(ask("gpt-6-luna", max_tokens=2048))
    assert [call.body["max_completion_tokens"] for call in server.calls] == [2048 + ROOM, 2048]


@pytest.mark.parametrize("word", ["length", "model_length", "max_tokens"])
async def test_an_answer_is_cut_off_in_any_servers_word(openai: OpenAIBackend, server: Loopback, word: str) -> None:
    made = {"choices": [{"message": {"content": "[[A]] is"}, "finish_reason": word}]}
    server.script("json:" + json.dumps(made))
    assert (await openai.complete(ask("judge", max_tokens=16))).finish_reason == "length"


async def test_a_type_in_a_message_is_no_switch(openai: OpenAIBackend, server: Loopback) -> None:
    openai._dialect.host = "api.deepseek.com"
    server.script(refused("messages[0]: invalid type: null, expected a string"))
    with pytest.raises(CallError, match="invalid type"):
        await openai.complete(ask("deepseek-v4-flash", max_tokens=16))
    await openai.complete(ask("deepseek-v4-flash", max_tokens=16))
    assert server.calls[-1].body["thinking"] == {"type": "disabled"}


@pytest.mark.parametrize("words", ["prompt asks for the model's reasoning", "it exceeds what we call a fair question"])
async def test_an_effort_is_refused_in_words_about_it(openai: OpenAIBackend, server: Loopback, words: str) -> None:
    server.script(refused(f"Invalid text: {words}"))
    with pytest.raises(CallError, match="answered 400: Invalid text"):
        await openai.complete(ask("gpt-6-luna", effort="low"))


async def test_fewer_likely_tokens_hold_for_those_in_flight(openai: OpenAIBackend, server: Loopback) -> None:
    server.plan.latency = 0.05
    words = "'top_logprobs' should be in the range [0, 5]"
    server.plan.refuse = lambda call: refused(words) if call.body["top_logprobs"] > 5 else None
    await asyncio.gather(*(openai.complete(ask("judge", f"{n}", max_tokens=1, logprobs=5)) for n in range(8)))
    assert server.received == 16


async def test_no_fewer_likely_tokens_than_the_judge_wants(openai: OpenAIBackend, server: Loopback) -> None:
    server.plan.refuse = lambda call: refused("'top_logprobs' must be at most 3")
    with pytest.raises(ProviderError, match=r"fewer likely tokens than the judge's 5: .top_logprobs. must be"):
        await openai.complete(ask("judge", max_tokens=1, logprobs=5))
    assert server.received == 2


async def test_a_switch_that_is_refused_is_refused_once_for_all_in_flight(
    openai: OpenAIBackend, server: Loopback
) -> None:
    """An older vLLM has no effort `none`: what does not think is not told so, what does is told to think little."""
    words = (
        "[{'type': 'literal_error', 'loc': ('body', 'reasoning_effort'), 'msg': \"Input should be 'low' or 'high'\"}]"
    )
    server.plan.latency = 0.05
    server.plan.refuse = lambda call: refused(words) if call.body.get("reasoning_effort") == "none" else None
    asked = [ask(model, f"{n}", max_tokens=16) for n in range(8) for model in ("mistral-small-3.2", "gpt-6-luna")]
    await asyncio.gather(*(openai.complete(one) for one in asked))
    assert server.received == 32
    last = {call.body["model"]: call.body.get("reasoning_effort") for call in server.calls}
    assert last == {"mistral-small-3.2": None, "gpt-6-luna": "none"} | {"gpt-6-luna": "none"} or last["gpt-6-luna"] in (
        "none",
        "low",
    )


def mused(call: Call) -> str:
    made = answer_openai(call, "")
    made["choices"][0] |= {"finish_reason": "length", "message": {"content": None, "reasoning_content": "Hm, and"}}
    made["usage"] = {"prompt_tokens": 20, "completion_tokens": call.body["max_tokens"], "cost": 0}
    return "json:" + json.dumps(made | {"model": call.body["model"]})


async def test_answers_in_flight_do_not_speak_against_a_switch_they_did_not_have(
    openai: OpenAIBackend, server: Loopback
) -> None:
    def pondering(call: Call) -> str | None:
        return None if "chat_template_kwargs" in call.body else mused(call)

    server.plan.latency = 0.05
    server.plan.refuse = pondering
    await asyncio.gather(*(insist(openai, ask("judge", f"{n}", max_tokens=16)) for n in range(8)))
    assert server.received == 16
    assert all(call.body["max_tokens"] == 16 for call in server.calls)


async def test_blank_lines_are_no_thoughts(openai: OpenAIBackend, server: Loopback) -> None:
    made: dict[str, Any] = {"choices": [{"message": {"content": "\n\n\n"}, "finish_reason": "length"}]}
    server.script("json:" + json.dumps(made))
    assert (await openai.complete(ask("judge", max_tokens=16))).finish_reason == "length"
    await openai.complete(ask("judge", max_tokens=2048))
    assert [call.body["max_tokens"] for call in server.calls] == [16, 2048]


@pytest.mark.parametrize(
    ("message", "usage"),
    [
        ({"reasoning": ""}, {"completion_tokens": 1, "completion_tokens_details": {"reasoning_tokens": 0}}),
        ({"reasoning_content": None}, {"completion_tokens": 1, "completion_tokens_details": None}),
        # a total that counts what is in neither part is no proof of thinking
        ({}, {"completion_tokens": 1, "total_tokens": 60}),
    ],
)
async def test_what_is_no_sign_of_thinking(
    openai: OpenAIBackend, server: Loopback, message: dict[str, Any], usage: dict[str, Any]
) -> None:
    def plain(call: Call) -> str:
        made = answer_openai(call, "")
        made["choices"][0]["message"] |= message
        made["usage"] = {"prompt_tokens": 20, **usage}
        return "json:" + json.dumps(made)

    server.plan.refuse = plain
    assert (await openai.complete(ask("judge", max_tokens=1, logprobs=5))).logprobs
    await openai.complete(ask("judge", max_tokens=2048))
    assert server.calls[-1].body["max_tokens"] == 2048


@pytest.mark.parametrize("model", ["MiniMax-M2", "gpt-oss-120b", "Qwen3-32B", "kimi-k2-thinking"])
async def test_other_models_speak_anthropics_wire_too(claude: AnthropicBackend, server: Loopback, model: str) -> None:
    await claude.complete(ask(model, max_tokens=16))
    assert server.calls[0].body["max_tokens"] in (16, 16 + ROOM)
    assert not {"chat_template_kwargs", "reasoning_effort"} & server.calls[0].body.keys()
    await claude.complete(ask(model, max_tokens=16, thinking=True))
    assert not {"chat_template_kwargs", "reasoning_effort"} & server.calls[1].body.keys()


@pytest.mark.parametrize("alone", [20.0, 0.0])
async def test_a_budget_holds_when_a_model_is_found_to_think(
    server: Loopback, tmp_path: Path, alone: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Calls are reserved as what was learnt makes them: those that wait, and those sent again with room."""

    def thinker(call: Call) -> str | None:
        if call.body["max_tokens"] <= 100:
            return mused(call)
        made = answer_openai(call, "")
        made["usage"] = {"prompt_tokens": 20, "completion_tokens": 1000}
        return "json:" + json.dumps(made | {"model": "judge"})

    monkeypatch.setattr("simfarm.engine.runner.ALONE", alone)
    server.plan.refuse, server.plan.latency = thinker, 0.02
    backend = OpenAIBackend(base_url=f"{server.url}/v1")
    store = Store(tmp_path / "s.sqlite")
    async with Engine(backend, store, concurrency=64, budget=3.0, price=(0.0, 100.0)) as engine:
        asked = [ask("judge", f"{n}", max_tokens=50) for n in range(60)]
        done = await asyncio.gather(*(engine.complete(one) for one in asked), return_exceptions=True)
    store.close()
    paid = sum(100e-6 * (50 if call.body["max_tokens"] <= 100 else 1000) for call in server.calls)
    assert engine.stats.cost == pytest.approx(paid)
    assert paid <= 3.0
    assert any(isinstance(one, BudgetError) for one in done)
    assert sum(isinstance(one, tuple) for one in done) >= 15


def test_what_was_paid_in_vain_and_is_not_known_makes_the_whole_unknown() -> None:
    known = Completion("m", input_tokens=10, output_tokens=1, cost=0.5)
    assert known.after([Completion("", input_tokens=10, output_tokens=16, cost=0.25)]) == Completion(
        "m", input_tokens=20, output_tokens=17, cost=0.75
    )
    unknown = known.after([Completion("")])
    assert (unknown.input_tokens, unknown.output_tokens, unknown.cost) == (None, None, None)
    shares = Completion("m", input_tokens=10, output_tokens=9, thinking_tokens=8)
    assert shares.after([Completion("", input_tokens=10, output_tokens=16)]).thinking_tokens == 8
