"""What people and judges reward as people read it: a table for each judge, the weights side by side; and its slices."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import pandas as pd

from simfarm.agreement.dissect import DISCOVERY, OUTPUT_2, Rewards, called, dissect, reasons
from simfarm.agreement.failures import Slices, Tested, agreement_by_slice, failures, slices_of
from simfarm.agreement.votes import Votes, votes_of
from simfarm.data.frames import Verdicts
from simfarm.data.inspection import Inspection
from simfarm.data.judged import judged_in
from simfarm.data.sources import Source
from simfarm.data.sources import called as file_called
from simfarm.errors import InputError
from simfarm.ranking.table import plain
from simfarm.report.rates import estimate_json
from simfarm.report.tables import Part, Sheet
from simfarm.statistics.estimate import Estimate
from simfarm.text.marks import ORDER, SHOWN_FIRST
from simfarm.text.properties import GENERATORS, PROPERTIES, property_names
from simfarm.text.words import plural

__all__ = ["Dissection", "Material", "dissected", "dissection_sheet"]

_WORDS = {SHOWN_FIRST: "shown first", OUTPUT_2: "output_2"}
_ONE_BY_ONE = 2
"""Judges up to which each has a table of its own, with intervals."""
_LISTED = 20
"""Slices that a table shows; --json has all."""


@dataclass(frozen=True)
class Dissection:
    """What each judge rewards, beside people where there are labels; and, where slices were asked for, those that were
    put to the test (`tested`) and each judge's agreement with people in all of them (`agreement`)."""

    rewards: tuple[Rewards, ...]
    level: float
    slices: Slices | None
    agreement: Mapping[str, Mapping[str, Estimate]]
    tested: Mapping[str, Sequence[Tested]]
    notes: tuple[str, ...] = ()

    @cached_property
    def table(self) -> pd.DataFrame:
        """One row for each judge and property: spread, the share of comparisons that differ in it, the weights of
        `people` and `judge` and their `difference` with limits, its p and q, and why there is none."""
        return pd.DataFrame([row for one in self.rewards for row in _rows(one, self.level)])

    @cached_property
    def slice_table(self) -> pd.DataFrame:
        """One row for each slice that was tested, by judge: means in percent, inside and outside, the difference with
        limits, p, q, and whether it `fails`."""
        return pd.DataFrame(
            [_tested_row(judge, one, self.level) for judge, of in self.tested.items() for one in of],
            columns=_TESTED_COLUMNS,
        )

    def to_json(self) -> dict[str, Any]:
        """Everything as plain JSON values."""
        record: dict[str, Any] = {"level": self.level, "judges": [_record(one, self.level) for one in self.rewards]}
        if self.slices is not None:
            record["slices"] = {
                "by": self.slices.by,
                "names": list(self.slices.names),
                **({"words": list(self.slices.words)} if self.slices.words else {}),
                "agreement": {
                    judge: {name: estimate_json(e, self.level) | {"n": e.n_clusters} for name, e in of.items()}
                    for judge, of in self.agreement.items()
                },
                "tested": [{k: plain(v) for k, v in row.items()} for row in self.slice_table.to_dict("records")],
            }
        return record | {"notes": list(self.notes)}


@dataclass(frozen=True)
class Material:
    """What is to be taken apart: `votes`, the `names` of the properties to weigh (`asked` for, or all that there are),
    and the `slices`, if any."""

    votes: Votes
    names: tuple[str, ...]
    asked: bool
    slices: Slices | None

    @classmethod
    def read(
        cls,
        annotations: Sequence[Source],
        human: Sequence[Source] = (),
        *,
        control: str | Sequence[str] | None = None,
        by: str | None = None,
        mix_judges: bool = False,
    ) -> Material:
        """Annotation files or tables, and people's labels. Raises `InputError` for what cannot be read or matched."""
        names = property_names(f"all,{ORDER}" if control is None else control)
        if not set(names) - {ORDER, GENERATORS}:
            raise InputError(f"the control {','.join(names)!r} names no property to weigh; add one, as length or lists")
        own = tuple(name for name in names if name not in (*PROPERTIES, ORDER, GENERATORS))
        looked = Inspection(
            features=tuple(name for name in names if name in PROPERTIES),
            covariates=own,
            calls=True,
            instructions=by == "instructions",
        )
        verdicts = _read(annotations, looked, "verdicts")
        labels = _read(human, replace(looked, covariates=()), "labels") if human else None
        votes = votes_of(verdicts, labels, allow_mixed=mix_judges)
        return cls(votes, names, control is not None, None if by is None else slices_of(votes, by))


def dissected(made: Material, *, level: float = 0.95) -> Dissection:
    """What judges and people reward, and where judges fail. Raises `InputError` for what cannot be estimated."""
    votes, slices = made.votes, made.slices
    rewards = tuple(dissect(votes, judge, made.names, asked=made.asked) for judge in votes.judges)
    return Dissection(
        rewards=rewards,
        level=level,
        slices=slices,
        agreement=_agreement(votes, slices),
        tested={} if slices is None else {judge: failures(votes, judge, slices) for judge in votes.judges},
        notes=tuple(dict.fromkeys([*votes.notes, *(note for one in rewards for note in one.notes)])),
    )


def _read(sources: Sequence[Source], looked: Inspection, what: str) -> Verdicts:
    if not sources:
        raise InputError("there is no input; name an annotation file")
    found = judged_in(sources, looked)
    if found is None:
        raise InputError(f"{file_called(sources[0])}: holds no {what} (column 'preference'); is it the right file?")
    return found


def _agreement(votes: Votes, slices: Slices | None) -> dict[str, Mapping[str, Estimate]]:
    if slices is None or not votes.people:
        return {}
    return {judge: agreement_by_slice(votes, judge, slices) for judge in votes.judges}


def dissection_sheet(found: Dissection) -> Sheet:
    """The tables for people, the weights as columns, and plain values."""
    many = len(found.rewards) > _ONE_BY_ONE
    parts = [_all(found)] if many else [_weights(one, found.level) for one in found.rewards]
    for judge in found.tested:
        parts += [*_by_slice(found, judge), *_failing(found, judge)]
        if not any(one.q <= DISCOVERY for one in found.tested[judge]):
            parts[-1] = replace(parts[-1], remarks=[*parts[-1].remarks, _nothing(found.tested[judge])])
    return Sheet(parts, found.table, found.to_json())


def _weights(one: Rewards, level: float) -> Part:
    """One judge's weights, those of people on its left."""
    beside = bool(one.people)
    rows = []
    for name in dict.fromkeys([*one.judge, *one.people]):
        marked = " *" if one.q.get(name, 1.0) <= 1 - level else ""
        cells = [_limits(weights.get(name), level) for weights in (one.people, one.judge, one.difference)]
        rows.append([_WORDS.get(name, called(name)) + marked, *(cells if beside else cells[1:2])])
    headings = ["property", *(["people", "the judge", "judge − people"] if beside else ["weight"])]
    labels = f", {plural(one.n_labels, 'label')}" if beside else ""
    title = (
        f"{one.name}: what is rewarded · {plural(one.n_comparisons, 'comparison')}, "
        f"{plural(one.n_instructions, 'instruction')}{labels}"
    )
    remarks = [f"logits for one spread of the outputs' difference, with {100 * level:g} % intervals"]
    if beside:
        n = sum(q <= 1 - level for q in one.q.values())
        remarks.append(
            f"* the judge and people differ, {n} of {plural(len(one.q), 'property', 'properties')}: allowing for how "
            f"many were tested (of such marks {100 * (1 - level):.3g} % are false at most); each interval is of its "
            "property alone, and may leave 0 out without a mark"
        )
    remarks.append("output_2: what being output_2 is worth, all else equal (a baseline's opponents, or a habit)")
    remarks += [f"not weighed: {why}" for why in reasons(one.left_out)]
    return Part(title, headings, rows, remarks, ("judge − people",))


def _all(found: Dissection) -> Part:
    """All judges' weights without intervals, a row each, people's above them on the most comparisons."""
    widest = max(found.rewards, key=lambda one: one.n_comparisons)
    names = [name for name in dict.fromkeys(n for one in found.rewards for n in one.judge) if name != OUTPUT_2]
    rows = [["people", *(_bare(widest.people.get(name)) for name in names)]] if widest.people else []
    for one in found.rewards:
        marks = ("*" if one.q.get(name, 1.0) <= 1 - found.level else " " for name in names)
        cells = (_bare(one.judge.get(name)) + mark for name, mark in zip(names, marks, strict=True))
        rows.append([one.name, *(cell if widest.people else cell.rstrip() for cell in cells)])
    remarks = ["logits for one spread of the outputs' difference; intervals: one file a judge, -o FILE or --json"]
    if widest.people:
        remarks.append(
            f"* differs from people's on the same comparisons, allowing for how many were tested (of such marks "
            f"{100 * (1 - found.level):.3g} % are false at most)"
        )
    most = plural(widest.n_comparisons, "comparison")
    title = f"what is rewarded by {plural(len(found.rewards), 'judge')} · up to {most}"
    headings = ["judge", *(_WORDS.get(name, called(name)) for name in names)]
    return Part(title, headings, rows, remarks, ("code", "headers", "refusals", "bold", "sentiment", "hedges"))


def _bare(e: Estimate | None) -> str:
    return "–" if e is None else f"{e.value:+.2f}".replace("-", "−")


def _limits(e: Estimate | None, level: float) -> str:
    if e is None:
        return "–"
    low, high = e.interval(level)
    return f"{e.value:+.2f} [{low:+.2f}, {high:+.2f}]".replace("-", "−")


def _by_slice(found: Dissection, judge: str) -> list[Part]:
    """A judge's agreement with people in each slice, the lowest first."""
    of = {name: e for name, e in found.agreement.get(judge, {}).items() if e.n_clusters}
    if not of or found.slices is None:
        return []
    rows = []
    for name, e in sorted(of.items(), key=lambda item: item[1].value)[:_LISTED]:
        low, high = (100 * x for x in e.interval(found.level))
        limits = "" if math.isnan(low) else f" [{low:.1f}, {high:.1f}]"
        rows.append([name, f"{100 * e.value:.1f}{limits}", f"{e.n_clusters:,}"])
    remarks = ["agreement: 1 − |judge − label|, the mean over labels, in percent"]
    if len(of) > len(rows):
        remarks.append(f"{plural(len(of) - len(rows), 'more slice')}: --json has all")
    title = f"{judge}: agreement with people by {found.slices.by}, the lowest first"
    return [Part(title, ["group", "agreement", "instructions"], rows, remarks)]


def _nothing(tested: Sequence[Tested]) -> str:
    """That no slice is failed on, and what that rests on."""
    if not tested:
        return (
            "where it fails: nothing was tested; no slice with 5 instructions or more in both halves looked worse in "
            "the first"
        )
    return (
        f"where it fails: nothing found; of {plural(len(tested), 'slice')} that looked worse in one half of the "
        "instructions, none is beyond chance in the other"
    )


def _failing(found: Dissection, judge: str) -> list[Part]:
    """The slices that a judge, or in its eyes a model, fails on, if any."""
    tested = found.tested[judge]
    failing = [one for one in tested if one.q <= DISCOVERY]
    if not failing or found.slices is None:
        return []
    rows = []
    for one in failing[:_LISTED]:
        low, high = (100 * x for x in one.difference.interval(found.level))
        gap = f"{100 * one.difference.value:+.1f} [{low:+.1f}, {high:+.1f}]".replace("-", "−")
        means = f"{100 * one.inside.value:.1f}", f"{100 * one.outside.value:.1f}"
        rows.append([one.slice, one.who, *means, gap, f"{one.q:.3f}", f"{one.n_instructions:,}"])
    remarks = [
        f"{plural(len(failing), 'slice')} of {len(tested)} that looked worse in one half of the instructions; percent, "
        f"of the other half; of these {100 * DISCOVERY:g} % are false at most, by a test of worse alone: an interval "
        "looks both ways, and may hold 0",
        "who: the judge (its agreement with people there and elsewhere) or a model (its win rate in the judge's eyes)",
    ]
    if len(failing) > len(rows):
        remarks.append(f"{plural(len(failing) - len(rows), 'more slice')}: --json has all")
    headings = ["group", "who", "there", "elsewhere", "difference", "q", "instructions"]
    title = f"{judge}: where it or a model fails, by {found.slices.by}"
    return [Part(title, headings, rows, remarks, ("instructions", "elsewhere", "there"))]


def _rows(one: Rewards, level: float) -> list[dict[str, Any]]:
    rows = []
    for name in dict.fromkeys([*one.judge, *one.people, *one.left_out]):
        row: dict[str, Any] = {
            "judge": one.name,
            "property": called(name),
            "spread": one.spread.get(name),
            "differs": one.differs.get(name),
        }
        for whose, weights in (("people", one.people), ("judge", one.judge), ("difference", one.difference)):
            e = weights.get(name)
            low, high = (None, None) if e is None else e.interval(level)
            stem = f"{whose}_weight" if whose != "difference" else whose
            row |= {stem: None if e is None else e.value, f"{stem}_low": low, f"{stem}_high": high}
        difference = one.difference.get(name)
        row |= {"p": None if difference is None else difference.p_value(), "q": one.q.get(name)}
        rows.append(row | {"left_out": one.left_out.get(name)})
    return rows


def _record(one: Rewards, level: float) -> dict[str, Any]:
    rows = [{k: plain(v) for k, v in row.items() if k != "judge"} for row in _rows(one, level)]
    return {
        "judge": one.name,
        "n_comparisons": one.n_comparisons,
        "n_instructions": one.n_instructions,
        "n_labels": one.n_labels,
        "properties": rows,
    }


_TESTED_COLUMNS = (
    *("judge", "who", "measure", "slice", "n_instructions", "inside", "outside"),
    *("difference", "difference_low", "difference_high", "p", "q", "fails"),
)


def _tested_row(judge: str, one: Tested, level: float) -> dict[str, Any]:
    low, high = one.difference.interval(level)
    return {
        "judge": judge,
        "who": one.who,
        "measure": one.what,
        "slice": one.slice,
        "n_instructions": one.n_instructions,
        "inside": 100 * one.inside.value,
        "outside": 100 * one.outside.value,
        "difference": 100 * one.difference.value,
        "difference_low": 100 * low,
        "difference_high": 100 * high,
        "p": one.p,
        "q": one.q,
        "fails": one.q <= DISCOVERY,
    }
