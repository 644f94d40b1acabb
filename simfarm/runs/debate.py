"""A debate among the members of a panel: who answers again, with what the others said, and what stands in their rows.

A later answer is asked as the first was: kept, priced, repaired once and never a verdict where it cannot be read. Each
member's row keeps its first verdict, so that boards show what it says alone; what it said in the debate stands beside
that in `raw_completion`, where a recording is replayed from.
"""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping, Sequence
from typing import Any

from simfarm.data.records import Annotation
from simfarm.engine.runner import Engine
from simfarm.judges.debate import told
from simfarm.runs.asking import Call, request_for
from simfarm.runs.outlook import Outlook, longest_reply

__all__ = ["debated", "rounds_ahead", "with_rounds"]

Asked = Callable[[Iterable[Call]], AsyncGenerator[Annotation]]


async def debated(
    calls: Sequence[Call], given: Sequence[Annotation], rounds: int, asked: Asked
) -> list[list[Annotation]]:
    """What each of the `calls` about a comparison came to in the rounds after its first verdict (`given`): none where
    all took one side at once. `asked` asks calls and gives their annotations in order.

    Those debate who were shown the same order in the same repeat. One without a verdict has nothing to say and is not
    asked again; after an error nobody is: the next run goes on from there.
    """
    said: list[list[Annotation]] = [[] for _ in calls]
    if any(one.status == "error" for one in given):
        return said
    tables: dict[Any, list[int]] = {}
    for place, call in enumerate(calls):
        if call.order is not None:
            tables.setdefault((call.order, call.repeat), []).append(place)
    now, talk = list(calls), list(given)
    for step in range(1, rounds + 1):
        again = [
            place
            for table in tables.values()
            if len({_side(talk[place]) for place in table if talk[place].preference is not None}) > 1
            for place in table
            if talk[place].preference is not None
        ]
        if not again:
            break
        for place in again:
            others = [talk[n] for n in tables[calls[place].order, calls[place].repeat] if n in again and n != place]
            now[place] = _next(now[place], talk[place], others, step)
        answers = [annotation async for annotation in asked([now[place] for place in again])]
        for place, answer in zip(again, answers, strict=True):
            said[place].append(answer)
            talk[place] = answer
        if any(answer.status == "error" for answer in answers):
            break
    return said


def _side(one: Annotation) -> int:
    p = one.preference or 1.5
    return (p > 1.5) - (p < 1.5)


def _next(call: Call, own: Annotation, others: Sequence[Annotation], step: int) -> Call:
    """The call in which a member answers again."""
    heard = [(_shown(other), other.reason or "") for other in others]
    after = told(call.member.judge, str(_replies(own)[-1].get("text") or ""), heard)
    return dataclasses.replace(call, after=(*call.after, *after), step=2 * step)


def _shown(one: Annotation) -> float:
    """How strongly the answer shown second is preferred."""
    p = (one.preference or 1.5) - 1
    return 1 - p if one.order == "21" else p


def _replies(one: Annotation) -> list[Mapping[str, Any]]:
    raw = one.raw_completion
    return list(raw) if isinstance(raw, list) else [] if raw is None else [raw]


def with_rounds(first: Annotation, later: Sequence[Annotation]) -> Annotation:
    """A member's row with what it said, and what that took, in the debate."""
    if not later:
        return first
    raws = [
        {"stage": f"round {number}", "step": 2 * number + k} | dict(reply)
        for number, one in enumerate(later, 1)
        for k, reply in enumerate(_replies(one))
    ]
    whole = (first, *(one for one in later if one.calls or one.price is not None))
    took: dict[str, Any] = {}
    for name in ("input_tokens", "output_tokens", "price", "seconds", "calls"):
        values = [getattr(one, name) for one in whole]
        took[name] = None if None in values else sum(values)
    return dataclasses.replace(first, raw_completion=[*_replies(first), *raws], **took)


def rounds_ahead(calls: Iterable[Call], engine: Engine, members: int, rounds: int) -> Outlook:
    """What a debate asks at most: of each call so many rounds, in each of which all others disagree at full length."""
    later = []
    for call in calls:
        if call.member.engine is not engine or call.order is None:
            continue
        reply = longest_reply(request_for(call), engine)
        heard = told(call.member.judge, reply, [(0.0, reply)] * (members - 1))
        later += [
            request_for(dataclasses.replace(call, after=heard * step, step=2 * step)) for step in range(1, rounds + 1)
        ]
    return Outlook([], later, ["debate"], 0)
