"""Panels asked for verdicts: every member as a judge is, the panel's own verdict after theirs, nothing asked twice."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml
from loopback import Call, Loopback

import simfarm
from simfarm.cli import main
from simfarm.data.juries import Fitted, instruction_key
from simfarm.errors import InputError, SimfarmWarning
from simfarm.judges.panel import written

ROWS = [
    {
        "instruction": f"Question number {k}?",
        "output_1": "short " * (k % 5 + 1),
        "output_2": "longer " * (k % 7 + 1),
        "generator_1": "a",
        "generator_2": "b",
    }
    for k in range(12)
]
LUNA = {"judge": "people-choice", "model": "openai/gpt-6-luna"}
TERRA = {"judge": "people-choice", "model": "openai/gpt-6-terra"}


_CHOICE = {"index": 0, "message": {"role": "assistant", "content": "Who knows?"}, "finish_reason": "stop"}
UNREADABLE = "json:" + json.dumps(
    {"id": "x", "object": "chat.completion", "created": 0, "model": "gpt-6-luna", "choices": [_CHOICE]}
)


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Loopback]:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-test")
    with Loopback() as running:
        monkeypatch.setenv("OPENAI_BASE_URL", f"{running.url}/v1")
        yield running


def panel(folder: Path, *members: Any, **more: Any) -> str:
    path = folder / "three.yaml"
    path.write_text(
        yaml.safe_dump(json.loads(json.dumps({"description": "Three", "panel": {"members": members, **more}}))), "utf-8"
    )
    return str(path)


@pytest.mark.filterwarnings("ignore::simfarm.SimfarmWarning")
def test_rules_together(tmp_path: Path) -> None:
    made = simfarm.annotate(ROWS, judge=panel(tmp_path, "longest", "surface", "first"))
    by = {name: part.groupby("instruction")["preference"].mean() for name, part in made.groupby("annotator")}
    assert list(by) == ["first", "longest", "surface", "three"]
    votes = sum(np.sign(by[name] - 1.5) for name in ("first", "longest", "surface"))
    assert (np.sign(by["three"] - 1.5) == np.sign(votes)).all()
    assert by["three"].isin([1, 1.5, 2]).all()
    own = made[made["annotator"] == "three"]
    assert len(own) == 12
    assert own["reason"].str.startswith("3 of 3 members by majority: strength").all()
    boards = simfarm.evaluate(made, baseline="a")
    assert set(boards["annotator"]) == {"first", "longest", "surface", "three"}


def test_members_are_asked_once_and_recorded_under_their_names(server: Loopback, tmp_path: Path) -> None:
    judge = panel(tmp_path, LUNA, TERRA, "longest")
    made = simfarm.annotate(ROWS, judge=judge, price=(1, 1))
    names = ["people-choice@gpt-6-luna", "people-choice@gpt-6-terra", "longest", "three"]
    assert list(dict.fromkeys(made["annotator"])) == names
    calls = len(made[made["annotator"].str.startswith("people")])
    assert server.received == calls
    assert {call.body["model"] for call in server.calls} == {"gpt-6-luna", "gpt-6-terra"}
    first = made[made["instruction"] == ROWS[0]["instruction"]]
    assert first["annotator"].iloc[-1] == "three"
    asked = first[first["annotator"].str.startswith("people")]
    assert first["price"].iloc[-1] == pytest.approx(asked["price"].sum())
    again = simfarm.annotate(ROWS, judge=judge, price=(1, 1))
    assert server.received == calls
    assert (again["preference"] == made["preference"]).all()
    alone = simfarm.annotate(ROWS, judge="people-choice", model="openai/gpt-6-luna")
    assert server.received == calls, "what a member was asked is the judge's own"
    theirs = made[made["annotator"] == names[0]].reset_index(drop=True)
    assert (alone["judge_hash"] == theirs["judge_hash"]).all()
    assert (alone["preference"] == theirs["preference"]).all()


@pytest.mark.engines
@pytest.mark.slow
def test_members_may_sit_anywhere_and_are_replayed_from_one_file(
    server: Loopback, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server of each wire, the embedded model and a rule; then what was recorded, by name and for all of them."""
    monkeypatch.setenv("ANTHROPIC_API_KEY", "sk-test")
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    asked = {
        "people-choice": "openai/gpt-6-luna",
        "pairwise-letter": "anthropic/claude-haiku-5-5",
        "pairwise-decision": "embedded",
    }
    members = [{"judge": judge, "model": model} for judge, model in asked.items()]
    made = simfarm.annotate(ROWS[:3], judge=panel(tmp_path, *members, "longest"), price=(1, 1))
    assert (made["status"] == "verdict").all()
    assert set(made["annotator"]) == {*asked, "longest", "three"}
    made.to_json(tmp_path / "all.jsonl", orient="records", lines=True)
    before = server.received
    recorded = f"replay/{tmp_path / 'all.jsonl'}"
    for again in (
        simfarm.annotate(ROWS[:3], judge=panel(tmp_path, *asked, "longest"), model=recorded),
        simfarm.annotate(
            ROWS[:3], judge=panel(tmp_path, *({"judge": judge, "model": recorded} for judge in asked), "longest")
        ),
    ):
        assert again["annotator"].tolist() == made["annotator"].tolist()
        assert again["preference"].tolist() == pytest.approx(made["preference"].tolist())
    assert server.received == before


def test_who_gives_no_verdict_abstains_and_is_asked_again(
    server: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "pairs.json").write_text(json.dumps(ROWS), "utf-8")
    target = tmp_path / "out.jsonl"
    judge = panel(tmp_path, LUNA, TERRA, "longest")

    def refuse(call: Call) -> str | None:
        return "400:no" if call.body["model"] == "gpt-6-terra" else None

    server.plan.refuse = refuse
    command = ["annotate", str(tmp_path / "pairs.json"), "--judge", judge, "-o", str(target), "--price", "1,1"]
    assert main(command) == 4
    told = capsys.readouterr().err
    assert "12 verdicts by three (majority of 3 members): strength" in told
    assert "abstained: people-choice@gpt-6-terra 12×" in told
    made = pd.read_json(target, lines=True)
    assert (made[made["annotator"] == "three"]["status"] == "verdict").all()
    assert made[made["annotator"] == "three"]["reason"].str.startswith("2 of 3 members").all()
    server.plan.refuse = lambda call: None
    before = server.received
    assert main(command) == 0
    assert {call.body["model"] for call in server.calls[before:]} == {"gpt-6-terra"}
    assert "abstained" not in capsys.readouterr().err


def test_fewer_than_half_are_no_panel(server: Loopback, tmp_path: Path) -> None:
    server.plan.refuse = lambda call: UNREADABLE
    with pytest.warns(SimfarmWarning, match="fewer than half of the members had one"):
        made = simfarm.annotate(ROWS[:3], judge=panel(tmp_path, LUNA, TERRA, "longest"), price=(1, 1))
    own = made[made["annotator"] == "three"]
    assert (own["status"] == "unparseable").all()
    assert own["preference"].isna().all()
    assert own["error"].iloc[0] == "1 of 3 members gave a verdict, fewer than half"


@pytest.mark.filterwarnings("ignore::simfarm.SimfarmWarning")
def test_half_of_a_swap_is_no_vote(server: Loopback, tmp_path: Path) -> None:
    def refuse(call: Call) -> str | None:
        return UNREADABLE if call.prompt.find("short") < call.prompt.find("longer") else None

    server.plan.refuse = refuse
    both = {"judge": "pairwise-letter", "model": "openai/gpt-6-luna", "order": "both"}
    made = simfarm.annotate(ROWS[:4], judge=panel(tmp_path, both, "longest", "surface"), price=(1, 1))
    theirs = made[made["annotator"] == "pairwise-letter"]
    assert theirs["status"].value_counts().to_dict() == {"verdict": 4, "unparseable": 4}
    assert made[made["annotator"] == "three"]["reason"].str.startswith("2 of 3 members").all()


def test_the_budget_is_the_panels(server: Loopback, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "pairs.json").write_text(json.dumps(ROWS), "utf-8")
    judge = panel(tmp_path, LUNA, TERRA, "longest")
    command = ["annotate", str(tmp_path / "pairs.json"), "--judge", judge, "--price", "1,1"]
    assert main([*command, "--dry-run"]) == 0
    told = capsys.readouterr().out
    assert "to the 3 members of three" in told
    assert "all in all at most $" in told
    assert server.received == 0
    assert main([*command, "--budget", "0.000001", "-o", str(tmp_path / "out.jsonl")]) == 3
    assert server.received == 0


def test_a_model_is_for_those_that_name_none(server: Loopback, tmp_path: Path) -> None:
    members = [LUNA, {"judge": "people-choice", "name": "free"}]
    simfarm.annotate(ROWS[:2], judge=panel(tmp_path, *members), model="openai/gpt-6-terra", price=(1, 1))
    assert {call.body["model"] for call in server.calls} == {"gpt-6-luna", "gpt-6-terra"}
    with pytest.raises(InputError, match="names the model of every member"):
        simfarm.annotate(ROWS, judge=panel(tmp_path, LUNA, TERRA), model="openai/gpt-6-luna")


@pytest.mark.filterwarnings("ignore:judge:simfarm.SimfarmWarning")
def test_weights_from_other_data_are_warned_of(tmp_path: Path) -> None:
    members = [{"judge": "longest", "weight": 2}, {"judge": "surface", "weight": 1}]
    here = written(Fitted.of("mine.jsonl", 12, [instruction_key(row["instruction"]) for row in ROWS]))
    there = written(Fitted.of("mine.jsonl", 12, [instruction_key(f"other {k}") for k in range(12)]))
    with pytest.warns(SimfarmWarning, match="three was weighted on other data than it judges"):
        simfarm.annotate(ROWS, judge=panel(tmp_path, *members, fitted_on=there))
    with pytest.warns(SimfarmWarning) as said:
        made = simfarm.annotate(ROWS, judge=panel(tmp_path, *members, fitted_on=here))
    assert not any("other data" in str(one.message) for one in said)
    by = {name: part.groupby("instruction")["preference"].mean() for name, part in made.groupby("annotator")}
    assert (by["three"] - (2 * by["longest"] + by["surface"]) / 3).abs().max() < 1e-12


@pytest.mark.filterwarnings("ignore::simfarm.SimfarmWarning")
def test_a_panel_that_was_asked_stands_on_the_card_beside_its_best_member(tmp_path: Path) -> None:
    judge = panel(tmp_path, "longest", "surface", "random", rule="mean")
    made = simfarm.annotate(ROWS, judge=judge)
    people = [row | {"annotator": "ann", "preference": 2.0 if k % 2 else 1.0} for k, row in enumerate(ROWS)]
    card = simfarm.report_card(made, human=people, jury=judge)
    assert [row.name for row in card.judges].count("three") == 1
    assert card.jury is not None
    assert card.jury.members == ("longest", "surface", "random")
    assert card.panel is not None
    assert card.panel.n == 3
    recorded = simfarm.report_card(made, human=people).row("three").get("agreement")
    anew = card.row("three").get("agreement")
    assert recorded is not None
    assert anew is not None
    assert recorded.value == pytest.approx(anew.value)
