"""Annotations read as streams: the same board as from a table in memory, without the texts."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tables import verdicts_of

from simfarm.cli import main
from simfarm.data import frames, spool
from simfarm.data.evidence import READ
from simfarm.data.files import write_rows
from simfarm.data.frames import Verdicts, frame_verdicts, read_verdicts
from simfarm.data.inputs import comparisons_for, read_for_evaluation
from simfarm.data.reading import iter_columns, iter_rows
from simfarm.data.spool import spooled
from simfarm.errors import InputError
from simfarm.ranking import boards as ranked
from simfarm.ranking import inspection, rank_partitions, rate_models, style_win_rates

RNG = np.random.default_rng(1)
WORDS = ["one", "two", "# three\n", "**four**", "- five\n", "ünf", "[[A]]", "```\nsix\n```\n"]


def verdicts(model: str, n: int = 40, **columns: Any) -> list[dict[str, Any]]:
    rows = []
    for i in range(n):
        text = "the same" if model == "constant" else " ".join(RNG.choice(WORDS, 6)) + f" {i}"
        for order in ("12", "21"):
            rows.append(
                {"instruction": f" question {i}? ", "output_1": f"baseline {i}", "output_2": text}
                | {"generator_1": "base", "generator_2": model, "annotator": "j", "judge_hash": "h"}
                | {"preference": float(RNG.choice([1, 1.2, 1.5, 2])), "order": order, "repeat": 0}
                | {"category": f"c{i % 2}", "raw_completion": {"text": "m" * 200}}
                | columns
            )
    return rows


def boards(frame: Verdicts) -> list[dict[str, Any]]:
    return [board.to_json() for board in ranked(frame, baseline="base")]


def test_a_mixed_bag_of_files_gives_the_board_of_the_table_in_memory(tmp_path: Path) -> None:
    bag = {f"{m}{s}": verdicts(m) for m, s in zip("abcd", (".jsonl.gz", ".json", ".parquet", ".csv.zst"), strict=True)}
    bag["constant.jsonl"] = verdicts("constant", status="verdict")
    for name, rows in bag.items():
        write_rows(tmp_path / name, rows)
    rows_of_all = pd.DataFrame([row for rows in bag.values() for row in rows])
    read = read_for_evaluation([tmp_path / name for name in bag], inspection=inspection("style"))
    assert read is not None
    table, whole = read[0], verdicts_of(rows_of_all, "style")
    assert not {"instruction", "output_1", "output_2", "raw_completion"} & set(table.table)
    assert boards(table) == boards(whole)
    assert [b["models"][0]["flags"] for b in boards(table)] != ["not checked"]
    assert "constant-output" in json.dumps(boards(table))
    slim, full = (style_win_rates(f, ranked(f, baseline="base")[0], "style") for f in (table, whole))
    assert {k: e.value for k, e in slim.controlled.items()} == {k: e.value for k, e in full.controlled.items()}
    slim_rates, full_rates = (rate_models(f, "bradley-terry", control="length,lists")[0].table for f in (table, whole))
    pd.testing.assert_frame_equal(slim_rates, full_rates)


def test_a_folder_of_parts_is_an_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = verdicts("m") + verdicts("k")
    (tmp_path / "parts").mkdir()
    for part in range(20):
        write_rows(tmp_path / "parts" / f"part-{part:02}.parquet", rows[8 * part : 8 * part + 8])
    write_rows(tmp_path / "whole.jsonl", rows)
    told = []
    for name in (tmp_path / "parts", tmp_path / "whole.jsonl"):
        assert main(["evaluate", str(name), "--json"]) == 0
        told.append(json.loads(capsys.readouterr().out))
    assert told[0] == told[1]


def test_partitions_that_simfarm_wrote_are_ranked_as_the_table_is(tmp_path: Path) -> None:
    pytest.importorskip("duckdb")
    rows = verdicts("m") + verdicts("k")
    files = [tmp_path / f"part-{part}.parquet" for part in range(5)]
    for part, file in enumerate(files):
        write_rows(file, rows[32 * part : 32 * part + 32])
    found = rank_partitions(files).estimates
    whole = rate_models(verdicts_of(pd.DataFrame(rows)), "bradley-terry")[0].estimates
    assert list(found) == list(whole)
    for name, estimate in whole.items():
        assert found[name].value == pytest.approx(estimate.value, abs=1e-6)
        assert found[name].standard_error == pytest.approx(estimate.standard_error, rel=1e-6)
    write_rows(files[0], [row | {"annotator": "another"} for row in rows[:32]])
    with pytest.raises(InputError, match="2 judges"):
        rank_partitions(files)


@pytest.mark.parametrize("dataset", ["d", None])
def test_a_lone_partition_is_ranked_whether_or_not_each_row_names_its_dataset(
    tmp_path: Path, dataset: str | None
) -> None:
    pytest.importorskip("duckdb")
    rows = [row | {"instruction_id": row["instruction"]} for row in verdicts("m", dataset="d") + verdicts("k")]
    rows = [row | {"dataset": row.get("dataset", dataset)} for row in rows]
    write_rows(tmp_path / "part.parquet", rows)
    ranked_whole = rate_models(verdicts_of(pd.DataFrame(rows)), "bradley-terry")[0].estimates
    estimates = rank_partitions([tmp_path / "part.parquet"]).estimates
    assert {name: one.value for name, one in estimates.items()} == pytest.approx(
        {name: one.value for name, one in ranked_whole.items()}, abs=1e-6
    )


def test_what_a_row_means_is_decided_once_for_all_estimates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = verdicts("m") + verdicts("k")
    people = [row | {"annotator": "a person", "preference": float(RNG.choice([1, 2]))} for row in rows[:80:2]]
    write_rows(tmp_path / "v.jsonl", rows)
    write_rows(tmp_path / "people.jsonl", people)
    normal, read = frames._normal, []
    monkeypatch.setattr(frames, "_normal", lambda gathered, source: (read.append(source), normal(gathered, source))[1])
    files = [str(tmp_path / "v.jsonl"), str(tmp_path / "people.jsonl")]
    assert main(["evaluate", files[0], "--control", "style", "--human", files[1], "--json"]) == 0
    board = json.loads(capsys.readouterr().out)
    assert {"style_controlled", "human_calibrated"} <= set(board)
    assert sorted(read) == sorted(files)


def test_two_outputs_of_one_length_are_two_comparisons_without_their_texts() -> None:
    rows = [r | {"output_2": t} for t in ("aa", "bb") for r in verdicts("m", 2)]
    table = frame_verdicts(pd.DataFrame(rows), "f")
    (board,) = ranked(table, baseline="base", length_control=())
    assert board.table["n_total"].tolist() == [4]


@pytest.mark.parametrize("odd", ["m", "True", "1;2"])
def test_a_preference_that_is_no_number_is_told_by_its_row_in_a_file_of_plain_cells(tmp_path: Path, odd: str) -> None:
    (tmp_path / "a.csv").write_text(f"instruction_id,preference\n1,2\n2, \n3,\n4,{odd}\n5,{odd}\n")
    with pytest.raises(InputError, match=f"row 4 has the unknown preference '{odd}'"):
        read_verdicts([("a", iter_columns(tmp_path / "a.csv", READ))])
    (tmp_path / "a.csv").write_text("instruction_id,preference,length_1\n1, 2.0,7\n2, ,\n1e3,1.5,1e2\n")
    table = read_verdicts([("a", iter_columns(tmp_path / "a.csv", READ))])
    assert table is not None
    np.testing.assert_array_equal(table.table["preference"], [2.0, np.nan, 1.5])
    np.testing.assert_array_equal(table.table["length_1"], [7.0, np.nan, 100.0])


@pytest.mark.parametrize("value", [True, False])
@pytest.mark.parametrize("name", ["a.jsonl", "a.csv", "a.parquet"])
def test_truth_values_are_no_preferences(tmp_path: Path, name: str, value: bool) -> None:
    write_rows(tmp_path / name, [row | {"preference": value} for row in verdicts("m", 2)])
    with pytest.raises(InputError, match=r"row 1 has the unknown preference '?(True|False)"):
        read_for_evaluation([tmp_path / name])


def test_a_column_that_stands_twice_in_a_frame_is_refused() -> None:
    frame = pd.DataFrame([[1, 2, "q"]], columns=["preference", "preference", "instruction"])
    with pytest.raises(InputError, match="'preference' twice"):
        frame_verdicts(frame, "f")


def test_one_id_for_two_instructions_is_told_with_their_words(tmp_path: Path) -> None:
    rows = [row | {"instruction_id": 7} for row in verdicts("m", 2)]
    write_rows(tmp_path / "a.jsonl", rows)
    with pytest.raises(InputError, match=r"'7' stands for two .* 'question 0\?' and 'question 1\?'"):
        read_for_evaluation([tmp_path / "a.jsonl"])


def test_records_on_disk_are_those_in_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    outputs = [{"instruction": f"q{i}", "output": f"o{i}" * 9, "generator": g} for g in ("m", "b") for i in range(50)]
    write_rows(tmp_path / "a.jsonl", outputs)
    held = comparisons_for([tmp_path / "a.jsonl"], "b")
    monkeypatch.setattr(spool, "_HELD", 1000)
    on_disk = comparisons_for([tmp_path / "a.jsonl"], "b")
    assert isinstance(held, list)
    assert not isinstance(on_disk, list)
    assert list(on_disk) == held
    assert on_disk[7:9] == held[7:9]
    assert on_disk[-1] == held[-1]
    assert [*spooled(iter_rows(tmp_path / "a.jsonl"))] == outputs
