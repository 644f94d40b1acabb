"""A decision judge: what it asks as typed questions, and the verdict in the probabilities that come back.

The preference, or the score of a judge that rates, is one choice between the labels; every criterion is a further
question of the same request, so that a rubric of twenty costs one reading of what is judged. Nothing is parsed and
nothing repaired: a distribution is one, or the call has no verdict. A criterion that was refused lacks its score alone.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from simfarm.data.decision import (
    MOST_LEVELS,
    MOST_OPTIONS,
    MOST_QUESTIONS,
    SCORE,
    Decision,
    Option,
    Question,
    distribution,
)
from simfarm.data.sampling import DECIDED
from simfarm.errors import InputError
from simfarm.judges.parsers import MEANINGS, VerdictSpec
from simfarm.judges.verdict import Verdict
from simfarm.text.words import plural

__all__ = [
    "ANSWER",
    "CRITERION",
    "ENDS",
    "NAME",
    "PREFERENCE",
    "SHOWN",
    "check_criteria",
    "check_drawn",
    "numbers_of",
    "parse_decision",
    "questions",
    "verdict_name",
]

PREFERENCE = "preference"
"""The name of the question which answer is better."""

ANSWER = "{answer}"
"""In a criterion's question: the label of an answer. Such a criterion is asked of each of the two."""

PLACE = re.compile(r"\{\w+\}")
"""What stands, or is meant to stand, for something else in a question."""

CRITERION = ("name", "question", "levels", "options")
SHOWN = ("first", "second")
"""The two answers, as they are shown."""

ENDS = tuple(f"_{end}" for end in (*SHOWN, "1", "2"))
"""What a question about one answer, and its score by the output, end in: no name of a criterion's own."""

NAME = "[A-Za-z][A-Za-z0-9_-]{0,59}"


def verdict_name(spec: VerdictSpec) -> str:
    """The name of the first question, which gives the verdict: which answer is better, or how good the one is."""
    return SCORE if spec.scale else PREFERENCE


def questions(spec: VerdictSpec, criteria: Sequence[Mapping[str, Any]]) -> tuple[Question, ...]:
    """The verdict's, then the criteria in the order of the file; one about each answer of a pair ends in _first or
    _second, as they are shown."""
    options = tuple(Option(label, spec.descriptions.get(label, "")) for label in spec.labels)
    asked = [Question(verdict_name(spec), "choice", spec.question, options)]
    for criterion in criteria:
        named = criterion.get("levels") or criterion.get("options") or ()
        values = tuple(Option(str(value)) for value in named)
        kind, text = "score" if "levels" in criterion else "choice" if values else "predicate", criterion["question"]
        if ANSWER not in text:
            asked.append(Question(criterion["name"], kind, text, values))
            continue
        for shown in SHOWN:
            said = text.replace(ANSWER, spec.label(shown))
            asked.append(Question(f"{criterion['name']}_{shown}", kind, said, values))
    return tuple(asked)


def numbers_of(criterion: Mapping[str, Any]) -> list[float]:
    """What the options of a criterion's question count, in their order: of a predicate 1 (yes) and 0, of a score its
    level from 0 (the lowest), of a choice as the file says it."""
    if "options" in criterion:
        return [float(number) for number in criterion["options"].values()]
    return [float(level) for level in range(len(criterion["levels"]))] if "levels" in criterion else [1.0, 0.0]


def parse_decision(
    decision: Decision, asked: Sequence[Question], spec: VerdictSpec, criteria: Sequence[Mapping[str, Any]]
) -> Verdict:
    """The verdict in the labels' probabilities: of a pair p = P(second) + P(tie)/2, which without a tie is
    P(second)/(P(first) + P(second)); of one output the expected score.

    `scores` are those of the criteria that have an answer, by the questions' names: the expected number, which of a
    predicate is the probability that it is true. `scores_sd` are the standard deviations of the same distributions, and
    that of the score of one output: how far what is so may lie from the expectation, if the judge's probabilities are
    true.
    """
    first, *others = asked
    try:
        chances = distribution(first, decision)
    except ValueError as error:
        return Verdict(None, str(error))
    marks = dict(_marks(others, decision, criteria))
    scores = {name: mean for name, (mean, _) in marks.items()} or None
    spreads = {name: sd for name, (_, sd) in marks.items()}
    if spec.scale:
        score, sd = _moments([*chances.values()], [spec.scale[label] for label in chances])
        return Verdict(None, score=score, scores=scores, scores_sd={first.name: sd, **spreads})
    p = math.fsum(MEANINGS[spec.labels[label]][0] * chance for label, chance in chances.items())
    return Verdict(min(1.0, p), scores=scores, scores_sd=spreads or None)


def _marks(
    asked: Sequence[Question], decision: Decision, criteria: Sequence[Mapping[str, Any]]
) -> Iterator[tuple[str, tuple[float, float]]]:
    numbers = {criterion["name"]: numbers_of(criterion) for criterion in criteria}
    for question in asked:
        try:
            chances = distribution(question, decision)
        except ValueError:
            continue
        stem, _, shown = question.name.rpartition("_")
        own = numbers[stem if shown in SHOWN else question.name]
        yield question.name, _moments([*chances.values()], own)


def _moments(chances: Sequence[float], numbers: Sequence[float]) -> tuple[float, float]:
    """The mean and the standard deviation of numbers that are drawn with these chances."""
    mean = math.fsum(chance * number for chance, number in zip(chances, numbers, strict=True))
    mean = min(max(mean, min(numbers)), max(numbers))
    square = math.fsum(chance * (number - mean) ** 2 for chance, number in zip(chances, numbers, strict=True))
    return mean, math.sqrt(square)


def check_criteria(where: str, criteria: Sequence[Any], alone: bool = False) -> None:
    """Refuse criteria that are no questions; of a judge that sees one output `alone` none is about one of two. Raises
    `InputError`."""
    names: Counter[str] = Counter()
    for number, criterion in enumerate(criteria, 1):
        at = f"{where}, number {number}"
        if not isinstance(criterion, Mapping):
            form = f"{{name: correct, question: {'The answer' if alone else 'Answer {answer}'} is correct.}}"
            raise InputError(f"{at}: a decision judge's criterion is a question; write it as {form}")
        if unknown := [key for key in criterion if key not in CRITERION]:
            raise InputError(f"{at}: unknown key {unknown[0]!r}; a criterion has {', '.join(CRITERION)}")
        _check_name(at, criterion.get("name"), alone)
        text = criterion.get("question")
        if not isinstance(text, str) or not text.strip():
            raise InputError(f"{at}: its question must be a text, not {text!r}")
        places = [] if alone else [ANSWER]
        if other := next((word for word in PLACE.findall(text) if word not in places), None):
            remedy = "name the answer in words" if alone else f"write {ANSWER} for an answer"
            raise InputError(f"{at}: its question has {other}, which stands for nothing; {remedy}")
        _check_levels(at, criterion)
        _check_options(at, criterion)
        names[criterion["name"]] += 1
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError(f"{where}: two criteria are named {twice[0]!r}; give one another name")
    asked = 1 + sum(1 + (ANSWER in criterion["question"]) for criterion in criteria)
    if asked > MOST_QUESTIONS:
        raise InputError(f"{where}: {plural(asked, 'question')}, and a request holds {MOST_QUESTIONS}; leave some out")


def _check_name(at: str, name: Any, alone: bool) -> None:
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise InputError(f"{at}: name it in letters, digits, - and _, a letter first, not {name!r}")
    if name == (SCORE if alone else PREFERENCE):
        raise InputError(f"{at}: {name!r} is what the verdict's own question is called; give another name")
    if name.endswith(ENDS):
        raise InputError(f"{at}: the name {name!r} ends as those of one answer do ({', '.join(ENDS)}); give another")


def _check_options(at: str, criterion: Mapping[str, Any]) -> None:
    if "options" not in criterion:
        return
    if "levels" in criterion:
        raise InputError(f"{at}: has levels and options; a score has levels, a choice has options: keep one")
    options = criterion["options"]
    told = isinstance(options, Mapping) and all(isinstance(name, str) and name.strip() for name in options)
    if not told or not 2 <= len(options) <= MOST_OPTIONS:
        raise InputError(f"{at}: options must map 2 to {MOST_OPTIONS} texts to what each counts, not {options!r}")
    for name, number in options.items():
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise InputError(f"{at}: options.{name}: must be a number, not {number!r}")
    if len({*options.values()}) < 2:
        raise InputError(f"{at}: all options count the same; give two or more different numbers")


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
