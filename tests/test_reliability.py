"""Reliability of preferences: scikit-learn as oracle, honest intervals on planted truth, and what is found where."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit, logit, ndtr

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array
from simfarm.statistics.reliability import MIN_CLUSTERS, Reliability, reliability

SHARED = Path(__file__).parents[2] / "shared" / "data"

DRAWS: dict[str, Callable[[np.random.Generator, int], Array]] = {
    "even": lambda rng, n: rng.random(n),
    "crowded at both ends": lambda rng, n: rng.beta(0.05, 0.3, n),
    "three values": lambda rng, n: rng.choice([0.1, 0.5, 0.9], n, p=[0.45, 0.1, 0.45]),
}
TRUTHS: dict[str, Callable[[Array], Array]] = {
    "calibrated": lambda p: p,
    "over-confident": lambda p: expit(0.5 * logit(np.clip(p, 1e-9, 1 - 1e-9))),
    "under-confident": lambda p: expit(2 * logit(np.clip(p, 1e-9, 1 - 1e-9))),
    "shifted": lambda p: p + 0.1 * (1 - p),
    "coin": lambda p: np.full_like(p, 0.5),
}


def true_error(found: Reliability, p: Array, chance: Array) -> float:
    """Of a whole population, in the bins that a sample made."""
    edges = [(one.high + next_.low) / 2 for one, next_ in zip(found.bins, found.bins[1:], strict=False)]
    gaps = np.bincount(np.searchsorted(edges, p), chance - p, minlength=len(found.bins))
    return float(np.abs(gaps).sum() / len(p))


def labels(chance: Array, k: int, rng: np.random.Generator) -> Array:
    """0 or 1 with these chances; `k` neighbours share half of their luck."""
    shared = np.repeat(rng.standard_normal(len(chance) // k), k)
    luck = ndtr(np.sqrt(0.5) * (shared + rng.standard_normal(len(chance)))) if k > 1 else rng.random(len(chance))
    return (luck < chance).astype(float)


def test_plain_error_and_brier_are_scikit_learns() -> None:
    calibration = pytest.importorskip("sklearn.calibration")
    metrics = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    p = rng.beta(0.6, 0.9, 500)
    y = (rng.random(500) < expit(0.6 * logit(p))).astype(float)
    found = reliability(p, y, np.arange(500))
    said, predicted = calibration.calibration_curve(y, p, n_bins=10, strategy="quantile")
    assert [one.n for one in found.bins] == [50] * 10
    assert [one.mean_y for one in found.bins] == pytest.approx(said, abs=1e-12)
    assert [one.mean_p for one in found.bins] == pytest.approx(predicted, abs=1e-12)
    assert found.plain == pytest.approx(np.abs(said - predicted).mean(), abs=1e-12)
    assert found.brier.value == pytest.approx(metrics.brier_score_loss(y, p), abs=1e-12)


@pytest.mark.parametrize(
    ("draw", "rows"), [("even", 1), ("even", 8), ("crowded at both ends", 1), ("three values", 1)], ids=str
)
@pytest.mark.parametrize("truth", TRUTHS)
def test_each_end_of_the_interval_holds(draw: str, truth: str, rows: int) -> None:
    """Each end may be passed in 1 of 40; three standard errors of 100 draws more are chance. Clusters of 8 rows share
    their luck: rows taken for independent would pass the lower end far more often."""
    rng = np.random.default_rng(1)
    population = DRAWS[draw](rng, 200_000)
    chance = TRUTHS[truth](population)
    missed = np.zeros(2)
    for _ in range(100):
        p = DRAWS[draw](rng, 240)
        found = reliability(p, labels(TRUTHS[truth](p), rows, rng), np.arange(240) // rows)
        true, (low, high) = true_error(found, population, chance), found.interval
        missed += low > true, high < true
    assert (missed / 100 <= 0.025 + 0.047).all(), missed


@pytest.mark.parametrize("draw", DRAWS)
def test_a_calibrated_judge_is_not_accused_and_the_others_are(draw: str) -> None:
    rng = np.random.default_rng(2)
    named: dict[str, float] = {}
    for truth, rule in TRUTHS.items():
        found: list[tuple[str, ...]] = []
        for _ in range(60):
            p = DRAWS[draw](rng, 1200)
            found.append(reliability(p, labels(rule(p), 1, rng), np.arange(1200)).findings)
        wanted = {"shifted": "leans to output_1", "coin": "over-confident"}.get(truth, truth)
        named[truth] = np.mean([bool(one) if truth == "calibrated" else wanted in one for one in found])
    assert named.pop("calibrated") <= 0.13
    assert min(named.values()) >= 0.8, named


@pytest.mark.parametrize("sure", [0.97, 0.99])
def test_few_people_who_all_agree_with_a_sure_judge_do_not_accuse_it(sure: float) -> None:
    """Of 20 or 50 labels none may differ from a calibrated .99: their variance is none, and the gap is not."""
    rng = np.random.default_rng(9)
    for n in (20, 50):
        for p in (np.full(n, sure), np.where(np.arange(n) % 2, sure, 1 - sure)):
            accused = [bool(reliability(p, labels(p, 1, rng), np.arange(n)).findings) for _ in range(60)]
            assert np.mean(accused) <= 0.13


def test_debiasing_takes_what_noise_adds() -> None:
    """Where nothing is wrong two fifths of it go, where something is, nearly all."""
    rng = np.random.default_rng(3)
    means = {}
    for truth in ("calibrated", "over-confident"):
        both, true = [], 0.0
        for _ in range(100):
            p = rng.random(400)
            found = reliability(p, labels(TRUTHS[truth](p), 1, rng), np.arange(400))
            both.append((found.plain, found.ece))
            population = (np.arange(20_000) + 0.5) / 20_000
            true = true_error(found, population, TRUTHS[truth](population))
        plain, debiased = np.mean(both, axis=0)
        means[truth] = (plain - true, debiased - true)
    assert means["calibrated"][0] > 0.04
    assert 0 < means["calibrated"][1] < 0.65 * means["calibrated"][0]
    assert abs(means["over-confident"][1]) < 0.01 < means["over-confident"][0]


def test_a_gap_that_none_of_the_directions_sees_is_found_too() -> None:
    """Right in the mean and as sure as people, but wrong by turns: only the error itself tells."""
    rng = np.random.default_rng(4)
    p = rng.random(2000)
    chance = p + 0.12 * np.sign(np.sin(2 * np.pi * 5 * p)) * (np.abs(p - 0.5) < 0.4)
    found = reliability(p, labels(chance, 1, rng), np.arange(2000))
    assert found.findings == ("miscalibrated",)
    assert "miscalibrated" in str(found)


def test_a_pair_named_the_other_way_round_says_the_same() -> None:
    rng = np.random.default_rng(5)
    p = rng.beta(0.5, 0.8, 300)
    y = (rng.random(300) < TRUTHS["shifted"](p)).astype(float)
    one, other = (reliability(q, z, np.arange(300)) for q, z in ((p, y), (1 - p, 1 - y)))
    assert one.plain == pytest.approx(other.plain)
    assert one.interval == pytest.approx(other.interval, abs=0.003)
    assert one.overconfidence.value == pytest.approx(other.overconfidence.value)
    assert one.lean.value == pytest.approx(-other.lean.value)


def test_repeating_every_row_makes_nobody_surer() -> None:
    rng = np.random.default_rng(6)
    p = rng.random(100)
    y = (rng.random(100) < p).astype(float)
    once = reliability(p, y, np.arange(100))
    thrice = reliability(np.tile(p, 3), np.tile(y, 3), np.tile(np.arange(100), 3))
    assert thrice.interval == pytest.approx(once.interval, abs=1e-9)
    assert [b.interval for b in thrice.bins] == [pytest.approx(b.interval) for b in once.bins]
    assert (thrice.n, thrice.n_clusters, once.n) == (300, 100, 100)


def test_equal_verdicts_stay_together_and_what_is_missing_stays_out() -> None:
    p = np.array([0.0] * 40 + [0.5] * 3 + [1.0] * 57 + [np.nan] * 9)
    y = np.array([0.0, 1.0] * 54 + [1.0])
    y[50] = np.nan
    found = reliability(p, y, np.arange(109))
    assert [(b.low, b.high, b.n) for b in found.bins] == [(0, 0, 40), (0.5, 0.5, 3), (1, 1, 56)]
    assert found.n == found.n_clusters == 99
    assert all(b.interval[0] < b.mean_y < b.interval[1] for b in found.bins)
    alone = reliability(np.array([0.0] * 30 + [0.5] + [1.0] * 29), np.ones(60), np.arange(60))
    assert [(b.n_clusters, b.interval) for b in alone.bins][1] == (1, (0.0, 1.0))
    everybody = reliability(np.full(60, 0.7), np.ones(60), np.arange(60))
    assert len(everybody.bins) == 1
    assert everybody.interval[0] <= 0.3 <= everybody.interval[1]


def test_what_cannot_be_is_refused() -> None:
    ok = np.full(MIN_CLUSTERS, 0.5)
    n = np.arange(MIN_CLUSTERS)
    assert reliability(ok, ok, n).plain == 0
    for p, y, why in (
        (ok + 1, ok, "verdict is outside"),
        (ok, -ok, "label is outside"),
        (ok, np.where(n == 3, np.inf, ok), "label is outside"),
        (ok[1:], ok, "19 verdicts for 20"),
        (np.where(n == 0, np.nan, ok), ok, "19 instructions have both"),
    ):
        with pytest.raises(InputError, match=why):
            reliability(p, y, n)


def test_real_verdicts_as_the_population() -> None:
    """GPT-4's eight runs on AlpacaFarm's pairs beside four people: samples of instructions, the whole set is the
    truth."""
    if not (SHARED / "human").is_dir():
        pytest.skip("needs the human labels")
    people = pd.read_parquet(SHARED / "human" / "alpacafarm_cross.parquet")
    y = people.groupby("item_id")["preference"].mean() - 1
    judges = pd.read_parquet(SHARED / "human" / "alpacafarm_cross_judges.parquet")
    p = (judges.groupby("item_id")["preference"].mean() - 1).reindex(y.index).to_numpy()
    cluster = pd.factorize(people.groupby("item_id")["instruction"].first().str.strip())[0]
    rng = np.random.default_rng(7)
    rows = [np.flatnonzero(cluster == c) for c in range(cluster.max() + 1)]
    each = np.concatenate([np.repeat(c, len(r)) for c, r in enumerate(rows)])
    order = np.concatenate(rows)
    weight = 1 / np.bincount(each)[each]
    missed = np.zeros(2)
    for _ in range(200):
        drawn = rng.integers(len(rows), size=150)
        at = np.concatenate([rows[c] for c in drawn])
        found = reliability(p[at], y.to_numpy()[at], np.repeat(np.arange(150), [len(rows[c]) for c in drawn]))
        edges = [(one.high + two.low) / 2 for one, two in zip(found.bins, found.bins[1:], strict=False)]
        gaps = np.bincount(np.searchsorted(edges, p[order]), weight * (y.to_numpy()[order] - p[order]))
        true = np.abs(gaps).sum() / len(rows)
        missed += found.interval[0] > true, found.interval[1] < true
        assert "over-confident" in found.findings or found.interval[0] < true
    assert (missed / 200 <= 0.058).all(), missed
