"""Which of many outputs may hold a sign: a first look at all of them together, so that few need a close one.

Python's `re` reads some megabytes a second, RE2 (pyarrow has it) some hundred. It knows no look-around and only ASCII's
words, so each rule of `hints` is loosened for it, never narrowed: what has a sign is a suspect, and `sign` says which
suspects have one.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any
from unicodedata import normalize

import numpy as np
import numpy.typing as npt
import pyarrow
import pyarrow.compute

from simfarm.ranking.guard.decode import decoded
from simfarm.ranking.guard.hints import COMMENT, RULES
from simfarm.ranking.guard.tongues import RULES as TONGUES

__all__ = ["suspects"]

_LOOK = re.compile(r"\(\?[=!](?:[^()]|\([^()]*\))*\)")
_CODE_POINT = re.compile(r"\\u([0-9a-f]{4})")
_NARROW = re.compile(r"\[(?:\\.|[^\]\\])+\]|\\[bdwWsS]|\{[01],\d\d+\}|\\.")
_LOOSE = {
    r"\b": "",
    r"\d": r"[0-9\x{80}-\x{10ffff}]",
    r"\w": r"[^ \n]",
    r"\W": r"[^a-z0-9_]",
    r"\s": r"[^!-~]",
    r"\S": r"[^ \n]",
}
_GAP = re.compile(r"(?:\[\^\.\\n\]|\.)\*")
_GAPS = {"{0,": "*", "{1,": "+"}
_OTHERS = r"\x{80}-\x{10ffff}"
_WISHES = {"ignore", "order", "praise"}
_CODED = (
    r"<!--|[a-z0-9+/_-]{22}|[a-z\x{80}-\x{10ffff}][0134578@$]{1,2}[a-z\x{80}-\x{10ffff}]"
    r"|(?:[a-z0-9_\x{80}-\x{10ffff}][ .\-_*|]{1,2}){8}"
    "|whqtr|rinyhngbe|vtaber|nafjre|bhgchg|egduj|rotaulave|erongi|rewsna|tuptuo"
)
"""Where something may be hidden: a comment, or what `decode` reads."""


def loose(pattern: str) -> str:
    """A pattern that RE2 knows and that matches wherever this one does in small letters."""
    spelled = _CODE_POINT.sub(lambda match: chr(int(match[1], 16)), _LOOK.sub("", normalize("NFKC", pattern)))
    return _NARROW.sub(_loosened, spelled)


def _loosened(match: re.Match[str]) -> str:
    piece = match[0]
    if piece.startswith("[") and piece[1] != "^":
        return (
            piece.replace(r"\d", rf"\d{_OTHERS}")
            .replace(r"\w", rf"\w{_OTHERS}")
            .replace(r"\s", rf"\s\x0b\x1c-\x1f{_OTHERS}")
        )
    return _LOOSE.get(piece, _GAPS.get(piece[:3], piece))


def _patterns(ascii_only: bool) -> list[str]:
    """The rules in parts: all in one would be an automaton larger than RE2 holds, and read at Python's pace.

    For a text of ASCII only the rules that may match one: in every match one of their cues stands. Of those of other
    languages what follows the last gap will do there.
    """
    rules = [rule for rule in RULES if not ascii_only or any(cue.isascii() for cue in rule[1].split())]
    others = [loose(rule[2]) for rule in rules if rule in TONGUES]
    wishes = [loose(rule[2]) for rule in rules if rule[0] in _WISHES and rule not in TONGUES]
    signs = [loose(rule[2]) for rule in rules if rule[0] not in _WISHES and rule not in TONGUES]
    ends = [_GAP.split(pattern)[-1] for pattern in others]
    parts = [signs, wishes + ends] if ascii_only else [signs, wishes, others]
    return ["(?m)" + "|".join(f"(?:{pattern})" for pattern in part) for part in parts]


_OF_ASCII, _ALL = _patterns(True), _patterns(False)


def suspects(texts: Sequence[str], readings: Sequence[tuple[str, str]]) -> list[bool]:
    """Whether each text may hold a sign; `readings` are what `disguise.readings` gives of each."""
    suspected = np.zeros(len(texts), dtype=bool)
    views = [(number, view) for number, pair in enumerate(readings) for view in dict.fromkeys(pair)]
    suspected[_matching(views, _ALL, _OF_ASCII)] = True
    shown = [(number, pair[0]) for number, pair in enumerate(readings)]
    hidden = [
        (number, view)
        for number in _matching(shown, [_CODED], [_CODED]).tolist()
        for view in (*decoded(texts[number], shown[number][1]), *COMMENT.findall(shown[number][1]))
    ]
    suspected[_matching(hidden, _ALL, _OF_ASCII)] = True
    return [bool(one) for one in suspected]


def _matching(
    views: Sequence[tuple[int, str]], patterns: Sequence[str], of_ascii: Sequence[str]
) -> npt.NDArray[np.int64]:
    """The numbers of the views that any pattern matches, and those of ASCII any of `of_ascii`."""
    matching = []
    for ascii_only, own in ((True, of_ascii), (False, patterns)):
        numbers = np.array([number for number, view in views if view.isascii() == ascii_only], dtype=np.int64)
        # half a surrogate pair has no UTF-8
        read = [view.encode("utf-8", "replace") for _, view in views if view.isascii() == ascii_only]
        column = pyarrow.array(read, pyarrow.large_string())
        for pattern in own if read else ():
            matched: Any = pyarrow.compute.match_substring_regex(column, pattern)
            matching.append(numbers[matched.to_numpy(zero_copy_only=False)])
    return np.unique(np.concatenate(matching)) if matching else np.zeros(0, dtype=np.int64)
