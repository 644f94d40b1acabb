"""Both SDKs, for real, over loopback HTTP: every fault a provider can show, and what becomes of it."""

from __future__ import annotations

import json
import math
from collections.abc import AsyncIterator, Iterator
from email.utils import formatdate
from time import time

import pytest
from loopback import Loopback, share_first

from simfarm.backends import open_backend
from simfarm.backends.http.anthropic import AnthropicBackend
from simfarm.backends.http.complaints import provider_words, retry_after
from simfarm.backends.http.openai import OpenAIBackend
from simfarm.backends.http.traits import ROOM, traits
from simfarm.data.exchange import CallError, Completion, Request, TransientError
from simfarm.errors import InputError, ProviderError

PROMPT = "Which answer is better, the long one about the badger or the short one about the fox?"
KEY = "sk-secret-0123456789abcdef"
SCHEMA = {
    "type": "object",
    "properties": {"reason": {"type": "string"}, "verdict": {"type": "string", "enum": ["A", "B", "tie"]}},
    "required": ["reason", "verdict"],
    "additionalProperties": False,
}


@pytest.fixture(scope="module")
def _server() -> Iterator[Loopback]:
    with Loopback() as server:
        yield server


@pytest.fixture
def server(_server: Loopback) -> Loopback:
    _server.calls.clear()
    _server.script()
    _server.plan.model = None
    return _server


@pytest.fixture
async def openai(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[OpenAIBackend]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    backend = OpenAIBackend(base_url=f"{server.url}/v1", timeout=2.0)
    yield backend
    await backend.close()


@pytest.fixture
async def anthropic(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[AnthropicBackend]:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    backend = AnthropicBackend(base_url=server.url, timeout=2.0)
    yield backend
    await backend.close()


@pytest.fixture(params=["openai", "anthropic"])
def backend(request: pytest.FixtureRequest) -> OpenAIBackend | AnthropicBackend:
    return request.getfixturevalue(request.param)


def ask(model: str = "judge-1", prompt: str = PROMPT, **sampling: object) -> Request:
    return Request(model, ({"role": "system", "content": "You judge."}, {"role": "user", "content": prompt}), sampling)


async def test_a_completion_carries_text_usage_model_and_time(
    backend: OpenAIBackend | AnthropicBackend, server: Loopback
) -> None:
    done = await backend.complete(ask(temperature=0, max_tokens=5))
    assert done.text == ("m" if share_first(f"You judge.\n{PROMPT}") > 0.5 else "M") or backend.name == "anthropic"
    assert done.text in ("m", "M")
    assert (done.finish_reason, done.model) == ("stop", "judge-1")
    assert done.input_tokens is not None
    assert done.input_tokens > 10
    assert done.output_tokens == 1
    assert done.seconds is not None
    assert done.seconds > 0
    assert Completion.from_json(done.to_json()) == done


async def test_openai_wire_and_log_probabilities(openai: OpenAIBackend, server: Loopback) -> None:
    done = await openai.complete(ask(temperature=0, max_tokens=1, logprobs=5, seed=7, stop=["\n"]))
    first = share_first(f"You judge.\n{PROMPT}")
    assert done.logprobs is not None
    assert done.logprobs[0].top["m"] == pytest.approx(math.log(first), abs=1e-12)
    assert math.exp(done.logprobs[0].top["m"]) + math.exp(done.logprobs[0].top["M"]) == pytest.approx(1)
    body = server.calls[0].body
    assert {k: v for k, v in body.items() if k != "messages"} == {
        "model": "judge-1",
        "temperature": 0,
        "max_tokens": 1,
        "logprobs": True,
        "top_logprobs": 20,
        "seed": 7,
        "stop": ["\n"],
    }
    assert server.calls[0].headers["authorization"] == f"Bearer {KEY}"


async def test_anthropic_wire(anthropic: AnthropicBackend, server: Loopback) -> None:
    done = await anthropic.complete(ask(temperature=0, stop="END", schema=SCHEMA, effort="low", seed=7))
    body = server.calls[0].body
    assert body["system"] == "You judge."
    assert body["messages"] == [{"role": "user", "content": PROMPT}]
    assert (body["max_tokens"], body["stop_sequences"], body["temperature"]) == (4096, ["END"], 0)
    assert body["output_config"]["effort"] == "low"
    assert body["output_config"]["format"]["schema"]["properties"]["verdict"]["enum"] == ["A", "B", "tie"]
    assert "seed" not in body
    assert '"verdict"' in done.text


async def test_claude_is_asked_to_keep_a_long_rubric_at_its_own_address_alone(
    anthropic: AnthropicBackend, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    def asked(backend: AnthropicBackend, model: str, rubric: str) -> object:
        messages = ({"role": "system", "content": rubric}, {"role": "user", "content": PROMPT})
        return backend.body(Request(model, messages))["system"]

    rubric = "It is right. " * 400
    assert asked(anthropic, "claude-haiku-5-5", rubric) == rubric
    monkeypatch.delenv("ANTHROPIC_BASE_URL", raising=False)
    own = AnthropicBackend()
    kept = [{"type": "text", "text": rubric, "cache_control": {"type": "ephemeral"}}]
    assert asked(own, "claude-haiku-5-5", rubric) == kept
    assert asked(own, "claude-haiku-5-5", "Short.") == "Short."
    await own.close()


async def test_openai_schema(openai: OpenAIBackend, server: Loopback) -> None:
    done = await openai.complete(ask(schema=SCHEMA))
    described = server.calls[0].body["response_format"]
    assert described["type"] == "json_schema"
    assert described["json_schema"]["schema"] == SCHEMA
    assert '"verdict"' in done.text


@pytest.mark.parametrize("fault", ["429", "500", "503", "529", "408", "409", "drop", "truncated", "empty"])
async def test_passing_faults_may_be_tried_again(
    backend: OpenAIBackend | AnthropicBackend, server: Loopback, fault: str
) -> None:
    server.script(fault)
    with pytest.raises(TransientError) as caught:
        await backend.complete(ask())
    assert caught.value.throttled == (fault == "429")
    assert len(server.calls) == 1, "the SDK must not retry by itself"
    assert (await backend.complete(ask())).text in ("m", "M")


async def test_a_hanging_server_times_out(monkeypatch: pytest.MonkeyPatch, server: Loopback) -> None:
    for made in (
        OpenAIBackend(base_url=f"{server.url}/v1", timeout=0.2),
        AnthropicBackend(base_url=server.url, timeout=0.2),
    ):
        server.script("hang")
        with pytest.raises(TransientError, match="did not answer in time"):
            await made.complete(ask())
        await made.close()


async def test_retry_after_is_passed_on(backend: OpenAIBackend | AnthropicBackend, server: Loopback) -> None:
    server.script("429-after:7")
    with pytest.raises(TransientError) as caught:
        await backend.complete(ask())
    assert caught.value.retry_after == 7.0
    server.script(f"429-after:{formatdate(time() + 30, usegmt=True)}")
    with pytest.raises(TransientError) as caught:
        await backend.complete(ask())
    assert 25 < (caught.value.retry_after or 0) <= 30


def test_retry_after_forms() -> None:
    assert retry_after({"retry-after-ms": "250"}) == 0.25
    assert retry_after({"retry-after": "soon"}) is None
    assert retry_after({"retry-after": formatdate(0, usegmt=True)}) == 0.0
    assert retry_after({}) is None


@pytest.mark.parametrize("fault", ["400", "413", "422"])
async def test_a_refused_prompt_is_that_rows_error_and_is_not_quoted(
    backend: OpenAIBackend | AnthropicBackend, server: Loopback, fault: str
) -> None:
    server.script(fault)
    with pytest.raises(CallError) as caught:
        await backend.complete(ask())
    assert fault in str(caught.value)
    assert "badger" not in str(caught.value)
    assert len(server.calls) == 1


async def test_the_providers_reason_is_shown_where_it_quotes_nothing(
    backend: OpenAIBackend | AnthropicBackend, server: Loopback
) -> None:
    server.script("400:Invalid schema for response_format")
    with pytest.raises(CallError, match="Invalid schema for response_format"):
        await backend.complete(ask())


@pytest.mark.parametrize(
    ("fault", "words"),
    [
        ("401", "rejected the key"),
        ("403", "refused access"),
        ("402", "no credit"),
        ("404", "no model 'judge-1'"),
        ("404-path", "--base-url"),
        ("quota", "no credit"),
    ],
)
async def test_what_would_fail_every_call_stops_the_run(
    backend: OpenAIBackend | AnthropicBackend, server: Loopback, fault: str, words: str
) -> None:
    server.script(fault)
    with pytest.raises(ProviderError, match=words) as caught:
        await backend.complete(ask())
    assert KEY not in str(caught.value)
    assert "0123456789" not in str(caught.value)
    if fault == "401":
        assert backend.key_variable in str(caught.value)


async def test_nobody_listens(backend: OpenAIBackend | AnthropicBackend) -> None:
    made = type(backend)(base_url="http://127.0.0.1:1/v1", timeout=2.0)
    with pytest.raises(TransientError, match="cannot connect to http"):
        await made.complete(ask())
    await made.close()


async def test_a_refusal_is_an_answer(backend: OpenAIBackend | AnthropicBackend, server: Loopback) -> None:
    server.script("refusal")
    done = await backend.complete(ask())
    assert done.finish_reason == "refusal"
    assert done.text == ("I can't help with that." if backend.name == "openai" else "")


async def test_another_models_name_is_recorded(backend: OpenAIBackend | AnthropicBackend, server: Loopback) -> None:
    server.script("model:judge-1-lite")
    assert (await backend.complete(ask())).model == "judge-1-lite"


async def test_reasoning_models_by_name(openai: OpenAIBackend, server: Loopback) -> None:
    await openai.complete(ask("gpt-5-mini", temperature=0, max_tokens=500, effort="low"))
    body = server.calls[0].body
    assert (body["max_completion_tokens"], body["reasoning_effort"]) == (500 + ROOM, "low")
    assert "temperature" not in body
    assert "max_tokens" not in body
    with pytest.raises(InputError, match="log probabilities"):
        await openai.complete(ask("gpt-5-mini", logprobs=5))
    assert len(server.calls) == 1
    await openai.complete(ask("gpt-5.4", temperature=0, max_tokens=1, logprobs=5, effort="none"))
    assert server.calls[1].body["top_logprobs"] == 20
    assert server.calls[1].body["max_completion_tokens"] == 1


def test_which_names_reason() -> None:
    reasoning = ["o1", "o3-mini", "o4-mini-2025-04-16", "gpt-5", "gpt-5.4-mini", "gpt-6-sol", "openai/gpt-5-nano"]
    plain = ["gpt-4.1", "gpt-4o-mini", "gpt-5-chat-latest", "ft:gpt-4.1:me", "omni-1", "gpt-oss-120b", "gpt-3.5-turbo"]
    assert [m for m in reasoning if traits(m).drawn] == []
    assert [m for m in plain if not traits(m).drawn] == []


async def test_an_unknown_reasoning_model_is_learnt_once(openai: OpenAIBackend, server: Loopback) -> None:
    server.script("400-max_tokens", "400-temperature")
    first = await openai.complete(ask("mystery", temperature=0, max_tokens=9))
    assert first.text in ("m", "M")
    assert len(server.calls) == 3
    assert server.calls[2].body["max_completion_tokens"] == 9
    assert "temperature" not in server.calls[2].body
    await openai.complete(ask("mystery", temperature=0, max_tokens=9))
    assert len(server.calls) == 4
    assert server.calls[3].body == server.calls[2].body
    await openai.complete(ask("other", temperature=0, max_tokens=9))
    assert server.calls[4].body["temperature"] == 0, "what one model refuses, another may take"


async def test_a_model_that_keeps_refusing_is_a_row_error_not_a_loop(openai: OpenAIBackend, server: Loopback) -> None:
    server.script("400-temperature", "400-temperature")
    with pytest.raises(CallError):
        await openai.complete(ask(temperature=0))
    assert len(server.calls) == 2


async def test_claude_that_deprecates_temperature(anthropic: AnthropicBackend, server: Loopback) -> None:
    server.script("400:`temperature` is deprecated for this model.")
    await anthropic.complete(ask("claude-opus-4-6", temperature=0))
    assert ["temperature" in call.body for call in server.calls] == [True, False]
    await anthropic.complete(ask("claude-opus-4-6", temperature=0))
    assert "temperature" not in server.calls[2].body
    await anthropic.complete(ask("claude-opus-4-8", temperature=0))
    assert "temperature" not in server.calls[3].body, "by its name"


async def test_no_log_probabilities_stops_before_or_at_the_first_answer(
    openai: OpenAIBackend, anthropic: AnthropicBackend, server: Loopback
) -> None:
    with pytest.raises(InputError, match="log probabilities"):
        anthropic.check("claude-sonnet-5", {"logprobs": 5})
    server.script("no-logprobs")
    with pytest.raises(ProviderError, match="without log probabilities"):
        await openai.complete(ask(logprobs=5))
    server.script("400-logprobs")
    with pytest.raises(ProviderError, match="log probabilities"):
        await openai.complete(ask(logprobs=5))


async def test_unknown_sampling_and_broken_unicode(backend: OpenAIBackend | AnthropicBackend, server: Loopback) -> None:
    with pytest.raises(InputError, match="temprature"):
        await backend.complete(ask(temprature=0))
    with pytest.raises(CallError, match="Unicode"):
        await backend.complete(ask(prompt="half an emoji \ud83d"))
    assert server.calls == []


async def test_azure_by_its_own_variables(monkeypatch: pytest.MonkeyPatch, server: Loopback) -> None:
    monkeypatch.setenv("AZURE_OPENAI_ENDPOINT", server.url)
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", KEY)
    with pytest.raises(InputError, match="OPENAI_API_VERSION"):
        open_backend("openai/my-deployment")
    monkeypatch.setenv("OPENAI_API_VERSION", "2025-01-01-preview")
    backend, name = open_backend("openai/my-deployment")
    done = await backend.complete(ask(name))
    assert done.model == "my-deployment"
    assert server.calls[0].headers["api-key"] == KEY
    assert backend.base_url == server.url
    await backend.close()


def test_prefixes_and_keys(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    with pytest.raises(InputError, match=r"openai/…, anthropic/…, systemone/…, litellm/…, replay/…"):
        open_backend("gpt-4.1")
    with pytest.raises(InputError, match="names no model"):
        open_backend("openai/")
    monkeypatch.chdir(str(tmp_path))
    for prefix, variable in (("openai", "OPENAI_API_KEY"), ("anthropic", "ANTHROPIC_API_KEY")):
        with pytest.raises(InputError, match=variable):
            open_backend(f"{prefix}/m")


async def test_a_key_from_dotenv_never_overrides(
    monkeypatch: pytest.MonkeyPatch, tmp_path: object, server: Loopback
) -> None:
    monkeypatch.chdir(str(tmp_path))
    with open(".env", "w") as file:
        file.write("OPENAI_API_KEY=from-file\nANTHROPIC_API_KEY=from-file\n")
    monkeypatch.setenv("OPENAI_API_KEY", "from-environment")
    monkeypatch.setenv("ANTHROPIC_API_KEY", "")
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    for spec, url in (("openai/m", f"{server.url}/v1"), ("anthropic/m", server.url)):
        backend, name = open_backend(spec, base_url=url)
        await backend.complete(ask(name))
        await backend.close()
    assert server.calls[0].headers["authorization"] == "Bearer from-environment"
    assert "from-file" in server.calls[1].headers.get("x-api-key", server.calls[1].headers.get("authorization", ""))


async def test_a_local_server_needs_no_key(server: Loopback) -> None:
    for spec, url in (("openai/m", f"{server.url}/v1"), ("anthropic/m", server.url)):
        backend, name = open_backend(spec, base_url=url)
        assert (await backend.complete(ask(name))).text in ("m", "M")
        await backend.close()


def test_provider_words_blank_keys_and_quotes() -> None:
    assert provider_words("Incorrect key: sk-abcdef1234567", ()) == "Incorrect key: [key]"
    prompt = ({"role": "user", "content": "one two three four five six seven eight nine ten"},)
    assert provider_words("cannot do 'three four five six seven eight'", prompt) == ""
    assert provider_words("cannot\n do that", prompt) == "cannot do that"


USABLE = [
    "http://localhost:8171",
    "https://host/v1",
    "http://127.0.0.1/v1/",
    "http://[::1]:80/v1",
    "http://my_box:1/v1",
    "HTTP://host",
]
UNUSABLE = [
    "localhost:8171",
    "localhost",
    "ftp://host/v1",
    "http://",
    "http:///v1",
    "http://bad host/v1",
    "http://host:99999/v1",
    "http://host:port/v1",
    "http://[::1/v1",
    "http://exa..mple/v1",
    "http://ho\nst/v1",
    "http://" + "a" * 70 + "/v1",
]


@pytest.mark.parametrize("url", UNUSABLE)
def test_an_address_no_call_can_go_to_is_refused_before_any(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    for spec in ("openai/m", "anthropic/m"):
        with pytest.raises(InputError, match=r"^--base-url '.*' is no web address: write it as http://") as caught:
            open_backend(spec, base_url=url)
        assert "\n" not in str(caught.value)
        with pytest.raises(InputError, match="--base-url is empty"):
            open_backend(spec, base_url=" ")
    for variable, spec in (
        ("ANTHROPIC_BASE_URL", "anthropic/m"),
        ("OPENAI_BASE_URL", "openai/m"),
        ("AZURE_OPENAI_ENDPOINT", "openai/m"),
    ):
        monkeypatch.setenv(variable, url.replace("\n", " "))
        with pytest.raises(InputError, match=f"^{variable} "):
            open_backend(spec)
        monkeypatch.delenv(variable)


@pytest.mark.parametrize("url", USABLE)
async def test_an_address_that_calls_can_go_to_is_taken(url: str) -> None:
    backend, _ = open_backend("openai/m", base_url=url)
    assert backend.base_url == url
    await backend.close()


def test_a_password_in_an_address_is_not_shown() -> None:
    with pytest.raises(InputError) as caught:
        open_backend("openai/m", base_url="htp://me:hunter2@host/v1")
    assert "hunter2" not in str(caught.value)


def openai_answer(message: object, **choice: object) -> str:
    return "json:" + json.dumps({"model": "m", "choices": [{"message": message, "finish_reason": "stop"} | choice]})


PARTS = [
    {"type": "thinking", "text": "hm", "thinking": [{"type": "text", "text": "hm"}]},
    {"type": "text", "text": "m"},
]


@pytest.mark.parametrize(
    ("answer", "text", "reason"),
    [
        (openai_answer({"content": PARTS}), "m", "stop"),
        (
            openai_answer({"content": [{"type": "text", "text": "A is "}, {"type": "output_text", "text": "it"}]}),
            "A is it",
            "stop",
        ),
        (openai_answer({"content": ["m", None, {"text": "m"}, {"type": "text", "text": 3}]}), "m", "stop"),
        (openai_answer({"content": None, "reasoning_content": "First, …"}, finish_reason="length"), "", "length"),
        (openai_answer({"content": None, "refusal": "No."}), "No.", "refusal"),
        (openai_answer({"role": "assistant"}), "", "stop"),
        (openai_answer({"content": "m"}, finish_reason={"type": "stop"}, logprobs=[]), "m", None),
    ],
)
async def test_contents_of_other_shapes_are_read(
    openai: OpenAIBackend, server: Loopback, answer: str, text: str, reason: str | None
) -> None:
    server.script(answer)
    done = await openai.complete(ask())
    assert (done.text, done.finish_reason, done.input_tokens) == (text, reason, None)


async def test_claudes_text_blocks_are_joined(anthropic: AnthropicBackend, server: Loopback) -> None:
    blocks = [{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "A is "}, {"type": "text", "text": "it"}]
    server.script("json:" + json.dumps({"content": blocks, "stop_reason": "end_turn", "usage": None, "model": 3}))
    done = await anthropic.complete(ask())
    assert (done.text, done.model, done.output_tokens) == ("A is it", None, None)


BROKEN = ["page", *(f"json:{text}" for text in ("[]", "null", "3", '"m"', "{}", '{"choices": null, "content": null}'))]
BROKEN += [
    f'json:{{"choices": [{c}], "content": {c}}}' for c in ("null", "3", '{"message": null}', '{"message": ["m"]}')
]


@pytest.mark.parametrize("answer", BROKEN)
async def test_what_is_no_answer_may_be_tried_again(
    backend: OpenAIBackend | AnthropicBackend, server: Loopback, answer: str
) -> None:
    server.script(answer)
    with pytest.raises(TransientError, match=f"{backend.name}: the answer (has no c|is a page, not JSON)"):
        await backend.complete(ask())


async def test_an_error_with_status_200_is_told(openai: OpenAIBackend, server: Loopback) -> None:
    server.script('json:{"error": {"message": "upstream is overloaded", "code": 502}}')
    with pytest.raises(TransientError, match="openai answered 502: upstream is overloaded"):
        await openai.complete(ask())


PLACE = {"token": "m", "logprob": -0.1}
ODD_PLACES = [[{"token": "m"}], [{"token": "m", "logprob": None}], ["m"], 3, [[]], {"m": 0}, [None]]
ODD_PLACES += [[{**PLACE, "logprob": odd}] for odd in (800, 5.0, True, "0", [0])]
ODD_PLACES += [[{**PLACE, "top_logprobs": odd}] for odd in (7, "m", {"m": 0}, ["m"], [{"token": 3, "logprob": 0}])]
ODD_PLACES += [[{**PLACE, "top_logprobs": [PLACE, {"token": "M", "logprob": 5.0}]}]]


@pytest.mark.parametrize("content", ODD_PLACES, ids=str)
async def test_log_probabilities_of_another_shape_are_not_guessed(
    openai: OpenAIBackend, server: Loopback, content: object
) -> None:
    server.script(openai_answer({"content": "m"}, logprobs={"content": content}))
    done = await openai.complete(ask(logprobs=5))
    assert (done.text, done.logprobs) == ("m", ()), "the answer was paid for, and is kept"


@pytest.mark.parametrize("written", ["1e999", "-1e999", "NaN", "Infinity", "9" * 10_000])
async def test_numbers_beyond_json_are_read_or_not_guessed(
    openai: OpenAIBackend, server: Loopback, written: str
) -> None:
    place = f'{{"token": "m", "logprob": {written}, "top_logprobs": [{{"token": "M", "logprob": -1}}]}}'
    choice = f'{{"message": {{"content": "m"}}, "finish_reason": "stop", "logprobs": {{"content": [{place}]}}}}'
    server.script(f'json:{{"choices": [{choice}], "usage": {{"prompt_tokens": {written}}}}}')
    done = await openai.complete(ask(logprobs=5))
    assert done.input_tokens is None
    assert done.logprobs is not None
    assert [t.logprob for t in done.logprobs] == ([-9999.0] if written == "-1e999" else [])


@pytest.mark.parametrize(
    "count", [-1, "NaN", "1e999", "1" * 10_000, "1e300", "true", '"7"', "0.5", "[1]", "null", "{}"]
)
async def test_a_usage_that_is_none_is_unknown(
    backend: OpenAIBackend | AnthropicBackend, server: Loopback, count: object
) -> None:
    counts = ", ".join(
        f'"{n}": {count}' for n in ("prompt_tokens", "completion_tokens", "input_tokens", "output_tokens")
    )
    text = '{"message": {"content": "m"}, "type": "text", "text": "m"}'
    server.script(f'json:{{"choices": [{text}], "content": [{text}], "usage": {{{counts}}}}}')
    done = await backend.complete(ask())
    assert (done.text, done.input_tokens, done.output_tokens) == ("m", None, None)


async def test_an_answer_that_nests_too_deeply_or_fills_the_memory_is_that_rows_error(
    backend: OpenAIBackend | AnthropicBackend, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.script("json:" + "[" * 100_000)
    with pytest.raises(CallError, match="nests too deeply"):
        await backend.complete(ask())
    monkeypatch.setattr("simfarm.backends.http.answers.MOST_BYTES", 2**20)
    server.script('json:"' + "m" * 2**20 + '"')
    with pytest.raises(CallError, match="larger than 1 MiB"):
        await backend.complete(ask())
