"""Choosing a judge: agreement against price, by recorded verdicts and people's labels."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from simfarm.cli import main

JUDGES = {"dear": (0.9, 0.02), "fair": (0.89, 0.002), "poor": (0.6, 0.005), "cheap": (0.55, 0.0001)}


@pytest.fixture
def files(tmp_path: Path) -> tuple[str, str]:
    """Verdicts of judges that are right so often at such a price, and one person's labels, who is always right."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 2, 150)
    base = pd.DataFrame({"instruction_id": np.arange(150), "generator_1": "ann", "generator_2": "bob"})
    parts = []
    for name, (rate, price) in JUDGES.items():
        wrong = np.arange(150) % 150 >= round(rate * 150)
        preference = 1.0 + np.where(rng.permutation(wrong), 1 - truth, truth)
        parts.append(base.assign(annotator=name, preference=preference, price=price, seconds=2))
    pd.concat(parts).to_csv(tmp_path / "v.csv", index=False)
    base.assign(annotator="person", preference=1.0 + truth).to_csv(tmp_path / "l.csv", index=False)
    return str(tmp_path / "v.csv"), str(tmp_path / "l.csv")


def test_the_front_and_the_cheapest_that_is_good_enough(
    files: tuple[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    verdicts, labels = files
    assert main(["judges", "compare", verdicts, "--human", labels]) == 0
    out = capsys.readouterr().out
    assert max(map(len, out.partition("\nfront:")[0].splitlines())) <= 80
    assert "4 judges on 150 labelled comparisons" in out
    assert "take fair: the cheapest that dear is not shown to beat" in out
    assert main(["judges", "compare", verdicts, "--human", labels, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["front"] == ["dear", "fair", "cheap"]
    assert record["enough"] == "fair"
    by_name = {rater["rater"]: rater["figures"] for rater in record["raters"]}
    assert by_name["dear"]["price_per_1000"]["value"] == pytest.approx(20)
    assert by_name["dear"]["seconds_per_1000"]["value"] == pytest.approx(2000)
    real = {(pair["a"], pair["b"]): pair["real"] for pair in record["pairs"]}
    assert not real["dear", "fair"]
    assert real["dear", "poor"]
    assert next(pair for pair in record["pairs"] if pair["b"] == "fair")["n_needed"] > 1000


def test_named_judges_alone(files: tuple[str, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    verdicts, labels = files
    target = tmp_path / "choice.csv"
    assert main(["judges", "compare", "dear", "poor", verdicts, "--human", labels, "-o", str(target)]) == 0
    out = capsys.readouterr().out
    assert "take dear: whoever is cheaper is shown to agree less" in out
    table = pd.read_csv(target)
    assert table["rater"].tolist() == ["people", "dear", "poor"]
    assert table["front"].tolist() == [False, True, True]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (["dear", "fair"], "no file is called dear, fair; name the annotation files too"),
        (["VERDICTS", "deer"], "no judge 'deer' in the annotations; there are dear, fair, poor, cheap"),
        (["VERDICTS", "dear"], "there is only 'dear'; name two judges or more"),
        (["VERDICTS", "other.jsonl"], "other.jsonl: there is no such file"),
    ],
)
def test_what_cannot_be_compared_is_refused(
    files: tuple[str, str], given: list[str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    verdicts, labels = files
    arguments = [verdicts if one == "VERDICTS" else one for one in given]
    assert main(["judges", "compare", *arguments, "--human", labels]) == 2
    assert said in capsys.readouterr().err


def test_a_recorded_choice(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """AlpacaFarm's GPT-4 at $43.73 and $14.38 a thousand, as recorded: nobody can tell the dear one from the other."""
    human = shared_data / "human"
    names = {"instruction_id": "item_id", "annotator": "judge", "repeat": "seed", "price": "price_per_example"}
    columns = [part for ours, theirs in names.items() for part in ("--columns", f"{ours}={theirs}")]
    judges, labels = (str(human / f"alpacafarm_cross{end}.parquet") for end in ("_judges", ""))
    assert main(["judges", "compare", judges, "--human", labels, *columns]) == 0
    assert "take gpt4_b5: the cheapest that gpt4_b1 is not shown to beat" in capsys.readouterr().out
