"""The marks of style in a text: its length, and the headers, lists, bold spans and code blocks of Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from simfarm.errors import InputError

__all__ = ["FEATURES", "control_names", "counts"]

FEATURES = ("length", "headers", "lists", "bold", "code")
GROUPS = {"markdown": ("headers", "lists", "bold", "code"), "style": FEATURES}

_FENCE = re.compile(r"^[ \t]{0,3}(```+|~~~+)[^\n]*\n?(.*?)(?:^[ \t]{0,3}\1[`~]*[ \t]*$|\Z)", re.MULTILINE | re.DOTALL)
_HEADER = re.compile(r"^ {0,3}#{1,6}[ \t]+\S", re.MULTILINE)
_ITEM = re.compile(r"^[ \t]*(?:[-*+•]|\d{1,3}[.)])[ \t]+\S", re.MULTILINE)
_BOLD = re.compile(r"\*\*(?=\S)[^*\n]+?\*\*|(?<!\w)__(?=\S)[^_\n]+?__(?!\w)")

_MARKS = {"headers": _HEADER, "lists": _ITEM, "bold": _BOLD}


def control_names(control: str | Sequence[str]) -> tuple[str, ...]:
    """`"length,markdown"` as feature names, in the order of `FEATURES`; markdown is headers, lists, bold and code.

    Raises `InputError` for a name that is none of the features, `markdown` or `style` (all five).
    """
    words = control.split(",") if isinstance(control, str) else list(control)
    wanted: set[str] = set()
    for word in (w.strip().lower() for w in words):
        if word not in FEATURES and word not in GROUPS:
            known = ", ".join((*FEATURES, *GROUPS))
            raise InputError(f"there is no style feature {word!r} to control for; choose from {known}")
        wanted.update(GROUPS.get(word, (word,)))
    return tuple(name for name in FEATURES if name in wanted)


def counts(text: str, names: Sequence[str] = FEATURES) -> list[int]:
    """Of one text, in the order of `names`: characters, and headers, list items, bold spans, fenced code blocks.

    What stands inside a code block is code: its `# comment` is no header and its `- x` no list item. A fence that is
    never closed (an answer cut off) is one block to the end.
    """
    fences = 0

    def count_fence(_: re.Match[str]) -> str:
        nonlocal fences
        fences += 1
        return "\n"

    prose = _FENCE.sub(count_fence, text)
    return [len(text) if n == "length" else fences if n == "code" else len(_MARKS[n].findall(prose)) for n in names]
