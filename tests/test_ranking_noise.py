"""The flip correction: algebra, planted flips, PandaLM's people behind a noisy annotator."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simfarm.errors import InputError
from simfarm.ranking import flip_corrected
from simfarm.statistics.estimate import mean_estimate


def test_undoes_the_flip_and_pays_for_it() -> None:
    noisy = mean_estimate(np.random.default_rng(0).uniform(size=60), np.arange(60))
    found = flip_corrected(noisy, 0.25)
    assert found.value * 0.5 + 0.25 == pytest.approx(noisy.value)
    assert found.standard_error == pytest.approx(2 * noisy.standard_error)
    assert flip_corrected(noisy, 0.0).value == noisy.value


def test_limits_are_the_raw_rates_taken_through_the_line() -> None:
    one = mean_estimate(np.repeat([0.0, 1.0], [9, 1]), np.arange(10))
    other = mean_estimate(np.repeat([0.0, 1.0], [4, 6]), np.arange(10))
    raw, found = one.interval(), flip_corrected(one, 0.2)
    assert found.interval() == pytest.approx([(limit - 0.2) / 0.6 for limit in raw], abs=1e-9)
    assert found.value < 0
    gap, undone = one - other, found - flip_corrected(other, 0.2)
    assert undone.interval() == pytest.approx([limit / 0.6 for limit in gap.interval()], abs=1e-9)
    assert undone.p_value() == pytest.approx(gap.p_value(), abs=1e-9)


@pytest.mark.parametrize("p", [0.03, 0.3, 0.75])
def test_interval_covers_the_rate_before_the_flips(p: float) -> None:
    rng = np.random.default_rng(1)
    hits, naive = 0, 0
    for _ in range(1500):
        said = rng.binomial(1, rng.beta(2 * p, 2 * (1 - p), 120)).astype(float)
        heard = np.where(rng.uniform(size=120) < 0.2, 1 - said, said)
        rate = mean_estimate(heard, np.arange(120))
        low, high = flip_corrected(rate, 0.2).interval()
        hits += low <= p <= high
        naive += rate.interval()[0] <= p <= rate.interval()[1]
    assert 0.92 <= hits / 1500 <= 0.98
    assert naive / 1500 < 0.9


def test_an_estimated_flip_rate_adds_its_error_and_cancels_between_models() -> None:
    rng = np.random.default_rng(2)
    draws = []
    for _ in range(4000):
        e = 0.2 + 0.03 * rng.standard_normal()
        rate = mean_estimate(rng.binomial(1, 0.8 * 0.6 + 0.2, 400).astype(float), np.arange(400))
        draws.append(flip_corrected(rate, e).value)
    one = flip_corrected(mean_estimate(np.repeat([0.0, 1.0], [128, 272]), np.arange(400)), 0.2, 0.03)
    assert one.standard_error == pytest.approx(np.std(draws), rel=0.05)
    twin = flip_corrected(mean_estimate(np.repeat([0.0, 1.0], [128, 272]), np.arange(400)), 0.2, 0.03)
    assert (one - twin).standard_error == 0


def test_pandalm_people_behind_a_quarter_of_flips(shared_data: Path) -> None:
    people = pd.read_parquet(shared_data / "human" / "pandalm.parquet")
    clusters = pd.factorize(people["item_id"])[0]
    p = people["preference"].to_numpy() - 1
    truth = mean_estimate(p, clusters)
    rng = np.random.default_rng(3)
    corrected, raw, held = [], [], 0
    for _ in range(300):
        heard = mean_estimate(np.where(rng.uniform(size=len(p)) < 0.25, 1 - p, p), clusters)
        found = flip_corrected(heard, 0.25)
        corrected.append(found.value)
        raw.append(heard.value)
        held += found.interval()[0] <= truth.value <= found.interval()[1]
    assert np.mean(raw) == pytest.approx(0.25 + 0.5 * truth.value, abs=0.002)
    assert np.mean(corrected) == pytest.approx(truth.value, abs=0.003)
    assert held / 300 > 0.95  # the same people again: only the flips vary


@pytest.mark.parametrize(("flip", "error"), [(0.5, 0.0), (0.7, 0.0), (-0.1, 0.0), (float("nan"), 0.0), (0.2, -1.0)])
def test_impossible_flip_rates_are_refused(flip: float, error: float) -> None:
    rate = mean_estimate(np.array([0.0, 1.0, 1.0]), np.arange(3))
    with pytest.raises(InputError, match="flip rate"):
        flip_corrected(rate, flip, error)


def test_a_rate_no_noisy_annotator_can_have_is_refused() -> None:
    p = np.repeat([0.0, 1.0], [20, 380])
    with pytest.raises(InputError, match=r"0\.950 cannot come from labels of which 0\.25 are flipped"):
        flip_corrected(mean_estimate(p, np.arange(400)), 0.25)
    assert flip_corrected(mean_estimate(p, np.arange(400)), 0.05).value == pytest.approx(1.0)


@pytest.mark.parametrize(("wins", "n", "flip"), [(5, 5, 0.1), (0, 20, 0.05), (0, 10, 0.1)])
def test_verdicts_that_all_agree_may_come_from_flipped_ones(wins: int, n: int, flip: float) -> None:
    corrected = flip_corrected(mean_estimate((np.arange(n) < wins).astype(float), np.arange(n)), flip)
    low, high = corrected.interval()
    assert low <= round(corrected.value) <= high
