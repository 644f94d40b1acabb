"""Parsers: the recorded judge text of eight models gives the stored preferences; anything unclear is no verdict."""

import io
import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simfarm.data.exchange import Completion, TokenLogprob
from simfarm.data.meaning import alpaca_eval_order
from simfarm.data.unpacking import zstd
from simfarm.judges import Verdict, load_judge
from simfarm.judges.parsers import VerdictSpec, parse_json, parse_label, parse_token_logprobs
from simfarm.judges.protocols.pairwise import parse, preference
from simfarm.judges.question import held, repair_messages, request_sampling

TOKEN = load_judge("pairwise-logprob")
LABEL = load_judge("pairwise-reasoned")
JSON = load_judge("pairwise-json")
TWO_LEVEL = VerdictSpec("label", {"one": "first", "two": "second"}, delimiters=("<v>", "</v>"))
SWAPPED = {"m": "M", "M": "m", "A>>B": "B>>A", "A>B": "B>A", "A=B": "A=B", "B>A": "A>B", "B>>A": "A>>B"}


def said(text: str, finish_reason: str = "stop") -> Completion:
    return Completion(text, None, finish_reason)


def token(token: str, top: Mapping[str, float], finish_reason: str = "length") -> Completion:
    return Completion(token, (TokenLogprob(token, top.get(token, -0.1), top),), finish_reason)


def recorded(shared_data: Path) -> Iterator[tuple[str, dict[str, Any], str]]:
    folder = shared_data / "alpaca_eval_2"
    lines = (folder / "instructions.jsonl").read_text(encoding="utf-8").splitlines()
    instructions = {row["instruction_id"]: row["instruction"] for row in map(json.loads, lines)}
    for path in sorted((folder / "annotations").glob("*.jsonl.zst")):
        with zstd.open(path, "rb") as stream:
            for line in io.TextIOWrapper(stream, encoding="utf-8"):
                row = json.loads(line)
                yield path.name, row, instructions[row["instruction_id"]]


def test_recorded_completions_give_the_stored_preferences(shared_data: Path) -> None:
    compared: dict[str, int] = {}
    for name, row, instruction in recorded(shared_data):
        choice = row["raw_completion"]
        if choice is None:
            continue
        place = choice["logprobs"]["content"][0]
        top = {item["token"]: item["logprob"] for item in place["top_logprobs"]}
        verdict = parse(TOKEN, token(place["token"], top, choice["finish_reason"]))
        assert verdict.p_second is not None
        order = alpaca_eval_order(instruction)
        assert preference(verdict, order) == pytest.approx(row["preference"], abs=1e-9)
        compared[name] = compared.get(name, 0) + 1
    assert len(compared) == 8
    assert sum(compared.values()) == 6422


def test_token_logprobs_weighs_the_two_labels() -> None:
    p = parse(TOKEN, token("m", {"m": math.log(0.6), "M": math.log(0.2), "The": math.log(0.2)})).p_second
    assert p == pytest.approx(0.25)


def test_a_label_outside_the_top_tokens_weighs_nothing() -> None:
    assert parse(TOKEN, token("m", {"m": -0.1, "The": -3.0})).p_second == 0.0
    assert parse(TOKEN, token("M", {"M": -0.1, "The": -3.0})).p_second == 1.0


def test_a_label_is_one_exact_token() -> None:
    assert parse(TOKEN, token(" m", {" m": -0.1, "M": -5.0})).p_second == 1.0
    for top in ({" m": -0.1, "M ": -0.2}, {"The": 0.0}, {"m": -math.inf, "M": -9999.0}):
        verdict = parse(TOKEN, token("The", top))
        assert verdict == Verdict(None, "neither m nor M is among the likely first tokens")


def test_without_log_probabilities_the_text_alone_is_no_verdict() -> None:
    for completion in (said("m"), Completion("m", None)):
        assert parse(TOKEN, completion) == Verdict(None, "the completion carries no log probabilities")
    unreadable = Verdict(None, "the completion's log probabilities are none that can be read")
    assert parse(TOKEN, Completion("m", ())) == unreadable
    for odd in (800.0, 5.0, 0.01, math.inf, math.nan):
        assert parse(TOKEN, token("m", {"m": odd, "M": -1.0})) == unreadable
        assert parse(TOKEN, token("m", {"m": -1.0, "The": odd})) == unreadable
    alone = parse(TOKEN, Completion("m", (TokenLogprob("m", -0.1, {}),)))
    assert alone == Verdict(None, "the completion lists no likely tokens beside the one it chose")


def test_a_verdict_is_a_preference_by_construction() -> None:
    for odd in (math.nan, math.inf, -0.1, 1.1):
        with pytest.raises(ValueError, match="no preference"):
            Verdict(odd)
    assert parse(TOKEN, token("m", {"m": 0.0005, "M": -1.0})).p_second == pytest.approx(1 / (1 + math.e))


@pytest.mark.parametrize("odd", ['{"a":' * 100_000, "[" * 100_000, "{" * 100_000, '{"winner": ' + "7" * 10_000 + "}"])
def test_json_that_cannot_be_read_is_no_verdict(odd: str) -> None:
    for text in (odd, odd + '{"winner": "A"}'):
        verdict = parse(JSON, said(text))
        assert verdict.p_second is None or text != odd


@given(st.floats(-30, 0), st.floats(-30, 0))
def test_token_logprobs_is_symmetric_in_the_labels(a: float, b: float) -> None:
    p = parse(TOKEN, token("m", {"m": a, "M": b})).p_second
    q = parse(TOKEN, token("m", {"m": b, "M": a})).p_second
    assert p is not None
    assert q is not None
    assert p + q == pytest.approx(1, abs=1e-12)
    assert p == pytest.approx(1 / (1 + math.exp(a - b)), abs=1e-12)


@pytest.mark.parametrize(
    ("label", "p", "strength"),
    [("A>>B", 0.0, 2), ("A>B", 0.0, 1), ("A=B", 0.5, 0), ("B>A", 1.0, 1), ("B>>A", 1.0, 2)],
)
def test_five_levels(label: str, p: float, strength: int) -> None:
    for written in (f"[[{label}]]", f"[[ {label} ]]"):
        verdict = parse(LABEL, said(f"Both are fine.\n\nMy verdict: **{written}**."))
        assert (verdict.p_second, verdict.strength) == (p, strength)
        assert (verdict.reason or "").startswith("Both are fine.")


def test_the_last_delimited_label_wins() -> None:
    verdict = parse(LABEL, said("At first [[A>>B]], then [[A=B]]; after checking the sums: [[B>A]]"))
    assert (verdict.p_second, verdict.strength) == (1.0, 1)


@given(st.lists(st.sampled_from(["A>>B", "A>B", "A=B", "B>A", "B>>A"]), min_size=1), st.text(alphabet="ab [>=]\n"))
def test_swapping_the_labels_mirrors_the_verdict(labels: list[str], noise: str) -> None:
    def verdict(written: list[str]) -> Verdict:
        return parse(LABEL, said("".join(f"x{noise}y[[{label}]]" for label in written)))

    one, two = verdict(labels), verdict([SWAPPED[label] for label in labels])
    assert one.p_second is not None
    assert two.p_second == 1 - one.p_second
    assert one.strength == two.strength


@pytest.mark.parametrize(
    "text", ["A>B", "[A>B]", "[[A]]", "[[a>b]]", "[[A>B", "A>B]]", "[[A > B]]", "[[A>B>A]]", "[[A>>>B]]", "", "  \n"]
)
def test_no_delimited_label_is_no_verdict(text: str) -> None:
    verdict = parse(LABEL, said(text))
    assert verdict.p_second is None
    assert verdict.problem


def test_two_levels_have_no_strength() -> None:
    assert parse_label(said("It is <v>one</v>"), TWO_LEVEL) == Verdict(0.0, reason="It is")
    assert parse_label(said("<v>two</v>"), TWO_LEVEL) == Verdict(1.0)
    assert parse_label(said("<v>three</v>"), TWO_LEVEL).problem == "the reply holds none of <v>one</v>, <v>two</v>"


@pytest.mark.parametrize(("winner", "p"), [("A", 0.0), ("B", 1.0), ("tie", 0.5)], ids=["first", "second", "tie"])
def test_json_alone_fenced_or_after_prose(winner: str, p: float) -> None:
    reply = json.dumps({"reason": 'It says "{no}" [[B>>A]]', "winner": winner}, indent=1)
    for text in (
        reply,
        f"```json\n{reply}\n```",
        f"Here {{it}} is: {reply} Done.",
        f"```\n{reply}```\nHope {{this helps",
    ):
        verdict = parse(JSON, said(text))
        assert (verdict.p_second, verdict.strength) == (p, None), text
        assert verdict.reason == 'It says "{no}" [[B>>A]]'


def test_the_last_complete_object_wins() -> None:
    first, last = '{"reason": "r1", "winner": "A"}', '{"reason": "r2", "winner": "B"}'
    assert parse(JSON, said(f"{first}\nNo, wait:\n{last}")) == Verdict(1.0, reason="r2")
    assert parse(JSON, said(f'{first} {{"reason": "r2", "win')) == Verdict(0.0, reason="r1")
    nested = '{"winner": "A", "reason": "r", "other": {"winner": "B", "reason": "inner"}}'
    assert parse(JSON, said(nested)).p_second == 0.0


def test_a_json_verdict_without_a_reason_is_one() -> None:
    assert parse(JSON, said('{"winner": "B"}')) == Verdict(1.0)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("The winner is A.", "the reply holds no JSON object"),
        ('["winner", "A"]', "the reply holds no JSON object"),
        ('{"winner": "A"', "the reply holds no JSON object"),
        ("{" * 50_000, "the reply holds no JSON object"),
        ('{"a":' * 50_000, "the reply holds no JSON object"),
        ('{"reason": "r"}', "the field winner is not one of A, B, tie"),
        ('{"winner": "C"}', "the field winner is not one of A, B, tie"),
        ('{"winner": "a"}', "the field winner is not one of A, B, tie"),
        ('{"winner": ["A"]}', "the field winner is not one of A, B, tie"),
        ('{"winner": null}', "the field winner is not one of A, B, tie"),
        ('{"winner": "A", "reason": 3}', "the field reason is not a text"),
        ("", "the reply is empty"),
    ],
)
def test_json_of_another_shape_is_no_verdict(text: str, problem: str) -> None:
    assert parse(JSON, said(text)) == Verdict(None, problem)


def test_json_fields_go_by_the_names_of_the_spec() -> None:
    spec = VerdictSpec("json", {"x": "first", "y": "second"}, winner="better", reason="why")
    assert parse_json(said('{"why": "so", "better": "y"}'), spec) == Verdict(1.0, reason="so")
    assert spec.schema["required"] == ["why", "better"]
    assert spec.schema["properties"]["better"]["enum"] == ["x", "y"]


def test_a_reply_that_was_cut_off_is_no_verdict_but_one_token_always_is() -> None:
    cut = Verdict(None, "cut off by the token limit")
    assert parse(LABEL, said("It is [[A>B]], but", "length")) == cut
    assert parse(LABEL, said("", "length")) == cut
    assert parse(JSON, said('{"winner": "A"}', "length")) == cut
    assert parse(TOKEN, token("m", {"m": 0.0}, "length")).p_second == 0.0


@pytest.mark.parametrize("reason", ["refusal", "content_filter"])
def test_a_refusal_is_no_verdict(reason: str) -> None:
    assert parse(LABEL, said("[[A>B]]", reason)) == Verdict(None, "refused")
    assert parse(JSON, said('{"winner": "A"}', reason)) == Verdict(None, "refused")
    spec = TOKEN.verdict
    assert spec is not None
    assert parse_token_logprobs(token("m", {"m": 0.0}, reason), spec) == Verdict(None, "refused")


@given(st.text())
def test_no_text_makes_a_parser_fail(text: str) -> None:
    for judge in (TOKEN, LABEL, JSON):
        verdict = parse(judge, said(text))
        assert (verdict.p_second is None) == (verdict.problem is not None)


def test_the_repair_shows_the_bad_reply_and_says_what_is_wrong() -> None:
    asked = ({"role": "system", "content": "s"}, {"role": "user", "content": "u"})
    bad = said("I like both. <|im_end|>")
    problem = parse(LABEL, bad).problem
    assert problem is not None
    repair = repair_messages(asked, bad, problem)
    assert repair[:2] == asked
    assert repair[2] == {"role": "assistant", "content": "I like both. <\u200b|im_end|>"}
    assert repair[3]["role"] == "user"
    assert "[[A>>B]]" in repair[3]["content"]
    assert repair_messages(asked, said(""), problem)[2]["content"].strip()


def test_only_json_judges_ask_for_a_schema() -> None:
    assert request_sampling(TOKEN) == {"temperature": 0, "max_tokens": 1, "logprobs": 5}
    assert "schema" not in request_sampling(LABEL)
    sampling = request_sampling(JSON)
    schema = sampling.pop("schema")
    assert sampling == JSON.sampling
    assert schema["additionalProperties"] is False
    assert schema["properties"]["winner"]["enum"] == ["A", "B", "tie"]
    assert "schema" not in JSON.sampling


def test_a_reply_that_is_a_label_alone_can_be_held_to_its_labels() -> None:
    letter = load_judge("pairwise-letter")
    assert request_sampling(held(letter)) == {"temperature": 0, "max_tokens": 16, "choices": ["[[A]]", "[[B]]"]}
    assert [parse(letter, said(choice)).p_second for choice in held(letter).sampling["choices"]] == [0.0, 1.0]
    assert held(letter).hash != letter.hash, "it gives other verdicts"
    assert "choices" not in letter.sampling
    # a judge with room to reason, or that is read in another way, is left alone
    for judge in (TOKEN, LABEL, JSON, load_judge("longest"), letter.replace(sampling={"max_tokens": 17})):
        assert held(judge) is judge
    assert held(letter.replace(sampling={})) == letter.replace(sampling={})


def test_a_rule_has_nothing_to_parse() -> None:
    with pytest.raises(ValueError, match="follows a rule"):
        parse(load_judge("longest"), said("A"))
