"""Tiers and power: the studentised range and the t test as oracles, planted family-wise error, plans that come true."""

import importlib
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats
from scipy.special import ndtri, stdtr

from simfarm.errors import InputError
from simfarm.ranking import Estimate, power
from simfarm.statistics.estimate import mean_estimate
from simfarm.statistics.tiers import shared_clusters, tiers

module = importlib.import_module("simfarm.statistics.tiers")


def _judged(theta: np.ndarray, n: int, rng: np.random.Generator) -> list[Estimate]:
    """Models judged on the same n instructions, 2 orders and 2 repeats each, the four verdicts nearly one."""
    latent = 1.2 * rng.standard_normal(n) + 0.8 * rng.standard_normal((len(theta), n)) + theta[:, None]
    chance = 1 / (1 + np.exp(-(latent[:, :, None] + np.array([0.5, 0.5, -0.5, -0.5]))))
    verdicts = rng.binomial(1, chance).astype(float)
    return [mean_estimate(p.ravel(), np.repeat(np.arange(n), 4)) for p in verdicts]


def test_two_models_get_the_paired_t_test() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.normal(0.55, 0.2, 20), rng.normal(0.45, 0.2, 20)
    found = tiers([mean_estimate(x, np.arange(20), bounds=None) for x in (a, b)])
    assert found.p_values[0, 1] == pytest.approx(stats.ttest_rel(a, b).pvalue, rel=1e-9)


def test_unrelated_models_get_tukeys_range() -> None:
    """Equal errors, no shared instructions: the largest |t| of all pairs is the studentised range over √2."""
    rng = np.random.default_rng(1)
    values = rng.standard_normal(2000)
    values = (values - values.mean()) / values.std()
    # influences that do not meet, on one set of clusters: pairs that share none are not told apart
    spread = 6 * np.kron(np.eye(6), values)
    models = [Estimate(m / 60, row, np.arange(12_000), rate=False) for m, row in enumerate(spread)]
    found = tiers(models, replicates=40_000)
    distance = (5 / 60) / models[0].standard_error
    assert found.p_values[0, 5] == pytest.approx(stats.studentized_range.sf(distance, 6, np.inf), rel=0.05)


def test_step_down_finds_what_one_threshold_misses_and_never_less() -> None:
    """One model far below leaves three pairs among the others; their p-values are those of three models alone."""
    rng = np.random.default_rng(2)
    near = [Estimate(v, rng.standard_normal(500), np.arange(500), rate=False) for v in (0.0, 0.0, 0.0)]
    top = 2.47 * (near[2] - near[0]).standard_error
    near[2] = Estimate(top, near[2].influence, near[2].clusters, rate=False)
    far = Estimate(-50.0, rng.standard_normal(500), np.arange(500), rate=False)
    alone, together = tiers(near, replicates=20_000), tiers([*near, far], replicates=20_000)
    assert together.p_values[:3, :3] == pytest.approx(alone.p_values, abs=0.01)
    # with all six pairs for one threshold that would be a p of more than .05
    assert stats.studentized_range.sf(2.47 * math.sqrt(2), 4, np.inf) > 0.06
    assert together.p_values[0, 2] < 0.05


def test_tier_is_the_longest_chain_of_better_models() -> None:
    rng = np.random.default_rng(3)
    values = [0.50, 0.80, 0.79, 0.20, 0.49]
    models = [Estimate(v, 0.3 * rng.standard_normal(1000), np.arange(1000)) for v in values]
    assert tiers(models).tier.tolist() == [2, 1, 1, 3, 2]


def test_nobody_in_a_tier_is_told_apart_and_everyone_below_is_worse_than_someone_above() -> None:
    found_deep = 0
    for seed in range(20):
        models = _judged(np.linspace(-1, 1, 8), 120, np.random.default_rng(seed))
        found = tiers(models, replicates=1000)
        apart = found.p_values <= 0.05
        same = found.tier[:, None] == found.tier[None, :]
        assert not (apart & same).any()
        for m in np.flatnonzero(found.tier > 1):
            above = apart[m] & (found.tier == found.tier[m] - 1)
            assert any(models[k].value > models[m].value for k in np.flatnonzero(above))
        found_deep += found.tier.max() > 2
    assert found_deep > 0


def _soft_beside_hard(n: int, rng: np.random.Generator) -> list[Estimate]:
    """Eight models of equal mean .1: chances themselves, verdicts of 0 and 1, near-certain ones, and rare spikes."""
    soft = rng.beta(0.3, 2.7, (2, n))
    hard = rng.binomial(1, 0.1, (2, n)).astype(float)
    certain = rng.beta(0.02, 0.18, (2, n))
    spikes = np.where(rng.random((2, n)) < 0.05, 1.0, 0.05 / 0.95 * rng.uniform(0.5, 1.5, (2, n)))
    return [mean_estimate(p, np.arange(n)) for p in np.concatenate([soft, hard, certain, spikes])]


@pytest.mark.parametrize(
    ("draw", "n"), [(lambda n, rng: _judged(np.zeros(8), n, rng), 60), (_soft_beside_hard, 20), (_soft_beside_hard, 60)]
)
def test_family_wise_error_among_equals(draw: Callable[[int, np.random.Generator], list[Estimate]], n: int) -> None:
    rng = np.random.default_rng(4)
    parted, ranked = 0, 0
    for seed in range(400):
        found = tiers(draw(n, rng), replicates=500, seed=seed)
        parted += found.tier.max() > 1
        ranked += bool((found.ranks == (1, 8)).all())
    assert parted / 400 <= 0.06
    assert ranked / 400 >= 0.94


def test_family_wise_error_is_not_bought_by_silence() -> None:
    """Unadjusted, some pair of these equals is parted in most boards; adjusted, the error asked for is nearly spent."""
    rng = np.random.default_rng(4)
    parted, unadjusted = 0, 0
    for seed in range(300):
        models = [replace(e, bounds=None) for e in _judged(np.zeros(8), 60, rng)]
        parted += tiers(models, replicates=500, seed=seed).tier.max() > 1
        unadjusted += any((a - b).p_value() < 0.05 for i, a in enumerate(models) for b in models[:i])
    assert 0.02 <= parted / 300 <= 0.08
    assert unadjusted / 300 > 0.3


def test_clones_are_equal_and_unanimous_opposites_are_not() -> None:
    same = mean_estimate(np.random.default_rng(5).uniform(size=40), np.arange(40))
    assert tiers([same, same]).p_values[0, 1] == 1
    won, lost = (mean_estimate(np.full(40, x), np.arange(40)) for x in (1.0, 0.0))
    assert tiers([won, lost]).tier.tolist() == [1, 2]


def test_unanimous_models_need_more_than_a_few_instructions() -> None:
    """What is bounded has the p of its paired difference; what is not has the sign test's: of six, p = 1/32."""
    for n, told_apart in ((3, [1, 1]), (5, [1, 1]), (7, [2, 1])):
        lost, won = models = [mean_estimate(np.full(n, value), np.arange(n)) for value in (0.0, 1.0)]
        found = tiers(models)
        assert found.p_values[0, 1] == pytest.approx((won - lost).p_value(), rel=1e-9)
        assert found.tier.tolist() == told_apart
    for n, p_value in ((5, 1 / 16), (6, 1 / 32)):
        unbounded = [mean_estimate(np.full(n, value), np.arange(n), bounds=None) for value in (0.0, 1.0)]
        assert tiers(unbounded).p_values[0, 1] == p_value


def test_one_pair_has_the_p_of_its_paired_difference_on_what_both_answered() -> None:
    rng = np.random.default_rng(11)
    a, b = rng.binomial(2, 0.4, 60) / 2, rng.binomial(2, 0.6, 60) / 2
    one, other = mean_estimate(a[:50], np.arange(50)), mean_estimate(b[10:], np.arange(10, 60))
    both = np.arange(10, 50)
    found = tiers([one, other])
    assert found.p_values[0, 1] == pytest.approx((one.on(both) - other.on(both)).p_value(), rel=1e-9)
    unlike = [replace(e, bounds=None) for e in (one, other)]
    assert tiers(unlike).p_values[0, 1] == pytest.approx((unlike[0] - unlike[1]).p_value(), rel=1e-9)


def test_no_pair_among_many_is_bolder_than_alone() -> None:
    rng = np.random.default_rng(12)
    models = [mean_estimate(rng.binomial(1, p, 90).astype(float), np.arange(90)) for p in np.linspace(0.1, 0.9, 6)]
    found = tiers(models)
    alone = np.array([[(a - b).p_value() if a is not b else 1.0 for a in models] for b in models])
    assert (found.p_values >= alone * (1 - 1e-9)).all()


def test_direction_is_that_of_the_instructions_both_answered() -> None:
    """A is better wherever both answered; B has the higher rate, for it alone answered the easy ones."""
    hard = np.arange(100)
    a = mean_estimate(np.tile([0.3, 0.2], 50), hard)
    b = mean_estimate(np.concatenate([np.tile([0.1, 0.1, 0.0, 0.2], 25), np.full(300, 0.95)]), np.arange(400))
    assert a.value < b.value
    found = tiers([b, a])
    assert found.tier.tolist() == [2, 1]
    assert found.ranks.tolist() == [[2, 2], [1, 1]]
    assert (shared_clusters([b, a]) == [[400, 100], [100, 100]]).all()


def test_a_circle_of_pairs_tells_nobody_in_it_apart() -> None:
    """Each is better than the next on the 60 instructions that only those two share; a fourth is worse than all."""
    n, up, down = 60, 0.8, 0.2
    parts = {(0, 1): 0, (1, 2): 1, (2, 0): 2}
    answers: list[tuple[list[np.ndarray], list[np.ndarray]]] = [([], []) for _ in range(4)]
    for (best, worse), part in parts.items():
        for model, value in ((best, up), (worse, down), (3, 0.01)):
            answers[model][0].append(np.full(n, value) + 0.001 * (np.arange(n) % 7))
            answers[model][1].append(n * part + np.arange(n))
    found = tiers([mean_estimate(np.concatenate(v), np.concatenate(c)) for v, c in answers])
    assert (found.p_values[:3, :3][~np.eye(3, dtype=bool)] < 0.05).all()
    assert found.tier.tolist() == [1, 1, 1, 2]
    assert found.ranks.tolist() == [[1, 3], [1, 3], [1, 3], [4, 4]]


@pytest.mark.parametrize("in_common", [0, 1])
def test_models_that_share_fewer_than_two_instructions_are_not_told_apart(in_common: int) -> None:
    a = mean_estimate(np.ones(50), np.arange(50))
    b = mean_estimate(np.zeros(50), np.arange(50) + 50 - in_common)
    c = mean_estimate(np.full(50 + 50 - in_common, 0.5), np.arange(100 - in_common))
    assert tiers([a, b]).p_values[0, 1] == 1
    found = tiers([a, b, c])
    assert found.p_values[0, 1] == 1
    assert found.tier.tolist() == [1, 3, 2]  # through the third
    assert found.ranks.tolist() == [[1, 1], [3, 3], [2, 2]]


def test_family_wise_error_where_models_answered_different_instructions() -> None:
    rng = np.random.default_rng(13)
    parted = 0
    for seed in range(300):
        whole = _judged(np.zeros(8), 120, rng)
        some = [e.on(np.flatnonzero(rng.random(120) < 0.6)) for e in whole]
        parted += tiers(some, replicates=500, seed=seed).tier.max() > 1
    assert parted / 300 <= 0.07


def test_shared_noise_cancels_where_a_prior_error_does_not() -> None:
    rng = np.random.default_rng(6)
    base = rng.standard_normal(300)
    near = [Estimate(0.5 + 0.05 * k, base + 0.05 * rng.standard_normal(300), np.arange(300)) for k in range(2)]
    assert tiers(near).tier.tolist() == [2, 1]
    prior = [Estimate(e.value, e.influence, e.clusters, shared=s) for e, s in zip(near, 0.1 * np.eye(2), strict=True)]
    assert tiers(prior).tier.tolist() == [1, 1]


@pytest.mark.parametrize("bounds", [None, (0.0, 1.0)])
@pytest.mark.parametrize("points", [0.05, 0.1])
def test_planned_instructions_reach_the_planned_power(points: float, bounds: tuple[float, float] | None) -> None:
    rng = np.random.default_rng(7)

    def draw(n: int) -> list[Estimate]:
        base = rng.standard_normal(n)
        first = 0.5 + 0.1 * base + 0.1 * rng.standard_normal(n)
        second = 0.5 - points + 0.1 * base + 0.2 * rng.standard_normal(n)
        return [mean_estimate(x, np.arange(n), bounds) for x in (first, second)]

    plan = power(draw(20_000), points)
    t_test = (math.hypot(0.1, 0.2) * (1.95996 + 0.84162) / points) ** 2
    if bounds is None:
        assert plan.needed == pytest.approx(t_test, rel=0.03, abs=3)
    else:
        assert plan.needed > 1.1 * t_test
    found = 0
    for _ in range(2000):
        a, b = draw(int(plan.needed))
        found += (a - b).p_value() < 0.05
    assert found / 2000 == pytest.approx(0.8, abs=0.03)


def test_power_in_words_and_its_inverse() -> None:
    rng = np.random.default_rng(8)
    models = [mean_estimate(rng.binomial(1, 0.5, 805).astype(float), np.arange(805)) for _ in range(5)]
    plan = power(models)
    assert str(plan) == f"to tell 2 points apart you need {plan.needed:,.0f} instructions (you have 805)"
    assert power(models, plan.detectable).needed == pytest.approx(805, abs=2)


def test_an_even_chance_needs_fewer_instructions_and_less_than_that_is_no_plan() -> None:
    models = [
        mean_estimate(np.random.default_rng(k).binomial(1, 0.5, 805).astype(float), np.arange(805)) for k in (1, 2)
    ]
    even, usual = power(models, chance=0.5).needed, power(models).needed
    # with an even chance the difference lies on the limit itself
    assert even / usual == pytest.approx((1.95996 / (1.95996 + 0.84162)) ** 2, rel=0.02)
    with pytest.raises(InputError, match="cannot be planned for"):
        power(models, chance=0.49)


def test_no_number_of_instructions_beats_a_prior() -> None:
    influence = np.random.default_rng(9).standard_normal(100)
    a = Estimate(0.5, influence, np.arange(100), shared=np.array([0.05]))
    b = Estimate(0.4, influence[::-1].copy(), np.arange(100))
    assert math.isinf(power([a, b], 0.02).needed)
    # 30 points: more instructions shrink only the part that is theirs.
    plan = power([a, b], 0.3)
    own = (a - b).standard_error ** 2 - 0.05**2
    reached = math.sqrt(own * 100 / plan.needed + 0.05**2)
    quantiles = stats.t.ppf(0.975, plan.needed - 1) + stats.norm.ppf(0.8)
    assert quantiles * reached == pytest.approx(0.3, rel=0.01)
    assert "no number of instructions" in str(power([a, b], 0.02))
    # what the instructions at hand can tell apart includes the prior's part too
    assert plan.detectable == pytest.approx(
        (stats.t.ppf(0.975, 99) + stats.norm.ppf(0.8)) * (a - b).standard_error, rel=1e-9
    )


def test_bad_input_is_one_line() -> None:
    good = mean_estimate(np.array([0.1, 0.9, 0.4]), np.arange(3))
    single = mean_estimate(np.array([0.5]), np.arange(1))
    nothing = mean_estimate(np.array([]), np.arange(0))
    for models, message in (([good], "1 model"), ([good, single], "rests on 1"), ([nothing, good], "no value")):
        for function in (tiers, power):
            with pytest.raises(InputError, match=message) as caught:
                function(models)
            assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="level"):
        tiers([good, good], level=95)
    with pytest.raises(InputError, match="positive"):
        power([good, good], 0.0)


def test_ranks_leave_room_for_all_who_are_shown_to_be_better_or_worse() -> None:
    rng = np.random.default_rng(3)
    values = [0.50, 0.80, 0.79, 0.20, 0.49]
    models = [Estimate(v, 0.3 * rng.standard_normal(1000), np.arange(1000)) for v in values]
    assert tiers(models).ranks.tolist() == [[3, 4], [1, 2], [1, 2], [5, 5], [3, 4]]


def test_ranks_and_tiers_never_contradict_each_other() -> None:
    """Near-equals of very different errors: no rank is above its tier, and those of one tier may change places."""
    rng = np.random.default_rng(4)
    spread = [0.02, 1.5, 0.1, 0.9, 0.02, 2.0, 0.3, 0.1]
    for values in rng.normal(0.5, 0.06, (30, 8)):
        models = [
            Estimate(v, s * rng.standard_normal(400), np.arange(400), rate=False)
            for v, s in zip(values, spread, strict=True)
        ]
        found = tiers(models, replicates=500)
        best, worst = found.ranks.T
        assert (best >= found.tier).all()
        assert ((found.tier == 1) == (best == 1)).all()
        assert (best[:, None] <= worst)[found.tier[:, None] == found.tier].all()


def test_ranks_follow_a_chain_whose_ends_are_not_told_apart_themselves() -> None:
    """The ends share too few instructions; one between them is worse than the one and better than the other."""
    parts = np.split(np.arange(60), 2)
    between = mean_estimate(0.5 + 0.001 * np.resize([1, -1], 60), np.arange(60))
    best, worst = mean_estimate(np.full(30, 0.9), parts[0]), mean_estimate(np.full(30, 0.1), parts[1])
    found = tiers([best, between, worst])
    assert found.p_values[0, 2] == 1
    assert found.tier.tolist() == [1, 2, 3]
    assert found.ranks.tolist() == [[1, 1], [2, 2], [3, 3]]


def test_ranks_of_equals_and_of_all_pairs_hold_together() -> None:
    """Planted equals: any of them may be first. Ranks of ten models cover all ten true ranks at once."""
    rng = np.random.default_rng(5)
    held = 0
    for _ in range(100):
        theta = np.repeat([0.9, 0.2, -0.6], [4, 3, 3])
        ranks = tiers(_judged(theta, 60, rng), replicates=500).ranks
        best = 1 + (theta > theta[:, None]).sum(axis=1)
        worst = len(theta) - (theta < theta[:, None]).sum(axis=1)
        held += bool((ranks[:, 0] <= best).all() and (ranks[:, 1] >= worst).all())
    assert held >= 90


def test_many_models_are_told_apart_the_same_in_blocks_of_any_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """The step-down maximum goes on from block to block, also past blocks of pairs that no draw comes near."""
    rng = np.random.default_rng(6)
    shared = rng.standard_normal(300)
    models = [
        Estimate(v, 0.5 * shared + rng.standard_normal(300), np.arange(300), rate=False)
        for v in np.concatenate([rng.normal(0, 0.1, 20), rng.normal(4, 0.1, 15)])
    ]
    whole = tiers(models, replicates=300)
    for pairs, replicates in ((7, 64), (50, 300), (1 << 11, 1)):
        monkeypatch.setattr(module, "_PAIRS_AT_ONCE", pairs)
        monkeypatch.setattr(module, "_REPLICATES_AT_ONCE", replicates)
        found = tiers(models, replicates=300)
        np.testing.assert_allclose(found.p_values, whole.p_values, atol=1.01 / 301)
        np.testing.assert_array_equal(found.ranks, whole.ranks)
    # by hand, the pairs all at once
    root = module._covariance_root(models)
    first, second = np.triu_indices(35, 1)
    scale = 1 / np.linalg.norm(root[first] - root[second], axis=1)
    noise = root @ np.random.default_rng(0).standard_normal((300, root.shape[1])).T
    drawn = np.abs(noise[first] - noise[second]) * scale[:, None]
    values = np.array([m.value for m in models])
    size = -ndtri(stdtr(299, -np.abs(values[first] - values[second]) * scale))
    order = np.argsort(-size, kind="stable")
    exceeded = [(drawn[order[k:]].max(axis=0) >= size[order[k]]).sum() for k in range(len(order))]
    adjusted = np.maximum.accumulate((np.array(exceeded) + 1) / 301)
    np.testing.assert_allclose(whole.p_values[first[order], second[order]], adjusted, atol=1.01 / 301)


def test_values_that_adjust_means_are_no_more_apart_than_the_means() -> None:
    rng = np.random.default_rng(8)
    p = (rng.random((3, 30)) < 0.1).astype(float)
    means = [mean_estimate(row, np.arange(30)) for row in p]
    influence = np.where(np.arange(30) % 2, 1e-6, -1e-6)
    adjusted = [Estimate(0.2 + 0.05 * m, influence * m, np.arange(30), plain=mean) for m, mean in enumerate(means)]
    found = tiers(adjusted)
    assert found.p_values[0, 1] >= (adjusted[1] - adjusted[0]).p_value() > 0.05
    assert found.tier.tolist() == [1, 1, 1]
    assert tiers([replace(e, plain=None) for e in adjusted]).tier.tolist() == [3, 2, 1]
    two = tiers(adjusted[:2])
    assert two.p_values[0, 1] == pytest.approx((adjusted[1] - adjusted[0]).p_value())


@pytest.mark.parametrize("shared_freedom", [math.nan, 8.0])
def test_adjusted_rates_have_the_p_of_their_paired_difference(shared_freedom: float) -> None:
    """The error of a difference is another one where the two are equal, with terms of a prior and without."""
    rng = np.random.default_rng(11)
    errors = rng.normal(0, 1, (2, 40)), rng.normal(0, 0.05, (2, 3))
    a, b = (
        Estimate(v, size * v * (1 - v) * e, np.arange(40), shared=v * s, shared_freedom=shared_freedom)
        for v, size, e, s in zip((0.08, 0.55), (6, 2), *errors, strict=True)
    )
    assert (a - b).at_zero > 1.05
    assert tiers([a, b]).p_values[0, 1] == pytest.approx((a - b).p_value(), rel=1e-9)
