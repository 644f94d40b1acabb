"""`simfarm calibrate`: a planted crowd, its judge's runs and labels as files; what is fitted, written and refused."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import yaml

import simfarm
from simfarm.agreement import calibration
from simfarm.cli import main
from simfarm.errors import InputError
from simfarm.judges import load_judge
from simfarm.judges.population import Population
from simfarm.runs.drawing import parameters_of
from simfarm.statistics.crowd import CrowdParameters, crowd_logit, crowd_votes, unanimity

CROWD = CrowdParameters(60.0, 1.2, 0.8, item_sd=0.8, length_sd=0.3)
TEXTS = ["instruction", "output_1", "output_2"]


def _world(n: int = 160, labels: int = 4, persons: int = 8, runs: int = 8) -> tuple[pd.DataFrame, pd.DataFrame]:
    """(a judge's runs, people's labels) on n comparisons."""
    rng = np.random.default_rng(11)
    lengths = rng.integers(20, 220, (n, 2))
    texts = pd.DataFrame(
        {
            "instruction": [f"instruction {i}" for i in range(n)],
            "output_1": ["a" * k for k in lengths[:, 0]],
            "output_2": ["b" * k for k in lengths[:, 1]],
        }
    )
    lean = rng.choice([0.0, 0.5, 1.0], n)
    said = (rng.random((runs, n)) < lean).astype(float)
    item = np.repeat(np.arange(n), labels)
    person = np.argsort(rng.random((n, persons)), axis=1)[:, :labels].ravel()
    own, u = rng.standard_normal(persons), rng.standard_normal(n)
    delta = (lengths[:, 1] - lengths[:, 0])[item]
    eta = crowd_logit(CROWD, unanimity(said)[item], delta, person_length=own[person], item=u[item])
    votes = crowd_votes(CROWD, eta, rng.random(len(item)))
    judged = pd.concat(
        [texts.assign(annotator="judge", repeat=k, preference=1 + said[k]) for k in range(runs)], ignore_index=True
    )
    people = texts.iloc[item].assign(annotator=[f"p{k}" for k in person], preference=1 + votes)
    return judged, people.reset_index(drop=True)


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    judged, people = _world()
    judged.to_json("runs.jsonl", orient="records", lines=True)
    people.to_json("labels.jsonl", orient="records", lines=True)
    _population({"runs": 8})
    return tmp_path


def _population(crowd: dict[str, Any] | None, judge: str = "pairwise-letter") -> None:
    data = {"description": "mine", "judge": judge} | ({} if crowd is None else {"population": crowd})
    Path("mine.yaml").write_text(yaml.safe_dump(data))


def test_the_command_fits_writes_and_holds_against_people(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (files / "sub").mkdir()
    run = ["calibrate", "mine.yaml", "--human", "labels.jsonl", "--annotations", "runs.jsonl"]
    assert main([*run, "-o", "sub/fitted.yaml"]) == 0
    printed = capsys.readouterr()
    assert "mine · 640 labels by 8 people on 160 comparisons of 160 instructions, 8 runs of the judge" in printed.out
    assert "fitted to one half, on the other half · 80 comparisons" in printed.out
    assert "vague: 160 comparisons with several labels leave item_sd anywhere from" in printed.out
    assert "wrote sub/fitted.yaml" in printed.err
    text = Path("sub/fitted.yaml").read_text("utf-8")
    assert "# fitted by simfarm calibrate to 640 labels by 8 people on 160 comparisons" in text
    population = load_judge("sub/fitted.yaml")
    assert isinstance(population, Population)
    assert population.crowd is not None
    assert not population.crowd.open
    found = parameters_of(population)
    assert main([*run, "--json"]) == 0
    record = json.loads(capsys.readouterr().out)
    fitted = {row["parameter"]: row for row in record["parameters"]}
    for name in ("judge", "length", "item_sd", "length_sd", "position_sd"):
        assert fitted[name]["fitted"]
        assert getattr(found, name) == pytest.approx(fitted[name]["value"], abs=5e-5)
        assert fitted[name]["low"] <= getattr(CROWD, name) <= fitted[name]["high"], name
    assert (found.bias, fitted["bias"]["fitted"], fitted["bias"]["standard_error"]) == (0, False, None)
    assert record["fidelity"]["measures"]
    assert record["n_runs"] == 8


def test_what_the_file_says_is_left_as_it_is() -> None:
    judged, people = _world()
    given = {"runs": 4, "judge": 1.0, "scale": {"length": 50.0}, "persons": {"n": 30, "length_sd": None}}
    made = _calibrated(given, judged, people)
    assert made.found.fit.free == ("length", "item_sd", "length_sd")
    assert made.found.runs == 4
    assert any("8 runs of the judge: the first 4 are used" in note for note in made.notes)
    assert any("4 runs of the judge: the crowd's leanings follow people's less" in line for line in made.advice)
    data = yaml.safe_load(made.yaml())["population"]
    assert (data["runs"], data["judge"], data["scale"], data["persons"]["n"]) == (4, 1.0, {"length": 50.0}, 30)
    assert data["persons"]["position_sd"] == 0
    assert list(made.table["parameter"][made.table["fitted"]]) == ["length", "item_sd", "length_sd"]


def _calibrated(crowd: dict[str, Any], judged: pd.DataFrame, people: pd.DataFrame, **options: Any) -> Any:
    _population(crowd)
    return simfarm.calibrate("mine.yaml", people, annotations=judged, **options)


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_ties_are_a_parameter_where_people_had_them() -> None:
    judged, people = _world()
    people.loc[people.index % 7 == 0, "preference"] = 1.5
    made = _calibrated({}, judged, people)
    assert "tie" in made.found.fit.free
    assert yaml.safe_load(made.yaml())["population"]["tie"] == pytest.approx(made.found.fit.parameters.tie, abs=1e-4)


def test_files_beside_a_population_are_found_from_where_it_is_written(tmp_path: Path) -> None:
    (tmp_path / "judges").mkdir()
    Path("judges/own.yaml").write_text("description: d\nprotocol: pairwise\nrule: longest\n")
    judged, people = _world()
    Path("judges/mine.yaml").write_text(
        "description: d\nmembers:\n- judge: own.yaml\n- judge: pairwise-letter\npopulation: {}\n"
    )
    simfarm.calibrate("judges/mine.yaml", people, annotations=judged).write("fitted.yaml")
    assert yaml.safe_load(Path("fitted.yaml").read_text())["members"][0]["judge"] == "judges/own.yaml"


@pytest.mark.parametrize(
    ("crowd", "change", "said"),
    [
        (None, {}, "is a judge; write a population"),
        ({}, {"runs": 0}, "make them .simfarm annotate LABELS --judge pairwise-letter --repeats 8"),
        ({}, {"runs": 1}, "there is 1 run; ask the judge several times .simfarm annotate --repeats 8"),
        ({}, {"labels": 1}, "at least two labels on the same items: 0 items have them"),
        ({}, {"other": True}, "share no instruction"),
        ({"judge": 1.0, "tie": 0.0}, {"ties": True}, "tie is fixed at 0"),
    ],
)
def test_what_cannot_be_fitted_is_refused_in_a_line(
    crowd: dict[str, Any] | None, change: dict[str, Any], said: str
) -> None:
    judged, people = _world(40)
    if change.get("labels"):
        people = people.iloc[::4].assign(annotator="one")
    if change.get("other"):
        people["instruction"] += " else"
    if change.get("ties"):
        people.loc[people.index % 3 == 0, "preference"] = 1.5
    judged = judged[judged["repeat"] < change.get("runs", 8)]
    _population(crowd or {})
    population = "pairwise-letter" if crowd is None else "mine.yaml"
    with pytest.raises(InputError, match=said) as error:
        simfarm.calibrate(population, people, annotations=judged if len(judged) else None)
    assert "\n" not in str(error.value)


def test_one_run_will_do_where_the_population_says_so() -> None:
    judged, people = _world(60)
    made = _calibrated({"runs": 1}, judged[judged["repeat"] == 0], people)
    assert made.found.runs == 1
    assert any(line.startswith("1 run of the judge") for line in made.advice)


def test_calls_in_both_orders_are_runs_as_those_that_labels_are_drawn_around() -> None:
    judged, people = _world(60)
    swapped = judged.assign(repeat=judged["repeat"] // 2, order=np.where(judged["repeat"] % 2, "21", "12"))
    one, other = (_calibrated({"runs": 4}, rows, people) for rows in (judged, swapped))
    assert other.found.runs == 4
    assert other.found.fit.parameters == one.found.fit.parameters
    hashed = judged.assign(order=np.where(judged["instruction"].str.endswith("7"), "21", "12"))
    assert _calibrated({}, hashed, people).found.runs == 8


def test_what_is_open_is_not_written_over(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = Path("mine.yaml").read_text("utf-8")
    run = ["calibrate", "mine.yaml", "--human", "labels.jsonl", "--annotations", "runs.jsonl", "-o", "mine.yaml"]
    assert main(run) == 2
    assert "mine.yaml: is an input as well, and would be replaced" in capsys.readouterr().err
    assert Path("mine.yaml").read_text("utf-8") == before


def test_runs_that_never_agree_are_one_line(files: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [json.loads(line) | {"preference": 1.5} for line in Path("runs.jsonl").read_text("utf-8").splitlines()]
    Path("ties.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    assert main(["calibrate", "mine.yaml", "--human", "labels.jsonl", "--annotations", "ties.jsonl"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert "judge cannot be fitted: the judge's runs agree on none of the comparisons" in last


def test_runs_of_two_judges_are_said_to_be_taken_for_one() -> None:
    judged, people = _world(60)
    assert not any("several judges" in note for note in _calibrated({"persons": {"n": 4}}, judged, people).notes)
    other = judged.assign(annotator=np.where(judged["repeat"] % 2, "one", "two"))
    notes = _calibrated({"persons": {"n": 4}}, other, people).notes
    assert "the runs are of several judges (one, two) and are taken for one judge's" in notes


def test_runs_by_another_judge_are_warned_of() -> None:
    judged, people = _world(60)
    with pytest.warns(
        simfarm.SimfarmWarning, match="the runs are by judge and the crowd will be drawn around pairwise-l"
    ):
        _calibrated({"persons": {"n": 4}}, judged, people)
    own = judged.assign(annotator="pairwise-letter")
    assert not any("the runs are by" in note for note in _calibrated({"persons": {"n": 4}}, own, people).notes)


def test_few_comparisons_have_a_fit_and_are_told_to_be_few() -> None:
    judged, people = _world(30)
    made = _calibrated({"persons": {"n": 4}}, judged, people.iloc[4:])
    assert made.advice[0].startswith("vague: 29 comparisons with several labels leave item_sd unknown")
    assert np.isnan(made.found.fit.interval("item_sd")).all()
    assert made.found.fit.standard_errors["judge"] > 0.2
    alone = _calibrated({"item_sd": 0.5}, judged, people.iloc[::4])
    assert alone.fidelity is None
    assert "is not enough to hold a crowd against" in alone.found.why
    assert alone.to_json()["no_fidelity"] == alone.found.why


def test_nobody_is_fitted_and_held_against_on_one_instruction(monkeypatch: pytest.MonkeyPatch) -> None:
    judged, people = _world(60)
    fitted: list[set[int]] = []
    fit, hold = calibration.fit_crowd, calibration.fidelity

    def fitting(unanimous: Any, *rest: Any, **options: Any) -> Any:
        fitted.append(set(np.flatnonzero(~np.isnan(unanimous)).tolist()))
        return fit(unanimous, *rest, **options)

    held: list[set[int]] = []

    def holding(crowd: Any, others: Any, *rest: Any, **options: Any) -> Any:
        held.append(set(others.item.tolist()) | set(crowd.item.tolist()))
        assert set(options["fit_errors"]) >= {"pairwise", "longer"}
        return hold(crowd, others, *rest, **options)

    monkeypatch.setattr(calibration, "fit_crowd", fitting)
    monkeypatch.setattr(calibration, "fidelity", holding)
    assert _calibrated({}, judged, people).fidelity is not None
    assert [len(some) for some in fitted] == [60, 30]
    assert len(held[0]) == 30
    assert not held[0] & fitted[1]
