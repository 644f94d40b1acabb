"""Where a user meets the end of a model: before the first call of a run, and in a board's manifest."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback

from simfarm.backends.http import retirements
from simfarm.cli import main
from simfarm.data.files import read_rows, write_rows

TODAY = datetime.now(UTC).date()
SOON = TODAY + timedelta(days=40)
OPENAI = {"id": "gpt-4.1", "object": "model", "created": 1744316542, "owned_by": "system"}
"""OpenAI's answer but for its date (`openai.types.Model`)."""


@pytest.fixture
def server() -> Iterator[Loopback]:
    with Loopback() as running:
        yield running


@pytest.fixture
def at_openai(monkeypatch: pytest.MonkeyPatch) -> None:
    """The loopback is OpenAI, as far as the table is concerned."""
    monkeypatch.setitem(retirements.HOSTS, "127.0.0.1", "openai")


PAIRS = 3


def outputs(generator: str) -> list[dict[str, Any]]:
    return [
        {"instruction": f"Name a river, number {n}.", "output": f"{generator} says {n}", "generator": generator}
        for n in range(PAIRS)
    ]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-none")
    for name in ("base", "m", "n"):
        write_rows(f"{name}.json", outputs(name))
    write_rows("q.jsonl", [{"instruction": f"Name a river, number {n}."} for n in range(PAIRS)])
    return tmp_path


def judged(server: Loopback, verb: str, name: str = "m", *more: str, model: str = "gpt-4.1") -> list[str]:
    asked = ["--judge", "pairwise-reasoned", "--model", f"openai/{model}", "--base-url", f"{server.url}/v1"]
    return [verb, f"{name}.json", "--baseline", "base.json", *asked, *more]


@pytest.mark.usefixtures("files")
def test_annotate_and_generate_warn_and_a_dry_run_and_a_rerun_do_not(
    server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    server.plan.models = {"gpt-4.1": OPENAI | {"shutdown_date": str(SOON)}}
    assert main(judged(server, "annotate", "m", "--dry-run")) == 0
    assert server.looked == []
    assert main(judged(server, "annotate", "m", "-o", "a.jsonl")) == 0
    told = capsys.readouterr().err
    assert told.count(f"warning: gpt-4.1 is shut down on {SOON}: this board cannot be continued after that\n") == 1
    assert main(judged(server, "annotate", "m", "-o", "a.jsonl")) == 0
    assert "shut down" not in capsys.readouterr().err
    assert (
        main(["generate", "q.jsonl", "--model", "openai/gpt-4.1", "--base-url", f"{server.url}/v1", "-o", "o.json"])
        == 0
    )
    assert f"gpt-4.1 is shut down on {SOON}: these outputs cannot be continued" in capsys.readouterr().err
    assert server.looked == ["gpt-4.1", "gpt-4.1"]


@pytest.mark.usefixtures("files")
def test_a_retired_model_is_one_line_and_exit_2(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    server.plan.models = {"gpt-4.1": {"id": "gpt-4.1", "lifecycle": "retired"}}
    assert main(judged(server, "annotate", "m", "-o", "a.jsonl")) == 2
    assert "openai has retired gpt-4.1: name another model with --model" in capsys.readouterr().err
    assert server.received == 0


@pytest.mark.usefixtures("files", "at_openai")
def test_a_model_that_is_gone_is_told_of_with_what_replaces_it(
    server: Loopback, capsys: pytest.CaptureFixture[str]
) -> None:
    server.plan.refuse = lambda call: "404"
    assert main(judged(server, "annotate", "m", "-o", "a.jsonl", model="gpt-4")) == 2
    told = capsys.readouterr().err
    assert "gpt-4 was shut down on 2026-10-23 (replacement: gpt-5.6-sol" in told
    assert "'gpt-4'" in told.splitlines()[-1]


@pytest.mark.usefixtures("files")
def test_a_boards_manifest_has_the_date_and_who_said_it(server: Loopback, capsys: pytest.CaptureFixture[str]) -> None:
    server.plan.models = {"gpt-4.1": OPENAI | {"shutdown_date": str(SOON)}}
    server.plan.model = "gpt-4.1-2025-04-14"
    assert main(judged(server, "evaluate", "m", "--add-to", "board")) == 0
    ends = {"shutdown": str(SOON), "learnt": f"the provider on {TODAY}"}
    models = json.loads(Path("board.json").read_text())["models"]
    assert models == {"gpt-4.1": ends, "gpt-4.1-2025-04-14": ends}
    # another model is another judge: it is said which one the board's was
    assert main(judged(server, "evaluate", "n", "--add-to", "board", model="other")) == 2
    assert "(that judge asked gpt-4.1, gpt-4.1-2025-04-14), the new verdicts with" in capsys.readouterr().err
    # now all that is asked is in the store, and nobody is asked for the date
    capsys.readouterr()
    assert main(judged(server, "evaluate", "m", "--add-to", "other")) == 0
    assert json.loads(Path("other.json").read_text())["models"] == {"gpt-4.1": {}, "gpt-4.1-2025-04-14": {}}
    assert "shut down" not in capsys.readouterr().err
    assert main(judged(server, "evaluate", "m", "--add-to", "board")) == 0
    assert json.loads(Path("board.json").read_text())["models"] == models
    assert f"gpt-4.1 is shut down on {SOON}" in capsys.readouterr().err
    # the provider takes its date back
    server.plan.models = {"gpt-4.1": OPENAI | {"shutdown_date": None}}
    assert main(judged(server, "evaluate", "n", "--add-to", "board")) == 0
    none = {"learnt": f"the provider on {TODAY}"}
    assert json.loads(Path("board.json").read_text())["models"] == {"gpt-4.1": none, "gpt-4.1-2025-04-14": none}
    assert "shut down" not in capsys.readouterr().err


def verdicts(generator: str, model: str | None) -> list[dict[str, Any]]:
    return [
        {"instruction": f"Question {n}?", "generator_1": "base", "generator_2": generator, "output_1": f"base {n}"}
        | {"output_2": f"{generator} {n}", "annotator": "judge", "judge_hash": "abc", "preference": 1 + n % 2}
        | ({"model": model} if model else {})
        for n in range(8)
    ]


@pytest.mark.usefixtures("files")
def test_verdicts_in_files_are_dated_by_the_table(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("one.jsonl", verdicts("one", "gpt-4-0613"))
    write_rows("two.jsonl", verdicts("two", None))
    assert main(["evaluate", "one.jsonl", "--add-to", "board"]) == 0
    known = {"shutdown": "2026-10-23", "replacement": "gpt-5.6-sol", "learnt": "simfarm's table of 2026-11-26"}
    assert json.loads(Path("board.json").read_text())["models"] == {"gpt-4-0613": known}
    capsys.readouterr()
    assert main(["evaluate", "two.jsonl", "--add-to", "board"]) == 0
    told = capsys.readouterr()
    assert "gpt-4-0613 was shut down on 2026-10-23" in told.out + told.err
    assert json.loads(Path("board.json").read_text())["models"] == {"gpt-4-0613": known}


@pytest.mark.usefixtures("files")
def test_a_manifest_of_an_earlier_simfarm_is_read_and_a_broken_one_refused(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("one.jsonl", verdicts("one", "local/model"))
    assert main(["evaluate", "one.jsonl", "--add-to", "board"]) == 0
    manifest = json.loads(Path("board.json").read_text())
    assert manifest.pop("models") == {"local/model": {}}
    Path("board.json").write_text(json.dumps(manifest))
    assert main(["evaluate", "one.jsonl", "--add-to", "board"]) == 0
    for models in ([], {"m": 3}, {"m": {"shutdown": "soon"}}, {"m": {"shutdown": 7}}, {"m": {"learnt": 7}}):
        Path("board.json").write_text(json.dumps(manifest | {"models": models}))
        capsys.readouterr()
        assert main(["evaluate", "one.jsonl", "--add-to", "board"]) == 2
        assert "board.json: the dates of its models cannot be read" in capsys.readouterr().err
    assert "model" not in read_rows("board.parquet")[0]
