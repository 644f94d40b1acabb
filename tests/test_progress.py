"""Progress: a line a minute where stderr is no terminal, a bar that obeys nobody where it is one."""

import os
import pty
import subprocess
import sys
import time

import pytest

from simfarm.cli.progress import progress
from simfarm.report.terminal import quiet

RUN = """
import sys
from simfarm.cli.progress import progress
with progress("judge[red]\\x1b]0;mine\\x07", 3) as bar:
    for _ in range(3):
        print("a row")
        bar.step("$0.01")
        bar.note("36 throttled\\x1b[2J, waiting 12 s")
"""


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_line_a_minute_where_stderr_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress("judge", 1000, clock) as bar:
        for second in range(150):
            clock.now = second
            bar.step(f"${second}")
        clock.now = 185
        bar.note("36 throttled, waiting 12 s")
        bar.note("")
        clock.now = 250
        bar.step()
    told = capsys.readouterr()
    assert not told.out
    assert told.err.splitlines() == [
        "judge: 61 of 1,000 · $60 · about 16 min left",
        "judge: 121 of 1,000 · $120 · about 15 min left",
        "judge: 150 of 1,000 · $149 · 36 throttled, waiting 12 s · about 32 min left",
        "judge: 151 of 1,000 · about 15 h left",
    ]


def test_a_run_under_a_minute_prints_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress("judge", 10, clock) as bar:
        for _ in range(10):
            clock.now += 5.9
            bar.step()
    assert capsys.readouterr() == ("", "")


def test_quiet_runs_say_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with quiet(True), progress("judge", 10, clock) as bar:
        clock.now = 100
        bar.step()
    assert capsys.readouterr() == ("", "")


def test_names_and_notes_stay_in_their_line(capsys: pytest.CaptureFixture[str]) -> None:
    clock = Clock()
    with progress("a\nb", 10, clock) as bar:
        clock.now = 100
        bar.step("c\rd")
    assert capsys.readouterr().err.startswith("a\\nb: 1 of 10 · c\\rd")


def test_rows_go_to_their_file_beside_a_bar_on_a_terminal() -> None:
    terminal, inner = pty.openpty()
    done = subprocess.run([sys.executable, "-c", RUN], stdout=subprocess.PIPE, stderr=inner, check=True, timeout=60)
    os.close(inner)
    shown = os.read(terminal, 100_000)
    os.close(terminal)
    assert done.stdout == b"a row\n" * 3
    assert b"judge[red]" in shown
    assert not any(found in shown for found in (b"\x1b]", b"\x07", b"\x1b[2J", b"a row"))


def test_a_step_that_takes_longer_than_a_minute_is_told_of(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simfarm.cli.progress.LINE_SECONDS", 0.05)
    with progress("judge", 3):
        until = time.monotonic() + 30
        told = ""
        while "judge: 0 of 3" not in told and time.monotonic() < until:
            time.sleep(0.05)
            told += capsys.readouterr().err
    assert "judge: 0 of 3" in told
