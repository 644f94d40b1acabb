"""The maximal lottery: worked examples, brute force, clones, planted circles, PandaLM's people and judges."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import linprog

from simfarm.errors import InputError
from simfarm.ranking import Matches, cyclic_triads, maximal_lottery, pair_rates
from simfarm.statistics.lottery import lottery, regularised_winner

ROCK_PAPER_SCISSORS = np.array([[0.5, 0.7, 0.3, 0.8], [0.3, 0.5, 0.7, 0.8], [0.7, 0.3, 0.5, 0.8], [0.2, 0.2, 0.2, 0.5]])


def _random_rates(n: int, rng: np.random.Generator, levels: int = 0) -> np.ndarray:
    """Antisymmetric about a half; with `levels`, on a grid, so that ties and many optima occur."""
    a = rng.integers(-levels, levels + 1, (n, n)) / (2.5 * levels) if levels else rng.uniform(-0.5, 0.5, (n, n))
    return 0.5 + np.triu(a, 1) - np.triu(a, 1).T


def _planted(rates: np.ndarray, n: int, rng: np.random.Generator) -> Matches:
    """Every pair on every instruction, both orders and a repeat, the verdicts of an instruction correlated."""
    models = tuple("abcdefghij"[: len(rates)])
    first, second = np.triu_indices(len(rates), 1)
    coin = rng.uniform(size=(n, len(first), 1))
    again = rng.uniform(size=(n, len(first), 4))
    lost = np.where(rng.uniform(size=again.shape) < 0.8, coin, again) > rates[first, second][None, :, None]
    shape = lost.shape
    cluster, pair, call = (np.broadcast_to(x, shape).ravel() for x in np.ogrid[: shape[0], : shape[1], : shape[2]])
    swap = call % 2 == 1
    p = lost.ravel().astype(float)
    return Matches(
        models,
        np.where(swap, second[pair], first[pair]),
        np.where(swap, first[pair], second[pair]),
        np.where(swap, 1 - p, p),
        cluster,
    )


def test_rock_paper_scissors_and_a_weak_model() -> None:
    assert maximal_lottery(ROCK_PAPER_SCISSORS) == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=1e-12)


def test_clones_share_one_weight_and_leave_the_others() -> None:
    copies = [0, 0, 0, 1, 2, 3]
    found = maximal_lottery(ROCK_PAPER_SCISSORS[np.ix_(copies, copies)])
    assert found == pytest.approx([1 / 9, 1 / 9, 1 / 9, 1 / 3, 1 / 3, 0], abs=1e-12)


def test_clones_share_in_any_game() -> None:
    rng = np.random.default_rng(0)
    for _ in range(50):
        rates = _random_rates(6, rng)
        copies = [0, 1, 2, 2, 2, 3, 4, 5, 5]
        alone, found = maximal_lottery(rates), maximal_lottery(rates[np.ix_(copies, copies)])
        together = np.bincount(copies, found)
        assert together == pytest.approx(alone, abs=1e-9)
        assert np.ptp(found[[2, 3, 4]]) < 1e-9


@pytest.mark.parametrize("n", [3, 8, 40])
def test_no_model_beats_the_mixture_and_a_plain_programme_agrees(n: int) -> None:
    """Margins drawn from a continuum have one optimum, so any solver must find the same."""
    rng = np.random.default_rng(n)
    for _ in range(20):
        rates = _random_rates(n, rng)
        found = maximal_lottery(rates)
        assert found.sum() == pytest.approx(1)
        assert (found @ (rates - rates.T)).min() > -1e-12
        best = linprog(np.zeros(n), -(rates - rates.T).T, np.full(n, 1e-10), np.ones((1, n)), [1.0])
        assert found == pytest.approx(best.x, abs=1e-6)


def test_among_many_optima_the_least_norm() -> None:
    """Other optima are found by programmes with random aims; few levels of preference make them common."""
    rng = np.random.default_rng(2)
    many = 0
    for _ in range(60):
        rates = _random_rates(7, rng, levels=1)
        margins = rates - rates.T
        found = maximal_lottery(rates)
        assert (found @ margins).min() > -1e-9
        corners = [
            linprog(rng.standard_normal(7), -margins.T, np.zeros(7), np.ones((1, 7)), [1.0]).x for _ in range(12)
        ]
        many += np.ptp(corners, axis=0).max() > 1e-6
        # The least-norm point of a convex set is the one with found·(x − found) >= 0 for every x in it.
        assert all(found @ (x - found) > -1e-9 for x in corners)
    assert many > 10


def test_all_ties_are_even() -> None:
    assert maximal_lottery(np.full((5, 5), 0.5)) == pytest.approx(np.full(5, 0.2))


def test_planted_circle_is_found_with_its_support_and_a_planted_winner_too() -> None:
    rng = np.random.default_rng(3)
    found = lottery(_planted(ROCK_PAPER_SCISSORS, 400, rng), replicates=200)
    assert found.weights == pytest.approx([1 / 3, 1 / 3, 1 / 3, 0], abs=0.08)
    assert found.mean_weights == pytest.approx(found.weights, abs=0.02)
    assert found.support.tolist() == [1, 1, 1, 0]
    assert found.winner is None
    order = 1 / (1 + np.exp(-np.subtract.outer([2.0, 1.0, 0.9, 0.0], [2.0, 1.0, 0.9, 0.0])))
    found = lottery(_planted(order, 400, rng), replicates=200)
    assert found.weights.tolist() == [1, 0, 0, 0]
    assert found.winner == "a"


def test_support_is_unsure_where_the_winner_is() -> None:
    equal = np.full((3, 3), 0.5)
    found = lottery(_planted(equal, 100, np.random.default_rng(4)), replicates=400)
    assert (found.support > 0.05).sum() >= 2
    assert found.mean_weights.max() < 0.95


def test_pair_rate_is_the_mean_over_instructions_whatever_the_side() -> None:
    data = Matches(
        ("a", "b"),
        np.array([0, 1, 0, 0]),
        np.array([1, 0, 1, 1]),
        np.array([1.0, 0.5, 0.0, 0.0]),
        np.array([5, 5, 8, 8]),
    )
    assert pair_rates(data)[1, 0] == pytest.approx((0.75 + 0.0) / 2)
    assert pair_rates(data)[0, 1] == pytest.approx(1 - 0.375)


def test_circles_of_a_transitive_panel_are_what_bradley_terry_expects() -> None:
    """Near-equals on 30 instructions close circles by noise alone: no alarm more often than one should."""
    rng = np.random.default_rng(5)
    theta = np.linspace(0.2, -0.2, 6)
    rates = 1 / (1 + np.exp(-np.subtract.outer(theta, theta)))
    found = [cyclic_triads(_planted(rates, 30, rng), replicates=100) for _ in range(200)]
    assert np.mean([f.share for f in found]) == pytest.approx(np.mean([f.expected for f in found]), abs=0.03)
    assert np.mean([f.share for f in found]) > 0.03
    assert np.mean([f.p_value <= 0.05 for f in found]) <= 0.09


def test_planted_circle_is_beyond_bradley_terry() -> None:
    found = cyclic_triads(_planted(ROCK_PAPER_SCISSORS, 300, np.random.default_rng(6)), replicates=500)
    assert found.n_triads == 4
    assert found.share == 0.25
    # Bradley-Terry sees the three as equals, so noise closes their circle one time in four: 1/16 of four triples.
    assert found.expected == pytest.approx(0.25 * 0.25, abs=0.02)


def test_many_planted_circles_are_significant() -> None:
    """Three of three in rock-paper-scissors-lizard-Spock's ten: five circles, more than noise closes."""
    rates = np.full((5, 5), 0.5)
    for i in range(5):
        for step in (1, 2):
            rates[i, (i + step) % 5], rates[(i + step) % 5, i] = 0.75, 0.25
    found = cyclic_triads(_planted(rates, 200, np.random.default_rng(7)), replicates=500)
    assert found.share == 0.5
    assert found.expected < 0.3


@pytest.mark.parametrize("who", ["people", "gpt-3.5-turbo", "pandalm-7b"])
def test_pandalm_has_a_condorcet_winner(shared_data: Path, who: str) -> None:
    human = shared_data / "human"
    if who == "people":
        rows = pd.read_parquet(human / "pandalm.parquet")
    else:
        rows = pd.read_parquet(human / "pandalm_judges.parquet").query("judge == @who").dropna(subset="preference")
    keys = pd.read_parquet(human / "pandalm_items.parquet").set_index("item_id")["cmp_key"]
    pair = keys.reindex(rows["item_id"]).str.split("_", expand=True)
    models = tuple(sorted({*pair[0], *pair[1]}))
    codes = [pair[side].map(models.index).to_numpy() for side in (0, 1)]
    comparisons = Matches(models, *codes, rows["preference"].to_numpy() - 1, pd.factorize(rows["item_id"])[0])
    found = lottery(comparisons, replicates=100)
    assert found.winner == "llama-7b"
    assert found.weights[models.index("llama-7b")] == 1
    assert found.support[models.index("llama-7b")] > 0.9
    assert cyclic_triads(comparisons, replicates=50).share == 0


def test_a_pair_that_never_met_is_named() -> None:
    star = Matches(("base", "b", "c"), np.zeros(4, int), np.array([1, 1, 2, 2]), np.full(4, 0.4), np.arange(4))
    with pytest.raises(InputError, match="b and c were never compared"):
        lottery(star)
    with pytest.raises(InputError, match="no three models"):
        cyclic_triads(star)
    one = Matches(("a", "b"), np.zeros(3, int), np.ones(3, int), np.full(3, 0.4), np.zeros(3, int))
    with pytest.raises(InputError, match="1 instruction"):
        lottery(one)
    rates = ROCK_PAPER_SCISSORS.copy()
    rates[0, 1] = np.nan
    with pytest.raises(InputError, match="no preference rate"):
        maximal_lottery(rates)


@pytest.mark.parametrize("n", [2, 5, 20])
def test_the_regularised_winner_is_its_own_best_answer(n: int) -> None:
    rng = np.random.default_rng(n)
    for _ in range(5):
        rates = _random_rates(n, rng)
        np.fill_diagonal(rates, np.nan)
        even = np.full(n, 1 / n)
        for tau in (10.0, 0.3, 0.02, 0.002):
            found = regularised_winner(rates, tau)
            full = np.where(np.eye(n, dtype=bool), 0.5, rates)

            def gain(mine: np.ndarray, found: np.ndarray, full: np.ndarray, tau: float) -> float:
                kept = mine > 0
                return float(mine @ full @ found - tau * (mine[kept] @ np.log(n * mine[kept])))

            answer = np.exp((full @ found - (full @ found).max()) / tau)
            assert found == pytest.approx(answer / answer.sum(), abs=1e-8)
            # no other mixture does better against it: the fixed point is an optimum and no saddle
            others = [*np.eye(n), even, *rng.dirichlet(np.ones(n), 20)]
            best = gain(found, found, full, tau)
            assert all(gain(other, found, full, tau) <= best + 1e-9 for other in others)


def test_tau_leads_from_the_lottery_to_the_even_mixture() -> None:
    rates = _random_rates(6, np.random.default_rng(4))
    np.testing.assert_allclose(regularised_winner(rates, 1e-4), maximal_lottery(rates), atol=1e-3)
    np.testing.assert_allclose(regularised_winner(rates, 1e4), np.full(6, 1 / 6), atol=1e-4)
    assert np.abs(regularised_winner(rates, 0.2) - maximal_lottery(rates)).max() > 0.05
    # two models: the odds solve log(w/(1-w)) = margin/(2 tau), whatever the other's weight
    two = regularised_winner(np.array([[0.5, 0.8], [0.2, 0.5]]), 0.1)
    assert np.log(two[0] / two[1]) == pytest.approx((0.8 - 0.2) / 2 / 0.1)
    with pytest.raises(InputError, match="not positive"):
        regularised_winner(rates, 0.0)
    rates[0, 1] = np.nan
    with pytest.raises(InputError, match="no preference rate"):
        regularised_winner(rates, 1.0)
