"""Protocols: what a second kind of question needs to run, who is asked, and that judges know no models."""

from __future__ import annotations

import ast
import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import simfarm.judges
from simfarm.backends.base import Backend
from simfarm.data.exchange import CallError, Completion, Message, Request
from simfarm.data.records import Annotation, Comparison
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store
from simfarm.judges import Judge, Verdict, list_judges, load_judge
from simfarm.judges.protocols import PROTOCOLS, pairwise
from simfarm.runs.asking import Call, Member, next_request, plan_calls
from simfarm.runs.tallies import AnnotationTallies
from simfarm.runs.verdicts import annotate

PAIRS = [
    Comparison("Count to two.", "One, two.", "One, two, three.", "a", "b"),
    Comparison("Say hello.", "Hello.", "Hello.", "a", "b"),
    Comparison("Name a river.", "The Danube.", "Vienna.", "a", "b"),
]


class Counting:
    """A model in this process that answers with the number of words it was asked about, in the form of its name; what
    holds `refused` it refuses."""

    name = "counting"
    base_url: str | None = None
    in_process = True
    concurrency = 4

    def __init__(self, refused: str = "\0") -> None:
        self.refused = refused
        self.asked: list[Request] = []

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """It takes everything."""

    def most_tokens(self, request: Request) -> int | None:
        return 1

    async def complete(self, request: Request) -> Completion:
        self.asked.append(request)
        if self.refused in request.messages[-1]["content"]:
            raise CallError("refused for what it says", own=True)
        words = len(request.messages[-1]["content"].split())
        return Completion(
            request.model.format(words), None, "stop", input_tokens=3, output_tokens=1, model=request.model
        )

    async def close(self) -> None:
        """Nothing is open."""


def rating() -> SimpleNamespace:
    """The four functions of a protocol that shows one output at a time and has a number of it."""

    def calls(judge: Judge, comparison: Comparison, repeats: int) -> Iterator[tuple[str | None, int]]:
        for repeat in range(repeats):
            yield from (("1", repeat), ("2", repeat))

    def messages(judge: Judge, comparison: Comparison, order: str) -> tuple[Message, ...]:
        return ({"role": "user", "content": {"1": comparison.output_1, "2": comparison.output_2}[order]},)

    def parse(judge: Judge, completion: Completion) -> Verdict:
        if not completion.text.isdecimal():
            return Verdict(None, "no number")
        return Verdict(int(completion.text) / 10, scores={"words": float(completion.text)})

    def preference(verdict: Verdict, order: str | None) -> float | None:
        if verdict.p_second is None:
            return None
        return 1 + verdict.p_second if order == "2" else 2 - verdict.p_second

    def scores(verdict: Verdict, order: str | None) -> Mapping[str, float] | None:
        return verdict.scores

    return SimpleNamespace(calls=calls, messages=messages, parse=parse, preference=preference, scores=scores)


def annotated(
    members: Sequence[tuple[Judge, str]], backend: Backend, store: Path
) -> tuple[list[Annotation], AnnotationTallies]:
    """What the members say of the pairs, asked through one engine over a store."""
    tallies = AnnotationTallies()

    async def run() -> list[Annotation]:
        kept = Store(store)
        try:
            async with Engine(backend, kept, concurrency=4, timeout=None) as engine:
                crowd = [Member(judge, model, None if judge.rule else engine) for judge, model in members]
                calls = list(plan_calls(PAIRS, crowd, 2))
                assert all(next_request(call, False) for call in calls if call.order and call.member.engine)
                return [annotation async for annotation in annotate(calls, tallies)]
        finally:
            kept.close()

    return asyncio.run(run()), tallies


def test_a_second_protocol_is_a_module_and_a_word(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(PROTOCOLS, "counting", rating())  # type: ignore[arg-type]
    bundled = load_judge("pairwise-letter").path
    file = yaml.safe_load(bundled.read_text("utf-8")) | {"protocol": "counting"}
    (tmp_path / "template.jinja").write_text((bundled.parent / "template.jinja").read_text("utf-8"), "utf-8")
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(file), "utf-8")
    judge, backend = load_judge(tmp_path), Counting()
    assert judge.hash != load_judge("pairwise-letter").hash
    rows, tallies = annotated([(judge, "{}")], backend, tmp_path / "store.sqlite")
    assert [(row.order, row.repeat) for row in rows] == [("1", 0), ("2", 0), ("1", 1), ("2", 1)] * 3
    assert [row.preference for row in rows[:2]] == [1.8, 1.3]
    assert rows[1].scores == {"words": 3.0}
    assert (tallies.status["verdict"], tallies.ties_without_call) == (12, 0)
    assert {message["content"] for request in backend.asked for message in request.messages} == {
        text for pair in PAIRS for text in (pair.output_1, pair.output_2)
    }
    again = Counting()
    odd, tallies = annotated([(replace(judge, name="odd"), "number {}")], again, tmp_path / "store.sqlite")
    assert tallies.status["unparseable"] == 12
    assert {row.error for row in odd} == {"no number"}
    assert any("That reply cannot be used: no number" in request.messages[-1]["content"] for request in again.asked)


def test_each_call_goes_to_its_own_member(tmp_path: Path) -> None:
    letter, longest = load_judge("pairwise-letter"), load_judge("longest")
    members = [(letter.replace(order="fixed"), "[[A]]"), (longest.replace(order="fixed"), ""), (letter, "[[B]]")]
    rows, tallies = annotated(members, Counting(), tmp_path / "store.sqlite")
    per_pair = [
        *((letter.name, "12", 0, "[[A]]"), (letter.name, "12", 1, "[[A]]")),
        *(("longest", "12", 0, None), ("longest", "12", 1, None)),
        *((letter.name, order, repeat, "[[B]]") for repeat in (0, 1) for order in ("12", "21")),
    ]
    tie = [(letter.name, None, 0, None), ("longest", None, 0, None), (letter.name, None, 0, None)]
    found = [(row.annotator, row.order, row.repeat, row.model) for row in rows]
    assert found == [*per_pair, *tie, *per_pair]
    assert [row.preference for row in rows[:8]] == [1.0, 1.0, 2.0, 2.0, 2.0, 1.0, 2.0, 1.0]
    assert [row.preference for row in rows[8:11]] == [1.5, 1.5, 1.5]
    assert tallies.answered_by == {"[[A]]": 4, "[[B]]": 8}
    assert tallies.ties_without_call == 3


def test_a_call_that_fails_stands_under_its_members_name(tmp_path: Path) -> None:
    letter = load_judge("pairwise-letter").replace(order="fixed")
    members = [(replace(letter, name="one"), "[[A]]"), (replace(letter, name="other", criteria=("x",)), "[[B]]")]
    rows, tallies = annotated(members, Counting(refused="Vienna"), tmp_path / "store.sqlite")
    failed = [(row.annotator, row.judge_hash, row.order, row.repeat) for row in rows if row.status == "error"]
    assert failed == [(judge.name, judge.hash, "12", repeat) for judge, _ in members for repeat in (0, 1)]
    assert (tallies.refused, tallies.status["verdict"]) == (4, 6)


def test_a_pair_has_every_order_in_every_repeat_and_a_tie_has_none() -> None:
    judge = load_judge("pairwise-letter")
    assert judge.order == "both"
    assert list(pairwise.calls(judge, PAIRS[0], 2)) == [("12", 0), ("21", 0), ("12", 1), ("21", 1)]
    assert list(pairwise.calls(judge, PAIRS[1], 2)) == [(None, 0)]
    calls = plan_calls(PAIRS, [Member(judge)])
    assert next(calls) == Call(PAIRS[0], "12", 0, Member(judge))
    assert pairwise.preference(Verdict(0.5), None) == 1.5
    assert pairwise.preference(Verdict(None, "cut off"), "21") is None


@pytest.mark.parametrize(
    ("name", "was"),
    [
        ("first", "48510839301fb219"),
        ("longest", "14f83df76aca626a"),
        ("pairwise-json", "0ba31ecc3287f719"),
        ("pairwise-letter", "6220eebb91430ed1"),
        ("pairwise-logprob", "d8cd7c6b4607cff7"),
        ("pairwise-reasoned", "b012a01125aecf08"),
        ("random", "fe282a4e46342120"),
        ("surface", "dbd8876fc7bfc755"),
    ],
)
def test_a_bundled_judge_is_who_it_was(name: str, was: str) -> None:
    """Whoever judged with an earlier version would be asked, and pay, for all of it again."""
    assert load_judge(name).hash == was
    assert name in [judge.name for judge in list_judges()]


def test_judges_know_no_models_and_no_runs() -> None:
    rooms = {"backends", "engine", "runs", "selection", "report", "api", "cli", "ranking", "agreement", "settings"}
    folder = Path(simfarm.judges.__file__).parent
    for module in sorted(folder.rglob("*.py")):
        for node in ast.walk(ast.parse(module.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for name in names:
                assert not (name.startswith("simfarm.") and name.split(".")[1] in rooms), f"{module.name}: {name}"


def test_who_gave_a_verdict_and_whether_it_was_turned_stand_in_a_row_that_has_them() -> None:
    plain = Annotation(PAIRS[0], "judge", 1.0, "verdict")
    assert not {"person", "is_noised"} & plain.row().keys()
    assert plain.row()["judge_order"] is None
    row = replace(plain, person="person-7", is_noised=False).row()
    assert (row["person"], row["is_noised"]) == ("person-7", False)
    assert [name for name in row if name not in plain.row()] == ["person", "is_noised"]
    labelled = replace(PAIRS[0], extra={"person": "Ann"})
    assert replace(plain, comparison=labelled).row()["person"] == "Ann"
    assert replace(plain, comparison=labelled, person="person-7").row()["person"] == "person-7"
