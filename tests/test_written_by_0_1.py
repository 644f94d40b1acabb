"""Files and a store that simfarm 0.1 wrote: read with the same verdicts, gone on with, and nothing asked again."""

import gzip
import importlib.util
import json
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import pandas as pd
import pytest

from simfarm.cli import main
from simfarm.data.files import read_rows

WRITTEN = Path(__file__).parent / "written_by_0_1"

ANSWERS = 84
"""In the store."""

PREFERENCES = [1, 1, 1, 2, None, None, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1]
"""Of the 16 calls, in both orders; the fifth and sixth stayed unparseable."""

SERVER = ["--model", "openai/judge-model", "--base-url", "http://127.0.0.1:48123/v1", "--store", "store.db"]
ANNOTATE = ["annotate", "restater.json", "--baseline", "baseline.json", *SERVER]
LETTER = [*ANNOTATE, "--judge", "judges/pairwise-letter"]
LOGPROB = [*ANNOTATE, "--judge", "judges/pairwise-logprob"]
OVER_RAY = [*LOGPROB, "--cluster", "ray", "--partition-rows", "3", "--workers", "1", "-o", "cluster"]
TINY = ["--model", "transformers/model", "--engine-arg", "device=cpu", "--store", "store.db"]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In a copy of the folder; nobody answers there."""
    shutil.copytree(WRITTEN, tmp_path / "copy")
    monkeypatch.chdir(tmp_path / "copy")
    monkeypatch.setenv("OPENAI_API_KEY", "sk-loopback")


def _lines(path: str) -> list[dict[str, Any]]:
    with gzip.open(path, "rt", encoding="utf-8") if path.endswith(".gz") else open(path, encoding="utf-8") as file:
        return [json.loads(line) for line in file]


def _count() -> int:
    connection = sqlite3.connect("store.db")
    number: int = connection.execute("SELECT count(*) FROM completions").fetchone()[0]
    connection.close()
    return number


def _same(made: str, written: str) -> None:
    """Every row and every column of then is there again; later versions may add columns."""
    then, now = _lines(written), _lines(made)
    assert [{name: row.get(name) for name in old} for old, row in zip(then, now, strict=True)] == then
    assert _count() == ANSWERS


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet", "jsonl.zst"])
def test_annotations_hold_the_same_verdicts(suffix: str) -> None:
    rows = read_rows(f"annotations.{suffix}")
    # CSV has texts
    assert [row["preference"] and float(row["preference"]) for row in rows] == PREFERENCES
    assert [row["status"] for row in rows] == ["unparseable" if p is None else "verdict" for p in PREFERENCES]
    assert [row["order"] for row in rows] == ["12", "21"] * 8
    assert main(["evaluate", f"annotations.{suffix}", "-o", "again.csv", "--quiet"]) == 0
    kept, made = pd.read_csv("board.csv"), pd.read_csv("again.csv")
    assert set(kept) <= set(made)
    # later limits allow for what so few instructions have not seen, and one model alone has no length control
    same = [name for name in kept if not name.endswith(("_low", "_high")) and name[:3] not in ("len", "lc_")]
    pd.testing.assert_frame_equal(made[same], kept[same], rtol=1e-6)
    assert (made["win_rate_low"] <= kept["win_rate_low"]).all()


def test_a_rerun_asks_nothing() -> None:
    assert main([*LETTER, "-o", "again.jsonl"]) == 4
    _same("again.jsonl", "annotations.jsonl")
    assert main([*LOGPROB, "--repeats", "2", "-o", "again.jsonl"]) == 0
    _same("again.jsonl", "repeats.jsonl.gz")


def test_a_store_tells_what_it_holds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["store", "--store", "store.db", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    judged = {group["judge"].partition(" ")[0]: group["answers"] for group in told["groups"]}
    assert told["answers"] == ANSWERS
    assert judged == {"pairwise-letter": 34, "pairwise-logprob": 32, "unknown": 18}


def test_a_model_joins_a_kept_board() -> None:
    before = pd.read_csv("board.csv").set_index("model")
    rows = [{**row, "generator_2": "newcomer"} for row in _lines("annotations.jsonl")]
    Path("new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main(["evaluate", "new.jsonl", "--add-to", "board.csv"]) == 0
    joined = pd.read_csv("board.csv").set_index("model")
    assert set(joined.index) == {"restater", "newcomer"}
    for column in ("win_rate", "n_total"):
        assert joined.loc["restater", column] == pytest.approx(before.loc["restater", column])
        assert joined.loc["newcomer", column] == pytest.approx(before.loc["restater", column])
    manifest = json.loads(Path("board.json").read_text())
    assert set(manifest["inputs"]) == {"annotations.jsonl", "new.jsonl"}


def _parts() -> dict[str, list[dict[str, Any]]]:
    return {path.name: read_rows(str(path)) for path in sorted(Path("cluster").glob("part-*.parquet"))}


@pytest.mark.engines
def test_a_cluster_run_that_is_done_has_nothing_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("ray")
    before = _parts()
    assert main(OVER_RAY) == 0
    assert "3 of 3 parts are there already" in capsys.readouterr().err
    assert _parts() == before


@pytest.mark.engines
def test_a_cluster_run_goes_on() -> None:
    pytest.importorskip("ray")
    before = _parts()
    Path("cluster/part-00001.parquet").unlink()
    assert main(OVER_RAY) == 0
    made = _parts()
    assert list(made) == list(before)
    assert [
        {name: now[name] for name in then}
        for part, rows in before.items()
        for then, now in zip(rows, made[part], strict=True)
    ] == [row for rows in before.values() for row in rows]
    assert _count() == ANSWERS


@pytest.mark.engines
def test_a_model_in_this_process_computes_nothing_again(monkeypatch: pytest.MonkeyPatch) -> None:
    if any(importlib.util.find_spec(package) is None for package in ("torch", "transformers")):
        pytest.skip("torch and transformers are not here")
    from simfarm.backends.transformers.backend import TransformersBackend

    def asked(*_: Any, **__: Any) -> NoReturn:
        raise AssertionError("the model was asked")

    for name in ("complete", "log_likelihood", "count_tokens"):
        monkeypatch.setattr(TransformersBackend, name, asked)
    more = ["--n", "3", "--max-tokens", "12", "--seed", "1", "--generator", "tiny", "--system", "Be brief."]
    assert main(["generate", "prompts.jsonl", *TINY, *more, "-o", "again.jsonl"]) == 0
    _same("again.jsonl", "samples.jsonl")
    choose: Sequence[str] = ["select", "samples.jsonl", "--method", "best-of-n", "--by", "likelihood", *TINY]
    assert main([*choose, "-o", "again.jsonl"]) == 0
    _same("again.jsonl", "chosen.jsonl")


def test_chosen_outputs_are_outputs() -> None:
    chosen = _lines("chosen.jsonl")
    Path("other.jsonl").write_text("".join(json.dumps({**row, "generator": "other"}) + "\n" for row in chosen))
    ask = ["annotate", "chosen.jsonl", "--baseline", "other.jsonl", "--judge", "longest", "-o", "ties.jsonl"]
    assert main(ask) == 0
    assert [(row["output_2"], row["preference"]) for row in _lines("ties.jsonl")] == [
        (row["output"], 1.5) for row in chosen
    ]
