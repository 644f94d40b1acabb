"""What a baseline's outputs add to verdicts that were recorded without them: its name, and its outputs' lengths."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd

from simfarm.data.evidence import text_digest
from simfarm.data.frames import Verdicts
from simfarm.errors import InputError

__all__ = ["fill_baseline"]


def fill_baseline(verdicts: Verdicts, rows: Iterable[Mapping[str, Any]], source: str) -> tuple[Verdicts, str]:
    """(verdicts with the baseline's lengths filled in, the baseline's name), from the baseline's outputs.

    Recorded annotations often leave out output_1, which is the same text in all of them. The join is on
    the stripped instruction where both sides have it, else on `instruction_id`. Raises `InputError` when the file does
    not hold one generator's outputs, or fits none of the rows.
    """
    names: set[str] = set()
    lengths: dict[str, dict[str, float]] = {"instruction": {}, "instruction_id": {}}
    for row in rows:
        names.add(str(row.get("generator")))
        if len(names) != 1 or not isinstance(row.get("output"), str):
            raise InputError(
                f"{source}: as a baseline it must hold one generator's outputs (columns generator, output)"
            )
        for key, known in list(lengths.items()):
            if key in row:
                known[_key(row[key], key)] = float(len(row["output"]))
            else:
                del lengths[key]
    table = verdicts.table
    columns = {"instruction": "instruction_sha256", "instruction_id": "instruction_id"}
    shared = next((k for k in lengths if columns[k] in table), None)
    if shared is None:
        raise InputError(f"{source}: shares neither 'instruction' nor 'instruction_id' with the annotations; add one")
    (name,) = names
    known_by_key = lengths[shared]
    keys = table[columns[shared]]
    by_row = _mapped(
        keys, known_by_key.get if shared == "instruction" else lambda value: known_by_key.get(_key(value, ""))
    )
    known_lengths = by_row.astype(float)
    ours = table["generator_1"].eq(name) | table["generator_2"].eq(name)
    if ours.any() and known_lengths[ours].isna().all():
        raise InputError(f"{source}: none of its outputs has the {shared} of an annotation; is it the right baseline?")
    table = table.copy(deep=False)
    for side in ("1", "2"):
        lacking = table[f"generator_{side}"].eq(name) & table[f"length_{side}"].isna()
        table[f"length_{side}"] = table[f"length_{side}"].where(~lacking, known_lengths)
    return replace(verdicts, table=table), name


def _key(value: Any, column: str) -> str:
    """An instruction's digest, or its id as text; 0, 0.0 and "0" are one id, as file formats change them."""
    if column == "instruction":
        return text_digest(str(value).strip())
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _mapped(column: pd.Series[Any], value_of: Callable[[Any], Any]) -> pd.Series[Any]:
    """A column with something else for each of its values, worked out once for each; None where there is none."""
    codes, values = pd.factorize(column)
    mapped = np.empty(len(values) + 1, dtype=object)
    mapped[:-1] = [value_of(value) for value in values]
    return pd.Series(mapped[codes], index=column.index, dtype=object)
