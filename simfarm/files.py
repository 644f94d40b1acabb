"""Rows in and out of every file format: JSON, JSONL, CSV, Parquet, each text format also `.gz` or `.zst`, and `hf://`.

A row is a plain dict and a file a list of rows, because annotation must not pay for a table library's memory: pandas
is for the estimates.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import math
import os
import re
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, cast

from simfarm.errors import InputError
from simfarm.targets import Target, open_text, replacing, standard_output, telling
from simfarm.values import as_text, cell, dump, plain

__all__ = ["MANIFEST", "Row", "check_writable", "read_rows", "read_text", "write_rows"]

MANIFEST = "manifest.json"
"""In a folder of parts (`--engine ray`): what they are made of, and their names."""

Row = dict[str, Any]

_TEXT_FORMATS = {".json", ".jsonl", ".csv"}
_COMPRESSIONS = {".gz", ".zst"}
_FORMATS = ".json, .jsonl, .csv (each also .gz or .zst), .parquet or hf://owner/name:split"


def _format(path: str) -> tuple[str, str]:
    """(format suffix, compression suffix) of a file name."""
    suffixes = [s.lower() for s in Path(path).suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in _COMPRESSIONS else ""
    kind = suffixes[-1] if suffixes else ""
    if kind == ".ndjson":
        kind = ".jsonl"
    if kind in _TEXT_FORMATS or (kind == ".parquet" and not compression):
        return kind, compression
    raise InputError(f"{path}: unknown file format; use {_FORMATS}")


def read_rows(path: str | os.PathLike[str]) -> list[Row]:
    """All rows of a file, in file order; of a folder those of its Parquet files, in the order of their names.

    Raises `InputError` (naming the file, and the line where one is at fault) for a missing, empty, unreadable or
    unknown file. Values are as stored: CSV cells are strings, or None where empty.
    """
    name = os.fspath(path)
    if name.startswith("hf://"):
        return _read_hub(name)
    if Path(name).is_dir():
        return _read_folder(name)
    kind, compression = _format(name)
    if not Path(name).exists():
        raise InputError(f"{name}: no such file")
    if kind == ".parquet":
        rows = _read_parquet(name)
    else:
        text = _read_text(name, compression)
        rows = {".json": _parse_json, ".jsonl": _parse_jsonl, ".csv": _parse_csv}[kind](name, text)
    if not rows:
        raise InputError(f"{name}: has no rows; was the command that wrote it stopped?")
    return rows


def _read_folder(name: str) -> list[Row]:
    """The rows of a folder's Parquet files. A run over a cluster writes such a folder; while parts of it are missing it
    is not read, because what stands in their place would be nothing at all."""
    files = sorted(path.name for path in Path(name).glob("*.parquet"))
    manifest = Path(name, MANIFEST)
    if manifest.is_file():
        try:
            listed = [part["file"] for part in json.loads(manifest.read_text("utf-8"))["parts"]]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{name}: its {MANIFEST} is damaged; name the files in it") from error
        missing = len(set(listed) - set(files))
        if missing:
            raise InputError(f"{name}: {missing} of its {len(listed)} parts are missing; run its command again")
    if not files:
        raise InputError(f"{name}: is a folder without Parquet files; name the files in it")
    return [row for file in files for row in read_rows(os.path.join(name, file))]


def _decompress(name: str, data: bytes, compression: str) -> bytes:
    try:
        if compression == ".gz":
            return gzip.decompress(data)
        if compression == ".zst":
            import zstandard

            try:
                return zstandard.ZstdDecompressor().stream_reader(io.BytesIO(data), read_across_frames=True).read()
            except zstandard.ZstdError as error:
                raise ValueError(str(error)) from error
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(f"{name}: cannot be decompressed ({error}); is the download complete?") from error
    return data


def read_text(path: str | os.PathLike[str]) -> str:
    """A file of plain text (a chat template). Raises `InputError` where it is missing or no UTF-8."""
    if not Path(path).is_file():
        raise InputError(f"{path}: no such file")
    return _read_text(os.fspath(path), "")


def _read_text(name: str, compression: str) -> str:
    try:
        return _decompress(name, Path(name).read_bytes(), compression).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{name}: not UTF-8 text (byte {error.start}); save it as UTF-8") from error
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from error


def _objects(name: str, values: Iterable[Any], what: str) -> list[Row]:
    rows = list(values)
    for number, row in enumerate(rows, 1):
        if not isinstance(row, dict):
            raise InputError(f"{name}: {what} {number} is not a JSON object with named columns")
    return rows


def _parse_json(name: str, text: str) -> list[Row]:
    if not text.strip():
        return []
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        if text.lstrip().startswith("{"):
            return _parse_jsonl(name, text)
        raise InputError(f"{name}: not valid JSON at line {error.lineno}: {error.msg}") from error
    if isinstance(value, dict):
        lists = [v for v in value.values() if isinstance(v, list)]
        value = lists[0] if len(lists) == 1 and len(value) == 1 else [value]
    if not isinstance(value, list):
        raise InputError(f"{name}: holds a single value, not an array of rows")
    return _objects(name, value, "row")


def _parse_jsonl(name: str, text: str) -> list[Row]:
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            try:
                rows.append(json.loads(line))
            except json.JSONDecodeError as error:
                raise InputError(f"{name}: line {number} is not valid JSON: {error.msg}") from error
    return _objects(name, rows, "line")


def _parse_csv(name: str, text: str) -> list[Row]:
    csv.field_size_limit(2**31 - 1)
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="\0extra")
    rows: list[Row] = []
    try:
        for number, row in enumerate(reader, 1):
            if "\0extra" in row or None in row.values():
                raise InputError(
                    f"{name}: row {number} does not have the header's {len(reader.fieldnames or ())} cells"
                )
            rows.append({k: v if v != "" or k.startswith("output") else None for k, v in row.items()})
    except csv.Error as error:
        raise InputError(f"{name}: line {reader.line_num} is not valid CSV: {error}") from error
    return rows


def _read_parquet(name: str) -> list[Row]:
    import pyarrow
    import pyarrow.parquet

    def values(column: Any) -> list[Any]:
        try:
            return cast("list[Any]", column.to_pylist())
        except (OverflowError, ValueError):
            # a date that Python has no form for (the year 36812, a time zone of another system)
            return cast("list[Any]", column.cast(pyarrow.string()).to_pylist())

    try:
        table = pyarrow.parquet.read_table(name)
        cells = zip(*(values(column) for column in table.columns), strict=True)
        return [dict(zip(table.column_names, row, strict=True)) for row in cells]
    except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
        raise InputError(f"{name}: not a readable Parquet file ({str(error).splitlines()[0]})") from error


def _read_hub(name: str) -> list[Row]:
    match = re.fullmatch(r"hf://([^/:]+/[^/:]+)(?:/([^:]+))?:([^:]+)", name)
    if not match:
        raise InputError(f"{name}: write a hub dataset as hf://owner/name:split or hf://owner/name/config:split")
    try:
        import datasets
    except ImportError as error:
        raise InputError(f"{name}: reading from the hub needs pip install 'simfarm[hub]'") from error
    repository, config, split = match.groups()
    try:
        return [dict(row) for row in datasets.load_dataset(repository, config, split=split)]
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: the hub did not give it ({str(error).splitlines()[0]})") from error


def check_writable(path: str | os.PathLike[str], inputs: Iterable[object] = ()) -> None:
    """Refuse a target that cannot be written, or that is one of the `inputs`, before anything is paid for; raises
    `InputError`."""
    if any(isinstance(i, str | os.PathLike) and os.path.realpath(i) == os.path.realpath(path) for i in inputs):
        raise InputError(f"{path}: is an input as well, and would be replaced; choose another -o FILE")
    _format(os.fspath(path))
    folder = Path(path).absolute().parent
    if not folder.is_dir():
        raise InputError(f"{path}: the folder {folder} does not exist; make it first")
    if not os.access(folder, os.W_OK) or Path(path).is_dir():
        raise InputError(f"{path}: cannot be written there; choose another -o FILE")


def write_rows(path: str | os.PathLike[str] | None, rows: Iterable[Row], columns: Sequence[str] = ()) -> int:
    """Write rows as they come (JSON, JSONL) or at the end (CSV, Parquet); None writes JSONL to stdout.

    `columns` come first, in their order; other columns follow in order of first appearance. Gives the row count.
    Values that a format lacks are written as null (NaN, infinities) or as text (dates, decimals, bytes): rows may have
    cost money and must not be lost for one of them. Raises `SimfarmError` where the target cannot be written.
    """
    if path is None:
        with standard_output() as stream:
            return _write_jsonl(stream, rows)
    name = os.fspath(path)
    kind, compression = _format(name)
    with replacing(name) as temporary:
        if kind == ".parquet":
            table = list(rows)
            with telling(name):
                return _write_parquet(temporary, table, columns)
        with open_text(name, temporary, compression) as stream:
            if kind == ".jsonl":
                return _write_jsonl(stream, rows)
            if kind == ".json":
                return _write_json(stream, rows)
            return _write_csv(stream, list(rows), columns)


def _write_jsonl(stream: Target, rows: Iterable[Row]) -> int:
    count = 0
    for row in rows:
        stream.write(dump(row) + "\n")
        count += 1
    return count


def _write_json(stream: Target, rows: Iterable[Row]) -> int:
    count = 0
    for row in rows:
        stream.write(("[\n" if count == 0 else ",\n") + dump(row))
        count += 1
    stream.write("\n]\n" if count else "[]\n")
    return count


def _all_columns(rows: list[Row], columns: Sequence[str]) -> list[str]:
    present = dict.fromkeys(key for row in rows for key in row)
    return [c for c in columns if c in present] + [c for c in present if c not in columns]


def _write_csv(stream: Target, rows: list[Row], columns: Sequence[str]) -> int:
    writer = csv.DictWriter(stream, _all_columns(rows, columns), lineterminator="\n")
    writer.writeheader()
    writer.writerows({key: cell(value) for key, value in row.items()} for row in rows)
    return len(rows)


def _write_parquet(name: str, rows: list[Row], columns: Sequence[str]) -> int:
    import pyarrow
    import pyarrow.parquet

    # nested and mixed values (a completion, a score sheet) go in as JSON text: one column type whatever the rows hold
    table = {}
    for column in _all_columns(rows, columns):
        values = [row.get(column) for row in rows]
        values = [None if isinstance(v, float) and not math.isfinite(v) else v for v in values]
        values = [plain(v) if getattr(v, "ndim", 0) else v for v in values]
        kinds = {type(v) for v in values if v is not None}
        try:
            if kinds - {int, float} and (len(kinds) > 1 or kinds & {dict, list, tuple}):
                raise TypeError("several kinds of values")
            table[column] = pyarrow.array(values)
        except (pyarrow.ArrowException, TypeError, ValueError, OverflowError):
            # a mixture, or a value beyond Parquet's types (a huge integer, a lone surrogate)
            table[column] = pyarrow.array([as_text(v) for v in values], pyarrow.string())
    pyarrow.parquet.write_table(pyarrow.table(table), name, compression="zstd")
    return len(rows)
