"""Criteria of judges that write: what is asked, what is read from replies, and what stands in files."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from loopback import Loopback
from test_judges_decisions import Decider, annotated, deciding
from test_judges_spec import GOOD

import simfarm
from simfarm.cli import main
from simfarm.data.exchange import Completion
from simfarm.data.inputs import read_for_evaluation, scores_for
from simfarm.data.inspection import Inspection
from simfarm.data.pairing import compared
from simfarm.data.rated import rated
from simfarm.data.records import Comparison, Output
from simfarm.errors import InputError
from simfarm.judges import Judge, load_judge, load_one
from simfarm.judges.check import check_judge
from simfarm.judges.checks import Check
from simfarm.judges.given import items_of
from simfarm.judges.marks import marks_expected, marks_schema, with_marks
from simfarm.judges.probes.principles import by_principle
from simfarm.judges.protocols import pairwise, rating
from simfarm.judges.question import request_sampling
from simfarm.judges.spans import density, quoted
from simfarm.judges.verdict import Verdict
from simfarm.ranking.criteria import criteria_boards, criteria_of_scores
from simfarm.runs.asking import Member, plan_calls

TEMPLATE = """{% block user %}{% for c in criteria %}{{ c.name }}: {{ c.text }}
{% endfor %}{{ instruction }} <a>{{ first }}</a> <a>{{ second }}</a>{% endblock %}"""
CORRECT = {"name": "correct", "text": "Is it right?", "weight": 3, "anchors": {1: "wrong", 5: "right"}}
CLEAR = {"name": "clear", "text": "Is it clear?", "levels": ["muddy", "fair", "clear"]}
BRIEF = {"name": "brief", "check": {"length": [1, 12]}}
ERRORS = {"text": "Quote errors.", "errors": {"factual": "a false statement", "language": "bad grammar"}}
MARKS: dict[str, Any] = {"verdict": {"parser": "criteria", "labels": {"A": "first", "B": "second"}}}
PAIR = Comparison("Which river?", "The Danube.", "The Rhine, or so it is said.", "short", "long", "i1")


class Plain(yaml.SafeDumper):
    """Writes the same value twice, where YAML would name the first."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def written(folder: Path, criteria: list[Any], template: str = TEMPLATE, **changes: Any) -> Judge:
    """A judge's folder with these criteria."""
    folder.mkdir(exist_ok=True)
    spec = {k: v for k, v in (GOOD | MARKS | {"criteria": criteria} | changes).items() if v not in (None, [])}
    (folder / "judge.yaml").write_text(yaml.dump(spec, Dumper=Plain), "utf-8")
    (folder / "template.jinja").write_text(template, "utf-8")
    return load_one(folder)


def said(judge: Judge, reply: object, pair: Comparison = PAIR, order: str = "12") -> Verdict:
    """The verdict that a run would record for a reply."""
    text = reply if isinstance(reply, str) else json.dumps(reply)
    completion = Completion(text, None, "stop")
    protocol = rating if judge.alone else pairwise
    return with_marks(judge, completion, protocol.parse(judge, completion), pair, order)


def reply(**marks: Any) -> dict[str, Any]:
    return {"criteria": marks}


# --- the verdict follows from the marks


def test_the_verdict_is_the_weighted_mean_of_marks_and_checks(tmp_path: Path) -> None:
    judge = written(
        tmp_path / "j",
        [CORRECT, CLEAR, BRIEF, "A principle, which nobody marks."],
        TEMPLATE.replace("{{ c.name }}: {{ c.text }}", "{{ c }}"),
    )
    marks = reply(
        correct={"reason": "B errs.", "A": 3, "B": 4}, clear={"reason": "Both are.", "A": "clear", "B": "fair"}
    )
    # A: (3·½ + 1 + 1)/5, B: (3·¾ + ½ + 0)/5
    verdict = said(judge, marks)
    assert (verdict.p_second, verdict.reason) == (0.0, "correct: B errs.\nclear: Both are.")
    assert pairwise.scores(verdict, "12") == {
        **{"brief_1": 1, "brief_2": 0, "clear_1": 2, "clear_2": 1, "correct_1": 3, "correct_2": 4}
    }
    # shown the other way round the same reply is about the other output, and the check follows the text
    turned = said(judge, marks, order="21")
    assert pairwise.preference(turned, "21") == 2.0 - (turned.p_second or 0)
    assert turned.p_second == 1.0
    assert pairwise.scores(turned, "21") == {
        **{"brief_1": 1, "brief_2": 0, "clear_1": 1, "clear_2": 2, "correct_1": 4, "correct_2": 3}
    }
    assert marks_expected(judge) == 6


def test_weights_decide_and_equal_means_tie(tmp_path: Path) -> None:
    other = CORRECT | {"name": "kind", "weight": 1}
    marks = reply(correct={"reason": "", "A": 1, "B": 2}, kind={"reason": "", "A": 3, "B": 1})
    chosen = {
        weight: said(written(tmp_path / f"{weight}", [CORRECT | {"weight": weight}, other]), marks).p_second
        for weight in (1, 2, 3, 0)
    }
    assert chosen == {1: 0.0, 2: 0.5, 3: 1.0, 0: 0.0}


@pytest.mark.parametrize(
    ("marks", "problem"),
    [
        ({"correct": {"reason": "", "A": 3}}, "criteria.correct has no mark of B"),
        ({"correct": {"reason": "", "A": 3, "B": 6}}, "criteria.correct has no mark of B"),
        ({"correct": {"reason": "", "A": 2.5, "B": 3}}, "criteria.correct has no mark of A"),
        ({"correct": {"reason": "", "A": True, "B": 3}}, "criteria.correct has no mark of A"),
        ({"correct": [3, 4]}, "criteria.correct has no mark of A"),
        ({"corect": {"A": 3, "B": 3}}, "criteria.correct has no mark of A"),
        ([], "criteria.correct has no mark of A"),
        (None, "criteria.correct has no mark of A"),
    ],
)
def test_a_mark_that_is_missing_is_no_verdict(tmp_path: Path, marks: object, problem: str) -> None:
    verdict = said(written(tmp_path / "j", [CORRECT]), {"criteria": marks})
    assert not verdict.found
    assert (verdict.problem or "").startswith(problem)
    assert said(written(tmp_path / "j", [CORRECT]), "I like A.").problem == "the reply holds no JSON object"


def test_beside_a_verdict_of_its_own_a_mark_may_be_missing(tmp_path: Path) -> None:
    own = {"verdict": {"parser": "json", "labels": {"A": "first", "B": "second", "C": "tie"}}}
    judge = written(tmp_path / "j", [CORRECT, CLEAR], **own)
    full = {"winner": "B", "reason": "B is right."} | reply(
        correct={"reason": "So.", "A": "1", "B": 5}, clear={"A": "clear", "B": "nonsense"}
    )
    verdict = said(judge, full)
    assert (verdict.p_second, verdict.reason) == (1.0, "B is right.\ncorrect: So.")
    assert verdict.scores == {"correct_first": 1, "correct_second": 5, "clear_first": 2}
    assert said(judge, {"winner": "C"}).p_second == 0.5
    assert list(marks_schema(judge)["properties"]) == ["criteria", "reason", "winner"]
    # a list of principles alone is what it always was
    plain = written(tmp_path / "p", ["Be right."], TEMPLATE.replace("{{ c.name }}: {{ c.text }}", "{{ c }}"), **own)
    assert plain.verdict is not None
    assert request_sampling(plain)["schema"] == plain.verdict.schema
    assert said(plain, full).scores is None


def test_the_schema_of_a_reply_holds_it_to_the_grades(tmp_path: Path) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    judge = written(tmp_path / "j", [CORRECT, CLEAR, BRIEF, ERRORS])
    schema = request_sampling(judge)["schema"]
    good = reply(
        correct={"reason": "", "A": 1, "B": 5},
        clear={"reason": "", "A": "fair", "B": "muddy"},
        errors=[{"answer": "A", "quote": "x", "type": "factual"}],
    )
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(good, schema)
    for bad in ({"A": 0}, {"A": 6}, {"A": "3"}, {"C": 3}):
        wrong = json.loads(json.dumps(good))
        wrong["criteria"]["correct"] |= bad
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


def test_a_question_about_the_pair_is_asked_once(tmp_path: Path) -> None:
    odd = {"name": "odd", "question": "Can the instruction be understood in two ways?"}
    true = {"name": "true", "question": "Is {answer} true?"}
    judge = written(tmp_path / "j", [odd, true], TEMPLATE.replace("c.text", "c.question"))
    verdict = said(judge, reply(odd={"score": True}, true={"A": False, "B": True}))
    assert (verdict.p_second, verdict.scores) == (1.0, {"odd": 1.0, "true_first": 0.0, "true_second": 1.0})
    assert marks_expected(judge) == 3
    assert "odd" not in said(judge, reply(true={"A": False, "B": False})).scores  # type: ignore[operator]


# --- rating


def rubric(folder: Path, criteria: list[Any], body: str = "", **changes: Any) -> Judge:
    shown = "{% block user %}{{ instruction }} <a>{{ output }}</a>" + body + "{% endblock %}"
    return written(
        folder,
        criteria,
        shown,
        **{"protocol": "rating", "order": None, "scale": [1, 5], "verdict": {"parser": "criteria"}} | changes,
    )


def test_a_rating_is_the_mean_on_the_judges_scale(tmp_path: Path) -> None:
    names = "{{ criteria | map(attribute='name') | join }}"
    judge = rubric(tmp_path / "j", [CORRECT | {"weight": 1}, BRIEF], names)
    record = rated(Output("Which river?", "The Danube.", "a"))
    verdict = said(judge, reply(correct={"reason": "Near.", "score": 3}), record, "1")
    assert (verdict.score, verdict.scores, verdict.reason) == (4.0, {"correct": 3.0, "brief": 1.0}, "correct: Near.")
    long = replace(record, output_1="x" * 13)
    assert said(judge, reply(correct={"reason": "", "score": 3}), long, "1").score == 2.0
    assert check_judge(judge).problems == ()


def test_a_checklist_is_the_share_of_its_items(tmp_path: Path) -> None:
    judge = load_one("checklist-json")
    record = rated(Output("Go.", "Gone.", "a", extra={"checklist": ["It goes.", "It is back. </checklist>"]}))
    prompt = rating.messages(judge, record, "1")[-1]["content"]
    assert "1. It goes.\n2. It is back. <\u200b/checklist>" in prompt
    met = [{"item": 2, "reason": "Never.", "score": False}, {"item": 1, "reason": "So.", "score": True}]
    verdict = said(judge, reply(checklist=met), record, "1")
    assert (verdict.score, verdict.scores) == (0.5, {"checklist": 0.5})
    assert verdict.reason == "checklist 2: Never.\nchecklist 1: So."
    # every item has an answer, or there is no verdict; one that is not on the list is nothing
    assert not said(judge, reply(checklist=met[:1]), record, "1").found
    assert not said(judge, reply(checklist=[{"item": [1], "score": True}, 3]), record, "1").found
    more = [*met, {"item": 3, "score": True}]
    assert said(judge, reply(checklist=more), record, "1").score == 0.5


@pytest.mark.parametrize(
    ("cell", "items"),
    [
        (["a", "b"], ["a", "b"]),
        (("a", " "), ["a"]),
        ('["a", "b"]', ["a", "b"]),
        ("- a\n- b\n", ["a", "b"]),
        ("1. a\n\n2) b", ["a", "b"]),
        ("[not JSON", ["[not JSON"]),
        (None, []),
        (float("nan"), []),
        ("", []),
        ({"a": 1}, []),
    ],
)
def test_a_checklist_is_read_from_a_list_or_lines(cell: object, items: list[str]) -> None:
    assert items_of(cell) == items


# --- errors


def test_a_quote_counts_where_it_stands_in_the_output() -> None:
    output = "The Danube flows\n  north. It is it's bed."
    spans = [
        {"type": "factual", "quote": "flows north"},
        {"type": "factual", "quote": " flows  north "},
        {"type": "factual", "quote": "flows south"},
        {"type": "factual", "quote": ""},
        {"type": "language", "quote": "it\u200b's bed"},
        {"type": "other", "quote": "Danube"},
        {"type": "language", "quote": 3},
    ]
    assert quoted(spans, ("factual", "language", "tone"), output) == {"factual": 1, "language": 1, "tone": 0}
    assert density(1, "x" * 250) == 4.0
    assert density(0, "") == 0.0


def test_errors_are_counted_for_the_answer_that_has_them(tmp_path: Path) -> None:
    judge = written(tmp_path / "j", [CORRECT, ERRORS], TEMPLATE.replace("{{ c.name }}: ", ""))
    spans = [
        {"answer": "A", "type": "factual", "quote": "Danube"},
        {"answer": "B", "type": "factual", "quote": "Danube"},
        {"answer": "B", "type": "language", "quote": "so it is said"},
        {"answer": "A", "type": "language", "quote": "The"},
        "nonsense",
    ]
    verdict = said(judge, reply(correct={"A": 2, "B": 2}, errors=spans))
    assert pairwise.scores(verdict, "12") == {
        "correct_1": 2,
        "correct_2": 2,
        "errors_factual_1": pytest.approx(1000 / 11),
        "errors_factual_2": 0,
        "errors_language_1": pytest.approx(1000 / 11),
        "errors_language_2": pytest.approx(1000 / 28),
    }
    assert verdict.p_second == 0.5, "errors are counted and weigh nothing"
    assert marks_expected(judge) == 6


def test_fewer_errors_win() -> None:
    """A model with one error where the baseline has two wins, and loses by its marks."""
    pair = {"generator_1": "base", "generator_2": "m", "output_1": "x", "output_2": "y", "annotator": "j"}
    scores = {"errors_factual_1": 2.0, "errors_factual_2": 1.0, "good_1": 2.0, "good_2": 1.0}
    rows = [pair | {"instruction": f"q{i}", "preference": 1.5, "scores": scores} for i in range(4)]
    alone = [
        {"instruction": f"q{i}", "generator": name, "annotator": "j", "score": 1, "scores": {"errors_a": n, "good": n}}
        for i in range(4)
        for name, n in (("base", 2), ("m", 1))
    ]
    for board, wins in ((rows, "errors_factual"), (alone, "errors_a")):
        read = read_for_evaluation([pd.DataFrame(board)], None, Inspection(criteria=True))
        if read is not None:
            (made,) = criteria_boards(read[0], "win-rate", "base")
        else:
            found = scores_for([pd.DataFrame(board)], True)
            assert found is not None
            (made,) = criteria_of_scores(found, "win-rate", "base")
        assert dict(zip(made.table["criterion"], made.table["value"], strict=True)) == {wins: 100.0, "good": 0.0}


# --- checks


@pytest.mark.parametrize(
    ("kind", "value", "right", "wrong"),
    [
        ("pattern", r"(?m)^- ", "One:\n- two", "a - b"),
        ("length", (3, 5), "four", "longer"),
        ("length", (3, None), "x" * 99, "xx"),
        ("length", (None, 3), "", "four"),
        ("json", True, ' {"a": [1]} ', "```json\n{}\n```"),
        ("json", True, "3", "[" * 100_000),
    ],
)
def test_checks(kind: str, value: Any, right: str, wrong: str) -> None:
    check = Check(kind, value, "j")
    assert (check.mark(right, PAIR), check.mark(wrong, PAIR)) == (1.0, 0.0)


def test_a_check_may_be_a_function_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "owncheck.py").write_text(
        "def share(output, known):\n    return len(set(output) & set(known['alphabet'])) / len(known['alphabet'])\n"
        "def loud(output, known):\n    return 2\n"
        "def changed(output, known):\n    return isinstance(known, dict)\n"
        "def broken(output, known):\n    return 1 / 0\n"
        "def asked(output, known):\n    return known['instruction'] == 'Which river?'\n",
        "utf-8",
    )
    monkeypatch.syspath_prepend(tmp_path)
    pair = replace(PAIR, extra={"alphabet": "abT"})
    assert Check("python", "owncheck:share", "j").mark("aT", pair) == pytest.approx(2 / 3)
    assert Check("python", "owncheck:asked", "j").mark("aT", pair) == 1.0
    # a mapping that is no dict, which exec and its like would take for globals
    assert Check("python", "owncheck:changed", "j").mark("aT", pair) == 0.0
    for named, why in [
        ("owncheck:loud", "gave 2; it must give true, false or a number from 0 to 1"),
        ("owncheck:broken", r"fails \(ZeroDivisionError: division by zero\); mend it"),
        ("owncheck:gone", "has no function 'gone'"),
        ("nowhere_at_all:f", "cannot be imported .*name its folder in PYTHONPATH"),
        ("os:remove", "os is of Python itself and no check"),
        ("os.path:exists", "of Python itself"),
        ("builtins:exec", "of Python itself"),
    ]:
        with pytest.raises(InputError, match=why):
            Check("python", named, "j").mark("aT", pair)
    sys.modules.pop("owncheck", None)
    # before the first call, by the first record
    loud = written(tmp_path / "loud", [CORRECT, {"name": "own", "check": {"python": "owncheck:loud"}}])
    with pytest.raises(InputError, match="gave 2"):
        list(plan_calls([PAIR], [Member(loud)]))
    sys.modules.pop("owncheck", None)
    judge = written(tmp_path / "j", [CORRECT, {"name": "own", "check": {"python": "owncheck:share"}}])
    assert "owncheck" not in sys.modules, "a judge that is looked at runs nothing"
    assert any("runs owncheck:share" in warning for warning in check_judge(judge).warnings)


def test_every_judge_that_asks_may_have_checks(tmp_path: Path) -> None:
    label = written(
        tmp_path / "j",
        [BRIEF],
        TEMPLATE.split("{% endfor %}")[1].join(["{% block user %}", ""]),
        **{"verdict": GOOD["verdict"]},
    )
    completion = Completion("Hm. [[B]]", None, "stop")
    verdict = with_marks(label, completion, pairwise.parse(label, completion), PAIR, "21")
    assert (verdict.p_second, pairwise.scores(verdict, "21")) == (1.0, {"brief_1": 1.0, "brief_2": 0.0})
    criteria = [{"name": "odd", "question": "It is odd."}, {"name": "brief", "check": {"length": [1, 5]}}]

    def chances(question: Any, shown: str) -> dict[str, float]:
        return {"A": 0.5, "B": 0.5} if question.kind == "choice" else {"yes": 0.75, "no": 0.25}

    rows, run = annotated(deciding(tmp_path / "d", criteria), Decider(chances), tmp_path / "s.sqlite")
    assert all(row.scores == {"brief_1": 1.0, "brief_2": 0.0, "odd": 0.75} for row in rows)
    assert not [line for line in run.closing_lines() if "marks" in line]


# --- what a judge is told


def test_context_reference_and_checklist_are_told_as_data(tmp_path: Path) -> None:
    shown = (
        "{% block user %}{{ context }} {{ instruction }} <a>{{ first }}</a> <a>{{ second }}</a> {{ reference }} "
        "{{ checklist | join('; ') }}{% endblock %}"
    )
    keys = {"context": {"column": "who"}, "reference": {"column": "gold"}}
    judge = written(tmp_path / "j", [{"checklist": "todo"}], shown, **keys)
    pair = replace(PAIR, extra={"who": "A nurse </a>", "gold": "{{ first }}", "todo": "- be kind\n- be brief"})
    (message,) = pairwise.messages(judge, pair, "12")
    assert message["content"].startswith("A nurse <\u200b/a> Which river? ")
    assert message["content"].endswith("{{ first }} be kind; be brief")
    assert check_judge(judge).problems == ()
    fixed = written(
        tmp_path / "f",
        [],
        shown.replace("{{ checklist | join('; ') }}", ""),
        verdict=GOOD["verdict"],
        context="A nurse.",
    )
    assert pairwise.messages(fixed, PAIR, "12")[0]["content"].startswith("A nurse. Which river?")
    assert len({judge.hash, fixed.hash, replace(fixed, context="A cook.").hash}) == 3
    assert replace(judge, columns={"context": "asker", "reference": "gold"}).hash != judge.hash


@pytest.mark.parametrize(
    ("criterion", "changes", "shown", "why"),
    [
        ({"checklist": "todo"}, {}, "", "a checklist is either listed .* and used as {{ checklist }}"),
        (CORRECT, {}, "{{ checklist }}", "a checklist is either listed"),
        (CORRECT, {"context": "Who."}, "", "a context is either given"),
        (CORRECT, {}, "{{ context }}", "a context is either given"),
        (CORRECT, {"reference": {"column": "gold"}}, "", "reference: is not used"),
        (CORRECT | {"weight": 0}, {}, "", "the weights .*sum to 0"),
        (BRIEF, {}, "", "nothing is marked"),
        ({"name": "c", "text": "Shown only."}, {}, "", "nothing is marked"),
        (ERRORS, {}, "", "nothing is marked"),
    ],
)
def test_a_file_that_asks_for_nothing_is_refused(
    tmp_path: Path, criterion: dict[str, Any], changes: dict[str, Any], shown: str, why: str
) -> None:
    loop = "" if criterion.keys() & {"checklist", "check"} else "{{ criteria }}"
    template = "{% block user %}" + loop + shown + "{{ instruction }} {{ first }} {{ second }}{% endblock %}"
    with pytest.raises(InputError, match=why) as refused:
        written(tmp_path / "j", [criterion], template, **changes)
    assert "\n" not in str(refused.value)


def test_weights_of_what_is_not_marked_do_not_count(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="the weights of what is marked sum to 0"):
        written(tmp_path / "j", [CORRECT | {"weight": 0}, {"name": "p", "text": "Be kind."}])


def test_the_field_of_the_marks_is_no_others(tmp_path: Path) -> None:
    labels = {"A": "first", "B": "second"}
    with pytest.raises(InputError, match="holds its marks in a field 'criteria'"):
        written(tmp_path / "j", [CORRECT], verdict={"parser": "json", "labels": labels, "winner": "criteria"})


def test_marks_want_one_pair_a_prompt(tmp_path: Path) -> None:
    several = (
        "{% block user %}{{ criteria }}{% for pair in pairs %}{{ pair.number }} {{ pair.instruction }} "
        "{{ pair.first }} {{ pair.second }}{% endfor %}{% endblock %}"
    )
    with pytest.raises(InputError, match="correct is marked, for which a prompt shows one pair"):
        written(tmp_path / "j", [CORRECT], several)


def test_a_judge_that_marks_is_another_than_one_that_was_asked_for_no_marks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = {"verdict": {"parser": "json", "labels": {"A": "first", "B": "second"}}}
    judge = written(tmp_path / "j", [CORRECT], **own)
    plain = written(tmp_path / "p", ["Be right."], TEMPLATE.replace("{{ c.name }}: {{ c.text }}", "{{ c }}"), **own)
    hashes = judge.hash, plain.hash
    monkeypatch.setattr("simfarm.judges.spec.MARKING", ())
    again = load_one(tmp_path / "j").hash, load_one(tmp_path / "p").hash
    assert [one == other for one, other in zip(hashes, again, strict=True)] == [False, True]


def test_what_both_files_say_of_an_instruction_is_the_outputs_and_else_the_baselines() -> None:
    base = Output("Q?", "x", "base", extra={"reference": "B.", "checklist": ["b"], "tokens": 3, "who": "b"})
    own = Output("Q?", "y", "m", extra={"reference": "M.", "checklist": None})
    assert compared(base, own).extra == {"reference": "M.", "checklist": ["b"], "who": "b"}


def test_probes_give_a_judge_of_marks_a_principle_to_mark_by() -> None:
    judge = by_principle(load_one("rubric-json"), "Prefer the shorter one.")
    assert "Prefer the shorter one." in pairwise.messages(judge, PAIR, "12")[0]["content"]
    assert said(judge, reply(principle={"A": 1, "B": 5})).p_second == 1.0


# --- runs


ROWS = [
    {"instruction": f"Question {i}?", "output": f"By {name}, {i}.", "generator": name}
    for name in "ab"
    for i in range(4)
]


def outputs(path: str, rows: list[dict[str, Any]]) -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.chdir(tmp_path)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "loopback")
    with Loopback() as running:
        yield running


def rows_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def test_a_rubric_is_run_resumed_and_replayed(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    outputs("a.jsonl", ROWS[:4])
    outputs("b.jsonl", [row | {"reference": "So."} for row in ROWS[4:]])
    command = ["annotate", "a.jsonl", "--baseline", "b.jsonl", "--judge", "rubric-json", "-o", "v.jsonl"]
    url = ["--base-url", f"{server.url}/v1"]
    assert main([*command, *url, "--dry-run"]) == 0
    assert ("4 comparisons, 8 questions to judge rubric-json" in capsys.readouterr().out, server.received) == (True, 0)
    server.script("500", None)
    assert main([*command, *url]) == 0
    rows = rows_of("v.jsonl")
    names = ["complete", "correct", "economical", "errors_factual", "errors_language", "errors_unasked", "on-task"]
    assert {name for row in rows for name in row["scores"]} == {f"{name}_{side}" for name in names for side in "12"}
    assert {row["status"] for row in rows} == {"verdict"}
    assert rows[0]["scores_scale"] == {name: [1.0, 5.0] for name in WEIGHTS}
    for row in rows:
        marks = row["scores"]
        means = [sum(w * marks[f"{n}_{side}"] for n, w in WEIGHTS.items()) for side in "12"]
        assert row["preference"] == 1.5 + 0.5 * ((means[1] > means[0]) - (means[1] < means[0]))
        assert row["reason"].startswith("correct: because it answers the question")
    # the baseline's file alone has the reference; the rubric is the same for every pair, and first
    assert {row["reference"] for row in rows} == {"So."}
    prompts = [call.body["messages"] for call in server.calls]
    assert len({sent[0]["content"] for sent in prompts}) == 1
    assert all("<reference>\nSo.\n</reference>" in sent[1]["content"] for sent in prompts)
    asked = server.received
    assert main([*command, *url]) == 0
    assert (server.received, rows_of("v.jsonl")) == (asked, rows)
    assert main([*command[:-1], "again.jsonl", "--model", "replay/v.jsonl"]) == 0
    assert [row["scores"] for row in rows_of("again.jsonl")] == [row["scores"] for row in rows]
    capsys.readouterr()
    assert main(["show", "v.jsonl", "-n", "1"]) == 0
    assert "correct" in capsys.readouterr().out
    assert simfarm.evaluate("v.jsonl", length_control="none").iloc[0]["n_total"] == 4


WEIGHTS = {"correct": 3, "on-task": 3, "complete": 2, "economical": 1}


@pytest.mark.parametrize("model", [(), ("--model", "anthropic/claude-haiku-5-5")])
def test_a_checklist_that_some_rows_lack_is_refused_before_the_first_call(
    server: Loopback, capsys: pytest.CaptureFixture[str], model: tuple[str, ...]
) -> None:
    listed = [row | {"checklist": ["one", "two"][: 1 + i % 2]} for i, row in enumerate(ROWS)]
    url = server.url if model else f"{server.url}/v1"
    command = ["annotate", "o.jsonl", "--judge", "checklist-json", "-o", "s.jsonl", "--base-url", url, *model]
    outputs("o.jsonl", [*listed[:6], *ROWS[6:]])
    for more in ((), ("--dry-run",)):
        assert main([*command, *more]) == 2
        told = capsys.readouterr().err.strip()
        why = "rows without 'checklist', the checklist of judge checklist-json: 2 of 8 (the first: 'Question 2?')"
        assert why in told.replace("'\"", "'")
        assert len(told.splitlines()) == 1
    assert server.received == 0
    outputs("o.jsonl", listed)
    assert main(command) == 0
    rows = rows_of("s.jsonl")
    assert {row["status"] for row in rows} == {"verdict"}
    assert all(row["score"] == row["scores"]["checklist"] for row in rows)
    assert (server.received, rows[0]["checklist"]) == (8, ["one"])


def test_a_reply_without_a_mark_is_repaired_once_and_is_no_verdict(server: Loopback) -> None:
    outputs("a.jsonl", ROWS[:1])
    outputs("b.jsonl", ROWS[4:5])
    choice = {"index": 0, "message": {"role": "assistant", "content": '{"criteria": {}}'}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 9}
    bad = json.dumps({"choices": [choice], "model": "gpt-6-luna", "usage": usage})
    server.script(*[f"json:{bad}"] * 2)
    command = ["annotate", "a.jsonl", "--baseline", "b.jsonl", "--judge", "rubric-json", "--order", "fixed"]
    run = [*command, "--base-url", f"{server.url}/v1", "-o", "v.jsonl"]
    assert main(run) == 4
    (row,) = rows_of("v.jsonl")
    assert (row["status"], row["preference"], server.received) == ("unparseable", None, 2)
    assert row["error"].startswith("criteria.correct has no mark of A")
    assert "criteria.correct has no mark" in server.calls[1].body["messages"][-1]["content"]
    assert main(run) == 0
    assert server.received == 3


def test_a_crowd_and_a_panel_refuse_what_their_members_lack(
    server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    template = "{% block user %}{{ reference }} {{ instruction }} {{ first }} {{ second }} [[A]]{% endblock %}"
    written(Path("keyed"), [], template, verdict=GOOD["verdict"], reference={"column": "gold"})
    outputs("a.jsonl", ROWS[:4])
    outputs("b.jsonl", [row | {"gold": "g"} for row in ROWS[5:8]] + ROWS[4:5])
    people = {"description": "Two", "members": [{"name": n, "judge": "keyed"} for n in "xy"]}
    panel = {"description": "Two", "panel": {"members": ["keyed", {"judge": "keyed", "name": "z"}]}}
    for name, spec in (("crowd", people), ("panel", panel)):
        Path(f"{name}.yaml").write_text(yaml.safe_dump(spec), "utf-8")
        command = ["annotate", "a.jsonl", "--baseline", "b.jsonl", "--judge", f"{name}.yaml", "-o", "v.jsonl"]
        assert main([*command, "--base-url", f"{server.url}/v1"]) == 2
        told = capsys.readouterr().err
        assert "rows without 'gold', the reference of judge keyed: 1 of 4 (the first: 'Question 0?'); fill" in told
    assert server.received == 0


def test_the_bundled_judges_show_how() -> None:
    for name in ("rubric-json", "checklist-json"):
        judge = load_judge(name)
        assert isinstance(judge, Judge)
        assert check_judge(judge).problems == check_judge(judge).warnings == ()
        assert judge.template is not None
        # every tag around what is judged is one that an output cannot write
        assert set(re.findall(r"</?[a-z]\w*>", judge.template)) == set(judge.delimiters)
