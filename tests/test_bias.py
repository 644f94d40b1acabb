"""Bias and variance: AlpacaEval's published numbers exactly, and definitions by hand."""

from pathlib import Path

import numpy as np
import pytest
from human import labels

from simfarm.statistics.agreement import agreement_with_mode, leave_one_out
from simfarm.statistics.bias import first_votes, judge_bias, vote_variance, votes_with_modes


def test_alpaca_evals_numbers_are_reproduced(shared_data: Path) -> None:
    """Four votes an item, of an even split always the second: humans, the longest output, one judge of four runs."""
    people = labels(shared_data, "alpacafarm_cross")
    four = first_votes(people.item, people.vote, 4)
    item, vote, cluster = people.item[four], people.vote[four], people.cluster
    assert 100 * (1 - vote_variance(item, vote, cluster, split="second").value) == pytest.approx(
        65.66358024691358, abs=1e-9
    )
    longest = np.where(people.lengths[:, 0] > people.lengths[:, 1], 0.0, 1.0)
    found = votes_with_modes(cluster, longest, item, vote, cluster, split="second")
    assert 100 * found.value == pytest.approx(62.1913580246913, abs=1e-9)
    runs = np.concatenate([people.judged("gpt4_b1", seed=seed) for seed in range(4)])
    of = np.tile(cluster, 4)
    assert votes_with_modes(of, runs, item, vote, cluster, split="second").value == pytest.approx(
        0.6701388889, abs=1e-9
    )
    assert judge_bias(of, runs, item, vote, cluster, split="second").value == pytest.approx(0.3070987654, abs=1e-9)
    assert vote_variance(of, runs, cluster, split="second").value == pytest.approx(0.1493055556, abs=1e-9)


def test_half_credit_takes_from_longest_what_the_choice_of_the_second_gave(shared_data: Path) -> None:
    people = labels(shared_data, "alpacafarm_cross")
    four = first_votes(people.item, people.vote, 4)
    longest = np.where(people.lengths[:, 0] > people.lengths[:, 1], 0.0, 1.0)
    found = votes_with_modes(people.cluster, longest, people.item[four], people.vote[four], people.cluster)
    assert found.value == pytest.approx(0.5957, abs=1e-4)
    votes = people.item, people.vote, people.cluster
    assert vote_variance(*votes).value == pytest.approx(1 - leave_one_out(*votes).value, abs=1e-12)


def test_definitions_by_hand() -> None:
    item, vote = np.array([0, 0, 0, 1, 1, 2, 2]), np.array([0, 0, 1, 0.5, 1, 1, 1.0])
    cluster = np.arange(3)
    # 0 from {0, 1}: ½, twice; 1 from {0, 0}: 1. The tie and the side: ½ each. Two alike: 0
    assert vote_variance(item, vote, cluster).value == pytest.approx((2 / 3 + 1 / 2 + 0) / 3)
    people = np.array([0, 0, 1, 1, 2]), np.array([0, 1, 1, 1, 0.0])
    assert judge_bias(item, vote, *people, cluster).value == pytest.approx((1 / 2 + 1 / 4 + 1) / 3)
    assert judge_bias(item, vote, *people, cluster, split="second").value == pytest.approx((1 + 0 + 1) / 3)
    one = np.array([0.1, 0.9, np.nan])
    found = votes_with_modes(np.arange(3), one, *people, cluster)
    assert found.value == pytest.approx(agreement_with_mode(one, *people, cluster).value)
    assert found.n_clusters == 2


def test_the_first_votes_of_items_that_have_enough() -> None:
    item = np.array([1, 0, 1, 0, 1, 2, 1])
    vote = np.array([0, 0, np.nan, 1, 1, 1, 0.0])
    assert first_votes(item, vote, 2).tolist() == [True, True, False, True, True, False, False]
