"""How fast one provider is asked: concurrency that backs off and recovers, and requests and tokens a minute.

Additive increase, multiplicative decrease, as TCP does: a provider's limit is not known and moves, and 429 is the only
sign of it. Nothing here polls: a call that must wait sleeps on a future, and whoever leaves wakes the next.
"""

from __future__ import annotations

import asyncio
import math
from collections import deque
from contextlib import suppress

__all__ = ["Limits", "Pace"]

DECREASE = 0.8
"""What is left of the concurrency after a 429."""

SLOWED = 0.5
"""What is left of it after a time-out."""

SHARE = 0.98
"""What is asked of the rate that the user names: calls do not reach a server as evenly as they leave."""

SLACK = 0.15
"""Seconds of the rate that may go out at once after a delay; providers enforce a minute's limit over shorter spans."""

EASED, GROWTH, SEARCH = 0.9, 0.02, 0.5
"""What is left of a rate that a 429 has shown to be too high, by which share it grows in a second without one, and by
which as long as no answers tell the rate: what a provider grants at once to begin with tells little of it, and where
nobody was answered of late others use up the limit."""

ROUND = 1.0
"""Seconds after which a pace is judged anew: a provider grants a few calls at once to begin with."""

LEAST = 1 / 60
"""Calls a second that are tried in any case."""

SEEN = 10.0
"""Seconds over which the rate of answers is measured."""


class Pace:
    """`rate` units a second, spread evenly: a provider that grants 1,200 a minute refuses the 30th call of a second.

    Takers are let in one after another; what one took is paid for by the next, who waits until then. Lateness (a busy
    loop, a timer's tick) is made up for within `SLACK` seconds' worth, so that the rate is reached.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._due = 0.0
        self._turn = asyncio.Lock()
        self._corrected = asyncio.Event()

    async def take(self, amount: float) -> None:
        """Waits until it is due, then takes `amount` units."""
        loop = asyncio.get_running_loop()
        async with self._turn:
            while (wait := self._due - loop.time()) > 0:
                self._corrected.clear()
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._corrected.wait(), wait)
            self._due = max(self._due, loop.time() - SLACK) + amount / self.rate

    def give_back(self, amount: float) -> None:
        """Returns what was taken and not used (negative: what was used beyond it)."""
        self._due -= amount / self.rate
        self._corrected.set()


class Limits:
    """The limits of one provider and key, shared by all its calls: `concurrency` at a time, fewer after a 429.

    Concurrency alone holds no rate: one call at a time is twenty a second where an answer takes 50 ms. So the first 429
    also sets a pace, at the rate of the answers until then, that eases off and grows as the concurrency does.
    """

    def __init__(
        self, concurrency: int, rpm: float | None = None, tpm: float | None = None, alone: float = 0.0
    ) -> None:
        """`alone`: seconds that one call at a time is let in, until `lead_over`."""
        self.most = concurrency
        self.allowed = 1.0 if alone else float(concurrency)
        self._alone, self._leading = alone, bool(alone)
        self.active = 0
        self._requests = Pace(rpm / 60 * SHARE) if rpm else None
        self._tokens = Pace(tpm / 60 * SHARE) if tpm else None
        self._learnt: Pace | None = None
        self._growth, self._eased_at = SEARCH, 0.0
        self._answers: deque[float] = deque()
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._paused_until = 0.0
        self._decreased_at = 0.0

    async def enter(self, tokens: int, first: bool = False) -> float:
        """Waits for a place among the running calls and for the rates; `tokens` is what the call may use at most.
        Returns the time it was let in, which `throttled` wants back. Every `enter` needs one `leave`. `first` gets a
        place beside those that are taken."""
        loop = asyncio.get_running_loop()
        if self._leading and self._alone:
            loop.call_later(self._alone, self.lead_over)
            self._alone = 0.0
        if first:
            self.active += 1
        elif self._waiting or self.active >= int(self.allowed) or self._paused_until:
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
            for pace in (self._requests, self._learnt):
                if pace is not None:
                    await pace.take(1)
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

    def lead_over(self) -> None:
        """Ends the time in which one call goes ahead alone."""
        if self._leading:
            self._leading = False
            self.allowed = float(self.most)
            self._wake()

    def succeeded(self) -> None:
        """Grows the concurrency by about one for each round of answered calls, up to what was asked for."""
        self.allowed = min(float(self.most), self.allowed + 1 / self.allowed)
        now = asyncio.get_running_loop().time()
        if self._learnt is not None and self._answers:
            passed = min(1.0, now - self._answers[-1])
            self._learnt.rate *= 1 + self._growth * passed
        self._answers.append(now)
        while self._answers[0] < now - SEEN:
            self._answers.popleft()

    def used(self, reserved: int, used: int) -> None:
        """Corrects the token rate once the provider has said what a call used."""
        if self._tokens is not None:
            self._tokens.give_back(reserved - used)

    def throttled(self, entered: float) -> None:
        """Shrinks the concurrency after a 429, and eases the pace, once for all the calls that were running when they
        last shrank."""
        if not self._shrink(entered, DECREASE):
            return
        now = self._decreased_at
        if self._learnt is not None and now >= self._eased_at + ROUND:
            answered = self._measured(now) or math.inf
            self._learnt.rate = max(LEAST, EASED * min(self._learnt.rate, answered))
            self._growth = GROWTH if answered < math.inf else SEARCH
            self._eased_at = now
        elif self._learnt is None and self._requests is None and self._answers:
            self._learnt = Pace(len(self._answers) / max(ROUND, now - self._answers[0]))
            self._eased_at = now

    def _measured(self, now: float) -> float:
        """Answers a second of late, over long enough to count some; no bound where they are not kept as long."""
        assert self._learnt is not None
        span = max(ROUND, 10 / self._learnt.rate)
        return sum(at > now - span for at in self._answers) / span if span <= SEEN else math.inf

    def overloaded(self, entered: float) -> None:
        """Shrinks the concurrency as a 429 does. The pace stays: how fast others let it answer tells nothing of how
        fast it may be asked, and a server that starts anew answers nobody."""
        self._shrink(entered, DECREASE)

    def slowed(self, entered: float) -> None:
        """Shrinks the concurrency after a time-out: a server that works off more calls than it can answer in time may
        work for nobody. Deeper than after a 429, since each round of time-outs takes as long as a time-out."""
        self._shrink(entered, SLOWED)

    def _shrink(self, entered: float, share: float) -> bool:
        """Leaves a share of the concurrency, once for all the calls that were running when it last shrank; whether it
        did."""
        if entered < self._decreased_at:
            return False
        self.allowed = max(1.0, self.allowed * share)
        self._decreased_at = asyncio.get_running_loop().time()
        return True

    def lower(self) -> bool:
        """Halves what may ever run at a time, once for all the calls that run now; whether it did."""
        if self.active > self.most or self.most == 1:
            return False
        self.most = max(1, self.active // 2)
        self.allowed = min(self.allowed, float(self.most))
        return True

    def pause(self, seconds: float) -> None:
        """Lets no call in for `seconds`: the provider asked for it."""
        loop = asyncio.get_running_loop()
        until = loop.time() + seconds
        if seconds and until > self._paused_until:
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
