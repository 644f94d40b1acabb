"""Benchmarks that wait for a machine of another kind: that they still run."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from scripts import run_here

pytestmark = [pytest.mark.slow, pytest.mark.engines]

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
IN_PROCESSES = {"weights", "judge"}
"""Parts that run in a process of their own here too, as all do on a GPU."""


@pytest.mark.engines
def test_the_gpu_check_runs_on_a_model_of_no_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    monkeypatch.setattr(sys, "path", list(sys.path))
    started = []
    start = subprocess.run

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        name = command[command.index("--part") + 1] if "--part" in command else ""
        started.append(name)
        if not name or name in IN_PROCESSES:
            # the limits of seconds are those of a machine that does nothing else
            return start(command, **options | {"timeout": None})
        assert command[:2] == [sys.executable, str(SCRIPT)]
        return run_here(SCRIPT, *command[2:])

    monkeypatch.setattr(subprocess, "run", run)
    done = run_here(SCRIPT, "--tiny", "-o", str(tmp_path / "gpu.md"))
    assert done.returncode == 0, done.stderr
    assert set(started) >= IN_PROCESSES
    page = (tmp_path / "gpu.md").read_text("utf-8")
    for told in ("| tiny | bare | ", "| tiny | padded | ", "verdicts 8", "likelihoods**: texts 4", "chosen 2"):
        assert told in page, page
