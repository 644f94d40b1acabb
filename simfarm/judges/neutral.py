"""What a candidate wrote, so that it cannot speak as the judge: delimiters and chat tokens broken, all else as it was.

A token gets a zero-width space after its first character. It is looked for as a tokenizer or a reader would take it:
full-width `＜` is `<`, capitals are small letters in a delimiter, and what no one sees is not there. U+200B itself does
break a token: it is the mark that is set here, so that neutralising twice is neutralising once.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from functools import lru_cache

from simfarm.text import chat_tokens
from simfarm.text.disguise import UNSEEN

__all__ = ["MARK", "neutraliser"]

MARK = "\u200b"
_WIDE = {"<": "\ufe64\uff1c", "[": "\ufe47\uff3b", "]": "\ufe48\uff3d"}
"""What becomes such a character under NFKC."""


@lru_cache(maxsize=64)
def neutraliser(delimiters: tuple[str, ...]) -> Callable[[str], str]:
    """A function that breaks every delimiter and chat token in a text by U+200B after its first character.

    Each match consumes one character only: a token hidden inside another one is found too.
    """
    tails = chat_tokens.shapes(chat_tokens.STRICT, chat_tokens.LOOSE)
    for delimiter in delimiters:
        folded = unicodedata.normalize("NFKC", delimiter)
        tails.setdefault(folded[0], []).append(f"(?i:{re.escape(folded[1:])})")
    starts = tuple(dict.fromkeys(case for first in tails for case in (first, first.swapcase(), *_WIDE.get(first, ()))))
    known = tails.keys() <= _WIDE.keys()
    pattern = re.compile("|".join(f"(?i:{re.escape(first)})(?={'|'.join(rest)})" for first, rest in tails.items()))

    def neutralise(text: str) -> str:
        # Most texts hold no such character at all, and `in` is far faster than a regular expression.
        for start in starts:
            if start in text:
                break
        else:
            if known or text.isascii():
                return text
        if text.isascii() or (unicodedata.is_normalized("NFKC", text) and not UNSEEN.search(text)):
            return pattern.sub(rf"\g<0>{MARK}", text)
        return _disguised(text, pattern)

    return neutralise


def _disguised(text: str, pattern: re.Pattern[str]) -> str:
    """The text with a mark wherever its plain form has a match; the text itself keeps every character."""
    if not pattern.search(_plain(text)):
        return text
    plain, places = [], []
    for place, character in enumerate(text):
        for shown in _plain(character):
            plain.append(shown)
            places.append(place)
    after = {places[match.start()] for match in pattern.finditer("".join(plain))}
    return "".join(character + MARK if place in after else character for place, character in enumerate(text))


def _plain(text: str) -> str:
    return unicodedata.normalize("NFKC", UNSEEN.sub("", text))
