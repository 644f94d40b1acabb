"""From calls to units: orders, repeats, failures, clusters, the baseline."""

from typing import Any

import numpy as np
import pandas as pd
import pytest

from simfarm.errors import InputError
from simfarm.ranking.units import Units, find_baseline, prepare, units_by_annotator


def row(instruction: str = "q", preference: float | None = 2.0, **more: Any) -> dict[str, Any]:
    base = {
        "instruction": instruction,
        "output_1": "base",
        "output_2": "mine",
        "generator_1": "b",
        "generator_2": "m",
        "annotator": "j",
        "preference": preference,
    }
    return base | more


def units(*rows: dict[str, Any], baseline: str | None = None, **options: Any) -> Units:
    data = prepare(pd.DataFrame(list(rows)))
    [result] = units_by_annotator(data, find_baseline(data, baseline), **options)
    return result


def test_two_orders_are_one_unit_and_their_disagreement_is_counted() -> None:
    result = units(
        row("a", 2.0, order="12"), row("a", 1.0, order="21"), row("b", 2.0, order="12"), row("b", 1.8, order="21")
    )
    assert result.table["p"].tolist() == pytest.approx([0.5, 0.9])
    assert result.disagreement == 0.5


def test_a_failed_order_leaves_no_verdict_and_is_counted_as_a_call() -> None:
    result = units(
        row("a", 2.0, order="12", status="verdict"),
        row("a", None, order="21", status="error"),
        row("b", 2.0, order="12", status="verdict"),
        row("b", 2.0, order="21", status="verdict"),
    )
    assert np.isnan(result.table["p"][0])
    assert result.table["p"][1] == 1
    assert result.calls.loc["m"].to_dict() == {"n_unparseable": 0, "n_error": 1}


def test_a_missing_order_leaves_no_verdict_but_an_uncalled_tie_keeps_its_own() -> None:
    result = units(
        row("a", 2.0, order="12"),
        row("b", 2.0, order="12"),
        row("b", 2.0, order="21"),
        row("c", 1.5, order=None, output_2="base"),
    )
    np.testing.assert_array_equal(result.table["p"], [np.nan, 1.0, 0.5])


def test_one_order_a_comparison_is_whole_where_the_judge_asks_but_one() -> None:
    result = units(row("a", 2.0, order="12"), row("b", 1.0, order="21"))
    assert result.table["p"].tolist() == [1.0, 0.0]
    assert result.disagreement is None


def test_repeats_are_averaged_and_a_broken_repeat_is_left_out() -> None:
    result = units(
        row("a", 2.0, order="12", repeat=0),
        row("a", 2.0, order="21", repeat=0),
        row("a", 1.0, order="12", repeat=1),
        row("a", None, order="21", repeat=1),
        row("a", 1.0, order="12", repeat=2),
        row("a", 1.5, order="21", repeat=2),
    )
    assert result.table["p"].tolist() == pytest.approx([(1 + 0.25) / 2])
    assert result.calls.loc["m", "n_unparseable"] == 1


def test_a_null_preference_without_status_is_unparseable_and_never_a_tie() -> None:
    result = units(row("a", None), row("b", 2.0))
    assert result.table["p"].isna().tolist() == [True, False]
    assert result.calls.loc["m", "n_unparseable"] == 1


def test_rows_with_the_baseline_second_are_flipped_and_strangers_left_out() -> None:
    result = units(
        row("a", 1.2, generator_1="m", generator_2="b", output_1="mine!", output_2="base"),
        row("b", 1.9),
        row("c", 1.0, generator_1="x", generator_2="y"),
        baseline="b",
    )
    assert result.table["model"].tolist() == ["m", "m"]
    assert result.table["p"].tolist() == pytest.approx([0.8, 0.9])
    assert result.table["length"].tolist() == [5, 4]
    assert result.left_out == 1


def test_two_possible_baselines_are_named() -> None:
    with pytest.raises(InputError, match=r"'b', 'c'.*--baseline"):
        units(row("a"), row("a", generator_1="c"))


def test_an_unknown_baseline_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(InputError, match=r"no annotation has the baseline 'z'.*'b', 'm'"):
        units(row("a"), baseline="z")


def test_two_judges_under_one_name_are_refused_unless_allowed() -> None:
    rows = row("a", judge_hash="aa"), row("b", judge_hash=None)
    with pytest.raises(InputError, match=r"mixes 2 judges.*'aa', 'unknown'"):
        units(*rows)
    assert units(*rows, allow_mixed=True).judge_hash == "mixed"


def test_cluster_is_the_id_with_the_dataset_where_ids_repeat() -> None:
    def clusters(*rows: dict[str, Any]) -> int:
        return int(prepare(pd.DataFrame(list(rows)))["cluster"].nunique())

    assert clusters(row("a", instruction_id=0, dataset="x"), row("b", instruction_id=0, dataset="y")) == 2
    assert clusters(row("a", instruction_id=0, dataset="x"), row("b", instruction_id=0, dataset="x")) == 1
    assert clusters(row("a", instruction_id=0), row(" a ", instruction_id=None)) == 1
    chat = [{"role": "user", "content": "hi"}]
    assert clusters(row(None, messages=chat), row(None, messages=[{"content": "hi", "role": "user"}])) == 1


def test_rows_that_nothing_identifies_are_refused() -> None:
    with pytest.raises(InputError, match="row 2 has neither"):
        prepare(pd.DataFrame([row("a"), row(None)]))


def test_several_samples_of_one_instruction_are_comparisons_of_one_cluster() -> None:
    result = units(row("a", 2.0, output_2="x"), row("a", 1.0, output_2="y"), row("a", 1.0, output_2="y", repeat=1))
    assert len(result.table) == 2
    assert result.table["cluster"].nunique() == 1


def test_each_annotator_has_its_own_units() -> None:
    data = prepare(pd.DataFrame([row("a"), row("a", 1.0, annotator="k")]))
    assert [u.annotator for u in units_by_annotator(data, "b")] == ["j", "k"]


def test_empty_and_cut_off_outputs_are_counted() -> None:
    result = units(row("a", output_2=""), row("b", finish_reason_2="length"), row("c", output_1=""))
    assert (result.empty_outputs, result.cut_off_outputs) == (2, 1)
