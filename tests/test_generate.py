"""`simfarm generate`: outputs in input order, each made once whatever happens, with what made it."""

from __future__ import annotations

import json
import signal
import sqlite3
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from loopback import Call, Loopback

import simfarm
from simfarm.backends.http.traits import split_thoughts
from simfarm.cli import main
from simfarm.data.files import read_rows
from simfarm.data.sampling import Sampling
from simfarm.errors import InputError

QUESTIONS = [f"Why does the clock on tower {n} run late?" for n in range(30)]


@pytest.fixture
def prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.chdir(tmp_path)
    rows = [{"instruction_id": f"q{n}", "category": "clocks", "instruction": q} for n, q in enumerate(QUESTIONS)]
    Path("prompts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return "prompts.jsonl"


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> str:
    for needed in ("openvino_genai", "gguf", "torch", "transformers"):
        pytest.importorskip(needed)
    from tiny_model import build_tiny_gguf

    return str(build_tiny_gguf(tmp_path_factory.mktemp("gguf") / "tiny.gguf"))


def served(server: Loopback, *more: str) -> list[str]:
    return ["--model", "openai/m", "--base-url", f"{server.url}/v1", *more]


def test_outputs_come_in_order_with_what_made_them(prompts: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback(fault_every=7) as server:
        more = ("--system", "Be brief.", "--temperature", "0.5", "--top-p", "0.9", "--seed", "3", "--stop", "END")
        command = ["generate", prompts, *served(server, *more), "-o", "out.jsonl", "--concurrency", "8"]
        assert main(command) == 0
        told = capsys.readouterr()
        asked = server.received
        assert main([*command[:-4], "-o", "again.jsonl"]) == 0
        assert server.received == asked
        body = server.calls[0].body
    assert told.out == ""
    assert "30 outputs by m" in told.err
    assert "30 new answers (" in told.err
    assert "tokens/s" in told.err
    rows = read_rows("out.jsonl")
    assert [row["instruction"] for row in rows] == QUESTIONS
    assert rows == read_rows("again.jsonl")
    assert {key: rows[4][key] for key in ("instruction_id", "category", "generator", "sample", "system", "engine")} == {
        "instruction_id": "q4",
        "category": "clocks",
        "generator": "m",
        "sample": 0,
        "system": "Be brief.",
        "engine": "openai",
    }
    assert rows[4]["sampling"] == {"temperature": 0.5, "max_tokens": 1024, "top_p": 0.9, "seed": 3, "stop": ["END"]}
    assert rows[4]["output_tokens"] > 0
    assert [m["role"] for m in body["messages"]] == ["system", "user"]
    assert (body["temperature"], body["top_p"], body["stop"], body["max_tokens"]) == (0.5, 0.9, ["END"], 1024)


def test_samples_are_answers_of_their_own(prompts: str) -> None:
    with Loopback() as server:
        assert (
            main(["generate", prompts, *served(server, "--n", "3", "--seed", "1", "--limit", "4"), "-o", "o.jsonl"])
            == 0
        )
        seeds = [call.body["seed"] for call in server.calls]
        assert {call.body["temperature"] for call in server.calls} == {1.0}
    rows = read_rows("o.jsonl")
    assert [(row["instruction_id"], row["sample"]) for row in rows] == [
        (f"q{q}", s) for q in range(4) for s in range(3)
    ]
    assert len(set(seeds)) == 12, "two prompts, or two samples, drew with the same luck"
    assert {row["sampling"]["seed"] for row in rows} == {1}


@pytest.mark.parametrize("draws", [True, False])
def test_samples_that_are_all_alike_are_told(prompts: str, draws: bool, capsys: pytest.CaptureFixture[str]) -> None:
    def answer(call: Call) -> str:
        # one answer of all differs from the one before it
        text = "another" if draws and len(server.calls) == 12 else "the same"
        return "json:" + json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]})

    with Loopback(refuse=answer) as server:
        more = ("--n", "3", "--limit", "4", "--concurrency", "1")
        assert main(["generate", prompts, *served(server, *more), "-o", "o.jsonl"]) == 0
    told = capsys.readouterr().err
    assert ("the 3 samples of every instruction are the same" in told) is not draws
    assert ("do_sample: true" in told) is not draws


def test_what_a_server_for_open_models_takes(prompts: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("template.jinja").write_text("{{ messages }}")
    more = ("--repetition-penalty", "1.1", "--chat-template", "template.jinja", "--thinking", "off")
    more = (*more, "--template-arg", "effort=2", "--limit", "1")
    with Loopback() as server:
        assert main(["generate", prompts, *served(server, *more)]) == 0
        body = server.calls[0].body
    assert body["chat_template"] == "{{ messages }}"
    assert body["chat_template_kwargs"] == {"effort": 2, "enable_thinking": False}
    assert body["repetition_penalty"] == 1.1
    row = json.loads(capsys.readouterr().out)
    assert row["sampling"]["chat_template"].startswith("sha256:")


def test_a_refused_prompt_fails_alone_and_is_counted(prompts: str, capsys: pytest.CaptureFixture[str]) -> None:
    def refuse(call: Call) -> str | None:
        return "400" if "tower 5 " in call.prompt else None

    with Loopback(refuse=refuse) as server:
        assert main(["generate", prompts, *served(server), "-o", "o.jsonl"]) == 4
    told = capsys.readouterr().err
    assert "29 outputs by m, 1 could not be made" in told
    assert "no output 1×, first for instruction 6 (q5): " in told
    assert "tower" not in told
    assert "run the same command again" not in told
    assert [row["instruction"] for row in read_rows("o.jsonl")] == [q for q in QUESTIONS if "tower 5 " not in q]


def test_the_budget_ends_a_run_and_a_dry_run_asks_nothing(prompts: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Loopback() as server:
        priced = served(server, "--price", "1000,1000", "--concurrency", "1")
        assert main(["generate", prompts, *priced, "--dry-run"]) == 0
        assert server.received == 0
        assert "30 outputs\n0 answers are in the store" in capsys.readouterr().out
        assert main(["generate", prompts, *priced, "--budget", "0.25", "--max-tokens", "100", "-o", "o.jsonl"]) == 3
        made = len(read_rows("o.jsonl"))
        assert 0 < made < 30
        assert "stopped: the next call could exceed the budget" in capsys.readouterr().err
        assert main(["generate", prompts, *priced, "--max-tokens", "100", "-o", "o.jsonl"]) == 0
        assert server.received == 30
    assert len(read_rows("o.jsonl")) == 30


def test_chats_and_outputs_are_prompts_too(prompts: str) -> None:
    chat = [
        {"role": "user", "content": "Hi"},
        {"role": "assistant", "content": "Hello"},
        {"role": "user", "content": "So?"},
    ]
    own = [{"role": "system", "content": "Mine."}, {"role": "user", "content": "Then?"}]
    Path("chats.json").write_text(json.dumps([{"messages": chat}, {"messages": own}]))
    old = {"instruction": "Why?", "output": "Old.", "generator": "g", "sample": 2, "model": "old", "colour": "red"}
    Path("outputs.json").write_text(json.dumps([old]))
    with Loopback() as server:
        inputs = ["chats.json", "outputs.json"]
        assert main(["generate", *inputs, *served(server, "--system", "Ours."), "-o", "o.json"]) == 0
        roles = sorted([m["role"][0] for m in call.body["messages"]] for call in server.calls)
        systems = {m["content"] for call in server.calls for m in call.body["messages"] if m["role"] == "system"}
    assert roles == [["s", "u"], ["s", "u"], ["s", "u", "a", "u"]]
    assert systems == {"Ours.", "Mine."}
    rows = read_rows("o.json")
    assert rows[0]["messages"] == chat
    assert rows[2]["output"] != "Old."
    assert (rows[2]["sample"], rows[2]["colour"], rows[2]["generator"], rows[2]["model"]) == (0, "red", "m", "m")


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        ([{"prompt": "Why?"}], "row 1 lacks the column 'instruction'"),
        ([{"instruction": " "}], "row 1 has an empty instruction"),
        ([{"instruction": "Why?"}, {"instruction": "Why? "}], r"row 2 repeats row 1 .* several answers with --n"),
        ([{"messages": [{"role": "assistant", "content": "x"}]}], "end with an answer; leave the last one out"),
        ([{"messages": [{"content": "x"}]}], "needs 'messages' as a list"),
    ],
)
def test_rows_that_cannot_be_asked(rows: list[dict[str, Any]], told: str, tmp_path: Path) -> None:
    path = tmp_path / "p.json"
    path.write_text(json.dumps(rows))
    with pytest.raises(InputError, match=told):
        simfarm.generate(path, "openai/m", base_url="http://127.0.0.1:9/v1")


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--n", "0"], "n is 0; it must be a whole number of at least 1"),
        (["--n", "-2"], "n is -2"),
        (["--max-tokens", "0"], "max_tokens is 0"),
        (["--n", "4", "--temperature", "0"], "4 answers at temperature 0 would all be the same"),
        (["--temperature", "-1"], "temperature is -1.0; it must be 0 (greedy) or above"),
        (["--temperature", "nan"], "temperature is nan"),
        (["--top-p", "1.5"], "top_p is 1.5; it must be above 0 and at most 1"),
        (["--seed", "-1"], "seed is -1"),
        (["--stop", ""], "a stop string is empty"),
        (["--stop", "\udcff"], "not valid Unicode text"),
        (["--temperature", "1e-300"], "0 (greedy) or at least 0.01"),
        (["--top-p", "1e-300"], "top_p is 1e-300"),
        (["--repetition-penalty", "1e-300"], "repetition_penalty is 1e-300"),
        (["--chat-template", "empty.jinja"], "the chat template is empty"),
        (["--template-arg", "a=1e999"], "is beyond any number"),
        (["-o", "prompts.jsonl"], "is an input as well, and would be replaced"),
        (["prompts.jsonl"], "prompts.jsonl: is given twice"),
        (["--chat-template", "none.jinja"], "none.jinja: no such file"),
        (["--template-arg", "thinking"], "'thinking' is not NAME=VALUE"),
        (["--engine-arg", "dtype=f32"], "--engine-arg dtype is for a model in this process"),
        (["--model", "replay/prompts.jsonl"], "no row has a 'raw_completion'"),
        (["--model", "nothing"], "no backend for the model 'nothing'"),
        (["--model", "embedded"], "run 'simfarm setup-local' once"),
        pytest.param(
            ["--model", "none.gguf"],
            "none.gguf: no such file or folder",
            marks=pytest.mark.skipif(find_spec("openvino_genai") is None, reason="openvino-genai is not installed"),
        ),
        (["-o", "no/such/folder.jsonl"], "does not exist; make it first"),
        (["-o", "o.txt"], "unknown file format"),
    ],
)
def test_bad_options_are_one_line(
    more: list[str], told: str, prompts: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SIMFARM_CACHE", "nowhere")
    Path("empty.jinja").write_text(" ")
    command = ["generate", *([] if "--model" in more else ["--model", "openai/m"])]
    if "embedded" not in more and "none.gguf" not in more and "replay/prompts.jsonl" not in more:
        command += ["--base-url", "http://127.0.0.1:9/v1"]
    try:
        status = main([*command, *more, prompts])
    except SystemExit as left:
        status = int(str(left.code))
    assert status == 2
    said = capsys.readouterr().err.strip()
    assert told in said
    assert said.count("\n") == 0


def test_thinking_is_no_part_of_the_answer() -> None:
    assert split_thoughts("<think>\nhm\n</think>\n\nYes.") == ("Yes.", "hm")
    assert split_thoughts("hm</think>Yes.") == ("Yes.", "hm")
    assert split_thoughts("<think>hm, and then") == ("", "hm, and then")
    for plain in ("Yes, I <think> so.", "A <think> opens a thought and </think> closes it."):
        assert split_thoughts(plain) == (plain, None)


def test_a_thought_is_no_part_of_an_output(prompts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    thoughts = iter(["<think>\nhm\n</think>\n\nYes.", "<think>hm, and then", "No thought."] * 2)
    monkeypatch.setattr("loopback.reply", lambda call: next(thoughts))
    with Loopback() as server:
        command = ["generate", prompts, *served(server, "--limit", "3", "--concurrency", "1"), "-o", "o.jsonl"]
        assert main(command) == 0
        # the store keeps the whole answer, and a row from it is the same
        assert main([*command[:-1], "again.jsonl"]) == 0
        assert server.received == 3
    rows = read_rows("o.jsonl")
    assert [row["output"] for row in rows] == ["Yes.", "", "No thought."]
    assert [row.get("thinking") for row in rows] == ["hm", "hm, and then", None]
    assert rows == read_rows("again.jsonl")


def test_records_say_what_was_sent(prompts: str, capsys: pytest.CaptureFixture[str]) -> None:
    chats = [
        {"messages": [{"role": "system", "content": "Mine."}, {"role": "user", "content": "Hi"}]},
        {"instruction": "Hi"},
    ]
    Path("chats.json").write_text(json.dumps(chats))
    with Loopback(model="another-model") as server:
        assert main(["generate", "chats.json", *served(server, "--system", "Ours."), "-o", "o.json"]) == 0
        told = capsys.readouterr().err
        assert "warning: m was asked, but another-model (2×) answered" in told
        assert [row.get("system") for row in read_rows("o.json")] == [None, "Ours."]
        for option in (["--temperature", "0.7"], ["--stop", "END"], ["--top-p", "0.5"]):
            command = ["generate", prompts, "--model", "openai/o3", "--base-url", f"{server.url}/v1", *option]
            assert main(command) == 2
            assert f"o3 takes no {option[0][2:].replace('-', '_')} while it thinks" in capsys.readouterr().err
        dated = ["generate", prompts, "--limit", "1", "--base-url", f"{server.url}/v1", "--model", "openai/m@20240620"]
        assert main([*dated, "-o", "o.json"]) == 0
        assert read_rows("o.json")[0]["generator"] == "m@20240620"


def test_a_record_names_no_temperature_that_was_not_sent(prompts: str) -> None:
    with Loopback() as server:
        for model in ("gpt-6-luna", "m"):
            command = ["generate", prompts, "--model", f"openai/{model}", "--base-url", f"{server.url}/v1"]
            assert main([*command, "-o", f"{model}.jsonl"]) == 0
            recorded = read_rows(f"{model}.jsonl")[0]["sampling"]
            assert ("temperature" in recorded) == ("temperature" in server.calls[-1].body)


def test_who_speaks_is_part_of_the_question(prompts: str) -> None:
    with Loopback() as server:
        for name in ("alice", "bob"):
            chat = [{"role": "user", "name": name, "content": "Who am I?"}]
            Path("chat.json").write_text(json.dumps([{"messages": chat}]))
            assert main(["generate", "chat.json", *served(server), "-o", "o.json"]) == 0
        assert [call.body["messages"][0]["name"] for call in server.calls] == ["alice", "bob"]


def test_columns_of_a_prompt_and_of_an_output(prompts: str, capsys: pytest.CaptureFixture[str]) -> None:
    Path("p.json").write_text(json.dumps([{"instruction": "Hi", "colour": "red", "price": 3}]))
    samples = [{"instruction": "Hi", "output": str(s), "generator": "g", "sample": s, "price": 3} for s in range(3)]
    Path("samples.json").write_text(json.dumps(samples))
    with Loopback() as server:
        assert main(["generate", "p.json", *served(server), "-o", "o.json"]) == 0
        assert {key: read_rows("o.json")[0][key] for key in ("colour", "price")} == {"colour": "red", "price": 3}
        assert main(["generate", "samples.json", *served(server), "-o", "o.json"]) == 0
        assert len(read_rows("o.json")) == 1
        assert "price" not in read_rows("o.json")[0]
        for row, told in (
            ({"instruction": "Hi", "system": "Be a pirate."}, "a column 'system', which is not sent"),
            ({"instruction": "Hi", "dataset": ["a"]}, "has a list in 'dataset'"),
        ):
            Path("bad.json").write_text(json.dumps([row]))
            assert main(["generate", "bad.json", *served(server)]) == 2
            assert told in capsys.readouterr().err


def test_python_takes_parquet_frames_and_numbers_of_any_kind(prompts: str) -> None:
    import pandas as pd

    chat = [{"role": "user", "content": "Hi"}]
    pd.DataFrame([{"messages": chat}]).to_parquet("chats.parquet")
    with Loopback() as server:
        where = {"base_url": f"{server.url}/v1"}
        frame = simfarm.generate(pd.read_parquet("chats.parquet"), "openai/m", **where)
        assert frame["messages"][0] == chat
        for temperature, top_p in ((0, 1), (0.0, 1.0)):
            simfarm.generate(prompts, "openai/m", limit=2, temperature=temperature, top_p=top_p, **where)
        assert server.received == 3
        for wrong, told in (
            ({"limit": -1}, "limit is -1"),
            ({"concurrency": -1}, "concurrency is -1"),
            ({"temperature": "hot"}, "temperature is 'hot'"),
            ({"template_args": {"a": {1}}}, "must be what JSON can hold"),
            ({"stop": [1]}, "must be a list of texts"),
        ):
            with pytest.raises(InputError, match=told):
                simfarm.generate(prompts, "openai/m", **where, **wrong)  # type: ignore[arg-type]


@pytest.mark.engines
def test_a_model_in_this_process_costs_no_money_and_has_time(tiny: str, prompts: str) -> None:
    made = simfarm.generate(prompts, tiny, limit=2, max_tokens=4, budget=0.01)
    assert len(made) == 2
    with pytest.raises(InputError, match="--timeout is for a server's calls"):
        simfarm.generate(prompts, tiny, limit=2, timeout=5)


def test_the_sampling_in_force() -> None:
    assert Sampling().of_sample(0) == {"temperature": 0.0, "max_tokens": 1024}
    assert Sampling(n=2).of_sample(1)["temperature"] == 1.0
    assert "seed" not in Sampling(seed=1).of_sample(0)
    drawn = Sampling(n=2, seed=1)
    assert drawn.of_sample(0, "a") == drawn.of_sample(0, "a")
    assert len({drawn.of_sample(s, p)["seed"] for s in range(2) for p in "ab"}) == 4


@pytest.mark.filterwarnings("ignore:.*cut off")
@pytest.mark.engines
def test_a_model_opened_once_generates_and_judges(tiny: str, prompts: str, tmp_path: Path) -> None:
    from tiny_model import build_tiny_gguf

    model = simfarm.open_model(str(build_tiny_gguf(tmp_path / "wide.gguf", context=1024)))
    first = simfarm.generate(prompts, model, limit=3, max_tokens=8, generator="first")
    second = simfarm.generate(prompts, model, limit=3, max_tokens=8, generator="second", system="Be kind.")
    assert list(first["revision"]) == [model.model.rpartition("@")[2]] * 3
    assert first["engine"][0].startswith("openvino-genai")
    assert list(first["output"]) != list(second["output"])
    verdicts = simfarm.annotate(second, baseline=first, judge="pairwise-letter", model=model)
    assert set(verdicts["model"]) == {model.model}
    assert set(verdicts["status"]) == {"verdict"}, "random weights are held to the letters"


@pytest.mark.engines
def test_a_prompt_longer_than_the_context_fails_alone(
    tiny: str, prompts: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with Path(prompts).open("a") as file:
        file.write(json.dumps({"instruction": "why " * 400}) + "\n")
        file.write(json.dumps({"instruction": "And now?"}) + "\n")
    assert main(["generate", prompts, "--model", tiny, "--max-tokens", "4", "-o", "o.jsonl"]) == 4
    told = capsys.readouterr().err
    assert "31 outputs by tiny, 1 could not be made" in told
    assert "first for instruction 31: the prompt has " in told
    assert "tokens and the context holds 256" in told
    assert [row["instruction"] for row in read_rows("o.jsonl")] == [*QUESTIONS, "And now?"]


@pytest.mark.engines
def test_killed_half_way_and_run_again(tiny: str, prompts: str, tmp_path: Path) -> None:
    """With one call at a time a greedy run that was killed twice ends as the run that nobody disturbed."""
    rows = [{"instruction": f"{q} And clock {n}?"} for n in range(4) for q in QUESTIONS]
    Path("many.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    command = [sys.executable, "-m", "simfarm", "generate", "many.jsonl", "--model", tiny, "--concurrency", "1"]
    command += ["--max-tokens", "48", "--store"]

    def kept() -> int:
        try:
            with sqlite3.connect("killed.sqlite") as store:
                return int(store.execute("SELECT count(*) FROM completions").fetchone()[0])
        except sqlite3.OperationalError:
            return 0

    for stop_at in (10, 60):
        run = subprocess.Popen([*command, "killed.sqlite", "-o", "killed.jsonl"], stderr=subprocess.DEVNULL)
        while kept() < stop_at and run.poll() is None:
            time.sleep(0.005)
        run.send_signal(signal.SIGKILL)
        assert run.wait() == -signal.SIGKILL, "the run ended before it was killed"
        assert not Path("killed.jsonl").exists()
    before = kept()
    done = subprocess.run([*command, "killed.sqlite", "-o", "killed.jsonl"], capture_output=True, text=True, check=True)
    assert f"{len(rows) - before} new answers" in done.stderr
    assert f"{before} from the store" in done.stderr
    subprocess.run([*command, "clean.sqlite", "-o", "clean.jsonl"], capture_output=True, check=True)
    ended, clean = ([row | {"seconds": 0} for row in read_rows(name)] for name in ("killed.jsonl", "clean.jsonl"))
    assert [row["instruction"] for row in ended] == [row["instruction"] for row in rows]
    assert ended == clean
