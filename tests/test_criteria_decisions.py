"""Criteria as questions of one decision: scores are expectations, their certainty a spread; of single outputs too."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from loopback import Loopback, answer_decision
from test_judges_decisions import Decider, annotated, deciding
from test_judges_schema import is_valid
from test_judges_spec import GOOD

import simfarm
from simfarm.cli import main
from simfarm.data.decision import Decision, Question
from simfarm.errors import InputError
from simfarm.judges import load_one
from simfarm.judges.protocols import pairwise, rating

CRITERIA = [
    {"name": "right", "question": "Answer {answer} is right."},
    {"name": "clear", "question": "How clear is {answer}?", "levels": ["low", "mid", "high"]},
    {"name": "tone", "question": "What is the tone of {answer}?", "options": {"rude": -2, "dry": 0, "kind": 1.5}},
    {"name": "odd", "question": "The instruction is odd."},
]
SURE = {
    "preference": {"A": 0.25, "B": 0.75},
    "right_first": {"yes": 0.8, "no": 0.2},
    "right_second": {"yes": 1.0, "no": 0.0},
    "clear_first": {"low": 0.5, "mid": 0.0, "high": 0.5},
    "clear_second": {"low": 0.0, "mid": 1.0, "high": 0.0},
    "tone_first": {"rude": 0.25, "dry": 0.25, "kind": 0.5},
    "tone_second": {"rude": 0.0, "dry": 0.0, "kind": 1.0},
    "odd": {"yes": 0.5, "no": 0.5},
}


def test_scores_are_expectations_and_their_spread_is_that_of_the_distribution(tmp_path: Path) -> None:
    judge = load_one(deciding(tmp_path / "j", CRITERIA))
    by_criterion = [kind for kind in ("predicate", "score", "choice") for _ in range(2)]
    assert [question.kind for question in judge.questions] == ["choice", *by_criterion, "predicate"]
    verdict = pairwise.parse(judge, Decision(SURE))
    tone = 0.25 * -2 + 0.5 * 1.5
    assert verdict.scores == pytest.approx(
        {"right_first": 0.8, "right_second": 1, "clear_first": 1, "clear_second": 1, "tone_first": tone}
        | {"tone_second": 1.5, "odd": 0.5}
    )
    spread = math.sqrt(0.25 * (-2 - tone) ** 2 + 0.25 * tone**2 + 0.5 * (1.5 - tone) ** 2)
    assert verdict.scores_sd == pytest.approx(
        {"right_first": 0.4, "right_second": 0, "clear_first": 1, "clear_second": 0, "tone_first": spread}
        | {"tone_second": 0, "odd": 0.5}
    )
    assert judge.scales == {"right": (0, 1), "clear": (0, 2), "tone": (-2, 1.5), "odd": (0, 1)}


def test_files_say_how_sure_the_judge_is_of_each_output_whichever_was_shown_first(tmp_path: Path) -> None:
    folder = deciding(tmp_path / "j", CRITERIA)

    def chances(question: Question, shown: str) -> dict[str, float] | None:
        """Sure of the short answer, in doubt about the long one; nobody says whether the instruction is odd."""
        short = (not shown.startswith(("Say 1. 1,", "Say 2. 2,", "Say 3. 3,"))) == question.name.endswith("first")
        if question.name in ("preference", "odd"):
            return {"A": 0.5, "B": 0.5} if question.name == "preference" else None
        values = question.values
        return {value: float(value == values[-1]) if short else 1 / len(values) for value in values}

    rows, _ = annotated(folder, Decider(chances), tmp_path / "s.sqlite")
    for row in (row.row() for row in rows):
        assert row["scores_sd"] == pytest.approx(
            {"right_1": 0, "right_2": 0.5, "clear_1": 0, "clear_2": math.sqrt(2 / 3), "tone_1": 0}
            | {"tone_2": np.std([-2, 0, 1.5])}
        )
        assert row["scores_scale"] == {"right": (0, 1), "clear": (0, 2), "tone": (-2, 1.5), "odd": (0, 1)}
    for name in ("rows.jsonl", "rows.csv", "rows.parquet"):
        simfarm.write(tmp_path / name, [row.row() for row in rows])
        found = simfarm.evaluation(tmp_path / name, criteria="mean", length_control="none").criteria["j"].table
        own = found.set_index(["criterion", "model"])["own_error"]
        # two orders of one pair doubt together: √(3 · 0.5²)/3, not √(6 · 0.5²)/6
        assert own[("right", "long")] == pytest.approx(math.sqrt(3 * 0.25) / 3)
        assert own[("right", "short")] == 0
        scale = found.set_index("criterion")[["scale_low", "scale_high"]]
        assert scale.loc["tone"].to_numpy().tolist() == [[-2, 1.5]] * 2
    # what was judged may be judged by another, and nothing of the first stays
    again = simfarm.annotate([row.row() for row in rows], judge="longest")
    assert not {"scores_sd", "scores_scale"} & {*again}


def test_a_judge_without_criteria_writes_what_it_always_did(tmp_path: Path) -> None:
    rows, _ = annotated(deciding(tmp_path / "j"), Decider(lambda q, s: {"A": 0.1, "B": 0.9}), tmp_path / "s.sqlite")
    assert not {"scores_sd", "scores_scale"} & {*rows[0].row()}


MODELS = ("a", "b")
OUTPUTS = [
    {"instruction": f"Question {i}?", "output": f"By {name}, {i}.", "generator": name}
    for name in MODELS
    for i in range(5)
]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "loopback")
    Path("outputs.jsonl").write_text("".join(json.dumps(row) + "\n" for row in OUTPUTS), "utf-8")
    with Loopback(decision=answer_decision) as running:
        yield running


def rate(server: Loopback, *more: str, out: str = "scores.jsonl") -> int:
    to = ["--base-url", f"{server.url}/v1"] if "--model" not in more else []
    return main(["annotate", "outputs.jsonl", "--judge", "rating-decision", "-o", out, *to, *more])


def rows_of(path: str = "scores.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def test_a_decision_judge_rates_one_output_and_marks_it(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert rate(server, "--dry-run") == 0
    assert "10 outputs, 10 questions to judge rating-decision" in capsys.readouterr().out
    priced = ("--price", "1000,0", "--concurrency", "1")
    assert (server.received, rate(server, "--budget", "1", *priced)) == (0, 3)
    assert 0 < server.received < 10
    assert rate(server, *priced) == 0
    assert server.received == 10
    rows = rows_of()
    for row in rows:
        assert 1 <= row["score"] <= 5
        assert {*row["scores"]} == {"correct", "complete", "clear", "fitting"}
        p = row["scores"]["correct"]
        assert row["scores_sd"]["correct"] == pytest.approx(math.sqrt(p * (1 - p)))
        assert 0 < row["scores_sd"]["score"] <= 2
        assert row["scores_scale"] == {"correct": [0, 1], "complete": [0, 1], "clear": [0, 2], "fitting": [0, 1]}
    assert rate(server, *priced) == 0
    assert (rows_of(), server.received) == (rows, 10)
    assert rate(server, "--model", "replay/scores.jsonl", out="again.jsonl") == 0
    assert [(r["score"], r["scores"], r["scores_sd"]) for r in rows_of("again.jsonl")] == [
        (r["score"], r["scores"], r["scores_sd"]) for r in rows
    ]
    assert main(["evaluate", "scores.jsonl", "--criteria", "mean"]) == 0
    shown = capsys.readouterr().out
    assert "rating-decision · mean score by criterion · 95 %" in shown
    assert "the judge's own uncertainty of these scores · one standard error" in shown
    found = simfarm.evaluation("scores.jsonl", criteria="mean").criteria["rating-decision"].table
    a = found.set_index(["criterion", "model"]).loc[("correct", "a")]
    p = np.array([row["scores"]["correct"] for row in rows if row["generator"] == "a"])
    assert a["value"] == pytest.approx(p.mean())
    assert a["own_error"] == pytest.approx(math.sqrt((p * (1 - p)).sum()) / 5)


def test_evaluate_asks_and_shows_by_criterion(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    rubric = str(Path(__file__).parents[1] / "examples" / "judges" / "rubric")
    to = ["--base-url", f"{server.url}/v1", "--criteria", "mean", "--level", "0.9"]
    assert main(["evaluate", "outputs.jsonl", "--baseline", "a", "--judge", rubric, *to]) == 0
    assert "rubric · mean score by criterion · 90 %" in capsys.readouterr().out
    asked = server.received
    assert main(["evaluate", "outputs.jsonl", "--judge", "rating-decision", *to]) == 0
    assert "rating-decision · mean score by criterion · 90 %" in capsys.readouterr().out
    assert server.received == asked + 10
    url = f"{server.url}/v1"
    found = simfarm.evaluation("outputs.jsonl", judge="rating-decision", base_url=url, criteria="mean").criteria
    assert (len(found["rating-decision"].table), server.received) == (10, asked + 10)
    assert main(["evaluate", "outputs.jsonl", "--judge", "rating-5", *to]) == 2
    assert "the judge rating-5 gives no scores by criterion" in capsys.readouterr().err
    assert server.received == asked + 10


def test_what_one_judge_was_sure_of_is_not_said_by_the_next(server: Loopback) -> None:
    assert rate(server) == 0
    again = ["annotate", "scores.jsonl", "--judge", "rating-5", "--base-url", f"{server.url}/v1", "-o", "again.jsonl"]
    assert main(again) == 0
    assert not {"scores_sd", "scores_scale"} & {name for row in rows_of("again.jsonl") for name in row}


def test_a_rating_that_was_refused_is_no_score_and_a_mark_that_was_is_none(tmp_path: Path) -> None:
    judge = load_one("rating-decision")
    grades = dict(zip(judge.verdict.labels if judge.verdict else (), (0.0, 0.0, 0.0, 0.25, 0.75), strict=True))
    whole = {"score": grades, "correct": {"yes": 0.9, "no": 0.1}}
    good = rating.parse(judge, Decision(whole))
    assert (good.score, good.scores) == (pytest.approx(4.75), {"correct": pytest.approx(0.9)})
    assert good.scores_sd == pytest.approx({"score": math.sqrt(0.25 * 0.75), "correct": 0.3})
    bad = rating.parse(judge, Decision({"correct": {"yes": 0.9, "no": 0.1}}, ("score",)))
    assert (bad.found, bad.problem) == (False, "refused")


def test_expected_grades_on_planted_distributions_cover_the_planted_truth() -> None:
    """What a judge's probabilities say is drawn from them: each model's mean of what is so lies within 1.96 of its own
    standard errors of the score that the board shows, in at least 93 of 100 worlds."""
    rng = np.random.default_rng(11)
    n, worlds, inside = 60, 400, 0
    chances = rng.dirichlet([0.4] * 5, n)
    rows = [
        {"instruction": f"q{i}", "output": "x", "generator": m, "annotator": "r", "score": float(p @ [1, 2, 3, 4, 5])}
        | {"scale_low": 1, "scale_high": 5, "scores_scale": {}, "scores": {}}
        | {"scores_sd": {"score": math.sqrt(p @ [1, 4, 9, 16, 25] - (p @ [1, 2, 3, 4, 5]) ** 2)}}
        for m in "ab"
        for i, p in enumerate(chances)
    ]
    found = simfarm.evaluation(rows, criteria="mean").criteria["r"].table.set_index("model").loc["a"]
    drawn = 1 + (rng.random((worlds, n, 1)) > chances.cumsum(axis=1)[:, :4]).sum(axis=2).mean(axis=1)
    inside = np.abs(drawn - found["value"]) < 1.96 * found["own_error"]
    assert inside.mean() >= 0.93


RATING: dict[str, Any] = {
    **{key: value for key, value in GOOD.items() if key not in ("order", "sampling", "delimiters")},
    "protocol": "rating",
    "scale": {"bad": 0, "good": 1},
    "verdict": {"parser": "decision", "question": "How good is it?"},
}


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({}, None),
        ({"criteria": [{"name": "preference", "question": "Is it?"}]}, None),
        ({"criteria": [{"name": "t", "question": "Which?", "options": {"a": 0, "b": 0.5}}]}, None),
        ({"criteria": [{"name": "ok", "question": "Is {answer} ok?"}]}, "name the answer in words"),
        ({"criteria": [{"name": "score", "question": "Is it?"}]}, "is what the verdict's own question is called"),
        ({"criteria": ["be right"]}, "write it as {name: correct, question: The answer is correct.}"),
        ({"sampling": {"max_tokens": 5}}, "generates no text"),
        ({"verdict": {"parser": "decision"}}, "verdict.question: must be a text"),
        ({"verdict": RATING["verdict"] | {"descriptions": {"fair": "x"}}}, "descriptions: unknown key 'fair'"),
        ({"verdict": RATING["verdict"] | {"delimiters": ["[[", "]]"]}}, "unknown key 'delimiters'"),
    ],
)
def test_the_loader_and_the_schema_say_the_same_of_a_decision_that_rates(
    tmp_path: Path, changes: dict[str, Any], why: str | None
) -> None:
    judge = RATING | changes
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(judge), "utf-8")
    template = "{% block user %}<q>{{ instruction }}</q><a>{{ output }}</a>{% endblock %}"
    (tmp_path / RATING["template"]).write_text(template, "utf-8")
    if why is None:
        assert load_one(tmp_path).alone
        assert is_valid(judge)
        return
    with pytest.raises(InputError) as refused:
        load_one(tmp_path)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
    # which labels there are is what a schema cannot ask
    assert is_valid(judge) == ("fair" in why)


def test_a_provider_without_decisions_is_refused_before_a_call(
    server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rate(server, "--model", "anthropic/claude-haiku-5-5") == 2
    assert "use a judge that reads text (rating-5)" in capsys.readouterr().err
