"""How long a run's model lives: read before its first new call, said once.

A judge that is shut down in seven weeks makes a board that nobody can add to in eight. Whoever starts one must know
that before it is paid for; a run whose answers are all in the store asks nothing, not even this.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime

from simfarm.backends.base import Backend
from simfarm.backends.http.about import About, Describing, known_about
from simfarm.backends.http.retirements import retirement
from simfarm.errors import InputError

__all__ = ["Lifetime", "life_of"]


async def life_of(backend: Backend, model: str) -> About | None:
    """What the backend's provider says of a model, and what the table knows beside it; None where neither knows it."""
    said = await backend.about(model) if isinstance(backend, Describing) else None
    return known_about(said, retirement(f"{backend.name}/{model}", backend.base_url))


class Lifetime:
    """What is known of the model that a run asks, once `read` has asked for it. `adds_to` is what the run adds to."""

    def __init__(self, backend: Backend, tell: Callable[[str, str], None], adds_to: str) -> None:
        self.about: About | None = None
        self._backend = backend
        self._tell = tell
        self._adds_to = adds_to
        self._begun = False
        self._read = asyncio.Event()

    async def read(self, model: str) -> None:
        """Asks the provider once, and warns of an end that is known; others wait meanwhile. Raises `InputError` for a
        model that the provider itself calls retired: every call would fail."""
        if not self._begun:
            self._begun = True
            try:
                self.about = await life_of(self._backend, model)
                self._warn(model)
            finally:
                self._read.set()
        # all who wait go on at once: how many calls are in flight when the first answers is as it was
        await self._read.wait()
        if self.about is not None and self.about.lifecycle == "retired":
            ended = f" since {self.about.shutdown}" if self.about.shutdown else ""
            new = f" (replacement: {self.about.replacement})" if self.about.replacement else ""
            raise InputError(f"{self._backend.name} has retired {model}{ended}{new}: name another model with --model")

    def foretold(self, model: str) -> str | None:
        """What the table knows of a model's end, for who asks nothing yet; None where it knows none."""
        about = known_about(None, retirement(f"{self._backend.name}/{model}", self._backend.base_url))
        return None if about is None else about.warning(model, datetime.now(UTC).date(), self._adds_to)

    def _warn(self, model: str) -> None:
        if self.about is None or self.about.lifecycle == "retired":
            return
        line = self.about.warning(model, datetime.now(UTC).date(), self._adds_to)
        if line is not None:
            self._tell("note", f"warning: {line}")
