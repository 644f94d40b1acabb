"""Neutralising: control tokens of every family are broken, disguised ones too, and ordinary text stays as it is."""

import json
from pathlib import Path

import pytest
from chat_families import FAMILIES, TOKENS
from hypothesis import given
from hypothesis import strategies as st

from simfarm.data.files import read_rows
from simfarm.judges import list_judges
from simfarm.judges.neutral import MARK, neutraliser

DELIMITERS = ("<answer_A>", "</answer_A>", "[[A>B]]", "[[A]]", "== END ==")
neutralise = neutraliser(DELIMITERS)


def test_of_the_tokens_of_today_nearly_all_are_broken() -> None:
    missed = [token for token in TOKENS if neutralise(f"a {token} b") == f"a {token} b"]
    assert len(TOKENS) >= 350
    assert len(missed) <= 0.02 * len(TOKENS), missed


def test_tokens_that_no_shape_was_made_for_are_broken_too() -> None:
    new = FAMILIES["seen after the shapes were made"].split()
    assert sum(neutralise(token) != token for token in new) >= 0.9 * len(new)


@pytest.mark.parametrize("around", ["x{}", "{}x", "\n{}\n", "<{}>", "[{}]", "`{}`", "“{}”", "ｗ{}"])
def test_what_stands_beside_a_token_does_not_save_it(around: str) -> None:
    for token in ("<|im_start|>", "<think>", "[/INST]", "<bos>", "</s>", "]~b]", "<｜User｜>", "<answer_A>", "[[A>B]]"):
        assert f"{token[0]}{MARK}{token[1]}" in neutralise(around.format(token)), token


@pytest.mark.parametrize(
    "disguised",
    [
        "＜answer_A＞",
        "<answer＿A>",
        "<𝐚𝐧𝐬𝐰𝐞𝐫_A>",
        "<Answer_a>",
        "﹤/ANSWER_A﹥",
        "<ans\u200cwer_A>",
        "<\u2060a\u00adn\u200ds\ufe0fw\ufeffer_A>",
        "[\u200d[A>B]]",
        "［［A＞B］］",
        "[[Ａ]]",
        "== end ==",
        "＜|im_start|＞",
        "<|im\u2060_start|>",
        "<｜begin of sentence｜>",
        "＜ｔｈｉｎｋ＞",
        "［INST］",
        "<\U000e0061think>",
    ],
)
def test_a_disguised_token_is_broken(disguised: str) -> None:
    shown = neutralise(f"before {disguised} after")
    assert f"before {disguised[0]}{MARK}{disguised[1:]} after" == shown
    assert neutralise(shown) == shown


@pytest.mark.parametrize(
    "text",
    [
        "- [x] done\n- [ ] open",
        "as shown [1], [2, 3] and [Smith]",
        "List<T> and Map<String, Integer>, Vec<i32>, a<b and c>d, x << 2 >> 1",
        "<p>An <em>HTML</em> page</p><br/><h1>x</h1><div class='a'>",
        "[link](http://a/b) ![image](c.png) [^1]",
        "#include <iostream>\nstd::vector<std::string> v; if (a<b && c>d) v[i] = m[[j]];",
        "[Your Name], [Date], [TODO: later], [INSERT NAME HERE], [YOUR COMPANY]",
        "F#: a <| b |> c; OCaml [|1; 2|]; Haskell p <|> q; | a | b |\n|---|---|",
        "《红楼梦》 “quoted” – naïve café ½ … ™ №５",
        "2 < 3 > 1, <3, </3, ->, =>, <->, <!-- a comment -->",
        "git clone <url> && cd <folder>",
    ],
)
def test_ordinary_text_is_byte_equal(text: str) -> None:
    assert neutralise(text) == text


PIECES = [
    *TOKENS[::7],
    *DELIMITERS,
    "＜",
    "｜",
    "\u200d",
    "\u2060",
    "<",
    ">",
    "|",
    "[",
    "]",
    "~",
    "_",
    "ａ",
    "A",
    "\u0338",
]


@given(st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=3)), max_size=10).map("".join))
def test_twice_is_once_and_nothing_is_lost(text: str) -> None:
    shown = neutralise(text)
    assert neutralise(shown) == shown
    assert shown.replace(MARK, "") == text.replace(MARK, "")


def test_recorded_answers_are_hardly_touched(shared_data: Path) -> None:
    texts = [row["output"] for row in read_rows(shared_data / "alpaca_eval_2" / "baseline_gpt4_1106_preview.jsonl.zst")]
    for path in sorted((shared_data / "alpaca_eval_2" / "annotations").iterdir()):
        texts += [row["output_2"] for row in read_rows(path)]
    instructions = (shared_data / "alpaca_eval_2" / "instructions.jsonl").read_text().splitlines()
    texts += [json.loads(line)["instruction"] for line in instructions]
    for judge in list_judges():
        if judge.template is not None:
            changed = sum(judge.compiled.neutralise(text) != text for text in texts)
            assert changed <= 0.005 * len(texts), judge.name
