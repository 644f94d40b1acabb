"""--panel: the same judge's verdicts on other models make length control of one model possible, off the board."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import simfarm
from simfarm.cli import main
from simfarm.data.files import write_rows
from simfarm.ranking import alpaca_eval

LONG = {"mine": 60, "x": 0, "y": -20, "z": 20}


def verdicts(*models: str, n: int = 200, judge: str = "j", **more: Any) -> list[dict[str, Any]]:
    """Of equal quality; the judge likes length, and `mine` writes longer than the rest."""
    rows = []
    for name in models:
        rng = np.random.default_rng(len(name) + ord(name[0]))
        for i in range(n):
            base = 150 + (37 * i) % 100
            own = base + LONG.get(name, 0) + int(rng.integers(-90, 90))
            chance = 1 / (1 + np.exp(-(own - base) / 60))
            row = {"instruction": f"Question {i}?", "generator_1": "base", "generator_2": name, "annotator": judge}
            row |= {"judge_hash": f"hash of {judge}", "length_1": base, "length_2": own}
            rows.append(row | {"preference": 1 + int(rng.random() < chance)} | more)
    return rows


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows("v.jsonl", verdicts("mine"))
    write_rows("panel.jsonl", verdicts("mine", "x", "y", "z"))


def board(capsys: pytest.CaptureFixture[str], *more: str) -> dict[str, Any]:
    assert main(["evaluate", "v.jsonl", "--json", *more]) == 0
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


def test_one_model_alone_is_told_what_helps(capsys: pytest.CaptureFixture[str]) -> None:
    found = board(capsys)
    [model] = found["models"]
    assert model["length_controlled_winrate"] is None
    assert found["length_slope"] is None
    assert found["length_worth"] == {}
    [line] = [note for note in found["notes"] if "no length-controlled" in note]
    assert "the verdicts on mine alone" in line
    assert "--panel FILE" in line
    assert "alpaca-eval-2" not in line
    assert main(["evaluate", "v.jsonl"]) == 0
    assert "length-controlled 95 %" not in capsys.readouterr().out
    # others that lost everything have no finite effect, and do not help
    write_rows("v.jsonl", [*verdicts("mine"), *verdicts("lost", preference=1)])
    assert any("on mine alone" in note for note in board(capsys)["notes"])


def test_a_flagged_model_is_no_panel(capsys: pytest.CaptureFixture[str]) -> None:
    rows = pd.DataFrame(verdicts("mine"))
    rng = np.random.default_rng(0)
    texts, base = (["".join(rng.choice(list("abcdef gh"), size=n)) for n in rows[f"length_{k}"]] for k in (2, 1))
    rows = rows.assign(output_1=base, output_2=texts).drop(columns=["length_1", "length_2"])
    constant = rows.assign(
        generator_2="null", output_2="the same to everybody", preference=rows["preference"].to_numpy()[::-1]
    )
    twin = rows.assign(generator_2="twin", preference=rows["preference"].sample(frac=1, random_state=1).to_numpy())
    for others, helped in (([constant], False), ([twin], True), ([constant, twin], True)):
        write_rows("v.jsonl", pd.concat([rows, *others]).to_dict("records"))
        found = board(capsys)
        assert any("on mine alone" in note for note in found["notes"]) is not helped
        write_rows("v.jsonl", rows.to_dict("records"))
        write_rows("panel.jsonl", pd.concat(others).to_dict("records"))
        if helped:
            aside = board(capsys, "--panel", "panel.jsonl")
            assert aside["panel_size"] == 2
            assert any("flagged: null" in line for line in aside["warnings"]) is (len(others) == 2)
    write_rows("panel.jsonl", constant.to_dict("records"))
    assert main(["evaluate", "v.jsonl", "--panel", "panel.jsonl"]) == 2
    assert "--panel has no model to hold length equal with (flagged: null); give" in capsys.readouterr().err


def test_a_panel_makes_length_control_of_one_model(capsys: pytest.CaptureFixture[str]) -> None:
    alone, found = board(capsys), board(capsys, "--panel", "panel.jsonl")
    [before], [model] = alone["models"], found["models"]
    for name in ("model", "win_rate", "win_rate_low", "win_rate_high", "n_total", "n_wins", "tier", "avg_length"):
        assert model[name] == before[name]
    assert model["win_rate"] > 60
    assert model["lc_low"] < 50 < model["lc_high"]
    assert found["length_slope"]["n_models"] == found["panel_size"] == 4
    assert found["panel_hash"] != alone["panel_hash"]
    assert any(
        "length is held equal with 3 models of the panel, not on this board: x, y, z" in n for n in found["notes"]
    )
    assert found["length_worth"] == {"mine": pytest.approx(model["win_rate"] - model["length_controlled_winrate"])}
    assert any("length is worth +" in line for line in found["remarks"])
    # as on the board of all four
    write_rows("v.jsonl", verdicts("mine", "x", "y", "z"))
    whole = {m["model"]: m for m in board(capsys)["models"]}
    assert whole["mine"]["length_controlled_winrate"] == pytest.approx(model["length_controlled_winrate"], abs=1e-6)
    assert board(capsys)["panel_hash"] == found["panel_hash"]


def test_a_panel_is_any_source_and_its_own_instructions_count_for_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    found = board(capsys, "--panel", "panel.jsonl")
    frame = pd.DataFrame(verdicts("x", "y", "z", n=260))
    for panel in ("panel.jsonl", frame, frame.to_dict("records")):
        table = simfarm.evaluate("v.jsonl", panel=panel)
        assert table["length_controlled_winrate"][0] == pytest.approx(found["models"][0]["length_controlled_winrate"])
    row = simfarm.compare("v.jsonl", "mine", "base", panel=frame).set_index("length_control").loc["joint"]
    assert row["value"] == pytest.approx(found["models"][0]["length_controlled_winrate"] - 50)
    assert main(["compare", "v.jsonl", "mine", "base", "--panel", "panel.jsonl", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["differences"][1]["value"] == pytest.approx(row["value"])
    write_rows("few.jsonl", verdicts("x", "y", n=80))
    assert any(
        "judged on 80 of the board's 200 instructions" in w for w in board(capsys, "--panel", "few.jsonl")["warnings"]
    )


REFUSED = [
    (verdicts("x", judge="k"), [], "was judged by 'k', the board by 'j'; annotate its models with that judge"),
    (verdicts("x", judge_hash="other"), [], "has the judge hash 'other', the board 'hash of j'"),
    (verdicts("x", generator_1="other"), [], "compares no model with the baseline base"),
    (verdicts("x", instruction="another"), [], "shares no instruction with the board"),
    (verdicts("x", length_1=None, length_2=None), [], "has neither outputs nor length_1 and length_2"),
    (verdicts("mine"), [], "has no model that is not on the board already"),
    (verdicts("x", preference=None), [], "has no verdict on another model"),
    (verdicts("x", "y", preference=2), [], "hold length equal with (x, y won or lost everything); give verdicts on"),
    ([*verdicts("x", judge="k"), *verdicts("x", judge="l")], [], "was judged by 'k', 'l', the board by 'j'"),
    (
        [*verdicts("x"), *verdicts("y", judge_hash="b")],
        [],
        "the judge hash 'hash of j', 'b', the board 'hash of j'",
    ),
    (verdicts("x"), ["--length-control", "none"], "--panel is for --length-control joint"),
    (verdicts("x"), ["--length-control", "alpaca-eval-2"], "--panel is for --length-control joint"),
    (verdicts("x"), ["--add-to", "kept"], "leave --panel out"),
    (verdicts("x"), ["--rank", "bradley-terry"], "--panel needs win rates over a baseline"),
    ([{"instruction": "a", "output": "b", "generator": "c"}], [], "holds no verdicts"),
    ([], [], "panel.jsonl"),
]


@pytest.mark.parametrize(("rows", "more", "said"), REFUSED, ids=[said for *_, said in REFUSED])
def test_a_panel_that_does_not_fit_is_one_line(
    rows: list[dict[str, Any]], more: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows("panel.jsonl", rows)
    assert main(["evaluate", "v.jsonl", "--panel", "panel.jsonl", *more]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert said in told.err


def test_a_judge_without_a_panel_costs_no_others_length_control(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("v.jsonl", [*verdicts("mine"), *verdicts("mine", judge="k")])
    ours, theirs = board(capsys, "--panel", "panel.jsonl")["boards"]
    assert ours["models"][0]["length_controlled_winrate"] is not None
    assert theirs["models"][0]["length_controlled_winrate"] is None
    assert any(line.startswith("the panel is not used for k: --panel was judged by 'j'") for line in theirs["warnings"])
    # nor the length control that needs no panel
    write_rows("v.jsonl", [*verdicts("mine"), *verdicts("mine", "a", "b", judge="k")])
    theirs = board(capsys, "--panel", "panel.jsonl")["boards"][1]
    assert theirs["panel_size"] == 3
    assert all(model["length_controlled_winrate"] is not None for model in theirs["models"])


def test_of_a_panel_by_two_judges_each_board_has_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    alone = board(capsys, "--panel", "panel.jsonl")
    others = verdicts("x", "y", judge="k")
    write_rows("panel.jsonl", [*verdicts("x", "y", "z"), *others])
    assert board(capsys, "--panel", "panel.jsonl")["models"] == alone["models"]
    write_rows("v.jsonl", [*verdicts("mine"), *verdicts("mine", judge="k")])
    sizes = {found["annotator"]: found["panel_size"] for found in board(capsys, "--panel", "panel.jsonl")["boards"]}
    assert sizes == {"j": 4, "k": 3}


@pytest.mark.parametrize("judges", [["j"], ["j", "k"]])
def test_a_panel_that_no_board_can_use_ends_it_however_many_there_are(
    judges: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_rows("v.jsonl", [row for judge in judges for row in verdicts("mine", "a", judge=judge)])
    write_rows("panel.jsonl", verdicts("x", judge="other"))
    assert main(["evaluate", "v.jsonl", "--panel", "panel.jsonl"]) == 2
    told = capsys.readouterr()
    assert (told.out, told.err.count("\n")) == ("", 1)
    assert "was judged by 'other', the board by 'j'" in told.err
    assert ("none of 2 annotators can use --panel" in told.err) is (len(judges) == 2)


def test_a_panel_comes_from_standard_input_and_from_the_hub(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = board(capsys, "--panel", "panel.jsonl")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(Path("panel.jsonl").read_bytes())))
    assert board(capsys, "--panel", "-")["models"] == found["models"]
    datasets = pytest.importorskip("datasets")
    rows = datasets.Dataset.from_list(verdicts("mine", "x", "y", "z"))
    asked = []
    monkeypatch.setattr(datasets, "load_dataset", lambda *given, **more: asked.append((given, more)) or rows)
    assert board(capsys, "--panel", "hf://owner/panel:train")["models"] == found["models"]
    assert asked[0][0][0] == "owner/panel"


def test_alpaca_evals_instructions_have_their_own_length_control(
    shared_data: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = shared_data / "alpaca_eval_2"
    rows = pd.read_parquet(data / "preferences.parquet")
    rows = rows[rows["generator_2"] == "phi-2"]
    rows.to_parquet("v.parquet")
    assert alpaca_eval.recognised(rows) is ("dataset" in rows)
    digests = Path(alpaca_eval.__file__).with_name("alpaca_eval_instructions.sha256").read_text("ascii").split()
    named = rows.assign(instruction_sha256=[digests[int(i)] for i in rows["instruction_id"]])
    assert alpaca_eval.recognised(named)
    assert not alpaca_eval.recognised(named.assign(instruction_sha256="0" * 64))
    kept = rows.assign(instruction_id=[digests[int(i)][:16] for i in rows["instruction_id"]])
    write_rows("v.jsonl", kept.to_dict("records"))
    asked = simfarm.evaluate("v.jsonl", length_control="alpaca-eval-2", lc_data=data)
    assert simfarm.evaluate("v.jsonl", lc_data=data)["length_controlled_winrate"][0] == pytest.approx(
        asked["length_controlled_winrate"][0]
    )
    [line] = [note for note in board(capsys)["notes"] if "no length-controlled" in note]
    assert "--length-control alpaca-eval-2 (--lc-data DIR): they are AlpacaEval's" in line
