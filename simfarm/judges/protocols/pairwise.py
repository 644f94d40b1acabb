"""The pairwise protocol: which of two outputs is better? Pure functions between a comparison and a verdict.

`messages` and `parse` know the pair only as it was presented; `preference` turns a verdict on the presented pair into
the number that files hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from simfarm.data.decision import Decision
from simfarm.data.exchange import Completion, Message
from simfarm.data.records import Comparison
from simfarm.judges.decisions import SHOWN, parse_decision
from simfarm.judges.orders import orders
from simfarm.judges.parsers import parse_json, parse_label, parse_token_logprobs
from simfarm.judges.spec import Judge
from simfarm.judges.verdict import Verdict

__all__ = ["calls", "messages", "parse", "preference", "scores"]


def calls(judge: Judge, comparison: Comparison, repeats: int) -> Iterator[tuple[str | None, int]]:
    """(order, repeat) of every question about a pair, repeat by repeat. Identical outputs are a tie without one."""
    if comparison.output_1 == comparison.output_2:
        yield None, 0
        return
    shown = orders(judge.order, comparison)
    for repeat in range(repeats):
        for order in shown:
            yield order, repeat


def messages(judge: Judge, comparison: Comparison, order: str) -> tuple[Message, ...]:
    """What the judge is sent for one comparison in one order ("12" or "21"): an optional system and a user message."""
    return judge.compiled.render(comparison, order, judge.criteria)


def parse(judge: Judge, answer: Completion | Decision) -> Verdict:
    """The verdict in an answer, on the presented pair; `p_second` None where there is none."""
    spec = judge.verdict
    if spec is None:
        raise ValueError(f"judge {judge.name} follows a rule: it has no answers to parse")
    if isinstance(answer, Decision):
        return parse_decision(answer, judge.questions, spec)
    match spec.parser:
        case "token_logprobs":
            return parse_token_logprobs(answer, spec)
        case "label":
            return parse_label(answer, spec)
        case "json":
            return parse_json(answer, spec)
    raise ValueError(f"unknown parser {spec.parser!r}")


def preference(verdict: Verdict, order: str | None) -> float | None:
    """The file's preference (1.0 output_1 … 2.0 output_2) for a verdict on the pair presented in `order`; None for
    none."""
    if verdict.p_second is None:
        return None
    return 2.0 - verdict.p_second if order == "21" else 1.0 + verdict.p_second


def scores(verdict: Verdict, order: str | None) -> Mapping[str, float] | None:
    """The scores of a verdict by the output they are of: NAME_first is NAME_1 where output_1 was shown first."""
    if verdict.scores is None:
        return None
    sides = dict(zip(SHOWN, "21" if order == "21" else "12", strict=True))
    named = {}
    for name, value in verdict.scores.items():
        stem, _, shown = name.rpartition("_")
        named[f"{stem}_{sides[shown]}" if stem and shown in sides else name] = value
    return dict(sorted(named.items()))
