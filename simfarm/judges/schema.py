"""The JSON Schema of a judge's file, so that an editor completes its keys and marks what loading would refuse.

It is built from the words that loading knows (`simfarm.judges.fields`, `.spec`, `.parsers`), which nobody then writes
down twice. Some rules cannot be said in a schema and are left to `simfarm judges check`: that the template is there,
that it uses `criteria` where they are listed, that the two fields of a JSON reply have two names, that what is
described are labels, that levels which are numbers count from 0, and that the numbers of a scale differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

from simfarm.data.decision import MOST_LEVELS
from simfarm.data.juries import RULES as RULES_OF_PANELS
from simfarm.data.sampling import DECIDED, Option
from simfarm.judges.decisions import ANSWER, ENDS, NAME, PREFERENCE
from simfarm.judges.fields import FIXED, JUDGED, MOST_WEIGHT, VERDICT
from simfarm.judges.files import MODEL_KEYS, RULE_KEYS
from simfarm.judges.orders import ORDERS
from simfarm.judges.panel import PANEL
from simfarm.judges.parsers import MEANINGS, PARSERS
from simfarm.judges.protocols import PROTOCOLS
from simfarm.judges.scales import MOST_SCORES
from simfarm.judges.scales import PARSERS as SCORED
from simfarm.judges.spec import RULES
from simfarm.judges.surface import WEIGHTS

__all__ = ["judge_schema"]

TEXT = {"type": "string", "pattern": r"\S"}
WHOLE_TEXT = r"^\S([\s\S]*\S)?$"
MODEL = {
    "type": "string",
    "pattern": r"^[^/]*[^/\s][^/]*/[\s\S]*\S",
    "description": "provider/name, e.g. openai/gpt-6-luna",
}
_RATES = {"properties": {"protocol": {"const": "rating"}}, "required": ["protocol"]}
DAY = {"type": ["string", "null"], "format": "date", "pattern": r"^\d{4}-\d{2}-\d{2}$"}


def judge_schema() -> dict[str, Any]:
    """The schema (draft 2020-12) as plain values. A judge follows a rule or asks a model; or it is a panel."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A judge of simfarm",
        "type": "object",
        "properties": _keys(),
        "additionalProperties": False,
        "required": ["description"],
        "if": {"required": [PANEL]},
        "then": {"properties": dict.fromkeys(("order", *RULE_KEYS, *MODEL_KEYS), False)},
        "else": {
            "required": ["protocol"],
            "if": {"required": ["rule"]},
            "then": {"properties": dict.fromkeys(MODEL_KEYS, False)},
            "else": {"required": ["template", "verdict", "model"]},
        },
        "dependentSchemas": {"weights": {"properties": {"rule": {"const": "surface"}}, "required": ["rule"]}},
        "allOf": [
            {"if": _RATES, "then": _of_rating(), "else": {"properties": {"scale": False, "verdict": _verdict()}}},
            {
                "if": {"allOf": [_parser_is("token_logprobs"), {"not": _RATES}]},
                "then": {
                    "properties": {"sampling": {"properties": {"logprobs": {"minimum": 2}}, "required": ["logprobs"]}},
                    "required": ["sampling"],
                },
            },
            {
                "if": _parser_is("decision"),
                "then": {
                    "properties": {
                        "sampling": {"propertyNames": {"enum": sorted(DECIDED)}},
                        "criteria": {"items": _criterion()},
                    },
                },
            },
        ],
    }


def _scale() -> dict[str, Any]:
    """The scale of a judge that rates."""
    ends = {"type": "array", "items": {"type": "integer"}, "minItems": 2, "maxItems": 2, "uniqueItems": True}
    labels = {"type": "object", "propertyNames": {"pattern": WHOLE_TEXT}, "additionalProperties": {"type": "number"}}
    return {
        "anyOf": [ends, labels | {"minProperties": 2, "maxProperties": MOST_SCORES}],
        "description": "of protocol rating: [1, 5] for whole numbers, or label: number",
    }


def _of_rating() -> dict[str, Any]:
    """What a judge that rates has beside the others: it is shown one output, and reads a label of its scale."""
    names = sorted({key for keys in SCORED.values() for key in keys})
    kinds = [
        {
            "if": {"properties": {"parser": {"const": parser}}},
            "then": {
                "properties": dict.fromkeys(sorted({*names} - {*keys}), False),
                "required": ["delimiters"] if parser == "label" else [],
            },
        }
        for parser, keys in SCORED.items()
    ]
    texts = {name: _delimiters() if name == "delimiters" else TEXT for name in names if name != "parser"}
    verdict = {
        "type": "object",
        "properties": {"parser": {"enum": list(SCORED)}, **texts},
        "additionalProperties": False,
        "required": ["parser"],
        "allOf": kinds,
    }
    return {"properties": {"order": False, "rule": False, "verdict": verdict}, "required": ["scale"]}


def _delimiters() -> dict[str, Any]:
    return {
        "type": "array",
        "items": {"type": "string", "minLength": 1},
        "minItems": 2,
        "maxItems": 2,
        "description": "the two texts around a label",
    }


def _parser_is(parser: str) -> dict[str, Any]:
    """Where a judge reads its replies by this parser."""
    return {
        "properties": {"verdict": {"properties": {"parser": {"const": parser}}, "required": ["parser"]}},
        "required": ["verdict"],
    }


def _criterion() -> dict[str, Any]:
    """A criterion of a decision judge."""
    level = {"type": "string", "pattern": r"\S"}
    return {
        "type": "object",
        "properties": {
            "name": {
                "type": "string",
                "pattern": f"^{NAME}$",
                "not": {"pattern": f"^{PREFERENCE}$|({'|'.join(ENDS)})$"},
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
        },
        "additionalProperties": False,
        "required": ["name", "question"],
    }


def _keys() -> dict[str, Any]:
    return {
        "description": {**TEXT, "description": "what kind of judge it is, in one line"},
        "protocol": {"enum": list(PROTOCOLS)},
        "order": {
            "enum": list(ORDERS),
            "default": "both",
            "description": "which output is shown first; both asks twice and averages",
        },
        "rule": {"enum": list(RULES), "description": "instead of a template and a model"},
        "weights": {
            "type": "object",
            "properties": {
                name: {"type": "number", "minimum": -MOST_WEIGHT, "maximum": MOST_WEIGHT} for name in WEIGHTS
            },
            "additionalProperties": False,
            "minProperties": 1,
            "description": "one person's taste, for rule: surface; logits for one scale of a feature",
        },
        PANEL: _panel(),
        "template": {**TEXT, "description": "a Jinja2 file beside this one"},
        "scale": _scale(),
        "verdict": {"type": "object"},
        "model": MODEL,
        "alternatives": {"type": "array", "items": MODEL, "description": "models that would do as well"},
        "checked": {**DAY, "description": "the day on which it was looked up that the model is to be had"},
        "until": {**DAY, "description": "the last day on which the model is to be had"},
        "sampling": _sampling(),
        "criteria": {
            "type": "array",
            "items": {"type": ["string", "object"]},
            "description": "what the template shows as criteria",
        },
        "delimiters": {
            "type": "array",
            "items": {"type": "string", "minLength": 2, "pattern": "^[^\u200b]*$"},
            "description": "every tag the template puts around what is judged",
        },
    }


def _panel() -> dict[str, Any]:
    """Several judges, and how they decide together."""
    member = {
        "type": "object",
        "properties": {
            "judge": {
                **TEXT,
                "description": "a bundled judge or a file; without it recorded verdicts alone",
            },
            "name": {**TEXT, "description": "under which its verdicts stand (default: the judge's)"},
            "model": MODEL,
            "order": {"enum": list(ORDERS)},
            "weight": {"type": "number", "description": "under the rule weighted"},
        },
        "additionalProperties": False,
        "anyOf": [{"required": ["judge"]}, {"required": ["name"]}],
    }
    return {
        "type": "object",
        "properties": {
            "members": {"type": "array", "items": {"anyOf": [TEXT, member]}, "minItems": 2},
            "rule": {"enum": list(RULES_OF_PANELS), "description": "by default weighted where there are weights"},
            "signed": {"type": "boolean", "default": False, "description": "weights may be negative"},
            "fitted_on": {"type": ["object", "null"], "description": "written by simfarm judges fit"},
        },
        "additionalProperties": False,
        "required": ["members"],
    }


def _sampling() -> dict[str, Any]:
    options = {name: _option(option) for name, option in JUDGED.items()}
    options["extra"]["propertyNames"] = {"not": {"enum": sorted(FIXED)}}
    return {"type": "object", "properties": options, "additionalProperties": False}


def _option(option: Option) -> dict[str, Any]:
    """One name of the sampling, as its value must be."""
    match option.kind:
        case "number" | "whole":
            limits = {"minimum": option.least, "maximum": option.most}
            known = {name: limit for name, limit in limits.items() if math.isfinite(limit)}
            return {"type": "integer" if option.kind == "whole" else "number", **known}
        case "switch":
            return {"type": "boolean"}
        case "texts":
            return {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}}
        case "text":
            return TEXT
    return {"type": "object"}


def _verdict() -> dict[str, Any]:
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
            "descriptions": {
                "type": "object",
                "additionalProperties": TEXT,
                "description": "label: what it stands for",
            },
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
    sets = [pair] if parser == "token_logprobs" else [pair, {*pair, "tie"}, {*MEANINGS} - {"tie"}, {*MEANINGS}]
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
