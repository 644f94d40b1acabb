"""From a completion to a verdict on the presented pair; a reply that holds none is `unparseable`, never a guess.

Three parsers for text (that for probabilities is `judges.decisions`'). `token_logprobs` weighs the two label tokens by
their probability at the first generated position (AlpacaEval 2's soft preference). `label` takes the last delimited
label, so that a judge may reason first and may quote labels while it does. `json` takes the last complete JSON object.

A graded label set (much-first, first, tie, second, much-second) gives p = 0, 0, 0.5, 1, 1 and keeps the grade in
`strength` (2, 1, 0, 1, 2). The grade is not folded into p: how much a strong verdict should count is the ranking's
decision (a score, never a duplicated row), and p stays comparable with two-level judges.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from simfarm.data.exchange import Completion, read_logprob
from simfarm.judges.verdict import Verdict

__all__ = [
    "MEANINGS",
    "PARSERS",
    "REFUSALS",
    "VerdictSpec",
    "last_object",
    "parse_expected",
    "parse_json",
    "parse_label",
    "parse_token_logprobs",
    "unfinished",
    "verdict_of",
]

PARSERS = ("token_logprobs", "label", "json", "criteria", "decision")

MEANINGS: Mapping[str, tuple[float, int]] = {
    "first": (0.0, 1),
    "second": (1.0, 1),
    "tie": (0.5, 0),
    "much-first": (0.0, 2),
    "much-second": (1.0, 2),
}
"""What a label can mean -> (p that the second-shown output is preferred, grade)."""

UNREADABLE = "the completion's log probabilities are none that can be read"

REFUSALS = ("refusal", "content_filter")


@dataclass(frozen=True)
class VerdictSpec:
    """How a judge's reply is read: the parser, label -> meaning (a key of `MEANINGS`, each used once), the two strings
    around a label (`label` only), the names of the fields (`json` only), and the question that is asked with what
    its options stand for, where that is said (`decision` only; see `judges.decisions`). Of a judge that rates `scale`
    has the number that each label stands for, and a label means itself."""

    parser: str
    labels: Mapping[str, str]
    delimiters: tuple[str, str] | None = None
    winner: str = "winner"
    reason: str = "reason"
    question: str = ""
    descriptions: Mapping[str, str] = field(default_factory=dict)
    scale: Mapping[str, float] = field(default_factory=dict)

    @property
    def graded(self) -> bool:
        """Whether the labels tell a strong preference from a slight one."""
        return any(meaning.startswith("much-") for meaning in self.labels.values())

    def label(self, meaning: str) -> str:
        """The label that stands for a meaning."""
        return next(label for label, value in self.labels.items() if value == meaning)

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Matches one delimited label; blanks inside the delimiters are allowed, another case of letters is not."""
        opening, closing = self.delimiters or ("", "")
        labels = "|".join(re.escape(label) for label in sorted(self.labels, key=len, reverse=True))
        return re.compile(rf"{re.escape(opening)}\s*({labels})\s*{re.escape(closing)}")

    @cached_property
    def schema(self) -> Mapping[str, Any]:
        """The JSON schema of a reply. The reason stands first: a model that writes it first can still use it."""
        return {
            "type": "object",
            "properties": {
                self.reason: {"type": "string"},
                self.winner: {"type": "string", "enum": list(self.labels)},
            },
            "required": [self.reason, self.winner],
            "additionalProperties": False,
        }


def parse_token_logprobs(completion: Completion, spec: VerdictSpec) -> Verdict:
    """P(second) = w_second / (w_first + w_second), w the probability of exactly that token as the first one generated.

    A label outside the reported top tokens weighs 0; with both outside, or without top tokens, there is no verdict.
    `m` and ` m` are two tokens and are not summed. That the reply ends with `length` is the normal case here
    (max_tokens 1).
    """
    if completion.finish_reason in REFUSALS:
        return Verdict(None, "refused")
    try:
        logprobs = _first_place(completion)
    except ValueError as error:
        return Verdict(None, str(error))
    first, second = spec.label("first"), spec.label("second")
    w_first = math.exp(logprobs.get(first, -math.inf))
    w_second = math.exp(logprobs.get(second, -math.inf))
    if not w_first + w_second > 0:
        return Verdict(None, f"neither {first} nor {second} is among the likely first tokens")
    return Verdict(w_second / (w_first + w_second))


def parse_expected(completion: Completion, spec: VerdictSpec) -> Verdict:
    """The expected score Σ w·score / Σ w over the scale's labels, w the probability of exactly that token as the first
    one generated: a rating without the ties of whole numbers (G-Eval, Liu et al. 2023).

    A label outside the reported top tokens weighs 0; with all of them outside, or without top tokens, there is no
    verdict.
    """
    if completion.finish_reason in REFUSALS:
        return Verdict(None, "refused")
    try:
        logprobs = _first_place(completion)
    except ValueError as error:
        return Verdict(None, str(error))
    weights = {label: math.exp(logprobs.get(label, -math.inf)) for label in spec.scale}
    whole = math.fsum(weights.values())
    if not whole > 0:
        return Verdict(None, f"none of {', '.join(spec.scale)} is among the likely first tokens")
    score = math.fsum(weights[label] * number for label, number in spec.scale.items()) / whole
    return Verdict(None, score=min(max(score, min(spec.scale.values())), max(spec.scale.values())))


def _first_place(completion: Completion) -> Mapping[str, float]:
    """The likely first tokens and their log probabilities. Raises `ValueError` where they are not known: the chosen
    token alone would be a hard verdict that nobody gave."""
    if completion.logprobs is None:
        raise ValueError("the completion carries no log probabilities")
    if not completion.logprobs:
        raise ValueError(UNREADABLE)
    place = completion.logprobs[0]
    if not place.top:
        raise ValueError("the completion lists no likely tokens beside the one it chose")
    try:
        return {token: read_logprob(value) for token, value in {place.token: place.logprob, **place.top}.items()}
    except ValueError:
        raise ValueError(UNREADABLE) from None


def parse_label(completion: Completion, spec: VerdictSpec) -> Verdict:
    """The last delimited label wins; what stands before it is the reason.

    A reply cut off by the token limit has no verdict even if a label stands in it: the judge had not finished.
    """
    if problem := unfinished(completion):
        return Verdict(None, problem)
    last = None
    for last in spec.pattern.finditer(completion.text):  # noqa: B007
        pass
    if last is None:
        opening, closing = spec.delimiters or ("", "")
        forms = ", ".join(f"{opening}{label}{closing}" for label in spec.labels)
        return Verdict(None, f"the reply holds none of {forms}")
    return verdict_of(spec, last[1], completion.text[: last.start()].strip() or None)


def parse_json(completion: Completion, spec: VerdictSpec) -> Verdict:
    """The last complete JSON object wins, alone, in a code fence or after prose; its reason may be missing."""
    if problem := unfinished(completion):
        return Verdict(None, problem)
    reply = last_object(completion.text)
    if reply is None:
        return Verdict(None, "the reply holds no JSON object")
    winner, reason = reply.get(spec.winner), reply.get(spec.reason)
    if spec.scale and isinstance(winner, int | float) and not isinstance(winner, bool):
        winner = f"{winner:g}"
    if not isinstance(winner, str) or winner not in spec.labels:
        return Verdict(None, f"the field {spec.winner} is not one of {', '.join(spec.labels)}")
    if reason is not None and not isinstance(reason, str):
        return Verdict(None, f"the field {spec.reason} is not a text")
    return verdict_of(spec, winner, reason)


def unfinished(completion: Completion) -> str | None:
    """Why a reply that is to be read whole cannot be; None where it can."""
    if completion.finish_reason in REFUSALS:
        return "refused"
    if completion.finish_reason == "length":
        return "cut off by the token limit"
    if not completion.text.strip():
        return "the reply is empty"
    return None


def verdict_of(spec: VerdictSpec, label: str, reason: str | None) -> Verdict:
    """What a label says, with the reason given for it."""
    if spec.scale:
        return Verdict(None, reason=reason, score=spec.scale[label])
    p, grade = MEANINGS[spec.labels[label]]
    return Verdict(p, strength=grade if spec.graded else None, reason=reason)


def last_object(text: str) -> Mapping[str, Any] | None:
    """The last top-level JSON object in a text. After a brace that opens none, the search goes on where reading
    failed, so that a long malformed reply costs linear time."""
    decoder = json.JSONDecoder()
    last: Mapping[str, Any] | None = None
    start = text.find("{")
    while start >= 0:
        try:
            last, end = decoder.raw_decode(text, start)
        except json.JSONDecodeError as error:
            end = max(error.pos, start + 1)
        except (RecursionError, ValueError):
            # nested too deeply, or a number of thousands of digits: what the judge meant is not known
            return None
        start = text.find("{", end)
    return last
