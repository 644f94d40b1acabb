"""No byte that a model, a file or a provider wrote moves a terminal: every verb in a pseudo-terminal, hostile texts.

The files are written with JSON escapes, so that lone surrogates reach the program as they would from a real file.
"""

import asyncio
import json
import os
import pty
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback

from simfarm.data.exchange import Completion
from simfarm.engine.store import Store
from simfarm.engine.stored import remember

EVIL = (
    "\x1b]0;owned\x07\x1b[2J\x1b[1A\x1b]8;;http://evil.example\x1b\\here\x9b31m\u202egpj\rOVER\ud83d\u2028\x7f\x08\U000e0041"
    "[red]r[/red][link=http://evil.example]l[/link][/INST]:warning:" + "e" + "\u0301" * 500
)
NAME = EVIL.replace("\ud83d", "")
"""As much of it as a command line can hold."""

FOREIGN = re.compile("[^\n\u0020-\u007e\u00a0-\u0600\u2000-\u200a\u2010-\u2027\u2030-\u205f\u2070-\uffef\ufffd]")
"""What may stand on a terminal of these runs: newlines, and nothing that is a control or a mark of direction."""

DRIVER = """
import json, sys, traceback
from simfarm.cli import main
statuses = []
for command in json.load(open("commands.json")):
    print("\\n$$$", command[0].isalpha() and command[0], len(statuses), flush=True)
    try:
        statuses.append(main(command))
    except SystemExit as stop:
        statuses.append(stop.code)
    json.dump(statuses, open("statuses.json", "w"))
"""


def on_a_terminal(folder: Path, commands: list[list[str]], columns: int = 80) -> tuple[str, list[int]]:
    """(everything that reached the terminal, the exit statuses) of commands in one process that has nothing else."""
    (folder / "commands.json").write_text(json.dumps(commands))
    outer, inner = pty.openpty()
    environment = os.environ | {"TERM": "dumb", "COLUMNS": str(columns), "OPENAI_API_KEY": "key"}
    running = subprocess.Popen(
        [sys.executable, "-c", DRIVER], cwd=folder, env=environment, stdin=inner, stdout=inner, stderr=inner
    )
    os.close(inner)
    seen: list[bytes] = []

    def read() -> None:
        while True:
            try:
                part = os.read(outer, 65536)
            except OSError:
                return
            if not part:
                return
            seen.append(part)

    reader = threading.Thread(target=read)
    reader.start()
    assert running.wait(timeout=300) == 0, b"".join(seen).decode("utf-8", "replace")[-3000:]
    reader.join(timeout=10)
    os.close(outer)
    if dump_to := os.environ.get("DUMP"):
        Path(dump_to).write_bytes(b"".join(seen))
    shown = b"".join(seen).decode("utf-8").replace("\r\n", "\n")
    return shown, json.loads((folder / "statuses.json").read_text())


def dump(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return path.name


def files(folder: Path, evil: str, typed: str) -> dict[str, str]:
    """Hostile outputs, verdicts by two judges, a judge and samples; by kind their names, which are hostile as well."""
    outputs = {
        name: [
            {"instruction": f"{evil} {i}", "output": f"{evil}\n{name} {i}" * (1 + i % 3), "generator": f"{name}{typed}"}
            | {"dataset": f"{evil}{i % 2}", "instruction_id": f"{i}{evil}", "finish_reason": evil, evil: evil}
            for i in range(12)
        ]
        for name in ("base", "one", "two")
    }
    made = {name: dump(folder / f"{name}\x1b[2J\x9b\u202e\r\udcff.jsonl", rows) for name, rows in outputs.items()}
    for judge in ("first", "second"):
        rows = [
            {"instruction": f"{evil} {i}", "generator_1": f"base{typed}", "generator_2": f"{model}{typed}"}
            | {
                "output_1": f"{evil} b{i}",
                "output_2": f"{evil} {'m' * i * i}",
                "annotator": f"{judge}{evil}",
                "judge_hash": evil,
            }
            | {"dataset": f"{evil}{i % 2}", "instruction_id": f"{i}{evil}", "reason": evil, "raw_completion": evil}
            | {"error": evil, "order": "12", "preference": None if i == 11 else 1 + (i * 5 + len(model + judge)) % 2}
            | {"status": "unparseable" if i == 11 else "verdict"}
            for i in range(12)
            for model in ("one", "two", f"three{evil}")
        ]
        made[judge] = dump(folder / f"{judge}\x1b]0;x\x07.jsonl", rows)
    samples = [
        {"instruction": f"{evil} {i}", "output": f"{evil} {s}" * (1 + s), "generator": evil, "sample": s, "gold": i + s}
        for i in range(4)
        for s in range(3)
    ]
    made["samples"] = dump(folder / "samples.jsonl", samples)
    (folder / "odd").mkdir()
    (folder / "odd" / "prompt.jinja").write_text("{{ instruction }} 1: {{ first }}\x9b\x1b[2J 2: {{ second }}\u202e")
    judge = {"name": "odd", "description": typed, "model": f"openai/x{typed}", "protocol": "pairwise"}
    verdict = {"parser": "regex", "pattern": "([12])", "labels": {"1": "first", "2": "second"}}
    (folder / "odd" / "judge.yaml").write_text(json.dumps(judge | {"template": "prompt.jinja", "verdict": verdict}))
    return made


def test_no_verb_lets_a_hostile_text_through(tmp_path: Path) -> None:
    made = files(tmp_path, EVIL, NAME)
    inputs = [made["base"], made["one"], made["two"]]
    base = "base" + NAME
    rank = ["evaluate", made["first"], "--baseline", base]
    with Loopback() as server:
        server.plan.refuse = lambda call: "400:provider " + NAME[:40]
        ask = ["--model", "openai/" + "x", "--base-url", f"{server.url}/v1", "--store", "s.sqlite"]
        letter = ["--judge", "pairwise-letter", *ask]
        commands = [
            ["annotate", *inputs, "--baseline", base],
            ["annotate", *inputs, "--baseline", base, "-o", "v.jsonl", "--judge", "longest"],
            ["annotate", *inputs, "--baseline", base, "-o", "w.jsonl", *letter, "--limit", "2"],
            ["annotate", made["one"], "--baseline", "no" + NAME],
            ["annotate", "missing\x1b[2J\x9b\u202e\udcff.jsonl"],
            ["generate", made["one"], "--generator", NAME, *ask, "--limit", "2"],
            [*rank, "--breakdown", "--control", "length", "-o", "b.md"],
            [*rank, "--json", "--breakdown", "-o", "b.csv"],
            [*rank, "--board", "alpaca-eval-2", "--human", made["second"]],
            [*rank, "--board", "alpaca-eval-2", "--add-to", "kept"],
            ["evaluate", made["first"], "--rank", "bradley-terry", "-o", "r.json"],
            ["evaluate", made["first"], "--rank", "lottery"],
            ["evaluate", made["first"], "--baseline", NAME],
            ["evaluate", made["first"], "-o", "-"],
            ["compare", made["first"], "one" + NAME, "two" + NAME, "--baseline", base],
            ["compare", made["first"], "one" + NAME, NAME, "--baseline", base, "--json"],
            ["rejudge", made["first"], made["second"], "--baseline", base],
            ["rejudge", made["first"], made["second"], "--baseline", base, "--json"],
            ["dissect", made["first"], "--control", "length", "--by", "category"],
            ["show", made["first"], "-n", "3"],
            ["show", made["first"], "-n", "3", "--status", "unparseable", "--full"],
            ["show", made["first"], "-n", "2", "--json"],
            ["select", made["samples"], "--method", "longest", "--gold", "gold", "--generator", NAME],
            ["select", made["samples"], "--method", "oracle", "--score", NAME],
            ["judges", "list"],
            ["judges", "show", "odd"],
            ["judges", "show", "odd", "--json"],
            ["judges", "check", "odd"],
            ["judges", "show", NAME],
            ["show", made["first"], "--status", NAME],
            [NAME],
        ]
        shown, statuses = on_a_terminal(tmp_path, commands)
    runs = shown.split("\n$$$ ")[1:]
    assert len(runs) == len(statuses) == len(commands)
    for run, status in zip(runs, statuses, strict=True):
        assert "defect of ours" not in run, run
        assert status in (0, 2, 4), run
        found = FOREIGN.search(run)
        assert found is None, f"{found!r} in {run[max(0, found.start() - 80) : found.start() + 80]!r}"
    # names that end in markup and emoji codes are shown as they are
    assert "[red]" in runs[6]
    assert ":warning:" in runs[6]
    assert sum(status == 0 for status in statuses) >= 14, statuses


@pytest.mark.parametrize("columns", [60, 80, 100])
def test_no_line_of_a_table_is_wider_than_the_terminal(tmp_path: Path, columns: int) -> None:
    from rich.cells import cell_len

    name = "组织/名字很长的模型-" + "x" * 90
    made = files(tmp_path, name, name)
    paid = tmp_path / "paid.sqlite"
    store = Store(paid)
    asyncio.run(store.put(b"key", Completion("A", model="组织/名字很长的模型")))
    store.close()
    remember(paid, [b"key"], f"pairwise-reasoned ({64 * 'f'})")
    rank = ["evaluate", made["first"], "--baseline", "base" + name, "--control", "length"]
    commands = [
        [*rank, "--breakdown", "--board", "alpaca-eval-2"],
        [*rank[:-1], "style"],
        ["store", "--store", str(paid)],
        ["rejudge", made["first"], made["second"], "--baseline", "base" + name],
        ["evaluate", made["first"], "--rank", "bradley-terry"],
        ["show", made["first"], "-n", "2"],
        ["annotate", "--help"],
        ["judges", "list"],
        ["judges", "check", "pairwise-letter"],
        ["select", made["samples"], "--method", "longest", "--gold", "gold", "-o", "c.jsonl"],
    ]
    shown, statuses = on_a_terminal(tmp_path, commands, columns)
    assert set(statuses) == {0}
    lines = [line for line in shown.splitlines() if not line.startswith("$$$")]
    # an option's own name, a path or a URL is not broken
    assert [line for line in lines if cell_len(line) > columns] == []
    # half a number is a wrong one
    assert not re.search(r"\d…|…\d", shown), shown
    assert "not shown for want of width: length" in shown
