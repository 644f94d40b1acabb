"""What one run did: answers new and known, tokens, money, and what went wrong on the way."""

from __future__ import annotations

import math
import time
from collections import Counter
from dataclasses import dataclass, field, fields
from typing import Any, Self

from simfarm.text.words import plural

__all__ = ["Stats"]


@dataclass(slots=True)
class Stats:
    """What one run did. `asked` counts new completions, `cached` those known before this run, `shared` those that
    another request of this run had asked for, `damaged` those in the store that could not be read; `cost` is in US
    dollars over the priced ones, `unsure` over the calls that `timed_out`, at most, which count against the budget
    where the run is `budgeted`; `since` is when the first new answer began (`time.perf_counter`)."""

    asked: int = 0
    cached: int = 0
    shared: int = 0
    retries: int = 0
    throttled: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cost: float = 0.0
    unpriced: int = 0
    damaged: int = 0
    timed_out: int = 0
    unsure: float = 0.0
    budgeted: bool = False
    errors: Counter[str] = field(default_factory=Counter)
    models: Counter[str] = field(default_factory=Counter)
    since: float | None = None

    def __getstate__(self) -> dict[str, Any]:
        """As it travels: `since` as seconds passed, for a clock is its machine's own."""
        state = {field.name: getattr(self, field.name) for field in fields(self)}
        return state | {"since": None if self.since is None else time.perf_counter() - self.since}

    def __setstate__(self, state: dict[str, Any]) -> None:
        for name, value in state.items():
            setattr(self, name, value)
        if self.since is not None:
            self.since = time.perf_counter() - self.since

    def add(self, more: Self) -> None:
        """Adds what another run did, which ran beside this one."""
        self.asked += more.asked
        self.cached += more.cached
        self.shared += more.shared
        self.retries += more.retries
        self.throttled += more.throttled
        self.input_tokens += more.input_tokens
        self.output_tokens += more.output_tokens
        self.cost += more.cost
        self.unpriced += more.unpriced
        self.damaged += more.damaged
        self.timed_out += more.timed_out
        self.unsure += more.unsure
        self.budgeted = self.budgeted or more.budgeted
        self.errors.update(more.errors)
        self.models.update(more.models)
        moments = [moment for moment in (self.since, more.since) if moment is not None]
        self.since = min(moments, default=None)

    def money(self) -> str:
        """What this run's new calls cost, in words."""
        return "unknown price" if self.unpriced else f"${self.cost:.4f}"

    def warnings(self) -> list[str]:
        """What the user must know of the answers that this run did not get as it should have."""
        lines = []
        if self.damaged:
            were = plural(self.damaged, "answer in the store was damaged", "answers in the store were damaged")
            lines.append(f"warning: {were}: asked again")
        if self.timed_out:
            counted = " counted against the budget" if self.budgeted else ""
            lines.append(
                f"warning: {plural(self.timed_out, 'call')} timed out and may be billed: at most "
                f"${math.ceil(100 * self.unsure) / 100:.2f}{counted}"
            )
        return lines

    def tokens_per_second(self) -> float:
        """Output tokens a second, from the moment the first new answer began: loading a model is not its speed."""
        passed = 0.0 if self.since is None else time.perf_counter() - self.since
        return self.output_tokens / passed if passed else 0.0
