"""Orders: AlpacaEval's recorded ones exactly, ours balanced and the same in every process; rules that call no model."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simfarm.data.records import Comparison
from simfarm.judges import Verdict, load_judge
from simfarm.judges.orders import orders, stable_bit
from simfarm.judges.protocols.pairwise import preference
from simfarm.judges.rules import decide

MANY = [Comparison(f"Instruction {i}", f"a{i}", f"b{i}", "x", "y") for i in range(2000)]
PAIR = Comparison("How many?", "Two.", "Two, I think.", "x", "y")


def test_alpaca_eval_order_predicts_every_recorded_order(shared_data: Path) -> None:
    import pandas as pd

    folder = shared_data / "alpaca_eval_2"
    lines = (folder / "instructions.jsonl").read_text(encoding="utf-8").splitlines()
    instructions = {row["instruction_id"]: row["instruction"] for row in map(json.loads, lines)}
    recorded = pd.read_parquet(folder / "preferences.parquet", columns=["instruction_id", "model_shown_first"]).dropna()
    shown = {key: orders("alpaca-eval", Comparison(text, "", "")) for key, text in instructions.items()}
    predicted = [shown[key] == ("21",) for key in recorded["instruction_id"]]
    assert len(predicted) == 24_870
    assert predicted == recorded["model_shown_first"].tolist()


def test_both_and_fixed() -> None:
    assert orders("both", PAIR) == ("12", "21")
    assert orders("fixed", PAIR) == ("12",)
    with pytest.raises(ValueError, match="unknown order"):
        orders("backwards", PAIR)


@pytest.mark.parametrize("order", ["hashed", "alpaca-eval"])
def test_one_order_is_balanced(order: str) -> None:
    switched = sum(orders(order, pair) == ("21",) for pair in MANY)
    assert 900 < switched < 1100


def test_hashed_order_looks_at_everything_that_tells_comparisons_apart() -> None:
    for part in ("instruction", "output_1", "output_2", "generator_1", "generator_2"):
        changed = [replace(pair, **{part: "other"}) for pair in MANY[:200]]
        same = sum(orders("hashed", a) == orders("hashed", b) for a, b in zip(MANY, changed, strict=False))
        assert 60 < same < 140, part
    chats = [replace(pair, messages=({"role": "user", "content": "hm"},)) for pair in MANY[:200]]
    same = sum(orders("hashed", a) == orders("hashed", b) for a, b in zip(MANY, chats, strict=False))
    assert 60 < same < 140


def test_a_hashed_order_stays_what_it_was() -> None:
    """Another order is another question: whoever judged with an earlier version would pay for all of them again."""
    assert "".join(orders("hashed", pair)[0][0] for pair in MANY[:24]) == "221122222122122211122211"
    assert "".join(str(int(stable_bit("random judge", pair))) for pair in MANY[:24]) == "101010010101010110011011"


def test_hashes_are_the_same_in_every_process() -> None:
    code = (
        "from simfarm.judges import list_judges\n"
        "from simfarm.judges.orders import orders, stable_bit\n"
        "from simfarm.data.records import Comparison\n"
        "pairs = [Comparison(f'Instruction {i}', f'a{i}', f'b{i}', 'x', 'y') for i in range(64)]\n"
        "print([orders('hashed', p)[0] for p in pairs], [stable_bit('coin', p) for p in pairs],\n"
        "      [j.hash for j in list_judges()])"
    )
    seen = {
        subprocess.run(
            [sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        ).stdout
        for seed in ("0", "1", "4242")
    }
    assert len(seen) == 1


def test_coins_for_two_purposes_are_independent() -> None:
    same = sum(stable_bit("order", pair) == stable_bit("random judge", pair) for pair in MANY)
    assert 900 < same < 1100


@pytest.mark.parametrize("order", ["12", "21"])
def test_longest_names_the_longer_output_in_either_order(order: str) -> None:
    judge = load_judge("longest")
    longer = replace(PAIR, output_1="x" * 9, output_2="y" * 10)
    assert preference(decide(judge, longer, order), order) == 2
    assert preference(decide(judge, replace(longer, output_1="x" * 11), order), order) == 1
    assert decide(judge, replace(longer, output_1="é" * 10), order).p_second == 0.5


def test_first_prefers_the_position_and_not_the_output() -> None:
    judge = load_judge("first")
    assert judge.order == "hashed"
    preferences = [preference(decide(judge, pair, o), o) for pair in MANY for o in orders("hashed", pair)]
    assert set(preferences) == {1.0, 2.0}
    assert 900 < preferences.count(2.0) < 1100


def test_random_is_a_fair_coin_that_names_the_same_output_in_both_orders() -> None:
    judge = load_judge("random")
    named = []
    for pair in MANY:
        one, two = (preference(decide(judge, pair, o), o) for o in ("12", "21"))
        assert one == two
        named.append(one)
    assert 900 < named.count(2.0) < 1100


def test_a_judge_with_a_model_has_no_rule_to_decide_by() -> None:
    with pytest.raises(ValueError, match="from a model"):
        decide(load_judge("pairwise-json"), PAIR, "12")


@given(st.floats(0, 1))
def test_preference_is_symmetric(p: float) -> None:
    straight, turned = (preference(Verdict(p), order) or 0 for order in ("12", "21"))
    assert straight - 1 == pytest.approx(p, abs=1e-12)
    assert straight + turned == pytest.approx(3)
