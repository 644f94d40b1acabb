"""Concurrency, rates, money: the engine's limits on their own, without a network."""

from __future__ import annotations

import asyncio

import pytest

from simfarm.backends.base import Request
from simfarm.engine.budget import Budget
from simfarm.engine.limits import Limits, RateBucket
from simfarm.engine.prices import price, price_table
from simfarm.engine.runner import estimate_tokens
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


async def test_rates(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("simfarm.engine.limits.asyncio.sleep", sleep)
    bucket = RateBucket(60 * 10)
    for _ in range(30):
        await bucket.take(1)
    assert len(slept) == 20, "ten at once, then one each tenth of a second"
    assert slept[-1] == pytest.approx(2.0, abs=0.1)
    tokens = RateBucket(60_000)
    await tokens.take(3000)
    assert slept[-1] == pytest.approx(2.0, abs=0.1)
    tokens.give_back(2000)
    await tokens.take(500)
    assert slept[-1] == pytest.approx(0.5, abs=0.1)
