"""What people and judges reward: properties of texts, their weights, topics, and slices that a judge fails on."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import loopback
import numpy as np
import pandas as pd
import pytest
from reader import Reader
from scipy.special import expit
from scipy.stats import false_discovery_control

import simfarm
from simfarm.agreement.dissect import called
from simfarm.agreement.topics import topics
from simfarm.cli import main
from simfarm.data.frames import frame_verdicts
from simfarm.data.inspection import Inspection
from simfarm.errors import InputError
from simfarm.report.dissected import dissection_sheet
from simfarm.statistics.discoveries import false_discovery_rates, lower_groups
from simfarm.statistics.rewards import independent, property_weights
from simfarm.text.properties import PROPERTIES, copied, lexicon, measures, property_names

# --- properties of texts


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("hedges", "Perhaps it’s worth noting that it may rain; i think so.", 4),
        ("hedges", "In May the mayor was Maya.", 1),  # the month too: the list is of words, not of meanings
        ("hedges", "It is so.", 0),
        ("hedges", "```\nmaybe = 1\n```\nDone.", 0),
        ("numbers", "3 of 1,000 at 12:30 cost $4.50 in 2024; B2 and x86 are names", 5),
        ("numbers", "none", 0),
        ("refusals", "I’m sorry, but I cannot\nassist with that. As an AI, I must decline.", 1),
        ("refusals", "Sure, here it is.", 0),
        ("sentiment", "A good and helpful answer.", 2 / 3),
        ("sentiment", "This is not good.", -0.5),
        ("sentiment", "A terrible, wrong and useless answer.", -3 / 4),
        ("sentiment", "The table has four legs.", 0),
        ("lists", "- one\n- two", 2),
        ("length", "four", 4),
    ],
)
def test_measures(name: str, text: str, value: float) -> None:
    assert measures(text, (name,)) == [pytest.approx(value)]


def test_measures_keep_the_order_of_their_names() -> None:
    text = "Maybe 7.\n\n- a\n- b"
    assert measures(text, ("numbers", "lists", "hedges")) == [1, 2, 1]


def test_copied_is_a_share_of_runs() -> None:
    asked = "Write a poem about the sea and the sky"
    assert copied("write a poem about the sea and the sky", asked) == 1
    assert copied("Write a poem about a cat", asked) == pytest.approx(1 / 3)
    assert copied("the sea", asked) == 0
    assert copied("", asked) == 0


def test_lexicon_says_nothing_twice() -> None:
    words = lexicon()
    assert not words.good & words.bad
    assert all(word == word.lower() for group in (words.good, words.bad, words.common) for word in group)


def test_property_names() -> None:
    assert property_names("speed,Bold,order,length") == ("length", "bold", "order", "speed")
    assert property_names("all,generators") == (*PROPERTIES, "generators")
    assert property_names("markdown") == ("headers", "lists", "bold", "code")
    with pytest.raises(InputError, match="empty name"):
        property_names("length,,bold")


def test_properties_are_read_with_the_texts() -> None:
    asked = "Name the four largest cities of France"
    rows = pd.DataFrame(
        {
            "instruction": [asked, "Other"],
            "output_1": [asked, "Perhaps 1"],
            "output_2": ["Paris, Lyon", None],
            "annotator": "j",
            "preference": [1, 2],
        }
    )
    table = frame_verdicts(rows, "rows", Inspection(features=PROPERTIES, instructions=True)).table
    assert table["style_copying_1"].tolist() == [1, 0]
    assert table["style_copying_2"].tolist()[0] == 0
    assert np.isnan(table["style_copying_2"].tolist()[1])
    assert table["style_hedges_1"].tolist() == [0, 1]
    assert table["instruction_start"].tolist() == [asked, "Other"]
    plain = frame_verdicts(rows.assign(instruction="x" * 90), "rows").table
    assert plain["instruction_start"].str.len().max() == 40
    assert "style_copying_1" not in plain


# --- weights


def test_one_sign_is_the_closed_form() -> None:
    # with x = ±1 Jeffreys' prior is half a verdict for either side
    p = np.array([1.0] * 9 + [0.0])
    sign = np.array([1.0, -1.0] * 5)
    (weight,) = property_weights(sign[:, None], np.where(sign > 0, p, 1 - p), np.ones(10), np.arange(10))
    assert weight.value == pytest.approx(np.log(9.5 / 1.5), abs=1e-5)


def test_separated_verdicts_have_a_finite_weight_and_a_wide_interval() -> None:
    x = np.linspace(-1, 1, 20)
    (weight,) = property_weights(x[:, None], (x > 0) * 1.0, np.ones(20), np.arange(20))
    low, high = weight.interval()
    assert 2 < weight.value < 20
    assert low < weight.value < high


def _planted(random: np.random.Generator, n: int, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """(x, votes of four people on each, who lean alike)."""
    x = random.standard_normal((n, len(weights)))
    x[:, -1] *= random.random(n) < 0.15
    from scipy.special import ndtr

    noise = np.sqrt(0.4) * random.standard_normal((n, 1)) + np.sqrt(0.6) * random.standard_normal((n, 4))
    return x, (ndtr(noise) < expit(x @ weights)[:, None]) * 1.0


def _fitted(x: np.ndarray, votes: np.ndarray):
    item = np.repeat(np.arange(len(x)), votes.shape[1])
    return property_weights(x[item], votes.ravel(), np.full(len(item), 1 / votes.shape[1]), item)


def test_weights_twin() -> None:
    import statsmodels.api as sm

    x, votes = _planted(np.random.default_rng(5), 3000, np.array([1.0, -0.4, 0.5]))
    item = np.repeat(np.arange(len(x)), 4)
    twin = sm.GLM(votes.ravel(), x[item], family=sm.families.Binomial()).fit(
        cov_type="cluster", cov_kwds={"groups": item}
    )
    ours = _fitted(x, votes)
    assert [e.value for e in ours] == pytest.approx(twin.params, abs=0.006)
    assert [e.standard_error for e in ours] == pytest.approx(twin.bse, rel=0.03)


def test_weights_cover_in_small_samples() -> None:
    truth = np.array([1.2, -0.5, 0.8])
    random = np.random.default_rng(11)
    held, values = [], []
    for _ in range(250):
        found = _fitted(*_planted(random, 60, truth))
        limits = np.array([e.interval() for e in found])
        held.append((limits[:, 0] <= truth) & (truth <= limits[:, 1]))
        values.append([e.value for e in found])
    assert (np.abs(np.mean(held, axis=0) - 0.95) < 0.04).all(), np.mean(held, axis=0)
    # plain maximum likelihood is .08 too large here, with Jeffreys' whole prior .12 too small
    assert np.mean(values, axis=0)[:2] == pytest.approx(truth[:2], abs=0.06)


def test_a_rare_property_has_not_shown_all() -> None:
    # ten of 200 carry it, and all but one of their verdicts go one way
    x = np.zeros((200, 1))
    x[:10] = 4.0
    p = np.r_[np.ones(9), 0.0, np.arange(190) % 2]
    (one,) = property_weights(x, p, np.ones(200), np.arange(200))
    (other,) = property_weights(x, p, np.ones(200), np.arange(200), reader=1)
    assert one.shared.any()
    assert one.interval() == other.interval()
    assert np.sum((one - other).shared ** 2) == pytest.approx(2 * np.sum(one.shared**2))
    even = np.where(np.arange(200) % 2, 1.0, -1.0)
    (plain,) = property_weights(even[:, None], p, np.ones(200), np.arange(200))
    assert np.sum(plain.shared**2) < 0.1 * plain.standard_error**2


def test_a_weight_that_decides_nearly_every_verdict_is_not_surer_than_the_model() -> None:
    """Of 200 verdicts a dozen say how steep it is: where they happen to fit, the clusters' own errors are too small."""
    surer = []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        x = rng.standard_normal((200, 1))
        p = (rng.random(200) < expit(6 * x[:, 0])) * 1.0
        (one,) = property_weights(x, p, np.ones(200), np.arange(200))
        chance = expit(one.value * x[:, 0])
        told = 1 / np.sqrt((x[:, 0] ** 2 * chance * (1 - chance)).sum())
        assert one.standard_error >= 0.85 * told  # a little less, as the prior holds against a pull
        surer.append(replace(one, shared=np.zeros(0)).standard_error < 0.8 * told)
    assert sum(surer) >= 2


@pytest.mark.parametrize("others", [0, 1])
def test_a_reader_that_always_takes_one_side_rewards_nothing(others: int) -> None:
    """No verdict, or one of 200, is no evidence of a weight, however alike the residuals are."""
    misses = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        x = np.column_stack([rng.normal(0.7, 0.7, 200), np.ones(200)])
        p = np.zeros(200)
        p[rng.choice(200, others, replace=False)] = 1
        low, high = property_weights(x, p, np.ones(200), np.arange(200))[0].interval()
        misses += not low < 0 < high
        assert high - low > 1
    assert misses <= 2


def test_a_reader_that_only_ties_is_not_sure_to_the_last_digit() -> None:
    x = np.random.default_rng(0).normal(size=(100, 1))
    low, high = property_weights(x, np.full(100, 0.5), np.ones(100), np.arange(100))[0].interval()
    assert low < -0.02 < 0.02 < high


def test_two_readers_differ_paired() -> None:
    x, votes = _planted(np.random.default_rng(3), 400, np.array([1.0, 0.3]))
    people, judge = _fitted(x, votes[:, :2]), _fitted(x, votes[:, 2:])
    for a, b in zip(people, judge, strict=True):
        apart = np.hypot(a.standard_error, b.standard_error)
        assert (b - a).standard_error < 0.9 * apart
        assert abs((b - a).value) < 4 * apart


def test_a_vote_said_twice_is_one_vote() -> None:
    x, votes = _planted(np.random.default_rng(9), 80, np.array([1.0, 0.3]))
    once, twice = _fitted(x, votes), _fitted(x, np.column_stack([votes, votes]))
    for a, b in zip(once, twice, strict=True):
        # the prior looks at how much votes agree, and those two do
        assert a.value == pytest.approx(b.value, abs=0.02)
        assert a.interval() == pytest.approx(b.interval(), abs=0.04)


def test_independent_columns() -> None:
    random = np.random.default_rng(0)
    a, b = random.standard_normal((2, 50))
    assert independent(np.column_stack([a, b, a + 2 * b, np.zeros(50), a**2])) == [0, 1, 4]


# --- discoveries


def test_false_discovery_rates_twin() -> None:
    p = np.random.default_rng(1).random(30) ** 3
    assert false_discovery_rates(p) == pytest.approx(false_discovery_control(p))
    some = np.append(p, np.nan)
    assert np.isnan(false_discovery_rates(some)[-1])
    assert false_discovery_rates(some)[:-1] == pytest.approx(false_discovery_control(p))


def _halves(random: np.random.Generator, bad: float) -> np.ndarray:
    group = np.repeat(np.arange(12), 40)
    values = (random.random(len(group)) < np.where(group == 3, bad, 0.7)) * 1.0
    return false_discovery_rates(lower_groups(values, group, random.random(len(group)) < 0.5))


def test_a_bad_slice_is_found_and_no_other() -> None:
    random = np.random.default_rng(8)
    found = np.array([_halves(random, 0.2) <= 0.1 for _ in range(20)])
    assert found[:, 3].mean() >= 0.9
    false = found.sum(axis=1) - found[:, 3]
    assert np.mean(false / np.maximum(1, found.sum(axis=1))) <= 0.1
    none = np.array([(_halves(random, 0.7) <= 0.1).any() for _ in range(20)])
    assert none.mean() <= 0.25


def test_one_half_chooses_and_the_other_tests() -> None:
    group = np.repeat(np.arange(4), 100)
    first = np.arange(400) % 2 == 0
    values = np.arange(400) // 2 % 2 * 1.0
    late, early = values.copy(), values.copy()
    late[(group == 1) & ~first] = 0
    early[(group == 1) & first] = 0
    # what looks bad in the half that tests alone is not tested, and what looks bad in the other alone does not stand
    assert np.isnan(lower_groups(late, group, first)[1])
    assert lower_groups(early, group, first)[1] > 0.3


def test_a_group_of_few_is_not_tested() -> None:
    values = np.append(np.zeros(8), np.ones(92))
    group = np.append(np.zeros(8, dtype=int), np.ones(92, dtype=int))
    first = np.arange(100) % 2 == 0
    assert np.isnan(lower_groups(values, group, first)[0])


# --- topics

_WORDS = {
    "cook": ["recipe", "oven", "butter", "flour", "sugar", "cake", "soup", "salt", "boil", "fry"],
    "code": ["python", "function", "loop", "array", "string", "compile", "variable", "class", "bug", "test"],
    "trip": ["hotel", "flight", "beach", "museum", "train", "ticket", "passport", "island", "tour", "city"],
}


def _instructions(each: int) -> tuple[list[str], list[str]]:
    random = np.random.default_rng(2)
    texts, kinds = [], []
    for kind, words in _WORDS.items():
        for _ in range(each):
            texts.append("Please tell me about " + " ".join(random.choice(words, 5, replace=False)))
            kinds.append(kind)
    return texts, kinds


def test_topics_are_those_of_the_words_in_any_order() -> None:
    texts, kinds = _instructions(60)
    found = topics(texts)
    area = found.area[found.code]
    together = pd.crosstab(pd.Series(area), pd.Series(kinds))
    assert together.max(axis=1).sum() >= 0.95 * len(texts)
    for name in found.names:
        assert set(name.replace(" / ", ", ").split(", ")) <= {w for words in _WORDS.values() for w in words}
    mixed = np.random.default_rng(4).permutation(len(texts))
    again = topics([texts[i] for i in mixed])
    assert [again.names[k] for k in again.code] == [found.names[found.code[i]] for i in mixed]


def test_a_tree_of_a_part_takes_the_rest_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    from simfarm.agreement import topics as module

    monkeypatch.setattr(module, "_IN_TREE", 60)
    texts, kinds = _instructions(60)
    found = topics(texts)
    together = pd.crosstab(pd.Series(found.area[found.code]), pd.Series(kinds))
    assert together.max(axis=1).sum() >= 0.9 * len(texts)
    mixed = np.random.default_rng(4).permutation(len(texts))
    again = topics([texts[i] for i in mixed])
    assert [again.names[k] for k in again.code] == [found.names[found.code[i]] for i in mixed]


def test_topics_refuse_few_and_take_texts_without_words() -> None:
    with pytest.raises(InputError, match="39 instructions make no tree"):
        topics(["a b c"] * 39)
    found = topics(["1 + 1", "?", "2", ""] * 12)
    assert len(found.code) == 48


# --- the verb


def _rows(n: int = 240, seed: int = 1) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(a judge's verdicts that follow length, labels of three people who follow numbers) on the same outputs."""
    random = np.random.default_rng(seed)
    judged, labelled = [], []
    texts, kinds = _instructions(n // 3)
    for i in range(n):
        words, numbers = random.integers(5, 60, 2), random.integers(0, 5, 2)
        outputs = [("word " * w + "8 " * k).strip() for w, k in zip(words, numbers, strict=True)]
        pair = {"instruction": f"{texts[i]} {i}", "output_1": outputs[0], "output_2": outputs[1], "category": kinds[i]}
        longer = np.log(len(outputs[1]) / len(outputs[0]))
        more = (numbers[1] - numbers[0]) / max(1, numbers.sum())
        order = random.choice(["12", "21"])
        eta = 1.5 * longer + (0.8 if order == "21" else -0.8)
        judged.append(pair | {"annotator": "judge", "order": order, "preference": 1 + (random.random() < expit(eta))})
        for person in "abc":
            likes = 1 + (random.random() < expit(3 * more))
            # c saw the pair the other way round
            turned = {"output_1": outputs[1], "output_2": outputs[0]} if person == "c" else {}
            labelled.append(pair | turned | {"annotator": person, "preference": 3 - likes if turned else likes})
    return pd.DataFrame(judged), pd.DataFrame(labelled)


@pytest.fixture(scope="module")
def rows() -> tuple[pd.DataFrame, pd.DataFrame]:
    return _rows()


def test_dissect_tells_what_each_rewards(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    judged, labelled = rows
    found = simfarm.dissect(judged, human=labelled)
    (one,) = found.rewards
    assert (one.n_comparisons, one.n_labels) == (240, 720)
    logs = [np.log1p(judged[side].str.len()) for side in ("output_1", "output_2")]
    assert one.spread["length"] == pytest.approx(np.sqrt(((logs[1] - logs[0]) ** 2).mean()))
    assert one.judge["length"].interval()[0] > 0.5
    assert one.judge["shown_first"].interval()[0] > 0.1
    assert one.people["numbers"].interval()[0] > 0.5
    assert abs(one.people["length"].value) < 0.4
    assert one.q["length"] <= 0.1
    assert one.q["numbers"] <= 0.1
    assert one.difference["numbers"].value < 0 < one.difference["length"].value
    assert one.left_out["bold"] == "the outputs never differ in it"
    table = found.table.set_index("property")
    assert table.loc["log length", "judge_weight"] == one.judge["length"].value
    assert table.loc["bold", "left_out"] == "the outputs never differ in it"
    json.dumps(found.to_json())


@pytest.mark.parametrize("level", [0.95, 0.8])
@pytest.mark.parametrize("many", [False, True])
def test_a_star_is_a_q_of_what_the_level_leaves(
    rows: tuple[pd.DataFrame, pd.DataFrame], level: float, many: bool
) -> None:
    judged, labelled = rows
    found = simfarm.dissect(judged, human=labelled, level=level)
    (one,) = found.rewards
    names = list(one.q)
    marked = replace(one, q=dict(zip(names, np.array([0.9, 1.9]) * (1 - level), strict=True)))
    sheet = dissection_sheet(replace(found, rewards=(marked,) * (3 if many else 1)))
    text = [row for part in sheet.parts for row in part.rows]
    if many:
        assert sum(cell.endswith("*") for row in text for cell in row) == 3
    else:
        assert [row[0].endswith(" *") for row in text].count(True) == 1
        assert "differ, 1 of 2 properties" in sheet.parts[0].remarks[1]
        assert f"{100 * (1 - level):.3g} % are false" in sheet.parts[0].remarks[1]


def test_a_mark_and_the_interval_beside_it_say_the_same(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    """Of thirty made-up properties some differ by chance; whatever has a mark leaves 0 out."""
    judged, labelled = rows
    random = np.random.default_rng(12)
    names = [f"own{k}" for k in range(12)]
    for name in names:
        score = random.standard_normal((2, len(judged)))
        judged = judged.assign(**{f"{name}_1": score[0], f"{name}_2": score[1]})
    found = simfarm.dissect(judged, human=labelled, control=["length", "numbers", *names])
    (one,) = found.rewards
    (part,) = dissection_sheet(found).parts
    marked = {row[0].removesuffix(" *"): row[3] for row in part.rows if row[0].endswith(" *")}
    assert {"log length", "numbers"} <= set(marked)
    for name, e in one.difference.items():
        low, high = e.interval()
        if called(name) in marked:
            assert not low < 0 < high
            assert one.q[name] <= 0.05
    assert any(0.05 < q <= 0.5 for q in one.q.values())
    doubtful = replace(one, q={**one.q, "length": 0.06})
    (part,) = dissection_sheet(replace(found, rewards=(doubtful,))).parts
    assert "log length" in [row[0] for row in part.rows]
    assert any("may leave 0 out without a mark" in line for line in part.remarks)


def test_swapping_every_pair_changes_nothing(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    judged, _ = rows
    swapped = judged.rename(columns={"output_1": "output_2", "output_2": "output_1"}).assign(
        preference=3 - judged["preference"], order=judged["order"].map({"12": "21", "21": "12"})
    )
    one, other = (simfarm.dissect(frame).rewards[0].judge for frame in (judged, swapped))
    for name in ("length", "numbers", "shown_first"):
        assert one[name].value == pytest.approx(other[name].value, abs=1e-3)
    assert one["output_2"].value == pytest.approx(-other["output_2"].value, abs=1e-3)


def test_slim_files_have_length_alone_and_say_so(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    judged, _ = rows
    slim = pd.DataFrame(
        {
            "instruction_id": range(len(judged)),
            "length_1": judged["output_1"].str.len(),
            "length_2": judged["output_2"].str.len(),
            "annotator": "judge",
            "preference": judged["preference"],
            "speed_1": 1.0,
            "speed_2": judged["output_1"].str.len() / 100,
        }
    )
    (one,) = simfarm.dissect(slim).rewards
    assert set(one.spread) == {"length"}
    assert one.left_out["hedges"] == "no texts"
    assert not one.people
    assert not one.difference
    (own,) = simfarm.dissect(slim, control="length,speed").rewards
    assert set(own.spread) == {"length", "speed"}
    with pytest.raises(InputError, match="'hedges' needs texts"):
        simfarm.dissect(slim, control="length,hedges")


def test_a_baseline_is_output_1_whichever_side_it_is_written_on(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    judged = rows[0].drop(columns="order").assign(generator_1="base", generator_2="model")
    judged["preference"] = np.where(np.arange(len(judged)) % 10 < 8, 2, judged["preference"])
    turned = judged.copy()
    half = np.arange(len(judged)) % 2 == 0
    for one, other in (("output_1", "output_2"), ("generator_1", "generator_2")):
        turned.loc[half, [one, other]] = judged.loc[half, [other, one]].to_numpy()
    turned.loc[half, "preference"] = 3 - judged.loc[half, "preference"]
    one, other = (simfarm.dissect(frame).rewards[0].judge for frame in (judged, turned))
    assert one["output_2"].value > 1
    for name in ("length", "output_2"):
        assert abs(one[name].value) == pytest.approx(abs(other[name].value), abs=1e-3)


def test_people_and_judge_are_weighed_on_what_both_have(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    judged, labelled = rows
    some = labelled[labelled["instruction"].isin(judged["instruction"].head(100))]
    itself = judged.head(40).assign(output_2=judged["output_1"].head(40), generator_1="m", generator_2="m")
    together = pd.concat([judged.assign(generator_1="base", generator_2="m"), itself.assign(preference=1.5)])
    (one,) = simfarm.dissect(together, human=some, control="length,numbers").rewards
    (alone,) = simfarm.dissect(judged.head(100), human=some, control="length,numbers").rewards
    assert (one.n_comparisons, one.n_labels) == (100, 300)
    assert one.judge["length"].value == pytest.approx(alone.judge["length"].value, abs=1e-6)
    # one generator's output against itself was not judged
    (whole,) = simfarm.dissect(together, control="length,numbers").rewards
    assert whole.n_comparisons == 240


def test_a_judges_scores_are_properties_by_their_names(tmp_path) -> None:
    random = np.random.default_rng(4)
    n = 200
    marks = random.integers(1, 10, (n, 2))
    frame = pd.DataFrame({"instruction_id": range(n), "length_1": 10, "length_2": 20, "annotator": "j"})
    likes = random.random(n) < expit((marks[:, 1] - marks[:, 0]) / 2)
    frame["preference"] = np.where(likes, 2.0, 1.0)
    frame["scores"] = [{"clarity_1": int(a), "clarity_2": int(b)} for a, b in marks]
    frame.loc[3, "preference"], frame.at[3, "scores"] = np.nan, None
    (one,) = simfarm.dissect(frame, control="clarity").rewards
    assert one.n_comparisons == n - 1
    assert one.judge["clarity"].interval()[0] > 0.5
    frame.assign(scores=frame["scores"].map(json.dumps)).to_csv(tmp_path / "j.csv", index=False)
    (read,) = simfarm.dissect(tmp_path / "j.csv", control="clarity").rewards
    assert read.judge["clarity"].value == pytest.approx(one.judge["clarity"].value)
    with pytest.raises(InputError, match="of the file's own clarity"):
        simfarm.dissect(frame, control="tone")


def test_comparisons_with_more_labels_weigh_no_more(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    judged, labelled = rows
    again = labelled[labelled["instruction"].isin(judged["instruction"].head(120))]
    more = pd.concat([labelled, *(again.assign(annotator=again["annotator"] + str(k)) for k in range(3))])
    one, other = (simfarm.dissect(judged, human=h, control="length,numbers").rewards[0] for h in (labelled, more))
    assert other.n_labels == 720 + 3 * 360
    for name in ("length", "numbers"):
        assert other.people[name].value == pytest.approx(one.people[name].value, abs=0.02)


def test_generators_are_held_equal(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    # "long" is preferred for who it is, and is the longer one: only with generators has length no weight
    random = np.random.default_rng(6)
    n = 300
    names = np.array([random.choice(["long", "short", "other"], 2, replace=False) for _ in range(n)])
    size = np.where(names == "long", 400, 100) * random.uniform(0.5, 2, (n, 2))
    frame = pd.DataFrame(
        {
            "instruction_id": range(n),
            "generator_1": names[:, 0],
            "generator_2": names[:, 1],
            "length_1": size[:, 0].round(),
            "length_2": size[:, 1].round(),
            "annotator": "j",
        }
    )
    eta = 2.0 * ((names[:, 1] == "long") * 1.0 - (names[:, 0] == "long"))
    frame["preference"] = 1 + (random.random(n) < expit(eta))
    alone = simfarm.dissect(frame, control="length").rewards[0].judge["length"]
    held = simfarm.dissect(frame, control="length,generators").rewards[0].judge["length"]
    assert alone.interval()[0] > 0.5
    assert held.interval()[0] < 0 < held.interval()[1]


def test_a_failing_slice_is_named() -> None:
    judged, labelled = _rows(360, seed=3)
    # the judge says what people say, but for trips
    means = (
        labelled.assign(p=np.where(labelled["annotator"] == "c", 3 - labelled["preference"], labelled["preference"]))
        .groupby("instruction", sort=False)["p"]
        .mean()
    )
    people = means.round().reindex(judged["instruction"]).to_numpy()
    judged["preference"] = np.where(judged["category"] == "trip", 3 - people, people)
    found = simfarm.dissect(judged, human=labelled, by="category")
    failing = found.slice_table.query("fails")
    assert failing["slice"].tolist() == ["trip"]
    assert failing["who"].tolist() == ["judge"]
    assert failing["difference_high"].item() < -20
    assert 40 < failing["n_instructions"].item() < 80  # of 120: those of the half that was not chosen by
    assert set(found.agreement["judge"]) == {"cook", "code", "trip"}
    topical = simfarm.dissect(judged, human=labelled, by="instructions")
    words = set(topical.slice_table.query("fails")["slice"])
    assert words
    assert all(set(name.replace(" / ", ", ").split(", ")) <= set(_WORDS["trip"]) for name in words)


def test_bad_input_is_refused(rows: tuple[pd.DataFrame, pd.DataFrame]) -> None:
    judged, labelled = rows
    with pytest.raises(InputError, match="share no instruction"):
        simfarm.dissect(judged, human=labelled.assign(instruction="else", output_1="x", output_2="y"))
    with pytest.raises(InputError, match="too few for 4 weights"):
        simfarm.dissect(judged.head(7), control="length,numbers,order")
    with pytest.raises(InputError, match="names no property"):
        simfarm.dissect(judged, control="order")
    with pytest.raises(InputError, match=r"no property is left to weigh: log length \(the outputs never differ"):
        simfarm.dissect(judged.assign(output_2=judged["output_1"]), control="length")
    with pytest.raises(InputError, match="'category' or 'dataset'"):
        simfarm.dissect(judged.drop(columns="category"), by="category")
    with pytest.raises(InputError, match="generator_1 and generator_2"):
        simfarm.dissect(judged, control="length,generators")
    with pytest.raises(InputError, match="choose from category, instructions"):
        simfarm.dissect(judged, by="topic")


def test_the_verb(rows: tuple[pd.DataFrame, pd.DataFrame], tmp_path, capsys: pytest.CaptureFixture[str]) -> None:
    judged, labelled = rows
    judged.to_json(tmp_path / "j.jsonl", orient="records", lines=True)
    labelled.to_json(tmp_path / "h.jsonl", orient="records", lines=True)
    files = [str(tmp_path / "j.jsonl"), "--human", str(tmp_path / "h.jsonl"), "--by", "category"]
    assert main(["dissect", *files, "-o", str(tmp_path / "w.csv")]) == 0
    printed = capsys.readouterr()
    lines = printed.out.splitlines()
    assert lines[0] == "judge: what is rewarded · 240 comparisons, 240 instructions, 720 labels"
    assert any(line.startswith("log length *") for line in lines)
    assert any(line.startswith("not weighed: headers, lists, bold, code") for line in lines)
    assert max(map(len, (line for line in lines if "[" in line))) <= 80
    assert "labels of 720 show their outputs the other way round" in printed.err
    assert "judge_weight" in pd.read_csv(tmp_path / "w.csv").columns
    assert main(["dissect", *files, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["judges"][0]["judge"] == "judge"
    assert record["slices"]["by"] == "category"
    several = pd.concat([judged.assign(annotator=name) for name in ("j1", "j2", "j3")])
    several.to_json(tmp_path / "abc.jsonl", orient="records", lines=True)
    labelled.assign(person=labelled["annotator"], annotator="all").to_json(
        tmp_path / "h.jsonl", orient="records", lines=True
    )
    assert main(["dissect", str(tmp_path / "abc.jsonl"), "--human", str(tmp_path / "h.jsonl")]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "what is rewarded by 3 judges · up to 240 comparisons"
    assert [line.split()[0] for line in lines[4:8]] == ["people", "j1", "j2", "j3"]
    assert "*" in lines[5]
    assert main(["dissect", files[0], "--control", "length,speed"]) == 2
    assert "speed" in capsys.readouterr().err


# --- names of topics, by a model


class Namer(Reader):
    """Names a topic after the first word that it is told; `fault` says what it says instead."""

    def said(self, asked: str) -> str:
        if self.fault:
            return self.fault
        return f'"All about {asked.partition("set them apart: ")[2].split(",")[0]}."\n\nThat is my answer.'


def _asked() -> pd.DataFrame:
    """Verdicts on 180 instructions of three kinds."""
    return _rows(180, seed=3)[0]


def test_a_model_names_topics_and_changes_nothing_else() -> None:
    rows, model = _asked(), Namer()
    plain = simfarm.dissect(rows, by="instructions", control="length")
    named = simfarm.dissect(rows, by="instructions", control="length", model=model)
    assert plain.slices is not None
    assert named.slices is not None
    tree = named.slices.tree
    assert tree is not None
    assert len(model.asked) == len(tree.areas) + len(tree.own)
    assert len(set(named.slices.names)) == len(named.slices.names)
    first = tree.areas[0].split(",")[0]
    assert any(name.startswith(f"All about {first} / All about ") for name in named.slices.names)
    assert named.slices.words == plain.slices.names
    assert (named.slices.code == plain.slices.code).all()
    assert named.slice_table.drop(columns="slice").equals(plain.slice_table.drop(columns="slice"))
    renamed = dict(zip(plain.slices.names, named.slices.names, strict=True))
    assert named.slice_table["slice"].tolist() == [renamed[name] for name in plain.slice_table["slice"]]
    assert named.to_json()["slices"]["words"] == list(plain.slices.names)
    # what a topic is shown is of this topic
    asked = model.asked[len(tree.areas)].messages[1]["content"]
    inside = {text for text, code in zip(named.slices.texts, tree.code, strict=True) if code == 0}
    assert 1 < asked.count("<instruction>") <= 5
    assert set(re.findall(r"<instruction>\n(.*?)\n</instruction>", asked)) <= inside


def test_a_topic_without_a_usable_name_keeps_its_words() -> None:
    with pytest.warns(simfarm.SimfarmWarning, match=r"topics without a name from the model, told by words"):
        found = simfarm.dissect(_asked(), by="instructions", control="length", model=Namer("word " * 40))
    assert found.slices is not None
    assert found.slices.names == found.slices.words
    model = Namer("Things\x1b[2J / stuff")
    # another one to the store
    model.model = "reader-2"
    alike = simfarm.dissect(_asked(), by="instructions", control="length", model=model)
    assert alike.slices is not None
    assert len(set(alike.slices.names)) == len(alike.slices.names)
    assert all("\x1b" not in name and name.startswith("Things") for name in alike.slices.names)
    assert "or stuff (" in alike.slices.names[0]


def test_naming_is_asked_for_priced_and_resumed(
    tmp_path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "none")
    monkeypatch.setattr(loopback, "reply", lambda call: Namer().said(call.prompt))
    _asked().to_json("j.jsonl", orient="records", lines=True)
    command = ["dissect", "j.jsonl", "--control", "length", "--by", "instructions", "--price", "1,1"]
    with loopback.Loopback() as server:
        command += ["--model", "openai/m", "--base-url", f"{server.url}/v1"]
        assert main([*command, "--dry-run"]) == 0
        assert "12 questions" in capsys.readouterr().out
        assert not server.calls
        assert main([*command, "--budget", "0.0012", "--concurrency", "1"]) == 3
        printed = capsys.readouterr()
        paid = len(server.calls)
        assert 0 < paid < 12
        assert f"warning: {12 - paid} topics without a name from the model" in printed.err
        assert "log length" in printed.out
        assert main([*command, "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["slices"]["names"][0].startswith("All about")
        assert max(server.asked.values()) == 1
    for more, said in (
        (["--model", "openai/m"], "names the topics of --by instructions"),
        (["--by", "instructions", "--budget", "1"], "--budget does nothing without --model"),
        (["--dry-run"], "--dry-run does nothing without --model"),
    ):
        assert main(["dissect", "j.jsonl", *more]) == 2
        assert said in capsys.readouterr().err
