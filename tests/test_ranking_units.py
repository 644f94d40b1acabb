"""From calls to units: orders, repeats, failures, clusters, the baseline."""

from typing import Any

import numpy as np
import pandas as pd
import pytest
from tables import verdicts_of

from simfarm.errors import InputError
from simfarm.ranking.units import Units, find_baseline, units_by_annotator
from simfarm.statistics.swaps import Orders


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
    data = verdicts_of(pd.DataFrame(list(rows)))
    [result] = units_by_annotator(data, find_baseline(data, baseline), **options)
    return result


def test_two_orders_are_one_unit_and_reversals_are_told_from_ties() -> None:
    def asked(instruction: str, first: float, second: float) -> list[dict[str, Any]]:
        return [row(instruction, first, order="12"), row(instruction, second, order="21")]

    result = units(
        *asked("reversed", 2.0, 1.0),
        *asked("agreed", 2.0, 1.8),
        *asked("tie to choice", 1.5, 1.9),
        *asked("choice to tie", 1.2, 1.5),
        *asked("two ties", 1.5, 1.5),
        row("failed", None, order="12"),
        row("failed", 1.0, order="21"),
    )
    np.testing.assert_allclose(result.table["p"], [0.5, 0.9, 0.7, 0.35, 0.5, np.nan])
    assert result.orders == Orders(reversals=1 / 5, tie_changes=2 / 5, twice_asked=6)


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
    assert result.orders.half_asked == 1


def test_orders_of_two_repeats_are_no_pair() -> None:
    result = units(
        row("a", 2.0, order="12", repeat=0),
        row("a", 1.0, order="21", repeat=1),
        row("b", 2.0, order="12", repeat=0),
        row("b", 1.0, order="21", repeat=0),
        row("b", 2.0, order="12", repeat=1),
    )
    np.testing.assert_array_equal(result.table["p"], [np.nan, 0.5])
    assert result.orders == Orders(reversals=1.0, tie_changes=0.0, half_asked=1, twice_asked=1)


def test_one_order_a_comparison_is_whole_where_the_judge_asks_but_one() -> None:
    result = units(row("a", 2.0, order="12"), row("b", 1.0, order="21"))
    assert result.table["p"].tolist() == [1.0, 0.0]
    assert result.orders == Orders(once_asked=2)


def star(*models: tuple[str, int, int], **more: Any) -> list[dict[str, Any]]:
    """Of each (model, comparisons in both orders, in one)."""
    return [
        row(f"q{i}", 2.0, generator_2=model, order=order, **more)
        for model, both, once in models
        for i in range(both + once)
        for order in ("12", "21")[: 1 + (i < both)]
    ]


def test_the_majority_is_told_by_model_where_there_are_comparisons_enough_to_tell() -> None:
    """A model that was asked in one order beside three in both, or the other way round, keeps its verdicts."""
    apart = units(*star(("x", 30, 0), ("y", 30, 0), ("once", 0, 20)))
    assert not apart.table["p"].isna().any()
    assert apart.orders == Orders(0.0, 0.0, 0, 20, 60, ("b", "once"))
    mixed = units(*star(("x", 0, 30), ("y", 0, 30), ("both", 18, 2)))
    assert mixed.table.groupby("model")["p"].count().to_dict() == {"both": 18, "x": 30, "y": 30}
    assert (mixed.orders.half_asked, mixed.orders.once_asked, mixed.orders.once_by) == (2, 60, ("b", "x", "y"))
    # nine say less than all do; in either place of the file
    few = star(("x", 30, 0), ("few", 4, 5))
    few[-3:] = [
        r | {"generator_1": "few", "generator_2": "b", "output_1": "mine", "output_2": "base"} for r in few[-3:]
    ]
    assert units(*few, baseline="b").orders.half_asked == 5
    assert units(*star(("x", 30, 0), ("ten", 4, 6))).orders.half_asked == 0


def test_the_order_that_the_file_records_wins_over_the_majority() -> None:
    unfinished = units(*star(("x", 45, 55), judge_order="both"))
    assert int(unfinished.table["p"].notna().sum()) == 45
    assert (unfinished.orders.half_asked, unfinished.orders.once_asked) == (55, 0)
    kept = units(*star(("x", 60, 40), judge_order="hashed"))
    assert not kept.table["p"].isna().any()
    assert (kept.orders.once_asked, kept.orders.once_by) == (40, ("b", "x"))
    # beside older rows that record nothing, each is what it says; and the others' majority is theirs alone
    both = units(*star(("x", 10, 40), judge_order="both"), *star(("y", 0, 30)), *star(("z", 9, 11)))
    assert both.table.groupby("model")["p"].count().to_dict() == {"x": 10, "y": 30, "z": 20}
    few = units(*star(("x", 30, 0), judge_order="both"), *star(("y", 3, 6)))
    assert few.table.groupby("model")["p"].count().to_dict() == {"x": 30, "y": 9}


def test_one_orders_rows_of_a_judge_that_asks_both_count_and_are_told_of() -> None:
    """An empty board helps nobody who looks at one order alone."""
    result = units(*star(("x", 0, 12), judge_order="both"))
    assert not result.table["p"].isna().any()
    assert result.orders == Orders(once_asked=12, halves_kept=12)


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
        return int(verdicts_of(pd.DataFrame(list(rows))).table["cluster"].nunique())

    assert clusters(row("a", instruction_id=0, dataset="x"), row("b", instruction_id=0, dataset="y")) == 2
    assert clusters(row("a", instruction_id=0, dataset="x"), row("a ", instruction_id=0, dataset="x")) == 1
    assert clusters(row("a", instruction_id=0), row(" a ", instruction_id=None)) == 1
    chat = [{"role": "user", "content": "hi"}]
    assert clusters(row(None, messages=chat), row(None, messages=[{"content": "hi", "role": "user"}])) == 1


def test_ids_that_file_formats_changed_still_join() -> None:
    """CSV reads text, JSON numbers, and a table with a gap floats: all are the same instruction."""
    rows = [row("a", instruction_id=i, generator_2=f"m{k}") for k, i in enumerate((0, 0.0, "0", "0.0", np.int64(0)))]
    data = verdicts_of(pd.DataFrame([*rows, row("b", instruction_id="00"), row("c", instruction_id="q0")]))
    assert data.table["cluster"].tolist() == [0, 0, 0, 0, 0, 1, 2]
    split = [row("a", instruction_id=i, repeat=r, order=o) for i, r, o in ((1, 0, "12"), ("1", "0", "21"))]
    assert units(*split).table["p"].tolist() == [1.0]
    # beside a question asked in both orders, an order without its other half would have no verdict
    both = [row("b", instruction_id=2, repeat=0, order=o) for o in ("12", "21")]
    assert units(*split, *both).table["p"].tolist() == [1.0, 1.0]
    years = [row(t, instruction_id=0, dataset=d) for t, d in (("a", 2023), ("a", "2023"), ("b", 2024.0), ("c", None))]
    assert verdicts_of(pd.DataFrame(years)).table["cluster"].tolist() == [0, 0, 1, 2]
    assert verdicts_of(pd.DataFrame(years[2:])).table["cluster"].tolist() == [0, 1]


def test_one_id_for_two_instructions_is_refused_with_the_remedy() -> None:
    rows = row("a", instruction_id=3), row("a ", instruction_id="3"), row("b", instruction_id=3.0)
    with pytest.raises(InputError, match=r"'3(\.0)?' stands for two .*'a' and 'b'.*drop .*instruction_id.*dataset"):
        verdicts_of(pd.DataFrame(list(rows)))
    apart = [r | {"dataset": name} for r, name in zip(rows, "xxy", strict=True)]
    assert verdicts_of(pd.DataFrame(apart)).table["cluster"].tolist() == [0, 0, 1]
    chats = [row(None, instruction_id=3, messages=[{"role": "user", "content": c}]) for c in "ab"]
    with pytest.raises(InputError, match="'3' stands for two"):
        verdicts_of(pd.DataFrame(chats))


@pytest.mark.parametrize("slim_first", [False, True])
def test_a_model_in_a_full_and_a_slim_file_counts_once(slim_first: bool) -> None:
    full = [row(f"q{i}", 2.0, instruction_id=i, output_2="x" * (i + 1)) for i in range(3)]
    slim = [
        {k: v for k, v in r.items() if k not in ("instruction", "output_1", "output_2")}
        | {"length_1": len(r["output_1"]), "length_2": len(r["output_2"])}
        for r in full
    ]
    other = slim[0] | {"length_2": 99, "preference": 1.0}  # another output to the same instruction
    result = units(*([*slim, other, *full] if slim_first else [*full, *slim, other]))
    assert sorted(result.table["p"]) == [0.0, 1.0, 1.0, 1.0]
    assert result.table["instruction_sha256"].notna().sum() == 3
    assert set(result.table["length"]) == {1, 2, 3, 99}


def test_rows_that_nothing_identifies_are_refused() -> None:
    with pytest.raises(InputError, match="row 2 has neither"):
        verdicts_of(pd.DataFrame([row("a"), row(None)]))


def test_several_samples_of_one_instruction_are_comparisons_of_one_cluster() -> None:
    result = units(row("a", 2.0, output_2="x"), row("a", 1.0, output_2="y"), row("a", 1.0, output_2="y", repeat=1))
    assert len(result.table) == 2
    assert result.table["cluster"].nunique() == 1


def test_each_annotator_has_its_own_units() -> None:
    data = verdicts_of(pd.DataFrame([row("a"), row("a", 1.0, annotator="k")]))
    assert [u.annotator for u in units_by_annotator(data, "b")] == ["j", "k"]


def test_empty_and_cut_off_outputs_are_counted() -> None:
    result = units(row("a", output_2=""), row("b", finish_reason_2="length"), row("c", output_1=""))
    assert (result.empty_outputs, result.cut_off_outputs) == (2, 1)
