"""Real servers, where they are installed: `transformers serve`, litellm's proxy, vLLM's server (see real_servers.py).

    SIMFARM_TEST_TRANSFORMERS=VENV/bin/transformers python -m pytest tests/test_servers.py

The model is a tiny one that answers the bundled judges; litellm's proxy has the loopback provider behind it. Each
server is started once, and again where a test kills it. What a server does that simfarm can only report is written down
here too, so that a new version of it is noticed.
"""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from loopback import Loopback
from real_servers import KEY, KINDS, Server, hub_copy, litellm_proxy, transformers_serve, vllm_server

from simfarm.cli import main
from simfarm.data.files import read_rows
from simfarm.engine import patience

QUESTIONS = [f"Why does the clock on tower {n} run late?" for n in range(24)]
JUDGES = ("pairwise-letter", "pairwise-logprob", "pairwise-json", "pairwise-reasoned")
LATENCY = 0.05
"""Seconds for an answer of the provider behind the proxy, so that a run lasts long enough to be cut."""

PLAIN_JUDGE = """
description: Asks for JSON by its schema alone
protocol: pairwise
template: template.jinja
verdict: {parser: json, labels: {A: first, B: second}, winner: better, reason: why}
model: openai/judge
order: fixed
sampling: {temperature: 0, max_tokens: 64}
"""
PLAIN_TEMPLATE = "{% block user %}{{ instruction }} {{ first }} {{ second }}{% endblock %}"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `judge`, the tiny model, and `bare`, the same without a chat template."""
    for needed in ("torch", "transformers"):
        pytest.importorskip(needed)
    from tiny_model import build_tiny_judge

    folder = tmp_path_factory.mktemp("models")
    build_tiny_judge(folder / "judge")
    build_tiny_judge(folder / "bare", chat_template=None)
    return folder


@pytest.fixture(scope="module")
def hub(models: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Both models as the hub's cache holds them, `tiny/judge` and `tiny/bare`."""
    home = tmp_path_factory.mktemp("hub")
    hub_copy(home, "tiny/judge", models / "judge")
    return hub_copy(home, "tiny/bare", models / "bare")


@pytest.fixture(scope="module", params=KINDS)
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One server of each kind, for all its tests."""
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "litellm":
        with Loopback(latency=LATENCY) as upstream:
            yield from kept(litellm_proxy(upstream, folder))
    elif request.param == "vllm":
        made = vllm_server(request.getfixturevalue("models") / "judge", folder / "log")
        yield from kept(made)
    else:
        yield from kept(transformers_serve("tiny/judge", request.getfixturevalue("hub"), folder / "log"))


def kept(server: Server) -> Iterator[Server]:
    try:
        yield server.start()
    finally:
        server.kill()


@pytest.fixture
def server(running: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Server:
    """The server, running, with its key set; this folder is a new one, with prompts and two models' outputs."""
    if running.process is None:
        running.start()
    if running.key:
        monkeypatch.setenv("OPENAI_API_KEY", running.key)
    monkeypatch.chdir(tmp_path)
    write("prompts.jsonl", [{"instruction": q} for q in QUESTIONS])
    for name, answer in (("a", "It is the frost"), ("b", "Because of the wind")):
        rows = [{"instruction": q, "generator": name, "output": answer + "." * n} for n, q in enumerate(QUESTIONS)]
        write(f"{name}.jsonl", rows)
    return running


def write(path: str, rows: list[dict[str, str]]) -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows))


def at(server: Server, *more: str) -> list[str]:
    return ["--model", f"openai/{server.model}", "--base-url", server.url, *more]


def generate(server: Server, output: str, *more: str) -> int:
    return main(["generate", "prompts.jsonl", *at(server, "--max-tokens", "24", "-o", output, *more)])


def annotate(server: Server, judge: str, output: str, *more: str) -> int:
    return main(["annotate", "b.jsonl", "--baseline", "a.jsonl", "--judge", judge, *at(server, "-o", output, *more)])


def accept_all(server: Server) -> None:
    """The provider behind a proxy refuses no prompt any more."""
    if server.upstream is not None:
        server.upstream.plan.refuse = lambda call: None


def texts(path: str) -> list[str]:
    return [row["output"] for row in read_rows(path)]


def one_line(told: str) -> str:
    """What was said, which is one line and no traceback."""
    lines = told.strip().splitlines()
    assert len(lines) == 1, told
    return lines[0]


def stored(path: Path) -> int:
    """Answers in a store so far."""
    try:
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as store:
            count: int = store.execute("SELECT count(*) FROM completions").fetchone()[0]
    except sqlite3.OperationalError:
        return 0
    return count


def when_half_done(path: Path, then: Callable[[], object]) -> threading.Thread:
    """A thread that does something once a store has a few answers."""

    def watch() -> None:
        until = time.monotonic() + 60
        while stored(path) < 6 and time.monotonic() < until:
            time.sleep(0.005)
        then()

    thread = threading.Thread(target=watch)
    thread.start()
    return thread


def test_generate(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    assert generate(server, "one.jsonl") == 0
    assert generate(server, "again.jsonl") == 0
    told = capsys.readouterr().err
    assert "24 from the store" in told
    assert "was asked, but" not in told
    rows = read_rows("one.jsonl")
    assert [row["instruction"] for row in rows] == QUESTIONS
    assert all(isinstance(row["output"], str) and row["output_tokens"] > 0 for row in rows)
    assert texts("one.jsonl") == texts("again.jsonl")
    assert generate(server, "fresh.jsonl", "--store", "fresh.sqlite") == 0
    assert texts("fresh.jsonl") == texts("one.jsonl")


def test_samples(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    if server.upstream is not None:
        pytest.skip("the provider behind it answers a prompt always alike")
    drawn = ("--n", "3", "--temperature", "2", "--seed", "5", "--limit", "8")
    assert generate(server, "out.jsonl", *drawn) == 0
    told = capsys.readouterr().err
    assert ("the 3 samples of every instruction are the same" in told) is not server.draws
    assert generate(server, "seeded.jsonl", *drawn, "--store", "fresh.sqlite") == 0
    assert texts("seeded.jsonl") == texts("out.jsonl")


@pytest.mark.parametrize("judge", JUDGES)
def test_every_bundled_judge(server: Server, judge: str, capsys: pytest.CaptureFixture[str]) -> None:
    before = server.asked
    status = annotate(server, judge, "verdicts.jsonl")
    told = capsys.readouterr().err
    if judge == "pairwise-logprob" and not server.logprobs:
        assert status == 2
        assert "without log probabilities" in one_line(told)
        assert server.asked - before == 1, "the first answer tells it"
        return
    rows = read_rows("verdicts.jsonl")
    assert status == 0, told
    assert "warning" not in told
    assert [row["status"] for row in rows] == ["verdict"] * 2 * len(QUESTIONS)
    preferences = {row["preference"] for row in rows}
    assert min(preferences) < 1.5 < max(preferences)
    if judge == "pairwise-logprob":
        assert all(1 < preference < 2 for preference in preferences)


def test_a_schema_is_heeded_or_said_to_be_ignored(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    judge = Path("plain")
    judge.mkdir()
    (judge / "judge.yaml").write_text(PLAIN_JUDGE)
    (judge / "template.jinja").write_text(PLAIN_TEMPLATE)
    status = annotate(server, str(judge), "verdicts.jsonl", "--limit", "8")
    told = capsys.readouterr().err
    assert told.count("was not held to the JSON schema") == (not server.schema), told
    if server.schema:
        assert status in (0, 4)
        replies = [row["raw_completion"] for row in read_rows("verdicts.jsonl")]
        assert all(reply["text"].lstrip().startswith("{") for reply in replies if isinstance(reply, dict))


def test_a_model_that_is_not_there(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    before = server.asked
    asked = ["generate", "prompts.jsonl", "--model", "openai/no-such-model", "--base-url", server.url]
    assert main([*asked, "-o", "out.jsonl"]) == 2
    told = one_line(capsys.readouterr().err)
    assert "no-such-model" in told
    assert "--model" in told
    assert server.asked - before == 1
    assert not Path("out.jsonl").exists()


def test_a_prompt_beyond_the_context(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"instruction": q} for q in QUESTIONS[:6]]
    rows[2] = {"instruction": "hm " * 9000}
    write("prompts.jsonl", rows)
    if server.upstream is not None:
        too_long = "400:This model's maximum context length is 8192 tokens. However, you requested 27016 tokens."
        server.upstream.plan.refuse = lambda call: too_long if len(call.prompt) > 8192 else None
    try:
        status = generate(server, "out.jsonl")
    finally:
        accept_all(server)
    asked = [row["instruction"] for row in read_rows("out.jsonl")]
    told = capsys.readouterr().err
    if not server.bounded:
        # the model goes on beyond what it was trained for, and nothing in the answer says so
        assert status == 0
        assert len(asked) == 6
        return
    assert status == 4
    assert asked == [q for n, q in enumerate(QUESTIONS[:6]) if n != 2]
    assert "maximum context length is 8192 tokens" in told
    assert "run the same command again" not in told


def test_all_prompts_beyond_the_context(server: Server, capsys: pytest.CaptureFixture[str]) -> None:
    if not server.bounded:
        pytest.skip("it answers them")
    write("prompts.jsonl", [{"instruction": f"{n} hm " * 6000} for n in range(8)])
    if server.upstream is not None:
        server.upstream.plan.refuse = lambda call: "400:This model's maximum context length is 8192 tokens."
    try:
        status = generate(server, "out.jsonl")
    finally:
        accept_all(server)
    told = capsys.readouterr().err
    assert status == 4, told
    assert Path("out.jsonl").read_bytes() == b""


@pytest.mark.parametrize("key", ["", "sk-wrong-0123456789"])
def test_a_key_is_wanted(
    server: Server, key: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if server.key is None:
        pytest.skip("it takes no key")
    before = server.asked
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert generate(server, "out.jsonl") == 2
    told = one_line(capsys.readouterr().err)
    assert ("rejected the key" if key else "wants a key") in told
    assert "OPENAI_API_KEY" in told
    assert KEY not in told
    assert key not in told or not key
    assert server.asked - before == 1


def test_killed_half_way_and_started_again(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(patience, "OUTAGE", 300.0)
    assert generate(server, "undisturbed.jsonl", "--store", "undisturbed.sqlite", "--concurrency", "4") == 0
    capsys.readouterr()

    def outage() -> None:
        server.kill()
        time.sleep(2)
        server.start()

    watch = when_half_done(tmp_path / "cut.sqlite", outage)
    status = generate(server, "cut.jsonl", "--store", str(tmp_path / "cut.sqlite"), "--concurrency", "4")
    watch.join()
    told = capsys.readouterr().err
    assert status == 0, told
    assert texts("cut.jsonl") == texts("undisturbed.jsonl")
    assert told.count("all calls wait") == told.count("answers again") == 1, told


def test_killed_for_good(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(patience, "OUTAGE", 4.0)
    store = tmp_path / "cut.sqlite"
    asked = ("--store", str(store), "--concurrency", "4")
    watch = when_half_done(store, server.kill)
    started = time.monotonic()
    assert generate(server, "cut.jsonl", *asked) == 2
    took = time.monotonic() - started
    watch.join()
    told = capsys.readouterr().err
    assert took < 60
    assert "run the same command again" in told
    assert told.count("simfarm: ") == 1, told
    kept = stored(store)
    assert 0 < kept < len(QUESTIONS)
    server.start()
    assert generate(server, "cut.jsonl", *asked) == 0
    assert f"{kept} from the store" in capsys.readouterr().err
    assert generate(server, "whole.jsonl", "--store", "whole.sqlite") == 0
    assert texts("cut.jsonl") == texts("whole.jsonl")


def test_the_provider_behind_a_proxy_goes_and_comes(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if server.upstream is None:
        pytest.skip("nothing is behind it")
    monkeypatch.setattr(patience, "OUTAGE", 60.0)
    assert generate(server, "undisturbed.jsonl", "--store", "undisturbed.sqlite") == 0
    gone = threading.Event()
    server.upstream.plan.refuse = lambda call: "drop" if gone.is_set() else None

    def outage() -> None:
        gone.set()
        time.sleep(8)
        gone.clear()

    watch = when_half_done(tmp_path / "cut.sqlite", outage)
    status = generate(server, "cut.jsonl", "--store", str(tmp_path / "cut.sqlite"), "--concurrency", "4")
    watch.join()
    accept_all(server)
    assert status == 0, capsys.readouterr().err
    assert texts("cut.jsonl") == texts("undisturbed.jsonl")


def test_the_provider_behind_a_proxy_goes_for_good(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if server.upstream is None:
        pytest.skip("nothing is behind it")
    monkeypatch.setattr(patience, "OUTAGE", 10.0)
    # a proxy whose provider is dead answers, with errors: many different calls must meet them
    write("prompts.jsonl", [{"instruction": f"{n}: {q}"} for n in range(3) for q in QUESTIONS])
    gone = threading.Event()
    server.upstream.plan.refuse = lambda call: "drop" if gone.is_set() else None
    watch = when_half_done(tmp_path / "cut.sqlite", gone.set)
    started = time.monotonic()
    try:
        status = generate(server, "cut.jsonl", "--store", str(tmp_path / "cut.sqlite"), "--concurrency", "4")
    finally:
        accept_all(server)
    watch.join()
    told = capsys.readouterr().err
    assert status == 2, told
    assert "run the same command again" in told
    assert time.monotonic() - started < 90


@pytest.fixture
def without_template(
    request: pytest.FixtureRequest, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Server]:
    """A server of a model that has no chat template."""
    monkeypatch.chdir(tmp_path)
    write("prompts.jsonl", [{"instruction": q} for q in QUESTIONS])
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    if request.param == "vllm":
        yield from kept(vllm_server(models / "bare", tmp_path / "log"))
    else:
        yield from kept(transformers_serve("tiny/bare", request.getfixturevalue("hub"), tmp_path / "log"))


@pytest.mark.parametrize("without_template", ["transformers", "vllm"], indirect=True)
def test_a_model_without_a_chat_template(without_template: Server, capsys: pytest.CaptureFixture[str]) -> None:
    server = without_template
    assert generate(server, "out.jsonl") == 2
    told = one_line(capsys.readouterr().err)
    if server.kind == "vllm":
        assert "chat template" in told
    else:
        # all it says is that there was an internal error; the reason stands in its own log
        assert "500" in told
        assert "check the server's log" in told
    assert server.asked < 4 * len(QUESTIONS)


def test_a_server_that_loads_what_is_asked_for(
    models: Path,
    hub: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    write("prompts.jsonl", [{"instruction": q} for q in QUESTIONS])
    server = transformers_serve(None, hub, tmp_path / "log").start()
    try:
        server.model = "tiny/judge"
        assert generate(server, "out.jsonl") == 0
        assert "was asked, but" not in capsys.readouterr().err
        server.model = "no-such-model"
        assert generate(server, "none.jsonl") == 2
        assert "check the server's log" in one_line(capsys.readouterr().err)
    finally:
        server.kill()
