"""The best-of-n curve: against every subset counted by hand, order statistics, planted over-optimisation, coverage."""

import math
from itertools import combinations, product

import numpy as np
import pytest

from simfarm.data.records import Output
from simfarm.errors import InputError
from simfarm.report.curve import curve_part
from simfarm.report.tables import table_lines
from simfarm.selection.curve import (
    best_of_n_curve,
    curve_rows,
    expected_best,
    generator_curves,
    group_clusters,
    kl_bound,
)
from simfarm.selection.samples import sample_groups


def by_hand(proxy: list[float], gold: list[float], n: int) -> float:
    """The mean over all subsets of n of the mean gold score of those that the proxy likes best."""
    means = []
    for subset in combinations(range(len(proxy)), n):
        best = max(proxy[i] for i in subset)
        favourites = [gold[i] for i in subset if proxy[i] == best]
        means.append(sum(favourites) / len(favourites))
    return sum(means) / len(means)


def test_equals_the_mean_over_all_subsets() -> None:
    rng = np.random.default_rng(0)
    for size in range(1, 9):
        proxy, gold = rng.standard_normal((2, size))
        found = expected_best(proxy, gold)
        assert found == pytest.approx([by_hand(list(proxy), list(gold), n) for n in range(1, size + 1)], abs=1e-12)


def test_ties_in_the_proxy_are_chosen_with_equal_chance() -> None:
    gold = [3.0, -1.0, 0.5, 10.0, 2.0]
    for proxy in product([0.0, 1.0, 2.0], repeat=5):
        found = expected_best(proxy, gold)
        # which of several favourites is taken is even within every subset, and so on the whole
        assert found == pytest.approx([by_hand(list(proxy), gold, n) for n in range(1, 6)], abs=1e-12), proxy


def test_of_one_is_the_mean_and_of_all_is_the_favourite() -> None:
    rng = np.random.default_rng(1)
    proxy, gold = rng.standard_normal((2, 1024))
    found = expected_best(proxy, gold)
    assert found[0] == pytest.approx(gold.mean(), abs=1e-12)
    assert found[-1] == pytest.approx(gold[proxy.argmax()], abs=1e-12)


def test_a_thousand_samples_are_weighed_exactly() -> None:
    """With gold = rank, best of n out of N has the expected rank n(N+1)/(n+1)."""
    size = 1024
    ranks = np.arange(1.0, size + 1)
    n = np.arange(1.0, size + 1)
    assert expected_best(ranks, ranks) == pytest.approx(n * (size + 1) / (n + 1), rel=1e-12)
    assert expected_best(ranks, np.ones(size)) == pytest.approx(np.ones(size), rel=1e-12)


def test_some_sizes_of_many_are_those_of_all() -> None:
    rng = np.random.default_rng(4)
    scores = [rng.standard_normal((2, size)) for size in (6, 40, 25)]
    proxy, gold = [liked for liked, _ in scores], [true for _, true in scores]
    whole, some = best_of_n_curve(proxy, gold), best_of_n_curve(proxy, gold, sizes=[1, 4, 16, 32, 64])
    assert list(some.n) == [1, 4, 16, 32]
    assert [one.n_clusters for one in some.gold] == [3, 3, 2, 1]
    for k, n in enumerate(some.n):
        for name in ("gold", "proxy", "gains"):
            assert getattr(some, name)[k].value == pytest.approx(getattr(whole, name)[n - 1].value, abs=1e-12)
    many = expected_best(np.arange(30_000.0), np.arange(30_000.0), [1, 4096])
    assert many == pytest.approx([14_999.5, 4096 * 30_001 / 4097 - 1], rel=1e-9)


def test_an_oracle_follows_the_order_statistic() -> None:
    """Best of n uniform scores is n/(n+1) on average."""
    scores = np.random.default_rng(2).random((400, 32))
    curve = best_of_n_curve(scores)
    for n, gold, proxy in zip(curve.n, curve.gold, curve.proxy, strict=True):
        low, high = gold.interval(0.999)
        assert low <= n / (n + 1) <= high
        assert high - low < 0.03
        assert gold.value == proxy.value
    gain = curve.gains[15]
    low, high = gain.interval()
    assert low <= 16 / 17 - 1 / 2 <= high
    assert high - low < 0.05


def test_a_random_proxy_stays_flat() -> None:
    rng = np.random.default_rng(3)
    gold, proxy = rng.random((400, 32)), rng.random((400, 32))
    curve = best_of_n_curve(proxy, gold)
    for gain in curve.gains[1:]:
        low, high = gain.interval(0.999)
        assert low < 0 < high
        assert high - low < 0.25
    assert curve.proxy[-1].value > 0.95


def test_over_optimisation_shows() -> None:
    """Gold rises with the proxy until the proxy's own taste, heavier in the tail, takes over: Goodhart as planted."""
    rng = np.random.default_rng(4)
    gold = rng.standard_normal((300, 256))
    cheat = rng.exponential(1.0, (300, 256))
    proxy = gold + np.where(cheat > 3.5, 4 * cheat, 0)
    curve = best_of_n_curve(proxy, np.where(cheat > 3.5, gold - 3, gold))
    values = [g.value for g in curve.gold]
    peak = int(np.argmax(values))
    assert 1 <= peak < 64
    assert (curve.gold[peak] - curve.gold[0]).interval()[0] > 0
    assert (curve.gold[-1] - curve.gold[peak]).interval()[1] < 0
    assert np.diff([p.value for p in curve.proxy]).min() > 0


def test_the_interval_covers() -> None:
    rng = np.random.default_rng(5)
    hits = []
    for _ in range(1500):
        difficulty = rng.standard_normal((60, 1))
        curve = best_of_n_curve(difficulty + rng.standard_normal((60, 8)))
        low, high = curve.gold[3].interval()
        hits.append(low <= 1.02937537 <= high)  # the expected largest of 4 standard normals
    assert 0.92 < np.mean(hits) < 0.98


def test_each_n_rests_on_the_instructions_that_have_as_many_scores() -> None:
    curve = best_of_n_curve(
        [[1.0, 2.0, 3.0], [math.nan, 5.0, 4.0, 1.0], [math.nan], [7.0, math.nan]],
        [[0.0, 0.0, 3.0], [math.inf, 1.0, 0.0, 0.5], [7.0], [8.0, 9.0]],
    )
    assert list(curve.n) == [1, 2, 3]
    assert [g.n_clusters for g in curve.gold] == [3, 2, 2]
    assert curve.gold[0].value == pytest.approx((1.0 + 0.5 + 8.0) / 3)
    assert curve.gold[2].value == pytest.approx((3.0 + 1.0) / 2)
    # a gain compares the same instructions, or an easy one that is missing at n = 3 would look like a loss
    assert curve.gains[2].value == pytest.approx((2.0 + 0.5) / 2)
    assert [row["instructions"] for row in curve_rows(curve)] == [3, 2, 2]
    alone = curve_rows(best_of_n_curve([[1.0, 2.0, 3.0], [5.0]]))[-1]
    assert (alone["instructions"], alone["gold"]) == (1, 3.0)
    assert not any("(" in cell for cell in curve_part([alone], 0.95).rows[0])


def test_gains_are_the_paired_differences() -> None:
    curve = best_of_n_curve(np.random.default_rng(7).random((20, 5)), np.random.default_rng(8).random((20, 5)))
    for gain, gold in zip(curve.gains, curve.gold, strict=True):
        paired = gold - curve.gold[0]
        assert (gain.value, *gain.interval()) == pytest.approx((paired.value, *paired.interval()))


def outputs_of(*rows: tuple[str, str, str | None, str | None]) -> list[Output]:
    return [Output(text, "x", name, instruction_id=key, dataset=data) for text, name, key, data in rows]


def test_clusters_are_those_of_every_estimate() -> None:
    one_by_one = [(0,), (1,), (2,)]
    texts = outputs_of(("a", "m", None, "d1"), (" a ", "m", None, "d2"), ("b", "m", None, "d1"))
    assert list(group_clusters(texts, one_by_one)) == [0, 0, 1]
    ids = outputs_of(("a", "m", "1", "d1"), ("a", "m", "1", "d2"), ("b", "m", "2", "d1"))
    assert list(group_clusters(ids, one_by_one)) == [0, 1, 2]
    with pytest.raises(InputError, match="stands for two different instructions"):
        group_clusters(outputs_of(("a", "m", "1", None), ("b", "m", "1", None), ("c", "m", "2", None)), one_by_one)


def test_the_same_text_in_two_datasets_is_one_instruction() -> None:
    """As rows of one dataset alone: the interval must not take the same questions for new ones."""
    values = np.random.default_rng(9).random((12, 3))
    outputs = [
        Output(f"Question {i}", f"{i} {s}", "m", dataset=data, sample=s)
        for data in ("d1", "d2")
        for i in range(12)
        for s in range(3)
    ]
    told: list[str] = []
    scores = [*values.ravel(), *values.ravel()]
    both = generator_curves(outputs, sample_groups(outputs), scores, scores, told.append)["m"]
    once = best_of_n_curve(values)
    assert not told
    for two, one in zip(both.gold, once.gold, strict=True):
        assert (two.n_clusters, *two.interval()) == pytest.approx((12, *one.interval()))


def test_a_generator_without_scores_does_not_take_the_others_curves() -> None:
    outputs = [Output(f"Q{i}", f"{s}", name, sample=s) for name in "abc" for i in range(3) for s in range(2)]
    scores = [0.0, 1.0] * 3 + [math.nan] * 6 + [0.0, math.nan, 1.0, 2.0, 3.0, 4.0]
    told: list[str] = []
    curves = generator_curves(outputs, sample_groups(outputs), scores, scores, told.append)
    assert list(curves) == ["a", "c"]
    assert told == [
        "no curve of b: none of its samples has a score",
        "the curve of c rests on 3 instructions at n = 1 and on 2 at n = 2: not all have as many scores",
    ]


def test_the_cluster_is_the_unit() -> None:
    scores = np.random.default_rng(6).random((10, 4))
    twice = best_of_n_curve(np.vstack([scores, scores]), clusters=[*range(10), *range(10)])
    once = best_of_n_curve(scores)
    for two, one in zip(twice.gold, once.gold, strict=True):
        assert two.interval() == pytest.approx(one.interval())


def test_kl_bound() -> None:
    assert kl_bound([1, 2, 16]) == pytest.approx([0.0, math.log(2) - 0.5, math.log(16) - 15 / 16])
    # exact where no two samples are alike: the density of the best of n at the quantile u is n u^(n-1)
    u = (np.arange(10**6) + 0.5) / 10**6
    density = 16 * u**15
    assert float(np.mean(density * np.log(density))) == pytest.approx(float(kl_bound(16)), abs=1e-5)


def test_rows_and_table() -> None:
    rows = curve_rows(best_of_n_curve([[0.0, 1.0], [1.0, 3.0], [2.0, 2.0]]), 0.9)
    assert [row["n"] for row in rows] == [1, 2]
    assert rows[1]["gold"] == pytest.approx(2.0)
    assert rows[1]["gain"] == pytest.approx(0.5)
    assert rows[1]["gain_low"] < 0.5 < rows[1]["gain_high"]
    assert rows[0]["instructions"] == 3
    part = curve_part(rows, 0.9)
    assert part.headings[:3] == ["n", "kl bound", "gold 90 %"]
    assert part.rows[1][2].startswith("2 (")
    lines, narrow = table_lines(part.headings, part.rows, 40, part.least)
    assert max(map(len, lines)) <= 40
    assert narrow[0].startswith("not shown for want of width: kl bound")


@pytest.mark.parametrize(
    ("proxy", "gold", "told"),
    [
        ([[math.nan], [math.nan]], None, "no sample has a score"),
        ([], None, "no sample has a score"),
        ([[1.0, 2.0]], [[1.0]], "2 proxy scores and 1 gold"),
        ([[1.0], [1.0]], [[1.0]], "2 instructions and gold scores for 1"),
        ([[1.0, 2.0]], [[1.0, math.nan]], "instruction 0 has a gold score"),
        ([[1.0, math.inf]], None, "instruction 0 has a gold score"),
    ],
)
def test_bad_scores_are_refused(proxy: list[list[float]], gold: list[list[float]] | None, told: str) -> None:
    with pytest.raises(InputError, match=told):
        best_of_n_curve(proxy, gold)


def test_bad_sizes_are_refused() -> None:
    with pytest.raises(InputError, match="best of 3 cannot be told from 2"):
        expected_best([1.0, 2.0], [1.0, 2.0], [1, 3])
    with pytest.raises(InputError, match="two lists of one length"):
        expected_best([], [])
