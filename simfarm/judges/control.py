"""Judges that follow a rule and call no model: controls, and the embedded `surface` judge.

A judge that does not beat `longest` has shown nothing; `first` is what pure position bias looks like in every table;
`random` is what no information looks like.
"""

from __future__ import annotations

from simfarm.judges.orders import stable_bit
from simfarm.judges.spec import Judge
from simfarm.judges.verdict import Verdict
from simfarm.records import Comparison

__all__ = ["decide"]


def decide(judge: Judge, comparison: Comparison, order: str) -> Verdict:
    """The rule's verdict on the presented pair, always the same for the same pair and order.

    `longest` counts characters, equal is a tie; `first` prefers what was shown first; `random` tosses a stable coin
    for the comparison, so it names the same output in both orders; `surface` asks `simfarm.judges.surface`.
    """
    shown = (comparison.output_1, comparison.output_2)
    first, second = shown if order == "12" else shown[::-1]
    match judge.rule:
        case "longest":
            return Verdict(0.5 + 0.5 * ((len(second) > len(first)) - (len(second) < len(first))))
        case "first":
            return Verdict(0.0)
        case "random":
            return Verdict(float(stable_bit("random judge", comparison) == (order == "12")))
        case "surface":
            from simfarm.judges.surface import prefer

            return Verdict(prefer(comparison.instruction, first, second))
    raise ValueError(f"judge {judge.name} follows no rule: its verdicts come from a model")
