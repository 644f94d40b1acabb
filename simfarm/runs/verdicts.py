"""Comparisons in, annotations out: what the answer to a call means in a file.

Identical outputs are a tie without a call; a failed call is an error on its own row and the run goes on. Results come
in input order, whatever order the answers arrive in. How a call is asked stands in `simfarm.runs.asking`.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import Any

from simfarm.data.exchange import CallError, Completion, Likelihood, TransientError
from simfarm.data.rated import Rated, Rating
from simfarm.data.records import Annotation
from simfarm.engine.runner import Engine
from simfarm.errors import BudgetError
from simfarm.judges.marks import marks_expected
from simfarm.judges.protocols import protocol_of
from simfarm.judges.rules import decide
from simfarm.judges.verdict import Verdict
from simfarm.runs.asking import MAX_ATTEMPTS, Call, Paid, ask, is_cut_off, reply_of
from simfarm.runs.scoring import scored
from simfarm.runs.staged import Answer, Claims, Given, Staged, ask_stages
from simfarm.runs.stream import in_order
from simfarm.runs.tallies import AnnotationTallies

__all__ = ["annotate"]


def _raw(answer: Answer) -> dict[str, Any]:
    """The part of an answer that has no column of its own."""
    if isinstance(answer, Likelihood):
        return answer.recorded()
    row = (reply_of(answer) if isinstance(answer, Completion) else answer).to_json()
    known = ("text", "thinking", "finish_reason", "logprobs", "answers", "refused")
    return {key: row[key] for key in known if key in row}


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
    call: Call, verdict: Verdict, given: Sequence[Given] = (), took: Mapping[str, Any] | None = None
) -> Annotation:
    """The record of a call; `given` are the answers of its last attempt."""
    raws, judge = [one.about | _raw(one.answer) for one in given], call.member.judge
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
        model=given[-1].answer.model if given else None,
        **(took or {}),
        **_scored(call, verdict),
        **_doubted(call, verdict),
    )


def _number(call: Call, verdict: Verdict) -> float:
    """A verdict as one number: the score, or how strongly output_2 is preferred."""
    preference = protocol_of(call.member.judge).preference(verdict, call.order)
    return float(verdict.score or 0.0) if preference is None else preference - 1


def _kind(call: Call) -> type[Annotation]:
    """What the result of a call is recorded as."""
    return Rating if isinstance(call.comparison, Rated) else Annotation


def _scored(call: Call, verdict: Verdict | None = None) -> dict[str, Any]:
    """What a rating has beside an annotation: its score, if there is one, and the scale."""
    if not isinstance(call.comparison, Rated):
        return {}
    return {"score": verdict and verdict.score, "scale": call.member.judge.ends}


def _doubted(call: Call, verdict: Verdict | None = None) -> dict[str, Any]:
    """The scales of a judge's scores, and how sure it is of them, of one that gives probabilities."""
    judge = call.member.judge
    if not judge.questions:
        return {"scores_scale": judge.scales} if judge.scales else {}
    if not (judge.scales or judge.alone):
        return {}
    known = None if verdict is None else replace(verdict, scores=verdict.scores_sd)
    doubts = known and protocol_of(judge).scores(known, call.order)
    return {"scores_sd": doubts or {}, "scores_scale": judge.scales}


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
        **_doubted(call),
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

    claims: Claims = set()

    async def came_of(call: Call, engine: Engine, paid: list[Paid]) -> Staged:
        if call.member.judge.stages:
            return await ask_stages(call, engine, retry_unparseable=retry_unparseable, paid=paid, claims=claims)
        if call.member.judge.scoring is not None:
            return Staged.plain(*await scored(call, engine, paid), 1)
        verdict, given, attempts = await ask(call, engine, retry_unparseable=retry_unparseable, paid=paid)
        return Staged.plain(verdict, given, attempts, repaired=verdict.found and len(given) == 2)

    async def asked(call: Call, engine: Engine) -> Annotation:
        paid: list[Paid] = []
        try:
            came = await came_of(call, engine, paid)
        except (CallError, TransientError) as error:
            tallies.refused += isinstance(error, CallError)
            return _failed(call, str(error), _paid(paid, engine))
        except BudgetError as error:
            tallies.stopped = str(error)
            return _failed(call, "not asked: the budget was reached", _paid(paid, engine))
        finally:
            tallies.stages.count(paid, engine.price_of)
        verdict = came.verdict
        if verdict.found and call.member.judge.scoring is None:
            # what a likelihood was made of stands in its scores, and is no mark
            tallies.unmarked += marks_expected(call.member.judge) - len(verdict.scores or ())
        tallies.exhausted += not verdict.found and came.attempts >= MAX_ATTEMPTS
        tallies.repaired += came.repaired
        tallies.cut_off += not verdict.found and isinstance(came.last, Completion) and is_cut_off(came.last)
        parts = [(weight, _number(call, one)) for weight, one in came.parts if verdict.found]
        tallies.stages.mix(parts, sided=not call.member.judge.alone)
        return _annotation(call, verdict, came.given, _paid(paid, engine))

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
