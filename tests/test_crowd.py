"""The calibrated crowd: its probabilities, its likelihood, and what a fit finds of planted people."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from human import labels as read_labels
from scipy.integrate import quad
from scipy.stats import norm

from simfarm.errors import InputError
from simfarm.statistics.agreement import leave_one_out, pairwise_agreement
from simfarm.statistics.crowd import (
    CrowdParameters,
    crowd_logit,
    crowd_mean,
    crowd_probability,
    crowd_shares,
    crowd_votes,
    unanimity,
)
from simfarm.statistics.crowd_fit import fit_crowd
from simfarm.statistics.crowd_likelihood import Labels, State, look
from simfarm.statistics.crowd_measures import crowd_errors, crowd_measures
from simfarm.statistics.habits import preference_for
from simfarm.statistics.splits import label_entropy

PEOPLE = CrowdParameters(245.6, 1.04, 0.75, item_sd=0.84, length_sd=0.54, position_sd=0.18)


def test_unanimity_is_a_cliff() -> None:
    runs = np.array([[1.0, 0.9, 1.0, 0.5, np.nan, np.nan], [1.0, 0.0, np.nan, 0.5, np.nan, 0.2]])
    np.testing.assert_array_equal(unanimity(runs), [1, 0, 1, 0, np.nan, -1])
    np.testing.assert_array_equal(unanimity(np.array([[1.0, 0.0], [1.0, 0.5], [0.9, 0.0]])), [1, 0])
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


def _people(
    rng: np.random.Generator, crowd: CrowdParameters, n: int, labels: int, persons: int
) -> tuple[np.ndarray, ...]:
    """(unanimity and length difference of n items, item, person and vote of their labels), drawn from a crowd."""
    unanimous, delta = rng.choice([-1.0, 0.0, 1.0], n), 200 * rng.standard_normal(n)
    item = np.repeat(np.arange(n), labels)
    person = np.argsort(rng.random((n, persons)), axis=1)[:, :labels].ravel()
    own, u = rng.standard_normal((2, persons)), rng.standard_normal(n)
    draws = {"person_length": own[0][person], "person_position": own[1][person], "item": u[item]}
    eta = crowd_logit(crowd, unanimous[item], delta[item], **draws)
    return unanimous, delta, item, person, crowd_votes(crowd, eta, rng.random(len(item)))


def test_a_fit_finds_the_people_that_were_planted() -> None:
    crowd = replace(PEOPLE, bias=0.2, tie=0.3)
    drawn = _people(np.random.default_rng(0), crowd, 800, 5, 20)
    fit = fit_crowd(*drawn, cluster=np.arange(800), fixed={"scale": crowd.scale})
    assert fit.free == ("judge", "length", "bias", "item_sd", "tie", "length_sd", "position_sd")
    for name in fit.free:
        low, high = fit.interval(name, 0.999)
        assert low <= getattr(crowd, name) <= high, name
        assert 0 < fit.standard_errors[name] < 0.3, name
    assert (fit.n_labels, fit.n_items, fit.n_several, fit.n_persons, fit.n_clusters) == (4000, 800, 800, 20, 800)
    # of β_L the persons are what is unsure: a mean of twenty of their tastes, and the labels besides
    assert fit.standard_errors["length"] > 1.2 * fit.parameters.length_sd / np.sqrt(20)
    assert fit.freedom["length"] < 100 < fit.freedom["judge"]


def test_intervals_hold_what_was_planted() -> None:
    rng, held, zs = np.random.default_rng(2), [], []
    for _ in range(30):
        drawn = _people(rng, PEOPLE, 100, 4, 8)
        fit = fit_crowd(*drawn, cluster=np.arange(100), fixed={"bias": 0.0, "scale": PEOPLE.scale})
        limits = [(fit.interval(name), getattr(PEOPLE, name)) for name in fit.free]
        held += [low <= truth <= high for (low, high), truth in limits]
        zs.append((fit.parameters.judge - PEOPLE.judge) / fit.standard_errors["judge"])
    assert 0.92 <= np.mean(held) <= 0.995
    assert 0.7 < np.std(zs) < 1.3


def test_people_who_nearly_always_agree_have_a_fit() -> None:
    crowd = CrowdParameters(200.0, 5.0, 3.0, item_sd=6.0, tie=1.0)
    drawn = _people(np.random.default_rng(1), crowd, 400, 3, 3)
    fit = fit_crowd(*drawn, cluster=np.arange(400), fixed={"bias": 0.0, "scale": 200.0})
    for name in ("judge", "length", "item_sd", "tie"):
        assert abs(getattr(fit.parameters, name) - getattr(crowd, name)) < 3.5 * fit.standard_errors[name], name


def test_what_is_given_is_not_fitted_and_what_is_not_there_is_zero() -> None:
    drawn = _people(np.random.default_rng(4), replace(PEOPLE, length_sd=0.0, position_sd=0.0), 300, 2, 2)
    fit = fit_crowd(*drawn, cluster=np.arange(300), fixed={"bias": 0.1, "judge": 1.0})
    assert fit.free == ("length", "item_sd")
    assert (fit.parameters.judge, fit.parameters.bias, fit.parameters.tie, fit.parameters.length_sd) == (1, 0.1, 0, 0)
    assert np.isnan(fit.interval("judge")).all()
    assert fit.parameters.scale == pytest.approx(np.std(drawn[1], ddof=1))


def test_labels_that_tell_nothing_are_refused() -> None:
    unanimous, delta, item, person, vote = _people(np.random.default_rng(5), PEOPLE, 30, 2, 8)
    alone = np.arange(0, 60, 2)
    with pytest.raises(InputError, match="at least two labels on the same items: 0 items have them"):
        fit_crowd(unanimous, delta, item[alone], person[alone], vote[alone], cluster=np.arange(30))
    with pytest.raises(InputError, match="here are 0"):
        fit_crowd(np.full(30, np.nan), delta, item, person, vote, cluster=np.arange(30))
    with pytest.raises(InputError, match="tie is fixed at 0"):
        fit_crowd(unanimous, delta, item, person, vote / 2, cluster=np.arange(30), fixed={"bias": 0.0, "tie": 0.0})


def test_expected_measures_are_those_of_draws() -> None:
    rng = np.random.default_rng(6)
    crowd, n, m = replace(PEOPLE, tie=0.2), 400, 4
    lean = rng.choice([-1.0, -0.5, 0.25, 1.0], n)
    delta = 200 * rng.standard_normal(n)
    wanted = crowd_measures(crowd, lean, delta, m)
    found: dict[str, list[float]] = {}
    item, cluster = np.repeat(np.arange(n), m), np.arange(n)
    which = {
        "longer": np.sign(delta) * (np.abs(delta) > 30),
        "output_1": -np.ones(n),
        "follows_sure": np.where(np.abs(lean) == 1, lean, 0),
        "follows_unsure": np.where(np.abs(lean) == 1, 0, np.sign(lean)),
    }
    for _ in range(60):
        # every label by another person
        eta = crowd_logit(
            crowd,
            np.where(np.abs(lean) == 1, lean, 0.0)[item],
            delta[item],
            person_length=rng.standard_normal(n * m),
            person_position=rng.standard_normal(n * m),
            item=rng.standard_normal(n)[item],
        )
        vote = crowd_votes(crowd, eta, rng.random(n * m))
        found.setdefault("pairwise", []).append(pairwise_agreement(item, vote, cluster).value)
        found.setdefault("leave_one_out", []).append(leave_one_out(item, vote, cluster).value)
        found.setdefault("entropy", []).append(label_entropy(item, vote, cluster).value)
        for name, side in which.items():
            share = preference_for(item, vote, side.astype(np.int64), cluster, ties=False)
            found.setdefault(name, []).append(share.value)
    for name, values in found.items():
        assert wanted[name] == pytest.approx(np.mean(values), abs=4 * np.std(values) / np.sqrt(60)), name
    rates = rng.standard_normal(4000)
    taste = [crowd_measures(replace(crowd, length_sd=0.0, length=0.75 + 0.54 * g), lean, delta, 1) for g in rates[:40]]
    spread = np.std([one["longer"] for one in taste]) / np.std(rates[:40])
    assert wanted["longer_spread"] == pytest.approx(spread, rel=0.05)


def test_the_error_of_a_measure_is_what_other_labels_move_it_by() -> None:
    rng, values, errors = np.random.default_rng(7), [], []
    lean, delta = rng.choice([-1.0, 0.0, 1.0], 60), 200 * rng.standard_normal(60)
    for _ in range(30):
        drawn = _people(rng, PEOPLE, 100, 4, 8)
        fit = fit_crowd(*drawn, cluster=np.arange(100), fixed={"bias": 0.0, "scale": PEOPLE.scale})
        values.append(crowd_measures(fit.parameters, lean, delta, 2))
        errors.append(crowd_errors(fit, lean, delta, 2))
    for name in ("pairwise", "longer", "follows_sure"):
        spread = np.std([one[name] for one in values])
        assert np.mean([one[name] for one in errors]) == pytest.approx(spread, rel=0.35), name


def test_recorded_people(shared_data: Path) -> None:
    """AlpacaFarm's cross-annotations and eight recorded runs of a judge."""
    people = read_labels(shared_data, "alpacafarm_cross")
    runs = np.array([people.judged(judge, seed=seed) for judge in ("gpt4_b1", "gpt4_b5") for seed in range(4)])
    delta = people.lengths[:, 1] - people.lengths[:, 0]
    labels = (unanimity(runs), delta, people.item, people.rater, people.vote)
    alike = {"bias": 0.0, "length_sd": 0.0, "position_sd": 0.0}
    fit = fit_crowd(*labels, cluster=people.cluster, fixed=alike)
    found = fit.parameters
    assert found.scale == pytest.approx(245.6, abs=0.05)
    assert (found.judge, found.length, found.item_sd) == pytest.approx((1.041, 0.749, 0.834), abs=0.001)
    assert fit.loglik == pytest.approx(-1600.498, abs=0.002)
    own = fit_crowd(*labels, cluster=people.cluster)
    assert own.loglik > fit.loglik + 10
    low, high = own.interval("length_sd")
    assert 0.3 < low < 0.54 < high


def test_what_labels_cannot_tell_is_refused_in_one_line() -> None:
    random = np.random.default_rng(0)
    item, person = np.repeat(np.arange(40), 3), np.tile(np.arange(3), 40)
    delta, vote = random.normal(0, 200, 40), random.integers(0, 2, 120).astype(float)
    agreed, ids = np.sign(random.normal(size=40)), np.arange(40)
    never, one = np.zeros(40), np.ones(40)
    with pytest.raises(InputError, match="judge cannot be fitted: the judge's runs agree on none"):
        fit_crowd(never, delta, item, person, vote, cluster=ids)
    with pytest.raises(InputError, match="length cannot be fitted: the outputs are of one length"):
        fit_crowd(agreed, never, item, person, vote, cluster=ids)
    with pytest.raises(InputError, match="bias cannot be fitted: output_2 is always the judge's"):
        fit_crowd(one, delta, item, person, vote, cluster=ids, fixed={})
    assert fit_crowd(never, delta, item, person, vote, cluster=ids, fixed={"judge": 1.0, "bias": 0.0}).n_items == 40
    for labels in (np.ones(120), np.repeat(agreed > 0, 3).astype(float)):
        with pytest.raises(InputError, match="do not settle on these labels"):
            fit_crowd(agreed, delta, item, person, labels, cluster=ids)


def test_people_who_see_nothing_of_their_own_are_known_no_better_for_it() -> None:
    random = np.random.default_rng(4)
    delta, agreed, ids = random.normal(0, 245, 120), random.integers(-1, 2, 120).astype(float), np.arange(120)
    item, person = np.repeat(ids, 2), np.tile(np.arange(2), 120)
    vote = np.where(random.random(120) < crowd_probability(PEOPLE, agreed, delta), [[1.0], [0.0]], [[0.0], [1.0]]).T
    fit = fit_crowd(agreed, delta, item, person, vote.ravel(), cluster=ids)
    assert fit.parameters.item_sd == pytest.approx(0, abs=1e-3)
    assert fit.standard_errors["item_sd"] > 0.1
    assert fit.interval("item_sd")[1] > 0.2
