"""Questions to judges of likelihoods: every text of a call scored by its model, and what the scores come to.

A call asks several questions, of one model or of two; each is kept in the store by itself, so that a killed run has
lost none. There is no reply that could not be read: a text has a likelihood, or its call is an error.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections.abc import Callable, Iterator
from typing import Any

from simfarm.backends.local.beside import Beside
from simfarm.data.exchange import CallError, Completion, Likelihood, Request, TransientError
from simfarm.engine.runner import Engine
from simfarm.errors import InputError
from simfarm.judges import Judge
from simfarm.judges.protocols import likelihood
from simfarm.judges.verdict import Verdict
from simfarm.runs.asking import Call, Paid, about, next_request
from simfarm.runs.fitness import check_likely
from simfarm.runs.run import OpenModel

__all__ = ["beside_reference", "next_requests", "score_requests", "scored"]

LIKELY = "log_likelihood"
"""What stands in a request's sampling where nothing is to be generated."""


def score_requests(call: Call) -> list[Request]:
    """Every question of a call, in the order in which `likelihood.verdict` takes the answers.

    A model that can answer with or without thinking is read as one that does not think, unless the judge's
    template_args say otherwise: the text would stand inside its reasoning.
    """
    pair, judge, model = call.comparison, call.member.judge, call.member.model
    assert call.order is not None
    assert judge.scoring is not None
    own: dict[str, Any] = dict(judge.sampling)
    if judge.scoring.score != "reward":
        own["template_args"] = {"enable_thinking": False} | dict(own.get("template_args") or {})
    reference = (judge.scoring.reference or "").partition("/")[2]
    return [
        Request(
            model=reference if one.part == "reference" else model,
            messages=one.messages,
            sampling={LIKELY: True, **own},
            sample=call.repeat,
            judged=about(call, step),
        )
        for step, one in enumerate(likelihood.asked(judge, pair))
    ]


def next_requests(call: Call, retry_unparseable: bool) -> Iterator[Request | None]:
    """What a run would ask about a call, given the answers in the store; None for each question that it need not."""
    if call.member.judge.scoring is None:
        yield next_request(call, retry_unparseable)
        return
    engine = call.member.engine
    assert engine is not None
    for request in score_requests(call):
        yield None if engine.cached(request) is not None else request


def beside_reference(judge: Judge, model: OpenModel, opening: Callable[[str], OpenModel]) -> tuple[Judge, OpenModel]:
    """(the judge with the reference by the name under which it was opened, both models as one), where the judge's score
    is the difference of two. A recording stands for both. Raises `InputError` where they are one and the same."""
    if judge.scoring is None or judge.scoring.reference is None or model.recorded is not None:
        return judge, model
    other = opening(judge.scoring.reference)
    named = f"{other.backend.name}/{other.name}"
    if named == judge.model:
        raise InputError(f"the judge {judge.name!r} subtracts {named} from itself, which is 0: name another reference")
    check_likely(judge, other.backend, other.name)
    backend = Beside(model.backend, other.backend, other.name)
    judge = dataclasses.replace(judge, scoring=dataclasses.replace(judge.scoring, reference=named))
    return judge, dataclasses.replace(model, backend=backend)


async def scored(call: Call, engine: Engine, paid: list[Paid]) -> tuple[Verdict, list[Completion | Likelihood]]:
    """The verdict of a call and the answers it was made of. `paid` collects them, also where an error ends it. Raises
    as `Engine.score`: what ends the run before what is this row's alone."""
    requests = score_requests(call)
    rewarded = call.member.judge.scoring is not None and call.member.judge.scoring.score == "reward"

    async def ask(request: Request) -> Completion | Likelihood:
        return (await engine.complete(request))[0] if rewarded else (await engine.score(request))[0]

    given = await asyncio.gather(*map(ask, requests), return_exceptions=True)
    answers: list[Completion | Likelihood] = []
    errors: list[BaseException] = []
    for one in given:
        if isinstance(one, BaseException):
            errors.append(one)
        else:
            answers.append(one)
            paid.append(Paid(one, 1, 0))
    if errors:
        raise next((e for e in errors if not isinstance(e, CallError | TransientError)), errors[0])
    values = [_reward(answer) if isinstance(answer, Completion) else answer for answer in answers]
    return likelihood.verdict(call.member.judge, call.comparison, values), answers


def _reward(answer: Completion) -> float:
    """The number that a reward model's answer is. Raises `CallError` for any other text."""
    try:
        value = float(answer.text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise CallError(f"the model's reward is no number ({answer.text[:40]!r})")
    return value
