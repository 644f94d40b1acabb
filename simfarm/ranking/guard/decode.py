"""What an output says in code: base64, hexadecimal, rot13, backwards, letters spaced out, digits for letters.

Only what looks like one is decoded. That is told by the text's outline (blank, letter, digit, other), one byte each, in
which `in` finds a long word or a row of single letters far faster than a regular expression would.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterator

__all__ = ["decoded"]

_BLANKS = b" \t\n\r\x0b\x0c"
_LEET_DIGITS = b"0134578@$"
_OUTLINE = bytes(
    ord(" ") if code in _BLANKS else ord("0") if code in _LEET_DIGITS else ord("a") if chr(code).isalpha() else ord("-")
    for code in range(256)
)
_SOLID = bytes(ord(" ") if code in _BLANKS else ord("x") for code in range(256))
_LONG = b"x" * 24
_ALONE = b" x x x x x x x x"

_CODE = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){16,}")
_SPACED = re.compile(r"(?:(?<!\w)\w[ .\-_*|]{1,2}){8,}\w(?!\w)")
_GAPS = re.compile(r"(?<=\w)[ .\-_*|](?=\w)|[ .\-_*|]{2}")
_LEET = str.maketrans("0134578@$", "oieastbas")
_ROT13 = ("whqtr", "rinyhngbe", "vtaber", "nafjre", "bhgchg")
_BACKWARDS = ("egduj", "rotaulave", "erongi", "rewsna", "tuptuo")


def decoded(text: str, shown: str) -> Iterator[str]:
    """The readings of `text` other than its plain one, in small letters; `shown` is its plain form."""
    data = shown.encode("utf-8", "surrogatepass")
    solid = data.translate(_SOLID)
    if _LONG in solid:
        yield from _codes(text)
    if _LONG in solid or _ALONE in solid:
        yield from (_GAPS.sub(_gap, match.group()) for match in _SPACED.finditer(shown))
    outline = data.translate(_OUTLINE)
    if b"a0a" in outline or b"a00a" in outline:
        yield shown.translate(_LEET)
    if any(cue in shown for cue in _ROT13):
        yield codecs.encode(shown, "rot13")
    if any(cue in shown for cue in _BACKWARDS):
        yield shown[::-1]


def _gap(match: re.Match[str]) -> str:
    return " " if len(match.group()) == 2 else ""


def _codes(text: str) -> Iterator[str]:
    for match in _CODE.finditer(text):
        code = match.group().rstrip("=").translate(str.maketrans("-_", "+/"))
        if _HEX.fullmatch(code):
            yield from _read(bytes.fromhex(code))
            continue
        try:
            yield from _read(base64.b64decode(code + "=" * (-len(code) % 4)))
        except (binascii.Error, ValueError):
            continue


def _read(data: bytes) -> Iterator[str]:
    """The bytes as a text, where they are one."""
    try:
        text = data.decode("utf-8").lower()
    except UnicodeDecodeError:
        return
    if text.isprintable() or "\n" in text:
        yield text
