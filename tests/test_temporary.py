"""Temporary files: gone with their run, however it ends; left ones go with the next run, those in use never."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from simfarm.data.temporary import temporary
from simfarm.data.writing import replacing, write_text

WRITER = """
import sys, signal
from simfarm.data.temporary import temporary
# a shell that runs the suite in its background has these ignored
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGHUP, signal.SIG_IGN if "deaf" in sys.argv else signal.SIG_DFL)
with temporary("a.jsonl") as one, temporary("b", folder=True) as two:
    open(two + "/file", "w").close()
    print("begun", flush=True)
    sys.stdin.read()
"""


@contextmanager
def writer(folder: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A process that is in the middle of writing a file and a folder."""
    command = [sys.executable, "-c", WRITER, *words]
    with subprocess.Popen(command, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "begun\n"
        try:
            yield running
        finally:
            running.kill()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_what_was_killed_leaves_its_files_and_the_next_run_removes_them(tmp_path: Path) -> None:
    for _ in range(3):
        with writer(tmp_path) as running:
            running.send_signal(signal.SIGKILL)
    # each removed what the one before had left
    assert [name.partition(".simfarm-")[0] for name in names(tmp_path)] == [".a.jsonl", ".b"]
    with ExitStack() as stack:
        stack.enter_context(temporary(str(tmp_path / "a.jsonl")))
        assert len(names(tmp_path)) == 2
        stack.enter_context(temporary(str(tmp_path / "b"), folder=True))
        assert len(names(tmp_path)) == 2
    assert names(tmp_path) == []


def test_what_somebody_is_writing_stays(tmp_path: Path) -> None:
    with writer(tmp_path) as running:
        before = names(tmp_path)
        write_text(tmp_path / "a.jsonl", "mine")
        assert names(tmp_path) == [*before, "a.jsonl"]
        running.communicate("", timeout=60)
    assert running.returncode == 0
    assert names(tmp_path) == ["a.jsonl"]


def test_nothing_of_the_users_own_is_taken_for_a_left_file(tmp_path: Path) -> None:
    mine = [".a.jsonl.bookmark", ".a.jsonl.swp", "a.jsonl.simfarm-12345678", ".b.jsonl.simfarm-12345678"]
    for name in mine:
        (tmp_path / name).write_text("mine")
    write_text(tmp_path / "a.jsonl", "text")
    assert names(tmp_path) == sorted([*mine, "a.jsonl"])


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGINT])
def test_a_signal_removes_all_that_is_open(tmp_path: Path, number: signal.Signals) -> None:
    with writer(tmp_path) as running:
        running.send_signal(number)
        assert running.wait(60) == -number
        assert names(tmp_path) == []


@pytest.mark.parametrize("folder", [False, True], ids=["file", "folder"])
def test_ctrl_c_at_the_very_beginning_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, folder: bool
) -> None:
    def interrupted(path: str, *, wait: bool) -> None:
        assert len(names(tmp_path)) == 1
        raise KeyboardInterrupt

    monkeypatch.setattr("simfarm.data.temporary._locked", interrupted)
    with pytest.raises(KeyboardInterrupt), temporary(str(tmp_path / "a"), folder=folder):
        pass
    assert names(tmp_path) == []


def test_nohup_is_heeded(tmp_path: Path) -> None:
    with writer(tmp_path, "deaf") as running:
        running.send_signal(signal.SIGHUP)
        running.communicate("", timeout=60)
        assert running.returncode == 0


def test_the_signals_are_as_before(tmp_path: Path) -> None:
    def handled(number: int, frame: object) -> None:
        raise AssertionError

    before = [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)]
    with replacing(str(tmp_path / "a")) as path:
        Path(path).write_text("text")
    assert [signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)] == before
    previous = signal.signal(signal.SIGTERM, handled)
    try:
        with temporary(str(tmp_path / "a")):
            assert signal.getsignal(signal.SIGTERM) is handled
    finally:
        signal.signal(signal.SIGTERM, previous)


def test_a_place_without_locks_keeps_its_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = tmp_path / ".a.simfarm-12345678"
    left.write_text("whose?")
    monkeypatch.setattr("simfarm.data.temporary.fcntl", None)
    write_text(tmp_path / "a", "text")
    assert left.exists()
    monkeypatch.undo()
    write_text(tmp_path / "a", "text")
    assert names(tmp_path) == ["a"]
    assert os.stat(tmp_path / "a").st_mode & 0o777 == 0o666 & ~_umask()


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
