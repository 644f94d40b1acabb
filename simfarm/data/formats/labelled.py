"""Exports of labelling tools: Label Studio's JSON and JSON_MIN (`docs/source/guide/export.md` and `tags/pairwise.md` of
HumanSignal/label-studio), Argilla's records, nested or flat (`records/_io/_generic.py` of argilla-io/argilla).

There the columns are called as a project calls them: the two answers are the one pair of texts whose names differ in
their last sign (`answer1` and `answer2`, `response_a` and `response_b`), the question is called one of a few words.
Anything else is named with --columns.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from simfarm.data.formats.chats import asked, conversation
from simfarm.data.formats.format import Format, LeftOut, Unfit, each, passed, structure
from simfarm.data.formats.verdicts import by_person, verdict, word_of
from simfarm.data.parsing import Row

__all__ = ["ARGILLA", "LABEL_STUDIO"]

_SIDE = re.compile(r"(?P<stem>.*?)[-_ ]?(?P<side>1|2|a|b|left|right)", re.IGNORECASE)
_FIRST = {"1", "a", "left"}
_QUESTIONS = ("instruction", "prompt", "question", "query", "input")
_ANSWERS = ("output", "response", "answer", "completion", "generation", "text")
_MODELS = ("model", "generator", "model_name")
_TIES = ("tie", "equal", "same", "draw", "both good", "both bad", "both_good", "both_bad", "tie (bothbad)")


def _pairs(names: Collection[str]) -> dict[str, tuple[str, str]]:
    """What is there twice, by what the two names share: `answer` for answer1 and answer2."""
    found: dict[str, dict[bool, str]] = {}
    for name in names:
        match = _SIDE.fullmatch(name)
        if match and match["stem"]:
            found.setdefault(match["stem"].lower(), {})[match["side"].lower() in _FIRST] = name
    return {stem: (sides[True], sides[False]) for stem, sides in found.items() if len(sides) == 2}


def _about(data: Mapping[str, Any], told: tuple[str, str] | None = None) -> tuple[Row, dict[str, float]]:
    """(our columns of a task's data, the words for a verdict). `told` names the answers where the export does."""
    pairs = _pairs([name for name, value in data.items() if isinstance(value, str)])
    answers = told or next((pairs[stem] for stem in _ANSWERS if stem in pairs), None)
    if answers is None and len(others := [pairs[stem] for stem in pairs if stem not in _MODELS]) == 1:
        answers = others[0]
    made: Row = {}
    question = next((name for name in _QUESTIONS if data.get(name)), None)
    if question is not None:
        value = data[question]
        made |= {"instruction": value} if isinstance(value, str) else asked(conversation(value, question))
    models = next((pairs[stem] for stem in _MODELS if stem in pairs), None)
    used = {question}
    words = {"left": 1.0, "right": 2.0, "a": 1.0, "b": 2.0, "1": 1.0, "2": 2.0} | dict.fromkeys(_TIES, 1.5)
    for names, ours in ((answers, "output"), (models, "generator")):
        for side, name in enumerate(names or (), 1):
            made[f"{ours}_{side}"] = data[name]
            words[name.lower()] = float(side)
            used.add(name)
    return made | passed(data, {name for name in used if name is not None}), words


def _tasks(row: Row) -> Iterator[Row]:
    """The annotations of one task of Label Studio."""
    data = structure(row["data"], dict, "data")
    for annotation in structure(row["annotations"], list, "annotations"):
        if not isinstance(annotation, Mapping):
            raise Unfit("has an annotation that is no object")
        if annotation.get("was_cancelled"):
            # skipped: nobody judged anything
            continue
        results = [one for one in structure(annotation.get("result") or [], list, "result") if isinstance(one, Mapping)]
        made, words = _about(data, _compared(results, data))
        who = annotation.get("completed_by")
        if isinstance(who, Mapping):
            who = who.get("email") or who.get("id")
        found = [value for one in results if (value := word_of(_selected(one.get("value")), words)) is not None]
        made |= by_person(who)
        made |= verdict(found[0] if len({*found}) == 1 else None) | {"task_id": row.get("id")}
        yield made | ({} if annotation.get("lead_time") is None else {"seconds": annotation["lead_time"]})


def _compared(results: list[Mapping[str, Any]], data: Mapping[str, Any]) -> tuple[str, str] | None:
    """The two columns that a comparison names as what it compares."""
    for one in results:
        names = [name.strip() for name in str(one.get("to_name")).split(",")]
        if one.get("type") == "pairwise" and len(names) == 2 and all(isinstance(data.get(name), str) for name in names):
            return names[0], names[1]
    return None


def _selected(value: Any) -> Any:
    """The word in a result: {"selected": "left"}, {"choices": ["left"]}, or the word itself."""
    if isinstance(value, Mapping):
        value = value.get("selected", value.get("choices"))
    if isinstance(value, list):
        value = value[0] if len(value) == 1 else None
        return _selected(value) if isinstance(value, Mapping) else value
    return value


_OF_MIN = ("annotation_id", "annotator", "lead_time")


def _short_task(row: Row) -> Iterator[Row]:
    """A row of JSON_MIN: a task's data and the results of one annotation under their names."""
    beside = {*_OF_MIN, "id", "created_at", "updated_at"}
    made, words = _about({name: value for name, value in row.items() if name not in beside})
    found = {
        name: value for name, word in row.items()
        if name not in beside and name in made and (value := word_of(_selected(word), words)) is not None
    }  # fmt: skip
    who = row["annotator"]
    made |= by_person(who) | verdict(next(iter(found.values())) if len({*found.values()}) == 1 else None)
    made |= {name: row[name] for name in ("id", "annotation_id") if row.get(name) is not None}
    yield made | ({} if row.get("lead_time") is None else {"seconds": row["lead_time"]})


def _label_studio(row: Row) -> Iterator[Row]:
    yield from _short_task(row) if "annotation_id" in row else _tasks(row)


def _records(row: Row) -> Iterator[Row]:
    """The responses to one record of Argilla."""
    if "fields" in row:
        fields = structure(row["fields"], dict, "fields")
        responses = {
            question: [one for one in structure(given or [], list, question) if isinstance(one, Mapping)]
            for question, given in structure(row.get("responses") or {}, dict, "responses").items()
        }
        beside = structure(row.get("metadata") or {}, dict, "metadata") | {"record_id": row.get("id")}
    else:
        responses = _flat(row)
        beside = {"record_id": row.get("id")}
        fields = {
            name: value for name, value in row.items() if "." not in name and name not in ("id", "status", "_server_id")
        }
    made, words = _about(fields)
    pair = [
        next((name for name, value in words.items() if value == side and name in fields), "") for side in (1.0, 2.0)
    ]
    question = _about_the_pair(responses, words, pair)
    for one in responses[question]:
        if one.get("status") in ("draft", "discarded"):
            continue
        who = one.get("user_id")
        label = by_person(who) | verdict(_vote(one.get("value"), words, pair))
        yield made | label | passed(beside, ())


def _flat(row: Row) -> dict[str, list[Mapping[str, Any]]]:
    """The responses by question, out of columns `QUESTION.responses`, `.users` and `.status`."""
    made: dict[str, list[Mapping[str, Any]]] = {}
    for name, values in row.items():
        if name.endswith(".responses"):
            columns = (values, row.get(f"{name}.users"), row.get(f"{name}.status"))
            given, users, states = (structure(column or [], list, name) for column in columns)
            made[name.removesuffix(".responses")] = [
                {
                    "value": value,
                    "user_id": users[i] if i < len(users) else None,
                    "status": states[i] if i < len(states) else None,
                }
                for i, value in enumerate(given)
            ]
    return made


def _about_the_pair(
    responses: Mapping[str, list[Mapping[str, Any]]], words: Mapping[str, float], pair: list[str]
) -> str:
    """The one question whose answers say which output is better."""
    asked_so = [
        name
        for name, given in responses.items()
        if any(_vote(one.get("value"), words, pair) is not None for one in given)
    ]
    if len(asked_so) > 1 and "preference" in asked_so:
        asked_so = ["preference"]
    if len(asked_so) > 1:
        several = ", ".join(asked_so[:4])
        raise Unfit(
            f"has several questions that could be about the two outputs ({several}); keep one, or call it 'preference'"
        )
    if not asked_so and len(responses) != 1:
        raise LeftOut("no answer about the two outputs")
    return asked_so[0] if asked_so else next(iter(responses))


def _vote(value: Any, words: Mapping[str, float], pair: list[str]) -> float | None:
    """A label's word, or the ranks that a person gave."""
    if isinstance(value, list):
        ranks = {str(one.get("value")).lower(): one.get("rank") for one in value if isinstance(one, Mapping)}
        first, second = (ranks.get(name) for name in pair)
        if not isinstance(first, int) or not isinstance(second, int):
            return None
        return 1.5 if first == second else 1.0 if first < second else 2.0
    return word_of(value, words)


LABEL_STUDIO = Format(
    "label-studio",
    "people's labels",
    lambda columns: {"data", "annotations"} <= {*columns} or {*_OF_MIN} <= {*columns},
    each(_label_studio, ()),
)
ARGILLA = Format(
    "argilla",
    "people's labels",
    lambda columns: {"fields", "responses"} <= {*columns} or any(name.endswith(".responses") for name in columns),
    each(_records, ()),
)
