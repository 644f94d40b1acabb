"""Questions to judges: which calls a run plans, what is sent for each, what is asked again where nothing can be read.

The rules that decide whether a leaderboard can be believed live here and in `simfarm.runs.verdicts`: an unparseable
answer is asked to repair itself once, is tried again by the next run, and is never a verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from simfarm.backends.http.traits import split_thoughts
from simfarm.data.decision import Decision
from simfarm.data.exchange import CallError, Completion, Judged, Likelihood, Message, Request, TransientError
from simfarm.data.joint import is_joint
from simfarm.data.records import Comparison
from simfarm.engine.runner import Engine
from simfarm.judges import Judge
from simfarm.judges.marks import check_records, with_marks
from simfarm.judges.protocols import protocol_of
from simfarm.judges.protocols.joint import refuse_joint
from simfarm.judges.question import repair_messages, request_sampling
from simfarm.judges.several import lacking
from simfarm.judges.stages import last_messages
from simfarm.judges.verdict import Verdict
from simfarm.runs.groups import Groups

__all__ = [
    "MAX_ATTEMPTS",
    "Call",
    "Member",
    "Paid",
    "ask",
    "is_cut_off",
    "next_request",
    "plan_calls",
    "reply_of",
    "request_for",
]

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
    make one and the same request, which the engine asks once. Alone it has none.

    `told` are the replies of the judge's earlier stages by name, where it has some, and `after` what is said once the
    question is put; `step` is then the first of its own among all requests about the pair."""

    comparison: Comparison
    order: str | None
    repeat: int
    member: Member
    mates: tuple[tuple[Comparison, str], ...] = ()
    place: int = 0
    told: Mapping[str, str] = field(default_factory=dict)
    after: tuple[Message, ...] = ()
    step: int = 0


@dataclass(frozen=True, slots=True)
class Paid:
    """An answer that was paid for, and a call's part in it: the `nth` (from 0) of the `of` calls that wanted it.
    `stage` is whose answer it is, of a judge that has some."""

    answer: Completion | Decision | Likelihood
    of: int
    nth: int
    stage: str = ""

    def part(self, value: float | None) -> float | None:
        """The call's part of what the answer took, so that the parts of all are the whole."""
        if isinstance(value, int):
            return value // self.of + (self.nth < value % self.of)
        return None if value is None else value / self.of


def plan_calls(comparisons: Sequence[Comparison], members: Sequence[Member], repeats: int = 1) -> Iterator[Call]:
    """Every call in the order of the file that will hold the answers: comparison, then member, then as the member's
    protocol has them. Raises `InputError` where one of them ranks and an instruction has more outputs than it can
    name, for joint comparisons and a judge that is shown one instruction, and where a judge cannot go by the input (a
    column is missing, a check of its own fails)."""
    for member in members:
        check_records(member.judge, comparisons)
    asked = [(member, protocol_of(member.judge)) for member in members]
    groups = Groups(comparisons) if any(member.judge.ranks for member in members) else None
    for number, comparison in enumerate(comparisons):
        for member, protocol in asked:
            if is_joint(comparison) and not (member.judge.rule or member.judge.protocol == "joint"):
                raise refuse_joint(member.judge)
            if groups is not None and member.judge.ranks:
                for order, repeat, mates, place in groups.calls(number, member.judge, repeats):
                    yield Call(comparison, order, repeat, member, mates, place)
                continue
            for order, repeat in protocol.calls(member.judge, comparison, repeats):
                yield Call(comparison, order, repeat, member)


def request_for(call: Call, *, attempt: int = 0, step: int = 0) -> Request:
    """The first question of a call; `step` 1 is made from it by `_repair`."""
    judge = call.member.judge
    assert call.order is not None
    return Request(
        model=call.member.model,
        messages=(*_messages(call, call.order), *call.after),
        sampling=request_sampling(judge),
        sample=call.repeat,
        attempt=attempt,
        judged=about(call, call.step + step),
        questions=judge.questions,
    )


def about(call: Call, step: int) -> Judged:
    """What the request at this step of a call is about."""
    pair, who = call.comparison, call.member.judge.name
    assert call.order is not None
    return Judged(pair.instruction, pair.generator_1, pair.generator_2, call.order, call.repeat, step, who)


def _messages(call: Call, order: str) -> tuple[Message, ...]:
    judge, protocol = call.member.judge, protocol_of(call.member.judge)
    if judge.stages:
        return last_messages(judge, call.comparison, order, call.told)
    return protocol.messages_of(judge, call.mates) if call.mates else protocol.messages(judge, call.comparison, order)


def reply_of(answer: Completion) -> Completion:
    """An answer as it is read: without what the model thought in its text, which stands apart. Labels that it weighed
    there are no verdict."""
    text, thought = split_thoughts(answer.text)
    if thought is None:
        return answer
    return replace(answer, text=text, thinking="\n\n".join(filter(None, (answer.thinking, thought))) or None)


def _read(call: Call, answer: Completion | Decision) -> list[Verdict]:
    """The verdicts in an answer on all that its prompt showed."""
    judge, protocol = call.member.judge, protocol_of(call.member.judge)
    answer = reply_of(answer) if isinstance(answer, Completion) else answer
    shown = call.mates or ((call.comparison, str(call.order)),)
    verdicts = protocol.parse_all(judge, answer, call.mates) if call.mates else [protocol.parse(judge, answer)]
    return [with_marks(judge, answer, verdict, *each) for verdict, each in zip(verdicts, shown, strict=True)]


def _problem(call: Call, verdicts: list[Verdict]) -> str:
    """What is wrong with a reply, the same for all calls that it should have answered."""
    return verdicts[call.place].problem or "" if call.member.judge.ranks else lacking(verdicts)


def _repair(request: Request, completion: Completion, problem: str) -> Request:
    asked = request.judged
    assert asked is not None
    messages = repair_messages(request.messages, reply_of(completion), problem)
    again = replace(asked, step=asked.step + 1)
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
                request = _repair(request, completion, _problem(call, verdicts))
        attempt += 1
    return None


def is_cut_off(completion: Completion) -> bool:
    """Whether a reply that gives no verdict ended at the token limit. With the same limit it would end there again: it
    is neither repaired nor asked again, unless the user wants it."""
    return completion.finish_reason == "length"


async def ask(
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
    repairing = _repair(request, completion, _problem(call, verdicts))
    if is_cut_off(completion) and not engine.is_free(repairing):
        return verdict, [completion], known
    try:
        repair, repair_known = await engine.complete(repairing)
    except (CallError, TransientError):
        # the first answer stands as what it was: unparseable
        return verdict, [completion], False
    return read(repair)[call.place], [completion, repair], known and repair_known
