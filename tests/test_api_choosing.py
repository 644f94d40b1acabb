"""The functions about judges themselves: the options and figures of `simfarm judges compare, fit, probe, stress`."""

from __future__ import annotations

import argparse
import inspect
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from test_api import SPOKEN

import simfarm
from simfarm.cli import build_parser, main
from simfarm.data.files import write_rows
from simfarm.errors import InputError
from simfarm.methods.fitting import SIGNALS

ROOT = Path(__file__).parents[1]
RESTATER = str(ROOT / "examples" / "outputs" / "restater.json")
pytestmark = pytest.mark.filterwarnings("ignore::simfarm.SimfarmWarning")


def options_of(verb: str) -> dict[str, Any]:
    parser: Any = build_parser()
    for name in ("judges", verb):
        (verbs,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
        parser = verbs.choices[name]
    return {action.dest: action.default or None for action in parser._actions}


@pytest.mark.parametrize(
    ("function", "verb", "here", "there"),
    [
        (simfarm.compare_judges, "compare", {"inputs"}, set()),
        (simfarm.fit_judge, "fit", set(), set()),
        (simfarm.probe_judge, "probe", set(), {"verdicts"}),
        (simfarm.stress_judges, "stress", set(), {"judge"}),
    ],
)
def test_every_option_of_the_verb_is_a_keyword(
    function: Callable[..., Any], verb: str, here: set[str], there: set[str]
) -> None:
    known = inspect.signature(function).parameters
    options = {name: value for name, value in options_of(verb).items() if name not in {*SPOKEN} | there}
    assert {*known} - here == {*options}
    defaults = {name: p.default or None for name, p in known.items() if p.default is not p.empty}
    assert defaults == {name: options[name] for name in defaults}


def test_probe_and_stress_are_what_the_verbs_print(capsys: pytest.CaptureFixture[str]) -> None:
    probed = simfarm.probe_judge("longest", limit=2)
    assert main(["judges", "probe", "longest", "--limit", "2", "--json"]) == 0
    assert json.loads(json.dumps(probed.to_json())) == json.loads(capsys.readouterr().out)
    assert probed.found.names("blind") == []
    stressed = simfarm.stress_judges("surface", RESTATER, limit=3)
    assert main(["judges", "stress", "surface", "--outputs", RESTATER, "--limit", "3", "--json"]) == 0
    assert json.loads(json.dumps(stressed.to_json())) == json.loads(capsys.readouterr().out)
    assert len(stressed.table) == len(stressed.found.judges[0].prices)
    page = stressed._repr_html_()
    assert "what a trick gains" in page
    assert "<table>" in page


def test_judges_are_compared_and_fitted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [
        {
            "instruction": f"Question {k}?",
            "output_1": "word " * (3 + k % 7),
            "output_2": "word " * (3 + (3 * k) % 7),
            "generator_1": "a",
            "generator_2": "b",
        }
        for k in range(60)
    ]

    def by(name: str, wrong: int) -> list[dict[str, Any]]:
        """Verdicts that go by a coin of k; every `wrong`th is the other one."""
        right = [1 + (k * k // 7 + k) % 2 for k in range(60)]
        return [
            row | {"annotator": name, "preference": 3 - p if wrong and k % wrong == 0 else p}
            for k, (row, p) in enumerate(zip(rows, right, strict=True))
        ]

    judged, people = [*by("good", 9), *by("bad", 2)], pd.DataFrame(by("Ann", 0))
    told = simfarm.compare_judges(judged, people)
    write_rows(tmp_path / "j.jsonl", judged)
    people.to_json(tmp_path / "p.jsonl", orient="records", lines=True)
    files = [str(tmp_path / "j.jsonl"), "--human", str(tmp_path / "p.jsonl")]
    assert main(["judges", "compare", *files, "--json"]) == 0
    assert json.loads(json.dumps(told.to_json())) == json.loads(capsys.readouterr().out)
    assert told.found.card.judges[0].name == "good"
    with pytest.raises(InputError, match="only 'bad'"):
        simfarm.compare_judges(judged, people, judges=["bad"])
    fitted = simfarm.fit_judge(people, judged)
    assert list(fitted.found.members) == ["good"]
    with pytest.raises(InputError, match="good alone has weight; name it as the judge"):
        fitted.found.write(str(tmp_path / "mine.yaml"), 0.95)
    both = replace(fitted.found, members={"good": 2.0, SIGNALS: 1.0})
    assert len(both.write(str(tmp_path / "both.yaml"), 0.95)) == 2
    (file,) = replace(both, members={SIGNALS: 1.0}).write(str(tmp_path / "own.yaml"), 0.95)
    assert simfarm.load_judge(file).rule == "surface"


def test_nothing_is_asked_beside_a_judge_that_cannot_be(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("simfarm.runs.annotation.AnnotationRun.results", lambda *_: pytest.fail("asked"))
    with pytest.raises(InputError, match="no judge 'nobody'"):
        simfarm.stress_judges(["longest", "nobody"], RESTATER)
    with pytest.raises(InputError, match="ranking-letter orders all dresses of an output in one prompt"):
        simfarm.stress_judges(["longest", "ranking-letter"], RESTATER)
    with pytest.raises(TypeError, match="did you mean 'limit'"):
        simfarm.probe_judge("longest", limits=2)  # type: ignore[call-arg]
