"""From many coroutines to results in order, and from an asynchronous generator to a plain iterator.

Writers, progress bars and Ctrl-C want a plain loop over results in input order; the engine wants many calls in flight.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import AsyncGenerator, Coroutine, Iterable, Iterator
from typing import Any, TypeVar

__all__ = ["drained", "in_order"]

T = TypeVar("T")


async def in_order(calls: Iterable[Coroutine[Any, Any, T]], window: int) -> AsyncGenerator[T]:
    """The results of `calls` in their order, at most `window` of them begun beyond the first unfinished one."""
    pending: deque[asyncio.Task[T]] = deque()
    try:
        for call in calls:
            pending.append(asyncio.ensure_future(call))
            while len(pending) >= window or (pending and pending[0].done()):
                yield await pending.popleft()
        while pending:
            yield await pending.popleft()
    finally:
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)


def drained(stream: AsyncGenerator[T]) -> Iterator[T]:
    """What an asynchronous generator gives, as it becomes ready, in an event loop of its own."""
    # the SDKs' modules hold objects by the hundred thousand: leaving them out of every collection saves a tenth
    gc.collect()
    gc.freeze()
    try:
        with asyncio.Runner() as runner:
            try:
                while batch := runner.run(_next_batch(stream)):
                    yield from batch
            finally:
                runner.run(stream.aclose())
    finally:
        gc.unfreeze()


async def _next_batch(stream: AsyncGenerator[T], size: int = 64, seconds: float = 0.2) -> list[T]:
    """The next results, empty at the end: a batch costs the event loop one start instead of one each."""
    batch: list[T] = []
    begun = time.monotonic()
    async for result in stream:
        batch.append(result)
        if len(batch) >= size or time.monotonic() - begun > seconds:
            break
    return batch
