"""Self-preference: planted habits of several kinds, and least squares by hand."""

import numpy as np
import pytest

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes
from simfarm.statistics.own import self_preference


def planted(
    rng: np.random.Generator, n: int, own: float, long: float = 0.0, models: int = 5
) -> tuple[Array, Array, Codes, Codes, Codes]:
    """A judge that prefers model 0 by `own` more than people, and models 0 and 1 by `long` more, in random pairs."""
    first = rng.integers(0, models, n)
    second = (first + rng.integers(1, models, n)) % models
    quality = np.linspace(0.2, -0.2, models)
    habit = np.zeros(models)
    habit[0] += own
    habit[:2] += long
    fair = 0.5 + (quality[second] - quality[first]) / 2
    people = rng.binomial(3, fair) / 3
    judged = (rng.random(n) < fair + habit[second] - habit[first]).astype(float)
    return judged, people, first, second, np.arange(n)


def test_quality_is_not_self_preference_and_a_habit_is() -> None:
    rng = np.random.default_rng(0)
    none, some = (self_preference(*planted(rng, 6000, own), own=0) for own in (0.0, 0.1))
    assert none.value == pytest.approx(0, abs=0.03)
    assert none.interval()[0] < 0 < none.interval()[1]
    assert some.value == pytest.approx(0.1, abs=0.03)
    assert some.interval()[0] > 0


def test_a_habit_that_another_model_profits_from_too_counts_less() -> None:
    """.2 for models 0 and 1 alike: .2 beyond three of the others and 0 beyond one, .15 on average."""
    found = self_preference(*planted(np.random.default_rng(1), 8000, 0.0, long=0.2), own=0)
    assert found.value == pytest.approx(0.15, abs=0.03)


def test_two_generators_are_the_mean_departure_for_ones_own() -> None:
    judged, people = np.array([1, 0.5, 1, np.nan, 0]), np.array([0.5, 0.5, 0, 1, 0.25])
    first, second = np.array([3, 7, 3, 3, 7]), np.array([7, 3, 7, 7, 3])
    found = self_preference(judged, people, first, second, np.arange(5), own=7)
    wins = np.array([0.5, 0, 1, 0.25])  # for 7, by item
    assert found.value == pytest.approx(wins.mean())
    assert found.standard_error == pytest.approx(wins.std(ddof=1) / 2, rel=1e-6)
    assert self_preference(judged, people, second, first, np.arange(5), own=7).value == pytest.approx(-wins.mean())


def test_it_is_least_squares_and_its_error_the_jackknifes() -> None:
    judged, people, first, second, _ = planted(np.random.default_rng(2), 120, 0.1)
    cluster = np.repeat(np.arange(40), 3)
    found = self_preference(judged, people, first, second, cluster, own=0)
    x = np.eye(5)[second] - np.eye(5)[first]
    effects = np.linalg.lstsq(x, judged - people, rcond=None)[0]
    assert found.value == pytest.approx(effects[0] - effects[1:].mean(), abs=1e-9)
    without = []
    for k in range(40):
        kept = cluster != k
        effects = np.linalg.lstsq(x[kept], (judged - people)[kept], rcond=None)[0]
        without.append(effects[0] - effects[1:].mean())
    jackknife = np.sqrt(39 / 40 * ((np.array(without) - np.mean(without)) ** 2).sum())
    assert found.standard_error == pytest.approx(jackknife, rel=0.02)


def test_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(3)
    held = 0
    for _ in range(150):
        low, high = self_preference(*planted(rng, 50, 0.1), own=0).interval()
        held += low <= 0.1 <= high
    assert held / 150 >= 0.89, held


def test_what_cannot_be_told_is_none() -> None:
    judged, people, first, second, cluster = planted(np.random.default_rng(4), 60, 0.1)
    assert np.isnan(self_preference(judged, people, first, second, cluster, own=9).value)
    apart = np.where(first < 2, 1 - first, 2 + (first - 2 + 1) % 3)  # 0 meets 1 alone
    assert np.isnan(self_preference(judged, people, first, apart, cluster, own=0).value)
    with pytest.raises(InputError, match="one each for an item"):
        self_preference(judged[1:], people, first, second, cluster, own=0)
