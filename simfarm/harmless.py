"""What a model, a file or a provider wrote, made harmless where it is shown: a terminal, a CSV cell, a Markdown cell.

A terminal obeys control characters: an output could set the window's title, erase the line that flags it, or read
backwards. A spreadsheet obeys a cell that begins with `=`, a Markdown page obeys HTML and links. Everything that prints
goes through here; files of data (JSON, JSONL, Parquet) keep texts as they are.
"""

from __future__ import annotations

import re

__all__ = ["csv_cell", "markdown_cell", "one_line", "visible"]

_CONTROLS = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks and overrides of the writing direction
    "\u2028\u2029\ufeff\ud800-\udfff]"  # separators that some terminals break at, halves of surrogate pairs
)
_BREAKS = re.compile(r"[\t\n]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!])")


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape", "backslashreplace").decode("ascii")


def visible(text: object) -> str:
    """A text for a terminal: control characters and direction overrides as escapes (`\\x1b`), lines as they are."""
    return _CONTROLS.sub(_escaped, str(text))


def one_line(text: object) -> str:
    """A name or a message for a terminal: as `visible`, and line breaks and tabs are escapes too."""
    return _BREAKS.sub(_escaped, visible(text))


def csv_cell(value: object) -> object:
    """A table's cell for a spreadsheet: a text that would be a formula there gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def markdown_cell(value: object) -> str:
    """A Markdown table's cell: no HTML, link, emphasis or line break of its own."""
    text = one_line(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _MARKDOWN.sub(r"\\\1", text)
