"""Which output a judge sees first: "12" (output_1 first) or "21".

Judges favour a position, so the order must be balanced and must not depend on the machine, the process or the row's
place in a file: a rerun that drew another order would ask, and pay for, another question.
"""

from __future__ import annotations

from simfarm.data.cells import stable_digest
from simfarm.data.meaning import alpaca_eval_order
from simfarm.data.records import Comparison

__all__ = ["ORDERS", "RANKED", "orders", "stable_bit"]

ORDERS = ("both", "hashed", "alpaca-eval", "fixed")
RANKED = ("both", "hashed", "fixed")
"""Those of several outputs: AlpacaEval's rule is one for two."""


def orders(judge_order: str, comparison: Comparison) -> tuple[str, ...]:
    """The order, or the two orders, in which a comparison is shown under a judge's `order`.

    `hashed` looks at the whole comparison, `alpaca-eval` at the instruction alone.
    """
    match judge_order:
        case "both":
            return ("12", "21")
        case "hashed":
            return ("21",) if stable_bit("order", comparison) else ("12",)
        case "alpaca-eval":
            return (alpaca_eval_order(comparison.instruction),)
        case "fixed":
            return ("12",)
    raise ValueError(f"unknown order {judge_order!r}")


def stable_bit(purpose: str, comparison: Comparison) -> bool:
    """A fair coin that falls the same way for the same comparison everywhere (SHA-256 of its texts and generators);
    `purpose` makes coins for different uses independent of each other."""
    digest = stable_digest(
        purpose,
        comparison.instruction,
        comparison.output_1,
        comparison.output_2,
        comparison.generator_1,
        comparison.generator_2,
        [dict(message) for message in comparison.messages or ()],
    )
    return bool(digest[0] & 1)
