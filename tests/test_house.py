"""The house rules that a machine can check: lint, format, types, the light command line, the notebooks, the README."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "command", [("ruff", "check", "."), ("ruff", "format", "--check", "."), ("mypy",)], ids=" ".join
)
def test_checker_is_content(command: tuple[str, ...]) -> None:
    done = _run(*command)
    assert done.returncode == 0, done.stdout + done.stderr


def _modules_after(code: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"],
        capture_output=True,
        text=True,
        check=True,
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def test_help_imports_nothing_heavy() -> None:
    loaded = _modules_after("from simfarm.cli import main\ntry: main(['--help'])\nexcept SystemExit: pass")
    assert "simfarm.cli" in loaded
    assert not loaded & {
        "pandas",
        "numpy",
        "scipy",
        "openai",
        "anthropic",
        "pyarrow",
        "jinja2",
        "yaml",
        "rich",
        "sqlite3",
    }
    asks = (
        "simfarm.judges",
        "simfarm.backends",
        "simfarm.engine",
        "simfarm.runs",
        "simfarm.methods",
        "simfarm.ranking",
    )
    assert not [name for name in loaded if name.startswith(asks)]


def test_asking_a_judge_imports_no_table_library() -> None:
    loaded = _modules_after(
        "import simfarm.cli.judging, simfarm.data.inputs, simfarm.backends.http.openai\n"
        "from simfarm.judges import load_judge\nload_judge('pairwise-logprob').hash"
    )
    assert "openai" in loaded
    assert not loaded & {"pandas", "scipy", "pyarrow"}


def test_public_names_exist() -> None:
    import simfarm

    assert all(getattr(simfarm, name) is not None for name in simfarm.__all__)
    assert len(simfarm.__all__) <= 34


def test_ci_runs_the_command_of_the_readme() -> None:
    commands = re.findall(r"^.*python -m pytest$", (ROOT / "README.md").read_text(), re.M)
    assert len(commands) == 1
    assert commands[0] in (ROOT / ".ci" / "run").read_text().splitlines()


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.stem)
def test_notebook_runs(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    nbclient = pytest.importorskip("nbclient")
    nbformat = pytest.importorskip("nbformat")
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(path.parent)}}).execute()
    assert any(cell.get("outputs") for cell in notebook.cells)
    drawn = [cell for cell in notebook.cells if cell["source"].startswith("plots.")]
    assert all(any("image/png" in o.get("data", {}) for o in cell["outputs"]) for cell in drawn)


def test_what_is_listed_as_slow_is_there() -> None:
    for name in (ROOT / "tests" / "slow.txt").read_text(encoding="utf-8").split():
        file, _, test = name.partition("::")
        assert re.search(rf"def {test}\b", (ROOT / "tests" / file).read_text(encoding="utf-8")), name
