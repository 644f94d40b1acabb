"""Every bundled judge through what a user does with one: look at it, ask it, rank, compare and show what it gave.

A judge that is added is covered by its folder alone: how it is asked follows from what it says of itself."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from loopback import Loopback, answer_decision
from test_likelihood import Reader

from simfarm.cli import main
from simfarm.judges import Judge, Population, list_judges, list_populations

N = 4
OVER_B = ("a.jsonl", "c.jsonl", "--baseline", "b.jsonl")
JUDGES = {one.name: one for one in (*list_judges(), *list_populations())}
TEXTS = {"a": "It is {}, which I looked up twice.", "b": "Perhaps {}.\n\n- one\n- two", "c": "No idea about {}, sorry."}


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Loopback(decision=answer_decision) as server:
        yield f"{server.url}/v1"


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    """Outputs of three models, labels of two people, and models that answer: over HTTP, and in this process."""
    from simfarm.runs import run

    real = run.opened
    given = lambda model, **more: (Reader(), Reader.model) if model == "embedded" else real(model, **more)  # noqa: E731
    monkeypatch.setattr(run, "opened", given)
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    for name in ("OPENAI_API_KEY", "ANTHROPIC_API_KEY"):
        monkeypatch.setenv(name, "loopback")
    monkeypatch.chdir(tmp_path)
    known = {"checklist": ["Names a number.", "Is brief."], "reference": "It is 2."}
    for name, text in TEXTS.items():
        write(
            f"{name}.jsonl",
            [known | {"instruction": f"Q{i}?", "output": text.format(i), "generator": name} for i in range(N)],
        )
    pairs = [{f"output_{k}": TEXTS[g].format(i) for k, g in ((1, "b"), (2, "a"))} for i in range(N)]
    named = {"generator_1": "b", "generator_2": "a"}
    labels = [
        {"instruction": f"Q{i}?", "annotator": who, "preference": 1.0 + (i + k) % 2, **pair, **named}
        for i, pair in enumerate(pairs)
        for k, who in enumerate(("ann", "bob"))
    ]
    write("labels.jsonl", labels)


def write(path: str, rows: list[dict[str, Any]]) -> None:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")


def rows_of(path: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def done(capsys: pytest.CaptureFixture[str], *command: str) -> str:
    """What a command printed, which has found nothing amiss with the judge."""
    status = main([*command])
    told = capsys.readouterr()
    assert status == 0, told.err
    assert not [line for line in told.err.splitlines() if "defect of ours" in line or "are missing" in line]
    return told.out


@pytest.mark.parametrize("name", JUDGES)
def test_a_bundled_judge_goes_all_the_way(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    judge = JUDGES[name]
    assert name in done(capsys, "judges", "show", name)
    assert "fit for use" in done(capsys, "judges", "check", name)
    rates = isinstance(judge, Judge) and (judge.alone or judge.scoring is not None)
    inputs = ["a.jsonl", "b.jsonl", "c.jsonl"] if rates else [*OVER_B]
    # the members of a population have models of their own, which are not all here
    asked = ["--judge", name, *([] if isinstance(judge, Judge) else ["--model", "openai/gpt-6-luna"])]
    done(capsys, "annotate", *inputs, *asked, "--dry-run")
    done(capsys, "annotate", *inputs, *asked, "-o", "out.jsonl")
    check_rows(rows_of("out.jsonl"), judge, rates)
    # answers that are known give the same rows in another format
    done(capsys, "annotate", *inputs, *asked, "-o", "again.csv")
    board = json.loads(done(capsys, "evaluate", "out.jsonl", "--json"))
    assert board == json.loads(done(capsys, "evaluate", "again.csv", "--json"))
    assert name in done(capsys, "evaluate", *inputs, *asked)
    assert name in done(capsys, "show", "out.jsonl", "-n", "1")
    done(capsys, "annotate", *OVER_B, "--judge", "first", "-o", "other.jsonl")
    if rates:
        assert "B − A" in done(capsys, "rejudge", "out.jsonl", "other.jsonl", "--baseline", "b")
    elif name != "first" and not is_joint(judge):
        assert "B − A" in done(capsys, "rejudge", "out.jsonl", "other.jsonl")
    if not is_joint(judge):
        assert name in done(capsys, "agreement", "out.jsonl", "--human", "labels.jsonl")


def check_rows(rows: list[dict[str, Any]], judge: Judge | Population, rates: bool) -> None:
    """Every output has a score, or every pair a preference, by this judge and nobody else."""
    assert {(row["status"], row["annotator"]) for row in rows} == {("verdict", judge.name)}
    if rates:
        assert [row["generator"] for row in rows] == [g for g in "abc" for _ in range(N)]
        assert all(isinstance(row["score"], float) for row in rows)
        return
    assert all(1 <= row["preference"] <= 2 for row in rows)
    if not is_joint(judge):
        sides = {(row["instruction"], row["generator_1"], row["generator_2"]) for row in rows}
        assert sides == {(f"Q{i}?", "b", other) for i in range(N) for other in "ac"}


def is_joint(judge: Judge | Population) -> bool:
    """Whether its pairs are of outputs to different instructions, about which no label is."""
    return isinstance(judge, Judge) and judge.protocol == "joint"
