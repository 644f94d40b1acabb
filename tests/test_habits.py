"""A judge's habits: the reference figures, and definitions by hand."""

from pathlib import Path

import numpy as np
import pytest
from human import SETS, labels, reference

from simfarm.statistics.habits import first_shown, longer, longer_given, preference_for, swaps


@pytest.mark.parametrize("name", SETS)
def test_people_prefer_longer_as_the_reference_says(shared_data: Path, name: str) -> None:
    people = labels(shared_data, name)
    found = preference_for(people.item, people.vote, longer(*people.lengths.T), people.cluster, ties=False)
    assert found.value == pytest.approx(reference(shared_data)[name]["p_vote_prefers_longer(|dlen|>30)"], abs=1e-9)


def test_people_prefer_output_1_of_cross_annotations(shared_data: Path) -> None:
    people = labels(shared_data, "alpacafarm_cross")
    found = preference_for(people.item, people.vote, np.full(len(people.names), -1), people.cluster)
    assert found.value == pytest.approx(0.5173, abs=5e-5)


@pytest.mark.parametrize("name", ["vicuna80", "llmbar"])
def test_every_judge_of_both_orders_is_as_the_reference_says(shared_data: Path, name: str) -> None:
    people, wanted = labels(shared_data, name), reference(shared_data)[name]["judges"]
    for judge, figures in wanted.items():
        given, swapped = (people.judged(judge, order=order) for order in ("12", "21"))
        assert swaps(given, swapped, people.cluster).same.value == pytest.approx(
            figures["consistency(same verdict both orders)"], abs=1e-9
        )
        both = np.concatenate([given, swapped])
        both[np.tile((given == 0.5) | (swapped == 0.5) | np.isnan(given + swapped), 2)] = np.nan
        shown = np.repeat([0.0, 1.0], len(given))
        found = first_shown(np.tile(people.cluster, 2), both, shown, people.cluster)
        assert found.value == pytest.approx(figures["first_position_rate(strict)"], abs=1e-9), judge


def test_definitions_by_hand() -> None:
    item, vote = np.array([0, 0, 1, 2, 3]), np.array([0, 0.5, 1, 1, np.nan])
    cluster = np.arange(4)
    which = longer(np.array([10.0, 50, 100, 0]), np.array([41.0, 80, 10, 90]))
    assert which.tolist() == [1, 0, -1, 1]
    # item 0 twice: 0 and ½ for the longer; item 1 has none; item 2: 0
    assert preference_for(item, vote, which, cluster).value == pytest.approx(0.5 / 3)
    assert preference_for(item, vote, which, cluster, ties=False).value == 0
    # item 0 alone was asked in both orders: output_1 wins when shown first, and half when shown second
    shown = np.array([0, 1, 1, np.nan, 0])
    assert first_shown(item, vote, shown, cluster).value == pytest.approx((1 + 1 - 0.5) / 2)
    both = swaps(np.array([0.1, 0.9, 0.5, 1]), np.array([0.2, 0.3, 1, np.nan]), cluster)
    assert (both.same.value, both.reversed.value, both.tie.value) == pytest.approx((1 / 3, 1 / 3, 1 / 3))


def test_the_place_is_told_from_what_is_better_however_often_each_order_was_asked() -> None:
    """output_1 is better in .9 and shown first in three of four: the share of calls that take the first is .7."""
    rng = np.random.default_rng(1)
    n = 4000
    vote = (rng.random(n) < 0.1).astype(float)
    swapped = (rng.random(n) < 0.25).astype(float)
    found = first_shown(np.arange(n), vote, swapped, np.arange(n))
    assert found.value == pytest.approx(0.5, abs=0.02)
    assert found.interval()[0] < 0.5 < found.interval()[1]
    place = np.where(rng.random(n) < 0.4, swapped, vote)  # two in five go by the place alone
    assert first_shown(np.arange(n), place, swapped, np.arange(n)).value == pytest.approx(0.7, abs=0.03)
    assert np.isnan(first_shown(np.arange(n), vote, np.zeros(n), np.arange(n)).value)


def test_longest_is_all_bias_and_an_even_error_is_none() -> None:
    rng = np.random.default_rng(0)
    n = 4000
    which = rng.choice([-1, 1], n)
    people = np.where(rng.random(n) < 0.7, which, -which)  # prefer the longer in .7
    vote, cluster = (people + 1) / 2, np.arange(n)
    longest = longer_given((which + 1) / 2, cluster, vote, which, cluster)
    assert (longest.longer.value, longest.shorter.value, longest.bias.value) == (1, 1, 1)
    fair = np.where(rng.random(n) < 0.8, vote, 1 - vote)
    found = longer_given(fair, cluster, vote, which, cluster)
    assert (found.longer.value, found.shorter.value) == pytest.approx((0.8, 0.2), abs=0.04)
    low, high = found.bias.interval()
    assert low < 0 < high
    assert preference_for(cluster, fair, which, cluster).value > 0.55  # although it has no habit of its own
