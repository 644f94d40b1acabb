"""What a panel's weights, or a judge's, were fitted on: kept with them, so that other data can be told.

Weights that are right where they were fitted have lost to their best member elsewhere: on LLMBar every rule weighted on
natural pairs does on adversarial ones. So instructions are remembered, by the start of their digests and no more than
a hundred of them: enough to say whether what is judged is what was fitted, and small enough for a file.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import pandas as pd

from simfarm.data.evidence import text_digest
from simfarm.text.words import plural

__all__ = ["Fitted", "instruction_key", "instruction_keys"]

_MOST = 100
_DIGITS = 8


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
    return text_digest(instruction.strip())[:_DIGITS]


def instruction_keys(items: pd.DataFrame) -> list[str]:
    """The key of each comparison of `Votes.items`: by its text where that is known, else by its id or its number."""
    column = next((c for c in ("instruction_sha256", "instruction_id", "cluster") if c in items), "cluster")
    named = items[column].astype(str)
    return named.str[:_DIGITS].tolist() if column == "instruction_sha256" else [text_digest(x)[:_DIGITS] for x in named]
