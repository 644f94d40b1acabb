"""A thread that owns a model: requests come in from any event loop, answers go back to the loop that asked.

Engines for local models are built for one caller in one thread, which loads the model and then works for as long as
there is work; the farm awaits many calls at a time, from the loop of a command or of a notebook. This is the bridge.
"""

from __future__ import annotations

import asyncio
import contextlib
import queue
import threading
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from simfarm.data.exchange import CallError

__all__ = ["Job", "Worker"]

Asked = TypeVar("Asked")


class Job(Generic[Asked]):
    """One question and the future of whoever waits for its answer."""

    def __init__(self, asked: Asked) -> None:
        self.asked = asked
        self._loop = asyncio.get_running_loop()
        self.answer: asyncio.Future[Any] = self._loop.create_future()

    @property
    def abandoned(self) -> bool:
        """Whether nobody waits any more (the run was stopped): its place in the engine is free for others."""
        return self.answer.cancelled() or self._loop.is_closed()

    def finish(self, value: object) -> None:
        """Gives the answer; from the worker's thread."""
        self._settle(lambda: self.answer.set_result(value))

    def fail(self, error: BaseException) -> None:
        """Gives an error instead; from the worker's thread."""
        self._settle(lambda: self.answer.set_exception(error))

    def _settle(self, how: Callable[[], None]) -> None:
        # the loop may close at any moment, also between a look and the call: then nobody waits
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(lambda: None if self.answer.done() else how())


class Worker(Generic[Asked]):
    """Runs `work(worker)` in a thread of its own, from the first question until `close`, and again for a later one.

    `work` loads the model, then calls `take` until it gives None. What it raises is the answer to every question that
    has none, and to all later ones until `close`: a model that cannot be loaded is said once, to everybody.
    """

    def __init__(self, name: str, work: Callable[[Worker[Asked]], None]) -> None:
        self._name = f"simfarm-{name}"
        self._work = work
        self._lock = threading.Lock()
        self._inbox: queue.SimpleQueue[Job[Asked] | None] = queue.SimpleQueue()
        self._open: set[Job[Asked]] = set()
        self._failure: BaseException | None = None
        self._thread: threading.Thread | None = None
        self._ending: threading.Thread | None = None
        self._reading: queue.SimpleQueue[Job[Asked] | None] | None = None

    async def ask(self, asked: Asked) -> Any:
        """The answer to one question; starts the thread at the first. Raises `CallError` where `close` comes before the
        answer."""
        job = Job(asked)
        with self._lock:
            if self._failure is not None:
                raise self._failure
            if self._thread is None:
                # an inbox and a set of its own: a thread that is still ending must neither take nor fail its questions
                self._inbox, self._open = queue.SimpleQueue(), set()
                self._thread = threading.Thread(
                    target=self._run, args=(self._inbox, self._open, self._ending), name=self._name, daemon=True
                )
                self._thread.start()
            waiting = self._open
            waiting.add(job)
            self._inbox.put(job)
        try:
            return await job.answer
        finally:
            with self._lock:
                waiting.discard(job)

    def take(self, *, wait: bool) -> list[Job[Asked]] | None:
        """The questions that have come since the last call, for `work`: waits for one with `wait`; None at the end."""
        jobs: list[Job[Asked]] = []
        while self._reading is not None:
            try:
                job = self._reading.get(block=wait and not jobs)
            except queue.Empty:
                return [job for job in jobs if not job.abandoned]
            if job is None:
                self._reading = None
            else:
                jobs.append(job)
        return None

    async def close(self) -> None:
        """Ends the thread after the step it is in; what was asked and not answered fails at once."""
        with self._lock:
            if self._thread is not None:
                self._ending, self._thread = self._thread, None
                self._inbox.put(None)
            self._failure = None
            ending, waiting = self._ending, list(self._open)
        for job in waiting:
            job.fail(CallError("the model was closed before it answered"))
        if ending is not None:
            await asyncio.to_thread(ending.join)

    def _run(
        self,
        inbox: queue.SimpleQueue[Job[Asked] | None],
        opened: set[Job[Asked]],
        previous: threading.Thread | None,
    ) -> None:
        if previous is not None:
            # two models at a time may be one too many for the memory
            previous.join()
        self._reading = inbox
        try:
            self._work(self)
        except BaseException as error:  # noqa: BLE001 it is not lost: whoever asked gets it
            with self._lock:
                if inbox is self._inbox and self._thread is not None:
                    self._failure = error
                waiting = list(opened)
            for job in waiting:
                job.fail(error)
