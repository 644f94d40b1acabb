"""What failures add up to over all the calls of a run: one row's own, a pause for everybody, or the end.

A row cannot know whether it alone is refused or all are, nor whether a server is gone or only slow to answer it. Here
a run stops where every call is refused in the same words, as with a wrong model's name, and where a server has died:
then one call knocks while all others wait, so that a hundred thousand rows do not each wait for it in turn.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

from simfarm.backends.base import CallError, Completion, TransientError
from simfarm.backends.failures import Unreachable
from simfarm.engine.stats import Stats
from simfarm.errors import ProviderError
from simfarm.words import plural

__all__ = ["Patience"]

SAME_REFUSALS = 5
"""Refusals in the same words, and no answer, after which no further row is sent."""

_NUMBERED = re.compile(r"\b(?=[\w-]*\d)[\w-]{8,}")
"""A request's number, a trace, a time: what differs where the words are the same. Shorter ones count something."""

GONE = 4
"""Connections in a row that could not be made, over all calls, before everybody waits for one that can."""

OUTAGE = 300.0
"""Seconds that a server may be away: a model that is loaded again takes minutes."""

FIRST_KNOCK, LONGEST_KNOCK = 1.0, 15.0
"""Seconds between two tries at a server that is away, doubled each time up to the longest."""

SAID_AFTER, SAID_EVERY = 2.0, 1.0
"""Seconds of waiting after which a throttled run says so, and between two times; who shows it shows it less often."""


class Patience:
    """One run's. `refused` is why it is over, which every call still waiting meets. `tell` is given what the user must
    know: a kind ("note", or "waiting" for what passes by itself: each second, and "" once it is over) and a line."""

    def __init__(self, stats: Stats, tell: Callable[[str, str], None]) -> None:
        self.refused: ProviderError | None = None
        self._stats = stats
        self._tell = tell
        self._refusals: Counter[str] = Counter()
        self._unreached = 0
        self._flying = 0
        self._landed = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._waits: dict[object, float] = {}
        self._herald: asyncio.Task[None] | None = None

    async def gate(self, knocking: bool = False) -> None:
        """Where each call waits while the run is in doubt, but for the one that knocks. Raises `refused`."""
        if not knocking:
            await self._open.wait()
        if self.refused is not None:
            raise self.refused

    @contextmanager
    def flight(self) -> Iterator[None]:
        """Around a call: the run is judged by calls that have ended."""
        self._flying += 1
        self._landed.clear()
        try:
            yield
        finally:
            self._flying -= 1
            if not self._flying:
                self._landed.set()

    def answered(self) -> None:
        """The server gave an answer, if only a refusal."""
        self._unreached = 0

    async def refusal(self, error: CallError, remedy: str) -> None:
        """Counts a refused row. Raises `ProviderError` where all rows of this run are refused alike, the number that
        each request gets apart.

        A refusal is quicker than an answer: before the run ends, every call under way is waited for. Where an earlier
        run has answers from this server, the rows that are left may be the ones it always refuses.
        """
        self._unreached = 0
        if error.own:
            return
        words = _NUMBERED.sub("…", str(error))
        self._refusals[words] += 1
        if self._answered or self._refusals[words] < SAME_REFUSALS:
            return
        if self._open.is_set():
            self._open.clear()
            try:
                await self._landed.wait()
                if not self._answered:
                    count = self._refusals[words]
                    self.refused = ProviderError(
                        f"{error}; nothing was answered, and {plural(count, 'call was', 'calls were')} "
                        f"refused in these words: {remedy}"
                    )
            finally:
                self._open.set()
        await self.gate()

    @property
    def _answered(self) -> bool:
        return bool(self._stats.asked or self._stats.cached)

    def gone(self) -> bool:
        """Counts a connection that could not be made; whether the server must be taken for dead."""
        self._unreached += 1
        return self._unreached >= GONE

    async def outlast(self, error: Unreachable, knock: Callable[[], Awaitable[Completion]]) -> Completion | None:
        """Waits until the server is back: the first to come knocks with its own call and gets its answer, the others
        get None and may call again. Raises `ProviderError` when the time is up, and whatever else the call meets."""
        if not self._open.is_set():
            await self.gate()
            return None
        self._open.clear()
        self._tell("note", f"{error}; all calls wait, one tries again for up to {OUTAGE / 60:g} minutes")
        loop = asyncio.get_running_loop()
        until, wait = loop.time() + OUTAGE, FIRST_KNOCK
        try:
            while loop.time() < until:
                await asyncio.sleep(min(wait, until - loop.time()))
                wait = min(LONGEST_KNOCK, 2 * wait)
                try:
                    completion = await knock()
                except Unreachable as again:
                    error = again
                    continue
                except (CallError, TransientError):
                    self._tell("note", "the server answers again")
                    raise
                self._tell("note", "the server answers again")
                return completion
            self.refused = ProviderError(
                f"{error}, for {OUTAGE:g} s now: run the same command again when it is back, "
                "nothing answered is asked twice"
            )
            raise self.refused
        finally:
            self._unreached = 0
            self._open.set()

    def waiting(self) -> str:
        """What throttled calls wait for at this moment, in words; "" where none does."""
        if not self._waits:
            return ""
        left = min(self._waits.values()) - asyncio.get_running_loop().time()
        return f"{len(self._waits)} throttled, waiting {max(1.0, left):.0f} s"

    async def wait(self, seconds: float) -> None:
        """A throttled call's wait. The run says that it waits, once it does for a while."""
        loop = asyncio.get_running_loop()
        if self._herald is None or self._herald.done():
            self._herald = loop.create_task(self._say())
        mark = object()
        self._waits[mark] = loop.time() + seconds
        try:
            await asyncio.sleep(seconds)
        finally:
            del self._waits[mark]

    async def _say(self) -> None:
        await asyncio.sleep(SAID_AFTER)
        while self._waits:
            self._tell("waiting", self.waiting())
            await asyncio.sleep(SAID_EVERY)
        self._tell("waiting", "")

    def close(self) -> None:
        """Says no more."""
        if self._herald is not None:
            self._herald.cancel()
