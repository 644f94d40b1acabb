"""Counts, limits and lists as people read them: "1 model", "2 models", "a, b, c, d and 3 more"."""

import math
from collections.abc import Sequence

__all__ = ["limits", "named", "plural"]


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: `one` for exactly 1, else `many` (by default `one` with an s)."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def named(names: Sequence[str], most: int = 4) -> str:
    """The names in a row, the first `most` of them and how many more there are."""
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown} and {len(names) - most:,} more"


def limits(low: float, high: float, form: str = "+.1f") -> str:
    """An interval in words, each limit in the `form`: "+1.0 to +3.0", or "at least +1.0" where one is infinite."""
    if math.isinf(low) and math.isinf(high):
        return "without a limit"
    if math.isinf(high):
        return f"at least {low:{form}}"
    return f"at most {high:{form}}" if math.isinf(low) else f"{low:{form}} to {high:{form}}"
