"""Fixtures shared by all tests."""

import os
from pathlib import Path

import certifi
import pytest

# before anything imports NumPy: on small matrices the threads of its BLAS spend ten times the work in waiting
os.environ.setdefault("OMP_NUM_THREADS", "1")

ROOT = Path(__file__).parents[1]
SLOW = frozenset((Path(__file__).parent / "slow.txt").read_text(encoding="utf-8").split())
"""Files, and tests as `file.py::name`, that the quick half of the suite leaves out."""

ENGINES = {
    f"test_{name}.py"
    for name in (
        *("backends_openvino", "backends_transformers", "engine_cluster", "engine_cluster_nodes"),
        *("likelihood_engines", "protocol_engines"),
    )
}


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Under `-m "not engines"` files of nothing else are not even imported: torch and Ray take seconds."""
    return True if collection_path.name in ENGINES and "not engines" in config.option.markexpr else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what is listed as slow, whatever its parameters."""
    for item in items:
        file = item.path.name
        if file in SLOW or f"{file}::{item.name.partition('[')[0]}" in SLOW:
            item.add_marker(pytest.mark.slow)


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real annotations and human labels beside the checkout; users don't have them, so their tests skip."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip("the shared data sets are not here")
    return path


@pytest.fixture(scope="session")
def one_authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of one certificate: every client reads the whole of its own, for servers that speak no TLS."""
    end = "-----END CERTIFICATE-----\n"
    bundle = tmp_path_factory.mktemp("certificates") / "bundle.pem"
    bundle.write_text(Path(certifi.where()).read_text("utf-8").partition(end)[0] + end, "utf-8")
    return bundle


@pytest.fixture(autouse=True)
def own_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, one_authority: Path) -> None:
    """No test writes to the user's own store or reads the user's keys."""
    monkeypatch.setenv("SIMFARM_STORE", str(tmp_path / "store.sqlite"))
    monkeypatch.setenv("SSL_CERT_FILE", str(one_authority))
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY", "OPENAI_BASE_URL", "AZURE_OPENAI_ENDPOINT"):
        monkeypatch.delenv(name, raising=False)
