"""Programmatic checks: what a program can tell of an output, so that no judge need be asked about it.

A check gives a mark from 0 to 1. It reads the output as it was written, costs nothing and always says the same.
"""

from __future__ import annotations

import importlib
import json
import math
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.text.harmless import one_line

__all__ = ["CHECKS", "Check", "check_of"]

CHECKS = ("pattern", "length", "json", "python")

_FORM = "{pattern: REGEX}, {length: [10, 200]}, {json: true} or {python: module:function}"
_NAMED = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*")


@dataclass(frozen=True, slots=True)
class Check:
    """One of `CHECKS` with its value; `where` names it in errors.

    `pattern` is a regular expression that is found anywhere in the output, `length` its fewest and most characters
    (None: no limit), `json` that it is a JSON text as a whole, `python` a function of the output and of what is known
    of it, that gives true, false or a number from 0 to 1.
    """

    kind: str
    value: Any
    where: str

    def mark(self, output: str, about: Comparison) -> float:
        """The mark of an output to what the record asks. Raises `InputError` for a function that is not there, or that
        fails, or whose value is no mark."""
        match self.kind:
            case "pattern":
                return float(re.search(self.value, output) is not None)
            case "length":
                fewest, most = self.value
                return float((fewest or 0) <= len(output) <= (math.inf if most is None else most))
            case "json":
                return float(_is_json(output))
        known = {**about.extra, "instruction": about.instruction}
        function = _function(self.value, self.where)
        try:
            value = function(output, MappingProxyType(known))
        except Exception as error:
            raise InputError(
                f"{self.where}: {self.value} fails ({type(error).__name__}: {one_line(error)[:200]}); mend it"
            ) from error
        if isinstance(value, bool | int | float) and 0 <= value <= 1:
            return float(value)
        raise InputError(f"{self.where}: {self.value} gave {value!r}; it must give true, false or a number from 0 to 1")


def check_of(where: str, value: Any) -> Check:
    """The check that a file asks for. Raises `InputError`."""
    if not isinstance(value, Mapping) or len(value) != 1:
        raise InputError(f"{where}: must be one of {_FORM}, not {value!r}")
    ((kind, said),) = value.items()
    if kind not in CHECKS:
        raise InputError(f"{where}: {kind!r} is no check; write {_FORM}")
    match kind:
        case "pattern":
            _regular(where, said)
        case "length":
            said = _ends(where, said)
        case "json":
            if said is not True:
                raise InputError(f"{where}.json: must be true, not {said!r}; leave the criterion out where it is not")
        case "python":
            if not isinstance(said, str) or not _NAMED.fullmatch(said):
                raise InputError(f"{where}.python: must be module:function, such as mychecks:has_table, not {said!r}")
    return Check(kind, said, where)


def _ends(where: str, said: Any) -> tuple[int | None, int | None]:
    """The fewest and the most characters, one of them at least."""
    ends = said if isinstance(said, list) and len(said) == 2 else [None, None]
    given = [end for end in ends if end is not None]
    whole = all(isinstance(end, int) and not isinstance(end, bool) and end >= 0 for end in given)
    if given and whole and given != sorted(given):
        raise InputError(f"{where}.length: the fewest comes first, not {said!r}; turn them round")
    if not given or not whole:
        raise InputError(
            f"{where}.length: must be the fewest and the most characters, such as [10, 200] or [10, null], not {said!r}"
        )
    return ends[0], ends[1]


def _regular(where: str, said: Any) -> None:
    if not isinstance(said, str) or not said:
        raise InputError(f"{where}.pattern: must be a regular expression, such as '(?m)^- ', not {said!r}")
    try:
        re.compile(said)
    except (re.error, RecursionError, OverflowError) as error:
        raise InputError(f"{where}.pattern: {said[:60]!r} is no regular expression ({error}); mend it") from error


def _is_json(text: str) -> bool:
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return False
    return True


def _function(named: str, where: str) -> Callable[[str, Mapping[str, Any]], Any]:
    """The function by its name. Not one of Python's own: of these some run or delete what they are given, and what they
    would be given is what a model wrote."""
    module, _, name = named.partition(":")
    if module.partition(".")[0] in sys.stdlib_module_names:
        raise InputError(f"{where}: {module} is of Python itself and no check; write a function of your own")
    try:
        found = getattr(importlib.import_module(module), name, None)
    except ImportError as error:
        raise InputError(
            f"{where}: {module} cannot be imported ({error}); install it, or name its folder in PYTHONPATH"
        ) from error
    if not callable(found):
        raise InputError(f"{where}: {module} has no function {name!r}; mend the name")
    return found  # type: ignore[no-any-return]
