"""The embedded judge: a logistic model over ten surface features, for trying the farm without a key.

It reads no meaning. It counts what people's preferences are known to lean on (length, the instruction's own words,
lists, repetition, refusals …) and weighs the differences by human labels, so that the whole path runs on a fresh
machine with nothing but Python. It is about as good as "the longer one wins": within the noise of it on most sets,
below it on one, and far worse than a coin on pairs written to deceive; `AGREEMENT` and `banner` say so wherever its
verdicts appear.

The weights were fitted on freely licensed labels alone (PandaLM's test set, Apache-2.0; the Vicuna-80 ratings, MIT;
LLMBar Natural, MIT), every instruction counting once. `benchmarks/surface.py` refits them and prints the agreement.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping

__all__ = ["AGREEMENT", "WEIGHTS", "banner", "differences", "features", "prefer"]

# begin fitted: written by benchmarks/surface.py --write
WEIGHTS: Mapping[str, tuple[float, float]] = {
    "length": (0.1893, 1.1289),
    "coverage": (0.054, 0.2743),
    "variety": (0.1741, 0.8026),
    "repetition": (-0.1153, 0.135),
    "copying": (-0.2856, 0.252),
    "lists": (0.0091, 0.853),
    "paragraphs": (0.0753, 0.5564),
    "code": (0.018, 0.1161),
    "refusal": (-0.0777, 0.146),
    "empty": (-0.0166, 0.1404),
}
AGREEMENT: Mapping[str, tuple[float, float]] = {
    "AlpacaFarm": (0.6297, 0.6218),
    "PandaLM": (0.6896, 0.6739),
    "LLMBar": (0.4688, 0.4633),
    "Vicuna-80": (0.7482, 0.8099),
    "LLMBar Natural": (0.6100, 0.5650),
    "LLMBar Adversarial": (0.1771, 0.1803),
}
# end fitted
"""`WEIGHTS`: feature -> (weight in logits, scale); a feature's difference is divided by its scale, then weighed.

`AGREEMENT`: set of human labels -> (this judge's agreement, `longest`'s) as fractions, each with weights that never saw
the set: the share of pairs where the judge names the output that most people preferred. Pairs without a strict majority
are left out; a judge's tie counts half.
"""

_COEFFICIENTS = tuple(weight / scale for weight, scale in WEIGHTS.values())

_WORD = re.compile(r"\w+")
_ITEM = re.compile(r"^[ \t]*(?:[-*•+]|\d{1,3}[.)])[ \t]", re.M)
_REFUSAL = re.compile(
    r"\b(?:sorry|apologi[sz]e|i (?:can ?not|can['’]t|am (?:not able|unable)|do not know|don['’]t know)|as an ai|"
    r"language model|unable to|no (?:input|text|image) (?:was )?(?:provided|given))\b"
)
_COMMON = frozenset(
    _WORD.findall(
        "about also and any are been but can could did does for from had has have her him his how into its just like "
        "make made more most not one other our out over she should some such than that the their them then there these "
        "they this those was were what when where which while who will with would you your give write please following "
        "sentence using use given"
    )
)


def features(instruction: str, output: str) -> tuple[float, ...]:
    """What the judge sees of one output: a number for each of `WEIGHTS`, in their order.

    Counts go through log(1 + n), so that the tenth list item matters less than the first; shares lie in [0, 1].
    Time and memory are linear in the text.
    """
    text = output.strip()
    words = _WORD.findall(text.lower())
    asked = _WORD.findall(instruction.lower())
    distinct = set(words)
    wanted = {word for word in asked if len(word) > 2 and word not in _COMMON}
    triples = list(zip(words, words[1:], words[2:], strict=False))
    phrases = set(triples)
    return (
        math.log1p(len(text)),
        len(wanted & distinct) / len(wanted) if wanted else 0.0,
        math.log1p(len(distinct)),
        1 - len(phrases) / len(triples) if triples else 0.0,
        len(phrases.intersection(zip(asked, asked[1:], asked[2:], strict=False))) / len(phrases) if phrases else 0.0,
        math.log1p(len(_ITEM.findall(text))),
        math.log1p(text.count("\n\n")),
        float("```" in text),
        float(_REFUSAL.search(text[:200].lower()) is not None),
        float(not text),
    )


def differences(instruction: str, output_1: str, output_2: str) -> tuple[float, ...]:
    """What the judge goes by: of each feature in `WEIGHTS`, output_2's less output_1's in units of its scale."""
    first, second = features(instruction, output_1), features(instruction, output_2)
    return tuple((b - a) / scale for (_, scale), a, b in zip(WEIGHTS.values(), first, second, strict=True))


def prefer(instruction: str, output_1: str, output_2: str, weights: Mapping[str, float] | None = None) -> float:
    """How strongly output_2 is preferred, in [0, 1]; swapping the outputs gives exactly 1 minus it.

    p = σ(Σ weightₖ · (featureₖ(output_2) − featureₖ(output_1)) / scaleₖ). There is no intercept: it would be position
    bias. On AlpacaFarm's labels, which it never saw, p is calibrated (slope .99). `weights` are those of one person, in
    logits for one scale; a feature that they leave out has none.
    """
    if weights is None:
        first, second = features(instruction, output_1), features(instruction, output_2)
        z = sum(w * (b - a) for w, a, b in zip(_COEFFICIENTS, first, second, strict=True))
    else:
        by_name = zip(WEIGHTS, differences(instruction, output_1, output_2), strict=True)
        z = sum(weights.get(name, 0.0) * x for name, x in by_name)
    # The upper half is computed and the lower mirrored: 1 - (1 - p) is p in floating point only for p >= 1/2.
    upper = 1 / (1 + math.exp(-abs(z)))
    return upper if z >= 0 else 1 - upper


def banner() -> str:
    """One line for every board this judge makes: what it is, how often it agrees with people, what it is not for."""
    figures = ", ".join(
        f"{name} {100 * ours:.0f} % ({100 * longest:.0f})" for name, (ours, longest) in AGREEMENT.items()
    )
    return (
        "judge: surface (embedded, reads no meaning): for trying the farm, not for judging quality; agrees with most "
        f"people on {figures}; in brackets: the longer output wins"
    )
