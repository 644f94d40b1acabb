"""The parts of a run over many machines: which records each is made of, its file, and the manifest that binds them.

A part is the unit of restart: its file is there with every row, or the part is made again. Whether it is whole is read
off the file itself, never off a list kept beside it, which a killed process leaves behind the facts. The manifest is
written once, before the first part, and says of what and by what the folder is made; a run that differs from it is
refused, so that no folder ever holds a mixture.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Generic, cast
from urllib.parse import urlsplit

from simfarm.data.files import MANIFEST
from simfarm.data.records import Record
from simfarm.data.writing import write_text
from simfarm.errors import InputError
from simfarm.version import __version__

__all__ = ["Folder", "Part", "begun", "cut", "server_name"]

FILES = {".json", ".jsonl", ".ndjson", ".csv", ".parquet", ".gz", ".zst"}
"""Suffixes of a file's name: whoever gives one for the folder wants a file."""

PLAIN = re.compile(r"[A-Za-z]{0,12}|v\d+")
"""A part of an address's path that is a word (v1, openai) and no key."""


@dataclass(frozen=True, slots=True)
class Part(Generic[Record]):
    """A run of consecutive records. `start` is the position of the first among all (from 0), `rows` how many rows the
    part's file `name` has when none failed."""

    name: str
    start: int
    records: Sequence[Record]
    rows: int

    @property
    def digest(self) -> str:
        """A hash of everything in the records that can change the part's rows."""
        values = [[getattr(record, field.name) for field in fields(cast("Any", record))] for record in self.records]
        text = json.dumps(values, default=str, sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:32]


def cut(records: Sequence[Record], size: int, rows: Callable[[Sequence[Record]], int]) -> list[Part[Record]]:
    """The parts of `size` records each, the last one shorter; the names of their files sort in input order."""
    starts = range(0, len(records), size)
    digits = max(5, len(str(len(starts) - 1)))
    pieces = (records[start : start + size] for start in starts)
    return [
        Part(f"part-{number:0{digits}d}.parquet", start, piece, rows(piece))
        for number, (start, piece) in enumerate(zip(starts, pieces, strict=True))
    ]


class Folder(Generic[Record]):
    """The folder of a run's parts. `made_by` names what else changes its rows (model, sampling, judge …).

    Raises `InputError` for a path that cannot be such a folder, and for one that other input or options made.
    """

    def __init__(self, path: str | os.PathLike[str], parts: Sequence[Part[Record]], made_by: Mapping[str, Any]) -> None:
        self.path = Path(path).absolute()
        self.parts = parts
        listed = [{"file": part.name, "records": len(part.records), "input": part.digest} for part in parts]
        self._manifest = {"simfarm": __version__, "made_by": dict(made_by), "parts": listed}
        self._check(os.fspath(path))

    def _check(self, name: str) -> None:
        if self.path.suffix.lower() in FILES or self.path.is_file():
            raise InputError(f"{name}: --cluster ray writes a folder of Parquet files; name a folder with -o")
        above = self.path.parent
        if not above.is_dir():
            raise InputError(f"{name}: the folder {above} does not exist; make it first")
        if not os.access(self.path if self.path.is_dir() else above, os.W_OK):
            raise InputError(f"{name}: cannot be written there; choose another -o FOLDER")
        if not self.path.is_dir() or not os.listdir(self.path):
            return
        if not (self.path / MANIFEST).is_file():
            raise InputError(f"{name}: holds files of something else; name an empty or a new folder with -o")
        try:
            known = json.loads((self.path / MANIFEST).read_text("utf-8"))
            made_by, parts = dict(known["made_by"]), list(known["parts"])
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(f"{name}: its {MANIFEST} is damaged; name another folder with -o") from error
        now = json.loads(json.dumps(self._manifest))
        keys = {**now["made_by"], **made_by}
        changed = [key.replace("_", " ") for key in keys if now["made_by"].get(key) != made_by.get(key)]
        if changed:
            raise InputError(
                f"{name}: was made with another {' and another '.join(changed)}; name another folder with -o, or give "
                f"the options as they were ({MANIFEST} there has them)"
            )
        if now["parts"] != parts:
            raise InputError(f"{name}: was made of other input; name another folder with -o")

    def begin(self) -> None:
        """Makes the folder and its manifest, where they are not there yet."""
        self.path.mkdir(exist_ok=True)
        self._remove(".*.begun")
        if not (self.path / MANIFEST).is_file():
            write_text(self.path / MANIFEST, json.dumps(self._manifest, indent=1, ensure_ascii=False) + "\n")

    def missing(self) -> list[Part[Record]]:
        """The parts that have no file, or one that lacks rows or verdicts."""
        return [part for part in self.parts if not self._whole(part)]

    def _whole(self, part: Part[Record]) -> bool:
        import pyarrow
        import pyarrow.parquet

        path = self.path / part.name
        if not path.is_file():
            return False
        try:
            file = pyarrow.parquet.ParquetFile(path)
            if file.metadata.num_rows != part.rows:
                return False
            if "status" not in file.schema_arrow.names or "preference" not in file.schema_arrow.names:
                return True
            return set(file.read(["status"])["status"].to_pylist()) == {"verdict"}
        except (pyarrow.ArrowException, OSError):
            return False

    def written(self) -> int:
        """How many parts have a file."""
        return sum((self.path / part.name).is_file() for part in self.parts)

    def tidy(self) -> None:
        """Removes what killed workers left half written; for after a run, when nobody writes any more."""
        self._remove(".part-*.parquet.*")

    def _remove(self, pattern: str) -> None:
        for left in self.path.glob(pattern):
            with suppress(FileNotFoundError):
                left.unlink()


def begun(folder: Path, name: str) -> int:
    """How often the part `name` was begun in this run, this time among them; counted in a file of one byte each time,
    because the process that counts may be killed at any moment."""
    with open(folder / f".{name}.begun", "ab") as counter:
        counter.write(b".")
        return counter.tell()


def server_name(base_url: str | None) -> str | None:
    """The address without a user name, password or query; a part of its path that may be a key is its hash."""
    if base_url is None:
        return None
    parts = urlsplit(base_url)
    words = parts.path.rstrip("/").split("/")
    path = (w if PLAIN.fullmatch(w) else hashlib.sha256(w.encode()).hexdigest()[:8] for w in words)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{'/'.join(path)}"
