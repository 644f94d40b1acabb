"""Samples of one model compared with each other: the pairs that preferences are collected on for training.

Which of two stands first follows from a hash of both, so that neither the better one nor the earlier one has a place of
its own.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import combinations

from simfarm.data.cells import stable_digest
from simfarm.data.pairing import compared
from simfarm.data.records import Comparison, Output
from simfarm.errors import InputError
from simfarm.settings import spelled

__all__ = ["pair_samples"]


def pair_samples(outputs: Sequence[Output], how: str, score: str | None = None) -> Iterator[Comparison]:
    """The comparisons among each model's samples to each instruction, in input order: two of them at `random` (by a
    stable hash), the one with the highest `score` and the one with the lowest (`best-worst`), or `all` pairs.

    A row says which samples they are (`sample_1`, `sample_2`). Raises `InputError` where no instruction has two, and
    for a score that is missing.
    """
    groups: dict[tuple[str, str | None, str], list[Output]] = {}
    for output in outputs:
        groups.setdefault((output.instruction.strip(), output.dataset, output.generator), []).append(output)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        raise InputError(
            f"no instruction has two samples by one model, which {spelled('pair', how)} compares; make some with "
            "simfarm generate --n 4"
        )
    if how == "best-worst" and score is None:
        raise InputError(
            f"{spelled('pair', 'best-worst')} needs a score of each sample: name the column that holds it with "
            f"{spelled('score', 'COLUMN')}, or take {spelled('pair', 'random')}"
        )
    return (_turned(*two) for group in several for two in _pairs(group, how, score or ""))


def _pairs(group: Sequence[Output], how: str, score: str) -> Iterator[tuple[Output, Output]]:
    """The pairs of one model's samples to one instruction."""
    if how == "all":
        yield from combinations(group, 2)
    elif how == "random":
        first, second = sorted(group, key=lambda output: _hash("pair", output))[:2]
        yield first, second
    else:
        # equal scores: by the hash, not by who was sampled first
        ordered = sorted(group, key=lambda output: (_score(output, score), _hash("tie", output)))
        yield ordered[-1], ordered[0]


def _score(output: Output, column: str) -> float:
    value = output.extra.get(column)
    try:
        number = math.nan if value is None or isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number):
        what = "no value" if value is None else repr(value)[:40]
        raise InputError(
            f"sample {output.sample} by {output.generator!r} to {output.instruction[:40]!r} has {what} in {column!r}; "
            "a score must be a finite number, fill it in or drop the row"
        )
    return number


def _hash(purpose: str, output: Output) -> bytes:
    return stable_digest(purpose, output.instruction, output.generator, output.sample, output.output)


def _turned(one: Output, other: Output) -> Comparison:
    first, second = (one, other) if _hash("place", one) < _hash("place", other) else (other, one)
    made = compared(first, second)
    samples = {"sample_1": first.sample, "sample_2": second.sample}
    return replace(made, extra={k: v for k, v in made.extra.items() if k != "sample"} | samples)
