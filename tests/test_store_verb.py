"""`simfarm store`: what is there, of which model and judge, and pruning that says how much."""

import asyncio
import json
import sqlite3
import time
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback

from simfarm.cli import main
from simfarm.data.exchange import Completion
from simfarm.data.files import write_rows
from simfarm.engine.store import Store
from simfarm.engine.stored import Chosen, contents, prune, remember
from simfarm.errors import InputError
from simfarm.judges import load_judge


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store with six answers to each of two judges, and three outputs, which no judge asked for."""
    for name in ("model-m", "base"):
        rows = [{"instruction": f"Q {i}?", "output": f"{name} {i}" * 3, "generator": name} for i in range(3)]
        write_rows(tmp_path / f"{name}.json", rows)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_API_KEY", "loopback")
    with Loopback(model="answering-model") as server:
        more = ["--base-url", f"{server.url}/v1", "--quiet"]
        for judge in ("pairwise-reasoned", "pairwise-json"):
            asked = ["annotate", "model-m.json", "--baseline", "base.json", "--judge", judge, "-o", "a.jsonl"]
            assert main([*asked, *more]) == 0
        assert main(["generate", "base.json", "--model", "openai/x", "-o", "o.jsonl", *more]) == 0
    return tmp_path / "store.sqlite"


def rows(path: Path) -> int:
    with sqlite3.connect(path) as connection:
        return int(connection.execute("SELECT count(*) FROM completions").fetchone()[0])


def listed(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    capsys.readouterr()
    assert main(["store", "--json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_it_says_where_how_large_and_whose(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = listed(capsys)
    assert (found["path"], found["answers"]) == (str(store), 15)
    assert found["bytes"] >= store.stat().st_size
    groups = {group["judge"]: (group["model"], group["answers"]) for group in found["groups"]}
    named = [judge.replace(model="openai/gpt-6-luna") for judge in map(load_judge, ["pairwise-reasoned"])]
    assert groups["unknown"] == ("answering-model", 3)
    assert groups[f"pairwise-reasoned ({named[0].hash})"] == ("answering-model", 6)
    assert main(["store"]) == 0
    told = capsys.readouterr().out
    assert f"{store}: 15 answers" in told
    assert "pairwise-json (" in told


def test_pruning_says_how_many_and_deletes_those(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for more, count in (
        (["--judge", "pairwise-json"], 6),
        (["--judge", "pairwise-jso_"], 0),
        (["--judge", "unknown"], 3),
        (["--model", "answering-model"], 15),
        (["--model", "answering"], 0),
        (["--older-than", "1h"], 0),
        (["--model", "answering-model", "--judge", "pairwise-json"], 6),
    ):
        assert main(["store", "--prune", *more, "--dry-run"]) == 0
        assert f"{count} of 15 answers would be deleted" in capsys.readouterr().out
    assert rows(store) == 15
    assert main(["store", "--prune", "--judge", "pairwise-json"]) == 0
    assert "deleted 6 of 15 answers" in capsys.readouterr().out
    assert rows(store) == 9
    (hash_of,) = (g["judge"] for g in listed(capsys)["groups"] if g["judge"] != "unknown")
    assert main(["store", "--prune", "--judge", hash_of.partition("(")[2].rstrip(")")]) == 0
    assert rows(store) == 3
    with sqlite3.connect(store) as connection:
        connection.execute("UPDATE completions SET created = ?", [time.time() - 100 * 86400])
    assert main(["store", "--prune", "--older-than", "101d"]) == 0
    assert rows(store) == 3
    assert main(["store", "--prune", "--older-than", "14w"]) == 0
    assert rows(store) == 0


def test_what_was_pruned_is_asked_again_and_nothing_else(store: Path) -> None:
    assert main(["store", "--prune", "--judge", "pairwise-json"]) == 0
    with Loopback() as server:
        for judge, received in (("pairwise-reasoned", 6), ("pairwise-json", 6)):
            before = server.received
            asked = ["annotate", "model-m.json", "--baseline", "base.json", "--judge", judge, "-o", "a.jsonl"]
            assert main([*asked, "--base-url", f"{server.url}/v1"]) == 0
            # another server is another question; what matters is that the store still takes answers
            assert server.received == before + received
    assert contents(store).answers == 9 + 12


def test_a_store_of_an_earlier_version_has_unknown_judges(store: Path) -> None:
    with sqlite3.connect(store) as connection:
        connection.execute("DROP TABLE judges")
    assert {group.judge for group in contents(store).groups} == {"unknown"}
    assert prune(store, Chosen(judge="unknown"), dry_run=True) == (15, False)
    assert prune(store, Chosen(model="answering-model")) == (15, True)


def test_another_process_may_have_it_open(store: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reader = sqlite3.connect(store)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM completions").fetchone()
    assert main(["store", "--prune", "--model", "answering-model"]) == 0
    told = capsys.readouterr()
    assert "deleted 15 of 15" in told.out
    assert "another process has the store open" in told.err
    reader.rollback()
    reader.close()
    assert rows(store) == 0


def test_a_locked_store_is_one_line(
    store: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simfarm.engine.stored.WAIT", 0.1)
    writer = sqlite3.connect(store, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    capsys.readouterr()
    assert main(["store", "--prune", "--model", "answering-model"]) == 1
    told = capsys.readouterr().err
    assert "is another process writing to it?" in told
    assert told.count("\n") == 1
    writer.close()
    assert rows(store) == 15


def test_bad_input_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path(tmp_path, "text.sqlite").write_text("no database at all, but a text of some length " * 40)
    with sqlite3.connect(tmp_path / "other.sqlite") as connection:
        connection.execute("CREATE TABLE t (x)")
    assert main(["store"]) == 0
    assert "holds no answer yet" in capsys.readouterr().out
    for more, told in (
        (["--store", str(tmp_path / "none.sqlite")], "no such store"),
        (["--store", str(tmp_path)], "no such store"),
        (["--store", str(tmp_path / "text.sqlite")], "cannot be read as a store"),
        (["--store", str(tmp_path / "other.sqlite")], "is no simfarm store"),
        (["--prune"], "no such store"),
        (["--older-than", "90d"], "--older-than does nothing without --prune"),
        (["--model", "x"], "--model does nothing without --prune"),
        (["--dry-run"], "--dry-run does nothing without --prune"),
        (["--prune", "--older-than", "90"], "write hours, days or weeks as 12h, 90d or 8w"),
        (["--prune", "--older-than", "-3d"], "expected one argument"),
        (["--prune", "--json", "--model", "x"], "--json goes with the list"),
    ):
        try:
            status = main(["store", *more])
        except SystemExit as stopped:
            status = int(str(stopped.code))
        said = capsys.readouterr()
        assert (status, said.out) == (2, ""), more
        assert told in said.err
        assert said.err.count("\n") == 1


def test_prune_wants_to_know_what(store: Path) -> None:
    with pytest.raises(InputError, match="add --older-than 90d, --model NAME or --judge NAME"):
        prune(store, Chosen())
    assert main(["store", "--prune"]) == 2
    assert rows(store) == 15


def test_a_store_that_was_removed_meanwhile_is_not_left_as_a_file_that_is_none(tmp_path: Path) -> None:
    remember(tmp_path / "gone.sqlite", [b"key"], "judge (hash)")
    assert not list(tmp_path.iterdir())


def test_the_list_for_machines_is_json_whatever_a_model_is_called(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "s.sqlite"
    opened = Store(path)
    asyncio.run(opened.put(b"key", Completion("A", model="\x9b31m\x7f")))
    opened.close()
    assert main(["store", "--store", str(path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["groups"][0]["model"] == "\x9b31m\x7f"
