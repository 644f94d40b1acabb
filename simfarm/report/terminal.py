"""How a verb speaks: the answer on stdout, everything else on stderr, each made harmless for a terminal.

No verb prints by itself, so that no text of a model or a file reaches a terminal as it is, and `--quiet` is one place.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from simfarm.harmless import visible

__all__ = ["answer", "is_quiet", "quiet", "say"]

_silent = False


def answer(text: object) -> None:
    """What the user asked for, on stdout."""
    print(visible(text))


def say(line: object) -> None:
    """Progress, counts and remarks, on stderr; nothing under `--quiet`, warnings and errors apart."""
    if not _silent or str(line).startswith(("warning", "simfarm:")):
        print(visible(line), file=sys.stderr, flush=True)


def is_quiet() -> bool:
    """Whether only warnings and errors are said."""
    return _silent


@contextmanager
def quiet(silent: bool) -> Iterator[None]:
    """While the block runs only warnings and errors are said, if `silent`."""
    global _silent  # noqa: PLW0603  one command, one terminal
    before, _silent = _silent, silent
    try:
        yield
    finally:
        _silent = before
