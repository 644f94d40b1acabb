"""Logs that are zip archives (inspect's `.eval`): a row for each sample, with what the run says of itself.

An archive is read an entry at a time, by the list at its end. An entry is a row, and no longer than one may be.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from typing import IO, Any

from simfarm.data.parsing import ROW_LIMIT, Row
from simfarm.errors import InputError

if sys.version_info >= (3, 14):
    import zipfile
else:
    # what Python's own has no compression for: today's logs are packed by zstd
    from backports.zstd import zipfile

__all__ = ["log_rows"]


_HEADERS = ("header.json", "_journal/start.json")
"""What a run was: the second in the log of one that has not ended."""


def log_rows(file: IO[bytes], name: str) -> Iterator[Row]:
    """{"eval": …, "sample": …} for each sample. Raises `InputError` for what is no such archive, or a broken one."""
    try:
        with zipfile.ZipFile(file) as archive:
            entries = [info for info in archive.infolist() if info.filename.startswith("samples/")]
            header = next((entry for entry in _HEADERS if entry in archive.namelist()), None)
            run = _entry(archive, archive.getinfo(header), name) if header else {}
            if not isinstance(run.get("eval"), dict):
                raise InputError(f"{name}: is a zip archive, but no log of an evaluation (.eval)")
            for info in entries:
                _, *inside = info.filename.removesuffix(".json").split("/")
                # a sample in parts has its events and messages in entries of their own
                if len(inside) == 1 or inside[1:] == ["sample"]:
                    yield {"eval": run["eval"], "sample": _entry(archive, info, name)}
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError, ValueError, KeyError, RuntimeError) as error:
        raise InputError(f"{name}: not a readable .eval archive ({str(error).splitlines()[0]})") from error


def _entry(archive: Any, info: Any, name: str) -> Row:
    if info.file_size > ROW_LIMIT:
        raise InputError(f"{name}: {info.filename} is longer than {ROW_LIMIT >> 20} million characters")
    with archive.open(info) as stream:
        data = stream.read(ROW_LIMIT + 1)
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise InputError(f"{name}: {info.filename} is not valid JSON") from error
    if len(data) > ROW_LIMIT or not isinstance(value, dict):
        raise InputError(f"{name}: {info.filename} is no object; is it a log of an evaluation?")
    return value
