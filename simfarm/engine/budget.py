"""Money for one run: every call reserves the most it could cost and settles for what it did cost.

A call that does not fit beside the calls in flight waits for them, because they usually cost less than they reserved;
only when nothing is in flight and it still does not fit is the budget at its end, for this call and all later ones.
"""

from __future__ import annotations

import asyncio
from collections import deque

from simfarm.errors import BudgetError

__all__ = ["Budget"]


class Budget:
    """At most `limit` US dollars, counted over this run's own calls. `spent` is what they have cost so far."""

    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.spent = 0.0
        self._reserved = 0.0
        self._in_flight = 0
        self._waiting: deque[tuple[float, asyncio.Future[None]]] = deque()
        self._ended: BudgetError | None = None

    async def reserve(self, amount: float) -> None:
        """Sets `amount` aside, waiting while calls in flight might free enough. Every `reserve` needs one `settle`.
        Raises `BudgetError` when the next call could exceed the limit."""
        if self._ended is not None:
            raise self._ended
        place: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((amount, place))
        self._serve()
        try:
            await place
        except asyncio.CancelledError:
            if place.done() and not place.cancelled() and place.exception() is None:
                self.settle(amount, 0.0)
            raise

    def settle(self, reserved: float, cost: float) -> None:
        """Turns a reservation into what the call cost, and serves who waits."""
        self._in_flight -= 1
        self._reserved -= reserved
        self.spent += cost
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            amount, place = self._waiting[0]
            if place.done():
                self._waiting.popleft()
            elif self.spent + self._reserved + amount <= self.limit:
                self._waiting.popleft()
                self._in_flight += 1
                self._reserved += amount
                place.set_result(None)
            elif self._in_flight:
                return
            else:
                self._ended = BudgetError(
                    f"the next call could exceed the budget of ${self.limit:g} (${self.spent:.4f} spent): "
                    "raise --budget and run the same command again, nothing answered is asked twice"
                )
                self._waiting.popleft()
                place.set_exception(self._ended)
                for _, later in self._waiting:
                    if not later.done():
                        later.set_exception(self._ended)
                self._waiting.clear()
