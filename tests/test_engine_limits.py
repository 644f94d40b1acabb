"""Concurrency, rates, money: the engine's limits on their own, without a network."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from itertools import pairwise
from typing import Any

import pytest

from simfarm.data.exchange import Request
from simfarm.engine.budget import Budget
from simfarm.engine.limits import Limits, Pace
from simfarm.engine.prices import price, price_table
from simfarm.engine.tokens import estimate_tokens
from simfarm.errors import BudgetError


async def test_budget_of_waiting_callers() -> None:
    budget = Budget(10.0)
    await budget.reserve(6.0)
    waiting = asyncio.ensure_future(budget.reserve(6.0))
    gone = asyncio.ensure_future(budget.reserve(1.0))
    await asyncio.sleep(0)
    assert not waiting.done()
    gone.cancel()
    budget.settle(6.0, 2.0)
    await waiting
    budget.settle(6.0, 6.0)
    with pytest.raises(BudgetError, match=r"\$10 "):
        await budget.reserve(2.5)
    with pytest.raises(BudgetError):
        await budget.reserve(0.1)
    assert budget.spent == 8.0


async def test_a_caller_cancelled_just_as_it_is_served_keeps_nothing() -> None:
    budget = Budget(1.0)
    await budget.reserve(1.0)
    waiting = asyncio.ensure_future(budget.reserve(1.0))
    await asyncio.sleep(0)
    budget.settle(1.0, 0.0)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    async with asyncio.timeout(1):
        await budget.reserve(1.0)


def test_prices() -> None:
    assert price("openai", "gpt-4.1-2025-04-14", 1_000_000, 0) == pytest.approx(2.0)
    assert price("openai", "gpt-4.1-2025-04-14", 0, 1_000_000) == pytest.approx(8.0)
    assert price("openai", "gpt-4.1-2025-04-14", 1_000_000, 0, "https://api.openai.com/v1") == pytest.approx(2.0)
    assert price("openai", "gpt-4.1-2025-04-14", 1_000_000, 0, "http://127.0.0.1:8000/v1") is None
    assert price("anthropic", "claude-sonnet-4-5", 1_000_000, 0) == pytest.approx(3.0, rel=1.0)
    assert price("openai", "no-such-model", 10, 10) is None
    assert price("litellm", "groq/llama-3.1-8b-instant", 1_000_000, 0) == pytest.approx(0.05)
    assert price_table().startswith("genai-prices ")


def test_estimated_tokens_are_on_the_high_side() -> None:
    # more than a token for each English word, and for each Chinese character
    for text, least in (("Which of the two answers is better?", 7 * 1.5), ("哪一个回答更好？请说明理由。", 14)):
        assert least <= estimate_tokens(Request("m", ({"role": "user", "content": text},), {}))


async def test_concurrency_shrinks_once_a_window_and_grows_back() -> None:
    limits = Limits(10)
    entered = [await limits.enter(1) for _ in range(10)]
    blocked = asyncio.ensure_future(limits.enter(1))
    for moment in entered:
        limits.throttled(moment)
    assert limits.allowed == pytest.approx(8.0)
    for _ in range(2):
        limits.leave()
    await asyncio.sleep(0)
    assert not blocked.done(), "8 are still running"
    limits.leave()
    limits.throttled(await blocked)
    assert limits.allowed == pytest.approx(6.4)
    for _ in range(8):
        limits.succeeded()
    assert 7.3 < limits.allowed < 7.7
    for _ in range(100):
        limits.succeeded()
    assert limits.allowed == 10
    for _ in range(100):
        limits.throttled(asyncio.get_running_loop().time())
    assert limits.allowed == 1


async def test_a_waiting_call_that_is_cancelled_leaves_no_gap() -> None:
    limits = Limits(1)
    await limits.enter(1)
    first, second = (asyncio.ensure_future(limits.enter(1)) for _ in range(2))
    await asyncio.sleep(0)
    limits.leave()
    # `first` has been let in and is cancelled before it could run
    first.cancel()
    await second
    limits.leave()
    assert limits.active == 0


class Clock:
    """An event loop's time that passes only as it is waited for, and a little late each time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, late: float = 0.0) -> None:
        self.now = 100.0
        self.late = late
        monkeypatch.setattr(asyncio.get_running_loop(), "time", lambda: self.now)
        monkeypatch.setattr("simfarm.engine.limits.asyncio.wait_for", self.wait_for)

    async def wait_for(self, waited: Coroutine[Any, Any, Any], seconds: float) -> None:
        waited.close()
        self.now += seconds + self.late
        raise TimeoutError


async def test_a_pace_is_even_and_is_reached_though_each_start_is_late(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch, late=0.003)
    pace = Pace(20.0)
    starts = []
    for _ in range(400):
        await pace.take(1)
        starts.append(clock.now)
    gaps = [b - a for a, b in pairwise(starts)]
    assert 399 / (starts[-1] - starts[0]) == pytest.approx(20, rel=0.01)
    assert sum(gap < 0.04 for gap in gaps) <= 4, "the slack at the start apart, no two leave together"
    clock.now += 10
    starts = []
    for _ in range(10):
        await pace.take(1)
        starts.append(clock.now)
    assert starts[5] - starts[0] >= 0.05, "what was not used in ten seconds is not made up for at once"


async def test_what_a_call_did_not_use_lets_the_next_in_earlier() -> None:
    loop = asyncio.get_running_loop()
    pace = Pace(1000.0)
    await pace.take(10_000)
    waiting = asyncio.ensure_future(pace.take(1))
    await asyncio.sleep(0.02)
    assert not waiting.done()
    begun = loop.time()
    pace.give_back(9_990)
    await asyncio.wait_for(waiting, 5)
    assert loop.time() - begun < 2


async def test_a_pace_is_learnt_from_throttling_where_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    limits = Limits(64)
    rate = 20.0
    bucket, at, refused, answered = rate, clock.now, 0, 0
    while answered < 600:
        entered = await limits.enter(1)
        bucket, at = min(rate, bucket + (clock.now - at) * rate), clock.now
        if bucket < 1:
            refused += 1
            limits.throttled(entered)
        else:
            bucket -= 1
            answered += 1
            limits.succeeded()
        limits.leave()
        clock.now += 0.001
    assert refused < 0.06 * answered
    assert answered / (clock.now - 100) > 0.9 * rate
    named = Limits(64, rpm=1200)
    named.succeeded()
    named.throttled(clock.now)
    assert named._learnt is None, "who names a limit is held to that"


async def test_a_time_out_halves_the_concurrency_once_a_window() -> None:
    limits = Limits(64)
    entered = [await limits.enter(1) for _ in range(64)]
    for moment in entered:
        limits.slowed(moment)
    assert limits.allowed == 32


async def test_overload_shrinks_the_concurrency_and_sets_no_pace() -> None:
    limits = Limits(64)
    entered = [await limits.enter(1) for _ in range(64)]
    for _ in range(10):
        limits.succeeded()
    for moment in entered:
        limits.overloaded(moment)
    assert limits.allowed == pytest.approx(51.2)
    assert limits._learnt is None, "a server that starts anew answers nobody: its rate would be none"


async def test_a_while_in_which_all_are_refused_leaves_a_pace_that_recovers(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = Clock(monkeypatch)
    limits = Limits(64)
    for _ in range(100):
        limits.succeeded()
        clock.now += 0.05
    for _ in range(60):
        limits.throttled(clock.now)
        clock.now += 1.5
    assert limits._learnt is not None
    begun = clock.now
    while limits._learnt.rate < 20:
        await limits.enter(1)
        limits.succeeded()
        limits.leave()
    assert clock.now - begun < 180, "minutes, not hours, after somebody else used up the limit"
