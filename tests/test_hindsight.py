"""The hindsight gap: what a model promised beyond what was found, by model, paired by comparison, with its interval."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import simfarm
from simfarm.cli import main
from simfarm.data.files import write_rows
from simfarm.errors import InputError
from simfarm.statistics.estimate import mean_estimate


def verdicts(name: str, rates: dict[str, list[int]]) -> None:
    """A file whose models win (1) or lose (0) against the baseline, instruction by instruction."""
    pair = {"generator_1": "base", "output_1": "a", "output_2": "b", "annotator": name.partition(".")[0]}
    write_rows(
        name,
        [
            pair | {"instruction": str(i), "generator_2": model, "preference": 1 + won}
            for model, wins in rates.items()
            for i, won in enumerate(wins)
        ],
    )


@pytest.fixture
def two(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`loud` wins 45 of 60 at once and 15 in hindsight, `plain` 20 and 50, `same` 30 both times."""
    monkeypatch.chdir(tmp_path)
    n = range(60)
    verdicts("now.jsonl", {"loud": [i < 45 for i in n], "plain": [i < 20 for i in n], "same": [i < 30 for i in n]})
    verdicts("later.jsonl", {"loud": [i < 15 for i in n], "plain": [i < 50 for i in n], "same": [i < 30 for i in n]})


@pytest.mark.usefixtures("two")
def test_who_promises_more_than_is_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rejudge", "now.jsonl", "later.jsonl", "--hindsight"]) == 0
    shown = capsys.readouterr().out
    assert shown.index("loud") < shown.index("same") < shown.index("plain")
    assert "+50.0" in shown
    assert "promises more than is found: loud (+50.0)" in shown
    assert "is found better than it promised: plain (-50.0)" in shown
    assert "a gap is beside that of base" in shown
    assert main(["rejudge", "now.jsonl", "later.jsonl", "--hindsight", "--json"]) == 0
    gaps = {row["model"]: row for row in json.loads(capsys.readouterr().out)["gaps"]}
    assert gaps["loud"]["gap_low"] > 30
    assert gaps["plain"]["gap_high"] < -30
    assert gaps["same"]["gap_low"] <= 0 == gaps["same"]["gap"] <= gaps["same"]["gap_high"]
    found = simfarm.rejudge("now.jsonl", "later.jsonl", hindsight=True)
    assert [*found.gaps["model"]] == ["loud", "same", "plain"]
    assert found.to_json()["gaps"][0] == gaps["loud"]
    assert "gaps" not in simfarm.rejudge("now.jsonl", "later.jsonl").to_json()
    assert main(["rejudge", "now.jsonl", "later.jsonl", "--hindsight", "-o", "gaps.csv"]) == 0
    assert Path("gaps.csv").read_text("utf-8").startswith("model,win_rate_a,win_rate_b,gap,gap_low,gap_high")


@pytest.mark.usefixtures("two")
def test_it_is_refused_beside_a_bridge_and_as_a_picture(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["rejudge", "now.jsonl", "later.jsonl", "--hindsight", "--bridge"]) == 2
    assert "--hindsight" in capsys.readouterr().err
    assert main(["rejudge", "now.jsonl", "later.jsonl", "--hindsight", "-o", "gaps.svg"]) == 2
    with pytest.raises(InputError, match="hindsight"):
        simfarm.rejudge("now.jsonl", "later.jsonl", hindsight=True, bridge=True)


@pytest.mark.usefixtures("two")
def test_no_gap_beyond_noise_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    Path("same.jsonl").write_text(Path("now.jsonl").read_text("utf-8"), "utf-8")
    assert main(["rejudge", "now.jsonl", "same.jsonl", "--hindsight"]) == 0
    assert "no model's gap is told apart from 0" in capsys.readouterr().out
    found = simfarm.rejudge("now.jsonl", "same.jsonl", hindsight=True)
    assert (found.gaps["gap"] == 0).all()
    assert ((found.gaps["gap_low"] <= 0) & (found.gaps["gap_high"] >= 0)).all()


def test_a_planted_gap_is_in_its_interval() -> None:
    """Verdicts at once and in hindsight on the same instructions, correlated; a true gap of 12 points."""
    rng = np.random.default_rng(11)
    held = 0
    cluster = np.arange(50)
    for _ in range(300):
        item = rng.normal(size=50)
        now = (rng.normal(size=50) + item < 2**0.5 * 0.5244).astype(float)  # P = .70
        later = (rng.normal(size=50) + item < 2**0.5 * 0.2019).astype(float)  # P = .58
        low, high = (mean_estimate(now, cluster) - mean_estimate(later, cluster)).interval(0.95)
        held += low <= 0.12 <= high
    assert 0.92 <= held / 300 <= 0.99
