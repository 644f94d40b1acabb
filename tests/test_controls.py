"""--control with order and covariates of one's own: planted effects are found, and what cannot be had is refused."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.special import expit

import simfarm
from simfarm.cli import main
from simfarm.data.covariates import Covariates
from simfarm.data.frames import frame_verdicts
from simfarm.data.reading import Columns
from simfarm.errors import InputError
from simfarm.judges import load_judge
from simfarm.ranking import Ratings, control_names, controlled_win_rates, inspection, rate_models
from simfarm.statistics.bradley_terry import ELO_SCALE
from simfarm.statistics.style import StyleDifferences

STRENGTHS = {"a": 0.4, "b": 0.0, "c": -0.4}
FIRST, LATENCY = 0.5, 0.6
PAIRS = [("a", "b"), ("a", "c"), ("b", "c")]
Rng = np.random.Generator


def planted(rng: Rng, n: int = 60, *, both: bool = False) -> pd.DataFrame:
    """Calls of three models on n instructions. Asked in one order, the better model is mostly shown first, so that
    ratings without the order term are too far apart; the worse is the faster."""
    rows = []
    for i in range(n):
        whims = rng.normal(0, 0.6, 3)
        for k, (one, other) in enumerate(PAIRS):
            fast = rng.normal([STRENGTHS[one], STRENGTHS[other]], 1)
            ahead = STRENGTHS[other] - STRENGTHS[one] + whims[k] + LATENCY * (fast[1] - fast[0])
            for order in ("12", "21") if both else (rng.choice(["12", "21"], p=[0.8, 0.2]),):
                chance = expit(ahead + FIRST * (1 if order == "21" else -1))
                row = {"instruction_id": i, "generator_1": one, "generator_2": other, "annotator": "j", "order": order}
                row |= {"latency_1": fast[0], "latency_2": fast[1], "length_1": 100 + k, "length_2": 100 + i}
                rows.append(row | {"preference": 1 + float(rng.random() < chance)})
    return pd.DataFrame(rows)


def swapped(rows: pd.DataFrame) -> pd.DataFrame:
    """The same calls with outputs 1 and 2 written the other way round."""
    names = {f"{name}_{side}": f"{name}_{3 - side}" for name in ("generator", "latency", "length") for side in (1, 2)}
    turned = rows.rename(columns=names)
    return turned.assign(preference=3 - rows["preference"], order=rows["order"].map({"12": "21", "21": "12"}))


def rated(rows: pd.DataFrame, control: str | None) -> Ratings:
    verdicts = frame_verdicts(rows, "rows", inspection(control))
    [one] = rate_models(verdicts, "bradley-terry", control=control)
    return one


def gap(found: Ratings, raw: bool = False) -> float:
    column = found.table.set_index("model")["rating_raw" if raw else "rating"]
    return float(column["a"] - column["c"])


def no_whims(rng: Rng, n: int) -> pd.DataFrame:
    """Calls as `planted` without anything that differs from one instruction to another: logits are those planted."""
    model = rng.integers(3, size=n)
    one, other = (np.array([pair[side] for pair in PAIRS])[model] for side in (0, 1))
    order = np.where(rng.random(n) < 0.8, "12", "21")
    fast = rng.normal(0, 1, (n, 2)) + np.stack([[STRENGTHS[m] for m in side] for side in (one, other)], axis=1)
    ahead = [STRENGTHS[b] - STRENGTHS[a] for a, b in zip(one, other, strict=True)]
    chance = expit(ahead + LATENCY * (fast[:, 1] - fast[:, 0]) + FIRST * np.where(order == "21", 1, -1))
    return pd.DataFrame(
        {
            "instruction_id": np.arange(n) // 3,
            "generator_1": one,
            "generator_2": other,
            "annotator": "j",
            "order": order,
            "latency_1": fast[:, 0],
            "latency_2": fast[:, 1],
            "sample": np.arange(n) % 3,
            "preference": 1.0 + (rng.random(n) < chance),
        }
    )


def test_planted_effects_are_recovered_and_covered_and_ratings_are_free_of_them() -> None:
    rng = np.random.default_rng(0)
    held: dict[str, list[bool]] = {"first": [], "latency": [], "gap": []}
    gaps, raw = [], []
    truth = (STRENGTHS["a"] - STRENGTHS["c"]) * ELO_SCALE
    for _ in range(120):
        rows = no_whims(rng, 240)
        found = rated(rows, "order,latency")
        assert list(found.slopes) == ["shown_first", "latency"]
        spread = float(np.sqrt(((rows["latency_2"] - rows["latency_1"]) ** 2).mean()))
        apart = found.estimates["a"] - found.estimates["c"]
        for name, one, value in (
            ("first", found.slopes["shown_first"], FIRST),
            ("latency", found.slopes["latency"], LATENCY * spread),
            ("gap", apart, truth),
        ):
            low, high = one.interval()
            held[name].append(low <= value <= high)
        gaps.append(apart.value)
        raw.append(gap(found, raw=True))
    assert {name: np.mean(hits) >= 0.91 for name, hits in held.items()} == dict.fromkeys(held, True)
    assert abs(np.mean(gaps) - truth) < 4 * np.std(gaps) / np.sqrt(len(gaps))
    assert np.mean(raw) > truth + 100


@pytest.mark.parametrize("both", [False, True])
def test_swapping_outputs_1_and_2_changes_nothing(both: bool) -> None:
    rows = planted(np.random.default_rng(1), both=both)
    turned = swapped(rows)
    for control in ("order", "latency", "length,order,latency"):
        one, other = rated(rows, control), rated(turned, control)
        columns = ["rating", "rating_se", "rating_low", "rating_high", "rating_raw"]
        np.testing.assert_allclose(one.table[columns].to_numpy(), other.table[columns].to_numpy(), rtol=1e-7)
        assert len(one.slopes) == len(control_names(control))
        for name, slope in one.slopes.items():
            assert slope.value == pytest.approx(other.slopes[name].value, abs=1e-7)
            assert slope.standard_error == pytest.approx(other.slopes[name].standard_error, rel=1e-6)


def test_asked_in_both_orders_the_effect_is_half_the_difference_of_the_two() -> None:
    """Two models: each order's log odds, an oracle without any fit."""
    rng = np.random.default_rng(2)
    rows = planted(rng, 200, both=True)
    rows = rows[(rows["generator_1"] == "a") & (rows["generator_2"] == "b")]
    found = rated(rows, "order")
    share = rows.assign(won=rows["preference"] - 1).groupby("order")["won"].mean()
    odds = np.log(share / (1 - share))
    assert found.slopes["shown_first"].value == pytest.approx((odds["21"] - odds["12"]) / 2, abs=1e-7)
    ratings = found.table.set_index("model")["rating"]
    assert (ratings["b"] - ratings["a"]) / ELO_SCALE == pytest.approx(odds.mean(), abs=1e-7)
    assert found.table["n_total"].tolist() == [200, 200]
    assert gap_of(found, "rating_raw") == pytest.approx(gap_of(rated(rows, None), "rating"), abs=1e-9)


def gap_of(found: Ratings, column: str) -> float:
    values = found.table.set_index("model")[column]
    return float(values["b"] - values["a"])


def test_calls_that_repeat_one_another_weigh_as_one_comparison() -> None:
    """Also in what the errors hold of verdicts not seen, which is a share of a comparison and not of a call."""
    rows = planted(np.random.default_rng(3), 12)
    often = pd.concat([rows.assign(repeat=k) for k in range(5)], ignore_index=True)
    once, many = rated(rows, "order"), rated(often, "order")
    for column in ("rating", "rating_se", "rating_low", "rating_high", "n_total"):
        np.testing.assert_allclose(once.table[column].to_numpy(), many.table[column].to_numpy(), rtol=1e-7)
    slope = once.slopes["shown_first"]
    assert many.slopes["shown_first"].standard_error == pytest.approx(slope.standard_error, rel=1e-7)


def test_samples_that_share_an_instruction_have_the_errors_of_one() -> None:
    rng = np.random.default_rng(4)
    x, p = rng.standard_normal((30, 1)), rng.choice([0.0, 1.0], 30)
    errors = []
    for times in (1, 6):
        rows = np.repeat(np.arange(30), times)
        style = StyleDifferences(("own",), x[rows], np.ones(1), ())
        found = controlled_win_rates(("m",), np.zeros(len(rows), int), p[rows], rows, style)
        errors.append([found.controlled["m"].standard_error, found.slopes["own"].standard_error])
    assert errors[0] == pytest.approx(errors[1], rel=1e-7)


def test_a_covariate_measured_at_each_call_counts_by_its_mean() -> None:
    rows = planted(np.random.default_rng(5), both=True)
    nudge = np.where(rows["order"] == "12", 0.3, -0.3)
    apart = rows.assign(latency_1=rows["latency_1"] + nudge)
    for control in ("latency", "order,latency"):
        pd.testing.assert_frame_equal(rated(rows, control).table, rated(apart, control).table)


def test_a_win_rate_over_a_baseline_takes_a_covariate(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(6)
    rows = no_whims(rng, 3000)
    rows = rows[rows["generator_1"] == "a"].assign(order=None)
    rows["preference"] = 1.0 + (rng.random(len(rows)) < expit(LATENCY * (rows["latency_2"] - rows["latency_1"])))
    file = str(tmp_path / "v.csv")
    rows.to_csv(file, index=False)
    assert main(["evaluate", file, "--control", "latency", "--length-control", "none", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    spread = float(np.sqrt(((rows["latency_2"] - rows["latency_1"]) ** 2).mean()))
    slope = found["slopes"]["latency"]
    assert slope["low"] < LATENCY * spread < slope["high"]
    for model in ("b", "c"):
        assert found["style_controlled"][model]["low"] < 0.5 < found["style_controlled"][model]["high"]
    assert {m["model"]: m["win_rate"] < 46 for m in found["models"] if m["model"] != "a"} == {"b": True, "c": True}
    with pytest.raises(InputError, match=r"'order' needs every call apart.*rank by bradley-terry"):
        simfarm.evaluate(file, control="order", baseline="a", length_control="none")


def test_terminal_json_and_csv_have_the_slopes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    planted(np.random.default_rng(7), 100).to_json("v.jsonl", orient="records", lines=True)
    assert main(["evaluate", "v.jsonl", "--control", "length,order,latency", "-o", "r.csv"]) == 0
    shown = capsys.readouterr().out
    assert "\nshown first +0." in shown
    assert "logits for the output that was shown first" in shown
    assert "\nslope of length " in shown
    assert "\nslope of latency +" in shown
    table = simfarm.evaluate("v.jsonl", control="length,order,latency")
    assert list(pd.read_csv("r.csv").columns) == list(table.columns)
    assert {"style_slope_shown_first", "style_slope_shown_first_low", "style_slope_latency_high"} <= set(table.columns)
    assert main(["evaluate", "v.jsonl", "--control", "latency,order,length", "--json"]) == 0
    assert list(json.loads(capsys.readouterr().out)["slopes"]) == ["shown_first", "length", "latency"]


def test_numbers_of_both_output_files_are_covariates_where_the_judge_is_asked_first() -> None:
    rng = np.random.default_rng(11)
    files = [
        [
            {"instruction": f"q{i}", "output": "x" * int(rng.integers(1, 40)), "generator": name, "note": "n"}
            | {"latency": float(rng.normal()), "kept": True}
            for i in range(40)
        ]
        for name in ("mine", "base")
    ]
    made = simfarm.annotate(files[0], baseline=files[1], judge="longest")
    assert made["latency_1"].tolist() == [row["latency"] for row in files[1]]
    assert made["latency_2"].tolist() == made["latency"].tolist() == [row["latency"] for row in files[0]]
    assert not {"note_1", "kept_1"} & {*made}
    assert {*made["judge_order"]} == {load_judge("longest").order}
    asked = simfarm.evaluate(files[0], baseline=files[1], judge="longest", control="latency")
    pd.testing.assert_frame_equal(asked, simfarm.evaluate(made, control="latency"))
    with pytest.raises(InputError, match="no style feature 'note'"):
        simfarm.evaluate(files[0], baseline=files[1], judge="longest", control="note")


def without(column: str) -> Callable[[pd.DataFrame], pd.DataFrame]:
    return lambda rows: rows.drop(columns=column)


def cell(column: str, row: int, value: Any) -> Callable[[pd.DataFrame], pd.DataFrame]:
    def put(rows: pd.DataFrame) -> pd.DataFrame:
        values = rows[column].astype(object).tolist()
        values[row] = value
        return rows.assign(**{column: values})

    return put


REFUSED = [
    ("speed", lambda rows: rows, r"no style feature 'speed' .*speed_1 and speed_2; there are length.*order.* latency"),
    ("latency", without("latency_2"), r"no style feature 'latency'.*the file has none of its own"),
    ("generator", lambda rows: rows, "no style feature 'generator'"),
    ("latency", cell("latency_2", 7, None), "row 8 has no 'latency_2'; write a number in every row"),
    ("latency", cell("latency_1", 3, "slow"), "row 4 has the 'latency_1' 'slow', which is no number"),
    ("latency", cell("latency_1", 3, True), "row 4 has the 'latency_1' 'True', which is no number"),
    ("latency", cell("latency_1", 0, float("inf")), "row 1 has the 'latency_1' 'inf', which is no number"),
    ("length,,order", lambda rows: rows, "has an empty name"),
    ("shown_first", lambda rows: rows, "the name of order's slope"),
    ("order", without("order"), r"no verdict says which output was shown first.*leave 'order' out"),
    ("order", lambda rows: rows.assign(order="12"), "effect of 'order' cannot be told from the models' strengths"),
]


@pytest.mark.parametrize(("control", "change", "message"), REFUSED)
def test_what_cannot_be_controlled_for_is_refused_in_one_line(
    control: str, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    rows = planted(np.random.default_rng(8))
    if "strengths" in message:
        rows = rows[(rows["generator_1"] == "a") & (rows["generator_2"] == "b")]
    with pytest.raises(InputError, match=message) as refusal:
        simfarm.evaluate(change(rows), control=control, rank="bradley-terry")
    assert "\n" not in str(refusal.value)


def test_order_on_two_instructions_is_too_rare() -> None:
    rows = planted(np.random.default_rng(9))
    rows.loc[rows["instruction_id"] > 1, "order"] = None
    found = rated(rows, "order,latency")
    assert np.isnan(found.slopes["shown_first"].value)
    assert np.isfinite(found.slopes["latency"].value)


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl"])
def test_covariates_are_the_same_from_every_format(tmp_path: Path, kind: str) -> None:
    rows = planted(np.random.default_rng(10))
    file = str(tmp_path / f"v.{kind}")
    if kind == "csv":
        rows.to_csv(file, index=False)
    elif kind == "parquet":
        rows.to_parquet(file)
    else:
        rows.to_json(file, orient="records", lines=True, double_precision=15)
    found = simfarm.evaluate(file, control="order,latency")
    expected = simfarm.evaluate(rows, control="order,latency")
    pd.testing.assert_frame_equal(found, expected, rtol=1e-9)
    with pytest.raises(InputError, match=r"'speed'.*of the file's own latency"):
        simfarm.evaluate(file, control="speed")


def test_the_row_at_fault_is_the_files_own_number_and_the_first() -> None:
    """Also beyond the rows that are read at once, and where another column is wrong later."""
    found = Covariates(("latency",))
    found.add(Columns({"latency_1": [1.0, 2.0], "latency_2": [3.0, 4.0]}, 2))
    found.add(Columns({"latency_1": [1.0, 2.0, "slow"], "latency_2": [3.0, None, 4.0]}, 3))
    found.add(Columns({"latency_1": [None], "latency_2": [3.0]}, 1))
    with pytest.raises(InputError, match=r"v\.csv: row 4 has no 'latency_2'"):
        found.require("v.csv", {"latency_1", "latency_2"})
