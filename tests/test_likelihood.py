"""Judges of likelihoods: every text scored once, outputs and pairs, nothing guessed, nothing lost."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import Loopback
from test_judges_schema import is_valid

import simfarm
from simfarm.backends.base import Prompt
from simfarm.cli import main
from simfarm.data.exchange import CallError, Completion, Likelihood, Message, Request
from simfarm.data.rated import rated
from simfarm.data.records import Comparison, Output
from simfarm.errors import InputError, ProviderError
from simfarm.judges import Judge, load_one
from simfarm.judges.check import check_judge
from simfarm.judges.likelihoods import APPROVING, DISAPPROVING
from simfarm.judges.protocols import likelihood
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.judging import open_judging
from simfarm.runs.options import JudgeOptions, RunOptions
from simfarm.runs.probing import ProbeRun

ROWS = [
    {"instruction": f"Question {i}?", "output": f"By {name}, {'so ' * (i + len(name))}it is.", "generator": name}
    for name in ("a", "bee")
    for i in range(3)
]
PAIRS = [
    {
        "instruction": "Why?",
        "output_1": "Because.",
        "output_2": "No idea at all.",
        "generator_1": "a",
        "generator_2": "b",
    },
    {"instruction": "How?", "output_1": "So.", "output_2": "So.", "generator_1": "a", "generator_2": "b"},
]
SHOWN = "{% block user %}{{ instruction }} {{ output }}{% endblock %}"
BLIND = "{% block user %}{{ output }}{% endblock %}"


def nats_of(prompt: Sequence[Message], text: str) -> float:
    """What the model below says: some number that follows from every character of both."""
    said = "|".join(f"{m['role']}:{m['content']}" for m in prompt) + "|" + text
    return -sum((i + 1) * ord(c) % 101 for i, c in enumerate(said)) / 50


class Reader:
    """A model in this process that tells likelihoods; a text with `broken` in it fails."""

    name, model, in_process, concurrency = "openvino", "reader@1", True, 8
    base_url: str | None = None

    def __init__(self) -> None:
        self.asked: list[tuple[Prompt, str, Mapping[str, Any] | None]] = []

    def check(self, model: str, sampling: Mapping[str, Any]) -> None: ...

    def most_tokens(self, request: Request) -> int | None:
        return None

    async def complete(self, request: Request) -> Completion:
        raise AssertionError("nothing is generated")

    async def log_likelihood(
        self, prompt: Prompt, continuation: str, framing: Mapping[str, Any] | None = None
    ) -> float:
        self.asked.append((prompt, continuation, framing))
        if "gone" in continuation:
            raise ProviderError("the model is gone")
        if "broken" in continuation or "broken" in str(prompt):
            raise CallError("the text is broken")
        assert not isinstance(prompt, str)
        return nats_of(prompt, continuation)

    async def count_tokens(self, text: str) -> int:
        return len(text.split())

    async def close(self) -> None: ...


def written(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def keys(**changed: Any) -> dict[str, Any]:
    """A judge's file with other keys; None takes one out."""
    file = {"description": "d", "protocol": "likelihood", "score": "answer", "model": "openvino/reader"} | changed
    return {key: value for key, value in file.items() if value is not None}


def own(folder: Path, shown: str = SHOWN, /, **changed: Any) -> Judge:
    folder.mkdir(exist_ok=True)
    (folder / "template.jinja").write_text(shown, "utf-8")
    (folder / "judge.yaml").write_text(yaml.safe_dump(keys(**changed)), "utf-8")
    return load_one(folder)


@pytest.mark.parametrize(("per", "divided"), [("token", len), ("sum", lambda _: 1), ("character", None)])
def test_an_answers_score_is_its_log_likelihood(tmp_path: Path, per: str, divided: Any) -> None:
    reader = Reader()
    rows = simfarm.annotate(ROWS, judge=own(tmp_path / "j", per=per), model=reader).to_dict("records")
    for row, given in zip(rows, ROWS, strict=True):
        asked = [{"role": "user", "content": given["instruction"]}]
        by = len(given["output"]) if divided is None else divided(given["output"].split())
        assert row["score"] == pytest.approx(nats_of(asked, given["output"]) / by)
        assert (row["status"], row["generator"], row["output_tokens"]) == ("verdict", given["generator"], 0)
        assert row["input_tokens"] == len(f"{given['instruction']} {given['output']}".split())
        assert row["scale_low"] is None
    # a model that can think is read as one that does not
    assert {str(framing) for *_, framing in reader.asked} == {"{'template_args': {'enable_thinking': False}}"}


def test_a_chat_is_the_prompt_as_it_was(tmp_path: Path) -> None:
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": None}]
    reader = Reader()
    simfarm.annotate([{"messages": chat, "output": "Yes.", "generator": "a"}], judge=own(tmp_path / "j"), model=reader)
    ((prompt, text, _),) = reader.asked
    assert list(prompt) == [chat[0], {"role": "user", "content": "Hi"}]
    assert text == "Yes."


def test_the_instruction_is_told_from_the_answer_alone(tmp_path: Path) -> None:
    judge = own(tmp_path / "j", BLIND, score="instruction", template="template.jinja", per="sum")
    (row,) = simfarm.annotate(ROWS[:1], judge=judge, model=Reader()).to_dict("records")
    shown = [{"role": "user", "content": ROWS[0]["output"]}]
    assert row["score"] == pytest.approx(nats_of(shown, ROWS[0]["instruction"]))


def test_follow_ups_approve_less_they_disapprove(tmp_path: Path) -> None:
    judge = own(tmp_path / "j", score="follow-up", template="template.jinja")
    (row,) = simfarm.annotate(ROWS[:1], judge=judge, model=Reader()).to_dict("records")
    shown = [{"role": "user", "content": f"{ROWS[0]['instruction']} {ROWS[0]['output']}"}]
    means = [sum(nats_of(shown, text) for text in side) / 3 for side in (APPROVING, DISAPPROVING)]
    assert row["score"] == pytest.approx(means[0] - means[1])
    assert row["scores"] == pytest.approx({"approving": means[0], "disapproving": means[1]})
    one = {"approving": ["Thanks."], "disapproving": ["No.", "Why?"]}
    judge = own(tmp_path / "j", score="follow-up", template="template.jinja", follow_ups=one, per="token")
    (row,) = simfarm.annotate(ROWS[:1], judge=judge, model=Reader()).to_dict("records")
    assert row["score"] == pytest.approx(
        nats_of(shown, "Thanks.") - (nats_of(shown, "No.") + nats_of(shown, "Why?")) / 2
    )


def test_of_a_pair_the_higher_score_is_preferred(tmp_path: Path) -> None:
    judge = own(tmp_path / "j", per="character")
    first, second = [nats_of([{"role": "user", "content": "Why?"}], PAIRS[0][f"output_{k}"]) for k in (1, 2)]
    first, second = first / len("Because."), second / len("No idea at all.")
    plain = simfarm.annotate(PAIRS, judge=judge, model=Reader())
    assert list(plain["preference"]) == [1.0 + (second > first), 1.5]
    assert plain["scores"][0] == pytest.approx({"score_1": first, "score_2": second})
    assert plain["order"][0] == "12"
    turned = [PAIRS[0] | {"output_1": PAIRS[0]["output_2"], "output_2": PAIRS[0]["output_1"]}]
    assert simfarm.annotate(turned, judge=judge, model=Reader())["preference"][0] == 3 - plain["preference"][0]
    soft = simfarm.annotate(PAIRS, judge=own(tmp_path / "j", per="character", tau=0.5), model=Reader())
    assert list(soft["preference"]) == pytest.approx([1 + 1 / (1 + math.exp((first - second) / 0.5)), 1.5])


def test_no_gap_is_too_wide_for_a_probability() -> None:
    judge = load_one("likelihood-answer")
    pair = Comparison("i", "ab", "cd")
    for gap, p in ((1e6, 1.0), (-1e6, 0.0), (0.0, 0.5)):
        answers = [Likelihood(-2e6, 1), Likelihood(-2e6 + gap, 1)]
        for tau in (None, 1e-3):
            assert judge.scoring is not None
            soft = replace(judge, scoring=replace(judge.scoring, tau=tau))
            assert likelihood.verdict(soft, pair, answers).p_second == p


@pytest.fixture
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    return written(tmp_path / "outputs.jsonl", ROWS)


def run_of(judge: Judge, reader: Reader) -> AnnotationRun:
    return AnnotationRun.open(JudgeOptions(judge=judge, model=reader), RunOptions())


def test_nothing_is_scored_twice_and_what_is_left_is_counted_before(tmp_path: Path) -> None:
    records = [rated(Output(r["instruction"], r["output"], r["generator"])) for r in ROWS]
    judge, reader = own(tmp_path / "j", score="follow-up", template="template.jinja"), Reader()
    told = run_of(judge, reader).estimate(records)
    assert "6 outputs, 6 questions to judge j" in told
    assert "36 requests would go to openvino/reader@1" in told
    assert "no price, it runs in this process" in told
    assert told.endswith("and 0 output tokens")
    first = run_of(judge, reader)
    # stopped half way: what was scored is kept
    results = first.results(records)
    half = [next(results) for _ in range(3)]
    results.close()
    done = len(reader.asked)
    assert 18 <= done <= 36
    rest = run_of(judge, reader)
    rows = list(rest.results(records))
    assert len(reader.asked) == 36
    assert [row.row() for row in rows[:3]] == [row.row() for row in half]
    assert "36 answers are in the store; 0 requests" in run_of(judge, reader).estimate(records)
    assert rest.tallies.stats.cached >= 18
    both = run_of(own(tmp_path / "pairs"), reader)
    list(both.results([Comparison("i", "a", "b")]))
    assert both.closing_lines() == ["1 annotation by pairs: 1 verdict", "2 new answers, 0 from the store"]


def test_a_text_that_fails_is_an_error_of_its_own_and_never_a_score(tmp_path: Path) -> None:
    rows = [*ROWS[:2], ROWS[0] | {"output": "It is broken.", "generator": "c"}]
    table = simfarm.annotate(rows, judge=own(tmp_path / "j"), model=Reader())
    assert list(table["status"]) == ["verdict", "verdict", "error"]
    assert math.isnan(table["score"][2])
    assert table["error"][2] == "the text is broken"
    one = simfarm.annotate([PAIRS[0] | {"output_2": "broken"}], judge=own(tmp_path / "j"), model=Reader())
    assert (one["status"][0], one["preference"][0]) == ("error", None)
    # what ends the run is told before what is the row's alone
    with pytest.raises(ProviderError, match="the model is gone"):
        simfarm.annotate(
            [PAIRS[0] | {"output_1": "broken", "output_2": "gone"}], judge=own(tmp_path / "j"), model=Reader()
        )


@pytest.mark.parametrize("kind", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize("score", ["answer", "follow-up"])
def test_a_recording_gives_the_same_scores(tmp_path: Path, kind: str, score: str) -> None:
    more = {"template": "template.jinja"} if score == "follow-up" else {}
    judge = own(tmp_path / "j", score=score, **more)
    for rows in (ROWS, PAIRS):
        table = simfarm.annotate(rows, judge=judge, model=Reader())
        path = tmp_path / f"rows.{kind}"
        simfarm.write(path, table)
        again = simfarm.annotate(path, judge=judge, model=f"replay/{path}")
        # a row's tokens are those of all its answers: none is told them
        assert again["input_tokens"].isna().all()
        column = "score" if rows is ROWS else "preference"
        assert list(again[column]) == list(table[column])
    other = simfarm.annotate(path, judge=load_one("pairwise-letter").replace(order="fixed"), model=f"replay/{path}")
    assert other["error"][0].startswith("what was recorded is a likelihood: replay it with the judge that")


def test_it_is_a_member_of_panels_and_populations(tmp_path: Path) -> None:
    judge = own(tmp_path / "j", score="follow-up", template="template.jinja")
    pairs = [Comparison(row["instruction"], row["output"], "x", "a", "b") for row in ROWS[:3]]
    member = {"judge": str(tmp_path / "j")}
    (tmp_path / "people.yaml").write_text(yaml.safe_dump({"description": "d", "members": [member]}), "utf-8")
    panel = {"description": "d", "panel": {"members": [member, "longest"]}}
    (tmp_path / "panel.yaml").write_text(yaml.safe_dump(panel), "utf-8")
    alone = [row.preference for row in run_of(judge, Reader()).results(pairs)]
    for file, rows in (("people.yaml", slice(None)), ("panel.yaml", slice(None, None, 3))):
        reader = Reader()
        told = open_judging(JudgeOptions(judge=tmp_path / file, model=reader), RunOptions())
        assert "36 answers are in the store; 0 requests" in told.estimate(pairs)
        run = open_judging(JudgeOptions(judge=tmp_path / file, model=reader), RunOptions())
        assert [row.preference for row in list(run.results(pairs))[rows]] == alone
        assert reader.asked == []


def test_several_in_one_panel_are_replayed_from_one_file(tmp_path: Path) -> None:
    own(tmp_path / "one")
    own(tmp_path / "two", score="follow-up", template="template.jinja")
    panel = {"members": [str(tmp_path / "one"), str(tmp_path / "two")], "rule": "mean"}
    (tmp_path / "panel.yaml").write_text(yaml.safe_dump({"description": "d", "panel": panel}), "utf-8")
    made = simfarm.annotate(PAIRS, judge=tmp_path / "panel.yaml", model=Reader())
    path = str(tmp_path / "made.jsonl")
    simfarm.write(path, made)
    again = simfarm.annotate(path, judge=tmp_path / "panel.yaml", model=f"replay/{path}")
    assert [*again["status"]] == ["verdict"] * len(made)
    assert [*again["preference"]] == [*made["preference"]]


def test_what_a_score_was_made_of_is_no_mark_that_is_missing(tmp_path: Path) -> None:
    run = run_of(own(tmp_path / "j", score="follow-up", template="template.jinja"), Reader())
    list(run.results([Comparison("i", "a", "b"), Comparison("j", "a", "b")]))
    assert run.tallies.unmarked == 0
    assert not [line for line in run.closing_lines() if "marks by criteria" in line]


def test_it_is_probed_with_pairs_of_which_none_is_shown_first(tmp_path: Path) -> None:
    judge = own(tmp_path / "j")
    run = ProbeRun.open(JudgeOptions(judge=judge, model=Reader(), order="both"))
    pair = Comparison("i", "a", "b", extra={"manner": ""})
    assert [(call.order, call.repeat) for call in run.calls([pair])] == [("12", 0)]
    with pytest.raises(InputError, match="asks in the protocol rating"):
        ProbeRun.open(JudgeOptions(judge="rating-5", model=Reader()))


def test_scores_are_ranked(tmp_path: Path) -> None:
    table = simfarm.annotate(ROWS, judge=own(tmp_path / "j"), model=Reader())
    boards = simfarm.evaluate(table)
    assert set(boards["model"]) == {"a", "bee"}
    assert boards["scale_low"].isna().all()
    means = table.groupby("generator")["score"].mean()
    assert dict(zip(boards["model"], boards["score"], strict=True)) == pytest.approx(dict(means))
    again = simfarm.evaluate(ROWS, judge=own(tmp_path / "j"), model=Reader())
    assert list(again["score"]) == list(boards["score"])


BAD: list[tuple[dict[str, Any], str]] = [
    ({"score": None}, "the key 'score' is missing; add one of answer"),
    ({"score": "prompt"}, "'prompt' is not known"),
    ({"per": "word"}, "'word' is not known"),
    ({"per": True}, "True is not known"),
    ({"model": None}, "the key 'model' is missing"),
    ({"tau": 0}, "must be a number above 0"),
    ({"tau": "1"}, "must be a number above 0"),
    ({"order": "both"}, "shows one output and asks a model; remove 'order'"),
    ({"rule": "longest"}, "remove 'rule'"),
    ({"scale": [1, 5]}, "remove 'scale'"),
    ({"criteria": ["be right"]}, "remove 'criteria'"),
    ({"verdict": {"parser": "json", "labels": {"A": "first", "B": "second"}}}, "reads no reply"),
    ({"template": "template.jinja"}, "the prompt is the instruction itself; remove 'template'"),
    ({"delimiters": ["<a>"]}, "remove 'delimiters'"),
    ({"sampling": {"temperature": 0}}, "this judge generates no text, so that temperature does nothing"),
    ({"follow_ups": {"approving": ["a"], "disapproving": ["b"]}}, "follow_ups is for score: follow-up"),
    ({"reference_model": "openvino/b"}, "reference_model is for score: reference"),
    ({"score": "reference"}, "the key 'reference_model' is missing"),
    ({"score": "reference", "reference_model": "b"}, "must be provider/name"),
    ({"score": "reference", "reference_model": "openvino/b", "per": "token"}, "use per: sum or character"),
    ({"score": "reward", "per": "sum"}, "divided by nothing; remove 'per'"),
    ({"score": "instruction"}, "the key 'template' is missing; score: instruction is asked by one"),
]
SAYS: list[tuple[Any, str]] = [
    ("Thanks", "must map approving and disapproving to lists"),
    ({"approving": ["a"]}, "disapproving: must be 1 to 50 different texts"),
    ({"approving": [], "disapproving": ["b"]}, "approving: must be 1 to 50 different texts"),
    ({"approving": ["a", "a"], "disapproving": ["b"]}, "different texts"),
    ({"approving": ["a", 1], "disapproving": ["b"]}, "different texts"),
    ({"approving": ["a"], "disapproving": ["b"], "neutral": ["c"]}, "unknown key 'neutral'"),
]
FOLLOWED = {"score": "follow-up", "template": "template.jinja"}


@pytest.mark.parametrize(("changed", "why"), [*BAD, *((FOLLOWED | {"follow_ups": f}, why) for f, why in SAYS)])
def test_a_mistake_in_its_file_is_one_line(tmp_path: Path, changed: dict[str, Any], why: str) -> None:
    with pytest.raises(InputError) as refused:
        own(tmp_path / "j", **changed)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not is_valid(keys(**changed))


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"per": "character", "tau": 2.5, "sampling": {"template_args": {"enable_thinking": True}}},
        FOLLOWED,
        FOLLOWED | {"per": "token", "follow_ups": {"approving": ["a"], "disapproving": ["b", "c"]}},
        {"score": "reference", "reference_model": "transformers/b"},
        {"score": "reward"},
    ],
)
def test_what_loads_is_valid_and_fit(tmp_path: Path, changed: dict[str, Any]) -> None:
    judge = own(tmp_path / "j", **changed)
    assert is_valid(keys(**changed))
    assert check_judge(judge).problems == ()


def test_what_both_approves_and_disapproves_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="'a' both approves and disapproves"):
        own(tmp_path / "j", **FOLLOWED, follow_ups={"approving": ["a"], "disapproving": ["a"]})


@pytest.mark.parametrize(
    ("score", "template", "why"),
    [
        ("instruction", SHOWN, "instruction }} must not be shown"),
        ("instruction", "{% block user %}x{% endblock %}", "output }} is not used"),
        ("follow-up", BLIND, "instruction }} is not used"),
        ("follow-up", "{% block user %}{{ first }}{{ instruction }}{% endblock %}", "unknown variable 'first'"),
        ("follow-up", SHOWN.replace("{{ i", "{{ criteria }}{{ i"), "has no criteria; take it out"),
    ],
)
def test_a_template_shows_what_its_score_needs(tmp_path: Path, score: str, template: str, why: str) -> None:
    with pytest.raises(InputError) as refused:
        own(tmp_path / "j", template, score=score, template="template.jinja")
    assert why in str(refused.value)


def test_keys_of_likelihoods_are_for_judges_of_likelihoods() -> None:
    file = yaml.safe_load(load_one("pairwise-letter").path.read_text("utf-8"))
    for key, value in (("score", "answer"), ("per", "sum"), ("tau", 1), ("reference_model", "openai/x")):
        assert not is_valid(file | {key: value})
    assert not is_valid({"description": "d", "protocol": "pairwise", "rule": "longest", "score": "answer"})


def test_all_that_changes_a_score_changes_the_hash(tmp_path: Path) -> None:
    changes: list[dict[str, Any]] = [
        *({}, {"per": "sum"}, {"tau": 1}, {"sampling": {"template_args": {"enable_thinking": True}}}),
        *({"model": "openvino/other"}, {"score": "reward"}, FOLLOWED),
        FOLLOWED | {"follow_ups": {"approving": ["a"], "disapproving": ["b"]}},
        *({"score": "reference", "reference_model": f"openvino/{name}"} for name in "bc"),
    ]
    hashes = [own(tmp_path / "j", **changed).hash for changed in changes]
    assert len({*hashes}) == len(changes)
    assert own(tmp_path / "j", description="another").hash == hashes[0]


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["--order", "both"], "--order does nothing with 'likelihood-answer': a likelihood is the same in every order"),
        (["--repeats", "2"], "--repeats does nothing with"),
        (["--temperature", "1"], "this judge generates no text, so that temperature does nothing"),
        (["--baseline", "a"], "--baseline does nothing with 'likelihood-answer', which rates each output by itself"),
        (["--model", "anthropic/claude-haiku-5-5"], "anthropic/ tells no likelihood of a text that it is given"),
        (["--model", "litellm/x"], "litellm/ tells no likelihood"),
    ],
)
def test_what_does_nothing_is_refused_before_the_first_text(
    outputs: str, capsys: pytest.CaptureFixture[str], command: list[str], why: str
) -> None:
    assert main(["annotate", outputs, "--judge", "likelihood-answer", *command]) == 2
    told = capsys.readouterr().err.strip()
    assert why in told
    assert len(told.splitlines()) == 1


def test_the_bundled_ones_are_shown_with_all_that_they_compute(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judges", "show", "follow-ups"]) == 0
    told = capsys.readouterr().out
    assert all(text in told for text in (*APPROVING, *DISAPPROVING, "score: follow-up", "per: sum"))
    assert "order" not in told.partition("template:")[0]
    assert main(["judges", "check", "follow-ups"]) == 0
    told = capsys.readouterr().out
    assert f"[scored]\n  {APPROVING[0]}" in told
    assert "sample replies" not in told


CHAT = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\n{% endfor %}<assistant>"


class Completions(Loopback):
    """A server with completions that repeat what they read, cut at every third character."""

    def add_routes(self, router: Any) -> None:
        super().add_routes(router)
        router.add_post("/v1/completions", self._decide)


def echoed(call: Any, *, cut: int = 3, begun: tuple[str, ...] = ("<s>",), written: str = "ok") -> dict[str, Any]:
    said = call.body["prompt"]
    tokens = [*begun, *(said[at : at + cut] for at in range(0, len(said), cut)), written]
    nats = [None, *(-len(token) / 7 for token in tokens[1:])]
    choice = {"text": said + written, "logprobs": {"tokens": tokens, "token_logprobs": nats}}
    return {"model": call.body["model"], "choices": [choice], "usage": {"prompt_tokens": len(tokens) - 1}}


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Completions]:
    monkeypatch.setenv("OPENAI_API_KEY", "loopback")
    with Completions(decision=echoed) as running:
        yield running


def asked_of(server: Completions, tmp_path: Path, **more: Any) -> Any:
    judge = own(tmp_path / "j", per="sum", sampling={"chat_template": CHAT, "extra": {"add_special_tokens": False}})
    return simfarm.annotate(ROWS[:3], judge=judge, model="openai/m", base_url=f"{server.url}/v1", **more)


def test_a_server_that_repeats_what_it_reads_tells_likelihoods(server: Completions, tmp_path: Path) -> None:
    table = asked_of(server, tmp_path, price=(1e6, 0))
    for score, row, price in zip(table["score"], ROWS, table["price"], strict=False):
        prompt = f"<user>{row['instruction']}\n<assistant>"
        whole = prompt + row["output"]
        # tokens that begin in the prompt and end in the text are the text's
        own = [whole[at : at + 3] for at in range(0, len(whole), 3) if at + 3 > len(prompt)]
        assert score == pytest.approx(-sum(map(len, own)) / 7)
        assert price == -(-len(whole) // 3) + 1
    body = server.calls[0].body
    assert (body["echo"], body["logprobs"], body["max_tokens"], body["add_special_tokens"]) == (True, 1, 1, False)
    assert list(asked_of(server, tmp_path)["score"]) == list(table["score"])
    assert server.received == 3


def test_a_server_that_fails_is_asked_again_and_a_budget_stops(
    server: Completions, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simfarm.engine.runner.FIRST_WAIT", 0.01)
    server.script("500", None, "drop")
    first = asked_of(server, tmp_path, price=(1000, 0), concurrency=1, budget=0.05)
    assert 0 < (first["status"] == "verdict").sum() < 3
    assert set(first["error"].dropna()) == {"not asked: the budget was reached"}
    answered = server.answered
    rest = asked_of(server, tmp_path, price=(1000, 0), concurrency=1)
    assert list(rest["status"]) == ["verdict"] * 3
    assert (server.answered, answered) == (3, (first["status"] == "verdict").sum())


@pytest.mark.parametrize(
    ("answer", "why"),
    [
        ({"text": "ok", "logprobs": None}, "does not repeat what it reads with log probabilities"),
        ({"text": "ok", "logprobs": {"tokens": ["ok"], "token_logprobs": [-1]}}, "does not repeat what it reads"),
        (lambda call: {"text": call.body["prompt"], "logprobs": {}}, "without log probabilities"),
    ],
)
def test_a_server_that_does_not_ends_the_run(server: Completions, tmp_path: Path, answer: Any, why: str) -> None:
    server.plan.decision = lambda call: {"choices": [answer(call) if callable(answer) else answer]}
    with pytest.raises(simfarm.ProviderError, match=why):
        asked_of(server, tmp_path, concurrency=1)


def test_what_cannot_be_read_of_an_answer_is_an_error_of_its_row(server: Completions, tmp_path: Path) -> None:
    def odd(call: Any) -> dict[str, Any]:
        answer = echoed(call)
        told = answer["choices"][0]["logprobs"]
        if "0?" in call.body["prompt"]:
            told["tokens"][-3] = "bytes:\\xe2"
        if "1?" in call.body["prompt"]:
            told["token_logprobs"][-3] = None
        return answer

    server.plan.decision = odd
    table = asked_of(server, tmp_path)
    assert list(table["status"]) == ["error", "error", "verdict"]
    assert "do not spell the text" in table["error"][0]
    assert "no log probability of one of the text's tokens" in table["error"][1]


@pytest.mark.parametrize(
    ("base_url", "sampling", "why"),
    [
        (None, {}, "OpenAI tells no likelihood of a text that it is given: name a model in this process"),
        ("http://127.0.0.1:9/v1", {}, "put the model's chat template into the judge's file"),
    ],
)
def test_a_server_without_what_it_needs_is_refused_before_a_call(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, base_url: str | None, sampling: dict[str, Any], why: str
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "loopback")
    with pytest.raises(InputError, match=why):
        simfarm.annotate(ROWS, judge=own(tmp_path / "j", sampling=sampling), model="openai/m", base_url=base_url)
