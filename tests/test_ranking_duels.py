"""Places head to head: circles, winners that ratings put second, and errors among equals."""

import numpy as np
import pytest

from simfarm.errors import InputError
from simfarm.ranking import Matches, bradley_terry
from simfarm.statistics.bounded import mean_p_values
from simfarm.statistics.duels import duels
from simfarm.statistics.lottery import lottery


def planted(rates: np.ndarray, n_clusters: int, rng: np.random.Generator, *, exact: bool = False) -> Matches:
    """Every pair once an instruction; `rates[i, j]` is how often i beats j, `exact`ly so or by chance."""
    n = len(rates)
    first, second = (np.tile(side, n_clusters) for side in np.triu_indices(n, 1))
    cluster = np.repeat(np.arange(n_clusters), n * (n - 1) // 2)
    draw = (cluster + 0.5) / n_clusters if exact else rng.random(len(first))
    return Matches(tuple("abcdefgh"[:n]), first, second, (draw >= rates[first, second]).astype(float), cluster)


WINNER = np.array([[0.5, 0.7, 0.7, 0.7], [0.3, 0.5, 0.95, 0.95], [0.3, 0.05, 0.5, 0.6], [0.3, 0.05, 0.4, 0.5]])
"""a beats everyone by a little; b loses to a and crushes the others, so that its rating is the higher one."""


def test_a_winner_that_ratings_put_second_is_of_tier_1() -> None:
    c = planted(WINNER, 200, np.random.default_rng(0), exact=True)
    strengths = bradley_terry(c).strengths
    assert strengths[1] > strengths[0]
    found = duels(c)
    assert lottery(c).winner == "a"
    assert found.tier.tolist() == [1, 2, 3, 4] or found.tier.tolist() == [1, 2, 3, 3]
    assert found.ranks[0].tolist() == [1, 1]
    assert found.ranks[1].tolist() == [2, 2]
    assert found.circles == ()


def test_models_in_a_circle_share_their_places_however_sure_its_pairs_are() -> None:
    rates = np.full((5, 5), 0.5)
    for better, worse in ((0, 1), (1, 2), (2, 0)):
        rates[better, worse], rates[worse, better] = 0.9, 0.1
    rates[:3, 3:], rates[3:, :3] = 0.9, 0.1
    found = duels(planted(rates, 60, np.random.default_rng(1), exact=True))
    assert (found.p_values[[0, 1, 2], [1, 2, 0]] < 0.001).all()
    assert found.tier.tolist() == [1, 1, 1, 2, 2]
    assert found.ranks.tolist() == [[1, 3], [1, 3], [1, 3], [4, 5], [4, 5]]
    assert found.circles == ((0, 1, 2),)


def test_no_model_with_weight_is_below_another_and_tiers_keep_to_ranks() -> None:
    rng = np.random.default_rng(2)
    for _ in range(25):
        rates = np.full((6, 6), 0.5)
        upper = np.triu_indices(6, 1)
        rates[upper] = rng.uniform(0.1, 0.9, 15)
        rates.T[upper] = 1 - rates[upper]
        c = planted(rates, int(rng.integers(2, 40)), rng)
        found = duels(c)
        assert (found.tier[lottery(c, replicates=2).weights > 0] == 1).all()
        assert ((found.ranks[:, 0] == 1) == (found.tier == 1)).all()
        assert (found.tier <= found.ranks[:, 0]).all()
        assert (found.ranks[:, 0] <= found.ranks[:, 1]).all()


def test_the_p_of_pairs_are_their_own_and_adjusted_by_step_down() -> None:
    c = planted(WINNER, 12, np.random.default_rng(3))
    found, own = duels(c), {}
    for a in range(4):
        for b in range(a + 1, 4):
            met = (c.model_1 == a) & (c.model_2 == b)
            own[a, b] = float(mean_p_values(c.p[met][None], 0.5)[0])
    largest = 0.0
    for k, (pair, p) in enumerate(sorted(own.items(), key=lambda item: item[1])):
        largest = max(largest, min(1.0, p * (6 - k)))
        assert found.p_values[pair] == found.p_values[pair[::-1]] == pytest.approx(largest)


def test_equals_are_seldom_told_apart() -> None:
    rng = np.random.default_rng(4)
    wrong = [(duels(planted(np.full((6, 6), 0.5), n, rng)).tier > 1).any() for n in (5, 30) for _ in range(60)]
    assert np.mean(wrong) < 0.05


def test_pairs_that_hardly_met_tell_nobody_apart() -> None:
    c = Matches(("a", "b", "c"), np.array([0] * 30 + [0]), np.array([1] * 30 + [2]), np.zeros(31), np.arange(31))
    found = duels(c)
    assert found.tier.tolist() == [1, 2, 1]
    assert found.p_values[0, 2] == found.p_values[1, 2] == 1
    with pytest.raises(InputError, match="level"):
        duels(c, level=1)
