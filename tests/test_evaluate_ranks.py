"""evaluate --rank, --control, --human on the command line: the figures of the functions, on planted verdicts."""

import json
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simfarm
from simfarm.cli import main
from simfarm.data.files import write_rows
from simfarm.data.frames import frame_verdicts
from simfarm.ranking import boards, calibrated_win_rates


@pytest.fixture(autouse=True)
def folder(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def round_robin(strengths: dict[str, float], n: int = 150, seed: int = 0) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    names = list(strengths)
    rows = []
    for i in range(n):
        for a in range(len(names)):
            for b in range(a + 1, len(names)):
                chance = 1 / (1 + np.exp(strengths[names[a]] - strengths[names[b]]))
                row = {"instruction": f"Question {i}?", "generator_1": names[a], "generator_2": names[b]}
                row |= {"output_1": "x " * int(rng.integers(5, 60)), "output_2": "y " * int(rng.integers(5, 60))}
                rows.append(row | {"annotator": "j", "preference": 1 + int(rng.uniform() < chance)})
    return rows


def evaluated(capsys: pytest.CaptureFixture[str], *arguments: str) -> dict[str, Any]:
    assert main(["evaluate", *arguments, "--json"]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_no_baseline_means_bradley_terry(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("r.jsonl", round_robin({"a": 1.0, "b": 0.0, "c": -1.0}))
    found = evaluated(capsys, "r.jsonl")
    assert found["rank"] == "bradley-terry"
    assert [m["model"] for m in found["models"]] == ["a", "b", "c"]
    assert [m["tier"] for m in found["models"]] == [1, 2, 3]
    for model, truth in zip(found["models"], (1.0, 0.0, -1.0), strict=True):
        assert abs(model["rating"] - (1000 + truth * 400 / np.log(10))) < 4 * model["rating_se"]
        assert model["rating_low"] < model["rating"] < model["rating_high"]
    assert main(["evaluate", "r.jsonl", "-o", "r.md"]) == 0
    assert "bradley-terry" in capsys.readouterr().out
    by_name = evaluated(capsys, "r.jsonl", "--baseline", "b")
    assert by_name["rank"] == "win-rate"
    assert {m["tier"] for m in by_name["models"]} == {1, 2}


def test_ranks_never_say_more_than_tiers(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("r.jsonl", round_robin({"a": 0.35, "b": 0.0, "c": 0.0, "d": -0.1, "e": -1.0}, n=60, seed=2))
    for more in ([], ["--control", "length"], ["--rank", "lottery"]):
        models = evaluated(capsys, "r.jsonl", *more)["models"]
        assert len({m["tier"] for m in models}) < len(models)
        for one in models:
            assert (one["rank_low"] == 1) == (one["tier"] == 1)
            for other in models:
                if one["tier"] == other["tier"]:
                    assert one["rank_low"] <= other["rank_high"]


def test_a_circle_gives_the_even_lottery(capsys: pytest.CaptureFixture[str]) -> None:
    beats = {("rock", "scissors"), ("scissors", "paper"), ("paper", "rock")}
    names = ("rock", "paper", "scissors", "weak")
    rows = [
        {
            "instruction": f"Question {i}?",
            "generator_1": a,
            "generator_2": b,
            "output_1": "x",
            "output_2": "y",
            "preference": 1 if (a, b) in beats or b == "weak" else 2,
        }
        for i in range(20)
        for n, a in enumerate(names)
        for b in names[n + 1 :]
    ]
    write_rows("r.jsonl", rows)
    found = evaluated(capsys, "r.jsonl", "--rank", "lottery")
    assert found["lottery"] == pytest.approx({"rock": 1 / 3, "paper": 1 / 3, "scissors": 1 / 3, "weak": 0}, abs=1e-6)
    assert any("no model beats every other one" in line for line in found["remarks"])
    assert {m["model"]: (m["tier"], m["rank_low"], m["rank_high"]) for m in found["models"]} == {
        **dict.fromkeys(("rock", "paper", "scissors"), (1, 1, 3)),
        "weak": (2, 4, 4),
    }
    assert any("paper, rock, scissors run in a circle, each no worse" in line for line in found["remarks"])


def test_a_winner_by_the_lottery_that_ratings_put_second_is_of_tier_1(capsys: pytest.CaptureFixture[str]) -> None:
    rates = {("a", "b"): 0.7, ("a", "c"): 0.7, ("a", "d"): 0.7, ("b", "c"): 0.95, ("b", "d"): 0.95, ("c", "d"): 0.9}
    rows = [
        {"instruction": f"Question {i}?", "generator_1": one, "generator_2": two, "output_1": "x", "output_2": "y"}
        | {"preference": 1 if (i + 0.5) / 100 < rate else 2}
        for i in range(100)
        for (one, two), rate in rates.items()
    ]
    write_rows("r.jsonl", rows)
    by_rating = evaluated(capsys, "r.jsonl", "--rank", "bradley-terry")["models"]
    assert [m["model"] for m in by_rating][:2] == ["b", "a"]
    models = evaluated(capsys, "r.jsonl", "--rank", "lottery")["models"]
    assert [(m["model"], m["rating"], m["tier"], m["rank_low"], m["rank_high"]) for m in models] == [
        ("a", 1, 1, 1, 1),
        ("b", 0, 2, 2, 2),
        ("c", 0, 3, 3, 3),
        ("d", 0, 4, 4, 4),
    ]


def test_a_lead_without_a_limit_is_said_to_be_at_least_so_much(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {"instruction": f"Question {i}?", "generator_1": one, "generator_2": two, "output_1": "x", "output_2": "y"}
        | {"preference": 1.9999 if two == "best" else 1.0001}
        for i in range(20)
        for one, two in [("best", "worse") if i % 2 else ("worse", "best")]
    ]
    write_rows("r.jsonl", rows)
    best, worse = evaluated(capsys, "r.jsonl", "--rank", "bradley-terry")["models"]
    assert (best["rating_high"], best["rating_se"], worse["rating_low"]) == (None, None, None)
    assert worse["rating_high"] < 1000 < best["rating_low"]
    assert main(["evaluate", "r.jsonl", "--rank", "bradley-terry"]) == 0
    shown = capsys.readouterr()
    assert "–∞" in shown.out
    assert "−∞–" in shown.out
    assert "no verdict says how large" in shown.err
    assert main(["compare", "r.jsonl", "best", "worse"]) == 0
    assert "best − worse = +685.9 Elo points (95 %: at least +90.9," in capsys.readouterr().out
    assert main(["compare", "r.jsonl", "worse", "best", "--json"]) == 0
    gap = json.loads(capsys.readouterr().out)["differences"][0]
    assert (gap["low"], gap["real"], gap["win_rate_low"]) == (None, True, 0)
    assert gap["high"] == pytest.approx(-90.9, abs=0.1)


def test_style_control_takes_a_planted_love_of_length_out(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(1)
    rows = []
    for i in range(600):
        for model, mean in (("long", 60), ("short", 20)):
            ours, base = int(rng.integers(mean - 15, mean + 40)), int(rng.integers(20, 80))
            # only length decides, the models are equal
            chance = 1 / (1 + np.exp(-3 * (ours - base) / (ours + base)))
            row = {"instruction": f"Question {i}?", "generator_1": "base", "generator_2": model, "annotator": "j"}
            row |= {"output_1": "x" * base, "output_2": "y" * ours, "preference": 1 + int(rng.uniform() < chance)}
            rows.append(row)
    write_rows("r.jsonl", rows)
    found = evaluated(capsys, "r.jsonl", "--control", "length", "--length-control", "none")
    raw = {m["model"]: m["win_rate"] for m in found["models"]}
    assert raw["long"] > 55
    assert raw["short"] < 45
    for model in ("long", "short"):
        held = found["style_controlled"][model]
        assert held["low"] < 0.5 < held["high"]
    assert found["slopes"]["length"]["low"] > 0
    rated = evaluated(capsys, "r.jsonl", "--rank", "bradley-terry", "--control", "length")
    gap = {m["model"]: m["rating"] for m in rated["models"]}
    assert abs(gap["long"] - gap["short"]) < 60
    raw_gap = {m["model"]: m["rating_raw"] for m in rated["models"]}
    assert raw_gap["long"] - raw_gap["short"] > 100


def test_style_control_is_the_same_whichever_side_the_baseline_is_on(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    rows = []
    for i in range(200):
        one, other = (int(rng.integers(5, 60)) for _ in range(2))
        chance = 1 / (1 + np.exp(-0.4 - 2 * (other - one) / (other + one)))
        row = {"instruction": f"Question {i}?", "generator_1": "base", "generator_2": "m", "annotator": "j"}
        rows.append(
            row | {"output_1": "x" * one, "output_2": "y" * other, "preference": 1 + int(rng.random() < chance)}
        )
    turned = [
        row
        | {"generator_1": "m", "generator_2": "base", "output_1": row["output_2"], "output_2": row["output_1"]}
        | {"preference": 3 - row["preference"]}
        if k % 3
        else row
        for k, row in enumerate(rows)
    ]
    write_rows("straight.jsonl", rows)
    write_rows("turned.jsonl", turned)
    asked = ("--baseline", "base", "--control", "length", "--length-control", "none")
    straight, other_way = (evaluated(capsys, f"{name}.jsonl", *asked) for name in ("straight", "turned"))
    assert straight["slopes"]["length"]["low"] > 0
    assert straight["style_controlled"]["m"]["value"] > 0.5
    for part, name in (("slopes", "length"), ("style_controlled", "m")):
        assert other_way[part][name] == pytest.approx(straight[part][name], abs=1e-9)


def test_human_labels_pull_a_biased_judge_to_the_truth(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(2)
    people = rng.uniform(size=1000) < 0.4
    # right four times in five, and otherwise for the model
    judge = np.where(rng.uniform(size=1000) < 0.8, people, True)
    pair = {"generator_1": "base", "generator_2": "m", "output_1": "x", "output_2": "y"}
    rows = [pair | {"instruction": f"Question {i}?"} for i in range(1000)]
    write_rows("v.jsonl", [r | {"annotator": "j", "preference": 1 + int(v)} for r, v in zip(rows, judge, strict=True)])
    labels = [r | {"preference": 1 + int(v)} for r, v in zip(rows[:200], people[:200], strict=True)]
    write_rows("labels.jsonl", labels)
    found = evaluated(capsys, "v.jsonl", "--human", "labels.jsonl", "--length-control", "none")
    calibrated = found["human_calibrated"]["m"]
    assert calibrated["win_rate"]["low"] < 0.4 < calibrated["win_rate"]["high"]
    assert found["models"][0]["win_rate_low"] > 45
    assert calibrated["n_labelled"] == 200
    assert calibrated["width_ratio"] < 0.9
    assert main(["evaluate", "v.jsonl", "--human", "labels.jsonl"]) == 0
    assert "more labels" in capsys.readouterr().out
    # a label may show the pair the other way round
    turned = [
        r
        | {
            "generator_1": "m",
            "generator_2": "base",
            "output_1": "y",
            "output_2": "x",
            "preference": 3 - r["preference"],
        }
        for r in labels
    ]
    write_rows("turned.jsonl", turned)
    again = evaluated(capsys, "v.jsonl", "--human", "turned.jsonl", "--length-control", "none")
    assert again["human_calibrated"] == found["human_calibrated"]
    # another judge in the file is calibrated on its own verdicts
    write_rows("w.jsonl", [r | {"annotator": "k", "preference": 2 - i % 2} for i, r in enumerate(rows)])
    boards = evaluated(capsys, "v.jsonl", "w.jsonl", "--human", "labels.jsonl", "--length-control", "none")["boards"]
    assert boards[0]["human_calibrated"] == found["human_calibrated"] != boards[1]["human_calibrated"]


def test_labels_count_whichever_side_was_shown_first(capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(4)
    pair = {"generator_1": "base", "generator_2": "m", "output_1": "x", "output_2": "y"}
    rows = [pair | {"instruction": f"Question {i}?", "annotator": "j"} for i in range(300)]
    write_rows("v.jsonl", [r | {"preference": 1 + int(rng.random() < 0.4)} for r in rows])
    labels = [r | {"preference": 1 + int(rng.random() < 0.02), "order": "12"} for r in rows[:100]]
    # one pair was seen both ways, and so by chance are most pairs that three people see
    for more in ([labels[0] | {"order": "21"}], [r | {"order": "21"} for r in labels[:75]]):
        write_rows("labels.jsonl", labels + more)
        found = evaluated(capsys, "v.jsonl", "--human", "labels.jsonl", "--length-control", "none")
        calibrated = found["human_calibrated"]["m"]
        assert calibrated["n_labelled"] == 100
        # the limits are those that allow for what so few labels have not seen
        verdicts, people = frame_verdicts(pd.read_json("v.jsonl", lines=True), "v"), pd.DataFrame(labels + more)
        [board] = boards(verdicts, length_control=["none"])
        one = calibrated_win_rates(verdicts, frame_verdicts(people, "labels"), board)["m"]
        assert (calibrated["win_rate"]["low"], calibrated["win_rate"]["high"]) == one.interval()
        assert one.interval()[1] > one.estimate.interval()[1]
        assert found["models"][0]["human_high"] == pytest.approx(100 * one.interval()[1])


def test_labels_of_pairs_nobody_judged_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"generator_1": "base", "generator_2": "m", "output_1": "x", "output_2": "y"}
    write_rows("v.jsonl", [pair | {"instruction": f"Question {i}?", "preference": 1} for i in range(50)])
    write_rows("labels.jsonl", [pair | {"instruction": f"Other {i}?", "preference": 1} for i in range(50)])
    assert main(["evaluate", "v.jsonl", "--human", "labels.jsonl"]) == 2
    assert "not judged" in capsys.readouterr().err


def test_parts_that_never_met_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    rows = round_robin({"a": 0.0, "b": 0.0}) + round_robin({"c": 0.0, "d": 0.0})
    write_rows("r.jsonl", rows)
    assert main(["evaluate", "r.jsonl", "--rank", "bradley-terry"]) == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert all(name in told for name in "abcd")


def test_compare_looks_at_shared_instructions_alone(capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"generator_1": "base", "output_1": "x", "output_2": "y"}
    rows = [
        pair | {"instruction": f"{i}", "generator_2": m, "preference": p}
        # on what both answered they are equal; elsewhere the one only won and the other only lost
        for m, alone, p in (("a", range(100), 2), ("b", range(200, 300), 1))
        for i in alone
    ]
    rows += [
        pair | {"instruction": f"both {i}", "generator_2": m, "preference": 1 + i % 2} for m in "ab" for i in range(40)
    ]
    write_rows("v.jsonl", rows)
    assert main(["compare", "v.jsonl", "a", "b", "--length-control", "none"]) == 0
    assert "a − b = +0.0 points" in (told := capsys.readouterr().out)
    assert "40 instructions): the difference may be chance on these, but one of the two was judged on 140" in told
    assert "no texts" not in told
    # length is held equal over all instructions, which is another question
    for row in rows:
        row["output_2"] = "y" * (1 + int(row["instruction"].split()[-1]) * 7 % 5)
    write_rows("v.jsonl", rows)
    assert main(["compare", "v.jsonl", "a", "b"]) == 0
    told = capsys.readouterr().out
    assert "40 instructions): the difference may be chance on these" in told
    assert ", on all 240 instructions; the raw one is of the 40 that both answered\n" in told
    assert "won–lost–tied" not in told
    write_rows("apart.jsonl", rows[:200])
    assert main(["compare", "apart.jsonl", "a", "b"]) == 2
    assert "share 0 instructions" in capsys.readouterr().err


def test_unanimous_models_have_limits_too(capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"generator_1": "base", "generator_2": "m", "output_1": "x", "output_2": "y", "preference": 2}
    for n, verdict in ((2, "may be chance"), (5, "may be chance"), (6, "is real"), (20, "is real")):
        write_rows("v.jsonl", [pair | {"instruction": str(i)} for i in range(n)])
        assert main(["compare", "v.jsonl", "m", "base", "--length-control", "none", "--json"]) == 0
        [found] = json.loads(capsys.readouterr().out)["differences"]
        assert found["low"] < found["value"] == found["high"] == 50
        assert found["real"] == (found["low"] > 0) == (found["p_value"] < 0.05) == (verdict == "is real")
        assert main(["compare", "v.jsonl", "m", "base", "--length-control", "none"]) == 0
        assert f"the difference {verdict}" in capsys.readouterr().out


def test_compare_gives_numbers_to_machines(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for row in round_robin({"a": 1.0, "b": 0.0, "base": 0.5}) if "base" in row.values()]
    write_rows("v.jsonl", rows)
    assert main(["compare", "v.jsonl", "a", "b", "--baseline", "base", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["a"], found["b"], found["level"]) == ("a", "b", 0.95)
    assert [d["length_control"] for d in found["differences"]] == [None, "joint"]
    for one in found["differences"]:
        assert one["low"] < one["value"] < one["high"]
        assert (one["n_instructions"], one["annotator"], one["by"]) == (150, "j", "win-rate")
        assert one["real"] == (one["p_value"] < 0.05)


def test_limits_that_are_out_of_reach_are_win_rates_of_0_and_100(capsys: pytest.CaptureFixture[str]) -> None:
    """Two instructions that agree on nothing: the limits are a million points apart, and their odds no number."""
    pair = {"generator_1": "a", "generator_2": "b", "output_1": "x", "output_2": "y"}
    rows = [pair | {"instruction": str(i), "preference": 1 + i} for i in range(2)]
    write_rows("r.jsonl", [*rows, *(row | {"generator_1": "c", "preference": 1.5} for row in rows)])
    assert main(["compare", "r.jsonl", "a", "b", "--level", "0.9999", "--json"]) == 0
    elo = json.loads(capsys.readouterr().out)["differences"][0]
    assert elo["high"] - elo["low"] > 250_000
    assert (elo["win_rate_low"], elo["win_rate_high"]) == (0, 100)


def test_compare_without_a_baseline(capsys: pytest.CaptureFixture[str]) -> None:
    rows = round_robin({"a": 1.0, "b": 0.0, "c": -1.0}, n=300)
    write_rows("r.jsonl", rows)
    assert main(["compare", "r.jsonl", "a", "b", "--json"]) == 0
    elo, met = json.loads(capsys.readouterr().out)["differences"]
    assert (elo["by"], met["by"]) == ("bradley-terry", "head-to-head")
    assert elo["low"] < 400 / np.log(10) < elo["high"]
    assert elo["win_rate"] == pytest.approx(100 / (1 + 10 ** (-elo["value"] / 400)))
    assert elo["win_rate_low"] < 73.1 < elo["win_rate_high"]
    won = [row["preference"] == 1 for row in rows if {row["generator_1"], row["generator_2"]} == {"a", "b"}]
    assert met["win_rate"] == pytest.approx(100 * np.mean(won)) == 50 + met["value"]
    assert met["low"] < met["value"] < met["high"]
    assert (met["real"], met["n_instructions"]) == (True, 300)
    # the other way round everything turns
    assert main(["compare", "r.jsonl", "b", "a", "--json"]) == 0
    turned = json.loads(capsys.readouterr().out)["differences"]
    for one, other in zip((elo, met), turned, strict=True):
        assert [other[k] for k in ("value", "low")] == pytest.approx([-one[k] for k in ("value", "high")])
        assert other["win_rate_low"] == pytest.approx(100 - one["win_rate_high"])
    table = simfarm.compare("r.jsonl", "a", "b")
    assert table["value"].tolist() == [elo["value"], met["value"]]
    assert main(["compare", "r.jsonl", "a", "c"]) == 0
    told = capsys.readouterr().out
    assert "Elo points" in told
    assert "for a over c: the difference is real" in told
    for names, more, said in (
        (("a", "z"), [], "no verdict about 'z'; there are a, b, c"),
        (("a", "a"), [], "compared with itself"),
        (("a", "b"), ["--length-control", "joint"], "--length-control needs win rates over a baseline"),
    ):
        assert main(["compare", "r.jsonl", *names, *more]) == 2
        assert said in (told := capsys.readouterr().err)
        assert told.count("\n") == 1
    # two that never met have no head to head
    write_rows("chain.jsonl", [row for row in rows if "b" in row.values()])
    assert main(["compare", "chain.jsonl", "a", "c", "--json"]) == 0
    assert [d["by"] for d in json.loads(capsys.readouterr().out)["differences"]] == ["bradley-terry"]


def test_rejudge_wants_the_same_outputs(capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"generator_1": "base", "generator_2": "m", "output_1": "x", "annotator": "j"}
    for name, output, start in (("a", "y", 0), ("b", "other", 0), ("c", "y", 500)):
        rows = [pair | {"instruction": str(i + start), "output_2": output, "preference": 1 + i % 2} for i in range(30)]
        write_rows(f"{name}.jsonl", rows)
    assert main(["rejudge", "a.jsonl", "b.jsonl"]) == 2
    assert "30 outputs differ between the two files" in capsys.readouterr().err
    assert main(["rejudge", "a.jsonl", "c.jsonl"]) == 2
    assert "share fewer than two instructions" in capsys.readouterr().err


def test_ratings_say_what_has_no_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    rows = round_robin({"a": 1.0, "b": 0.0, "c": -1.0})
    write_rows("r.jsonl", [row | {"preference": None} if i % 3 == 0 else row for i, row in enumerate(rows[:-2])])
    found = evaluated(capsys, "r.jsonl", "--rank", "bradley-terry")
    assert any("without a verdict" in line for line in found["warnings"])


def test_what_is_asked_for_stands_in_the_file_too() -> None:
    rng = np.random.default_rng(3)
    pair = {"generator_1": "base", "generator_2": "m", "annotator": "j"}
    rows = [
        pair
        | {
            "instruction": f"{i}",
            "output_1": "x" * int(rng.integers(9, 60)),
            "output_2": "y" * int(rng.integers(9, 60)),
        }
        | {"preference": 1 + int(rng.integers(2))}
        for i in range(80)
    ]
    write_rows("v.jsonl", rows)
    write_rows("labels.jsonl", rows[:40])
    asked = ("--human", "labels.jsonl", "--control", "length", "--board", "alpaca-eval-2")
    for name in ("o.json", "o.md"):
        assert main(["evaluate", "v.jsonl", *asked, "-o", name]) == 0
    with open("o.json", encoding="utf-8") as stream:
        found = json.load(stream)
    assert {"human_calibrated", "style_controlled", "published"} <= set(found)
    assert found["published"]["models"][0]["model"] == "m"
    with open("o.md", encoding="utf-8") as stream:
        told = stream.read()
    assert "as people judge 95 %" in told
    assert "among the 223 models" in told
    assert main(["evaluate", "v.jsonl", "--board", "nobody", "--add-to", "new"]) == 2
    assert main(["evaluate", "v.jsonl", "--control", "length", "--add-to", "new"]) == 2


def test_known_flips_are_undone_on_the_board(capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"generator_1": "base", "output_1": "x", "output_2": "y", "annotator": "j"}
    rows = [
        pair | {"instruction": f"{i}", "generator_2": m, "preference": 1 + (i % 10 < won), "dataset": "ab"[i % 2]}
        for m, won in (("good", 7), ("bad", 2))
        for i in range(100)
    ]
    write_rows("v.jsonl", rows)
    raw = evaluated(capsys, "v.jsonl", "--length-control", "none")["models"]
    found = evaluated(capsys, "v.jsonl", "--flip-rate", "0.25")
    for before, after in zip(raw, found["models"], strict=True):
        assert after["model"] == before["model"]
        if before["model"] != "base":
            for column in ("win_rate", "win_rate_low", "win_rate_high"):
                assert after[column] == pytest.approx((before[column] - 25) / 0.5, abs=1e-6)
            assert after["length_controlled_winrate"] is None
    assert min(m["win_rate"] for m in found["models"]) == pytest.approx(-10)
    assert found["breakdown"] == []
    assert any("corrected for 25 % of the verdicts" in line for line in found["notes"])
    assert any(line.startswith("bad: corrected beyond 0 or 100") for line in found["notes"])
    gap = simfarm.compare("v.jsonl", "good", "bad", length_control="none")["value"][0]
    assert main(["compare", "v.jsonl", "good", "bad", "--flip-rate", "0.25", "--json"]) == 0
    [difference] = json.loads(capsys.readouterr().out)["differences"]
    assert difference["value"] == pytest.approx(2 * gap)
    assert simfarm.compare("v.jsonl", "good", "bad", flip_rate=0.25).to_dict("records") == [difference]
    # nothing flipped is nothing to correct, nor to say
    assert evaluated(capsys, "v.jsonl", "--flip-rate", "0") == evaluated(capsys, "v.jsonl")
    write_rows("r.jsonl", round_robin({"a": 1.0, "b": 0.0, "c": -1.0}, n=20))
    for ranked, remedy in (([], "give --baseline\n"), (["--rank", "bradley-terry"], "give --rank win-rate\n")):
        assert main(["evaluate", "r.jsonl", "--flip-rate", "0.1", *ranked]) == 2
        assert capsys.readouterr().err.endswith(f"--flip-rate needs win rates over a baseline; {remedy}")
    for more, told in (
        (["--flip-rate", "0.45"], "bad: a win rate of 0.200 cannot come from labels of which 0.45 are flipped"),
        (["--flip-rate", "0.1", "--length-control", "joint"], "leave --length-control out"),
        (["--flip-rate", "0.1", "--control", "length"], "leave --control out"),
    ):
        assert main(["evaluate", "v.jsonl", *more]) == 2
        assert told in (error := capsys.readouterr().err)
        assert error.count("\n") == 1


def test_tau_stands_beside_the_lottery(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("r.jsonl", round_robin({"a": 0.6, "b": 0.0, "c": -0.6}))
    found = evaluated(capsys, "r.jsonl", "--rank", "lottery", "--tau", "0.2")
    held = {m["model"]: m["regularised_weight"] for m in found["models"]}
    assert found["tau"] == 0.2
    assert sum(held.values()) == pytest.approx(1)
    assert 1 > held["a"] > held["b"] > held["c"] > 0
    assert any(line.startswith("τ = 0.2: the Nash winner") for line in found["remarks"])
    assert main(["evaluate", "r.jsonl", "--rank", "lottery", "--tau", "0.2"]) == 0
    assert "τ 0.2" in capsys.readouterr().out
    for more in ([], ["--rank", "bradley-terry"]):
        assert main(["evaluate", "r.jsonl", "--tau", "0.2", *more]) == 2
        assert "--tau is for --rank lottery" in capsys.readouterr().err
