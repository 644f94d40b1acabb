"""What people have, as files and tables that can be read twice: paths, `-`, pipes, globs, folders, and the tables of
pandas, polars, pyarrow, Hugging Face datasets or plain lists of dicts.

A library's table is known by what it can do (`to_dicts`, `to_pylist` …): importing polars to ask whether something is
polars would cost more than reading it. A pipe is copied to a temporary file, because some verbs read their input
twice and Parquet is read from its end.
"""

from __future__ import annotations

import glob
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeGuard, Union

from simfarm.data.reading import files_of
from simfarm.errors import InputError
from simfarm.text.harmless import one_line

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "Source",
    "Sources",
    "called",
    "frame_of",
    "is_path",
    "is_table",
    "listed",
    "opened",
    "same_source",
    "table_rows",
]

TAKEN = (
    "a path (or '-', a glob, a folder), a list or iterator of dicts, or a table of pandas, polars, pyarrow or datasets"
)


class _Polars(Protocol):
    def to_dicts(self) -> list[dict[str, Any]]: ...


class _Arrow(Protocol):
    def to_pylist(self) -> list[dict[str, Any]]: ...


class _Lazy(Protocol):
    def collect(self) -> Any: ...


Source: TypeAlias = Union[
    str, "os.PathLike[str]", "pd.DataFrame", _Polars, _Arrow, _Lazy, Iterable[Mapping[str, Any]]
]  # fmt: skip
"""One file or table."""

Sources: TypeAlias = Source | Sequence[Source]
"""One file or table, or several."""


def is_path(source: object) -> TypeGuard[str | os.PathLike[str]]:
    """Whether a source is named and not given."""
    return isinstance(source, str | os.PathLike)


def is_table(value: object) -> bool:
    """A table of a library that is not simply an iterable of rows."""
    return any(hasattr(value, name) for name in ("iloc", "to_dicts", "to_pylist", "collect", "__arrow_c_stream__"))


def listed(inputs: object) -> list[Any]:
    """The sources in what a caller gave: a list or iterator of dicts is one, a list of files or tables several.

    Raises `InputError` for anything else, with what is taken.
    """
    if is_path(inputs):
        return [inputs]
    if is_table(inputs):
        return [_settled(inputs)]
    if isinstance(inputs, Mapping):
        raise InputError(_of_mapping(inputs))
    if not isinstance(inputs, Iterable):
        raise InputError(f"the input is of type {type(inputs).__name__}; it can be {TAKEN}, or a list of these")
    if hasattr(inputs, "column_names") or hasattr(inputs, "features"):
        return [inputs]
    items = list(inputs)
    rows = sum(isinstance(item, Mapping) for item in items)
    if rows and rows == len(items) and not any(hasattr(item, "column_names") for item in items):
        return [items]
    if rows:
        raise InputError("the list holds rows (dicts) and files or tables; give one kind at a time")
    return [_checked(item) for item in items]


def _checked(item: Any) -> Any:
    """One of several sources; an iterator is read, so that it can be looked at twice."""
    if is_path(item):
        return item
    inner = listed(item)
    if len(inner) != 1 or is_path(inner[0]):
        raise InputError(f"a list of lists of sources; give one list: each item {TAKEN}")
    return inner[0]


def _settled(table: Any) -> Any:
    """A table that can be read twice: a lazy frame is computed, a stream of batches read."""
    if hasattr(table, "collect") and not hasattr(table, "to_dicts"):
        return table.collect()
    return table.read_all() if hasattr(table, "read_all") else table


def _of_mapping(value: Mapping[Any, Any]) -> str:
    """Why a mapping is no table: a dict of splits, of columns, or one row."""
    first = next(iter(value.values()), None)
    if hasattr(first, "column_names") or is_table(first):
        names = ", ".join(map(repr, list(value)[:5]))
        return f"the input is a dict of several tables ({names}); give one of them, data[{next(iter(value))!r}]"
    return f"the input is a dict; it can be {TAKEN} (one row is [{{…}}])"


def table_rows(source: Any, name: str) -> list[dict[str, Any]]:
    """The rows of a source that is no path, as a file would give them: a missing value (NaN too) is None.

    `name` is what messages call it. Raises `InputError` for what is no table of rows.
    """
    if hasattr(source, "iloc"):
        if not hasattr(source, "columns"):
            raise InputError(f"{name}: is a single column of pandas; give the DataFrame")
        from simfarm.data.frames import frame_rows

        return frame_rows(source)
    rows: list[dict[str, Any]] = []
    for number, row in enumerate(_raw_rows(source, name), 1):
        if not isinstance(row, Mapping):
            raise InputError(f"{name}: row {number} is of type {type(row).__name__}; a row is a dict of named columns")
        rows.append({str(k): None if isinstance(v, float) and math.isnan(v) else v for k, v in row.items()})
    if not rows:
        raise InputError(f"{name}: has no rows")
    return rows


def _raw_rows(source: Any, name: str) -> Iterable[Any]:
    for method in ("to_dicts", "to_pylist"):
        if hasattr(source, method):
            return getattr(source, method)()  # type: ignore[no-any-return]
    if hasattr(source, "column_names") or not hasattr(source, "__arrow_c_stream__"):
        if isinstance(source, Iterable):
            return source
        raise InputError(f"{name}: is of type {type(source).__name__}; it can be {TAKEN}")
    import pyarrow

    return pyarrow.table(source).to_pylist()  # type: ignore[no-any-return]


def frame_of(source: Any, name: str) -> pd.DataFrame:
    """A source that is no path as a pandas DataFrame, by the library's own conversion where it has one."""
    import pandas as pd

    if hasattr(source, "iloc") and hasattr(source, "columns"):
        return source  # type: ignore[no-any-return]
    if hasattr(source, "to_pandas"):
        frame = source.to_pandas()
        if hasattr(frame, "columns"):
            return frame  # type: ignore[no-any-return]
    return pd.DataFrame(table_rows(source, name))


def called(source: Any, position: int = 1, role: str = "table") -> str:
    """What messages call a source: a path by itself, a table by its place among the inputs."""
    if isinstance(source, str | os.PathLike):
        return str(os.fspath(source))
    return f"{'DataFrame' if hasattr(source, 'iloc') else role} {position}"


def same_source(one: Any, other: Any) -> bool:
    """Whether two sources are one file, or one object."""
    if not (is_path(one) and is_path(other)):
        return one is other
    return bool(os.path.realpath(one) == os.path.realpath(other))


@contextmanager
def opened(
    inputs: Any,
    *others: Any,
    columns: Mapping[str, str] | Iterable[tuple[str, str]] | None = None,
    strict: bool = True,
) -> Iterator[tuple[list[Any], Any]]:
    """(files and tables of `inputs`, those of `others` in their order) while the block runs.

    Globs and folders are taken apart, and what can be read only once (`-`, `<( )`) is copied to a temporary file, which
    goes when the block ends. `others` are single sources or None (a baseline, human labels); one that is neither a pipe
    nor `-` stays as it is. `columns` says what all of them call theirs (see `entrance.Renaming`), which
    every input must have where that is `strict`. Raises `InputError`
    for a source that is given twice; one raised in the block names a copied pipe as the user did.
    """
    from simfarm.data.entrance import Renaming, under
    from simfarm.data.pipes import Pipes

    pipes = Pipes()
    named = Renaming.of(columns)
    renaming = None if named is None else replace(named, strict=strict)
    try:
        files = [file for source in listed(inputs) for file in _expanded(source)]
        _refuse_twice(files)
        at_hand = [pipes.copied(source) if is_path(source) else source for source in files]
        rest = tuple(None if other is None else _single(other, pipes) for other in others)
        if renaming is not None:
            at_hand = [under(source, called(source, i), renaming) for i, source in enumerate(at_hand, 1)]
            aside = replace(renaming, strict=False)
            rest = tuple(None if other is None else under(other, called(other), aside) for other in rest)
        yield at_hand, rest
    except InputError as error:
        message = pipes.renamed(str(error))
        if message == str(error):
            raise
        raise InputError(message) from error
    finally:
        pipes.remove()


def _single(other: Any, pipes: Any) -> Any:
    """One source beside the inputs; a path or a generator's name stays as it is."""
    sources = listed(other)
    if len(sources) != 1:
        raise InputError(f"one file or table is wanted where {len(sources)} are given; join them first")
    return pipes.copied(sources[0]) if is_path(sources[0]) else sources[0]


def _expanded(source: Any) -> list[Any]:
    """The files that a glob or a folder stands for; anything else as it is."""
    if not is_path(source):
        return [source]
    name = os.fspath(source)
    if not name:
        raise InputError("the name of an input is empty; was it a variable that is not set?")
    if name.startswith("hf://"):
        return [source]
    if glob.has_magic(name) and not os.path.exists(name):
        names = sorted(glob.glob(name, recursive=True))
        if not names:
            raise InputError(f"{one_line(name)}: no file matches")
        return [file for found in names for file in _expanded(found)]
    return _in_folder(name) if os.path.isdir(name) else [source]


def _in_folder(folder: str) -> list[Any]:
    """The files of a folder; one of Parquet files alone, as a run over a cluster writes it, is one table."""
    files = files_of(folder)
    return [folder] if all(name.endswith(".parquet") for name in files) else files


def _refuse_twice(sources: Sequence[Any]) -> None:
    """Raise `InputError` where a file or a table is given twice: its rows would count double."""
    seen: dict[Any, str] = {}
    for position, source in enumerate(sources, 1):
        name = called(source, position)
        key = os.path.realpath(source) if is_path(source) else id(source)
        if key in seen:
            also = "" if seen[key] == name else f" (as {one_line(seen[key])} too)"
            raise InputError(f"{one_line(name)}: is given twice{also}; name each file once")
        seen[key] = name
