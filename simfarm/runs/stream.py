"""From many coroutines to results in order, and from an asynchronous generator to a plain iterator.

Writers, progress bars and Ctrl-C want a plain loop over results in input order; the engine wants many calls in flight.
Whoever takes such an iterator closes it (`contextlib.closing`): an event loop that is left to the garbage collector is
closed when the interpreter ends, where no thread can start any more, and waits there for ever.
"""

from __future__ import annotations

import asyncio
import atexit
import gc
import threading
import time
import weakref
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Generator, Iterable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

__all__ = ["drained", "frozen", "in_order", "interrupt"]

T = TypeVar("T")

_open: weakref.WeakSet[Generator[Any]] = weakref.WeakSet()
"""Iterators that somebody may have left half way."""

_loops: dict[int, asyncio.AbstractEventLoop] = {}
"""Thread -> the event loop of the run that it takes results from."""


async def in_order(calls: Iterable[Coroutine[Any, Any, T]], window: int) -> AsyncGenerator[T]:
    """The results of `calls` in their order, at most `window` of them begun beyond the first unfinished one.

    An exception in any of them ends it at once: no further call is begun, and results that wait behind an unfinished
    one are given up (they are in the store).
    """
    pending: deque[asyncio.Task[T]] = deque()
    failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

    def watch(task: asyncio.Task[T]) -> None:
        error = None if task.cancelled() else task.exception()
        if error is not None and not failed.done():
            failed.set_result(error)

    async def first() -> T:
        if not pending[0].done():
            await asyncio.wait((pending[0], failed), return_when=asyncio.FIRST_COMPLETED)
            if not pending[0].done():
                raise failed.result()
        return pending.popleft().result()

    try:
        for call in calls:
            task = asyncio.ensure_future(call)
            task.add_done_callback(watch)
            pending.append(task)
            while len(pending) >= window or (pending and pending[0].done()):
                yield await first()
            if failed.done():
                break
        while pending:
            yield await first()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def drained(stream: AsyncGenerator[T]) -> Generator[T]:
    """What an asynchronous generator gives, as it becomes ready, in an event loop of its own: close it when done."""
    results = _drained(stream)
    _open.add(results)
    return results


def _drained(stream: AsyncGenerator[T]) -> Generator[T]:
    thread = threading.get_ident()
    try:
        with asyncio.Runner() as runner:
            _loops[thread] = runner.get_loop()
            try:
                while batch := runner.run(_next_batch(stream)):
                    yield from batch
            finally:
                runner.run(_close(stream))
    finally:
        _loops.pop(thread, None)


@contextmanager
def frozen() -> Iterator[None]:
    """While the block runs, what was there before is left out of every garbage collection: the SDKs' modules hold
    objects by the hundred thousand, and a run saves a tenth. For who owns the process, the command line and a worker:
    in somebody else's, whose objects they are, it is not a run's to decide. What is garbage by then stays until the
    end: to look for it among so many takes a tenth of a second, as long as a small run does."""
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def interrupt(thread: int) -> None:
    """Ends the run that another thread takes results from, as Ctrl-C ends one of the main thread's: there, whatever it
    waits for raises `CancelledError`."""
    loop = _loops.get(thread)
    if loop is not None:
        # the run may end at any moment, also between the look and the call
        with suppress(RuntimeError):
            loop.call_soon_threadsafe(lambda: [task.cancel() for task in asyncio.all_tasks(loop)])


@atexit.register
def _close_the_open() -> None:
    """The last moment at which what was left half way can be closed."""
    for results in list(_open):
        # one that a thread is in (ValueError), or whose loop needs a thread that may not start any more (RuntimeError)
        with suppress(ValueError, RuntimeError):
            results.close()


async def _close(stream: AsyncGenerator[T]) -> None:
    """Ends the stream, and before it what takes from it: Ctrl-C in the moment in which the runner sets itself up leaves
    a batch begun that nobody waits for, and a generator that runs cannot be closed."""
    for task in asyncio.all_tasks():
        if getattr(task.get_coro(), "__name__", "") == _next_batch.__name__:
            task.cancel()
            await asyncio.wait([task])
    await stream.aclose()


async def _next_batch(stream: AsyncGenerator[T], size: int = 64, seconds: float = 0.2) -> list[T]:
    """The next results, empty at the end: a batch costs the event loop one start instead of one each."""
    batch: list[T] = []
    begun = time.monotonic()
    async for result in stream:
        batch.append(result)
        if len(batch) >= size or time.monotonic() - begun > seconds:
            break
    return batch
