"""What an answer says of its tokens is read as its provider means it, and costs what its provider's own page says.

The pages are named in `tests/billing.py`, one beside each bill.
"""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from billing import BILLS, Bill, claude, openai
from loopback import Loopback

from simfarm.backends import open_backend
from simfarm.backends.http.answers import usage_fields
from simfarm.data.exchange import COUNTS, Completion, Request
from simfarm.engine import prices
from simfarm.engine.prices import Tariff, at_most, price
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store

ASKED: dict[str, Any] = {"messages": ({"role": "user", "content": "one or two?"},)}
OFF_PEAK, PEAK = (datetime(2026, 11, 26, hour, 20, tzinfo=UTC) for hour in (19, 2))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> dict[str, datetime]:
    """The moment that prices are asked for: DeepSeek's are half in some hours."""
    at = {"now": OFF_PEAK}

    class Clock(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Clock:
            return cls.fromtimestamp(at["now"].timestamp(), tz)

    monkeypatch.setattr(prices, "datetime", Clock)
    return at


def body(usage: Any, model: str = "judge-1") -> str:
    """An answer that either wire can read."""
    choice = {"message": {"role": "assistant", "content": "m"}, "finish_reason": "stop"}
    text = {"type": "text", "text": "m"}
    return "json:" + json.dumps({"model": model, "choices": [choice], "content": [text], "usage": usage})


async def answered(backend: str, usage: Any, model: str = "judge-1") -> Completion:
    """An answer with this usage, read by the backend that would have asked for it."""
    with Loopback() as server:
        server.script(body(usage, model))
        asked, _ = open_backend(
            f"{backend}/{model}", base_url=f"{server.url}/v1" if backend == "openai" else server.url
        )
        try:
            return await asked.complete(Request(model, **ASKED))
        finally:
            await asked.close()


def test_an_upper_bound_is_never_shown_below_itself() -> None:
    assert [at_most(x) for x in (0, 0.00001, 0.0123, 0.99999, 1, 1.001)] == [
        "$0.0000",
        "$0.0001",
        "$0.0123",
        "$1.0000",
        "$1.00",
        "$1.01",
    ]


@pytest.mark.parametrize("bill", BILLS, ids=lambda bill: f"{bill.model}, {bill.name}")
async def test_an_answer_costs_what_its_providers_page_says(bill: Bill, clock: dict[str, datetime]) -> None:
    done = await answered(bill.backend, bill.usage, bill.model)
    tariff = Tariff(bill.backend, bill.base_url)
    assert tariff.paid(done) == pytest.approx(bill.dollars, rel=1e-6)
    assert tariff.paid(Completion.from_json(json.loads(json.dumps(done.to_json())))) == tariff.paid(done)


async def test_one_write_and_its_reads_cost_what_openai_says() -> None:
    """The guide's sums: a prefix written once and read once costs 1.35 times its plain price, with nine reads 2.15."""
    written = await answered("openai", openai(10_000, 0, written=10_000), "gpt-6-luna")
    read = await answered("openai", openai(10_000, 0, cached=10_000), "gpt-6-luna")
    first, later = (Tariff("openai", None).paid(done) or 0.0 for done in (written, read))
    plain = price("openai", "gpt-6-luna", 10_000, 0) or 0.0
    assert (first + later) / plain == pytest.approx(1.35)
    assert (first + 9 * later) / plain == pytest.approx(2.15)


async def test_a_price_that_changes_with_the_hour(clock: dict[str, datetime]) -> None:
    [bill] = [bill for bill in BILLS if bill.model == "deepseek-flash"]
    done = await answered("openai", bill.usage, bill.model)
    tariff = Tariff("openai", bill.base_url)
    cheap = tariff.paid(done)
    clock["now"] = PEAK
    assert tariff.paid(done) == pytest.approx(2 * (cheap or 0.0))


READ = {
    "openai": (openai(9, 3, cached=4, written=5, thought=2), (9, 3, 4, 5, None, 2)),
    "no details": ({"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}, (9, 3, None, None, None, None)),
    "details null": (
        {"prompt_tokens": 9, "completion_tokens": 3, "prompt_tokens_details": None, "completion_tokens_details": None},
        (9, 3, None, None, None, None),
    ),
    "no total": ({"prompt_tokens": 9, "completion_tokens": 3}, (9, 3, None, None, None, None)),
    "no completion_tokens": ({"prompt_tokens": 9, "total_tokens": 12}, (9, 3, None, None, None, None)),
    "a total below the sum": (openai(9, 3) | {"total_tokens": 5}, (9, 3, 0, 0, None, 0)),
    "deepseek": (
        {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "prompt_cache_hit_tokens": 4},
        (9, 3, 4, None, None, None),
    ),
    "moonshot": (
        {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "cached_tokens": 4},
        (9, 3, 4, None, None, None),
    ),
    "litellm": (
        {
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "total_tokens": 12,
            "prompt_tokens_details": {
                "cached_tokens": 4,
                "cache_creation_tokens": 5,
                "cache_creation_token_details": {"ephemeral_5m_input_tokens": 3, "ephemeral_1h_input_tokens": 2},
            },
            "cache_creation_input_tokens": 5,
            "cache_read_input_tokens": 4,
        },
        (9, 3, 4, 5, 2, None),
    ),
    "gemini": ({"prompt_tokens": 35, "completion_tokens": 12, "total_tokens": 109}, (35, 74, None, None, None, 62)),
    "grok": (openai(9, 3, thought=8) | {"total_tokens": 20}, (9, 11, 0, 0, None, 8)),
    "as much thought as cached": (openai(9, 3, cached=8, thought=8) | {"total_tokens": 20}, (9, 11, 8, 0, None, 8)),
    "thinking in neither sum": (openai(9, 3, thought=8), (9, 11, 0, 0, None, 8)),
    "databricks": (
        {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12, "reasoning_tokens": 2},
        (9, 3, None, None, None, 2),
    ),
    "a gateway that leaves Claude's cache out of the prompt": (
        {
            "prompt_tokens": 9,
            "completion_tokens": 3,
            "total_tokens": 32,
            "prompt_tokens_details": {"cached_tokens": 15},
            "cache_read_input_tokens": 15,
            "cache_creation_input_tokens": 5,
        },
        (29, 3, 15, 5, None, None),
    ),
    "more cached than asked": (openai(9, 3, cached=10), (9, 3, None, None, None, 0)),
    "cached and written more than asked": (openai(9, 3, cached=6, written=4), (9, 3, None, None, None, 0)),
    "a cached count that is none": (
        openai(9, 3) | {"prompt_tokens_details": {"cached_tokens": -1, "cache_write_tokens": "5"}},
        (9, 3, None, None, None, 0),
    ),
    "claude": (claude(9, 3, read=4, for_5m=5, for_1h=6, thought=2), (24, 3, 4, 11, 6, 2)),
    "claude, the split alone": (
        {"input_tokens": 9, "output_tokens": 3, "cache_creation": {"ephemeral_1h_input_tokens": 6}},
        (15, 3, None, 6, 6, None),
    ),
    "claude, a split larger than its sum": (
        claude(9, 3, for_5m=1, for_1h=6) | {"cache_creation_input_tokens": 2},
        (11, 3, 0, 2, None, 0),
    ),
    "claude, more thought than made": (claude(9, 3, thought=4), (9, 3, 0, 0, 0, None)),
    "a text": ("many", (None,) * 6),
    "parts without a whole": ({"prompt_tokens": None, "prompt_cache_hit_tokens": 4}, (None,) * 6),
}


@pytest.mark.parametrize("case", READ)
def test_the_shares_of_a_usage(case: str) -> None:
    usage, counts = READ[case]
    read = Completion("m", **usage_fields({"usage": usage}))
    names = (
        *("input_tokens", "output_tokens", "cached_tokens"),
        *("cache_written_tokens", "cache_written_1h_tokens", "thinking_tokens"),
    )
    assert tuple(getattr(read, name) for name in names) == counts
    assert set(names) == set(COUNTS)
    assert Completion.from_json(read.to_json()) == read


@pytest.mark.parametrize(
    ("usage", "cost"),
    [
        ({"cost": 0.5, "is_byok": False}, 0.5),
        ({"cost": 0, "cost_details": None, "is_byok": False}, 0.0),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": 0.25}}, 0.26),
        ({"cost": 0.01, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, None),
        ({"cost": 0.01, "is_byok": True}, None),
        ({"cost": 0.5}, None),
        ({"cost": {"total_cost": 0.5}, "is_byok": False}, None),
        ({"cost": -0.5, "is_byok": False}, None),
        ({"cost": float("nan"), "is_byok": False}, None),
        ({"cost": 1e30, "is_byok": False}, None),
        ({"cost": True, "is_byok": False}, None),
        ({"cost_in_usd_ticks": 10**10}, 1.0),
        ({"cost_in_usd_ticks": -1}, None),
        ({"cost_in_usd_ticks": "37756000"}, None),
    ],
)
def test_a_cost_that_the_provider_states(usage: dict[str, Any], cost: float | None) -> None:
    """Only where the unit is known: another server's `cost` may be in credits, cents or tokens."""
    assert usage_fields({"usage": {"prompt_tokens": 9, **usage}}).get("cost") == cost


async def test_the_users_own_price_is_two_numbers() -> None:
    """`--price IN,OUT` counts cached and written tokens at IN, and stands before what the provider states."""
    usage = openai(2600, 300, cached=2000, written=400) | {"cost": 9.0, "is_byok": False}
    done = await answered("openai", usage, "gpt-6-luna")
    assert Tariff("openai", None).paid(done) == 9.0
    assert Tariff("openai", None, (2.0, 8.0)).paid(done) == pytest.approx((2600 * 2 + 300 * 8) / 1e6)
    assert Tariff("openai", None, (2.0, 8.0)).most("gpt-6-luna", 2600, 300) == pytest.approx((2600 * 2 + 300 * 8) / 1e6)


def test_what_a_call_costs_at_most_has_the_cache_written_unasked() -> None:
    tariff = Tariff("openai", None)
    assert tariff.most("gpt-6-luna", 2000, 10) == pytest.approx((2000 * 0.125 + 10 * 0.5) / 1e6)
    assert tariff.most("gpt-6-luna", 1000, 10) == pytest.approx((1000 * 0.10 + 10 * 0.5) / 1e6)
    assert tariff.most("gpt-4.1", 2000, 10) == pytest.approx((2000 * 2.0 + 10 * 8.0) / 1e6)
    assert Tariff("anthropic", None).most("claude-opus-5", 2000, 10) == pytest.approx((2000 * 5 + 10 * 25) / 1e6)
    kept = Tariff("anthropic", None).most("claude-opus-5", 2000, 10, kept=1500)
    assert kept == pytest.approx((500 * 5 + 1500 * 6.25 + 10 * 25) / 1e6)
    assert tariff.most("no-such-model", 2000, 10) is None


async def test_a_stored_answer_has_the_price_of_the_fresh_one(tmp_path: Path) -> None:
    """Also one that an earlier simfarm stored, which knew no shares: it costs what it cost then."""
    bill = BILLS[0]
    with Loopback(refuse=lambda call: body(bill.usage, bill.model)) as server:
        store = Store(tmp_path / "s.sqlite")
        backend, name = open_backend(f"openai/{bill.model}", base_url=f"{server.url}/v1")
        async with Engine(backend, store) as engine:
            engine._tariff = Tariff("openai", None)
            fresh, known = await engine.complete(Request(name, **ASKED))
            again, stored = await engine.complete(Request(name, **ASKED))
            assert (known, stored, server.received) == (False, False, 1)
            assert engine.price_of(again) == engine.price_of(fresh) == pytest.approx(bill.dollars)
            assert engine.stats.cost == pytest.approx(bill.dollars)
        store.close()
    old = {name: fresh.to_json()[name] for name in ("text", "input_tokens", "output_tokens", "model")}
    plain = replace(fresh, cached_tokens=None, cache_written_tokens=None, thinking_tokens=None)
    read = Completion.from_json(old)
    assert Tariff("openai", None).paid(read) == Tariff("openai", None).paid(plain) == price("openai", name, 2600, 300)
