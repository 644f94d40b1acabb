"""What a run finds on this machine: keys (by name alone), the store, versions, extras, the embedded model."""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from simfarm.backends.http.retirements import retirement
from simfarm.backends.local.embedded import embedded_weights
from simfarm.engine.store import default_store_path
from simfarm.errors import InputError
from simfarm.judges import list_judges
from simfarm.runs.findings import Finding
from simfarm.version import __version__

__all__ = ["surroundings"]

KEYS = {"openai": "OPENAI_API_KEY", "anthropic": "ANTHROPIC_API_KEY", "systemone": "TYPESAFE_API_KEY"}

PACKAGES = ("openai", "anthropic", "genai-prices")

EXTRAS = {
    "completion": "shtab",
    "duckdb": "duckdb",
    "hub": "datasets",
    "litellm": "litellm",
    "local": "openvino-genai",
    "ray": "ray",
    "transformers": "torch",
    "vllm": "vllm",
}
"""Extra of simfarm -> a package that it brings."""


def surroundings() -> list[Finding]:
    """One finding a line. A key's value is never among them."""
    findings = [_keys(), _dotenv(), _store(), _embedded(), _versions()]
    missing = [extra for extra, package in EXTRAS.items() if _version(package) is None]
    present = ", ".join(extra for extra in EXTRAS if extra not in missing)
    detail = f"{present or 'none'}" + (f"; not installed: {', '.join(missing)}" if missing else "")
    findings.append(Finding("extras", "yes" if present else "no", detail))
    for judge in list_judges():
        if judge.model is not None:
            variable = KEYS.get(judge.model.partition("/")[0], "")
            ready = bool(os.environ.get(variable))
            weighs = judge.verdict is not None and judge.verdict.parser == "token_logprobs"
            # the engine of the embedded model tells the chosen token's alone
            other = "" if weighs else ", or --model embedded"
            remedy = "" if ready else f"export {variable}{other}"
            line = retirement(judge.model)
            detail = f"asks {judge.model}" + (f", which is shut down on {line.shutdown}" if line else "")
            findings.append(Finding(f"judge {judge.name}", "yes" if ready else "no", detail, remedy))
    return findings


def _keys() -> Finding:
    named = sorted(name for name, value in os.environ.items() if re.fullmatch(r"\w+_API_KEY", name) and value)
    if not named:
        return Finding("keys", "no", "no variable …_API_KEY is set", "export one, write a .env, or --model embedded")
    return Finding("keys", "yes", f"set: {', '.join(named)}")


def _dotenv() -> Finding:
    # read by `open_backend`, and here before this is asked
    here = Path.cwd() / ".env"
    return Finding(".env", "yes" if here.is_file() else "no", "read" if here.is_file() else "none in this folder")


def _store() -> Finding:
    path = default_store_path()
    try:
        size = path.stat().st_size
    except OSError:
        return Finding("store", "no", f"{path}: not made yet, the first run makes it")
    return Finding("store", "yes", f"{path} ({size / 2**20:.1f} MiB)")


def _embedded() -> Finding:
    try:
        weights = str(embedded_weights())
    except InputError:
        return Finding("embedded model", "no", "not fetched", "simfarm setup-local, once (93 MB)")
    if _version(EXTRAS["local"]) is None:
        return Finding("embedded model", "no", f"{weights}, and nothing to run it", "pip install 'simfarm[local]'")
    return Finding("embedded model", "yes", weights)


def _versions() -> Finding:
    python = ".".join(map(str, sys.version_info[:3]))
    versions = [f"simfarm {__version__}", f"Python {python}", *(f"{name} {_version(name)}" for name in PACKAGES)]
    return Finding("versions", "yes", ", ".join(versions))


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
