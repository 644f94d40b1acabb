"""Benchmarks that wait for a machine of another kind: that they still run."""

import contextlib
import importlib.util
import io
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.engines]

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
IN_PROCESSES = {"weights", "judge"}
"""Parts that run in a process of their own, as all do on a GPU: to import PyTorch for each takes most of a minute."""


def _gpu_check(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_check", SCRIPT)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "gpu_check", module)
    monkeypatch.setattr(sys, "path", list(sys.path))
    spec.loader.exec_module(module)
    return module


@pytest.mark.engines
def test_the_gpu_check_runs_on_a_model_of_no_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    gpu = _gpu_check(monkeypatch)
    started = []
    start = subprocess.run

    def run(command: list[str], **options: Any) -> subprocess.CompletedProcess[str]:
        name = command[command.index("--part") + 1] if "--part" in command else ""
        started.append(name)
        if not name or name in IN_PROCESSES:
            return start(command, **options | {"timeout": None})
        assert command[:2] == [sys.executable, str(SCRIPT)]
        out, status, said = io.StringIO(), 0, ""
        with monkeypatch.context() as own, contextlib.redirect_stdout(out):
            own.setattr(sys, "argv", command[1:])
            try:
                gpu.main()
            except SystemExit as end:
                status, said = 1, str(end)
        return subprocess.CompletedProcess(command, status, out.getvalue(), said)

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", [str(SCRIPT), "--tiny", "-o", str(tmp_path / "gpu.md")])
    gpu.main()
    assert set(started) >= IN_PROCESSES
    page = (tmp_path / "gpu.md").read_text("utf-8")
    for told in ("| tiny | bare | ", "| tiny | padded | ", "verdicts 8", "likelihoods**: texts 4", "chosen 2"):
        assert told in page, page
