"""A judge that goes by the place of an output is warned of, however good the models are."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simfarm.cli import main
from simfarm.data.files import write_rows
from simfarm.ranking.position import first_shown

FIRST = "the judge names the output shown first in"


def calls(
    n: int, first: float, *, strength: float = 0.5, orders: tuple[str, ...] = ("12", "21")
) -> list[dict[str, Any]]:
    """Verdicts of a judge that names the first output in a share `first` of its calls, else output_2 by `strength`."""
    rng = np.random.default_rng(5)
    rows = []
    for i in range(n):
        for order in orders:
            blind, better = rng.uniform() < first, rng.uniform() < strength
            p = (order == "21") if blind else better
            rows.append(
                {"instruction": f"Q{i}", "output_1": f"a {i}", "output_2": f"b {i}", "generator_1": "base"}
                | {"generator_2": "m", "annotator": "j", "order": order, "preference": 1 + int(p)}
            )
    return rows


def told(capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]], *more: str) -> str:
    write_rows("v.jsonl", rows)
    assert main(["evaluate", "v.jsonl", *more]) == 0
    return capsys.readouterr().err


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_an_always_first_judge_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert f"warning: {FIRST} 100 % of its verdicts" in told(capsys, calls(10, 1.0))
    assert FIRST in told(capsys, calls(10, 1.0), "--rank", "bradley-terry")
    assert FIRST in told(capsys, calls(100, 0.95))
    turned = [row | {"preference": 3 - row["preference"]} for row in calls(10, 1.0)]
    assert FIRST.replace("first", "second") in told(capsys, turned)


def test_a_judge_that_reverses_itself_is_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    rows = calls(40, 1.0)
    # first in half of the comparisons, second in the others
    mixed = [row | {"preference": 3 - row["preference"]} if int(row["instruction"][1:]) % 2 else row for row in rows]
    assert "names another winner in 100 % of the comparisons" in told(capsys, mixed)


def test_an_order_for_each_question_is_enough(capsys: pytest.CaptureFixture[str]) -> None:
    rows = [row for row in calls(60, 1.0) if (row["order"] == "12") == (int(row["instruction"][1:]) % 3 > 0)]
    assert FIRST in told(capsys, rows)


@pytest.mark.parametrize(
    "rows",
    [
        calls(9, 1.0),
        calls(100, 0.7),
        # a far better model, shown second throughout or in both orders
        calls(100, 0.0, strength=0.0),
        calls(100, 0.0, strength=0.0, orders=("12",)),
    ],
)
def test_what_is_no_habit_is_not_warned_of(capsys: pytest.CaptureFixture[str], rows: list[dict[str, Any]]) -> None:
    assert "the judge" not in told(capsys, rows)


def test_ties_count_a_half() -> None:
    rows = pd.DataFrame({"order": ["12", "21"] * 20, "preference": [1.0, 2.0, 1.5, 1.5] * 10})
    assert first_shown(rows) == pytest.approx(0.75)
    assert first_shown(rows.assign(preference=np.nan)) is None
