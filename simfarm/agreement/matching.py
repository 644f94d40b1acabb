"""Which comparison each row is about, and which way round it shows the two outputs.

Judges and people seldom write the same columns: one file has texts, another names, a third an id alone, and any of them
may show a pair the other way round. What all of them have decides: the outputs' texts, else the generators, else the
lengths; an id alone does where an instruction has one comparison.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.data.evidence import KEPT_DIGITS
from simfarm.data.frames import Verdicts, together
from simfarm.data.identity import Codes, identifiers, row_codes
from simfarm.data.meaning import NAMES
from simfarm.errors import InputError
from simfarm.text.words import plural

__all__ = ["Matched", "as_one", "matched"]

Mask = NDArray[np.bool_]

SIDES = {
    "texts": ("output_1", "output_2"),
    "generators": ("generator_1", "generator_2"),
    "lengths": ("length_1", "length_2"),
}
"""What tells two outputs apart, the surest first."""


@dataclass(frozen=True)
class Matched:
    """Rows of judges, then of people (`people`, a mask), as one `table` under one numbering of instructions
    (`cluster`). `item` is the comparison of each row, from 0 in order of first appearance; `turned` says which rows
    show its outputs the other way round than its first row; `by` is what it was told by."""

    table: pd.DataFrame
    people: Mask
    item: Codes
    turned: Mask
    by: str


def matched(verdicts: Verdicts, labels: Verdicts | None) -> Matched:
    """The rows of both, and which comparison each is about. Raises `InputError` where the two share no comparison, or
    what they have in common cannot tell an instruction's comparisons apart."""
    if labels is None:
        table = verdicts.table
        people = np.zeros(len(table), dtype=bool)
    else:
        table, people = as_one(verdicts, labels)
    alone = labels is None
    del verdicts, labels
    by = next((name for name in SIDES if _known(table, name).all()), None)
    if by is None:
        item, turned = _by_instruction(table, people)
        by = "instructions"
    else:
        item, turned = _by_sides(table, by)
    made = Matched(table, people, item, turned, by)
    if not alone:
        _require_shared(made)
    return made


def as_one(verdicts: Verdicts, labels: Verdicts) -> tuple[pd.DataFrame, Mask]:
    """Both tables, one below the other; the instruction's text decides where ids do not meet."""
    parts = [verdicts.table, labels.table]
    if not all("instruction_id" in part and part["instruction_id"].notna().all() for part in parts):
        parts = _with_kept_ids(parts)
    parts = _with_datasets(parts)
    people = np.repeat([False, True], [len(part) for part in parts])
    try:
        table = together(*(Verdicts(part) for part in parts)).table
        if np.isin(table["cluster"][people], table["cluster"][~people]).any():
            return table, people
    except InputError:
        if not _all_asked(parts):
            raise
    if _all_asked(parts):
        parts = [part.drop(columns="instruction_id", errors="ignore") for part in parts]
        table = together(*(Verdicts(part) for part in parts)).table
    return table, people


def _all_asked(parts: list[pd.DataFrame]) -> bool:
    """Whether every row of all tables has an instruction's text (or all a chat)."""
    names = ("instruction_sha256", "messages_sha256")
    return any(all(name in part and part[name].notna().all() for part in parts) for name in names)


def _with_kept_ids(parts: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """The tables; where one has ids and the other texts alone, the texts have the ids that files without texts keep."""
    has_ids = ["instruction_id" in part and part["instruction_id"].notna().all() for part in parts]
    made = []
    for part in parts:
        digest: Any = part.get("instruction_sha256", part.get("messages_sha256"))
        texts_alone = "instruction_id" not in part and digest is not None and digest.notna().all()
        made.append(part.assign(instruction_id=digest.str[:KEPT_DIGITS]) if any(has_ids) and texts_alone else part)
    return made


def _with_datasets(parts: list[pd.DataFrame]) -> list[pd.DataFrame]:
    """The tables; one without datasets has those that the other gives its ids, since ids are told apart by them."""
    told = ["dataset" in part and part["dataset"].notna().any() for part in parts]
    if sum(told) != 1 or not all("instruction_id" in part for part in parts):
        return parts
    known = parts[int(told[1])]
    of_id = (
        known[["dataset"]].astype(object).assign(id=identifiers(known["instruction_id"]).astype(str)).drop_duplicates()
    )
    if of_id["id"].duplicated().any():
        return parts
    names = dict(zip(of_id["id"], of_id["dataset"], strict=True))
    made, at = list(parts), int(told[0])
    lacking = made[at]
    made[at] = lacking.assign(dataset=identifiers(lacking["instruction_id"]).astype(str).map(names))
    return made


def _known(table: pd.DataFrame, by: str) -> Mask:
    """Which rows say both outputs by their texts, generators or lengths."""
    if by == "texts":
        return ((table["output_1_hash"] != 0) & (table["output_2_hash"] != 0)).to_numpy()
    one, other = SIDES[by]
    if by == "generators":
        return ((table[one] != NAMES[one]) | (table[other] != NAMES[other])).to_numpy()
    return (table[one].notna() & table[other].notna()).to_numpy()


def _by_sides(table: pd.DataFrame, by: str) -> tuple[Codes, Mask]:
    """(the comparison of each row, whether the row turns it round), by what both outputs of every row have."""
    columns = [
        [_both(table, "output_{}_hash")] if by == "texts" else [],
        [_both(table, "generator_{}")] if _known(table, "generators").all() else [],
        [_both(table, "length_{}")] if by != "texts" and _known(table, "lengths").all() else [],
    ]
    n = len(table)
    code = row_codes([column for found in columns for column in found]).astype(np.int32)
    del columns
    first, second = code[:n], code[n:]
    sample = [table["sample"]] if _samples_told(table) else []
    item = row_codes([table["cluster"], np.minimum(first, second), np.maximum(first, second), *sample])
    lead = _leaders(item)
    return item, first != first[lead][item]


def _both(table: pd.DataFrame, column: str) -> pd.Series[Any]:
    """The column of the one side above that of the other."""
    sides = [table[column.format(side)] for side in ("1", "2")]
    if all(isinstance(side.dtype, pd.CategoricalDtype) for side in sides):
        return pd.Series(pd.api.types.union_categoricals(sides).codes)
    made: pd.Series[Any] = pd.concat(sides)
    return made


def _samples_told(table: pd.DataFrame) -> bool:
    return bool((identifiers(table["sample"], "0").astype(str) != "0").all())


def _leaders(item: Codes) -> Codes:
    """The first row of each comparison."""
    lead = np.empty(int(item.max()) + 1, dtype=np.int64)
    lead[item[::-1]] = np.arange(len(item))[::-1]
    return lead


def _by_instruction(table: pd.DataFrame, people: Mask) -> tuple[Codes, Mask]:
    """An instruction's one comparison, the outputs taken to stand as they do in both files."""
    for mask, whose, other in ((~people, "the annotations", "the labels"), (people, "the labels", "the annotations")):
        part = table[mask]
        if part.empty:
            continue
        by = next((name for name in SIDES if _known(part, name).all()), None)
        if by is None:
            continue
        item, _ = _by_sides(part, by)
        lead = part["cluster"].to_numpy()[_leaders(item)]
        count = np.bincount(lead)
        if (count > 1).any():
            raise InputError(
                f"{whose} hold {plural(int(count.max()), 'comparison')} of one instruction, and {other} lack "
                f"{_lacking(table[~mask])} to tell them apart; add these columns (or output_1 and output_2), or name "
                "them (--columns generator_1=…)"
            )
    item = row_codes([table["cluster"]])
    return item, np.zeros(len(table), dtype=bool)


def _lacking(part: pd.DataFrame) -> str:
    """The first columns that tell outputs apart, of those that a part has not in every row."""
    return next(" and ".join(names) for by, names in list(SIDES.items())[1:] if not _known(part, by).all())


def _require_shared(made: Matched) -> None:
    """Raise `InputError` where no label is for a comparison that was judged."""
    if np.isin(made.item[made.people], made.item[~made.people]).any():
        return
    shares = np.isin(made.table["cluster"][made.people], made.table["cluster"][~made.people]).any()
    judged, labelled = (plural(len(np.unique(made.item[rows])), "comparison") for rows in (~made.people, made.people))
    both = f"the annotations ({judged}) and the labels ({labelled})"
    what = {"texts": "the outputs' texts", "generators": "generators and lengths", "lengths": "the outputs' lengths"}
    if not shares:
        raise InputError(
            f"{both} share no instruction, by id or text; give labels of these comparisons, or name the id's column "
            "(--columns instruction_id=…)"
        )
    raise InputError(f"{both} share instructions but no comparison, by {what[made.by]}; give labels of these outputs")
