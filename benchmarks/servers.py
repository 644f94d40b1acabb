"""What real servers give: each verb and each bundled judge, a kill half way, and what is said; as a Markdown table.

A tiny model that answers the bundled judges is served by `transformers serve` and by vLLM; litellm's proxy has the
loopback provider behind it. Those that are installed are tried (tests/real_servers.py says how they are found). The
times are simfarm's own and the server's together, its start apart: on a tiny model they tell what a call costs beside
the model.

    SIMFARM_TEST_TRANSFORMERS=VENV/bin/transformers python benchmarks/servers.py --items 100
"""

from __future__ import annotations

import argparse
import os
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from loopback import Loopback  # noqa: E402
from real_servers import KINDS, Server, find, litellm_proxy, transformers_serve, vllm_server  # noqa: E402
from tiny_model import build_tiny_judge  # noqa: E402

from simfarm.data.files import read_rows, write_rows  # noqa: E402

JUDGES = ("pairwise-letter", "pairwise-logprob", "pairwise-json", "pairwise-reasoned")
AWAY = 3.0
"""Seconds that a killed server stays away."""


@dataclass
class Bench:
    """One server, and the folder that its runs work in."""

    server: Server
    folder: Path

    def run(self, name: str, *command: str) -> None:
        """One run of simfarm, its last argument the file it writes; printed as a row of the table."""
        before, started = self.server.asked, time.perf_counter()
        options = ["--model", f"openai/{self.server.model}", "--base-url", self.server.url]
        done = subprocess.run(
            [sys.executable, "-m", "simfarm", *command, *options],
            cwd=self.folder,
            env=os.environ | {"PYTHONPATH": str(ROOT), "OPENAI_API_KEY": self.server.key or ""},
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
        seconds, asked = time.perf_counter() - started, self.server.asked - before
        told = "; ".join(line for line in done.stderr.splitlines() if line.startswith(("warning", "simfarm: ")))
        rows = self.folder / command[-1]
        made = read_rows(rows) if rows.exists() and rows.stat().st_size else []
        good = sum(row.get("status", "verdict") == "verdict" for row in made)
        self.row(name, done.returncode, good, asked, f"{seconds:.1f}", told)

    def row(self, *cells: object) -> None:
        print("| " + " | ".join(map(str, (self.server.kind, *cells))) + " |", flush=True)

    def killed(self, name: str, whole: str, *command: str) -> None:
        """The same with the server killed once a third is done and started again; counts the rows that differ."""
        store = self.folder / f"{name.replace(' ', '-')}.sqlite"
        watch = threading.Thread(target=self._interrupt, args=(store, len(read_rows(self.folder / whole)) // 3))
        watch.start()
        self.run(name, *command[:-2], "--store", str(store), *command[-2:])
        watch.join()
        one, other = (
            [(row.get("output"), row.get("preference")) for row in read_rows(self.folder / path)]
            for path in (whole, command[-1])
        )
        differ = sum(a != b for a, b in zip(one, other, strict=False)) + abs(len(one) - len(other))
        self.row("… rows that differ from the undisturbed run's", "", differ, "", "", "")

    def _interrupt(self, store: Path, enough: int) -> None:
        until = time.monotonic() + 120
        while stored(store) < enough and time.monotonic() < until:
            time.sleep(0.005)
        self.server.kill()
        time.sleep(AWAY)
        self.server.start()


def stored(path: Path) -> int:
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            return int(store.execute("SELECT count(*) FROM completions").fetchone()[0])
    except sqlite3.OperationalError:
        return 0


@contextmanager
def served(kind: str, models: Path, folder: Path) -> Iterator[Server]:
    makers: dict[str, Callable[[Loopback], Server]] = {
        "transformers": lambda upstream: transformers_serve(str(models), {}, folder / "log"),
        "litellm": lambda upstream: litellm_proxy(upstream, folder),
        "vllm": lambda upstream: vllm_server(models, folder / "log"),
    }
    with Loopback(keep=False, latency=0.05) as upstream:
        server = makers[kind](upstream)
        try:
            yield server.start()
        finally:
            server.kill()


def bench(server: Server, folder: Path, items: int) -> None:
    questions = [f"Why does the clock on tower {n} run late?" for n in range(items)]
    write_rows(folder / "prompts.jsonl", [{"instruction": q} for q in questions])
    for name, answer in (("a", "It is the frost"), ("b", "Because of the wind")):
        rows = [{"instruction": q, "generator": name, "output": answer + "." * n} for n, q in enumerate(questions)]
        write_rows(folder / f"{name}.jsonl", rows)
    one = Bench(server, folder)
    asking = ("--store", str(folder / "s.sqlite"), "-o")
    one.run("generate", "generate", "prompts.jsonl", "--max-tokens", "24", *asking, "out.jsonl")
    for judge in JUDGES:
        command = ("annotate", "b.jsonl", "--baseline", "a.jsonl", "--judge", judge, *asking, f"{judge}.jsonl")
        one.run(judge, *command)
    command = ("generate", "prompts.jsonl", "--max-tokens", "24", "--concurrency", "8", "-o", "cut.jsonl")
    one.killed("generate, killed", "out.jsonl", *command)
    command = ("annotate", "b.jsonl", "--baseline", "a.jsonl", "--judge", JUDGES[0], "--concurrency", "8")
    one.killed("letter, killed", f"{JUDGES[0]}.jsonl", *command, "-o", "cut-letter.jsonl")


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--items", type=int, default=100, metavar="N", help="prompts, and pairs judged in both orders")
    chosen = options.parse_args()
    print("| server | run | exit | outputs or verdicts | calls | seconds | said |\n|---|---|---|---|---|---|---|")
    for kind in KINDS:
        if find(kind) is None:
            continue
        with tempfile.TemporaryDirectory() as place:
            folder = Path(place)
            models = build_tiny_judge(folder / "judge")
            with served(kind, models, folder) as server:
                bench(server, folder, chosen.items)


if __name__ == "__main__":
    main()
