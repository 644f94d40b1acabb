"""Files as streams: the same rows however the blocks fall, and files made to exhaust a machine."""

import gzip
import io
import json
import os
import random
import re
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable
from itertools import chain
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest

from simfarm.data import parsing, reading, unpacking
from simfarm.data.files import write_rows
from simfarm.data.parsing import json_rows, jsonl_rows
from simfarm.data.reading import iter_columns, iter_rows
from simfarm.data.unpacking import zstd
from simfarm.errors import InputError

ROWS = [
    {
        "instruction": 'Say "hi"\r\n{[please]}\\',
        "output_1": "ä" * n,
        "preference": n / 7,
        "nested": {"a": [n, None, {}]},
    }
    for n in range(40)
]


@pytest.mark.parametrize("block", [1, 2, 7, 64])
@pytest.mark.parametrize("form", ["array", "indented", "lines", "wrapped", "CRLF lines", "one after the other"])
def test_the_rows_do_not_depend_on_where_a_block_ends(block: int, form: str) -> None:
    lines = [json.dumps(row, ensure_ascii=False) for row in ROWS]
    text = {
        "array": json.dumps(ROWS),
        "indented": "\n " + json.dumps(ROWS, indent=2) + "\n",
        "lines": "\n\n".join(lines),
        "CRLF lines": "\r\n".join(lines) + "\r\n",
        "one after the other": "\n".join(json.dumps(row, indent=1) for row in ROWS),
        "wrapped": json.dumps({"data": ROWS}),
    }[form]
    pieces = [text[at : at + block] for at in range(0, len(text), block)]
    assert list(chain.from_iterable(json_rows(pieces, "x"))) == ROWS
    if "lines" in form:
        assert list(chain.from_iterable(jsonl_rows(pieces, "x"))) == ROWS


@pytest.mark.parametrize("name", ["a.csv", "a.csv.gz", "a.json", "a.jsonl.zst", "a.parquet"])
@pytest.mark.parametrize("block", [5, 1 << 20])
def test_columns_and_rows_of_a_file_and_of_a_stream(
    tmp_path: Path, name: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unpacking, "BLOCK", block)
    rows = [{"instruction": f'a "q",\n{n}\u2028', "output_1": "" if n % 2 else "z", "id": f"{n}"} for n in range(5000)]
    write_rows(tmp_path / name, rows)
    assert list(iter_rows(tmp_path / name)) == rows
    if block > 4 or name == "a.csv":
        assert list(iter_rows(io.BytesIO((tmp_path / name).read_bytes()))) == rows
    for columns in iter_columns(tmp_path / name, {"id", "output_1", "absent"}):
        assert set(columns.values) == {"id", "output_1"}
    made = [c.lists() for c in iter_columns(tmp_path / name, {"id"})]
    assert [v for c in made for v in c["id"]] == [row["id"] for row in rows]


def test_cells_are_the_same_whoever_cuts_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Plain cells, and what is odd from some line on, in pieces of any size: as Python's csv reads the whole."""
    plain = ["a", "", " b ", "1.50", "nan", "é\u2028", "'x'", "\\N", "NULL", "\ttab", "x;y"]
    odd = ['"q"', '"a,\nb"', '"a""b"', 'a"b', "\r\n", "\0"]
    rng = random.Random(0)
    for number in range(60):
        lines = []
        for line in range(40):
            cells = [rng.choice(plain) or "1" if column == 0 else rng.choice(plain) for column in range(3)]
            if number % 2 and line > 25 and rng.random() < 0.2:
                cells[1] = rng.choice(odd[:4] if number % 3 else odd)
            lines.append(",".join(cells) + ("\n\n" if rng.random() < 0.1 else "\n"))
        text = "\n" * (number % 4 == 0) + "id,order,preference\n" + "".join(lines)
        (tmp_path / "a.csv").write_bytes(text.encode())
        monkeypatch.setattr(unpacking, "BLOCK", rng.choice([7, 100, 1 << 20]))
        columns = iter_columns(tmp_path / "a.csv", {"id", "order"})
        rows = iter_rows(tmp_path / "a.csv")
        assert _all_or_error(v for c in columns for v in c.lists()["order"]) == _all_or_error(r["order"] for r in rows)


def _all_or_error(values: Iterable[object]) -> list[object] | str:
    try:
        return list(values)
    except InputError as error:
        return str(error)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,preference\n1,1\n\n2,1,3\n", "row 2 does not have the header's 2 cells"),
        ("id,preference\n1,1\n2\n", "row 2 does not have the header's 2 cells"),
        ("id,preference,id\n1,1,1\n", "has the column 'id' twice"),
        ("id,preference\n", "has no rows"),
    ],
)
def test_faults_of_plain_csv_are_told_by_row(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        list(iter_columns(tmp_path / "a.csv", {"id", "preference"}))


def test_plain_csv_is_cut_by_arrow_until_something_is_quoted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "BLOCK", 50)
    (tmp_path / "a.csv").write_text("id,preference\n" + "1,2\n" * 50 + '"1",2\n' + "1,2\n" * 50)
    kinds = [type(c.values["id"]).__name__ for c in iter_columns(tmp_path / "a.csv", {"id"})]
    assert {*kinds} == {"DictionaryArray", "list"}
    assert kinds == sorted(kinds)
    # a text that is wanted is no name: it goes the other way
    (tmp_path / "b.csv").write_text("id,output_1\n1,\n")
    assert [c.values for c in iter_columns(tmp_path / "b.csv", {"id", "output_1"})] == [{"id": ["1"], "output_1": [""]}]


def test_a_file_of_any_size_takes_the_memory_of_its_rows(tmp_path: Path) -> None:
    # 70 MB in rows of 100 kB, as an array on one line, wrapped, as lines and as CSV
    row = {"instruction": "i", "output_1": "x" * 100_000}
    line = json.dumps(row)
    with open(tmp_path / "array.json", "w") as stream:
        stream.write("[" + ",".join([line] * 700) + "]")
    with open(tmp_path / "wrapped.json", "w") as stream:
        stream.write('{"data": [' + ",".join([line] * 700) + "]}")
    (tmp_path / "lines.jsonl").write_text((line + "\n") * 700)
    (tmp_path / "cells.csv").write_text("instruction,output_1\n" + (f"i,{row['output_1']}\n") * 700)
    for name in ("array.json", "lines.jsonl", "cells.csv", "wrapped.json"):
        code = f"from simfarm.data.reading import iter_rows\nprint(sum(1 for _ in iter_rows({name!r})))"
        done = _bounded(code, tmp_path, megabytes=450 if name == "wrapped.json" else 140)
        assert done.stdout.strip() == "700", done.stderr[-300:]


def _bounded(code: str, folder: Path, megabytes: int = 600) -> "subprocess.CompletedProcess[str]":
    """What a program does that may take so much address space, where that can be limited."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (megabytes << 20, megabytes << 20))

    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=folder,
        preexec_fn=limit,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def _bomb(path: Path, text: bytes, gigabytes: int) -> None:
    """A file that expands to so many gigabytes of the text, from one frame again and again."""
    block = text * ((1 << 26) // len(text))
    packed = gzip.compress(block) if path.suffix == ".gz" else zstd.compress(block)
    path.write_bytes(packed * (16 * gigabytes))


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("a.jsonl.zst", b"x", "is longer than 64 million characters"),
        ("a.json.zst", b" ", "grows to more than 500 times"),
        ("b.json.zst", b"\n", "grows to more than 500 times"),
        ("a.csv.zst", b"a,", "is longer than 64 million characters"),
        ("a.jsonl.gz", b'{"a": "' + b"x" * 5000 + b'"}\n', "grows to more than 500 times"),
        ("c.json.zst", b"[", "is nested too deeply"),
    ],
)
def test_a_file_that_expands_to_twenty_gigabytes_is_one_line(tmp_path: Path, name: str, text: bytes, told: str) -> None:
    _bomb(tmp_path / name, text, 20)
    code = "import sys; from simfarm.data.reading import iter_rows\n"
    code += f"from simfarm.errors import InputError\ntry:\n  for _ in iter_rows({name!r}): pass\n"
    code += "except InputError as error: sys.exit(str(error))"
    done = _bounded(code, tmp_path)
    assert told in done.stderr
    assert name in done.stderr
    assert done.stderr.count("\n") == 1


def test_ten_gigabytes_that_shrink_as_rows_do_are_no_bomb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "_FREE", 1 << 16)
    rows = [{"id": n, "text": os.urandom(40).hex() * 60} for n in range(400)]
    write_rows(tmp_path / "a.jsonl.zst", rows)
    assert (tmp_path / "a.jsonl.zst").stat().st_size * 20 < sum(len(json.dumps(row)) for row in rows)
    assert list(iter_rows(tmp_path / "a.jsonl.zst")) == rows


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("deep.json", "[" * 100_000, "row 1 is nested too deeply"),
        ("deep.jsonl", '{"a": 1}\n' + '{"a":' * 100_000, "line 2 is nested too deeply"),
        ("object.json", '{"a":' * 100_000, "is nested too deeply"),
        ("digits.jsonl", '{"a": ' + "9" * 10_000 + "}", "line 1 holds a number of too many digits"),
        ("digits.json", '[{"a": ' + "9" * 10_000 + "}]", "row 1 holds a number of too many digits"),
        ("comma.json", '[{"a": 1}\n{"a": 2}]', "not valid JSON at line 2: Expecting ',' delimiter"),
        ("more.json", '[{"a": 1}]\n[]', "not valid JSON at line 2: Extra data"),
        (
            "middle.json",
            '[{"a": 1},\n{"a": tru},\n' + '{"a": 2},' * 9 + "]",
            "not valid JSON at line 2: Expecting value",
        ),
        ("open.json", '[{"a": 1},\n{"a": "' + "b\\n" * 99, "not valid JSON at line 2: Unterminated string"),
        ("twice.csv", "id,preference,preference\n1,1,2\n", "has the column 'preference' twice"),
        ("half.json", b'[{"a": "\xe4"}]', "not UTF-8 text .byte 8"),
    ],
)
def test_what_is_wrong_in_a_text_is_named(tmp_path: Path, name: str, content: str | bytes, told: str) -> None:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError, match=told) as error:
        list(iter_rows(tmp_path / name))
    assert name in str(error.value)


def test_a_row_has_a_longest_length(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parsing, "ROW_LIMIT", 3 << 20)
    long, short = {"a": "x" * (5 << 20)}, {"a": 1}
    for name, rows in {"a.json": [short, long], "b.jsonl": [short, long], "c.csv": [short, long]}.items():
        write_rows(tmp_path / name, rows)
        with pytest.raises(InputError, match=r"longer than|larger than field limit") as error:
            list(iter_rows(tmp_path / name))
        assert re.search("row 2|line [23]", str(error.value))
    (tmp_path / "d.json").write_text(json.dumps({"data": [short] * 1_000_000}))
    assert sum(1 for _ in iter_rows(tmp_path / "d.json")) == 1_000_000
    (tmp_path / "e.json").write_text(json.dumps({"data": [short] * 1_000_000, "more": 1}))
    with pytest.raises(InputError, match="more beside its array"):
        list(iter_rows(tmp_path / "e.json"))


def test_a_parquet_column_that_stands_twice_is_refused(tmp_path: Path) -> None:
    table = pyarrow.table([[1], [2]], names=["preference", "preference"])
    pyarrow.parquet.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="'preference' twice"):
        list(iter_rows(tmp_path / "a.parquet"))


@pytest.mark.parametrize("name", ["a.jsonl.gz", "a.jsonl.zst"])
def test_a_download_that_was_cut_is_told_in_every_compression(tmp_path: Path, name: str) -> None:
    write_rows(tmp_path / name, [{"a": os.urandom(9).hex()} for _ in range(9999)])
    (tmp_path / name).write_bytes((tmp_path / name).read_bytes()[:-5])
    with pytest.raises(InputError, match="cannot be decompressed"):
        list(iter_rows(tmp_path / name))


def test_devices_pipes_and_sockets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for device in ("/dev/zero", "/dev/urandom", "/dev/full"):
        with pytest.raises(InputError, match=f"{device}: (is neither text|not UTF-8)"):
            list(iter_rows(device))
    os.symlink("/dev/zero", tmp_path / "zero.json")
    with pytest.raises(InputError, match="neither text nor Parquet"):
        list(iter_rows(tmp_path / "zero.json"))
    with pytest.raises(InputError, match="/dev/null: has no rows"):
        list(iter_rows("/dev/null"))
    monkeypatch.chdir(tmp_path)
    with socket.socket(socket.AF_UNIX) as made:
        made.bind("a.jsonl")
        with pytest.raises(InputError, match=r"a.jsonl: cannot be read"):
            list(iter_rows("a.jsonl"))
    for name, data in {"pipe": b'{"a": 1}\n{"a": 2}\n', "cells": b"a\n1\n2\n"}.items():
        os.mkfifo(name)
        writer = threading.Thread(target=Path(name).write_bytes, args=[data])
        writer.start()
        assert [int(row["a"]) for row in iter_rows(name)] == [1, 2]
        writer.join()


def test_a_folder_of_parts_in_any_format(tmp_path: Path) -> None:
    for number, suffix in enumerate((".parquet", ".jsonl", ".jsonl.zst", ".csv")):
        write_rows(tmp_path / f"part-{number}{suffix}", [{"a": f"{number}"}, {"a": "x"}])
    (tmp_path / ".part-9.jsonl").write_text("half")
    (tmp_path / "README.md").write_text("about")
    assert [row["a"] for row in iter_rows(tmp_path)] == ["0", "x", "1", "x", "2", "x", "3", "x"]
    (tmp_path / reading.MANIFEST).write_text(json.dumps({"parts": [{"file": "part-4.parquet"}]}))
    with pytest.raises(InputError, match="lacks 1 of its 1 part"):
        list(iter_rows(tmp_path))
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="folder without files of rows"):
        list(iter_rows(tmp_path / "empty"))


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("18446744073709551616", 2**64),
        ('{"deep": [-9223372036854775809]}', {"deep": [-(2**63) - 1]}),
        ("1e300", 1e300),
        ("Infinity", float("inf")),
        ('"\\ud83d"', "\ud83d"),
        ("18446744073709551615", 2**64 - 1),
    ],
)
def test_a_long_line_is_decoded_as_a_short_one(tmp_path: Path, written: str, value: object) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{{"a": {written}}}\n{{"a": {written}, "text": "{"x" * 1000}"}} \n')
    short, long = iter_rows(file)
    assert short["a"] == long["a"] == value
    assert type(short["a"]) is type(long["a"])


def test_a_fault_in_a_long_line_is_told_as_in_a_short_one(tmp_path: Path) -> None:
    file = tmp_path / "rows.jsonl"
    file.write_text(f'{{"a": 1}}\n{{"a": "{"x" * 1000}" "b"}}\n')
    with pytest.raises(InputError, match="line 2 is not valid JSON: Expecting ',' delimiter"):
        list(iter_rows(file))
