"""Decisions over the wire, in OpenAI's shape and System One's: what is sent, what comes back, and how a run ends."""

from __future__ import annotations

import asyncio
import copy
import json
import math
import re
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from loopback import Call, Loopback, answer_decision, raw

from simfarm.backends import open_backend
from simfarm.backends.http.decisions import openai_body, read_openai, read_systemone, systemone_body
from simfarm.backends.http.failures import error_fields
from simfarm.backends.http.meanings import of_the_row
from simfarm.data.decision import Decision, Option, Question, distribution
from simfarm.data.exchange import CallError, Request, TransientError
from simfarm.data.records import Annotation, Comparison
from simfarm.engine.prices import Tariff
from simfarm.errors import InputError, ProviderError
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.doctor import examine
from simfarm.runs.options import JudgeOptions, RunOptions
from simfarm.text.masking import masked, secrets_of

KEY = "sk-very-secret-000000"
PAIRS = [Comparison(f"Question {i}?", f"One {i}.", f"Two {i}.", "a", "b") for i in range(6)]
MESSAGES = ({"role": "system", "content": "the rubric"}, {"role": "user", "content": "the pair"})
ASKED = (
    Question("preference", "choice", "Which?", (Option("A", "answer A is better"), Option("B"))),
    Question("polite", "predicate", "Both are polite."),
    Question("depth", "score", "How deep?", (Option("flat"), Option("some"), Option("deep", "very"))),
)
REQUEST = Request("judge", MESSAGES, questions=ASKED)
SHAPES = ("openai", "systemone")

Answer = dict[str, Any]


@pytest.fixture(autouse=True)
def keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "SYSTEMONE_API_KEY"):
        monkeypatch.setenv(name, KEY)
    for name in ("TYPESAFE_API_KEY", "SYSTEMONE_BASE_URL", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)


def judged(shape: str, server: Loopback, tmp_path: Path, **options: Any) -> tuple[list[Annotation], AnnotationRun]:
    """The verdicts of pairwise-decision on six pairs in both orders, of a server of one shape."""
    running = {"base_url": f"{server.url}/v1", "store": tmp_path / "store.sqlite", **options}
    run = AnnotationRun.open(JudgeOptions("pairwise-decision", model=f"{shape}/judge"), RunOptions(**running))
    return list(run.results(PAIRS)), run


def statuses(annotations: list[Annotation]) -> set[str]:
    return {annotation.status for annotation in annotations}


def changed(change: Callable[[Any], Any]) -> Callable[[Call], Any]:
    """Decisions whose answer to the pair's question is another: what `change` makes of it, in either shape."""

    def answer(call: Call) -> Any:
        made = answer_decision(call)
        if call.wire == "decisions":
            made["answers"] = [change(one) for one in made["answers"]]
        else:
            made["answers"] = {name: change(one) for name, one in made["answers"].items()}
        return made

    return answer


def chances(*given: Any) -> Callable[[Any], Any]:
    """Other probabilities of the options, in the shape of the answer."""

    def change(one: Any) -> Any:
        names = ["A", "B", "C"][: len(given)]
        pairs = dict(zip(names, given, strict=True))
        listed = [{"value": name, "probability": chance} for name, chance in pairs.items()]
        return one | {"probabilities": listed if isinstance(one["probabilities"], list) else pairs}

    return change


def test_what_openai_is_sent() -> None:
    body = openai_body(REQUEST)
    assert body == {
        "model": "judge",
        "input": [
            {
                "type": "message",
                "role": "system",
                "content": [
                    {"type": "input_text", "text": "the rubric", "prompt_cache_breakpoint": {"mode": "explicit"}}
                ],
            },
            {"type": "message", "role": "user", "content": "the pair"},
        ],
        "questions": [
            {
                "type": "choice",
                "name": "preference",
                "instructions": "Which?",
                "choices": [{"value": "A", "description": "answer A is better"}, {"value": "B"}],
            },
            {"type": "predicate", "name": "polite", "instructions": "Both are polite."},
            {
                "type": "score",
                "name": "depth",
                "instructions": "How deep?",
                "levels": [{"label": "flat"}, {"label": "some"}, {"label": "deep", "description": "very"}],
            },
        ],
    }
    spare = openai_body(REQUEST, {"prompt_cache_breakpoint", "description", "name", "role"})
    assert spare["input"] == "the rubric\n\nthe pair"
    assert spare["questions"][0] == {
        "type": "choice",
        "instructions": "Which?\nA: answer A is better",
        "choices": [{"value": "A"}, {"value": "B"}],
    }


def test_what_system_one_is_sent() -> None:
    assert systemone_body(REQUEST) == {
        "model": "judge",
        "state": "the rubric\n\nthe pair",
        "questions": {
            "preference": {
                "type": "choice",
                "instructions": "Which?",
                "criteria": {"A": "answer A is better", "B": None},
            },
            "polite": {"type": "noul", "instructions": "Both are polite."},
            "depth": {"type": "score", "instructions": "How deep?", "criteria": ["flat", "some", "deep: very"]},
        },
    }


def listed(*answers: Any) -> Answer:
    return {"model": "judge-1", "answers": list(answers)}


CHOICE = {
    "type": "choice",
    "choice": "A",
    "probabilities": [{"value": "A", "probability": 0.75}, {"value": "B", "probability": 0.25}],
}
PREDICATE = {"type": "predicate", "probability": 0.25}
LEVELS = [{"value": i, "label": label, "probability": p} for i, (label, p) in enumerate([("flat", 0.5), ("some", 0.5)])]
SCORE = {"type": "score", "score": 0.5, "probabilities": LEVELS}
WHOLE = {
    "preference": {"A": 0.75, "B": 0.25},
    "polite": {"yes": 0.25, "no": 0.75},
    "depth": {"flat": 0.5, "some": 0.5, "deep": 0.0},
}


@pytest.mark.parametrize(
    "answers",
    [
        (CHOICE | {"name": "preference"}, PREDICATE | {"name": "polite"}, SCORE | {"name": "depth"}),
        (SCORE | {"name": "depth"}, CHOICE | {"name": "preference"}, PREDICATE | {"name": "polite"}),
        (CHOICE, PREDICATE, SCORE),
        (CHOICE | {"name": None}, PREDICATE | {"name": "polite"}, SCORE | {"name": None}),
        (
            CHOICE,
            PREDICATE,
            SCORE | {"probabilities": [{"value": 0, "probability": 0.5}, {"value": 1, "probability": 0.5}]},
        ),
    ],
)
def test_answers_are_found_by_name_and_by_place_without(answers: tuple[Answer, ...]) -> None:
    decision = read_openai(listed(*answers), REQUEST, 0.1, "openai")
    assert {question.name: distribution(question, decision) for question in ASKED} == WHOLE
    assert decision.model == "judge-1"


@pytest.mark.parametrize("keys", [("0", "1"), ("flat", "some"), (0, 1)])
@pytest.mark.parametrize("envelope", [None, "result", "response"])
def test_system_one_numbers_levels_or_names_them(keys: tuple[Any, Any], envelope: str | None) -> None:
    answer: Answer = {
        "answers": {
            "depth": {"type": "score", "legend": ["flat", "some", "deep"], "probabilities": dict.fromkeys(keys, 0.5)},
            "polite": {"type": "noul", "noul": 0.25},
            "preference": {"type": "choice", "probabilities": {"A": 0.75, "B": 0.25}},
            "unasked": {"type": "noul", "noul": 1},
        }
    }
    decision = read_systemone({envelope: answer} if envelope else answer, REQUEST, 0.1, "systemone")
    assert {question.name: distribution(question, decision) for question in ASKED} == WHOLE


def test_levels_that_are_numbers_are_told_from_their_places() -> None:
    stars = Question("stars", "score", "How many?", (Option("1"), Option("2"), Option("3")))
    request = Request("judge", MESSAGES, questions=(stars,))
    for keys, mean in ((("0", "1", "2"), "1"), (("1", "2", "3"), "1")):
        chance = dict(zip(keys, (0.8, 0.2, 0.0), strict=True))
        answer = {"answers": {"stars": {"type": "score", "probabilities": chance}}}
        read = distribution(stars, read_systemone(answer, request, 0.1, "systemone"))
        assert max(read, key=lambda level: read[level]) == mean


def test_an_option_that_is_named_twice_has_no_probability() -> None:
    named = [{"value": "A", "probability": p} for p in (0.5, 0.5)]
    twice = CHOICE | {"name": "preference", "probabilities": named}
    with pytest.raises(ValueError, match="the probability of A is no number"):
        distribution(ASKED[0], read_openai(listed(twice), REQUEST, 0.1, "openai"))


def test_an_answer_to_another_kind_of_question_is_none() -> None:
    """The chance that a statement is true is not that of the first option."""
    for kind, field in (("predicate", "probability"), ("noul", "noul"), ("score", "probability")):
        given = {"type": kind, field: 0.97}
        for decision in (
            read_openai(listed(given | {"name": "preference"}), REQUEST, 0.1, "openai"),
            read_systemone({"answers": {"preference": given}}, REQUEST, 0.1, "systemone"),
        ):
            with pytest.raises(ValueError, match="sum to 0"):
                distribution(ASKED[0], decision)


def test_answers_without_names_of_which_one_is_missing_are_nobodys() -> None:
    polite = {"name": "polite", "type": "predicate", "probability": 0.25}
    decision = read_openai(listed({"type": "predicate", "probability": 0.97}, polite), REQUEST, 0.1, "openai")
    assert decision.answers == {"polite": {"yes": 0.25, "no": 0.75}}


def test_an_answer_of_many_options_is_read_at_once() -> None:
    many = [{"value": str(number), "probability": 0.0} for number in range(50_000)]
    started = time.perf_counter()
    given = CHOICE | {"name": "preference", "probabilities": many}
    decision = read_openai(listed(given), REQUEST, 0.1, "openai")
    assert time.perf_counter() - started < 5
    with pytest.raises(ValueError, match="not asked for"):
        distribution(ASKED[0], decision)


@pytest.mark.parametrize("answer", [{}, [], "<html>", 7, None, {"answers": None}, {"answers": "A"}])
def test_no_answers_at_all_are_asked_for_again(answer: Any) -> None:
    for read in (read_openai, read_systemone):
        with pytest.raises(TransientError, match=r"has no answers|is a page"):
            read(answer, REQUEST, 0.1, "openai")


@pytest.mark.parametrize("entry", [None, 7, "A", [], {}, {"type": "choice"}, {"type": []}, {"name": ["x"]}])
def test_odd_answers_are_none(entry: Any) -> None:
    for decision in (
        read_openai(listed(entry), REQUEST, 0.1, "openai"),
        read_systemone({"answers": {"preference": entry}}, REQUEST, 0.1, "systemone"),
    ):
        with pytest.raises(ValueError, match=r"not answered|sum to|is no"):
            distribution(ASKED[0], decision)


@pytest.mark.parametrize(
    ("usage", "told"),
    [
        ({"input_tokens": 9, "output_tokens": 0}, (9, 0, None)),
        ({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 2}}, (9, None, 4)),
        ({"input_tokens": 9, "cached_input_tokens": 4}, (9, None, 4)),
        ({"prompt_tokens": 9, "total_tokens": 9}, (9, None, None)),
        ({"input_tokens": 9, "input_tokens_details": {"cached_tokens": 40}}, (9, None, None)),
        ({"input_tokens": -1}, (None, None, None)),
        ({"input_tokens": "9"}, (None, None, None)),
        ([], (None, None, None)),
        (None, (None, None, None)),
    ],
)
def test_what_a_decision_took(usage: Any, told: tuple[int | None, ...]) -> None:
    decision = read_openai(listed(CHOICE) | {"usage": usage}, REQUEST, 0.1, "openai")
    assert (decision.input_tokens, decision.output_tokens, decision.cached_tokens) == told


@pytest.mark.parametrize("shape", SHAPES)
def test_a_run(shape: str, tmp_path: Path) -> None:
    with Loopback(decision=answer_decision) as server:
        annotations, run = judged(shape, server, tmp_path)
        assert statuses(annotations) == {"verdict"}
        assert len(annotations) == server.received == 12
        assert all(math.isfinite(a.preference or math.nan) and a.input_tokens for a in annotations)
        assert {call.headers["authorization"] for call in server.calls} == {f"Bearer {KEY}"}
        assert {call.wire for call in server.calls} == {"decisions" if shape == "openai" else "systemone"}
        assert "prompt_cache_breakpoint" not in json.dumps(server.calls[0].body)
        again, later = judged(shape, server, tmp_path)
        assert server.received == 12, "what was answered is asked again"
    assert [a.preference for a in again] == [a.preference for a in annotations]
    assert (run.tallies.status["verdict"], later.tallies.status["verdict"]) == (12, 12)


BAD: dict[str, tuple[Callable[[Any], Any], str]] = {
    "refused": (lambda one: {"type": "refusal", "name": one.get("name")}, "refused"),
    "sums to .5": (chances(0.25, 0.25), "the probabilities sum to 0.5"),
    "NaN": (chances(math.nan, 0.5), "the probability of A is no number"),
    "infinite": (chances(math.inf, 0.5), "the probability of A is no number"),
    "texts": (chances("0.5", "0.5"), "the probability of A is no number"),
    "null": (chances(None, 1.0), "the probability of A is no number"),
    "negative": (chances(-0.5, 1.5), "the probability of A is not from 0 to 1"),
    "true": (chances(True, False), "the probability of A is no number"),
    "another option": (chances(0.5, 0.25, 0.25), r"the answer has an option that was not asked for \(C\)"),
    "no probabilities": (
        lambda one: {k: v for k, v in one.items() if k != "probabilities"},
        "the probabilities sum to 0",
    ),
    "no answer": (lambda one: None, "the question was not answered"),
}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("case", BAD)
def test_what_is_no_distribution_is_no_verdict(shape: str, case: str, tmp_path: Path) -> None:
    change, told = BAD[case]
    with Loopback(decision=changed(change)) as server:
        annotations, _ = judged(shape, server, tmp_path)
        assert server.received == 12, "a decision is not repaired, nor asked again within a run"
    assert statuses(annotations) == {"unparseable"}
    for annotation in annotations:
        assert re.search(told, annotation.error or "")


@pytest.mark.parametrize(
    "words",
    [
        "Could not process the input. If you have questions, contact support.",
        "Unsupported content: role play",
        "Unsupported content: the description of a weapon is not allowed",
    ],
)
@pytest.mark.parametrize("shape", SHAPES)
def test_questions_that_were_answered_are_not_what_a_row_is_refused_for(shape: str, words: str, tmp_path: Path) -> None:
    refused = raw(400, {"error": {"message": words, "type": "invalid_request_error"}})
    with Loopback(decision=answer_decision, refuse=lambda call: refused if "Question 3" in call.prompt else None) as s:
        annotations, _ = judged(shape, s, tmp_path, concurrency=1)
        sent = {json.dumps([call.body["questions"], type(call.body.get("input")).__name__]) for call in s.calls}
        assert s.received == 12
    assert [annotation.status for annotation in annotations].count("verdict") == 10
    assert statuses(annotations) == {"verdict", "error"}
    assert len(sent) == 1, "all pairs are asked in the same words"


@pytest.mark.parametrize("shape", SHAPES)
def test_rounded_probabilities_are_a_verdict(shape: str, tmp_path: Path) -> None:
    with Loopback(decision=changed(chances(0.67, 0.34))) as server:
        annotations, _ = judged(shape, server, tmp_path)
    assert statuses(annotations) == {"verdict"}


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("fault", ["429-after", "500", "drop", "page", 'json:{"answers"', "json:{}", "json:null"])
def test_what_passes_is_asked_again(shape: str, fault: str, tmp_path: Path) -> None:
    with Loopback(decision=answer_decision) as server:
        server.script(fault)
        annotations, _ = judged(shape, server, tmp_path)
        assert server.received == 13
    assert statuses(annotations) == {"verdict"}


@pytest.mark.parametrize("shape", SHAPES)
def test_a_server_that_hangs(shape: str, tmp_path: Path) -> None:
    with Loopback(decision=answer_decision) as server:
        server.script("hang")
        annotations, _ = judged(shape, server, tmp_path, timeout=0.5)
        assert server.received == 13
    assert statuses(annotations) == {"verdict"}


ROW = [
    raw(400, {"error": {"message": "This prompt was flagged", "code": "content_filter"}}),
    raw(400, {"detail": {"error": "max_tokens_exceeded", "code": "max_tokens_exceeded"}}),
    raw(400, {"message": "question 'preference': the prompt has 9000 tokens, which does not fit the context length"}),
    raw(400, {"error": {"message": "something else"}}),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("refusal", ROW)
def test_what_one_row_is_refused_for_is_its_error(shape: str, refusal: str, tmp_path: Path) -> None:
    with Loopback(decision=answer_decision, refuse=lambda call: refusal if "One 3" in call.prompt else None) as server:
        annotations, _ = judged(shape, server, tmp_path)
        assert server.received == 12
    assert [a.status for a in annotations].count("error") == 2
    assert [a.status for a in annotations].count("verdict") == 10


def test_a_prompt_that_is_too_long_says_nothing_of_the_others() -> None:
    for refusal in ROW[:3]:
        body = json.loads(json.loads(refusal.removeprefix("raw:"))["text"])
        assert of_the_row(400, error_fields(body))


STOPS = [
    (raw(404, "404 page not found"), r"has no address for decisions \(404\): .*--base-url .*pairwise-reasoned"),
    (raw(404, {"detail": "Not Found"}), "has no address for decisions .*pairwise-reasoned"),
    (raw(405, {"detail": "Method Not Allowed"}), "has no address for decisions"),
    (raw(404, {"error": "model 'judge' not found, try pulling it first"}), r"has no model 'judge' .*--model"),
    (raw(400, {"error": '"judge" does not support decision'}), "gives no decisions for 'judge' .*one on this machine"),
    (raw(200, {"error": "Unexpected endpoint or method. (POST /v1/decisions)"}), "gives no decisions for 'judge'"),
    (
        raw(400, {"object": "error", "message": "/v1/decisions requires a generation model", "code": 400}),
        "gives no decisions for 'judge'",
    ),
    (raw(501, {"message": "not implemented"}), "gives no decisions for 'judge'"),
    (
        raw(422, {"detail": [{"loc": ["body", "questions", 0, "choices"], "msg": "List should have at most 1 item"}]}),
        "does not take the judge's questions .*at most 1 item; leave out options or criteria",
    ),
    (
        raw(422, {"detail": [{"loc": ["body", "questions", 0, "id"], "msg": "questions.0.id: Field required"}]}),
        "does not take the judge's questions .*(systemone|openai)/NAME for",
    ),
    (raw(401, {"error": {"message": f"Incorrect API key provided: {KEY}"}}), "rejected the key"),
    (raw(402, {"error": "out of credit"}), "has no credit left"),
]


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("refusal", "told"), STOPS)
def test_what_no_row_can_pass_ends_the_run(shape: str, refusal: str, told: str, tmp_path: Path) -> None:
    with Loopback(decision=answer_decision, refuse=lambda call: refusal) as server:
        with pytest.raises(ProviderError, match=told) as caught:
            judged(shape, server, tmp_path)
        assert server.received == 1
    assert KEY not in str(caught.value)
    assert "\n" not in str(caught.value)


SPARED = {
    "description": raw(
        422,
        {
            "detail": [
                {
                    "loc": ["body", "questions", 0, "description"],
                    "msg": "Extra inputs are not permitted",
                    "type": "extra_forbidden",
                }
            ]
        },
    ),
    "name": raw(400, {"error": {"message": "Unknown parameter: 'questions[0].name'.", "param": "questions[0].name"}}),
    "role": raw(422, {"detail": [{"loc": ["body", "input", 0, "role"], "msg": "Input should be 'user'; it must be"}]}),
}


@pytest.mark.parametrize("field", SPARED)
def test_what_can_be_spared_is_left_out_once(field: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def refuse(call: Call) -> str | None:
        return SPARED[field] if f'"{field}"' in json.dumps(call.body) else None

    with Loopback(decision=answer_decision, refuse=refuse) as server:
        annotations, _ = judged("openai", server, tmp_path)
        assert server.received == 13, "the refusal is learnt once"
    assert statuses(annotations) == {"verdict"}
    assert sum("judge takes no" in line.message for line in caplog.records) == 1


def test_openai_alone_is_told_where_its_cache_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    backend, _ = open_backend("openai/gpt-6-luna")
    sent: list[Any] = []

    async def post(url: str, *, cast_to: type, body: Any) -> bytes:
        sent.append((url, copy.deepcopy(body)))
        return json.dumps(listed(CHOICE)).encode()

    monkeypatch.setattr(backend._client, "post", post)  # type: ignore[attr-defined]
    asyncio.run(backend.decide(REQUEST))  # type: ignore[attr-defined]
    ((url, body),) = sent
    assert url == "/decisions"
    assert body["input"][0]["content"][0]["prompt_cache_breakpoint"] == {"mode": "explicit"}


def test_what_was_asked_for_by_name_is_not_left_out(tmp_path: Path) -> None:
    refusal = raw(
        400, {"error": {"message": "Unknown parameter: 'seed'.", "param": "seed", "code": "unknown_parameter"}}
    )

    async def ask(url: str) -> None:
        backend, model = open_backend("openai/judge", base_url=url)
        await backend.decide(Request(model, MESSAGES, {"extra": {"seed": 1}}, questions=ASKED))  # type: ignore[attr-defined]

    with (
        Loopback(decision=answer_decision, refuse=lambda call: refusal) as server,
        pytest.raises(ProviderError, match="takes no seed, which was asked for"),
    ):
        asyncio.run(ask(f"{server.url}/v1"))


@pytest.mark.parametrize("shape", SHAPES)
def test_a_budget_stops_before_it_is_exceeded(shape: str, tmp_path: Path) -> None:
    with Loopback(decision=answer_decision) as server:
        annotations, run = judged(shape, server, tmp_path, budget=0.001, price=(1.0, 0.0), concurrency=1)
        assert 0 < server.received < 12
    assert run.tallies.stopped
    assert statuses(annotations) == {"verdict", "error"}
    assert sum(a.price or 0.0 for a in annotations) <= 0.001


def test_what_a_decision_costs() -> None:
    took = {"input_tokens": 1_000, "output_tokens": 500, "cached_tokens": 900, "cache_written_tokens": 100}
    decision = Decision({}, model="gpt-6-luna", **took)
    openai = Tariff("openai", None)
    assert openai.paid(decision) == pytest.approx(0.10 * 1_000 / 1e6)
    assert Tariff("openai", None, (2.0, 5.0)).paid(decision) == pytest.approx(2.0 * 1_000 / 1e6)
    for tokens in (1_000, 100_000, 500_000):
        most = openai.most("gpt-6-luna", tokens, 0)
        paid = openai.paid(Decision({}, model="gpt-6-luna", input_tokens=tokens, output_tokens=9))
        assert most is not None
        assert paid is not None
        assert most >= paid
    assert Tariff("systemone", "https://api.typesafe.ai/v1").paid(
        Decision({}, model="jev-1.13.0", input_tokens=1_000_000, output_tokens=3)
    ) == pytest.approx(0.042)
    assert Tariff("systemone", "http://127.0.0.1:11434/v1").paid(decision) is None


def test_system_one_writes_no_text(tmp_path: Path) -> None:
    backend, model = open_backend("systemone/judge", base_url="http://127.0.0.1:1/v1")
    with pytest.raises(InputError, match=r"only decides .*pairwise-decision"):
        backend.check(model, {"temperature": 0})
    with pytest.raises(InputError, match="only decides"):
        asyncio.run(backend.complete(Request(model, MESSAGES)))
    for judge in ("pairwise-reasoned", "pairwise-letter", "pairwise-logprob", "pairwise-json"):
        with pytest.raises(InputError, match=r"only decides .*pairwise-decision"):
            AnnotationRun.open(
                JudgeOptions(judge, model="systemone/judge"), RunOptions(base_url="http://127.0.0.1:1/v1")
            )


@pytest.mark.parametrize(
    ("fault", "answers"),
    [
        (None, {"server": "yes", "key": "yes", "decisions": "yes"}),
        ("404-path", {"server": "no", "key": "unknown", "model": "unknown", "decisions": "unknown"}),
        ("401", {"server": "yes", "key": "no", "model": "unknown", "decisions": "unknown"}),
        ("400:it does not support decision", {"server": "yes", "key": "yes", "model": "no", "decisions": "unknown"}),
    ],
)
def test_a_doctor_of_a_model_that_only_decides(fault: str | None, answers: dict[str, str]) -> None:
    with Loopback(decision=answer_decision, refuse=lambda call: fault) as server:
        backend, model = open_backend("systemone/judge", base_url=f"{server.url}/v1")
        made = asyncio.run(examine(backend, model))
        assert server.received == 1
    found = {one.question: one.answer for one in made.findings}
    assert {question: found[question] for question in answers} == answers
    assert (made.judges, made.fit) == (
        (["pairwise-decision", "rating-decision"], True) if fault is None else ([], False)
    )
    assert KEY not in str(made)


def test_a_doctor_of_a_server_of_decisions_alone() -> None:
    """Its address for chat completions is not there, which says nothing of the other."""
    with Loopback(decision=answer_decision, refuse=lambda call: None if call.wire == "decisions" else "404-path") as s:
        backend, model = open_backend("openai/judge", base_url=f"{s.url}/v1")
        made = asyncio.run(examine(backend, model))
    found = {one.question: one.answer for one in made.findings}
    assert (found["server"], found["reply"], found["decisions"]) == ("yes", "no", "yes")
    assert (made.judges, made.fit) == (["pairwise-decision", "rating-decision"], True)
    with Loopback(decision=answer_decision, refuse=lambda call: "404-path") as server:
        backend, model = open_backend("openai/judge", base_url=f"{server.url}/v1")
        made = asyncio.run(examine(backend, model))
    # nothing is there: what the first call found stands
    assert [one for one in made.findings if one.question == "server" and "check --base-url" in one.told]
    assert (made.judges, made.fit) == ([], False)


def test_a_wrong_address_is_named_in_the_servers_words() -> None:
    secrets = secrets_of("http://host/v1/decisions/a-path-that-is-a-token")
    said = masked("no route /v1/decisions/a-path-that-is-a-token/decisions", secrets)
    assert said == "no route /v1/decisions/[key]/decisions"


def test_where_system_one_goes_and_with_which_key(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"TYPESAFE_API_KEY is not set: .*--base-url"):
        open_backend("systemone/jev-latest")
    monkeypatch.setenv("TYPESAFE_API_KEY", "typesafe-key")
    own, _ = open_backend("systemone/jev-latest")
    assert own._deciding._url == "https://api.typesafe.ai/v1/systemone"  # type: ignore[attr-defined]
    assert own._client.api_key == "typesafe-key"  # type: ignore[attr-defined]
    for address, asked in (
        ("http://127.0.0.1:1/v1/", "http://127.0.0.1:1/v1/systemone"),
        ("https://openrouter.ai/api/alpha/decisions", "https://openrouter.ai/api/alpha/decisions"),
        (
            "https://host/client/v4/accounts/x/ai/run/@cf/cloudflare/clef",
            "https://host/client/v4/accounts/x/ai/run/@cf/cloudflare/clef",
        ),
    ):
        other, _ = open_backend("systemone/judge", base_url=address)
        assert other._deciding._url == asked  # type: ignore[attr-defined]
        assert other._client.api_key == KEY  # type: ignore[attr-defined]


@pytest.mark.parametrize("prefix", ["openai", "systemone"])
def test_more_than_any_server_takes_is_refused_before_a_call(prefix: str) -> None:
    backend, model = open_backend(f"{prefix}/judge", base_url="http://127.0.0.1:1/v1")
    many = Question("many", "choice", "Which?", tuple(Option(str(i)) for i in range(256)))
    with pytest.raises(InputError, match="the question many has 256 options, and may have 255"):
        backend.check_questions(model, [many])  # type: ignore[attr-defined]
    with pytest.raises(InputError, match="401 questions: a request holds 400"):
        backend.check_questions(model, [Question(str(i), "predicate", "?") for i in range(401)])  # type: ignore[attr-defined]


@pytest.mark.parametrize("shape", SHAPES)
def test_half_a_surrogate_pair_is_that_rows_error(shape: str) -> None:
    async def ask(url: str) -> None:
        backend, model = open_backend(f"{shape}/judge", base_url=url)
        await backend.decide(Request(model, ({"role": "user", "content": "\ud800"},), questions=ASKED))  # type: ignore[attr-defined]

    with Loopback(decision=answer_decision) as server, pytest.raises(CallError, match="valid Unicode"):
        asyncio.run(ask(f"{server.url}/v1"))
