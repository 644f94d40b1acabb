"""Criteria derived once for an instruction: N + 1 calls for N answers, shared, kept, priced; what is refused before."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import Loopback, raw
from test_judges_schema import is_valid

from simfarm.cli import main
from simfarm.data.rated import Rated
from simfarm.errors import InputError
from simfarm.judges import load_one
from simfarm.judges.derived import MOST_CRITERIA, compared, listed, read_derived
from simfarm.judges.stages import tried

MODELS, ASKED = "abcde", 3
JUDGE = "rating-derived"
STAGE = "By which criteria"


def outputs(models: str = MODELS, end: str = "", **more: Any) -> list[dict[str, Any]]:
    rows = [
        {"instruction": f"Question {i}?", "output": f"By {m} on {i}.{end}", "generator": f"model-{m}"} | more
        for m in models
        for i in range(ASKED)
    ]
    write(rows)
    return rows


def write(rows: list[dict[str, Any]], path: str = "outputs.jsonl") -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loopback]:
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "k")
    monkeypatch.chdir(tmp_path)
    outputs()
    with Loopback() as running:
        yield running


def rate(server: Loopback, *more: str, out: str = "scores.jsonl") -> int:
    asked = ("--base-url", f"{server.url}/v1", "--store", "s.sqlite", "--price", "1,2")
    return main(["annotate", "outputs.jsonl", "--judge", JUDGE, *asked, "-o", out, *more])


def rows_of(path: str = "scores.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def derivations(server: Loopback) -> list[str]:
    return [call.prompt for call in server.calls if STAGE in call.prompt]


def test_n_answers_are_n_questions_and_one_from_dry_run_to_replay(
    server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    assert rate(server, "--dry-run") == 0
    told = capsys.readouterr().out
    assert f"{ASKED} requests would go to" in told
    assert f"then at most {ASKED * len(MODELS)} requests of the stage verdict" in told
    # five answers are ten pairs, in two orders
    assert f"to compare every two answers in both orders instead would be {ASKED * 20} questions, price at most" in told
    assert (server.received, rate(server)) == (0, 0)
    closing, rows = capsys.readouterr().err, rows_of()
    assert server.received == ASKED * (len(MODELS) + 1) == len(server.asked)
    assert {(row["status"], row["scale_high"]) for row in rows} == {("verdict", 5.0)}
    cost = re.search(r"18 new answers \(\$(\d+\.\d+)\)", closing)
    assert cost is not None
    assert float(cost[1]) == pytest.approx(sum(row["price"] for row in rows), abs=6e-5)
    assert "by stage, with what was in the store: standards 3 answers" in closing
    assert (rate(server), server.received, rows_of()) == (0, 18, rows)
    again = ["annotate", "outputs.jsonl", "--judge", JUDGE, "--model", "replay/scores.jsonl", "-o", "again.jsonl"]
    assert main(again) == 0
    same = ("score", "raw_completion", "reason", "status")
    assert [[row[k] for k in same] for row in rows_of("again.jsonl")] == [[row[k] for k in same] for row in rows]
    capsys.readouterr()
    assert main(["evaluate", "scores.jsonl"]) == 0
    assert f"{JUDGE} · mean score · scale 1 to 5 · 3 instructions" in capsys.readouterr().out


def test_what_pairs_would_cost_is_what_a_judge_of_pairs_is_told(
    server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    """The same words in a template of pairs, every two outputs of three models in both orders: as many questions, and
    as many tokens but for the few that the tags of a second answer take."""
    judge = load_one(JUDGE)
    assert judge.template is not None
    shown = judge.template.replace("{{ standards }}", "").replace("{{ output }}", "{{ first }}\n{{ second }}")
    Path("template.jinja").write_text(shown.replace("{% if reference %}", "{% if false %}").replace(
        "{{ reference }}", ""), "utf-8")  # fmt: skip
    labels = {"1": "first", "2": "second"}
    spec = {"description": "pairs", "protocol": "pairwise", "template": "template.jinja", "order": "both"}
    spec |= {"verdict": {"parser": "label", "delimiters": ["[[", "]]"], "labels": labels}, "model": judge.model}
    Path("pairs.yaml").write_text(yaml.safe_dump(spec | {"sampling": dict(judge.sampling)}), "utf-8")
    rows = outputs("abc", " It goes on and on." * 100)
    write(
        [
            {"instruction": a["instruction"], "output_1": a["output"], "output_2": b["output"]}
            for a in rows
            for b in rows
            if a["instruction"] == b["instruction"] and a["generator"] < b["generator"]
        ],
        "pairs.jsonl",
    )
    assert rate(server, "--dry-run") == 0
    said = capsys.readouterr().out.splitlines()[-1]
    to = ("--base-url", f"{server.url}/v1", "--store", "s.sqlite", "--price", "1,2", "--dry-run")
    assert main(["annotate", "pairs.jsonl", "--judge", "pairs.yaml", *to]) == 0
    real = capsys.readouterr().out
    assert "18 questions" in said
    assert "18 requests would go to" in real
    counts = [re.search(r"about ([\d,]+) input and ([\d,]+) output", text) for text in (said, real)]
    ours, theirs = ([int(n.replace(",", "")) for n in found.groups()] for found in counts if found is not None)
    assert ours[1] == theirs[1]
    assert ours[0] == pytest.approx(theirs[0], rel=0.05)


def test_the_derivation_is_one_prompt_for_all_answers_and_each_is_rated_by_its_own(server: Loopback) -> None:
    assert rate(server) == 0
    asked = derivations(server)
    assert len(asked) == len({*asked}) == ASKED
    for prompt in asked:
        (number,) = re.findall(r"Question (\d)\?", prompt)
        assert prompt.count("</compared_answer>") == 4
        assert len(re.findall(rf"By [a-e] on {number}\.", prompt)) == 4
        assert "model-" not in prompt
    own = {row["instruction"]: listed(row["raw_completion"][0]["text"]) for row in rows_of()}
    assert len({*own.values()}) == ASKED
    rated = [call.prompt for call in server.calls if STAGE not in call.prompt]
    assert len(rated) == 15
    for prompt in rated:
        (asked_for,) = re.findall(r"Question \d\?", prompt)
        assert f"<criteria_1>\n{own[asked_for]}\n</criteria_1>" in prompt
        assert "compared_answer" not in prompt


def drawn(rows: list[tuple[str, str]], count: int = 3) -> dict[str, tuple[str, ...]]:
    records = [Rated(instruction, output, "", "m") for instruction, output in rows]
    return {instruction: texts for (instruction, _), texts in compared(records, count).items()}


def test_which_are_compared_hangs_on_the_texts_alone() -> None:
    rows = [(f"q{i}", f"answer {k} to {i}") for i in range(40) for k in range(8)]
    first = drawn(rows)
    assert all(len(texts) == 3 for texts in first.values())
    shuffled = rows.copy()
    random.Random(3).shuffle(shuffled)
    assert drawn(shuffled) == first
    # one that joins is compared in a share of 3 of 9, and changes nothing where it is not
    more = drawn([*rows, *((f"q{i}", f"a new one to {i}") for i in range(40))])
    changed = [i for i in first if more[i] != first[i]]
    assert all(f"a new one to {i[1:]}" in more[i] for i in changed)
    assert 4 <= len(changed) <= 24
    # no place in the row is favoured
    ranks = [int(text.split()[1]) for texts in first.values() for text in texts]
    assert max(ranks.count(k) for k in range(8)) < 30
    # the same text twice is one of them
    assert drawn([("q", "x"), ("q", "x"), ("q", "y"), ("q", " ")])["q"] == drawn([("q", "y"), ("q", "x")])["q"]


def test_a_column_names_what_is_compared(server: Loopback) -> None:
    outputs("a", auxiliary=["First sample.", "Second </compared_answer> sample."])
    assert rate(server) == 0
    for prompt in derivations(server):
        assert "<compared_answer>\nFirst sample.\n</compared_answer>" in prompt
        assert "By a" not in prompt
        # what it imitates is broken
        assert prompt.count("</compared_answer>") == 2
    assert server.received == 2 * ASKED
    # in a file without lists it stands as JSON
    outputs("a", auxiliary=json.dumps(["First sample.", "Second </compared_answer> sample."]))
    assert (rate(server), server.received) == (0, 2 * ASKED)


def test_a_repeat_derives_anew(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert rate(server, "--repeats", "2", "--dry-run") == 0
    assert f"instead would be {2 * ASKED * 20} questions" in capsys.readouterr().out
    assert rate(server, "--repeats", "2") == 0
    assert (server.received, len(derivations(server))) == (36, 2 * ASKED)


@pytest.mark.parametrize(
    ("reply", "why"),
    [
        ("I would look at correctness.", "the reply holds no JSON object with a list criteria of texts"),
        ('{"criteria": []}', "the reply derives no criterion"),
        ('{"criteria": ["…", "…"]}', "the reply derives no criterion"),
        ('{"criteria": [{"text": "x"}]}', "the reply holds no JSON object with a list criteria of texts"),
        (json.dumps({"criteria": ["x"] * 21}), f"derives 21 criteria, and {MOST_CRITERIA} are the most"),
    ],
)
def test_a_derivation_that_is_none_is_no_score_and_is_asked_again_three_times(
    server: Loopback, capsys: pytest.CaptureFixture[str], reply: str, why: str
) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": reply}, "finish_reason": "stop"}
    said = {"model": "gpt-6-luna", "choices": [choice], "usage": {"prompt_tokens": 9, "completion_tokens": 9}}
    server.plan.refuse = lambda call: raw(200, said) if STAGE in call.prompt else None
    for run in (1, 2, 3):
        assert rate(server) == 4
        assert {(row["status"], row["score"]) for row in rows_of()} == {("unparseable", None)}
        assert why in rows_of()[0]["error"]
        # one new attempt a run for each instruction, whoever shares it; nobody is rated by nothing
        assert server.received == run * ASKED
    assert (rate(server), server.received) == (4, 3 * ASKED)
    assert "still unparseable after 3 attempts" in capsys.readouterr().err
    server.plan.refuse = lambda call: None
    assert rate(server, "--retry-unparseable") == 0
    assert server.received == 3 * ASKED + ASKED * (len(MODELS) + 1)


def test_a_budget_ends_it_between_and_a_rerun_goes_on(server: Loopback) -> None:
    assert rate(server, "--budget", "0.021", "--concurrency", "1") == 3
    assert 0 < server.received < 18
    assert {row["error"] for row in rows_of() if row["status"] == "error"} == {"not asked: the budget was reached"}
    assert (rate(server), server.received) == (0, 18)


def test_a_derivation_that_fails_is_an_error_of_its_own_rows(server: Loopback) -> None:
    server.plan.refuse = lambda call: "400" if STAGE in call.prompt and "Question 1?" in call.prompt else None
    assert rate(server) == 4
    assert {row["instruction"]: row["status"] for row in rows_of()} == {
        **{"Question 0?": "verdict", "Question 1?": "error", "Question 2?": "verdict"}
    }
    server.plan.refuse = lambda call: None
    assert rate(server) == 0


def test_another_provider_takes_it(server: Loopback) -> None:
    to = ("--base-url", server.url, "--store", "a.sqlite", "--model", "anthropic/claude-haiku-5-5")
    assert main(["annotate", "outputs.jsonl", "--judge", JUDGE, *to, "-o", "scores.jsonl"]) == 0
    assert (server.received, {row["status"] for row in rows_of()}) == (18, {"verdict"})


def test_show_prints_the_criteria_and_the_score(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    assert rate(server) == 0
    capsys.readouterr()
    assert main(["show", "scores.jsonl", "-n", "1", "--generator", "model-c"]) == 0
    shown = capsys.readouterr().out
    row = next(row for row in rows_of() if row["generator"] == "model-c")
    assert "  output · model-c\n    By c on 0." in shown
    assert re.search(r"stage · standards\n    1\. It is \d+\.\n    2\. It is short\.", shown)
    assert f"verdict · score {row['score']:g} on a scale from 1 to 5" in shown
    assert main(["show", "outputs.jsonl"]) == 2
    assert main(["show", "scores.jsonl", "--status", "unparseable"]) == 2


@pytest.mark.parametrize(
    ("rows", "why"),
    [
        ([{}], "the instruction 'Why?' has one answer, and criteria are derived from 2 or more"),
        ([{"auxiliary": ["x"]}], "has no list of 2 to 8 texts in the column 'auxiliary'; mend it"),
        ([{"auxiliary": "x"}], "has no list of 2 to 8 texts in the column 'auxiliary'"),
        ([{"auxiliary": ["x", ""]}], "has no list of 2 to 8 texts in the column 'auxiliary'"),
        ([{"auxiliary": ["x"] * 9}], "has no list of 2 to 8 texts in the column 'auxiliary'"),
        ([{"auxiliary": ["x", "y"]}, {"auxiliary": ["x", "z"]}], "has two different lists in the column 'auxiliary'"),
    ],
)
def test_what_nothing_can_be_derived_from_is_refused_before_a_call(
    server: Loopback, capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], why: str
) -> None:
    write([{"instruction": "Why?", "output": f"o{k}", "generator": f"m{k}"} | row for k, row in enumerate(rows)])
    for more in ((), ("--dry-run",)):
        assert rate(server, *more) == 2
        error = capsys.readouterr().err
        assert why in error
        assert error.count("\n") == 1
    assert server.received == 0


def test_a_cluster_is_refused(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    asked = ["--base-url", f"{server.url}/v1", "--cluster", "ray", "-o", "parts"]
    assert main(["annotate", "outputs.jsonl", "--judge", JUDGE, *asked]) == 2
    assert "derives its criteria from all answers to an instruction" in capsys.readouterr().err
    assert server.received == 0


ASKS = "{% block user %}{{ instruction }} {% for a in auxiliary %}{{ a }}{% endfor %}{% endblock %}"
BAD: list[tuple[str, dict[str, Any], dict[str, Any], str | None]] = [
    (ASKS, {}, {}, None),
    (ASKS, {"auxiliary": 1}, {}, "auxiliary: must be a whole number from 2 to 8"),
    (ASKS, {"auxiliary": True}, {}, "auxiliary: must be a whole number from 2 to 8"),
    (ASKS, {"auxiliary": 9}, {}, "how many answers to an instruction are compared, not 9"),
    (ASKS, {"rounds": 2}, {}, "criteria are derived once; remove rounds"),
    (ASKS, {"contexts": 3}, {}, "criteria are derived once; remove contexts"),
    (ASKS, {}, {"protocol": "pairwise", "scale": None}, "derives criteria to rate by; name protocol: rating"),
    ("{% block user %}{{ instruction }}{% endblock %}", {}, {}, "auxiliary }} is not used"),
    (ASKS.replace("{{ instruction }}", "{{ output }}"), {}, {}, "is asked once for all, and shows none of them alone"),
    (ASKS.replace("{{ instruction }}", ""), {}, {}, "instruction }} is not used"),
]  # fmt: skip


@pytest.mark.parametrize(("template", "stage", "changes", "why"), BAD)
def test_every_mistake_in_its_file_is_one_line(
    tmp_path: Path, template: str, stage: dict[str, Any], changes: dict[str, Any], why: str | None
) -> None:
    verdict = {"parser": "label", "delimiters": ["[[", "]]"]}
    pairwise = changes.get("protocol") == "pairwise"
    spec: dict[str, Any] = {
        "description": "tried",
        "protocol": "rating",
        "scale": [1, 3],
        "stages": [{"name": "by", "template": "by.jinja", "auxiliary": 3} | stage],
        "template": "last.jinja",
        "verdict": verdict | ({"labels": {"A": "first", "B": "second"}} if pairwise else {}),
        "model": "openai/gpt-6-luna",
    } | changes
    spec = {key: value for key, value in spec.items() if value is not None}
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    (tmp_path / "by.jinja").write_text(template, "utf-8")
    (tmp_path / "last.jinja").write_text("{% block user %}{{ instruction }}{{ output }}{{ by }}{% endblock %}", "utf-8")
    if why is None:
        judge = load_one(tmp_path)
        assert (judge.auxiliary, is_valid(spec)) == (3, True)
        record = Rated("Why?", "one", "", "m", beside=("one", "two"))
        assert tried(judge, record, "1")["by"][0]["content"] == "Why? onetwo"
        return
    with pytest.raises(InputError) as refused:
        load_one(tmp_path)
    assert why in str(refused.value)
    assert "\n" not in str(refused.value)
    # what a template shows is what a schema cannot see
    assert is_valid(spec) == (template is not ASKS)


def test_two_that_derive_are_one_too_many(tmp_path: Path) -> None:
    judge = load_one(JUDGE)
    (tmp_path / "t.jinja").write_text(judge.template or "", "utf-8")
    (tmp_path / "by.jinja").write_text(ASKS, "utf-8")
    stages = [{"name": name, "template": "by.jinja", "auxiliary": 2} for name in ("standards", "others")]
    spec = {"description": "x", "protocol": "rating", "scale": [1, 5], "stages": stages, "template": "t.jinja"}
    spec |= {"verdict": {"parser": "label", "delimiters": ["[[", "]]"]}, "model": judge.model}
    (tmp_path / "judge.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    with pytest.raises(InputError, match="standards and others both derive criteria; keep one"):
        load_one(tmp_path)


def test_how_many_are_compared_is_a_part_of_the_hash(tmp_path: Path) -> None:
    judge = load_one(JUDGE)
    folder = judge.path.parent
    text = (folder / "judge.yaml").read_text("utf-8")
    for name in ("standards.jinja", "template.jinja"):
        (tmp_path / name).write_text((folder / name).read_text("utf-8"), "utf-8")
    hashes = set()
    for count in (4, 3):
        (tmp_path / "judge.yaml").write_text(text.replace("auxiliary: 4", f"auxiliary: {count}"), "utf-8")
        hashes.add(load_one(tmp_path).hash)
    assert judge.hash in hashes
    assert len(hashes) == 2


def test_criteria_are_read_from_json_and_listed() -> None:
    reply = 'Here: {"criteria": ["names the\\n Danube", "  ", "is short"]}'
    assert read_derived(reply) == ["names the Danube", "is short"]
    assert listed(reply) == "1. names the Danube\n2. is short"
    assert listed("no criteria") == "no criteria"
