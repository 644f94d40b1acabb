"""Two models as one backend: each request goes to the one that it names. For what is told by the difference of two."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from simfarm.backends.base import Backend, Likely, Scorer, likelihood
from simfarm.data.exchange import Completion, Likelihood, Request

__all__ = ["Beside"]


class Beside:
    """A model and its reference, `others` the name of that in requests. It goes by the first one's name, under which
    its answers are kept as if it stood alone; the reference scores texts and writes none. Implements `Likely`."""

    def __init__(self, own: Backend, other: Backend, others: str) -> None:
        self._own, self._other, self._others = own, other, others
        self.name, self.base_url = own.name, own.base_url
        self.in_process = own.in_process and other.in_process
        self.concurrency = min(own.concurrency, other.concurrency)

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses what either cannot do. Raises `InputError`."""
        self._own.check(model, sampling)
        self._other.check(self._others, sampling)

    def check_likelihoods(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Nothing more: each was checked before they were put together."""

    def most_tokens(self, request: Request) -> int | None:
        """The first one's limit."""
        return self._own.most_tokens(request)

    async def complete(self, request: Request) -> Completion:
        """The first one's answer."""
        return await self._own.complete(request)

    async def likelihood(self, request: Request) -> Likelihood:
        """That of the model which the request names."""
        which: Any = self._other if request.model == self._others else self._own
        scorer: Scorer | Likely = which
        return await likelihood(scorer, request)

    async def close(self) -> None:
        """Closes both."""
        await asyncio.gather(self._own.close(), self._other.close())
