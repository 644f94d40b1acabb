"""The parts of a judge's JSON Schema that say what it goes by: criteria, a context, a reference."""

from __future__ import annotations

from itertools import combinations
from typing import Any

from simfarm.data.meaning import FEWER
from simfarm.judges.checks import CHECKS
from simfarm.judges.criteria import KINDS, MOST_GRADES, RESERVED
from simfarm.judges.decisions import ENDS, NAME
from simfarm.judges.schema_verdicts import TEXT, criterion_schema

__all__ = ["asked_schema", "context_schema", "criteria_schema", "reference_schema"]

_COLUMN = {"type": "object", "properties": {"column": TEXT}, "additionalProperties": False, "required": ["column"]}
_NAME = {
    "type": "string",
    "pattern": f"^{NAME}$",
    "not": {"pattern": f"^({'|'.join(RESERVED)})$|^{FEWER}|({'|'.join(ENDS)})$"},
}
_DUMB = ("checklist", "errors", "check")
"""Kinds of criteria that need no words of their own."""


def criteria_schema() -> dict[str, Any]:
    """The criteria of a judge that writes."""
    return {"items": {"anyOf": [TEXT, _criterion()]}}


def asked_schema() -> dict[str, Any]:
    """The criteria of a decision judge: questions, and checks."""
    return {"items": {"anyOf": [criterion_schema(), _criterion() | {"required": ["name", "check"]}]}}


def context_schema() -> dict[str, Any]:
    """Who asks, and what for."""
    return {"anyOf": [TEXT, _COLUMN], "description": "who asks, what for; a text, or the column it comes from"}


def reference_schema() -> dict[str, Any]:
    """Where a right answer, or a note on grading, stands."""
    return {**_COLUMN, "description": "the column of a reference that every row needs"}


def _criterion() -> dict[str, Any]:
    needs_name = {"anyOf": [{"required": [key]} for key in ("anchors", "levels", "question", "check")]}
    return {
        "type": "object",
        "properties": _keys(),
        "additionalProperties": False,
        "allOf": [
            *({"not": {"required": list(both)}} for both in (*combinations(KINDS, 2), ("text", "question"))),
            *({"not": {"required": ["errors", key]}} for key in ("weight", "name")),
            {"if": needs_name, "then": {"required": ["name"]}},
            {"anyOf": [{"required": [key]} for key in ("text", "question", *_DUMB)]},
        ],
    }


def _keys() -> dict[str, Any]:
    """What each key of a criterion holds."""
    anchors = {"propertyNames": {"pattern": r"^-?\d+$"}, "additionalProperties": TEXT, "minProperties": 2}
    errors = {"propertyNames": _NAME, "additionalProperties": TEXT, "minProperties": 1}
    return {
        "name": _NAME,
        "text": TEXT,
        "question": TEXT,
        "weight": {"type": "number", "minimum": 0, "default": 1, "description": "under the parser criteria"},
        "anchors": {"type": "object", **anchors, "description": "grade: what it stands for"},
        "levels": {"type": "array", "items": TEXT, "minItems": 2, "maxItems": MOST_GRADES, "uniqueItems": True},
        "checklist": {**TEXT, "description": "the column that holds the items"},
        "errors": {"type": "object", **errors, "description": "type of error that may be quoted: what it is"},
        "check": _check(),
    }


def _check() -> dict[str, Any]:
    end = {"type": ["integer", "null"], "minimum": 0}
    forms = {
        "pattern": {"type": "string", "minLength": 1, "format": "regex"},
        "length": {"type": "array", "items": end, "minItems": 2, "maxItems": 2, "contains": {"type": "integer"}},
        "json": {"const": True},
        "python": {"type": "string", "pattern": r"^[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*$"},
    }
    return {
        "type": "object",
        "properties": {name: forms[name] for name in CHECKS},
        "additionalProperties": False,
        "minProperties": 1,
        "maxProperties": 1,
        "description": "what a program can tell: a mark of 0 or 1",
    }
