"""What failures add up to: all rows refused, a server that dies, time-outs, too few open files, throttling."""

from __future__ import annotations

import asyncio
import json
import os
import random
import re
import resource
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import WORDS, Call, Loopback, raw

from simfarm.backends import open_backend
from simfarm.data.exchange import CallError, Completion, Request, TransientError
from simfarm.engine import patience, runner
from simfarm.engine.descriptors import affordable
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store
from simfarm.errors import BudgetError, ProviderError
from simfarm.runs.stream import in_order

ROOT = Path(__file__).parents[1]
Open = Callable[..., Engine]


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture
def told() -> list[tuple[str, str]]:
    return []


@pytest.fixture
def engine(server: Loopback, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch) -> Open:
    monkeypatch.setattr(runner, "FIRST_WAIT", 0.002)
    monkeypatch.setattr(runner, "LONGEST_WAIT", 0.02)
    monkeypatch.setattr(patience, "FIRST_KNOCK", 0.05)

    def opened(url: str = "", **options: Any) -> Engine:
        backend, _ = open_backend("openai/judge-1", base_url=f"{url or server.url}/v1")
        return Engine(backend, tell=lambda kind, line: told.append((kind, line)), **options)

    return opened


def ask(number: int) -> Request:
    return Request("judge-1", ({"role": "user", "content": f"pair {number}"},), {"max_tokens": 1})


async def answers(one: Engine, numbers: range) -> list[Any]:
    return await asyncio.gather(*(one.complete(ask(n)) for n in numbers), return_exceptions=True)


def number(call: Call) -> int:
    return int(call.prompt.split()[1])


async def test_a_run_whose_rows_are_all_refused_alike_stops_after_a_few(engine: Open, server: Loopback) -> None:
    server.plan.refuse = lambda call: "400:this server serves tiny-llama"
    async with engine(concurrency=4) as one:
        results = await answers(one, range(200))
    assert [r for r in results if type(r) not in (CallError, ProviderError)] == []
    assert sum(type(r) is CallError for r in results) < patience.SAME_REFUSALS
    assert server.received <= patience.SAME_REFUSALS + 4
    assert str(results[-1]).startswith("openai answered 400: this server serves tiny-llama; nothing was answered, and ")
    assert "check --model and --base-url" in str(results[-1])


async def test_a_refusal_does_not_outrun_answers_under_way(engine: Open, server: Loopback) -> None:
    server.plan.latency = 0.2
    server.plan.refuse = lambda call: "400:too long" if number(call) < 10 else None
    async with engine(concurrency=16) as one:
        results = await answers(one, range(40))
    assert [type(r) for r in results] == [CallError] * 10 + [tuple] * 30


async def test_refusals_in_different_words_stop_nothing(engine: Open, server: Loopback) -> None:
    server.plan.refuse = lambda call: f"400:row {number(call)} is too long"
    async with engine(concurrency=4) as one:
        assert {type(r) for r in await answers(one, range(30))} == {CallError}


async def test_the_number_of_a_request_makes_no_other_words(engine: Open, server: Loopback) -> None:
    server.plan.refuse = lambda call: f"400:no such thing here (request id: {call.hash[:8]}-{server.received:04d})"
    async with engine(concurrency=4) as one:
        results = await answers(one, range(200))
    assert server.received <= patience.SAME_REFUSALS + 4
    assert "nothing was answered" in str(results[-1])


@pytest.mark.parametrize("code", ["content_filter", "context_length_exceeded"])
async def test_a_row_that_is_refused_for_what_it_says_tells_nothing_of_others(
    engine: Open, server: Loopback, monkeypatch: pytest.MonkeyPatch, code: str
) -> None:
    monkeypatch.setitem(WORDS, "400", ("Refused", code, None))
    server.plan.refuse = lambda call: "400" if number(call) < 30 else None
    async with engine(concurrency=4) as one:
        results = await answers(one, range(40))
    assert [type(r) for r in results] == [CallError] * 30 + [tuple] * 10


async def test_the_rows_that_an_earlier_run_left_may_all_be_refused(
    engine: Open, server: Loopback, tmp_path: Path
) -> None:
    server.plan.refuse = lambda call: "400:too long" if number(call) >= 10 else None
    store = Store(tmp_path / "s.sqlite")
    for _ in range(2):
        async with engine(store=store) as one:
            results = await answers(one, range(30))
        assert [type(r) for r in results] == [tuple] * 10 + [CallError] * 20
    store.close()


async def test_a_server_that_dies_ends_the_run_with_one_line(
    engine: Open, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "OUTAGE", 0.5)
    with Loopback() as mortal:
        one = engine(mortal.url, concurrency=8)
        await answers(one, range(20))
    results = await answers(one, range(20, 1000))
    await one.__aexit__(None, None, None)
    assert {type(r) for r in results} == {ProviderError}
    (line,) = {str(r) for r in results}
    there = f"cannot connect to {mortal.url}/…: nothing listens there (connection refused)"
    assert line.startswith(f"{there}; nothing was answered for 0.5 s: ")
    assert "run the same command again" in line
    assert one.stats.retries < 60
    ((kind, said),) = told
    assert kind == "note"
    assert "all calls wait, one tries again" in said


async def test_a_server_that_comes_back_is_asked_on(engine: Open, told: list[tuple[str, str]]) -> None:
    with Loopback() as first:
        one = engine(first.url, concurrency=8)
        await answers(one, range(20))
    running = asyncio.ensure_future(answers(one, range(20, 200)))
    while not told:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    with Loopback(port=first.port) as second:
        results = await running
    await one.__aexit__(None, None, None)
    assert {type(r) for r in results} == {tuple}
    assert set(second.asked.values()) == {1}
    assert [line for _, line in told][-1] == "the server answers again"
    assert one._limits.active == 0


GATEWAY = raw(502, "<html><h1>502 Bad Gateway</h1></html>")
OVERLOADED = raw(529, {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}})


@pytest.mark.parametrize(
    "gone",
    [
        ("drop", "dropped the connection"),
        (GATEWAY, "openai answered 502"),
        (OVERLOADED, "openai answered 529: Overloaded"),
        ("hang", "no answer within 0.6 s: lower --concurrency or raise --timeout"),
    ],
    ids=["drop", "gateway", "overload", "hang"],
)
async def test_a_server_that_answers_nobody_any_more_ends_the_run(
    engine: Open, server: Loopback, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, gone: tuple[str, str]
) -> None:
    fault, said = gone
    monkeypatch.setattr(patience, "OUTAGE", 0.5)
    monkeypatch.setattr(patience, "QUIET", 0.1)
    monkeypatch.setattr(patience, "REMIND", 0.2)
    async with engine(concurrency=8, timeout=0.6 if fault == "hang" else 9.0) as one:
        await answers(one, range(20))
        server.plan.refuse = lambda call: fault
        results = await answers(one, range(20, 1000))
    (line,) = {str(r) for r in results}
    assert {type(r) for r in results} == {ProviderError}
    assert f"{said}; nothing was answered for 0.5 s: run the same command again" in line
    assert one.stats.retries < 120
    assert server.received < 200
    kinds, lines = zip(*[t for t in told if t[0] == "note"], strict=True)
    assert f"{said}; all calls wait, one tries again" in lines[0]
    assert re.match(r"nothing answered for \d+ s, one call tries again", lines[1])
    assert len(kinds) <= 6
    assert one._limits.active == 0


@pytest.mark.parametrize("fault", ["drop", GATEWAY, OVERLOADED, "hang"], ids=["drop", "gateway", "overload", "hang"])
async def test_a_server_that_answers_again_within_the_time_loses_no_row(
    engine: Open, server: Loopback, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    monkeypatch.setattr(patience, "QUIET", 0.1)
    async with engine(concurrency=8, timeout=2.5 if fault == "hang" else 9.0) as one:
        await answers(one, range(20))
        server.plan.refuse = lambda call: fault
        running = asyncio.ensure_future(answers(one, range(20, 300)))
        while "note" not in {kind for kind, _ in told}:
            await asyncio.sleep(0.01)
        server.plan.refuse = lambda call: None
        results = await running
    assert {type(r) for r in results} == {tuple}
    assert [line for kind, line in told if kind == "note"][-1] == "the server answers again"
    assert one.stats.asked == server.answered == 300, "no row is lost and none is paid twice"


async def test_one_answer_to_another_call_ends_the_waiting(
    engine: Open, server: Loopback, monkeypatch: pytest.MonkeyPatch, told: list[tuple[str, str]]
) -> None:
    monkeypatch.setattr(patience, "FIRST_KNOCK", 60.0)
    dropped: set[int] = set()

    def refuse(call: Call) -> str | None:
        server.plan.latency = 0.5 if number(call) == 99 else 0.0
        new = number(call) < 30 and number(call) not in dropped
        dropped.update({number(call)} if new else ())
        return "drop" if new else None

    async with engine(concurrency=64) as one:
        await one.complete(ask(100))
        server.plan.refuse = refuse
        async with asyncio.timeout(20):
            results = await answers(one, range(100))
    assert {type(r) for r in results} == {tuple}
    assert told == [], "it was over before it was said"


async def test_an_answer_ends_the_waiting_though_the_one_that_knocks_still_waits(
    engine: Open, server: Loopback, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "FIRST_WAIT", 0.5)
    monkeypatch.setattr(runner, "LONGEST_WAIT", 0.5)
    met: list[int] = []

    def refuse(call: Call) -> str | None:
        server.plan.latency = 0.8 if number(call) == 99 else 0.0
        again = number(call) in met
        met.append(number(call))
        if number(call) < 30 and not again:
            return "drop"
        return "hang" if again and "knocked" not in state and not state.add("knocked") else None

    state: set[str] = set()
    async with engine(concurrency=64, timeout=6.0) as one:
        await one.complete(ask(100))
        server.plan.refuse = refuse
        rows = [asyncio.ensure_future(one.complete(ask(n))) for n in (*range(30), 99)]
        _, left = await asyncio.wait(rows, timeout=4)
        assert len(left) <= 1, "all but the one that knocked"
        await asyncio.gather(*rows)


async def test_to_be_asked_too_fast_is_a_sign_of_life(
    engine: Open, server: Loopback, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "QUIET", 0.0)
    server.script(None, *[OVERLOADED, OVERLOADED, OVERLOADED, "429"] * 2)
    async with engine(concurrency=1, rpm=60_000) as one:
        await one.complete(ask(0))
        await one.complete(ask(1))
    assert [line for kind, line in told if kind == "note"] == []


async def test_an_account_that_is_throttled_for_long_has_no_dead_server(
    engine: Open, server: Loopback, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "OUTAGE", 0.1)
    monkeypatch.setattr(patience, "QUIET", 0.0)
    server.script(None, *["429"] * 60)
    async with engine(concurrency=30, rpm=60_000) as one:
        await one.complete(ask(0))
        results = await answers(one, range(1, 31))
    assert {type(r) for r in results} == {tuple}
    assert [line for kind, line in told if kind == "note"] == []


async def test_a_few_rows_that_a_server_fails_on_are_theirs_alone(
    engine: Open, server: Loopback, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "OUTAGE", 0.2)
    server.plan.refuse = lambda call: GATEWAY if number(call) % 10 == 0 else None
    async with engine(concurrency=64) as one:
        results = await answers(one, range(100))
    assert [n for n, r in enumerate(results) if type(r) is TransientError] == list(range(0, 100, 10))
    assert told == []


async def test_many_rows_that_a_server_fails_on_are_given_by_the_next_run(
    engine: Open, server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "OUTAGE", 0.2)
    server.plan.refuse = lambda call: GATEWAY if number(call) < 20 else None
    store = Store(tmp_path / "s.sqlite")
    async with engine(store=store) as one:
        first = await answers(one, range(40))
    assert ProviderError in {type(r) for r in first}, "they cannot be told from a server that has died"
    async with engine(store=store) as two:
        second = await answers(two, range(40))
    assert [type(r) for r in second] == [TransientError] * 20 + [tuple] * 20
    assert server.answered == 20
    store.close()


async def test_a_next_run_does_not_wait_for_each_row_of_a_server_that_hangs(
    engine: Open, server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "OUTAGE", 0.2)
    store = Store(tmp_path / "s.sqlite")
    async with engine(store=store) as one:
        await answers(one, range(5))
    server.plan.refuse = lambda call: "hang"
    before = server.received
    async with engine(store=store, concurrency=32, timeout=0.2) as two:
        results = await answers(two, range(500))
    assert [type(r) for r in results] == [tuple] * 5 + [ProviderError] * 495
    assert server.received - before < 100
    store.close()


async def test_time_outs_shrink_the_concurrency_and_name_the_options(engine: Open, server: Loopback) -> None:
    server.script(None, *["hang"] * 8)
    async with engine(concurrency=8, timeout=0.3, retries=0) as one:
        await one.complete(ask(0))
        results = await answers(one, range(1, 9))
        assert one._limits.allowed == pytest.approx(4, abs=0.1), "halved, once for all that ran"
    assert {type(r) for r in results} == {TransientError}
    assert "lower --concurrency or raise --timeout" in str(results[0])


async def test_a_server_that_works_one_by_one_is_not_buried(engine: Open, server: Loopback) -> None:
    """Each answer takes the longer the more are asked at once, as with a model that runs on one processor."""
    busy = [0]

    def slow(call: Call) -> None:
        busy[0] = server.running
        server.plan.latency = 0.03 * server.running

    server.plan.refuse = slow  # type: ignore[assignment]
    async with engine(concurrency=64, timeout=0.5) as one:
        results = await answers(one, range(100))
    assert {type(r) for r in results} == {tuple}
    assert one.stats.retries < 150


async def test_a_throttled_run_says_that_it_waits(
    engine: Open, server: Loopback, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "SAID_AFTER", 0.1)
    monkeypatch.setattr(patience, "SAID_EVERY", 0.2)
    async with engine(concurrency=6) as one:
        await one.complete(ask(99))
        server.script(*["429-after:1.4"] * 6)
        await answers(one, range(6))
        await asyncio.sleep(0.5)
    kinds, lines = zip(*told, strict=True)
    assert set(kinds) == {"waiting"}
    assert lines[0] == "6 throttled, waiting 1 s"
    assert lines[-1] == ""


def test_what_passes_stands_beside_the_count_and_notes_are_lines(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from simfarm.cli.progress import progress

    times = iter([0.0, 30.0, 61.0, 62.0, 63.0, 64.0])
    with progress("judge", 10, lambda: next(times)) as bar:
        bar.tell("waiting", "36 throttled, waiting 12 s")
        bar.tell("waiting", "36 throttled, waiting 11 s")
        bar.tell("note", "28 calls at a time, not 256")
        bar.tell("waiting", "")
        assert bar.beside() == ""
    err = capfd.readouterr().err.splitlines()
    assert err == ["judge: 0 of 10 · 36 throttled, waiting 11 s", "note: 28 calls at a time, not 256"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
def test_few_open_files_lower_the_concurrency_and_it_is_said(server: Loopback, tmp_path: Path) -> None:
    pair = {"output_1": "a", "output_2": "b", "generator_1": "x", "generator_2": "y"}
    (tmp_path / "pairs.json").write_text(json.dumps([pair | {"instruction": f"Q{n}?"} for n in range(300)]))
    server.plan.latency = 0.05
    command = f"ulimit -n 64; exec {sys.executable} -m simfarm annotate {tmp_path}/pairs.json --judge pairwise-logprob "
    command += f"--model openai/m --order hashed --concurrency 256 --base-url {server.url}/v1 -o {tmp_path}/made.jsonl"
    done = subprocess.run(
        ["bash", "-c", command],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=False,
        env=os.environ | {"OPENAI_API_KEY": "k"},
    )
    assert done.returncode == 0, done.stderr
    assert server.received == 300
    assert "retries" not in done.stderr
    assert "calls at a time, not 256: a process may open 64 files (ulimit -n)" in done.stderr
    assert 8 < server.most_running < 64


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such limits")
async def test_running_out_of_files_is_learnt_from(
    engine: Open, told: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "affordable", lambda calls: (calls, 0))
    alone = subprocess.Popen(
        [sys.executable, ROOT / "tests" / "loopback.py", "--latency-ms", "30"], stdout=subprocess.PIPE, text=True
    )
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        assert alone.stdout is not None
        url = alone.stdout.readline().strip().removesuffix("/v1")
        async with engine(url, concurrency=100) as one:
            await one.complete(ask(0))
            resource.setrlimit(resource.RLIMIT_NOFILE, (len(os.listdir("/dev/fd")) + 30, hard))
            results = await answers(one, range(1, 300))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        alone.kill()
        alone.communicate()
    assert {type(r) for r in results} == {tuple}
    assert one._limits.most <= 50
    assert 1 <= len(told) <= 4
    assert "(ulimit -n): " in told[0][1]


def test_the_soft_limit_is_raised_as_far_as_it_may_be() -> None:
    code = """
import resource
from simfarm.engine.descriptors import affordable
_, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 512))
print(affordable(8), affordable(256), resource.getrlimit(resource.RLIMIT_NOFILE)[0] < 512, affordable(5000)[0] < 512)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert done.stdout.split() == ["(8,", "0)", "(256,", *done.stdout.split()[3:4], "True", "True"]
    assert affordable(1)[0] == 1


class Stub:
    """A backend whose answers and failures are listed."""

    name, base_url, in_process, concurrency = "stub", None, False, 4

    def __init__(self, *results: Completion | Exception) -> None:
        self.results = list(results)

    def check(self, model: str, sampling: object) -> None: ...

    def most_tokens(self, request: Request) -> int | None:
        limit: int | None = request.sampling.get("max_tokens")
        return limit

    async def complete(self, request: Request) -> Completion:
        result = self.results.pop(0) if len(self.results) > 1 else self.results[0]
        if isinstance(result, Exception):
            raise result
        return result

    async def close(self) -> None: ...


async def test_waits_double_up_to_the_longest_and_are_drawn_at_random(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []
    real = asyncio.sleep

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        await real(0)

    monkeypatch.setattr("simfarm.engine.runner.asyncio.sleep", sleep)
    every = []
    for seed in range(20):
        slept.clear()
        failing = Stub(Completion("m"), *[TransientError("500")] * 8, Completion("m"))
        async with Engine(failing) as one:
            one._random = random.Random(seed)
            await one.complete(ask(0))
            await one.complete(ask(1))
        every.append(list(slept))
    for place, longest in enumerate((0.5, 1, 2, 4, 8, 16, 32, 60)):
        waits = [waits[place] for waits in every]
        assert min(waits) >= longest / 2
        assert max(waits) <= longest
        # a uniform draw from the upper half: twenty of them lie on both sides of its middle
        assert min(waits) < 0.7 * longest
        assert max(waits) > 0.8 * longest


async def test_no_more_than_the_window_is_begun_ahead_of_the_first_unfinished() -> None:
    begun: list[int] = []
    first = asyncio.Event()

    async def work(number: int) -> int:
        begun.append(number)
        if number == 0:
            await first.wait()
        return number

    made = in_order((work(n) for n in range(100)), window=7)
    head = asyncio.ensure_future(anext(made))
    for _ in range(50):
        await asyncio.sleep(0)
    assert begun == list(range(7))
    first.set()
    assert [await head] + [n async for n in made] == list(range(100))


async def test_an_answer_of_unknown_price_counts_as_the_most_it_could_cost() -> None:
    """The budget is a promise: an answer without usage must not be free of it."""
    request = Request("m", ({"role": "user", "content": "?"},), {"max_tokens": 100})
    async with Engine(Stub(Completion("m", model="m")), budget=1.0, price=(0.0, 2500.0)) as one:
        for _ in range(4):
            await one.complete(request)
        with pytest.raises(BudgetError, match=r"\$1 "):
            await one.complete(request)
    assert (one.stats.asked, one.stats.unpriced, one.stats.cost) == (4, 4, 0.0)
    assert one._budget is not None
    assert one._budget.spent == pytest.approx(1.0)
    assert one.stats.money() == "unknown price"
