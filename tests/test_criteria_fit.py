"""Weights of criteria fitted to labels: planted ones found, equal ones kept where nothing beats them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from test_criteria import CLEAR, CORRECT, written

from simfarm.cli import main
from simfarm.errors import InputError
from simfarm.judges import Judge, load_one
from simfarm.methods.weighing import fitted_criteria

NAMES = ("correct", "kind", "long")


def criteria(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "text": f"How {name}?", "anchors": {1: "no", 5: "yes"}} for name in names]


CRITERIA = criteria(*NAMES)


def marked(
    n: int, taste: dict[str, float], seed: int = 0, names: Sequence[str] = NAMES
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(labels of one person, whose taste is a sum of the marks; annotations by the judge j in both orders)."""
    rng = np.random.default_rng(seed)
    marks = {f"{name}_{side}": rng.integers(1, 6, n) for name in names for side in "12"}
    gap = sum(weight * (marks[f"{name}_2"] - marks[f"{name}_1"]) for name, weight in taste.items())
    labels = 1.0 + (rng.random(n) < 1 / (1 + np.exp(-np.asarray(gap, dtype=float))))
    base = pd.DataFrame({"instruction": [f"Q{i}?" for i in range(n)], "generator_1": "a", "generator_2": "b"})
    base["output_1"], base["output_2"] = [f"one {i}" for i in range(n)], [f"the other {i}" for i in range(n)]
    scores = [{name: int(value[i]) for name, value in marks.items()} for i in range(n)]
    calls = base.assign(annotator="j", preference=1.5, scores=scores, judge_hash="h", judge_order="both")
    both = pd.concat([calls.assign(order=order) for order in ("12", "21")])
    return base.assign(annotator="ann", preference=labels), both


@pytest.fixture
def judge(tmp_path: Path) -> Judge:
    return written(tmp_path / "j", CRITERIA)


def test_planted_weights_are_found_and_written(
    judge: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, annotations = marked(400, {"correct": 1.2, "kind": 0.3})
    found = fitted_criteria(judge, labels, [annotations])
    assert sum(found.weights.values()) == pytest.approx(3)
    assert found.weights["correct"] / found.weights["kind"] == pytest.approx(4, rel=0.35)
    assert found.weights["long"] < 0.3
    assert found.own.value == found.equal.value < found.agreement.value
    labels.to_json(tmp_path / "labels.jsonl", orient="records", lines=True)
    annotations.to_json(tmp_path / "v.jsonl", orient="records", lines=True)
    target = tmp_path / "fitted" / "mine.yaml"
    target.parent.mkdir()
    files = [str(tmp_path / name) for name in ("labels.jsonl", "v.jsonl")]
    assert main(["judges", "fit", *files, "--judge", str(judge.path.parent), "-o", str(target)]) == 0
    told = capsys.readouterr()
    assert "weights of j's criteria fitted on 400 comparisons of labels.jsonl" in told.out
    assert f"wrote {target.parent / 'template.jinja'}" in told.err
    made = load_one(target)
    assert {c.name: c.weight for c in made.marks} == pytest.approx(found.weights, abs=1e-3)
    assert made.template == judge.template
    assert made.hash != judge.hash
    assert "weights fitted on 400 comparisons of labels.jsonl" in made.description
    # the judge's own file is rewritten in its place
    assert main(["judges", "fit", *files, "--judge", str(judge.path), "-o", str(judge.path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["beats_equal"] is True
    assert load_one(judge.path).hash == made.hash


def test_weights_that_do_not_beat_equal_ones_are_not_written(
    judge: Judge, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels, annotations = marked(120, dict.fromkeys(NAMES, 0.6), seed=3)
    found = fitted_criteria(judge, labels, [annotations])
    assert not found.beats(0.95)
    with pytest.raises(InputError, match=r"mine\.yaml is not written: the fitted weights are not shown to agree more"):
        found.write(str(tmp_path / "mine.yaml"), 0.95)
    assert not (tmp_path / "mine.yaml").exists()


def test_what_weights_are_worth_is_told_on_labels_they_never_saw(tmp_path: Path) -> None:
    """Labels by a coin, and as many criteria as would fit any labels."""
    names = [f"c{k}" for k in range(40)]
    labels, annotations = marked(60, {}, seed=4, names=names)
    found = fitted_criteria(written(tmp_path / "j", criteria(*names)), labels, [annotations])
    assert found.agreement.value < 0.65
    assert not found.beats(0.95)


def test_what_cannot_be_weighed_is_refused(judge: Judge, tmp_path: Path) -> None:
    labels, annotations = marked(40, {"correct": 1.0})

    def refused(who: Judge, own: Any, verdicts: Any) -> str:
        with pytest.raises(InputError) as error:
            fitted_criteria(who, own, [verdicts])
        assert "\n" not in str(error.value)
        return str(error.value)

    assert "does not go by weights" in refused(load_one("pairwise-json"), labels, annotations)
    assert "does not go by weights" in refused(load_one("checklist-json"), labels, annotations)
    with pytest.raises(InputError, match="name the annotations by j after the labels"):
        fitted_criteria(judge, labels, [])
    one = written(tmp_path / "one", CRITERIA[:1])
    assert "has one criterion that counts" in refused(one, labels, annotations)
    other = written(tmp_path / "other", [CORRECT, CLEAR])
    assert "are by j, and none by other" in refused(other, labels, annotations)
    more = written(tmp_path / "more", [*CRITERIA, CLEAR])
    assert "have no scores of clear" in refused(more, labels, annotations.assign(annotator="more"))
    narrow = written(tmp_path / "narrow", [c | {"anchors": {1: "no", 3: "yes"}} for c in CRITERIA])
    assert "beyond 1 to 3" in refused(narrow, labels, annotations.assign(annotator="narrow"))
    assert "19 labelled comparisons with marks" in refused(judge, labels.head(19), annotations)
    assert "no criterion leans as people do" in refused(judge, labels.assign(preference=1.5), annotations)
    assert "holds no labels" in refused(judge, labels.assign(preference=None), annotations)
