"""The human-calibrated win rate: ppi-python and regression as oracles, planted coverage, AlpacaFarm's people."""

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from simfarm.errors import InputError
from simfarm.ranking import Calibrated, align_labels, calibrate
from simfarm.statistics.calibration import MIN_LABELS, sampling_checks


def _pool(n: int, rng: np.random.Generator, stray: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """(verdicts n × 4, labels n × 2) of 0 or 1: 2 orders and 2 repeats that are nearly one; two people alike."""
    people = 0.3 + 1.5 * rng.standard_normal(n)
    judge = 2.5 * (people + 0.8 + stray * rng.standard_normal(n))
    verdicts = rng.binomial(1, 1 / (1 + np.exp(-(judge[:, None] + np.array([0.5, 0.5, -0.5, -0.5])))))
    labels = rng.binomial(1, 1 / (1 + np.exp(-(people[:, None] + np.zeros(2)))))
    return verdicts.astype(float), labels.astype(float)


def _calibrate(f: np.ndarray, y: np.ndarray, chosen: np.ndarray) -> Calibrated:
    labels = np.full(len(f), np.nan)
    labels[chosen] = y[chosen]
    return calibrate(f, labels, np.arange(len(f)), ["judge"])


def test_matches_ppi_python() -> None:
    """With 1,000 labels no single one moves λ, so leave-one-out and ppi-python's one λ are the same estimate."""
    ppi = pytest.importorskip("ppi_py")
    rng = np.random.default_rng(0)
    verdicts, labels = _pool(4000, rng)
    f, y = verdicts.mean(axis=1), labels.mean(axis=1)
    found = _calibrate(f, y, np.arange(0, 4000, 4))
    rest = np.arange(4000) % 4 != 0
    # ppi-python's own λ takes Var(f) from all 4,000 verdicts; handing it ours leaves solvers out of the comparison.
    value = float(np.squeeze(ppi.ppi_mean_pointestimate(y[~rest], f[~rest], f[rest], lam=found.weight)))
    low, high = (float(np.squeeze(x)) for x in ppi.ppi_mean_ci(y[~rest], f[~rest], f[rest], 0.05, lam=found.weight))
    assert found.estimate.value == pytest.approx(value, abs=2e-5)
    assert found.estimate.standard_error == pytest.approx((high - low) / (2 * 1.959964), rel=2e-3)
    own = float(np.squeeze(ppi.ppi_mean_pointestimate(y[~rest], f[~rest], f[rest])))
    assert found.estimate.value == pytest.approx(own, abs=1e-3)


def test_leave_one_out_by_hand() -> None:
    rng = np.random.default_rng(1)
    f, y = rng.uniform(size=90), rng.uniform(size=90)
    y[:40] = 0.6 * f[:40] + 0.3 * y[:40]
    found = _calibrate(f, y, np.arange(40))
    terms = []
    for i in range(40):
        others = np.arange(40) != i
        slope = stats.linregress(f[:40][others], y[:40][others]).slope * 50 / 90
        terms.append(y[i] - slope * (f[i] - f[40:].mean()))
    assert found.estimate.value == pytest.approx(np.mean(terms), abs=1e-12)
    assert found.rho == pytest.approx(stats.pearsonr(f[:40], y[:40]).statistic)
    assert found.predicted_width_ratio == pytest.approx(math.sqrt(1 - found.rho**2 * 50 / 90))
    variance = np.var(terms, ddof=1) / 40 + found.weight**2 * f[40:].var(ddof=1) / 50
    assert found.estimate.standard_error == pytest.approx(math.sqrt(variance))


def test_each_cluster_has_its_own_influence() -> None:
    """An unlabelled cluster pulls by λ times its verdict's distance from the mean, wherever the labels lie."""
    rng = np.random.default_rng(16)
    y = rng.uniform(size=120)
    f = y + 0.1 * rng.standard_normal(120)
    found = _calibrate(np.clip(f, 0, 1), y, rng.choice(120, 40, replace=False))
    rest = np.setdiff1d(np.arange(120), found.human.clusters)
    assert found.estimate.clusters.tolist() == list(range(120))
    pull = np.clip(f, 0, 1)[rest] - np.clip(f, 0, 1)[rest].mean()
    assert found.estimate.influence[rest] / pull == pytest.approx(np.full(80, found.weight * 120 / 80), rel=0.01)


@pytest.mark.parametrize(("n_labels", "stray"), [(30, 1.0), (100, 0.3), (300, 3.0)])
def test_interval_covers_what_people_would_say(n_labels: int, stray: float) -> None:
    """Rows, not means, are handed over: one for each call, the label on each; rows as clusters fall far short."""
    rng = np.random.default_rng(2)
    _, many = _pool(2_000_000, np.random.default_rng(3))
    truth = many.mean()
    inside, bias = [], []
    for _ in range(800):
        verdicts, labels = _pool(600, rng, stray)
        label = np.full((600, 4), np.nan)
        chosen = rng.choice(600, n_labels, replace=False)
        label[chosen] = np.repeat(labels[chosen], 2, axis=1)
        found = calibrate(verdicts.ravel(), label.ravel(), np.repeat(np.arange(600), 4), ["j"])
        naive = calibrate(verdicts.ravel(), label.ravel(), np.arange(2400), ["j"])
        intervals = [e.interval() for e in (found.estimate, found.human, naive.estimate)]
        inside.append([low <= truth <= high for low, high in intervals])
        bias.append(found.estimate.value - truth)
    calibrated, human, rows = np.mean(inside, axis=0)
    assert 0.92 <= calibrated <= 0.98
    assert 0.92 <= human <= 0.98
    assert rows < 0.85
    assert abs(np.mean(bias)) < 4 * np.std(bias) / math.sqrt(800)


def test_alpacafarm_people_from_100_labels(shared_data: Path) -> None:
    human = shared_data / "human"
    people = pd.read_parquet(human / "alpacafarm_cross.parquet").groupby("item_id")["preference"].mean() - 1
    gpt4 = pd.read_parquet(human / "alpacafarm_cross_judges.parquet").groupby("item_id")["preference"].mean() - 1
    y, f = people.to_numpy(), gpt4.reindex(people.index).to_numpy()
    assert len(y) == 648
    predicted = math.sqrt(1 - np.corrcoef(y, f)[0, 1] ** 2 * 548 / 648)
    rng = np.random.default_rng(4)
    held, ratios = 0, []
    for _ in range(1000):
        found = _calibrate(f, y, rng.choice(648, 100, replace=False))
        low, high = found.estimate.interval()
        human_low, human_high = found.human.interval()
        held += low <= y.mean() <= high
        ratios.append((high - low) / (human_high - human_low))
    assert held / 1000 >= 0.93
    assert np.median(ratios) == pytest.approx(predicted, abs=0.03)
    assert predicted < 0.92


def test_worth_is_the_labels_that_would_narrow_as_much() -> None:
    rng = np.random.default_rng(5)
    verdicts, labels = _pool(20_000, rng, 0.3)
    f, y = verdicts.mean(axis=1), labels.mean(axis=1)
    found = _calibrate(f, y, rng.choice(20_000, 1000, replace=False))
    more = _calibrate(f, y, rng.choice(20_000, 1000 + found.worth, replace=False))
    assert found.worth > 300
    assert more.human.standard_error == pytest.approx(found.estimate.standard_error, rel=0.03)
    assert f"your judge is worth {found.worth:,} more labels" in str(found)


def test_a_worthless_or_contrary_judge_does_no_harm() -> None:
    rng = np.random.default_rng(6)
    y = rng.uniform(size=500)
    contrary = _calibrate(1 - y, y, np.arange(100))
    constant = _calibrate(np.full(500, 0.7), y, np.arange(100))
    for found in (contrary, constant):
        assert found.weight == 0
        assert found.estimate.value == pytest.approx(y[:100].mean())
        assert found.estimate.interval() == found.human.interval()
        assert found.worth == 0
        assert "worth no label" in str(found)
    chance = _calibrate(rng.uniform(size=500), y, np.arange(100))
    assert chance.width_ratio < 1.02


def test_every_comparison_labelled_is_the_labels_mean() -> None:
    y = np.random.default_rng(7).uniform(size=50)
    found = _calibrate(y**2, y, np.arange(50))
    assert found.estimate.interval() == found.human.interval()
    assert found.predicted_width_ratio == 1
    assert found.sampling == {}


def test_a_judge_never_seen_to_err_is_not_taken_for_infallible() -> None:
    """0 errors in 60 labels rules out little: an error rate of 3 % hides that often, and moves the rate by 3 points."""
    rng = np.random.default_rng(8)
    held, hidden = 0, 0
    for _ in range(300):
        y = rng.binomial(1, 0.5, 5000).astype(float)
        f = np.where(rng.uniform(size=5000) < 0.03, 1.0, y)  # errs one way
        found = _calibrate(f, y, np.arange(60))
        if np.array_equal(f[:60], y[:60]):
            hidden += 1
            low, high = found.estimate.interval()
            held += low <= 0.5 <= high
    assert hidden > 50
    assert held / hidden > 0.92


def test_unanimous_labels_leave_room_for_half_a_label_at_the_other_end() -> None:
    found = _calibrate(np.random.default_rng(9).uniform(size=3000), np.ones(3000), np.arange(40))
    assert found.human.interval()[0] == pytest.approx(stats.beta(40, 0.5).ppf(stats.t(39).sf(1.96)), abs=0.02)
    assert found.interval()[0] < 0.97


def test_two_models_under_one_judge_are_compared_on_the_same_instructions() -> None:
    """People and judge share each instruction's difficulty over both models: the difference is surer than either."""
    rng = np.random.default_rng(10)
    truth, held, ratio = 0.1, 0, []
    for _ in range(500):
        ease = 0.15 * rng.standard_normal(800)
        chosen = rng.choice(800, 80, replace=False)
        models = []
        for level in (0.55, 0.45):
            y = level + ease + 0.05 * rng.standard_normal(800)
            f = y + 0.1 + 0.05 * rng.standard_normal(800)
            models.append(_calibrate(np.clip(f, 0, 1), np.clip(y, 0, 1), chosen))
        difference = models[0] - models[1]
        low, high = difference.interval()
        held += low <= truth <= high
        ratio.append(difference.standard_error / math.hypot(*(m.estimate.standard_error for m in models)))
    assert 0.92 <= held / 500 <= 0.98
    assert np.mean(ratio) < 0.8


def test_a_calibration_belongs_to_its_judge() -> None:
    rng = np.random.default_rng(11)
    f, y = rng.uniform(size=100), rng.uniform(size=100)
    labels = np.where(np.arange(100) < 50, y, np.nan)
    with pytest.raises(InputError, match=r"mix 2 judges \(aaa, bbb\)"):
        calibrate(f, labels, np.arange(100), ["aaa", "bbb", "aaa"])
    first, second = (calibrate(f, labels, np.arange(100), [name]) for name in ("aaa", "bbb"))
    first.require_judge("aaa")
    with pytest.raises(InputError, match="belongs to judge aaa, the annotations to judge bbb"):
        first.require_judge("bbb")
    with pytest.raises(InputError, match="calibrate anew"):
        _ = first - second


@pytest.mark.parametrize(
    ("chosen", "what"),
    [
        (lambda f, length: np.argsort(-f)[:60], "the judge's verdicts differ"),
        (lambda f, length: np.argsort(-length)[:60], "length differs"),
        (lambda f, length: np.arange(60), "their places in the file"),
        (lambda f, length: np.arange(270, 330), "they come in blocks"),
    ],
)
def test_labels_that_are_no_random_sample_are_noticed(chosen: object, what: str) -> None:
    rng = np.random.default_rng(12)
    f, length = rng.uniform(size=600), rng.normal(0, 300, 600)
    labels = np.full(600, np.nan)
    labels[chosen(f, length)] = rng.uniform(size=60)  # type: ignore[operator]
    found = calibrate(f, labels, np.arange(600), ["j"], {"length": length})
    assert found.sampling[what] < 0.01
    assert any(what in line and "random" in line for line in found.warnings)


def test_a_random_sample_rarely_alarms() -> None:
    rng = np.random.default_rng(13)
    alarms = []
    for _ in range(1500):
        f, length = rng.beta(0.5, 0.5, 400), rng.lognormal(5, 1, 400)
        labels = np.full(400, np.nan)
        labels[rng.choice(400, 80, replace=False)] = 1.0
        found = sampling_checks(f, labels, np.arange(400), {"length": length})
        assert len(found) == 4
        alarms.append(min(found.values()) < 0.05)
    assert 0.02 <= np.mean(alarms) <= 0.08


def test_labels_without_a_verdict_are_left_out_and_counted() -> None:
    rng = np.random.default_rng(14)
    f, y = rng.uniform(size=200), rng.uniform(size=200)
    labels = np.where(np.arange(200) % 4 == 0, y, np.nan)
    f[[0, 4, 5]] = np.nan
    found = calibrate(f, labels, np.arange(200), ["j"])
    assert (found.n_labelled, found.n_unlabelled, found.left_out) == (48, 149, 2)


def test_too_few_labels_and_values_that_are_none() -> None:
    rng = np.random.default_rng(15)
    f, y = rng.uniform(size=100), rng.uniform(size=100)
    with pytest.raises(InputError, match="29 labelled instructions have a verdict; calibration needs at least 30"):
        _calibrate(f, y, np.arange(MIN_LABELS - 1))
    assert _calibrate(f, y, np.arange(MIN_LABELS)).n_labelled == 30
    for bad in (1.5, -0.1, np.inf):
        wrong = y.copy()
        wrong[3] = bad
        with pytest.raises(InputError, match=r"a label is outside \[0, 1\]"):
            _calibrate(f, wrong, np.arange(50))
        with pytest.raises(InputError, match=r"a verdict is outside \[0, 1\]"):
            _calibrate(wrong, y, np.arange(50))
    with pytest.raises(InputError, match="99 labels for 100"):
        calibrate(f, y[:99], np.arange(100), ["j"])
    with pytest.raises(InputError, match="no verdicts"):
        calibrate(f, y, np.arange(100), [])


def test_repeated_labels_are_averaged_and_unknown_ones_refused() -> None:
    comparisons = [("i1", "m"), ("i2", "m"), ("i3", "m")]
    keys = [("i3", "m"), ("i1", "m"), ("i3", "m"), ("i1", "m")]
    found = align_labels(comparisons, keys, np.array([1.0, 0.5, 0.0, np.nan]))
    assert found == pytest.approx([0.5, np.nan, 0.5], nan_ok=True)
    with pytest.raises(InputError, match=r"1 of 2 labels are for comparisons that were not judged \(first: \('i9'"):
        align_labels(comparisons, [("i1", "m"), ("i9", "m")], np.array([1.0, 0.0]))
