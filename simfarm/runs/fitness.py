"""Whether the model behind a judge can do what the judge asks of it, and how long it is to be had.

A judge knows no models and a backend knows no judges: what the one says of the other is put together here, for whoever
checks or lists judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from simfarm.backends.base import Backend, Decider
from simfarm.backends.http.dialect import check_thinking
from simfarm.backends.http.retirements import retirement
from simfarm.errors import InputError
from simfarm.judges import Judge

__all__ = ["check_questions", "doubts", "last_day"]

SOON = timedelta(days=90)
"""A board is added to for longer than this."""


def check_questions(judge: Judge, backend: Backend, model: str) -> None:
    """Refuse a decision judge on a backend that cannot decide, or cannot be asked its questions. Raises
    `InputError`."""
    if not judge.questions:
        if getattr(backend, "only_decides", False):
            raise InputError(
                f"{backend.name}/{model} only decides and writes no text: use the judge pairwise-decision, or a model "
                "that writes (openai/NAME)"
            )
        return
    if not isinstance(backend, Decider):
        raise InputError(
            f"{backend.name}/ gives no decisions: use a judge that reads text (pairwise-reasoned, pairwise-letter), or "
            "a model that decides (openai/gpt-6-luna, systemone/NAME, a model on this machine)"
        )
    backend.check_questions(model, judge.questions)


def doubts(judge: Judge, today: date | None = None) -> Iterator[str]:
    """What speaks against a judge's model, in words: what is asked of it and it is known not to have; given the day,
    also that it ends soon. Nothing for a rule."""
    if judge.rule is not None:
        return
    try:
        check_thinking((judge.model or "").partition("/")[2], None, judge.sampling)
    except InputError as error:
        yield str(error)
    end = last_day(judge)
    if end is None or today is None or end > today + SOON:
        return
    line = retirement(judge.model or "")
    others = judge.alternatives or ((f"{line.provider}/{line.replacement}",) if line and line.replacement else ())
    ending = f"was shut down on {end}" if end <= today else f"is shut down on {end}: boards end with it"
    yield f"its model {judge.model} {ending}" + (f"; there is {', '.join(others)}" if others else "; name another")


def last_day(judge: Judge) -> date | None:
    """The day on which the judge's model is shut down: as its file says, else by the table; None where not known."""
    line = retirement(judge.model) if judge.model and judge.until is None else None
    return line.shutdown if line else judge.until
