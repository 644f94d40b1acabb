"""The rating protocol: how good is one output, on a scale? Pure functions between a rated output and a verdict.

N models on I instructions are N · I questions, without a baseline. Every record is shown in the one "order" there is
for a single output: "1".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from simfarm.data.decision import Decision
from simfarm.data.exchange import Completion, Message
from simfarm.data.rated import Rated
from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges.decisions import parse_decision
from simfarm.judges.marks import parse_marks
from simfarm.judges.parsers import parse_expected, parse_json, parse_label
from simfarm.judges.spec import Judge
from simfarm.judges.verdict import Verdict

__all__ = ["calls", "messages", "messages_of", "parse", "parse_all", "preference", "refuse_pairs", "scores"]

ALONE = "1"


def refuse_pairs(judge: Judge) -> InputError:
    """What is said where outputs are to be compared by a judge that rates them one by one."""
    return InputError(
        f"the judge {judge.name} rates one output at a time and compares none: score the outputs by simfarm annotate "
        f"FILE --judge {judge.name} -o scores.jsonl and rank that file by simfarm evaluate, or name a pairwise judge"
    )


def calls(judge: Judge, comparison: Comparison, repeats: int) -> Iterator[tuple[str | None, int]]:
    """One question a repeat. Raises `InputError` for a pair."""
    if not isinstance(comparison, Rated):
        raise refuse_pairs(judge)
    for repeat in range(repeats):
        yield ALONE, repeat


def messages(judge: Judge, comparison: Comparison, order: str) -> tuple[Message, ...]:
    """What the judge is sent about one output: an optional system and a user message."""
    return judge.compiled.render(comparison, order, judge.criteria)


def messages_of(judge: Judge, shown: Sequence[tuple[Comparison, str]]) -> tuple[Message, ...]:
    """The same, for exactly one: ratings are not put together in one prompt, where they would lean on each other."""
    ((comparison, order),) = shown
    return messages(judge, comparison, order)


def parse(judge: Judge, answer: Completion | Decision) -> Verdict:
    """The score in an answer; none where it is not on the scale."""
    spec = judge.verdict
    if spec is None:
        raise ValueError(f"judge {judge.name} follows a rule: it has no answers to parse")
    if isinstance(answer, Decision):
        return parse_decision(answer, judge.questions, spec, judge.criteria)
    match spec.parser:
        case "token_logprobs":
            return parse_expected(answer, spec)
        case "label":
            return parse_label(answer, spec)
        case "json":
            return parse_json(answer, spec)
        case "criteria":
            return parse_marks(judge, answer)
    raise ValueError(f"unknown parser {spec.parser!r}")


def parse_all(judge: Judge, answer: Completion | Decision, shown: Sequence[tuple[Comparison, str]]) -> list[Verdict]:
    """The same as a list of one."""
    return [parse(judge, answer) for _ in shown]


def preference(verdict: Verdict, order: str | None) -> float | None:
    """None: a rating prefers nothing."""
    return None


def scores(verdict: Verdict, order: str | None) -> Mapping[str, float] | None:
    """The scores by criterion, where the judge gave some."""
    return verdict.scores
