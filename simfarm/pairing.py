"""Outputs into comparisons: every model's outputs beside the baseline's, joined on the instruction.

The join is on the stripped instruction text (with the dataset where both sides name one), not on row position or on
`instruction_id`: two files made by different tools number their rows differently, and a wrong join is a silent wrong
leaderboard.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from simfarm.errors import InputError
from simfarm.records import ANNOTATION_COLUMNS, GENERATION_COLUMNS, Comparison, Output
from simfarm.words import plural

__all__ = ["pair_with_baseline", "split_baseline"]


def _key(output: Output) -> tuple[str, str | None]:
    return output.instruction.strip(), output.dataset


def split_baseline(outputs: Iterable[Output], name: str) -> tuple[list[Output], list[Output]]:
    """(the baseline's outputs, everybody else's); raises `InputError` when no output is by `name`."""
    everything = list(outputs)
    baseline = [o for o in everything if o.generator == name]
    if not baseline:
        names = sorted({o.generator for o in everything})
        raise InputError(
            f"--baseline {name}: neither a file nor a generator in the files; they hold {', '.join(names[:8])}"
        )
    return baseline, [o for o in everything if o.generator != name]


def pair_with_baseline(
    outputs: Sequence[Output],
    baseline: Sequence[Output],
    *,
    allow_missing: bool = False,
    note: Callable[[str], None] | None = None,
) -> list[Comparison]:
    """Comparisons with the baseline as output_1, in the order of `outputs`.

    A sample s of a model meets the baseline's sample s, or its first where it has none such. Raises `InputError` with
    counts when instructions stand on one side only, unless `allow_missing` (`note` is told the counts then); always
    when nothing matches, when the baseline holds several generators, or when a model is the baseline itself.
    """
    names = sorted({o.generator for o in baseline})
    if len(names) != 1:
        raise InputError(f"the baseline file holds {len(names)} generators ({', '.join(names[:5])}); it must hold one")
    if not outputs:
        raise InputError(f"there are no outputs but the baseline's ({names[0]}); name another model's output file")
    if any(o.generator == names[0] for o in outputs):
        raise InputError(
            f"{names[0]!r} is the baseline's generator and also that of an output file; give each model its own name"
        )
    by_key: dict[tuple[str, str | None], dict[int, Output]] = {}
    for output in baseline:
        by_key.setdefault(_key(output), {})[output.sample] = output
        by_key.setdefault((output.instruction.strip(), None), {}).setdefault(output.sample, output)
    datasets = {o.dataset for o in baseline}

    def partner(output: Output) -> Output | None:
        text, dataset = _key(output)
        # a dataset that the baseline never names is another word for the same questions
        samples = by_key.get((text, dataset if dataset in datasets else None))
        return (samples.get(output.sample) or samples[min(samples)]) if samples else None

    pairs = [(output, partner(output)) for output in outputs]
    matched = [(output, found) for output, found in pairs if found is not None]
    lonely = len(pairs) - len(matched)
    wanted = {_key(o) for o in baseline}
    gaps = 0
    for name in dict.fromkeys(o.generator for o in outputs):
        answered = {_key(found) for output, found in matched if output.generator == name}
        gaps += len(wanted - answered)
    if not matched:
        raise InputError(
            f"none of the outputs answers an instruction of the baseline {names[0]!r}; "
            f"the instructions must be the same text in both files"
        )
    if (lonely or gaps) and allow_missing and note is not None:
        note(
            f"left out: {plural(lonely, 'output')} without a baseline output, "
            f"{plural(gaps, 'baseline output')} without an answer"
        )
    if (lonely or gaps) and not allow_missing:
        raise InputError(
            f"{plural(len(matched), 'output')} with a baseline output, {plural(lonely, 'output')} without one, "
            f"{plural(gaps, 'baseline output')} without an answer; mend the files or give "
            "--allow-missing to compare the rest"
        )
    return [_compare(found, output) for output, found in matched]


_RESERVED = {*ANNOTATION_COLUMNS, *GENERATION_COLUMNS}
"""Columns of an output whose name means something else in an annotation: they go in with their side's number."""


_LEFT_OUT = {"engine", "sampling", "system", "thinking"}
"""Columns of an output that stay in its own file: how it was made would be repeated in every row it is judged in."""


def _compare(baseline: Output, output: Output) -> Comparison:
    extra: dict[str, Any] = {k: v for k, v in output.extra.items() if k not in _RESERVED and k not in _LEFT_OUT}
    for side, record in (("1", baseline), ("2", output)):
        extra |= {f"{k}_{side}": v for k, v in record.extra.items() if k in _RESERVED - _LEFT_OUT and v is not None}
    if output.sample:
        extra["sample"] = output.sample
    if "category" in baseline.extra:
        extra.setdefault("category", baseline.extra["category"])
    return Comparison(
        instruction=baseline.instruction,
        output_1=baseline.output,
        output_2=output.output,
        generator_1=baseline.generator,
        generator_2=output.generator,
        instruction_id=baseline.instruction_id if baseline.instruction_id is not None else output.instruction_id,
        dataset=baseline.dataset or output.dataset,
        messages=baseline.messages,
        extra=extra,
    )
