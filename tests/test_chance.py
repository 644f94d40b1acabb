"""Agreement beyond chance: public libraries as oracles, the jackknife as oracle of influences, planted truth."""

from collections.abc import Callable

import numpy as np
import pytest

from simfarm.statistics.agreement import side_counts
from simfarm.statistics.chance import Metric, cohen_kappa, cohen_kappas, fleiss_kappa, gwet_ac1, krippendorff_alpha
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes

Coefficient = Callable[[Codes, Array, Codes], Estimate]

OF_MANY: dict[str, Coefficient] = {
    "fleiss": fleiss_kappa,
    "ac1": gwet_ac1,
    "nominal": krippendorff_alpha,
    "ordinal": lambda item, vote, cluster: krippendorff_alpha(item, vote, cluster, "ordinal"),
    "interval": lambda item, vote, cluster: krippendorff_alpha(item, vote, cluster, "interval"),
}


def planted(rng: np.random.Generator, n: int, raters: int, right: float, missing: float = 0.0) -> Array:
    """Votes (n × raters) on items of three sides; a rater sees the truth or guesses, and skips some."""
    truth = rng.choice([0, 0.5, 1], (n, 1), p=[0.5, 0.2, 0.3])
    votes = np.where(rng.random((n, raters)) < right, truth, rng.choice([0, 0.5, 1], (n, raters)))
    return np.where(rng.random((n, raters)) < missing, np.nan, votes)


def rows(votes: Array) -> tuple[Codes, Array, Codes]:
    n, raters = votes.shape
    return np.repeat(np.arange(n), raters), votes.ravel(), np.arange(n)


@pytest.mark.parametrize("metric", ["nominal", "ordinal", "interval"])
@pytest.mark.parametrize("missing", [0.0, 0.4])
def test_alpha_is_krippendorffs(metric: Metric, missing: float) -> None:
    krippendorff = pytest.importorskip("krippendorff")
    votes = planted(np.random.default_rng(0), 80, 6, 0.6, missing)
    found = krippendorff_alpha(*rows(votes), metric).value
    wanted = krippendorff.alpha(reliability_data=votes.T, level_of_measurement=metric)
    assert found == pytest.approx(wanted, abs=1e-9)


@pytest.mark.parametrize("metric", ["ordinal", "interval"])
def test_alpha_of_soft_votes_is_krippendorffs(metric: Metric) -> None:
    krippendorff = pytest.importorskip("krippendorff")
    votes = np.round(np.random.default_rng(1).beta(0.4, 0.6, (60, 1)) ** np.array([0.5, 1, 1.7]), 2)
    found = krippendorff_alpha(*rows(votes), metric).value
    assert found == pytest.approx(krippendorff.alpha(reliability_data=votes.T, level_of_measurement=metric), abs=1e-9)


def test_kappas_are_scikit_learns_and_statsmodels() -> None:
    metrics = pytest.importorskip("sklearn.metrics")
    inter_rater = pytest.importorskip("statsmodels.stats.inter_rater")
    votes = planted(np.random.default_rng(2), 90, 4, 0.7)
    two = cohen_kappa(votes[:, 0], votes[:, 1], np.arange(90)).value
    assert two == pytest.approx(metrics.cohen_kappa_score(*(2 * votes[:, :2].T).astype(int)), abs=1e-9)
    many = fleiss_kappa(*rows(votes)).value
    item, vote, _ = rows(votes)
    assert many == pytest.approx(inter_rater.fleiss_kappa(side_counts(item, vote, 90)), abs=1e-9)


def test_kappas_of_all_pairs_are_those_of_each() -> None:
    votes = planted(np.random.default_rng(5), 60, 5, 0.6, 0.3).T
    votes[3] = 1.0
    votes[4] = np.where(np.isnan(votes[0]), 0.5, np.nan)  # meets the first nowhere
    found = cohen_kappas(votes)
    for i in range(5):
        for j in range(5):
            wanted = np.nan if i == j else cohen_kappa(votes[i], votes[j], np.arange(60)).value
            assert found[i, j] == pytest.approx(wanted, abs=1e-9, nan_ok=True)
    assert np.isnan(found[0, 4])


def test_ac1_of_two_raters_is_gwets_formula() -> None:
    """Gwet 2008, equations 5 to 7: p_e = 2π(1 − π), π the mean share of one side. Feinstein and Cicchetti's paradox:
    118 and 5 agree, 2 differ each way."""
    pairs = np.repeat([[0.0, 0.0], [1, 1], [0, 1], [1, 0]], [118, 5, 2, 2], axis=0)
    pi = (5 + 2) / 127
    chance = 2 * pi * (1 - pi)
    assert gwet_ac1(*rows(pairs)).value == pytest.approx((123 / 127 - chance) / (1 - chance), abs=1e-12)


def test_ac1_of_many_is_its_definition() -> None:
    votes = planted(np.random.default_rng(3), 40, 5, 0.6, 0.4)
    agreed, shares = [], []
    for one in votes:
        cast = [v for v in one if not np.isnan(v)]
        if cast:
            shares.append([cast.count(v) / len(cast) for v in (0, 0.5, 1)])
        if len(cast) > 1:
            pairs = [a == b for k, a in enumerate(cast) for b in cast[k + 1 :]]
            agreed.append(sum(pairs) / len(pairs))
    pi = np.mean(shares, axis=0)
    chance = float((pi * (1 - pi)).sum() / 2)
    assert gwet_ac1(*rows(votes)).value == pytest.approx((np.mean(agreed) - chance) / (1 - chance), abs=1e-12)


@pytest.mark.parametrize("name", OF_MANY)
def test_the_influence_is_the_jackknifes(name: str) -> None:
    missing = 0.0 if name == "fleiss" else 0.3
    votes = planted(np.random.default_rng(4), 120, 4, 0.7, missing)
    found = OF_MANY[name](*rows(votes))
    left_out = np.array([OF_MANY[name](*rows(np.delete(votes, k, axis=0))).value for k in found.clusters])
    jackknife = (found.n_clusters - 1) * (found.value - left_out)
    assert np.corrcoef(jackknife, found.influence)[0, 1] > 0.999
    assert jackknife.std() == pytest.approx(found.influence.std(), rel=0.03)
    assert found.influence.sum() == pytest.approx(0, abs=1e-9)


def test_ranks_move_with_the_votes_below_them() -> None:
    """Of soft votes an item's pull on everybody's ranks is much of its influence on the ordinal α."""
    votes = np.random.default_rng(7).beta(0.4, 0.6, (60, 1)) ** np.array([0.5, 1, 1.7])
    found = krippendorff_alpha(*rows(votes), "ordinal")
    left_out = [krippendorff_alpha(*rows(np.delete(votes, k, axis=0)), "ordinal").value for k in range(60)]
    jackknife = 59 * (found.value - np.array(left_out))
    assert np.abs(jackknife - found.influence).max() < 0.15 * jackknife.std()


def test_the_influence_on_cohens_kappa_is_the_jackknifes() -> None:
    one, two = planted(np.random.default_rng(5), 120, 2, 0.8).T
    found = cohen_kappa(one, two, np.arange(120))
    left_out = [cohen_kappa(np.delete(one, k), np.delete(two, k), np.arange(119)).value for k in range(120)]
    jackknife = 119 * (found.value - np.array(left_out))
    assert np.corrcoef(jackknife, found.influence)[0, 1] > 0.999
    assert jackknife.std() == pytest.approx(found.influence.std(), rel=0.03)


@pytest.mark.parametrize("right", [0.6, 0.98])
@pytest.mark.parametrize("name", ["fleiss", "ac1", "nominal", "interval"])
def test_intervals_hold_the_truth(name: str, right: float) -> None:
    """60 items, near 1 too, where few disagree; the truth is that of 200,000 items. Three standard errors of 80."""
    rng = np.random.default_rng(6)
    truth = OF_MANY[name](*rows(planted(rng, 200_000, 3, right))).value
    held = 0
    for _ in range(80):
        low, high = OF_MANY[name](*rows(planted(rng, 60, 3, right))).interval()
        held += low <= truth <= high
    assert held / 80 >= 0.877, held


@pytest.mark.parametrize("name", OF_MANY)
def test_perfect_agreement_has_a_width_and_no_variety_no_value(name: str) -> None:
    perfect = np.repeat(np.array([[0.0], [1.0]] * 20), 3, axis=1)
    found = OF_MANY[name](*rows(perfect))
    low, high = found.interval()
    assert (found.value, high) == pytest.approx((1, 1))
    assert 0.5 < low < 0.99
    nothing = OF_MANY[name](*rows(np.zeros((20, 3))))
    if name == "ac1":  # chance is none where nobody guesses
        assert nothing.value == 1
    else:
        assert np.isnan(nothing.value)
