"""Columns under names of the user's own (`--columns`): in every verb, in files of every kind and in tables."""

import json
from pathlib import Path
from typing import Any

import pytest

import simfarm
from simfarm.cli import main
from simfarm.data.files import read_rows, write_rows
from simfarm.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:judge.*reads no meaning")

THEIRS = {"instruction": "question", "output": "response", "generator": "system_name"}
NAMED = [word for ours, theirs in THEIRS.items() for word in ("--columns", f"{ours}={theirs}")]


def outputs(generator: str, n: int = 6) -> list[dict[str, Any]]:
    return [
        {"instruction": f"Question {i}?", "output": f"{generator} says {i}" * (1 + i % 3), "generator": generator}
        for i in range(n)
    ]


def renamed(rows: list[dict[str, Any]], names: dict[str, str]) -> list[dict[str, Any]]:
    return [{names.get(name, name): value for name, value in row.items()} for row in rows]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("m", "base"):
        write_rows(f"{name}.json", outputs(name))
        for suffix in ("jsonl.gz", "csv", "parquet"):
            write_rows(f"{name}-theirs.{suffix}", renamed(outputs(name), THEIRS))
    return tmp_path


@pytest.mark.parametrize("suffix", ["jsonl.gz", "csv", "parquet"])
def test_outputs_under_other_names_are_judged_as_our_own(files: Path, suffix: str) -> None:
    ours = ["annotate", "m.json", "--baseline", "base.json", "--judge", "longest", "-o"]
    theirs = ["annotate", f"m-theirs.{suffix}", "--baseline", f"base-theirs.{suffix}", "--judge", "longest", "-o"]
    assert main([*ours, "ours.jsonl"]) == 0
    assert main([*theirs, "theirs.jsonl", *NAMED]) == 0
    assert Path("ours.jsonl").read_bytes() == Path("theirs.jsonl").read_bytes()


VERDICTS = {"annotator": "who", "preference": "verdict", "generator_2": "model", "length_1": "chars_a"}


@pytest.fixture
def verdicts(files: Path) -> list[str]:
    rows = [
        {
            "instruction": f"Question {i}?",
            "generator_1": "base",
            "generator_2": model,
            "annotator": "j",
            "preference": 1.0 + (i + place) % 2,
            "length_1": 10 + i,
            "length_2": 5 + 2 * i,
        }
        for i in range(30)
        for place, model in enumerate(("one", "two"))
    ]
    write_rows("v.csv", rows)
    for suffix in ("csv", "jsonl", "parquet"):
        write_rows(f"v-theirs.{suffix}", renamed(rows, VERDICTS))
    return [word for ours, theirs in VERDICTS.items() for word in ("--columns", f"{ours}={theirs}")]


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
def test_verdicts_under_other_names_are_ranked_as_our_own(
    verdicts: list[str], suffix: str, capsys: pytest.CaptureFixture[str]
) -> None:
    for verb, *words in (["evaluate"], ["compare", "one", "two"], ["rejudge", "v.csv"]):
        said = []
        for file, named in (("v.csv", []), (f"v-theirs.{suffix}", verdicts)):
            first = "v2.csv" if verb == "rejudge" and file == "v.csv" else file
            if first == "v2.csv":
                write_rows("v2.csv", read_rows("v.csv"))
            assert main([verb, first, *words, "--json", *named]) == 0, capsys.readouterr().err
            said.append(capsys.readouterr().out.replace(first, "FILE"))
        assert said[0] == said[1]


def test_show_select_and_generate_take_names_too(
    files: Path, verdicts: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "v-theirs.csv", *verdicts, "-n", "1"]) == 0
    assert "1 of 60" in capsys.readouterr().out
    write_rows("n.jsonl", [row | {"sample": s} for s in range(2) for row in renamed(outputs("m"), THEIRS)])
    assert main(["select", "n.jsonl", "--method", "longest", "-o", "best.jsonl", *NAMED]) == 0
    assert len(read_rows("best.jsonl")) == 6
    write_rows("asked.jsonl", [{"question": "Why?"}])
    assert main(["generate", "asked.jsonl", "--model", "openai/x", "--price", "1,1", "--dry-run", *NAMED[:2]]) == 0


@pytest.mark.parametrize("kind", ["pandas", "polars", "rows"])
def test_tables_have_names_of_their_own_too(files: Path, kind: str) -> None:
    table: Any = list if kind == "rows" else pytest.importorskip(kind).DataFrame
    theirs = table(renamed(outputs("m"), THEIRS))
    base = table(renamed(outputs("base"), THEIRS))
    made = simfarm.annotate(theirs, baseline=base, judge="longest", columns=THEIRS)
    assert list(made["generator_2"]) == ["m"] * 6
    assert simfarm.read(theirs, columns=THEIRS) == outputs("m")


def test_columns_can_change_places(files: Path) -> None:
    rows = [{"instruction": "Why?", "output_1": "a", "output_2": "b"}]
    write_rows("pairs.jsonl", rows)
    swapped = simfarm.read("pairs.jsonl", columns={"output_1": "output_2", "output_2": "output_1"})
    assert swapped == [{"instruction": "Why?", "output_1": "b", "output_2": "a"}]


def test_a_file_in_our_own_names_needs_none(files: Path) -> None:
    """One of the files is ours already: a baseline, or the work of another tool."""
    made = ["annotate", "m-theirs.csv", "--baseline", "base.json", "--judge", "longest", "-o", "v.jsonl"]
    assert main([*made, *NAMED]) == 0
    assert len(read_rows("v.jsonl")) == 6


@pytest.mark.parametrize(
    ("columns", "told"),
    [
        (
            {"instruction": "prompt"},
            r"m-theirs.csv: has no column 'prompt' to be 'instruction', as columns says; it has",
        ),
        ({"system_name": "response"}, "has a column 'system_name' beside 'response'"),
        ({"instruction": "question", "output": "question"}, "has their column 'question' twice"),
        ({"instruction": ""}, "has ''; it takes names"),
        ({"instruction": 3}, "has 3; it takes names"),
    ],
)
def test_what_cannot_be_renamed_is_one_line(files: Path, columns: dict[str, str], told: str) -> None:
    with pytest.raises(InputError, match=told):
        simfarm.read("m-theirs.csv", columns=columns)


def test_a_row_that_has_a_column_under_both_names(files: Path) -> None:
    rows = [*renamed(outputs("m", 120), {"output": "response"}), {"instruction": "x", "output": "1", "response": "2"}]
    with pytest.raises(InputError, match="row 121 has 'response' and 'output', which are one"):
        simfarm.read(rows, columns={"output": "response"})


def test_unknown_columns_are_told_how_to_be_named(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("odd.jsonl", [{"frage": "Warum?", "antwort": "Darum."}])
    assert main(["annotate", "odd.jsonl", "--judge", "longest"]) == 2
    said = capsys.readouterr().err
    assert "it has antwort, frage; add --columns OURS=THEIRS" in " ".join(said.split())


@pytest.mark.parametrize("word", ["instruction", "=question", "instruction=", "="])
def test_a_word_that_names_nothing(files: Path, word: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["show", "m.json", "--columns", word])
    assert ended.value.code == 2
    assert f"'{word}' is not OURS=THEIRS, for example instruction=question" in capsys.readouterr().err


def test_an_own_covariate_may_be_called_otherwise(files: Path) -> None:
    """What is read of a file depends on what is asked for, and renaming must not hide it."""
    rows = [
        {"instruction": f"Q{i}?", "generator_1": "a", "generator_2": "b", "preference": 1 + i % 2, "la": i, "lb": 3}
        for i in range(40)
    ]
    Path("c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    columns = {"latency_1": "la", "latency_2": "lb"}
    said = simfarm.evaluation("c.jsonl", control="latency", rank="bradley-terry", columns=columns)
    assert any("latency" in repr(one) for one in said.ratings)
    own = [
        row | {"latency_1": row.pop("la"), "latency_2": row.pop("lb"), "better": row.pop("preference")} for row in rows
    ]
    Path("c.jsonl").write_text("\n".join(map(json.dumps, own)))
    said = simfarm.evaluation("c.jsonl", control="latency", rank="bradley-terry", columns={"preference": "better"})
    assert any("latency" in repr(one) for one in said.ratings)
