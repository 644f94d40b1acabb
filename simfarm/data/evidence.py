"""What estimates need of annotation rows, gathered as the rows stream by: texts leave their traces and are forgotten.

A text leaves its length, a hash (which tells comparisons apart), for an instruction its SHA-256 and its beginning, for
an output what an `Inspection` looks for. So the memory is that of the rows, some
hundred bytes each, whatever was written in them.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from simfarm.data.cells import encodable
from simfarm.data.covariates import Covariates
from simfarm.data.inspection import Flag, Inspection
from simfarm.data.joint import SIDES
from simfarm.data.marks import COLUMNS, Marks
from simfarm.data.numbers import Floats, as_numbers
from simfarm.data.reading import Columns
from simfarm.text.properties import COPYING, copied, measures

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "KEPT_DIGITS",
    "READ",
    "SHOWN",
    "Floats",
    "Gathered",
    "Texts",
    "categories",
    "message_text",
    "text_digest",
    "wanted",
]

_SHARED = (
    *("instruction_id", "dataset", "category", "generator_1", "generator_2", "annotator", "status", "order"),
    *("repeat", "sample", "judge_hash", "judge_order", "model", "finish_reason_1", "finish_reason_2", "is_noised"),
)
_NUMBERS = ("preference", "length_1", "length_2")
_ASKED = ("instruction", "messages", *SIDES)
_TAKEN = ("price", "seconds")
CALLS = ("person", *_TAKEN)
"""What says of a call who made it and what it took."""

READ = frozenset({*_SHARED, *_NUMBERS, *_ASKED, "output_1", "output_2"})
"""The columns of an annotation file that estimates read, the texts among them."""


class _WithPairs(frozenset[str]):
    """Columns, and with them every one that may be half of a covariate: who names one that is not there is told which
    there are."""

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or str(name).endswith(("_1", "_2"))


def wanted(inspection: Inspection | None) -> frozenset[str]:
    """The columns to read for what is looked for."""
    if inspection is None:
        return READ
    read = READ | set(CALLS if inspection.calls else ()) | set(COLUMNS if inspection.criteria else ())
    return _WithPairs({*read, "scores"}) if inspection.covariates else read


SHOWN = 40
"""Characters of an instruction that a message quotes."""

Whole = NDArray[np.int64]
Codes = NDArray[np.int32]


class Texts:
    """What instructions, chats and outputs leave behind, for all files of one reading together."""

    def __init__(self, inspection: Inspection) -> None:
        self._asked: dict[int, int] = {}
        self._digests: list[str | None] = []
        self._starts: list[str | None] = []
        self._watch = inspection.watch
        self.features = tuple(name for name in inspection.features if name not in ("length", COPYING))
        self.copying = COPYING in inspection.features
        self._shown = None if inspection.instructions else SHOWN
        self.covariates = inspection.covariates
        self.calls = inspection.calls
        self.criteria = inspection.criteria
        self._styles: dict[int, Sequence[float]] = {0: [math.nan] * len(self.features)}

    def asked(self, text: str | None) -> int:
        """A number for an instruction or a chat, the same for the same stripped text; -1 for none."""
        if text is None:
            return -1
        stripped = text.strip()
        key = hash(stripped)
        code = self._asked.get(key)
        if code is None:
            code = self._asked[key] = len(self._digests)
            self._digests.append(text_digest(stripped))
            self._starts.append(stripped[: self._shown])
        return code

    def digests(self, codes: Codes) -> NDArray[Any]:
        """The SHA-256 of what has these numbers, None for -1."""
        return np.array([*self._digests, None], dtype=object)[codes]

    def starts(self, codes: Codes) -> NDArray[Any]:
        """The first characters of what has these numbers (all, where `Inspection.instructions`), None for -1."""
        return np.array([*self._starts, None], dtype=object)[codes]

    def answered(self, generator: str, cluster: Hashable, text: str | None, where: Any) -> int:
        """The hash of an output, 0 for none; who watches sees it, and calls its instruction `where`."""
        if text is None:
            return 0
        if self._watch is not None:
            self._watch.see(generator, cluster, text, where)
        key = hash(text) or 1
        if self.features and key not in self._styles:
            self._styles[key] = measures(text, self.features)
        return key

    def copies(self, texts: list[str | None] | None, asked: list[str | None]) -> Floats:
        """How much each output copies its instruction, NaN where one of them is missing or nobody looks for it."""
        if texts is None or not self.copying:
            return np.full(len(asked), math.nan)
        pairs = zip(texts, asked, strict=True)
        return np.array([math.nan if text is None or of is None else copied(text, of) for text, of in pairs])

    def flags(self) -> Mapping[str, tuple[Flag, ...]]:
        """What the outputs showed to who watched."""
        return {} if self._watch is None else self._watch.flags()

    def styles(self, hashes: Whole) -> Floats:
        """The measures (n × features) of the outputs that have these hashes, NaN for 0."""
        return np.array([self._styles[key] for key in hashes.tolist()], dtype=float).reshape(-1, len(self.features))


class Gathered:
    """The rows of one file, without their texts. `present` are its columns, `length` counts its rows, `odd` is the
    first preference that is no number, with its row (from 0), `odd_taken` the first price or seconds that are none,
    with the row and the column."""

    def __init__(self, texts: Texts) -> None:
        self.present: set[str] = set()
        self.length = 0
        self.odd: tuple[int, Any] | None = None
        self.odd_taken: tuple[int, str, Any] | None = None
        self._texts = texts
        self._shared = {name: _Shared() for name in (*_SHARED, *(["person"] if texts.calls else []))}
        self._numbers: dict[str, list[Floats]] = {name: [] for name in (*_NUMBERS, *(_TAKEN if texts.calls else ()))}
        self.covariates = Covariates(texts.covariates)
        self.marks = Marks(texts.criteria)
        self._asked: dict[str, list[Codes]] = {name: [] for name in _ASKED}
        self._hashes: dict[str, list[Whole]] = {"1": [], "2": []}
        self._copied: dict[str, list[Floats]] = {"1": [], "2": []}

    def add(self, columns: Columns) -> None:
        """The next rows of the file."""
        n, values = columns.length, columns.values
        self.present |= set(values)
        for name, shared in self._shared.items():
            shared.add(values.get(name), n)
        for name, parts in self._numbers.items():
            numbers, odd = as_numbers(values.get(name), n)
            if name == "preference" and odd is not None and self.odd is None:
                self.odd = (self.length + odd[0], odd[1])
            if name in _TAKEN and odd is not None and self.odd_taken is None:
                self.odd_taken = (self.length + odd[0], name, odd[1])
            parts.append(numbers)
        asked: list[str | None] = [None] * n
        for name in _ASKED:
            texts = _as_texts(values.get(name), message_text if name == "messages" else str)
            if texts is not None and self._texts.copying:
                asked = [a or b for a, b in zip(asked, texts, strict=True)]
            codes = np.full(n, -1) if texts is None else np.fromiter(map(self._texts.asked, texts), np.int32, n)
            self._asked[name].append(codes.astype(np.int32))
        clusters: list[Hashable] = []
        where: list[Any] = []
        for side in ("1", "2"):
            texts = _as_texts(values.get(f"output_{side}"), str)
            self._copied[side].append(self._texts.copies(texts, asked))
            if texts is None:
                self._hashes[side].append(np.zeros(n, dtype=np.int64))
                continue
            clusters, where = (clusters, where) if clusters else self._clusters()
            names = self._shared[f"generator_{side}"].latest(f"output_{side}")
            hashes = map(self._texts.answered, map(str, names), clusters, texts, where)
            self._hashes[side].append(np.fromiter(hashes, np.int64, n))
            lengths = np.array([math.nan if text is None else len(text) for text in texts])
            self._numbers[f"length_{side}"][-1] = np.where(
                np.isnan(lengths), self._numbers[f"length_{side}"][-1], lengths
            )
        self.covariates.add(columns)
        self.marks.add(columns)
        self.length += n

    def _clusters(self) -> tuple[list[Hashable], list[Any]]:
        """What tells the latest rows' instructions apart for who watches (the id, with its dataset, or the text), and
        what it calls them (the id, or their number)."""
        asked = np.where(
            self._asked["instruction"][-1] >= 0, self._asked["instruction"][-1], self._asked["messages"][-1]
        )
        ids, datasets = self._shared["instruction_id"].latest(None), self._shared["dataset"].latest(None)
        known = self._texts.digests(asked)
        clusters = [k if i is None else (i, d) for i, d, k in zip(ids, datasets, known, strict=True)]
        return clusters, [code + 1 if i is None else i for i, code in zip(ids, asked.tolist(), strict=True)]

    def coded(self, name: str) -> tuple[Codes, list[Any]]:
        """A column of recurring values as (which of them each row has, the values, None for what is missing)."""
        return self._shared[name].coded()

    def frame(self) -> pd.DataFrame:
        """The rows as a table: the columns that are there, lengths, and what the texts left.

        An instruction is `instruction_sha256` and `instruction_start`, a chat `messages_sha256` and `messages_start`,
        an output `output_1_hash` (0 for none). Nothing is validated yet.
        """
        import pandas as pd

        columns: dict[str, Any] = {n: s.column() for n, s in self._shared.items() if n in self.present}
        there = {n: parts for n, parts in self._numbers.items() if n in _NUMBERS or n in self.present}
        columns |= {name: np.concatenate(parts) for name, parts in there.items()}
        columns |= self.covariates.columns() | self.marks.columns()
        for name in self.present & set(_ASKED):
            codes = np.concatenate(self._asked[name])
            columns[f"{name}_sha256"] = pd.Series(self._texts.digests(codes), dtype=object)
            columns[f"{name}_start"] = pd.Series(self._texts.starts(codes), dtype=object)
        columns |= {f"output_{side}_hash": np.concatenate(hashes) for side, hashes in self._hashes.items()}
        if self._texts.copying:
            columns |= {f"style_{COPYING}_{side}": np.concatenate(parts) for side, parts in self._copied.items()}
        return pd.DataFrame(columns)


class _Index(dict[Hashable, int]):
    """Numbers for values, in the order in which they come."""

    def __missing__(self, value: Hashable) -> int:
        self[value] = number = len(self)
        return number


class _Shared:
    """A column of recurring values: each value once, and which row has which."""

    def __init__(self) -> None:
        self._index = _Index()
        self._codes: list[Codes] = []

    def add(self, values: Any, length: int) -> None:
        """The values of the next rows; None where the column is absent."""
        if values is None:
            codes = np.full(length, self._index[None], dtype=np.int32)
        elif hasattr(values, "dictionary_encode"):
            encoded = values.dictionary_encode()
            places = encoded.indices.fill_null(len(encoded.dictionary)).to_numpy(zero_copy_only=False)
            codes = self._coded([*encoded.dictionary.to_pylist(), None])[places]
        else:
            codes = self._coded(values)
        self._codes.append(codes)

    def _coded(self, values: Sequence[Any]) -> Codes:
        try:
            return np.fromiter(map(self._index.__getitem__, values), np.int32, len(values))
        except TypeError:
            # a list or an object where a name should be
            return self._coded([v if v is None or isinstance(v, str | int | float) else str(v) for v in values])

    def _values(self) -> list[Any]:
        return [None if isinstance(v, float) and math.isnan(v) else encodable(v) for v in self._index]

    def latest(self, missing: Any) -> list[Any]:
        """The values of the rows that came last."""
        values = [missing if value is None else value for value in self._values()]
        return [values[code] for code in self._codes[-1].tolist()]

    def coded(self) -> tuple[Codes, list[Any]]:
        """(which of the values each row has, the values, None for what is missing)."""
        self._codes = [np.concatenate(self._codes)]
        return self._codes[0], self._values()

    def column(self) -> pd.Series[Any]:
        """The values by row, missing where there is none; whole numbers stay such where every row has one."""
        import pandas as pd

        codes, listed = self.coded()
        used = np.flatnonzero(np.bincount(codes, minlength=len(listed)))
        kinds = {type(listed[code]) for code in used}
        if kinds == {int} and all(-(2**63) <= value < 2**63 for value in listed if value is not None):
            return pd.Series(np.array([value or 0 for value in listed], dtype=np.int64)[codes])
        return pd.Series(categories(listed, codes))


def categories(values: Sequence[Any], codes: Codes) -> pd.Categorical:
    """Rows of recurring values by their codes, None for what is missing: whatever asks for equal rows compares numbers,
    and a million rows are a megabyte."""
    import pandas as pd

    listed = np.empty(len(values), dtype=object)
    listed[:] = values
    places, each = pd.factorize(listed, sort={*map(type, values)} <= {str, type(None)})
    return pd.Categorical.from_codes(places[codes], pd.Index(each, dtype=object))


def _as_texts(values: Any, text: Callable[[Any], str]) -> list[str | None] | None:
    """A column of texts; None where the column is absent."""
    if values is None:
        return None
    if hasattr(values, "to_pylist"):
        values = values.to_pylist()
    if {*map(type, values)} <= {str, type(None)}:
        return list(values)
    return [value if value is None or isinstance(value, str) else text(value) for value in values]


KEPT_DIGITS = 16
"""Of an instruction's digest: its `instruction_id` in files that keep no texts."""


def text_digest(stripped: str) -> str:
    """What stands for an instruction: the SHA-256 of its stripped text, in hexadecimal."""
    return hashlib.sha256(stripped.encode("utf-8", "surrogatepass")).hexdigest()


def message_text(messages: Any) -> str:
    """A chat as the one text that it is compared by."""
    return json.dumps(list(messages), sort_keys=True, default=str)
