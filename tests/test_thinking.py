"""Models that think: room for it, or none of it; what one call learns holds for those in flight; nothing paid twice."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Call, Loopback, answer_anthropic, answer_openai

from simfarm.backends.base import insist
from simfarm.backends.http.anthropic import AnthropicBackend
from simfarm.backends.http.dialect import Dialect
from simfarm.backends.http.openai import OpenAIBackend
from simfarm.backends.http.traits import DEEP_ROOM, ROOM, traits
from simfarm.cli import main
from simfarm.data.exchange import Message, Request
from simfarm.data.records import Comparison
from simfarm.data.sampling import Sampling
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store, request_key
from simfarm.errors import InputError, ProviderError
from simfarm.judges import load_judge
from simfarm.judges.question import in_process
from simfarm.runs.asking import Call as Question
from simfarm.runs.asking import Member, request_for
from simfarm.runs.generation import GenerationRun
from simfarm.runs.options import RunOptions

MESSAGES: tuple[Message, ...] = ({"role": "user", "content": "Which is better?"},)
SCHEMA = {"type": "object", "properties": {"winner": {"type": "string"}}, "required": ["winner"]}


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


def ask(model: str, **sampling: Any) -> Request:
    return Request(model, MESSAGES, sampling)


def wire(model: str, host: str | None = None, **sampling: Any) -> dict[str, Any]:
    body = Dialect(host and f"https://{host}/v1").body(ask(model, **sampling))
    return {name: value for name, value in body.items() if name not in ("model", "messages")}


def mused(call: Call, tokens: int) -> str:
    """An answer whose limit was used up by thinking, `tokens` of it."""
    made = answer_openai(call, "")
    made["choices"][0] |= {"finish_reason": "length", "message": {"content": None, "reasoning_content": "Hm, and"}}
    made["usage"] = {"prompt_tokens": 20, "completion_tokens": tokens, "total_tokens": 20 + tokens}
    return "json:" + json.dumps(made | {"model": call.body["model"]})


def pondering(call: Call) -> str | None:
    """A model that thinks for 100 tokens unless its chat template is told not to."""
    switch = call.body.get("chat_template_kwargs", {}).get("enable_thinking", True)
    limit = call.body.get("max_tokens", 10_000)
    return mused(call, limit) if switch and limit <= 100 else None


@pytest.mark.parametrize(
    ("model", "host", "sampling", "body"),
    [
        ("gpt-4.1", None, {"max_tokens": 16, "temperature": 0}, {"max_tokens": 16, "temperature": 0}),
        ("gpt-6-luna", None, {"max_tokens": 16, "temperature": 0},
         {"max_completion_tokens": 16, "temperature": 0, "reasoning_effort": "none"}),
        ("gpt-6-luna", None, {"max_tokens": 2048, "temperature": 0}, {"max_completion_tokens": 2048 + ROOM}),
        ("gpt-6-luna", None, {"max_tokens": 2048, "temperature": 0, "thinking": False},
         {"max_completion_tokens": 2048, "temperature": 0, "reasoning_effort": "none"}),
        ("gpt-6-luna", None, {"max_tokens": 16, "effort": "high"},
         {"max_completion_tokens": 16 + DEEP_ROOM, "reasoning_effort": "high"}),
        ("gpt-6-luna", None, {"max_tokens": 1, "logprobs": 5},
         {"max_completion_tokens": 1, "logprobs": True, "top_logprobs": 20, "reasoning_effort": "none"}),
        ("gpt-6-astra", None, {"max_tokens": 16, "temperature": 0},
         {"max_completion_tokens": 16 + ROOM, "reasoning_effort": "low"}),
        ("gpt-5-mini", None, {"max_tokens": 16}, {"max_completion_tokens": 16 + ROOM, "reasoning_effort": "minimal"}),
        ("gpt-5.1", None, {"max_tokens": 500, "temperature": 0},
         {"max_completion_tokens": 500, "temperature": 0, "reasoning_effort": "none"}),
        ("gpt-5.1", None, {"max_tokens": 500, "thinking": True},
         {"max_completion_tokens": 500 + ROOM, "reasoning_effort": "medium"}),
        ("Qwen/Qwen3-32B", "localhost", {"max_tokens": 16},
         {"max_tokens": 16, "chat_template_kwargs": {"enable_thinking": False}}),
        ("Qwen/Qwen3-32B", "localhost", {"max_tokens": 2048}, {"max_tokens": 2048 + ROOM}),
        ("Qwen/Qwen3-32B", "localhost", {"max_tokens": 2048, "template_args": {"enable_thinking": False, "x": 1}},
         {"max_tokens": 2048, "chat_template_kwargs": {"enable_thinking": False, "x": 1}}),
        ("Qwen/Qwen3-32B", "localhost", {"max_tokens": 16, "template_args": {"x": 1}},
         {"max_tokens": 16, "chat_template_kwargs": {"enable_thinking": False, "x": 1}}),
        ("gpt-6-luna", None, {"max_tokens": 50, "logprobs": 5},
         {"max_completion_tokens": 50, "logprobs": True, "top_logprobs": 20, "reasoning_effort": "none"}),
        ("qwen3.5-plus", "dashscope.aliyuncs.com", {"max_tokens": 16}, {"max_tokens": 16, "enable_thinking": False}),
        ("deepseek-v4-flash", "api.deepseek.com", {"max_tokens": 16},
         {"max_tokens": 16, "thinking": {"type": "disabled"}}),
        ("deepseek/deepseek-v4-flash", "openrouter.ai", {"max_tokens": 16},
         {"max_tokens": 16, "reasoning": {"enabled": False}}),
        ("openai/gpt-oss-120b", "api.groq.com", {"max_tokens": 16},
         {"max_tokens": 16 + ROOM, "reasoning_effort": "low"}),
        ("gemini-2.5-flash", "generativelanguage.googleapis.com", {"max_tokens": 16},
         {"max_tokens": 16, "reasoning_effort": "none"}),
        ("my-judge", "localhost", {"max_tokens": 16, "extra": {"top_k": 1}}, {"max_tokens": 16, "top_k": 1}),
        ("llama-v3p3", "api.fireworks.ai", {"max_tokens": 1, "logprobs": 2},
         {"max_tokens": 1, "logprobs": True, "top_logprobs": 5}),
        ("llama-3", "api.together.xyz", {"max_tokens": 1, "logprobs": 2}, {"max_tokens": 1, "logprobs": 20}),
    ],
)  # fmt: skip
def test_what_goes_over_the_wire(model: str, host: str | None, sampling: dict[str, Any], body: dict[str, Any]) -> None:
    assert wire(model, host, **sampling) == body


@pytest.mark.parametrize(
    ("model", "sampling", "body"),
    [
        ("claude-haiku-4-5", {"max_tokens": 16, "temperature": 0}, {"max_tokens": 16, "temperature": 0}),
        ("claude-opus-4-8", {"max_tokens": 16, "temperature": 0}, {"max_tokens": 16}),
        ("claude-sonnet-5", {"max_tokens": 16}, {"max_tokens": 16, "thinking": {"type": "disabled"}}),
        ("claude-sonnet-5", {"max_tokens": 2048, "temperature": 0}, {"max_tokens": 2048 + ROOM}),
        ("claude-sonnet-5", {"max_tokens": 9, "thinking": False}, {"max_tokens": 9, "thinking": {"type": "disabled"}}),
        ("claude-sonnet-5-5", {"max_tokens": 16}, {"max_tokens": 16, "thinking": {"type": "between_tools"}}),
        ("claude-opus-5-5", {"max_tokens": 16}, {"max_tokens": 16 + ROOM, "output_config": {"effort": "low"}}),
        ("claude-opus-4-6", {"max_tokens": 9, "thinking": True},
         {"max_tokens": 9 + ROOM, "thinking": {"type": "adaptive"}}),
        ("claude-opus-4-5", {"max_tokens": 9, "effort": "low"}, {"max_tokens": 9, "output_config": {"effort": "low"}}),
        ("claude-opus-4-5", {"max_tokens": 9, "thinking": 2000},
         {"max_tokens": 9 + 2000, "thinking": {"type": "enabled", "budget_tokens": 2000}}),
    ],
)  # fmt: skip
async def test_what_claude_is_told(
    claude: AnthropicBackend, model: str, sampling: dict[str, Any], body: dict[str, Any]
) -> None:
    made = claude.body(ask(model, **sampling))
    assert {name: value for name, value in made.items() if name not in ("model", "messages")} == body


def test_the_store_knows_a_question_by_simfarms_own_words() -> None:
    """What a model is told beside them may change with every simfarm; nothing paid for is asked again for that."""
    pair = Comparison("i", "one", "two", "a", "b")
    judge = load_judge("pairwise-letter")
    request = request_for(Question(pair, "12", 0, Member(judge, "gpt-6-luna")))
    assert request.sampling == {"temperature": 0, "max_tokens": 16}
    key = request_key("openai", None, Request("m", MESSAGES, {"temperature": 0, "max_tokens": 16}))
    assert key.hex()[:16] == "31d0a86456cbb938"


@pytest.mark.parametrize(
    ("model", "sampling", "told"),
    [
        ("gpt-6-astra", {"effort": "none"}, "gpt-6-astra has no effort 'none': it takes low, medium, high, xhigh"),
        ("gpt-5.6-luna", {"effort": "minimal"}, "has no effort 'minimal': it takes none, low"),
        ("gpt-4.1", {"effort": "low"}, "it takes no effort; leave it out"),
        ("gpt-4.1", {"effort": "none"}, "has no effort 'none': it takes no effort; leave it out"),
        ("claude-haiku-5-5", {"effort": "none"}, "xhigh, max; sampling: {thinking: false} in the judge switches"),
        ("gpt-4.1", {"thinking": True}, "gpt-4.1 does not think: leave thinking out"),
        ("gpt-6-luna", {"effort": "low", "thinking": True}, "leave one of them out"),
        ("gpt-6-astra", {"logprobs": 5}, "gives no log probabilities: use a judge that reads text"),
        ("gpt-6-luna", {"logprobs": 5, "effort": "low"}, "while it thinks: .*effort: none"),
        ("gpt-6-luna", {"template_args": {"enable_thinking": False}}, "effort: none is what switches"),
        ("gpt-6-luna", {"thinking": 4096}, r"takes no number of tokens to think in: use an effort \(none, low, medium"),
        ("claude-haiku-5-5", {"thinking": 4096}, r"no number of tokens to think in: use an effort \(low, medium"),
        ("kimi-k2.6", {"thinking": 4096}, "no number of tokens to think in: use thinking: true or false"),
        ("gpt-4.1", {"thinking": 4096}, "gpt-4.1 does not think: leave thinking out"),
    ],
)
def test_what_a_model_has_not_is_told_before_the_first_call(model: str, sampling: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        Dialect(None).check(model, sampling)


async def test_what_one_refusal_taught_holds_for_all_in_flight(openai: OpenAIBackend, server: Loopback) -> None:
    server.plan.latency = 0.05
    server.plan.refuse = lambda call: "400-temperature" if "temperature" in call.body else None
    asked = [Request("mystery", ({"role": "user", "content": f"{n}"},), {"temperature": 0}) for n in range(64)]
    done = await asyncio.gather(*(openai.complete(one) for one in asked))
    assert len(done) == 64
    assert server.received == 128, "each was refused once, and answered once"


async def test_the_first_call_of_a_run_finds_out_for_all(server: Loopback, tmp_path: Path) -> None:
    server.plan.latency = 0.3
    server.plan.refuse = lambda call: "400-temperature" if "temperature" in call.body else None
    backend = OpenAIBackend(base_url=f"{server.url}/v1")
    store = Store(tmp_path / "s.sqlite")
    async with Engine(backend, store, concurrency=64) as engine:
        asked = [Request("mystery", ({"role": "user", "content": f"{n}"},), {"temperature": 0}) for n in range(200)]
        await asyncio.gather(*(engine.complete(one) for one in asked))
    store.close()
    assert server.received == 201
    assert server.most_running == 64


async def test_a_first_call_that_hangs_does_not_hold_the_others(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simfarm.engine.runner.ALONE", 0.3)
    server.script("hang")
    backend = OpenAIBackend(base_url=f"{server.url}/v1")
    store = Store(tmp_path / "s.sqlite")
    async with Engine(backend, store, concurrency=8, timeout=60) as engine:
        asked = [Request("m", ({"role": "user", "content": f"{n}"},), {}) for n in range(20)]
        running = asyncio.gather(*(engine.complete(one) for one in asked))
        async with asyncio.timeout(20):
            while server.answered < 19:
                await asyncio.sleep(0.05)
        running.cancel()
    store.close()


async def test_a_model_that_is_found_to_think_is_asked_without(openai: OpenAIBackend, server: Loopback) -> None:
    server.plan.refuse = pondering
    done = await insist(openai, ask("judge", max_tokens=16))
    assert done.text in ("m", "M")
    assert done.output_tokens is not None
    assert done.output_tokens > 16, "what was thought in vain was paid for"
    assert server.received == 2
    await insist(openai, ask("judge", max_tokens=16))
    assert server.received == 3
    long = await insist(openai, ask("judge", max_tokens=50))
    assert long.text
    assert server.calls[-1].body["max_tokens"] == 50 + ROOM


async def test_a_switch_that_is_ignored_gives_room(openai: OpenAIBackend, server: Loopback) -> None:
    server.plan.refuse = lambda call: mused(call, 16) if call.body["max_tokens"] <= 100 else None
    await insist(openai, ask("Qwen3-8B", max_tokens=16))
    assert [call.body["max_tokens"] for call in server.calls] == [16, 16 + ROOM]
    await insist(openai, ask("judge", max_tokens=16))
    assert [call.body["max_tokens"] for call in server.calls[2:]] == [16, 16, 16 + ROOM]


async def test_an_answer_that_shows_thoughts_gives_the_next_ones_room(openai: OpenAIBackend, server: Loopback) -> None:
    def thoughtful(call: Call) -> str:
        made = answer_openai(call, "")
        made["choices"][0]["message"] = {"content": "[[A>B]]", "reasoning": "Both are short."}
        return "json:" + json.dumps(made)

    server.plan.refuse = thoughtful
    for _ in range(2):
        await openai.complete(ask("judge", max_tokens=2048))
    assert [call.body["max_tokens"] for call in server.calls] == [2048, 2048 + ROOM]


async def test_thoughts_in_the_text_are_seen(openai: OpenAIBackend, server: Loopback) -> None:
    def tagged(call: Call) -> str | None:
        if call.body["max_tokens"] > 100:
            return None
        made = answer_openai(call, "")
        made["choices"][0] |= {"finish_reason": "length", "message": {"content": "<think>\nLet me see, the first"}}
        return "json:" + json.dumps(made)

    server.plan.refuse = tagged
    done = await insist(openai, ask("judge", max_tokens=16))
    assert done.text in ("m", "M")


async def test_thoughts_that_are_not_shown_are_guessed(openai: OpenAIBackend, server: Loopback) -> None:
    def silent(call: Call) -> str | None:
        if call.body["max_tokens"] > 100:
            return None
        made = answer_openai(call, "")
        made["choices"][0] |= {"finish_reason": "length", "message": {"content": None}}
        return "json:" + json.dumps(made)

    server.plan.refuse = silent
    done = await insist(openai, ask("judge", max_tokens=16))
    assert done.text in ("m", "M")
    assert [call.body["max_tokens"] for call in server.calls] == [16, 16, 16 + ROOM]


async def test_a_first_token_that_is_a_thought_ends_the_run(openai: OpenAIBackend, server: Loopback) -> None:
    def always(call: Call) -> str:
        made = answer_openai(call, "")
        made["choices"][0] |= {"finish_reason": "length", "message": {"content": None, "reasoning": "Hm"}}
        return "json:" + json.dumps(made)

    server.plan.refuse = always
    with pytest.raises(ProviderError, match="thinks first, so that its first token is no verdict: use a judge that"):
        await insist(openai, ask("judge", max_tokens=1, logprobs=5))


@pytest.mark.parametrize(
    "words",
    [
        "This model's maximum context length is 8192 tokens. However, you requested 9000 output tokens.",
        "max_tokens=8208 cannot be greater than max_model_len=8192. Please request fewer output tokens.",
        "max_tokens is too large: 8208. This model supports at most 4096 completion tokens",
    ],
)
async def test_room_that_a_server_has_not_is_not_asked_for_again(
    openai: OpenAIBackend, server: Loopback, words: str
) -> None:
    server.plan.refuse = lambda call: f"400:{words} (max_tokens)" if call.body["max_tokens"] > 4096 else None
    await openai.complete(ask("gpt-oss-20b", max_tokens=2048))
    await openai.complete(ask("gpt-oss-20b", max_tokens=2048))
    assert [call.body["max_tokens"] for call in server.calls] == [2048 + ROOM, 2048, 2048]


async def test_fewer_likely_tokens_where_a_server_has_not_so_many(openai: OpenAIBackend, server: Loopback) -> None:
    words = "Requested sample logprobs of 20, which is greater than max allowed: 5"
    server.plan.refuse = lambda call: f"400:{words}" if call.body["top_logprobs"] > 5 else None
    done = await openai.complete(ask("m", max_tokens=1, logprobs=5))
    assert done.logprobs
    assert [call.body["top_logprobs"] for call in server.calls] == [20, 5]


async def test_an_effort_is_never_dropped(openai: OpenAIBackend, claude: AnthropicBackend, server: Loopback) -> None:
    words = "Unsupported value: 'reasoning_effort' does not support 'none'. Supported values are: 'low' and 'high'."
    server.plan.refuse = lambda call: f"400:{words}"
    with pytest.raises(ProviderError, match=r"mystery refuses the effort 'none': .*'low' and 'high'"):
        await openai.complete(ask("mystery", effort="none"))
    server.plan.refuse = lambda call: "400:This model does not support effort level 'max'. Supported levels: low, high."
    with pytest.raises(ProviderError, match=r"refuses the effort 'max': .*Supported levels: low, high"):
        await claude.complete(ask("claude-next", effort="max", schema=SCHEMA))
    assert server.received == 2


async def test_claude_loses_the_schema_alone(claude: AnthropicBackend, server: Loopback) -> None:
    def refuse(call: Call) -> str | None:
        held = "format" in call.body.get("output_config", {})
        return "400:output_config.format: Extra inputs are not permitted" if held else None

    server.plan.refuse = refuse
    await claude.complete(ask("claude-opus-4-5", effort="low", schema=SCHEMA))
    assert server.calls[1].body["output_config"] == {"effort": "low"}


async def test_claude_that_cannot_but_think(claude: AnthropicBackend, server: Loopback) -> None:
    words = (
        '400:"thinking.type.disabled" is not supported for this model. Use "thinking.type.adaptive" and '
        '"output_config.effort" to control thinking behavior.'
    )
    server.plan.refuse = lambda call: words if "thinking" in call.body else None
    await claude.complete(ask("claude-opus-6", max_tokens=16))
    assert server.calls[1].body["max_tokens"] == 16 + ROOM
    assert server.calls[1].body["output_config"] == {"effort": "low"}


async def test_a_schema_that_is_ignored_is_told_once(
    openai: OpenAIBackend, server: Loopback, caplog: pytest.LogCaptureFixture
) -> None:
    def prose(call: Call) -> str:
        made = answer_openai(call, "")
        made["choices"][0]["message"]["content"] = "The first one, I think."
        return "json:" + json.dumps(made)

    server.plan.refuse = prose
    for _ in range(3):
        await openai.complete(ask("m", schema=SCHEMA))
    assert [record.getMessage() for record in caplog.records] == [
        "m was not held to the JSON schema it was asked for: replies that are none have no verdict"
    ]


# --- from files to files ----------------------------------------------------------------------------------------------


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction": f"q{n}", "output_1": f"one {n}", "output_2": f"two {n}"} for n in range(30)]
    Path("pairs.json").write_text(json.dumps(rows))
    return tmp_path


def annotate(server: Loopback, *more: str, model: str = "judge") -> int:
    asked = ["--model", f"openai/{model}", "--base-url", f"{server.url}/v1", "--order", "fixed"]
    return main(["annotate", "pairs.json", *asked, "-o", "out.jsonl", *more])


def verdicts() -> int:
    return sum(json.loads(line)["status"] == "verdict" for line in Path("out.jsonl").read_text().splitlines())


def cut_off(limit: int) -> Callable[[Call], str | None]:
    """A judge that has more to say than `limit` tokens."""

    def refuse(call: Call) -> str | None:
        if call.body["max_tokens"] > limit:
            return None
        made = answer_openai(call, "")
        made["choices"][0] |= {"finish_reason": "length", "message": {"content": "Both answers have their merits, and"}}
        return "json:" + json.dumps(made)

    return refuse


def test_a_verdict_that_was_cut_off_is_paid_once(
    pairs: Path, server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    server.plan.refuse = cut_off(3000)
    assert annotate(server, "--judge", "pairwise-reasoned") == 4
    assert server.received == 30, "nothing was repaired"
    told = capsys.readouterr().err
    assert "30 verdicts were cut off by the token limit, where asking again would end as well: --max-tokens N" in told
    assert "run the same command again" not in told
    assert annotate(server, "--judge", "pairwise-reasoned") == 4
    assert server.received == 30, "nor asked by the next run"
    assert main(["annotate", "pairs.json", "--model", "openai/judge", "--base-url", f"{server.url}/v1", "--order",
                 "fixed", "--judge", "pairwise-reasoned", "--dry-run"]) == 0  # fmt: skip
    assert "0 requests would go" in capsys.readouterr().out
    assert annotate(server, "--judge", "pairwise-reasoned", "--max-tokens", "4096") == 0
    assert (server.received, verdicts()) == (60, 30)
    assert annotate(server, "--judge", "pairwise-reasoned", "--retry-unparseable") == 4
    assert server.received == 90, "unless it is wanted"


def test_what_an_earlier_simfarm_asked_again_counts(pairs: Path, server: Loopback, tmp_path: Path) -> None:
    """It repaired verdicts that were cut off, and asked for them again; some of that gave verdicts."""
    server.plan.refuse = cut_off(3000)
    assert annotate(server, "--judge", "pairwise-reasoned") == 4
    whole = json.dumps({"text": "[[A>B]]", "finish_reason": "stop", "model": "judge"})
    judge = load_judge("pairwise-reasoned")
    base = f"{server.url}/v1"
    rows = json.loads(Path("pairs.json").read_text())
    from simfarm.data.exchange import Completion
    from simfarm.runs.asking import _repair

    with sqlite3.connect(tmp_path / "store.sqlite") as store:
        for number, row in enumerate(rows[:20]):
            question = Question(
                Comparison(row["instruction"], row["output_1"], row["output_2"], None, None),
                "12",
                0,
                Member(judge, "judge"),
            )
            first = request_for(question)
            text = "Both answers have their merits, and"
            repair = _repair(first, Completion(text, finish_reason="length"), "cut off by the token limit")
            later = request_for(question, attempt=1)
            key = request_key("openai", base, repair if number < 10 else later)
            store.execute("INSERT INTO completions VALUES (?, ?, 0)", (key, whole))
    assert annotate(server, "--judge", "pairwise-reasoned") == 4
    assert (server.received, verdicts()) == (30, 20)


def test_a_thinking_model_gives_every_verdict_of_every_judge(
    pairs: Path, server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    def thinks(call: Call) -> str | None:
        off = call.body.get("reasoning_effort") == "none"
        if call.body["max_completion_tokens"] <= 200 and not off:
            return mused(call, call.body["max_completion_tokens"])
        return "400-logprobs" if "logprobs" in call.body and not off else None

    server.plan.refuse = thinks
    for judge in ("pairwise-reasoned", "pairwise-json", "pairwise-logprob"):
        assert annotate(server, "--judge", judge, model="gpt-6-luna") == 0
    assert server.received == 90
    told = capsys.readouterr().err
    assert "think" not in told
    asked = [
        "annotate",
        "pairs.json",
        "--model",
        "openai/gpt-6-luna",
        "--base-url",
        "http://localhost:9/v1",
        "--dry-run",
    ]
    for judge, room in (("pairwise-reasoned", True), ("pairwise-logprob", False)):
        assert main([*asked, "--judge", judge]) == 0
        assert ("(8,192 of each answer to think in)" in capsys.readouterr().out) == room


def test_an_effort_changes_the_judge(pairs: Path, server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert annotate(server, "--judge", "pairwise-reasoned", "--effort", "low") == 0
    assert server.calls[0].body["reasoning_effort"] == "low"
    (first, *_) = [json.loads(line) for line in Path("out.jsonl").read_text().splitlines()]
    assert first["judge_hash"] != load_judge("pairwise-reasoned").replace(model="openai/judge").hash
    capsys.readouterr()
    assert main(["annotate", "pairs.json", "--judge", "surface", "--effort", "low"]) == 2
    assert "--effort does nothing with the judge 'surface'" in capsys.readouterr().err


def test_what_would_not_be_sent_or_done_is_told(
    pairs: Path, server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    for option in ("--temperature", "--top-p"):
        assert annotate(server, "--judge", "pairwise-reasoned", option, "0.5", model="gpt-6-luna") == 2
        assert f"takes no {option[2:].replace('-', '_')} while it thinks: leave it out" in capsys.readouterr().err
    assert annotate(server, "--judge", "pairwise-letter", "--temperature", "0.5", model="gpt-6-luna") == 0
    assert server.calls[-1].body["temperature"] == 0.5
    Path("mine").mkdir()
    folder = Path(load_judge("pairwise-reasoned").path).parent
    Path("mine/template.jinja").write_text((folder / "template.jinja").read_text())
    text = (folder / "judge.yaml").read_text().replace("temperature: 0", "thinking: false")
    Path("mine/judge.yaml").write_text(text + "\nuntil: 2027-03-01\n")
    capsys.readouterr()
    assert annotate(server, "--judge", "mine", model="gpt-6-astra") == 0
    told = capsys.readouterr().err
    assert "warning: gpt-6-astra cannot but think, though the judge wants none of it: up to 8,192" in told
    assert "is shut down on 2027-03-01" not in told, "another model than the file's"
    asked = ["--base-url", f"{server.url}/v1", "-o", "out.jsonl"]
    assert main(["annotate", "pairs.json", "--judge", "mine", "--limit", "1", *asked]) == 0
    assert "warning: by the judge's file gpt-6-luna is shut down on 2027-03-01" in capsys.readouterr().err


def test_a_dry_run_tells_of_a_model_that_is_gone(
    pairs: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    command = [
        "annotate",
        "pairs.json",
        "--judge",
        "pairwise-letter",
        "--model",
        "openai/gpt-4o-2024-05-13",
        "--dry-run",
    ]
    assert main(command) == 0
    assert "warning: gpt-4o-2024-05-13 was shut down on 2026-10-23" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("sampling", "words", "named"),
    [
        ({"extra": {"top_k": 1}}, "Unrecognized request argument supplied: top_k", "top_k"),
        ({"template_args": {"x": 1}}, "property 'chat_template_kwargs' is unsupported", "chat_template_kwargs"),
        (
            {"chat_template": "{{ x }}"},
            "Untrusted chat template: not supported",
            "chat_template",
        ),
    ],
)
async def test_what_was_asked_for_is_not_left_out(
    openai: OpenAIBackend, server: Loopback, sampling: dict[str, Any], words: str, named: str
) -> None:
    server.plan.refuse = lambda call: f"400:{words}"
    with pytest.raises(ProviderError, match=f"m takes no {named}, which was asked for: leave it out: "):
        await openai.complete(ask("m", **sampling))
    assert server.received == 1


def test_outputs_of_a_model_that_thinks(pairs: Path, server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    command = [
        "generate",
        "pairs.json",
        "--model",
        "openai/gpt-6-luna",
        "--base-url",
        f"{server.url}/v1",
        "--limit",
        "1",
    ]
    assert main([*command, "-o", "o.json"]) == 0
    assert server.calls[0].body["max_completion_tokens"] == 1024 + ROOM
    (first,) = json.loads(Path("o.json").read_text())
    assert "temperature" not in first["sampling"], "none was sent"
    assert main([*command, "--effort", "none", "--temperature", "0.5", "-o", "o.json"]) == 0
    assert server.calls[1].body["reasoning_effort"] == "none"
    (made,) = json.loads(Path("o.json").read_text())
    assert made["sampling"]["effort"] == "none"
    capsys.readouterr()
    assert main([*command, "--temperature", "0.5"]) == 2
    assert "gpt-6-luna takes no temperature while it thinks: leave it out" in capsys.readouterr().err
    assert main([*command, "--effort", " "]) == 2


async def test_outputs_without_thinking(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-x")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    off = Sampling(template_args={"enable_thinking": False})
    for spec in ("openai/gpt-6-luna", "anthropic/claude-sonnet-5"):
        assert GenerationRun.open(spec, off).sampling.of_sample(0) == {
            "temperature": 0.0,
            "max_tokens": 1024,
            "thinking": False,
        }
    served = GenerationRun.open("openai/Qwen3-8B", off, RunOptions(base_url=f"{server.url}/v1"))
    assert served.sampling.of_sample(0)["template_args"] == {"enable_thinking": False}, "as the store knows it"
    with pytest.raises(InputError, match="gpt-6-astra cannot but think"):
        GenerationRun.open("openai/gpt-6-astra", off)


def test_a_judge_says_how_it_thinks(tmp_path: Path) -> None:
    judge = load_judge("pairwise-reasoned")
    quiet = judge.replace(sampling={"max_tokens": 9, "thinking": False})
    assert in_process(quiet).sampling == {"max_tokens": 9, "template_args": {"enable_thinking": False}}
    assert in_process(judge) is judge
    assert quiet.hash != judge.replace(sampling={"max_tokens": 9}).hash
    for wrong in (
        {"thinking": "off"},
        {"extra": [1]},
        {"extra": {"messages": []}},
        {"template_args": {"x": float("nan")}},
        {"effort": 3},
    ):
        with pytest.raises(InputError, match=next(iter(wrong))):
            judge.replace(sampling=wrong)


def test_a_model_in_this_process_takes_no_number_of_tokens() -> None:
    counted = load_judge("pairwise-reasoned").replace(sampling={"thinking": 2048})
    with pytest.raises(InputError, match="a model in this process takes no number of tokens to think in: true or"):
        in_process(counted)


def thought_first(call: Call) -> str:
    """A server without a reader for thoughts: they stand in the text, a label that was weighed among them."""
    made = answer_openai(call, "")
    made["choices"][0]["message"]["content"] = "<think>\nIs it [[B>>A]]?\n</think>\n\nA is right.\n[[A>B]]"
    return "json:" + json.dumps(made)


def shown_apart(call: Call) -> str:
    made = answer_openai(call, "")
    made["choices"][0]["message"] |= {"content": "A is right.\n[[A>B]]", "reasoning_content": "Is it [[B>>A]]?"}
    return "json:" + json.dumps(made)


def thought_only(call: Call) -> str:
    made = answer_openai(call, "")
    made["choices"][0]["message"]["content"] = "<think>\nIs it [[B>>A]]?\n"
    return "json:" + json.dumps(made)


@pytest.mark.parametrize("manner", [thought_first, shown_apart])
def test_thoughts_are_no_part_of_a_reply_and_kept_apart(pairs: Path, server: Loopback, manner: Any) -> None:
    server.plan.refuse = manner
    assert annotate(server, "--judge", "pairwise-reasoned") == 0
    row = json.loads(Path("out.jsonl").read_text("utf-8").splitlines()[0])
    assert row["reason"] == "A is right."
    assert row["raw_completion"]["text"] == "A is right.\n[[A>B]]"
    assert row["raw_completion"]["thinking"] == "Is it [[B>>A]]?"
    replayed = [
        "annotate",
        "pairs.json",
        "--judge",
        "pairwise-reasoned",
        "--model",
        "replay/out.jsonl",
        "--order",
        "fixed",
    ]
    assert main([*replayed, "-o", "again.jsonl"]) == 0
    again = json.loads(Path("again.jsonl").read_text("utf-8").splitlines()[0])
    assert again["raw_completion"] == row["raw_completion"]


def test_a_label_in_thoughts_alone_is_no_verdict(pairs: Path, server: Loopback) -> None:
    server.plan.refuse = thought_only
    assert annotate(server, "--judge", "pairwise-reasoned") == 4
    row = json.loads(Path("out.jsonl").read_text("utf-8").splitlines()[0])
    assert (row["status"], row["error"]) == ("unparseable", "the reply is empty")
    repair = next(call for call in server.calls if len(call.body["messages"]) > 2)
    assert repair.body["messages"][-2]["content"] == "(empty reply)", "it is not shown its thoughts"


def test_a_claude_shows_its_thoughts_in_blocks(pairs: Path, server: Loopback) -> None:
    blocks = [
        {"type": "thinking", "thinking": "Is it [[B>>A]]?", "signature": "x"},
        {"type": "text", "text": "[[A>B]]"},
    ]

    def thoughtful(call: Call) -> str:
        return "json:" + json.dumps({**answer_anthropic(call, ""), "content": blocks, "model": call.body["model"]})

    server.plan.refuse = thoughtful
    asked = ("--model", "anthropic/claude-haiku-5-5", "--base-url", server.url, "--store", "c.sqlite")
    assert main(["annotate", "pairs.json", "--judge", "pairwise-reasoned", *asked, "-o", "c.jsonl"]) == 0
    raw = json.loads(Path("c.jsonl").read_text("utf-8").splitlines()[0])["raw_completion"]
    assert (raw["text"], raw["thinking"]) == ("[[A>B]]", "Is it [[B>>A]]?")


def test_every_family_is_known_by_its_own_line() -> None:
    for name, thinks in {
        "openai/gpt-6.1-terra": True,
        "gpt-5-chat-latest": False,
        "o3-2025-04-16": True,
        "omni-moderation": False,
        "claude-haiku-5-5": True,
        "anthropic/claude-opus-5.5": True,
        "claude-3-haiku": False,
        "gemini-3.8-flash": True,
        "deepseek-v3.1": False,
        "qwen3-30b-a3b-instruct": False,
        "Qwen/Qwen3-30B-A3B-Thinking-2507": True,
        "kimi-k2.6": True,
        "mistral-small-latest": False,
        "grok-4.7": True,
        "meta-llama/Llama-3.3-70B-Instruct": False,
    }.items():
        assert traits(name, "localhost").thinks == thinks, name
    assert traits("gpt-6-luna").off == {"reasoning_effort": "none"}
    assert traits("gpt-6-astra").off is None
