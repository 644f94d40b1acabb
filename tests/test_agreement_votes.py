"""Votes: which comparison a label is of, which way round it was shown, and what cannot be matched."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from simfarm.agreement.votes import Votes, votes_of
from simfarm.data.evidence import text_digest
from simfarm.data.frames import frame_verdicts
from simfarm.data.inspection import Inspection
from simfarm.errors import InputError

TEXTS = [("A bee", "Two bees hum"), ("One ant", "An ant walks home"), ("Cat", "The cat sleeps")]


def _rows(**columns: Any) -> pd.DataFrame:
    """Three comparisons: texts, generators, one annotator, output_2 preferred, a tie, output_1 preferred."""
    rows = pd.DataFrame({"instruction": ["bees?", "ants?", "cats?"], "preference": [2.0, 1.5, 1.0]})
    rows["output_1"], rows["output_2"] = zip(*TEXTS, strict=True)
    rows["generator_1"], rows["generator_2"], rows["annotator"] = "base", "new", "judge"
    return rows.assign(**columns)


def _turned(rows: pd.DataFrame) -> pd.DataFrame:
    """The same rows with their outputs the other way round."""
    swap = {f"{name}_{a}": f"{name}_{b}" for name in ("output", "generator", "length") for a, b in ("12", "21")}
    return rows.rename(columns=swap).assign(preference=3 - rows["preference"])


def _votes(judged: pd.DataFrame, labels: pd.DataFrame | None = None, **options: Any) -> Votes:
    looked = Inspection(features=("lists", "bold"), calls=True)
    people = None if labels is None else frame_verdicts(labels, "labels", looked)
    return votes_of(frame_verdicts(judged, "annotations", looked), people, **options)


PEOPLE = {"annotator": "Ann"}


def _labels(votes: Votes) -> list[float]:
    item, p, _ = votes.labels
    return p[np.argsort(item)].tolist()


@pytest.mark.parametrize("drop", [[], ["generator_1", "generator_2"], ["output_1", "output_2"]])
def test_a_label_that_shows_the_pair_the_other_way_round_is_mapped_and_said(drop: list[str]) -> None:
    labels = _turned(_rows(**PEOPLE)).drop(columns=drop)
    votes = _votes(_rows(), labels)
    assert _labels(votes) == [1.0, 0.5, 0.0]
    by = "generators" if "output_1" in drop else "texts"
    assert votes.notes == (
        f"3 labels of 3 show their outputs the other way round than the annotations: mapped, by the outputs' {by}",
    )


def test_the_order_that_a_turned_row_was_shown_in_turns_too() -> None:
    both = pd.concat([_rows(order="12"), _turned(_rows(order="12"))], ignore_index=True)
    votes = _votes(both)
    assert len(votes.items) == 3
    assert votes.votes["order"].tolist() == ["12"] * 3 + ["21"] * 3
    assert votes.judged.tolist() == [[1.0, 0.5, 0.0]]


def test_lengths_tell_outputs_apart_where_nothing_else_does() -> None:
    slim = _rows().assign(length_1=lambda d: d["output_1"].str.len(), length_2=lambda d: d["output_2"].str.len())
    texts = ["output_1", "output_2", "generator_1", "generator_2"]
    votes = _votes(slim.drop(columns=texts), _turned(slim.assign(**PEOPLE)).drop(columns=texts))
    assert votes.matched_by == "lengths"
    assert _labels(votes) == [1.0, 0.5, 0.0]


def test_an_id_alone_does_where_an_instruction_has_one_comparison() -> None:
    judged = _rows(instruction_id=[1, 2, 3])[["instruction_id", "preference", "annotator"]]
    votes = _votes(judged, _rows(instruction_id=["1", "2", "3"], **PEOPLE))
    assert votes.matched_by == "instructions"
    assert "nothing of the outputs" in votes.notes[0]
    assert votes.items["length_2"].tolist() == [12, 17, 14]
    assert _labels(votes) == [1.0, 0.5, 0.0]


def test_files_without_texts_have_ids_that_texts_find() -> None:
    ids = [text_digest(text)[:16] for text in ("bees?", "ants?", "cats?")]
    slim = _rows(instruction_id=ids).drop(columns=["instruction", "output_1", "output_2"])
    assert _labels(_votes(slim, _rows(**PEOPLE))) == [1.0, 0.5, 0.0]


def test_texts_decide_where_two_files_number_instructions_each_its_own_way() -> None:
    votes = _votes(_rows(instruction_id=[1, 2, 3]), _rows(instruction_id=["a", "b", "c"], **PEOPLE))
    assert _labels(votes) == [1.0, 0.5, 0.0]


def test_a_dataset_that_one_file_alone_names_parts_nothing() -> None:
    judged = _rows(instruction_id=[1, 2, 3])
    votes = _votes(judged, _rows(instruction_id=[1, 2, 3], dataset="mine", **PEOPLE))
    assert _labels(votes) == [1.0, 0.5, 0.0]
    assert votes.items["dataset"].tolist() == ["mine"] * 3
    ids = ["instruction_id", "preference", "annotator"]
    assert _labels(_votes(judged[ids], _rows(instruction_id=[1, 2, 3], dataset="mine", **PEOPLE)))[0] == 1.0


def test_instructions_are_independent_and_not_their_ids() -> None:
    again = pd.concat([_rows(instruction_id=[1, 2, 3]), _rows(instruction_id=[4, 5, 6])], ignore_index=True)
    votes = _votes(again)
    assert votes.cluster.tolist() == [0, 1, 2, 0, 1, 2]
    assert votes.notes == ("6 ids are of 3 instructions, by the texts: intervals take these as independent",)


def test_a_person_has_a_name_of_their_own() -> None:
    votes = _votes(_rows(), _rows(annotator="crowd", person=["Ann", None, "Bob"]))
    assert votes.people == ("Ann", "crowd", "Bob")
    assert _votes(_rows(), _rows().drop(columns="annotator")).people == ("people",)


def test_a_judge_asked_again_is_its_own_repeat() -> None:
    judged = pd.concat([_rows(order="12")] * 2, ignore_index=True)
    votes = _votes(judged)
    assert votes.votes["repeat"].nunique() == 2
    assert votes.notes == ("3 verdicts on a question that the same judge was asked before: taken for its repeats",)


def test_a_label_twice_counts_once() -> None:
    votes = _votes(_rows(), pd.concat([_rows(**PEOPLE)] * 2, ignore_index=True))
    assert len(votes.labels[0]) == 3
    assert "each counts once" in votes.notes[0]


def test_labels_of_numbered_repeats_are_averaged() -> None:
    twice = pd.concat([_rows(repeat=0, **PEOPLE), _rows(repeat=1, **PEOPLE, preference=1.0)], ignore_index=True)
    assert _labels(_votes(_rows(), twice)) == [0.5, 0.25, 0.0]


BAD = {
    "(--columns instruction_id=…)": _rows(instruction=["dogs?", "elks?", "foxes?"], **PEOPLE),
    "share instructions but no comparison": _rows(output_1="another", **PEOPLE),
    "share no instruction, by id or text": _rows(instruction_id=[7, 8, 9], **PEOPLE).drop(columns="instruction"),
    "two different labels (first: 'bees?'); keep one": pd.concat(
        [_rows(**PEOPLE), _rows(preference=1.0, **PEOPLE)], ignore_index=True
    ),
    "is it a judge or a person": _rows(),
}


@pytest.mark.parametrize("said", BAD)
def test_labels_that_do_not_fit_are_refused_with_the_remedy(said: str) -> None:
    with pytest.raises(InputError) as error:
        _votes(_rows(), BAD[said])
    assert said in str(error.value)
    assert "\n" not in str(error.value)


def test_labels_without_generators_cannot_be_of_one_of_several_models() -> None:
    judged = pd.concat([_rows(), _rows(generator_2="other", output_2="Something else")], ignore_index=True)
    labels = _rows(**PEOPLE)[["instruction", "preference", "annotator"]]
    with pytest.raises(InputError, match="the labels lack generator_1 and generator_2 "):
        _votes(judged, labels)


def test_two_judges_under_one_name_are_refused() -> None:
    judged = _rows(judge_hash=["a", "b", "b"])
    with pytest.raises(InputError, match="mixes 2 judges"):
        _votes(judged)
    assert _votes(judged, allow_mixed=True).judges == ("judge",)


def test_a_price_is_a_number() -> None:
    with pytest.raises(InputError, match="row 2 has the price 'dear'"):
        _votes(_rows(price=[0.1, "dear", None]))


def test_the_order_that_a_row_records_wins_over_the_majority_as_on_a_board() -> None:
    first, second = _rows(order="12"), _rows(order="21").head(1)
    unfinished = _votes(pd.concat([first, second], ignore_index=True).assign(judge_order="both"))
    assert np.isnan(unfinished.judged).tolist() == [[False, True, True]]
    whole = _votes(pd.concat([first, _rows(order="21").head(2)], ignore_index=True).assign(judge_order="hashed"))
    assert not np.isnan(whole.judged).any()
    alone = _votes(first.assign(judge_order="both"))
    assert not np.isnan(alone.judged).any()
    # each model's majority, where nothing is recorded
    many = pd.concat([first.assign(instruction=f"{k} " + first["instruction"]) for k in range(5)])
    once = many.assign(generator_2="other", output_2="another " + many["output_2"])
    mixed = pd.concat([many, many.assign(order="21"), many.assign(order="21"), once], ignore_index=True)
    assert not np.isnan(_votes(mixed.drop_duplicates()).judged).any()
