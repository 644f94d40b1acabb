"""Decisions by a chat model in this process: how a typed question is put to it, and what its options' odds are.

The model is shown the question after the material, the options under short labels, and is asked for a label alone. It
writes none: the labels' log likelihoods at the place where its answer would begin say how it would choose, in one
reading and with nothing to parse. Which labels these are depends on the question alone, so that every engine and every
model is asked in the same words.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise, takewhile
from string import ascii_uppercase
from typing import Any

from simfarm.backends.local.framing import check_pair
from simfarm.data.decision import MOST_LEVELS, MOST_OPTIONS, Decision, Question
from simfarm.data.exchange import Message, Request
from simfarm.data.sampling import FRAMING
from simfarm.errors import InputError

__all__ = ["Ballot", "asking", "ballots", "check_questions", "common", "decision", "labels", "probabilities"]

OPENED = re.compile(
    r"[<\[◁]\|?(?:\w+:)?(?:START_|begin_of_)?(?:think|thinking|thought|reasoning)\|?[>\]▷]\s*\Z", re.IGNORECASE
)
"""A prompt that ends so has begun the model's reasoning; those of Qwen, DeepSeek, Seed, Cohere, Kimi and Mistral."""

TAIL = 24
"""Tokens of a prompt's end in which such a mark is looked for."""

NAMED = 10
"""Labels that the request for an answer names one by one."""


@dataclass(frozen=True, slots=True)
class Ballot:
    """A question in a model's tokens: what is read, and what each option is told by after it. What all options begin
    with (SentencePiece's "▁") is part of the prompt: it makes none of them likelier. No option is empty, and none
    begins another."""

    question: Question
    prompt: list[int]
    options: list[list[int]]

    @property
    def single(self) -> bool:
        """Whether every option is one token: one reading of the prompt then tells all of them."""
        return all(len(option) == 1 for option in self.options)


def check_questions(questions: Sequence[Question]) -> None:
    """Refuse questions that have no labels. Raises `InputError`."""
    assert questions, "a decision has at least one question"
    for question in questions:
        values, most = question.values, MOST_LEVELS if question.kind == "score" else MOST_OPTIONS
        what = "levels" if question.kind == "score" else "options"
        if not 2 <= len(values) <= most:
            raise InputError(
                f"the question '{question.name}' has {len(values)} {what} and a model in this process is asked with 2 "
                f"to {most}: take fewer, or make several questions of it"
            )
        if len(set(values)) < len(values):
            raise InputError(f"the question '{question.name}' has an option twice: give each a value of its own")


def labels(question: Question) -> tuple[str, ...]:
    """What stands for each option, in order: its value where every value is one letter or digit, and for yes and no;
    else the digits of a score's levels, and letters; numbers of one width where letters do not suffice, so that no
    label begins another."""
    values = question.values
    if question.kind == "predicate" or all(len(value) == 1 and value.isascii() and value.isalnum() for value in values):
        return values
    if question.kind == "score":
        return tuple(map(str, range(len(values))))
    if len(values) <= len(ascii_uppercase):
        return tuple(ascii_uppercase[: len(values)])
    width = len(str(len(values)))
    return tuple(f"{number:0{width}}" for number in range(1, len(values) + 1))


def asking(messages: Sequence[Message], question: Question) -> tuple[Message, ...]:
    """The messages with the question at their end, so that all questions of a request begin alike."""
    if messages and messages[-1]["role"] == "user":
        *before, last = messages
        return (*before, {**last, "content": f"{last['content']}\n\n{_words(question)}"})
    return (*messages, {"role": "user", "content": _words(question)})


def _words(question: Question) -> str:
    names = labels(question)
    if question.kind == "predicate":
        return f"{question.instructions}\n\nAnswer {' or '.join(names)}, and nothing else."
    lines = []
    for label, value, option in zip(names, question.values, question.options, strict=True):
        lines.append(": ".join(dict.fromkeys(text for text in (label, value, option.description) if text)))
    order = ", the lowest level first" if question.kind == "score" else ""
    chosen = f"{', '.join(names[:-1])} or {names[-1]}" if len(names) <= NAMED else "one of the labels above"
    return (
        f"{question.instructions}\n\nOptions{order}:\n" + "\n".join(lines) + f"\n\nAnswer {chosen}, and nothing else."
    )


def ballots(
    request: Request,
    *,
    frame: Callable[[Sequence[Message], Mapping[str, Any]], list[int]],
    encode: Callable[[str], list[int]],
    decode: Callable[[list[int]], str],
    context: int,
) -> list[Ballot]:
    """A request's questions in a model's tokens: `frame` gives those of a chat up to its answer, `encode` those of a
    text alone, `decode` a text with special tokens by their names; `context` is how many the model holds.

    A model that can answer with or without thinking is asked without, unless the request's template_args say otherwise.
    Raises `InputError` where the prompt ends inside its reasoning, where no label can stand, and for labels that this
    model cannot tell apart; `CallError` for what does not fit the context.
    """
    sampling = {name: request.sampling[name] for name in FRAMING if name in request.sampling}
    sampling["template_args"] = {"enable_thinking": False} | dict(sampling.get("template_args") or {})
    made = []
    for question in request.questions:
        prompt = frame(asking(request.messages, question), sampling)
        if OPENED.search(decode(prompt[-TAIL:])):
            raise InputError(
                "the chat template begins the model's reasoning, where no option can stand: give the judge's "
                "template_args or chat_template that switch it off, or use a judge that reads text (pairwise-reasoned)"
            )
        options = _told_apart(question, [encode(label) for label in labels(question)])
        check_pair(prompt, max(options, key=len), context)
        shared = len(common(options))
        made.append(Ballot(question, prompt + options[0][:shared], [option[shared:] for option in options]))
    return made


def _told_apart(question: Question, options: list[list[int]]) -> list[list[int]]:
    """The options' tokens. Raises `InputError` where one's begin another's: the longer could not be likelier."""
    named = sorted(zip(options, labels(question), strict=True))
    for (first, label), (second, other) in pairwise([([], ""), *named]):
        if first == second[: len(first)] and (label or not second):
            raise InputError(
                f"this model's tokenizer does not tell the labels {label or other} and {other} of the question "
                f"'{question.name}' apart: give its options other values, or use another model"
            )
    return options


def common(rows: Sequence[Sequence[int]]) -> Sequence[int]:
    """The tokens that all rows begin with."""
    alike = takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False))
    return rows[0][: sum(1 for _ in alike)]


def probabilities(question: Question, nats: Sequence[float]) -> dict[str, float | None]:
    """Option -> probability from the options' log likelihoods: their softmax. All are None where a model's arithmetic
    failed, and one of them is no number."""
    most = max(nats)
    if any(math.isnan(value) for value in nats) or not math.isfinite(most):
        return dict.fromkeys(question.values)
    weights = [math.exp(value - most) for value in nats]
    total = math.fsum(weights)
    return {value: weight / total for value, weight in zip(question.values, weights, strict=True)}


def decision(
    polled: Sequence[Ballot], nats: Sequence[Sequence[float]], *, model: str, seconds: float, engine: str
) -> Decision:
    """The answers to a request's questions from the log likelihoods of each one's options. What the prompts have in
    common counts once among the tokens that were read."""
    shared = len(common([ballot.prompt for ballot in polled]))
    return Decision(
        {
            ballot.question.name: probabilities(ballot.question, values)
            for ballot, values in zip(polled, nats, strict=True)
        },
        input_tokens=shared + sum(len(ballot.prompt) - shared for ballot in polled),
        output_tokens=0,
        model=model,
        seconds=round(seconds, 4),
        engine=engine,
    )
