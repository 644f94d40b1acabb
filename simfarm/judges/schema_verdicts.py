"""The parts of a judge's JSON Schema that say how its replies are read: the verdict, a scale, a criterion."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from simfarm.data.decision import MOST_LEVELS, MOST_OPTIONS, SCORE
from simfarm.data.sampling import DECIDED
from simfarm.judges.decisions import ANSWER, ENDS, NAME, PREFERENCE
from simfarm.judges.fields import VERDICT
from simfarm.judges.likelihoods import MOST_FOLLOW_UPS, OWN, PER, SCORES, SHOWS
from simfarm.judges.listing import PARSERS as ORDERED
from simfarm.judges.orders import RANKED
from simfarm.judges.parsers import MEANINGS, PARSERS
from simfarm.judges.scales import MOST_SCORES
from simfarm.judges.scales import PARSERS as SCORED

__all__ = [
    "TEXT",
    "criterion_of_one",
    "criterion_of_two",
    "criterion_schema",
    "likelihood_keys",
    "likelihood_schema",
    "ranking_schema",
    "rating_schema",
    "scale_schema",
    "verdict_schema",
]

TEXT = {"type": "string", "pattern": r"\S"}
WHOLE_TEXT = r"^\S([\s\S]*\S)?$"


def scale_schema() -> dict[str, Any]:
    """The scale of a judge that rates."""
    ends = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2, "uniqueItems": True}
    labels = {"type": "object", "propertyNames": {"pattern": WHOLE_TEXT}, "additionalProperties": {"type": "number"}}
    return {
        "anyOf": [ends, labels | {"minProperties": 2, "maxProperties": MOST_SCORES}],
        "description": "of protocol rating: [1, 5] for whole numbers, or label: number",
    }


def rating_schema() -> dict[str, Any]:
    """What a judge that rates has beside the others: it is shown one output, and reads a label of its scale."""
    return {"properties": {"order": False, "rule": False, "verdict": _unlabelled(SCORED)}, "required": ["scale"]}


def ranking_schema() -> dict[str, Any]:
    """What a judge that ranks has beside the others: it knows three orders, and reads an ordering."""
    return {"properties": {"order": {"enum": list(RANKED)}, "rule": False, "verdict": _unlabelled(ORDERED)}}


def _unlabelled(parsers: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A verdict whose labels follow from elsewhere: a parser of these, with its keys."""
    names = sorted({key for keys in parsers.values() for key in keys})
    kinds = [
        {
            "if": {"properties": {"parser": {"const": parser}}},
            "then": {
                "properties": dict.fromkeys(sorted({*names} - {*keys}), False),
                "required": {"label": ["delimiters"], "decision": ["question"]}.get(parser, []),
            },
        }
        for parser, keys in parsers.items()
    ]
    own = {"delimiters": _delimiters(), "descriptions": _descriptions(), "parser": {"enum": list(parsers)}}
    return {
        "type": "object",
        "properties": {name: own.get(name, TEXT) for name in names},
        "additionalProperties": False,
        "required": ["parser"],
        "allOf": kinds,
    }


def likelihood_keys(model: dict[str, Any]) -> dict[str, Any]:
    """The keys that only judges of likelihoods have."""
    texts = {"type": "array", "items": TEXT, "minItems": 1, "maxItems": MOST_FOLLOW_UPS, "uniqueItems": True}
    sides = {"approving": texts, "disapproving": texts}
    return {
        "score": {"enum": list(SCORES), "description": "of protocol likelihood: which text's log likelihood it is"},
        "per": {"enum": list(PER), "description": "what it is divided by"},
        "tau": {"type": ["number", "null"], "exclusiveMinimum": 0, "description": "P(second) = σ(difference/tau)"},
        "follow_ups": {
            "type": "object",
            "properties": sides,
            "additionalProperties": False,
            "required": [*sides],
            "description": "what a user might go on with",
        },
        "reference_model": {**model, "description": "whose log likelihood is subtracted"},
    }


def likelihood_schema() -> dict[str, Any]:
    """What a judge of likelihoods has beside the others, and what it has not."""
    none = ("order", "rule", "weights", "verdict", "scale", "criteria")
    cases = []
    for score, per in SCORES.items():
        refused = {key for key, of in OWN.items() if of != score} | ({"per"} if score == "reward" else set())
        refused |= set() if score in SHOWS else {"template", "delimiters"}
        needed = (["template"] if score in SHOWS else []) + (["reference_model"] if score == "reference" else [])
        allowed = {"per": {"enum": list(per)}} | dict.fromkeys(sorted(refused), False)
        cases.append(
            {
                "if": {"properties": {"score": {"const": score}}},
                "then": {"properties": allowed, "required": needed},
            }
        )
    sampling = {"propertyNames": {"enum": sorted(DECIDED)}}
    return {
        "required": ["score", "model"],
        "properties": dict.fromkeys(none, False) | {"sampling": sampling},
        "allOf": cases,
    }


def _delimiters() -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "minItems": 2,
        "maxItems": 2,
        "description": "the two texts around a label",
    }


def _descriptions() -> dict[str, Any]:
    return {"type": "object", "additionalProperties": TEXT, "description": "label: what it stands for"}


def criterion_schema() -> dict[str, Any]:
    """A criterion of a decision judge."""
    level = {"type": "string", "pattern": r"\S"}
    return {
        "type": "object",
        "properties": {
            "name": {
                "type": "string",
                "pattern": f"^{NAME}$",
                "not": {"pattern": f"({'|'.join(ENDS)})$"},
            },
            "question": {
                **TEXT,
                "not": {"pattern": r"\{(?!answer\})\w+\}"},
                "description": f"what is asked; with {ANSWER} in it, of each of the two answers",
            },
            "levels": {
                "type": "array",
                "items": level,
                "minItems": 2,
                "maxItems": MOST_LEVELS,
                "uniqueItems": True,
                "description": "of a score, the lowest first; without them the question is whether it is true",
            },
            "options": {
                "type": "object",
                "propertyNames": {"pattern": r"\S"},
                "additionalProperties": {"type": "number"},
                "minProperties": 2,
                "maxProperties": MOST_OPTIONS,
                "description": "of a choice: each answer, and the number that it counts",
            },
        },
        "not": {"required": ["levels", "options"]},
        "additionalProperties": False,
        "required": ["name", "question"],
    }


def criterion_of_one() -> dict[str, Any]:
    """What a criterion cannot be of a decision judge that rates: there is one answer, and `score` is the verdict."""
    return {"properties": {"name": {"not": {"const": SCORE}}, "question": {"not": {"pattern": r"\{\w+\}"}}}}


def criterion_of_two() -> dict[str, Any]:
    """The same of one that compares."""
    return {"properties": {"name": {"not": {"const": PREFERENCE}}}}


def verdict_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "parser": {"enum": list(PARSERS)},
            "labels": {
                "type": "object",
                "description": "label: what it means",
                "additionalProperties": {"enum": [*MEANINGS]},
            },
            "delimiters": _delimiters(),
            "winner": {**TEXT, "default": "winner"},
            "reason": {**TEXT, "default": "reason"},
            "question": {**TEXT, "description": "what a decision model is asked about the pair"},
            "descriptions": _descriptions(),
        },
        "additionalProperties": False,
        "required": ["parser", "labels"],
        "allOf": [
            {"if": {"properties": {"parser": {"const": parser}}}, "then": _of_parser(parser)} for parser in PARSERS
        ],
    }


def _of_parser(parser: str) -> dict[str, Any]:
    """The keys that a parser takes. Each meaning has one label, which a schema can say only set by set."""
    pair = {"first", "second"}
    sets = [pair]
    if parser not in ("token_logprobs", "criteria"):
        sets += [{*pair, "tie"}, {*MEANINGS} - {"tie"}, {*MEANINGS}]
    refused = {key for keys in VERDICT.values() for key in keys} - {*VERDICT[parser]}
    return {
        "properties": {
            "labels": {
                "anyOf": [_exactly(meanings) for meanings in sets],
                "propertyNames": {"pattern": r"\S" if parser == "token_logprobs" else WHOLE_TEXT},
            },
            **dict.fromkeys(sorted(refused), False),
        },
        "required": {"label": ["delimiters"], "decision": ["question"]}.get(parser, []),
    }


def _exactly(meanings: Iterable[str]) -> dict[str, Any]:
    """A mapping whose values are these, each once: as many as there are, and for each, not all are another."""
    values = sorted(meanings)
    return {
        "minProperties": len(values),
        "maxProperties": len(values),
        "allOf": [{"not": {"additionalProperties": {"not": {"const": value}}}} for value in values],
    }
