"""Real judge text through the real parser and engine: eight recorded AlpacaEval files, and what simfarm wrote."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from simfarm.data.files import read_rows, write_rows
from simfarm.data.records import comparisons_from_rows
from simfarm.errors import InputError
from simfarm.judges import load_judge, load_one
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.options import JudgeOptions

RECORDED = [
    "NullModel",
    "alpaca-7b",
    "claude-2",
    "claude-2.1",
    "gpt-3.5-turbo-1106",
    "gpt-3.5-turbo-1106_concise",
    "gpt-3.5-turbo-1106_verbose",
    "vicuna-13b",
]


def joined(data: Path, model: str) -> list[dict[str, Any]]:
    """A recorded file with its texts: AlpacaEval's own annotation rows."""
    folder = data / "alpaca_eval_2"
    instructions = {r["instruction_id"]: r for r in read_rows(folder / "instructions.jsonl")}
    baseline = {r["instruction_id"]: r for r in read_rows(folder / "baseline_gpt4_1106_preview.jsonl.zst")}
    return [
        row
        | {
            "instruction": instructions[row["instruction_id"]]["instruction"],
            "output_1": baseline[row["instruction_id"]]["output"],
        }
        for row in read_rows(folder / "annotations" / f"{model}.annotations.jsonl.zst")
    ]


@pytest.mark.parametrize("model", RECORDED)
def test_recorded_completions_give_the_stored_preferences(shared_data: Path, tmp_path: Path, model: str) -> None:
    rows = joined(shared_data, model)
    write_rows(tmp_path / "recorded.jsonl", rows)
    session = AnnotationRun.open(
        JudgeOptions("pairwise-logprob", model=f"replay/{tmp_path}/recorded.jsonl", order="alpaca-eval")
    )
    made = list(session.results(comparisons_from_rows(rows, "recorded")))
    assert len(made) == len(rows)
    compared = 0
    for row, annotation in zip(rows, made, strict=True):
        if row["output_1"] == row["output_2"]:
            assert annotation.preference == 1.5
        elif row["raw_completion"] is None:
            assert (annotation.status, annotation.preference) == ("error", None)
        else:
            assert annotation.preference == pytest.approx(row["preference"], abs=1e-9)
            compared += 1
    assert compared >= 800


def test_a_simfarm_file_replays_itself_repairs_included(tmp_path: Path) -> None:
    pair = {"instruction": "i", "output_1": "a", "output_2": "b", "generator_1": "x", "generator_2": "y"}
    good, bad = {"text": "so [[B>A]]", "finish_reason": "stop"}, {"text": "no idea", "finish_reason": "stop"}
    rows = [
        pair | {"preference": 2.0, "order": "12", "repeat": 0, "model": "gpt-x", "raw_completion": good},
        pair | {"preference": None, "order": "21", "repeat": 0, "model": "gpt-x", "raw_completion": [bad, good]},
    ]
    write_rows(tmp_path / "first.csv", rows)
    session = AnnotationRun.open(JudgeOptions("pairwise-reasoned", model=f"replay/{tmp_path}/first.csv"))
    made = list(session.results(comparisons_from_rows([pair], "p")))
    assert [a.preference for a in made] == [2.0, 1.0]
    assert made[1].raw_completion == [bad, good]
    assert session.tallies.repaired == 1
    assert session.judge.hash == load_judge("pairwise-reasoned").replace(model="gpt-x").hash
    write_rows(tmp_path / "second.jsonl", [a.row() for a in made])
    again = AnnotationRun.open(JudgeOptions("pairwise-reasoned", model=f"replay/{tmp_path}/second.jsonl"))
    assert [a.row() for a in again.results(comparisons_from_rows([pair], "p"))] == [a.row() for a in made]


def test_what_was_not_recorded_is_an_error_and_never_a_verdict(tmp_path: Path) -> None:
    pair = {"instruction": "i", "output_1": "a", "output_2": "b", "generator_1": "x", "generator_2": "y"}
    write_rows(tmp_path / "r.jsonl", [pair | {"order": "12", "raw_completion": "[[A>B]]"}])
    session = AnnotationRun.open(JudgeOptions("pairwise-reasoned", model=f"replay/{tmp_path}/r.jsonl"))
    first, second = session.results(comparisons_from_rows([pair], "p"))
    assert (first.status, first.preference) == ("verdict", 1.0)
    assert (second.status, second.preference) == ("error", None)
    assert session.tallies.missing == 1


def test_each_judge_of_a_file_is_replayed_by_its_name(tmp_path: Path) -> None:
    pair = {"instruction": "i", "output_1": "a", "output_2": "b", "generator_1": "x", "generator_2": "y"}
    said = {"pairwise-reasoned": "[[A>B]]", "other": "[[B>A]]"}
    rows = [pair | {"order": "12", "annotator": name, "raw_completion": text} for name, text in said.items()]
    rows += [pair | {"order": "21", "annotator": name, "raw_completion": "[[A>B]]"} for name in said]
    write_rows(tmp_path / "two.jsonl", rows)
    third = tmp_path / "third"
    shutil.copytree(load_one("pairwise-reasoned").path.parent, third)

    def verdicts(judge: str) -> list[tuple[float | None, str | None]]:
        run = AnnotationRun.open(JudgeOptions(judge, model=f"replay/{tmp_path}/two.jsonl"))
        return [(a.preference, a.error) for a in run.results(comparisons_from_rows([pair], "p"))]

    assert verdicts("pairwise-reasoned") == [(1.0, None), (2.0, None)]
    first, second = verdicts(str(third))
    assert first == (None, "other, pairwise-reasoned were recorded, and not third; keep the rows of one")
    assert second == (2.0, None)


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"instruction": "i", "preference": 1}], "no row has a 'raw_completion'"),
        ([{"preference": 1, "raw_completion": "m"}], "row 1 has no 'instruction'"),
        ([{"instruction": "i", "raw_completion": 7}], "unknown shape"),
        (
            [{"instruction": "i", "raw_completion": "m"}, {"instruction": "i", "raw_completion": "M"}],
            "row 2 records a second",
        ),
    ],
)
def test_files_that_cannot_be_replayed(tmp_path: Path, rows: list[dict[str, Any]], told: str) -> None:
    (tmp_path / "r.json").write_text(json.dumps(rows))
    with pytest.raises(InputError, match=told):
        AnnotationRun.open(JudgeOptions("pairwise-reasoned", model=f"replay/{tmp_path}/r.json"))
