"""What a cell of an annotation file means, for one value: who reads rows for people and who reads them for estimates
must say the same of them.
"""

from __future__ import annotations

import random
from typing import Any

__all__ = ["FEWER", "NAMES", "STATUSES", "TIE", "alpaca_eval_order", "order_of", "preference_of", "status_of"]

STATUSES = ("verdict", "unparseable", "error")

NAMES = {"annotator": "unknown", "generator_1": "output_1", "generator_2": "output_2"}
"""What stands for a name that a file does not give."""

FEWER = "errors_"
"""What the name of a score begins with that counts errors, of which fewer are better."""

TIE = 1.5
"""A tie as a preference; older AlpacaEval files write 0."""


def status_of(stored: Any, judged: bool) -> Any:
    """A row's status: the one that is stored, else what follows from its being `judged`, that is, from a preference."""
    return stored or ("verdict" if judged else "unparseable")


def preference_of(stored: float) -> float:
    """A preference from 1 (output_1) to 2 (output_2)."""
    return stored or TIE


def order_of(stored: Any) -> str:
    """An order as text, however a file's format stored it (12, 12.0, "12")."""
    whole = isinstance(stored, int) or (isinstance(stored, float) and stored.is_integer())
    return str(int(stored)) if whole else str(stored)


def alpaca_eval_order(instruction: str) -> str:
    """The order AlpacaEval draws for an instruction (seed 0), for all models of a board; its files have no column."""
    switched = random.Random("is_switched_outputs" + instruction + "0").choices([False, True], k=1)[0]
    return "21" if switched else "12"
