"""What a verb found out about judges, for notebooks: the value itself, and the tables that the command line prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from simfarm.report.tables import Sheet
from simfarm.text.shown import Shown

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["Told"]

Found = TypeVar("Found")


@dataclass(frozen=True)
class Told(Shown, Generic[Found]):
    """`found` is what was found, with its estimates; `sheet` how people read it."""

    found: Found
    sheet: Sheet

    @property
    def table(self) -> pd.DataFrame:
        """Every figure, as `-o FILE.csv` has them."""
        return self.sheet.table

    @property
    def sheets(self) -> list[Sheet]:
        """The one sheet."""
        return [self.sheet]

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values, as `--json` prints it."""
        return dict(self.sheet.record)
