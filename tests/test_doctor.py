"""What is found out about a model before a run: one cheap question for each thing, and every failure is a row."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from loopback import Call, Loopback, answer_anthropic, answer_openai
from providers import KEY as PROVIDER_KEY
from providers import PROVIDERS
from speaker import Speaker, led_home

from simfarm.backends import open_backend
from simfarm.backends.http.tap import Tap
from simfarm.backends.local.embedded import cache_dir
from simfarm.cli import main
from simfarm.data.exchange import CallError, Completion, Request, TokenLogprob
from simfarm.errors import InputError
from simfarm.runs.doctor import examine
from simfarm.runs.enquiries import MOST_CALLS, most_cost

KEY = "sk-secret-0123456789abcdef"
RATES = {"x-ratelimit-limit-requests": "500", "x-ratelimit-limit-tokens": "200000", "x-ratelimit-remaining-tokens": "9"}
DECISION = {
    "answers": [{"type": "predicate", "name": "true", "probability": 0.98}],
    "usage": {"input_tokens": 20, "output_tokens": 0},
}
THOUGHT = "completion_tokens_details"
PEOPLE = ("joint-letter", "people-choice", "people-several")
MARKING = ("checklist-json", "rubric-json")
RATING = ("ranking-letter", "rating-5", "rating-derived", "rating-logprob")
SCORING = ("follow-ups", "likelihood-answer", "likelihood-instruction")
STAGED = ("contexts", "critique-verdict", "debate", "hindsight")


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)


def text_of(call: Call) -> str:
    """What a model that does everything says to each question."""
    if call.body.get("logprobs"):
        return "m"
    if "response_format" in call.body or "format" in call.body.get("output_config", {}):
        return '{"larger": "first"}'
    return "badger" if any(m["role"] == "system" for m in call.body["messages"]) or call.body.get("system") else "cow"


def said(call: Call, text: str | None = None, *, thought: int = 0, **changes: Any) -> str | None:
    """An answer, as the fault that gives it; None for what decides by itself."""
    if call.wire in ("decisions", "systemone"):
        return None
    text = text_of(call) if text is None else text
    if call.wire == "anthropic":
        body = answer_anthropic(call, "") | {"content": [{"type": "text", "text": text}]}
    else:
        body = answer_openai(call, "")
        body["choices"][0] |= {"message": {"role": "assistant", "content": text}, **changes}
        body["usage"][THOUGHT] = {"reasoning_tokens": thought}
        body["usage"]["completion_tokens"] += thought
        body["usage"]["total_tokens"] += thought
    return "json:" + json.dumps(body | {"model": f"{call.body['model']}-2026-09-22"})


def refusing(*names: str) -> Callable[[Call], str | None]:
    """A model that refuses these parameters, one at a time."""

    def answer(call: Call) -> str | None:
        for name in names:
            if name in call.body:
                return (
                    "400-" + name
                    if name in ("temperature", "max_tokens", "logprobs")
                    else f"400:'{name}' is unsupported with {{key}}"
                )
        return said(call)

    return answer


def examined(
    capsys: pytest.CaptureFixture[str], *more: str, url: str = "", model: str = "openai/gpt-4.1"
) -> tuple[int, dict[str, dict[str, str]], dict[str, Any]]:
    """(exit status, the findings by their question, everything) of `simfarm doctor --json`; no key is ever shown."""
    status = main(["doctor", "--model", model, *(["--base-url", url] if url else []), "--json", *more])
    out, err = capsys.readouterr()
    assert KEY not in out + err
    assert "Traceback" not in err
    made = json.loads(out)
    return status, {one["question"]: one for one in made["findings"]}, made


def answers(found: dict[str, dict[str, str]]) -> dict[str, str]:
    return {question: one["answer"] for question, one in found.items()}


def test_a_model_that_has_it_all(capsys: pytest.CaptureFixture[str]) -> None:
    models = {"gpt-4.1": {"id": "gpt-4.1", "shutdown_date": None, "lifecycle": "active", "max_model_len": 128000}}
    with Loopback(refuse=said, headers=RATES, decision=DECISION, models=models) as server:
        status, found, made = examined(capsys, "--price", "1,2", url=f"{server.url}/v1")
        assert made["calls"] == server.requests <= MOST_CALLS
    assert status == 0
    assert {question: answer for question, answer in answers(found).items() if answer != "yes"} == {
        "thinks first": "no"
    }
    assert found["rate limits"]["told"] == "requests 500, tokens 200000"
    assert found["token limit"]["told"].startswith("as max_tokens, ")
    assert found["model"]["told"] == "gpt-4.1-2026-09-22 answers"
    assert (found["lives on"]["told"], found["context"]["told"]) == ("no end is told (active)", "128,000 tokens")
    replies = [call for call in server.calls if call.wire == "openai"]
    read = sum(len(call.prompt) // 4 for call in replies) + DECISION["usage"]["input_tokens"]
    written = sum(max(1, len(text_of(call)) // 4) for call in replies)
    assert made["cost"] == pytest.approx((read * 1 + written * 2) / 1e6, rel=0.05)
    manners = ("decision", "json", "letter", "logprob", "reasoned")
    others = {*PEOPLE, *RATING, *MARKING, *STAGED, "rating-decision"}
    assert set(made["judges"]) == {*(f"pairwise-{manner}" for manner in manners), *others}


def test_a_model_that_is_shut_down(capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback(refuse=said, models={"gpt-4.1": {"id": "gpt-4.1", "shutdown_date": "2027-01-14"}}) as server:
        status, found, made = examined(capsys, url=f"{server.url}/v1")
    assert (status, found["lives on"]["answer"]) == (0, "no")
    assert "has no address for decisions" in found["decisions"]["told"]
    assert "pairwise-decision" not in made["judges"]
    assert "gpt-4.1 is shut down on 2027-01-14" in found["lives on"]["told"]


def test_a_model_that_takes_a_temperature_while_it_does_not_think(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(call: Call) -> str | None:
        quiet = call.body.get("reasoning_effort") == "none"
        if "temperature" in call.body and not quiet:
            return "400-temperature"
        return said(call, thought=0 if quiet else 32)

    with Loopback(refuse=answer) as server:
        status, found, made = examined(capsys, url=f"{server.url}/v1", model="openai/gpt-6-luna")
        assert made["calls"] == server.requests <= MOST_CALLS
    assert status == 0
    assert found["temperature"] == {
        "question": "temperature",
        "answer": "yes",
        "told": "taken while it does not think",
        "remedy": "",
    }
    assert (found["thinks first"]["answer"], found["log probabilities"]["answer"]) == ("yes", "yes")
    assert found["token limit"]["told"].startswith("as max_completion_tokens, ")


def test_its_price_is_said_before_the_first_call(capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback(refuse=said) as server:
        main(["doctor", "--model", "openai/gpt-4.1", "--base-url", f"{server.url}/v1", "--price", "1,2"])
        out, err = capsys.readouterr()
        assert "takes no" not in err
        assert err.startswith("at most 8 calls to openai/gpt-4.1: at most $0.0")
        assert f"{server.requests} calls made: $0.0" in out
        main(["doctor", "--model", "openai/gpt-4.1", "--base-url", f"{server.url}/v1"])
        out, err = capsys.readouterr()
    assert err.startswith("at most 8 calls to openai/gpt-4.1: unknown price")
    assert "--price IN,OUT; without it --budget is refused" in out


@pytest.mark.parametrize(
    "answer", [refusing("logprobs"), lambda call: said(call, logprobs=None)], ids=["told", "silent"]
)
def test_no_log_probabilities(capsys: pytest.CaptureFixture[str], answer: Any) -> None:
    with Loopback(refuse=answer) as server:
        status, found, made = examined(capsys, url=f"{server.url}/v1")
        assert server.requests <= MOST_CALLS
        bad, named, _ = examined(capsys, "--judge", "pairwise-logprob", url=f"{server.url}/v1")
    assert (status, found["log probabilities"]["answer"]) == (0, "no")
    assert "reads text" in found["log probabilities"]["told"] + found["log probabilities"]["remedy"]
    assert "pairwise-logprob" not in made["judges"]
    assert "pairwise-reasoned" in made["judges"]
    odd = {"logprobs": {"content": [{"token": "m"}]}}
    with Loopback(refuse=lambda call: said(call, **odd if call.body.get("logprobs") else {})) as server:
        assert examined(capsys, url=f"{server.url}/v1")[1]["log probabilities"]["answer"] == "no"
    assert (bad, named["judge pairwise-logprob"]["answer"]) == (1, "no")


@pytest.mark.parametrize("fault", ["429", "503", "drop", "page"])
def test_a_moments_trouble_is_no_answer(capsys: pytest.CaptureFixture[str], fault: str) -> None:
    """Only the first question is answered: nothing is known of the others, and they are not said to fail."""
    with Loopback(refuse=lambda call: said(call) if "system" in json.dumps(call.body) else fault) as server:
        status, found, _ = examined(capsys, url=f"{server.url}/v1")
    assert (status, found["reply"]["answer"]) == (0, "yes")
    assert (found["log probabilities"]["answer"], found["JSON schema"]["answer"]) == ("unknown", "unknown")


def test_however_much_is_refused_the_rest_is_unknown(capsys: pytest.CaptureFixture[str]) -> None:
    """One refusal more than there are calls for: what could not be asked any more is said to be so."""
    refuse = refusing("temperature", "seed", "max_tokens", "response_format", "logprobs")

    def answer(call: Call) -> str | None:
        system = any(m["role"] == "system" for m in call.body["messages"])
        return "400:Developer instruction is not enabled" if system else refuse(call)

    with Loopback(refuse=answer) as server:
        status, found, made = examined(capsys, url=f"{server.url}/v1")
        assert made["calls"] == server.requests == MOST_CALLS
    assert (status, found["reply"]["answer"]) == (0, "yes")
    assert found["decisions"]["answer"] == "unknown"
    assert "not asked" in found["decisions"]["told"]


def test_a_model_that_refuses_a_temperature(capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback(refuse=refusing("temperature")) as server:
        status, found, made = examined(capsys, url=f"{server.url}/v1")
        assert made["calls"] == server.requests <= MOST_CALLS
    assert (status, found["temperature"]["answer"], found["seed"]["answer"]) == (0, "no", "yes")
    assert "does not support" in found["temperature"]["told"]
    assert "--repeats" in found["temperature"]["remedy"]


def test_however_much_is_refused_eight_calls_are_the_most(capsys: pytest.CaptureFixture[str]) -> None:
    refuse = refusing("temperature", "seed", "max_tokens", "response_format", "logprobs")
    with Loopback(refuse=refuse, decision=DECISION) as server:
        _, found, made = examined(capsys, url=f"{server.url}/v1")
        assert made["calls"] == server.requests
        assert server.requests <= MOST_CALLS
    assert (found["temperature"]["answer"], found["seed"]["answer"]) == ("no", "no")
    assert found["seed"]["told"] == "'seed' is unsupported with Bearer [key]"
    assert found["token limit"]["told"].startswith("as max_completion_tokens, ")
    assert found["JSON schema"]["answer"] == "no"


@pytest.mark.parametrize("reply", ["The first, 7.", '{"answer": 7}', "[]", "7"])
def test_a_schema_that_is_ignored(capsys: pytest.CaptureFixture[str], reply: str) -> None:
    def answer(call: Call) -> str | None:
        return said(call, reply if "response_format" in call.body else None)

    with Loopback(refuse=answer) as server:
        status, found, _ = examined(capsys, url=f"{server.url}/v1")
    assert (status, found["JSON schema"]["answer"]) == (0, "no")
    assert "not kept" in found["JSON schema"]["told"]


def test_a_model_that_thinks(capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback(refuse=lambda call: said(call, thought=0 if call.body.get("logprobs") else 48)) as server:
        status, found, _ = examined(capsys, url=f"{server.url}/v1")
    assert (status, found["thinks first"]["answer"]) == (0, "yes")
    assert "48 of 49 tokens" in found["thinks first"]["told"]
    assert "effort" in found["thinks first"]["remedy"]


def test_a_model_that_thinks_its_limit_away(capsys: pytest.CaptureFixture[str]) -> None:
    def answer(call: Call) -> str | None:
        return said(call, "", thought=64, finish_reason="length")

    with Loopback(refuse=answer) as server:
        status, found, _ = examined(capsys, url=f"{server.url}/v1")
        assert server.requests <= MOST_CALLS
    assert (status, found["reply"]["answer"], found["thinks first"]["answer"]) == (1, "no", "yes")


def test_no_system_message(capsys: pytest.CaptureFixture[str]) -> None:
    """As Gemma says it, behind Google's address."""

    def answer(call: Call) -> str | None:
        system = any(m["role"] == "system" for m in call.body["messages"])
        return "400:Developer instruction is not enabled for models/gemma-3-27b-it" if system else said(call)

    with Loopback(refuse=answer) as server:
        status, found, _ = examined(capsys, url=f"{server.url}/v1")
    assert (status, found["system message"]["answer"], found["reply"]["answer"]) == (0, "no", "yes")
    assert "Developer instruction is not enabled" in found["system message"]["told"]


@pytest.mark.parametrize(
    ("fault", "question", "words"),
    [
        ("401", "key", "OPENAI_API_KEY"),
        ("404", "model", "gpt-4.1"),
        ("404-path", "server", "--base-url"),
        ("page", "reply", "page, not JSON"),
        ("500", "reply", "500"),
        ("429", "reply", "429"),
        ("drop", "server", "dropped the connection"),
    ],
)
def test_every_failure_is_a_row(capsys: pytest.CaptureFixture[str], fault: str, question: str, words: str) -> None:
    with Loopback(refuse=lambda call: fault) as server:
        status, found, made = examined(capsys, url=f"{server.url}/v1")
        assert server.requests <= MOST_CALLS
    assert (status, made["judges"]) == (1, [])
    assert found[question]["answer"] == "no"
    assert words in found[question]["told"]
    assert found["log probabilities"]["answer"] == "unknown"
    assert [one for one in answers(found).values() if one == "no"] == ["no"]


def test_a_dead_address(capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback() as server:
        url = f"{server.url}/v1"
    status, found, _ = examined(capsys, url=url)
    assert (status, found["server"]["answer"], found["key"]["answer"]) == (1, "no", "unknown")
    assert "nothing listens there" in found["server"]["told"]


def test_a_server_that_never_answers(capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback(refuse=lambda call: "hang") as server:
        status, found, _ = examined(capsys, "--timeout", "0.3", url=f"{server.url}/v1")
    assert status == 1
    assert "--timeout" in found["server"]["told"]


def test_a_claude(capsys: pytest.CaptureFixture[str]) -> None:
    headers = {"anthropic-ratelimit-requests-limit": "50", "anthropic-ratelimit-requests-remaining": "49"}
    with Loopback(refuse=said, headers=headers) as server:
        status, found, made = examined(capsys, url=server.url, model="anthropic/claude-haiku-4-5")
        assert made["calls"] == server.requests <= MOST_CALLS
    assert status == 0
    for question in ("log probabilities", "seed", "decisions"):
        assert found[question]["answer"] == "no", question
    for question in ("key", "model", "reply", "system message", "JSON schema", "rate limits"):
        assert found[question]["answer"] == "yes", question
    assert found["rate limits"]["told"] == "requests 50"
    pairwise = ["pairwise-json", "pairwise-letter", "pairwise-reasoned"]
    assert made["judges"] == sorted([*MARKING, *STAGED, *pairwise, *PEOPLE, *RATING[:3]])


SPOKEN = [name for name, one in PROVIDERS.items() if one.prefix != "azure"]


@pytest.mark.parametrize("name", SPOKEN)
def test_what_a_provider_gives_is_found(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Each model of it, in its calls."""
    provider = PROVIDERS[name]
    monkeypatch.setenv(provider.variable, PROVIDER_KEY)
    for model in provider.models:
        with Speaker(provider) as server, led_home(provider.host):
            status, found, made = examined(capsys, url=server.base_url, model=f"{provider.prefix}/{model}")
            assert made["calls"] == server.requests <= MOST_CALLS, model
        assert (status, found["reply"]["answer"]) == (0, "yes"), model
        assert (found["log probabilities"]["answer"] == "yes") == provider.gives(model, "pairwise-logprob"), model


@pytest.mark.parametrize("row", ["key", "model"])
@pytest.mark.parametrize("name", SPOKEN)
def test_what_a_provider_refuses_is_told_in_its_own_words(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, name: str, row: str
) -> None:
    provider = PROVIDERS[name]
    model = "no-such-model" if row == "model" else next(iter(provider.models))
    monkeypatch.setenv(provider.variable, "sk-bad-0123456789" if row == "key" else PROVIDER_KEY)
    with Speaker(provider) as server, led_home(provider.host):
        status, found, _ = examined(capsys, url=server.base_url, model=f"{provider.prefix}/{model}")
    assert (status, found[row]["answer"]) == (1, "no")
    assert provider.stops[row].reason.replace("{model}", model) in found[row]["told"]


class Local:
    """A model in this process, as an engine shows it."""

    name, base_url, in_process, concurrency, closed = "vllm", None, True, 1, False

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        if "schema" in sampling:
            raise InputError("vllm/ holds no reply to a schema here")

    def most_tokens(self, request: Request) -> int:
        return 100

    async def log_likelihood(self, *asked: object) -> float:
        raise AssertionError("nothing is asked")

    async def complete(self, request: Request) -> Completion:
        logprobs = (TokenLogprob("m", -0.1, {"m": -0.1, "M": -2.4}),) if request.sampling.get("logprobs") else None
        text = "m" if request.sampling.get("choices") else "badger"
        return Completion(text, logprobs, "stop", input_tokens=20, output_tokens=1, model="tiny@1", engine="vllm 0.33")

    async def close(self) -> None:
        self.closed = True


def test_an_engine_in_this_process() -> None:
    backend = Local()
    made = asyncio.run(examine(backend, "tiny@1"))
    found = {one.question: one.answer for one in made.findings}
    assert (found.pop("JSON schema"), found.pop("decisions")) == ("no", "no")
    assert set(found.values()) == {"yes"}
    assert (backend.closed, made.fit, made.calls, made.cost) == (True, True, None, 0.0)
    assert set(made.judges) == {
        *STAGED,
        "pairwise-json",
        "pairwise-letter",
        "pairwise-logprob",
        "pairwise-reasoned",
        *PEOPLE,
        *RATING,
        *SCORING,
        *MARKING,
    }
    assert most_cost(backend, "tiny@1", (1.0, 2.0)) == 0
    backend.in_process = False
    assert most_cost(backend, "tiny@1", (1.0, 2.0)) == pytest.approx(8 * (200 * 1 + 100 * 2) / 1e6)


@pytest.mark.parametrize(
    ("headers", "told"),
    [
        ({"X-RateLimit-Limit": "20", "X-RateLimit-Remaining": "19"}, {"requests": "20"}),
        ({"anthropic-ratelimit-input-tokens-limit": "50000"}, {"input-tokens": "50000"}),
        ({"x-ratelimit-limit-tokens": "9" * 61, "x-ratelimit-reset-tokens": "1s"}, {}),
    ],
)
def test_headers_that_tell_a_rate(headers: dict[str, str], told: dict[str, str]) -> None:
    tap = Tap(None, 1)
    tap.headers = headers
    assert tap.rates() == told


async def test_a_call_beyond_the_last_is_not_made() -> None:
    with Loopback(refuse=said) as server:
        backend, name = open_backend("openai/gpt-4.1", base_url=f"{server.url}/v1")
        tap = Tap(backend, 1)
        request = Request(name, ({"role": "user", "content": "one?"},))
        await backend.complete(request)
        with pytest.raises(CallError, match="not asked"):
            await backend.complete(request)
        await backend.close()
        assert (server.requests, tap.calls, tap.left) == (1, 1, 0)


@pytest.mark.skipif(not list(cache_dir().glob("*.gguf")), reason="the embedded model was not fetched")
@pytest.mark.engines
def test_a_model_in_this_process(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("openvino_genai")
    status, found, made = examined(capsys, model="embedded")
    assert (status, made["calls"], made["cost"]) == (0, None, 0.0)
    for question in ("engine", "weights", "held to labels", "price"):
        assert found[question]["answer"] == "yes", question


def test_what_cannot_be_asked_at_all(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for model, words in (("nonsense/x", "no backend"), ("openai/", "names no model"), ("vllm/x/y", "simfarm[vllm]")):
        assert main(["doctor", "--model", model]) == 2
        assert words in capsys.readouterr().err
    monkeypatch.delenv("OPENAI_API_KEY")
    monkeypatch.chdir("/")
    assert main(["doctor", "--model", "openai/gpt-4.1"]) == 2
    assert "OPENAI_API_KEY is not set" in capsys.readouterr().err
    assert main(["doctor", "--judge", "longest"]) == 2
    assert "asks no model" in capsys.readouterr().err
    assert main(["doctor", "--base-url", "http://127.0.0.1:1/v1"]) == 2
    assert "--base-url is about a model" in capsys.readouterr().err
    (tmp_path / "r.jsonl").write_text('{"instruction": "a", "output_1": "b", "output_2": "c", "raw_completion": "m"}\n')
    assert main(["doctor", "--model", f"replay/{tmp_path / 'r.jsonl'}"]) == 2
    assert "a recording asks nobody" in capsys.readouterr().err


def test_this_machine(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Without a model: names of keys and never their values, also those of a `.env`."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("ANTHROPIC_API_KEY")
    monkeypatch.setenv("SIMFARM_STORE", str(tmp_path / "s.sqlite"))
    (tmp_path / ".env").write_text("GROQ_API_KEY=gsk_0123456789abcdef\n")
    assert main(["doctor"]) == 0
    out, err = capsys.readouterr()
    monkeypatch.setenv("GROQ_API_KEY", "")
    assert "gsk_0123456789abcdef" not in out + err
    assert "HOME" not in out.partition(".env")[0]
    assert KEY not in out + err
    for words in (
        "GROQ_API_KEY",
        "OPENAI_API_KEY",
        "s.sqlite: not made yet",
        "judge pairwise-reasoned",
        "extras",
        f"openai {version('openai')}",
    ):
        assert words in out
    assert main(["doctor", "--json"]) == 0
    assert {one["question"] for one in json.loads(capsys.readouterr().out)} >= {"keys", ".env", "store", "versions"}


def test_without_a_key_the_embedded_model_is_advised_where_it_can_serve(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("OPENAI_API_KEY")
    weights = tmp_path / "w.gguf"
    monkeypatch.setattr("simfarm.runs.surroundings.embedded_weights", lambda: weights)
    monkeypatch.setattr("simfarm.runs.surroundings._version", lambda package: None)
    assert main(["doctor", "--json"]) == 0
    found = {one["question"]: one for one in json.loads(capsys.readouterr().out)}
    assert found["judge pairwise-letter"]["remedy"] == "export OPENAI_API_KEY, or --model embedded"
    assert found["judge pairwise-logprob"]["remedy"] == "export OPENAI_API_KEY"
    assert found["embedded model"]["answer"] == "no"
    assert "simfarm[local]" in found["embedded model"]["remedy"]


@pytest.mark.parametrize(
    ("model", "remedy"),
    [
        ("openai/gpt-6-luna", "sampling: {thinking: false} in the judge switches it off"),
        ("openai/gpt-6-astra", "effort: low in the judge is the least it has"),
        ("openai/served", "where the model has it"),
    ],
)
def test_how_a_model_thinks_less_is_what_it_has(capsys: pytest.CaptureFixture[str], model: str, remedy: str) -> None:
    with Loopback(refuse=lambda call: said(call, thought=0 if call.body.get("logprobs") else 48)) as server:
        _, found, _ = examined(capsys, url=f"{server.url}/v1", model=model)
    assert remedy in found["thinks first"]["remedy"]
