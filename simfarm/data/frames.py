"""Annotation files as one table, validated: what every estimate starts from.

Only what estimates read is kept, and of the texts their traces (see `evidence`): the memory is that of the rows. Wrong
values end here, with the file and the row, and not as a silent draw.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simfarm.data.cells import encodable, plain
from simfarm.data.evidence import READ, Floats, Gathered, Texts, categories, text_digest
from simfarm.data.reading import Columns, columns_of
from simfarm.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "annotations_frame",
    "annotations_table",
    "fill_baseline",
    "frame_columns",
    "frame_rows",
    "row_columns",
    "rows_frame",
]

_JUDGED_BY = 100
"""Rows after which a file without a preference is known to hold no verdicts."""

_ROWS = 4096


def annotations_table(
    sources: Iterable[tuple[str, Iterator[Columns]]], control: str | None = None
) -> pd.DataFrame | None:
    """The annotations of (name for messages, columns) as one table; None where the first holds no verdicts.

    `preference` is in 1..2 or NaN (a stored 0 is a draw), `status`, names and `order` are text, `length_1` and
    `length_2` in characters (NaN where neither length nor text is known). Texts are replaced by what `Gathered.frame`
    says; where there were any, `flags_1` and `flags_2` are what the guard found of the row's generators, and with
    `control` (features of style) `style_FEATURE_1` and so on are counts. Raises `InputError` for wrong values.
    """
    import pandas as pd

    from simfarm.ranking.guard.watch import Watch

    watch = Watch()
    names, style = _style(control)
    texts = Texts(watch, style, len(names))
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
        tables.append(_validated(gathered, source))
    table = tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True)
    del tables
    found = watch.flags()
    for side in ("1", "2"):
        hashes = table[f"output_{side}_hash"].to_numpy()
        if names and hashes.any():
            for name, counts in zip(names, texts.styles(hashes).T, strict=True):
                table[f"style_{name}_{side}"] = counts
        if found:
            table[f"flags_{side}"] = _mapped(table[f"generator_{side}"], found.get)
    return table


def _style(control: str | None) -> tuple[tuple[str, ...], Callable[[str], Sequence[int]] | None]:
    """(the features that need texts, what counts them), of the features to control for."""
    if not control:
        return (), None
    from simfarm.statistics.style import control_names, counts

    names = tuple(name for name in control_names(control) if name != "length")
    return names, (lambda text: counts(text, names)) if names else None


def annotations_frame(frame: pd.DataFrame, source: str, control: str | None = None) -> pd.DataFrame:
    """The annotations of a DataFrame as `annotations_table` gives them; raises `InputError` also for no verdicts."""
    table = annotations_table([(source, frame_columns(frame, source))], control)
    if table is None:
        raise InputError(f"{source}: lacks the column 'preference'; is it an annotation file?")
    return table


def frame_columns(frame: pd.DataFrame, source: str) -> Iterator[Columns]:
    """The columns of a DataFrame that estimates read, some thousand rows at a time; raises `InputError`."""
    if frame.empty:
        raise InputError(f"{source}: has no rows; was the command that wrote it stopped?")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise InputError(f"{source}: has the column {twice!r} twice; rename or drop one")
    wanted = frame[[column for column in frame.columns if column in READ]]
    for start in range(0, len(wanted), _ROWS):
        part = wanted.iloc[start : start + _ROWS]
        values: dict[str, Sequence[Any]] = {
            str(c): part[c].astype(object).where(part[c].notna(), None).tolist() for c in part
        }
        yield Columns(values, len(part))


def row_columns(rows: Iterable[Mapping[str, Any]]) -> Iterator[Columns]:
    """Rows as they come (of a run) as columns."""
    batch: list[Mapping[str, Any]] = []

    for row in rows:
        batch.append(row)
        if len(batch) == _ROWS:
            yield columns_of(batch, READ)
            batch.clear()
    if batch:
        yield columns_of(batch, READ)


_DEFAULTS = {"annotator": "unknown", "generator_1": "output_1", "generator_2": "output_2"}


def _validated(gathered: Gathered, source: str) -> pd.DataFrame:
    if not {"instruction", "instruction_id", "messages"} & gathered.present:
        raise InputError(f"{source}: lacks both 'instruction' and 'instruction_id'; one must say what was asked")
    table = gathered.frame()
    table["preference"] = _preference(table["preference"].to_numpy(), gathered.odd, source)
    for column, default in _DEFAULTS.items():
        codes, values = gathered.coded(column)
        missing = np.array([value is None for value in values])[codes]
        if missing.all():
            values = [default] * len(values)
        elif missing.any():
            raise InputError(f"{source}: row {int(missing.argmax()) + 1} has no {column!r}; fill it in or drop the row")
        table[column] = categories([str(value) for value in values], codes)
    table["status"] = _status(gathered, np.isnan(table["preference"].to_numpy()), source)
    if "order" in table:
        codes, values = gathered.coded("order")
        table["order"] = categories([None if value is None else _order(value) for value in values], codes)
    return table


def _mapped(column: pd.Series[Any], made: Callable[[Any], Any]) -> pd.Series[Any]:
    """A column with something else for each of its values, worked out once for each; None where there is none."""
    import pandas as pd

    codes, values = pd.factorize(column)
    found = np.empty(len(values) + 1, dtype=object)
    found[:-1] = [made(value) for value in values]
    return pd.Series(found[codes], index=column.index, dtype=object)


def _order(value: Any) -> str:
    """An order as text, however a file's format stored it (12, 12.0, "12")."""
    return str(int(value)) if isinstance(value, (int, float)) else str(value)


def _preference(values: Floats, odd: tuple[int, Any] | None, source: str) -> Floats:
    values = np.where(values == 0, 1.5, values)
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
    told = [*values, "verdict", "unparseable"]
    absent = np.array([value is None for value in values])[codes]
    codes = np.where(absent, len(values) + no_verdict, codes)
    known = {None, "verdict", "unparseable", "error"}
    unknown = np.array([value not in known for value in told])[codes]
    wrong = unknown | (np.array([value == "verdict" for value in told])[codes] == no_verdict)
    if wrong.any():
        row = int(wrong.argmax())
        status = told[codes[row]]
        if unknown[row]:
            raise InputError(
                f"{source}: row {row + 1} has the unknown status {status!r}; use error, unparseable, verdict"
            )
        raise InputError(
            f"{source}: row {row + 1} has status {status!r} but its preference says otherwise; mend one of the two"
        )
    return categories(told, codes)


def fill_baseline(table: pd.DataFrame, rows: Iterable[Mapping[str, Any]], source: str) -> tuple[pd.DataFrame, str]:
    """(annotations with the baseline's lengths filled in, the baseline's name), from the baseline's outputs.

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
    columns = {"instruction": "instruction_sha256", "instruction_id": "instruction_id"}
    shared = next((k for k in lengths if columns[k] in table), None)
    if shared is None:
        raise InputError(f"{source}: shares neither 'instruction' nor 'instruction_id' with the annotations; add one")
    (name,) = names
    found = lengths[shared]
    keys = table[columns[shared]]
    by_row = _mapped(keys, found.get if shared == "instruction" else lambda value: found.get(_key(value, "")))
    known_lengths = by_row.astype(float)
    ours = table["generator_1"].eq(name) | table["generator_2"].eq(name)
    if ours.any() and known_lengths[ours].isna().all():
        raise InputError(f"{source}: none of its outputs has the {shared} of an annotation; is it the right baseline?")
    table = table.copy(deep=False)
    for side in ("1", "2"):
        lacking = table[f"generator_{side}"].eq(name) & table[f"length_{side}"].isna()
        table[f"length_{side}"] = table[f"length_{side}"].where(~lacking, known_lengths)
    return table, name


def _key(value: Any, column: str) -> str:
    """An instruction's digest, or its id as text; 0, 0.0 and "0" are one id, as file formats change them."""
    if column == "instruction":
        return text_digest(str(value).strip())
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def rows_frame(rows: Iterable[Mapping[str, Any]]) -> pd.DataFrame:
    """Rows as a table; a lone surrogate in them stands there as its escape."""
    import pandas as pd

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
