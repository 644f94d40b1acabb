"""The store: what is kept, under which name, and what a broken or foreign file is told."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from simfarm.data.exchange import Completion, Judged, Request, TokenLogprob
from simfarm.data.records import Comparison
from simfarm.engine.store import Store, default_store_path, request_key
from simfarm.errors import InputError, SimfarmError
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.asking import request_for
from simfarm.runs.options import JudgeOptions, RunOptions

ANSWER = Completion(
    "m",
    (TokenLogprob("m", -0.25, {"m": -0.25, "M": -1.5, "\u00e9": -9.0}),),
    "stop",
    input_tokens=12,
    output_tokens=1,
    model="judge-1",
    seconds=0.05,
)


def ask(text: str = "which?", **changes: object) -> Request:
    fields: dict[str, object] = {"model": "judge-1", "sampling": {"temperature": 0, "max_tokens": 1}}
    return Request(messages=({"role": "user", "content": text},), **(fields | changes))  # type: ignore[arg-type]


def key(number: int) -> bytes:
    return request_key("openai", None, ask(str(number)))


async def test_what_is_put_is_there_for_another_process(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "store.sqlite"
    store = Store(path)
    await store.put(key(1), ANSWER)
    # committed before `put` returned: a reader that shares nothing with this store sees it
    code = (
        "import sys; from simfarm.engine.store import Store; "
        "print(Store(sys.argv[1]).get(bytes.fromhex(sys.argv[2])).to_json())"
    )
    told = subprocess.run(
        [sys.executable, "-c", code, path, key(1).hex()], capture_output=True, text=True, check=True
    ).stdout
    assert told.strip() == str(ANSWER.to_json())
    assert store.get(key(1)) == ANSWER
    assert store.get(key(2)) is None
    store.close()


async def test_many_at_once_and_the_first_answer_stays(tmp_path: Path) -> None:
    store, other = Store(tmp_path / "s.sqlite"), Store(tmp_path / "s.sqlite")
    await asyncio.gather(*(store.put(key(n), Completion(f"first {n}")) for n in range(1200)))
    await asyncio.gather(*(other.put(key(n), Completion("second")) for n in range(1200, 1210)))
    await other.put(key(7), Completion("second"))
    found = [store.get(key(n)) for n in range(1500)]
    assert [f.text for f in found if f] == [f"first {n}" for n in range(1200)] + ["second"] * 10
    store.close()
    other.close()


async def test_queued_answers_are_written_on_close(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    tasks = [asyncio.ensure_future(store.put(key(n), ANSWER)) for n in range(50)]
    await asyncio.sleep(0)
    for task in tasks:
        task.cancel()
    store.close()
    await asyncio.gather(*tasks, return_exceptions=True)
    again = Store(tmp_path / "s.sqlite")
    assert all(again.get(key(n)) == ANSWER for n in range(50))
    again.close()


async def test_neither_prompt_nor_key_is_on_disk_and_only_the_user_may_read_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    store = Store(tmp_path / "s.sqlite")
    await store.put(request_key("openai", "https://me:hunter2@host/v1", ask("the badger")), ANSWER)
    for path in tmp_path.iterdir():
        assert stat.S_IMODE(path.stat().st_mode) == 0o600, path.name
        content = path.read_bytes()
        assert not any(word in content for word in (b"badger", b"sk-very-secret", b"hunter2"))
    store.close()


def test_a_letter_judge_asks_a_server_what_it_always_asked(tmp_path: Path) -> None:
    """What engines in this process are held to is not asked of servers: stores and annotations of earlier versions
    are still theirs."""
    session = AnnotationRun.open(
        JudgeOptions("pairwise-letter", model="openai/m"),
        RunOptions(base_url="http://127.0.0.1:1/v1", store=tmp_path / "s"),
    )
    (call, _) = session.calls([Comparison("Why?", "One.", "Two.", "a", "b")])
    request = request_for(call)
    assert session.judge.hash == "49f00c0f3471b8f0"
    named = request_key("openai", "http://127.0.0.1:1/v1", request).hex()
    assert named == "68648768aa786f2133e2851020ae1e9c26aef33363b09fbd73fd21b98fbb97a7"


def test_the_key_changes_with_everything_that_could_change_the_answer() -> None:
    same = request_key("openai", "https://host/v1", ask())
    assert same == request_key("openai", "https://host/v1/", ask())
    assert same == request_key("openai", "https://me:pw@host/v1", ask())
    assert same == request_key("openai", "https://host/v1", ask(sampling={"max_tokens": 1, "temperature": 0}))
    assert same == request_key("openai", "https://host/v1", ask(judged=Judged("i", "a", "b")))
    others = [
        request_key("anthropic", "https://host/v1", ask()),
        request_key("openai", "https://other/v1", ask()),
        request_key("openai", None, ask()),
        request_key("openai", "https://host/v1", ask("Which?")),
        request_key("openai", "https://host/v1", ask(model="judge-2")),
        request_key("openai", "https://host/v1", ask(sampling={"temperature": 0})),
        request_key("openai", "https://host/v1", ask(sample=1)),
        request_key("openai", "https://host/v1", ask(attempt=1)),
        request_key("openai", "https://host/v1", Request("judge-1", ({"role": "system", "content": "which?"},), {})),
    ]
    assert len({same, *others}) == len(others) + 1


def test_the_key_is_the_same_on_every_machine() -> None:
    # a change here makes every user's store forget what it holds
    made = request_key("openai", None, ask("caf\u00e9", sampling={"temperature": 0.5, "logprobs": 5}))
    assert made.hex() == "7355bb0f5b09769d69a8756a5321e7bb71e5ea5102e95cf0fd7afd283461c264"


@pytest.mark.parametrize(
    "content", [b"not a database at all, but long enough to look at" * 20, b"SQLite format 3\0" * 99]
)
def test_a_file_that_is_no_database(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "s.sqlite"
    path.write_bytes(content)
    with pytest.raises(InputError, match="cannot be used as a store"):
        Store(path)
    assert path.read_bytes() == content


def test_someone_elses_database(tmp_path: Path) -> None:
    path = tmp_path / "s.sqlite"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE completions (mine TEXT)")
    with pytest.raises(InputError, match="no simfarm store"):
        Store(path)


def test_a_folder_or_a_place_that_cannot_be(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be opened"):
        Store(tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot be opened"):
        Store(tmp_path / "file" / "s.sqlite")


async def test_a_disk_that_fills_up_is_told(tmp_path: Path) -> None:
    store = Store(tmp_path / "s.sqlite")
    await store.put(key(1), ANSWER)
    with sqlite3.connect(tmp_path / "s.sqlite") as other:
        other.execute("DROP TABLE completions")
    other.close()
    with pytest.raises(SimfarmError, match="cannot be written"):
        await store.put(key(2), ANSWER)
    store.close()


def test_where_the_store_is(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SIMFARM_STORE", str(tmp_path / "mine.sqlite"))
    assert default_store_path() == tmp_path / "mine.sqlite"
    monkeypatch.delenv("SIMFARM_STORE")
    monkeypatch.setattr(sys, "platform", "linux")
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert default_store_path() == tmp_path / "simfarm" / "simfarm.sqlite"


def test_completions_survive_json() -> None:
    assert Completion.from_json(json.loads(json.dumps(ANSWER.to_json()))) == ANSWER


DAMAGED = [
    '{"text": "m',
    "null",
    "[]",
    "3",
    '{"txt": "m"}',
    '{"text": null}',
    '{"text": ["m"]}',
    "[" * 100_000,
    b"\xff",
]


@pytest.mark.parametrize("damaged", DAMAGED, ids=range(len(DAMAGED)))
async def test_a_damaged_row_counts_as_none_and_the_next_answer_takes_its_place(
    tmp_path: Path, damaged: str | bytes
) -> None:
    store = Store(tmp_path / "s.sqlite")
    await store.put(key(1), ANSWER)
    await store.put(key(2), ANSWER)
    with sqlite3.connect(tmp_path / "s.sqlite") as other:
        other.execute("UPDATE completions SET completion = ? WHERE key = ?", (damaged, key(1)))
    other.close()
    assert store.get(key(1)) is None
    assert store.get(key(2)) == ANSWER
    assert store.damaged == {key(1)}
    await store.put(key(1), ANSWER)
    store.close()
    again = Store(tmp_path / "s.sqlite")
    assert again.get(key(1)) == ANSWER
    assert again.damaged == set()
    again.close()


@pytest.mark.parametrize(
    ("row", "read"),
    [
        ('{"text": "m", "logprobs": [1]}', Completion("m", ())),
        ('{"text": "m", "logprobs": 7}', Completion("m", ())),
        ('{"text": "m", "logprobs": [{"token": "m", "logprob": 5.0, "top": {}}]}', Completion("m", ())),
        ('{"text": "m", "logprobs": [{"token": "m", "logprob": 0, "top": {"m": NaN}}]}', Completion("m", ())),
        ('{"text": "m", "input_tokens": -3, "output_tokens": 1e999, "seconds": NaN}', Completion("m")),
        ('{"text": "m", "input_tokens": true, "output_tokens": "7", "model": 3, "later": 1}', Completion("m")),
    ],
)
async def test_a_stored_answer_is_read_as_suspiciously_as_a_fresh_one(
    tmp_path: Path, row: str, read: Completion
) -> None:
    store = Store(tmp_path / "s.sqlite")
    await store.put(key(1), ANSWER)
    with sqlite3.connect(tmp_path / "s.sqlite") as other:
        other.execute("UPDATE completions SET completion = ?", (row,))
    other.close()
    assert store.get(key(1)) == read
    assert store.damaged == set()
    store.close()
