"""The benchmark of decision judges: it says what it should on tiny sets, of a rule and of recorded verdicts."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scripts import run_here

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "decisions.py"
HUMAN = Path(__file__).parents[2] / "shared" / "data" / "human"


def _run(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return run_here(SCRIPT, *map(str, arguments))


@pytest.fixture
def human(tmp_path: Path) -> Path:
    """Forty pairs with three people each, who all prefer the longer answer; of five pairs one of them does not."""
    rows = []
    for i in range(40):
        texts = ("short", f"a longer answer, {i}")[:: 1 if i % 2 else -1]
        for person in range(3):
            longer = 2.0 if i % 2 else 1.0
            preference = 3 - longer if i < 5 and person == 0 else longer
            rows.append([f"t{i}", f"Say something, {i}.", *texts, f"w{person}", preference])
    columns = ["item_id", "instruction", "output_1", "output_2", "annotator", "preference"]
    pd.DataFrame(rows, columns=columns).to_parquet(tmp_path / "tiny.parquet")
    return tmp_path


def _cells(page: str, start: str) -> list[str]:
    line = next(line for line in page.splitlines() if line.startswith(start))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_a_rule_is_measured_beside_longest_and_people(human: Path) -> None:
    asked = ["--data", human, "--set", "tiny", "--judge", "longest", "--beside", "first"]
    done = _run(*asked, "-o", human / "page.md")
    assert done.returncode == 0, done.stderr
    page = (human / "page.md").read_text("utf-8")
    longest = _cells(page, "| tiny | longest ")
    assert longest[2:4] == ["40", "0"]
    assert (longest[4][:5], longest[5], longest[7]) == ("100.0", "100.0", "91.7")
    first = _cells(page, "| tiny | first ")
    assert (first[2], first[8], first[9][:5]) == ("40", "–", "0.000")
    assert "over-confident" in page
    assert "longest on tiny: ECE 0." in page
    command = [sys.executable, str(SCRIPT), *map(str, asked), "--dry-run"]
    dry = subprocess.run(command, capture_output=True, text=True, check=True, timeout=300)
    assert dry.stdout.count("no model is asked: $0.00") == 2


def test_recorded_verdicts_are_measured_against_people_or_another_judge(human: Path) -> None:
    rng = np.random.default_rng(0)
    people = pd.read_parquet(human / "tiny.parquet").drop_duplicates("item_id")
    recorded = pd.concat([people.assign(order=order, annotator="soft") for order in ("12", "21")])
    recorded["preference"] += np.where(recorded["preference"] == 1, 0.2, -0.2) + np.where(
        recorded["order"] == "12", 0.1, -0.1
    )
    recorded.loc[recorded["item_id"] == "t9", "preference"] = None
    recorded.to_parquet(human / "soft.parquet")
    done = _run("--data", human, "--set", "tiny", "--replay", human / "soft.parquet", "--planted", "5")
    assert done.returncode == 0, done.stderr
    soft = _cells(done.stdout, "| tiny | soft ")
    assert soft[2:4] == ["40", "1"]
    assert (soft[8], soft[9][:5]) == ("100", "0.600")
    assert "| p itself | 0.000 |" in done.stdout

    keys = {"generator_1": "base", "generator_2": "m", "instruction_id": range(300), "length_1": 5, "length_2": 9}
    p = rng.random(300)
    pd.DataFrame(keys | {"annotator": "soft", "preference": 1 + p}).to_parquet(human / "own.parquet")
    second = 1.0 + (rng.random(300) < 0.5)
    pd.DataFrame(keys | {"annotator": "second", "preference": second}).to_parquet(human / "second.parquet")
    done = _run("--replay", human / "own.parquet", "--against", human / "second.parquet")
    assert done.returncode == 0, done.stderr
    assert _cells(done.stdout, "| verdicts of second | soft | 0.")[-1] == "over-confident"


def test_what_it_cannot_use_is_one_line(human: Path) -> None:
    for arguments, told in (
        (["--data", human, "--set", "none"], "--set which of them"),
        (["--data", human, "--set", "tiny", "--judge", "pairwise-decision", "--model", "no/such"], "no backend"),
        (["--replay", human / "tiny.parquet", "--data", human / "empty"], "--against"),
        (["--replay", human / "tiny.parquet", "--data", human, "--judge", "nobody"], "has no judge nobody"),
    ):
        done = _run(*arguments)
        assert done.returncode == 2, done.stderr
        assert told in done.stderr
        assert len(done.stderr.strip().splitlines()) == 1


def test_longest_agrees_with_alpacafarms_people_as_published() -> None:
    """59.6 % with half credit for a split vote, counted by pairs; here an instruction counts once."""
    if not HUMAN.is_dir():
        pytest.skip("needs the human labels")
    done = _run("--data", HUMAN, "--set", "alpacafarm_cross", "--judge", "longest")
    cells = _cells(done.stdout, "| alpacafarm_cross | longest ")
    assert float(cells[5]) == pytest.approx(59.6, abs=0.3)
    assert float(cells[7]) == pytest.approx(65.7, abs=0.6)
