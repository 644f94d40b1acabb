"""The main path of every kind of judge through all that goes wrong: calls that fail in passing and for good, a reply
that cannot be read, a budget, a full disk, kill -9. Nothing is lost, nothing is paid for twice, nothing is guessed."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import yaml
from loopback import Call, Loopback, answer_anthropic, answer_decision, answer_openai

from simfarm.cli import main
from simfarm.data.decision import Decision
from simfarm.data.exchange import Completion
from simfarm.engine.store import Store

ASKED = 4
"""Instructions, of two or three models' outputs."""


class Kind(NamedTuple):
    """A kind of judge: how it is named, on what it is tried, the questions that it then asks, and the rows that these
    give; whether its replies can be repaired."""

    judge: str
    inputs: tuple[str, ...]
    questions: int
    rows: int
    repairs: bool = True


PAIRS = ("a.jsonl", "--baseline", "b.jsonl")
KINDS = {
    "letter": Kind("pairwise-letter", PAIRS, 2 * ASKED, 2 * ASKED),
    "json": Kind("pairwise-json", PAIRS, 2 * ASKED, 2 * ASKED),
    "logprob": Kind("pairwise-logprob", PAIRS, 2 * ASKED, 2 * ASKED),
    "decision": Kind("pairwise-decision", PAIRS, 2 * ASKED, 2 * ASKED, repairs=False),
    "several": Kind("several.yaml", ("a.jsonl", "c.jsonl", "--baseline", "b.jsonl"), 2, 2 * ASKED),
    "rubric": Kind("rubric-json", PAIRS, 2 * ASKED, 2 * ASKED),
    "rating": Kind("rating-5", ("a.jsonl", "b.jsonl"), 2 * ASKED, 2 * ASKED),
    "rating-decision": Kind("rating-decision", ("a.jsonl", "b.jsonl"), 2 * ASKED, 2 * ASKED, repairs=False),
    "ranking": Kind("ranking-letter", ("a.jsonl", "b.jsonl", "c.jsonl"), 2 * ASKED, 6 * ASKED),
    "joint": Kind("joint-letter", ("a.jsonl", "b.jsonl"), 2 * ASKED, 2 * ASKED),
}
STAGED = {"stages": Kind("critique-verdict", PAIRS, 4 * ASKED, 2 * ASKED)}
"""Of several calls each, which have tests of their own; here they are killed, and their disk is full."""
CLAUDE = "anthropic/claude-haiku-5-5"
WIRES = [(name, None) for name in KINDS]
WIRES += [(name, CLAUDE) for name in ("letter", "json", "several", "rating", "ranking", "joint")]
over_both = pytest.mark.parametrize(("kind", "model"), WIRES, ids=lambda one: "openai" if one is None else one[:9])
each_kind = pytest.mark.parametrize("kind", KINDS)


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("simfarm.engine.runner.FIRST_WAIT", 0.01)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "loopback")
    for name in "abc":
        rows = [
            {"instruction": f"Question {i}?", "output": f"{name * 4} {i}.", "generator": name} for i in range(ASKED)
        ]
        (tmp_path / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    several = {"judge": "people-several", "comparisons": ASKED}
    (tmp_path / "several.yaml").write_text(yaml.safe_dump({"description": "One.", "members": [several]}), "utf-8")


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback(decision=answer_decision) as running:
        yield running


def command(kind: str, url: str, model: str | None, *more: str, out: str = "out.jsonl") -> list[str]:
    """The command line of a run over a server."""
    own = (KINDS | STAGED)[kind]
    base = url if model == CLAUDE else f"{url}/v1"
    named = [] if model is None else ["--model", model]
    return ["annotate", *own.inputs, "--judge", own.judge, "--base-url", base, "-o", out, *named, *more]


def rows_of(path: str = "out.jsonl") -> list[dict[str, Any]]:
    """What was written, without the time it took."""
    lines = Path(path).read_text("utf-8").splitlines()
    return [{name: value for name, value in json.loads(line).items() if name != "seconds"} for line in lines]


def has_verdict(row: dict[str, Any]) -> bool:
    return row.get("preference", row.get("score")) is not None


def whole(kind: str, path: str = "out.jsonl") -> list[dict[str, Any]]:
    """The rows of a run that lacks nothing."""
    rows = rows_of(path)
    assert len(rows) == (KINDS | STAGED)[kind].rows
    assert all(row["status"] == "verdict" and has_verdict(row) for row in rows)
    return rows


def answered(call: Call, text: str) -> str:
    """An answer whose text is this and whose likely tokens are no labels; of a decision one without probabilities."""
    if call.wire == "decisions":
        refused = [{"name": q["name"], "type": "refusal", "refusal": "No."} for q in call.body["questions"]]
        return "json:" + json.dumps(answer_decision(call) | {"answers": refused})
    made = (answer_openai if call.wire == "openai" else answer_anthropic)(call, "") | {"model": call.body["model"]}
    if call.wire == "openai":
        (choice,) = made["choices"]
        choice["message"]["content"] = text
        for place in (choice["logprobs"] or {}).get("content", []):
            place |= {"token": "I", "top_logprobs": [{"token": "I", "logprob": -0.1, "bytes": None}]}
    else:
        made["content"][0]["text"] = text
    return "json:" + json.dumps(made)


def mute(call: Call) -> str | None:
    """Says nothing of use, until it is asked to mend that."""
    return None if "That reply cannot be used" in call.prompt else answered(call, "I cannot tell.")


@over_both
def test_what_passes_is_survived_and_the_same_again_asks_nothing(
    server: Loopback, kind: str, model: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    questions = KINDS[kind].questions
    assert main(command(kind, server.url, model, "--dry-run")) == 0
    told = capsys.readouterr().out
    assert re.search(rf"\b{questions} requests would go to", told)
    assert server.received == 0
    server.script("429", "truncated", "500", "drop", "empty")
    assert main(command(kind, server.url, model)) == 0
    # a server that answers nothing twice in a row is asked no more, at two questions
    assert questions <= server.received <= questions + 5
    rows = whole(kind)
    before = server.received
    assert main(command(kind, server.url, model, "--dry-run")) == 0
    assert re.search(r"\b0 requests would go to", capsys.readouterr().out)
    assert main(command(kind, server.url, model)) == 0
    assert server.received == before
    assert rows_of() == rows


@over_both
def test_a_call_that_fails_is_an_error_and_asked_again(server: Loopback, kind: str, model: str | None) -> None:
    failed: list[str] = []

    def refuse(call: Call) -> str | None:
        if "Question 1?" not in call.prompt:
            return None
        failed.append(call.hash)
        return "400"

    server.plan.refuse = refuse
    assert main(command(kind, server.url, model)) == 4
    rows = rows_of()
    errors = [row for row in rows if row["status"] == "error"]
    assert 0 < len(errors) <= len(rows) == KINDS[kind].rows
    assert not any(has_verdict(row) for row in errors)
    assert all(has_verdict(row) for row in rows if row["status"] == "verdict")
    assert all("Question 1?" in row["instruction"] for row in errors) or kind == "several"
    server.plan.refuse = lambda call: None
    assert main(command(kind, server.url, model)) == 0
    whole(kind)
    assert server.received == KINDS[kind].questions + len(failed), "what was answered is not asked again"


@over_both
def test_a_reply_that_cannot_be_read_is_repaired_once_and_never_a_verdict(
    server: Loopback, kind: str, model: str | None
) -> None:
    own = KINDS[kind]
    server.plan.refuse = lambda call: answered(call, "I cannot tell.")
    assert main(command(kind, server.url, model)) == 4
    assert server.received == own.questions * (1 + own.repairs)
    rows = rows_of()
    assert {(row["status"], has_verdict(row)) for row in rows} == {("unparseable", False)}
    assert len(rows) == own.rows
    server.plan.refuse = mute if own.repairs else lambda call: None
    assert main(command(kind, server.url, model)) == 0
    assert server.received == 2 * own.questions * (1 + own.repairs), "another attempt, mended by asking again"
    mended = whole(kind)
    if own.repairs:
        assert all(len(row["raw_completion"]) == 2 for row in mended)
    took = sum(row["input_tokens"] for row in mended)
    assert took > sum(row["input_tokens"] for row in rows) > 0, "what was paid for in vain counts"
    before = server.received
    assert main(command(kind, server.url, model)) == 0
    assert (server.received, rows_of()) == (before, mended)


@each_kind
def test_a_budget_ends_the_run_with_what_it_has(
    server: Loopback, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    own = KINDS[kind]
    priced = ("--price", "1000,1000", "--concurrency", "1")
    assert main(command(kind, server.url, None, *priced, "--dry-run")) == 0
    most = re.search(r"price at most \$([\d.,]+)", capsys.readouterr().out)
    assert most is not None
    # the first question fits, and what it took leaves no room for all others
    budget = 1.05 * float(most[1].replace(",", "")) / own.questions
    assert main(command(kind, server.url, None, *priced, "--budget", f"{budget:.4f}")) == 3
    some = rows_of()
    assert 0 < server.received < own.questions
    assert len(some) == own.rows
    assert {(row["status"], has_verdict(row)) for row in some} == {("verdict", True), ("error", False)}
    assert {row["error"] for row in some if row["status"] == "error"} == {"not asked: the budget was reached"}
    assert sum(row["price"] or 0 for row in some) <= budget
    assert main(command(kind, server.url, None, *priced, "--budget", "1000")) == 0
    whole(kind)
    assert (server.received, max(server.asked.values())) == (own.questions, 1)


class FullStore(Store):
    """A store on a disk that has no room for more than it holds."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        pages = self._writer._connection.execute("PRAGMA page_count").fetchone()[0]
        self._writer._connection.execute(f"PRAGMA max_page_count = {pages}")


@pytest.mark.parametrize("kind", KINDS | STAGED)
def test_a_full_disk_ends_the_run_and_is_no_verdict(
    server: Loopback, kind: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    own = (KINDS | STAGED)[kind]
    with monkeypatch.context() as full:
        for module in ("run", "members"):
            full.setattr(f"simfarm.runs.{module}.Store", FullStore)
        for answer in (Completion, Decision):
            full.setattr(answer, "to_json", padded(answer.to_json))
        assert main(command(kind, server.url, None, "--concurrency", "1")) == 1
    assert "cannot be written (database or disk is full); free the disk" in capsys.readouterr().err
    assert not Path("out.jsonl").exists()
    before = server.received
    assert 0 < before <= own.questions
    assert main(command(kind, server.url, None)) == 0
    assert server.received <= own.questions + 1
    whole(kind)


def padded(plain: Callable[[Any], dict[str, Any]]) -> Callable[[Any], dict[str, Any]]:
    """An answer as it is stored, larger than there is room for."""
    return lambda answer: plain(answer) | {"engine": "x" * 50_000}


@pytest.fixture(scope="module")
def apart() -> Iterator[str]:
    """A server in a process of its own: this one is forked."""
    script = [sys.executable, str(Path(__file__).parent / "loopback.py"), "--latency-ms", "40"]
    process = subprocess.Popen(script, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    yield process.stdout.readline().strip().removesuffix("/v1")
    process.kill()
    process.communicate()


def kept() -> int:
    """Answers in the store, 0 where there is none yet."""
    path = os.environ["SIMFARM_STORE"]
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(path)) as connection:
        count: int = connection.execute("SELECT count(*) FROM completions").fetchone()[0]
        return count
    return 0


@pytest.mark.parametrize("kind", KINDS | STAGED)
def test_kill_minus_nine_and_again(
    apart: str, kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    own = (KINDS | STAGED)[kind]
    assert main(command(kind, apart, None, "--store", "clean.sqlite", out="clean.jsonl")) == 0
    clean = whole(kind, "clean.jsonl")
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            main(command(kind, apart, None, "--concurrency", "1"))
        os._exit(1)
    until = time.monotonic() + 60
    while kept() == 0 and time.monotonic() < until:
        time.sleep(0.001)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert 0 < kept() < own.questions, "killed half way"
    left = own.questions - kept()
    capsys.readouterr()
    assert main(command(kind, apart, None)) == 0
    assert f"{left} new answer" in capsys.readouterr().err
    assert rows_of() == clean == whole(kind)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


@each_kind
def test_a_recording_gives_the_same_again(server: Loopback, kind: str) -> None:
    assert main(command(kind, server.url, None)) == 0
    own = KINDS[kind]
    again = ["annotate", *own.inputs, "--judge", own.judge, "--model", "replay/out.jsonl", "-o", "again.jsonl"]
    assert main(again) == 0
    names = ("instruction", "order", "repeat", "preference", "score", "status", "scores", "reason")
    assert [[row.get(name) for name in names] for row in rows_of("again.jsonl")] == [
        [row.get(name) for name in names] for row in whole(kind)
    ]
    assert server.received == own.questions
    # a recording of half of it: the rest is an error, and no guess
    lines = Path("out.jsonl").read_text("utf-8").splitlines(keepends=True)
    Path("half.jsonl").write_text("".join(lines[: len(lines) // 2]), "utf-8")
    assert main([*again[:-4], "--model", "replay/half.jsonl", "-o", "again.jsonl"]) == 4
    rows = rows_of("again.jsonl")
    assert [row["status"] for row in rows].count("error") == len(rows) - len(lines) // 2
