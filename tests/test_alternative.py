"""The alternative-annotator test: the published procedure as oracle, real people, and planted judges."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from human import labels
from scipy.stats import false_discovery_control, ttest_1samp

from simfarm.errors import InputError
from simfarm.statistics.alternative import _range, alternative_annotator_test, discoveries
from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes


def by_the_paper(judged: Array, votes: Array, epsilon: float) -> tuple[Array, Array]:
    """(advantage, p) of each person, item by item as the paper says it; votes n × people, NaN none."""
    advantages, ps = [], []
    for k in range(votes.shape[1]):
        judge_wins, person_wins = [], []
        for verdict, row in zip(judged, votes, strict=True):
            others = np.delete(row, k)
            others = others[~np.isnan(others)]
            if np.isnan(row[k]) or not len(others) or np.isnan(verdict):
                continue
            judge, person = (others == verdict).mean(), (others == row[k]).mean()
            judge_wins.append(float(judge >= person))
            person_wins.append(float(person >= judge))
        lead = np.subtract(person_wins, judge_wins)
        advantages.append(np.mean(judge_wins))
        ps.append(ttest_1samp(lead, epsilon, alternative="less").pvalue)
    return np.array(advantages), np.array(ps)


def planted(rng: np.random.Generator, n: int, right: float) -> tuple[Array, Array]:
    """(a judge's verdicts, votes n × 5) on items with a better answer; people are right in .75, and skip .3."""
    truth = rng.integers(0, 2, n).astype(float)
    votes = np.where(rng.random((n, 5)) < 0.75, truth[:, None], 1 - truth[:, None])
    votes[rng.random((n, 5)) < 0.3] = np.nan
    return np.where(rng.random(n) < right, truth, 1 - truth), votes


def rows(votes: Array) -> tuple[Codes, Array, Codes, Codes]:
    n, people = votes.shape
    return np.repeat(np.arange(n), people), votes.ravel(), np.tile(np.arange(people), n), np.arange(n)


def test_it_is_the_papers_procedure() -> None:
    judged, votes = planted(np.random.default_rng(0), 150, 0.75)
    judged[:7] = np.nan
    found = alternative_annotator_test(judged, *rows(votes), epsilon=0.15)
    advantages, ps = by_the_paper(judged, votes, 0.15)
    assert found.judge == pytest.approx(advantages, abs=1e-12)
    assert found.p == pytest.approx(ps, abs=1e-12)
    assert found.advantage.value == pytest.approx(advantages.mean(), abs=1e-12)
    assert found.won.tolist() == (false_discovery_control(ps, method="by") <= 0.05 + 1e-12).tolist()


def test_the_share_replaced_allows_for_how_many_people_were_tested() -> None:
    alone, together, loose = 0.0, 0.0, 0.0
    for seed in range(6):
        judged, votes = planted(np.random.default_rng(seed), 120, 0.74)
        found = alternative_annotator_test(judged, *rows(votes))
        wide = alternative_annotator_test(judged, *rows(votes), level=0.5)
        adjusted = false_discovery_control(found.p, method="by")
        assert found.winning_rate == (adjusted <= 0.05).mean()
        assert wide.winning_rate == (adjusted <= 0.5).mean()
        assert wide.winning_range[1] - wide.winning_range[0] <= 0.8
        alone, together = alone + (found.p < 0.05).mean(), together + found.winning_rate
        loose += wide.winning_rate
    assert together < alone < loose


def test_discoveries_are_scipys_and_need_none() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        p = rng.random(8) ** 3
        assert discoveries(p, 0.1).tolist() == (false_discovery_control(p, method="by") <= 0.1).tolist()
    assert not discoveries(np.ones(4), 0.05).any()


@pytest.mark.parametrize(("judge", "rate", "advantage"), [("gpt4_b1", 7 / 15, 0.816), ("gpt4_b5", 4 / 15, 0.801)])
def test_one_greedy_judge_beside_crowdworkers(shared_data: Path, judge: str, rate: float, advantage: float) -> None:
    people = labels(shared_data, "alpacafarm_cross")
    votes = people.item, people.vote, people.rater, people.cluster
    found = alternative_annotator_test(people.judged(judge, seed=0), *votes, epsilon=0.1)
    assert found.winning_rate == pytest.approx(rate, abs=1e-9)
    assert found.advantage.value == pytest.approx(advantage, abs=0.001)
    assert (len(found.people), found.n_left_out, found.passes) == (15, 1, False)
    assert alternative_annotator_test(people.judged(judge, seed=0), *votes, epsilon=0.2).passes


def test_a_better_judge_wins_and_a_coin_does_not() -> None:
    rng = np.random.default_rng(2)
    rates = []
    for right in (0.5, 0.95):
        judged, votes = planted(rng, 200, right)
        rates.append(alternative_annotator_test(judged, *rows(votes)).winning_rate)
    assert rates == [0, 1]


def test_the_range_holds_what_other_items_say() -> None:
    """The share of people replaced, on as many items drawn anew: in the range in 95 of 100, and the range is no wider
    than need be where nothing is in doubt."""
    rng, held, widths = np.random.default_rng(7), [], []
    for _ in range(60):
        one, other = (alternative_annotator_test(j, *rows(v)) for j, v in (planted(rng, 120, 0.72) for _ in range(2)))
        low, high = one.winning_range
        held.append(low <= other.winning_rate <= high)
        widths.append(high - low)
    assert np.mean(held) >= 0.9
    assert 0.3 < np.mean(widths) < 1
    for right, wanted in ((0.97, (1, 1)), (0.5, (0, 0))):
        judged, votes = planted(rng, 2000, right)
        assert alternative_annotator_test(judged, *rows(votes)).winning_range == wanted


@pytest.mark.parametrize(
    ("rate", "lead", "wanted"),
    [(0.05, -4.8, (1, 1)), (0.05, -4.0, (0, 1)), (0.32, -2.2, (1, 1)), (0.32, -1.6, (0, 1)), (0.05, 0.9, (0, 1)),
     (0.05, 1.4, (0, 0))],
)  # fmt: skip
def test_the_range_is_of_another_set_with_an_error_of_its_own(
    rate: float, lead: float, wanted: tuple[float, float]
) -> None:
    """One person who leads the judge by ε and `lead` errors: another set says so by −1.645 errors or less at .05, and
    differs by √2 of them, 2.77 in one of forty; at a rate of .32 by −.468 and 1.406."""
    pulls = np.random.default_rng(0).standard_normal((1, 2000))
    pulls -= pulls.mean()
    error = np.sqrt((pulls**2).sum())
    assert _range(np.array([lead]) * error, pulls, rate) == wanted


def test_the_range_holds_at_few_items() -> None:
    """Where a set's errors, and who has thirty items in it, are luck too: the range is nearly all; of fewer than
    fifty items a person it is not known."""
    rng, found = np.random.default_rng(9), []
    for _ in range(81):
        truth = rng.integers(0, 2, (80, 1)).astype(float)
        said = np.where(rng.random((80, 9)) < np.append(np.linspace(0.65, 0.85, 8), 0.85), truth, 1 - truth)
        said[:, :8][rng.random((80, 8)) < 0.3] = np.nan
        found.append(alternative_annotator_test(said[:, 8], *rows(said[:, :8])))
    held = [a.winning_range[0] <= b.winning_rate <= a.winning_range[1] for a, b in itertools.pairwise(found)]
    assert np.mean(held) >= 0.9
    assert 0.8 < np.mean([np.ptp(one.winning_range) for one in found]) < 0.99
    judged, votes = planted(rng, 60, 0.6)
    assert alternative_annotator_test(judged, *rows(votes)).winning_range == (0, 1)


def test_the_range_is_narrower_at_a_lower_level() -> None:
    widths = np.zeros(2)
    for seed in range(8):
        judged, votes = planted(np.random.default_rng(seed), 120, 0.8)
        for k, level in enumerate((0.95, 0.3)):
            low, high = alternative_annotator_test(judged, *rows(votes), level=level).winning_range
            widths[k] += high - low
    assert widths[1] < 0.6 * widths[0], widths


def test_a_person_counts_once_an_item_and_the_first_vote_counts() -> None:
    judged, votes = planted(np.random.default_rng(3), 100, 0.75)
    item, vote, rater, cluster = rows(votes)
    again = np.concatenate
    twice = alternative_annotator_test(
        judged, again([item, item]), again([vote, 1 - vote]), again([rater, rater]), cluster
    )
    assert twice.p == pytest.approx(alternative_annotator_test(judged, item, vote, rater, cluster).p, abs=1e-12)


def test_clusters_that_share_their_luck_are_not_independent() -> None:
    judged, votes = planted(np.random.default_rng(4), 60, 0.75)
    item, vote, rater, cluster = rows(np.repeat(votes, 4, axis=0))  # every item four times
    alone = alternative_annotator_test(np.repeat(judged, 4), item, vote, rater, cluster)
    together = alternative_annotator_test(np.repeat(judged, 4), item, vote, rater, cluster // 4)
    once = alternative_annotator_test(judged, *rows(votes))
    assert together.p == pytest.approx(once.p, rel=1e-9)
    assert (alone.p < together.p).all()


def test_two_people_or_too_few_items_are_refused() -> None:
    judged, votes = planted(np.random.default_rng(5), 100, 0.75)
    with pytest.raises(InputError, match=r"needs 3 people with 30 votes each .*; there are 2"):
        alternative_annotator_test(judged, *rows(votes[:, :2]))
    with pytest.raises(InputError, match="there are none"):
        alternative_annotator_test(judged[:30], *rows(votes[:30]))


def test_a_tie_is_half_right_beside_a_side() -> None:
    """Where nobody can know, a judge that ties is as good as people who guess; without that half it loses to all."""
    rng = np.random.default_rng(0)
    n = 400
    item, rater = np.repeat(np.arange(n), 4), np.tile(np.arange(4), n)
    vote = rng.integers(0, 2, 4 * n).astype(float)
    found = alternative_annotator_test(np.full(n, 0.5), item, vote, rater, np.arange(n))
    assert found.passes
    assert found.advantage.value == pytest.approx(0.5, abs=0.05)
