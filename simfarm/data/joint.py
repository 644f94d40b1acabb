"""Joint comparisons: an answer to one instruction beside an answer to another. Is each better of its kind?

A row has `instruction_1` and `instruction_2`, each with its output; `instruction`, by which rows are told apart
everywhere, is made of both. The unit of independence is what hangs together through shared instructions
(`simfarm.data.identity`), so that who makes comparisons makes them within pairs of instructions: any other choice of
pairs hangs together as a whole, and no interval can be had of it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from simfarm.data.cells import stable_digest
from simfarm.data.records import Comparison, Output
from simfarm.errors import InputError
from simfarm.text.words import plural

__all__ = ["SIDES", "instructions_of", "is_joint", "joined", "joint_rows", "pair_jointly"]

Row = Mapping[str, Any]

SIDES = ("instruction_1", "instruction_2")
"""The columns of what each output answers."""

Group = dict[str, Output]
"""The outputs to one instruction (with one sample), by generator."""


def joined(one: str, other: str) -> str:
    """Two instructions as one text."""
    return f"1: {one.strip()}\n\n2: {other.strip()}"


def is_joint(comparison: Comparison) -> bool:
    """Whether the outputs answer two instructions."""
    return all(side in comparison.extra for side in SIDES)


def instructions_of(comparison: Comparison) -> tuple[str, str]:
    """What output_1 and output_2 answer: one and the same of a comparison that is not joint."""
    if not is_joint(comparison):
        return comparison.instruction, comparison.instruction
    return comparison.extra[SIDES[0]], comparison.extra[SIDES[1]]


def joint_rows(rows: Iterable[Row], source: str) -> Iterator[Row]:
    """The rows of a file, those of joint comparisons with an `instruction` made of both. Raises `InputError` naming the
    row where one of the two is missing."""
    for number, row in enumerate(rows, 1):
        if not any(row.get(side) is not None for side in SIDES):
            yield row
            continue
        for side in SIDES:
            if not isinstance(row.get(side), str) or not row[side].strip():
                raise InputError(
                    f"{source}: row {number} has no text in {side!r}; a joint comparison needs both instructions, fill "
                    "it in or drop the row"
                )
        yield {**row, "instruction": joined(row[SIDES[0]], row[SIDES[1]]), "messages": None}


def pair_jointly(
    outputs: Sequence[Output],
    baseline: str | None,
    *,
    allow_missing: bool = False,
    note: Callable[[str], None] | None = None,
) -> list[Comparison]:
    """Joint comparisons within pairs of instructions: of every two models (of the `baseline` and each other one, where
    one is named) the one's answer to the first instruction beside the other's to the second, and the other way round,
    so that what makes an instruction easy counts for both alike.

    Which instructions are a pair follows from a hash of their texts; of an odd number one is left out (`note` is told).
    Raises `InputError` for fewer than two models or instructions, and with counts where a model lacks an answer, unless
    `allow_missing`.
    """
    models = list(dict.fromkeys(output.generator for output in outputs))
    if len(models) < 2:
        raise InputError("joint comparisons are of two models or more; name another model's file too")
    groups: dict[tuple[str, int], Group] = {}
    for output in outputs:
        groups.setdefault((output.instruction.strip(), output.sample), {})[output.generator] = output
    if gaps := sum(len(models) - len(group) for group in groups.values()):
        if not allow_missing:
            raise InputError(
                f"{plural(gaps, 'output')} missing: not every model answers every instruction; mend the files or give "
                "--allow-missing to compare what there is"
            )
        if note is not None:
            note(f"{plural(gaps, 'output')} missing: what needs them is left out")
    asked = sorted({text for text, _ in groups}, key=lambda text: stable_digest("joint", text))
    if len(asked) < 2:
        raise InputError("joint comparisons need two instructions or more; add outputs to others")
    if len(asked) % 2 and note is not None:
        note("1 instruction has no other to be compared with, and is left out")
    pairs = [(baseline, model) for model in models if model != baseline] if baseline else combinations(models, 2)
    whom = [two for one, other in pairs for two in ((one, other), (other, one))]
    samples = sorted({sample for _, sample in groups})
    made = []
    for one, other in zip(asked[::2], asked[1::2], strict=False):
        for sample in samples:
            first, second = groups.get((one, sample), {}), groups.get((other, sample), {})
            made += [_compared(first[a], second[b]) for a, b in whom if a in first and b in second]
    return made


def _compared(one: Output, other: Output) -> Comparison:
    """Two models' outputs to two instructions."""
    extra: dict[str, Any] = {SIDES[0]: one.instruction, SIDES[1]: other.instruction}
    for side, output in (("1", one), ("2", other)):
        if output.instruction_id is not None:
            extra[f"instruction_id_{side}"] = output.instruction_id
    if one.sample:
        extra["sample"] = one.sample
    return Comparison(
        instruction=joined(one.instruction, other.instruction),
        output_1=one.output,
        output_2=other.output,
        generator_1=one.generator,
        generator_2=other.generator,
        dataset=one.dataset if one.dataset == other.dataset else None,
        extra=extra,
    )
