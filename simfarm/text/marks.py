"""The marks of style in a text: its length, and the headers, lists, bold spans and code blocks of Markdown; and what
else verdicts can be controlled for."""

from __future__ import annotations

import re
from collections.abc import Sequence

from simfarm.errors import InputError

__all__ = ["FEATURES", "GROUPS", "ORDER", "SHOWN_FIRST", "control_names", "counts", "covariate_names", "prose"]

FEATURES = ("length", "headers", "lists", "bold", "code")
GROUPS = {"markdown": ("headers", "lists", "bold", "code"), "style": FEATURES}
ORDER = "order"
"""The control for which output was shown first."""
SHOWN_FIRST = "shown_first"
"""The name of its slope."""

_FENCE = re.compile(r"^[ \t]{0,3}(```+|~~~+)[^\n]*\n?(.*?)(?:^[ \t]{0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_HEADER = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.MULTILINE)
_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
_BOLD = re.compile(r"\*\*(?=\S)[^*\n]+?\*\*|(?<!\w)__(?=\S)[^_\n]+?__(?!\w)")

_MARKS = {"headers": _HEADER, "lists": _ITEM, "bold": _BOLD}


def control_names(control: str | Sequence[str]) -> tuple[str, ...]:
    """`"length,markdown,order,latency"` as names: features in the order of `FEATURES`, `order`, then the user's own.

    `markdown` is headers, lists, bold and code, `style` all five features. Any other name is a covariate of the user's
    own (columns NAME_1 and NAME_2): whether there is one is known where the rows are read. Raises `InputError` for an
    empty name.
    """
    words = control.split(",") if isinstance(control, str) else list(control)
    wanted: dict[str, None] = {}
    for word in (w.strip() for w in words):
        if not word:
            raise InputError(f"{control!r} has an empty name; write names with one comma between them, as length,order")
        if word == SHOWN_FIRST:
            raise InputError(f"{SHOWN_FIRST!r} is the name of order's slope; write order, or rename the columns")
        lower = word.lower()
        own = lower not in (*FEATURES, *GROUPS, ORDER)
        wanted |= dict.fromkeys(GROUPS.get(lower, (word if own else lower,)))
    known = [name for name in (*FEATURES, ORDER) if name in wanted]
    return (*known, *covariate_names(tuple(wanted)))


def covariate_names(names: Sequence[str]) -> tuple[str, ...]:
    """Those of the names that are covariates of the user's own."""
    return tuple(name for name in names if name not in FEATURES and name != ORDER)


def counts(text: str, names: Sequence[str] = FEATURES) -> list[int]:
    """Of one text, in the order of `names`: characters, and headers, list items, bold spans, fenced code blocks.

    What stands inside a code block is code: its `# comment` is no header and its `- x` no list item. A fence that is
    never closed (an answer cut off) is one block to the end.
    """
    outside, fences = _FENCE.subn("\n", text)
    return [len(text) if n == "length" else fences if n == "code" else len(_MARKS[n].findall(outside)) for n in names]


def prose(text: str) -> str:
    """A text without its code blocks."""
    return _FENCE.sub("\n", text)
