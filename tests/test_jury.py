"""Panels' rules and weights: by hand, planted truth, a twin by another library, and the recorded judges of LLMBar."""

from pathlib import Path

import numpy as np
import pytest
from human import Labels, labels
from scipy.optimize import lsq_linear
from sklearn.linear_model import Ridge

from simfarm.errors import InputError
from simfarm.statistics.disagreement import disagreement
from simfarm.statistics.estimate import Array
from simfarm.statistics.jury import cross_weighted, jury, jury_weights

NAN = np.nan
FIVE = [f"{judge}/Vanilla" for judge in ("ChatGPT", "GPT-4", "LLaMA2", "PaLM2", "Falcon")]


def planted(rng: np.random.Generator, rates: list[float], n: int) -> tuple[Array, Array]:
    """(hard verdicts of members that are right so often, each by itself; what is right)."""
    truth = rng.integers(0, 2, n).astype(float)
    right = rng.random((len(rates), n)) < np.array(rates)[:, None]
    return np.where(right, truth, 1 - truth), truth


def test_rules_by_hand() -> None:
    p = np.array([[1.0, 0.9, 0.5, NAN, NAN], [1.0, 0.4, 1.0, 0.0, NAN], [0.0, 0.4, NAN, 1.0, 1.0]])
    assert jury(p, "majority").p == pytest.approx([1, 0, 1, 0.5, NAN], nan_ok=True)
    assert jury(p, "mean").p == pytest.approx([2 / 3, 1.7 / 3, 0.75, 0.5, NAN], nan_ok=True)
    weighted = jury(p, "weighted", np.array([2.0, 1.0, 1.0]))
    assert weighted.p == pytest.approx([0.75, 0.65, 2 / 3, 0.5, NAN], nan_ok=True)
    assert weighted.voted.tolist() == [3, 3, 2, 2, 1]
    assert weighted.strength[:2] == pytest.approx([0.5, 0.3])
    assert jury(p, "majority").strength[:3] == pytest.approx([1 / 3, 1 / 3, 0.5])
    assert weighted.entropy[:3] == pytest.approx([0.9183, 0.9183, 1.0], abs=1e-4)
    turned = jury(p, "weighted", np.array([2.0, -1.0, 0.0]))
    assert turned.p[0] == pytest.approx(0.5 + 0.5 * (2 - 1) / 3)


def test_weights_of_nothing_are_refused() -> None:
    p = np.ones((2, 3))
    with pytest.raises(InputError, match="all 0"):
        jury(p, "weighted", np.zeros(2))
    with pytest.raises(InputError, match="has 0 weights"):
        jury(p, "weighted")
    with pytest.raises(InputError, match="--signed"):
        cross_weighted(np.zeros((2, 40)), np.ones(40), np.arange(40))
    with pytest.raises(InputError, match="two instructions"):
        cross_weighted(np.ones((2, 3)), np.ones(3), np.zeros(3, dtype=np.int64))


def test_weights_are_scikit_learns_ridge_and_scipys_bounded_least_squares() -> None:
    p, truth = planted(np.random.default_rng(0), [0.9, 0.7, 0.6, 0.3], 150)
    p[0, :9], cluster = NAN, np.arange(150) // 2
    x, y = np.nan_to_num(2 * p.T - 1), 2 * truth - 1
    twin = Ridge(alpha=10.0, fit_intercept=False).fit(x, y, sample_weight=np.full(150, 0.5))
    assert jury_weights(p, truth, cluster, signed=True) == pytest.approx(twin.coef_, abs=1e-9)
    rows = np.vstack([x / np.sqrt(2), np.sqrt(10) * np.eye(4)])
    bounded = lsq_linear(rows, np.append(y / np.sqrt(2), np.zeros(4)), (0, np.inf), tol=1e-12).x
    assert jury_weights(p, truth, cluster) == pytest.approx(bounded, abs=1e-6)


def test_planted_weights_are_recovered() -> None:
    """Independent members with rates qₖ: the best linear vote has weights ∝ (Σ⁻¹c)ₖ, c the leanings 2q − 1."""
    rates = [0.9, 0.75, 0.6, 0.5]
    p, truth = planted(np.random.default_rng(1), rates, 40_000)
    c = 2 * np.array(rates) - 1
    covariance = np.outer(c, c) + np.diag(1 - c * c)
    assert jury_weights(p, truth, np.arange(40_000)) == pytest.approx(np.linalg.solve(covariance, c), abs=0.015)


def test_a_member_that_errs_alike_is_turned_round_only_when_asked() -> None:
    p, truth = planted(np.random.default_rng(2), [0.8, 0.2], 4000)
    assert jury_weights(p, truth, np.arange(4000))[1] == 0
    assert jury_weights(p, truth, np.arange(4000), signed=True)[1] < -0.3


def test_weights_never_see_the_labels_that_test_them() -> None:
    """Members that toss coins, as many as would fit any labels: what the panel gets is luck."""
    rng = np.random.default_rng(3)
    p, truth = (rng.random((60, 120)) < 0.5).astype(float), rng.integers(0, 2, 120).astype(float)
    out, weights = cross_weighted(p, truth, np.arange(120), signed=True)
    seen = jury(p, "weighted", weights).p
    assert np.mean((seen > 0.5) == truth) > 0.75
    assert 0.35 < np.mean((out.p > 0.5) == truth) < 0.65


def test_whole_instructions_are_left_out() -> None:
    """One member knows an instruction's answer by its code: seen elsewhere in the same instruction, it would count."""
    rng = np.random.default_rng(4)
    truth = np.repeat(rng.integers(0, 2, 60).astype(float), 10)
    cluster = np.repeat(np.arange(60), 10)
    p = np.repeat((rng.random((200, 60)) < 0.5).astype(float), 10, axis=1)
    out, _ = cross_weighted(p, truth, cluster, signed=True)
    assert 0.3 < np.mean((out.p > 0.5) == truth) < 0.7


def test_disagreement_by_hand_and_in_sum() -> None:
    one, other = np.array([1, 0.5, 0, 1, NAN]), np.array([1, 1, 1, 0.5, 0.0])
    found = disagreement(one, other, np.arange(5))
    assert found.n_items == 4
    assert (found.any.value, found.ties.value, found.reversals.value) == pytest.approx((0.75, 0.5, 0.25))


def right(p: Array, gold: Array, where: Array) -> float:
    return float((1 - np.abs((1 + np.sign(p[where] - 0.5)) / 2 - gold[where])).mean())


def test_llmbar_as_recorded(shared_data: Path) -> None:
    bar = labels(shared_data, "llmbar")
    gold = np.empty(len(bar.names))
    gold[bar.item] = bar.vote
    natural = np.array([name.startswith("llmbar_Natural") for name in bar.names])
    adversarial = np.array([name.split("_")[1] in ("GPTInst", "GPTOut", "Manual", "Neighbor") for name in bar.names])
    made = np.array([bar_mean(bar, name) for name in FIVE])
    five = jury(made, "majority").p
    assert right(five, gold, natural) == pytest.approx(0.940)
    assert right(five, gold, adversarial) == pytest.approx(0.538, abs=0.001)
    assert right(jury(made[[0, 2, 3]], "majority").p, gold, adversarial) == pytest.approx(0.361, abs=0.001)
    p, people = made[:, adversarial], gold[adversarial]
    cluster = np.arange(len(people))
    everywhere = np.ones(len(people), dtype=bool)
    assert right(cross_weighted(p, people, cluster)[0].p, people, everywhere) == pytest.approx(0.814, abs=0.01)
    signed = cross_weighted(p, people, cluster, signed=True)[0].p
    assert right(signed, people, everywhere) == pytest.approx(0.867, abs=0.01)
    elsewhere = jury(p, "weighted", jury_weights(made[:, natural], gold[natural], np.arange(natural.sum())))
    assert right(elsewhere.p, people, everywhere) < 0.81
    apart = disagreement(bar_mean(bar, "ChatGPT/Rating"), bar_mean(bar, "ChatGPT/Vanilla"), bar.cluster)
    assert (apart.any.value, apart.reversals.value) == pytest.approx((0.470, 0.055), abs=0.001)


def bar_mean(bar: Labels, name: str) -> Array:
    return (bar.judged(name, order="12") + bar.judged(name, order="21")) / 2
