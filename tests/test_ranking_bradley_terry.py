"""Bradley-Terry: planted strengths, statsmodels and evalica as oracles, separation, disconnection."""

import sys
from dataclasses import replace

import numpy as np
import pytest
import statsmodels.api as sm
from scipy.optimize import minimize
from scipy.special import expit

from simfarm.errors import InputError
from simfarm.ranking import Matches, bradley_terry
from simfarm.statistics import leverage, logistic, separation
from simfarm.statistics.bradley_terry import ELO_SCALE
from simfarm.statistics.estimate import Estimate
from simfarm.statistics.tiers import tiers

STRENGTHS = np.array([-0.8, -0.3, 0.0, 0.2, 0.4, 0.5])
SLOPES = np.array([0.4, -0.2])
FIRST = 0.3


def plant(n_clusters: int, rng: np.random.Generator, *, features: bool = True, pairs: int = 3) -> Matches:
    """Clusters of `pairs` pairs × 2 orders × 2 repeats; verdicts of one pair share their random draw 7 times in 10.

    The marginal chance of each verdict is exactly the model's, so the strengths, slopes and order effect are known.
    """
    m = len(STRENGTHS)
    n = n_clusters * pairs
    first = rng.integers(m, size=n)
    second = (first + 1 + rng.integers(m - 1, size=n)) % m
    x = np.stack([STRENGTHS[second] - STRENGTHS[first], np.zeros(n)], axis=1) + rng.standard_normal((n, 2))
    first, second, x, cluster = (np.repeat(v, 4, axis=0) for v in (first, second, x, np.arange(n) // pairs))
    order = np.tile([-1, 1, -1, 1], n)
    eta = STRENGTHS[second] - STRENGTHS[first] + FIRST * order + (x @ SLOPES if features else 0.0)
    shared, own = np.repeat(rng.random(n), 4), rng.random(4 * n)
    draw = np.where(np.repeat(rng.random(n), 4) < 0.7, shared, own)
    return Matches(
        models=tuple("abcdef"),
        model_1=first,
        model_2=second,
        p=(draw < expit(eta)).astype(float),
        cluster=cluster,
        order=order,
        features=x if features else None,
        feature_names=("length", "lists") if features else (),
    )


def design(c: Matches) -> np.ndarray:
    """Columns of the logistic regression with the first model's strength fixed at 0."""
    rows = np.arange(len(c.p))
    dummies = np.zeros((len(c.p), len(c.models)))
    np.add.at(dummies, (rows, c.model_2), 1.0)
    np.add.at(dummies, (rows, c.model_1), -1.0)
    columns = [dummies[:, 1:]]
    if c.order is not None:
        columns.append(c.order[:, None].astype(float))
    if c.features is not None:
        columns.append(c.features)
    return np.hstack(columns)


def weighted(rng: np.random.Generator, *, features: bool) -> Matches:
    c = plant(120, rng, features=features)
    return replace(c, p=np.where(rng.random(len(c.p)) < 0.1, 0.5, c.p), weight=rng.choice([1.0, 2.0], len(c.p)))


def clusters_error(estimate: Estimate) -> float:
    """The standard error without what no cluster has shown."""
    return replace(estimate, shared=np.zeros(0)).standard_error


@pytest.mark.parametrize("features", [False, True])
def test_matches_statsmodels_logit_with_cluster_covariance(features: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leverage, "_MATTERS", np.inf)
    c = weighted(np.random.default_rng(3), features=features)
    glm = sm.GLM(c.p, design(c), family=sm.families.Binomial(), var_weights=c.weight)
    oracle = glm.fit(tol=1e-14, cov_type="cluster", cov_kwds={"groups": c.cluster, "use_correction": False})
    fitted = bradley_terry(c)
    scale = np.sqrt(120 / 119)  # statsmodels divides by G
    for k, model in enumerate("bcdef"):
        gap = fitted.ratings[model] - fitted.ratings["a"]
        assert gap.value / ELO_SCALE == pytest.approx(oracle.params[k], abs=1e-6)
        assert clusters_error(gap) / ELO_SCALE == pytest.approx(oracle.bse[k] * scale, abs=1e-6)
    for k, name in enumerate(fitted.slopes, start=5):
        assert fitted.slopes[name].value == pytest.approx(oracle.params[k], abs=1e-6)
        assert clusters_error(fitted.slopes[name]) == pytest.approx(oracle.bse[k] * scale, abs=1e-6)
    assert list(fitted.slopes) == (["shown_first", "length", "lists"] if features else ["shown_first"])
    assert np.mean([r.value for r in fitted.ratings.values()]) == pytest.approx(1000, abs=1e-9)
    assert not fitted.prior


@pytest.mark.parametrize("features", [False, True])
def test_every_clusters_pull_is_a_step_without_it(features: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The jackknife by hand: one Newton step of the other clusters' likelihood from the fit of all."""
    monkeypatch.setattr(leverage, "_MATTERS", -1.0)
    monkeypatch.setattr(leverage, "_AT_ONCE", 700)
    c = weighted(np.random.default_rng(3), features=features)
    fitted, x = bradley_terry(c), design(c)
    assert c.weight is not None
    params = np.append(fitted.strengths[1:] - fitted.strengths[0], [e.value for e in fitted.slopes.values()])
    chance = expit(x @ params)
    score, curved = c.weight * (c.p - chance), c.weight * chance * (1 - chance)
    whole = (x.T * curved) @ x
    steps, shares = [], []
    for g in range(120):
        own = c.cluster == g
        information = (x[own].T * curved[own]) @ x[own]
        steps.append(np.linalg.solve(whole - information, x[own].T @ score[own]))
        shares.append(np.diag(np.linalg.solve(whole, information) @ np.linalg.inv(whole)))
    for k, model in enumerate("bcdef"):
        gap = fitted.ratings[model] - fitted.ratings["a"]
        np.testing.assert_allclose(gap.influence / ELO_SCALE / 119, np.array(steps)[:, k], rtol=1e-4, atol=1e-8)
    share = np.array(shares) / np.diag(np.linalg.inv(whole))
    for k, name in enumerate(fitted.slopes, start=5):
        np.testing.assert_allclose(fitted.slopes[name].influence / 119, np.array(steps)[:, k], rtol=1e-4, atol=1e-8)
        assert fitted.slopes[name].freedom == pytest.approx(1 / (share[:, k] ** 2).sum(), rel=1e-6)


def heavy(n_clusters: int, rng: np.random.Generator) -> Matches:
    """Clusters whose sizes have a heavy tail, 3 in 10 of the verdicts of one resting on one draw."""
    size = np.clip(np.ceil(rng.pareto(1.2, n_clusters)), 1, 200).astype(int)
    cluster, n = np.repeat(np.arange(n_clusters), size), int(size.sum())
    first = rng.integers(6, size=n)
    second = (first + 1 + rng.integers(5, size=n)) % 6
    common, whose = np.repeat(rng.random((2, n_clusters)), size, axis=1)
    draw = np.where(whose < 0.3, common, rng.random(n))
    p = (draw < expit(STRENGTHS[second] - STRENGTHS[first])).astype(float)
    return Matches(tuple("abcdef"), first, second, p, cluster)


def test_intervals_hold_the_truth_in_few_clusters_of_heavy_tailed_sizes() -> None:
    truth = ELO_SCALE * (STRENGTHS[5] - STRENGTHS[1])
    for n_clusters in (10, 60):
        rng, hits = np.random.default_rng(n_clusters), []
        for _ in range(300):
            fitted = bradley_terry(heavy(n_clusters, rng))
            low, high = (fitted.ratings["f"] - fitted.ratings["b"]).interval()
            hits.append(low <= truth <= high)
        assert np.mean(hits) >= 0.93


def test_soft_verdicts_near_separation_are_no_surer_than_hard_ones() -> None:
    gaps = []
    for q in (1.0, 1 - 1e-12, 0.9999, 0.98, 0.975, 0.9749):
        fitted = bradley_terry(Matches(("a", "b"), np.zeros(20, int), np.ones(20, int), np.full(20, q), np.arange(20)))
        gaps.append(fitted.ratings["b"] - fitted.ratings["a"])
        assert fitted.prior == (q > 0.975 + 1e-9)
    values, errors = [g.value for g in gaps], [g.standard_error for g in gaps]
    assert values[1] == pytest.approx(values[0], abs=1e-6)
    assert values[2] == pytest.approx(values[0], abs=1)
    assert values[4] == pytest.approx(values[5], abs=1)
    assert values == sorted(values, reverse=True)
    assert errors[2] == pytest.approx(errors[0], rel=0.01)
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] > 200


def test_a_group_that_hardly_lost_to_another_is_near_separation_too() -> None:
    first, second = (np.tile(side, 10) for side in np.nonzero(~np.eye(6, dtype=bool)))
    better = (second > 2) & (first < 3)
    worse = (first > 2) & (second < 3)
    p = np.where(better, 1 - 1e-5, np.where(worse, 1e-5, 0.5))
    fitted = bradley_terry(Matches(tuple("abcdef"), first, second, p, np.arange(len(p))))
    assert fitted.prior
    assert (fitted.ratings["f"] - fitted.ratings["a"]).standard_error > 40


def _all_pairs(theta: np.ndarray, n_clusters: int, rng: np.random.Generator) -> Matches:
    """Every pair once an instruction, verdicts that are Beta with the planted mean."""
    first, second = (np.tile(side, n_clusters) for side in np.triu_indices(len(theta), 1))
    chance = expit(theta[second] - theta[first])
    p = rng.beta(4 * chance, 4 * (1 - chance))
    return Matches(
        tuple("abcde")[: len(theta)], first, second, p, np.repeat(np.arange(n_clusters), len(p) // n_clusters)
    )


@pytest.mark.parametrize("n_clusters", [5, 20, 100])
@pytest.mark.parametrize("strengths", [[0, 9.2], [0, 0.3, -0.4, 0.1, 9.2], [0, 4.6, 9.2, 13.8, 18.4]])
def test_leads_that_no_verdict_limits_are_held(strengths: list[float], n_clusters: int) -> None:
    theta, rng, hits = np.array(strengths), np.random.default_rng(n_clusters), []
    rating = 1000 + ELO_SCALE * (theta - theta.mean())
    for _ in range(40):
        found = list(bradley_terry(_all_pairs(theta, n_clusters, rng)).ratings.values())
        gaps = [found[-1] - found[0], found[-1] - found[-2], found[1] - found[0], found[0], found[-1]]
        truth = [rating[-1] - rating[0], rating[-1] - rating[-2], rating[1] - rating[0], rating[0], rating[-1]]
        limits = [gap.interval() for gap in gaps]
        hits.append([low <= true <= high for (low, high), true in zip(limits, truth, strict=True)])
        assert all(gap.value < high for gap, (_, high) in zip(gaps, limits, strict=True))
    assert np.mean(hits, axis=0).min() >= 0.9


def test_a_lead_without_a_limit_is_at_least_so_much_and_subtracts() -> None:
    # a and c are even, b never took a point from a nor d from c: how b and d compare, nobody saw
    first, second = np.repeat([0, 0, 2], 20), np.repeat([1, 2, 3], 20)
    p = np.concatenate([np.zeros(20), np.tile([0.0, 1.0], 10), np.zeros(20)])
    ratings = bradley_terry(Matches(tuple("abcd"), first, second, p, np.arange(60))).ratings
    low, high = (ratings["a"] - ratings["b"]).interval()
    assert (low > 50, high) == (True, np.inf)
    assert (ratings["b"] - ratings["a"]).interval() == (-np.inf, -low)
    assert (ratings["a"] - ratings["b"]).p_value() < 0.05
    assert (ratings["a"] - ratings["b"]).p_value(1e5) == 1
    assert np.isfinite((ratings["a"] - ratings["c"]).interval()).all()
    assert (ratings["b"] - ratings["d"]).interval() == (-np.inf, np.inf)
    assert (ratings["b"] - ratings["d"]).p_value(50) == (ratings["b"] - ratings["d"]).p_value(-50) == 1
    assert ratings["a"].interval()[1] == np.inf
    assert ratings["b"].interval() == (-np.inf, np.inf)


def test_where_the_prior_acts_it_takes_a_whole_verdict_to_limit_a_lead() -> None:
    first, second = np.repeat([0, 1], 20), np.repeat([1, 2], 20)
    for lost, limited in ((0.7, False), (1.2, True)):
        p = np.repeat([1 - 0.2 / 20, 1 - lost / 20], 20)
        ratings = bradley_terry(Matches(tuple("abc"), first, second, p, np.arange(40))).ratings
        assert (ratings["c"] - ratings["b"]).has_limits == (True, limited)
        assert (ratings["b"] - ratings["a"]).has_limits == (True, False)


def test_nobody_saw_which_of_two_that_lost_everything_is_worse() -> None:
    second = np.repeat([1, 2], [800, 5])
    c = Matches(("best", "often", "seldom"), np.zeros(805, int), second, np.zeros(805), np.arange(805))
    ratings = bradley_terry(c).ratings
    assert ratings["seldom"].value > ratings["often"].value + 400
    assert tiers(list(ratings.values())).p_values[1, 2] == 1


def test_who_is_limited_is_told_by_every_division_of_the_models() -> None:
    rng = np.random.default_rng(0)
    for _ in range(60):
        n = int(rng.integers(2, 7))
        took = rng.choice([0, 0, 0.1, 0.4, 0.6, 1.2], (n, n))
        np.fill_diagonal(took, 0)
        limited = separation._limited(took, 1.0)
        sides = (np.arange(2**n)[:, None] >> np.arange(n)) % 2 == 1
        across = np.array([took[np.ix_(~side, side)].sum() for side in sides])
        for a in range(n):
            for b in set(range(n)) - {a}:
                least = across[sides[:, a] & ~sides[:, b]].min()
                assert limited[a, b] == (least >= 1 - 1e-9)


def test_what_foretells_every_verdict_leaves_nothing_limited() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((40, 1))
    c = Matches(
        ("a", "b"), np.zeros(40, int), np.ones(40, int), (x[:, 0] > 0.3).astype(float), np.arange(40),
        features=x, feature_names=("length",),
    )  # fmt: skip
    fitted = bradley_terry(c)
    assert fitted.slopes["length"].interval() == (-np.inf, np.inf)
    assert (fitted.ratings["b"] - fitted.ratings["a"]).interval() == (-np.inf, np.inf)
    won = bradley_terry(replace(c, p=np.ones(40)))
    assert won.slopes["length"].interval() == (-np.inf, np.inf)
    low, high = (won.ratings["b"] - won.ratings["a"]).interval()
    assert (low > 0, high) == (True, np.inf)


def test_three_clusters_beside_many_have_the_freedom_of_three() -> None:
    rng, hits, truth = np.random.default_rng(20), [], ELO_SCALE * 0.4
    for _ in range(300):
        lean = rng.random(303)
        cluster = np.concatenate([np.repeat(np.arange(3), 40), np.repeat(np.arange(3, 303), 2)])
        second = np.where(cluster < 3, 2, 1)
        draw = np.where(rng.random(len(cluster)) < 0.3, lean[cluster], rng.random(len(cluster)))
        p = (draw < np.where(second == 2, expit(0.4), 0.5)).astype(float)
        fitted = bradley_terry(Matches(("base", "many", "few"), np.zeros(len(p), int), second, p, cluster))
        gap = fitted.ratings["few"] - fitted.ratings["many"]
        low, high = gap.interval()
        hits.append(low <= truth <= high)
    assert gap.degrees_of_freedom < 4
    assert np.mean(hits) >= 0.93


def test_matches_evalica() -> None:
    evalica = pytest.importorskip("evalica")
    rng = np.random.default_rng(4)
    c = replace(plant(200, rng, features=False), order=None)
    c = replace(c, p=np.where(rng.random(len(c.p)) < 0.2, 0.5, c.p))
    winner = {0.0: evalica.Winner.X, 1.0: evalica.Winner.Y, 0.5: evalica.Winner.Draw}
    names = np.array(c.models)
    oracle = evalica.bradley_terry(
        list(names[c.model_1]), list(names[c.model_2]), [winner[p] for p in c.p], tolerance=1e-14, limit=10_000
    )
    strengths = np.log(oracle.scores[list(c.models)].to_numpy())
    np.testing.assert_allclose(bradley_terry(c).strengths, strengths - strengths.mean(), atol=1e-6)


def test_intervals_hold_the_truth_in_clusters_of_orders_and_repeats() -> None:
    rng = np.random.default_rng(5)
    hits: dict[str, list[bool]] = {"difference": [], "slope": [], "first": [], "as if rows were independent": []}
    for _ in range(1000):
        c = plant(150, rng)
        fitted = bradley_terry(c)
        gap = fitted.ratings["f"] - fitted.ratings["b"]
        truth = ELO_SCALE * (STRENGTHS[5] - STRENGTHS[1])
        for name, estimate, true in (
            ("difference", gap, truth),
            ("slope", fitted.slopes["length"], SLOPES[0]),
            ("first", fitted.slopes["shown_first"], FIRST),
        ):
            low, high = estimate.interval(0.95)
            hits[name].append(low <= true <= high)
        naive = bradley_terry(replace(c, cluster=np.arange(len(c.p))))
        low, high = (naive.ratings["f"] - naive.ratings["b"]).interval(0.95)
        hits["as if rows were independent"].append(low <= truth <= high)
    share = {name: np.mean(found) for name, found in hits.items()}
    for name in ("difference", "slope", "first"):
        assert 0.92 <= share[name] <= 0.98, share
    assert share["as if rows were independent"] < 0.88


def test_swapping_the_sides_changes_nothing() -> None:
    c = plant(80, np.random.default_rng(6))
    assert c.order is not None
    assert c.features is not None
    swapped = replace(c, model_1=c.model_2, model_2=c.model_1, p=1 - c.p, order=-c.order, features=-c.features)
    one, two = bradley_terry(c), bradley_terry(swapped)
    for name in c.models:
        assert two.ratings[name].value == pytest.approx(one.ratings[name].value, abs=1e-7)
        assert two.ratings[name].standard_error == pytest.approx(one.ratings[name].standard_error, abs=1e-7)
    assert two.slopes["length"].value == pytest.approx(one.slopes["length"].value, abs=1e-9)


def test_a_weight_scores_a_verdict_and_is_no_new_evidence() -> None:
    c = plant(80, np.random.default_rng(7), features=False)
    weight = np.random.default_rng(8).choice([1, 3], len(c.p))
    scored = bradley_terry(replace(c, weight=weight.astype(float)))
    times = np.repeat(np.arange(len(c.p)), weight)
    assert c.order is not None
    copied = bradley_terry(
        replace(
            c,
            model_1=c.model_1[times],
            model_2=c.model_2[times],
            p=c.p[times],
            cluster=c.cluster[times],
            order=c.order[times],
        )
    )
    tripled = bradley_terry(replace(c, weight=np.full(len(c.p), 3.0)))
    plain = bradley_terry(c)
    for name in c.models:
        assert scored.ratings[name].value == pytest.approx(copied.ratings[name].value, abs=1e-7)
        np.testing.assert_allclose(scored.ratings[name].influence, copied.ratings[name].influence, atol=1e-6)
        assert tripled.ratings[name].standard_error == pytest.approx(plain.ratings[name].standard_error, abs=1e-7)
    assert scored.n_comparisons == len(c.p)


def test_ties_are_half_or_left_out() -> None:
    # 6 wins, 2 losses, 4 ties: half a win each gives 8 to 4, without them 6 to 2.
    p = np.array([1.0] * 6 + [0.0] * 2 + [0.5] * 4)
    c = Matches(("a", "b"), np.zeros(12, int), np.ones(12, int), p, np.arange(12))
    half, dropped = bradley_terry(c), bradley_terry(c, drop_ties=True)
    assert half.ratings["b"].value - half.ratings["a"].value == pytest.approx(400 * np.log10(8 / 4))
    assert dropped.ratings["b"].value - dropped.ratings["a"].value == pytest.approx(400 * np.log10(6 / 2))
    assert (half.ties_dropped, dropped.ties_dropped, dropped.n_comparisons) == (0, 4, 8)


def test_soft_preferences_of_two_models_are_the_logit_of_their_mean() -> None:
    p = np.random.default_rng(9).uniform(size=50)
    fitted = bradley_terry(Matches(("a", "b"), np.zeros(50, int), np.ones(50, int), p, np.arange(50)))
    gap = fitted.ratings["b"] - fitted.ratings["a"]
    mean = p.mean()
    assert gap.value == pytest.approx(400 * np.log10(mean / (1 - mean)))
    # Delta method by hand, and half a verdict that went the less likely way.
    by_hand = np.hypot(p.std(ddof=1) / np.sqrt(50), np.sqrt(0.5) * max(mean, 1 - mean) / 50)
    assert gap.standard_error == pytest.approx(ELO_SCALE * by_hand / (mean * (1 - mean)))


def test_cluster_ids_may_be_any_integers() -> None:
    c = plant(60, np.random.default_rng(10), features=False)
    other = replace(c, cluster=c.cluster * 10**12 - 5)
    one, two = bradley_terry(c).ratings["a"], bradley_terry(other).ratings["a"]
    assert two.standard_error == pytest.approx(one.standard_error, abs=1e-9)
    assert list(two.clusters) == list(one.clusters * 10**12 - 5)


def test_the_order_of_rows_and_the_size_of_blocks_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    c = plant(100, np.random.default_rng(13))
    whole = bradley_terry(c)
    monkeypatch.setattr(sys.modules[Matches.__module__], "_BLOCK", 7)
    monkeypatch.setattr(logistic, "_BLOCK", 11)
    blocks = bradley_terry(c)
    mixed = np.random.default_rng(14).permutation(len(c.p))
    assert c.order is not None
    assert c.features is not None
    shuffled = bradley_terry(
        replace(
            c,
            model_1=c.model_1[mixed],
            model_2=c.model_2[mixed],
            p=c.p[mixed],
            cluster=c.cluster[mixed],
            order=c.order[mixed],
            features=c.features[mixed],
        )
    )
    for other in (blocks, shuffled):
        for name, expected in (whole.ratings | whole.slopes).items():
            found = (other.ratings | other.slopes)[name]
            assert found.value == pytest.approx(expected.value, abs=1e-8)
            np.testing.assert_allclose(found.influence, expected.influence, atol=1e-6)


def test_narrow_codes_and_lists_are_taken_as_they_are() -> None:
    rng = np.random.default_rng(15)
    first = rng.integers(20, size=800)
    second = (first + 1 + rng.integers(19, size=800)) % 20
    p = rng.integers(0, 2, 800)
    names = tuple(f"m{k}" for k in range(20))
    wide = bradley_terry(Matches(names, first, second, p.astype(float), np.arange(800)))
    narrow = bradley_terry(
        Matches(names, first.astype(np.int8), second.astype(np.uint8), list(p), list(range(800)))  # type: ignore[arg-type]
    )
    assert narrow.ratings["m3"].value == wide.ratings["m3"].value


def test_a_model_against_itself_tells_of_the_order_alone() -> None:
    order = np.array([1, -1] * 50)
    mine = np.where(order > 0, np.arange(100) % 10 < 8, np.arange(100) % 10 < 3).astype(float)
    others = Matches(("a", "b"), np.zeros(4, int), np.ones(4, int), np.array([1, 0, 1, 1.0]), np.arange(4))
    both = Matches(
        ("a", "b"),
        np.zeros(104, int),
        np.append(others.model_2, np.zeros(100, int)),
        np.append(others.p, mine),
        np.arange(104),
        order=np.append(np.zeros(4, int), order),
    )
    fitted = bradley_terry(both)
    assert (fitted.ratings["b"] - fitted.ratings["a"]).value == pytest.approx(400 * np.log10(3), abs=1e-6)
    share = np.where(order > 0, mine, 1 - mine).mean()
    assert fitted.slopes["shown_first"].value == pytest.approx(np.log(share / (1 - share)), abs=1e-8)


def test_a_model_that_never_lost_gets_a_finite_rating_from_the_stated_prior() -> None:
    rng = np.random.default_rng(11)
    first, second = np.repeat([0, 0, 1], 30), np.repeat([1, 2, 2], 30)
    p = np.where(second == 2, 1.0, (rng.random(90) < 0.4).astype(float))
    fitted = bradley_terry(Matches(("a", "b", "c"), first, second, p, np.arange(90)))

    def loss(theta: np.ndarray) -> float:
        theta = theta - theta.mean()
        eta = theta[second] - theta[first]
        likelihood = p * eta - np.logaddexp(0, eta)
        halves = 0.5 * (-np.logaddexp(0, -theta) - np.logaddexp(0, theta))
        return -float(likelihood.sum() + halves.sum())

    oracle = minimize(loss, np.zeros(3), method="BFGS", options={"gtol": 1e-8}).x
    assert fitted.prior
    np.testing.assert_allclose(fitted.strengths, oracle - oracle.mean(), atol=1e-5)
    # The sandwich alone would be sure of a rating that 60 straight wins cannot bound above.
    gap = fitted.ratings["c"] - fitted.ratings["a"]
    assert gap.standard_error > 200
    assert gap.value > 500


def test_the_priors_pull_is_no_clusters() -> None:
    """Under the prior the scores do not sum to nought; what remains is not the instructions' noise."""
    rng = np.random.default_rng(17)
    n = 60
    first, second = np.tile([0, 0, 1], n), np.tile([1, 2, 2], n)
    p = np.where(first == 0, 0.0, rng.binomial(1, 0.5, 3 * n)).astype(float)
    fitted = bradley_terry(Matches(("best", "one", "other"), first, second, p, np.repeat(np.arange(n), 3)))
    assert fitted.prior
    for rating in fitted.ratings.values():
        assert abs(rating.influence.mean()) < 1e-9 * np.abs(rating.influence).max()


def test_the_prior_does_not_act_where_every_model_lost_something() -> None:
    # A beats B beats C beats A: no one is undefeated, though every single pair is one-sided.
    c = Matches(("a", "b", "c"), np.array([0, 1, 2] * 5), np.array([1, 2, 0] * 5), np.zeros(15), np.arange(15))
    fitted = bradley_terry(c)
    assert not fitted.prior
    assert fitted.strengths == pytest.approx([0, 0, 0], abs=1e-9)


def test_a_judge_that_always_names_the_first_shown_needs_the_prior_for_the_order_effect() -> None:
    order = np.tile([1, -1], 20)
    c = Matches(
        ("a", "b"), np.zeros(40, int), np.ones(40, int), (order > 0).astype(float), np.arange(40) // 2, order=order
    )
    fitted = bradley_terry(c)
    assert fitted.prior
    low, high = fitted.slopes["shown_first"].interval()
    assert (low > 0, high) == (True, np.inf)
    gap = fitted.ratings["a"] - fitted.ratings["b"]
    assert gap.value == pytest.approx(0, abs=1e-6)
    assert gap.interval() == (-np.inf, np.inf)


def test_a_disconnected_graph_names_its_parts() -> None:
    c = Matches(tuple("abcde"), np.array([0, 0, 2]), np.array([1, 1, 3]), np.array([1.0, 0, 0.5]), np.arange(3))
    with pytest.raises(InputError, match=r"3 parts .*\{a, b\} and \{c, d\} and \{e\}"):
        bradley_terry(c)


GOOD = {
    "models": ("a", "b"),
    "model_1": np.zeros(4, int),
    "model_2": np.ones(4, int),
    "p": np.array([1.0, 0.0, 1.0, 0.5]),
    "cluster": np.arange(4),
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p": np.array([1.0, 0.0, np.nan, 0.5])}, r"preference nan \(comparison 2\)"),
        ({"p": np.array([1.0, 0.0, 1.0, 1.5])}, r"preference 1.5 \(comparison 3\)"),
        ({"p": np.array([-np.inf, 0.0, 1.0, 0.5])}, "preference -inf"),
        ({"models": ("a",)}, "only one model"),
        ({"cluster": np.zeros(4, int)}, "1 instruction"),
        ({"cluster": np.zeros(3, int)}, "cluster has 3 values for 4"),
        ({"model_2": np.full(4, 2)}, "codes outside 0 … 1"),
        ({"weight": np.array([1.0, -1, 1, 1])}, "weight"),
        ({"weight": np.zeros(4)}, "no comparison is left"),
        ({"order": np.array([1, 2, 1, 1])}, "order must be"),
        ({"order": np.zeros(4, int)}, "'order' cannot be told"),
        ({"features": np.ones((4, 1))}, "names"),
        ({"features": np.full((4, 1), np.nan), "feature_names": ("length",)}, "not finite"),
        ({"features": np.ones((4, 1)), "feature_names": ("length",)}, "'length' cannot be told"),
    ],
)
def test_bad_input_is_one_line(change: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        bradley_terry(Matches(**{**GOOD, **change}))  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("turned", [False, True])
def test_who_is_reached_against_the_direction_of_comparisons_is_connected(turned: bool) -> None:
    first, second = np.array([1, 2, 3]), np.array([0, 1, 2])
    pair = (second * 4 + first) if turned else (first * 4 + second)
    logistic.require_connected(pair, ("a", "b", "c", "d"))
    with pytest.raises(InputError, match=r"2 parts .*\{a, b\} and \{c, d\}"):
        logistic.require_connected(np.delete(pair, 1), ("a", "b", "c", "d"))


@pytest.mark.parametrize("unbeaten", [0, 2])
def test_a_model_that_won_or_lost_everything_needs_the_prior_wherever_it_stands(unbeaten: int) -> None:
    rng = np.random.default_rng(0)
    first, second = np.repeat([0, 0, 1], 40), np.repeat([1, 2, 2], 40)
    for always in (0.0, 1.0):
        p = (rng.random(120) < 0.5).astype(float)
        p = np.where(first == unbeaten, always, np.where(second == unbeaten, 1 - always, p))
        assert bradley_terry(Matches(("a", "b", "c"), first, second, p, np.arange(120))).prior
