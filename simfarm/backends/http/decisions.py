"""Decisions as they go over a wire: a request as a body, an answer as a `Decision`, in OpenAI's or System One's shape.

Pure. OpenAI lists its questions and its answers, System One keys both by name. A reader keeps what came and judges
none of it: whether probabilities are some is asked by `data.decision.distribution` alone, of every transport alike.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from simfarm.backends.http.answers import decision_usage, word
from simfarm.data.decision import MOST_LEVELS, MOST_OPTIONS, MOST_QUESTIONS, Decision, Question
from simfarm.data.exchange import Message, Request, TransientError
from simfarm.errors import InputError
from simfarm.text.words import plural

__all__ = [
    "BREAKPOINT",
    "check_limits",
    "openai_body",
    "openai_questions",
    "read_openai",
    "read_systemone",
    "systemone_body",
    "whole_text_of",
]

BREAKPOINT = "prompt_cache_breakpoint"
"""Where a prefix ends that other requests share; OpenAI's field."""

KINDS = {"noul": "predicate", "boolean": "predicate", "yes_no": "predicate"}
"""Other words for a yes or no question than OpenAI's."""


def check_limits(questions: Sequence[Question]) -> None:
    """Refuses, before any call, more than any server takes. Raises `InputError`."""
    if len(questions) > MOST_QUESTIONS:
        raise InputError(
            f"{plural(len(questions), 'question')}: a request holds {MOST_QUESTIONS}; leave some criteria out"
        )
    for question in questions:
        most = {"choice": MOST_OPTIONS, "score": MOST_LEVELS}.get(question.kind)
        if most is not None and len(question.options) > most:
            what = "options" if question.kind == "choice" else "levels"
            raise InputError(f"the question {question.name} has {len(question.options)} {what}, and may have {most}")


def openai_body(request: Request, without: Collection[str] = ()) -> dict[str, Any]:
    """A body of `POST /decisions`. `without` are what a server does not take: the cache's breakpoint, a `name`, a
    `description` (which the question's words then hold) or a `role` (the messages are then one text)."""
    return {
        "model": request.model,
        "input": whole_text_of(request.messages) if "role" in without else list(_messages(request.messages, without)),
        "questions": openai_questions(request.questions, without),
    }


def whole_text_of(messages: Iterable[Message]) -> str:
    """Messages as one text, in their order: the rubric first, what is judged last."""
    return "\n\n".join(message["content"] for message in messages)


def _messages(messages: Iterable[Message], without: Collection[str]) -> Iterator[dict[str, Any]]:
    for message in messages:
        role, text = message["role"], message["content"]
        if role == "system" and BREAKPOINT not in without:
            marked = {"type": "input_text", "text": text, BREAKPOINT: {"mode": "explicit"}}
            yield {"type": "message", "role": role, "content": [marked]}
        else:
            yield {"type": "message", "role": role, "content": text}


def openai_questions(questions: Iterable[Question], without: Collection[str] = ()) -> list[dict[str, Any]]:
    """Questions in OpenAI's shape."""
    return [_openai_question(question, without) for question in questions]


def _openai_question(question: Question, without: Collection[str]) -> dict[str, Any]:
    bare = "description" in without
    asked: dict[str, Any] = {
        "type": question.kind,
        "name": question.name,
        "instructions": _instructions(question, bare),
    }
    if "name" in without:
        del asked["name"]
    field, key = ("choices", "value") if question.kind == "choice" else ("levels", "label")
    if question.kind != "predicate":
        asked[field] = [
            {key: option.value, **({"description": option.description} if option.description and not bare else {})}
            for option in question.options
        ]
    return asked


def _instructions(question: Question, bare: bool) -> str:
    """A question's words, with the descriptions of its options where they have no place of their own."""
    lines = [f"{option.value}: {option.description}" for option in question.options if option.description]
    return "\n".join([question.instructions, *lines]) if bare else question.instructions


def systemone_body(request: Request, without: Collection[str] = ()) -> dict[str, Any]:
    """A body of `POST /systemone`, whose state is the messages as one text. An option's description is its criterion; a
    level is its own."""
    bare = "description" in without
    questions: dict[str, Any] = {}
    for question in request.questions:
        asked: dict[str, Any] = {"type": question.kind, "instructions": _instructions(question, bare)}
        if question.kind == "predicate":
            asked["type"] = "noul"
        elif question.kind == "choice":
            asked["criteria"] = {o.value: None if bare else o.description or None for o in question.options}
        else:
            asked["criteria"] = [_level(o.value, "" if bare else o.description) for o in question.options]
        questions[question.name] = asked
    return {"model": request.model, "state": whole_text_of(request.messages), "questions": questions}


def _level(value: str, description: str) -> str:
    return f"{value}: {description}" if description else value


def read_openai(answer: Any, request: Request, seconds: float, provider: str) -> Decision:
    """The decision in an answer of OpenAI's shape; answers are found by their names, by their place where they have
    none and none is missing. Raises `TransientError` where there are no answers at all."""
    listed = answer.get("answers") if isinstance(answer, Mapping) else None
    if isinstance(listed, Mapping):
        # SGLang's own shape: keyed, as System One
        return read_systemone(answer, request, seconds, provider)
    if not isinstance(listed, list | tuple):
        raise _no_answers(answer, provider)
    known = {question.name: question for question in request.questions}
    found: dict[str, Any] = {}
    for place, given in enumerate(listed):
        name = given.get("name") if isinstance(given, Mapping) else None
        if name is None and len(listed) == len(request.questions):
            name = request.questions[place].name
        if isinstance(name, str) and name in known:
            found.setdefault(name, given)
    return _decision(answer, request, found, seconds)


def read_systemone(answer: Any, request: Request, seconds: float, provider: str) -> Decision:
    """The same of System One's shape, by the questions' keys; Cloudflare's and Databricks' have an envelope."""
    for envelope in ("result", "response"):
        if isinstance(answer, Mapping) and "answers" not in answer and isinstance(answer.get(envelope), Mapping):
            answer = answer[envelope]
    keyed = answer.get("answers") if isinstance(answer, Mapping) else None
    if not isinstance(keyed, Mapping):
        raise _no_answers(answer, provider)
    found = {question.name: keyed[question.name] for question in request.questions if question.name in keyed}
    return _decision(answer, request, found, seconds)


def _no_answers(answer: Any, provider: str) -> TransientError:
    what = "is a page, not JSON" if isinstance(answer, str) else "has no answers"
    return TransientError(f"{provider}: the answer {what}")


def _decision(answer: Mapping[str, Any], request: Request, found: Mapping[str, Any], seconds: float) -> Decision:
    answers, refused = {}, []
    for question in request.questions:
        given = found.get(question.name)
        if isinstance(given, Mapping) and given.get("type") == "refusal":
            refused.append(question.name)
        elif isinstance(given, Mapping):
            answers[question.name] = _chances(question, given)
    took = decision_usage(answer) | {"model": word(answer, "model"), "seconds": round(seconds, 4)}
    return Decision.from_json({"answers": answers, "refused": refused, **took})


def _chances(question: Question, given: Mapping[str, Any]) -> dict[str, Any]:
    """Option -> what stands for its probability. An option that is named twice has none."""
    kind, listed = word(given, "type") or question.kind, given.get("probabilities")
    if KINDS.get(kind, kind) != question.kind:
        # the chance that a statement is true says nothing of two answers
        return {}
    if question.kind == "predicate" and not isinstance(listed, Mapping):
        yes = given.get("probability", given.get("noul"))
        number = isinstance(yes, int | float) and not isinstance(yes, bool)
        return dict(zip(question.values, (yes, 1 - yes) if number else (None, None), strict=False))
    pairs = list(_pairs(question, listed))
    times = Counter(name for name, _ in pairs)
    return {name: chance if times[name] == 1 else None for name, chance in pairs}


def _pairs(question: Question, listed: Any) -> Iterator[tuple[str, Any]]:
    """(option, probability) of a map or of a list."""
    values = question.values
    if isinstance(listed, Mapping):
        keys = [str(key) for key in listed]
        places = [str(place) for place in range(len(values))]
        # System One numbers the levels of a score, from 0
        numbered = question.kind == "score" and set(keys) <= set(places)
        for key, chance in zip(keys, listed.values(), strict=True):
            yield (values[int(key)] if numbered else key), chance
        return
    for entry in listed if isinstance(listed, list | tuple) else ():
        if not isinstance(entry, Mapping):
            continue
        value, label = entry.get("value"), entry.get("label")
        if question.kind == "score" and label in values:
            yield label, entry.get("probability")
        elif question.kind == "score" and isinstance(value, int) and 0 <= value < len(values):
            yield values[value], entry.get("probability")
        else:
            named = value if value is not None else label
            yield (named if isinstance(named, str) else str(named).lower()), entry.get("probability")
