"""Every format in and out, and every broken file with its one line."""

import gzip
import json
import math
import os
import signal
import subprocess
import sys
import time
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow
import pyarrow.parquet
import pytest
from loopback import Loopback

from simfarm.data.files import check_writable, read_rows, write_rows
from simfarm.errors import InputError, SimfarmError

ROWS = [
    {"instruction": "Say “hi”\nplease", "output": 'a,b\n"c"', "generator": "m", "extra": 1},
    {"instruction": "Zwölf 🦆", "output": "", "generator": "m", "extra": 2},
]


@pytest.mark.parametrize(
    "name", ["a.json", "a.jsonl", "a.json.gz", "a.jsonl.zst", "a.parquet", "a.jsonl.gz", "a.json.zst"]
)
def test_round_trip(tmp_path: Path, name: str) -> None:
    assert write_rows(tmp_path / name, iter(ROWS)) == 2
    assert read_rows(tmp_path / name) == ROWS


@pytest.mark.parametrize("name", ["a.csv", "a.csv.zst"])
def test_csv_gives_text(tmp_path: Path, name: str) -> None:
    write_rows(tmp_path / name, ROWS, columns=("generator", "instruction"))
    back = read_rows(tmp_path / name)
    assert back == [{k: str(v) for k, v in row.items()} for row in ROWS]
    assert list(back[0])[:2] == ["generator", "instruction"]


def test_nested_values_survive_csv_and_parquet_as_json_text(tmp_path: Path) -> None:
    rows = [
        {"raw_completion": {"text": "m"}, "n": 1},
        {"raw_completion": "plain", "n": 2.5},
        {"raw_completion": None, "n": 3},
    ]
    write_rows(tmp_path / "a.parquet", rows)
    back = read_rows(tmp_path / "a.parquet")
    assert [row["n"] for row in back] == [1, 2.5, 3]
    assert json.loads(back[0]["raw_completion"]) == {"text": "m"}
    assert back[1]["raw_completion"] == "plain"
    assert back[2]["raw_completion"] is None


def test_a_lone_surrogate_is_written_as_its_escape(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('[{"output": "half \\ud83d"}]')
    rows = read_rows(tmp_path / "a.json")
    write_rows(tmp_path / "b.jsonl", rows)
    assert read_rows(tmp_path / "b.jsonl") == rows


def test_the_same_rows_give_the_same_bytes(tmp_path: Path) -> None:
    for name in ("a.jsonl.gz", "a.jsonl.zst"):
        write_rows(tmp_path / name, ROWS)
        first = (tmp_path / name).read_bytes()
        write_rows(tmp_path / name, ROWS)
        assert (tmp_path / name).read_bytes() == first


def test_a_killed_writer_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "a.jsonl"
    write_rows(target, ROWS)

    def dies():
        yield {"a": 1}
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_rows(target, dies())
    assert read_rows(target) == ROWS
    assert [p.name for p in tmp_path.iterdir()] == ["a.jsonl"]


def test_jsonl_under_a_json_name_and_a_wrapped_array(tmp_path: Path) -> None:
    (tmp_path / "lines.json").write_text('{"a": 1}\n{"a": 2}\n')
    assert read_rows(tmp_path / "lines.json") == [{"a": 1}, {"a": 2}]
    (tmp_path / "wrapped.json").write_text('{"data": [{"a": 1}]}')
    assert read_rows(tmp_path / "wrapped.json") == [{"a": 1}]


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("no.xlsx", b"", "unknown file format"),
        ("empty.json", b"", "no rows"),
        ("empty.jsonl", b"\n\n", "no rows"),
        ("none.json", b"[]", "no rows"),
        ("cut.json", b'[{"a": 1}, {"a"', "not valid JSON at line 1"),
        ("cut.jsonl", b'{"a": 1}\n{"a": ', "line 2 is not valid JSON"),
        ("scalar.json", b"3", "single value"),
        ("list.json", b"[1, 2]", "row 1 is not a JSON object"),
        ("latin.csv", "ä".encode("latin-1"), "not UTF-8"),
        ("ragged.csv", b"a,b\n1\n", "row 1 does not have the header's 2 cells"),
        ("wide.csv", b"a,b\n1,2,3\n", "row 1 does not have"),
        ("bad.jsonl.gz", b"nonsense", "cannot be decompressed"),
        ("cut.jsonl.gz", gzip.compress(b'{"a": 1}' * 50, mtime=0)[:-12], "cannot be decompressed"),
        ("bad.jsonl.zst", b"nonsense", "cannot be decompressed"),
        ("bad.parquet", b"nonsense", "not a readable Parquet"),
    ],
)
def test_broken_files_are_named(tmp_path: Path, name: str, content: bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=told) as error:
        read_rows(tmp_path / name)
    assert name in str(error.value)
    assert "\n" not in str(error.value)


def test_missing_file_folder_and_hub(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_rows(tmp_path / "nothing.json")
    (tmp_path / "folder.json").mkdir()
    with pytest.raises(InputError, match="is a folder"):
        read_rows(tmp_path / "folder.json")
    with pytest.raises(InputError, match="hf://owner/name:split"):
        read_rows("hf://owner")


def test_an_unwritable_target_is_refused_before_anything_is_paid(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="does not exist"):
        check_writable(tmp_path / "nowhere" / "a.json")
    with pytest.raises(InputError, match="unknown file format"):
        check_writable(tmp_path / "a.txt")


STRANGE = {
    "nan": math.nan,
    "endless": [1.5, -math.inf],
    "at": datetime(2024, 5, 6, 7, 8, 9),
    "day": date(2024, 5, 6),
    "exact": Decimal("1.10"),
    "text": "grüß".encode(),
    "binary": b"\xff\x00",
    "number": np.int64(7),
    "half": np.float32(0.5),
    "array": np.array([1.0, math.nan]),
    "flag": np.bool_(True),
    "stamp": pd.Timestamp("2024-05-06 07:08:09"),
    "missing": pd.NaT,
    "nested": {"when": [date(2024, 5, 6)], 3: (1, b"x")},
    "huge": 2**80,
    "half a character": "\ud83d",
}
PLAIN = {
    "nan": None,
    "endless": [1.5, None],
    "at": "2024-05-06 07:08:09",
    "day": "2024-05-06",
    "exact": "1.10",
    "text": "grüß",
    "binary": "ff00",
    "number": 7,
    "half": 0.5,
    "array": [1.0, None],
    "flag": True,
    "stamp": "2024-05-06 07:08:09",
    "missing": None,
    "nested": {"when": ["2024-05-06"], "3": [1, "x"]},
    "huge": 2**80,
    "half a character": "\\ud83d",
}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.jsonl.zst"])
def test_values_that_json_lacks_are_written_all_the_same(tmp_path: Path, name: str) -> None:
    write_rows(tmp_path / name, [STRANGE, {"nan": 1.0}])
    back = read_rows(tmp_path / name)
    assert back == [PLAIN | {"half a character": "\ud83d"}, {"nan": 1.0}]


def test_values_that_csv_lacks_are_written_all_the_same(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.csv", [STRANGE])
    told = {k: json.dumps(v) if isinstance(v, list | dict) else v and str(v) for k, v in PLAIN.items()}
    assert read_rows(tmp_path / "a.csv") == [told]


def test_values_that_parquet_lacks_are_written_all_the_same(tmp_path: Path) -> None:
    write_rows(tmp_path / "a.parquet", [STRANGE, {"at": "a text"}])
    first, second = read_rows(tmp_path / "a.parquet")
    kept = {"day": date(2024, 5, 6), "exact": Decimal("1.10"), "binary": b"\xff\x00", "text": "grüß".encode()}
    kept |= {"stamp": datetime(2024, 5, 6, 7, 8, 9), "huge": str(2**80), "at": PLAIN["at"]}
    kept |= {k: json.dumps(PLAIN[k]) for k in ("endless", "nested", "array")}
    assert first == PLAIN | kept
    assert second["at"] == "a text"


def test_parquet_columns_of_other_types_pass_through(tmp_path: Path) -> None:
    columns = {
        "instruction": ["a", "b"],
        "when": pyarrow.array([1, None], pyarrow.timestamp("ns", "Europe/Berlin")),
        "plain": pyarrow.array([1, None], pyarrow.timestamp("us")),
        "raw": [b"\xff", None],
        "amount": [Decimal("1.10"), None],
        "far": pyarrow.array([2**40, None], pyarrow.timestamp("s")),
        "long": pyarrow.array([2**60, None], pyarrow.duration("s")),
        "share": [math.nan, 1.0],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "a.parquet")
    rows = read_rows(tmp_path / "a.parquet")
    assert rows[0]["raw"] == b"\xff"
    for name in ("b.jsonl", "b.csv", "b.parquet"):
        assert write_rows(tmp_path / name, rows) == 2
    first, second = read_rows(tmp_path / "b.jsonl")
    assert first["when"].startswith("1970-01-01 01:00:00.000000001")
    assert (first["plain"], first["raw"], first["amount"]) == ("1970-01-01 00:00:00.000001", "ff", "1.10")
    assert "value out of range" in first["far"]
    assert first["share"] is None
    assert second == dict.fromkeys(columns) | {"instruction": "b", "share": 1.0}


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.jsonl.gz", "a.jsonl.zst", "a.csv"])
def test_a_disk_that_is_full_is_one_line(tmp_path: Path, name: str) -> None:
    """A device is written as it is: this one is a disk that is always full."""
    (tmp_path / name).symlink_to("/dev/full")
    with pytest.raises(SimfarmError, match=r"in the store: .* then run again") as error:
        write_rows(tmp_path / name, ROWS * 2000)
    assert (error.value.exit_code, name in str(error.value), "\n" in str(error.value)) == (1, True, False)
    assert [(p.name, p.is_symlink()) for p in tmp_path.iterdir()] == [(name, True)]


@pytest.mark.parametrize("name", ["a.jsonl", "a.parquet"])
def test_a_file_that_grows_too_large_leaves_what_was_there(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("before")
    code = (
        "import os, resource, sys; from simfarm.data.files import write_rows\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))\n"
        "write_rows(sys.argv[1], [{'a': os.urandom(500).hex()} for _ in range(50)])"
    )
    command = [sys.executable, "-c", code, name]
    done = subprocess.run(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.stderr.splitlines()[-1].startswith(f"simfarm.errors.SimfarmError: cannot write {name} (")
    assert (tmp_path / name).read_text() == "before"
    assert [p.name for p in tmp_path.iterdir()] == [name]


def test_a_pipe_gets_the_rows_and_stays(tmp_path: Path) -> None:
    pipe = tmp_path / "a.parquet"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    try:
        write_rows(pipe, ROWS)
        assert os.read(reader, 4) == b"PAR1"
        assert [(p.name, p.is_fifo()) for p in tmp_path.iterdir()] == [("a.parquet", True)]
    finally:
        os.close(reader)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a.jsonl").symlink_to(tmp_path / "elsewhere" / "b.jsonl")
    for rows in (ROWS, ROWS[:1]):
        write_rows(tmp_path / "a.jsonl", rows)
        assert read_rows(tmp_path / "elsewhere" / "b.jsonl") == rows
    assert (tmp_path / "a.jsonl").is_symlink()


def test_a_full_standard_output_is_one_line(tmp_path: Path) -> None:
    code = "from simfarm.data.files import write_rows; write_rows(None, [{'a': 1}])"
    with open("/dev/full", "w") as full:
        done = subprocess.run([sys.executable, "-c", code], stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith(
        "simfarm.errors.SimfarmError: cannot write to standard output (No sp"
    )
    assert done.returncode == 1


def test_what_the_rows_come_from_may_fail_in_its_own_words(tmp_path: Path) -> None:
    def dies():
        yield {"a": 1}
        raise OSError("too many open files")

    with pytest.raises(OSError, match="too many open files"):
        write_rows(tmp_path / "a.jsonl", dies())


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP])
def test_a_terminated_run_leaves_no_temporary_file(tmp_path: Path, number: signal.Signals) -> None:
    (tmp_path / "pairs.json").write_text(json.dumps([{"instruction": "i", "output_1": "a", "output_2": "b"}]))
    code = (
        # a shell that runs the suite under nohup has it ignored
        "import signal, sys; signal.signal(signal.SIGHUP, signal.SIG_DFL); from simfarm.cli import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    with Loopback(latency=60) as server:
        command = ["annotate", "pairs.json", "--judge", "pairwise-reasoned", "--model", "openai/m", "-o", "out.jsonl"]
        client = subprocess.Popen(
            [sys.executable, "-c", code, *command, "--base-url", f"{server.url}/v1"],
            cwd=tmp_path,
            stderr=subprocess.PIPE,
            text=True,
        )
        while not server.received:
            time.sleep(0.01)
        client.send_signal(number)
        told = client.communicate()[1]
    assert client.returncode == -number
    assert "Traceback" not in told
    assert [p.name for p in tmp_path.iterdir() if "out" in p.name] == []
