"""Annotation files as one table, validated: what every estimate starts from.

Only what estimates read is kept (texts shrink to their lengths, except the outputs, which the guard reads), so that a
leaderboard over many models fits in memory. Wrong values end here, with the file and the row, and not as a silent draw.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simfarm.errors import InputError
from simfarm.files import read_rows

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["annotations_frame", "read_annotations"]

_UNREAD = {"raw_completion", "reason", "scores"}


def read_annotations(paths: Iterable[str | os.PathLike[str]]) -> pd.DataFrame:
    """Annotation files as one DataFrame (rows of all files, in order); raises `InputError` naming the file and row."""
    import pandas as pd

    frames = []
    for path in paths:
        name = os.fspath(path)
        if name.endswith(".parquet") and Path(name).is_file():
            try:
                frame = pd.read_parquet(name)
            except (OSError, ValueError) as error:
                raise InputError(f"{name}: not a readable Parquet file ({str(error).splitlines()[0]})") from error
        else:
            rows = read_rows(name)
            frame = pd.DataFrame([{k: v for k, v in row.items() if k not in _UNREAD} for row in rows])
        frames.append(annotations_frame(frame, name))
    if not frames:
        raise InputError("there is no annotation file; name at least one")
    return frames[0] if len(frames) == 1 else pd.concat(frames, ignore_index=True)


def annotations_frame(frame: pd.DataFrame, source: str) -> pd.DataFrame:
    """A validated copy: `preference` in 1..2 or NaN (a stored 0 is a draw), `status`, names as text, and `length_1`,
    `length_2` in characters (NaN where neither length nor text is known)."""
    import pandas as pd

    if frame.empty:
        raise InputError(f"{source}: has no rows; was the command that wrote it stopped?")
    for column in ("generator_1", "generator_2", "preference"):
        if column not in frame:
            raise InputError(f"{source}: lacks the column {column!r}; is it an annotation file?")
    if not {"instruction", "instruction_id", "messages"} & set(frame.columns):
        raise InputError(f"{source}: lacks both 'instruction' and 'instruction_id'; one must say what was asked")
    table = frame.drop(columns=[c for c in _UNREAD if c in frame])
    table = table.assign(preference=_preference(frame["preference"], source))
    if "annotator" not in table:
        table["annotator"] = "unknown"
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


def _status(table: pd.DataFrame, source: str) -> Sequence[str]:
    no_verdict = np.isnan(table["preference"].to_numpy())
    derived = np.where(no_verdict, "unparseable", "verdict")
    if "status" not in table:
        return list(derived)
    status = np.where(table["status"].isna(), derived, table["status"].astype(object))
    known = {"verdict", "unparseable", "error"}
    for row, (value, empty) in enumerate(zip(status, no_verdict, strict=True), 1):
        if value not in known:
            raise InputError(f"{source}: row {row} has the unknown status {value!r}; use {', '.join(sorted(known))}")
        if (value == "verdict") == empty:
            raise InputError(
                f"{source}: row {row} has status {value!r} but its preference says otherwise; mend one of the two"
            )
    return status.tolist()


def frame_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A DataFrame's rows as a file would give them: missing values are None, or absent where a column never has one."""

    def plain(row: Mapping[Any, Any]) -> dict[str, Any]:
        return {str(k): (None if isinstance(v, float) and math.isnan(v) else v) for k, v in row.items()}

    return [plain(row) for row in frame.astype(object).where(frame.notna(), None).to_dict("records")]
