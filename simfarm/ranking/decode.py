"""What an output says in code: base64, hexadecimal, rot13, backwards, letters spaced out, digits for letters.

Only texts that look like one are decoded, so that this costs next to nothing on the others.
"""

from __future__ import annotations

import base64
import binascii
import codecs
import re
from collections.abc import Iterator

__all__ = ["decoded", "undigited"]

_CODE = re.compile(r"[A-Za-z0-9+/_-]{24,}={0,2}")
_HEX = re.compile(r"(?:[0-9a-fA-F]{2}){16,}")
_SPACED = re.compile(r"(?:(?<!\w)\w[ .\-_*|]{1,2}){8,}\w(?!\w)")
_GAPS = re.compile(r"(?<=\w)[ .\-_*|](?=\w)|[ .\-_*|]{2}")
_ALONE = bytes([1] * 8)
_LEET = str.maketrans("0134578@$", "oieastbas")
_DIGIT_INSIDE = re.compile(r"(?<=[a-z])[0134578@$]+(?=[a-z])")
_ROT13 = ("whqtr", "rinyhngbe", "vtaber", "nafjre", "bhgchg")
_BACKWARDS = ("egduj", "rotaulave", "erongi", "rewsna", "tuptuo")


def decoded(text: str, shown: str) -> Iterator[str]:
    """The readings of `text` other than its plain one, in small letters; `shown` is its plain form."""
    lengths = [len(word) for word in shown.split()]
    long = max(lengths, default=0) >= 24
    if long:
        yield from _codes(text)
    if long or _ALONE in bytes([length if length < 256 else 255 for length in lengths]):
        yield from (_GAPS.sub(_gap, match.group()) for match in _SPACED.finditer(shown))
    if any(cue in shown for cue in _ROT13):
        yield codecs.encode(shown, "rot13")
    if any(cue in shown for cue in _BACKWARDS):
        yield shown[::-1]


def undigited(shown: str) -> str:
    """A plain text with letters for the digits inside its words (`1gn0re`)."""
    return shown.translate(_LEET) if _DIGIT_INSIDE.search(shown) else shown


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
