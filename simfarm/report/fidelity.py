"""The fidelity of a simulated crowd as people read it: four questions, each measure beside people, and a verdict."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from simfarm.data.sources import Source, called
from simfarm.errors import InputError
from simfarm.report.tables import Part, Sheet
from simfarm.text.words import named, plural

if TYPE_CHECKING:
    from simfarm.agreement.figures import Value
    from simfarm.agreement.measures import Fidelity, Measure
    from simfarm.data.frames import Verdicts

__all__ = ["fidelity_of", "fidelity_sheet"]

_GROUPS = (
    ("does it lean as people do?", ("rho", "with_people", "worth")),
    ("does it agree with itself as people do?", ("pairwise", "leave_one_out", "entropy", "splits", "split")),
    (
        "is it moved by the same?",
        ("longer", "longer_spread", "lists", "bold", "output_1", "first", "follows_sure", "follows_unsure"),
    ),
    ("can a classifier say whose labels it sees?", ("logistic", "boosted")),
)
_SHORT = {
    "pairwise": "pairwise agreement",
    "leave_one_out": "leave-one-out agreement",
    "entropy": "entropy",
    "splits": "splits",
    "longer": "length",
    "longer_spread": "persons' tastes for length",
    "lists": "lists",
    "bold": "bold text",
    "output_1": "output_1",
    "first": "place",
    "follows_sure": "the judge's side where it is sure",
    "follows_unsure": "the judge's side where it is not",
    "logistic": "a logistic classifier",
    "boosted": "boosted trees",
}
"""Measures as the verdict names them."""
_ABSENT = {
    "rho": "ρ",
    "worth": "what its labels are worth",
    "follows_sure": "the judge's margin",
    "follows_unsure": "the judge's margin where its runs disagree",
    **{name: words for name, words in _SHORT.items() if not name.startswith("follows")},
}


def fidelity_of(
    simulated: Sequence[Source],
    human: Sequence[Source],
    annotations: Sequence[Source] = (),
    *,
    level: float = 0.95,
    mix_judges: bool = False,
) -> Fidelity:
    """The fidelity of files or tables of simulated labels beside those of people, with the `annotations` of a judge's
    runs. Raises `InputError` for what cannot be read, matched or compared."""
    from simfarm.agreement.crowds import crowds_of
    from simfarm.agreement.fidelity import fidelity
    from simfarm.data.inputs import read_for_evaluation, refuse_scores
    from simfarm.data.inspection import Inspection

    looked = Inspection(features=("lists", "bold"), calls=True)
    read: list[Verdicts] = []
    for sources, what in ((simulated, "simulated labels"), (human, "people's labels"), (annotations, "verdicts")):
        if not sources:
            continue
        found = read_for_evaluation(sources, None, looked)
        if found is None:
            refuse_scores(sources)
        if found is None or found[0].table["preference"].isna().all():
            raise InputError(f"{called(sources[0])}: holds no {what} (column 'preference'); is it the right file?")
        read.append(found[0])
    crowds = crowds_of(read[0], read[1], read[2] if len(read) > 2 else None, allow_mixed=mix_judges)
    return fidelity(
        crowds.simulated,
        crowds.human,
        crowds.items,
        runs=crowds.runs,
        name=crowds.name,
        level=level,
        notes=crowds.notes,
    )


def fidelity_sheet(found: Fidelity) -> Sheet:
    """The report as a table for people, all its columns, and plain values."""
    rows: list[list[str]] = []
    for title, names in _GROUPS:
        own = [m for m in found.measures if m.name.split()[0] in names]
        if own:
            rows += [[title, "", "", "", ""], *(_line(found, m) for m in own)]
    title = (
        f"{found.name} · {plural(found.n_comparisons, 'comparison')} of {plural(found.n_instructions, 'instruction')}, "
        f"{plural(found.n_people, 'person', 'people')} beside {found.n_simulated:,} simulated"
    )
    headings = ["figure", "people", "the crowd", "difference", "verdict"]
    parts = [Part(title, headings, rows, _remarks(found), ("difference", "people"))]
    return Sheet(parts, found.table, found.to_json())


def _line(found: Fidelity, m: Measure) -> list[str]:
    """A measure as it is printed; of which taste its verdict is, its own name says."""
    plain_people = m.name in ("rho", "worth")
    people = _cell(m, m.people, math.nan, math.nan) if plain_people else _cell(m, m.people, *found.limits(m.people))
    gap = _cell(m, m.difference, *m.limits, sign="" if m.name == "splits" else "+")
    return [f"  {m.words}", people, _cell(m, m.crowd, *found.limits(m.crowd)), gap, m.verdict.split(": ")[-1]]


def _cell(m: Measure, value: Value | None, low: float, high: float, sign: str = "") -> str:
    if value is None:
        return "–"
    times, digits = (100, 1) if m.unit == "percent" else (1, 2)
    shown = [_number(times * x, digits, sign) for x in (value.value, low, high)]
    return shown[0] if math.isnan(low) else f"{shown[0]} ({shown[1]} to {shown[2]})"


def _number(x: float, digits: int, sign: str) -> str:
    rounded = round(x, digits) + 0.0
    return f"{rounded:{sign if rounded else ''}.{digits}f}".replace("-", "−")


def _remarks(found: Fidelity) -> list[str]:
    """How to read the numbers, what is missing, and the verdict."""
    lines = [f"percent and points, with {100 * found.level:g} % intervals of other instructions"]
    if found.n_even < found.n_comparisons:
        few = plural(found.n_comparisons - found.n_even, "comparison")
        lines.append(f"what hangs on the number of labels is of {found.per_item} each; {few} with fewer are not in it")
    if found.get("longer") is not None and found.person_error > 0:
        off = 1.96 * 100 * found.person_error
        lines.append(f"with other people their P(longer) would move by ±{off:.1f} points: no interval has that in it")
    if found.get("logistic") is not None:
        lines.append("AUC: people's column is the same test where there is nothing to tell (20 times)")
    whys = dict.fromkeys(found.why.values())
    absent = [f"{', '.join(_ABSENT[n] for n, w in found.why.items() if w == why)} ({why})" for why in whys]
    lines += [f"not known: {'; '.join(absent)}"] if absent else []
    return [*lines, "", "what it comes to", *(f"- {line}" for line in verdict(found))]


def verdict(found: Fidelity) -> list[str]:
    """What the measures come to, in words, the whole first."""
    tested = [m for m in found.measures if m.tested]
    apart = {m.name for m in found.told_apart}
    lines = []
    for words in dict.fromkeys(m.verdict for m in tested if m.name in apart):
        by = [_SHORT[m.name] for m in tested if m.name in apart and m.verdict == words]
        lines.append(f"{words} by {named(by)}" if words == "told apart" else f"{words} ({named(by)})")
    inside = [_SHORT[m.name] for m in tested if m.inside]
    if inside and not apart:
        lines.append(f"cannot be told apart by {named(inside, len(inside))}")
    if alone := [m for m in found.outside if m.name not in apart]:
        which = named([f"{_SHORT[m.name]} ({m.verdict})" for m in alone], 6)
        lines.append(f"outside taken alone, which can be luck among {plural(len(tested), 'measure')}: {which}")
    rho = found.get("rho")
    if rho is not None and rho.crowd is not None:
        low, high = found.limits(rho.crowd)
        said = f"ρ {_number(rho.crowd.value, 2, '')}, {_number(low, 2, '')} to {_number(high, 2, '')}"
        if low <= 0:
            lines.append(f"its leanings have nothing to do with people's as far as this shows ({said})")
        elif high < 1:
            lines.append(f"it leans as people do only in part ({said}; 1 is people's own), which no noise can mend")
        else:
            lines.append(f"its leanings may be people's own ({said})")
    return lines
