"""Values that no option accepts, and options that would do nothing, are refused here, in the caller's own spelling.

An option that is silently ignored is a run that was not what its user meant, and it may have been paid for.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from simfarm.errors import InputError
from simfarm.settings.options import BY_NAME, JUDGING

__all__ = [
    "check",
    "on_command_line",
    "refuse",
    "refuse_asking",
    "refuse_empty",
    "refuse_unasked",
    "spelled",
    "was_given",
]

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
    spelling = BY_NAME[name].spelling if name in BY_NAME else f"--{name.replace('_', '-')}"
    return spelling + (f" {value}" if value else "")


def was_given(name: str, value: Any) -> bool:
    """Whether an option differs from what it is where nobody names it."""
    usual = BY_NAME[name].default if name in BY_NAME else None
    # `is`, for a table of pandas answers `==` with a table
    nothing = value is None or value is False or (isinstance(value, list | tuple | dict) and not value)
    return not nothing and not (usual is not None and value == usual)


def refuse_empty(options: Mapping[str, Any]) -> None:
    """Raise `InputError` for an option that is an empty text, as a variable that is not set leaves it."""
    for name, value in options.items():
        if isinstance(value, str) and not value:
            raise InputError(f"{spelled(name)} is empty; give it a value or leave it out")


def check(options: Mapping[str, Any]) -> None:
    """Raise `InputError` for a value that its option does not accept."""
    for name, value in options.items():
        kind = BY_NAME[name].kind
        if value is None or kind.holds(value):
            continue
        if kind.choices:
            raise InputError(f"{spelled(name)} {value!r} is not known; choose from {', '.join(kind.choices)}")
        raise InputError(f"{spelled(name)} is {value!r}; it must be {kind.must_be}")


def refuse(options: Mapping[str, Any], why: str) -> None:
    """Raise `InputError` for the first of `options` that was given: it does nothing `why`."""
    for name, value in options.items():
        if was_given(name, value):
            raise InputError(f"{spelled(name)} does nothing {why}; leave it out")


def refuse_asking(options: Mapping[str, Any], source: str) -> None:
    """Raise `InputError` for an option that would change verdicts, where `source` holds them already."""
    for option in JUDGING:
        if was_given(option.name, options.get(option.name)):
            raise InputError(f"{spelled(option.name)} is for asking a judge, but {source} holds verdicts; leave it out")


def refuse_unasked(options: Mapping[str, Any], judge: str) -> None:
    """Raise `InputError` for an option about a model, where the judge is a rule."""
    refuse(options, f"with the judge {judge!r}, which follows a rule and asks no model")
