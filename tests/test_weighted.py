"""Limits of a ratio of sums: those of a plain mean where weights are equal, and planted truth where they are not."""

import numpy as np
import pytest

from simfarm.statistics.estimate import grouped, intervals, mean_estimate
from simfarm.statistics.ratios import ratio_estimate
from simfarm.statistics.weighted import Weighted


@pytest.mark.parametrize(("n", "p"), [(10, 0.9), (50, 0.02), (100, 0.98), (60, 1.0), (300, 0.5)])
def test_equal_weights_are_a_plain_mean(n: int, p: float) -> None:
    values = (np.random.default_rng(0).random(n) < p).astype(float)
    mean = mean_estimate(values, np.arange(n))
    ratio = Weighted(mean.value, mean.influence, np.ones(n), 0.0, 1.0)
    assert ratio.interval(0.95) == pytest.approx(mean.interval(), abs=1e-8)
    assert ratio.p_value(0.6) == pytest.approx(mean.p_value(0.6), rel=1e-6, abs=1e-12)
    assert ratio_estimate(values, np.ones(n), np.arange(n)).interval() == mean.interval()


def test_p_is_below_5_in_100_just_where_the_interval_leaves_the_null_out() -> None:
    rng = np.random.default_rng(1)
    whole = rng.integers(1, 6, 40).astype(float)
    found = ratio_estimate(rng.binomial(whole.astype(int), 0.9), whole, np.arange(40))
    for end in found.interval():
        assert found.p_value(end) == pytest.approx(0.05, abs=1e-6)
    assert intervals([found]) == [found.interval()]


@pytest.mark.parametrize("p", [0.5, 0.97])
def test_unequal_clusters_hold_the_truth(p: float) -> None:
    """50 clusters of 1 to 8 rows that share their luck; three standard errors of 100."""
    rng = np.random.default_rng(2)
    held = 0
    for _ in range(100):
        size = rng.integers(1, 9, 50)
        chance = rng.beta(4 * p, 4 * (1 - p), 50)
        low, high = ratio_estimate(
            rng.binomial(size, chance).astype(float), size.astype(float), np.arange(50)
        ).interval()
        held += low <= p <= high
    assert held / 100 >= 0.885, held


def test_an_unseen_cluster_is_no_further_out_than_its_rows_go_together() -> None:
    """Ten clusters of five rows: of independent ones not all five will be at the far end, of copies they will."""
    values = (np.random.default_rng(4).random(50) < 0.7).astype(float)
    cluster = np.arange(50) // 5
    alone, copies = ratio_estimate(values, np.ones(50), cluster), ratio_estimate(values[cluster], np.ones(50), cluster)
    assert copies.bounds == (0.0, 1.0)
    spread = 2 * np.sqrt((alone.influence**2).mean())  # and no nearer than this, or few clusters are too sure
    assert alone.bounds == pytest.approx((alone.value - spread, min(1, alone.value + spread)))
    assert alone.bounds is not None
    assert alone.bounds[0] > 0.2
    for same in (np.ones(50), np.zeros(50)):  # nothing is known of how rows of one cluster go together
        assert ratio_estimate(same, np.ones(50), cluster).bounds == (0.0, 1.0)


@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_few_clusters_of_several_rows_hold_the_truth(shared: float) -> None:
    rng, cluster = np.random.default_rng(5), np.arange(60) // 5
    held = 0
    for _ in range(100):
        luck = np.where(shared, rng.random(12)[cluster], rng.random(60))
        low, high = ratio_estimate((luck < 0.7).astype(float), np.ones(60), cluster).interval()
        held += low <= 0.7 <= high
    assert held / 100 >= 0.885, held


def test_a_difference_of_ratios_has_both_variances() -> None:
    rng = np.random.default_rng(3)
    whole = rng.integers(1, 6, 200).astype(float)
    one, two = (ratio_estimate(rng.binomial(whole.astype(int), p), whole, np.arange(200)) for p in (0.5, 0.6))
    difference = two - one
    assert difference.bounds is None
    both = np.hypot(one.standard_error, two.standard_error)
    assert difference.standard_error == pytest.approx(both, rel=0.1)


@pytest.mark.parametrize("codes", [[3, 0, 3, 7], [-1, 5, -1], [10**9, 2, 2], [4], []])
def test_clusters_are_grouped_as_numpy_groups_them(codes: list[int]) -> None:
    clusters = np.array(codes, dtype=np.int64)
    ids, position = grouped(clusters)
    wanted = np.unique(clusters, return_inverse=True)
    assert ids.tolist() == wanted[0].tolist()
    assert position.tolist() == wanted[1].tolist()
