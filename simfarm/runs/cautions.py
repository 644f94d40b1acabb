"""What a user must know of outputs before the first call: that they are the judge's own family's, cut off, or empty;
how joint comparisons hang together."""

from __future__ import annotations

from collections.abc import Sequence

from simfarm.data.joint import instructions_of, is_joint
from simfarm.data.rated import Rated
from simfarm.data.records import Comparison
from simfarm.judges.family import model_family
from simfarm.text.words import plural

__all__ = ["joint_lines", "kin_lines", "odd_outputs"]

FEW_GROUPS = 10
"""Groups of joint comparisons below which an interval is wide, if there is one."""


def kin_lines(model: str, records: Sequence[Comparison]) -> list[str]:
    """A warning where a judge's model and some of those it judges are of one family."""
    family = model_family(model)
    names = {name for pair in records for name in (pair.generator_1, pair.generator_2)}
    kin = sorted(name for name in names if name and model_family(name) == family)
    if not (family and kin):
        return []
    return [
        f"warning: the judge and {', '.join(kin[:5])}{' …' if len(kin) > 5 else ''} are of one family "
        f"({family}); judges favour their own, so check with a judge of another family"
    ]


def odd_outputs(pairs: Sequence[Comparison]) -> list[str]:
    """Warnings of outputs that are cut off or empty."""
    texts = (
        ((pair.instruction, generator, text), pair.extra.get(f"finish_reason_{side}"))
        for pair in pairs
        for side, generator, text in (("1", pair.generator_1, pair.output_1), ("2", pair.generator_2, pair.output_2))
        if side == "1" or not isinstance(pair, Rated)
    )
    # an output counts once, however often it is compared; hashes, because the texts may be many
    odd = {
        (hash(about), reason == "length", not about[2].strip())
        for about, reason in texts
        if reason == "length" or not about[2].strip()
    }
    cut, empty = sum(c for _, c, _ in odd), sum(e for _, _, e in odd)
    lines = []
    if cut:
        lines.append(
            f"warning: {plural(cut, 'output was', 'outputs were')} cut off by the token limit (finish_reason length)"
        )
    if empty:
        lines.append(f"warning: {plural(empty, 'output is', 'outputs are')} empty, judged like any other")
    return lines


def joint_lines(records: Sequence[Comparison]) -> list[str]:
    """Of joint comparisons, how many groups there are without an instruction in common: what intervals count."""
    if not (records and is_joint(records[0])):
        return []
    leader: dict[int, int] = {}

    def leads(one: int) -> int:
        while leader.setdefault(one, one) != one:
            leader[one] = one = leader[leader[one]]
        return one

    for record in records:
        first, second = (leads(hash(text.strip())) for text in instructions_of(record))
        leader[first] = second
    groups = sum(one == of for one, of in leader.items())
    chained = "make comparisons within pairs of instructions, as simfarm does of outputs"
    remedy = chained if 2 * groups < len(leader) else "take more instructions"
    few = f"; few make wide intervals: {remedy}" if groups < FEW_GROUPS else ""
    return [
        f"{'warning: ' if few else ''}{plural(len(leader), 'instruction')} in {plural(groups, 'group')} that have none "
        f"in common, which is what intervals count{few}"
    ]
