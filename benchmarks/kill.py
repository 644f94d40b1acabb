"""A thousand kills of annotate, generate and two processes on one store: is anything lost, paid for twice or left?

A loopback server with some latency counts every request. Each run is killed at a random moment (kill -9 mostly, else
SIGTERM, SIGHUP, Ctrl-C) and begun again, until one ends by itself; then its file is compared with that of a run nobody
disturbed. Runs are forked from this process, which has imported simfarm, so that most kills hit the work and not the
start of Python; one in twenty is a fresh `python -m simfarm`. Exits 1 where a row was lost, more was asked again than
was in flight at a kill, a temporary file stayed, a store failed its integrity check, or a run did not end.

    python benchmarks/kill.py                # 1,000 kills
    python benchmarks/kill.py --kills 50
"""

from __future__ import annotations

import argparse
import gc
import io
import json
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections import Counter
from collections.abc import Sequence
from contextlib import closing, redirect_stderr
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONCURRENCY = 8
FRESH = 0.05
"""The share of runs that start Python anew."""

DEADLINE = 60.0
"""Seconds within which a run that was told to end must have ended."""

SIGNALS = {signal.SIGKILL: 0.7, signal.SIGTERM: 0.1, signal.SIGHUP: 0.1, signal.SIGINT: 0.1}
SUFFIXES = (".jsonl", ".json", ".csv", ".parquet", ".jsonl.gz", ".jsonl.zst")
ROUNDS = (("annotate",), ("generate",), ("annotate", "generate"), ("annotate", "annotate"))
"""The verbs of one round's runs; two share a store."""


class Server:
    """The loopback provider in a process of its own."""

    def __init__(self, latency_ms: float) -> None:
        command = [sys.executable, str(ROOT / "tests" / "loopback.py"), "--latency-ms", str(latency_ms)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout is not None
        self.url = self.process.stdout.readline().strip()

    def settled(self) -> dict[str, Any]:
        """The counts, once nothing is on its way any more."""
        before: dict[str, Any] = {}
        while True:
            with urllib.request.urlopen(self.url.removesuffix("/v1") + "/calls") as answer:
                counts: dict[str, Any] = json.load(answer)
            if counts["running"] == 0 and counts["received"] == before.get("received"):
                return counts
            before = counts
            time.sleep(0.005)

    def close(self) -> None:
        self.process.kill()
        self.process.wait()


@dataclass
class Seen:
    """What happened over all rounds."""

    kills: Counter[str] = field(default_factory=Counter)
    working: int = 0
    rounds: int = 0
    requests: int = 0
    lost: int = 0
    repeats: int = 0
    most_repeats: int = 0
    over: int = 0
    left_by_signals: int = 0
    left_at_end: int = 0
    removed: int = 0
    different: int = 0
    damaged: int = 0
    slowest_end: float = 0.0
    faults: list[str] = field(default_factory=list)


class Run:
    """One process of simfarm; `fresh` starts Python anew."""

    def __init__(self, arguments: list[str], *, fresh: bool) -> None:
        sys.stdout.flush()
        self.process: subprocess.Popen[bytes] | None = None
        if fresh:
            command = [sys.executable, "-m", "simfarm", *arguments]
            self.process = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            self.pid = self.process.pid
            return
        self.pid = os.fork()
        if self.pid == 0:
            status = 1
            try:
                nowhere = os.open(os.devnull, os.O_RDWR)
                os.dup2(nowhere, 1)
                os.dup2(nowhere, 2)
                from simfarm.cli import main as simfarm

                status = simfarm(arguments)
            finally:
                os._exit(status)

    def ended(self, seconds: float) -> int | None:
        """The exit status (negative: the signal), None where it is still running after so long."""
        until = time.monotonic() + seconds
        while True:
            if self.process is not None:
                status = self.process.poll()
                if status is not None:
                    return status
            else:
                pid, waited = os.waitpid(self.pid, os.WNOHANG)
                if pid:
                    return os.waitstatus_to_exitcode(waited)
            if time.monotonic() > until:
                return None
            time.sleep(0.001)

    def send(self, number: int) -> None:
        os.kill(self.pid, number)


def arguments_of(verb: str, inputs: Path, server: Server, store: Path, output: Path) -> list[str]:
    made = [verb, str(inputs), "--base-url", server.url, "--concurrency", str(CONCURRENCY), "--store", str(store)]
    made += ["--judge", "pairwise-reasoned"] if verb == "annotate" else ["--model", "openai/loopback"]
    return [*made, "-o", str(output)]


def write_inputs(folder: Path, items: int) -> dict[str, list[Path]]:
    """Two files for each verb, without a request in common."""
    made: dict[str, list[Path]] = {"annotate": [], "generate": []}
    for number in range(2):
        for verb, files in made.items():
            files.append(folder / f"{verb}-{number}.jsonl")
            with open(files[-1], "w", encoding="utf-8") as stream:
                for i in range(items):
                    row = {"instruction": f"{verb}: question {number}.{i}?"}
                    if verb == "annotate":
                        row |= {
                            "output_1": f"One {i}.",
                            "output_2": f"Two {i}!",
                            "generator_1": "a",
                            "generator_2": "b",
                        }
                    stream.write(json.dumps(row) + "\n")
    return made


def without_timing(path: Path) -> list[Any]:
    from simfarm.data.files import read_rows

    return [{k: v for k, v in row.items() if k != "seconds"} for row in read_rows(path)]


def kept(store: Path) -> set[bytes]:
    if not store.exists():
        return set()
    with closing(sqlite3.connect(store, timeout=30)) as connection:
        tables = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        return {row[0] for row in connection.execute("SELECT key FROM completions")} if tables else set()


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if path.name.startswith(".")}


class Round:
    """The runs of one round on one store, killed until each has ended by itself."""

    def __init__(self, folder: Path, verbs: Sequence[str], inputs: Sequence[Path], suffix: str, server: Server) -> None:
        folder.mkdir()
        self.folder, self.verbs, self.inputs, self.server = folder, verbs, inputs, server
        self.store = folder / "store.sqlite"
        self.outputs = [folder / f"{path.stem}{suffix}" for path in inputs]
        self.todo = set(range(len(verbs)))
        self.first = server.settled()["received"]
        self.kept: set[bytes] = set()
        self.lost = 0
        self.window = 0.6

    def begin(self, *, fresh: bool) -> dict[int, Run]:
        made = {}
        for key in sorted(self.todo):
            place = (self.inputs[key], self.server, self.store, self.outputs[key])
            made[key] = Run(arguments_of(self.verbs[key], *place), fresh=fresh)
        return made

    def attempt(self, seen: Seen, chance: random.Random, *, leave_alone: bool) -> None:
        """One start of every run that has not ended, a signal to those still running, and the counts after it."""
        fresh = chance.random() < FRESH
        left_before = left(self.folder)
        runs = self.begin(fresh=fresh)
        number = None
        if not leave_alone:
            time.sleep(chance.uniform(0.0, self.window + 1.5 * fresh))
            number = chance.choices(list(SIGNALS), list(SIGNALS.values()))[0]
        killed = {key for key, run in runs.items() if number is not None and self.kill(seen, key, run, number)}
        told = time.monotonic()
        for key in killed if number is not None else self.todo.copy():
            self.wait(seen, key, runs[key], killed=number is not None)
        if killed:
            seen.slowest_end = max(seen.slowest_end, time.monotonic() - told)
        self.count(seen, len(killed))
        left_now = left(self.folder)
        if number is not None and number != signal.SIGKILL:
            seen.left_by_signals += len(left_now - left_before)
        seen.removed += len(left_before - left_now)

    def kill(self, seen: Seen, key: int, run: Run, number: signal.Signals) -> bool:
        """Whether the run was still there to be killed."""
        status = run.ended(0)
        if status is None:
            run.send(number)
            seen.kills[number.name] += 1
            return True
        self.note(seen, key, status)
        return False

    def wait(self, seen: Seen, key: int, run: Run, *, killed: bool) -> None:
        status = run.ended(DEADLINE)
        if status is None:
            seen.faults.append(f"{self.verbs[key]} did not end within {DEADLINE:.0f} s")
            run.send(signal.SIGKILL)
            run.ended(DEADLINE)
        elif status == 0 or not killed:
            self.note(seen, key, status)

    def note(self, seen: Seen, key: int, status: int) -> None:
        """A run ended by itself."""
        self.todo.discard(key)
        if status:
            seen.faults.append(f"{self.verbs[key]} ended with {status}")

    def count(self, seen: Seen, killed: int) -> None:
        """What the server received and the store does not hold was lost with the kill."""
        now, received = kept(self.store), self.server.settled()["received"] - self.first
        again = received - len(now) - self.lost
        seen.lost += len(self.kept - now)
        seen.working += killed > 0 and len(now) > len(self.kept)
        if now == self.kept:
            # killed before it got anywhere: on a busy machine the runs must be given longer, or the round has no end
            self.window = min(1.1 * self.window, 10.0)
        seen.repeats += again
        seen.most_repeats = max(seen.most_repeats, again)
        if again > CONCURRENCY * killed:
            seen.over += 1
            seen.faults.append(f"{again} answers were not kept at a kill of {killed} runs")
        self.kept, self.lost = now, received - len(now)

    def close(self, seen: Seen, wanted: dict[str, list[Any]]) -> None:
        """The last look, when all has ended: whole files, nothing left, a sound store."""
        seen.rounds += 1
        seen.requests += self.server.settled()["received"] - self.first
        seen.left_at_end += len(left(self.folder))
        seen.different += sum(without_timing(output) != wanted[output.name] for output in self.outputs)
        with closing(sqlite3.connect(self.store)) as connection:
            seen.damaged += connection.execute("PRAGMA integrity_check").fetchone()[0] != "ok"


def report(seen: Seen, passed: float) -> str:
    by = ", ".join(f"{count} {name}" for name, count in seen.kills.most_common())
    return f"""{sum(seen.kills.values()):,} kills ({by}) in {seen.rounds} rounds and {passed:.0f} s;
{seen.working} of the starts had new answers when they were killed
rows lost: {seen.lost}; final files that differ from an undisturbed run's: {seen.different}
requests: {seen.requests:,}; in flight at a kill and asked again: {seen.repeats:,}, at one kill at most
{seen.most_repeats} ({CONCURRENCY} may be in flight in each run); more than were in flight: {seen.over} times
temporary files: {seen.removed} left by kill -9 and removed by a later run,
{seen.left_by_signals} left by other signals, {seen.left_at_end} left at the end
stores that fail PRAGMA integrity_check: {seen.damaged}
the slowest end after a signal: {seen.slowest_end:.1f} s""" + "".join(
        f"\nfault, {count} times: {told}" for told, count in Counter(seen.faults).most_common()
    )


def undisturbed(output: Path, verb: str, path: Path, server: Server) -> list[Any]:
    """Rows of a run in this process, which leaves all that it imports in memory for those to come."""
    from simfarm.cli import main as simfarm

    with redirect_stderr(io.StringIO()):
        assert simfarm(arguments_of(verb, path, server, output.parent / "store.sqlite", output)) == 0
    return without_timing(output)


def main() -> int:
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--kills", type=int, default=1000)
    options.add_argument("--items", type=int, default=400, help="in each file: requests, or pairs in both orders")
    options.add_argument("--minutes", type=float, default=60.0, help="begin no further round after so long")
    options.add_argument("--latency-ms", type=float, default=10.0)
    options.add_argument("--seed", type=int, default=0)
    chosen = options.parse_args()
    os.environ["OPENAI_API_KEY"] = "loopback"
    # a shell that starts this in the background has both ignored, and what is ignored here is so in the runs
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    chance, seen, begun = random.Random(chosen.seed), Seen(), time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        (folder / "quiet").mkdir()
        inputs = write_inputs(folder, chosen.items)
        server = Server(chosen.latency_ms)
        try:
            wanted: dict[str, list[Any]] = {}
            while sum(seen.kills.values()) < chosen.kills and time.monotonic() - begun < 60 * chosen.minutes:
                verbs, suffix = ROUNDS[seen.rounds % len(ROUNDS)], SUFFIXES[seen.rounds % len(SUFFIXES)]
                files = [inputs[verb][number] for number, verb in enumerate(verbs)]
                for verb, path in zip(verbs, files, strict=True):
                    quiet = folder / "quiet" / f"{path.stem}{suffix}"
                    wanted[quiet.name] = undisturbed(quiet, verb, path, server)
                # Ctrl-C while a forked run tidies up after these would be swallowed (an exception in a `__del__`)
                gc.collect()
                runs = Round(folder / f"round-{seen.rounds}", verbs, files, suffix, server)
                while runs.todo:
                    runs.attempt(seen, chance, leave_alone=sum(seen.kills.values()) >= chosen.kills)
                runs.close(seen, wanted)
        finally:
            server.close()
    print(report(seen, time.monotonic() - begun))
    bad = seen.lost or seen.over or seen.left_by_signals or seen.left_at_end or seen.different or seen.damaged
    return 1 if bad or seen.faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
