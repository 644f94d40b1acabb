"""Covariates of the user's own: a NAME whose columns NAME_1 and NAME_2 have a number in every row, or by which a
judge's `scores` mark both outputs."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

from simfarm.data.marks import mappings
from simfarm.data.numbers import Floats, as_numbers
from simfarm.data.reading import Columns
from simfarm.errors import InputError
from simfarm.text.marks import FEATURES, GROUPS, ORDER

__all__ = ["Covariates"]


class Covariates:
    """The numbers of one file's covariates, gathered as the rows stream by."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._numbers: dict[str, list[Floats]] = {f"{name}_{side}": [] for name in names for side in ("1", "2")}
        self._length = 0
        self._odd: tuple[int, str, Any] | None = None
        self._scored: set[str] = set()

    def add(self, columns: Columns) -> None:
        """The next rows of the file."""
        scores = mappings(columns.values.get("scores"), columns.length) if self._names else []
        self._scored.update(*scores)
        for name, parts in self._numbers.items():
            of_judge = name not in columns.values and name in self._scored
            values = [marks.get(name) for marks in scores] if of_judge else columns.values.get(name)
            numbers, odd = as_numbers(values, columns.length)
            parts.append(numbers)
            # a judge that gave no verdict gave no scores either
            wrong = np.isinf(numbers) if of_judge and odd is None else ~np.isfinite(numbers)
            if wrong.any() and (self._odd is None or self._length + int(wrong.argmax()) < self._odd[0]):
                row = int(wrong.argmax())
                cell = odd[1] if odd is not None and odd[0] == row else None if np.isnan(numbers[row]) else numbers[row]
                self._odd = (self._length + row, name, cell)
        self._length += columns.length

    def require(self, source: str, others: Collection[str]) -> None:
        """Raises `InputError` for one that is not among the columns `others` (those of the file that have no meaning of
        their own), or has no number in a row."""
        known = {*others, *self._scored}
        pairs = sorted({name[:-2] for name in known if name.endswith("_1") and f"{name[:-1]}2" in known})
        for name in self._names:
            if name not in pairs:
                own = f"and of the file's own {', '.join(pairs)}" if pairs else "and the file has none of its own"
                raise InputError(
                    f"{source}: there is no style feature {name!r} to control for, nor a covariate in columns {name}_1 "
                    f"and {name}_2; there are {', '.join((*FEATURES, *GROUPS, ORDER))}, {own}"
                )
        if self._odd is not None:
            row, column, cell = self._odd
            what = f"no {column!r}" if cell is None else f"the {column!r} {str(cell)!r}, which is no number"
            raise InputError(
                f"{source}: row {row + 1} has {what}; write a number in every row, or leave {column[:-2]!r} out of the "
                "controls"
            )

    def columns(self) -> dict[str, Floats]:
        """`covariate_NAME_1` and `covariate_NAME_2` of each."""
        return {f"covariate_{name}": np.concatenate(parts) for name, parts in self._numbers.items()}
