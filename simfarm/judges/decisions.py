"""A decision judge: what it asks about a pair as typed questions, and the verdict in the probabilities that come back.

The preference is one choice between the labels; every criterion is a further question of the same request, so that a
rubric of twenty costs one reading of the pair. Nothing is parsed and nothing repaired: a distribution is one, or the
call has no verdict. A criterion that was refused lacks its score alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from simfarm.data.decision import (
    MOST_LEVELS,
    MOST_QUESTIONS,
    Decision,
    Option,
    Question,
    distribution,
    expected_level,
)
from simfarm.data.sampling import DECIDED
from simfarm.errors import InputError
from simfarm.judges.parsers import MEANINGS, VerdictSpec
from simfarm.judges.verdict import Verdict
from simfarm.text.words import plural

__all__ = [
    "ANSWER",
    "ENDS",
    "NAME",
    "PREFERENCE",
    "SHOWN",
    "check_criteria",
    "check_drawn",
    "parse_decision",
    "questions",
]

PREFERENCE = "preference"
"""The name of the question which answer is better."""

ANSWER = "{answer}"
"""In a criterion's question: the label of an answer. Such a criterion is asked of each of the two."""

PLACE = re.compile(r"\{\w+\}")
"""What stands, or is meant to stand, for something else in a question."""

CRITERION = ("name", "question", "levels")
SHOWN = ("first", "second")
"""The two answers, as they are shown."""

ENDS = tuple(f"_{end}" for end in (*SHOWN, "1", "2"))
"""What a question about one answer, and its score by the output, end in: no name of a criterion's own."""

NAME = "[A-Za-z][A-Za-z0-9_-]{0,59}"


def questions(spec: VerdictSpec, criteria: Sequence[Mapping[str, Any]]) -> tuple[Question, ...]:
    """The preference, then the criteria in the order of the file; one about each answer ends in _first or _second, as
    they are shown."""
    options = tuple(Option(label, spec.descriptions.get(label, "")) for label in spec.labels)
    asked = [Question(PREFERENCE, "choice", spec.question, options)]
    for criterion in criteria:
        levels = tuple(Option(level) for level in criterion.get("levels") or ())
        kind, text = "score" if levels else "predicate", criterion["question"]
        if ANSWER not in text:
            asked.append(Question(criterion["name"], kind, text, levels))
            continue
        for shown in SHOWN:
            said = text.replace(ANSWER, spec.label(shown))
            asked.append(Question(f"{criterion['name']}_{shown}", kind, said, levels))
    return tuple(asked)


def parse_decision(decision: Decision, asked: Sequence[Question], spec: VerdictSpec) -> Verdict:
    """p = P(second) + P(tie)/2, of the labels' probabilities; without a tie that is P(second)/(P(first) + P(second)).

    `scores` are those of the criteria that have an answer, by the questions' names: of a predicate the probability that
    it is true, of a score its expected level, from 0 (the lowest).
    """
    preference, *criteria = asked
    try:
        chances = distribution(preference, decision)
    except ValueError as error:
        return Verdict(None, str(error))
    scores = dict(_scores(criteria, decision)) or None
    p = math.fsum(MEANINGS[spec.labels[label]][0] * chance for label, chance in chances.items())
    return Verdict(min(1.0, p), scores=scores)


def _scores(criteria: Sequence[Question], decision: Decision) -> Iterator[tuple[str, float]]:
    for question in criteria:
        try:
            chances = distribution(question, decision)
        except ValueError:
            continue
        yield question.name, expected_level(chances) if question.kind == "score" else next(iter(chances.values()))


def check_criteria(where: str, criteria: Sequence[Any]) -> None:
    """Refuse criteria that are no questions. Raises `InputError`."""
    names: Counter[str] = Counter()
    for number, criterion in enumerate(criteria, 1):
        at = f"{where}, number {number}"
        if not isinstance(criterion, Mapping):
            form = "{name: correct, question: Answer {answer} is correct.}"
            raise InputError(f"{at}: a decision judge's criterion is a question; write it as {form}")
        if unknown := [key for key in criterion if key not in CRITERION]:
            raise InputError(f"{at}: unknown key {unknown[0]!r}; a criterion has {', '.join(CRITERION)}")
        name, text = criterion.get("name"), criterion.get("question")
        if not isinstance(name, str) or not re.fullmatch(NAME, name):
            raise InputError(f"{at}: name it in letters, digits, - and _, a letter first, not {name!r}")
        if name == PREFERENCE:
            raise InputError(f"{at}: {name!r} is what the verdict's own question is called; give another name")
        if name.endswith(ENDS):
            raise InputError(
                f"{at}: the name {name!r} ends as those of one answer do ({', '.join(ENDS)}); give another"
            )
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{at}: its question must be a text, not {text!r}")
        if other := next((word for word in PLACE.findall(text) if word != ANSWER), None):
            raise InputError(f"{at}: its question has {other}, which stands for nothing; write {ANSWER} for an answer")
        _check_levels(at, criterion)
        names[name] += 1
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError(f"{where}: two criteria are named {twice[0]!r}; give one another name")
    asked = 1 + sum(1 + (ANSWER in criterion["question"]) for criterion in criteria)
    if asked > MOST_QUESTIONS:
        raise InputError(f"{where}: {plural(asked, 'question')}, and a request holds {MOST_QUESTIONS}; leave some out")


def _check_levels(at: str, criterion: Mapping[str, Any]) -> None:
    if "levels" not in criterion:
        return
    levels = criterion["levels"]
    texts = isinstance(levels, list) and all(isinstance(level, str) and level.strip() for level in levels)
    if not texts or not 2 <= len(levels) <= MOST_LEVELS or len(set(levels)) < len(levels):
        raise InputError(
            f"{at}: levels must be 2 to {MOST_LEVELS} different texts, the lowest first (a number in quotes), "
            f"not {levels!r}"
        )
    numbers = [level for level in levels if level.lstrip("-").replace(".", "", 1).isdecimal()]
    if numbers and levels != [str(place) for place in range(len(levels))]:
        # servers number the levels themselves, and a number could be either
        raise InputError(f"{at}: levels that are numbers count from 0 (0, 1, 2 …), or take words, not {levels!r}")


def check_drawn(where: str, sampling: Mapping[str, Any]) -> None:
    """Refuse what would draw or bound a reply. Raises `InputError`."""
    if drawn := [name for name in sampling if name not in DECIDED]:
        raise InputError(
            f"{where}: this judge generates no text, so that {min(drawn)} does nothing: leave it out "
            f"(it takes {', '.join(DECIDED)})"
        )
