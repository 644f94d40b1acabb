"""A run as a plain iterator: its order, and that every way out of it closes its loop."""

from __future__ import annotations

import asyncio
import gc
import subprocess
import sys
import threading
import time
from collections.abc import AsyncGenerator, Coroutine, Iterator
from contextlib import aclosing, closing

import pytest

from simfarm.runs.stream import drained, frozen, in_order, interrupt

LEFT_OPEN = """
import asyncio, sys
from simfarm.runs.stream import drained

async def numbers():
    # the resolver's thread: an event loop that has had one needs another to close
    await asyncio.get_running_loop().getaddrinfo("localhost", 80)
    try:
        for number in range(1000):
            await asyncio.sleep(0)
            yield number
    finally:
        await asyncio.sleep(0.01)
        print("closed", flush=True)

made = drained(numbers())
kept = [made]
kept.append(kept)
next(made)
if "error" in sys.argv:
    raise ValueError("the writer's")
"""


@pytest.mark.parametrize(("words", "status"), [([], 0), (["error"], 1)])
def test_an_iterator_left_open_does_not_keep_the_process(words: list[str], status: int) -> None:
    command = [sys.executable, "-c", LEFT_OPEN, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stdout) == (status, "closed\n")


class Counted:
    """Calls that count how many were begun."""

    def __init__(self, fails_at: int, hangs_at: int) -> None:
        self.begun = 0
        self._fails_at, self._hangs_at = fails_at, hangs_at

    def calls(self, count: int) -> Iterator[Coroutine[object, object, int]]:
        for number in range(count):
            yield self.one(number)

    async def one(self, number: int) -> int:
        self.begun += 1
        await asyncio.sleep(3600 if number == self._hangs_at else 0.001)
        if number == self._fails_at:
            raise ValueError("of the run")
        return number


async def test_an_error_ends_the_run_at_once_whatever_is_still_awaited() -> None:
    counted = Counted(fails_at=5, hangs_at=3)
    got = []

    async def run() -> None:
        async with aclosing(in_order(counted.calls(1000), window=8)) as made:
            async for number in made:
                got.append(number)

    with pytest.raises(ValueError, match="of the run"):
        await asyncio.wait_for(run(), 60)
    assert got == [0, 1, 2]
    assert counted.begun <= 12


async def test_what_was_answered_before_an_error_is_given() -> None:
    counted = Counted(fails_at=5, hangs_at=-1)
    got = []

    async def run() -> None:
        async for number in in_order(counted.calls(1000), window=8):
            got.append(number)

    with pytest.raises(ValueError, match="of the run"):
        await asyncio.wait_for(run(), 60)
    assert got == [0, 1, 2, 3, 4]


class Stream:
    """Numbers without end; `closed` once it was closed, and in which thread."""

    def __init__(self, hangs_at: int = -1) -> None:
        self.closed: int | None = None
        self._hangs_at = hangs_at

    async def numbers(self) -> AsyncGenerator[int]:
        number = 0
        try:
            while True:
                await asyncio.sleep(3600 if number == self._hangs_at else 0)
                yield number
                number += 1
        finally:
            await asyncio.sleep(0)
            self.closed = threading.get_ident()


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, GeneratorExit, SystemExit])
def test_whatever_the_consumer_raises_closes_the_run(error: type[BaseException]) -> None:
    stream = Stream()

    def consume() -> None:
        with closing(drained(stream.numbers())) as made:
            for number in made:
                if number == 70:
                    raise error

    with pytest.raises(error):
        consume()
    assert stream.closed == threading.get_ident()


def test_a_run_in_another_thread_can_be_interrupted() -> None:
    stream = Stream(hangs_at=10)
    got: list[int] = []
    ended: list[type[BaseException]] = []

    def work() -> None:
        try:
            with closing(drained(stream.numbers())) as made:
                for number in made:
                    got.append(number)
        except asyncio.CancelledError as error:
            ended.append(type(error))

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert thread.ident is not None
    time.sleep(0.2)
    interrupt(thread.ident)
    thread.join(60)
    assert (ended, stream.closed) == ([asyncio.CancelledError], thread.ident)
    # there is none any more
    interrupt(thread.ident)


def test_an_interrupt_between_two_looks_at_the_loop_closes_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C while the runner sets itself up: a batch is begun that nobody waits for."""
    closed: list[str] = []

    async def numbers() -> AsyncGenerator[int]:
        try:
            for number in range(1000):
                await asyncio.sleep(0.001)
                yield number
        finally:
            closed.append("closed")

    class Interrupted(asyncio.Runner):
        runs = 0

        def run(self, coro: Coroutine[object, object, object], *, context: object = None) -> object:
            self.runs += 1
            if self.runs == 2:
                self.get_loop().create_task(coro)
                raise KeyboardInterrupt
            return super().run(coro)

    monkeypatch.setattr(asyncio, "Runner", Interrupted)
    with pytest.raises(KeyboardInterrupt):
        list(drained(numbers()))
    assert closed == ["closed"]


def test_the_collector_is_left_to_the_owner_of_the_process() -> None:
    async def counts() -> AsyncGenerator[int]:
        yield gc.get_freeze_count()

    before = gc.get_freeze_count()
    with closing(drained(counts())) as made:
        assert next(made) == before
    with frozen(), closing(drained(counts())) as made:
        assert next(made) > before + 10_000
    assert gc.get_freeze_count() == 0
