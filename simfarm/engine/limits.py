"""How fast one provider is asked: concurrency that backs off and recovers, and requests and tokens a minute.

Additive increase, multiplicative decrease, as TCP does: a provider's limit is not known and moves, and 429 is the only
sign of it. Nothing here polls: a call that must wait sleeps on a future, and whoever leaves wakes the next.
"""

from __future__ import annotations

import asyncio
from collections import deque

__all__ = ["Limits", "RateBucket"]

DECREASE = 0.8
"""What is left of the concurrency after a 429."""

BURST = 1.0
"""Seconds of the rate that may go out at once; providers enforce a minute's limit over shorter spans."""


class RateBucket:
    """At most `per_minute` units, spread evenly. A taker may overdraw it and then sleeps until the debt is paid, so
    takers are served in order without a queue."""

    def __init__(self, per_minute: float) -> None:
        self._rate = per_minute / 60
        self._burst = max(1.0, self._rate * BURST)
        self._level = self._burst
        self._updated: float | None = None

    async def take(self, amount: float) -> None:
        """Takes `amount` units and waits until they are due."""
        now = asyncio.get_running_loop().time()
        if self._updated is not None:
            self._level = min(self._burst, self._level + (now - self._updated) * self._rate)
        self._updated = now
        self._level -= amount
        if self._level < 0:
            await asyncio.sleep(-self._level / self._rate)

    def give_back(self, amount: float) -> None:
        """Returns what was taken and not used (negative: what was used beyond it)."""
        self._level += amount


class Limits:
    """The limits of one provider and key, shared by all its calls: `concurrency` at a time, fewer after a 429."""

    def __init__(self, concurrency: int, rpm: float | None = None, tpm: float | None = None) -> None:
        self.most = concurrency
        self.allowed = float(concurrency)
        self.active = 0
        self._requests = RateBucket(rpm) if rpm else None
        self._tokens = RateBucket(tpm) if tpm else None
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paused_until = 0.0
        self._decreased_at = 0.0

    async def enter(self, tokens: int) -> float:
        """Waits for a place among the running calls and for the rates; `tokens` is what the call may use at most.
        Returns the time it was let in, which `throttled` wants back. Every `enter` needs one `leave`."""
        loop = asyncio.get_running_loop()
        if self._waiting or self.active >= int(self.allowed) or self._paused_until:
            place: asyncio.Future[None] = loop.create_future()
            self._waiting.append(place)
            try:
                await place
            except asyncio.CancelledError:
                if place.done() and not place.cancelled():
                    self.leave()
                raise
        else:
            self.active += 1
        try:
            if self._requests is not None:
                await self._requests.take(1)
            if self._tokens is not None:
                await self._tokens.take(tokens)
        except asyncio.CancelledError:
            self.leave()
            raise
        return loop.time()

    def leave(self) -> None:
        """Frees a place and wakes who waits for it."""
        self.active -= 1
        self._wake()

    def succeeded(self) -> None:
        """Grows the concurrency by about one for each round of answered calls, up to what was asked for."""
        self.allowed = min(float(self.most), self.allowed + 1 / self.allowed)

    def used(self, reserved: int, used: int) -> None:
        """Corrects the token rate once the provider has said what a call used."""
        if self._tokens is not None:
            self._tokens.give_back(reserved - used)

    def throttled(self, entered: float) -> None:
        """Shrinks the concurrency after a 429, once for all the calls that were running when it last shrank."""
        if entered >= self._decreased_at:
            self.allowed = max(1.0, self.allowed * DECREASE)
            self._decreased_at = asyncio.get_running_loop().time()

    def pause(self, seconds: float) -> None:
        """Lets no call in for `seconds`: the provider asked for it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if until > self._paused_until:
            self._paused_until = until
            loop.call_at(until, self._resume, until)

    def _resume(self, until: float) -> None:
        # a timer may fire a clock tick early: the pause ends by this call, not by comparing times again
        if until == self._paused_until:
            self._paused_until = 0.0
            self._wake()

    def _wake(self) -> None:
        if self._paused_until:
            return
        while self._waiting and self.active < int(self.allowed):
            place = self._waiting.popleft()
            if not place.done():
                place.set_result(None)
                self.active += 1
