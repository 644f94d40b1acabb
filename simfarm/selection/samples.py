"""Choosing one of n samples: groups of samples, scores that cost nothing, the choice, and the chosen row.

Every method is a score for each sample, and the choice is the same for all: the highest score wins, a tie falls by a
stable hash (the lowest sample number would favour the first), a sample without a score is never chosen. Scores that a
judge or a model gives are in `rivals` and `likelihood`.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from simfarm.data.cells import stable_digest
from simfarm.data.files import Row
from simfarm.data.rated import RATING_COLUMNS
from simfarm.data.records import Output
from simfarm.errors import InputError
from simfarm.text.words import plural

__all__ = [
    "Cost",
    "Manner",
    "Scores",
    "choose",
    "chosen_rows",
    "closing_lines",
    "column_scores",
    "first_instructions",
    "length_scores",
    "random_scores",
    "sample_groups",
    "selected_names",
    "size_notes",
    "stable_number",
    "total_cost",
]

_OUTPUTS_OWN = {"instruction", "instruction_id", "dataset", "messages", "output", "generator", "sample", "score"}
"""Of the columns of a rating those that an output has without a judge, and the score that it was chosen by."""


@dataclass(slots=True)
class Cost:
    """What scoring took, whoever paid for it and when: completed calls (repairs and earlier attempts too), and tokens,
    None where a provider gave none."""

    calls: int = 0
    input_tokens: int | None = 0
    output_tokens: int | None = 0

    def add(self, calls: int, input_tokens: int | None, output_tokens: int | None) -> None:
        self.calls += calls
        for name, more in (("input_tokens", input_tokens), ("output_tokens", output_tokens)):
            known = getattr(self, name)
            setattr(self, name, None if known is None or more is None else known + more)


def total_cost(costs: Iterable[Cost]) -> Cost:
    """The sum of all costs."""
    total = Cost()
    for cost in costs:
        total.add(cost.calls, cost.input_tokens, cost.output_tokens)
    return total


@dataclass(frozen=True, slots=True)
class Scores:
    """`values[i]` is the score of output i (higher is better), NaN where it has none or belongs to no group;
    `costs[g]` is what scoring the samples of group g took; `verdicts[i]` how many comparisons with a verdict stand
    behind a score by a judge."""

    values: list[float]
    costs: list[Cost]
    verdicts: list[int] | None = None


@dataclass(frozen=True, slots=True)
class Manner:
    """How samples were chosen: in a generator's `name` (after "best-of-16"), so that two choices from one file are two
    generators; in words (`method`); and in `columns` of the chosen rows."""

    name: str
    method: str
    columns: Row = field(default_factory=dict)


def sample_groups(
    outputs: Sequence[Output], n: int | None = None, *, leave_out: str | None = None
) -> list[tuple[int, ...]]:
    """Positions of the samples of each (instruction, dataset, generator), by sample number, groups in input order.

    `n` keeps the first n samples of each; `leave_out` names a generator that is not chosen from (a baseline). Raises
    `InputError` where no group has two samples.
    """
    by_question: dict[tuple[str, str | None, str], list[int]] = {}
    for position, output in enumerate(outputs):
        if output.generator == leave_out:
            continue
        by_question.setdefault((output.instruction.strip(), output.dataset, output.generator), []).append(position)
    groups = [tuple(sorted(rows, key=lambda i: outputs[i].sample)[:n]) for rows in by_question.values()]
    if all(len(group) < 2 for group in groups):
        raise InputError("no instruction has two samples to choose from; make some with simfarm generate --n 16")
    return groups


def first_instructions(
    groups: Sequence[Sequence[int]], outputs: Sequence[Output], limit: int | None
) -> list[Sequence[int]]:
    """The groups of the first `limit` instructions; of all where it is None."""
    texts = [outputs[group[0]].instruction.strip() for group in groups]
    wanted = set(list(dict.fromkeys(texts))[:limit])
    return [group for group, text in zip(groups, texts, strict=True) if text in wanted]


def size_notes(outputs: Sequence[Output], groups: Sequence[Sequence[int]], n: int | None = None) -> list[str]:
    """Which generators have fewer samples to some instructions than to others, or than `n`, in words."""
    sizes: dict[str, list[int]] = {}
    for group in groups:
        sizes.setdefault(outputs[group[0]].generator, []).append(len(group))
    notes = []
    for name, counts in sizes.items():
        wanted = n or max(counts)
        fewer = [count for count in counts if count < wanted]
        if fewer:
            notes.append(
                f"warning: {len(fewer)} of {plural(len(counts), 'instruction')} with fewer than "
                f"{plural(wanted, 'sample')} by {name} (the fewest: {min(fewer)}); choosing among "
                "fewer is another method"
            )
    return notes


def stable_number(*parts: Any) -> float:
    """A number in [0, 1) that follows from its parts alone (SHA-256), the same on every machine."""
    return (int.from_bytes(stable_digest(*parts)[:8]) >> 11) / 2**53


def _identity(output: Output) -> tuple[Any, ...]:
    return output.instruction.strip(), output.dataset, output.generator, output.sample


def _at_no_cost(values: list[float], groups: Sequence[Sequence[int]]) -> Scores:
    return Scores(values, [Cost() for _ in groups])


def length_scores(outputs: Sequence[Output], groups: Sequence[Sequence[int]]) -> Scores:
    """Characters: the control that a judge with a taste for length cannot be told from."""
    return _at_no_cost([float(len(output.output)) for output in outputs], groups)


def random_scores(outputs: Sequence[Output], groups: Sequence[Sequence[int]], seed: int = 0) -> Scores:
    """Uniform numbers in [0, 1) that follow from the seed and the sample: the control that choosing must beat."""
    return _at_no_cost([stable_number("random sample", seed, *_identity(output)) for output in outputs], groups)


def column_scores(
    rows: Sequence[Row], outputs: Sequence[Output], groups: Sequence[Sequence[int]], column: str, source: str
) -> Scores:
    """The numbers in a column of the file. Raises `InputError` naming the row of one that is none."""
    values = [math.nan] * len(outputs)
    for position in sorted(row for group in groups for row in group):
        value = rows[position].get(column)
        if column not in rows[position] and not any(column in row for row in rows):
            raise InputError(f"{source}: has no column {column!r}; it has {', '.join(sorted(rows[0])[:12])}")
        try:
            # Python's own notation, in which 1_0 is ten, is nobody's score
            number = math.nan if value is None or "_" in str(value) else float(value)
        except (TypeError, ValueError, OverflowError):
            number = math.nan
        if not math.isfinite(number):
            what = "no value" if value is None else repr(value)[:40]
            raise InputError(
                f"{source}: row {position + 1} has {what} in {column!r}; a score must be a finite number, "
                "fill it in or drop the row"
            )
        values[position] = number
    return _at_no_cost(values, groups)


def choose(scores: Scores, outputs: Sequence[Output], groups: Sequence[Sequence[int]]) -> list[int | None]:
    """For each group the position of its best sample, None where no sample has a score."""

    def best(group: Iterable[int]) -> int | None:
        scored = [row for row in group if not math.isnan(scores.values[row])]
        return max(scored, key=lambda i: (scores.values[i], stable_number("tie", *_identity(outputs[i]))), default=None)

    return [best(group) for group in groups]


def selected_names(
    outputs: Sequence[Output], groups: Sequence[Sequence[int]], stem: str, manner: Manner, name: str | None = None
) -> list[str]:
    """Each group's generator after the choice: `name`, or its own with the method, the most samples and the manner."""
    most: dict[str, int] = {}
    for group in groups:
        own = outputs[group[0]].generator
        most[own] = max(most.get(own, 0), len(group))
    names = {own: name or f"{own} {stem}-of-{count} {manner.name}".rstrip() for own, count in most.items()}
    return [names[outputs[group[0]].generator] for group in groups]


def _as_output(row: Row) -> Row:
    """A row without what a judge that rated it has added, but the score: a board of the scores that samples were chosen
    by would show how lucky they were."""
    if "annotator" not in row:
        return row
    return {name: value for name, value in row.items() if name in _OUTPUTS_OWN or name not in RATING_COLUMNS}


def chosen_rows(
    rows: Sequence[Row],
    groups: Sequence[Sequence[int]],
    chosen: Sequence[int | None],
    scores: Scores,
    *,
    names: Sequence[str],
    manner: Manner,
) -> Iterator[Row]:
    """The chosen samples as outputs of the generators `names`, with what each choice rests on: `selected_sample`, the
    method, among how many samples (`selection_n`) of which so many had a score (`selection_scored`), its score, the
    comparisons behind that (`selection_verdicts`), and the cost."""
    for group, position, name, cost in zip(groups, chosen, names, scores.costs, strict=True):
        if position is None:
            continue
        verdicts = {} if scores.verdicts is None else {"selection_verdicts": scores.verdicts[position]}
        yield {
            **_as_output(rows[position]),
            "generator": name,
            "sample": 0,
            "selected_sample": int(rows[position].get("sample") or 0),
            "selection_method": manner.method,
            **manner.columns,
            "selection_n": len(group),
            "selection_scored": sum(not math.isnan(scores.values[i]) for i in group),
            "selection_score": scores.values[position],
            **verdicts,
            "selection_calls": cost.calls,
            "selection_input_tokens": cost.input_tokens,
            "selection_output_tokens": cost.output_tokens,
        }


def closing_lines(
    scores: Scores, outputs: Sequence[Output], groups: Sequence[Sequence[int]], chosen: Sequence[int | None]
) -> list[str]:
    """What was chosen, what has no score and what choosing took, for stderr."""
    generators = {outputs[group[0]].generator for group in groups}
    unit = "instruction" if len(generators) == 1 else "instruction and generator"
    left_out = sum(position is None for position in chosen)
    unscored = sum(math.isnan(scores.values[row]) for group in groups for row in group)
    lines = [f"chose {len(groups) - left_out} of {plural(sum(map(len, groups)), 'sample')}"]
    if unscored:
        lines.append(f"warning: {plural(unscored, 'sample has', 'samples have')} no score and cannot be chosen")
    if left_out:
        pair = ("pair of instruction and generator", "pairs of instruction and generator")
        what = plural(left_out, *(("instruction",) if len(generators) == 1 else pair))
        lines.append(f"warning: left out {what}, none of whose samples has a score")
    cost = total_cost(scores.costs)

    def amount(count: int | None) -> str:
        return "unknown" if count is None else f"{count:,} ({count / len(groups):,.1f} an {unit})"

    if cost.calls:
        lines.append(
            f"cost of choosing: calls {amount(cost.calls)}, input tokens {amount(cost.input_tokens)}, "
            f"output tokens {amount(cost.output_tokens)}"
        )
    else:
        lines.append("cost of choosing: no call")
    return lines
