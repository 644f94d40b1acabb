"""The engine over loopback HTTP: resume, sharing, retries, limits, budget, and what an interruption costs."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, raw

from simfarm.backends import open_backend
from simfarm.data.exchange import CallError, Completion, Request, TransientError
from simfarm.engine import runner
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store
from simfarm.errors import BudgetError, InputError, ProviderError

Open = Callable[..., Engine]


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    opened = Store(tmp_path / "engine.sqlite")
    yield opened
    opened.close()


@pytest.fixture
def engine(server: Loopback, store: Store, monkeypatch: pytest.MonkeyPatch) -> Open:
    """Engines on one server and one store, with waits that a test can sit through."""
    monkeypatch.setattr(runner, "FIRST_WAIT", 0.002)
    monkeypatch.setattr("simfarm.engine.limits.ROUND", 0.02)
    monkeypatch.setattr(runner, "LONGEST_WAIT", 0.02)

    def opened(spec: str = "openai/judge-1", **options: Any) -> Engine:
        url = server.url if spec.startswith("anthropic") else f"{server.url}/v1"
        backend, _ = open_backend(spec, base_url=url)
        return Engine(backend, options.pop("store", store), **options)

    return opened


def ask(number: int | str, **changes: Any) -> Request:
    sampling = {"temperature": 0, "max_tokens": 1, "logprobs": 5}
    fields: dict[str, Any] = {"model": "judge-1", "sampling": sampling}
    return Request(messages=({"role": "user", "content": f"pair {number}"},), **(fields | changes))


async def test_a_rerun_asks_nothing_and_gives_the_same(engine: Open, server: Loopback) -> None:
    async with engine() as first:
        before = await asyncio.gather(*(first.complete(ask(n)) for n in range(40)))
    async with engine() as second:
        after = await asyncio.gather(*(second.complete(ask(n)) for n in range(40)))
        assert second.cached(ask(3)) == before[3][0]
        assert second.cached(ask(99)) is None
    assert [c for c, _ in before] == [c for c, _ in after]
    assert {known for _, known in before} == {False}
    assert {known for _, known in after} == {True}
    assert len(server.calls) == 40
    assert (first.stats.asked, second.stats.asked, second.stats.cached) == (40, 0, 40)
    assert first.stats.models == {"judge-1": 40}


async def test_identical_requests_are_asked_once(engine: Open, server: Loopback) -> None:
    server.plan.latency = 0.05
    async with engine() as one:
        answers = await asyncio.gather(*(one.complete(ask("same")) for _ in range(10)))
        later = await one.complete(ask("same"))
    assert len(server.calls) == 1
    # asked in this run, whether the answer was awaited together or read back from the store
    assert {known for _, known in [*answers, later]} == {False}
    assert (one.stats.asked, one.stats.shared) == (1, 10)


async def test_samples_and_attempts_are_different_questions(engine: Open, server: Loopback) -> None:
    async with engine() as one:
        for changes in ({}, {"sample": 1}, {"attempt": 1}, {"sampling": {}}):
            await one.complete(ask(0, **changes))
    assert len(server.calls) == 4


@pytest.mark.parametrize("spec", ["openai/judge-1", "anthropic/judge-1"])
async def test_every_passing_fault_is_survived(engine: Open, server: Loopback, spec: str) -> None:
    changes = {"sampling": {"max_tokens": 1}}
    server.plan.fault_every = 3
    async with engine(spec, concurrency=8) as one:
        answers = await asyncio.gather(*(one.complete(ask(n, **changes)) for n in range(60)))
    server.plan.fault_every = 0
    async with engine(spec, store=None) as two:
        clean = await asyncio.gather(*(two.complete(ask(n, **changes)) for n in range(60)))
    assert [c.text for c, _ in answers] == [c.text for c, _ in clean]
    assert one.stats.asked == 60
    assert one.stats.retries == server.received - 60 - 60
    assert one.stats.retries >= 25
    assert one.stats.throttled > 0


async def test_errors_are_not_stored(engine: Open, server: Loopback) -> None:
    server.script(*["500"] * 3)
    async with engine(retries=2) as one:
        with pytest.raises(TransientError, match="500"):
            await one.complete(ask(0))
        assert (one.stats.asked, one.stats.errors["gave up"]) == (0, 1)
    server.script("400")
    async with engine() as two:
        with pytest.raises(CallError):
            await two.complete(ask(0))
        assert two.stats.errors["refused"] == 1
    async with engine() as three:
        answer, known = await three.complete(ask(0))
    assert not known
    assert answer.text in ("m", "M")
    assert server.received == 5


async def test_one_refused_prompt_leaves_the_others_alone(engine: Open, server: Loopback) -> None:
    server.plan.refuse = lambda call: "400" if call.prompt == "pair 13" else None
    async with engine() as one:
        results = await asyncio.gather(*(one.complete(ask(n)) for n in range(30)), return_exceptions=True)
    assert [n for n, r in enumerate(results) if isinstance(r, CallError)] == [13]
    assert one.stats.asked == 29


async def test_a_rejected_key_stops_at_once(engine: Open, server: Loopback) -> None:
    server.plan.refuse = lambda call: "401"
    async with engine() as one:
        with pytest.raises(ProviderError, match="OPENAI_API_KEY"):
            await one.complete(ask(0))
    assert server.received == 1


async def test_an_address_where_nobody_listens_stops_the_run(engine: Open, store: Store) -> None:
    async with engine(retries=8) as made:
        backend, _ = open_backend("openai/m", base_url="http://127.0.0.1:1/v1")
        async with Engine(backend, store) as one:
            with pytest.raises(ProviderError, match="cannot connect"):
                await one.complete(ask(0))
            assert one.stats.retries == runner.COLD_RETRIES
        assert made.stats.asked == 0


async def test_a_call_that_hangs_is_tried_again(engine: Open, server: Loopback) -> None:
    server.script("hang")
    async with engine(timeout=0.2) as one:
        answer, _ = await one.complete(ask(0))
    assert answer.text in ("m", "M")
    assert one.stats.retries == 1


@pytest.mark.parametrize("status", [429, 503, 529])
async def test_retry_after_holds_every_call_back(engine: Open, server: Loopback, status: int) -> None:
    server.script(raw(status, {"error": {"message": "Slower"}}, retry_after="0.4"))
    loop = asyncio.get_running_loop()
    async with engine(concurrency=4) as one:
        first = asyncio.ensure_future(one.complete(ask(0)))
        while not one.stats.throttled:
            await asyncio.sleep(0.005)
        asked = loop.time()
        await one.complete(ask(1))
        held = loop.time() - asked
        await first
    assert held > 0.3
    assert server.received == 3


async def test_a_daily_limit_stops_the_run(engine: Open, server: Loopback) -> None:
    server.plan.refuse = lambda call: "429-after:86400"
    async with engine(concurrency=4) as one:
        results = await asyncio.gather(*(one.complete(ask(n)) for n in range(40)), return_exceptions=True)
    assert {type(r) for r in results} == {ProviderError}
    assert "86400 s" in str(results[0])
    assert server.received <= 8, "calls that wait for their turn are not sent"


async def test_concurrency_is_kept(engine: Open, server: Loopback) -> None:
    server.plan.latency = 0.02
    async with engine(concurrency=7) as one:
        await asyncio.gather(*(one.complete(ask(n)) for n in range(50)))
    assert server.most_running == 7


async def test_256_at_a_time(engine: Open, server: Loopback) -> None:
    server.plan.latency = 1.0
    async with engine(concurrency=256) as one:
        await asyncio.gather(*(one.complete(ask(n)) for n in range(257)))
    assert server.most_running == 256


async def test_cancelling_loses_only_what_was_in_flight(engine: Open, server: Loopback, store: Store) -> None:
    server.plan.latency = 0.02
    finished: list[int] = []

    async def note(one: Engine, number: int) -> None:
        await one.complete(ask(number))
        finished.append(number)

    async def run() -> None:
        async with engine(concurrency=5) as one:
            await asyncio.gather(*(note(one, n) for n in range(200)))

    task = asyncio.ensure_future(run())
    while len(finished) < 42:
        await asyncio.sleep(0.001)
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task
    async with engine() as again:
        assert all(again.cached(ask(n)) is not None for n in finished)
        await asyncio.gather(*(again.complete(ask(n)) for n in range(200)))
    # five were in flight; a request may still be on its way to the server when its caller is gone
    assert server.received <= 205
    assert set(server.asked.values()) <= {1, 2}
    assert len(server.asked) == 200


async def test_whoever_gives_up_does_not_take_the_answer_from_others(engine: Open, server: Loopback) -> None:
    server.plan.latency = 0.1
    async with engine() as one:
        impatient = asyncio.ensure_future(one.complete(ask(0)))
        patient = asyncio.ensure_future(one.complete(ask(0)))
        await asyncio.sleep(0.02)
        impatient.cancel()
        answer, _ = await patient
    assert answer.text in ("m", "M")
    assert server.received == 1


PRICE = (1000.0, 1000.0)
"""Dollars per million tokens: one token costs a tenth of a cent."""


async def test_the_budget_is_never_exceeded_and_resume_goes_on(engine: Open, server: Loopback) -> None:
    server.plan.latency = 0.01
    limit = 0.2
    async with engine(budget=limit, price=PRICE, concurrency=16) as one:
        results = await asyncio.gather(*(one.complete(ask(n)) for n in range(400)), return_exceptions=True)
        assert {type(r) for r in results} == {tuple, BudgetError}
        answered = sum(isinstance(r, tuple) for r in results)
        assert answered == one.stats.asked == server.received
        # most calls reserve 19 tokens and use 3: the waiting ones must have been let in as the others settled
        assert limit - 0.020 < one.stats.cost <= limit
        known = [n for n, r in enumerate(results) if isinstance(r, tuple)]
        assert (await one.complete(ask(known[0])))[1] is False, "what is in the store costs nothing"
    async with engine(budget=5.0, price=PRICE) as two:
        await asyncio.gather(*(two.complete(ask(n)) for n in range(400)))
    assert two.stats.cached == answered
    assert server.received == 400


async def test_failed_calls_give_their_reservation_back(engine: Open, server: Loopback) -> None:
    server.script("500", "drop", "empty")
    async with engine(budget=0.02, price=PRICE) as one:
        await one.complete(ask(0))
    assert 0 < one.stats.cost <= 0.02


async def test_calls_that_timed_out_count_against_the_budget_and_it_is_said(engine: Open, server: Loopback) -> None:
    server.script("hang", "hang", None)
    async with engine(budget=1.0, price=PRICE, timeout=0.2) as one:
        await one.complete(ask(0))
        most = one.estimate(ask(0))[2]
    assert most is not None
    assert one._budget is not None
    assert one._budget.spent == pytest.approx(2 * most + one.stats.cost)
    assert one.stats.money() == f"${one.stats.cost:.4f}", "what is certain is told apart"
    assert one.stats.warnings() == [
        "warning: 2 calls timed out and may be billed: at most $0.04 counted against the budget"
    ]
    server.script("hang", None)
    async with engine(price=PRICE, timeout=0.2, store=None) as two:
        await two.complete(ask(0))
    assert two.stats.warnings() == ["warning: 1 call timed out and may be billed: at most $0.02"]
    server.script("hang", "500", None)
    async with engine(timeout=0.2, store=None) as free:
        await free.complete(ask(0))
    assert free.stats.warnings() == [], "a server without prices bills nobody"


async def test_a_gateway_that_waited_in_vain_may_have_been_billed(engine: Open, server: Loopback) -> None:
    server.script(raw(504, "<html>504 Gateway Time-out</html>"), "drop", "500", None)
    async with engine(budget=1.0, price=PRICE) as one:
        await one.complete(ask(0))
    assert (one.stats.timed_out, one.stats.retries) == (1, 3)


async def test_time_outs_end_the_budget_too(engine: Open, server: Loopback) -> None:
    server.script(None, *["hang"] * 9)
    async with engine(budget=0.05, price=PRICE, timeout=0.1) as one:
        await one.complete(ask(0))
        with pytest.raises(BudgetError):
            await one.complete(ask(1))
    assert server.received <= 4


async def test_a_budget_without_a_price_is_refused_before_any_call(engine: Open, server: Loopback) -> None:
    async with engine(budget=1.0) as one:
        with pytest.raises(InputError, match="--price IN,OUT"):
            await one.complete(ask(0))
    assert server.received == 0


async def test_unknown_prices_are_none_and_known_ones_add_up(engine: Open, server: Loopback) -> None:
    async with engine() as one:
        answer, _ = await one.complete(ask(0))
        assert one.price_of(answer) is None
        assert one.stats.unpriced == 1
        assert one.estimate(ask(0))[2] is None
    async with engine(price=(2.0, 8.0), store=None) as two:
        answer, _ = await two.complete(ask(0))
        assert answer.input_tokens is not None
        assert answer.output_tokens is not None
        expected = (answer.input_tokens * 2 + answer.output_tokens * 8) / 1e6
        assert two.price_of(answer) == pytest.approx(expected)
        assert two.stats.cost == pytest.approx(expected)
        assert two.price_of(Completion("x")) is None


async def test_random_cancellations_keep_the_books(engine: Open, server: Loopback) -> None:
    server.plan.latency = 0.003
    server.plan.fault_every = 4
    chance = random.Random(7)
    async with engine(concurrency=6, budget=100.0, price=PRICE) as one:
        tasks = [asyncio.ensure_future(one.complete(ask(n % 90))) for n in range(150)]
        for task in chance.sample(tasks, 60):
            await asyncio.sleep(0.001)
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        for number in range(90):
            await one.complete(ask(number))
        assert one._limits.active == 0
        assert one._budget is not None
        assert one._budget.spent == pytest.approx(one.stats.cost)
    assert one.stats.asked == 90


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        ("page", "is a page, not JSON"),
        ("500", "answered 500"),
        ("drop", "dropped the connection"),
        ("truncated", "cut off or not JSON"),
        ("hang", r"no answer within 0\.1 s|did not answer in time"),
    ],
)
async def test_a_server_that_never_answers_stops_the_run(engine: Open, server: Loopback, fault: str, told: str) -> None:
    server.plan.refuse = lambda call: fault
    async with engine(concurrency=4, timeout=0.1 if fault == "hang" else 9.0) as one:
        results = await asyncio.gather(*(one.complete(ask(n)) for n in range(40)), return_exceptions=True)
    # those whose turn had not come are refused without a call, so nobody waits for them
    assert {type(r) for r in results} == {ProviderError}
    assert {str(r) for r in results} == {str(results[0])}
    assert re.search(rf"({told}).*; nothing was answered in this run: check the server's log and ", str(results[0]))
    assert server.received <= 40 * (runner.COLD_RETRIES + 1)
    assert one.stats.errors["gave up"] == 0


async def test_one_answer_earns_a_server_patience(engine: Open, server: Loopback) -> None:
    async with engine() as one:
        await one.complete(ask(0))
        server.script(*["500"] * 7)
        await one.complete(ask(1))
    assert one.stats.retries == 7


async def test_throttling_is_an_answer_of_sorts(engine: Open, server: Loopback) -> None:
    server.script(*["429"] * 5, *["500"] * 3)
    async with engine() as one:
        await one.complete(ask(0))
    assert (one.stats.throttled, one.stats.retries) == (5, 8)


@pytest.mark.parametrize("status", [498, 503, 529])
async def test_overload_at_a_cold_start_ends_nothing_and_lowers_the_concurrency(
    engine: Open, server: Loopback, status: int
) -> None:
    busy = raw(status, {"error": {"type": "overloaded_error", "message": "Overloaded"}})
    server.script(*[busy] * 6)
    async with engine(concurrency=8) as one:
        await one.complete(ask(0))
        assert (one.stats.throttled, one.stats.retries) == (6, 6)
        server.script(*[busy] * 3)
        await one.complete(ask(1))
        assert one._limits.allowed < 5
        assert one._limits._learnt is None


async def test_the_last_row_missing_may_fail_for_ever_and_the_others_are_given(engine: Open, server: Loopback) -> None:
    async with engine() as one:
        await asyncio.gather(*(one.complete(ask(n)) for n in range(5)))
    server.plan.refuse = lambda call: "500"
    async with engine() as two:
        results = await asyncio.gather(*(two.complete(ask(n)) for n in range(6)), return_exceptions=True)
    assert [type(r) for r in results] == [tuple] * 5 + [TransientError]
    assert (two.stats.retries, two.stats.errors["gave up"]) == (runner.COLD_RETRIES, 1)
