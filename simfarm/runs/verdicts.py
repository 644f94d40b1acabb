"""Comparisons in, annotations out: the calls a judge needs, what an answer means, and what to do when it means nothing.

The rules that decide whether a leaderboard can be believed live here: identical outputs are a tie without a call; an
unparseable answer is asked to repair itself once, is tried again by the next run, and is never a verdict; a failed
call is an error on its own row and the run goes on. Results come in input order, whatever order the answers arrive in.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

from simfarm.data.decision import Decision
from simfarm.data.exchange import CallError, Completion, Judged, Request, TransientError
from simfarm.data.rated import Rated, Rating
from simfarm.data.records import Annotation, Comparison
from simfarm.engine.runner import Engine
from simfarm.errors import BudgetError
from simfarm.judges import Judge
from simfarm.judges.protocols import protocol_of
from simfarm.judges.question import repair_messages, request_sampling
from simfarm.judges.rules import decide
from simfarm.judges.several import lacking
from simfarm.judges.verdict import Verdict
from simfarm.runs.stream import in_order
from simfarm.runs.tallies import AnnotationTallies

__all__ = ["MAX_ATTEMPTS", "Call", "Member", "annotate", "next_request", "plan_calls", "request_for"]

MAX_ATTEMPTS = 3
"""Questions asked in all, over all runs, before an unparseable answer is left as it is."""


@dataclass(frozen=True, slots=True)
class Member:
    """One of those who judge: a judge, its model's name in requests, and the engine that asks it. A rule has neither
    model nor engine; without an engine nothing is asked."""

    judge: Judge
    model: str = ""
    engine: Engine | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """One question to one member: a comparison, the order shown (None: identical outputs, no question), a repeat.

    Where one prompt asks about several, `mates` are all of them with their orders, this one at `place`: their calls
    make one and the same request, which the engine asks once. Alone it has none."""

    comparison: Comparison
    order: str | None
    repeat: int
    member: Member
    mates: tuple[tuple[Comparison, str], ...] = ()
    place: int = 0


@dataclass(frozen=True, slots=True)
class Paid:
    """An answer that was paid for, and a call's part in it: the `nth` (from 0) of the `of` calls that wanted it."""

    answer: Completion | Decision
    of: int
    nth: int

    def part(self, value: float | None) -> float | None:
        """The call's part of what the answer took, so that the parts of all are the whole."""
        if isinstance(value, int):
            return value // self.of + (self.nth < value % self.of)
        return None if value is None else value / self.of


def plan_calls(comparisons: Iterable[Comparison], members: Sequence[Member], repeats: int = 1) -> Iterator[Call]:
    """Every call in the order of the file that will hold the answers: comparison, then member, then as the member's
    protocol has them."""
    asked = [(member, protocol_of(member.judge)) for member in members]
    for comparison in comparisons:
        for member, protocol in asked:
            for order, repeat in protocol.calls(member.judge, comparison, repeats):
                yield Call(comparison, order, repeat, member)


def request_for(call: Call, *, attempt: int = 0, step: int = 0) -> Request:
    """The first question of a call; `step` 1 is made from it by `_repair`."""
    pair, judge, protocol = call.comparison, call.member.judge, protocol_of(call.member.judge)
    assert call.order is not None
    return Request(
        model=call.member.model,
        messages=protocol.messages_of(judge, call.mates) if call.mates else protocol.messages(judge, pair, call.order),
        sampling=request_sampling(judge),
        sample=call.repeat,
        attempt=attempt,
        judged=Judged(pair.instruction, pair.generator_1, pair.generator_2, call.order, call.repeat, step),
        questions=judge.questions,
    )


def _read(call: Call, answer: Completion | Decision) -> list[Verdict]:
    """The verdicts in an answer on all that its prompt showed."""
    judge, protocol = call.member.judge, protocol_of(call.member.judge)
    return protocol.parse_all(judge, answer, len(call.mates)) if call.mates else [protocol.parse(judge, answer)]


def _repair(request: Request, completion: Completion, problem: str) -> Request:
    about = request.judged
    assert about is not None
    messages = repair_messages(request.messages, completion, problem)
    again = Judged(about.instruction, about.generator_1, about.generator_2, about.order, about.repeat, 1)
    return Request(request.model, messages, request.sampling, request.sample, request.attempt, again)


def next_request(call: Call, retry_unparseable: bool) -> Request | None:
    """What a run would ask about a call first, given the answers in the store; None where it would ask nothing."""
    engine = call.member.engine
    assert engine is not None
    attempt = 0
    cut = False
    while attempt < MAX_ATTEMPTS or retry_unparseable:
        request = request_for(call, attempt=attempt)
        for step in range(2):
            completion = engine.cached(request)
            if completion is None:
                if cut and step == 1:
                    break
                return None if cut and not retry_unparseable else request
            verdicts = _read(call, completion)
            if verdicts[call.place].found:
                return None
            if isinstance(completion, Decision):
                break
            if step == 0:
                cut = is_cut_off(completion)
                request = _repair(request, completion, lacking(verdicts))
        attempt += 1
    return None


def is_cut_off(completion: Completion) -> bool:
    """Whether a reply that gives no verdict ended at the token limit. With the same limit it would end there again: it
    is neither repaired nor asked again, unless the user wants it."""
    return completion.finish_reason == "length"


async def _ask(
    call: Call, engine: Engine, *, retry_unparseable: bool, paid: list[Paid]
) -> tuple[Verdict, list[Completion | Decision], int]:
    """The verdict, the answers of the attempt that gave it (one, or two where it had to repair itself), and how many
    attempts were made over all runs. `paid` collects the answers of all of them, also where an error ends it.

    An attempt that an earlier run paid for and could not read is followed by the next attempt; within one run only
    one new attempt is made, so that a judge that never parses costs one call and its repair a run, not six. What costs
    nothing is looked at in any case: an earlier simfarm asked again where this one does not (`is_cut_off`).
    """
    attempt = 0
    waiting = list(range(max(1, len(call.mates))))
    while True:
        verdict, given, known = await _attempt(call, engine, attempt, paid, waiting)
        attempt += 1
        if verdict.found or not known or (attempt >= MAX_ATTEMPTS and not retry_unparseable):
            return verdict, given, attempt
        cut = isinstance(given[0], Completion) and is_cut_off(given[0])
        if cut and not (retry_unparseable or engine.is_free(request_for(call, attempt=attempt))):
            return verdict, given, attempt


async def _attempt(
    call: Call, engine: Engine, attempt: int, paid: list[Paid], waiting: list[int]
) -> tuple[Verdict, list[Completion | Decision], bool]:
    """The verdict of one attempt, its answers, and whether earlier runs had paid for all of them. A decision has
    nothing to repair: it is read, or there is none. `waiting` are the places in the prompt that have no verdict yet:
    whose calls ask with this one, and share what it takes."""

    def read(answer: Completion | Decision) -> list[Verdict]:
        paid.append(Paid(answer, len(waiting), waiting.index(call.place)))
        verdicts = _read(call, answer)
        waiting[:] = [place for place in waiting if not verdicts[place].found]
        return verdicts

    request = request_for(call, attempt=attempt)
    if request.questions:
        decision, known = await engine.decide(request)
        return read(decision)[call.place], [decision], known
    completion, known = await engine.complete(request)
    verdicts = read(completion)
    verdict = verdicts[call.place]
    if verdict.found:
        return verdict, [completion], known
    repairing = _repair(request, completion, lacking(verdicts))
    if is_cut_off(completion) and not engine.is_free(repairing):
        return verdict, [completion], known
    try:
        repair, repair_known = await engine.complete(repairing)
    except (CallError, TransientError):
        # the first answer stands as what it was: unparseable
        return verdict, [completion], False
    return read(repair)[call.place], [completion, repair], known and repair_known


def _raw(answer: Completion | Decision) -> dict[str, Any]:
    """The part of an answer that has no column of its own."""
    row = answer.to_json()
    return {key: row[key] for key in ("text", "finish_reason", "logprobs", "answers", "refused") if key in row}


def _total(values: Iterable[float | None]) -> float | None:
    """The sum, None where any part is unknown: half a price is no price."""
    known = list(values)
    return None if any(v is None for v in known) else sum(v for v in known if v is not None)


def _paid(paid: Sequence[Paid], engine: Engine) -> dict[str, Any]:
    """The columns that say what a call took, over all its attempts; nothing where it asked nothing."""
    if not paid:
        return {}
    return {
        "input_tokens": _whole(_total(one.part(one.answer.input_tokens) for one in paid)),
        "output_tokens": _whole(_total(one.part(one.answer.output_tokens) for one in paid)),
        "price": _total(one.part(engine.price_of(one.answer)) for one in paid),
        "seconds": _total(one.part(one.answer.seconds) for one in paid),
        "calls": sum(one.nth == 0 for one in paid),
    }


def _annotation(
    call: Call, verdict: Verdict, given: Sequence[Completion | Decision] = (), took: Mapping[str, Any] | None = None
) -> Annotation:
    """The record of a call; `given` are the answers of its last attempt."""
    raws, judge = [_raw(answer) for answer in given], call.member.judge
    protocol = protocol_of(judge)
    return _kind(call)(
        comparison=call.comparison,
        annotator=judge.name,
        preference=protocol.preference(verdict, call.order),
        status="verdict" if verdict.found else "unparseable",
        order=call.order,
        repeat=call.repeat,
        strength=verdict.strength,
        scores=protocol.scores(verdict, call.order),
        reason=verdict.reason,
        raw_completion=None if not raws else raws[0] if len(raws) == 1 else raws,
        error=verdict.problem if not verdict.found else None,
        judge_hash=judge.hash,
        judge_order=judge.order,
        model=given[-1].model if given else None,
        **(took or {}),
        **_scored(call, verdict),
    )


def _kind(call: Call) -> type[Annotation]:
    """What the result of a call is recorded as."""
    return Rating if isinstance(call.comparison, Rated) else Annotation


def _scored(call: Call, verdict: Verdict | None = None) -> dict[str, Any]:
    """What a rating has beside an annotation: its score, if there is one, and the scale."""
    if not isinstance(call.comparison, Rated):
        return {}
    return {"score": verdict and verdict.score, "scale": call.member.judge.ends}


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)


def _failed(call: Call, error: str, took: Mapping[str, Any]) -> Annotation:
    return _kind(call)(
        comparison=call.comparison,
        annotator=call.member.judge.name,
        preference=None,
        status="error",
        order=call.order,
        repeat=call.repeat,
        error=error,
        judge_hash=call.member.judge.hash,
        judge_order=call.member.judge.order,
        **took,
        **_scored(call),
    )


async def annotate(
    calls: Iterable[Call], tallies: AnnotationTallies, *, retry_unparseable: bool = False, window: int = 256
) -> AsyncGenerator[Annotation]:
    """Annotations in the order of `calls`, at most `window` calls ahead of the first one still unanswered.

    When the budget ends the run, answers in the store are still given and every call that was not asked is an error of
    its own, so that no comparison passes with half of its orders; `tallies.stopped` then says why. `ProviderError`
    passes through at once.

    What is yielded follows from the store alone. What makes other verdicts of it (the noise of a crowd) maps these
    annotations to annotations, after this function: so it is never kept, and the store serves the clean verdict too.
    """

    async def asked(call: Call, engine: Engine) -> Annotation:
        paid: list[Paid] = []
        try:
            verdict, given, attempts = await _ask(call, engine, retry_unparseable=retry_unparseable, paid=paid)
        except (CallError, TransientError) as error:
            tallies.refused += isinstance(error, CallError)
            return _failed(call, str(error), _paid(paid, engine))
        except BudgetError as error:
            tallies.stopped = str(error)
            return _failed(call, "not asked: the budget was reached", _paid(paid, engine))
        if verdict.found and call.member.judge.questions:
            tallies.unmarked += len(call.member.judge.questions) - 1 - len(verdict.scores or ())
        tallies.exhausted += not verdict.found and attempts >= MAX_ATTEMPTS
        tallies.repaired += len(given) == 2 and verdict.found
        tallies.cut_off += not verdict.found and isinstance(given[-1], Completion) and is_cut_off(given[-1])
        return _annotation(call, verdict, given, _paid(paid, engine))

    async def unasked(call: Call) -> Annotation:
        verdict = Verdict(0.5) if call.order is None else decide(call.member.judge, call.comparison, call.order)
        tallies.ties_without_call += call.order is None
        return _annotation(call, verdict)

    answers = (
        unasked(call) if call.order is None or (engine := call.member.engine) is None else asked(call, engine)
        for call in calls
    )
    async with aclosing(in_order(answers, window)) as annotations:
        async for annotation in annotations:
            tallies.count(annotation)
            yield annotation
