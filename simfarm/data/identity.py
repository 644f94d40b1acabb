"""Which instruction and which comparison an annotation row is about, by the traces that its texts left.

Rows are told apart by numbers: whatever an id, a text's hash or a name is, equal ones have one code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.data.evidence import SHOWN, text_digest
from simfarm.data.joint import SIDES
from simfarm.errors import InputError

__all__ = ["Codes", "cluster_codes", "comparison_codes", "identifiers", "lacking", "row_codes"]

Codes = NDArray[np.int64]

HASHES = ("output_1_hash", "output_2_hash")
"""What outputs leave where their texts are gone, and tells comparisons apart; 0 for a row without a text."""


def _text_columns(part: pd.DataFrame) -> list[str]:
    return [c for c in HASHES if part[c].to_numpy().any()]


def lacking(part: pd.DataFrame) -> NDArray[np.bool_]:
    """Rows without a text that other rows have: those of a slim file among full ones."""
    return (part[_text_columns(part)] == 0).any(axis=1).to_numpy()


def comparison_codes(part: pd.DataFrame, slim: NDArray[np.bool_]) -> Codes:
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
    full = slim & part[lengths].notna().all(axis=1).to_numpy() & (of_alike[alike] >= 0)
    return pd.factorize(np.where(full, of_alike[alike], codes))[0].astype(np.int64)


def row_codes(columns: Sequence[Any]) -> Codes:
    """A number for each different row of the columns, in order of first appearance; missing values are values.

    The columns are combined two at a time: whatever their number, one number a row is held; one that never changes
    costs nothing, nor does one after all rows differ.
    """
    codes: Codes = np.zeros(len(columns[0]), dtype=np.int64)
    count = 1
    for column in columns:
        if count == len(codes):
            break
        places, values = pd.factorize(column, use_na_sentinel=False)
        if len(values) > 1:
            codes, seen = pd.factorize(codes * len(values) + places) if count > 1 else (places, values)
            count = len(seen)
    return codes.astype(np.int64)


def cluster_codes(table: pd.DataFrame) -> Codes:
    """The cluster of each row, the unit of independence in every interval.

    Of joint comparisons (`instruction_1`, `instruction_2`) it is all that hangs together through shared instructions.
    Else it is `instruction_id` where every row has one (with `dataset` where ids repeat across datasets), else the
    stripped instruction or the messages (`instruction_sha256`, `messages_sha256`). Ids are compared as text, because
    0, 0.0 and "0" are one id that file formats change into each other. Raises `InputError` where no row can be told
    from another, or where one id stands for two instructions.
    """
    sides = [_digests(table, side) for side in SIDES]
    if all(side.notna().all() for side in sides):
        return _hanging_together(*sides)
    if "instruction_id" in table and table["instruction_id"].notna().all():
        ids = row_codes([identifiers(table["instruction_id"])])
        codes = ids
        if "dataset" in table:
            codes = row_codes([ids, identifiers(table["dataset"], "")])
            if codes.max() == ids.max():
                codes = ids
        _refuse_shared_ids(table, codes)
        return codes
    text = _digests(table, "instruction")
    if text.isna().any():
        text = text.where(text.notna(), _digests(table, "messages"))
    if text.isna().any():
        raise InputError(
            f"annotation row {int(text.isna().to_numpy().argmax()) + 1} has neither instruction_id nor instruction; "
            "one of them must say which answers belong together"
        )
    return row_codes([text])


def _hanging_together(one: pd.Series[Any], other: pd.Series[Any]) -> Codes:
    """The component of each joint comparison in the graph of instructions that it joins: rows that share one, or hang
    together through others, are not independent of each other."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(one)
    codes, _ = pd.factorize(pd.concat([one, other], ignore_index=True))
    size = int(codes.max(initial=-1)) + 1
    edges = coo_array((np.ones(n), (codes[:n], codes[n:])), shape=(size, size))
    _, component = connected_components(edges, directed=False)
    return row_codes([component[codes[:n]]])


def _refuse_shared_ids(table: pd.DataFrame, cluster: Codes) -> None:
    """Two sets that both number their instructions from 0 would otherwise be taken for one."""
    for column in ("instruction", "messages"):
        texts = _digests(table, column)
        row = np.flatnonzero((texts.notna() & (texts != _EMPTY)).to_numpy())
        if not len(row):
            continue
        both = row_codes([cluster[row], texts.iloc[row]])
        _, first = np.unique(both, return_index=True)
        places = row[first]
        again = pd.Series(cluster[places]).duplicated().to_numpy()
        if again.any():
            second = int(places[again][0])
            pair = (int(places[cluster[places] == cluster[second]][0]), second)
            one, other = (str(table[f"{column}_start"].iloc[place])[:SHOWN] for place in pair)
            raise InputError(
                f"instruction_id {str(table['instruction_id'].iloc[second])!r} stands for two different "
                f"instructions, {one!r} and {other!r}; drop the column "
                "instruction_id, or add a column dataset that tells the sets apart"
            )


_EMPTY = text_digest("")


def _digests(table: pd.DataFrame, column: str) -> pd.Series[Any]:
    """What stands for each row's instruction or chat, None where there is none."""
    name = f"{column}_sha256"
    return table[name] if name in table else pd.Series(None, index=table.index, dtype=object)


def identifiers(column: pd.Series[Any], missing: Any = None) -> pd.Series[Any]:
    """Ids so that equal ones compare equal, whatever a file format made of them; `missing` stands where none is."""
    if pd.api.types.is_numeric_dtype(column) and column.notna().all():
        return column
    codes, values = pd.factorize(column)
    return pd.Series(np.array([*map(_identifier, values), missing], dtype=object)[codes], dtype=object)


def _identifier(value: Any) -> str:
    whole = isinstance(value, float) and value.is_integer()
    return str(int(value) if whole else value).strip().removesuffix(".0")
