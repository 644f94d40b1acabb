"""The JSON Schema of a judge's file, so that an editor completes its keys and marks what loading would refuse.

It is built from the words that loading knows (`simfarm.judges.fields`, `.spec`, `.parsers`), which nobody then writes
down twice. Some rules cannot be said in a schema and are left to `simfarm judges check`: that the template is there,
that it uses `criteria`, `checklist` and `context` where there are some, that names differ and weights do not sum to 0,
that the two fields of a JSON reply have two names, that what is described are labels, that levels which are numbers
count from 0, and that the numbers of a scale, or of a choice's options, differ.
"""

from __future__ import annotations

import math
from typing import Any

from simfarm.data.sampling import DECIDED, Option
from simfarm.judges.contexts import MOST_CONTEXTS
from simfarm.judges.debate import DEBATE, PANEL_RULES
from simfarm.judges.debate import MOST_ROUNDS as MOST_ROUNDS_OF_DEBATE
from simfarm.judges.derived import FEWEST, MOST_AUXILIARY
from simfarm.judges.fields import FIXED, JUDGED, MODEL_NAME, MOST_WEIGHT
from simfarm.judges.files import MODEL_KEYS, RULE_KEYS
from simfarm.judges.likelihoods import LIKELIHOOD_KEYS
from simfarm.judges.orders import ORDERS
from simfarm.judges.panel import PANEL
from simfarm.judges.protocols import PROTOCOLS
from simfarm.judges.schema_criteria import asked_schema, context_schema, criteria_schema, reference_schema
from simfarm.judges.schema_verdicts import (
    TEXT,
    criterion_of_one,
    criterion_of_two,
    likelihood_keys,
    likelihood_schema,
    ranking_schema,
    rating_schema,
    scale_schema,
    verdict_schema,
)
from simfarm.judges.spec import RULES
from simfarm.judges.stages import ENDS, MOST_ROUNDS, MOST_STAGES, NAME, RESERVED
from simfarm.judges.surface import WEIGHTS

__all__ = ["judge_schema"]

MODEL = {
    "type": "string",
    "pattern": MODEL_NAME,
    "description": "provider/name, e.g. openai/gpt-6-luna, or embedded, or a GGUF file",
}
_RATES = {"properties": {"protocol": {"const": "rating"}}, "required": ["protocol"]}
_SCORES = {"properties": {"protocol": {"const": "likelihood"}}, "required": ["protocol"]}
_RANKS = {"properties": {"protocol": {"const": "ranking"}}, "required": ["protocol"]}
_NOT_DERIVED = {"items": {"properties": {"auxiliary": False}}}
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
            "else": {"if": _SCORES, "else": {"required": ["template", "verdict", "model"]}},
        },
        "dependentSchemas": {"weights": {"properties": {"rule": {"const": "surface"}}, "required": ["rule"]}},
        "allOf": [
            {
                "if": _RATES,
                "then": rating_schema(),
                "else": {
                    "properties": {"scale": False, "stages": _NOT_DERIVED},
                    "if": _RANKS,
                    "then": ranking_schema(),
                    "else": {"properties": {"verdict": verdict_schema()}},
                },
            },
            {
                "if": _SCORES,
                "then": likelihood_schema(),
                "else": {"properties": dict.fromkeys(LIKELIHOOD_KEYS, False)},
            },
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
                        "criteria": asked_schema(),
                    },
                },
                "else": {"properties": {"criteria": criteria_schema()}},
            },
            {
                "if": {"allOf": [_parser_is("decision"), _RATES]},
                "then": {"properties": {"criteria": {"items": criterion_of_one()}}},
                "else": {"properties": {"criteria": {"items": criterion_of_two()}}},
            },
        ],
    }


def _parser_is(parser: str) -> dict[str, Any]:
    """Where a judge reads its replies by this parser."""
    return {
        "properties": {"verdict": {"properties": {"parser": {"const": parser}}, "required": ["parser"]}},
        "required": ["verdict"],
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
        "scale": scale_schema(),
        **likelihood_keys(MODEL),
        "verdict": {"type": "object"},
        "model": MODEL,
        "alternatives": {"type": "array", "items": MODEL, "description": "models that would do as well"},
        "checked": {**DAY, "description": "the day on which it was looked up that the model is to be had"},
        "until": {**DAY, "description": "the last day on which the model is to be had"},
        "sampling": _sampling(),
        "stages": _stages(),
        "criteria": {
            "type": "array",
            "description": "what is looked at: principles, rubrics, a checklist, errors to quote, checks by a program",
        },
        "context": context_schema(),
        "reference": reference_schema(),
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
            "rule": {"enum": list(PANEL_RULES), "description": "by default weighted where there are weights"},
            "rounds": {
                "type": "integer",
                "minimum": 1,
                "maximum": MOST_ROUNDS_OF_DEBATE,
                "description": "how often members answer again at most, under the rule debate",
            },
            "signed": {"type": "boolean", "default": False, "description": "weights may be negative"},
            "fitted_on": {"type": ["object", "null"], "description": "written by simfarm judges fit"},
        },
        "additionalProperties": False,
        "required": ["members"],
        "dependentSchemas": {"rounds": {"properties": {"rule": {"const": DEBATE}}, "required": ["rule"]}},
    }


def _stages() -> dict[str, Any]:
    """The calls before the verdict."""
    # what the loader reads of a template (rounds of what is asked once, a reply that nobody sees) no schema can know
    name = {"type": "string", "pattern": f"^{NAME}$", "not": {"enum": [*RESERVED]}}
    ends = {"not": {"pattern": f"({'|'.join(ENDS)})$"}}
    sampling = _sampling()
    sampling["properties"]["logprobs"] = False
    stage = {
        "type": "object",
        "properties": {
            "name": {**name, "allOf": [ends], "description": "what later templates call its reply"},
            "template": {**TEXT, "description": "a Jinja2 file beside this one"},
            "sampling": {**sampling, "description": "what differs from the judge's"},
            "rounds": {"type": "integer", "minimum": 1, "maximum": MOST_ROUNDS, "default": 1},
            "auxiliary": {
                "type": "integer",
                "minimum": FEWEST,
                "maximum": MOST_AUXILIARY,
                "description": "of protocol rating: it compares so many answers and derives the criteria to rate by",
            },
            "contexts": {
                "type": "integer",
                "minimum": 2,
                "maximum": MOST_CONTEXTS,
                "description": "its reply is so many contexts, under each of which the verdict is asked",
            },
        },
        "additionalProperties": False,
        "required": ["name", "template"],
        "if": {"required": ["contexts"]},
        "then": {"properties": {"rounds": {"const": 1}}},
        "dependentSchemas": {"auxiliary": {"properties": {"rounds": False, "contexts": False}}},
    }
    return {
        "type": "array",
        "items": stage,
        "minItems": 1,
        "maxItems": MOST_STAGES,
        "description": "what is asked before the verdict, each a template whose reply the later ones show by its name",
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
        case "budget":
            return {"type": ["boolean", "integer"], "minimum": option.least}
        case "texts":
            return {"type": "array", "minItems": 1, "items": {"type": "string", "minLength": 1}}
        case "text":
            return TEXT
    return {"type": "object"}
