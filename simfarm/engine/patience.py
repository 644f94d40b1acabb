"""What failures add up to over all the calls of a run: one row's own, a pause for everybody, or the end.

A row cannot know whether it alone is refused or all are, nor whether a server is gone or only slow to answer it. Here
a run stops where every call is refused in the same words, as with a wrong model's name, and where a server has died,
hangs, or is buried under what others ask of it: then one call knocks while all others wait, so that a hundred thousand
rows do not each wait for it in turn.
"""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress

from simfarm.backends.http.failures import OutOfFiles, Unreachable
from simfarm.data.exchange import CallError, TransientError
from simfarm.engine.stats import Stats
from simfarm.engine.store import Answer
from simfarm.errors import ProviderError
from simfarm.text.words import plural

__all__ = ["Patience"]

SAME_REFUSALS = 5
"""Refusals in the same words, and no answer, after which no further row is sent."""

_NUMBERED = re.compile(r"\b(?=[\w-]*\d)[\w-]{8,}")
"""A request's number, a trace, a time: what differs where the words are the same. Shorter ones count something."""

GONE = 4
"""Connections in a row that could not be made, over all calls, before everybody waits for one that can."""

SILENT = 16
"""Different calls in a row that came to nothing in any other way, before everybody waits: that many rows that a server
fails on, and no other between them, are rarer than a server that is gone."""

AHEAD = 4
"""How many times the concurrency whoever calls begins at once, so that no more different calls can fail."""

QUIET = 10.0
"""Seconds in which an overloaded provider answers nobody, before everybody waits: to some it may still answer."""

OUTAGE, REMIND = 120.0, 60.0
"""Seconds that a server may be away: what takes longer needs somebody who looks at it. And between two lines of it."""

FIRST_KNOCK, LONGEST_KNOCK = 1.0, 15.0
"""Seconds between two tries at a server that is away, doubled each time up to the longest."""

LONGEST_PAUSE = 600.0
"""Seconds a provider may ask to wait before the run is stopped instead: a daily limit, not a moment's."""

SAID_AFTER, SAID_EVERY = 2.0, 1.0
"""Seconds of waiting after which a throttled run says so, and between two times; who shows it shows it less often."""


class Patience:
    """One run's. `refused` is why it is over, which every call still waiting meets. `tell` is given what the user must
    know: a kind ("note", or "waiting" for what passes by itself: each second, and "" once it is over) and a line. A
    `base_url` may be what is wrong."""

    def __init__(self, stats: Stats, tell: Callable[[str, str], None], base_url: str | None = None) -> None:
        self.refused: ProviderError | None = None
        self._stats = stats
        self._tell = tell
        self._and_address = " and --base-url" if base_url else ""
        self._refusals: Counter[str] = Counter()
        self._failures = 0
        self._failed: set[object] = set()
        self._silent_since = 0.0
        self._flying = 0
        self._landed = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._back = asyncio.Event()
        self._back.set()
        self._told = False
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
        """The server gave a sign of life: an answer, a refusal, or that it is asked too fast."""
        self._failures = 0
        self._failed.clear()
        if not self._back.is_set():
            if self._told:
                self._tell("note", "the server answers again")
            self._back.set()
            self._open.set()

    async def refusal(self, error: CallError) -> None:
        """Counts a refused row. Raises `ProviderError` where all rows of this run are refused alike, the number that
        each request gets apart.

        A refusal is quicker than an answer: before the run ends, every call under way is waited for. Where an earlier
        run has answers from this server, the rows that are left may be the ones it always refuses.
        """
        self.answered()
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
                        f"refused in these words: check --model{self._and_address}, then run it again"
                    )
            finally:
                self._open.set()
        await self.gate()

    @property
    def _answered(self) -> bool:
        return bool(self._stats.asked or self._stats.cached)

    def gone(self, error: TransientError, call: object, concurrency: int) -> bool:
        """Counts a call that came to nothing; whether the server must be taken for dead.

        One that was never reached is for whoever counts the calls of a cold start. Where only an earlier run has
        answers, the rows that are left may be those it always fails on: they are told from a dead server by nothing but
        the time they take.
        """
        if error.throttled or isinstance(error, OutOfFiles):
            return False
        now = asyncio.get_running_loop().time()
        if not self._failures:
            self._silent_since = now
        self._failures += 1
        self._failed.add(call)
        if error.overloaded:
            return self._failures >= GONE and now - self._silent_since >= QUIET
        if isinstance(error, Unreachable):
            return self._failures >= GONE and bool(self._stats.asked)
        met = self._stats.asked or (error.slow and self._stats.cached)
        return bool(met) and len(self._failed) >= min(SILENT, AHEAD * concurrency)

    async def outlast(self, error: TransientError, knock: Callable[[], Awaitable[Answer]]) -> Answer | None:
        """Waits until the server is back: the first to come knocks with its own call and gets its answer, the others
        get None and may call again. Raises `ProviderError` when the time is up, and whatever else the call meets."""
        if not self._open.is_set():
            await self.gate()
            return None
        self._open.clear()
        self._back.clear()
        self._told = False
        loop = asyncio.get_running_loop()
        begun, wait = loop.time(), FIRST_KNOCK
        until = begun + OUTAGE
        reminder = loop.create_task(self._remind(begun))
        try:
            while loop.time() < until:
                pause = max(error.retry_after or 0.0, min(wait, until - loop.time()))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._back.wait(), pause)
                if self._back.is_set():
                    return None
                if not self._told:
                    self._tell("note", f"{error}; all calls wait, one tries again for up to {OUTAGE / 60:g} minutes")
                    self._told = True
                wait = min(LONGEST_KNOCK, 2 * wait)
                try:
                    return await knock()
                except CallError:
                    self.answered()
                    raise
                except TransientError as again:
                    if self._back.is_set():
                        raise
                    error = again
            self.refused = ProviderError(
                f"{error}; nothing was answered for {OUTAGE:g} s: run the same command again when the server is back, "
                "nothing answered is asked twice"
            )
            raise self.refused
        finally:
            reminder.cancel()
            self._failures = 0
            self._failed.clear()
            self._back.set()
            self._open.set()

    async def _remind(self, begun: float) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(REMIND)
            self._tell("note", f"nothing answered for {loop.time() - begun:.0f} s, one call tries again")

    def silent(self, error: TransientError) -> ProviderError:
        """The end of a run whose server never answered; calls waiting for their turn meet it too. Where an earlier
        run has answers from this server, only one that cannot be reached ends the run: the last rows missing may be the
        ones that it always fails on, and the file is wanted without them."""
        remedy = "check the server"
        if isinstance(error, Unreachable):
            remedy = f"check the network{self._and_address}"
        elif self._and_address:
            remedy += f"'s log{self._and_address} (it often ends in /v1; does it speak https?)"
        self.refused = ProviderError(f"{error}; nothing was answered in this run: {remedy}, then run it again")
        return self.refused

    def heed(self, error: TransientError, provider: str) -> float:
        """Seconds in which no call may be sent, as the provider asks. Raises `ProviderError` where that is no moment's
        wait."""
        seconds = error.retry_after or 0.0
        if seconds > LONGEST_PAUSE:
            self.refused = ProviderError(
                f"{provider} asks to wait {seconds:.0f} s: run the same command again then, nothing answered is asked "
                "twice"
            )
            raise self.refused
        return seconds

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
