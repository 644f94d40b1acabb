"""The verdicts on several pairs in one reply: each by its number, so that one that cannot be read loses no other.

AlpacaFarm asked about up to five comparisons at once, which is cheaper: what the judge is told is read once. A reply of
labels has a line for each pair, its number first; a reply in JSON a list with an entry for each.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from simfarm.data.exchange import Completion
from simfarm.judges.parsers import REFUSALS, VerdictSpec, last_object, parse_label, verdict_of
from simfarm.judges.verdict import Verdict
from simfarm.text.words import named

__all__ = ["NUMBER", "VERDICTS", "lacking", "parse_several", "several_schema"]

VERDICTS, NUMBER = "verdicts", "number"
"""The fields of a JSON reply: the list, and which pair an entry is about."""

_LINE = re.compile(r"^\W*(?:[A-Za-z]+\W+)?(\d{1,3})\b")
"""A line about a pair: its number, perhaps marked up and after a word (**Comparison 3:**)."""


def parse_several(completion: Completion, spec: VerdictSpec, count: int) -> list[Verdict]:
    """The verdict on each of `count` pairs, by number; of two on one pair the last. A line that the token limit may
    have cut off holds none."""
    if completion.finish_reason in REFUSALS:
        return [Verdict(None, "refused")] * count
    if count == 1 and spec.parser == "label":
        return [parse_label(completion, spec)]
    found = dict(_labelled(completion, spec) if spec.parser == "label" else _listed(completion, spec))
    problem = "cut off by the token limit" if completion.finish_reason == "length" else "the reply has no verdict on it"
    return [found.get(number, Verdict(None, problem)) for number in range(1, count + 1)]


def lacking(verdicts: Sequence[Verdict]) -> str:
    """What is wrong with a reply as a whole, the same for every pair that it gives no verdict on; empty if nothing."""
    missing = [str(number) for number, verdict in enumerate(verdicts, 1) if not verdict.found]
    if not missing:
        return ""
    if len(verdicts) == 1:
        return verdicts[0].problem or "no verdict"
    return f"it holds no verdict on number {named(missing, len(missing))}"


def several_schema(spec: VerdictSpec) -> Mapping[str, Any]:
    """The JSON schema of a reply about several pairs."""
    entry = spec.schema
    numbered = {NUMBER: {"type": "integer"}, **entry["properties"]}
    item = {**entry, "properties": numbered, "required": [NUMBER, *entry["required"]]}
    return {
        "type": "object",
        "properties": {VERDICTS: {"type": "array", "items": item}},
        "required": [VERDICTS],
        "additionalProperties": False,
    }


def _labelled(completion: Completion, spec: VerdictSpec) -> Iterator[tuple[int, Verdict]]:
    lines = completion.text.split("\n")
    if completion.finish_reason == "length":
        lines.pop()
    for line in lines:
        number, labels = _LINE.match(line), list(spec.pattern.finditer(line))
        if number and labels:
            yield int(number[1]), verdict_of(spec, labels[-1][1], None)


def _listed(completion: Completion, spec: VerdictSpec) -> Iterator[tuple[int, Verdict]]:
    reply = None if completion.finish_reason == "length" else last_object(completion.text)
    entries = (reply or {}).get(VERDICTS)
    for entry in entries if isinstance(entries, list) else []:
        if not isinstance(entry, Mapping):
            continue
        number, winner, reason = (entry.get(name) for name in (NUMBER, spec.winner, spec.reason))
        if isinstance(number, int) and isinstance(winner, str) and winner in spec.labels:
            yield number, verdict_of(spec, winner, reason if isinstance(reason, str) else None)
