"""CSV in which nothing is quoted: cells are what lies between commas, and Arrow cuts them.

A million verdicts without texts are such a file. A quotation mark changes what a comma and a line's end are, so from
the first one on, and wherever Arrow finds a fault, `parsing` reads by Python's csv, which says what is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import Any

__all__ = ["TEXTS", "unquoted_columns"]

TEXTS = {"instruction", "messages", "output", "output_1", "output_2"}
"""The columns of long texts: of the others each value comes again and again."""

_ODD = re.compile('["\r\0]')


def unquoted_columns(head: str, lines: str, wanted: Collection[str]) -> dict[str, Sequence[Any]] | None:
    """The `wanted` columns of some whole lines under the line `head`, each value once (Arrow's dictionaries), empty
    cells null. None where they are for another reader: quotes, texts, a row or a header that is not as it should be."""
    header = head.rstrip("\n").split(",")
    read = [column for column in header if column in wanted]
    if not read or TEXTS & {*read} or len({*header}) < len(header) or _ODD.search(head) or _ODD.search(lines):
        return None
    if not lines:
        return {}
    import pyarrow
    from pyarrow import csv

    data = (head + lines).encode()
    try:
        table = csv.read_csv(
            pyarrow.BufferReader(data),
            csv.ReadOptions(use_threads=False, block_size=len(data) + 1),
            csv.ParseOptions(quote_char=False, double_quote=False),
            csv.ConvertOptions(
                column_types=dict.fromkeys(read, pyarrow.dictionary(pyarrow.int32(), pyarrow.string())),
                include_columns=read,
                null_values=[""],
                strings_can_be_null=True,
            ),
        )
    except pyarrow.ArrowInvalid:
        return None
    return {name: column.combine_chunks() for name, column in zip(read, table.columns, strict=True)}
