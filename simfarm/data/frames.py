"""Verdicts in their one normal form: what a row of annotations means is decided here, once, for every estimate.

Only what estimates read is kept, and of the texts their traces (see `evidence`): the memory is that of the rows. Wrong
values end here, with the file and the row, and not as a silent draw.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.data.cells import encodable, plain
from simfarm.data.evidence import READ, Gathered, Texts, categories, wanted
from simfarm.data.identity import cluster_codes, identifiers, row_codes
from simfarm.data.inspection import Flag, Inspection
from simfarm.data.joint import SIDES
from simfarm.data.meaning import NAMES, STATUSES, TIE, order_of, status_of
from simfarm.data.numbers import Floats
from simfarm.data.reading import Columns, columns_of
from simfarm.errors import InputError

__all__ = [
    "Verdicts",
    "frame_columns",
    "frame_rows",
    "frame_verdicts",
    "read_verdicts",
    "row_columns",
    "rows_frame",
    "together",
]

_JUDGED_BY = 100
"""Rows after which a file without a preference is known to hold no verdicts."""

_ROWS = 4096


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Annotation rows, one a call, in normal form: whoever takes this asks no more what a cell means.

    `table` always has
      annotator, generator_1, generator_2, judge_hash   names ("unknown", "output_1", "output_2", "unknown" for none)
      status                                            verdict, unparseable or error
      preference                                        1 (output_1) to 2 (output_2); NaN without a verdict
      order                                             "12", "21" or what the file says, missing without a call
      repeat, sample                                    numbers, or ids as text; 0 where there are none
      length_1, length_2                                characters; NaN where neither length nor text is known
      output_1_hash, output_2_hash                      tell texts apart within this process; 0 for no text
      cluster                                           a code for the instruction (see `identity.cluster_codes`)
    and, where a file has them, instruction_id, dataset, category, model, judge_order, finish_reason_1, finish_reason_2,
    is_noised, of the instruction and the messages `instruction_sha256` and `instruction_start`, of features that were
    inspected `style_FEATURE_1` and `style_FEATURE_2`, of covariates `covariate_NAME_1` and `covariate_NAME_2`,
    where calls are looked at `person`, `price` and `seconds`, and scores by criterion as `simfarm.data.marks` names
    them. `flags` says what was found in each generator's texts, if there were any.
    """

    table: pd.DataFrame
    flags: Mapping[str, tuple[Flag, ...]] = field(default_factory=dict)

    def annotators(self) -> list[str]:
        """Their names, in order of first appearance."""
        return [str(name) for name in pd.unique(self.table["annotator"])]

    def simulated(self) -> list[str]:
        """The annotators that are crowds of simulated people, in order of first appearance: their rows alone say
        `is_noised`."""
        if "is_noised" not in self.table:
            return []
        return [str(name) for name in pd.unique(self.table["annotator"][self.table["is_noised"].notna()])]

    def by_annotator(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """(annotator, its rows) in order of first appearance; a lone annotator's rows are not copied."""
        names = self.annotators()
        if len(names) == 1:
            yield names[0], self.table
            return
        for name, part in self.table.groupby("annotator", sort=False, observed=True):
            yield str(name), part

    def of(self, annotator: str) -> Verdicts:
        """One annotator's, the clusters numbered as they appear there: no figure hangs on who else is in the file."""
        own = (self.table["annotator"].astype(str) == annotator).to_numpy()
        if own.all():
            return self
        table = self.table[own].reset_index(drop=True)
        return Verdicts(table.assign(cluster=row_codes([table["cluster"]])), self.flags)

    def by(self, annotator: str, judge_hash: str | None = None) -> Verdicts:
        """The same verdicts under another name; under another judge hash where one is given."""
        named = {"annotator": annotator, "judge_hash": self.table["judge_hash"] if judge_hash is None else judge_hash}
        return Verdicts(self.table.assign(**named), self.flags)


def together(*parts: Verdicts) -> Verdicts:
    """Verdicts of several readings as one, under one numbering of the instructions.

    Raises `InputError` where one id stands for two instructions, or a row cannot be told from others.
    """
    table = pd.concat([part.table for part in parts], ignore_index=True)
    for column in ("repeat", "sample"):
        table[column] = identifiers(table[column], "0")
    flags = {name: raised for part in reversed(parts) for name, raised in part.flags.items()}
    return Verdicts(table.assign(cluster=cluster_codes(table)), flags)


def read_verdicts(
    sources: Iterable[tuple[str, Iterator[Columns]]], inspection: Inspection | None = None
) -> Verdicts | None:
    """The verdicts of (name for messages, columns); None where the first source holds none.

    A source is a file (`iter_columns`), a DataFrame (`frame_columns`) or the rows of a run (`row_columns`); their texts
    are seen once, by `inspection`. Raises `InputError` for wrong values, with the row.
    """
    texts = Texts(inspection or Inspection())
    tables: list[pd.DataFrame] = []
    for source, parts in sources:
        gathered = Gathered(texts)
        for part in parts:
            gathered.add(part)
            if gathered.length >= _JUDGED_BY and "preference" not in gathered.present:
                break
        if "preference" not in gathered.present:
            if tables:
                raise InputError(f"{source}: holds no verdicts, but others do; give one kind of file at a time")
            return None
        tables.append(_normal(gathered, source))
    table = tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
    del tables
    for column in ("repeat", "sample"):
        table[column] = identifiers(table[column], "0") if column in table else 0
    for side in ("1", "2"):
        hashes = table[f"output_{side}_hash"].to_numpy()
        if texts.features and hashes.any():
            for name, counts in zip(texts.features, texts.styles(hashes).T, strict=True):
                table[f"style_{name}_{side}"] = counts
    table["cluster"] = cluster_codes(table)
    return Verdicts(table, texts.flags())


def frame_verdicts(frame: pd.DataFrame, source: str, inspection: Inspection | None = None) -> Verdicts:
    """The verdicts of a DataFrame of annotations; raises `InputError` as `read_verdicts`, and for no verdicts."""
    verdicts = read_verdicts([(source, frame_columns(frame, source, inspection))], inspection)
    if verdicts is None:
        raise InputError(f"{source}: lacks the column 'preference'; is it an annotation file?")
    return verdicts


def frame_columns(frame: pd.DataFrame, source: str, inspection: Inspection | None = None) -> Iterator[Columns]:
    """The columns of a DataFrame that estimates read, some thousand rows at a time; raises `InputError`."""
    if frame.empty:
        raise InputError(f"{source}: has no rows; was the command that wrote it stopped?")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise InputError(f"{source}: has the column {twice!r} twice; rename or drop one")
    read = wanted(inspection)
    kept = frame[[column for column in frame.columns if column in read]]
    for start in range(0, len(kept), _ROWS):
        part = kept.iloc[start : start + _ROWS]
        values: dict[str, Sequence[Any]] = {
            str(c): part[c].astype(object).where(part[c].notna(), None).tolist() for c in part
        }
        yield Columns(values, len(part))


def row_columns(rows: Iterable[Mapping[str, Any]], inspection: Inspection | None = None) -> Iterator[Columns]:
    """Rows as they come (of a run) as columns."""
    batch: list[Mapping[str, Any]] = []
    read = wanted(inspection)
    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS:
            yield columns_of(batch, read)
            batch.clear()
    if batch:
        yield columns_of(batch, read)


def _normal(gathered: Gathered, source: str) -> pd.DataFrame:
    if not {"instruction", "instruction_id", "messages", SIDES[0]} & gathered.present:
        raise InputError(
            f"{source}: lacks both 'instruction' and 'instruction_id'; one must say what was asked, under "
            "its own name or another (--columns instruction_id=NAME)"
        )
    gathered.covariates.require(source, gathered.present - READ)
    gathered.marks.require(source)
    if gathered.odd_taken is not None:
        row, column, value = gathered.odd_taken
        raise InputError(
            f"{source}: row {row + 1} has the {column} {value!r}, which is no number; mend it or leave it empty"
        )
    table = gathered.frame()
    table["preference"] = _preference(table["preference"].to_numpy(), gathered.odd, source)
    for column, default in NAMES.items():
        codes, values = gathered.coded(column)
        missing = np.array([value is None for value in values])[codes]
        if missing.all():
            values = [default] * len(values)
        elif missing.any():
            raise InputError(f"{source}: row {int(missing.argmax()) + 1} has no {column!r}; fill it in or drop the row")
        table[column] = categories([str(value) for value in values], codes)
    table["status"] = _status(gathered, np.isnan(table["preference"].to_numpy()), source)
    codes, values = gathered.coded("order")
    table["order"] = categories([None if value is None else order_of(value) for value in values], codes)
    codes, values = gathered.coded("judge_hash")
    table["judge_hash"] = categories(["unknown" if value is None else value for value in values], codes)
    return table


def _preference(values: Floats, odd: tuple[int, Any] | None, source: str) -> Floats:
    given = values[~np.isnan(values)]
    if (given == 0).any() and (given == 1).any() and (given <= 1).all():
        row = int((values == 0).argmax())
        raise InputError(
            f"{source}: row {row + 1} has the preference 0 and no row has one over 1: is 0 a tie or output_1? Where it "
            "is output_1 add 1 to the column (1 = output_1, 2 = output_2); where it is a tie write 1.5"
        )
    values = np.where(values == 0, TIE, values)
    between = (values > 0) & (values < 1)
    if between.any():
        row = int(between.argmax())
        raise InputError(
            f"{source}: row {row + 1} has the preference {values[row]:g}, as in a file that codes P(output_2) from 0 "
            f"to 1; add 1 to the column (1 = output_1, 2 = output_2)"
        )
    wrong = ~np.isnan(values) & ((values < 1) | (values > 2))
    if wrong.any() and (odd is None or int(wrong.argmax()) < odd[0]):
        odd = (int(wrong.argmax()), f"{values[wrong.argmax()]:g}")
    elif odd is not None:
        odd = (odd[0], repr(odd[1]))
    if odd is not None:
        raise InputError(
            f"{source}: row {odd[0] + 1} has the unknown preference {odd[1]}; write 1 (output_1) to 2 (output_2), 1.5 "
            "for a tie, or null for no verdict"
        )
    return values


def _status(gathered: Gathered, no_verdict: NDArray[np.bool_], source: str) -> pd.Categorical:
    codes, values = gathered.coded("status")
    named = [*values, status_of(None, True), status_of(None, False)]
    absent = np.array([value is None for value in values])[codes]
    codes = np.where(absent, len(values) + no_verdict, codes)
    known = {None, *STATUSES}
    unknown = np.array([value not in known for value in named])[codes]
    wrong = unknown | (np.array([value == "verdict" for value in named])[codes] == no_verdict)
    if wrong.any():
        row = int(wrong.argmax())
        status = named[codes[row]]
        if unknown[row]:
            raise InputError(
                f"{source}: row {row + 1} has the unknown status {status!r}; use error, unparseable, verdict"
            )
        raise InputError(
            f"{source}: row {row + 1} has status {status!r} but its preference says otherwise; mend one of the two"
        )
    return categories(named, codes)


def rows_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table; a lone surrogate in them stands there as its escape."""
    return pd.DataFrame([{encodable(name): encodable(value) for name, value in row.items()} for row in rows])


def frame_rows(frame: pd.DataFrame) -> list[dict[str, Any]]:
    """A DataFrame's rows as a file would give them: missing values are None, or absent where a column never has one."""

    def value(v: Any) -> Any:
        # a list comes out of a Parquet file as an array
        return plain(v) if getattr(v, "ndim", 0) else None if isinstance(v, float) and math.isnan(v) else v

    return [
        {str(k): value(v) for k, v in row.items()}
        for row in frame.astype(object).where(frame.notna(), None).to_dict("records")
    ]
