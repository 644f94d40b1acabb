"""Flags on models whose standing may not be their answers': one output for all, or outputs that address the judge.

AlpacaEval's NullModel answers all 805 instructions with one string written to fool the judge and holds first place
upstream. A flag is a warning to a reader, never a change of a number.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Hashable
from typing import Any

import pandas as pd

__all__ = ["CONSTANT_OUTPUT", "NOT_CHECKED", "SPEAKS_TO_JUDGE", "Flag", "Watch", "flags"]

CONSTANT_OUTPUT = "constant-output"
SPEAKS_TO_JUDGE = "speaks-to-judge"
NOT_CHECKED = "not checked"

CONSTANT_COUNT = 5
CONSTANT_SHARE = 0.05
HINT_SHARE = 0.10

PROOFS = (
    # Pieces of judge templates (AlpacaEval, Arena-Hard, MT-bench, LLMBar, simfarm): nobody answers a user with these.
    r'"?model_identifier"?\s*["\']?\s*:',
    r"^#+\s*(unordered\s+)?model outputs\b",
    r"^#+\s*best model identifier\b",
    r"\bunordered outputs from the models\b",
    r"<\|the (start|end) of assistant [ab]['’]s (answer|conversation)[^|]*\|>",
    r"\[the (start|end) of assistant [ab]['’]s (answer|conversation)[^\]]*\]",
    r"^#+\s*output \([ab]\)\s*:?\s*$",
    r"\[\[[ab][<>=]{1,2}[ab]\]\]",
    # The judge addressed or answered for.
    r"\b(dear|attention|hello|hey|note to (the )?)\s*,?\s*(llm |ai )?(judge|evaluator|grader|annotator)\b\s*[,:!]",
)
"""One match in one output is enough."""

HINTS = (
    r"\[\[[ab]\]\]",
    r"\b(judge|evaluator|grader)s?\b[^.\n]{0,40}\b(must|should|please)\b[^.\n]{0,40}"
    r"\b(prefer|choose|pick|select|rate|rank|score)\b[^.\n]{0,40}\b(this|my|output|answer|response|model)\b",
    r"\b(ignore|disregard|forget)\s+(all\s+|everything\s+)?(of\s+)?(the\s+|your\s+|any\s+)?(above|previous|prior|preceding)\b",
    r"<\|(im_start|start_header_id)\|>\s*(system|user|assistant)",
    r"<\|(im_end|endoftext|eot_id|end_of_turn|end|eom_id)\|>",
    r"\[/?INST\]|<</?SYS>>|<(start|end)_of_turn>",
    r"\b(output|answer|response|model|assistant)[ _]?\(?(1|2|a|b|m|one|two)\)?\s+is\s+"
    r"(clearly\s+|much\s+|the\s+)?(better|best|superior)\b",
    r"\b(this|my) (answer|output|response) is (clearly |much )?(better|superior|the best)\b",
)
"""Each is also found in honest answers (a lesson on prompt injection, a leaked end token), so it takes two different
ones in one output, or one in a tenth of the outputs."""

CUES = (
    "model_identifier", "model outputs", "model identifier", "unordered outputs", "assistant ", "output (", "[[",
    "judge", "evaluator", "grader", "annotator", "ignore", "disregard", "forget", "<|", "inst]", "sys>", "_of_turn>",
    "better", "best", "superior",
)  # fmt: skip
"""Every match has one of these, in lower case: a text with none is not searched, which is several times faster."""

_PROOF = re.compile("|".join(f"(?:{p})" for p in PROOFS), re.IGNORECASE | re.MULTILINE)
_HINTS = [re.compile(p, re.IGNORECASE) for p in HINTS]


class Flag(str):
    """A flag's name, with an `example` of what raised it: one harmless line, empty where there is none."""

    example: str

    def __new__(cls, name: str, example: str = "") -> Flag:
        flag = super().__new__(cls, name)
        flag.example = example
        return flag


class Watch:
    """Outputs seen one by one, in any order and any number of files; `flags` at any time says what they show.

    No text is kept but a short example of each flag: an output leaves some hashes behind.
    """

    def __init__(self) -> None:
        self._of: dict[str, _Seen] = {}

    def see(self, generator: str, cluster: Hashable, text: str) -> None:
        """One output to one instruction (`cluster`); the same text for the same instruction counts once."""
        seen = self._of.get(generator)
        if seen is None:
            seen = self._of[generator] = _Seen()
        seen.add(cluster, text)

    def flags(self) -> dict[str, tuple[Flag, ...]]:
        """The flags of every generator seen, empty where it is clean."""
        return {generator: seen.flags() for generator, seen in self._of.items()}


class _Seen:
    """What is left of one generator's outputs."""

    def __init__(self) -> None:
        self._known: set[int] = set()
        self._clusters: set[int] = set()
        self._texts: Counter[int] = Counter()
        self._hinting = 0
        self._example: dict[str, str] = {}

    def add(self, cluster: Hashable, text: str) -> None:
        key = hash((cluster, text))
        if key in self._known:
            return
        self._known.add(key)
        self._clusters.add(hash(cluster))
        self._texts[hash(text)] += 1
        found = _hints(text)
        self._hinting += found > 0
        if found >= 2:
            self._example.setdefault(SPEAKS_TO_JUDGE, "")

    def flags(self) -> tuple[Flag, ...]:
        raised = []
        most = max(self._texts.values())
        if most >= CONSTANT_COUNT and most >= CONSTANT_SHARE * len(self._clusters):
            raised.append(Flag(CONSTANT_OUTPUT))
        if SPEAKS_TO_JUDGE in self._example or self._hinting >= max(1, HINT_SHARE * len(self._known)):
            raised.append(Flag(SPEAKS_TO_JUDGE))
        return tuple(raised)


def _hints(text: str) -> int:
    lower = text.lower()
    if not any(cue in lower for cue in CUES):
        return 0
    return 2 if _PROOF.search(text) else sum(1 for pattern in _HINTS if pattern.search(text))


def flags(data: pd.DataFrame) -> dict[str, tuple[Flag, ...]]:
    """Flags of each generator in annotation rows, on either side; `("not checked",)` where the file has no texts.

    `data` has generator_1, generator_2 and cluster (from `units.prepare`). An empty tuple means checked and clean.
    """
    names: dict[Any, None] = {}
    watch = Watch()
    for side in ("1", "2"):
        column = data[f"generator_{side}"]
        names |= dict.fromkeys(pd.unique(column))
        if f"output_{side}" in data:
            outputs = data[f"output_{side}"]
            known = outputs.notna().to_numpy()
            for row in zip(column[known], data["cluster"][known], outputs[known], strict=True):
                watch.see(*row)
    found = watch.flags()
    return {name: found.get(name, (Flag(NOT_CHECKED),)) for name in names}
