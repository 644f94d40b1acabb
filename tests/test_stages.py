"""Judges of several calls: what each stage is shown, what is asked once, what it costs, and what is never a verdict."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from loopback import STAGES, Call, Loopback, raw

from simfarm.cli import main
from simfarm.data.exchange import Completion
from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges import Judge, load_judge, load_one
from simfarm.judges.check import check_judge
from simfarm.judges.contexts import Context, mixed, read_contexts
from simfarm.judges.stages import tried, turn_messages, turns, unusable
from simfarm.judges.verdict import Verdict
from simfarm.runs.fitness import doubts

STAGED = ("critique-verdict", "hindsight", "debate", "contexts")
MARK = "\u200b"
LEVELS = {"A>>B": "much-first", "A>B": "first", "A=B": "tie", "B>A": "second", "B>>A": "much-second"}
PAIR = Comparison("Why?", "one", "two", "base", "x")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Loopback]:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    monkeypatch.chdir(tmp_path)
    with Loopback() as running:
        yield running


def pairs(models: int = 2, instructions: int = 2, path: str = "pairs.jsonl") -> str:
    rows = [
        {"instruction": f"Why {i}?", "output_1": f"Because {i}.", "output_2": f"{m} knows {i}"}
        | {"generator_1": "base", "generator_2": f"m{m}"}
        for i in range(instructions)
        for m in range(models)
    ]
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def annotate(server: Loopback, judge: str, *more: str, out: str = "out.jsonl", store: str = "s.sqlite") -> int:
    asked = ("--base-url", f"{server.url}/v1", "--store", store, "--price", "1,2")
    return main(["annotate", "pairs.jsonl", "--judge", judge, *asked, "-o", out, *more])


def rows_of(path: str = "out.jsonl") -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def written(folder: Path, planned: Any, last: str = "{{ critique }}", **changes: Any) -> Path:
    """A judge's file whose stages are name -> template."""
    folder.mkdir(exist_ok=True)
    show = "{{ instruction }} {{ first }} {{ second }} "
    (folder / "template.jinja").write_text(f"{{% block user %}}{show}{last} A>>B{{% endblock %}}", "utf-8")
    listed = []
    for name, (text, more) in planned.items():
        (folder / f"{name}.jinja").write_text(f"{{% block user %}}{text}{{% endblock %}}", "utf-8")
        listed.append({"name": name, "template": f"{name}.jinja"} | more)
    spec: dict[str, Any] = {
        "description": "tried",
        "protocol": "pairwise",
        "stages": listed,
        "template": "template.jinja",
        "verdict": {"parser": "label", "delimiters": ["[[", "]]"], "labels": LEVELS},
        "model": "openai/gpt-6-luna",
    }
    (folder / "judge.yaml").write_text(yaml.safe_dump(spec | changes), "utf-8")
    return folder / "judge.yaml"


ASKED = "{{ instruction }} Your critique of A"
BOTH = f"{{{{ first }}}} {{{{ second }}}} {ASKED}"


@pytest.mark.parametrize("name", STAGED)
def test_a_judge_of_several_calls_from_dry_run_to_replay(
    server: Loopback, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    pairs()
    assert annotate(server, name, "--dry-run") == 0
    told = capsys.readouterr().out
    assert server.received == 0
    assert annotate(server, name) == 0
    closing, asked, first = capsys.readouterr().err, server.received, rows_of()
    # 2 instructions × 2 models × 2 orders: each verdict alone, a critique for each, an aftermath for each output
    stage_calls = {"critique-verdict": 8, "hindsight": 2 + 4, "debate": 2 * 2 * 4, "contexts": 2}[name]
    verdicts = 16 if name == "contexts" else 8
    assert asked == stage_calls + verdicts == len(server.asked), "equal requests are asked once"
    now = {"debate": 8}.get(name, stage_calls)
    most = {"debate": 8 + 8, "contexts": 4 * 8}.get(name, 8)
    assert f"{now} requests would go to" in told
    assert f"then at most {most} requests of the stage" in told
    assert [row["status"] for row in first] == ["verdict"] * 8
    paid = sum(row["price"] for row in first)
    cost = re.search(rf"{asked} new answers \(\$(\d+\.\d+)\)", closing)
    assert cost is not None
    assert float(cost[1]) == pytest.approx(paid, abs=6e-5), "the rows add up to what was paid"
    assert "by stage" in closing
    assert annotate(server, name, out="again.jsonl") == 0
    assert server.received == asked
    assert rows_of("again.jsonl") == first
    assert annotate(server, name, "--dry-run") == 0
    assert f"{asked} answers are in the store; 0 requests would go to" in capsys.readouterr().out
    assert main(["annotate", "pairs.jsonl", "--judge", name, "--model", "replay/out.jsonl", "-o", "r.jsonl"]) == 0
    same = ("preference", "raw_completion", "reason", "scores")
    assert [{key: row[key] for key in same} for row in rows_of("r.jsonl")] == [
        {key: row[key] for key in same} for row in first
    ]
    assert main(["show", "out.jsonl", "-n", "1"]) == 0
    shown = capsys.readouterr().out
    for one in first[0]["raw_completion"]:
        assert f"stage · {one['stage']}" in shown


def test_every_kind_of_backend_takes_them(server: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    pairs(1, 1)
    monkeypatch.setenv("ANTHROPIC_API_KEY", "k")
    for name in STAGED:
        asked = ("--base-url", server.url, "--store", "a.sqlite", "--model", "anthropic/claude-haiku-5-5")
        assert main(["annotate", "pairs.jsonl", "--judge", name, *asked, "-o", f"{name}.jsonl"]) == 0
        assert {row["status"] for row in rows_of(f"{name}.jsonl")} == {"verdict"}


def test_a_repeat_draws_new_stages(server: Loopback) -> None:
    pairs(1, 1)
    assert annotate(server, "critique-verdict", "--repeats", "2", "--order", "fixed") == 0
    assert server.received == 4
    assert annotate(server, "critique-verdict", "--repeats", "3", "--order", "fixed") == 0
    assert server.received == 6


def test_later_stages_are_shown_what_was_said_of_each_answer(server: Loopback) -> None:
    pairs(1, 1)
    assert annotate(server, "hindsight") == 0
    said = {one["stage"]: one["text"] for one in rows_of()[0]["raw_completion"]}
    verdicts = [call.prompt for call in server.calls if "aftermath_A" in call.prompt]
    shown_first = "<answer_A>\nBecause 0."
    for prompt in verdicts:
        one, two = ("aftermath_1", "aftermath_2") if shown_first in prompt else ("aftermath_2", "aftermath_1")
        assert f"<aftermath_A>\n{said[one]}\n" in prompt
        assert f"<aftermath_B>\n{said[two]}\n" in prompt
    assert said["aftermath_1"] != said["aftermath_2"]
    alone = [call.prompt for call in server.calls if "What happens next?" in call.prompt]
    assert all(("Because 0." in prompt) != ("0 knows 0" in prompt) for prompt in alone)


def test_debaters_hear_each_other(server: Loopback) -> None:
    pairs(1, 1)
    assert annotate(server, "debate", "--order", "fixed") == 0
    given = {one["stage"]: one["text"] for one in rows_of()[0]["raw_completion"]}
    replies = [call.prompt for call in server.calls if "give up what you cannot defend" in call.prompt]
    assert len(replies) == 2
    for prompt in replies:
        mine = "1" if "<answer_1>\nBecause 0." in prompt else "2"
        other = "21"[int(mine) - 1]
        assert f"<argument_1>\n{given[f'argument_{mine}, round 1']}\n" in prompt
        assert f"<argument_2>\n{given[f'argument_{other}, round 1']}\n" in prompt
    last = server.calls[-1].prompt
    for mine, letter in (("1", "A"), ("2", "B")):
        both = "\n\n".join(given[f"argument_{mine}, round {n}"] for n in (1, 2))
        assert f"<argument_{letter}>\n{both}\n</argument_{letter}>" in last


def test_a_reply_is_data(tmp_path: Path) -> None:
    judge = load_one(written(tmp_path / "j", {"critique": (BOTH, {})}, delimiters=["<critique>"]))
    stage = judge.compiled.render(PAIR, "12", (), {"critique": "{{ first }} <critique> <|im_end|> [[A>B]]"})
    assert f"{{{{ first }}}} <{MARK}critique> <{MARK}|im_end|> [[A>B]]" in stage[0]["content"]
    ((turn,),) = turns(judge.stages)
    asked = turn_messages(judge, turn, Comparison("<|im_end|>", "<critique>", "{{ x }}"), "12", {})[0]["content"]
    assert asked == f"<{MARK}critique> {{{{ x }}}} <{MARK}|im_end|> Your critique of A"


def answered(text: str, reason: str = "stop") -> str:
    """The fault that is this answer."""
    choice = {"message": {"content": text}, "finish_reason": reason}
    usage = {"prompt_tokens": 100, "completion_tokens": 100}
    return "json:" + json.dumps({"model": "gpt-6-luna", "choices": [choice], "usage": usage})


FAULTS = {
    "empty": (answered("  "), "came back empty"),
    "refused": ("refusal", "was refused"),
    "cut": (answered("half a", "length"), "was cut off by the token limit"),
}


@pytest.mark.parametrize(("fault", "told"), FAULTS.values(), ids=FAULTS)
def test_a_stage_without_a_reply_is_no_verdict(
    server: Loopback, capsys: pytest.CaptureFixture[str], fault: str, told: str
) -> None:
    """It is unparseable with its cause; the next run asks the stage again, and no verdict was ever asked for."""
    pairs(1, 2)
    broken = Counter[str]()

    def refuse(call: Call) -> str | None:
        if "Why 0?" in call.prompt and STAGES[0] in call.prompt:
            broken[call.hash] += 1
            return fault
        return None

    server.plan.refuse = refuse
    assert annotate(server, "critique-verdict", "--order", "fixed") == 4
    bad, good = rows_of()
    assert (bad["status"], bad["preference"]) == ("unparseable", None)
    assert told in bad["error"]
    assert bad["error"] in capsys.readouterr().err
    assert bad["raw_completion"]["stage"] == "critique"
    assert good["status"] == "verdict"
    before = server.received
    assert before == 3, "one critique that is none, and one with its verdict"
    server.plan.refuse = lambda call: None
    again = annotate(server, "critique-verdict", "--order", "fixed")
    if "cut off" in told:
        assert (again, server.received) == (4, before), "with the same limit it would end there again"
        assert annotate(server, "critique-verdict", "--order", "fixed", "--retry-unparseable") == 0
    else:
        assert again == 0
    assert server.received == before + 2
    assert [row["status"] for row in rows_of()] == ["verdict", "verdict"]
    assert rows_of()[0]["input_tokens"] > rows_of()[1]["input_tokens"] + 50, "the lost reply was paid for too"


def test_what_stays_unusable_is_left_after_three_attempts(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    pairs(1, 1)
    server.plan.refuse = lambda call: FAULTS["empty"][0] if STAGES[0] in call.prompt else None
    for attempts in (1, 2, 3, 3):
        assert annotate(server, "critique-verdict", "--order", "fixed") == 4
        assert server.received == attempts
    assert "still unparseable after 3 attempts" in capsys.readouterr().err
    assert annotate(server, "critique-verdict", "--order", "fixed", "--dry-run") == 0
    assert "; 0 requests would go to" in capsys.readouterr().out


def test_a_verdict_that_cannot_be_read_repairs_itself_and_keeps_its_stages(server: Loopback) -> None:
    pairs(1, 1)
    bad = answered("I cannot say.")
    server.script(None, bad)
    assert annotate(server, "critique-verdict", "--order", "fixed") == 0
    (row,) = rows_of()
    assert [(one["stage"], one["step"]) for one in row["raw_completion"]] == [
        ("critique", 0),
        ("verdict", 1),
        ("verdict", 2),
    ]
    server.script(None, bad, bad)
    Path("s.sqlite").unlink()
    assert annotate(server, "critique-verdict", "--order", "fixed") == 4
    assert rows_of()[0]["status"] == "unparseable"
    before = server.received
    assert annotate(server, "critique-verdict", "--order", "fixed") == 0
    assert server.received == before + 1, "the verdict alone is asked again"


def test_a_verdict_under_one_context_repairs_itself_and_is_replayed(server: Loopback) -> None:
    pairs(1, 1)

    def refuse(call: Call) -> str | None:
        first = "<asker_1>\n1 of two" in call.prompt and "cannot be used" not in call.prompt
        return answered("I cannot say.") if first else None

    server.plan.refuse = refuse
    assert annotate(server, "contexts", "--order", "fixed") == 0
    (row,) = rows_of()
    assert [(one["stage"], one["step"]) for one in row["raw_completion"]] == [
        ("asker", 0),
        ("verdict 1", 1),
        ("verdict 1", 2),
        ("verdict 2", 3),
    ]
    replayed = ("--model", "replay/out.jsonl", "--order", "fixed", "-o", "r.jsonl")
    assert main(["annotate", "pairs.jsonl", "--judge", "contexts", *replayed]) == 0
    assert rows_of("r.jsonl")[0]["raw_completion"] == row["raw_completion"]


def test_what_a_stage_wants_of_its_model_is_doubted(tmp_path: Path) -> None:
    judge = load_one(written(tmp_path / "j", {"critique": (BOTH, {"sampling": {"thinking": 2048}})}))
    assert any("takes no number of tokens to think in" in doubt for doubt in doubts(judge))


def test_a_failed_stage_is_an_error_and_the_run_goes_on(server: Loopback) -> None:
    pairs(1, 2)
    server.plan.refuse = lambda call: raw(400, "no") if "Why 0?" in call.prompt else None
    assert annotate(server, "hindsight", "--order", "fixed") == 4
    bad, good = rows_of()
    assert (bad["status"], good["status"]) == ("error", "verdict")
    server.plan.refuse = lambda call: None
    before = server.received
    assert annotate(server, "hindsight", "--order", "fixed") == 0
    assert server.received == before + 3


def test_the_budget_ends_it_between_stages_and_a_rerun_goes_on(server: Loopback) -> None:
    pairs(2, 3)
    assert annotate(server, "critique-verdict", "--budget", "0.02", "--concurrency", "2", "--max-tokens", "500") == 3
    stopped, asked = rows_of(), server.received
    assert 0 < asked < 24
    assert {row["status"] for row in stopped} <= {"verdict", "error"}
    assert annotate(server, "critique-verdict", "--max-tokens", "500") == 0
    assert server.received == 24
    whole = rows_of()
    Path("s.sqlite").unlink()
    assert annotate(server, "critique-verdict", "--max-tokens", "500", out="at-once.jsonl") == 0
    untimed = [{**row, "seconds": None} for row in rows_of("at-once.jsonl")]
    assert [{**row, "seconds": None} for row in whole] == untimed


def test_options_of_a_run_hold_for_every_stage(server: Loopback) -> None:
    pairs(1, 1)
    assert annotate(server, "critique-verdict", "--order", "fixed", "--max-tokens", "77", "--effort", "high") == 0
    sent = [
        (call.body.get("reasoning_effort"), call.body.get("max_completion_tokens", 0) >= 77) for call in server.calls
    ]
    assert sent == [("high", True), ("high", True)]


def test_a_stage_has_a_sampling_of_its_own(server: Loopback, tmp_path: Path) -> None:
    pairs(1, 1)
    stages = {"critique": (BOTH, {"sampling": {"temperature": 1, "effort": "low"}})}
    path = written(tmp_path / "j", stages, sampling={"temperature": 0, "max_tokens": 9, "thinking": False})
    judge = load_one(path)
    assert judge.hash != load_one(written(tmp_path / "k", {"critique": (BOTH, {})})).hash
    assert annotate(server, str(path), "--order", "fixed") == 0
    critique, verdict = (call.body for call in server.calls)
    assert critique["reasoning_effort"] == "low"
    assert verdict.get("reasoning_effort") == "none"
    assert verdict["max_completion_tokens"] == 9
    assert "max_completion_tokens" not in critique, "the limit of a verdict is none of a critique"


def test_a_judge_that_rates_looks_first(server: Loopback, tmp_path: Path) -> None:
    folder = tmp_path / "j"
    path = written(folder, {"critique": ("{{ instruction }} {{ output }} Your critique of A", {})})
    (folder / "template.jinja").write_text(
        "{% block user %}<answer_1>{{ instruction }} {{ output }} {{ critique }} square brackets{% endblock %}"
    )
    spec = yaml.safe_load(path.read_text("utf-8"))
    spec |= {"protocol": "rating", "scale": [1, 5], "verdict": {"parser": "label", "delimiters": ["[[", "]]"]}}
    path.write_text(yaml.safe_dump(spec), "utf-8")
    outputs = [{"instruction": f"Why {i}?", "output": f"{m} {i}", "generator": m} for i in range(2) for m in "ab"]
    Path("o.jsonl").write_text("".join(json.dumps(row) + "\n" for row in outputs), "utf-8")
    asked = ("--base-url", f"{server.url}/v1", "--store", "s.sqlite")
    assert main(["annotate", "o.jsonl", "--judge", str(path), *asked, "-o", "scores.jsonl"]) == 0
    assert server.received == 8, "two calls for each output"
    assert all(row["score"] in (1, 2, 3, 4, 5) for row in rows_of("scores.jsonl"))
    assert rows_of("scores.jsonl")[0]["raw_completion"][0]["stage"] == "critique"


TWICE = [{"name": "a", "template": "critique.jinja"}, {"name": "a", "template": "critique.jinja"}]
BAD: dict[str, tuple[Any, str, dict[str, Any], str]] = {
    "no list": ({}, "", {"stages": "critique"}, r"stages: must be a list such as \[\{name: critique"),
    "empty": ({}, "", {"stages": []}, "stages: must be a list"),
    "no mapping": ({}, "", {"stages": ["critique"]}, r"stages\[1\]: must be a mapping"),
    "no template": ({}, "", {"stages": [{"name": "critique"}]}, "the key 'template' is missing"),
    "gone": ({}, "", {"stages": [{"name": "critique", "template": "no.jinja"}]}, "name a file beside the judge"),
    "name": ({"Critique": (BOTH, {})}, "{{ Critique }}", {}, "name it in small letters"),
    "taken": ({"first": (BOTH, {})}, "", {}, "the name 'first' means something else"),
    "end": ({"critique_first": (BOTH, {})}, "", {}, "means something else in a template"),
    "key": ({"critique": (BOTH, {"models": 1})}, "{{ critique }}", {}, "unknown key 'models'"),
    "unseen": ({"critique": (BOTH, {})}, "", {}, r"no later template shows its reply; use \{\{ critique \}\}"),
    "unseen each": ({"critique": (f"{{{{ output }}}} {ASKED}", {})}, "", {}, r"use \{\{ critique_first \}\} in one"),
    "later": (
        {"one": (f"{BOTH} {{{{ two }}}}", {}), "two": (BOTH, {})},
        "{{ one }} {{ two }}",
        {},
        "unknown variable 'two'; this stage knows instruction, messages, first, second, reference, "
        "checklist, criteria, context$",
    ),
    "both ways": ({"critique": (f"{BOTH} {{{{ output }}}}", {})}, "{{ critique }}", {}, "not both ways"),
    "blind": ({"critique": ("{{ first }}", {})}, "{{ critique }}", {}, "a stage must see what was asked"),
    "rounds": ({"critique": (BOTH, {"rounds": 2})}, "{{ critique }}", {}, "rounds are for what is asked of each"),
    "many": ({"critique": (f"{{{{ output }}}} {ASKED}", {"rounds": 6})}, "", {}, "whole number from 1 to 5, not 6"),
    "one context": ({"asker": (ASKED, {"contexts": 1})}, "{{ asker }}", {}, "from 2 to 12, not 1"),
    "contexts first": (
        {"asker": (ASKED, {"contexts": 3}), "critique": (BOTH, {})},
        "{{ asker }} {{ critique }}",
        {},
        "asker proposes contexts for the verdict; let it be the last",
    ),
    "contexts of each": (
        {"asker": (f"{{{{ output }}}} {ASKED}", {"contexts": 3})},
        "{{ asker_first }}",
        {},
        "contexts are those of the question",
    ),
    "contexts again": ({"asker": (ASKED, {"contexts": 3, "rounds": 2})}, "{{ asker }}", {}, "proposed once"),
    "logprobs": ({"critique": (BOTH, {"sampling": {"logprobs": 5}})}, "{{ critique }}", {}, "remove logprobs"),
    "sampling": ({"critique": (BOTH, {"sampling": {"heat": 5}})}, "{{ critique }}", {}, "unknown key 'heat'"),
    "rule": ({"critique": (BOTH, {})}, "", {"rule": "longest"}, "a judge with a rule calls no model; remove"),
    "twice": ({"critique": (BOTH, {})}, "{{ critique }}", {"stages": TWICE},
              "two are named 'a'"),
    "too many": (
        {"critique": (BOTH, {})},
        "{{ critique }}",
        {"stages": [{"name": f"s{n}", "template": "critique.jinja"} for n in range(9)]},
        "keep 8 at most",
    ),
}  # fmt: skip

IN_TEMPLATES = ("gone", "unseen", "unseen each", "later", "both ways", "blind", "rounds", "contexts first",
                "contexts of each", "twice")  # fmt: skip


@pytest.mark.parametrize("case", BAD)
def test_what_is_wrong_in_a_file_is_told_with_the_remedy(tmp_path: Path, case: str) -> None:
    stages, last, changes, told = BAD[case]
    path = written(tmp_path / "j", stages, last, **changes)
    with pytest.raises(InputError, match=told) as error:
        load_judge(path)
    assert "\n" not in str(error.value)
    jsonschema = pytest.importorskip("jsonschema")
    from simfarm.judges.schema import judge_schema

    valid = jsonschema.Draft202012Validator(judge_schema()).is_valid(yaml.safe_load(path.read_text("utf-8")))
    assert valid == (case in IN_TEMPLATES), "an editor marks what no template is needed to see"


def test_a_person_and_several_pairs_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="in several calls, which stand for nobody"):
        load_one("hindsight").as_person(persona="a child")
    path = written(tmp_path / "j", {"critique": (BOTH, {})})
    (tmp_path / "j" / "template.jinja").write_text(
        "{% block user %}{% for pair in pairs %}{{ pair.number }}{{ pair.instruction }}{{ pair.first }}"
        "{{ pair.second }}{% endfor %}{{ critique }}{% endblock %}"
    )
    with pytest.raises(InputError, match="stages are about one comparison; do not go through pairs"):
        load_one(path)


@pytest.mark.parametrize("name", STAGED)
def test_check_shows_every_stage(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    judge = load_one(name)
    check = check_judge(judge)
    assert (check.problems, check.warnings) == ((), ())
    assert list(check.stages) == [turn.label for group in turns(judge.stages) for turn in group]
    assert main(["judges", "check", name]) == 0
    shown = capsys.readouterr().out
    assert all(f"stage {label}, asked before the verdict" in shown for label in check.stages)
    assert main(["judges", "show", name]) == 0
    assert f"stage {judge.stages[0].name}" in capsys.readouterr().out


def test_check_sees_a_tag_that_a_stage_forgets(tmp_path: Path) -> None:
    judge = load_one(written(tmp_path / "j", {"critique": (f"<point>{BOTH}", {})}))
    assert any("<point>" in warning for warning in check_judge(judge).warnings)


def test_what_is_tried_says_whose_reply_it_stands_for() -> None:
    judge = load_one("hindsight")
    for order, one in (("12", "one"), ("21", "two")):
        sent = tried(judge, PAIR, order)["verdict"][-1]["content"]
        assert f"<answer_A>\n{one}\n" in sent
        assert "<aftermath_A>\n(what the stage aftermath says of the answer shown first)" in sent


def _reply(*contexts: Any) -> str:
    return "Here: " + json.dumps({"contexts": list(contexts)})


def test_contexts_are_read_and_their_weights_sum_to_one() -> None:
    who = {"who": " a child ", "why": "homework", "weight": 3}
    read = read_contexts(_reply(who, {"who": "a nurse", "why": "", "weight": 1}, {"who": "x", "weight": 0}), 4)
    assert read == [Context("a child", "homework", 0.75), Context("a nurse", "", 0.25)]
    assert read[0].text == "a child\nhomework"
    assert read_contexts(_reply(who, {"who": "b", "weight": 3}, {"who": "c", "weight": 9}), 2)[1].weight == 0.5
    assert len(read_contexts(_reply(who, who, {"who": "b", "weight": 6}), 4)) == 2


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        ("none", "holds no JSON object with a list contexts"),
        ('{"contexts": 3}', "holds no JSON object with a list contexts"),
        (_reply({"who": "a", "weight": 1}), "proposes 1 context with a weight"),
        (_reply({"who": "a", "weight": 0}, {"who": "b", "weight": 0}), "proposes 0 contexts with a weight"),
        (_reply({"who": "", "weight": 1}, {"who": "b", "weight": 1}), "does not say who asks"),
        (_reply({"who": "a", "weight": -1}, {"who": "b", "weight": 1}), "no number from 0 on"),
        (_reply({"who": "a", "weight": True}, {"who": "b", "weight": 1}), "no number from 0 on"),
        (_reply({"who": "a", "weight": 1e400}, {"who": "b", "weight": 1}), "no number from 0 on"),
        (_reply("a", "b"), "does not say who asks"),
    ],
)
def test_contexts_that_cannot_be_mixed(reply: str, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        read_contexts(reply, 4)
    stage = load_one("contexts").stages[0]
    assert told in str(unusable(stage, Completion(text=reply, finish_reason="stop")))


def test_verdicts_are_mixed_by_weight() -> None:
    contexts = [Context("a", "", 0.75), Context("b", "", 0.25)]
    made = mixed(contexts, [Verdict(1.0, scores={"x": 1.0, "y": 2.0}), Verdict(0.0, scores={"x": 0.0})])
    assert made.p_second == 0.75
    assert made.scores == {"x": 0.75}
    assert made.reason == "75 % a: the second shown\n25 % b: the first shown"
    lost = mixed(contexts, [Verdict(1.0), Verdict(None, "refused")])
    assert (lost.p_second, lost.problem) == (None, "under one of the contexts: refused")
    assert mixed(contexts, [Verdict(None, score=4.0), Verdict(None, score=2.0)]).score == 3.5


def test_the_share_of_variance_that_contexts_make(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    """Planted: one context prefers output_2 everywhere, the other output_1; of one weight each, all of it is theirs."""
    pairs(1, 3)
    asker = json.dumps(
        {"contexts": [{"who": "nurse", "why": "", "weight": 1}, {"who": "cook", "why": "", "weight": 1}]}
    )

    def refuse(call: Call) -> str | None:
        text = asker
        if "The four, as JSON" not in call.prompt:
            second = ("Because" in call.prompt.split("<answer_A>")[1].split("</answer_A>")[0]) == (
                "nurse" in call.prompt
            )
            text = "[[B>A]]" if second else "[[A>B]]"
        return answered(text)

    server.plan.refuse = refuse
    assert annotate(server, "contexts") == 0
    assert [row["preference"] for row in rows_of()] == [1.5] * 6
    closing = capsys.readouterr().err
    assert "6 verdicts mixed over contexts, 6 of them over contexts that differ about the side, 100 %" in closing


def test_the_hash_is_over_every_stage(tmp_path: Path) -> None:
    def made(**stage: Any) -> Judge:
        return load_one(
            written(tmp_path / "j", {"critique": (f"{{{{ output }}}} {ASKED}", stage)}, "{{ critique_first }}")
        )

    plain = made().hash
    assert made().hash == plain
    assert len({plain, made(rounds=2).hash, made(sampling={"temperature": 1}).hash}) == 3
    (tmp_path / "j" / "critique.jinja").write_text("{% block user %}{{ output }} {{ instruction }}?{% endblock %}")
    assert load_one(tmp_path / "j" / "judge.yaml").hash != plain


def test_members_may_ask_in_several_calls(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    """A panel and a population of such judges: told beforehand, asked once, and their rows add up."""
    pairs(1, 2)
    spec: dict[str, Any] = {"description": "two", "panel": {"members": ["hindsight", "pairwise-letter"]}}
    Path("panel.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    asked = ("--base-url", f"{server.url}/v1", "--store", "s.sqlite", "--price", "1,2")
    assert main(["annotate", "pairs.jsonl", "--judge", "panel.yaml", *asked, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "8 requests would go to openai/gpt-6-luna" in told, "four aftermaths and four letters"
    assert "then at most 4 requests of the stage verdict" in told
    assert main(["annotate", "pairs.jsonl", "--judge", "panel.yaml", *asked, "-o", "out.jsonl"]) == 0
    assert server.received == 12
    assert "by stage" in capsys.readouterr().err
    assert Counter(row["annotator"] for row in rows_of()) == {"hindsight": 4, "pairwise-letter": 4, "panel": 2}
    members = [{"judge": "critique-verdict", "name": "one"}, {"judge": "pairwise-letter", "name": "two"}]
    Path("people.yaml").write_text(yaml.safe_dump({"description": "two", "members": members}), "utf-8")
    assert main(["annotate", "pairs.jsonl", "--judge", "people.yaml", "--annotators", "2", *asked, "--dry-run"]) == 0
    assert "then at most" in capsys.readouterr().out
    people = ("--judge", "people.yaml", "--annotators", "2")
    assert main(["annotate", "pairs.jsonl", *people, *asked, "-o", "labels.jsonl"]) == 0
    given = [row["raw_completion"] for row in rows_of("labels.jsonl")]
    assert any(isinstance(raw, list) and raw[0]["stage"] == "critique" for raw in given)
