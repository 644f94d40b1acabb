"""Rows in and out of every file format: JSON, JSONL, CSV, Parquet, each text format also `.gz` or `.zst`, and `hf://`.

A row is a plain dict and a file a list of rows, because annotation must not pay for a table library's memory: pandas
is for the estimates.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from simfarm.data.cells import as_text, cell, dump, plain
from simfarm.data.parsing import Row
from simfarm.data.reading import MANIFEST, format_of, iter_rows, read_text
from simfarm.data.writing import Target, open_text, replacing, standard_output, telling
from simfarm.errors import InputError
from simfarm.text.harmless import json_text

__all__ = ["MANIFEST", "Row", "check_writable", "iter_rows", "read_rows", "read_text", "write_rows"]


def read_rows(path: str | os.PathLike[str]) -> list[Row]:
    """All rows of a file (or of a folder's files); see `iter_rows`, which holds no more of it than it must."""
    return list(iter_rows(path))


def check_writable(path: str | os.PathLike[str], inputs: Iterable[object] = ()) -> None:
    """Refuse a target that cannot be written, or that is one of the `inputs`, before anything is paid for; raises
    `InputError`."""
    if any(isinstance(i, str | os.PathLike) and os.path.realpath(i) == os.path.realpath(path) for i in inputs):
        raise InputError(f"{path}: is an input as well, and would be replaced; choose another -o FILE")
    format_of(os.fspath(path))
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
            return _write_jsonl(stream, rows, json_text)
    name = os.fspath(path)
    kind, compression = format_of(name)
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


def _write_jsonl(stream: Target, rows: Iterable[Row], shown: Callable[[str], str] = str) -> int:
    count = 0
    for row in rows:
        stream.write(shown(dump(row)) + "\n")
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
    # by a stream, not by its name: pyarrow removes what it fails to write, and that may be a device
    with open(name, "wb") as stream:
        pyarrow.parquet.write_table(pyarrow.table(table), stream, compression="zstd")
    return len(rows)
