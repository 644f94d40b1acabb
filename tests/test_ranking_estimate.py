"""Estimates: standard errors against statsmodels, intervals, paired differences, planted coverage."""

import math

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.special import expit

from simfarm.statistics.estimate import Estimate, mean_estimate


def test_one_row_per_cluster_is_sd_over_root_n() -> None:
    p = np.random.default_rng(0).uniform(size=40)
    estimate = mean_estimate(p, np.arange(40))
    assert estimate.value == pytest.approx(p.mean(), abs=1e-15)
    assert estimate.standard_error == pytest.approx(p.std(ddof=1) / math.sqrt(40), abs=1e-15)


def test_balanced_clusters_match_statsmodels_cluster_covariance() -> None:
    rng = np.random.default_rng(1)
    clusters = np.repeat(np.arange(50), 4)
    p = expit(rng.standard_normal(50)[clusters] + 0.5 * rng.standard_normal(200))
    fit = sm.OLS(p, np.ones(200)).fit(
        cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False}, use_t=True
    )
    estimate = mean_estimate(p, clusters)
    assert estimate.value == pytest.approx(fit.params[0])
    # statsmodels divides by G where the sandwich with its small-sample factor divides by G − 1.
    assert estimate.standard_error == pytest.approx(fit.bse[0] * math.sqrt(50 / 49))


def test_the_cluster_weighs_the_same_however_many_rows_it_has() -> None:
    estimate = mean_estimate(np.array([1.0, 1.0, 1.0, 0.0]), np.array([7, 7, 7, 9]))
    assert estimate.value == 0.5
    assert estimate.n_clusters == 2


def test_rate_interval_stays_inside_and_is_the_logit_one() -> None:
    p = np.array([1.0] + [0.0] * 29)
    low, high = mean_estimate(p, np.arange(30)).interval()
    # By hand: logit(1/30) ± t(.975, 29) · (1/30) / (1/30 · 29/30).
    centre, half = math.log(1 / 29), 2.045229642 * 30 / 29
    assert low == pytest.approx(expit(centre - half), rel=1e-8)
    assert high == pytest.approx(expit(centre + half), rel=1e-8)


@pytest.mark.parametrize(("value", "expected"), [(0.0, (0.0, 0.113513)), (1.0, (0.886487, 1.0))])
def test_zero_variance_falls_back_on_wilson(value: float, expected: tuple[float, float]) -> None:
    assert mean_estimate(np.full(30, value), np.arange(30)).interval() == pytest.approx(expected, abs=1e-6)


def test_all_ties_have_an_interval_of_positive_width() -> None:
    low, high = mean_estimate(np.full(30, 0.5), np.arange(30)).interval()
    assert low < 0.35
    assert high > 0.65


@pytest.mark.parametrize("n", [0, 1])
def test_below_two_clusters_there_is_no_interval(n: int) -> None:
    estimate = mean_estimate(np.full(n, 0.3), np.arange(n))
    assert math.isnan(estimate.standard_error)
    assert all(math.isnan(x) for x in estimate.interval())
    assert math.isnan(estimate.p_value())


def test_paired_difference_is_the_paired_t_test() -> None:
    rng = np.random.default_rng(2)
    base = rng.standard_normal(60)
    a, b = expit(base + 0.3), expit(base + 0.2 * rng.standard_normal(60))
    difference = mean_estimate(a, np.arange(60)) - mean_estimate(b, np.arange(60))
    oracle = sm.stats.DescrStatsW(a - b)
    t, p_value, _ = oracle.ttest_mean(0)
    assert difference.value / difference.standard_error == pytest.approx(t)
    assert difference.p_value() == pytest.approx(p_value)
    assert difference.interval() == pytest.approx(oracle.tconfint_mean())


def test_difference_without_shared_clusters_adds_variances() -> None:
    rng = np.random.default_rng(3)
    a = mean_estimate(rng.uniform(size=50), np.arange(50))
    b = mean_estimate(rng.uniform(size=80), np.arange(100, 180))
    assert (a - b).standard_error == pytest.approx(math.hypot(a.standard_error, b.standard_error), rel=0.02)


def test_shared_terms_add_to_the_variance_and_cancel_in_a_difference() -> None:
    p = np.random.default_rng(4).uniform(size=30)
    plain = mean_estimate(p, np.arange(30))
    wide = Estimate(plain.value, plain.influence, plain.clusters, shared=np.array([0.1]))
    assert wide.standard_error == pytest.approx(math.hypot(plain.standard_error, 0.1))
    assert (wide - wide).standard_error == 0


@pytest.mark.parametrize(("p", "n"), [(0.1, 60), (0.5, 30), (0.9, 805)])
def test_interval_covers_planted_win_rate(p: float, n: int) -> None:
    rng = np.random.default_rng(5)
    concentration = 2.0
    hits = 0
    for _ in range(1500):
        chance = rng.beta(concentration * p, concentration * (1 - p), n)
        low, high = mean_estimate(rng.binomial(2, chance) / 2, np.arange(n)).interval()
        hits += low <= p <= high
    assert 0.92 <= hits / 1500 <= 0.98


@pytest.mark.parametrize("n", [30, 60])
@pytest.mark.parametrize("p", [0.02, 0.1, 0.5, 0.9])
def test_exact_coverage_of_hard_verdicts(p: float, n: int) -> None:
    """No simulation: the chances of the win counts whose interval holds p, added up."""
    covered = 0.0
    for wins in range(n + 1):
        low, high = mean_estimate((np.arange(n) < wins).astype(float), np.arange(n)).interval()
        covered += (low <= p <= high) * math.comb(n, wins) * p**wins * (1 - p) ** (n - wins)
    assert 0.92 <= covered <= 0.98
