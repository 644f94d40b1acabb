"""Covariates of the user's own: a NAME whose columns NAME_1 and NAME_2 have a number in every row."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import numpy as np

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

    def add(self, columns: Columns) -> None:
        """The next rows of the file."""
        for name, parts in self._numbers.items():
            numbers, odd = as_numbers(columns.values.get(name), columns.length)
            parts.append(numbers)
            wrong = ~np.isfinite(numbers)
            if wrong.any() and (self._odd is None or self._length + int(wrong.argmax()) < self._odd[0]):
                row = int(wrong.argmax())
                cell = odd[1] if odd is not None and odd[0] == row else None if np.isnan(numbers[row]) else numbers[row]
                self._odd = (self._length + row, name, cell)
        self._length += columns.length

    def require(self, source: str, others: Collection[str]) -> None:
        """Raises `InputError` for one that is not among the columns `others` (those of the file that have no meaning of
        their own), or has no number in a row."""
        pairs = sorted({name[:-2] for name in others if name.endswith("_1") and f"{name[:-1]}2" in others})
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
