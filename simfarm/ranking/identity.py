"""Which instruction and which comparison an annotation row is about, whether its texts are there or only their traces.

Texts are compared by hashes: a row that was read from a file brings them (see `simfarm.data.evidence`), one from a
DataFrame gets them here, so that both meet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from simfarm.data.evidence import message_text, text_digest
from simfarm.errors import InputError

__all__ = [
    "cluster_codes",
    "comparison_codes",
    "identifiers",
    "lacking",
    "objects",
    "output_hashes",
    "row_codes",
    "text_digests",
]

HASHES = ("output_1_hash", "output_2_hash")
"""What outputs leave where their texts are gone, and tells comparisons apart; 0 for a row without a text."""


def _text_columns(part: pd.DataFrame) -> list[str]:
    return [c for c in HASHES if part[c].to_numpy().any()]


def lacking(part: pd.DataFrame) -> np.ndarray[Any, Any]:
    """Rows without a text that other rows have: those of a slim file among full ones."""
    return (part[_text_columns(part)] == 0).any(axis=1).to_numpy()


def comparison_codes(part: pd.DataFrame, slim: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Which comparison each row is about: the same two outputs to the same instruction (slim: the same lengths).

    A row without texts among rows with them (`slim`, from `lacking`) is the comparison that has its lengths, so that a
    model given in a full and in a slim file counts once.
    """
    lengths = ["length_1", "length_2"]
    keys = [part[c] for c in ("cluster", "generator_1", "generator_2", "sample", *lengths)]
    codes = row_codes([*keys, *(part[c] for c in _text_columns(part))])
    if not slim.any() or slim.all():
        return codes
    alike = row_codes(keys)
    of_alike = np.full(alike.max() + 1, -1)
    of_alike[alike[~slim][::-1]] = codes[~slim][::-1]
    found = slim & part[lengths].notna().all(axis=1).to_numpy() & (of_alike[alike] >= 0)
    return pd.factorize(np.where(found, of_alike[alike], codes))[0].astype(np.int64)


def row_codes(columns: Sequence[Any]) -> np.ndarray[Any, Any]:
    """A number for each different row of the columns, in order of first appearance; missing values are values.

    The columns are combined two at a time: whatever their number, one number a row is held; one that never changes
    costs nothing, nor does one after all rows differ.
    """
    codes: np.ndarray[Any, Any] = np.zeros(len(columns[0]), dtype=np.int64)
    count = 1
    for column in columns:
        if count == len(codes):
            break
        found, values = pd.factorize(column, use_na_sentinel=False)
        if len(values) > 1:
            codes, seen = pd.factorize(codes * len(values) + found) if count > 1 else (found, values)
            count = len(seen)
    return codes.astype(np.int64)


def cluster_codes(data: pd.DataFrame) -> np.ndarray[Any, Any]:
    """The cluster of each row, from its instruction_id, dataset and instruction (or messages), as `prepare` says."""
    if "instruction_id" in data and data["instruction_id"].notna().all():
        ids = row_codes([identifiers(data["instruction_id"])])
        codes = ids
        if "dataset" in data:
            codes = row_codes([ids, identifiers(data["dataset"], "")])
            if codes.max() == ids.max():
                codes = ids
        _refuse_shared_ids(data, codes)
        return codes
    text = text_digests(data, "instruction")
    if text.isna().any():
        text = text.where(text.notna(), text_digests(data, "messages"))
    if text.isna().any():
        raise InputError(
            f"annotation row {int(text.isna().to_numpy().argmax()) + 1} has neither instruction_id nor instruction; "
            "one of them must say which answers belong together"
        )
    return row_codes([text])


def _refuse_shared_ids(data: pd.DataFrame, cluster: np.ndarray[Any, Any]) -> None:
    """Two sets that both number their instructions from 0 would otherwise be taken for one."""
    for column in ("instruction", "messages"):
        texts = text_digests(data, column)
        row = np.flatnonzero((texts.notna() & (texts != _EMPTY)).to_numpy())
        if not len(row):
            continue
        both = row_codes([cluster[row], texts.iloc[row]])
        _, first = np.unique(both, return_index=True)
        places = row[first]
        again = pd.Series(cluster[places]).duplicated().to_numpy()
        if again.any():
            second = int(places[again][0])
            told = [
                _start(data, column, int(place)) for place in (places[cluster[places] == cluster[second]][0], second)
            ]
            raise InputError(
                f"instruction_id {str(data['instruction_id'].iloc[second])!r} stands for two different "
                f"instructions, {told[0]!r} and {told[1]!r}; drop the column "
                "instruction_id, or add a column dataset that tells the sets apart"
            )


_EMPTY = text_digest("")


def _start(data: pd.DataFrame, column: str, row: int) -> str:
    """The beginning of an instruction or chat, for a message."""
    if column in data and pd.notna(told := data[column].iloc[row]):
        return _stripped(told)[:40]
    return str(data[f"{column}_start"].iloc[row])


def _stripped(value: Any) -> str:
    return (value if isinstance(value, str) else message_text(value)).strip()


def text_digests(data: pd.DataFrame, column: str) -> pd.Series[Any]:
    """What stands for each row's instruction or chat: given already, or worked out from the text, or None."""
    given = _column(data, f"{column}_sha256")
    if column not in data or given.notna().all():
        return given
    told = data[column].map(_stripped, na_action="ignore")
    codes, texts = pd.factorize(told)
    digests = np.array([*map(text_digest, texts), None], dtype=object)[codes]
    return objects(np.where(pd.isna(digests), given.to_numpy(dtype=object), digests))


def identifiers(column: pd.Series[Any], missing: Any = None) -> pd.Series[Any]:
    """Ids so that equal ones compare equal, whatever a file format made of them; `missing` stands where none is."""
    if pd.api.types.is_numeric_dtype(column) and column.notna().all():
        return column
    codes, values = pd.factorize(column)
    return pd.Series(np.array([*map(_identifier, values), missing], dtype=object)[codes], dtype=object)


def _identifier(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip().removesuffix(".0")


def output_hashes(data: pd.DataFrame, side: str) -> np.ndarray[Any, Any]:
    """The hashes of a side's outputs: those that the texts left, or the texts' own."""
    name, text = f"output_{side}_hash", f"output_{side}"
    hashes = data[name].fillna(0).to_numpy(dtype=np.int64) if name in data else np.zeros(len(data), dtype=np.int64)
    if text in data:
        known = data[text].notna().to_numpy()
        hashes = hashes.copy()
        hashes[known] = [hash(t) or 1 for t in data[text][known]]
    return hashes


def objects(values: np.ndarray[Any, Any]) -> pd.Series[Any]:
    """A column of Python's own values: equal ones are one object, where a text column would hold a copy in each row."""
    return pd.Series(values, dtype=object)


def _column(data: pd.DataFrame, name: str) -> pd.Series[Any]:
    return data[name] if name in data else pd.Series(None, index=data.index, dtype=object)
