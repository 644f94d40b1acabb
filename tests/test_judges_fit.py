"""Judges fitted to labels: planted weights, what is refused, and that the written file is the judge that was fitted."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import simfarm
from simfarm.cli import main
from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges import load_judge, load_panel
from simfarm.judges.rules import decide
from simfarm.judges.spec import Judge
from simfarm.judges.surface import WEIGHTS, differences
from simfarm.methods.fitting import fitted_judge
from simfarm.statistics.signals import signal_weights

TASTE = {"length": 1.0, "lists": 0.8, "refusal": -1.2}
WORDS = ("river", "bends", "where", "stones", "keep", "warm", "the", "boat", "knows", "how", "low", "it", "hangs")


def texts(rng: np.random.Generator, n: int) -> list[str]:
    made = []
    for _ in range(n):
        body = " ".join(rng.choice(WORDS, rng.integers(5, 60)))
        lines = [f"- {line}" for line in body.split(" the ")] if rng.random() < 0.4 else [body]
        made.append(("Sorry, I cannot say. " if rng.random() < 0.3 else "") + "\n".join(lines))
    return made


def labels(n: int, seed: int = 0, taste: dict[str, float] = TASTE) -> pd.DataFrame:
    """One person's labels of pairs, by a logistic model of their texts' surface with these weights."""
    rng = np.random.default_rng(seed)
    frame = pd.DataFrame({"instruction": [f"Tell me about river {k}." for k in range(n)], "annotator": "ann"})
    frame["output_1"], frame["output_2"] = texts(rng, n), texts(rng, n)
    beta = np.array([taste.get(name, 0.0) for name in WEIGHTS])
    x = np.array([differences(*pair) for pair in zip(frame.instruction, frame.output_1, frame.output_2, strict=True)])
    return frame.assign(preference=1.0 + (rng.random(n) < expit(x @ beta)))


def test_planted_weights_are_recovered() -> None:
    rng = np.random.default_rng(1)
    x = rng.standard_normal((4000, 4))
    beta = np.array([1.0, 0.0, -0.5, 0.3])
    votes = (rng.random(4000) < expit(x @ beta)).astype(float)
    found = signal_weights(x, votes, np.arange(4000), np.array([1, 1, -1, -1]))
    assert found[:3] == pytest.approx(beta[:3], abs=0.12)
    assert found[3] == 0
    assert signal_weights(x, votes, np.arange(4000)) == pytest.approx(beta, abs=0.12)


def test_an_instruction_counts_once() -> None:
    """One instruction a hundred times says the opposite of twenty others: it is one of twenty-one."""
    x = np.concatenate([np.ones((20, 1)), np.ones((100, 1))])
    votes, cluster = np.repeat([1.0, 0.0], [20, 100]), np.concatenate([np.arange(20), np.full(100, 20)])
    assert signal_weights(x, votes, cluster)[0] > 1


def test_the_written_judge_is_the_fitted_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = labels(600)
    made.to_json(tmp_path / "labels.jsonl", orient="records", lines=True)
    target = tmp_path / "mine.yaml"
    assert main(["judges", "fit", str(tmp_path / "labels.jsonl"), "-o", str(target)]) == 0
    out = capsys.readouterr().out
    assert "a judge fitted on 600 comparisons of labels.jsonl" in out
    judge = load_judge(target)
    assert isinstance(judge, Judge)
    assert judge.weights is not None
    assert judge.weights["refusal"] == pytest.approx(-1.2, abs=0.3)
    assert judge.weights["repetition"] <= 0
    found = fitted_judge(made)
    fresh = labels(5, seed=9).iloc[0]
    pair = Comparison(fresh.instruction, fresh.output_1, fresh.output_2)
    z = sum(found.signals[k] * d for k, d in zip(WEIGHTS, differences(*_texts(pair)), strict=True))
    assert decide(judge, pair, "12").p_second == pytest.approx(expit(z), abs=1e-3)
    assert found.gap.value > 0.05


def _texts(pair: Comparison) -> tuple[str, str, str]:
    return pair.instruction, pair.output_1, pair.output_2


def test_a_judge_that_does_not_beat_the_longer_output_is_not_written(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels(80, taste={"length": 3.0}).to_json(tmp_path / "labels.jsonl", orient="records", lines=True)
    target = tmp_path / "mine.yaml"
    assert main(["judges", "fit", str(tmp_path / "labels.jsonl"), "-o", str(target), "--json"]) == 2
    out = capsys.readouterr()
    assert json.loads(out.out)["beats_longest"] is False
    assert "is not written: the fitted judge is not shown to agree more with people" in out.err
    assert not target.exists()


def test_judges_are_weighed_beside_the_signals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    made = labels(300, taste={"length": 0.5, "refusal": -0.5})
    rng = np.random.default_rng(5)
    good = np.where(rng.random(300) < 0.85, made.preference, 3 - made.preference)
    bad = 3 - np.where(rng.random(300) < 0.8, made.preference, 3 - made.preference)
    base = made.drop(columns=["annotator", "preference"])
    verdicts = pd.concat(
        [base.assign(annotator=name, preference=p) for name, p in (("good", good), ("bad", bad), ("random", 1.5))]
    )
    found = fitted_judge(made, [verdicts])
    assert found.best == "good"
    assert found.members["good"] > 0.4
    assert "bad" not in found.members
    assert fitted_judge(made, [verdicts], signed=True).members["bad"] < -0.2
    target = tmp_path / "mine.yaml"
    assert len(found.write(str(target), 0.95)) == 2
    panel = load_panel(target)
    assert panel.recorded.weights == pytest.approx(found.members, abs=1e-3)
    assert panel.fitted == found.fitted
    if "signals" in found.members:
        assert [seat.judge for seat in panel.members if seat.name == "signals"] != [None]
        with pytest.warns(simfarm.SimfarmWarning, match="fitted weights"):
            own = simfarm.annotate(base, judge=str(tmp_path / "mine-signals.yaml")).assign(annotator="signals")
        verdicts = pd.concat([verdicts, own])
    card = simfarm.report_card(verdicts, human=made, jury=str(target))
    assert card.jury is not None
    assert card.jury.warnings == ()


def test_what_it_is_worth_is_told_on_labels_it_never_saw() -> None:
    """Coins for labels and coins for judges, as many as would fit any labels."""
    made = labels(60, taste={})
    rng = np.random.default_rng(6)
    base = made.drop(columns=["annotator", "preference"])
    coins = [base.assign(annotator=f"coin {k}", preference=1.0 + rng.integers(0, 2, 60)) for k in range(40)]
    found = fitted_judge(made, [pd.concat(coins)], signed=True)
    assert found.agreement.value < 0.68
    assert not found.beats(0.95)
    one = fitted_judge(made, [coins[0].assign(preference=made.preference)], signed=True)
    assert abs(one.members.get("signals", 0.0)) < 0.05, "signals that foresee nothing weigh nothing"


def test_what_cannot_be_fitted_is_refused(tmp_path: Path) -> None:
    made = labels(30)
    with pytest.raises(InputError, match="row 1 has no texts"):
        fitted_judge(made.drop(columns="output_1").assign(generator_1="a", generator_2="b"))
    with pytest.raises(InputError, match="19 labelled comparisons to fit on; give 20 at least"):
        fitted_judge(made.head(19))
    assert main(["judges", "fit", "labels.jsonl", "-o", str(tmp_path / "mine.json")]) == 2
