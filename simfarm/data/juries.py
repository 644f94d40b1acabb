"""What a panel of judges is called to do: its rule, its members, and what their weights were fitted on.

Weights that are right where they were fitted have lost to their best member elsewhere: on LLMBar every rule weighted on
natural pairs does on adversarial ones. So instructions are remembered, by the start of their digests and no more than
a hundred of them: enough to say whether what is judged is what was fitted, and small enough for a file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from simfarm.text.words import plural

__all__ = ["DIGITS", "RULES", "Fitted", "JuryRule", "Rule", "instruction_key"]

Rule = Literal["majority", "mean", "weighted"]
RULES: tuple[Rule, ...] = ("majority", "mean", "weighted")
DIGITS = 8
_MOST = 100


@dataclass(frozen=True)
class Fitted:
    """`name` of the labels, how many `comparisons` and `instructions` they were of, and the `keys` of these, the
    smallest hundred."""

    name: str
    comparisons: int
    instructions: int
    keys: tuple[str, ...]

    @classmethod
    def of(cls, name: str, comparisons: int, keys: Iterable[str]) -> Fitted:
        """Of the instructions that these are the keys of."""
        known = sorted(set(keys))
        return cls(name, comparisons, len(known), tuple(known[:_MOST]))

    def shared(self, keys: Iterable[str]) -> float:
        """The share of judged instructions that were fitted on; of those alone that can be told where only the
        smallest keys are kept."""
        judged = set(keys)
        if self.instructions > len(self.keys):
            judged = {key for key in judged if key <= self.keys[-1]}
        return len(judged & set(self.keys)) / len(judged) if judged else 0.0

    def warning(self, who: str, keys: Iterable[str]) -> str | None:
        """What must be said where most of what is judged is other than what was fitted; None where it is the same."""
        if self.shared(keys) >= 0.5:
            return None
        return (
            f"{who} was weighted on other data than it judges ({plural(self.instructions, 'instruction')} of "
            f"{self.name}): elsewhere weights have lost to the best member alone; check it on labels of these "
            "(simfarm agreement --human)"
        )


def instruction_key(instruction: str) -> str:
    """The key of an instruction by its text."""
    return _digest(instruction.strip())


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]


@dataclass(frozen=True)
class JuryRule:
    """A rule over judges by name. `members` are those who sit (none: all of the files), `weights` theirs under the rule
    `weighted` (None: fitted on the labels, non-negative unless `signed`), `fitted` what the weights were fitted on."""

    name: str
    rule: Rule
    members: tuple[str, ...] = ()
    weights: Mapping[str, float] | None = None
    signed: bool = False
    fitted: Fitted | None = None
