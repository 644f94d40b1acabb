"""A board's file has every column in every format, and no cell of it is a formula, a link or a row of its own."""

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from markdown_it import MarkdownIt

from simfarm.cli import main
from simfarm.data.files import write_rows

NAME = "=HYPERLINK(1)|<b>x</b> [l](http://evil.example)\nbreak"
STYLE = ["style_controlled_winrate", "style_standard_error", "style_low", "style_high", "style_slope_length"]


def rows(model: str, shift: float, seed: int, **more: Any) -> list[dict[str, Any]]:
    rng = np.random.default_rng(seed)
    return [
        {"instruction": f"Q{i}", "generator_1": "base", "generator_2": model, "annotator": "j", "judge_hash": "h"}
        | {"output_1": f"{i}" + "b" * int(rng.integers(5, 50)), "output_2": f"{i}" + "m" * int(rng.integers(5, 50))}
        | {"preference": 1 + float(np.clip(shift + rng.normal(0, 0.2), 0, 1)), "dataset": f"set {i % 2}"}
        | more
        for i in range(60)
    ]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows("v.jsonl", rows(NAME, 0.4, 1) + rows("two", 0.6, 2))
    write_rows("labels.jsonl", rows(NAME, 0.4, 3)[:40] + rows("two", 0.6, 4)[:40])


def header(name: str) -> list[str]:
    with open(name, newline="", encoding="utf-8") as stream:
        return next(csv.reader(stream))


def test_every_column_stands_in_all_three_formats() -> None:
    asked = ["evaluate", "v.jsonl", "--control", "length", "--human", "labels.jsonl", "--breakdown"]
    for name in ("o.csv", "o.json", "o.md"):
        assert main([*asked, "-o", name]) == 0
    columns = header("o.csv")
    grouped = [f"{c}_dataset_set {k}" for k in (0, 1) for c in ("win_rate", "win_rate_low", "win_rate_high", "n_total")]
    assert {*STYLE, *grouped, "human_winrate", "human_low", "human_high", "labels_winrate", "n_labelled"} <= {*columns}
    found = json.loads(Path("o.json").read_text())
    assert {*columns} - {*grouped} <= {*found["models"][0]}
    assert {row["group"] for row in found["breakdown"]} == {"set 0", "set 1"}
    told = Path("o.md").read_text()
    last = [line for line in told.splitlines() if line.startswith("| model ")][-1]
    assert last.replace("\\", "").strip("| ").split(" | ") == columns
    with open("o.csv", newline="", encoding="utf-8") as stream:
        table = list(csv.DictReader(stream))
    own = {row["model"]: row for row in table}[f"'{NAME}"]
    rate = found["style_controlled"][NAME]
    assert float(own["style_controlled_winrate"]) == pytest.approx(100 * rate["value"])
    assert float(own["style_low"]) == pytest.approx(100 * rate["low"])
    assert float(own["style_slope_length"]) == pytest.approx(found["slopes"]["length"]["value"])
    assert float(own["human_low"]) == pytest.approx(100 * found["human_calibrated"][NAME]["win_rate"]["low"])
    assert float(own["win_rate_dataset_set 1"]) == pytest.approx(
        next(r["win_rate"] for r in found["breakdown"] if (r["group"], r["model"]) == ("set 1", NAME))
    )


@pytest.mark.parametrize("more", [[], ["--rank", "bradley-terry", "--control", "length"], ["--breakdown"]])
def test_a_markdown_board_renders_without_a_link(more: list[str]) -> None:
    assert main(["evaluate", "v.jsonl", *more, "-o", "o.md"]) == 0
    page = MarkdownIt("commonmark", {"html": True}).enable("table")
    tokens = page.parse(Path("o.md").read_text())
    inner = {child.type for token in tokens for child in token.children or []}
    assert inner <= {"text", "text_special"}
    assert not any(token.type.startswith("html") for token in tokens)
    opened = [k for k, token in enumerate(tokens) if token.type == "table_open"]
    for start in opened:
        widths, cells = [], 0
        for token in tokens[start:]:
            cells += token.type in ("th_open", "td_open")
            if token.type == "tr_close":
                widths.append(cells)
                cells = 0
            if token.type == "table_close":
                break
        assert len(set(widths)) == 1
        assert len(widths) > 2


def test_ratings_with_style_carry_their_slopes() -> None:
    asked = ["evaluate", "v.jsonl", "--rank", "bradley-terry", "--control", "length"]
    for name in ("r.csv", "r.json", "r.md"):
        assert main([*asked, "-o", name]) == 0
    assert {"rating", "rating_low", "rank_low", "rating_raw", "style_slope_length"} <= {*header("r.csv")}
    found = json.loads(Path("r.json").read_text())
    assert found["slopes"]["length"]["low"] < found["slopes"]["length"]["high"]
    assert "style\\_slope\\_length\\_low" in Path("r.md").read_text()


def test_negative_numbers_stay_numbers() -> None:
    write_rows("v.jsonl", [row | {"preference": 3 - row["preference"]} for row in rows("m", 0.4, 1)])
    assert main(["evaluate", "v.jsonl", "--control", "length", "-o", "o.csv"]) == 0
    with open("o.csv", newline="", encoding="utf-8") as stream:
        (row,) = csv.DictReader(stream)
    assert not any(value.startswith("'") for value in row.values())
    assert float(row["style_slope_length_low"]) < 0


def test_the_breakdown_has_limits_and_n_in_the_boards_order(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "v.jsonl", "--breakdown", "--level", "0.9"]) == 0
    told = capsys.readouterr().out
    assert "· sorted by win rate\n" in told
    lines = told[told.index("win rate by dataset\n") :].splitlines()
    assert lines[2].split() == ["group", "model", "win", "rate", "90", "%", "n"]
    assert [line.split()[:3] for line in lines[4:8]] == [
        ["set", group, name] for group in "01" for name in ("two", NAME.split(maxsplit=1)[0])
    ]
    assert all(line.split()[-1] == "30" for line in lines[4:8])


def test_counts_and_rates_that_differ_are_explained(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", "v.jsonl"]) == 0
    assert "won–lost–tied counts comparisons by the side" in capsys.readouterr().out
    write_rows("hard.jsonl", [row | {"preference": 1 + i % 2} for i, row in enumerate(rows("m", 0.4, 1))])
    assert main(["evaluate", "hard.jsonl"]) == 0
    assert "won–lost–tied counts" not in capsys.readouterr().out


def test_a_slope_of_nought_has_no_sign(capsys: pytest.CaptureFixture[str]) -> None:
    write_rows("ties.jsonl", [row | {"preference": 1.5} for model in ("m", "k") for row in rows(model, 0.4, 1)])
    assert main(["evaluate", "ties.jsonl"]) == 0
    told = capsys.readouterr().out
    assert "length slope" in told
    assert not any(zero in told for zero in ("+0.00", "-0.00"))


@pytest.mark.parametrize("more", [[], ["--json"], ["-o", "-"]], ids=" ".join)
def test_doubts_about_labels_are_said_however_the_board_is_shown(
    more: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", "v.jsonl", "--human", "labels.jsonl", *more]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "random sample" in line]
    assert [line.partition(" what ")[0] for line in told] == ["warning: the labels do not look like a random sample of"]
    assert all(f"; {NAME.splitlines()[0]}" in line and "two)" in line for line in told)


def test_labels_drawn_at_random_are_doubted_by_nobody(capsys: pytest.CaptureFixture[str]) -> None:
    drawn = np.random.default_rng(0).permutation(60)[:40]
    write_rows("labels.jsonl", [rows("two", 0.6, 2)[i] for i in sorted(drawn)])
    assert main(["evaluate", "v.jsonl", "--human", "labels.jsonl"]) == 0
    assert "random sample" not in capsys.readouterr().err


def test_a_label_of_nothing_judged_is_named_as_its_user_would(capsys: pytest.CaptureFixture[str]) -> None:
    stray = [row | {"instruction": "Never judged?"} for row in rows("two", 0.6, 4)[:1]]
    write_rows("labels.jsonl", [*rows("two", 0.6, 4)[:40], *stray])
    assert main(["evaluate", "v.jsonl", "--human", "labels.jsonl"]) == 2
    assert "1 of 41 labels are for comparisons that were not judged (first: two on 'Never judged?')" in (
        capsys.readouterr().err
    )


def test_a_limit_that_is_nothing_but_arithmetic_is_nothing_on_a_page(capsys: pytest.CaptureFixture[str]) -> None:
    pair = {"generator_1": "base", "generator_2": "m", "output_1": "x", "output_2": "y", "preference": 2}
    write_rows("v.jsonl", [pair | {"instruction": str(i)} for i in range(2)])
    assert main(["evaluate", "v.jsonl", "--length-control", "none", "--level", "0.9999", "-o", "o.md", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["models"][0]
    assert 0 < found["win_rate_low"] < 1e-9
    assert "e-" not in Path("o.md").read_text()
