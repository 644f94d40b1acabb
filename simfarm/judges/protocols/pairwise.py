"""The pairwise protocol: which of two outputs is better? Pure functions between a comparison and a verdict.

`messages` and `parse` know the pair only as it was presented; `preference` turns a verdict on the presented pair into
the number that files hold.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from simfarm.data.decision import Decision
from simfarm.data.exchange import Completion, Message
from simfarm.data.records import Comparison
from simfarm.judges.decisions import SHOWN, parse_decision
from simfarm.judges.examples import Example, said
from simfarm.judges.marks import parse_marks
from simfarm.judges.orders import orders
from simfarm.judges.parsers import parse_json, parse_label, parse_token_logprobs
from simfarm.judges.several import parse_several
from simfarm.judges.spec import Judge
from simfarm.judges.verdict import Verdict

__all__ = ["calls", "messages", "messages_of", "parse", "parse_all", "preference", "scores"]

Shown = tuple[Comparison, str]
"""A comparison and the order in which it is shown."""

PERSONA = (
    "You answer in the place of one particular person, with their taste and their patience, not as an expert and not "
    "as the average of many. The person: {persona}\nPrefer what this person would rather have, for reasons of theirs."
)
REMEMBERS = (
    "Your earlier answers in this conversation are choices that the person you stand for has made. Go on choosing as "
    "they do, also where others would choose otherwise."
)


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
    return messages_of(judge, [(comparison, order)])


def messages_of(judge: Judge, shown: Sequence[Shown]) -> tuple[Message, ...]:
    """The same for several (comparison, order) in one prompt, of a judge whose template has a place for them. Before a
    judge that stands for a person goes who that is, or what they preferred."""
    asked = judge.compiled.render_several(shown, judge.criteria)
    if not (judge.persona or judge.examples):
        return asked
    # nobody is shown their own label of what they are asked about
    about = {comparison.instruction for comparison, _ in shown}
    known = [example for example in judge.examples if example.comparison.instruction not in about]
    return (*_as_whom(judge, asked, bool(known)), *_earlier(judge, known), asked[-1])


def _as_whom(judge: Judge, asked: tuple[Message, ...], remembers: bool) -> Iterator[Message]:
    """The system message: whom the judge stands for, then what it is told anyway."""
    told = [message["content"] for message in asked[:-1]]
    who = PERSONA.format(persona=judge.persona.strip()) if judge.persona else ""
    yield {"role": "system", "content": "\n\n".join(filter(None, [who, REMEMBERS if remembers else "", *told]))}


def _earlier(judge: Judge, known: Sequence[Example]) -> Iterator[Message]:
    """The examples as turns of the conversation."""
    spec = judge.verdict
    assert spec is not None
    for example in known:
        yield judge.compiled.render(example.comparison, example.order, judge.criteria)[-1]
        yield {"role": "assistant", "content": said(spec, example.meaning, judge.several)}


def parse(judge: Judge, answer: Completion | Decision) -> Verdict:
    """The verdict in an answer, on the presented pair; `p_second` None where there is none."""
    return _parsed(judge, answer, 1)[0]


def parse_all(judge: Judge, answer: Completion | Decision, shown: Sequence[Shown]) -> list[Verdict]:
    """The verdicts in an answer on each of the pairs that were shown together, in the order shown."""
    return _parsed(judge, answer, len(shown))


def _parsed(judge: Judge, answer: Completion | Decision, count: int) -> list[Verdict]:
    spec = judge.verdict
    if spec is None:
        raise ValueError(f"judge {judge.name} follows a rule: it has no answers to parse")
    if isinstance(answer, Decision):
        return [parse_decision(answer, judge.questions, spec, judge.criteria)]
    if judge.several:
        return parse_several(answer, spec, count)
    match spec.parser:
        case "token_logprobs":
            return [parse_token_logprobs(answer, spec)]
        case "label":
            return [parse_label(answer, spec)]
        case "json":
            return [parse_json(answer, spec)]
        case "criteria":
            return [parse_marks(judge, answer)]
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
