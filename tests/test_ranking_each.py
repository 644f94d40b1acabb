"""Several annotators in one file, and judges that rank nobody: one's trouble is said, and costs no other's board."""

import json
from pathlib import Path
from typing import Any

import pytest

import simfarm
from simfarm.cli import main
from simfarm.data.files import write_rows


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def star(annotator: str, n: int = 40, bold: bool = True) -> list[dict[str, Any]]:
    """Two models over a baseline; without `bold` one writes bold in every answer and the other never does."""
    rows = []
    for i in range(n):
        for k, model in enumerate(("m", "k")):
            marked = (i + k) % 3 == 0 if bold else k == 0
            text = f"{'**word** ' if marked else ''}{'y' * (5 + (7 * i + 3 * k) % 40)}"
            pair = {"instruction": f"Question {i}?", "generator_1": "base", "generator_2": model}
            pair |= {"output_1": "x" * (5 + (11 * i) % 40), "output_2": text}
            rows.append(pair | {"annotator": annotator, "preference": 1 + (i * 7 + k) % 5 // 3})
    return rows


def shown(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[list[dict[str, Any]], str]:
    assert main(["evaluate", *arguments, "--json"]) == 0
    told = capsys.readouterr()
    return json.loads(told.out)["boards"], told.err


def test_style_control_that_one_annotator_does_not_allow(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("v.jsonl", [*star("mixed"), *star("fixed", bold=False), *star("other")])
    boards, _ = shown(capsys, "v.jsonl", "--baseline", "base", "--control", "bold")
    assert [board["annotator"] for board in boards] == ["mixed", "fixed", "other"]
    assert ["style_controlled" in board for board in boards] == [True, False, True]
    assert all(len(board["models"]) == 2 for board in boards)
    why = "no rates at equal style for fixed: the effect of 'bold' cannot be told"
    assert [any(line.startswith(why) for line in board["warnings"]) for board in boards] == [False, True, False]
    assert main(["evaluate", "v.jsonl", "--baseline", "base", "--control", "bold"]) == 0
    assert why in capsys.readouterr().err
    write_rows("fixed.jsonl", [*star("one", bold=False), *star("two", bold=False)])
    assert main(["evaluate", "fixed.jsonl", "--baseline", "base", "--control", "bold"]) == 2
    assert "none of 2 annotators can be estimated; one: the effect of 'bold'" in capsys.readouterr().err


def test_one_annotators_parts_that_never_met_cost_no_others_ratings(capsys: pytest.CaptureFixture[str]) -> None:
    def pair(annotator: str, a: str, b: str, i: int) -> dict[str, Any]:
        row = {
            "instruction": f"{i}",
            "generator_1": a,
            "generator_2": b,
            "output_1": "x",
            "output_2": "y" * (1 + i % 3),
        }
        return row | {"annotator": annotator, "preference": 1 + (i * 7) % 5 // 3}

    whole = [pair("whole", a, b, i) for a, b in (("a", "b"), ("c", "d"), ("b", "c")) for i in range(20)]
    torn = [pair("torn", a, b, i) for a, b in (("a", "b"), ("c", "d")) for i in range(20)]
    write_rows("v.jsonl", [*torn, *whole])
    boards, _ = shown(capsys, "v.jsonl", "--rank", "bradley-terry")
    assert [len(board["models"]) for board in boards] == [0, 4]
    assert "torn is not ranked: the models fall into 2 parts" in boards[0]["warnings"][0]
    assert main(["evaluate", "v.jsonl", "--rank", "bradley-terry", "-o", "r.csv"]) == 0
    told = capsys.readouterr()
    assert "torn" not in told.out
    assert "warning: torn is not ranked" in told.err
    assert len(Path("r.csv").read_text().splitlines()) == 5
    write_rows("torn.jsonl", torn)
    assert main(["evaluate", "torn.jsonl", "--rank", "bradley-terry"]) == 2
    assert "fall into 2 parts" in capsys.readouterr().err


def test_instructions_that_are_not_alpaca_evals_cost_one_annotator_its_length_control(shared_data: Path) -> None:
    import pandas as pd
    from tables import boards_of

    folder = shared_data / "alpaca_eval_2"
    rows = pd.read_parquet(folder / "preferences.parquet")
    rows = rows[rows["generator_2"].isin(rows["generator_2"].unique()[:3])]
    strange = rows.assign(annotator="stranger", instruction_id=rows["instruction_id"] + 900)
    both = pd.concat([rows, strange], ignore_index=True)
    ours, theirs = boards_of(both, length_control=["alpaca-eval-2"], lc_data=folder)
    assert ours.table["length_controlled_winrate"].notna().all()
    assert theirs.table["length_controlled_winrate"].isna().all()
    assert theirs.table["win_rate"].notna().all()
    assert "no length control for stranger" in theirs.warnings[-1]


@pytest.mark.parametrize("preferences", [(1.5, 1.5, 1.5), (1.0, 2.0, 1.0)])
def test_a_constant_second_judge_is_named_as_what_it_is(
    capsys: pytest.CaptureFixture[str], preferences: tuple[float, ...]
) -> None:
    models = ("m", "k", "l", "n")
    pairs = [
        {"instruction": f"{i}", "generator_1": "base", "generator_2": m, "output_1": "x", "output_2": "y", "k": k}
        for i in range(31)
        for k, m in enumerate(models)
    ]
    first = [p | {"annotator": "j", "preference": 1 + (int(p["instruction"]) % (2 + p["k"]) == 0)} for p in pairs]
    second = [p | {"annotator": "j", "preference": preferences[int(p["instruction"]) % 3]} for p in pairs]
    write_rows("a.jsonl", first)
    write_rows("b.jsonl", second[::-1])
    assert main(["rejudge", "a.jsonl", "b.jsonl"]) == 0
    told = capsys.readouterr().out
    assert "the second judge gives every model the same rate: no ranking to compare" in told
    assert "three models" not in told
    assert main(["rejudge", "b.jsonl", "a.jsonl", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["spearman"] is None
    assert found["no_spearman"].startswith("the first judge")
    for name in ("two", "again"):
        write_rows(f"{name}.jsonl", [row for row in first if row["k"] < 2])
    assert main(["rejudge", "two.jsonl", "again.jsonl"]) == 0
    assert "needs three models" in capsys.readouterr().out


@pytest.mark.parametrize("more", [["--baseline", "base"], ["--rank", "bradley-terry"]])
def test_one_annotators_two_judges_cost_no_others_board(capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    rows = [
        row | {"judge_hash": "a" if name == "one" or i % 2 else "b"}
        for name in ("two", "one", "other")
        for i, row in enumerate(star(name))
    ]
    rows = [row | {"judge_hash": "a"} if row["annotator"] == "other" else row for row in rows]
    write_rows("v.jsonl", rows)
    boards, told = shown(capsys, "v.jsonl", *more)
    assert [board["annotator"] for board in boards] == ["two", "one", "other"]
    assert [len(board["models"]) > 0 for board in boards] == [False, True, True]
    why = "two is not ranked: annotator 'two' mixes 2 judges (judge_hash 'b', 'a'); evaluate them apart, or give --mix-"
    assert boards[0]["warnings"][0].startswith(why)
    for output in ("b.csv", "b.json", "b.md"):
        assert main(["evaluate", "v.jsonl", *more, "-o", output]) == 0
        told = capsys.readouterr()
        assert told.err.count(why) == 1
        assert "two ·" not in told.out
    assert "two" not in Path("b.csv").read_text()
    assert len(shown(capsys, "v.jsonl", *more, "--mix-judges")[0][0]["models"]) > 0
    write_rows("alone.jsonl", [row for row in rows if row["annotator"] == "two"])
    assert main(["evaluate", "alone.jsonl", *more]) == 2
    assert "annotator 'two' mixes 2 judges" in capsys.readouterr().err


def test_rates_at_equal_style_are_not_those_of_two_judges_mixed(capsys: pytest.CaptureFixture[str]) -> None:
    mixed = [row | {"judge_hash": "ab"[i % 2]} for i, row in enumerate(star("two"))]
    write_rows("v.jsonl", [*mixed, *star("one"), *star("other")])
    boards, _ = shown(capsys, "v.jsonl", "--baseline", "base", "--control", "bold", "--length-control", "none")
    assert ["style_controlled" in board for board in boards] == [False, True, True]
    assert main(["compare", "v.jsonl", "m", "k", "--baseline", "base", "--length-control", "none"]) == 0
    told = capsys.readouterr()
    assert "mixes 2 judges" in told.err
    assert "judge one:" in told.out
    assert "judge two:" not in told.out
    with pytest.warns(simfarm.SimfarmWarning, match="mixes 2 judges"):
        assert len(simfarm.compare("v.jsonl", "m", "k", baseline="base", length_control="none")) == 2
    with pytest.warns(simfarm.SimfarmWarning, match="mixes 2 judges"):
        assert {*simfarm.evaluate("v.jsonl", baseline="base", length_control="none")["annotator"]} == {"one", "other"}
    write_rows("two.jsonl", mixed)
    write_rows("one.jsonl", star("one"))
    assert main(["rejudge", "one.jsonl", "two.jsonl"]) == 2
    assert "mixes 2 judges" in capsys.readouterr().err


def test_a_file_without_names_is_told_once_and_not_for_each_annotator(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for name in ("one", "two", "three") for row in star(name) if row["generator_2"] == "m"]
    write_rows("v.jsonl", [{k: v for k, v in row.items() if k != "generator_2"} for row in rows])
    assert main(["evaluate", "v.jsonl", "--length-control", "none"]) == 0
    told = capsys.readouterr().err
    assert told.count("the file does not say in generator_2 which model wrote what") == 1
