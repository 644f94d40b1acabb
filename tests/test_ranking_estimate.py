"""Estimates: standard errors against statsmodels, intervals, paired differences, planted coverage."""

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import statsmodels.api as sm
from scipy.special import expit, ndtr, stdtr, stdtrit
from scipy.stats import beta, binom, ttest_ind

from simfarm.statistics.bounded import mean_intervals, mean_p_values
from simfarm.statistics.estimate import Estimate, intervals, mean_estimate
from simfarm.statistics.secants import stretch


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


@pytest.mark.parametrize(("wins", "n"), [(0, 30), (1, 30), (3, 10), (15, 30), (30, 30), (40, 805)])
def test_limits_of_hard_verdicts_are_nearly_betas(wins: int, n: int) -> None:
    """Dirichlet(1, …, 1, ½) weights on wins and losses are a Beta: the saddlepoint has its tails to 6 percent."""
    low, high = mean_estimate((np.arange(n) < wins).astype(float), np.arange(n)).interval()
    tail = ndtr(stdtrit(n - 1, 0.025))
    assert 0 <= low <= wins / n <= high <= 1
    if wins:
        assert beta.cdf(low, wins, n - wins + 0.5) == pytest.approx(tail, rel=0.06)
    else:
        assert low == 0
    if wins < n:
        assert beta.sf(high, wins + 0.5, n - wins) == pytest.approx(tail, rel=0.06)
    else:
        assert high == 1


def test_limits_leave_the_tail_that_simulated_weights_have() -> None:
    """A twin without saddlepoints: means under gamma weights, the unseen verdict's of half a degree."""
    rng = np.random.default_rng(6)
    x = rng.beta(0.4, 2.0, 12)
    low, high = mean_estimate(x, np.arange(12)).interval()
    weights = rng.standard_gamma(np.append(np.ones(12), 0.5), (400_000, 13))
    tail = ndtr(stdtrit(11, 0.025))
    for end, limit in ((0.0, low), (1.0, high)):
        means = weights @ np.append(x, end) / weights.sum(axis=1)
        beyond = (means < limit) if end == 0 else (means > limit)
        assert beyond.mean() == pytest.approx(tail, rel=0.1)


def test_limits_of_many_rows_are_those_of_each_and_a_cluster_that_is_missing_is_none() -> None:
    rng = np.random.default_rng(7)
    x = np.where(rng.random((40, 25)) < 0.3, np.nan, rng.choice([0.0, 0.25, 1.0], (40, 25)))
    lows, highs = mean_intervals(x, 0.9)
    p = mean_p_values(x, 0.4)
    for row, low, high, p_value in zip(x, lows, highs, p, strict=True):
        estimate = mean_estimate(row, np.arange(25))
        assert estimate.interval(0.9) == pytest.approx((low, high), abs=1e-9)
        assert estimate.p_value(0.4) == pytest.approx(p_value, rel=1e-6)
    baseline = Estimate(0.5, np.zeros(25), np.arange(25), bounds=(0.5, 0.5))
    some = [*(mean_estimate(row, np.arange(25)) for row in x), baseline, mean_estimate(x[0], np.arange(25), None)]
    for found, estimate in zip(intervals(some, 0.9), some, strict=True):
        assert found == pytest.approx(estimate.interval(0.9), abs=1e-9)


def test_both_ends_are_treated_alike_and_bounds_are_a_matter_of_units() -> None:
    x = np.random.default_rng(8).beta(0.5, 3.0, 20)
    estimate = mean_estimate(x, np.arange(20))
    low, high = estimate.interval()
    assert mean_estimate(1 - x, np.arange(20)).interval() == pytest.approx((1 - high, 1 - low))
    wider = mean_estimate(2 * x - 1, np.arange(20), bounds=(-1.0, 1.0))
    assert wider.interval() == pytest.approx((2 * low - 1, 2 * high - 1))
    assert wider.p_value(-0.5) == pytest.approx(estimate.p_value(0.25))


@pytest.mark.parametrize("n", [2, 10, 60])
@pytest.mark.parametrize("shape", ["hard", "soft", "difference"])
def test_p_is_below_one_minus_level_just_where_the_interval_leaves_the_null_out(shape: str, n: int) -> None:
    rng = np.random.default_rng(9)
    x = {"hard": (rng.random(n) < 0.3).astype(float), "soft": rng.beta(0.3, 2.0, n)}.get(shape, np.zeros(n))
    bounds = (0.0, 1.0)
    if shape == "difference":
        x, bounds = rng.choice([-1.0, 0.0, 0.5], n), (-1.0, 1.0)
    estimate = mean_estimate(x, np.arange(n), bounds)
    for level in (0.5, 0.9, 0.95, 0.999):
        low, high = estimate.interval(level)
        for limit, sign in ((low, -1), (high, 1)):
            if bounds[0] + 1e-6 < limit < bounds[1] - 1e-6:
                assert estimate.p_value(limit) == pytest.approx(1 - level, rel=1e-4)
                beyond = float(np.clip(limit + sign * 1e-3, *bounds))
                assert estimate.p_value(beyond) < 1 - level < estimate.p_value(limit - sign * 1e-3)


def test_p_of_a_null_close_to_the_mean_is_no_rounding() -> None:
    """The mean is here the one with half a verdict at the far end; what is beyond it has p = 1."""
    x = np.concatenate([np.full(60, 0.9), np.full(40, 0.99), np.full(5, 0.2)])[None, :]
    mean = x.sum() / (x.size + 0.5)
    near = [mean_p_values(x, mean * (1 - gap))[0] for gap in (1e-4, 1e-5, 1e-6, 1e-7)]
    assert np.ptp(near) < 0.005
    assert near[-1] == pytest.approx(0.9057, abs=1e-4)  # twice the tail of a sixth of the skewness
    assert mean_p_values(x, mean * (1 + 1e-9))[0] == 1


@pytest.mark.parametrize(("value", "other"), [(0.0, 1.0), (1.0, 0.0)])
def test_unanimous_verdicts_keep_their_end_and_leave_room_at_the_other(value: float, other: float) -> None:
    for n, room in ((2, 0.5), (3, 0.5), (30, 0.06), (805, 0.002)):
        interval = mean_estimate(np.full(n, value), np.arange(n)).interval()
        assert interval[int(value)] == value
        assert abs(interval[int(other)] - value) > room
        assert 0 <= min(interval) <= max(interval) <= 1


def test_all_ties_have_an_interval_of_positive_width() -> None:
    low, high = mean_estimate(np.full(30, 0.5), np.arange(30)).interval()
    assert low < 0.47
    assert high == pytest.approx(1 - low)


def test_three_instructions_that_one_model_wins_prove_nothing() -> None:
    won, lost = (mean_estimate(np.full(3, x), np.arange(3)) for x in (1.0, 0.0))
    gap = won - lost
    low, high = gap.interval()
    assert low < 0
    assert high == 1
    assert gap.p_value() > 0.05


@pytest.mark.parametrize("scale", [1e-300, 1e-30, 1e-12, 1e-6])
def test_tiny_verdicts_have_limits_that_hold_the_mean(scale: float) -> None:
    x = scale * np.random.default_rng(10).uniform(0.5, 1.0, 40)
    estimate = mean_estimate(x, np.arange(40))
    low, high = estimate.interval()
    assert 0 < low < x.mean() < high < 0.15
    assert 0 < estimate.p_value(0.2) < 0.05


def test_a_baseline_is_what_it_is_and_the_difference_to_it_has_its_bounds() -> None:
    x = np.random.default_rng(11).binomial(1, 0.7, 40).astype(float)
    model, baseline = mean_estimate(x, np.arange(40)), Estimate(0.5, np.zeros(40), np.arange(40), bounds=(0.5, 0.5))
    assert baseline.interval() == (0.5, 0.5)
    gap = model - baseline
    assert gap.bounds == (-0.5, 0.5)
    assert gap.interval() == pytest.approx([limit - 0.5 for limit in model.interval()])
    assert gap.p_value() == pytest.approx(model.p_value(0.5))


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
    difference = mean_estimate(a, np.arange(60), bounds=None) - mean_estimate(b, np.arange(60), bounds=None)
    oracle = sm.stats.DescrStatsW(a - b)
    t, p_value, _ = oracle.ttest_mean(0)
    assert difference.value / difference.standard_error == pytest.approx(t)
    assert difference.p_value() == pytest.approx(p_value)
    assert difference.interval() == pytest.approx(oracle.tconfint_mean())


def test_difference_without_shared_clusters_adds_variances() -> None:
    rng = np.random.default_rng(3)
    a = mean_estimate(rng.uniform(size=50), np.arange(50))
    b = mean_estimate(rng.uniform(size=80), np.arange(100, 180))
    assert (a - b).standard_error == pytest.approx(math.hypot(a.standard_error, b.standard_error), rel=1e-9)


def test_three_clusters_beside_many_have_the_freedom_of_three() -> None:
    """Welch's and Satterthwaite's, as scipy has them; the interval of the difference covers."""
    rng = np.random.default_rng(12)
    few, many = rng.normal(0.5, 0.2, 3), rng.normal(0.5, 0.2, 805)
    gap = mean_estimate(few, np.arange(3), None) - mean_estimate(many, np.arange(100, 905), None)
    welch = ttest_ind(few, many, equal_var=False)
    assert gap.degrees_of_freedom == pytest.approx(welch.df, rel=1e-6)
    assert gap.p_value() == pytest.approx(welch.pvalue, rel=1e-6)
    held = 0
    for few in rng.normal(0.5, 0.2, (800, 3)):
        low, high = (mean_estimate(few, np.arange(3), None) - mean_estimate(many, np.arange(3, 808), None)).interval()
        held += low <= 0.5 - many.mean() <= high
    assert 0.93 <= held / 800 <= 0.975


def test_shared_terms_add_to_the_variance_and_cancel_in_a_difference() -> None:
    p = np.random.default_rng(4).uniform(size=30)
    plain = mean_estimate(p, np.arange(30))
    wide = Estimate(plain.value, plain.influence, plain.clusters, shared=np.array([0.1]))
    assert wide.standard_error == pytest.approx(math.hypot(plain.standard_error, 0.1))
    assert (wide - wide).standard_error == 0


@pytest.mark.parametrize("n", [10, 30, 60, 100, 805])
@pytest.mark.parametrize("p", [0.02, 0.05, 0.1, 0.3, 0.5, 0.9])
def test_exact_coverage_of_hard_verdicts(p: float, n: int) -> None:
    """No simulation: the chances of the win counts whose interval holds p, added up."""
    wins = np.arange(n + 1)
    low, high = mean_intervals((np.arange(n) < wins[:, None]).astype(float), 0.95)
    covered = binom.pmf(wins, n, p)[(low <= p) & (p <= high)].sum()
    assert 0.93 <= covered <= (0.975 if n == 805 else 1)


def _spikes(p: float, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Small alike verdicts and a rare 1, which gives half of the mean."""
    return np.where(rng.random(shape) < p / 2, 1.0, p / 2 / (1 - p / 2) * rng.uniform(0.5, 1.5, shape))


SOFT: dict[str, Callable[[float, tuple[int, int], np.random.Generator], np.ndarray]] = {
    "both orders": lambda p, shape, rng: rng.binomial(2, rng.beta(2 * p, 2 * (1 - p), shape)) / 2,
    "soft": lambda p, shape, rng: rng.beta(p, 1 - p, shape),
    "near-certain": lambda p, shape, rng: rng.beta(0.1 * p, 0.1 * (1 - p), shape),
    "spikes": _spikes,
    "narrow": lambda p, shape, rng: rng.beta(99 * p, 99 * (1 - p), shape),
}


@pytest.mark.parametrize("shape", SOFT)
@pytest.mark.parametrize(("p", "n"), [(0.02, 10), (0.02, 60), (0.1, 30), (0.9, 20)])
def test_interval_covers_planted_win_rate(shape: str, p: float, n: int) -> None:
    x = SOFT[shape](min(p, 1 - p), (2000, n), np.random.default_rng(5))
    low, high = mean_intervals(x if p < 0.5 else 1 - x, 0.95)
    assert ((low <= p) & (p <= high)).mean() >= 0.925  # 2.5 Monte-Carlo errors below .9375


@pytest.mark.parametrize("n", [3, 10, 30, 60])
def test_difference_of_near_duplicates_is_covered(n: int) -> None:
    """One model is ahead on 1 % of the instructions, the other on 3 %: small samples see none of them."""
    drawn = np.random.default_rng(13).random((2000, n))
    low, high = mean_intervals((drawn < 0.01).astype(float) - (drawn > 0.97), 0.95, -1, 1)
    assert ((low <= -0.02) & (high >= -0.02)).mean() >= 0.93
    assert (high > low).all()


def test_samples_of_real_verdicts_are_covered(shared_data: Path) -> None:
    """Models under 5 %: their verdicts on all of AlpacaEval's instructions are the population, few are drawn."""
    table = pd.read_parquet(
        shared_data / "alpaca_eval_2" / "preferences.parquet", columns=["generator_2", "preference"]
    )
    rng = np.random.default_rng(14)
    for _, column in table.groupby("generator_2")["preference"]:
        verdicts = column.to_numpy() - 1
        if 0 < verdicts.mean() < 0.05:
            for n in (10, 30, 60):
                low, high = mean_intervals(rng.choice(verdicts, (400, n)), 0.95)
                assert ((low <= verdicts.mean()) & (verdicts.mean() <= high)).mean() >= 0.93


def _adjusting(p: np.ndarray, value: float, spread: float, *, rate: bool = True) -> Estimate:
    """A value that adjusts the mean of `p`, whose own influences vary by `spread`."""
    clusters = np.arange(len(p))
    influence = spread * np.where(clusters % 2, 1.0, -1.0)
    return Estimate(value, influence, clusters, rate=rate, plain=mean_estimate(p, clusters))


def test_a_value_that_adjusts_a_mean_is_no_surer_than_the_mean() -> None:
    p = (np.arange(20) < 1).astype(float)
    low, high = mean_estimate(p, np.arange(20)).interval()
    sure, unsure = _adjusting(p, 0.1, 1e-6), _adjusting(p, 0.1, 2.0)
    odds = [x / (1 - x) for x in (0.05, low, high, 0.1, *sure.interval())]
    assert odds[4:] == pytest.approx([odds[1] * odds[3] / odds[0], odds[2] * odds[3] / odds[0]])
    own = Estimate(0.1, unsure.influence, unsure.clusters)
    assert unsure.interval()[0] == own.interval()[0] < sure.interval()[0]
    assert intervals([sure, own, unsure]) == [e.interval() for e in (sure, own, unsure)]
    assert sure.p_value(0.5) == mean_estimate(p, np.arange(20)).p_value(0.45)
    # 3 wins apart of 20, at equal length 10 points: the interval is that of the raw difference, moved
    other = _adjusting((np.arange(20) < 4).astype(float), 0.2, 1e-6)
    gap, raw = other - sure, mean_estimate((np.arange(20) < 4) - p, np.arange(20), (-1, 1))
    assert gap.plain is not None
    assert gap.interval() == pytest.approx([x - 0.05 for x in raw.interval()])
    assert gap.p_value() == pytest.approx(raw.p_value(0.05))


def test_a_difference_of_rates_cannot_leave_what_rates_can_be() -> None:
    """At a level of .9999 three instructions say nothing: from −1 to 1, and no further; Elo points have no such end."""
    ids = np.arange(3)
    one, other = (Estimate(v, np.array([0.2, -0.1, -0.1]) * k, ids) for v, k in ((0.6, 1.0), (0.4, -1.0)))
    assert (one - other).interval(0.9999) == (-1.0, 1.0)
    assert (replace(one, rate=False) - replace(other, rate=False)).interval(0.9999)[1] > 1
    adjusting = replace(one, plain=mean_estimate(np.array([1.0, 0.5, 0.3]), ids))
    low, high = (adjusting - replace(other, plain=mean_estimate(np.array([0.0, 0.5, 0.7]), ids))).interval(0.9999)
    assert (low, high) == (-1.0, 1.0)


def test_what_adjusts_a_mean_goes_beside_a_plain_mean_on_the_clusters_of_both() -> None:
    p = (np.arange(40) % 8 < 1).astype(float)
    adjusting, base = _adjusting(p, 0.2, 1e-6), Estimate(0.5, np.zeros(40), np.arange(40), bounds=(0.5, 0.5))
    assert (adjusting - base).interval() == pytest.approx(
        [x + 0.2 - 0.125 - 0.5 for x in mean_estimate(p, np.arange(40)).interval()]
    )
    part = mean_estimate(p[:10], np.arange(10))
    gap = adjusting - replace(part, value=0.3, bounds=None, plain=part)
    assert gap.plain is not None
    assert gap.plain.n_clusters == 10


def test_terms_of_a_prior_have_degrees_of_freedom_of_their_own() -> None:
    influence = np.where(np.arange(100) % 2, 1.0, -1.0)
    one = Estimate(0.5, influence, np.arange(100), shared=np.array([0.1, 0.0]), shared_freedom=2.0)
    other = Estimate(0.4, influence, np.arange(100), shared=np.array([0.0, 0.1]), shared_freedom=3.0)
    clusters = 1 / 99
    assert one.degrees_of_freedom == pytest.approx((clusters + 0.01) ** 2 / (clusters**2 / 99 + 0.01**2 / 2))
    assert (one - other).degrees_of_freedom == pytest.approx(2.0)  # what the clusters did cancels


def _adjusted_rate(value: float, error: float, cluster: int = 0) -> Estimate:
    """A rate that is no mean, its error on the logit scale all of two of the four clusters."""
    pull = error * value * (1 - value) * np.sqrt(6) * np.eye(4)[cluster : cluster + 2].T @ [1, -1]
    return Estimate(value, pull, np.arange(4), freedom=1e6)


@pytest.mark.parametrize("other", [0.02, 0.2, 0.5, 0.9])
def test_equal_rates_are_told_apart_by_their_logits(other: float) -> None:
    """The error of a difference is its own, but at 0 that of the logits where that is more; p and interval agree."""
    for value in (0.05, 0.21, 0.35, 0.6, 0.97):
        for errors in ((0.4, 0.4), (1.2, 0.2)):
            gap = _adjusted_rate(value, errors[0]) - _adjusted_rate(other, errors[1], 2)
            by_logit = abs(np.log(value / (1 - value)) - np.log(other / (1 - other))) / np.hypot(*errors)
            by_rate = abs(gap.value) / gap.standard_error
            assert gap.p_value() == pytest.approx(2 * stdtr(1e6, -min(by_logit, by_rate)), rel=1e-9)
            assert gap.p_value(gap.value) == 1
            for level in (0.5, 0.9, 0.95, 0.999):
                low, high = gap.interval(level)
                assert (low * high > 0) == (gap.p_value() < 1 - level)
                assert -1 <= low < high <= 1
                for limit in (x for x in (low, high) if abs(x) < 1):
                    assert gap.p_value(limit) == pytest.approx(1 - level, rel=1e-6)
            turned = _adjusted_rate(other, errors[1], 2) - _adjusted_rate(value, errors[0])
            assert turned.interval() == pytest.approx([-x for x in gap.interval()[::-1]])


def test_equals_that_came_out_far_from_one_half_are_not_told_apart_too_often() -> None:
    """Two rates of .2 whose logits are normal: one pair in a thousand has a p below .001, where the error at the rate
    that came out would tell more than two apart."""
    logits = np.random.default_rng(3).normal(np.log(0.25), 0.8, (20_000, 2))
    rates = 1 / (1 + np.exp(-logits))
    slope = rates * (1 - rates)
    error, on_logits = 0.8 * np.linalg.norm(slope, axis=1), np.full(20_000, 0.8 * np.sqrt(2))
    z = np.abs(rates[:, 0] - rates[:, 1]) / error
    assert np.mean(2 * ndtr(-z) < 0.001) > 0.002
    assert np.mean(2 * ndtr(-z / stretch(*rates.T, error, on_logits)) < 0.001) < 0.0013


@pytest.mark.parametrize("sign", [1, -1])
def test_an_error_that_grows_with_the_value_widens_the_side_away_from_0(sign: int) -> None:
    pull = np.tile([1.0, -1.0], 50) * 20
    plain = Estimate(6.0 * sign, pull, np.arange(100), rate=False)
    grown = replace(plain, growth=0.2 * sign)
    near, far = (sorted(e.interval(), key=abs) for e in (plain, grown))
    assert far[0] == near[0]
    assert abs(far[1]) > abs(near[1]) + 0.5
    assert grown.p_value(0.0) == plain.p_value(0.0)
    assert grown.p_value(far[1]) == pytest.approx(0.05)
    # equals subtract to a difference whose error grows either way alike: not at all
    assert (grown - grown).growth == pytest.approx(0)
    assert sign * (grown - plain).growth > 0 > sign * (plain - grown).growth
