"""Benchmarks that wait for a machine of another kind: that they still run."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.engines]


@pytest.mark.engines
def test_the_gpu_check_runs_on_a_model_of_no_size(tmp_path: Path) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("transformers")
    script = Path(__file__).parents[1] / "benchmarks" / "gpu.py"
    command = [sys.executable, str(script), "--tiny", "-o", str(tmp_path / "gpu.md")]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    page = (tmp_path / "gpu.md").read_text("utf-8")
    for told in ("| tiny | bare | ", "| tiny | padded | ", "verdicts 8", "likelihoods**: texts 4", "chosen 2"):
        assert told in page, page
