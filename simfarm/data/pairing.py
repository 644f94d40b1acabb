"""Outputs into comparisons: every model's outputs beside the baseline's, joined on the instruction.

The join is on the stripped instruction text (with the dataset where both sides name one), not on row position or on
`instruction_id`: two files made by different tools number their rows differently, and a wrong join is a silent wrong
leaderboard.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from simfarm.data.records import ANNOTATION_COLUMNS, GENERATION_COLUMNS, Comparison, Output
from simfarm.data.spool import spooled
from simfarm.errors import InputError
from simfarm.text.words import plural

__all__ = ["compared", "pair_with_baseline", "split_baseline"]


def split_baseline(outputs: Iterable[Output], name: str) -> tuple[Sequence[Output], Sequence[Output]]:
    """(the baseline's outputs, everybody else's); raises `InputError` when no output is by `name`."""
    everything = spooled(outputs)
    baseline = spooled(o for o in everything if o.generator == name)
    if not baseline:
        names = sorted({o.generator for o in everything})
        raise InputError(
            f"--baseline {name}: neither a file nor a generator in the files; they hold {', '.join(names[:8])}"
        )
    return baseline, spooled(o for o in everything if o.generator != name)


def pair_with_baseline(
    outputs: Sequence[Output],
    baseline: Sequence[Output],
    *,
    allow_missing: bool = False,
    note: Callable[[str], None] | None = None,
) -> Sequence[Comparison]:
    """Comparisons with the baseline as output_1, in the order of `outputs`.

    A sample s of a model meets the baseline's sample s, or its first where it has none such. Raises `InputError` with
    counts when instructions stand on one side only, unless `allow_missing` (`note` is told the counts then); always
    when nothing matches, when the baseline holds several generators, or when a model is the baseline itself.
    """
    name = _one_generator(outputs, baseline)
    # instructions by their hashes, outputs by their places: neither texts nor records are held
    by_key: dict[int, dict[int, int]] = {}
    keys = array("q")
    for place, output in enumerate(baseline):
        keys.append(_key(output, output.dataset))
        by_key.setdefault(keys[-1], {})[output.sample] = place
        by_key.setdefault(_key(output, None), {}).setdefault(output.sample, place)
    datasets = {o.dataset for o in baseline}
    partners = array("q")
    answered: dict[str, set[int]] = {}
    for output in outputs:
        # a dataset that the baseline never names is another word for the same questions
        samples = by_key.get(_key(output, output.dataset if output.dataset in datasets else None))
        partner = samples.get(output.sample, samples[min(samples)]) if samples else -1
        partners.append(partner)
        of_model = answered.setdefault(output.generator, set())
        if partner >= 0:
            of_model.add(keys[partner])
    matched = sum(partner >= 0 for partner in partners)
    if not matched:
        raise InputError(
            f"none of the outputs answers an instruction of the baseline {name!r}; "
            f"the instructions must be the same text in both files"
        )
    wanted = set(keys)
    gaps = sum(len(wanted - of_model) for of_model in answered.values())
    _weigh_gaps(matched, len(partners) - matched, gaps, note, allow_missing)
    return spooled(
        compared(baseline[partner], output) for output, partner in zip(outputs, partners, strict=True) if partner >= 0
    )


def _one_generator(outputs: Sequence[Output], baseline: Sequence[Output]) -> str:
    """The baseline's one generator, which is none of the outputs'; raises `InputError`."""
    names = sorted({o.generator for o in baseline})
    if len(names) != 1:
        raise InputError(f"the baseline file holds {len(names)} generators ({', '.join(names[:5])}); it must hold one")
    if not outputs:
        raise InputError(f"there are no outputs but the baseline's ({names[0]}); name another model's output file")
    if any(o.generator == names[0] for o in outputs):
        raise InputError(
            f"{names[0]!r} is the baseline's generator and also that of an output file; give each model its own name"
        )
    return names[0]


def _weigh_gaps(matched: int, lonely: int, gaps: int, note: Callable[[str], None] | None, allow_missing: bool) -> None:
    """Tell of outputs without a partner (`lonely`) and of the baseline's without an answer (`gaps`), or refuse them."""
    if not (lonely or gaps):
        return
    without = plural(gaps, "baseline output")
    if not allow_missing:
        raise InputError(
            f"{plural(matched, 'output')} with a baseline output, {plural(lonely, 'output')} without one, "
            f"{without} without an answer; mend the files or give "
            "--allow-missing to compare the rest"
        )
    if note is not None:
        note(f"left out: {plural(lonely, 'output')} without a baseline output, {without} without an answer")


def _key(output: Output, dataset: str | None) -> int:
    return hash((output.instruction.strip(), dataset))


_RESERVED = {*ANNOTATION_COLUMNS, *GENERATION_COLUMNS}
"""Columns of an output whose name means something else in an annotation: they go in with their side's number."""


_LEFT_OUT = {"engine", "sampling", "system", "thinking"}
"""Columns of an output that stay in its own file: how it was made would be repeated in every row it is judged in."""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def compared(baseline: Output, output: Output) -> Comparison:
    """Two outputs to one instruction, the baseline's first, with what is known of both.

    What both say of the instruction (a category, a reference, a checklist) is taken from the output, and from the
    baseline where the output says nothing.
    """
    extra: dict[str, Any] = {k: v for k, v in output.extra.items() if k not in _RESERVED and k not in _LEFT_OUT}
    for name in [k for k in extra if _is_number(extra[k]) and _is_number(baseline.extra.get(k))]:
        # what was measured of both is a covariate
        extra |= {f"{name}_1": baseline.extra[name], f"{name}_2": extra[name]}
    for side, record in (("1", baseline), ("2", output)):
        extra |= {f"{k}_{side}": v for k, v in record.extra.items() if k in _RESERVED - _LEFT_OUT and v is not None}
    if output.sample:
        extra["sample"] = output.sample
    for name, value in baseline.extra.items():
        own = name == "category" or not (name in _RESERVED | _LEFT_OUT or _is_number(value))
        if own and extra.get(name) is None:
            extra[name] = value
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
