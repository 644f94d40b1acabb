"""What people have, read: pipes, globs, folders, tables of every library; and what is given twice."""

import gzip
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import simfarm
from simfarm.cli import main
from simfarm.data.files import read_rows, write_rows
from simfarm.data.pipes import sniffed
from simfarm.data.sources import listed, opened
from simfarm.data.unpacking import zstd
from simfarm.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore:judge.*reads no meaning")


def outputs(generator: str, n: int = 6) -> list[dict[str, Any]]:
    return [
        {"instruction": f"Question {i}?", "output": f"{generator} says {i}" * (1 + i % 3), "generator": generator}
        for i in range(n)
    ]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    write_rows(tmp_path / "m.json", outputs("model-m"))
    write_rows(tmp_path / "base.json", outputs("base"))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def bash(command: str) -> subprocess.CompletedProcess[str]:
    program = command.replace("simfarm ", f"{sys.executable} -m simfarm ")
    return subprocess.run(["bash", "-c", program], capture_output=True, text=True, check=False, timeout=120)


def stdin(monkeypatch: pytest.MonkeyPatch, content: bytes) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(content)))


JUDGED = ["--judge", "longest"]


def test_standard_input_process_substitution_and_standard_output(files: Path) -> None:
    expected = bash("simfarm annotate m.json --baseline base.json --judge longest").stdout
    assert len(expected.splitlines()) == 6
    for command in (
        "cat m.json | simfarm annotate - --baseline base.json --judge longest -o -",
        "cat m.json | simfarm annotate /dev/stdin --baseline base.json --judge longest",
        "simfarm annotate /dev/stdin --baseline base.json --judge longest < m.json",
        "simfarm annotate <(cat m.json) --baseline <(cat base.json) --judge longest",
        "simfarm annotate m.json --baseline - --judge longest < base.json",
    ):
        done = bash(command)
        assert (done.returncode, done.stdout) == (0, expected), done.stderr
    done = bash("simfarm annotate m.json --baseline base.json --judge longest --quiet | simfarm evaluate - -o -")
    assert done.stdout.startswith("model,flags,win_rate")
    assert len(done.stdout.splitlines()) == 2


def test_a_pipe_can_be_evaluated_though_outputs_are_read_twice(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stdin(monkeypatch, Path("m.json").read_bytes())
    assert main(["evaluate", "-", "--baseline", "base.json", *JUDGED, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["models"][0]["model"] == "model-m"


def test_pipes_leave_no_copy_behind(files: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    temporary = tmp_path / "temporary"
    temporary.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(temporary))
    for content, status in ((Path("m.json").read_bytes(), 0), (b'{"instruction": "a"}\n{broken', 2)):
        stdin(monkeypatch, content)
        assert main(["annotate", "-", "--baseline", "base.json", *JUDGED, "-o", "a.jsonl"]) == status
    assert not list(temporary.iterdir())


def test_every_format_is_known_by_its_content(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plain = read_rows("m.json")
    contents = []
    for name in ("x.json", "x.jsonl", "x.csv", "x.parquet"):
        write_rows(name, plain)
        contents.append(Path(name).read_bytes())
    contents += [pack(content) for content in contents[:3] for pack in (gzip.compress, zstd.compress)]
    contents.append(json.dumps({"data": plain}, indent=1).encode())
    contents.append(b"\xef\xbb\xbf" + contents[2])
    for content in contents:
        stdin(monkeypatch, content)
        with opened(["-"]) as (sources, _):
            assert [row["output"] for row in read_rows(sources[0])] == [row["output"] for row in plain]
        assert not os.path.exists(sources[0])


def test_a_fault_in_a_pipe_is_told_by_its_own_name(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for content, told in (
        (b'{"a": 1}\n{broken\n', "standard input: not valid JSON at line"),
        (b"", "standard input: has no rows"),
        (b"\0\1\2" * 99, "standard input: is neither JSON, JSONL, CSV nor Parquet"),
        (b"\x1f\x8bnonsense" * 9, "standard input: cannot be decompressed"),
        (b'[{"a": 1}]', "standard input: has neither the columns of outputs"),
    ):
        stdin(monkeypatch, content)
        assert main(["annotate", "-", "--baseline", "base.json", *JUDGED]) == 2
        said = capsys.readouterr().err
        assert told in said
        assert said.count("\n") == 1
    with pytest.raises(InputError, match="neither"):
        sniffed(bytes(1 << 16), "/dev/zero")


def test_standard_input_is_read_once(
    files: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for first, second in (("-", "-"), ("-", "/dev/stdin")):
        stdin(monkeypatch, Path("m.json").read_bytes())
        assert main(["annotate", first, "--baseline", second, *JUDGED]) == 2
        assert "named twice; it can be read once" in capsys.readouterr().err


def test_globs_and_folders(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("runs").mkdir()
    for name in ("one", "two"):
        write_rows(f"runs/{name}.jsonl", outputs(name))
    write_rows("runs/base.csv", outputs("base"))
    Path("runs/notes.txt").write_text("not of rows")
    for given in (["runs"], ["runs/*.jsonl"], ["runs/*.[jc]s*"]):
        assert main(["annotate", *given, "--baseline", "runs/base.csv", *JUDGED, "-o", "a.jsonl"]) == 0
        assert len(read_rows("a.jsonl")) == 12
    assert main(["annotate", "none/*.json", "--baseline", "base.json", *JUDGED]) == 2
    assert "none/*.json: no file matches" in capsys.readouterr().err
    Path("empty").mkdir()
    assert main(["annotate", "empty", "--baseline", "base.json", *JUDGED]) == 2
    assert "empty: is a folder without files" in capsys.readouterr().err
    write_rows("odd[1].json", outputs("odd"))
    assert main(["annotate", "odd[1].json", "--baseline", "base.json", *JUDGED, "-o", "a.jsonl"]) == 0


def test_a_file_twice_is_an_error_however_it_is_named(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("link.json").symlink_to("m.json")
    for more in (["m.json", "m.json"], ["m.json", "./m.json"], ["m.json", "link.json"], ["m.json", "m*.json"]):
        assert main(["annotate", *more, "--baseline", "base.json", *JUDGED]) == 2
        assert "is given twice" in capsys.readouterr().err
    verdicts = simfarm.annotate("m.json", baseline="base.json", judge="longest")
    with pytest.raises(InputError, match="DataFrame 2: is given twice"):
        simfarm.evaluate([verdicts, verdicts])


def test_an_option_twice_is_an_error_but_those_that_may_be_repeated(
    files: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(["annotate", "m.json", "--baseline", "base.json", "--baseline", "m.json"])
    assert stopped.value.code == 2
    assert "--baseline is given twice" in capsys.readouterr().err
    more = ["--length-control", "joint", "--length-control", "none"]
    assert main(["evaluate", "m.json", "--baseline", "base.json", *JUDGED, *more]) == 2
    assert "none goes with no other" in capsys.readouterr().err


def test_the_target_is_no_input(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["annotate", "m.json", "--baseline", "base.json", *JUDGED, "-o", "a.csv"]) == 0
    before = Path("a.csv").read_bytes()
    for command in (
        ["annotate", "m*.json", "--baseline", "base.json", *JUDGED, "-o", "m.json"],
        ["annotate", "m.json", "--baseline", "base.json", *JUDGED, "-o", "./base.json"],
        ["evaluate", "a.csv", "-o", "a.csv"],
        ["evaluate", "*.csv", "-o", "./a.csv"],
    ):
        assert main(command) == 2
        assert "is an input as well" in capsys.readouterr().err
    assert Path("a.csv").read_bytes() == before


def tables() -> Iterator[Any]:
    """A model's outputs in every form that needs no library but pandas and pyarrow."""
    import pandas as pd
    import pyarrow as pa

    rows = outputs("model-m")
    yield rows
    yield tuple(rows)
    yield iter(rows)
    yield (row for row in rows)
    yield pd.DataFrame(rows)
    yield pa.Table.from_pylist(rows)
    yield pa.RecordBatch.from_pylist(rows)
    yield pa.Table.from_pylist(rows).to_reader()
    yield [rows[:3], pa.Table.from_pylist([row | {"generator": "other"} for row in rows])][:1] + [rows[3:]][:0]


def test_python_takes_what_people_have(files: Path) -> None:
    expected = simfarm.annotate("m.json", baseline="base.json", judge="longest")
    for table in tables():
        made = simfarm.annotate(table, baseline=iter(outputs("base")), judge="longest", allow_missing=True)
        assert made["output_2"].tolist() == expected["output_2"].tolist()[: len(made)]
        assert len(made) in (3, 6)
    for verdicts in (expected.to_dict("records"), iter(expected.to_dict("records"))):
        assert simfarm.evaluate(verdicts)["win_rate"].tolist()[0] == 100.0
    # outputs that are judged first are looked at twice
    assert simfarm.evaluate(iter(outputs("model-m")), baseline="base.json", judge="longest")["n_total"].tolist() == [6]


def test_tables_of_polars_and_datasets(files: Path) -> None:
    pl = pytest.importorskip("polars")
    datasets = pytest.importorskip("datasets")
    rows = outputs("model-m")
    expected = simfarm.annotate("m.json", baseline="base.json", judge="longest")
    frame = pl.DataFrame(rows)
    data = datasets.Dataset.from_list(rows)
    for table in (frame, frame.lazy(), data, data.to_iterable_dataset(), [frame]):
        made = simfarm.annotate(table, baseline="base.json", judge="longest")
        assert made["output_2"].tolist() == expected["output_2"].tolist()
    verdicts = expected.drop(columns=["scores", "raw_completion"])
    assert simfarm.evaluate(pl.from_pandas(verdicts))["win_rate"].tolist()[0] == 100.0
    assert simfarm.evaluate(datasets.Dataset.from_pandas(verdicts))["win_rate"].tolist()[0] == 100.0
    with pytest.raises(
        InputError, match=r"dict of several tables \('train', 'test'\); give one of them, data\['train'\]"
    ):
        simfarm.annotate(datasets.DatasetDict({"train": data, "test": data}), baseline="base.json")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (3, "the input is of type int; it can be a path"),
        (None, "the input is of type NoneType"),
        ({"instruction": ["a"]}, "the input is a dict; it can be"),
        ([1, 2], "is of type int"),
        ([["m.json"]], "a list of lists of sources"),
        ([{"instruction": "a"}, "m.json"], "rows .dicts. and files or tables"),
        ([], "there is no input"),
        (iter([]), "there is no input"),
        ("nothing.json", "nothing.json: no such file"),
        # not the folder that one stands in
        ("", "the name of an input is empty"),
        (["m.json", ""], "the name of an input is empty"),
    ],
)
def test_anything_else_names_what_is_taken(files: Path, given: Any, told: str) -> None:
    with pytest.raises(InputError, match=told):
        simfarm.annotate(given, baseline="base.json", judge="longest")


def test_a_column_is_no_table(files: Path) -> None:
    import pandas as pd

    with pytest.raises(InputError, match="single column of pandas"):
        simfarm.annotate(pd.Series(["a"]), baseline="base.json", judge="longest")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="baseline table 1: has neither the columns"):
        simfarm.annotate("m.json", baseline=[{"instruction": "a"}], judge="longest")


def test_a_list_of_dicts_is_one_source_and_a_list_of_tables_several() -> None:
    rows = outputs("m")
    assert len(listed(rows)) == 1
    assert len(listed([rows, rows])) == 2
    assert len(listed(["a.json", Path("b.json")])) == 2
    assert listed("a.json") == ["a.json"]
