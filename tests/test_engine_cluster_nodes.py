"""A run over two Ray nodes by HOST:PORT: an interrupt given once ends it in order, and a lost node costs no row."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from loopback import Loopback

from simfarm.data.files import read_rows, write_rows

pytest.importorskip("ray")

pytestmark = pytest.mark.engines

RAY = Path(sys.executable).with_name("ray")
PATIENCE = 120
"""Seconds that anything here may take on a machine that has much else to do."""
ROWS, PARTS = 40, 8
STOPPED = "simfarm: stopped; answers already given are kept, run the same command to go on\n"


@dataclass
class Node:
    """`ray start --block` in a session of its own, and the processes that it has started."""

    process: subprocess.Popen[bytes]

    def processes(self) -> dict[int, bytes]:
        """pid -> command line."""
        found = {}
        for folder in Path("/proc").iterdir():
            with contextlib.suppress(OSError, ValueError, IndexError):
                if int((folder / "stat").read_text().rpartition(")")[2].split()[3]) == self.process.pid:
                    found[int(folder.name)] = (folder / "cmdline").read_bytes()
        return found

    def named(self, name: bytes) -> list[int]:
        return [pid for pid, line in self.processes().items() if name in line]

    def end(self) -> None:
        """Kills all of them, also those whose parent is gone."""
        until = time.monotonic() + PATIENCE
        while (left := self.processes()) and time.monotonic() < until:
            for pid in left:
                with contextlib.suppress(OSError):
                    os.kill(pid, signal.SIGKILL)
            self.process.poll()
            time.sleep(0.05)


def wait_for(condition: Callable[[], object], process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while not condition():
        assert process.poll() is None, "it ended too early"
        assert time.monotonic() < until
        time.sleep(0.02)


def free_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return str(free.getsockname()[1])


def listens(port: str) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", int(port)), timeout=1):
        return True
    return False


@dataclass
class Cluster:
    port: str
    second: Node
    environment: dict[str, str]


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A head and a second node with a CPU each, behind a token, as Ray has it once a machine has one."""
    # short: the path of a socket in it has a limit
    folder = tempfile.mkdtemp(prefix="ray")
    port, log = free_port(), Path(folder, "start.log")
    environment = os.environ | {"RAY_USAGE_STATS_ENABLED": "0", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    environment.pop("RAY_AUTH_MODE", None)
    nodes: list[Node] = []

    def start(*where: str) -> Node:
        own = [("--dashboard-agent-listen-port", free_port()), ("--dashboard-agent-grpc-port", free_port())]
        own += [("--metrics-export-port", free_port()), ("--node-ip-address", "127.0.0.1"), ("--num-cpus", "1")]
        own += [("--object-store-memory", "80000000")]
        given = [
            str(RAY),
            "start",
            "--block",
            "--disable-usage-stats",
            *where,
            *(word for pair in own for word in pair),
        ]
        with log.open("ab") as told:
            process = subprocess.Popen(
                given, env=environment | {"RAY_AUTH_MODE": "token"}, stdout=told, stderr=told, start_new_session=True
            )
        nodes.append(Node(process))
        return nodes[-1]

    def joined() -> Node:
        node = start("--address", f"127.0.0.1:{port}")
        wait_for(lambda: node.named(b"RuntimeEnvAgent"), node.process)
        return node

    try:
        head = start("--head", "--port", port, "--temp-dir", folder, "--include-dashboard", "false")
        wait_for(lambda: listens(port) and head.named(b"raylet/raylet"), head.process)
        try:
            second = joined()
        except AssertionError:
            second = joined()  # a port that was free was taken before the node asked for it
        yield Cluster(port, second, environment | {"OPENAI_API_KEY": "sk-loopback"})
    finally:
        for node in reversed(nodes):
            node.end()
        shutil.rmtree(folder, ignore_errors=True)


def test_an_interrupt_given_once_and_a_lost_node(
    cluster: Cluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows("in.parquet", [{"instruction_id": f"q{i}", "instruction": f"Question {i}?"} for i in range(ROWS)])
    # a suite that a shell runs in the background ignores interrupts, and so would its children
    program = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    program += "from simfarm.cli import main; sys.exit(main(sys.argv[1:]))"
    given = "generate in.parquet --model openai/m -o out --store store.sqlite --concurrency 1 --cluster ray "
    given += f"--workers 2 --partition-rows {ROWS // PARTS} --ray-address 127.0.0.1:{cluster.port}"

    with Loopback(latency=0.2) as server:

        def begin() -> subprocess.Popen[bytes]:
            command = [sys.executable, "-c", program, *given.split(), "--base-url", f"{server.url}/v1"]
            return subprocess.Popen(
                command, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
            )

        driver = begin()
        try:
            wait_for(lambda: list(Path("out").glob("part-*.parquet")), driver)
            driver.send_signal(signal.SIGINT)
            pressed = time.monotonic()
            out, err = driver.communicate(timeout=PATIENCE)
            assert (driver.returncode, out.decode(), err.decode()) == (130, "", STOPPED)
            # a few seconds where nothing else runs
            assert time.monotonic() - pressed < 30
            there = len(list(Path("out").glob("part-*.parquet")))
            assert 1 <= there < PARTS

            driver = begin()
            half = (ROWS + server.answered) // 2
            wait_for(lambda: server.answered >= half and cluster.second.named(b"ray::MapWorker"), driver)
            (raylet,) = cluster.second.named(b"raylet/raylet")
            os.kill(raylet, signal.SIGKILL)
            out, err = driver.communicate(timeout=PATIENCE)
        finally:
            driver.kill()
            driver.wait()
        assert (driver.returncode, out.decode()) == (0, "")
        assert f"{there} of {PARTS} parts are there already" in err.decode()
        assert f"wrote out ({PARTS} of {PARTS} parts)" in err.decode()
        assert [row["instruction_id"] for row in read_rows("out")] == [f"q{i}" for i in range(ROWS)]
        assert len(server.asked) == ROWS
        # two in flight at the interrupt; one on the lost node, and one more before its worker notices
        assert server.received <= ROWS + 2 + 2
