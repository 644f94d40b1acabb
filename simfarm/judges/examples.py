"""A person as a few labels of their own: comparisons they have judged, shown to a model before the one it is asked.

Each is an earlier turn of the conversation (the question as the judge would ask it, and its answer as this person gave
it), so that every judge's template and every parser can be used with a person's examples, and none needs a place for
them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.data.inputs import named_rows
from simfarm.data.records import Comparison, comparisons_from_rows
from simfarm.errors import InputError
from simfarm.judges import fields
from simfarm.judges.orders import stable_bit
from simfarm.judges.parsers import VerdictSpec
from simfarm.judges.several import NUMBER, VERDICTS
from simfarm.text.words import named, plural

if TYPE_CHECKING:
    from simfarm.judges.spec import Judge

__all__ = ["SHOTS", "Example", "examples", "said"]

SHOTS = 8
"""Examples shown where the file names no number: two people of opposite taste are told apart by as many."""

REASON = "That is the one I would rather have."


@dataclass(frozen=True, slots=True)
class Example:
    """A comparison that a person has judged: `p` is how strongly output_2 was preferred (0, ½ or 1)."""

    comparison: Comparison
    p: float

    @property
    def order(self) -> str:
        """The order in which it is shown, by a stable coin: nobody is to learn a taste for a position from it."""
        return "21" if stable_bit("example", self.comparison) else "12"

    @property
    def meaning(self) -> str:
        """What the person said of the pair as it is shown (a key of `parsers.MEANINGS`)."""
        if self.p == 0.5:
            return "tie"
        return "second" if (self.p > 0.5) == (self.order == "12") else "first"


def said(spec: VerdictSpec, meaning: str, several: bool = False) -> str:
    """A reply that says nothing but this meaning, in the form that the judge's parser reads."""
    label = spec.label(meaning)
    if spec.parser == "json":
        verdict: dict[str, Any] = {spec.reason: REASON, spec.winner: label}
        return json.dumps({VERDICTS: [{NUMBER: 1, **verdict}]} if several else verdict)
    opening, closing = spec.delimiters or ("", "")
    return ("1: " if several else "") + f"{opening}{label}{closing}"


def examples(where: str, folder: Path, value: Any, judge: Judge) -> tuple[Example, ...]:
    """The first `n` labels of one person in a file beside the population, as `value` (a file's name, or a mapping with
    file, person and n) asks for. Labels that the judge's labels cannot say (a tie, where it knows none) are left out.
    Raises `InputError`."""
    asked = {"file": value} if isinstance(value, str) else value
    if not isinstance(asked, Mapping):
        raise InputError(f"{where}: must be a file, or a mapping with file, person and n, not {value!r}")
    fields.known_keys(where, asked, ("file", "person", "n"))
    n = asked.get("n", SHOTS)
    if isinstance(n, bool) or not isinstance(n, int) or n < 1:
        raise InputError(f"{where}.n: must be a whole number of at least 1, not {n!r}")
    spec = judge.verdict
    if spec is None or spec.parser in ("decision", "criteria"):
        raise InputError(f"{where}: the judge {judge.name!r} reads no earlier answers; name one that writes")
    file = folder / fields.text(f"{where}.file", asked.get("file"))
    if not file.is_file():
        raise InputError(f"{where}: there is no file {file}; name one of labels beside the population's file")
    _, rows = named_rows(str(file))
    own = _of_one(where, file, rows, asked.get("person"))
    meanings = set(spec.labels.values())
    known = [example for example in _examples(own, str(file)) if example.meaning in meanings][:n]
    if len(known) < n:
        raise InputError(
            f"{where}: {file} has {plural(len(known), 'label')} that can be shown, and {n} are wanted; lower n"
        )
    return tuple(known)


def _of_one(where: str, file: Path, rows: Sequence[Mapping[str, Any]], person: Any) -> list[Mapping[str, Any]]:
    """The rows of one person: the one that is named, or the only one there is."""
    who = [str(row.get("person") or row.get("annotator") or "unknown") for row in rows]
    people = list(dict.fromkeys(who))
    if person is None and len(people) > 1:
        raise InputError(f"{where}: {file} has the labels of {named(people)}; name one of them as person")
    if person is not None and str(person) not in people:
        raise InputError(f"{where}: {file} has no person {person!r}; it has {named(people)}")
    wanted = people[0] if person is None and people else str(person)
    return [row for row, name in zip(rows, who, strict=True) if name == wanted]


def _examples(rows: Sequence[Mapping[str, Any]], source: str) -> Iterator[Example]:
    """Each labelled comparison once, its first label; rows without a preference are left out."""
    seen = set()
    for row, comparison in zip(rows, comparisons_from_rows(rows, source), strict=True):
        value = row.get("preference")
        about = (comparison.instruction, comparison.output_1, comparison.output_2)
        if value is None or about in seen:
            continue
        seen.add(about)
        try:
            p = 0.5 if float(value) == 0 else float(value) - 1
        except (TypeError, ValueError):
            p = -1.0
        if not 0 <= p <= 1:
            raise InputError(f"{source}: {value!r} is no preference; write 1 (output_1) to 2 (output_2), 1.5 for a tie")
        yield Example(comparison, p)
