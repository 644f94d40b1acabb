"""Judges of several calls: every stage asked in its turn, and the verdict after them.

Each stage is a request of its own, kept, priced and resumed as any other; what an earlier run paid for and nobody could
go on with is asked again under the next attempt, as a verdict is. A stage without a usable reply ends the call: it is
unparseable, with its cause, and never a verdict. Equal requests are asked once, and the first call of the plan that
makes one has its cost in its row, so that the rows of a file add up to what was paid.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeAlias, TypeVar

from simfarm.data.decision import Decision
from simfarm.data.exchange import Completion, Likelihood, Request
from simfarm.engine.runner import Engine
from simfarm.judges.contexts import Context, mixed, read_contexts
from simfarm.judges.stages import VERDICT, Turn, stage_sampling, told_to, turn_messages, turns, unusable
from simfarm.judges.verdict import Verdict
from simfarm.runs.asking import MAX_ATTEMPTS, Call, Paid, about, ask, is_cut_off, reply_of

__all__ = [
    "Answer",
    "Claims",
    "Given",
    "Staged",
    "Texts",
    "ask_stages",
    "last_calls",
    "said_after",
    "turn_keys",
    "turn_request",
]

T = TypeVar("T")
Answer: TypeAlias = Completion | Decision | Likelihood
"""What answers a call."""

Texts = dict[tuple[str, str], str]
Claims = set[bytes]
"""Requests of stages that a call of the plan has in its row already."""


@dataclass(frozen=True, slots=True)
class Given:
    """An answer as a row records it; of a judge with stages, whose it is, its place among all requests about the pair,
    and the weight of the context that it was given under."""

    answer: Answer
    stage: str = ""
    step: int = 0
    weight: float | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What stands beside the answer in a file."""
        if not self.stage:
            return {}
        weight = {} if self.weight is None else {"weight": round(self.weight, 6)}
        return {"stage": self.stage, "step": self.step} | weight


@dataclass(frozen=True, slots=True)
class Staged:
    """What came of a call: the verdict, the answers of the last attempt of each stage, the one that it ended with and
    how often that was attempted, whether the judge had to repair itself, and under contexts the weight of each and what
    was said under it."""

    verdict: Verdict
    given: tuple[Given, ...]
    last: Answer
    attempts: int
    repaired: bool = False
    parts: tuple[tuple[float, Verdict], ...] = ()

    @classmethod
    def plain(cls, verdict: Verdict, answers: Sequence[Answer], attempts: int, *, repaired: bool = False) -> Staged:
        """Of a judge that asks for its verdict at once."""
        return cls(verdict, tuple(Given(answer) for answer in answers), answers[-1], attempts, repaired)


async def ask_stages(
    call: Call, engine: Engine, *, retry_unparseable: bool, paid: list[Paid], claims: Claims
) -> Staged:
    """The verdict of a judge of several calls. `paid` collects the answers that are this call's to account for, also
    where an error ends it; `claims` has those that are in the rows of earlier calls.

    What it claims is settled before it first waits, so that it follows from the plan and not from who is answered
    first.
    """
    mine = _claimed(call, claims)
    texts: Texts = {}
    given: list[Given] = []
    for group in turns(call.member.judge.stages):
        took: list[list[Completion]] = [[] for _ in group]
        try:
            replies = await _all(
                _turn(call, turn, engine, texts, retry_unparseable=retry_unparseable, took=own)
                for turn, own in zip(group, took, strict=True)
            )
        finally:
            for turn, own in zip(group, took, strict=True):
                paid += [Paid(answer, 1, 0, turn.stage.name) for answer in own if turn.step in mine]
        given += [Given(own[-1], turn.label, turn.step) for turn, own in zip(group, took, strict=True)]
        for (problem, attempts), own in zip(replies, took, strict=True):
            if problem is not None:
                return Staged(Verdict(None, problem), tuple(given), own[-1], attempts)
        texts |= said_after(texts, group, [reply_of(own[-1]).text for own in took])
    return await _verdict(call, engine, texts, given, retry_unparseable=retry_unparseable, paid=paid)


async def _turn(
    call: Call, turn: Turn, engine: Engine, texts: Texts, *, retry_unparseable: bool, took: list[Completion]
) -> tuple[str | None, int]:
    """(what is wrong with the last answer of a turn, how many attempts it took over all runs); `took` collects the
    answers. As with a verdict, one run makes one new attempt."""
    attempt = 0
    while True:
        completion, known = await engine.complete(turn_request(call, turn, texts, attempt))
        took.append(completion)
        problem = unusable(turn.stage, reply_of(completion))
        attempt += 1
        if problem is None or not known or (attempt >= MAX_ATTEMPTS and not retry_unparseable):
            return problem, attempt
        if is_cut_off(completion) and not retry_unparseable:
            return problem, attempt


async def _verdict(
    call: Call, engine: Engine, texts: Texts, given: list[Given], *, retry_unparseable: bool, paid: list[Paid]
) -> Staged:
    """The verdict after the stages; under contexts one of each, mixed."""
    calls, contexts = last_calls(call, texts)
    took: list[list[Paid]] = [[] for _ in calls]
    try:
        came = await _all(
            ask(one, engine, retry_unparseable=retry_unparseable, paid=own)
            for one, own in zip(calls, took, strict=True)
        )
    finally:
        paid += [replace(part, stage=VERDICT) for own in took for part in own]
    for n, (one, (_, answers, _)) in enumerate(zip(calls, came, strict=True)):
        label, weight = (f"{VERDICT} {n + 1}", contexts[n].weight) if contexts else (VERDICT, None)
        given += [Given(answer, label, one.step + k, weight) for k, answer in enumerate(answers)]
    verdicts = [verdict for verdict, _, _ in came]
    verdict = mixed(contexts, verdicts) if contexts else verdicts[0]
    ended = next((n for n, one in enumerate(verdicts) if not one.found), -1)
    _, answers, attempts = came[ended]
    return Staged(
        verdict,
        tuple(given),
        answers[-1],
        attempts,
        verdict.found and any(len(answers) == 2 for _, answers, _ in came),
        tuple(zip((context.weight for context in contexts), verdicts, strict=True)) if contexts else (),
    )


def last_calls(call: Call, texts: Texts) -> tuple[list[Call], list[Context]]:
    """The calls for the verdict, with what was said before it: one, or one for each of the contexts."""
    stages = call.member.judge.stages
    assert call.order is not None
    told = told_to(stages, texts, "", call.order)
    step = sum(map(len, turns(stages)))
    last = stages[-1]
    if not last.contexts:
        return [replace(call, told=told, step=step)], []
    contexts = read_contexts(texts[last.name, ""], last.contexts)
    # two steps each: what is asked again has a place of its own, whoever else asks again
    calls = [
        replace(call, told=told | {last.name: context.text}, step=step + 2 * n) for n, context in enumerate(contexts)
    ]
    return calls, contexts


def turn_request(call: Call, turn: Turn, texts: Texts, attempt: int = 0) -> Request:
    """What a turn asks, with what was said before it."""
    judge = call.member.judge
    assert call.order is not None
    return Request(
        call.member.model,
        turn_messages(judge, turn, call.comparison, call.order, texts),
        stage_sampling(judge, turn.stage),
        call.repeat,
        attempt,
        about(call, turn.step),
    )


def said_after(texts: Mapping[tuple[str, str], str], group: Sequence[Turn], replies: Sequence[str]) -> Texts:
    """What was said once these turns are over: of several rounds all that was, the first first."""
    said: Texts = {}
    for turn, reply in zip(group, replies, strict=True):
        key = (turn.stage.name, turn.side)
        said[key] = f"{texts[key]}\n\n{reply.strip()}" if turn.round else turn.stage.told(reply)
    return said


async def _all(asked: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """What all of them came to; of several errors the first in order, once none is waited for any more, so that what
    was paid is known."""
    came = await asyncio.gather(*asked, return_exceptions=True)
    for one in came:
        if isinstance(one, BaseException):
            raise one
    return [one for one in came if not isinstance(one, BaseException)]


def _claimed(call: Call, claims: Claims) -> set[int]:
    """The steps whose answers are in this call's row: those that no call before it asks for."""
    mine = set()
    for turn, key in turn_keys(call):
        if key not in claims:
            claims.add(key)
            mine.add(turn.step)
    return mine


def turn_keys(call: Call) -> Iterator[tuple[Turn, bytes]]:
    """Each turn with what its request is by, before anything is answered: the same for two calls if and only if they
    ask the same, since what was said before it stands there as what was asked for it."""
    texts: Texts = {}
    for group in turns(call.member.judge.stages):
        keys = []
        for turn in group:
            request = turn_request(call, turn, texts)
            body = [request.model, list(request.messages), dict(request.sampling), request.sample, turn.stage.name]
            keys.append(hashlib.sha256(json.dumps(body, sort_keys=True).encode()).digest())
        yield from zip(group, keys, strict=True)
        texts |= said_after(texts, group, [key.hex() for key in keys])
