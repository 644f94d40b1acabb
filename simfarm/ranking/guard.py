"""Flags on models whose standing may not be their answers': one output for all, or outputs that address the judge.

AlpacaEval's NullModel answers all 805 instructions with one string written to fool the judge and holds first place
upstream. A flag is a warning to a reader, never a change of a number.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import pandas as pd

__all__ = ["CONSTANT_OUTPUT", "NOT_CHECKED", "SPEAKS_TO_JUDGE", "flags"]

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


def flags(data: pd.DataFrame) -> dict[str, tuple[str, ...]]:
    """Flags of each generator in annotation rows, on either side; `("not checked",)` where the file has no texts.

    `data` has generator_1, generator_2 and cluster (from `units.prepare`). An empty tuple means checked and clean.
    """
    found: dict[str, tuple[str, ...]] = {}
    sides = []
    for side in ("1", "2"):
        names = data[f"generator_{side}"]
        found.update(dict.fromkeys(pd.unique(names), (NOT_CHECKED,)))
        if f"output_{side}" in data:
            texts = pd.DataFrame({"model": names, "cluster": data["cluster"], "output": data[f"output_{side}"]})
            sides.append(texts.dropna(subset=["output"]))
    if sides:
        outputs = pd.concat(sides).drop_duplicates()
        for model, part in outputs.groupby("model", sort=False):
            found[str(model)] = _flags(part)
    return found


def _flags(part: pd.DataFrame) -> tuple[str, ...]:
    raised = []
    most = int(part.drop_duplicates(["cluster", "output"])["output"].value_counts().iloc[0])
    if most >= CONSTANT_COUNT and most >= CONSTANT_SHARE * part["cluster"].nunique():
        raised.append(CONSTANT_OUTPUT)
    if _speaks(part["output"].unique(), len(part), part["output"].value_counts()):
        raised.append(SPEAKS_TO_JUDGE)
    return tuple(raised)


def _speaks(texts: Iterable[str], n_outputs: int, count: pd.Series[int]) -> bool:
    hinting = 0
    for text in texts:
        lower = text.lower()
        if not any(cue in lower for cue in CUES):
            continue
        if _PROOF.search(text):
            return True
        hints = sum(1 for pattern in _HINTS if pattern.search(text))
        if hints >= 2:
            return True
        hinting += int(count[text]) if hints else 0
    return hinting > 0 and hinting >= HINT_SHARE * n_outputs
