"""The likelihood protocol: how likely is a text to a model? Nothing is generated, and nothing is parsed.

The text is the output itself after its instruction; the instruction after the output; what a user might say next; or
the output to two models, of which the difference counts (DPO's implicit reward, Rafailov et al. 2023, without its β).
A reward model reads the same conversation and says one number. A single output has the score; of a pair each side has
one, and the higher is preferred.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from simfarm.data.decision import Decision
from simfarm.data.exchange import Completion, Likelihood, Message
from simfarm.data.rated import Rated
from simfarm.data.records import Comparison
from simfarm.judges.likelihoods import Scoring
from simfarm.judges.spec import Judge
from simfarm.judges.verdict import Verdict

__all__ = [
    "Asked",
    "asked",
    "calls",
    "messages",
    "messages_of",
    "parse",
    "parse_all",
    "preference",
    "scores",
    "verdict",
]

ALONE, PAIR = "1", "12"


@dataclass(frozen=True, slots=True)
class Asked:
    """One question to a model: how likely is `text` as its answer to `prompt`? `part` names what it is of: a side's
    score is made of its parts."""

    prompt: tuple[Message, ...]
    text: str
    part: str

    @property
    def messages(self) -> tuple[Message, ...]:
        """The prompt, and the text as what the assistant says."""
        return (*self.prompt, {"role": "assistant", "content": self.text})


def calls(judge: Judge, comparison: Comparison, repeats: int) -> Iterator[tuple[str | None, int]]:
    """One a repeat, for a single output as for a pair: no side of it is shown first. Identical outputs are a tie
    without one."""
    if not isinstance(comparison, Rated) and comparison.output_1 == comparison.output_2:
        yield None, 0
        return
    for repeat in range(repeats):
        yield ALONE if isinstance(comparison, Rated) else PAIR, repeat


def messages(judge: Judge, comparison: Comparison, order: str) -> tuple[Message, ...]:
    """The prompt after which the first text stands."""
    return asked(judge, comparison)[0].prompt


def messages_of(judge: Judge, shown: Sequence[tuple[Comparison, str]]) -> tuple[Message, ...]:
    """The same, for exactly one."""
    ((comparison, order),) = shown
    return messages(judge, comparison, order)


def asked(judge: Judge, comparison: Comparison) -> list[Asked]:
    """Every question about a record, in one order always: output by output, part by part."""
    sides = [comparison.output_1] if isinstance(comparison, Rated) else [comparison.output_1, comparison.output_2]
    return [one for output in sides for one in _of_output(judge, comparison, output)]


def _of_output(judge: Judge, comparison: Comparison, output: str) -> list[Asked]:
    scoring = _scoring(judge)
    if scoring.shows:
        alone = Rated(comparison.instruction, output, "", messages=comparison.messages, extra=dict(comparison.extra))
        prompt = judge.compiled.render(alone, ALONE)
        if scoring.score == "instruction":
            return [Asked(prompt, comparison.instruction, "")]
        said = [(text, "approving") for text in scoring.approving]
        said += [(text, "disapproving") for text in scoring.disapproving]
        return [Asked(prompt, text, part) for text, part in said]
    chat = comparison.messages or ({"role": "user", "content": comparison.instruction},)
    # a Parquet file gives every message the names of all
    prompt = tuple({"role": message["role"], "content": message["content"]} for message in chat)
    parts = ("policy", "reference") if scoring.score == "reference" else ("",)
    return [Asked(prompt, output, part) for part in parts]


def verdict(judge: Judge, comparison: Comparison, answers: Sequence[Likelihood | float]) -> Verdict:
    """What the answers to all questions come to, in their order: of a single output its score, of a pair the
    preference; the parts of each score, and of a pair both scores, stand in `scores`."""
    scoring, questions = _scoring(judge), asked(judge, comparison)
    valued = [(q.part, _value(answer, q.text, scoring)) for q, answer in zip(questions, answers, strict=True)]
    if isinstance(comparison, Rated):
        score, parts = _score(valued)
        return Verdict(None, score=score, scores=parts or None)
    half = len(valued) // 2
    (one, first), (other, second) = _score(valued[:half]), _score(valued[half:])
    named = {"score_1": one, "score_2": other}
    named |= {f"{name}_1": value for name, value in first.items()}
    named |= {f"{name}_2": value for name, value in second.items()}
    return Verdict(_preferred(other - one, scoring.tau), scores=named)


def _value(answer: Likelihood | float, text: str, scoring: Scoring) -> float:
    """What one answer counts: a reward as it is, nats divided as the judge's file says."""
    if not isinstance(answer, Likelihood):
        return answer
    if scoring.per == "token":
        return answer.per_token
    return answer.nats / len(text) if scoring.per == "character" else answer.nats


def _score(valued: Sequence[tuple[str, float]]) -> tuple[float, dict[str, float]]:
    """A side's score and its parts by name: the first part's mean, less that of the second where there are two."""
    parts: dict[str, list[float]] = {}
    for part, value in valued:
        parts.setdefault(part, []).append(value)
    means = {part: math.fsum(values) / len(values) for part, values in parts.items()}
    first, *others = means.values()
    return (first - others[0], means) if others else (first, {})


def _preferred(gap: float, tau: float | None) -> float:
    """How strongly the second output is preferred, whose score is higher by `gap`."""
    if tau is None or not gap:
        return 0.5 if not gap else float(gap > 0)
    odds = math.exp(-abs(gap) / tau)
    return 1 / (1 + odds) if gap > 0 else odds / (1 + odds)


def parse(judge: Judge, answer: Completion | Decision) -> Verdict:
    """There is nothing to parse: scores are made by `verdict`."""
    raise ValueError(f"judge {judge.name} reads no reply")


def parse_all(judge: Judge, answer: Completion | Decision, shown: Sequence[tuple[Comparison, str]]) -> list[Verdict]:
    """The same."""
    return [parse(judge, answer) for _ in shown]


def preference(verdict: Verdict, order: str | None) -> float | None:
    """The file's preference between two outputs; None for a single one."""
    return None if verdict.p_second is None else 1.0 + verdict.p_second


def scores(verdict: Verdict, order: str | None) -> Mapping[str, float] | None:
    """The parts of the scores; of a pair the scores too, by the output they are of."""
    return verdict.scores


def _scoring(judge: Judge) -> Scoring:
    if judge.scoring is None:
        raise ValueError(f"judge {judge.name} scores no likelihoods")
    return judge.scoring
