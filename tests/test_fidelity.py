"""Fidelity: planted crowds pass or are told apart by what was planted; leanings without noise; splits; classifiers."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from human import labels as shared_labels
from scipy.special import expit

from simfarm.agreement.consistency import even
from simfarm.agreement.fidelity import fidelity
from simfarm.agreement.measures import LIKE, Fidelity, Labels
from simfarm.errors import InputError
from simfarm.statistics.boosting import bin_edges, binned, boosted_scores
from simfarm.statistics.discriminate import discriminators, label_rows
from simfarm.statistics.leanings import leanings
from simfarm.statistics.persons import PersonSpread, person_spread, spread_difference
from simfarm.statistics.splits import label_entropy, split_distance, splits

N, K = 300, 4
ITEM = np.repeat(np.arange(N), K)
CLUSTER = np.arange(N)


def _world(seed: int, **how: float) -> tuple[Labels, Labels, pd.DataFrame, Any]:
    """(a crowd's labels, people's, the items, a judge's two runs): people lean by length and by the judge where it is
    sure; `how` says what is otherwise with the crowd."""
    rng = np.random.default_rng(seed)
    gap = np.round(rng.laplace(0, 250, N))
    sure = rng.choice([-1.0, 0.0, 1.0], N)
    base = 1.0 * sure + rng.normal(0, 0.8, N)
    items = pd.DataFrame({"cluster": CLUSTER, "length_1": 900.0, "length_2": 900.0 + gap})
    made = []
    for who in ({}, how):
        logits = who.get("sharp", 1.0) * (base + who.get("length", 0.8) * np.tanh(gap / 250)) + who.get("place", 0.0)
        person = rng.permuted(np.tile(np.arange(8), (N, 1)), axis=1)[:, :K].ravel()
        taste = rng.normal(0, 0.2, 8)[person] * np.sign(gap[ITEM])
        made.append(Labels(ITEM, (rng.random(N * K) < expit(logits[ITEM] + taste)).astype(float), person))
    runs = np.stack([np.where(sure == 0, k, (1 + sure) / 2) for k in (0.0, 1.0)])
    return made[1], made[0], items, runs


def _found(seed: int, **how: float) -> Fidelity:
    crowd, people, items, runs = _world(seed, **how)
    return fidelity(crowd, people, items, runs=runs)


def _told(found: Fidelity) -> dict[str, str]:
    return {m.name: m.verdict for m in found.told_apart}


def test_people_cannot_be_told_from_themselves() -> None:
    found = _found(0)
    assert found.passes
    assert {m.name for m in found.measures if m.tested} >= {"pairwise", "splits", "longer", "longer_spread", "boosted"}
    rho = found.get("rho")
    assert rho is not None
    assert rho.crowd is not None
    assert found.limits(rho.crowd)[1] == 1.0


@pytest.mark.parametrize(
    ("how", "name", "verdict"),
    [
        ({"sharp": 4.0}, "pairwise", "too consistent"),
        ({"sharp": 4.0}, "entropy", "too consistent"),
        ({"sharp": 4.0}, "splits", "its labels split otherwise"),
        ({"sharp": 4.0}, "boosted", "told apart"),
        ({"sharp": 0.1}, "pairwise", "not consistent enough"),
        ({"sharp": 0.1}, "follows_sure", "follows the judge too seldom"),
        ({"length": 3.0}, "longer", "wrong length taste: longer too often"),
        ({"length": -0.5}, "longer", "wrong length taste: shorter too often"),
        ({"length": -0.5}, "logistic", "told apart"),
        ({"place": 0.8}, "output_1", "output_2 too often"),
    ],
)
def test_a_crowd_is_told_apart_by_what_was_planted(how: dict[str, float], name: str, verdict: str) -> None:
    assert _told(_found(1, **how))[name] == verdict


def test_people_pass_at_the_rate_that_is_promised() -> None:
    """Each measure is inside in about 95 %, and so is the report as a whole: a benchmark has the rates."""
    reports = [_found(seed) for seed in range(10, 18)]
    inside = [m.inside for one in reports for m in one.measures if m.tested]
    assert np.mean(inside) >= 0.9
    assert np.mean([one.passes for one in reports]) >= 0.85


def test_the_error_of_a_fit_widens_a_difference() -> None:
    crowd, people, items, _ = _world(1, length=1.5)
    plain, fitted = (fidelity(crowd, people, items, fit_errors=e).get("longer") for e in ({}, {"longer": 0.2}))
    assert plain is not None
    assert fitted is not None
    assert plain.verdict != LIKE
    assert fitted.verdict == LIKE
    half = [(m.limits[1] - m.limits[0]) / 2 for m in (plain, fitted)]
    assert half[1] == pytest.approx(np.hypot(half[0], 1.96 * 0.2), rel=0.02)


def test_one_label_an_item_says_what_it_can() -> None:
    crowd, people, items, _ = _world(2)
    found = fidelity(crowd.at(np.arange(0, N * K, K)), people, items)
    assert found.per_item == 1
    assert {"rho", "worth", "pairwise", "splits"} <= set(found.why)
    assert found.why["pairwise"] == "the simulation has one label an item"
    assert found.get("longer") is not None
    assert found.get("logistic") is not None
    assert "no runs" in found.why["follows_sure"]


def test_bad_labels_are_one_line() -> None:
    crowd, people, items, _ = _world(3)
    once = people.at(np.arange(0, N * K, K))
    with pytest.raises(InputError, match=r"^fidelity needs at least two labels on the same items: 0 items have them$"):
        fidelity(crowd, once, items)
    nowhere = replace(crowd, item=crowd.item + N)
    twice = pd.concat([items, items], ignore_index=True)
    with pytest.raises(InputError, match=r"\(300 comparisons\) and people's \(300 comparisons\) share no comparison"):
        fidelity(nowhere, people, twice)


def test_place_is_compared_where_both_say_what_was_shown_first() -> None:
    crowd, people, items, _ = _world(4)
    shown = (np.arange(N * K) // K % 2).astype(float)
    first = Labels(ITEM, np.where(np.arange(N * K) % 3 == 0, crowd.vote, shown), crowd.person, shown)
    assert "people" in fidelity(first, people, items).why["first"]
    found = fidelity(first, replace(people, swapped=shown), items)
    assert _told(found)["first"] == "wrong place: the output shown first too often"


def test_of_unequal_numbers_of_labels_the_same_number_is_drawn() -> None:
    crowd, people, *_ = _world(5)
    m, kept = even(people, crowd.at(np.flatnonzero(np.arange(N * K) % K < 3)), N)
    assert m == 3
    assert [np.bincount(x.item).tolist() for x in kept] == [[3] * N] * 2
    again = even(people, crowd.at(np.flatnonzero(np.arange(N * K) % K < 3)), N)[1]
    assert all((a.vote == b.vote).all() for a, b in zip(kept, again, strict=True))


# leanings


def _draws(rng: np.random.Generator, lean: Any, k: int, flip: float = 0.0) -> tuple[Any, Any]:
    vote = (rng.random((k, len(lean))) < (1 + lean) / 2).astype(float)
    return np.tile(np.arange(len(lean)), k), np.where(rng.random(vote.shape) < flip, 1 - vote, vote).ravel()


@pytest.mark.parametrize(("k", "flip"), [(2, 0.0), (4, 0.0), (4, 0.25), (16, 0.25)])
def test_noise_does_not_change_the_correlation_of_leanings(k: int, flip: float) -> None:
    rng = np.random.default_rng(0)
    h, other = rng.choice([-0.8, 0.8], (2, 20_000))
    s = np.where(rng.random(20_000) < 0.75, h, other)  # the truth is .75 of the same
    truth = float((h * s).mean() / 0.64)
    found = leanings(_draws(rng, h, 4), _draws(rng, s, k, flip), np.arange(20_000))
    low, high = found.correlation.interval()
    assert abs(found.correlation.value - truth) < 0.03
    assert low < truth < high


def test_the_interval_of_the_correlation_holds_its_truth() -> None:
    rng = np.random.default_rng(1)
    held = []
    for _ in range(150):
        h = rng.normal(0, 1, 200).clip(-0.9, 0.9)
        s = np.where(rng.random(200) < 0.5, h, rng.normal(0, 1, 200).clip(-0.9, 0.9))
        low, high = leanings(_draws(rng, h, 4), _draws(rng, s, 4), np.arange(200)).correlation.interval()
        held.append(low <= 0.5 <= high)
    assert 0.9 <= np.mean(held) <= 1.0


def test_the_correlation_is_held_where_few_reports_say_one() -> None:
    """Noisy labels of thirty items, ρ 1: of the one report in eight that shows a lean the strength is too large, and an
    interval that takes it as it is lies below 1 in a quarter. Either end may be hidden, of ρ −1 the lower."""
    rng = np.random.default_rng(3)
    plain, held = [], []
    for k in range(500):
        h = rng.choice([-0.8, 0.8], 30)
        found = leanings(_draws(rng, h, 4), _draws(rng, h * (-1) ** k, 4, 0.35), np.arange(30))
        if not all(e.interval()[0] > 0 for e in found.strength):
            assert np.isnan(found.limits()[1])
            continue
        limits = found.limits(), found.correlation.interval()
        for kept, (low, high) in zip((held, plain), limits, strict=True):
            kept.append(low <= (-1) ** k <= high)
    assert len(held) >= 30
    assert np.mean(plain) < 0.85
    assert np.mean(held) >= 0.9


def test_a_strength_beyond_doubt_changes_no_limit() -> None:
    rng = np.random.default_rng(4)
    h = rng.choice([-0.8, 0.8], 400)
    found = leanings(_draws(rng, h, 4), _draws(rng, np.where(rng.random(400) < 0.75, h, -h), 4), np.arange(400))
    assert found.limits() == pytest.approx(found.correlation.interval(), rel=1e-6)


def test_the_error_of_the_correlation_is_the_jackknifes() -> None:
    rng = np.random.default_rng(8)
    h = rng.choice([-0.9, 0.0, 0.9], 80)
    people, crowd = _draws(rng, h, 3), _draws(rng, h, 3)
    found = leanings(people, crowd, np.arange(80)).correlation
    without = []
    for k in range(80):
        parts = [(item[item != k], vote[item != k]) for item, vote in (people, crowd)]
        kept = [(item - (item > k), vote) for item, vote in parts]
        without.append(leanings(kept[0], kept[1], np.arange(79)).correlation.value)
    assert found.standard_error == pytest.approx(np.sqrt(79 / 80 * ((without - np.mean(without)) ** 2).sum()), rel=0.03)


def test_errors_in_common_are_none_in_people_and_all_in_one_judge() -> None:
    rng = np.random.default_rng(2)
    h = rng.uniform(-1, 1, 5_000)
    people = _draws(rng, h, 4)
    assert abs(leanings(people, _draws(rng, h, 4), np.arange(5_000)).shared_error.value) < 0.02
    one = np.tile((rng.random(5_000) < 0.7).astype(float), 4)
    assert leanings(people, (people[0], one), np.arange(5_000)).shared_error.value == pytest.approx(1.0)


# splits


def test_splits_count_ties_as_a_side() -> None:
    item = np.repeat(np.arange(4), 4)
    vote = np.array([0, 0, 0, 0, 1, 1, 1, 0, 0, 0.5, 1, 1, 1, 1, 0, 0])
    found = splits(item, vote, np.arange(4), among=("3–0",))
    assert {name: e.value for name, e in found.items()} == {
        "4–0": 0.25,
        "3–1": 0.25,
        "3–0": 0,
        "2–2": 0.25,
        "2–1–1": 0.25,
    }
    bits = (0 + 0.811278 + 1.5 + 1) / 4
    assert label_entropy(item, vote, np.arange(4)).value == pytest.approx(bits, abs=1e-6)


def test_the_distance_of_splits_is_of_the_truth() -> None:
    """20 % of the items that would have to split otherwise are within the limits; of the same crowd 0 is."""
    rng = np.random.default_rng(3)
    held = []
    for shift in (0.0, 0.2):
        for _ in range(40):
            made = []
            for extra in (0.0, shift):
                n_first = rng.choice([4, 3, 2], 150, p=[0.3 + extra, 0.5 - extra, 0.2])
                vote = (np.arange(4)[None, :] < n_first[:, None]).astype(float).ravel()
                made.append(splits(np.repeat(np.arange(150), 4), vote, np.arange(150), among=("4–0", "3–1", "2–2")))
            found = split_distance(*made)
            held.append(found.low <= shift <= found.high)
            assert (found.p <= 0.05) == (found.low > 0)
    assert np.mean(held) >= 0.93


@pytest.mark.parametrize(("n", "told"), [(2, False), (4, False), (30, True)])
def test_few_items_that_all_split_alike_tell_no_crowd_apart(n: int, told: bool) -> None:
    item, ids = np.repeat(np.arange(n), 3), np.arange(n)
    alike, split = (splits(item, np.tile(v, n), ids, among=("3–0", "2–1")) for v in ([1.0, 1, 1], [1.0, 1, 0]))
    for one, other in ((alike, split), (split, alike)):
        found = split_distance(one, other)
        assert (found.p <= 0.05, found.low > 0) == (told, told)


# persons


def test_persons_who_are_alike_spread_no_more_than_luck() -> None:
    rng = np.random.default_rng(4)
    person = np.tile(np.arange(12), 100)
    item = np.arange(1200)
    which = rng.choice([-1, 1], 1200)
    seen = []
    for sd in (0.0, 0.15):
        rate = np.clip(0.6 + sd * np.tile([-1, 1], 6), 0, 1)[person]
        vote = np.where(rng.random(1200) < rate, which > 0, which < 0).astype(float)
        found = person_spread(item, vote, person, which)
        assert found is not None
        seen.append(found)
    assert seen[0].value == pytest.approx(np.sqrt(max(0.0, seen[0].seen ** 2 - seen[0].sampling ** 2)))
    assert seen[1].value < seen[1].seen
    assert seen[0].interval()[0] == 0.0
    assert seen[1].value == pytest.approx(0.15 * np.sqrt(12 / 11), abs=0.03)
    gap = spread_difference(seen[0], seen[1])
    assert gap.low > 0
    assert gap.p < 0.05
    (low_1, high_1), (low_2, high_2) = (x.interval() for x in seen)
    one, other = (x.value for x in seen)
    assert gap.value - gap.low == pytest.approx(np.hypot(other - low_2, high_1 - one))
    assert gap.high - gap.value == pytest.approx(np.hypot(high_2 - other, one - low_1))
    assert person_spread(item, np.full(1200, 0.5), person, which) is None


def test_the_difference_of_two_spreads_keeps_its_level() -> None:
    rng = np.random.default_rng(5)
    n_labels = np.full(15, 120)
    held = []
    for _ in range(400):
        made = []
        for _ in range(2):
            rate = np.clip(rng.normal(0.6, 0.09, 15), 0.05, 0.95)
            made.append(PersonSpread(rng.binomial(120, rate) / 120, n_labels))
        gap = spread_difference(*made)
        held.append(gap.low <= 0 <= gap.high)
        assert (gap.p < 0.05) == (not held[-1])
    assert 0.93 <= np.mean(held) <= 0.99


# classifiers


def test_boosted_trees_are_those_of_scikit_learn() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble")
    rng = np.random.default_rng(6)
    n = 500
    x = np.column_stack([rng.integers(-4, 5, n) / 4, rng.integers(0, 12, n), rng.integers(0, 2, n)])
    y = (rng.random(n) < expit(3 * x[:, 0] * (2 * x[:, 2] - 1))).astype(float)
    below = binned(x, bin_edges(x))
    ours = boosted_scores(below, np.column_stack([y, 1 - y]), below)
    theirs = ensemble.HistGradientBoostingClassifier(
        max_depth=2, max_iter=50, l2_regularization=1.0, max_leaf_nodes=None, early_stopping=False
    ).fit(x, y)
    np.testing.assert_allclose(ours[:, 0], theirs.decision_function(x), atol=1e-6)
    np.testing.assert_allclose(ours[:, 1], -ours[:, 0], atol=1e-9)


def test_the_area_is_that_of_scikit_learn_on_what_was_not_fitted() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(7)
    n = 200
    people, crowd = rng.normal(0, 1, (n, 3)), rng.normal([0.5, 0, 0], 1, (n, 3))
    found = discriminators(people, crowd, np.arange(n))["logistic"]
    fold = np.random.default_rng(0).permutation(n) % 5
    x, y, folds = np.concatenate([people, crowd]), np.repeat([0, 1], n), np.tile(fold, 2)
    areas = []
    for k in range(5):
        new = folds == k
        centre, spread = x[~new].mean(axis=0), x[~new].std(axis=0)
        model = linear.LogisticRegression(C=1.0, tol=1e-10).fit((x[~new] - centre) / spread, y[~new])
        areas.append(metrics.roc_auc_score(y[new], model.decision_function((x[new] - centre) / spread)))
    assert found.area.value == pytest.approx(np.mean(areas), abs=1e-6)


def test_classifiers_find_nothing_where_there_is_nothing() -> None:
    """The area's interval holds ½ and its p is small as seldom as it should be."""
    held, small = [], []
    for seed in range(15):
        rng = np.random.default_rng(seed)
        lean = rng.normal(size=(50, 1))
        rows = []
        for _ in range(2):
            second = rng.binomial(4, expit(lean[:, 0]))
            rows.append(label_rows(np.column_stack([4 - second, 0 * second, second]), lean))
        for one in discriminators(rows[0], rows[1], np.arange(50)).values():
            low, high = one.area.interval()
            held.append(low <= 0.5 <= high)
            small.append(one.p < 0.05)
    assert np.mean(held) >= 0.9
    assert np.mean(small) <= 0.1


def test_few_instructions_are_told_apart_by_no_classifier() -> None:
    with pytest.raises(InputError, match="classifiers need 30 instructions with labels of both, there are 29"):
        discriminators(np.zeros((29, 2)), np.ones((29, 2)), np.arange(29))


# the recorded people


def test_the_recorded_people_have_their_figures(shared_data: Path) -> None:
    data = shared_labels(shared_data, "alpacafarm_cross")
    people = Labels(data.item, data.vote, data.rater)
    lengths = {"length_1": data.lengths[:, 0], "length_2": data.lengths[:, 1]}
    items = pd.DataFrame({"cluster": data.cluster, **lengths})
    said = data.judged("gpt4_b1", seed=0)
    item = np.repeat(np.arange(len(said)), 4)
    found = fidelity(Labels(item, said[item], np.tile(np.arange(4), len(said))), people, items)
    values = {m.name: m.people.value for m in found.measures if m.people is not None}
    expected = {"pairwise": 0.618, "leave_one_out": 0.657, "entropy": 0.602, "longer": 0.614}
    assert {name: values[name] for name in expected} == pytest.approx(expected, abs=2e-3)
    assert values["split 4–0"] == pytest.approx(0.31, abs=3e-3)
    assert _told(found)["pairwise"] == "too consistent"
    areas = [m.crowd.value for m in found.measures if m.name in ("logistic", "boosted") and m.crowd is not None]
    assert min(areas) >= 0.86
    rho = found.get("rho")
    assert rho is not None
    assert rho.crowd is not None
    assert 0.47 <= rho.crowd.value <= 0.53
