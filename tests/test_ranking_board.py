"""The board: its columns, its order, and inputs at the edge."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tables import boards_of, verdicts_of

from simfarm.errors import InputError
from simfarm.ranking import COLUMNS, paired_difference, rate_models
from simfarm.ranking.remarks import unnamed


def planted(n_models: int = 3, n: int = 40, seed: int = 0) -> pd.DataFrame:
    """Full rows: model m{k} wins more often the higher k; longer answers win more."""
    rng = np.random.default_rng(seed)
    rows: list[dict[str, Any]] = []
    for m in range(n_models):
        for i in range(n):
            length = int(rng.integers(20, 200))
            chance = 0.2 + 0.5 * m / n_models + 0.2 * (length > 110)
            rows.append(
                {
                    "instruction": f"question {i}",
                    "dataset": "odd" if i % 2 else "even",
                    "output_1": f"{i:03d}" * 37,
                    "output_2": f"{i:03d}{m}" + "x" * length,
                    "generator_1": "base",
                    "generator_2": f"m{m}",
                    "annotator": "judge",
                    "judge_hash": "abc",
                    "preference": 1.0 + float(rng.uniform() < chance),
                }
            )
    return pd.DataFrame(rows)


def test_columns_are_those_of_the_design_and_the_best_model_is_first() -> None:
    [board] = boards_of(planted())
    assert tuple(board.table.columns) == (*COLUMNS, "tier", "rank_low", "rank_high")
    assert board.table["win_rate"].is_monotonic_decreasing
    top = board.table.iloc[0]
    rows = planted()
    assert top["win_rate"] == pytest.approx(100 * (rows[rows["generator_2"] == top["model"]]["preference"] - 1).mean())
    assert top["win_rate_low"] < top["win_rate"] < top["win_rate_high"]
    assert top["lc_low"] < top["length_controlled_winrate"] < top["lc_high"]
    assert (top["annotator"], top["judge_hash"], top["baseline"]) == ("judge", "abc", "base")


def test_below_twenty_models_the_raw_win_rate_leads_and_the_board_says_why() -> None:
    [small] = boards_of(planted(3))
    assert small.headline == "win_rate"
    assert any("length slope estimated from 3 models" in note for note in small.notes)
    [almost] = boards_of(planted(19))
    assert almost.headline == "win_rate"
    assert any("from 19 models; its interval is approximate" in note for note in almost.notes)
    [large] = boards_of(planted(20))
    assert not any("length slope" in note for note in large.notes)
    assert large.headline == "length_controlled_winrate"
    assert large.table["length_controlled_winrate"].is_monotonic_decreasing
    assert large.panel_size == 20
    assert large.panel_hash != small.panel_hash


def test_without_length_control_its_columns_are_empty() -> None:
    [board] = boards_of(planted(), length_control=())
    assert board.table["length_controlled_winrate"].isna().all()
    assert board.slope is None
    assert board.lc_estimates == {}


@pytest.mark.parametrize("named", [["none"], ["none", "joint"], ["joint", "none", "joint"]])
def test_none_is_a_length_control_that_adds_nothing(named: list[str]) -> None:
    [board] = boards_of(planted(), length_control=named)
    [plain] = boards_of(planted(), length_control=[n for n in named if n != "none"])
    pd.testing.assert_frame_equal(board.table, plain.table)
    assert list(board.lc_estimates) == list(plain.lc_estimates)


def test_the_baseline_against_itself_is_fifty_and_moves_nothing() -> None:
    rows = planted()
    own = rows[rows["generator_2"] == "m0"].assign(generator_2="base", preference=1.5)
    [board] = boards_of(pd.concat([rows, own]))
    table = board.table.set_index("model")
    line = table.loc["base"]
    assert line[["win_rate", "win_rate_low", "win_rate_high", "length_controlled_winrate"]].tolist() == [50.0] * 4
    assert line["n_draws"] == 40
    [without] = boards_of(rows)
    assert without.panel_hash == board.panel_hash
    before = without.table.set_index("model").loc["m1", "length_controlled_winrate"]
    assert table.loc["m1", "length_controlled_winrate"] == pytest.approx(before, abs=1e-12)


def test_failures_are_counted_and_never_scored() -> None:
    rows = planted(1)
    rows["status"] = "verdict"
    wins = (rows["preference"] == 2).sum()
    rows.loc[:4, ["preference", "status"]] = [np.nan, "error"]
    rows.loc[5:6, ["preference", "status"]] = [np.nan, "unparseable"]
    lost = (planted(1)["preference"][:7] == 2).sum()
    [board] = boards_of(rows)
    line = board.table.iloc[0]
    assert line[["n_error", "n_unparseable", "n_total", "n_wins"]].tolist() == [5, 2, 33, wins - lost]
    assert line["win_rate"] == pytest.approx(100 * (wins - lost) / 33)


def test_an_annotator_each_gets_a_board() -> None:
    rows = planted()
    boards = boards_of(pd.concat([rows, rows.assign(annotator="other")]))
    assert [b.annotator for b in boards] == ["judge", "other"]


def test_breakdown_by_dataset_averages_to_the_whole() -> None:
    [board] = boards_of(planted())
    parts = board.breakdown[board.breakdown["model"] == "m1"]
    assert parts["group"].tolist() == ["even", "odd"]
    places = [model for model in board.table["model"] if model != board.baseline]
    assert board.breakdown["model"].tolist() == places * 2
    assert parts["win_rate"].mean() == pytest.approx(board.table.set_index("model").loc["m1", "win_rate"])


def test_a_baseline_that_met_itself_stands_at_one_half_on_every_instruction() -> None:
    """Its few rows beside itself do not take the others' instructions away."""
    rows = [
        {"instruction": f"q{i}", "output_1": "x", "output_2": "y", "generator_1": "base", "generator_2": other}
        | {"annotator": "j", "preference": 1 + float(i % 4 > 0)}
        for other, n in (("m", 40), ("base", 5))
        for i in range(n)
    ]
    [board] = boards_of(pd.DataFrame(rows))
    gap = paired_difference(board, "m", "base")
    assert (gap.value, gap.n_clusters) == (0.25, 40)
    low, high = board.estimates["m"].interval()
    assert gap.interval() == pytest.approx((low - 0.5, high - 0.5))
    assert paired_difference(board, "base", "m").value == -0.25


def test_paired_difference_of_two_models() -> None:
    rows = planted(2, 60)
    [board] = boards_of(rows)
    a, b = (rows[rows["generator_2"] == m]["preference"].to_numpy() for m in ("m1", "m0"))
    difference = paired_difference(board, "m1", "m0")
    assert difference.value == pytest.approx((a - b).mean())
    assert difference.standard_error == pytest.approx((a - b).std(ddof=1) / np.sqrt(60))
    low, high = paired_difference(board, "m1", "m0", length_control="joint").interval()
    assert low < high
    with pytest.raises(InputError, match="no estimate of 'm9'"):
        paired_difference(board, "m1", "m9")


def test_models_on_other_instructions_are_ranked_by_those_both_answered_and_warned_of() -> None:
    """m1 is worse wherever both answered, but alone answered what is easy: its rate is higher."""
    rows = planted(2, 200)
    rows = rows[(rows["generator_2"] == "m1") | (rows["instruction"].str.split().str[1].astype(int) < 80)]
    number = rows["instruction"].str.split().str[1].astype(int)
    first = rows["generator_2"] == "m0"
    won = np.where(first, number % 5 < 3, (number % 5 < 1) | (number >= 80))
    [board] = boards_of(rows.assign(preference=1.0 + won), length_control=[])
    table = board.table.set_index("model")
    assert table.loc["m1", "win_rate"] > table.loc["m0", "win_rate"]
    gap = paired_difference(board, "m0", "m1")
    assert gap.value == pytest.approx(0.4)
    assert gap.p_value() < 0.001
    assert table["tier"].to_dict() == {"m0": 1, "m1": 2}
    assert table["rank_low"].to_dict() == table["rank_high"].to_dict() == {"m0": 1, "m1": 2}
    [warning] = [w for w in board.warnings if "share" in w]
    assert warning.startswith("m0 and m1 share 80 instructions of 80 and 200: ")
    assert not any(" share " in w for w in boards_of(planted(2, 60), length_control=[])[0].warnings)


@pytest.mark.parametrize("seed", range(6))
def test_a_board_of_two_tells_apart_what_compare_calls_real(seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows = planted(2, 40)
    chance = np.where(rows["generator_2"] == "m1", 0.72, 0.5)
    [board] = boards_of(rows.assign(preference=1.0 + (rng.random(len(rows)) < chance)), length_control=[])
    real = paired_difference(board, "m0", "m1").p_value() <= 0.05
    assert (board.table["tier"].nunique() == 2) == real


def test_ranks_of_a_board_belong_to_its_tiers() -> None:
    [board] = boards_of(planted(6, 120))
    table = board.table
    assert ((table["rank_low"] == 1) == (table["tier"] == 1)).all()
    assert (table["rank_low"] >= table["tier"]).all()
    assert (table["rank_high"] >= table["rank_low"]).all()
    assert table["tier"].nunique() > 1


@pytest.mark.parametrize("n", [1, 2])
def test_one_or_two_rows_make_a_board(n: int) -> None:
    [board] = boards_of(planted(1).head(n))
    assert len(board.table) == 1
    if n == 1:
        assert np.isnan(board.table["win_rate_low"][0])
        assert any("one instruction alone" in w for w in board.warnings)


def test_a_model_without_any_verdict_is_listed_last_with_a_warning() -> None:
    rows = planted(2)
    rows.loc[rows["generator_2"] == "m1", "preference"] = np.nan
    [board] = boards_of(rows)
    assert board.table["model"].tolist() == ["m0", "m1"]
    assert np.isnan(board.table["win_rate"][1])
    assert any("m1 has no verdict" in w for w in board.warnings)


@pytest.mark.parametrize("preference", [1.0, 2.0])
def test_a_model_that_always_loses_or_wins_keeps_its_raw_rate_under_control(preference: float) -> None:
    rows = planted(3)
    rows.loc[rows["generator_2"] == "m0", "preference"] = preference
    [board] = boards_of(rows)
    line = board.table.set_index("model").loc["m0"]
    assert line["length_controlled_winrate"] == line["win_rate"] == 100 * (preference - 1)
    assert line["win_rate_high"] > line["win_rate_low"]


@pytest.mark.parametrize(("longer", "warned"), [(39, True), (40, False)])
def test_lopsided_lengths_are_warned_of_below_a_tenth(longer: int, warned: bool) -> None:
    rows = planted(1, 400)
    base = rows["output_1"].str.len()
    rows["output_2"] = ["x" * (n + 5 if i < longer else n - 5) for i, n in enumerate(base)]
    twin = rows.assign(generator_2="m1", preference=rows["preference"].sample(frac=1, random_state=0).to_numpy())
    [board] = boards_of(pd.concat([rows, twin]))
    assert any("one side of zero" in w for w in board.warnings) is warned
    text = ["x" * (n - 5 if i < longer else n + 5) for i, n in enumerate(base)]
    [turned] = boards_of(pd.concat([rows.assign(output_2=text), twin.assign(output_2=text)]))
    assert any("one side of zero" in w for w in turned.warnings) is warned


def lc_warnings(rows: pd.DataFrame, **options: Any) -> list[str]:
    [board] = boards_of(rows, **options)
    assert board.table["length_controlled_winrate"].drop(board.table.index[board.table["model"] == "base"]).isna().all()
    assert board.slope is None
    return [w for w in board.warnings if "no length-controlled" in w]


def test_why_there_is_no_length_control_is_said() -> None:
    rows = planted()
    [told] = lc_warnings(rows.drop(columns=["output_1", "output_2"]))
    assert "length_1" in told
    [told] = lc_warnings(rows.assign(preference=np.nan))
    assert told.endswith("no comparison has a verdict")
    own = rows[rows["generator_2"] == "m0"].assign(generator_2="base", preference=1.5)
    [told] = lc_warnings(own)
    assert told.endswith("no model but the baseline base")
    assert lc_warnings(rows.drop(columns=["output_1", "output_2"]), length_control=()) == []


def test_rows_without_lengths_have_a_board_that_is_not_checked() -> None:
    [board] = boards_of(planted().drop(columns=["output_1", "output_2"]))
    assert board.table["win_rate"].notna().all()
    assert board.table["flags"].eq("not checked").all()


@pytest.mark.parametrize("n_models", [2, 3, 20])
def test_a_slope_that_nothing_tells_of_is_not_reported(n_models: int) -> None:
    rows = planted(n_models)
    one = rows[rows["instruction"] == "question 0"].assign(preference=1.3)
    level = rows.assign(output_2="x" * 40)
    for data in (one, level):
        [board] = boards_of(data)
        assert board.slope is None
        assert board.to_json()["length_slope"] is None
        assert not any("slope" in n for n in board.notes)
        np.testing.assert_allclose(
            board.table["length_controlled_winrate"], board.table["win_rate"], atol=15 if data is one else 0.5
        )
    [board] = boards_of(rows)
    assert board.slope is not None
    assert board.slope.low < board.slope.value < board.slope.high


def test_what_the_orders_did_stands_beside_the_board() -> None:
    rows = planted(1)
    first, second = rows.assign(order="12", preference=2.0), rows.assign(order="21", preference=2.0)
    second.loc[:3, "preference"] = 1.0
    second.loc[4:9, "preference"] = 1.5
    [board] = boards_of(pd.concat([first, second.head(30)]))
    counts = board.counts
    assert counts["order_reversals"] == pytest.approx(4 / 30)
    assert counts["order_tie_changes"] == pytest.approx(6 / 30)
    assert counts["n_half_asked"] == 10
    assert board.table["n_total"].tolist() == [30]
    assert any("reverses itself in 13.3 %" in n and "or back in 20.0 %" in n for n in board.notes)
    assert board.warnings[0].startswith("25 % of the comparisons are left out: 10 comparisons were asked in one order")
    [few] = boards_of(pd.concat([first, second.head(37)]))
    assert any(n.startswith("3 comparisons were asked in one order only") for n in few.notes)
    assert not any("order" in line for line in few.warnings)
    [once] = boards_of(rows.assign(order="12"))
    assert (once.counts["order_reversals"], once.counts["n_half_asked"]) == (None, 0)
    assert not any("order" in n for n in once.notes)


def test_comparisons_of_one_order_among_those_of_both_are_told_of() -> None:
    rows = planted(2, 100)
    first, second = rows.assign(order="12"), rows.assign(order="21")
    said = {}
    for n in (5, 45):
        [board] = boards_of(pd.concat([first, second[second["instruction"].isin(rows["instruction"].unique()[:n])]]))
        assert board.table["n_total"].tolist() == [100, 100]
        told = f"{2 * n} of 200 comparisons were asked in both orders, the others in one, where "
        said[n] = [any(line.startswith(told) for line in lines) for lines in (board.notes, board.warnings[:1])]
    assert said == {5: [True, False], 45: [False, True]}
    mine = rows["generator_2"].unique()[0]
    [apart] = boards_of(pd.concat([first, second[second["generator_2"] == mine]]))
    other = next(m for m in rows["generator_2"].unique() if m != mine)
    assert f"100 of 200 comparisons were asked in both orders, the others (of {other}) in one" in apart.warnings[0]
    [halves] = boards_of(first.assign(judge_order="both"))
    assert "the judge asks both orders, and the file has one alone of 200 comparisons" in halves.warnings[0]
    [unfinished] = boards_of(pd.concat([first, second.head(90)]).assign(judge_order="both"))
    assert unfinished.warnings[0].startswith("55 % of the comparisons are left out: 110 comparisons were asked in one")
    [graph] = rate_models(verdicts_of(pd.concat([first, second.head(90)]).assign(judge_order="both")), "bradley-terry")
    assert graph.warnings[0] == unfinished.warnings[0]
    assert not any("without a verdict" in line for line in graph.warnings)


def test_exactly_one_half_is_a_draw_and_a_narrow_win_a_win() -> None:
    rows = planted(1, 6)
    rows["preference"] = [1.5, 1.5, 1.5 + 1e-9, 1.5 - 1e-9, 2.0, 1.0]
    rows.loc[5, "preference"] = 1.6
    [board] = boards_of(rows)
    line = board.table.iloc[0]
    assert line[["n_wins", "n_wins_base", "n_draws", "n_total"]].tolist() == [3, 1, 2, 6]
    assert line["discrete_win_rate"] == pytest.approx(100 * 4 / 6)


def test_json_has_no_nan_and_survives_a_round_trip() -> None:
    [board] = boards_of(planted(1).head(1))
    text = json.dumps(board.to_json(), allow_nan=False)
    assert json.loads(text)["models"][0]["win_rate_low"] is None


def test_row_order_changes_nothing() -> None:
    rows = planted()
    [board] = boards_of(rows)
    [shuffled] = boards_of(rows.sample(frac=1, random_state=1))
    assert shuffled.table["model"].tolist() == board.table["model"].tolist()
    np.testing.assert_allclose(
        shuffled.table["length_controlled_winrate"], board.table["length_controlled_winrate"], atol=1e-8
    )


@pytest.mark.parametrize(
    ("options", "message"), [({"length_control": ["x"]}, "'x'"), ({"level": 95}, "between 0 and 1")]
)
def test_unknown_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        boards_of(planted(), **options)


def test_what_is_warned_of_names_its_annotator_where_there_are_two() -> None:
    rows = pd.DataFrame(
        {
            "instruction": [f"q{i}" for i in range(12)],
            "length_1": range(10, 22),
            "length_2": range(40, 52),
            "generator_1": "base",
            "generator_2": "m",
            "preference": [None, 1.0] * 6,
            "order": "12",
        }
    )
    whole = rows.assign(order="21", preference=2.0)
    asked = pd.concat([rows, whole[:8]]).assign(judge_order="both")
    (alone,) = boards_of(asked.assign(annotator="j"), baseline="base", length_control=())
    assert alone.warnings
    assert not any(line.startswith("j") for line in alone.warnings)
    both = pd.concat([asked.assign(annotator=name) for name in ("j", "judge")])
    named = boards_of(both, baseline="base", length_control=())
    assert [board.warnings for board in named] == [
        tuple(f"{name}: {line}" for line in alone.warnings) for name in ("j", "judge")
    ]


def test_models_without_a_name_are_said_to_be_in_their_number() -> None:
    assert "output_2 stands for a model here; add the column" in unnamed(["output_2", "m"])[0]
    assert "output_1 and output_2 stand for models here; add the columns" in unnamed(["output_1", "output_2"])[0]
