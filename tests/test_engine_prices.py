"""What is not known of a price or of who answered is said to be unknown, in rows, sums and warnings."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from loopback import Call, Loopback, answer_openai

from simfarm.cli import main
from simfarm.data.records import Comparison
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.options import JudgeOptions, RunOptions
from simfarm.runs.run import same_model

PAIRS = [Comparison(f"Q{n}?", "one", "two", "x", "y") for n in range(4)]


def without_usage(call: Call) -> str:
    return "json:" + json.dumps({**answer_openai(call, ""), "model": "judge-1", "usage": None})


def judged(server: Loopback, judge: str, **options: Any) -> tuple[AnnotationRun, list[Any]]:
    session = AnnotationRun.open(
        JudgeOptions(judge, model="openai/judge-1", order="hashed"), RunOptions(base_url=f"{server.url}/v1", **options)
    )
    return session, list(session.results(PAIRS))


def test_a_call_whose_repair_has_no_price_has_none(tmp_path: Path) -> None:
    """Half a price is no price: the first answer's tokens are known, those of its repair are not."""

    def refuse(call: Call) -> str | None:
        if len(call.body["messages"]) > 2:
            return without_usage(call)
        odd = {**answer_openai(call, ""), "model": "judge-1"}
        odd["choices"][0]["message"]["content"] = "I cannot decide."
        return "json:" + json.dumps(odd) if "Q1?" in call.prompt else None

    with Loopback(refuse=refuse) as server:
        session, rows = judged(server, "pairwise-reasoned", price=(1.0, 2.0), store=tmp_path / "s.sqlite")
    assert [row.status for row in rows] == ["verdict"] * 4
    assert [row.calls for row in rows] == [1, 2, 1, 1]
    assert [row.price is None for row in rows] == [False, True, False, False]
    assert [row.input_tokens is None for row in rows] == [False, True, False, False]
    assert session.pace() == "unknown price"
    assert "unknown price" in "\n".join(session.closing_lines())


def test_a_model_without_a_price_costs_nothing_known_and_never_zero(tmp_path: Path) -> None:
    with Loopback() as server:
        session, rows = judged(server, "pairwise-logprob", store=tmp_path / "s.sqlite")
    assert {row.price for row in rows} == {None}
    assert session.pace() == "unknown price"


def test_answers_without_usage_use_the_budget_up(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pairs.json").write_text(
        json.dumps([{"instruction": p.instruction, "output_1": "a", "output_2": "b"} for p in PAIRS] * 1)
    )
    command = ["annotate", str(tmp_path / "pairs.json"), "--judge", "pairwise-logprob", "--model", "openai/judge-1"]
    with Loopback(refuse=without_usage) as server:
        # one call may cost 1 dollar and a bit at most: its one output token
        command += ["--base-url", f"{server.url}/v1", "--order", "hashed", "--price", "0,1000000", "--budget", "2.5"]
        assert main([*command, "-o", str(tmp_path / "made.jsonl")]) == 3
        assert server.received == 2
    assert "unknown price" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("gpt-4.1", "gpt-4.1", True),
        ("gpt-4.1", "gpt-4.1-2025-04-14", True),
        ("gpt-4.1", "openai/GPT-4.1", True),
        ("claude-sonnet-4-5-latest", "claude-sonnet-4-5-20250929", True),
        ("anthropic.claude-3", "anthropic.claude-3-20250101-v1:0", True),
        ("tiny", "tiny@main", True),
        ("gpt-4.1", "gpt-4.1-mini", False),
        ("gpt-4.1", "gpt-4.1-mini-2025-04-14", False),
        ("gpt-4.1-mini", "gpt-4.1", False),
        ("gpt-4.1", "gpt-4", False),
        ("gpt-4.1", "gpt-4x1", False),
        ("gpt-4", "gpt-4.1", False),
        ("tiny", "tiny-2@main", False),
    ],
)
def test_which_names_are_one_model(asked: str, answered: str, same: bool) -> None:
    assert same_model(asked, answered) == same


def test_another_model_that_answers_is_told(tmp_path: Path) -> None:
    with Loopback(model="judge-1-mini") as server:
        session, _ = judged(server, "pairwise-logprob", store=tmp_path / "s.sqlite")
    assert "warning: judge-1 was asked, but judge-1-mini (4×) answered" in session.closing_lines()


def test_a_damaged_answer_in_the_store_is_asked_again_and_told(tmp_path: Path) -> None:
    where = tmp_path / "s.sqlite"
    with Loopback() as server:
        _, before = judged(server, "pairwise-logprob", store=where)
        with closing(sqlite3.connect(where)) as store, store:
            store.execute("UPDATE completions SET completion = '{\"text\": null}' WHERE rowid = 2")
        again, after = judged(server, "pairwise-logprob", store=where)
        clean, _ = judged(server, "pairwise-logprob", store=where)
        assert server.received == 5
    assert [row.preference for row in after] == [row.preference for row in before]
    assert "warning: 1 answer in the store was damaged: asked again" in again.closing_lines()
    assert not any("damaged" in line for line in clean.closing_lines())
