"""The report card: planted truths, the recorded judges' reference figures, and what cannot be estimated."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simfarm
from simfarm.agreement.card import ReportCard
from simfarm.agreement.figures import Row, with_limits
from simfarm.errors import InputError
from simfarm.statistics.estimate import mean_estimate

NAMES = {"instruction_id": "item_id", "annotator": "judge"}


def value(card: ReportCard, rater: str, figure: str) -> float:
    found = card.row(rater).get(figure)
    assert found is not None, (rater, figure)
    return found.value


def planted(n: int = 300, seed: int = 0) -> tuple[pd.DataFrame, pd.DataFrame]:
    """A judge asked in both orders, and three people, on pairs of two models' outputs.

    People are right 9 times in 10; the judge's verdict is right 8 times in 10 and, in one pair of four, the output that
    it is shown first."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(0, 2, n)
    lengths = rng.integers(100, 900, (n, 2))
    base = pd.DataFrame(
        {
            "instruction_id": np.arange(n),
            "generator_1": rng.choice(["ann", "bob", "cy"], n),
            "generator_2": "judge",
            "length_1": lengths[:, 0],
            "length_2": lengths[:, 1],
            "category": np.where(np.arange(n) % 2, "odd", "even"),
        }
    )
    seen = np.where(rng.random(n) < 0.8, truth, 1 - truth)
    placed = rng.random(n) < 0.25
    calls = [
        base.assign(
            annotator="judge", order=order, preference=1.0 + np.where(placed, first, seen), price=0.002, seconds=3
        )
        for order, first in (("12", 0), ("21", 1))
    ]
    people = [
        base.assign(annotator=f"person {k}", preference=1.0 + np.where(rng.random(n) < 0.9, truth, 1 - truth))
        for k in range(3)
    ]
    return pd.concat(calls, ignore_index=True), pd.concat(people, ignore_index=True)


@pytest.fixture(scope="module")
def card() -> ReportCard:
    return simfarm.report_card(planted(800)[0], human=planted(800)[1])


def test_planted_figures_are_found(card: ReportCard) -> None:
    wanted = {
        "agreement": 0.75 * (0.8 * 0.972 + 0.2 * 0.028) + 0.25 * 0.5,
        "first": 0.5 + 0.25 / 2,
        "reversals": 0.25,
        "tie_changes": 0.0,
        "ties": 0.25,
        "longer": 0.5,
        "longer_excess": 0.0,
        "output_1": 0.5,
        "self_preference": 0.0,
        "unparseable": 0.0,
        "error": 0.0,
        "price_per_1000": 4.0,
        "seconds_per_1000": 6000.0,
    }
    for name, truth in wanted.items():
        low, high = card.row("judge").limits[name]
        assert low - 1e-9 <= truth <= high + 1e-9, name
    assert value(card, "people", "agreement") == pytest.approx(0.82 * 0.9 + 0.18 * 0.5 + 0, abs=0.04)
    assert value(card, "judge", "price_per_1000") == pytest.approx(4.0)


def test_the_judge_is_held_against_the_ceiling_on_its_own_terms() -> None:
    """A judge that is one more person is neither above nor below the ceiling, though it meets three votes and each of
    them two."""
    rng = np.random.default_rng(1)
    n = 2000
    rows = pd.DataFrame({"instruction_id": np.arange(n), "generator_1": "a", "generator_2": "b"})
    truth = rng.integers(0, 2, n)
    voters = [1.0 + np.where(rng.random(n) < 0.75, truth, 1 - truth) for _ in range(4)]
    people = [rows.assign(annotator=f"p{k}", preference=vote) for k, vote in enumerate(voters[1:])]
    card = simfarm.report_card(rows.assign(annotator="j", preference=voters[0]), human=people)
    low, high = card.row("j").limits["below_ceiling"]
    assert low < 0 < high
    assert high - low < 0.08


def test_advice_follows_from_figures_alone(card: ReportCard) -> None:
    lines = " ".join(card.advice["judge"])
    assert "it beats 'longest output wins'" in lines
    assert "it takes the output shown first in 6" in lines
    assert "keep asking both orders" in lines
    assert "swapped, it names another winner in" in lines
    for word in ("length:", "style:", "itself:", "noise:", "replies:", "calibration:"):
        assert word not in lines


def test_a_judge_that_is_the_longest_output_has_shown_nothing() -> None:
    judged, people = planted()
    lazy = judged.assign(preference=np.where(judged["length_2"] > judged["length_1"], 2.0, 1.0), annotator="lazy")
    card = simfarm.report_card(lazy, human=people)
    lines = card.advice["lazy"]
    assert lines[0].startswith("trust: not shown to beat 'longest output wins', 0.")
    assert any(line.startswith("length: it takes the longer output") for line in lines)
    assert value(card, "lazy", "agreement") == pytest.approx(value(card, "longest", "agreement"), abs=0.005)
    assert value(card, "lazy", "longer") == 1.0


def test_self_preference_is_a_difference_in_differences() -> None:
    """A judge that gives its own outputs a fifth of what they lost; people set the level, whatever it is."""
    judged, people = planted(1500)
    one = judged[judged["order"] == "12"].drop(columns="order")
    rng = np.random.default_rng(2)
    vain = one.assign(preference=np.where(rng.random(len(one)) < 0.2, 2.0, people["preference"][: len(one)]))
    card = simfarm.report_card(vain, human=people[people["annotator"] == "person 0"])
    low, high = card.row("judge").limits["self_preference"]
    lost = (people["preference"][: len(one)] == 1).mean()
    assert low < 0.2 * lost < high
    assert low > 0
    assert any(line.startswith("itself:") for line in card.advice["judge"])
    other = simfarm.report_card(vain, human=people[people["annotator"] == "person 0"], own={"judge": "bob"})
    assert value(other, "judge", "self_preference") < 0
    with pytest.raises(InputError, match="'nobody' is no generator"):
        simfarm.report_card(vain, human=people, own={"judge": "nobody"})


def test_without_labels_there_is_all_that_needs_none(card: ReportCard) -> None:
    alone = simfarm.report_card(planted(800)[0])
    row = alone.row("judge")
    for name in ("first", "reversals", "ties", "longer", "price_per_1000", "unparseable"):
        assert row.limits[name] == card.row("judge").limits[name]
    assert row.get("agreement") is None
    assert "no labels" in row.why["agreement"]
    assert alone.advice["judge"][0].startswith("labels: none were given")


def test_one_person_alone_is_no_ceiling() -> None:
    judged, people = planted(60)
    card = simfarm.report_card(judged, human=people[people["annotator"] == "person 1"])
    assert card.row("people").get("agreement") is None
    assert card.row("people").why["agreement"] == "no comparison has labels of two people"
    assert card.row("judge").get("below_ceiling") is None
    assert card.row("judge").why["winning_rate"].startswith("needs 3 people with 30 votes each")
    assert card.row("judge").why["winning_rate"].endswith("there are none")
    assert any("second person" in line for line in card.advice["judge"])


def test_one_label_is_no_figure() -> None:
    judged, people = planted(60)
    card = simfarm.report_card(judged, human=people[:1])
    assert card.row("judge").get("agreement") is None
    assert card.row("judge").why["agreement"] == "fewer than two instructions have a verdict and a label"
    assert any(line.startswith("labels: fewer than two instructions") for line in card.advice["judge"])


def test_people_and_longest_stand_beside_a_judge_on_its_own_comparisons() -> None:
    judged, people = planted(240)
    # people agree on the even ones; on the odd ones, which the judge skips, they toss coins
    odd = people["instruction_id"] % 2 == 1
    coins = np.random.default_rng(5).integers(1, 3, int(odd.sum())).astype(float)
    people.loc[odd, "preference"] = coins
    half = judged[judged["instruction_id"] % 2 == 0]
    card = simfarm.report_card(half, human=people)
    some = simfarm.report_card(half, human=people[~odd])
    beside = {row.kind: row for row in card.beside("judge")}
    for name in ("people", "longest"):
        wanted = some.row(name)
        assert set(beside[name].figures) == set(wanted.figures)
        for figure in ("agreement", "pairwise", "longer", "ties"):
            if wanted.get(figure) is not None:
                assert beside[name].get(figure).value == pytest.approx(wanted.get(figure).value)
        assert beside[name].n_labelled == 120
    assert beside["people"].get("agreement").value > value(card, "people", "agreement") + 0.1
    (record,) = [one for one in card.to_json()["raters"] if one["kind"] == "judge"]
    assert record["beside"][0]["n_labelled"] == 120
    assert not some.own_beside
    assert some.beside("judge") == some.rows_beside


def test_epsilon_says_how_much_worse_a_judge_may_be() -> None:
    judged, people = planted(200)
    rates = []
    for epsilon in (0.0, 0.1, 0.4):
        card = simfarm.report_card(judged, human=people, epsilon=epsilon)
        rates.append(value(card, "judge", "winning_rate"))
        low, high = card.row("judge").limits["winning_rate"]
        assert low <= rates[-1] <= high
        assert card.to_json()["epsilon"] == epsilon
    assert rates[0] < rates[2] == 1
    with pytest.raises(InputError, match=r"epsilon.* at least 0 and below 1"):
        simfarm.report_card(judged, human=people, epsilon=1.0)


def test_judges_are_compared_on_what_both_judged() -> None:
    judged, people = planted(400)
    rng = np.random.default_rng(3)
    right = np.tile(people["preference"][:400].to_numpy(), 2)
    good = judged.assign(annotator="good", preference=np.where(rng.random(800) < 0.95, right, 3 - right))
    card = simfarm.report_card([judged, good[good["instruction_id"] < 200]], human=people)
    (pair,) = card.pairs
    assert (pair.a, pair.b, pair.n_comparisons) == ("good", "judge", 200)
    low, _ = pair.difference.interval()
    assert low > 0
    # power of .8 at .95: (1.96 + .84)² variances over the square of the difference
    assert pair.needed == math.ceil(200 * (2.80158 * pair.difference.standard_error / pair.difference.value) ** 2)
    assert card.judges[0].name == "good"


def test_a_judge_asked_again_is_as_sure_as_it_is() -> None:
    judged, people = planted(300)
    rng = np.random.default_rng(4)
    one = judged[judged["order"] == "12"]
    again = [
        one.assign(repeat=k, preference=np.where(rng.random(300) < 0.9, one["preference"], 3 - one["preference"]))
        for k in range(4)
    ]
    card = simfarm.report_card(again, human=people)
    row = card.row("judge")
    low, high = row.limits["retest"]
    assert low < 0.82 < high
    assert row.get("variance") is not None
    assert row.get("bias") is not None
    assert row.why["calibration_error"] == "its verdicts are sides, not probabilities"
    assert any(line.startswith("noise:") for line in card.advice["judge"])


def test_asking_again_is_asking_in_the_same_order() -> None:
    judged, _ = planted(100)
    placed = judged.assign(preference=np.where(judged["order"] == "12", 1.0, 2.0))
    card = simfarm.report_card([placed.assign(repeat=k) for k in range(2)])
    assert value(card, "judge", "retest") == 1.0
    assert value(card, "judge", "first") == 1.0
    assert value(card, "judge", "reversals") == 1.0


def test_soft_preferences_have_a_temperature() -> None:
    """People are as sure as σ(x); the judge says σ(3x)."""
    rng = np.random.default_rng(5)
    n = 1500
    x = rng.normal(size=n)
    rows = pd.DataFrame({"instruction_id": np.arange(n), "generator_1": "a", "generator_2": "b"})
    people = rows.assign(annotator="p", preference=1.0 + (rng.random(n) < 1 / (1 + np.exp(-x))))
    card = simfarm.report_card(rows.assign(annotator="j", preference=1 + 1 / (1 + np.exp(-3 * x))), human=people)
    low, high = card.row("j").limits["temperature"]
    assert 1 < low < 3 < high
    assert any("too sure" in line for line in card.advice["j"])


def test_a_ranking_of_models_is_held_against_peoples() -> None:
    rng = np.random.default_rng(7)
    n, models = 300, [f"m{k}" for k in range(6)]
    rows = pd.concat(
        [pd.DataFrame({"instruction_id": np.arange(n), "generator_1": "base", "generator_2": m}) for m in models],
        ignore_index=True,
    )
    rate = np.repeat(np.linspace(0.2, 0.8, 6), n)
    votes = [1.0 + (rng.random(6 * n) < rate) for _ in range(2)]
    card = simfarm.report_card(rows.assign(annotator="j", preference=votes[0]), human=rows.assign(preference=votes[1]))
    row = card.row("j")
    for name in ("spearman", "kendall"):
        assert value(card, "j", name) > 0.9
        assert row.limits[name][0] > 0.5
    assert row.limits["board_error"][0] < 0.03
    turned = rows.assign(annotator="j", preference=3 - votes[0])
    worst = simfarm.report_card(turned, human=rows.assign(preference=votes[1]))
    assert value(worst, "j", "spearman") < -0.9
    assert worst.row("j").limits["spearman"][1] < 0


def test_models_that_nobody_ranks_have_no_ranking_and_a_reason() -> None:
    judged, people = planted(60)
    row = simfarm.report_card(judged.assign(preference=2.0), human=people).row("judge")
    assert row.get("spearman") is None
    assert row.get("board_error") is not None
    assert row.why["spearman"] == "all models have one win rate by the judge"


def test_a_slice_where_a_judge_fails_is_seen(card: ReportCard) -> None:
    judged, people = planted(400)
    wrong = judged["category"] == "odd"
    failing = judged.assign(preference=judged["preference"].where(~wrong, 3 - judged["preference"]))
    found = {one.name: one for one in simfarm.report_card(failing, human=people).slices}
    assert found["odd"].beside_rest.interval()[1] < -0.2
    assert found["even"].beside_rest.interval()[0] > 0.2
    for one in card.slices:
        low, high = one.beside_rest.interval()
        assert low < 0 < high


def test_a_set_of_instructions_is_held_against_random_ones() -> None:
    rng = np.random.default_rng(7)
    n, models = 120, [f"m{k}" for k in range(8)]
    rows = pd.concat(
        [pd.DataFrame({"instruction_id": np.arange(n), "generator_1": "base", "generator_2": m}) for m in models],
        ignore_index=True,
    )
    rows["dataset"] = np.where(rows["instruction_id"] < 40, "odd one", "rest")
    rate = np.repeat(np.linspace(0.1, 0.9, 8), n)
    rate = np.where(rows["dataset"] == "odd one", 1 - rate, rate)
    card = simfarm.report_card(rows.assign(annotator="j", preference=1.0 + (rng.random(len(rows)) < rate)))
    odd = next(one for one in card.sets if one.name == "odd one")
    assert odd.found.news
    assert odd.found.value < 0
    assert (odd.found.n_in, odd.n_models) == (40, 8)


def test_limits_of_very_many_instructions_are_those_of_few() -> None:
    values = np.random.default_rng(8).choice([0.0, 0.5, 1.0], 2500, p=[0.1, 0.1, 0.8])
    mean = mean_estimate(values, np.arange(2500))
    (row,) = with_limits([Row("j", "judge", {"agreement": mean})], 0.95)
    assert row.limits["agreement"] == pytest.approx(mean.interval(), abs=1e-9)


def test_the_table_and_json_say_the_same(card: ReportCard) -> None:
    table = card.table.set_index("rater")
    record = json.loads(json.dumps(card.to_json(), allow_nan=False))
    raters = {one["rater"]: one for one in record["raters"]}
    assert list(raters) == list(table.index) == ["people", "longest", "judge"]
    for name, figure in raters["judge"]["figures"].items():
        assert table.loc["judge", name] == pytest.approx(figure["value"])
    assert table.loc["judge", "agreement"] == pytest.approx(100 * value(card, "judge", "agreement"))
    assert record["raters"][2]["advice"] == card.advice["judge"]


def _reference(data: Path, name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((data / "human" / "reference_metrics.json").read_text("utf-8"))[name]
    return found


def _real(data: Path, name: str, judges: pd.DataFrame | None = None, **options: Any) -> ReportCard:
    folder = data / "human"
    judged = folder / f"{name}_judges.parquet" if judges is None else judges
    return simfarm.report_card(judged, human=folder / f"{name}.parquet", columns=NAMES, **options)


def _same(card: ReportCard, judge: str, wanted: dict[str, float]) -> None:
    figures = {
        "vs_each_vote_3class": "agreement_votes",
        "vs_each_vote_1-2|d|": "agreement_distance",
        "vs_majority_3class": "agreement_exact",
        "kappa_vs_majority": "cohen_kappa",
        "strict_acc(judge tie=.5)": "agreement_sides",
    }
    found = {key: value(card, judge, name) for key, name in figures.items()}
    assert found == pytest.approx({key: wanted[key] for key in figures}, abs=1e-9), judge


@pytest.mark.parametrize("name", ["alpacafarm_cross", "pandalm", "vicuna80"])
def test_people_and_longest_are_as_the_reference_says(shared_data: Path, name: str) -> None:
    card, wanted = _real(shared_data, name), _reference(shared_data, name)
    people = wanted["human"]
    figures = {
        "pairwise": people["pairwise_agreement_macro"],
        "agreement_exact": people["loo_agreement_macro"],
        "fleiss_kappa": next(v for k, v in people.items() if k.startswith("fleiss")),
        "alpha_nominal": people["krippendorff_nominal"],
        "longer": wanted["p_vote_prefers_longer(|dlen|>30)"],
    }
    assert {k: value(card, "people", k) for k in figures} == pytest.approx(figures, abs=1e-9)
    _same(card, "longest", wanted["longest"])


def test_recorded_judges_are_as_the_reference_says(shared_data: Path) -> None:
    """All 65 judges of LLMBar, by order and both together; a set with ties among people; another with soft ones."""
    wanted = _reference(shared_data, "llmbar")
    card = _real(shared_data, "llmbar")
    _same(card, "longest", wanted["longest"])
    for judge, figures in wanted["judges"].items():
        for order in ("12", "21"):
            by_order = figures[f"order{order}"]["strict_acc(judge tie=.5)"]
            assert value(card, judge, f"agreement_{order}") == pytest.approx(by_order, abs=1e-9)
        _same(card, judge, figures["mean_of_orders"])
        kept = 1 - value(card, judge, "reversals") - value(card, judge, "tie_changes")
        assert kept == pytest.approx(figures["consistency(same verdict both orders)"], abs=1e-9)
    pandalm = _real(shared_data, "pandalm")
    for judge, figures in _reference(shared_data, "pandalm")["judges"].items():
        _same(pandalm, judge, figures["order12"])


def test_alpaca_evals_own_numbers_come_out_under_its_definitions(shared_data: Path) -> None:
    card = _real(shared_data, "alpacafarm_cross", compat="alpaca-eval")
    assert 100 * value(card, "people", "agreement") == pytest.approx(65.66358024691358, abs=1e-9)
    assert 100 * value(card, "longest", "agreement") == pytest.approx(62.1913580246913, abs=1e-9)
    found = [value(card, "gpt4_b1", name) for name in ("agreement", "bias", "variance")]
    assert found == pytest.approx([0.6701388889, 0.3070987654, 0.1493055556], abs=1e-9)


def test_cross_annotations_have_the_intervals_of_the_field(shared_data: Path) -> None:
    row = _real(shared_data, "alpacafarm_cross").row("people")
    wanted = {"pairwise": (0.618, 0.598, 0.638), "agreement": (0.657, 0.629, 0.685)}
    for name, (mean, low, high) in wanted.items():
        assert (row.figures[name].value, *row.limits[name]) == pytest.approx((mean, low, high), abs=2.5e-3)
    assert row.figures["longer"].value == pytest.approx(0.614, abs=5e-4)
    assert row.figures["output_1"].value == pytest.approx(0.517, abs=5e-4)


def test_alpaca_evals_vicuna_part_is_no_news(shared_data: Path) -> None:
    card = simfarm.report_card(shared_data / "alpaca_eval_2" / "preferences.parquet")
    vicuna = next(one for one in card.sets if one.name == "vicuna")
    assert vicuna.found.value == pytest.approx(0.894, abs=5e-4)
    assert (vicuna.found.low, vicuna.found.high) == pytest.approx((0.847, 0.959), abs=0.01)
    assert not vicuna.found.news


def test_the_best_of_many_equal_judges_is_not_real() -> None:
    n, real = 60, []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        truth = rng.integers(0, 2, n)
        base = pd.DataFrame({"instruction_id": np.arange(n), "length_1": 100, "length_2": 200})
        people = base.assign(annotator="Ann", preference=1.0 + truth)
        judges = [
            base.assign(annotator=f"judge {k}", preference=1.0 + np.where(rng.random(n) < 0.75, truth, 1 - truth))
            for k in range(10)
        ]
        pairs = simfarm.report_card(judges, human=people).pairs
        own = [pair.difference.p_value() for pair in pairs]
        assert all(pair.p_value >= p for pair, p in zip(pairs, own, strict=True))
        # one of nine beside the best, of the 45 pairs among which the best was found
        least = min(range(len(pairs)), key=own.__getitem__)
        assert pairs[least].p_value == pytest.approx(min(1.0, 45 * own[least]))
        real.append(any(pair.real for pair in pairs))
    assert sum(real) <= 2
