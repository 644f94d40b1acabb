"""A text without its disguise: what is left when case, width, accents, look-alike letters and unseen characters go.

Two outputs that a reader takes for one and the same must be one and the same here, whatever was sprinkled over them.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

__all__ = ["UNSEEN", "bare", "latin", "letters", "plain", "readings"]

UNSEEN = re.compile(
    "[\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200c-\u200f\u202a-\u202e\u2060-\u206f"
    "\u3164\ufe00-\ufe0f\ufeff\uffa0\U000e0000-\U000e0fff]"
)
"""Characters that show nothing: joiners, marks of direction, fillers, variation selectors. U+200B is not among them:
it is the mark by which a judge's template breaks tokens, and stays what it is there."""

_ALIKE = str.maketrans(
    "\u0430\u0432\u0435\u0456\u0458\u043a\u043c\u043d\u043e\u0440\u0441\u0442\u0443\u0445\u04bb\u0455\u0501\u051b\u051d"
    "\u03b1\u03b2\u03b3\u03b5\u03b7\u03b9\u03ba\u03bd\u03bf\u03c1\u03c4\u03c5\u03c7\u03c9"
    "\u0131\u0251\u0261\u0269\u028b\u0578\u057d\u0585",
    "abeijkmhopctyxhsdqwabyenikvoptuxwiagivnuo",
)
"""Small letters of Cyrillic, Greek, Armenian and phonetic script, and the Latin one that each passes for."""

_FOREIGN = re.compile(f"[{''.join(map(chr, _ALIKE))}]")
_TYPESET = {"\u2019": "'", "\u2018": "'", "\u201c": '"', "\u201d": '"', "\u2013": "-", "\u2014": "-", "\u2022": "*"}
_TYPESET |= {"\u2026": "...", "\u00a0": " "}
"""What an editor sets for a typist's marks: in most texts that are not ASCII there is nothing else."""

_LOWER = bytes(ord(chr(code).lower()) if code < 128 else code for code in range(256))
_NO_ALNUM = bytes(code for code in range(1, 128) if not chr(code).isalnum())
_ACCENTS = re.compile("[\u0300-\u036f]")
_NOT_ALNUM = re.compile(r"[\W_]+")
_NOT_LETTER = re.compile(r"[\W\d_]+")


def plain(text: str) -> str:
    """The text as it is read: NFKC, small letters, nothing unseen."""
    if text.isascii():
        return text.lower()
    return unicodedata.normalize("NFKC", UNSEEN.sub("", text).replace("\u200b", "")).casefold()


def latin(text: str) -> str:
    """A plain text with Latin letters for those that pass for them, and without accents."""
    if text.isascii():
        return text
    bases = _ACCENTS.sub("", unicodedata.normalize("NFKD", text))
    return bases.translate(_ALIKE) if _FOREIGN.search(bases) else bases


def readings(text: str) -> tuple[str, str]:
    """(the text in its plain form, in its Latin one), both with a typist's quotes, dashes and bullets."""
    if not text.isascii():
        for mark, typed in _TYPESET.items():
            text = text.replace(mark, typed)
    shown = plain(text)
    return shown, latin(shown)


def bare(latin_texts: Sequence[str]) -> list[str]:
    """Letters and digits alone of each of these texts in Latin letters: what jitter of any kind leaves the same."""
    return _stripped(latin_texts, _NO_ALNUM, _NOT_ALNUM)


def letters(bare_texts: Sequence[str]) -> list[str]:
    """The letters of bare texts: counters, dates and seeds go too."""
    return _stripped(bare_texts, b"0123456789", _NOT_LETTER)


def _stripped(texts: Sequence[str], drop: bytes, others: re.Pattern[str]) -> list[str]:
    """The texts in small letters without the ASCII to `drop`, all in one go, and without `others` where they are more
    than ASCII."""
    if not texts:
        return []
    joined = "\0".join(text.replace("\0", "") if "\0" in text else text for text in texts)
    left = joined.encode("utf-8", "surrogatepass").translate(_LOWER, drop).decode("utf-8", "surrogatepass")
    return [text if text.isascii() else others.sub("", text) for text in left.split("\0")]
