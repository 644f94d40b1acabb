"""Boards as files: they grow with the panel, keep one judge, and published boards stand beside them."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from simfarm.cli import main
from simfarm.data.files import write_rows


def verdicts(model: str, wins: int, **columns: Any) -> list[dict[str, Any]]:
    return [
        {
            "instruction": f"Question {i}?",
            "generator_1": "base",
            "generator_2": model,
            "output_1": f"base {i}" * (1 + i % 4),
            "output_2": f"{model} {i}" * (1 + i % 3),
            "annotator": "judge",
            "judge_hash": "abc",
            "preference": 2 if i * 7 % 10 < wins else 1,
        }
        | columns
        for i in range(60)
    ]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_board_that_grew_equals_one_made_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("one.jsonl", verdicts("one", 3))
    write_rows("two.jsonl", verdicts("two", 6))
    assert main(["evaluate", "one.jsonl", "--add-to", "grown"]) == 0
    assert main(["evaluate", "two.jsonl", "--add-to", "grown"]) == 0
    assert main(["evaluate", "one.jsonl", "two.jsonl", "--add-to", "whole"]) == 0
    grown, whole = pd.read_csv("grown.csv"), pd.read_csv("whole.csv")
    pd.testing.assert_frame_equal(grown, whole)
    assert grown["model"].tolist() == ["two", "one"]
    assert grown["flags"].isna().all()
    manifest = json.loads(Path("grown.json").read_text())
    assert sorted(manifest["inputs"]) == ["one.jsonl", "two.jsonl"]
    assert (manifest["panel_size"], manifest["judge_hash"], manifest["baseline"]) == (2, "abc", "base")
    assert "instruction" not in pd.read_parquet("grown.parquet")


def test_a_kept_board_knows_in_which_orders_its_judge_asks() -> None:
    first = verdicts("one", 3, order="12", judge_order="both")
    write_rows("one.jsonl", [*first, *(row | {"order": "21"} for row in first[:20])])
    write_rows("two.jsonl", verdicts("two", 6))
    for name in ("two", "one"):
        assert main(["evaluate", f"{name}.jsonl", "--add-to", "board"]) == 0
    assert pd.read_csv("board.csv").set_index("model")["n_total"].to_dict() == {"one": 20, "two": 60}
    assert main(["evaluate", "board.parquet", "-o", "again.csv"]) == 0
    assert pd.read_csv("again.csv").set_index("model")["n_total"].to_dict() == {"one": 20, "two": 60}


def test_a_model_that_comes_again_replaces_itself() -> None:
    for name, wins in (("old.jsonl", 3), ("new.jsonl", 7)):
        write_rows(name, verdicts("one", wins))
        assert main(["evaluate", name, "--add-to", "board.csv"]) == 0
    board = pd.read_csv("board.csv")
    assert board["n_total"].tolist() == [60]
    assert board["win_rate"].tolist() == pytest.approx([70.0])


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        ({"annotator": "another"}, "made with the annotator 'judge', the new verdicts with 'another'"),
        ({"judge_hash": "xyz"}, "made with the judge_hash 'abc', the new verdicts with 'xyz'"),
        ({"generator_1": "other-base"}, "made with the baseline 'base'"),
        ({"instruction": "another set"}, "shares no instruction"),
    ],
)
def test_what_does_not_belong_is_refused(
    columns: dict[str, Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows("one.jsonl", verdicts("one", 3))
    odd = verdicts("odd", 3, **columns)
    if "instruction" in columns:
        odd = [row | {"instruction": f"{row['instruction']} {i}"} for i, row in enumerate(odd)]
    write_rows("odd.jsonl", odd)
    assert main(["evaluate", "one.jsonl", "--add-to", "board"]) == 0
    before = Path("board.csv").read_bytes()
    assert main(["evaluate", "odd.jsonl", "--add-to", "board"]) == 2
    assert told in capsys.readouterr().err
    assert Path("board.csv").read_bytes() == before


def test_rows_without_a_judge_hash_are_another_judges(capsys: pytest.CaptureFixture[str]) -> None:
    rows = verdicts("one", 3)
    write_rows("one.jsonl", [row | ({"judge_hash": None} if i % 2 else {}) for i, row in enumerate(rows)])
    assert main(["evaluate", "one.jsonl", "--mix-judges", "--add-to", "board"]) == 2
    assert "by judge (judge hashes: 2)" in capsys.readouterr().err


def test_a_file_that_is_no_board_is_not_overwritten(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("one.jsonl", verdicts("one", 3))
    Path("mine.csv").write_text("precious")
    assert main(["evaluate", "one.jsonl", "--add-to", "mine"]) == 2
    assert Path("mine.csv").read_text() == "precious"


def test_models_are_placed_among_the_published_ones(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("one.jsonl", verdicts("one", 10) + verdicts("two", 0))
    assert main(["evaluate", "one.jsonl", "--board", "alpaca-eval-2"]) == 0
    told = capsys.readouterr().out
    lines = told[told.index("among the 223 models of alpaca-eval-2, by win rate\n") :].splitlines()
    assert lines[2].split() == ["model", "place", "win", "rate", "above", "below"]
    assert lines[4].split()[:5] == ["one", "1", "of", "224", "100.0"]
    assert lines[5].split()[:5] == ["two", "224", "of", "224", "0.0"]
    assert "not comparable as it stands: judge judge, not weighted_alpaca_eval_gpt4_turbo" in lines
    assert "not comparable as it stands: 60 instructions, not 805" in lines
    assert main(["evaluate", "one.jsonl", "--board", "nobody"]) == 2


def test_a_published_model_stands_where_it_was_published(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    data = shared_data / "alpaca_eval_2"
    slim = pd.read_parquet(data / "preferences.parquet")
    slim[slim["generator_2"] == "claude-2"].to_parquet("claude.parquet")
    assert main(["evaluate", "claude.parquet", "--board", "alpaca-eval-2"]) == 0
    told = capsys.readouterr().out
    published = pd.read_csv(Path(__file__).parents[1] / "leaderboards" / "alpaca-eval-2.csv")
    place = int((published["win_rate"] > published.set_index("model").loc["claude-2", "win_rate"]).sum()) + 1
    assert any(line.split()[:4] == ["claude-2", f"{place}", "of", "223"] for line in told.splitlines())


def test_a_board_is_written_though_nobody_reads_the_print() -> None:
    write_rows("one.jsonl", verdicts("one", 3))
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, "-m", "simfarm", "evaluate", "one.jsonl", "-o", "board.csv"]
    subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, timeout=120, check=False)
    os.close(writing)
    assert Path("board.csv").read_text().count("\n") == 2


def test_a_kept_board_is_held_at_equal_length_as_alpaca_eval_does_it(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shared_data / "alpaca_eval_2"
    slim = pd.read_parquet(data / "preferences.parquet")
    asked = pd.read_json(data / "instructions.jsonl", lines=True)["instruction"]
    rows = slim[slim["generator_2"] == "claude-2"]
    rows.assign(instruction=asked.loc[rows["instruction_id"].astype(int)].to_numpy()).to_parquet("claude.parquet")
    command = ["evaluate", "claude.parquet", "--length-control", "alpaca-eval-2", "--lc-data", str(data), "--json"]
    rates = []
    for more in ([], ["--add-to", "board"]):
        assert main([*command, *more]) == 0
        rates.append(json.loads(capsys.readouterr().out)["models"][0]["length_controlled_winrate"])
    assert rates[0] == rates[1] is not None


def test_a_kept_board_does_not_say_that_texts_are_missing(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("one.jsonl", verdicts("one", 3))
    write_rows("two.jsonl", verdicts("two", 6, output_2="the same to all"))
    assert main(["evaluate", "one.jsonl", "--add-to", "board"]) == 0
    told = capsys.readouterr()
    assert "no texts" not in told.out
    assert "wrote board.csv, .parquet and .json" in told.err
    assert main(["evaluate", "two.jsonl", "--add-to", "board"]) == 0
    assert main(["evaluate", "one.jsonl", "--add-to", "board"]) == 0
    told = capsys.readouterr()
    assert "texts" not in told.out
    assert "warning: two was flagged when its texts were read: constant-output" in told.err
    slim = [
        {k: v for k, v in row.items() if not k.startswith("output")} | {"length_1": 9, "length_2": 9}
        for row in verdicts("three", 5)
    ]
    write_rows("three.jsonl", slim)
    assert main(["evaluate", "three.jsonl", "--add-to", "board"]) == 0
    assert "joined without texts: three;" in capsys.readouterr().out


def test_a_kept_board_has_the_names_it_was_given(capsys: pytest.CaptureFixture[str]) -> None:
    name = "=HYPERLINK(1)"
    write_rows("one.jsonl", verdicts(name, 3))
    write_rows("two.jsonl", verdicts("two", 6))
    assert main(["evaluate", "one.jsonl", "--add-to", "board"]) == 0
    assert main(["evaluate", "two.jsonl", "--add-to", "board"]) == 0
    assert f"\n{name} " in capsys.readouterr().out
    assert set(pd.read_parquet("board.parquet")["generator_2"]) == {name, "two"}
    assert pd.read_csv("board.csv")["model"].tolist() == ["two", f"'{name}"]


def test_files_without_generator_columns_are_told_of(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{k: v for k, v in row.items() if k != "generator_2"} for row in verdicts("one", 3)]
    write_rows("odd.jsonl", rows)
    assert main(["evaluate", "odd.jsonl"]) == 0
    assert "warning: the file does not say in generator_2 which model wrote what: output_2" in capsys.readouterr().err
