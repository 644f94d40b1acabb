"""Joint comparisons: of answers to two instructions the better of its kind; what hangs together is one unit."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from loopback import Call, Loopback

import simfarm
from simfarm.cli import main
from simfarm.data.frames import frame_verdicts
from simfarm.data.joint import is_joint, joined, pair_jointly
from simfarm.data.records import Comparison, Output
from simfarm.errors import InputError
from simfarm.judges import load_one
from simfarm.judges.protocols import joint
from simfarm.runs.asking import Member, plan_calls
from simfarm.runs.cautions import joint_lines
from simfarm.statistics.estimate import mean_estimate

MODELS, ASKED = ("a", "b", "c"), 6
GOOD = {"a": 3, "b": 2, "c": 1}
ROWS = [
    {"instruction": f"Question {i}?", "output": f"{name}: " + "good " * 2 * GOOD[name] + "!" * i, "generator": name}
    for name in MODELS
    for i in range(ASKED)
]
JUDGE = load_one("joint-letter")


def written(path: str, rows: list[dict[str, Any]]) -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def rows_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def longer_wins(call: Call) -> str:
    a, b = (len(text) for text in re.findall(r"<answer_[AB]>\n(.*?)\n</answer", call.prompt, re.S))
    letter = "A" if a > b else "B" if b > a else "C"
    choice = {"message": {"role": "assistant", "content": f"[[{letter}]]"}, "finish_reason": "stop"}
    return "json:" + json.dumps({"model": "gpt-6-luna", "choices": [choice], "usage": {}})


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        running.plan.refuse = longer_wins
        yield running


@pytest.fixture(autouse=True)
def outputs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "loopback")
    for name in MODELS:
        written(f"{name}.jsonl", [row for row in ROWS if row["generator"] == name])


def judged(server: Loopback, *more: str, out: str = "joint.jsonl") -> int:
    return main(["annotate", *more, "--judge", "joint-letter", "--base-url", f"{server.url}/v1", "-o", out])


def test_models_are_compared_across_instructions_within_pairs_of_them(
    server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [f"{name}.jsonl" for name in MODELS]
    assert judged(server, *files) == 0
    told = capsys.readouterr().err
    assert "6 instructions in 3 groups that have none in common, which is what intervals count" in told
    assert "few make wide intervals: take more instructions" in told
    rows = rows_of("joint.jsonl")
    # three pairs of instructions, three of models in either place, in both orders
    assert len(rows) == server.received == 3 * 3 * 2 * 2
    asked = {frozenset((row["instruction_1"], row["instruction_2"])) for row in rows}
    assert sorted(map(len, asked)) == [2, 2, 2]
    assert len(frozenset.union(*asked)) == ASKED
    for row in rows:
        one, other = GOOD[row["generator_1"]], GOOD[row["generator_2"]]
        assert row["preference"] == (1.0 if one > other else 2.0)
        assert row["instruction"] == joined(row["instruction_1"], row["instruction_2"])
    for call in server.calls:
        shown = re.findall(r"<(instruction|answer)_([AB])>\n(.*?)\n</\1_\2>", call.prompt, re.S)
        assert [(what, letter) for what, letter, _ in shown] == [
            *(("instruction", "A"), ("answer", "A"), ("instruction", "B"), ("answer", "B"))
        ]
        assert shown[0][2] != shown[2][2]
    assert main(["evaluate", "joint.jsonl", "--json"]) == 0
    ratings = json.loads(capsys.readouterr().out)
    assert [m["model"] for m in ratings["models"]] == ["a", "b", "c"]
    assert main(["evaluate", "joint.jsonl", "--baseline", "b", "--length-control", "none", "--json"]) == 0
    rates = {m["model"]: m["win_rate"] for m in json.loads(capsys.readouterr().out)["models"]}
    assert rates == {"a": 100.0, "c": 0.0}
    before = server.received
    assert judged(server, "b.jsonl", "c.jsonl", "--baseline", "a.jsonl", out="over.jsonl") == 0
    over = rows_of("over.jsonl")
    assert server.received == before, "the comparisons with a are among them"
    assert len(over) == 3 * 2 * 2 * 2
    assert all("a" in (row["generator_1"], row["generator_2"]) for row in over)
    assert (
        main(["annotate", "joint.jsonl", "--judge", "joint-letter", "--model", "replay/joint.jsonl", "-o", "r.jsonl"])
        == 0
    )
    assert [row["preference"] for row in rows_of("r.jsonl")] == [row["preference"] for row in rows]


def test_a_file_of_joint_comparisons_is_taken_as_it_is(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"instruction_1": f"One {i}?", "instruction_2": f"Other {i}?", "output_1": "x" * i, "output_2": "xxxx"}
        | {"generator_1": "a", "generator_2": "b", "note": i}
        for i in range(12)
    ]
    written("pairs.jsonl", rows)
    assert judged(server, "pairs.jsonl") == 0
    made = rows_of("joint.jsonl")
    assert [(row["note"], row["instruction_1"]) for row in made[::2]] == [(i, f"One {i}?") for i in range(12)]
    assert "24 instructions in 12 groups that have none in common, which is what intervals count" in (
        capsys.readouterr().err
    )
    # people's labels of the same comparisons, without what simfarm adds
    labels = [row | {"annotator": f"p{k}", "preference": 1.0 + (i < 4)} for k in range(2) for i, row in enumerate(rows)]
    written("labels.jsonl", labels)
    assert main(["agreement", "joint.jsonl", "--human", "labels.jsonl", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)
    assert "joint-letter" in json.dumps(card)
    report = simfarm.report_card("joint.jsonl", human="labels.jsonl")
    found = report.row("joint-letter").figures["agreement"]
    # alike on all but one tie, which is worth half
    assert found.value == pytest.approx((11 + 0.5) / 12)
    assert found.n_clusters == 12


def test_what_hangs_together_is_one_unit() -> None:
    def clusters(*pairs: tuple[str, str]) -> list[int]:
        rows = [
            {"instruction_1": one, "instruction_2": other, "instruction_id": k, "output_1": "x", "output_2": "y"}
            | {"instruction": joined(one, other), "preference": 1, "generator_1": "a", "generator_2": "b"}
            for k, (one, other) in enumerate(pairs)
        ]
        return list(frame_verdicts(pd.DataFrame(rows), "s").table["cluster"])

    assert clusters(("i", "j"), ("k", "l"), ("j", "i"), ("m", "m")) == [0, 1, 0, 2]
    assert clusters(("i", "j"), ("k", "l"), ("j", "k"), ("x", "y")) == [0, 0, 0, 1]


def test_intervals_of_joint_comparisons_hold_the_truth() -> None:
    """Two equal models, who each have a bad day on some pairs of instructions: both comparisons of a pair show it."""
    rng = np.random.default_rng(7)
    groups, draws = 40, 300
    together, apart = 0, 0
    for _ in range(draws):
        ease, day = rng.normal(size=groups), 6 * rng.normal(size=groups)
        won = np.concatenate([day + ease, day - ease]) + rng.normal(size=2 * groups) > 0
        together += _holds(mean_estimate(won.astype(float), np.tile(np.arange(groups), 2)), 0.5)
        apart += _holds(mean_estimate(won.astype(float), np.arange(2 * groups)), 0.5)
    assert 0.92 <= together / draws <= 0.985
    assert apart / draws < 0.9, "each comparison by itself is no unit"


def _holds(estimate: Any, truth: float) -> bool:
    low, high = estimate.interval(0.95)
    return bool(low <= truth <= high)


def test_pairs_of_instructions_follow_from_their_texts_and_are_balanced() -> None:
    outputs = [Output(f"i{k}", f"{model} {k}", model, f"id{k}") for model in "ab" for k in range(5)]
    said: list[str] = []
    made = pair_jointly(outputs, None, note=said.append)
    assert said == ["1 instruction has no other to be compared with, and is left out"]
    assert len(made) == 4
    again = pair_jointly(outputs[::-1], None)
    assert {(p.output_1, p.output_2) for p in made} == {(p.output_1, p.output_2) for p in again}
    for one, other in zip(made[::2], made[1::2], strict=True):
        assert (one.generator_1, one.generator_2) == (other.generator_2, other.generator_1)
        assert one.instruction == other.instruction
        assert is_joint(one)
        assert {one.extra["instruction_id_1"], one.extra["instruction_id_2"]} <= {f"id{k}" for k in range(5)}
    assert all("a" in (p.generator_1, p.generator_2) for p in pair_jointly([*outputs, *_by("c")], "a"))


def _by(model: str) -> list[Output]:
    return [Output(f"i{k}", f"{model} {k}", model) for k in range(5)]


def test_a_pair_with_one_instruction_is_a_pair(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    """The same comparisons by a judge of pairs and by a joint one: ties and reversals are told apart."""
    pair = {"output_1": "x", "generator_1": "a", "generator_2": "b"}
    pairs = [{"instruction": f"Q{i}?", "output_2": "x" * (1 + i % 3), **pair} for i in range(12)]
    written("pairs.jsonl", pairs)
    assert judged(server, "pairs.jsonl") == 0
    rows = rows_of("joint.jsonl")
    assert [row["order"] for row in rows[:3]] == [None, "12", "21"], "the same answer to the same question is a tie"
    other = [row | {"annotator": "p", "preference": 1.0 + (i < 6)} for i, row in enumerate(pairs)]
    written("p.jsonl", other)
    assert main(["rejudge", "joint.jsonl", "p.jsonl", "--baseline", "a", "--json"]) == 0
    parted = json.loads(capsys.readouterr().out)["parted"]
    assert (parted["ties"][0], parted["reversals"][0]) == pytest.approx((4 / 12, 4 / 12))
    same = Comparison(joined("i", "j"), "x", "x", extra={"instruction_1": "i", "instruction_2": "j"})
    assert [order for order, _ in joint.calls(JUDGE, same, 1)] == ["12", "21"], "to two instructions it is none"


def test_two_joint_judges_are_set_side_by_side(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert judged(server, "b.jsonl", "--baseline", "a.jsonl") == 0
    rows = rows_of("joint.jsonl")
    for row in rows:
        row |= {"annotator": "other", "judge_hash": "x", "output_1": row["output_1"], "preference": 1.5}
    written("other.jsonl", rows)
    capsys.readouterr()
    assert main(["rejudge", "joint.jsonl", "other.jsonl", "--baseline", "a", "--json"]) == 0
    parted = json.loads(capsys.readouterr().out)["parted"]
    assert (parted["ties"][0], parted["n_items"]) == (1.0, 6)


def test_a_rule_goes_by_the_answers_alone(server: Loopback) -> None:
    assert judged(server, "a.jsonl", "b.jsonl") == 0
    assert main(["annotate", "joint.jsonl", "--judge", "longest", "-o", "longest.jsonl"]) == 0
    assert {row["preference"] for row in rows_of("longest.jsonl") if row["generator_1"] == "a"} == {1.0}


def test_few_groups_are_warned_of() -> None:
    chain = [Comparison("", "x", "y", extra={"instruction_1": f"{k}", "instruction_2": f"{k + 1}"}) for k in range(30)]
    (line,) = joint_lines(chain)
    assert line.startswith("warning: 31 instructions in 1 group that have none in common")
    assert line.endswith("make comparisons within pairs of instructions, as simfarm does of outputs")
    assert joint_lines([Comparison("i", "x", "y")]) == []


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["a.jsonl", "--judge", "joint-letter"], "joint comparisons are of two models or more"),
        (["one.jsonl", "--judge", "joint-letter"], "need two instructions or more"),
        (["a.jsonl", "few.jsonl", "--judge", "joint-letter"], "4 outputs missing"),
        (["half.jsonl", "--judge", "joint-letter"], "row 2 has no text in 'instruction_2'"),
        (["pairs.jsonl", "--judge", "pairwise-letter"], "is shown one instruction; name one with protocol: joint"),
        (["pairs.jsonl", "--judge", "ranking-letter"], "is shown one instruction; name one with protocol: joint"),
    ],
)
def test_bad_input_is_one_line_before_the_first_call(
    capsys: pytest.CaptureFixture[str], command: list[str], why: str
) -> None:
    written("few.jsonl", [row | {"generator": "few"} for row in ROWS[:2]])
    written("one.jsonl", [ROWS[0], ROWS[0] | {"generator": "z"}])
    pair = {"output_1": "x", "output_2": "y", "instruction_1": "i", "instruction_2": "j"}
    written("pairs.jsonl", [pair, pair])
    written("half.jsonl", [pair, pair | {"instruction_2": " "}])
    assert main(["annotate", *command]) == 2
    told = capsys.readouterr().err.strip()
    assert why in told
    assert len(told.splitlines()) == 1


@pytest.mark.parametrize(
    ("template", "why"),
    [
        ("{{ instruction }}", "there are two instructions, one of each output"),
        ("{{ first_instruction }} {{ first }} {{ second }}", "second_instruction }} is not used"),
        ("{{ first_instruction }} {{ second_instruction }} {{ first }}", "second }} is not used"),
    ],
)
def test_a_template_that_does_not_show_both_is_refused(tmp_path: Path, template: str, why: str) -> None:
    (tmp_path / "t.jinja").write_text(f"{{% block user %}}{template}{{% endblock %}}", "utf-8")
    file = yaml.safe_load(JUDGE.path.read_text("utf-8")) | {"template": "t.jinja"}
    (tmp_path / "own.yaml").write_text(yaml.safe_dump(file), "utf-8")
    with pytest.raises(InputError, match=re.escape(why)):
        load_one(tmp_path / "own.yaml")


def test_every_call_has_its_two_instructions() -> None:
    calls = list(plan_calls(pair_jointly([*_by("a"), *_by("b")], None), [Member(JUDGE)]))
    assert len(calls) == 8
    for call in calls:
        assert call.order is not None
        sent = joint.messages(JUDGE, call.comparison, call.order)[-1]["content"]
        first, second = call.comparison.extra["instruction_1"], call.comparison.extra["instruction_2"]
        a, b = (first, second) if call.order == "12" else (second, first)
        assert f"<instruction_A>\n{a}\n</instruction_A>" in sent
        assert f"<instruction_B>\n{b}\n</instruction_B>" in sent
