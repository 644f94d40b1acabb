"""Options that would do nothing are refused, in one place for the command line and Python, each in its own spelling.

An option that is silently ignored is a run that was not what its user meant, and it may have been paid for.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from simfarm.errors import InputError

__all__ = [
    "ASKING",
    "JUDGING",
    "check_numbers",
    "on_command_line",
    "refuse",
    "refuse_asking",
    "refuse_ranking",
    "refuse_unasked",
    "spelled",
    "was_given",
]

ASKING = ("concurrency", "rpm", "tpm", "timeout", "budget", "price", "store")
"""How hard a server is asked, and at what price."""

SAMPLING = ("max_tokens", "temperature", "top_p", "effort")

JUDGING = (
    "judge", "model", "base_url", "engine_args", "order", "repeats", "limit", "allow_missing", *SAMPLING,
    *ASKING, "retry_unparseable", "dry_run",
)  # fmt: skip
"""Everything that could change which verdicts there are."""

_USUAL = {"repeats": 1}
_SPELLED = {"engine_args": "--engine-arg", "output": "-o", "number": "-n"}

_at_terminal = False


@contextmanager
def on_command_line() -> Iterator[None]:
    """While the block runs, options are spelled `--as-there`."""
    global _at_terminal  # noqa: PLW0603  one process, one caller
    before, _at_terminal = _at_terminal, True
    try:
        yield
    finally:
        _at_terminal = before


def spelled(name: str, value: str = "") -> str:
    """An option, with a value, as the caller writes it: `--base-url URL` or `base_url=URL`."""
    if not _at_terminal:
        return f"{name}={value}" if value else name
    return (_SPELLED.get(name) or f"--{name.replace('_', '-')}") + (f" {value}" if value else "")


def was_given(name: str, value: Any) -> bool:
    """Whether an option differs from what it is where nobody names it."""
    usual = _USUAL.get(name)
    # `is`, for a table of pandas answers `==` with a table
    nothing = value is None or value is False or (isinstance(value, list | tuple | dict) and not value)
    return not nothing and not (usual is not None and value == usual)


def refuse(options: Mapping[str, Any], why: str) -> None:
    """Raise `InputError` for the first of `options` that was given: it does nothing `why`."""
    for name, value in options.items():
        if was_given(name, value):
            raise InputError(f"{spelled(name)} does nothing {why}; leave it out")


def refuse_asking(options: Mapping[str, Any], source: str) -> None:
    """Raise `InputError` for an option that would change verdicts, where `source` holds them already."""
    for name in JUDGING:
        if was_given(name, options.get(name)):
            raise InputError(f"{spelled(name)} is for asking a judge, but {source} holds verdicts; leave it out")


def refuse_unasked(options: Mapping[str, Any], judge: str) -> None:
    """Raise `InputError` for an option about a model, where the judge is a rule."""
    refuse(options, f"with the judge {judge!r}, which follows a rule and asks no model")


def check_numbers(options: Mapping[str, Any]) -> None:
    """Raise `InputError` for a number that is none above 0, or a `price` that is not two numbers from 0 on."""
    for name, value in options.items():
        if value is None:
            continue
        numbers = value if name == "price" else (value,)
        pair = name != "price" or (isinstance(value, tuple | list) and len(value) == 2)
        if not pair or not all(_is_number(n) and (n > 0 or (n == 0 and name == "price")) for n in numbers):
            told = "(IN, OUT), dollars a million tokens" if name == "price" else "a number above 0"
            raise InputError(f"{spelled(name)} is {value!r}; it must be {told}")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def refuse_ranking(options: Mapping[str, Any], rank: str | None) -> None:
    """Raise `InputError` for ranking options that do not go together; `rank` is None where win rates may be meant."""
    given = {name: value for name, value in options.items() if was_given(name, value)}
    controls = given.get("length_control", ())
    if rank in ("bradley-terry", "lottery"):
        for name in ("add_to", "board", "human", "breakdown", "length_control", "lc_data"):
            if name in given:
                raise InputError(
                    f"{spelled(name)} needs win rates over a baseline; give {spelled('baseline')} or "
                    f"{spelled('rank', 'win-rate')}"
                )
        if "control" in given and rank == "lottery":
            raise InputError(f"a lottery takes no covariates; drop {spelled('control')}, or rank by bradley-terry")
    if "lc_data" in given and "alpaca-eval-2" not in controls:
        raise InputError(
            f"{spelled('lc_data')} is for {spelled('length_control', 'alpaca-eval-2')}; add that or leave it out"
        )
    if "none" in controls and len(set(controls)) > 1:
        raise InputError(f"{spelled('length_control', 'none')} goes with no other; leave one of them out")
    if "add_to" in given and ("human" in given or "control" in given):
        raise InputError(
            f"{spelled('add_to')} ranks all models of the board anew; give {spelled('human')} and {spelled('control')} "
            "in a run without it"
        )
