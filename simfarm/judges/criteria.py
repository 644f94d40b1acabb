"""Criteria as a judge's file lists them, each in its one form: principles, rubrics, checklists, errors, checks.

A criterion is a text that the judge is shown (a principle), or a mapping. What it says decides how it is marked:
`anchors` and `levels` by a place on a scale, a `question` by yes or no, a `checklist` by the share of its items that
are met, `errors` by how many are quoted, a `check` by a program. Only judges that reply in JSON mark by a model; every
judge that asks a model may have checks.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from simfarm.data.meaning import FEWER
from simfarm.errors import InputError
from simfarm.judges import fields
from simfarm.judges.checks import Check, check_of
from simfarm.judges.decisions import ANSWER, ENDS, NAME, PREFERENCE
from simfarm.judges.stages import shown_variables

if TYPE_CHECKING:
    from simfarm.judges.spec import Judge

__all__ = ["KEYS", "MARKING", "MOST_GRADES", "Criterion", "check_listed", "criteria_of", "shown_of"]

KEYS = ("name", "text", "question", "weight", "anchors", "levels", "checklist", "errors", "check")
KINDS = ("anchors", "levels", "checklist", "errors", "check")
"""Keys that say how a criterion is marked, of which one has at most one."""

MARKING = ("json", "criteria")
"""Parsers of replies in which a model marks by criteria."""

MOST_GRADES = 100
ERRORS = "errors"
"""What the criterion of errors is called in a reply."""

RESERVED = ("winner", "reason", "score", ERRORS, PREFERENCE)


@dataclass(frozen=True, slots=True)
class Criterion:
    """One criterion. `kind` is `principle` (shown, never marked), `anchors`, `levels`, `question`, `checklist`,
    `errors` or `check`; marks go from `low` to `high`. `each` says whether it is asked of each answer or once of both;
    `words` are the levels or the types of errors, `column` where a checklist stands."""

    name: str
    kind: str
    weight: float = 1.0
    low: float = 0.0
    high: float = 1.0
    each: bool = True
    words: tuple[str, ...] = ()
    column: str = ""
    check: Check | None = None

    @property
    def asked(self) -> bool:
        """Whether a model marks it, where its reply has a place for marks."""
        return self.kind not in ("principle", "check")

    @property
    def weighed(self) -> bool:
        """Whether its marks say which of two outputs is better."""
        return self.each and self.kind not in ("principle", "errors")

    def unit(self, mark: float) -> float:
        """A mark as a share of the way from the lowest to the highest."""
        return (mark - self.low) / (self.high - self.low)


def criteria_of(where: str, raw: Sequence[Any], *, alone: bool = False) -> tuple[Criterion, ...]:
    """The criteria of a list in a judge's file (of one that is shown an output `alone`). Raises `InputError`."""
    made = tuple(_criterion(f"{where}, number {number}", item, alone) for number, item in enumerate(raw, 1))
    names = Counter(criterion.name for criterion in made if criterion.name)
    if twice := [name for name, count in names.items() if count > 1]:
        raise InputError(f"{where}: two criteria are named {twice[0]!r}; give one another name")
    for kind in ("checklist", "errors"):
        if sum(criterion.kind == kind for criterion in made) > 1:
            raise InputError(f"{where}: two criteria have {kind}; put them into one")
    counted = [criterion.weight for criterion in made if criterion.kind != "errors"]
    if counted and not sum(counted) > 0:
        raise InputError(f"{where}: the weights sum to 0, so that nothing counts; raise one of them")
    return made


def shown_of(raw: Sequence[Any]) -> tuple[Any, ...]:
    """What a template shows of a file's criteria, as they stand there: a checklist has a variable of its own, and of a
    check nobody need know."""
    return tuple(item for item in raw if not (isinstance(item, Mapping) and ("check" in item or "checklist" in item)))


def _criterion(at: str, item: Any, alone: bool) -> Criterion:
    if isinstance(item, str):
        fields.text(at, item)
        return Criterion("", "principle")
    if not isinstance(item, Mapping):
        raise InputError(f"{at}: must be a text, or a mapping such as {{name: correct, text: …}}, not {item!r}")
    fields.known_keys(at, item, KEYS)
    if len(kinds := [key for key in KINDS if key in item]) > 1:
        raise InputError(f"{at}: has both {kinds[0]} and {kinds[1]}; make two criteria of it")
    kind = kinds[0] if kinds else "question" if "question" in item else "principle"
    name = _name(at, item, kind)
    weight = _weight(f"{at}: weight", item, kind)
    each = _text(at, item, kind, alone)
    return _marked(at, item, Criterion(name, kind, weight, each=each))


def _marked(at: str, item: Mapping[Any, Any], made: Criterion) -> Criterion:
    """The criterion with what its kind has."""
    match made.kind:
        case "anchors":
            low, high = _anchors(f"{at}: anchors", item["anchors"])
            return replace(made, low=low, high=high)
        case "levels":
            words = _levels(f"{at}: levels", item["levels"])
            return replace(made, high=len(words) - 1.0, words=words)
        case "checklist":
            return replace(made, column=fields.text(f"{at}: checklist", item["checklist"]))
        case "errors":
            return replace(made, high=math.inf, words=_types(f"{at}: errors", item["errors"]))
        case "check":
            return replace(made, check=check_of(f"{at}: check", item["check"]))
    return made


def _name(at: str, item: Mapping[Any, Any], kind: str) -> str:
    if kind == "errors" and "name" in item:
        raise InputError(f"{at}: errors are named by their types (errors_factual …); leave the name out")
    name = item.get("name", "checklist" if kind == "checklist" else None)
    if kind == "errors":
        return ERRORS
    if name is None and kind == "principle":
        return ""
    return _named(at, name)


def _named(at: str, name: Any) -> str:
    """A name under which marks stand in a file."""
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise InputError(f"{at}: name it in letters, digits, - and _, a letter first, not {name!r}")
    if name in RESERVED or name.startswith(FEWER):
        raise InputError(f"{at}: {name!r} is a field of the reply or the verdict itself; give another name")
    if name.endswith(ENDS):
        raise InputError(f"{at}: the name {name!r} ends as those of one answer do ({', '.join(ENDS)}); give another")
    return name


def _text(at: str, item: Mapping[Any, Any], kind: str, alone: bool) -> bool:
    """Whether it is asked of each answer: a `text` is, a `question` where it names the {answer}. What a check or a
    checklist says of itself is said to nobody, and may be missing."""
    if "text" in item and "question" in item:
        raise InputError(f"{at}: has a text and a question; keep one")
    if "text" not in item and "question" not in item:
        if kind not in ("checklist", "check", "errors"):
            raise InputError(f"{at}: has no text; say in text what is looked at, or in question what is asked")
        return True
    key = "question" if "question" in item else "text"
    said = fields.text(f"{at}: {key}", item[key])
    if alone and ANSWER in said:
        raise InputError(f"{at}: {ANSWER} stands for one of two, and this judge is shown one; write 'the answer'")
    return alone or key == "text" or ANSWER in said or kind in ("checklist", "check", "errors")


def _weight(where: str, item: Mapping[Any, Any], kind: str) -> float:
    value = item.get("weight", 1)
    if "weight" in item and kind == "errors":
        raise InputError(f"{where}: errors are counted by type and weigh nothing; leave the weight out")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise InputError(f"{where}: must be a number of at least 0, not {value!r}")
    return float(value)


def _anchors(where: str, value: Any) -> tuple[float, float]:
    """The ends of a rubric: grades are whole numbers, of which at least the lowest and the highest are described."""
    grades = list(value) if isinstance(value, Mapping) else []
    whole = all(isinstance(grade, int) and not isinstance(grade, bool) for grade in grades)
    if not whole or len(grades) < 2 or not max(grades) - min(grades) < MOST_GRADES:
        raise InputError(
            f"{where}: must say what two or more whole numbers stand for, such as {{1: wrong, 5: right}}, not {value!r}"
        )
    for grade, words in value.items():
        fields.text(f"{where}.{grade}", words)
    return float(min(grades)), float(max(grades))


def _levels(where: str, value: Any) -> tuple[str, ...]:
    texts = isinstance(value, list) and all(isinstance(level, str) and level.strip() for level in value)
    if not texts or not 2 <= len(value) <= MOST_GRADES or len(set(value)) < len(value):
        raise InputError(
            f"{where}: must be 2 to {MOST_GRADES} different texts, the lowest first (a number in quotes), not {value!r}"
        )
    return tuple(value)


def _types(where: str, value: Any) -> tuple[str, ...]:
    """The types of errors that may be quoted, each with what it is."""
    if not isinstance(value, Mapping) or not value:
        raise InputError(f"{where}: must say what each type is, such as {{factual: a false statement}}, not {value!r}")
    for name, words in value.items():
        _named(where, name)
        fields.text(f"{where}.{name}", words)
    return tuple(value)


def check_listed(where: str, judge: Judge) -> None:
    """Refuse criteria that the template or the way of reading has no place for. Raises `InputError`."""
    marks, told = judge.marks, judge.compiled.told | shown_variables(judge)
    if not judge.questions and bool(shown_of(judge.criteria)) != ("criteria" in told):
        raise InputError(f"{where} are either listed and used as {{{{ criteria }}}} in the template, or neither")
    if any(criterion.kind == "checklist" for criterion in marks) != ("checklist" in told):
        raise InputError(
            f"{where}: a checklist is either listed (checklist: COLUMN) and used as {{{{ checklist }}}} in the "
            "template, or neither"
        )
    asked = [criterion for criterion in marks if criterion.asked]
    spec = judge.verdict
    if judge.ranks and asked:
        raise InputError(
            f"{where}: {asked[0].name} is marked, and a judge that ranks marks nothing; write it as a text"
        )
    if spec is not None and spec.parser == "json" and asked and "criteria" in (spec.winner, spec.reason):
        raise InputError(f"{where}: the reply holds its marks in a field 'criteria'; give verdict's fields other names")
    if spec is not None and spec.parser in MARKING and asked and judge.several:
        raise InputError(f"{where}: {asked[0].name} is marked, for which a prompt shows one pair; do without pairs")
    if spec is None or spec.parser != "criteria":
        return
    if not (weighed := [criterion for criterion in marks if criterion.weighed]) or not asked:
        raise InputError(
            f"{where}: nothing is marked that the verdict could follow from; give a criterion anchors, levels, a "
            "question or a checklist, or take the parser json"
        )
    if not sum(criterion.weight for criterion in weighed) > 0:
        raise InputError(f"{where}: the weights of what is marked sum to 0, so that nothing counts; raise one of them")
