"""Properties of answers beside their marks of style: hedging, numbers, refusing, sentiment, copying of the prompt.

Words and phrases are those of `english.yaml`: a text in another language has none, and so no such difference. The lists
are short and ours, since the libraries that count such words have not been kept (the one for sentiment since 2020).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import yaml

from simfarm.errors import InputError
from simfarm.text.marks import FEATURES, GROUPS, ORDER, SHOWN_FIRST, counts, prose

__all__ = ["COPYING", "GENERATORS", "PROPERTIES", "Lexicon", "copied", "lexicon", "measures", "property_names"]

COPYING = "copying"
"""The one property that needs the prompt beside the answer."""
GENERATORS = "generators"
"""The control for who wrote the outputs."""
PROPERTIES = (*FEATURES, "hedges", "numbers", "refusals", "sentiment", COPYING)

_WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)*")
_TOKEN = re.compile(r"\w+")
_NUMBER = re.compile(r"(?<![\w.])\d+(?:[.,:/]\d+)*(?!\w)")
_RUN = 4
"""Words in a row that are a copy: three are met by chance in any answer to a question."""
_BEFORE = 3
"""Words before one of sentiment in which a negation turns it round."""


@dataclass(frozen=True)
class Lexicon:
    """The words of `english.yaml`: patterns of phrases, sets of single lower-case words."""

    hedges: re.Pattern[str]
    refusals: re.Pattern[str]
    good: frozenset[str]
    bad: frozenset[str]
    negations: frozenset[str]
    common: frozenset[str]


@cache
def lexicon() -> Lexicon:
    """The word lists, read once."""
    listed = yaml.safe_load(Path(__file__).with_name("english.yaml").read_text("utf-8"))
    words = {name: frozenset(listed[name].split()) for name in ("good", "bad", "negations", "common")}
    return Lexicon(_phrases(listed["hedges"]), _phrases(listed["refusals"]), **words)


def _phrases(listed: Sequence[str]) -> re.Pattern[str]:
    """A pattern of phrases in lower-case text, by their first letters: so that most words are passed over at once."""
    by_letter: dict[str, list[str]] = {}
    # the longest first: "may vary" is not a "may" as well
    for phrase in sorted(listed, key=len, reverse=True):
        by_letter.setdefault(phrase[0], []).append(r"\s+".join(map(re.escape, phrase.split()))[1:])
    parts = (f"{letter}(?:{'|'.join(rests)})" for letter, rests in by_letter.items())
    return re.compile(rf"\b(?=[{''.join(by_letter)}])(?:{'|'.join(parts)})\b")


def property_names(control: str | Sequence[str]) -> tuple[str, ...]:
    """`"length,hedges,order,NAME"` as names: properties in the order of `PROPERTIES`, `order`, `generators`, then the
    user's own.

    `markdown` and `style` are as in `marks.control_names`, `all` is every property. Any other name is a covariate of
    the user's own (columns NAME_1 and NAME_2). Raises `InputError` for an empty name.
    """
    wanted: dict[str, None] = {}
    for word in (w.strip() for w in (control.split(",") if isinstance(control, str) else control)):
        if not word:
            raise InputError(f"{control!r} has an empty name; write names with one comma between them, as length,lists")
        if word == SHOWN_FIRST:
            raise InputError(f"{SHOWN_FIRST!r} is the name of order's weight; write order, or rename the columns")
        lower = word.lower()
        known = lower in (*PROPERTIES, *GROUPS, ORDER, GENERATORS, "all")
        wanted |= dict.fromkeys({**GROUPS, "all": PROPERTIES}.get(lower, (lower if known else word,)))
    ours = (*PROPERTIES, ORDER, GENERATORS)
    return (*(name for name in ours if name in wanted), *(name for name in wanted if name not in ours))


def measures(text: str, names: Sequence[str]) -> list[float]:
    """Of one text, in the order of `names` (of `PROPERTIES`, but for copying): counts of the marks, of hedges and of
    numbers; 1 for a text that refuses; sentiment from −1 to 1.

    Sentiment is (good − bad) / (good + bad + 1), words after a negation turned round: one word moves it by a half, and
    a long text is not more cheerful than a short one. Code is not read for words; its numbers are no numbers.
    """
    marks = dict(zip(FEATURES, counts(text), strict=True)) if set(names) & set(FEATURES) else {}
    plain = prose(text)
    return [float(marks[name] if name in marks else _WORDS[name](plain)) for name in names]


def _straight(text: str) -> str:
    """Lower case, and apostrophes of one kind."""
    return text.lower().replace("’", "'")


def _sentiment(plain: str) -> float:
    words, known = _WORD.findall(_straight(plain)), lexicon()
    found = Counter[bool]()
    for place, word in enumerate(words):
        if word in known.good or word in known.bad:
            turned = any(before in known.negations for before in words[max(0, place - _BEFORE) : place])
            found[(word in known.good) != turned] += 1
    return (found[True] - found[False]) / (found.total() + 1)


_WORDS: dict[str, Callable[[str], float]] = {
    "hedges": lambda plain: len(lexicon().hedges.findall(_straight(plain))),
    "numbers": lambda plain: len(_NUMBER.findall(plain)),
    "refusals": lambda plain: lexicon().refusals.search(_straight(plain)) is not None,
    "sentiment": _sentiment,
}


def copied(text: str, instruction: str) -> float:
    """The share of a text's runs of four words that stand in the instruction as well; 0 for fewer than four words."""
    runs = _runs(text)
    if not runs:
        return 0.0
    asked = _asked_runs(instruction)
    return sum(run in asked for run in runs) / len(runs)


def _runs(text: str) -> list[Sequence[str]]:
    words = _TOKEN.findall(text.lower())
    return list(zip(*(words[k:] for k in range(_RUN)), strict=False))


@lru_cache(maxsize=256)
def _asked_runs(instruction: str) -> frozenset[Sequence[str]]:
    return frozenset(_runs(instruction))
