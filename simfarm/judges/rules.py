"""Judges that follow a rule and call no model: controls, and the embedded `surface` judge.

A judge that does not beat `longest` has shown nothing; `first` is what pure position bias looks like in every table;
`random` is what no information looks like.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

from simfarm.data.records import Comparison
from simfarm.judges.orders import ORDERS, stable_bit
from simfarm.judges.spec import RULES, Judge
from simfarm.judges.verdict import Verdict

__all__ = ["banner", "banners", "decide", "introduction", "rule_of"]


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

            return Verdict(prefer(comparison.instruction, first, second, judge.weights))
    raise ValueError(f"judge {judge.name} follows no rule: its verdicts come from a model")


def introduction(judge: Judge) -> str | None:
    """What a judge that is a rule says of itself before it judges; None for one that asks a model."""
    if judge.weights is not None:
        return (
            f"judge: {judge.name} (fitted weights of surface features, reads no meaning): one person's taste or most "
            "people's, not a judge of quality"
        )
    return judge.rule and banner(judge.rule)


def banner(rule: str) -> str:
    """One line for everything a rule has judged: that it reads no meaning, and what it is for."""
    if rule == "surface":
        from simfarm.judges import surface

        return surface.banner()
    return f"judge: {rule} (a rule, reads no meaning): a control to measure judges against, not a judge of quality"


def banners(annotator: str, judge_hashes: Iterable[str]) -> list[str]:
    """The banner of each rule among the judges of verdicts; none where models or people judged."""
    rules = {rule_of(annotator, judge_hash) for judge_hash in judge_hashes}
    return [banner(rule) for rule in sorted(rule for rule in rules if rule is not None)]


def rule_of(annotator: str, judge_hash: str) -> str | None:
    """The rule behind verdicts, None where a model (or a person) gave them.

    The hash says what a judge is, whatever it is called; verdicts without one are known by the name alone.
    """
    if judge_hash in ("", "unknown"):
        return annotator if annotator in RULES else None
    return _hashes().get(judge_hash)


@cache
def _hashes() -> dict[str, str]:
    """Judge hash -> rule, for every rule in every order."""
    return {
        Judge(name=rule, description="", path=Path(), rule=rule, order=order).hash: rule
        for rule in RULES
        for order in ORDERS
    }
