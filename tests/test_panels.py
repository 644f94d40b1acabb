"""The effective number of judges: by hand, as numpy's correlations, planted truth."""

import numpy as np
import pytest

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array
from simfarm.statistics.panels import effective_judges


def panel(rng: np.random.Generator, judges: int, n: int, shared: float) -> Array:
    """Hard verdicts of judges whose leanings have the correlation `shared`."""
    common = np.sqrt(shared) * rng.standard_normal(n)
    return (common + np.sqrt(1 - shared) * rng.standard_normal((judges, n)) > 0.3).astype(float)


def test_copies_are_one_judge_and_strangers_are_all() -> None:
    rng = np.random.default_rng(0)
    one = panel(rng, 1, 400, 0.0)
    assert effective_judges(np.repeat(one, 5, axis=0), np.arange(400)).value == pytest.approx(1)
    strangers = effective_judges(panel(rng, 5, 4000, 0.0), np.arange(4000))
    assert strangers.interval()[1] == pytest.approx(5)
    assert strangers.value > 4.7


def test_the_mean_correlation_is_numpys_also_with_gaps() -> None:
    rng = np.random.default_rng(1)
    p = panel(rng, 4, 200, 0.5)
    found = effective_judges(p, np.arange(200))
    pairs = np.triu_indices(4, 1)
    assert found.correlation.value == pytest.approx(np.corrcoef(p)[pairs].mean(), abs=1e-12)
    assert found.value == pytest.approx(4 / (1 + 3 * found.correlation.value))
    p[rng.random(p.shape) < 0.2] = np.nan
    by_pair = []
    for a, b in zip(*pairs, strict=True):
        both = ~np.isnan(p[a] + p[b])
        by_pair.append(np.corrcoef(p[a, both], p[b, both])[0, 1])
    assert effective_judges(p, np.arange(200)).correlation.value == pytest.approx(np.mean(by_pair), abs=1e-12)


def test_the_influence_is_the_jackknifes() -> None:
    p = panel(np.random.default_rng(4), 4, 150, 0.5)
    found = effective_judges(p, np.arange(150)).correlation
    left_out = [effective_judges(np.delete(p, k, axis=1), np.arange(149)).correlation.value for k in range(150)]
    jackknife = 149 * (found.value - np.array(left_out))
    assert np.corrcoef(jackknife, found.influence)[0, 1] > 0.999
    assert jackknife.std() == pytest.approx(found.influence.std(), rel=0.03)


def test_judges_that_are_right_are_alike_in_that_alone() -> None:
    rng = np.random.default_rng(2)
    truth = rng.integers(0, 2, 3000).astype(float)
    p = np.where(rng.random((4, 3000)) < 0.85, truth, 1 - truth)  # errors are their own
    assert effective_judges(p, np.arange(3000)).value < 2
    assert effective_judges(p, np.arange(3000), truth).value > 3.8


def test_intervals_hold_the_truth() -> None:
    rng = np.random.default_rng(3)
    truth = effective_judges(panel(rng, 5, 100_000, 0.5), np.arange(100_000)).value
    held = 0
    for _ in range(150):
        low, high = effective_judges(panel(rng, 5, 80, 0.5), np.arange(80)).interval()
        held += low <= truth <= high
    assert held / 150 >= 0.89, held


def test_one_judge_is_refused_and_constants_are_none() -> None:
    with pytest.raises(InputError, match="two or more"):
        effective_judges(np.zeros((1, 10)), np.arange(10))
    assert np.isnan(effective_judges(np.zeros((3, 10)), np.arange(10)).value)
