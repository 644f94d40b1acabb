"""The calibrated crowd: its probabilities, its likelihood, and what a fit finds of planted people."""

from dataclasses import replace

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm

from simfarm.statistics.crowd import (
    CrowdParameters,
    crowd_logit,
    crowd_mean,
    crowd_probability,
    crowd_shares,
    crowd_votes,
    unanimity,
)
from simfarm.statistics.crowd_likelihood import Labels, State, look

PEOPLE = CrowdParameters(245.6, 1.04, 0.75, item_sd=0.84, length_sd=0.54, position_sd=0.18)


def test_unanimity_is_a_cliff() -> None:
    runs = np.array([[1.0, 0.9, 1.0, 0.5, np.nan, np.nan], [1.0, 0.0, np.nan, 0.5, np.nan, 0.2]])
    np.testing.assert_array_equal(unanimity(runs), [1, 0, 1, 0, np.nan, -1])
    np.testing.assert_array_equal(unanimity(runs[:1]), [1, 1, 1, 0, np.nan, np.nan])


@pytest.mark.parametrize("tie", [0.0, 0.7])
def test_the_mean_of_a_crowd_is_that_of_its_people(tie: float) -> None:
    crowd = replace(PEOPLE, tie=tie, bias=0.2)
    draws = np.random.default_rng(1).standard_normal((3, 200_000))
    for unanimous, delta in ((1.0, 400.0), (0.0, -100.0), (-1.0, 0.0)):
        each = crowd_probability(
            crowd, unanimous, delta, person_length=draws[0], person_position=draws[1], item=draws[2]
        )
        assert crowd_mean(crowd, unanimous, delta) == pytest.approx(each.mean(), abs=0.002)


def test_votes_are_drawn_as_often_as_is_said() -> None:
    crowd = replace(PEOPLE, tie=0.6)
    eta = crowd_logit(crowd, 1.0, -150.0, item=0.3)
    shares = crowd_shares(crowd, eta)
    votes = crowd_votes(crowd, eta, (np.arange(10_000) + 0.5) / 10_000)
    np.testing.assert_allclose([np.mean(votes == side) for side in (0, 0.5, 1)], shares, atol=1e-4)
    assert crowd_probability(crowd, 1.0, -150.0, item=0.3) == pytest.approx(votes.mean(), abs=1e-4)
    assert shares.sum() == pytest.approx(1)
    assert crowd_shares(PEOPLE, eta)[1] == pytest.approx(0, abs=1e-15)


def _few(tie: float) -> tuple[Labels, State]:
    """Forty labels of five people on six items, one of them with twenty."""
    rng = np.random.default_rng(3)
    item = np.repeat(np.arange(6), [4, 1, 20, 5, 5, 5])
    side = rng.choice([0, 1, 2], 40) if tie else rng.choice([0, 2], 40)
    side[5:25] = np.where(np.arange(20) < 18, 2, 0)
    own = np.eye(5)[rng.integers(0, 5, 40)] * rng.standard_normal((40, 1))
    labels = Labels(side, item, rng.standard_normal((40, 2)), own, 0.1 * rng.standard_normal(40))
    return labels, State(np.array([0.9, -0.4]), 1.3, tie, 0.3 * rng.standard_normal(5))


@pytest.mark.parametrize(("tie", "item_sd"), [(0.0, 1.3), (0.5, 1.3), (0.5, 9.0)])
def test_the_likelihood_is_the_integral(tie: float, item_sd: float) -> None:
    labels, state = _few(tie)
    state = replace(state, item_sd=item_sd)
    eta = labels.x @ state.beta + labels.own @ state.own + labels.offset
    crowd = CrowdParameters(1.0, 0.0, 0.0, tie=tie)

    def of_item(u: float, rows: np.ndarray) -> float:
        shares = crowd_shares(crowd, eta[rows] + state.item_sd * u)
        return float(np.prod(shares[np.arange(rows.sum()), labels.side[rows]]) * norm.pdf(u))

    whole = [
        quad(of_item, -12, 12, args=(labels.item == k,), epsabs=1e-14, epsrel=1e-10, limit=2000)[0] for k in range(6)
    ]
    assert look(labels, state).loglik == pytest.approx(np.log(whole).sum(), abs=2e-5)


@pytest.mark.parametrize("tie", [0.0, 0.5])
def test_scores_and_information_are_its_derivatives(tie: float) -> None:
    labels, state = _few(tie)

    def at(step: np.ndarray) -> State:
        own = state.own + step[4:]
        return State(state.beta + step[:2], state.item_sd + step[2], state.tie * np.exp(step[3]), own)

    found, h = look(labels, state), 1e-4
    moves = [h * np.eye(9)[k] for k in range(9)]
    loglik = [(look(labels, at(move)).loglik - look(labels, at(-move)).loglik) / (2 * h) for move in moves]
    np.testing.assert_allclose(found.scores.sum(axis=0), loglik, atol=3e-4)
    scores = [look(labels, at(move)).scores.sum(axis=0) - look(labels, at(-move)).scores.sum(axis=0) for move in moves]
    np.testing.assert_allclose(found.information, -np.array(scores) / (2 * h), atol=3e-3)


def test_items_in_blocks_are_items_together(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, state = _few(0.5)
    whole = look(labels, state)
    monkeypatch.setattr("simfarm.statistics.crowd_likelihood._BLOCK", 700)
    parts = look(labels, state)
    assert parts.loglik == pytest.approx(whole.loglik, abs=1e-9)
    np.testing.assert_allclose(parts.scores, whole.scores, atol=1e-9)
    np.testing.assert_allclose(parts.information, whole.information, atol=1e-9)
