"""`simfarm agreement`: what a user sees, and ten inputs that are refused in one line."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from simfarm.cli import main

ROWS = [
    {
        "instruction": f"question {k}",
        "output_1": f"short {k}",
        "output_2": f"an answer to {k} that is longer by more than thirty characters",
        "generator_1": "base",
        "generator_2": "new",
        "preference": 2.0 if k % 3 else 1.0,
    }
    for k in range(30)
]


def _file(path: Path, rows: list[dict[str, Any]], **more: Any) -> str:
    path.write_text("\n".join(json.dumps(row | more) for row in rows), encoding="utf-8")
    return str(path)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """verdicts.jsonl by `mine`, and labels.jsonl by two people who see the pairs the other way round."""
    monkeypatch.chdir(tmp_path)
    judged = [row | ({"preference": 3 - float(row["preference"])} if k % 5 == 0 else {}) for k, row in enumerate(ROWS)]
    _file(tmp_path / "verdicts.jsonl", judged, annotator="mine")
    turned = [
        {
            "instruction": row["instruction"],
            "output_1": row["output_2"],
            "output_2": row["output_1"],
            "preference": 3 - float(row["preference"]),
            "person": person,
        }
        for row in ROWS
        for person in ("Ann", "Bob")
    ]
    _file(tmp_path / "labels.jsonl", turned)
    return tmp_path


def test_a_card_is_lines_with_what_to_do_at_the_end(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["agreement", "verdicts.jsonl", "--human", "labels.jsonl", "-o", "card.csv"]) == 0
    out, err = capsys.readouterr()
    assert out.startswith("mine · 30 comparisons, 30 with labels by 2 people")
    agreement = next(line for line in out.splitlines() if "agreement with people" in line)
    assert agreement.split()[3] == "80.0"
    assert agreement.split()[-2:] == ["100.0", "66.7"]
    assert "60 labels of 60 show their outputs the other way round" in err
    assert out.rindex("what to do") > out.rindex("price (no column price)")
    assert "replacing people (needs 3 people with 30 votes each" in out
    with open("card.csv", encoding="utf-8") as file:
        rows = {row["rater"]: row for row in csv.DictReader(file)}
    assert list(rows) == ["people", "longest", "mine"]
    assert float(rows["mine"]["agreement"]) == pytest.approx(80)


def test_people_stand_beside_a_judge_on_what_it_judged(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _file(files / "some.jsonl", [row for k, row in enumerate(ROWS) if k % 3], annotator="mine")
    assert main(["agreement", "some.jsonl", "--human", "labels.jsonl"]) == 0
    out, _ = capsys.readouterr()
    agreement = next(line for line in out.splitlines() if "agreement with people" in line)
    assert agreement.split()[-2:] == ["100.0", "100.0"]  # of all thirty the longest has 66.7
    assert "people and longest: on the comparisons that mine has verdicts on" in out


def test_several_judges_are_rows_and_files_have_everything(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for k, name in enumerate(("a", "b", "c")):
        _file(files / f"{name}.jsonl", ROWS[k:], annotator=name)
    assert main(["agreement", "a.jsonl", "b.jsonl", "c.jsonl", "--human", "labels.jsonl", "-o", "card.md"]) == 0
    out, _ = capsys.readouterr()
    heads = [line.split()[0] for line in out.splitlines() if line[:1] in "abc" and len(line.split()) > 5]
    assert heads[:3] == ["a", "b", "c"]
    assert "is one judge better than another?" in out
    assert "first is better by" in out
    assert "which judges say the same?" in out
    assert "not known: " in out
    assert "position (no column order)" in out
    assert "below\\_ceiling" in (files / "card.md").read_text("utf-8")
    assert main(["agreement", "a.jsonl", "b.jsonl", "--human", "labels.jsonl", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert [one["rater"] for one in record["raters"]] == ["people", "longest", "a", "b"]
    assert record["pairs"][0]["n_comparisons"] == 29


def test_judges_that_say_the_same_are_told(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """κ of every two, the most alike first: in the table, in every file, with limits where there are few judges."""
    turned = [row | ({"preference": 3 - float(row["preference"])} if k % 3 == 1 else {}) for k, row in enumerate(ROWS)]
    _file(files / "a.jsonl", ROWS, annotator="a")
    _file(files / "b.jsonl", turned, annotator="b")
    _file(files / "c.jsonl", ROWS[4:], annotator="c")
    assert main(["agreement", "a.jsonl", "b.jsonl", "c.jsonl", "-o", "card.csv"]) == 0
    lines = capsys.readouterr().out.splitlines()
    (start,) = (k for k, line in enumerate(lines) if line.startswith("which judges say the same?"))
    pairs = [line.split()[:3] for line in lines[start + 4 : start + 7]]
    assert pairs[0] == ["a", "c", "1.00"]
    assert "(" in lines[start + 4]
    with (files / "card.csv").open() as stream:
        rows = {row["rater"]: row for row in csv.DictReader(stream)}
    assert float(rows["a"]["cohen_kappa_with_c"]) == 1
    assert rows["a"]["cohen_kappa_with_a"] == ""
    assert main(["agreement", "a.jsonl", "b.jsonl", "c.jsonl", "--json"]) == 0
    alike = json.loads(capsys.readouterr().out)["alike"]
    assert (alike[0]["a"], alike[0]["b"]) == ("a", "c")
    assert [one["n_comparisons"] for one in alike] == [26, 30, 26]
    by_pair = {(one["a"], one["b"]): one["cohen_kappa"] for one in alike}
    assert float(rows["b"]["cohen_kappa_with_a"]) == pytest.approx(by_pair["a", "b"])
    assert all(one["low"] < one["cohen_kappa"] <= one["high"] for one in alike)


def test_labels_may_lie_in_several_files(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lines = (files / "labels.jsonl").read_text("utf-8").splitlines()
    for k in range(2):
        (files / f"part{k}.jsonl").write_text("\n".join(lines[k::2]), encoding="utf-8")
    assert main(["agreement", "verdicts.jsonl", "--human", "part0.jsonl", "part1.jsonl", "--json"]) == 0
    parts = json.loads(capsys.readouterr().out)
    assert main(["agreement", "verdicts.jsonl", "--human", "labels.jsonl", "--json"]) == 0
    assert parts["raters"] == json.loads(capsys.readouterr().out)["raters"]


LABEL = {"instruction": "question 1", "preference": 2.0, "person": "Ann"}
BAD: dict[str, tuple[list[dict[str, Any]], list[str], str]] = {
    "no shared instruction": ([LABEL | {"instruction": "another"}], [], "share no instruction, by id or text"),
    "no shared comparison": (
        [LABEL | {"output_1": "x", "output_2": "y"}],
        [],
        "share instructions but no comparison, by the outputs' texts",
    ),
    "two labels of one person": (
        [LABEL, LABEL | {"preference": 1.0}],
        [],
        "'Ann' gave 1 comparison two different labels (first: 'question 1')",
    ),
    "no question": ([{"preference": 2}], [], "under its own name or another (--columns instruction_id=NAME)"),
    "no preference": ([{"instruction": "question 1", "label": 2}], [], "holds no labels (column 'preference')"),
    "no label in any row": ([LABEL | {"preference": None}], [], "not one of its rows has a preference"),
    "coded 0 to 1": ([LABEL | {"preference": 0.7}], [], "add 1 to the column"),
    "a label that is none": ([LABEL | {"preference": "left"}], [], "unknown preference 'left'"),
    "a person who is a judge": ([LABEL | {"person": "mine"}], [], "is it a judge or a person?"),
    "an unknown format": ([LABEL], ["-o", "card.txt"], "written as .csv, .json or .md"),
    "over its own input": ([LABEL], ["-o", "labels.json"], "is an input as well"),
    "no such judge": ([LABEL], ["--own", "yours=new"], "'yours' is no annotator; there are mine"),
    "no such generator": ([LABEL], ["--own", "mine=other"], "'other' is no generator; there are base, new"),
}


@pytest.mark.parametrize("verb", ["agreement", "dissect", "evaluate"])
def test_labels_of_a_crowd_are_not_taken_for_peoples(
    files: Path, capsys: pytest.CaptureFixture[str], verb: str
) -> None:
    labels = [json.loads(line) for line in (files / "labels.jsonl").read_text().splitlines()]
    whose = {"generator_1": "new", "generator_2": "base"}
    people = _file(files / "people.jsonl", labels, **whose)
    crowd = _file(files / "crowd.jsonl", labels, **whose, annotator="many", is_noised=False)
    for given, told in ((people, False), (crowd, True)):
        assert main([verb, "verdicts.jsonl", "--human", given]) == 0
        assert ("the labels are simulated, by many:" in capsys.readouterr().err) == told


@pytest.mark.parametrize("case", BAD)
def test_what_does_not_fit_is_refused_in_one_line(files: Path, capsys: pytest.CaptureFixture[str], case: str) -> None:
    rows, options, said = BAD[case]
    name = "labels.json" if "labels.json" in options else "bad.jsonl"
    if name == "labels.json":
        Path(name).write_text(json.dumps(rows), encoding="utf-8")
    else:
        _file(files / name, rows)
    assert main(["agreement", "verdicts.jsonl", "--human", name, *options]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert said in err
    assert len(err.strip().splitlines()) == 1


def test_labels_of_one_model_among_several_need_its_name(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    more = [row | {"generator_2": "newer", "output_2": f"another {k}"} for k, row in enumerate(ROWS)]
    _file(files / "two.jsonl", [*ROWS, *more], annotator="mine")
    _file(files / "bad.jsonl", [LABEL])
    assert main(["agreement", "two.jsonl", "--human", "bad.jsonl"]) == 2
    assert "the labels lack generator_1 and generator_2 to tell them apart" in capsys.readouterr().err


def test_no_name_of_a_judge_reaches_the_terminal_as_it_is(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _file(files / "odd.jsonl", ROWS, annotator="\x1b[31mred\nnext", dataset="=1+1", generator_2="<b>new</b>")
    assert main(["agreement", "odd.jsonl", "--human", "labels.jsonl", "-o", "card.csv"]) == 0
    out, err = capsys.readouterr()
    assert "\x1b" not in out + err
    assert "\\x1b[31mred\\nnext" in out
