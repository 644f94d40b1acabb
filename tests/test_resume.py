"""Kills lose nothing that was paid for: the benchmark that shows it, small enough for every run of the tests."""

import subprocess
import sys
from pathlib import Path


def test_kills_cost_at_most_what_was_in_flight() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "kill.py"
    command = [sys.executable, str(script), "--kills", "8", "--items", "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    for told in ("rows lost: 0;", "more than were in flight: 0 times", ", 0 left at the end", "integrity_check: 0\n"):
        assert told in done.stdout
