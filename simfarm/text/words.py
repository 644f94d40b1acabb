"""Counts as people read them: "1 model", "2 models"."""

__all__ = ["plural"]


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: `one` for exactly 1, else `many` (by default `one` with an s)."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"
