"""What a model, a file or a provider wrote, made harmless where it is shown: a terminal, a CSV cell, a Markdown cell.

A terminal obeys control characters: an output could set the window's title, erase the line that flags it, or read
backwards. A spreadsheet obeys a cell that begins with `=`, a Markdown page obeys HTML and links. Everything that prints
goes through here; files of data (JSON, JSONL, Parquet, and CSV that simfarm reads back) keep texts as they are.

Invisible characters are kept where writing needs them (joiners in Persian and in emoji, variation selectors, the tags
of a flag) and shown where they could only hide something: three and more in a row, tags outside a flag, a joiner after
a plain letter of a name. Of a pile of combining marks the first few are kept: a hundred would cover the lines above.
"""

from __future__ import annotations

import json
import re

__all__ = ["csv_cell", "json_text", "markdown_cell", "one_line", "visible"]

_CONTROL = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline, DEL, C1
    "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # marks and overrides of the writing direction
    "\u2028\u2029\ufeff\ud800-\udfff"  # separators that some terminals break at, halves of surrogate pairs
    "\u2060-\u2065\u206a-\u206f\ufff9-\ufffb\ufffe\uffff"  # invisible and without use in a text
)
_TAG = "\U000e0000-\U000e007f"
_UNSEEN = "\u200b-\u200d\ufe00-\ufe0f\U000e0100-\U000e01ef"  # joiners, variation selectors
_MARK = (
    "\u0300-\u036f\u0483-\u0489\u0591-\u05bd\u0610-\u061a\u064b-\u065f\u06d6-\u06dc\u0e31\u0e34-\u0e3a\u0e47-\u0e4e"
    "\u1ab0-\u1aff\u1dc0-\u1dff\u20d0-\u20ff\ufe20-\ufe2f"
)
_MARKS = 6
"""On one letter at most; Hebrew with cantillation and Vietnamese need four."""

_SHOWN = re.compile(
    f"(?P<odd>[{_CONTROL}]|[{_UNSEEN}](?<=[{_UNSEEN}]{{3}}))"
    f"|(?P<flag>\U0001f3f4[\U000e0030-\U000e007a]{{1,6}}\U000e007f)"
    f"|(?P<tag>[{_TAG}])"
    f"|(?P<pile>[{_MARK}]{{{_MARKS + 1},}})"
)
_IN_A_NAME = re.compile(
    "[\t\n\u00ad\u115f\u1160\u180e\u200b\u3164\uffa0]"  # breaks, and blanks that look like nothing
    "|[\u200c\u200d](?<=[\x00-\x7f].)|[\ufe00-\ufe0f](?<=[^0-9#*\x80-\U0010ffff].)"
)
_IN_JSON = re.compile(f"[{_CONTROL}{_TAG}]")
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "＝", "＋", "－", "＠")
_MARKDOWN = re.compile(r"([\\`*_\[\]|~#!$])|(?<=:)(/)(?=/)|(?<=\bwww)(\.)", re.IGNORECASE)
_ADDRESS = re.compile(r"@(?=\w)")


def _escape(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii")


def _shown(match: re.Match[str]) -> str:
    if match["flag"]:
        return match["flag"]
    return match["pile"][:_MARKS] + "…" if match["pile"] else _escape(match.group())


def visible(text: object) -> str:
    """A text for a terminal: control characters and direction overrides as escapes (`\\x1b`), lines as they are."""
    return _SHOWN.sub(_shown, str(text).replace("\r\n", "\n"))


def one_line(text: object) -> str:
    """A name or a message for a terminal: as `visible`, and line breaks, tabs and unseen blanks are escapes too."""
    return _IN_A_NAME.sub(lambda match: _escape(match.group()), visible(text))


def json_text(text: str) -> str:
    """JSON for a terminal or a pipe: the same values, with control characters in strings as `\\u` escapes."""
    return _IN_JSON.sub(lambda match: json.dumps(match.group())[1:-1], text)


def csv_cell(value: object) -> object:
    """A table's cell for a spreadsheet: a text that would be a formula there gets an apostrophe in front."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA) else value


def markdown_cell(value: object) -> str:
    """A Markdown table's cell: no HTML, link, emphasis or line break of its own. An `@` is parted from the name after
    it by an empty comment, since pages make addresses and mentions of the finished text."""
    text = one_line(value).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _ADDRESS.sub("@<!-- -->", _MARKDOWN.sub(r"\\\g<0>", text))
