"""Rows out of files as a stream: what is held is a block of the file and its rows, never the file.

JSON, JSONL, CSV (each also `.gz` or `.zst`), Parquet, folders of them, and `hf://`. A file made to exhaust a machine,
an endless device and a file of ten gigabytes all take the same memory: `unpacking` and `parsing` hold the bounds.
"""

from __future__ import annotations

import io
import json
import os
import re
import shutil
import tempfile
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from itertools import chain, islice
from operator import itemgetter
from pathlib import Path
from typing import Any, TypeAlias, Union, cast

from simfarm.data.parsing import Row, csv_columns, json_rows, jsonl_rows
from simfarm.data.unpacking import Readable, blocks, compression_of, decoded, unpacked
from simfarm.data.unquoted import TEXTS
from simfarm.errors import InputError
from simfarm.text.words import plural

__all__ = ["MANIFEST", "Columns", "columns_of", "files_of", "format_of", "iter_columns", "iter_rows", "read_text"]

MANIFEST = "manifest.json"
"""In a folder of parts (`--cluster ray`): what they are made of, and their names."""

Source: TypeAlias = Union[str, "os.PathLike[str]", Readable]

_TEXT_FORMATS = {".json", ".jsonl", ".csv"}
_COMPRESSIONS = {".gz", ".zst"}
_LOG = ".eval"
_FORMATS = ".json, .jsonl, .csv (each also .gz or .zst), .parquet or hf://owner/name:split"
_SMALL = 1_000_000
_ROWS = 1024
_SLIM_ROWS = 1 << 16


@dataclass(frozen=True, slots=True)
class Columns:
    """Some consecutive rows of a file, by column: `values` are lists, or Arrow's arrays (Parquet, plain CSV)."""

    values: dict[str, Sequence[Any]]
    length: int

    def lists(self) -> dict[str, list[Any]]:
        return {name: values if isinstance(values, list) else _listed(values) for name, values in self.values.items()}

    def rows(self) -> Iterator[Row]:
        columns = self.lists()
        return (dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True))


def format_of(path: str) -> tuple[str, str]:
    """(format suffix, compression suffix) of a file name; raises `InputError` for one that is not known."""
    suffixes = [s.lower() for s in Path(path).suffixes]
    compression = suffixes.pop() if suffixes and suffixes[-1] in _COMPRESSIONS else ""
    kind = suffixes[-1] if suffixes else ""
    if kind == ".ndjson":
        kind = ".jsonl"
    if kind in _TEXT_FORMATS or (kind == ".parquet" and not compression):
        return kind, compression
    raise InputError(f"{path}: unknown file format; use {_FORMATS}")


def iter_rows(source: Source, name: str = "standard input") -> Iterator[Row]:
    """The rows of a file, of a folder's files or of an open binary stream (`name` in messages), in order.

    What a stream, a pipe or a device holds is told by its first bytes. Raises `InputError`, naming the file and the
    line or row at fault, for what is missing, empty, unreadable or unknown. Values are as stored: CSV cells are
    strings, or None where empty.
    """
    for part in _parts(source, name, None):
        yield from part.rows() if isinstance(part, Columns) else part


def iter_columns(source: Source, wanted: Collection[str], name: str = "standard input") -> Iterator[Columns]:
    """The same rows by column, some thousand at a time, of the `wanted` columns those that are there."""
    for part in _parts(source, name, wanted):
        if isinstance(part, Columns):
            yield part
        else:
            yield columns_of(part, wanted)


def columns_of(rows: Sequence[Mapping[str, Any]], wanted: Collection[str]) -> Columns:
    """Rows by column, of the `wanted` columns those that any row has."""
    names = sorted(name for name in set().union(*rows) if name in wanted)
    try:
        columns = [*zip(*map(itemgetter(*names, names[0]), rows), strict=True)] if names else []
    except KeyError:
        columns = [tuple(row.get(name) for row in rows) for name in names]
    return Columns({name: list(values) for name, values in zip(names, columns, strict=False)}, len(rows))


def files_of(folder: str | os.PathLike[str]) -> list[str]:
    """The files of a folder that hold rows, in the order of their names.

    A run over a cluster writes such a folder; while parts of it are missing it is refused, because what stands in their
    place would be nothing at all. Raises `InputError`, also for a folder without such files.
    """
    name = os.fspath(folder)
    files = sorted(path.name for path in Path(name).iterdir() if path.name[0] not in "._" and _is_of_rows(path))
    manifest = Path(name, MANIFEST)
    if manifest.is_file():
        try:
            listed = [part["file"] for part in json.loads(manifest.read_text("utf-8"))["parts"]]
        except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
            raise InputError(f"{name}: its {MANIFEST} is damaged; name the files in it") from error
        missing = len(set(listed) - set(files))
        if missing:
            raise InputError(f"{name}: lacks {missing} of its {plural(len(listed), 'part')}; run its command again")
    if not files:
        raise InputError(f"{name}: is a folder without files of rows ({_FORMATS}); name files")
    return [os.path.join(name, file) for file in files]


def _is_of_rows(path: Path) -> bool:
    if path.name == MANIFEST or path.is_dir():
        return False
    if path.suffix == _LOG:
        return True
    try:
        format_of(path.name)
    except InputError:
        return False
    return True


def read_text(path: str | os.PathLike[str]) -> str:
    """A small file of plain text: a template, a judge. Raises `InputError` where it is missing, no UTF-8, or too long.

    What never ends (`/dev/zero`) is read no further than any such file is long.
    """
    try:
        with open(path, "rb") as stream:
            data = stream.read(_SMALL + 1)
    except FileNotFoundError:
        raise InputError(f"{path}: no such file") from None
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror}); name a file of plain text") from None
    if len(data) > _SMALL:
        raise InputError(f"{path}: is longer than a template or a judge can be (1 MB); is it the right file?")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8") from None


Part: TypeAlias = Columns | list[Row]


def _parts(source: Source, name: str, wanted: Collection[str] | None) -> Iterator[Part]:
    """The rows in pieces, as the format has them; raises `InputError` for a file without rows."""
    if not isinstance(source, str | os.PathLike):
        yield from _filled(_stream_parts(source, name, wanted), name)
        return
    name = os.fspath(source)
    if name.startswith("hf://"):
        rows = _hub_rows(name)
        yield from _filled(iter(lambda: list(islice(rows, _ROWS)), []), name)
    elif Path(name).is_dir():
        for file in files_of(name):
            yield from _parts(file, file, wanted)
    else:
        yield from _filled(_file_parts(name, wanted), name)


def _filled(parts: Iterator[Part], name: str) -> Iterator[Part]:
    empty = True
    for part in parts:
        if isinstance(part, Columns) or part:
            empty = False
            yield part
    if empty:
        raise InputError(f"{name}: has no rows; was the command that wrote it stopped?")


def _file_parts(name: str, wanted: Collection[str] | None) -> Iterator[Part]:
    path = Path(name)
    if path.exists() and not path.is_file():
        # a pipe or a device has no suffix that says what comes out of it
        with _opened(name) as stream:
            yield from _stream_parts(stream, name, wanted)
        return
    kind, compression = (_LOG, "") if path.suffix == _LOG else format_of(name)
    if not path.exists():
        raise InputError(f"{name}: no such file")
    with _opened(name) as stream:
        if kind == _LOG:
            yield from _log_parts(stream, name)
        elif kind == ".parquet":
            yield from _parquet_parts(stream, name, wanted)
        else:
            yield from _text_parts(kind, decoded(unpacked(blocks(stream, name), name, compression), name), name, wanted)


def _opened(name: str) -> io.BufferedReader:
    try:
        return open(name, "rb")
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror})") from error


def _stream_parts(stream: Readable, name: str, wanted: Collection[str] | None) -> Iterator[Part]:
    """The parts of a stream, by what its first bytes are."""
    data = blocks(stream, name)
    head = next(data, b"")
    if head.startswith((b"PAR1", b"PK\x03\x04")):
        with tempfile.TemporaryFile() as file:
            shutil.copyfileobj(_Pieces(chain([head], data)), file)
            file.seek(0)
            yield from _parquet_parts(file, name, wanted) if head.startswith(b"PAR1") else _log_parts(file, name)
        return
    data = unpacked(chain([head], data), name, compression_of(head))
    head = next(data, b"")
    start = head.removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if b"\0" in head:
        raise InputError(f"{name}: is neither text nor Parquet; give {_FORMATS}")
    kind = ".csv" if start not in (b"[", b"{") else ".json"
    yield from _text_parts(kind, decoded(chain([head], data), name), name, wanted)


class _Pieces:
    """An iterator of bytes as a stream to copy from."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces

    def read(self, size: int = -1) -> bytes:
        return next(self._pieces, b"")


def _text_parts(kind: str, texts: Iterator[str], name: str, wanted: Collection[str] | None) -> Iterator[Part]:
    if kind != ".csv":
        yield from (json_rows if kind == ".json" else jsonl_rows)(texts, name)
        return
    for columns, n in csv_columns(texts, name, wanted):
        yield Columns(columns, n)


def _log_parts(file: Any, name: str) -> Iterator[list[Row]]:
    from simfarm.data.archives import log_rows

    return ([row] for row in log_rows(file, name))


def _parquet_parts(file: Any, name: str, wanted: Collection[str] | None) -> Iterator[Columns]:
    import pyarrow
    import pyarrow.parquet

    with ExitStack() as closing:
        try:
            parquet = closing.enter_context(pyarrow.parquet.ParquetFile(file, buffer_size=1 << 20, pre_buffer=False))
            names = parquet.schema_arrow.names
            twice = next((c for i, c in enumerate(names) if c in names[:i]), None)
            if twice is not None:
                raise InputError(f"{name}: has the column {twice!r} twice; rename or drop one")
            read = [c for c in names if wanted is None or c in wanted]
            size = _SLIM_ROWS if wanted is not None and not TEXTS & set(read) else _ROWS
            for batch in parquet.iter_batches(size, columns=read):
                if batch.num_rows:
                    yield Columns(dict(zip(read, batch.columns, strict=True)), batch.num_rows)
        except (pyarrow.ArrowException, OSError, ValueError, OverflowError) as error:
            raise InputError(f"{name}: not a readable Parquet file ({str(error).splitlines()[0]})") from error


def _listed(column: Any) -> list[Any]:
    """An Arrow array as Python values."""
    import pyarrow

    try:
        return cast("list[Any]", column.to_pylist())
    except (OverflowError, ValueError):
        # a date that Python has no form for (the year 36812, a time zone of another system)
        return cast("list[Any]", column.cast(pyarrow.string()).to_pylist())


def _hub_rows(name: str) -> Iterator[Row]:
    match = re.fullmatch(r"hf://([^/:]+/[^/:]+)(?:/([^:]+))?:([^:]+)", name)
    if not match:
        raise InputError(f"{name}: write a hub dataset as hf://owner/name:split or hf://owner/name/config:split")
    try:
        import datasets
    except ImportError as error:
        raise InputError(f"{name}: reading from the hub needs pip install 'simfarm[hub]'") from error
    repository, config, split = match.groups()
    try:
        yield from (dict(row) for row in datasets.load_dataset(repository, config, split=split))
    except (OSError, ValueError, RuntimeError) as error:
        raise InputError(f"{name}: the hub did not give it ({str(error).splitlines()[0]})") from error
