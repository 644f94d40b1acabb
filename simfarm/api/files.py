"""Files of outputs, comparisons and annotations, read and written as every verb does."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from simfarm.api.calls import nearest_named, tell_all
from simfarm.data.conversion import Conversion
from simfarm.data.files import Row, check_writable, write_rows
from simfarm.data.inputs import named_rows
from simfarm.data.sources import Source, Sources, is_table, listed, opened, table_rows
from simfarm.errors import InputError

__all__ = ["convert", "read", "write"]


@nearest_named
def read(inputs: Sources, *, columns: Mapping[str, str] | None = None) -> list[Row]:
    """The rows of files or tables, each a dict of named columns; a missing value is None.

    `inputs` are as in `annotate`: paths of every format (also `.gz`, `.zst`, a glob, a folder, `hf://…`) or tables;
    `columns` says what theirs are called, {our name: their name}.
    Raises `InputError` for what cannot be read, with the file, the row and the remedy.
    """
    with opened(inputs, columns=columns) as (sources, _):
        return [row for position, source in enumerate(sources, 1) for row in named_rows(source, position)[1]]


@nearest_named
def convert(
    inputs: Sources,
    to: str = "simfarm",
    output: str | os.PathLike[str] | None = None,
    *,
    annotator: str | None = None,
    generator: str | None = None,
    columns: Mapping[str, str] | None = None,
) -> list[Row]:
    """The rows of files or tables of any format that simfarm reads, in the format `to`; written to `output` too.

    `to` is `simfarm`, `alpaca-eval`, `arena-hard`, `mt-bench-pair`, `mt-bench-single`, `lmarena`, `trl`, `rewardbench`
    or `annotated-pairs` (whose one row is the whole object). `annotator` and `generator` name who judged and who
    answered in rows that do not say it. What the format cannot hold is left out, and said. Raises `InputError` for what
    cannot be read, for an unknown format, and where nothing would be left.
    """
    with opened(inputs, columns=columns) as (sources, _):
        if output is not None:
            check_writable(output, sources)
        conversion = Conversion.of(sources, to, annotator, generator)
        rows = list(conversion.rows())
        if output is not None:
            conversion.write(output, rows)
    tell_all(conversion.said())
    return rows


@nearest_named
def write(path: str | os.PathLike[str], rows: Source) -> int:
    """Write rows or a table to a file, in the format of its name (.json, .jsonl, .csv, .parquet, texts also .gz and
    .zst); gives their count.

    An iterator of dicts is written as it comes where the format allows. A file appears whole or not at all. Raises
    `InputError` for a name of no known format, `SimfarmError` where it cannot be written.
    """
    table: Any = rows
    if isinstance(rows, Sequence) and (isinstance(rows, str) or not all(isinstance(row, Mapping) for row in rows)):
        raise InputError("what is to be written are no rows; give a list of dicts or a table")
    return write_rows(path, table_rows(listed(table)[0], "the table") if is_table(table) else table)
