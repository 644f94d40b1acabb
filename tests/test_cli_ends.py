"""Every way out of a command: a full disk, a locked store, a signal. It ends within seconds, and nothing is lost."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback

from simfarm.cli import main

CONCURRENCY = 8
ROWS = 3000
DEADLINE = 60.0
"""Seconds; a run that ends does so in one or two."""

HEEDS = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
"""Where the suite runs in a shell's background, Ctrl-C is ignored, and so in all that it starts."""

SIMFARM = HEEDS + "import sys; from simfarm.cli import main; sys.exit(main(sys.argv[1:]))"
PYTHON = f"""
{HEEDS}
import asyncio, sys
import simfarm

def call():
    simfarm.annotate("pairs.jsonl", judge="pairwise-reasoned", base_url=sys.argv[1], concurrency=8)

async def cell():
    call()

if sys.argv[2] == "notebook":
    # a loop that leaves Ctrl-C alone, as a notebook's does
    asyncio.new_event_loop().run_until_complete(cell())
else:
    call()
"""


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(latency=0.01) as running:
        yield running


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("OPENAI_API_KEY", "loopback")
    pair = {"generator_1": "a", "generator_2": "b"}
    outputs: dict[str, list[dict[str, Any]]] = {"a": [], "b": [], "pairs": []}
    for i in range(ROWS):
        row = {"instruction": f"Question {i}?"}
        outputs["pairs"].append(row | pair | {"output_1": f"One {i}.", "output_2": f"Two {i}!"})
        for name in "ab":
            outputs[name].append(row | {"output": f"By {name}, {i}.", "generator": name})
    outputs["samples"] = [row | {"sample": sample} for row in outputs["a"] for sample in range(2)]
    for name, rows in outputs.items():
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return tmp_path


def started(folder: Path, server: Loopback, *words: str, **options: Any) -> subprocess.Popen[str]:
    # by name, as most addresses are: the resolver's thread is what an event loop waits for at the end
    url = f"{server.url.replace('127.0.0.1', 'localhost')}/v1"
    command = [sys.executable, "-c", SIMFARM, *words, "--base-url", url, "--concurrency", str(CONCURRENCY)]
    return subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True, **options)


def ended(client: subprocess.Popen[str]) -> tuple[int, str]:
    """(exit status, stderr); fails where the process does not end."""
    try:
        told = client.communicate(timeout=DEADLINE)[1]
    finally:
        client.kill()
    return client.returncode, told


def answered(server: Loopback, count: int, client: subprocess.Popen[str]) -> None:
    """Waits until the server has given `count` answers."""
    while server.answered < count:
        assert client.poll() is None, client.communicate()
        time.sleep(0.005)


def kept(folder: Path) -> int:
    with closing(sqlite3.connect(folder / "store.sqlite")) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        count: int = connection.execute("SELECT count(*) FROM completions").fetchone()[0]
    return count


ANNOTATE = ("annotate", "pairs.jsonl", "--judge", "pairwise-reasoned")
GENERATE = ("generate", "a.jsonl", "--model", "openai/m")


@pytest.mark.parametrize("verb", [ANNOTATE, GENERATE], ids=["annotate", "generate"])
@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
def test_a_full_disk_ends_the_run(server: Loopback, folder: Path, verb: tuple[str, ...], debug: bool) -> None:
    (folder / "out.jsonl").symlink_to("/dev/full")
    status, told = ended(started(folder, server, *verb, "-o", "out.jsonl", *["--debug"] * debug))
    assert status == 1
    assert "cannot write out.jsonl (No space left on device); the answers are in the store" in told.splitlines()[-1]
    assert debug or len(told.splitlines()) == 1
    assert server.received < ROWS
    assert server.answered - CONCURRENCY <= kept(folder) <= server.received


@pytest.mark.parametrize("verb", [ANNOTATE, GENERATE], ids=["annotate", "generate"])
def test_a_full_standard_output_ends_the_run(server: Loopback, folder: Path, verb: tuple[str, ...]) -> None:
    with open("/dev/full", "w") as full:
        status, told = ended(started(folder, server, *verb, stdout=full))
    assert (status, len(told.splitlines())) == (1, 1)
    assert told.startswith("simfarm: cannot write to standard output (No space left on device)")
    assert server.received < ROWS


def test_a_reader_that_has_seen_enough_ends_the_run(server: Loopback, folder: Path) -> None:
    client = started(folder, server, *ANNOTATE, stdout=subprocess.PIPE)
    assert client.stdout is not None
    assert client.stdout.readline().startswith("{")
    client.stdout.close()
    client.stdout = None
    assert ended(client) == (0, "")
    assert server.received < 2 * ROWS


@pytest.mark.parametrize(
    "verb",
    [
        ("evaluate", "a.jsonl", "--baseline", "b.jsonl", "--judge", "pairwise-reasoned"),
        ("select", "samples.jsonl", "--method", "best-of-n", "--baseline", "b.jsonl", "--judge", "pairwise-reasoned"),
        ANNOTATE,
        GENERATE,
    ],
    ids=lambda words: words[0],
)
def test_ctrl_c_ends_the_run(server: Loopback, folder: Path, verb: tuple[str, ...]) -> None:
    client = started(folder, server, *verb, stdout=subprocess.DEVNULL)
    answered(server, 50, client)
    client.send_signal(signal.SIGINT)
    status, told = ended(client)
    assert (status, told.splitlines()[-1].startswith("simfarm: stopped; answers already given are kept")) == (130, True)
    assert server.received < ROWS
    assert server.received - CONCURRENCY <= kept(folder) <= server.received


@pytest.mark.parametrize("place", ["script", "notebook"])
@pytest.mark.parametrize("hangs", [False, True], ids=["", "hangs"])
def test_ctrl_c_ends_a_python_call(server: Loopback, folder: Path, place: str, hangs: bool) -> None:
    server.plan.refuse = lambda call: "hang" if hangs and server.received == 20 else None
    command = [sys.executable, "-c", PYTHON, f"{server.url.replace('127.0.0.1', 'localhost')}/v1", place]
    client = subprocess.Popen(command, cwd=folder, stderr=subprocess.PIPE, text=True)
    answered(server, 30, client)
    while hangs and server.running > 1:
        # until all that may be asked beside the one that hangs is answered
        time.sleep(0.005)
    client.send_signal(signal.SIGINT)
    status, told = ended(client)
    assert (status, told.splitlines()[-1]) == (-signal.SIGINT, "KeyboardInterrupt")
    assert server.received < ROWS
    assert server.received - CONCURRENCY <= kept(folder) <= server.received


def test_a_locked_store_is_said_and_ctrl_c_still_ends_the_run(server: Loopback, folder: Path) -> None:
    client = started(folder, server, *ANNOTATE, stdout=subprocess.DEVNULL)
    answered(server, 50, client)
    with closing(sqlite3.connect(folder / "store.sqlite", isolation_level=None, timeout=60)) as other:
        other.execute("BEGIN EXCLUSIVE")
        assert client.stderr is not None
        told = client.stderr.readline()
        assert told.startswith(f"warning: {folder}/store.sqlite: another program has kept it locked for")
        asked = server.received
        client.send_signal(signal.SIGINT)
        time.sleep(0.5)
        other.execute("COMMIT")
    assert ended(client)[0] == 130
    assert server.received == asked
    assert kept(folder) == server.received


def test_a_full_disk_under_the_store_ends_the_run(server: Loopback, folder: Path) -> None:
    """The limit on a file's size stands for the disk's."""
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, 400_000))\n" + SIMFARM
    command = [sys.executable, "-c", limited, *ANNOTATE, "--base-url", f"{server.url}/v1"]
    command += ["--concurrency", str(CONCURRENCY)]
    client = subprocess.Popen(
        command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env=dict(os.environ)
    )
    status, told = ended(client)
    assert status == 1
    assert "cannot be written (" in told.splitlines()[-1]
    assert "Traceback" not in told
    assert server.received - CONCURRENCY <= kept(folder) < server.received


@pytest.mark.parametrize("what", ["later", "garbage", "folder"])
def test_a_store_that_cannot_be_used_is_refused_before_the_first_call(
    server: Loopback, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], what: str
) -> None:
    monkeypatch.chdir(folder)
    store = folder / "store.sqlite"
    if what == "later":
        ended(started(folder, server, *ANNOTATE, "--limit", "1", stdout=subprocess.DEVNULL))
        with closing(sqlite3.connect(store)) as later:
            later.execute("PRAGMA user_version = 2")
    elif what == "garbage":
        store.write_bytes(b"no database" * 1000)
    else:
        store.mkdir()
    before = server.received
    for verb in (ANNOTATE, GENERATE):
        status = main([*verb, "-o", "out.jsonl", "--base-url", f"{server.url}/v1"])
        told = capsys.readouterr().err
        assert (status, len(told.splitlines())) == (2, 1), told
        assert "name another" in told
    assert server.received == before
    assert not list(folder.glob("*out*"))


def in_bash(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """Runs a line of shell, `$0` being this Python."""
    words = ["bash", "-c", command, sys.executable]
    return subprocess.run(words, check=False, cwd=folder, timeout=DEADLINE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("stderr", ["2>&-", "2>/dev/full", "2>&1 | true"], ids=["closed", "full", "unread"])
def test_remarks_that_nobody_can_read_cost_no_answers(folder: Path, stderr: str) -> None:
    command = f'set -o pipefail; "$0" -m simfarm annotate a.jsonl --baseline b.jsonl -o out.jsonl {stderr}'
    done = in_bash(command, folder)
    assert done.returncode == 0
    assert len((folder / "out.jsonl").read_text().splitlines()) == ROWS


@pytest.mark.parametrize("verb", ["annotate a.jsonl --baseline b.jsonl", "judges list"])
def test_an_answer_to_a_closed_standard_output_is_an_error(folder: Path, verb: str) -> None:
    command = f'"$0" -m simfarm {verb} >&-'
    done = in_bash(command, folder)
    assert done.returncode == 1
    assert "Bad file descriptor" in done.stderr.splitlines()[-1]


def test_a_closed_standard_input_is_empty(folder: Path) -> None:
    command = '"$0" -m simfarm evaluate - <&-'
    done = in_bash(command, folder)
    assert (done.returncode, done.stderr.count("\n")) == (2, 1)
    assert "standard input: has no rows" in done.stderr


def test_an_unknown_option_is_the_verbs_to_say(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["evaluate", "verdicts.jsonl", "--quite"])
    said = capsys.readouterr().err
    assert "unrecognized arguments: --quite (did you mean --quiet?); see 'simfarm evaluate --help'" in said
