"""Marks by criteria: what a reply in JSON must hold, what is read from it, and the verdict that follows from marks.

A reply has an object `criteria` with an entry for each criterion that is asked, its reason first. Under the parser
`json` the judge's own verdict stands beside its marks, and a mark that is missing is missing. Under `criteria` the
weighted mean of the marks is the verdict, and a reply that lacks one of them has none.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from simfarm.data.decision import Decision
from simfarm.data.exchange import Completion
from simfarm.data.meaning import FEWER
from simfarm.data.records import Comparison
from simfarm.judges.criteria import Criterion
from simfarm.judges.given import items_of, refuse_missing
from simfarm.judges.parsers import last_object, unfinished
from simfarm.judges.spans import density, quoted
from simfarm.judges.verdict import Verdict

if TYPE_CHECKING:
    from simfarm.judges.spec import Judge

__all__ = ["CRITERIA", "check_records", "marks_expected", "marks_schema", "parse_marks", "sample_marks", "with_marks"]

CRITERIA = "criteria"
"""The field of a reply that holds the marks, and the parser of replies that hold nothing else."""

ALONE = "score"
"""The field of a mark of one output."""

REASON = "reason"
ITEM = "item"


@dataclass(frozen=True, slots=True)
class _Side:
    """One output as it is shown: the `field` of its marks in a reply, what the names of its scores end in, its text
    and the record, None where only the reply is known."""

    field: str
    end: str
    output: str = ""
    record: Comparison | None = None


def marks_schema(judge: Judge) -> Mapping[str, Any]:
    """The JSON schema of a reply of a judge that marks, its own verdict last where it gives one."""
    spec = judge.verdict
    assert spec is not None
    entries = {c.name: _entry(c, [side.field for side in _sides(judge)]) for c in judge.marks if c.asked}
    marks = _object(entries)
    if spec.parser == CRITERIA:
        return _object({CRITERIA: marks})
    return _object({CRITERIA: marks, **spec.schema["properties"]})


def _object(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }


def _entry(criterion: Criterion, sides: list[str]) -> dict[str, Any]:
    """What a reply says on one criterion."""
    reason = {REASON: {"type": "string"}}
    match criterion.kind:
        case "checklist":
            return _list({ITEM: {"type": "integer"}, **reason, **{side: {"type": "boolean"} for side in sides}})
        case "errors":
            which = {"answer": {"type": "string", "enum": sides}} if len(sides) > 1 else {}
            return _list({**which, "quote": {"type": "string"}, "type": {"type": "string", "enum": [*criterion.words]}})
        case "levels":
            mark: dict[str, Any] = {"type": "string", "enum": list(criterion.words)}
        case "anchors":
            mark = {"type": "integer", "enum": list(range(int(criterion.low), int(criterion.high) + 1))}
        case _:
            mark = {"type": "boolean"}
    return _object({**reason, **dict.fromkeys(sides if criterion.each else [ALONE], mark)})


def _list(properties: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": _object(properties)}


def marks_expected(judge: Judge) -> int:
    """How many marks a verdict of the judge has where none is missing."""
    sides, own = 1 if judge.alone or judge.verdict is None else 2, max(0, len(judge.questions) - 1)
    for criterion in judge.marks:
        if criterion.kind == "check" or (criterion.asked and judge.asks_marks):
            own += (sides if criterion.each else 1) * (len(criterion.words) if criterion.kind == "errors" else 1)
    return own


def parse_marks(judge: Judge, completion: Completion) -> Verdict:
    """The verdict in a reply of marks, by the reply alone: `with_marks` knows the outputs too."""
    return _verdict(judge, completion, _sides(judge))


def with_marks(judge: Judge, answer: Completion | Decision, verdict: Verdict, pair: Comparison, order: str) -> Verdict:
    """A verdict with what the criteria add to it, given what was shown: marks, their reasons, checks; under the parser
    `criteria` the verdict itself."""
    if not judge.marks or not verdict.found:
        return verdict
    sides = _sides(judge, pair, order)
    if judge.asks_marks and isinstance(answer, Completion):
        if judge.verdict is not None and judge.verdict.parser == CRITERIA:
            return _verdict(judge, answer, sides)
        scores, reasons = _read(judge, last_object(answer.text) or {}, sides)
        told = "\n".join(filter(None, [verdict.reason, *reasons]))
        verdict = replace(verdict, scores={**(verdict.scores or {}), **scores}, reason=told or None)
    checked = _checked(judge, sides)
    return replace(verdict, scores={**(verdict.scores or {}), **checked} or None) if checked else verdict


def sample_marks(judge: Judge, label: str) -> str:
    """A reply that says nothing but this: of the two answers the labelled one has the best marks; or an output that is
    rated has the highest or the lowest of all."""
    best = {side.field: (side.field == label) if not judge.alone else None for side in _sides(judge)}
    if judge.alone and judge.verdict is not None:
        best = {ALONE: judge.verdict.scale[label] == judge.ends[1]}
    entries: dict[str, Any] = {}
    for criterion in judge.marks:
        if criterion.kind == "errors":
            entries[criterion.name] = []
        elif criterion.kind == "checklist":
            entries[criterion.name] = [{ITEM: 1, REASON: "It says so.", **best}]
        elif criterion.asked:
            fields = best if criterion.each else {ALONE: True}
            given = {field: _grade(criterion, bool(top)) for field, top in fields.items()}
            entries[criterion.name] = {REASON: "It says so.", **given}
    return json.dumps({CRITERIA: entries})


def _grade(criterion: Criterion, top: bool) -> Any:
    if criterion.kind == "anchors":
        return int(criterion.high if top else criterion.low)
    if criterion.kind == "levels":
        return criterion.words[-1 if top else 0]
    return top


def check_records(judge: Judge, records: Sequence[Comparison]) -> None:
    """Raise `InputError`, before anything is asked, for records without a column that the judge is asked by, and for a
    function of its checks that does not work on the first of them."""
    refuse_missing(judge, records)
    for criterion in judge.marks:
        if criterion.check is not None and criterion.check.kind == "python" and records:
            criterion.check.mark(records[0].output_1, records[0])


def _sides(judge: Judge, pair: Comparison | None = None, order: str = "12") -> list[_Side]:
    """The outputs in the order shown, each by its label; a judge that ranks has none for two."""
    spec = judge.verdict
    if judge.alone or spec is None:
        return [_Side(ALONE, "", pair.output_1 if pair else "", pair)]
    outputs = (pair.output_1, pair.output_2) if pair else ("", "")
    shown = zip(("first", "second"), outputs if order == "12" else outputs[::-1], strict=True)
    label = spec.label if spec.labels else str
    return [_Side(label(name), f"_{name}", output, pair) for name, output in shown]


def _verdict(judge: Judge, completion: Completion, sides: list[_Side]) -> Verdict:
    """The verdict by the weighted mean of the marks: the side with the higher one, equal ones are a tie; of an output
    that is rated the place on the scale that is as far from its lowest end."""
    if problem := unfinished(completion):
        return Verdict(None, problem)
    reply = last_object(completion.text)
    if reply is None:
        return Verdict(None, "the reply holds no JSON object")
    scores, reasons = _read(judge, reply, sides)
    for criterion in judge.marks:
        gone = [side for side in sides if criterion.name + side.end not in scores]
        if criterion.asked and criterion.weighed and gone:
            of = f" of {gone[0].field}" if len(sides) > 1 else ""
            return Verdict(None, f"{CRITERIA}.{criterion.name} has no mark{of} that is one of its own")
    if sides[0].record is not None:
        scores |= _checked(judge, sides)
    means = [_mean(judge, scores, side) for side in sides]
    told = "\n".join(reasons) or None
    if judge.alone and judge.verdict is not None:
        low, high = min(judge.verdict.scale.values()), max(judge.verdict.scale.values())
        return Verdict(None, reason=told, scores=scores, score=low + (high - low) * means[0])
    first, second = means
    p = 0.5 if math.isclose(first, second, abs_tol=1e-9) else float(second > first)
    return Verdict(p, reason=told, scores=scores)


def _mean(judge: Judge, scores: Mapping[str, float], side: _Side) -> float:
    """The weighted mean of a side's marks, each from 0 to 1; of a reply alone without those of checks."""
    known = [c for c in judge.marks if c.weighed and c.name + side.end in scores]
    whole = math.fsum(c.weight for c in known)
    if not whole > 0:
        return 0.5
    return min(1.0, math.fsum(c.weight * c.unit(scores[c.name + side.end]) for c in known) / whole)


def _checked(judge: Judge, sides: list[_Side]) -> dict[str, float]:
    """The marks that programs give."""
    return {
        criterion.name + side.end: criterion.check.mark(side.output, side.record)
        for criterion in judge.marks
        if criterion.check is not None
        for side in sides
        if side.record is not None
    }


def _read(judge: Judge, reply: Mapping[str, Any], sides: list[_Side]) -> tuple[dict[str, float], list[str]]:
    """(the marks that can be read, by the names of their scores; the reasons given for them)."""
    entries = reply.get(CRITERIA)
    scores: dict[str, float] = {}
    reasons: list[str] = []
    for criterion in judge.marks:
        entry = entries.get(criterion.name) if criterion.asked and isinstance(entries, Mapping) else None
        if criterion.kind in ("checklist", "errors"):
            if isinstance(entry, list):
                reasons += _reasons(criterion, entry)
                listed = _met if criterion.kind == "checklist" else _errors
                scores |= dict(listed(criterion, entry, sides))
            continue
        if not isinstance(entry, Mapping):
            continue
        for side in sides if criterion.each else [_Side(ALONE, "")]:
            if (mark := _mark(criterion, entry.get(side.field))) is not None:
                scores[criterion.name + side.end] = mark
        if isinstance(entry.get(REASON), str) and entry[REASON].strip():
            reasons.append(f"{criterion.name}: {entry[REASON].strip()}")
    return scores, reasons


def _mark(criterion: Criterion, value: Any) -> float | None:
    """A mark as a number; None for what is none of the criterion's."""
    if criterion.kind == "levels":
        return float(criterion.words.index(value)) if value in criterion.words else None
    if criterion.kind == "anchors":
        try:
            number = math.nan if isinstance(value, bool) else float(value)
        except (TypeError, ValueError, OverflowError):
            return None
        return number if criterion.low <= number <= criterion.high and number == int(number) else None
    return float(value) if isinstance(value, bool) else None


def _reasons(criterion: Criterion, entry: list[Any]) -> Iterator[str]:
    """What was said on the items of a checklist."""
    for one in entry:
        if isinstance(one, Mapping) and isinstance(one.get(REASON), str) and one[REASON].strip():
            yield f"{criterion.name} {one.get(ITEM)}: {one[REASON].strip()}"


def _met(criterion: Criterion, entry: list[Any], sides: list[_Side]) -> Iterator[tuple[str, float]]:
    """The share of a checklist's items that each side meets, where every item has an answer."""
    answers = {item[ITEM]: item for item in entry if isinstance(item, Mapping) and isinstance(item.get(ITEM), int)}
    record = sides[0].record
    count = len(answers) if record is None else len(items_of(record.extra.get(criterion.column)))
    for side in sides:
        met = [answers.get(number, {}).get(side.field) for number in range(1, count + 1)]
        if met and all(isinstance(one, bool) for one in met):
            yield criterion.name + side.end, met.count(True) / count


def _errors(criterion: Criterion, entry: list[Any], sides: list[_Side]) -> Iterator[tuple[str, float]]:
    """Errors of each type per 1,000 characters of each output."""
    for side in sides:
        if side.record is None:
            continue
        spans = [one for one in entry if isinstance(one, Mapping)]
        own = [one for one in spans if len(sides) == 1 or one.get("answer") == side.field]
        for name, count in quoted(own, criterion.words, side.output).items():
            yield f"{FEWER}{name}{side.end}", density(count, side.output)
