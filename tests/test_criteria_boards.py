"""Boards by criterion: means and win rates by hand, half of a swap is none, the judge's own uncertainty, bad scores."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simfarm
from simfarm.cli import main
from simfarm.data.scores import scores_from_rows
from simfarm.ranking.criteria import criteria_of_scores
from simfarm.statistics.doubt import own_error

Rows = list[dict[str, Any]]


def pair(i: int, model: str, scores: Mapping[str, Any], *, order: str = "12", turned: bool = False) -> dict[str, Any]:
    """A call about base (1) and a model (2); `turned`, the model stands on side 1."""
    one, other = (model, "base") if turned else ("base", model)
    row = {"instruction": f"q{i}", "output_1": f"{one} {i}", "output_2": f"{other} {i}", "annotator": "j"}
    row |= {"generator_1": one, "generator_2": other, "order": order, "judge_order": "both", "preference": 1.5}
    return row | {"scores": dict(scores)}


def both(i: int, model: str, first: Mapping[str, Any], second: Mapping[str, Any], *, turned: bool = False) -> Rows:
    return [pair(i, model, first, turned=turned), pair(i, model, second, order="21", turned=turned)]


def marks(base: float, model: float) -> dict[str, float]:
    return {"good_1": base, "good_2": model, "odd": 0.5}


SCALES = {"good": [0, 1], "odd": [0, 1]}
ROWS = [
    *both(0, "a", marks(0.2, 0.8), marks(0.4, 0.4)),
    *both(1, "a", marks(0.6, 0.4), marks(0.2, 0.4)),
    # of these the mark of the second order is missing: no score, as there would be no verdict
    *both(2, "a", marks(0.0, 1.0), {"odd": 0.5}),
    # base stands on side 2
    *both(0, "b", marks(0.9, 0.3), marks(0.7, 0.3), turned=True),
    *both(1, "b", marks(0.1, 0.3), marks(0.1, 0.3), turned=True),
]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(rows: Rows, path: str = "v.jsonl") -> str:
    Path(path).write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return path


def scaled(rows: Rows, **more: Any) -> Rows:
    return [row | {"scores_scale": SCALES} | more for row in rows]


def of(rows: Rows, by: str) -> pd.DataFrame:
    found = simfarm.evaluation(rows, criteria=by, baseline="base", length_control="none")
    [board] = found.criteria.values()
    return board.table.set_index(["criterion", "model"])


def test_means_and_win_rates_are_those_by_hand() -> None:
    means = of(scaled(ROWS), "mean")
    assert means.loc[("good", "a"), "value"] == pytest.approx((0.6 + 0.4) / 2)
    assert means.loc[("good", "b"), "value"] == pytest.approx((0.8 + 0.1) / 2)
    # base's outputs are those of both comparisons of an instruction, which is the unit
    assert means.loc[("good", "base"), "value"] == pytest.approx(((0.3 + 0.3) / 2 + (0.4 + 0.3) / 2) / 2)
    assert means["n_instructions"].tolist() == [2, 2, 2]
    rates = of(scaled(ROWS), "win-rate")
    # a over base: a win and a tie, a loss and a win; b: two wins, two losses
    assert rates["value"].to_dict() == {("good", "a"): pytest.approx(62.5), ("good", "b"): pytest.approx(50.0)}


def test_what_is_of_no_output_stands_apart_and_a_pair_may_be_turned() -> None:
    [board] = simfarm.evaluation(
        scaled(ROWS), criteria="mean", baseline="base", length_control="none"
    ).criteria.values()
    assert board.of_pairs[["criterion", "value"]].to_numpy().tolist() == [["odd", 0.5]]
    assert board.criteria == ["good"]
    turned = [
        row
        | {f"{k}_{s}": row[f"{k}_{3 - s}"] for k in ("output", "generator") for s in (1, 2)}
        | {"order": {"12": "21", "21": "12"}[row["order"]]}
        | {"scores": {{"good_1": "good_2", "good_2": "good_1"}.get(k, k): v for k, v in row["scores"].items()}}
        for row in scaled(ROWS)
    ]
    for by in ("mean", "win-rate"):
        same = of(turned, by).sort_index()
        pd.testing.assert_frame_equal(same, of(scaled(ROWS), by).sort_index())


def test_a_scale_bounds_the_interval_and_without_one_equal_scores_have_none() -> None:
    rows = [row for i in range(8) for row in both(i, "a", marks(1.0, 0.9), marks(1.0, 0.9))]
    known, unknown = of(scaled(rows), "mean"), of(rows, "mean")
    assert 0.5 < known.loc[("good", "a"), "low"] < 0.8 < known.loc[("good", "a"), "high"] <= 1
    assert known.loc[("good", "base"), "high"] == 1.0
    assert unknown[["low", "high"]].isna().all(axis=None)
    assert (
        "intervals by t"
        in simfarm.evaluation(rows, criteria="mean", baseline="base", length_control="none")
        .sheets[0]
        .parts[-1]
        .remarks[0]
    )


def test_known_probabilities_have_the_known_uncertainty_and_cover_what_is_true() -> None:
    rng = np.random.default_rng(5)
    p = rng.beta(0.7, 1.2, 120)
    sd = np.sqrt(p * (1 - p))
    error = own_error(np.repeat(sd, 2), np.repeat(np.arange(120), 2))
    assert error == pytest.approx(math.sqrt((p * (1 - p)).sum()) / 120)
    true = (rng.random((4_000, 120)) < p).mean(axis=1)
    assert true.std() == pytest.approx(error, rel=0.05)
    assert (np.abs(true - p.mean()) < 1.96 * error).mean() >= 0.93
    # levels: a distribution over 0, 1, 2
    chances = rng.dirichlet([0.5, 1, 0.5], 120)
    means = chances @ [0, 1, 2]
    error = own_error(np.sqrt(chances @ [0, 1, 4] - means**2), np.arange(120))
    drawn = (rng.random((4_000, 120, 1)) > chances.cumsum(axis=1)).sum(axis=2).mean(axis=1)
    assert (np.abs(drawn - means.mean()) < 1.96 * error).mean() >= 0.93
    assert math.isnan(own_error(np.array([0.1, np.nan]), np.array([0, 1])))


def test_the_interval_covers_the_mean_of_other_instructions() -> None:
    """Each model is a world: its marks on 30 instructions are drawn of a lopsided population whose mean is planted."""
    rng = np.random.default_rng(7)
    marks = rng.beta(0.5, 4, (300, 30))
    rows = [
        {"instruction_id": i, "generator": f"m{w}", "annotator": "r", "score": 1, "scores": {"c": mark}}
        | {"scores_scale": {"c": [0, 1]}}
        for w, world in enumerate(marks.tolist())
        for i, mark in enumerate(world)
    ]
    [board] = criteria_of_scores(scores_from_rows([("worlds", rows)], criteria=True), "mean", None)
    inside = (board.table["low"] <= 1 / 9) & (board.table["high"] >= 1 / 9)
    assert 0.93 <= inside.mean() < 1


def test_calls_about_one_instruction_doubt_together() -> None:
    # two orders that are both unsure of one answer are not half as unsure
    sd = {"good_1": 0.1, "good_2": 0.4}
    found = of(scaled(ROWS, scores_sd=sd), "mean")
    assert found["own_error"].to_dict() == {
        ("good", "base"): pytest.approx(math.sqrt(2 * 0.25**2) / 2),
        ("good", "a"): pytest.approx(0.4 / math.sqrt(2)),
        ("good", "b"): pytest.approx(0.1 / math.sqrt(2)),
    }
    some = [row | ({} if i == 0 else {"scores_sd": sd}) for i, row in enumerate(scaled(ROWS))]
    assert math.isnan(of(some, "mean").loc[("good", "a"), "own_error"])


@pytest.mark.parametrize("more", [[], ["--rank", "bradley-terry"]])
def test_text_csv_json_and_markdown_say_the_same(capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    rows = scaled(ROWS, scores_sd={"good_1": 0.1, "good_2": 0.4, "odd": 0.2})
    command = [
        "evaluate",
        written(rows),
        "--criteria",
        "mean",
        *(more or ["--baseline", "base", "--length-control", "none"]),
    ]
    assert main([*command, "-o", "b.csv"]) == 0
    shown = capsys.readouterr().out
    assert "mean score by criterion · 95 %" in shown
    assert "own uncertainty of these scores · one standard error" in shown
    assert "odd, which is of no one output: 0.50 (95 %:" in shown
    assert "base (baseline)" in shown or more
    table = pd.read_csv("b.csv").set_index("model")
    assert table.loc["a", "score_criterion_good"] == pytest.approx(0.5)
    assert table.loc["a", "own_error_criterion_good"] == pytest.approx(0.4 / math.sqrt(2))
    for path in ("b.json", "b.md"):
        assert main([*command, "-o", path]) == 0
    capsys.readouterr()
    models = json.loads(Path("b.json").read_text("utf-8"))["criteria"]["models"]
    assert [row["value"] for row in models if row["model"] == "a"] == [pytest.approx(0.5)]
    assert "mean score by criterion" in Path("b.md").read_text("utf-8")
    beside = {"rank": "bradley-terry"} if more else {"baseline": "base", "length_control": "none"}
    python = simfarm.evaluate("v.jsonl", criteria="mean", **beside)
    assert python.set_index("model").loc["a", "score_criterion_good"] == pytest.approx(0.5)


def test_more_criteria_than_a_screen_holds_are_in_several_tables(capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"criterion{k}" for k in range(6)]
    scores = {f"{name}_{side}": 0.5 for name in names for side in (1, 2)}
    rows = [pair(i, "a", scores) | {"scores_scale": {name: [0, 1] for name in names}} for i in range(3)]
    assert main(["evaluate", written(rows), "--criteria", "mean", "--length-control", "none"]) == 0
    shown = capsys.readouterr().out
    assert shown.count("mean score by criterion") == 2
    assert all(name in shown for name in names)


def test_an_annotator_without_scores_is_warned_of_beside_one_with() -> None:
    rows = [*scaled(ROWS), *({**row, "annotator": "k", "scores": None} for row in ROWS)]
    with pytest.warns(UserWarning, match="k: no row has scores by criterion"):
        found = simfarm.evaluation(rows, criteria="mean", baseline="base", length_control="none")
    assert [len(one.table) for one in found.criteria.values()] == [3, 0]


RATED = [
    {"instruction": f"q{i}", "output": f"{m} {i}", "generator": m, "annotator": "r", "score": s, "scale_low": 1}
    | {
        "scale_high": 5,
        "scores": {"clear": c},
        "scores_sd": {"clear": 0.5, "score": 1.0},
        "scores_scale": {"clear": [0, 2]},
    }
    for m, s, c in (("a", 4, 1.5), ("b", 2, 1.5), ("c", 3, 0.5))
    for i in range(4)
]


def test_ratings_have_boards_by_criterion_too(capsys: pytest.CaptureFixture[str]) -> None:
    means = simfarm.evaluation(RATED, criteria="mean").criteria["r"].table
    assert means.set_index(["criterion", "model"])["value"].to_dict() == {
        **{("clear", "a"): 1.5, ("clear", "b"): 1.5, ("clear", "c"): 0.5},
        **{("score", "a"): 4.0, ("score", "b"): 2.0, ("score", "c"): 3.0},
    }
    assert means["own_error"].tolist() == [0.25] * 3 + [0.5] * 3
    over = simfarm.evaluation(RATED, criteria="win-rate", baseline="b", length_control="none").criteria["r"].table
    assert over.set_index(["criterion", "model"])["value"].to_dict() == {
        **{("clear", "a"): 50.0, ("clear", "c"): 0.0},
        **{("score", "a"): 100.0, ("score", "c"): 100.0},
    }
    assert main(["evaluate", written(RATED), "--criteria", "mean"]) == 0
    assert "r · mean score by criterion" in capsys.readouterr().out


def test_an_annotator_that_is_two_judges_has_no_board_by_criterion_either() -> None:
    mixed = [row | {"judge_hash": f"h{i % 3}"} for i, row in enumerate(scaled(ROWS))]
    with pytest.warns(UserWarning, match="k: annotator 'k' mixes 3 judges"):
        found = simfarm.evaluation(
            [*scaled(ROWS), *({**row, "annotator": "k"} for row in mixed)],
            criteria="mean",
            baseline="base",
            length_control="none",
        )
    assert len(found.criteria["k"].table) == 0 < len(found.criteria["j"].table)


def test_comparisons_without_the_baseline_are_on_neither_board() -> None:
    aside = [row | {"generator_1": "b"} for row in both(0, "a", marks(0.0, 0.0), marks(0.0, 0.0))]
    for by in ("mean", "win-rate"):
        pd.testing.assert_frame_equal(of([*scaled(ROWS), *scaled(aside)], by), of(scaled(ROWS), by))


def test_a_rating_without_a_mark_is_no_preference_by_it() -> None:
    some = [row | ({"scores": {}} if i < 2 else {}) for i, row in enumerate(RATED)]
    over = simfarm.evaluation(some, criteria="win-rate", baseline="c", length_control="none").criteria["r"].table
    assert over.set_index(["criterion", "model"]).loc[("clear", "a"), "n_instructions"] == 2


def changed(**cells: Any) -> Callable[[], Rows]:
    return lambda: [{**row, **(cells if i == 1 else {})} for i, row in enumerate(scaled(ROWS))]


@pytest.mark.parametrize(
    ("rows", "more", "why"),
    [
        (changed(scores={"good_1": "high"}), ["mean"], "row 2 has 'high' as the score of 'good_1', which is no such"),
        (changed(scores={"good_1": True}), ["mean"], "row 2 has True as the score of 'good_1'"),
        (changed(scores={"good_1": 7, "good_2": 0}), ["mean"], "row 2 has the score 7 of 'good_1', outside of its"),
        (changed(scores_scale={"good": [1]}), ["mean"], "as the scores_scale of 'good', which is no such number"),
        (changed(scores_scale={"good": [0, 2], "odd": [0, 1]}), ["mean"], "good has scores on several scales"),
        (
            lambda: [scaled(ROWS)[0] | {"scores_sd": {"good_1": -1}}, *changed(scores={"good_1": "x"})()[1:]],
            ["mean"],
            "row 1 has -1.0 as the scores_sd",
        ),
        (changed(scores_sd={"good_1": -1}), ["mean"], "as the scores_sd of 'good_1', which is no such number"),
        (lambda: [{**row, "scores": None} for row in ROWS], ["mean"], "no row has scores by criterion (column scores)"),
        (lambda: scaled(ROWS), ["win-rate", "--rank", "bradley-terry"], "are over a baseline, and there is none"),
        (lambda: scaled(ROWS), ["win-rate", "--flip-rate", "0.1"], "corrects win rates alone; leave --criteria"),
        (lambda: scaled(ROWS), ["mean", "--add-to", "kept"], "--add-to ranks all models of the board anew; give"),
    ],
)  # fmt: skip
def test_what_cannot_be_shown_by_criterion_is_refused(
    capsys: pytest.CaptureFixture[str], rows: Callable[[], Rows], more: list[str], why: str
) -> None:
    over = () if "--rank" in more else ("--baseline", "base")
    assert main(["evaluate", written(rows()), *over, "--criteria", *more]) == 2
    error = capsys.readouterr().err
    assert why in error
    assert error.count("\n") == 1


def test_a_judge_without_criteria_is_refused_before_it_is_asked(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [{"instruction": f"q{i}", "output": f"{m} {i}", "generator": m} for m in "ab" for i in range(3)]
    asked = ["evaluate", written(rows), "--baseline", "a", "--criteria", "mean", "--judge", "pairwise-letter"]
    assert main([*asked, "--dry-run"]) == 2
    assert "the judge pairwise-letter gives no scores by criterion" in capsys.readouterr().err
