"""What a judge is told beside what it judges: a context, a reference, a checklist; fixed, or a column of the input.

A column that a judge's file names must be filled in every row, which is looked at before the first call: a judge that
is asked by a checklist on some rows and by nothing on others is two judges. What a column holds is data, as outputs
are.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges import fields
from simfarm.judges.stages import shown_variables
from simfarm.text.harmless import one_line

if TYPE_CHECKING:
    from simfarm.judges.spec import Judge

__all__ = ["REFERENCE", "Given", "check_given", "given_of", "items_of", "refuse_missing"]

REFERENCE = "reference"
"""The column that a template's `reference` comes from where the file names none; it may then be empty."""

_BULLET = re.compile(r"^\s*(?:[-*•]|\d{1,3}[.)])\s+")


@dataclass(frozen=True, slots=True)
class Given:
    """`context` is a fixed text; `columns` are (variable, column) of what a file says comes from the input."""

    context: str = ""
    columns: tuple[tuple[str, str], ...] = ()

    def values(self, record: Comparison, neutralise: Callable[[str], str]) -> dict[str, Any]:
        """What a template knows of a record: `context`, `reference` (each a text, empty where there is none) and
        `checklist` (a list of texts)."""
        columns = dict(self.columns)
        told: dict[str, Any] = {"context": self.context}
        if "context" in columns:
            told["context"] = neutralise(_text(record.extra.get(columns["context"])))
        told["reference"] = neutralise(_text(record.extra.get(columns.get("reference", REFERENCE))))
        items = items_of(record.extra.get(columns["checklist"])) if "checklist" in columns else []
        return told | {"checklist": [neutralise(item) for item in items]}


def given_of(where: str, data: Mapping[str, Any]) -> tuple[str, dict[str, str]]:
    """(a fixed context, variable -> column) of a judge's file. Raises `InputError`."""
    columns = {}
    for name in ("context", "reference"):
        value = data.get(name)
        if isinstance(value, Mapping):
            fields.known_keys(f"{where}: {name}", value, ("column",))
            columns[name] = fields.text(f"{where}: {name}.column", value.get("column"))
    if "reference" in data and "reference" not in columns:
        raise InputError(
            f"{where}: reference: comes from the input; write {{column: {REFERENCE}}}, not {data['reference']!r}"
        )
    if "context" in columns or "context" not in data:
        return "", columns
    return fields.text(f"{where}: context", data["context"]), columns


def check_given(where: str, judge: Judge) -> None:
    """Refuse what a template does not tell, and what it tells and nobody gives. Raises `InputError`."""
    told = judge.compiled.told | shown_variables(judge)
    if (bool(judge.context) or "context" in judge.columns) != ("context" in told):
        raise InputError(
            f"{where}: a context is either given (context: TEXT or {{column: NAME}}) and used as {{{{ context }}}} in "
            "the template, or neither"
        )
    if "reference" in judge.columns and "reference" not in told:
        raise InputError(f"{where}: reference: is not used; write {{{{ reference }}}} in the template, or leave it out")


def items_of(value: Any) -> list[str]:
    """The items of a checklist as a cell holds it: a list, the JSON of one, or a line each."""
    if isinstance(value, str):
        if value.lstrip().startswith("["):
            try:
                value = json.loads(value)
            except (ValueError, RecursionError):
                value = value.splitlines()
        else:
            value = value.splitlines()
        value = [_BULLET.sub("", item).strip() if isinstance(item, str) else item for item in value]
    if isinstance(value, str | Mapping) or not isinstance(value, Iterable):
        return []
    return [text for item in value if (text := _text(item)).strip()]


def refuse_missing(judge: Judge, records: Iterable[Comparison]) -> None:
    """Raise `InputError` where records lack what the judge's file says that it is asked by."""
    for name, column in judge.given.columns:
        count = without = 0
        first = ""
        for record in records:
            count += 1
            if not _filled(name, record.extra.get(column)):
                without, first = without + 1, first or record.instruction
        if without:
            raise InputError(
                f"rows without {column!r}, the {name} of judge {judge.name}: {without:,} of {count:,} (the first: "
                f"{one_line(first)[:40]!r}); fill the column in, or leave them out"
            )


def _filled(name: str, value: Any) -> bool:
    return bool(items_of(value)) if name == "checklist" else bool(_text(value).strip())


def _text(value: Any) -> str:
    """A cell as a text; what is none (the NaN of an empty cell) is empty."""
    if isinstance(value, str):
        return value
    return f"{value:.15g}" if isinstance(value, int | float) and not math.isnan(value) else ""
