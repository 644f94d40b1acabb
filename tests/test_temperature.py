"""A fitted temperature: scikit-learn's logistic regression as oracle, planted truth, and what has none."""

import numpy as np
import pytest
from scipy.special import expit, logit

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array
from simfarm.statistics.temperature import temperature


def planted(rng: np.random.Generator, n: int, of: float, spread: float = 3.0) -> tuple[Array, Array]:
    z = spread * rng.standard_normal(n)
    return expit(z), (rng.random(n) < expit(z / of)).astype(float)


def test_it_is_a_logistic_regression_without_a_constant() -> None:
    linear = pytest.importorskip("sklearn.linear_model")
    p, y = planted(np.random.default_rng(0), 4000, 2.0, 2.0)
    fitted = linear.LogisticRegression(C=np.inf, fit_intercept=False, tol=1e-10).fit(logit(p)[:, None], y)
    found = temperature(p, y, np.arange(4000))
    # the half label that contradicts itself is one in 8,000
    assert found.value == pytest.approx(1 / fitted.coef_[0, 0], rel=2e-3)
    assert found.low < 2 < found.high


@pytest.mark.parametrize("of", [0.7, 3.0])
def test_intervals_hold_the_truth(of: float) -> None:
    rng = np.random.default_rng(1)
    held = 0
    for _ in range(60):
        found = temperature(*planted(rng, 60, of), np.arange(60))
        held += found.low <= of <= found.high
    assert held >= 52, held


def test_rows_of_a_cluster_are_not_independent() -> None:
    p, y = planted(np.random.default_rng(2), 100, 2.0)
    once = temperature(p, y, np.arange(100))
    again = temperature(np.tile(p, 4), np.tile(y, 4), np.tile(np.arange(100), 4))
    assert (again.value, again.low, again.high) == pytest.approx((once.value, once.low, once.high), rel=1e-6)


def test_always_right_is_finite_and_a_coin_is_infinite() -> None:
    rng = np.random.default_rng(3)
    p = expit(2 * rng.standard_normal(60))
    right = temperature(p, (p > 0.5).astype(float), np.arange(60))
    assert 0 < right.low <= right.value < right.high < 1
    coin = temperature(p, rng.integers(0, 2, 60).astype(float), np.arange(60))
    assert coin.high == np.inf


def test_hard_verdicts_and_few_labels_are_refused() -> None:
    with pytest.raises(InputError, match="needs soft ones"):
        temperature(np.tile([0.0, 1.0], 20), np.zeros(40), np.arange(40))
    with pytest.raises(InputError, match="label more"):
        temperature(np.full(10, 0.7), np.ones(10), np.arange(10))
