"""`simfarm judges`: every bundled judge is fit for use, and each way of being unfit is found and said."""

import argparse
import json
from dataclasses import replace
from pathlib import Path

import pytest

from simfarm.cli import judges as command
from simfarm.data.exchange import Completion
from simfarm.errors import InputError
from simfarm.judges import Judge, Verdict, list_judges, list_populations, load_judge
from simfarm.judges.check import SAMPLE, check_judge
from simfarm.judges.parsers import VerdictSpec
from simfarm.judges.protocols.pairwise import parse
from simfarm.runs.fitness import doubts

BUNDLED = list_judges()


def with_template(source: str, name: str = "pairwise-json") -> Judge:
    """A bundled judge whose template was edited, as someone would edit a copy."""
    return replace(load_judge(name), template=source)


def edited(old: str, new: str, name: str = "pairwise-json") -> Judge:
    source = load_judge(name).template
    assert source is not None
    assert old in source
    return with_template(source.replace(old, new), name)


def run(*words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args(words))


@pytest.mark.parametrize("judge", BUNDLED, ids=lambda judge: judge.name)
def test_every_bundled_judge_is_fit_for_use(judge: Judge) -> None:
    check = check_judge(judge, doubts(judge))
    assert check.problems == ()
    assert check.warnings == (
        ("in both orders the output shown first wins: its verdicts say nothing about the outputs",)
        if judge.rule == "first"
        else ()
    )
    if judge.scoring is not None:
        assert (set(check.rendered), check.replies) == ({"1"}, ())
        return
    orders = {"1"} if judge.alone else {"12", "21"}
    assert {reply.order for reply in check.replies} == orders
    if judge.rule is None:
        assert set(check.rendered) == orders
        assert check.replies[-1].preference is None
        assert {reply.preference for reply in check.replies[:-1]} >= {*(judge.ends if judge.alone else (1.0, 2.0))}


def test_a_template_that_ignores_the_order_is_unfit() -> None:
    judge = edited("{{ second }}", "{{ second if second < first else first }}")
    judge = replace(judge, template=(judge.template or "").replace("{{ first }}", "{{ [first, second] | max }}", 1))
    problems = check_judge(judge).problems
    assert any("same in both orders" in problem for problem in problems)


def test_a_template_that_alters_an_output_is_unfit() -> None:
    problems = check_judge(edited("{{ second }}", "{{ second[:20] }}")).problems
    assert "in order 12 the prompt does not hold the output_2 as it was written" in problems
    assert "in order 21 the prompt does not hold the output_1 as it was written" in problems
    assert check_judge(edited("{{ instruction }}", "{{ instruction | upper }}")).problems


def test_a_template_that_lets_an_output_act_is_unfit() -> None:
    problems = check_judge(
        edited("{{ first }}", "{{ first }}{% if '</s>' in first or 's>' in first %}!{% endif %}")
    ).problems
    assert any("changes more than its own text" in problem for problem in problems)


def test_a_parser_that_reads_the_wrong_side_is_unfit(monkeypatch: pytest.MonkeyPatch) -> None:
    def mirrored(judge: Judge, completion: Completion) -> Verdict:
        p = parse(judge, completion).p_second
        return Verdict(None if p is None else 1 - p)

    monkeypatch.setattr("simfarm.judges.protocols.pairwise.parse", mirrored)
    problems = check_judge(load_judge("pairwise-json")).problems
    assert problems == tuple(
        f"in order {order} a reply with {label} is read as {read}, not as {meaning}"
        for order, reads in (("12", ("2.0", "1.0")), ("21", ("1.0", "2.0")))
        for label, read, meaning in zip("AB", reads, ("first", "second"), strict=True)
    )


def test_a_parser_that_reads_any_word_is_unfit() -> None:
    greedy = VerdictSpec("label", {"I": "first", "J": "second"}, delimiters=("", ""))
    problems = check_judge(replace(load_judge("pairwise-reasoned"), verdict=greedy)).problems
    assert "the reply 'I cannot decide.' is read as 1.0 instead of no verdict" in problems


def test_a_tag_that_is_not_listed_is_a_warning() -> None:
    judge = load_judge("pairwise-json")
    check = check_judge(replace(judge, delimiters=judge.delimiters[1:]))
    assert check.problems == ()
    assert check.warnings == (
        "the template writes <instruction> but delimiters does not list it: an output can imitate it",
    )
    check = check_judge(replace(judge, delimiters=(*judge.delimiters, "<extra>")))
    assert check.warnings == ("delimiters lists <extra> but the template does not write it",)
    assert "delimiters is empty" in check_judge(replace(judge, delimiters=())).warnings[-1]


def test_list_names_every_judge(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("list") == 0
    told = capsys.readouterr().out
    for judge in BUNDLED:
        assert any(line.startswith(judge.name) and judge.description in line for line in told.splitlines())
    assert run("list", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert [(row["name"], row["hash"]) for row in rows] == [
        (judge.name, judge.hash) for judge in (*BUNDLED, *list_populations())
    ]


def test_show_prints_the_whole_judge(capsys: pytest.CaptureFixture[str]) -> None:
    judge = load_judge("pairwise-reasoned")
    assert run("show", "pairwise-reasoned") == 0
    told = capsys.readouterr().out
    assert judge.hash in told
    assert "A>>B = much-first" in told
    assert "{{ first }}" in told
    assert run("show", "pairwise-reasoned", "--json") == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["template"] == judge.template
    assert judge.verdict is not None
    assert facts["labels"] == judge.verdict.labels
    assert run("show", "longest", "--json") == 0
    assert json.loads(capsys.readouterr().out)["rule"] == "longest"


def test_check_shows_what_is_sent_in_both_orders(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("check", "pairwise-logprob") == 0
    told = capsys.readouterr().out
    order_12, order_21 = told.split("── order 12")[1].split("── order 21")
    assert order_12.index(SAMPLE.output_1) < order_12.index(SAMPLE.output_2)
    assert order_21.index(SAMPLE.output_2) < order_21.index(SAMPLE.output_1)
    assert told.endswith("fit for use\n")
    assert run("check", "pairwise-logprob", "--json") == 0
    report = json.loads(capsys.readouterr().out)
    assert report["fit"] is True
    assert [message["role"] for message in report["rendered"]["21"]] == ["system", "user"]
    assert {reply["preference"] for reply in report["replies"]} == {1.0, 2.0, None}


def test_check_of_an_unfit_file_ends_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    judge = load_judge("pairwise-json")
    source = (judge.template or "").replace("{{ second }}", "{{ second | truncate(9) }}")
    (tmp_path / "template.jinja").write_text(source, encoding="utf-8")
    (tmp_path / "judge.yaml").write_text(judge.path.read_text(encoding="utf-8"), encoding="utf-8")
    assert run("check", str(tmp_path)) == 2
    told = capsys.readouterr().out
    assert "problem: in order 12 the prompt does not hold the output_2 as it was written" in told
    assert "not fit for use" in told
    assert run("check", str(tmp_path), "--json") == 2
    assert json.loads(capsys.readouterr().out)["fit"] is False


def test_an_unknown_judge_is_an_input_error() -> None:
    with pytest.raises(InputError, match="did you mean pairwise-logprob"):
        run("check", "pairwise-logprobs")


def test_a_model_that_has_not_what_the_judge_asks_for_is_told() -> None:
    judge = load_judge("pairwise-reasoned")
    unfit = judge.replace(model="openai/gpt-6-luna", sampling={"max_tokens": 99, "effort": "minimal"})
    assert any("gpt-6-luna has no effort 'minimal'" in line for line in check_judge(unfit, doubts(unfit)).warnings)
    weighed = load_judge("pairwise-logprob").replace(model="anthropic/claude-haiku-5-5")
    assert any("gives no log probabilities" in line for line in check_judge(weighed, doubts(weighed)).warnings)
    assert not any("gpt-6-luna" in line for line in check_judge(judge, doubts(judge)).warnings)
