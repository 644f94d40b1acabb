"""What cannot be written: a dead writer, a locked file, a full disk. Asking stops, and what was paid for is kept."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from loopback import Loopback

from simfarm.backends import open_backend
from simfarm.data.exchange import Completion, Request, TokenLogprob
from simfarm.engine import store as store_module
from simfarm.engine import writer
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store, request_key
from simfarm.errors import InputError, SimfarmError
from simfarm.runs.stream import in_order

CONCURRENCY = 4


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(latency=0.005) as running:
        yield running


def ask(number: int) -> Request:
    return Request("judge-1", ({"role": "user", "content": f"pair {number}"},), {"max_tokens": 1})


def key(number: int) -> bytes:
    return request_key("openai", None, ask(number))


def kept(path: Path) -> int:
    with closing(sqlite3.connect(path)) as connection:
        count: int = connection.execute("SELECT count(*) FROM completions").fetchone()[0]
    return count


async def run(server: Loopback, store: Store, calls: int) -> list[str]:
    """The answers of a run over `calls` requests."""
    backend, _ = open_backend("openai/judge-1", base_url=f"{server.url}/v1")
    async with Engine(backend, store, concurrency=CONCURRENCY) as engine:

        async def one(number: int) -> str:
            completion, _ = await engine.complete(ask(number))
            return completion.text

        return [text async for text in in_order((one(n) for n in range(calls)), window=4 * CONCURRENCY)]


def lock(path: Path) -> sqlite3.Connection:
    """Another program at the store."""
    other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    other.execute("BEGIN EXCLUSIVE")
    return other


async def test_a_lock_is_waited_for_and_no_more_is_asked_than_was_in_flight(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "NOTICE", 0.0)
    store = Store(tmp_path / "s.sqlite")
    other = lock(store.path)
    answers = asyncio.ensure_future(run(server, store, 40))
    while server.answered < CONCURRENCY or "has kept it locked" not in caplog.text:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.3)
    assert (server.received, kept(store.path)) == (CONCURRENCY, 0)
    other.execute("COMMIT")
    assert len(await answers) == 40
    store.close()
    other.close()
    assert (server.received, kept(store.path)) == (40, 40)


async def test_a_lock_that_never_goes_ends_the_run_in_one_line(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 0.2)
    monkeypatch.setattr(writer, "LAST_PATIENCE", 0.2)
    store = Store(tmp_path / "s.sqlite")
    other = lock(store.path)
    with pytest.raises(SimfarmError, match=r"another program keeps it locked; .*run the same command again") as error:
        await asyncio.wait_for(run(server, store, 40), 60)
    assert (error.value.exit_code, "\n" in str(error.value)) == (1, False)
    assert server.received <= CONCURRENCY
    store.close()
    assert f"{server.received} answers could not be kept" in caplog.text
    other.close()


async def test_what_could_not_be_written_is_tried_again_at_the_end(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(writer, "PATIENCE", 0.2)
    store = Store(tmp_path / "s.sqlite")
    other = lock(store.path)
    with pytest.raises(SimfarmError, match="locked"):
        await asyncio.wait_for(run(server, store, 40), 60)
    threading.Timer(1.5, other.close).start()
    store.close()
    assert kept(store.path) == server.received == CONCURRENCY
    assert "could not be kept" not in caplog.text


async def test_a_full_disk_stops_the_asking_at_once(server: Loopback, tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    pages = store._writer._connection.execute("PRAGMA page_count").fetchone()[0]
    store._writer._connection.execute(f"PRAGMA max_page_count = {pages + 8}")
    with pytest.raises(SimfarmError, match=r"cannot be written \(database or disk is full\); free the disk"):
        await asyncio.wait_for(run(server, store, 600), 60)
    asked = server.received
    store.close()
    assert 0 < kept(store.path) < asked <= kept(store.path) + CONCURRENCY
    again = Store(store.path)
    assert len(await run(server, again, 600)) == 600
    again.close()
    assert server.received <= 600 + CONCURRENCY


async def test_a_writer_that_dies_is_told_to_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "s.sqlite")

    def dies(rows: object) -> None:
        raise MemoryError("no more")

    monkeypatch.setattr(store._writer, "_commit", dies)
    for _ in range(2):
        with pytest.raises(SimfarmError, match=r"its writer stopped .*no more"):
            await asyncio.wait_for(asyncio.gather(*(store.put(key(n), Completion("m")) for n in range(5))), 60)
    with pytest.raises(SimfarmError, match="its writer stopped"):
        await store.ready()
    store.close()


async def test_a_store_that_is_closed_says_so(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    store.close()
    with pytest.raises(SimfarmError, match="is closed"):
        await asyncio.wait_for(store.put(key(1), Completion("m")), 60)


def test_too_few_files_are_told_before_the_first_call(tmp_path: Path) -> None:
    code = (
        "import resource, sys; from simfarm.engine.store import Store\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), 4096))\n"
        "store = Store(sys.argv[1])"
    )
    for files in range(4, 14):
        command = [sys.executable, "-c", code, str(tmp_path / f"{files}.sqlite"), str(files)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        told = done.stderr.splitlines()
        assert done.returncode == 0 or told[-1].startswith("simfarm.errors.InputError"), done.stderr
    assert done.returncode == 0


@pytest.mark.parametrize(
    ("odd", "text"),
    [
        (Completion("half of a pair \ud800"), "half of a pair \ufffd"),
        (Completion("m", input_tokens=10**5000), "m"),
        (Completion("m", seconds=float("nan")), "m"),
        (Completion("m", (TokenLogprob("m", float("inf"), {"m": float("-inf")}),)), "m"),
        (Completion("m", model=b"\xff"), "m"),  # type: ignore[arg-type]
    ],
    ids=["surrogate", "huge", "nan", "infinite", "bytes"],
)
async def test_an_odd_answer_is_kept_all_the_same(tmp_path: Path, odd: Completion, text: str) -> None:
    store = Store(tmp_path / "s.sqlite")
    await asyncio.wait_for(store.put(key(1), odd), 60)
    found = store.get(key(1))
    store.close()
    assert found is not None
    assert found.text == text


def test_many_may_begin_a_store_at_once(tmp_path: Path) -> None:
    code = (
        "import sys, asyncio; from simfarm.engine.store import Store; from simfarm.data.exchange import Completion\n"
        "sys.stdin.read()\n"
        "store = Store('s.sqlite'); asyncio.run(store.put(sys.argv[1].encode(), Completion('m'))); store.close()"
    )
    command = [sys.executable, "-c", code]
    runs = [
        subprocess.Popen([*command, str(n)], stdin=subprocess.PIPE, stderr=subprocess.PIPE, cwd=tmp_path)
        for n in range(6)
    ]
    for one in runs:
        assert one.stdin is not None
        one.stdin.close()
    for one in runs:
        assert one.stderr is not None
        assert (one.stderr.read(), one.wait(60)) == (b"", 0)
        one.stderr.close()
    assert kept(tmp_path / "s.sqlite") == 6


def test_a_file_that_is_locked_is_told_before_the_first_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "OPENING", 0.1)
    other = lock(tmp_path / "s.sqlite")
    with pytest.raises(InputError, match=r"s\.sqlite: another program keeps it locked; end that"):
        Store(tmp_path / "s.sqlite")
    other.close()


@pytest.mark.parametrize(
    "change",
    ["PRAGMA user_version = 2", "ALTER TABLE completions ADD COLUMN judge TEXT NOT NULL DEFAULT ''"],
    ids=["version", "columns"],
)
def test_a_later_schema_is_refused_and_left_as_it_is(tmp_path: Path, change: str) -> None:
    Store(tmp_path / "s.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "s.sqlite")) as later:
        later.execute(change)
    before = (tmp_path / "s.sqlite").read_bytes()
    with pytest.raises(InputError, match=r"another version of simfarm .* upgrade simfarm, or name another") as error:
        Store(tmp_path / "s.sqlite")
    assert error.value.exit_code == 2
    assert (tmp_path / "s.sqlite").read_bytes() == before


async def test_a_store_of_the_first_simfarm_is_read_and_written(tmp_path: Path) -> None:
    with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as first:
        first.execute(f"PRAGMA application_id = {store_module.APPLICATION_ID}")
        first.execute("PRAGMA journal_mode = WAL")
        columns = "key BLOB PRIMARY KEY, completion TEXT NOT NULL, created REAL NOT NULL"
        first.execute(f"CREATE TABLE completions ({columns})")
        first.execute("INSERT INTO completions VALUES (?, ?, ?)", (key(1), '{"text":"m"}', 1.0))
    store = Store(tmp_path / "s.sqlite")
    await store.put(key(2), Completion("M"))
    found = [store.get(key(n)) for n in (1, 2)]
    store.close()
    assert [f.text for f in found if f] == ["m", "M"]


async def test_a_file_that_was_cut_short_is_told_before_the_first_call(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    await asyncio.gather(*(store.put(key(n), Completion("m" * 500)) for n in range(300)))
    store.close()
    whole = store.path.read_bytes()
    for share in (0.1, 0.5, 0.9):
        store.path.write_bytes(whole[: int(share * len(whole))])
        with pytest.raises(InputError, match=r"cannot be used as a store .*malformed"):
            Store(store.path)


def test_the_store_says_nothing_while_all_is_well(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG, "simfarm"):
        store = Store(tmp_path / "s.sqlite")
        asyncio.run(store.put(key(1), Completion("m")))
        store.close()
    assert caplog.records == []


@pytest.mark.parametrize("replaced", [False, True])
async def test_a_store_removed_under_a_run_stops_the_asking(tmp_path: Path, replaced: bool) -> None:
    store = Store(tmp_path / "s.sqlite")
    await store.put(key(1), Completion("m"))
    for path in tmp_path.glob("s.sqlite*"):
        path.unlink()
    if replaced:
        Store(tmp_path / "s.sqlite").close()
    with pytest.raises(SimfarmError, match="was removed or replaced while it was in use"):
        await asyncio.wait_for(store.put(key(2), Completion("m")), 60)
    with pytest.raises(SimfarmError, match="removed or replaced"):
        await store.ready()
    store.close()


def test_a_lock_is_told_before_the_first_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(store_module, "OPENING", 0.5)
    Store(tmp_path / "s.sqlite").close()
    with closing(sqlite3.connect(tmp_path / "s.sqlite", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(InputError, match="another program keeps it locked"):
            Store(tmp_path / "s.sqlite")
