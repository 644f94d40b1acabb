"""The keys of a judge's file that only a judge of likelihoods has: what is scored, by what it is divided, and beside
which other model.

As in `fields`, each function takes a raw value and gives a valid one, or an InputError with the remedy.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simfarm.errors import InputError
from simfarm.judges import fields

__all__ = [
    "APPROVING",
    "DISAPPROVING",
    "LIKELIHOOD_KEYS",
    "MOST_FOLLOW_UPS",
    "OWN",
    "PER",
    "SCORES",
    "SHOWS",
    "Scoring",
    "check_keys",
    "scoring_of",
]

SCORES: Mapping[str, tuple[str, ...]] = {
    "answer": ("token", "character", "sum"),
    "instruction": ("token", "character", "sum"),
    "follow-up": ("sum", "token", "character"),
    "reference": ("sum", "character"),
    "reward": ("sum",),
}
"""What a score is -> what a text's log likelihood may be divided by, the usual first. Of two models with two tokenizers
no number of tokens is that of both. A reward is what its model says, divided by nothing."""

PER = ("token", "character", "sum")

SHOWS = ("instruction", "follow-up")
"""Scores whose prompt is a template's; that of the others is the instruction itself."""

OWN: Mapping[str, str] = {"follow_ups": "follow-up", "reference_model": "reference"}
"""A key -> the one score that it is for."""

LIKELIHOOD_KEYS = ("score", "per", "tau", *OWN)

APPROVING = (
    "Thank you, that helped.",
    "Great, that is exactly what I needed.",
    "That makes sense now, thanks a lot!",
)
DISAPPROVING = (
    "That does not answer my question.",
    "No, that is wrong.",
    "This is not what I asked for, please try again.",
)
MOST_FOLLOW_UPS = 50
SIDES = ("approving", "disapproving")


@dataclass(frozen=True)
class Scoring:
    """What a judge of likelihoods computes: `score` (a key of `SCORES`), the log likelihoods divided `per` token,
    character or not at all. `approving` and `disapproving` are texts that a user might go on with, `reference` the
    model whose log likelihood is subtracted. Between two outputs the higher score is preferred, with the probability
    σ(difference/`tau`) where there is one."""

    score: str
    per: str = "sum"
    approving: tuple[str, ...] = ()
    disapproving: tuple[str, ...] = ()
    reference: str | None = None
    tau: float | None = None

    @property
    def content(self) -> list[Any]:
        """All that changes a score or a preference."""
        return [*dataclasses.astuple(self)]

    def facts(self) -> dict[str, Any]:
        """What it computes, in the words of a judge's file."""
        said = {"approving": list(self.approving), "disapproving": list(self.disapproving)}
        per = None if self.score == "reward" else self.per
        return {"score": self.score, "per": per, "reference_model": self.reference, "tau": self.tau} | {
            side: texts or None for side, texts in said.items()
        }

    @property
    def shows(self) -> bool:
        """Whether its prompt is a template's."""
        return self.score in SHOWS


def scoring_of(path: Path, data: Mapping[str, Any]) -> Scoring:
    """What a judge's file says of its score. Raises `InputError`."""
    if data.get("score") is None:
        raise InputError(f"{path}: the key 'score' is missing; add one of {', '.join(SCORES)}")
    score = fields.choice(f"{path}: score", data["score"], SCORES)
    for key, of in OWN.items():
        if key in data and score != of:
            raise InputError(f"{path}: {key} is for score: {of}; name that or remove it")
    if "per" in data and score == "reward":
        raise InputError(f"{path}: a reward is what its model says, divided by nothing; remove 'per'")
    per = fields.choice(f"{path}: per", data.get("per", SCORES[score][0]), PER)
    if per not in SCORES[score]:
        raise InputError(
            f"{path}: two models may cut a text into tokens of their own, so that there is no score per token of both; "
            f"use per: {' or '.join(SCORES[score])}"
        )
    approving, disapproving = _follow_ups(path, data) if score == "follow-up" else ((), ())
    reference = None
    if score == "reference":
        if data.get("reference_model") is None:
            raise InputError(
                f"{path}: the key 'reference_model' is missing; name the model that model was trained from"
            )
        reference = fields.model(f"{path}: reference_model", data["reference_model"])
    return Scoring(score, per, approving, disapproving, reference, _tau(path, data))


def _follow_ups(path: Path, data: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    where = f"{path}: follow_ups"
    if "follow_ups" not in data:
        return APPROVING, DISAPPROVING
    given = data["follow_ups"]
    if not isinstance(given, Mapping):
        raise InputError(f"{where}: must map approving and disapproving to lists of texts, not {given!r}")
    fields.known_keys(where, given, SIDES)
    lists = []
    for side in SIDES:
        texts: Any = given.get(side)
        whole = isinstance(texts, list) and all(isinstance(text, str) and text.strip() for text in texts)
        if not whole or not 1 <= len(texts) <= MOST_FOLLOW_UPS or len({*texts}) < len(texts):
            raise InputError(
                f"{where}.{side}: must be 1 to {MOST_FOLLOW_UPS} different texts, such as "
                f"[{(APPROVING if side == 'approving' else DISAPPROVING)[0]!r}], not {texts!r}"
            )
        lists.append(tuple(texts))
    if both := {*lists[0]} & {*lists[1]}:
        raise InputError(f"{where}: {min(both)!r} both approves and disapproves; keep it in one of the lists")
    return lists[0], lists[1]


def _tau(path: Path, data: Mapping[str, Any]) -> float | None:
    tau = data.get("tau")
    if tau is None:
        return None
    number = isinstance(tau, int | float) and not isinstance(tau, bool)
    if not number or not math.isfinite(tau) or tau <= 0:
        raise InputError(f"{path}: tau: must be a number above 0, in nats (of a reward in its own units), not {tau!r}")
    return float(tau)


def check_keys(path: Path, data: Mapping[str, Any], scoring: Scoring, shared: tuple[str, ...]) -> None:
    """Refuse keys of other judges, and a template where none is shown or none where one is. `shared` are the keys that
    judges of likelihoods have in common with others. Raises `InputError`."""
    for key in data:
        if key not in (*shared, *LIKELIHOOD_KEYS):
            raise InputError(
                f"{path}: a judge of likelihoods reads no reply, shows one output and asks a model; remove {key!r}"
            )
    if not scoring.shows:
        if given := [key for key in ("template", "delimiters") if key in data]:
            raise InputError(
                f"{path}: with score: {scoring.score} the prompt is the instruction itself; remove {given[0]!r}"
            )
    elif data.get("template") is None:
        raise InputError(f"{path}: the key 'template' is missing; score: {scoring.score} is asked by one")
