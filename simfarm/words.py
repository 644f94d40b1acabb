"""Counts as people read them: "1 model", "2 models"."""

__all__ = ["plural"]


def plural(count: int, one: str, many: str | None = None) -> str:
    """A count with its noun: `one` for exactly 1, else `many` (by default `one` with an s); 10,000 and more get
    commas."""
    told = f"{count:,}" if count >= 10_000 else str(count)
    return f"{told} {one if count == 1 else many or one + 's'}"
