"""One odd answer is one odd row: bodies that no provider should send, through the real parsers, runs and files."""

from __future__ import annotations

import json
import math
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback import Call, Loopback, answer_openai

from simfarm.backends.http.answers import answer_json
from simfarm.backends.http.anthropic import _completion as read_anthropic
from simfarm.backends.http.openai import OpenAIBackend
from simfarm.backends.replay import completion_from_recording
from simfarm.cli import main
from simfarm.data.exchange import COUNTS, CallError, Completion, Request, TransientError
from simfarm.data.files import read_rows
from simfarm.engine.prices import Tariff
from simfarm.errors import ProviderError
from simfarm.judges import load_judge
from simfarm.judges.protocols.pairwise import parse
from simfarm.text.harmless import one_line

JUDGES = [load_judge(name) for name in ("pairwise-logprob", "pairwise-reasoned", "pairwise-json")]


def good(call: Call) -> dict[str, Any]:
    return answer_openai(call, "") | {"model": "judge-1"}


def changed(path: str, value: object) -> Any:
    """A body whose value at `path` is another."""

    def make(call: Call) -> str:
        body = good(call)
        *way, last = [int(step) if step.isdigit() else step for step in path.split(".")]
        at: Any = body
        for step in way:
            at = at[step]
        at[last] = value
        return json.dumps(body).replace('"RAW 1e999"', "1e999").replace('"RAW DIGITS"', "7" * 1_000_000)

    return make


FIRST = "choices.0.logprobs.content.0"
CASES: dict[str, tuple[Any, str]] = {
    "log probability 800": (changed(f"{FIRST}.logprob", 800), "unparseable"),
    "log probability 5": (changed(f"{FIRST}.top_logprobs.0.logprob", 5.0), "unparseable"),
    "log probability 1e999": (changed(f"{FIRST}.top_logprobs.1.logprob", "RAW 1e999"), "unparseable"),
    "log probability NaN": (changed(f"{FIRST}.top_logprobs.0.logprob", math.nan), "unparseable"),
    "log probability -Infinity": (changed(f"{FIRST}.top_logprobs.0.logprob", -math.inf), "verdict"),
    "log probability 1e-7": (changed(f"{FIRST}.top_logprobs.0.logprob", 1e-7), "verdict"),
    "top_logprobs null": (changed(f"{FIRST}.top_logprobs", None), "unparseable"),
    "top_logprobs empty": (changed(f"{FIRST}.top_logprobs", []), "unparseable"),
    "top_logprobs a number": (changed(f"{FIRST}.top_logprobs", 5), "unparseable"),
    "usage negative": (changed("usage.prompt_tokens", -5), "verdict"),
    "usage NaN": (changed("usage.prompt_tokens", math.nan), "verdict"),
    "usage infinite": (changed("usage.completion_tokens", math.inf), "verdict"),
    "usage of a million digits": (changed("usage.completion_tokens", "RAW DIGITS"), "verdict"),
    "usage a boolean": (changed("usage.completion_tokens", True), "verdict"),
    "usage a text": (changed("usage", "many"), "verdict"),
    "content a list of parts": (changed("choices.0.message.content", [{"type": "text", "text": "m"}]), "verdict"),
    "content null": (changed("choices.0.message.content", None), "verdict"),
    "model a number": (changed("model", 7), "verdict"),
    "model half a character": (changed("model", "\ud83d"), "verdict"),
    "finish_reason a list": (changed("choices.0.finish_reason", ["stop"]), "verdict"),
    "refusal deep in a list": (changed("choices.0.message.refusal", [["no"]]), "verdict"),
    "half a character": (changed("choices.0.message.content", "\ud83d\x00\x1b"), "verdict"),
    "choices null": (changed("choices", None), "error"),
    "choices empty": (changed("choices", []), "error"),
    "message a text": (changed("choices.0.message", "m"), "error"),
    "a body of brackets": (lambda call: "[" * 200_000, "error"),
    "a body of objects": (lambda call: '{"choices":' * 200_000, "error"),
    "no JSON": (lambda call: "m", "error"),
}


@pytest.mark.parametrize("end", ["jsonl", "csv", "parquet"])
def test_one_odd_answer_is_one_odd_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str) -> None:
    monkeypatch.setattr("simfarm.engine.runner.FIRST_WAIT", 0.002)
    names = ["a good one", *CASES]
    pair = {"output_1": "a", "output_2": "b", "generator_1": "x", "generator_2": "y"}
    (tmp_path / "pairs.json").write_text(json.dumps([pair | {"instruction": f"<{name}>"} for name in names]))
    wanted = ["verdict"] + [status for _, status in CASES.values()]

    def odd(call: Call) -> str | None:
        return next((f"json:{make(call)}" for name, (make, _) in CASES.items() if f"<{name}>" in call.prompt), None)

    made = tmp_path / f"made.{end}"
    command = ["annotate", str(tmp_path / "pairs.json"), "--judge", "pairwise-logprob", "--model", "openai/judge-1"]
    with Loopback(refuse=odd) as server:
        command += ["--order", "hashed", "--base-url", f"{server.url}/v1", "--price", "1,2", "-o", str(made)]
        assert main(command) == 4
        rows = list(read_rows(made))
        assert {row["instruction"]: row["status"] for row in rows} == dict(
            zip((f"<{name}>" for name in names), wanted, strict=True)
        )
        assert [row["preference"] is not None for row in rows] == [status == "verdict" for status in wanted]
        if end == "jsonl":
            for line in made.read_text().splitlines():
                json.loads(line, parse_constant=lambda word: pytest.fail(f"{word} is no JSON"))
            assert len(pd.read_json(made, lines=True)) == len(rows)
        asked = server.received
        server.plan.refuse = lambda call: None
        assert main(command) == 0
        # an answer that was paid for was stored and costs nothing again, read or not
        assert server.received - asked == len(wanted) - wanted.count("verdict")
    assert main(["evaluate", str(made)]) == 0


JSONS = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=4)
    | st.sampled_from(["m", "M", "stop", "\ud83d"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def place(leaf: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    number = st.floats(-20, 0) | st.floats() | leaf
    token = st.sampled_from(["m", "M"]) | leaf
    other = st.fixed_dictionaries({}, optional={"token": token, "logprob": number})
    return st.fixed_dictionaries(
        {}, optional={"token": token, "logprob": number, "top_logprobs": st.lists(other, max_size=3) | leaf}
    )


USAGE = [
    *("prompt_tokens", "completion_tokens", "total_tokens", "input_tokens", "output_tokens"),
    *("prompt_tokens_details", "completion_tokens_details", "output_tokens_details", "cache_creation"),
    *("cached_tokens", "cache_write_tokens", "reasoning_tokens", "thinking_tokens", "prompt_cache_hit_tokens"),
    *("cache_read_input_tokens", "cache_creation_input_tokens", "ephemeral_1h_input_tokens"),
    *("cost", "is_byok", "cost_details", "upstream_inference_cost", "cost_in_usd_ticks"),
]
COUNTED = JSONS | st.integers(0, 99)
BODIES = JSONS | st.fixed_dictionaries(
    {},
    optional={
        "choices": JSONS
        | st.lists(
            st.fixed_dictionaries(
                {"message": JSONS | st.fixed_dictionaries({}, optional={"content": JSONS, "refusal": JSONS})},
                optional={
                    "finish_reason": JSONS,
                    "logprobs": JSONS | st.fixed_dictionaries({"content": st.lists(place(JSONS), max_size=2) | JSONS}),
                },
            ),
            max_size=2,
        ),
        "content": JSONS | st.lists(st.fixed_dictionaries({}, optional={"type": JSONS, "text": JSONS}), max_size=2),
        "stop_reason": JSONS,
        "model": JSONS,
        "usage": JSONS
        | st.dictionaries(
            st.sampled_from(USAGE),
            JSONS | st.integers(0, 99) | st.dictionaries(st.sampled_from(USAGE), JSONS | st.integers(0, 99)),
        ),
        "error": JSONS,
        "detail": JSONS,
    },
)


def check(completion: Completion) -> None:
    """What must hold of whatever was read: plain types, a verdict that is one, and the same again from the store."""
    assert isinstance(completion.text, str)
    for count in (getattr(completion, name) for name in COUNTS):
        assert count is None or (type(count) is int and 0 <= count < 2**32)
    assert (completion.cached_tokens or 0) + (completion.cache_written_tokens or 0) <= (completion.input_tokens or 0)
    assert (completion.thinking_tokens or 0) <= (completion.output_tokens or 0)
    cost = Tariff("openai", None).paid(replace(completion, model="gpt-6-luna"))
    assert cost is None or 0 <= cost < math.inf
    text = json.dumps(completion.to_json(), allow_nan=False, ensure_ascii=False).encode()
    assert Completion.from_json(json.loads(text)) == completion
    for judge in JUDGES:
        verdict = parse(judge, completion)
        assert (verdict.p_second is None) == (verdict.problem is not None)
        assert verdict.p_second is None or 0 <= verdict.p_second <= 1


def _read_whole(backend: OpenAIBackend, request: Request, answer: Any) -> Completion:
    completion, thought = backend._read(answer, request, 0.1)
    backend._dialect.starved(request, {}, completion.text, thought, completion.finish_reason == "length")
    backend._doubt(request, {"response_format": {}}, completion, thought)
    return completion


@settings(max_examples=400, deadline=None)
@given(BODIES)
def test_whatever_a_body_holds_it_is_read_or_refused(body: Any) -> None:
    backend = OpenAIBackend(base_url="http://h/v1")
    backend._logprobs_seen.add("judge-1")
    request = Request("judge-1", ({"role": "user", "content": "one or two?"},), {"logprobs": 5})
    raw = json.dumps(body).encode()
    for read in (
        lambda answer: _read_whole(backend, request, answer),
        lambda answer: read_anthropic(answer, 0.1),
    ):
        try:
            check(read(answer_json(raw, "openai")))
        except (CallError, TransientError, ProviderError) as error:
            told = str(error)
        else:
            told = ""
        assert told == one_line(told)


@settings(max_examples=300, deadline=None)
@given(
    JSONS | st.dictionaries(st.sampled_from(["text", "message", "logprobs", "finish_reason"]), JSONS | BODIES), JSONS
)
def test_whatever_was_recorded_or_stored_is_read_or_refused(raw: Any, other: Any) -> None:
    made = completion_from_recording(raw, {"model": other, "input_tokens": other, "seconds": other})
    if made is not None:
        check(made)
    try:
        check(Completion.from_json(raw))
    except ValueError:
        assert not isinstance(raw, dict) or not isinstance(raw.get("text"), str)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=40) | st.text("[]{}\"':,0123456789.eE-+nulNaIfty \n<", max_size=60).map(str.encode))
def test_whatever_bytes_come_they_are_json_or_no_answer(raw: bytes) -> None:
    with suppress(TransientError):
        answer_json(raw, "openai")
