"""Whether the model behind a judge can do what the judge asks of it, and how long it is to be had.

A judge knows no models and a backend knows no judges: what the one says of the other is put together here, for whoever
checks or lists judges.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

from simfarm.backends.base import Backend, Decider, Likely
from simfarm.backends.http.dialect import check_thinking
from simfarm.backends.http.retirements import retirement
from simfarm.errors import InputError
from simfarm.judges import Judge
from simfarm.judges.stages import samplings

__all__ = ["check_likely", "check_questions", "check_scoring", "check_spec", "doubts", "last_day"]

NO_DECISIONS = ("anthropic",)
NO_LIKELIHOODS = ("anthropic", "litellm", "systemone")
"""Prefixes of those who have none, which is known without a key."""

DECIDES = {"openai": ("gpt-6-luna",)}
"""Whose models decide at their provider's own address, by its pages of 27 November 2026."""

SOON = timedelta(days=90)
"""A board is added to for longer than this."""


def check_spec(judge: Judge, spec: str) -> None:
    """Refuse a judge of decisions or likelihoods on a provider without them, before its key is asked for. Raises
    `InputError`."""
    prefix = spec.partition("/")[0]
    if judge.questions and prefix in NO_DECISIONS:
        raise InputError(_no_decisions(prefix, judge))
    if judge.scoring is not None and prefix in NO_LIKELIHOODS:
        raise InputError(_no_likelihoods(prefix))


def check_scoring(judge: Judge, backend: Backend, model: str) -> None:
    """Refuse a judge of likelihoods on a backend that tells none, a judge of rewards on one that gives none, and any
    other judge on one that gives nothing else. Raises `InputError`."""
    wanted = judge.scoring is not None and judge.scoring.score == "reward"
    if bool(getattr(backend, "only_rewards", False)) != wanted and backend.name != "replay":
        if wanted:
            raise InputError(
                f"{backend.name}/{model} is no reward model: name transformers/PATH of a sequence classifier with one "
                "label, or a judge with score: answer"
            )
        raise InputError(
            f"{model} is a reward model and writes no text: give it to a judge with protocol: likelihood and score: "
            "reward, or name a model that writes"
        )
    if judge.scoring is not None and not wanted:
        check_likely(judge, backend, model)


def check_likely(judge: Judge, backend: Backend, model: str) -> None:
    """Refuse a backend that does not say how likely a text is, or not of this model. Raises `InputError`."""
    if isinstance(backend, Likely):
        backend.check_likelihoods(model, judge.sampling)
    elif not hasattr(backend, "log_likelihood"):
        raise InputError(_no_likelihoods(backend.name))


def _no_likelihoods(prefix: str) -> str:
    return (
        f"{prefix}/ tells no likelihood of a text that it is given: name a model in this process (embedded, a GGUF "
        "file, transformers/PATH, vllm/PATH)"
    )


def _no_decisions(prefix: str, judge: Judge) -> str:
    others = "rating-5" if judge.alone else "pairwise-reasoned, pairwise-letter"
    return (
        f"{prefix}/ gives no decisions: use a judge that reads text ({others}), or a model "
        "that decides (openai/gpt-6-luna, systemone/NAME, a model on this machine)"
    )


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
    if judge.stages and getattr(backend, "only_decides", False):
        raise InputError(
            f"{backend.name}/{model} only decides and writes no text, which the stages of {judge.name} are: name a "
            "model that does both (openai/gpt-6-luna, a model on this machine)"
        )
    if not isinstance(backend, Decider):
        raise InputError(_no_decisions(backend.name, judge))
    backend.check_questions(model, judge.questions)


def doubts(judge: Judge, today: date | None = None) -> Iterator[str]:
    """What speaks against a judge's model, in words: what is asked of it and it is known not to have; given the day,
    also that it ends soon. Nothing for a rule."""
    if judge.rule is not None:
        return
    prefix, _, name = (judge.model or "").partition("/")
    try:
        check_spec(judge, judge.model or "")
        for sampling in (judge.sampling, *samplings(judge)):
            check_thinking(name, None, sampling)
    except InputError as error:
        yield str(error)
    if judge.questions and name not in DECIDES.get(prefix, (name,)):
        yield f"{prefix}/ gives decisions by {', '.join(DECIDES[prefix])} alone, unless --base-url names another server"
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
