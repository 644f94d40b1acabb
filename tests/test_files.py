"""Every format in and out, and every broken file with its one line."""

import gzip
import json
from pathlib import Path

import pytest

from simfarm.errors import InputError
from simfarm.files import check_writable, read_rows, write_rows

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
        ("cut.jsonl.gz", gzip.compress(b'{"a": 1}' * 50)[:-12], "cannot be decompressed"),
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
