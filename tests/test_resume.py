"""kill -9 loses nothing that was paid for: the benchmark that shows it, small enough for every run of the tests."""

import subprocess
import sys
from pathlib import Path


def test_kills_cost_at_most_what_was_in_flight() -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "kill.py"
    done = subprocess.run(
        [sys.executable, str(script), "--pairs", "200", "--kills", "3"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 of 3 kills hit a run" in done.stdout
    assert "equal to the undisturbed one but for timing: True" in done.stdout
