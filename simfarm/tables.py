"""Annotation files as one table, validated: what every estimate starts from.

Only what estimates read is kept (texts shrink to their lengths, except the outputs, which the guard reads), so that a
leaderboard over many models fits in memory. Wrong values end here, with the file and the row, and not as a silent draw.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from simfarm.errors import InputError
from simfarm.values import ESCAPE, plain

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["annotations_frame", "fill_baseline", "frame_rows", "rows_frame"]

_UNREAD = {"raw_completion", "reason", "scores"}


def fill_baseline(table: pd.DataFrame, rows: Sequence[Mapping[str, Any]], source: str) -> tuple[pd.DataFrame, str]:
    """(annotations with the baseline's lengths filled in, the baseline's name), from the baseline's outputs.

    Recorded annotations often leave out output_1, which is the same text in all of them. The join is on
    the stripped instruction where both sides have it, else on `instruction_id`. Raises `InputError` when the file does
    not hold one generator's outputs, or fits none of the rows.
    """
    names = {str(row.get("generator")) for row in rows}
    if len(names) != 1 or any(not isinstance(row.get("output"), str) for row in rows):
        raise InputError(f"{source}: as a baseline it must hold one generator's outputs (columns generator, output)")
    (name,) = names
    key = next((k for k in ("instruction", "instruction_id") if k in table and all(k in row for row in rows)), None)
    if key is None:
        raise InputError(f"{source}: shares neither 'instruction' nor 'instruction_id' with the annotations; add one")
    lengths = {_key(row[key]): float(len(row["output"])) for row in rows}
    known = table[key].map(_key).map(lengths)
    ours = table["generator_1"].eq(name) | table["generator_2"].eq(name)
    if ours.any() and known[ours].isna().all():
        raise InputError(f"{source}: none of its outputs has the {key} of an annotation; is it the right baseline?")
    table = table.copy()
    for side in ("1", "2"):
        ours = table[f"generator_{side}"].eq(name) & table[f"length_{side}"].isna()
        table[f"length_{side}"] = table[f"length_{side}"].where(~ours, known)
    return table, name


def _key(value: Any) -> str:
    """An instruction or its id as text; 0, 0.0 and "0" are one id, as file formats change them into each other."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def annotations_frame(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """A validated copy: `preference` in 1..2 or NaN (a stored 0 is a draw), `status`, names as text, and `length_1`,
    `length_2` in characters (NaN where neither length nor text is known)."""
    import pandas as pd

    if frame.empty:
        raise InputError(f"{source}: has no rows; was the command that wrote it stopped?")
    if "preference" not in frame:
        raise InputError(f"{source}: lacks the column 'preference'; is it an annotation file?")
    if not {"instruction", "instruction_id", "messages"} & set(frame.columns):
        raise InputError(f"{source}: lacks both 'instruction' and 'instruction_id'; one must say what was asked")
    table = frame.drop(columns=[c for c in _UNREAD if c in frame])
    table = table.assign(preference=_preference(frame["preference"], source))
    defaults = {"annotator": "unknown", "generator_1": "output_1", "generator_2": "output_2"}
    for column, default in defaults.items():
        if column not in table or table[column].isna().all():
            table[column] = default
    for column in ("generator_1", "generator_2", "annotator"):
        missing = table[column].isna().to_numpy()
        if missing.any():
            raise InputError(f"{source}: row {int(missing.argmax()) + 1} has no {column!r}; fill it in or drop the row")
        table[column] = table[column].astype(str)
    table["status"] = _status(table, source)
    for side in ("1", "2"):
        if f"length_{side}" not in table:
            text = table.get(f"output_{side}")
            table[f"length_{side}"] = np.nan if text is None else text.str.len()
        table[f"length_{side}"] = pd.to_numeric(table[f"length_{side}"], errors="coerce").astype(float)
    if "order" in table:
        table["order"] = table["order"].map(_order)
    return table


def _order(value: Any) -> str | None:
    """Orders as text, however a file's format stored them (12, 12.0, "12")."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    return str(int(value)) if isinstance(value, (int, float)) else str(value)


def _preference(column: pd.Series[Any], source: str) -> np.ndarray[Any, np.dtype[np.float64]]:
    import pandas as pd

    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=float, na_value=np.nan)
    values = np.where(values == 0, 1.5, values)
    odd = np.isnan(values) & column.notna().to_numpy() & (column.astype(str).str.lower() != "nan").to_numpy()
    between = (values > 0) & (values < 1)
    if between.any():
        row = int(between.argmax())
        raise InputError(
            f"{source}: row {row + 1} has the preference {values[row]:g}, as in a file that codes P(output_2) from 0 "
            f"to 1; add 1 to the column (1 = output_1, 2 = output_2)"
        )
    wrong = odd | (~np.isnan(values) & ((values < 1) | (values > 2)))
    if wrong.any():
        row = int(wrong.argmax())
        raise InputError(
            f"{source}: row {row + 1} has the unknown preference {_shown(column.iloc[row])}; write 1 (output_1) to 2 "
            f"(output_2), 1.5 for a tie, or null for no verdict"
        )
    return values


def _shown(value: Any) -> str:
    return repr(value) if isinstance(value, str) else f"{value:g}"


def _status(table: pd.DataFrame, source: str) -> list[str]:
    no_verdict = np.isnan(table["preference"].to_numpy())
    derived = np.where(no_verdict, "unparseable", "verdict")
    if "status" not in table:
        return [str(s) for s in derived]
    given = table["status"]
    status = [derive if absent else told for told, absent, derive in zip(given, given.isna(), derived, strict=True)]
    known = {"verdict", "unparseable", "error"}
    for row, (value, empty) in enumerate(zip(status, no_verdict, strict=True), 1):
        if value not in known:
            raise InputError(f"{source}: row {row} has the unknown status {value!r}; use {', '.join(sorted(known))}")
        if (value == "verdict") == empty:
            raise InputError(
                f"{source}: row {row} has status {value!r} but its preference says otherwise; mend one of the two"
            )
    return status


def rows_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table. A lone surrogate (half of a character, in files that were cut in the middle of one) stands there
    as its escape: pandas' texts have no form for it."""
    import pandas as pd

    try:
        return pd.DataFrame(rows)
    except UnicodeEncodeError:
        return pd.DataFrame([{_encodable(k): _encodable(v) for k, v in row.items()} for row in rows])


def _encodable(value: Any) -> Any:
    return value.encode("utf-8", ESCAPE).decode() if isinstance(value, str) else value


def frame_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A DataFrame's rows as a file would give them: missing values are None, or absent where a column never has one."""

    def value(v: Any) -> Any:
        # a list comes out of a Parquet file as an array
        return plain(v) if getattr(v, "ndim", 0) else None if isinstance(v, float) and math.isnan(v) else v

    return [
        {str(k): value(v) for k, v in row.items()}
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]
