"""All outputs to an instruction beside each other: what a judge that orders them at once is asked about.

Nobody is the baseline; every pair of models that answered an instruction is a comparison, the one named first as
output_1.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Sequence
from itertools import combinations

from simfarm.data.pairing import compared
from simfarm.data.records import Comparison, Output
from simfarm.data.spool import spooled
from simfarm.errors import InputError
from simfarm.settings import spelled
from simfarm.text.words import plural

__all__ = ["pair_all"]


def pair_all(
    outputs: Sequence[Output], *, allow_missing: bool = False, note: Callable[[str], None] | None = None
) -> Sequence[Comparison]:
    """The comparisons of every two models' outputs to one instruction (of one dataset, where all name one; with one
    sample), instruction by instruction, models in the order of the files.

    Raises `InputError` with counts where a model lacks an instruction that others answered, unless `allow_missing`
    (`note` is told the counts then); always for one model, and where no two answered the same.
    """
    models = list(dict.fromkeys(output.generator for output in outputs))
    if len(models) < 2:
        raise InputError(
            f"all outputs are by {models[0] if models else 'nobody'}, and there is nothing to order them against; name "
            f"another model's file too, or compare one model's samples with {spelled('pair', 'all')}"
        )
    named = all(output.dataset is not None for output in outputs)
    rank = {model: place for place, model in enumerate(models)}
    groups: dict[int, array[int]] = {}
    for place, output in enumerate(outputs):
        key = hash((output.instruction.strip(), output.dataset if named else None, output.sample))
        groups.setdefault(key, array("q")).append(place)
    several = [group for group in groups.values() if len(group) > 1]
    if not several:
        raise InputError(
            "no two models answer the same instruction; the instructions must be the same text in all files"
        )
    gaps = sum(len(models) - len(group) for group in groups.values())
    if gaps and not allow_missing:
        raise InputError(
            f"{plural(gaps, 'output')} missing: {plural(len(models), 'model')} on "
            f"{plural(len(groups), 'instruction')}, not all answered by all; mend the files or give --allow-missing "
            "to order what there is"
        )
    if gaps and note is not None:
        lonely = len(groups) - len(several)
        note(f"{plural(gaps, 'output')} missing; left out: {plural(lonely, 'output')} to which there is no other")
    return spooled(_pairs(outputs, several, rank))


def _pairs(outputs: Sequence[Output], groups: Sequence[array[int]], rank: dict[str, int]) -> Iterator[Comparison]:
    for group in groups:
        own = sorted((outputs[place] for place in group), key=lambda output: rank[output.generator])
        for one, other in combinations(own, 2):
            yield compared(one, other)
