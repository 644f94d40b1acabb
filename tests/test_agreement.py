"""Agreement of people and of judges with them: the reference figures of four sets, and definitions by hand."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from human import SETS, Labels, labels, reference

from simfarm.errors import InputError
from simfarm.statistics.agreement import (
    agreement_with_mode,
    agreement_with_votes,
    leave_one_out,
    modes,
    pairwise_agreement,
    side_counts,
    sides,
    vote_mean,
)
from simfarm.statistics.chance import cohen_kappa, fleiss_kappa, krippendorff_alpha
from simfarm.statistics.estimate import Array

SIDE = np.array([0.0, 0.5, 1.0])


def same(found: float, wanted: float) -> bool:
    return found == pytest.approx(wanted, abs=1e-9)


def judge_figures(judged: Array, people: Labels) -> dict[str, float]:
    """What the reference says of one judge."""
    votes = (people.item, people.vote, people.cluster)
    mode = modes(side_counts(*votes[:2], len(people.names)), "out")
    with_mode = agreement_with_mode(judged, *votes, split="out")
    strict = agreement_with_mode(judged, *votes, split="out", ties=False)
    return {
        "vs_each_vote_3class": agreement_with_votes(judged, *votes).value,
        "vs_each_vote_1-2|d|": agreement_with_votes(judged, *votes, by="distance").value,
        "vs_majority_3class": with_mode.value,
        "n_majority": with_mode.n_clusters,
        "kappa_vs_majority": cohen_kappa(judged, mode @ SIDE, people.cluster).value,
        "n_strict": strict.n_clusters,
        "strict_acc(judge tie=.5)": strict.value,
    }


@pytest.mark.parametrize("name", [name for name in SETS if name != "llmbar"])
def test_people_agree_as_the_reference_says(shared_data: Path, name: str) -> None:
    people, wanted = labels(shared_data, name), reference(shared_data)[name]["human"]
    item, vote, cluster = people.item, people.vote, people.cluster
    loo = leave_one_out(item, vote, cluster)
    side = vote != 0.5
    found = {
        "pairwise_agreement_macro": pairwise_agreement(item, vote, cluster).value,
        "pairwise_agreement_micro": pairwise_agreement(item, vote, cluster, by="pair").value,
        "loo_agreement_macro": loo.value,
        "loo_sem_items": loo.standard_error,
        "krippendorff_nominal": krippendorff_alpha(item, vote, cluster).value,
        "krippendorff_interval": krippendorff_alpha(item, vote, cluster, "interval").value,
        "pairwise_agreement_macro_no_ties": pairwise_agreement(item[side], vote[side], cluster).value,
        "krippendorff_nominal_no_ties": krippendorff_alpha(item[side], vote[side], cluster).value,
        next(key for key in wanted if key.startswith("fleiss")): fleiss_kappa(item, vote, cluster).value,
    }
    shared = found.keys() & wanted.keys()
    assert len(shared) >= 6
    assert {key: found[key] for key in shared} == pytest.approx({key: wanted[key] for key in shared}, abs=1e-9)


@pytest.mark.parametrize("name", SETS)
def test_every_recorded_judge_is_as_the_reference_says(shared_data: Path, name: str) -> None:
    people, wanted = labels(shared_data, name), reference(shared_data)[name]
    asked: list[tuple[Array, dict[str, Any]]] = [(people.longest, wanted["longest"])]
    for judge, figures in wanted.get("judges", {}).items():
        orders = {key: people.judged(judge, order=key) for key in ("12", "21")}
        # the reference's mean of two orders is a side or a tie
        both = SIDE[np.maximum(sides((orders["12"] + orders["21"]) / 2), 0)]
        orders["mean"] = np.where(np.isnan(orders["12"] + orders["21"]), np.nan, both)
        keys = {"12": "order12", "21": "order21", "mean": "mean_of_orders"}
        asked += [(orders[order], figures[key]) for order, key in keys.items() if key in figures]
    assert len(asked) == {"alpacafarm_cross": 1, "pandalm": 3, "vicuna80": 19, "llmbar": 196}[name]
    for judged, figures in asked:
        found = judge_figures(judged, people)
        assert found == pytest.approx({key: figures[key] for key in found}, abs=1e-9)


def test_intervals_on_cross_annotations_are_those_of_the_field(shared_data: Path) -> None:
    people = labels(shared_data, "alpacafarm_cross")
    votes = (people.item, people.vote, people.cluster)
    assert pairwise_agreement(*votes).interval() == pytest.approx((0.598, 0.638), abs=0.002)
    assert leave_one_out(*votes).interval() == pytest.approx((0.629, 0.685), abs=0.002)


def test_definitions_by_hand() -> None:
    item = np.array([0, 0, 0, 1, 1, 1, 1, 2, 3, 3])
    vote = np.array([0, 0, 1, 0, 0, 1, 1, 0.5, 0.5, np.nan])
    cluster = np.arange(4)
    assert pairwise_agreement(item, vote, cluster).value == pytest.approx((1 / 3 + 1 / 3) / 2)
    assert pairwise_agreement(item, vote, cluster, by="pair").value == pytest.approx(3 / 9)
    # of 0 0 1 each 0 sees 0 1, half right, and the 1 sees 0 0; of 0 0 1 1 each sees one of its own and two others
    assert leave_one_out(item, vote, cluster).value == pytest.approx((1 / 3 + 0) / 2)
    judged = np.array([0.2, 1, 0.5, np.nan])
    assert agreement_with_mode(judged, item, vote, cluster).value == pytest.approx((1 + 0.5 + 1) / 3)
    assert agreement_with_mode(judged, item, vote, cluster, split="second").value == 1
    assert agreement_with_mode(judged, item, vote, cluster, split="out").n_clusters == 2
    assert agreement_with_mode(judged, item, vote, cluster, ties=False).value == pytest.approx((1 + 0.5) / 2)
    assert agreement_with_votes(judged, item, vote, cluster).value == pytest.approx((2 / 3 + 1 / 2 + 1) / 3)
    distance = agreement_with_votes(judged, item, vote, cluster, by="distance").value
    assert distance == pytest.approx(((0.8 + 0.8 + 0.2) / 3 + 0.5 + 1) / 3)
    assert vote_mean(vote, item, cluster, by="vote").value == pytest.approx(4 / 9)
    assert vote_mean(vote, item, cluster).value == pytest.approx((1 / 3 + 1 / 2 + 1 / 2 + 1 / 2) / 4)


def test_a_split_of_three_goes_as_pandas_sample_with_seed_123() -> None:
    counts = np.array([[1.0, 1, 1], [1, 1, 0], [1, 0, 1], [0, 2, 2], [0, 0, 0]])
    assert np.nan_to_num(modes(counts, "second") @ SIDE, nan=-1).tolist() == [0, 0.5, 1, 1, -1]


def test_clusters_widen_the_interval_and_leave_the_value() -> None:
    rng = np.random.default_rng(0)
    good = np.repeat(rng.random(60), 5)  # five items of a cluster are alike
    vote = (rng.random((300, 2)) < good[:, None]).astype(float).ravel()
    item = np.repeat(np.arange(300), 2)
    alone, together = (pairwise_agreement(item, vote, np.arange(300) // k) for k in (1, 5))
    assert same(alone.value, together.value)
    assert together.standard_error > 1.2 * alone.standard_error


def test_what_is_no_vote_is_refused_and_none_is_not_estimable() -> None:
    item, cluster = np.array([0, 0]), np.array([0])
    with pytest.raises(InputError, match=r"recode 1 / 1\.5 / 2"):
        pairwise_agreement(item, np.array([1.0, 2.0]), cluster)
    with pytest.raises(InputError, match="every item a cluster"):
        pairwise_agreement(np.array([0, 1]), np.array([1.0, 0.0]), cluster)
    with pytest.raises(InputError, match="each vote its item"):
        pairwise_agreement(item, np.array([1.0]), cluster)
    nothing = leave_one_out(item[:1], np.array([1.0]), cluster)
    assert np.isnan(nothing.value)
    assert np.isnan(nothing.interval()).all()
