"""`simfarm fidelity`: what a user sees, on the example labels, and inputs that are refused in one line."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import simfarm
from simfarm.cli import main
from simfarm.report.fidelity import fidelity_sheet
from simfarm.report.tables import table_lines

EXAMPLES = Path(__file__).parents[1] / "examples"
HUMAN = str(EXAMPLES / "labels.jsonl")


def _write(path: str, rows: list[dict[str, Any]]) -> str:
    Path(path).write_text("\n".join(json.dumps(row) for row in rows), encoding="utf-8")
    return path


def _labels() -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(HUMAN).read_text("utf-8").splitlines()]


@pytest.fixture
def crowd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Two simulated persons whose labels are the people's own, one in ten turned round; in the file crowd.jsonl."""
    monkeypatch.chdir(tmp_path)
    rng = random.Random(0)
    rows = []
    for k, row in enumerate(_labels()):
        said = row["preference"] if rng.random() > 0.1 else 3 - row["preference"]
        order = "12" if k % 2 else "21"
        own = {"annotator": "ours", "person": f"p{k % 2}", "preference": said, "p_true": 0.5, "is_noised": False}
        rows.append(row | own | {"order": order})
    _write("crowd.jsonl", rows)
    return rows


def _turned(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same rows with their outputs the other way round."""
    sides = [(f"{name}_1", f"{name}_2") for name in ("generator", "length")]
    return [
        row
        | {a: row[b] for a, b in (*sides, *((b, a) for a, b in sides))}
        | {"preference": 3 - row["preference"], "order": row["order"][::-1]}
        for row in rows
    ]


def test_the_report_says_what_it_comes_to(crowd: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fidelity", "crowd.jsonl", "--human", HUMAN, "-o", "f.csv"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("ours · 120 comparisons of 30 instructions, 5 people beside 2 simulated")
    assert "cannot be told apart by pairwise agreement, splits, length" in out
    assert "place (the labels of people do not say which output was shown first" in out
    written = pd.read_csv("f.csv").set_index("measure")
    assert written.loc["pairwise", "verdict"] == "not told apart"
    assert 60 < written.loc["pairwise", "people"] < 80


def test_a_narrow_terminal_shows_every_verdict(crowd: list[dict[str, Any]]) -> None:
    short = [row | {"preference": 1 if row["length_1"] < row["length_2"] else 2} for row in crowd]
    part = fidelity_sheet(simfarm.fidelity(short, HUMAN)).parts[0]
    lines, gone = table_lines(part.headings, part.rows, 80, part.least)
    assert gone[0] == "not shown for want of width: difference, people"
    assert any("prefers the longer" in line and line.endswith("  shorter too often") for line in lines)


def test_people_who_are_simulated_too_are_told(crowd: list[dict[str, Any]]) -> None:
    people = [row | {"annotator": "theirs", "person": f"q{k % 2}"} for k, row in enumerate(crowd)]
    notes = simfarm.fidelity(crowd, people).notes
    assert notes[0] == "the labels are simulated, by theirs: what is called people here is a crowd"
    assert not any("simulated" in note for note in simfarm.fidelity(crowd, HUMAN).notes)


def test_both_orders_of_a_judge_are_two_runs_of_it(crowd: list[dict[str, Any]]) -> None:
    runs = [row | {"annotator": "judge", "person": None, "order": order} for row in _labels() for order in ("12", "21")]
    once = {(row["instruction_id"], row["generator_2"]): row for row in runs if row["order"] == "21"}
    both = [row | {"order": "12"} for row in once.values()] + [row | {"preference": 2} for row in once.values()]
    found = simfarm.fidelity(crowd, HUMAN, annotations=both)
    assert found.get("follows_sure") is not None
    assert found.why["follows_unsure"] == "where the runs disagree no side has more of them"
    assert "never" in simfarm.fidelity(crowd, HUMAN, annotations=list(once.values())).why["follows_unsure"]


def test_the_order_of_outputs_in_a_file_does_not_matter(crowd: list[dict[str, Any]]) -> None:
    plain = simfarm.fidelity("crowd.jsonl", HUMAN)
    turned = simfarm.fidelity(_turned(crowd), HUMAN)
    tables = [found.table[found.table.measure != "output_1"] for found in (plain, turned)]
    pd.testing.assert_frame_equal(*tables)
    assert any("the other way round" in note for note in turned.notes)


def test_persons_may_be_called_as_people_are(crowd: Any) -> None:
    own = simfarm.fidelity(_labels(), HUMAN)
    assert own.passes
    assert own.n_simulated == own.n_people == 5
    gap = own.get("pairwise")
    assert gap is not None
    assert gap.difference is not None
    assert gap.difference.value == 0


def test_json_has_what_the_table_has(crowd: Any, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [row | {"annotator": "judge", "repeat": k, "person": None} for k in range(2) for row in crowd[::2]]
    _write("runs.jsonl", runs)
    assert main(["fidelity", "crowd.jsonl", "--human", HUMAN, "--annotations", "runs.jsonl", "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["crowd"] == "ours"
    assert record["passes"] is True
    named = {m["measure"] for m in record["measures"]}
    assert {"rho", "follows_sure", "logistic", "boosted"} <= named
    assert record["not_estimable"]["follows_unsure"] == "the runs never disagree"


def test_a_judges_repeats_are_a_crowd(crowd: list[dict[str, Any]]) -> None:
    """Four repeats that say the same: too consistent, whoever they agree with."""
    once = {(row["instruction_id"], row["generator_2"]): row for row in crowd}.values()
    rows = [{k: v for k, v in row.items() if k != "person"} | {"repeat": n} for row in once for n in range(4)]
    found = simfarm.fidelity(rows, HUMAN)
    assert "pairwise" in {m.name for m in found.told_apart}
    worth = found.get("worth")
    assert worth is not None
    assert worth.crowd is not None
    assert worth.crowd.value == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("simulated", "human", "said"),
    [
        (lambda crowd: crowd, lambda people: people[::2], "needs at least two labels on the same items: 0 items have"),
        (
            lambda crowd: [row | {"instruction_id": f"x{k}", "instruction": f"x{k}"} for k, row in enumerate(crowd)],
            lambda people: people,
            "the annotations (240 comparisons) and the labels (120 comparisons) share no instruction",
        ),
        (
            lambda crowd: [row | {"annotator": f"a{k % 2}"} for k, row in enumerate(crowd)],
            lambda people: people,
            "the simulated labels are of 2 crowds (a0, a1); give one of them at a time",
        ),
        (
            lambda crowd: [row | {"preference": None, "status": "error"} for row in crowd],
            lambda people: people,
            "s.jsonl: holds no simulated labels (column 'preference')",
        ),
    ],
    ids=["one person", "nothing shared", "two crowds", "no labels"],
)
def test_bad_input_is_one_line(
    simulated: Any, human: Any, said: str, crowd: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    _write("s.jsonl", simulated(crowd))
    _write("h.jsonl", human(_labels()))
    assert main(["fidelity", "s.jsonl", "--human", "h.jsonl"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert said in last


def test_runs_of_other_comparisons_are_refused(crowd: Any, capsys: pytest.CaptureFixture[str]) -> None:
    other = [row | {"annotator": "judge", "person": None, "instruction_id": f"x{k}"} for k, row in enumerate(crowd)]
    _write("runs.jsonl", [row | {"instruction": f"x{k}"} for k, row in enumerate(other)])
    assert main(["fidelity", "crowd.jsonl", "--human", HUMAN, "--annotations", "runs.jsonl"]) == 2
    assert "the judge's runs are of none of the 120 comparisons" in capsys.readouterr().err
