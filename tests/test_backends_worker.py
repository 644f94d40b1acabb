"""The thread that owns a model: what it is asked, who gets the answer, and how it ends."""

import asyncio
import threading
from collections.abc import Callable

import pytest

from simfarm.backends.local.worker import Worker
from simfarm.data.exchange import CallError
from simfarm.errors import InputError


class Engine:
    """Answers a number with its double; holds back what is negative. Counts how often it was loaded."""

    def __init__(self, fails: Callable[[int], BaseException | None] = lambda _: None) -> None:
        self.loads = 0
        self.threads: set[threading.Thread] = set()
        self._fails = fails

    def work(self, worker: Worker[int]) -> None:
        self.loads += 1
        self.threads.add(threading.current_thread())
        if (error := self._fails(self.loads)) is not None:
            raise error
        while (jobs := worker.take(wait=True)) is not None:
            for job in jobs:
                if job.asked >= 0:
                    job.finish(2 * job.asked)


async def settled(*waiting: asyncio.Task[int]) -> list[int | BaseException]:
    """Outcomes, or a failed test where one never comes."""
    return await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)


async def test_one_thread_answers_everybody() -> None:
    engine = Engine()
    worker: Worker[int] = Worker("test", engine.work)
    assert await asyncio.gather(*map(worker.ask, range(100))) == [2 * i for i in range(100)]
    await worker.close()
    assert (engine.loads, len(engine.threads)) == (1, 1)
    assert not any(thread.is_alive() for thread in engine.threads)


async def test_a_question_after_close_loads_the_model_again() -> None:
    engine = Engine()
    worker: Worker[int] = Worker("test", engine.work)
    for number in (1, 2, 3):
        assert await worker.ask(number) == 2 * number
        await worker.close()
        assert engine.loads == number
    await worker.close()
    assert not any(thread.is_alive() for thread in engine.threads)


async def test_close_fails_what_still_waits() -> None:
    engine = Engine()
    worker: Worker[int] = Worker("test", engine.work)
    stuck = [asyncio.ensure_future(worker.ask(-1)) for _ in range(3)]
    assert await worker.ask(4) == 8
    await worker.close()
    for outcome in await settled(*stuck):
        assert isinstance(outcome, CallError)
        assert "closed before it answered" in str(outcome)
    assert await worker.ask(5) == 10
    await worker.close()


async def test_a_question_asked_while_the_thread_ends_is_the_next_threads() -> None:
    loaded, end = threading.Event(), threading.Event()
    alive: list[int] = []

    def work(worker: Worker[int]) -> None:
        alive.append(sum(thread.name == "simfarm-slow" for thread in threading.enumerate() if thread.is_alive()))
        loaded.set()
        while (jobs := worker.take(wait=True)) is not None:
            for job in jobs:
                if job.asked >= 0:
                    job.finish(job.asked)
        end.wait(20)
        if len(alive) == 1:
            raise InputError("the engine failed while it was closed")

    worker: Worker[int] = Worker("slow", work)
    first = asyncio.ensure_future(worker.ask(-1))
    await asyncio.to_thread(loaded.wait, 20)
    closing = asyncio.ensure_future(worker.close())
    assert isinstance((await settled(first))[0], CallError)
    second = asyncio.ensure_future(worker.ask(7))
    await asyncio.sleep(0.05)
    assert len(alive) == 1, "the second thread waits until the first has given its memory back"
    end.set()
    assert await settled(second) == [7], "what the first thread raised at its end is not the second's failure"
    await closing
    assert await worker.ask(8) == 8
    await worker.close()


async def test_a_failure_is_everybodys_until_close() -> None:
    engine = Engine(lambda loads: InputError("no such weights") if loads == 1 else None)
    worker: Worker[int] = Worker("test", engine.work)
    for outcome in await settled(*(asyncio.ensure_future(worker.ask(i)) for i in range(3))):
        assert isinstance(outcome, InputError)
    with pytest.raises(InputError, match="no such weights"):
        await worker.ask(1)
    assert engine.loads == 1
    await worker.close()
    assert await worker.ask(1) == 2
    await worker.close()


async def test_close_without_a_question() -> None:
    engine = Engine()
    worker: Worker[int] = Worker("test", engine.work)
    await worker.close()
    await worker.close()
    assert engine.loads == 0


async def test_a_caller_that_left_is_not_handed_over() -> None:
    started, go = threading.Event(), threading.Event()
    seen: list[int] = []

    def work(worker: Worker[int]) -> None:
        started.set()
        go.wait(20)
        while (jobs := worker.take(wait=True)) is not None:
            seen.extend(job.asked for job in jobs)
            for job in jobs:
                job.finish(job.asked)

    worker: Worker[int] = Worker("test", work)
    gone = asyncio.ensure_future(worker.ask(1))
    await asyncio.to_thread(started.wait, 20)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    go.set()
    assert await worker.ask(2) == 2
    await worker.close()
    assert seen == [2]


def test_a_question_left_behind_by_a_closed_loop_harms_nobody() -> None:
    engine = Engine()
    worker: Worker[int] = Worker("test", engine.work)

    async def leave() -> None:
        left.append(asyncio.ensure_future(worker.ask(-1)))
        assert await worker.ask(1) == 2

    left: list[asyncio.Future[int]] = []
    asyncio.run(leave())

    async def again() -> None:
        assert await worker.ask(2) == 4
        await worker.close()

    asyncio.run(again())
