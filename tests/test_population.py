"""Populations as files: what stands in them, what is refused, and draws that depend on nothing but what they are of."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges import Judge, Population, load_judge
from simfarm.judges.draws import comparison_key, normal, ranked, uniform
from simfarm.judges.population import Crowd, Persons

FITTED = {
    "runs": 8,
    "link": "unanimity",
    "scale": {"length": 245.6},
    "judge": 1.04,
    "length": 0.75,
    "item_sd": 0.84,
    "persons": {"n": 16, "length_sd": 0.54, "position_sd": 0.18},
}
LETTER = {"judge": "pairwise-letter"}


def written(folder: Path, **data: Any) -> Path:
    path = folder / "people.yaml"
    path.write_text(yaml.safe_dump({"description": "People", **data}, sort_keys=False), "utf-8")
    return path


def loaded(folder: Path, **data: Any) -> Population:
    made = load_judge(written(folder, **data))
    assert isinstance(made, Population)
    return made


def test_a_file_with_members_is_a_population(tmp_path: Path) -> None:
    hurried = LETTER | {"name": "hurried", "temperature": 1, "persona": "A nurse on a break.", "weight": 2}
    people = loaded(tmp_path, members=[LETTER, {**LETTER}, hurried, {"judge": "longest"}], noise={"flip": 0.25})
    assert people.name == "people"
    assert [member.name for member in people.members] == ["pairwise-letter", "pairwise-letter-2", "hurried", "longest"]
    assert people.people == 4
    assert people.flip == 0.25
    plain = load_judge("pairwise-letter")
    assert isinstance(plain, Judge)
    assert people.members[0].judge.hash == plain.hash
    assert people.members[2].judge.sampling["temperature"] == 1
    assert people.members[2].judge.hash not in (plain.hash, replace(people.members[2].judge, persona="").hash)


def test_the_hash_covers_what_can_change_a_label(tmp_path: Path) -> None:
    made = [
        loaded(tmp_path, **data).hash
        for data in (
            {"members": [LETTER]},
            {"members": [LETTER | {"weight": 2}]},
            {"members": [LETTER | {"persona": "A cook."}]},
            {"members": [LETTER], "noise": {"flip": 0.1}},
            {"judge": "pairwise-letter", "population": FITTED},
            {"judge": "pairwise-letter", "population": FITTED | {"judge": 1.05}},
        )
    ]
    assert len(set(made)) == len(made)
    assert loaded(tmp_path, members=[LETTER, {"judge": "first"}]).hash == (
        loaded(tmp_path, members=[{"judge": "first"}, LETTER]).hash
    )


def test_the_numbers_of_a_crowd_are_read_and_written_back(tmp_path: Path) -> None:
    people = loaded(tmp_path, judge="pairwise-letter", population=FITTED)
    crowd = people.crowd
    assert crowd == Crowd(8, "unanimity", 245.6, 1.04, 0.75, 0.0, 0.84, None, Persons(16, 0.54, 0.18))
    assert crowd.open == ()
    assert people.people == 16
    again = loaded(tmp_path, judge="pairwise-letter", population=crowd.to_yaml())
    assert (again.crowd, again.hash) == (crowd, people.hash)
    left = loaded(tmp_path, judge="longest", population={"persons": {"n": 3, "length_sd": None}})
    assert left.crowd is not None
    assert left.crowd.open == ("scale", "judge", "length", "item_sd", "persons.length_sd")


def test_a_judges_own_file_can_be_the_crowd(tmp_path: Path) -> None:
    people = loaded(tmp_path, protocol="pairwise", rule="longest", order="fixed", population=FITTED)
    assert [member.judge.rule for member in people.members] == ["longest"]


BAD = {
    "no such judge": ({"members": [{"judge": "nobody"}]}, r"members\[1\]: no judge 'nobody'"),
    "a population": ({"members": [{"judge": "people.yaml"}]}, "is a population, simulated people"),
    "a rater": ({"members": [{"judge": "rating-5"}]}, r"members\[1\]: the judge rating-5 rates one output at a time"),
    "no judge": ({"members": [{"model": "openai/x"}]}, r"members\[1\]: judge: must be a text"),
    "nobody": ({"members": []}, "must be a list of members"),
    "weight": ({"members": [LETTER | {"weight": -1}]}, r"members\[1\]: weight: must be a number of at least 0, not -1"),
    "weights": ({"members": [LETTER | {"weight": 0}]}, "the weights sum to 0, so that nobody can be drawn"),
    "names": ({"members": [LETTER | {"name": "a"}, LETTER | {"name": "a"}]}, "two are called 'a'"),
    "flip": ({"members": [LETTER], "noise": {"flip": 0.5}}, "from 0 to below 0.5, not 0.5"),
    "flip below": ({"members": [LETTER], "noise": {"flip": -0.1}}, "at least 0, not -0.1"),
    "flips": ({"members": [LETTER], "noise": {"flips": 0.2}}, "did you mean 'flip'"),
    "examples": ({"members": [LETTER | {"examples": "no.jsonl"}]}, "there is no file .*no.jsonl; name one"),
    "persona of a rule": ({"members": [{"judge": "longest", "persona": "A cook."}]}, "knows no person"),
    "several": ({"members": [LETTER | {"comparisons": 4}]}, "shows one pair at a time"),
    "comparisons": ({"members": [LETTER | {"comparisons": 0}]}, "whole number of at least 1"),
    "both noises": ({"judge": "longest", "population": FITTED, "noise": {"flip": 0.1}}, "leave noise out"),
    "runs": ({"judge": "longest", "population": {"runs": 0}}, "runs: must be a whole number"),
    "link": ({"judge": "longest", "population": {"link": "mean"}}, "'mean' is not known"),
    "scale": ({"judge": "longest", "population": {"scale": {"length": 0}}}, "must be above 0"),
    "sd": ({"judge": "longest", "population": {"item_sd": -1}}, "item_sd: must be a number of at least 0"),
    "persons": ({"judge": "longest", "population": {"persons": {"length_sd": 1}}}, "n is missing"),
    "number": ({"judge": "longest", "population": {"judge": "high"}}, "judge: must be a number, not 'high'"),
    "key": ({"members": [LETTER], "protocol": "pairwise"}, "unknown key 'protocol'"),
}


@pytest.mark.parametrize(("data", "said"), BAD.values(), ids=BAD)
def test_what_is_wrong_in_a_file_is_one_line(data: dict[str, Any], said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said) as refused:
        loaded(tmp_path, **data)
    assert "\n" not in str(refused.value)


def test_a_draw_depends_on_nothing_but_what_it_is_of() -> None:
    assert uniform("a", "b") == uniform("a", "b") != uniform("a", "c")
    drawn = np.array([uniform("coin", str(k)) for k in range(4000)])
    assert abs(drawn.mean() - 0.5) < 0.02
    assert abs(np.array([normal("effect", str(k)) for k in range(4000)]).std() - 1) < 0.04
    pair = Comparison("i", "a", "b", "x", "y")
    assert comparison_key(pair) == comparison_key(replace(pair, extra={"row": 7}, instruction_id=3))
    assert comparison_key(pair) != comparison_key(replace(pair, output_1="b", output_2="a"))


def test_members_are_drawn_by_weight_and_one_more_takes_only_its_own_share() -> None:
    weights = {"a": 1.0, "b": 3.0, "c": 0.0}
    before = [ranked(weights, "member", str(k))[0] for k in range(4000)]
    counted = Counter(before)
    assert counted["c"] == 0
    assert abs(counted["b"] / 4000 - 0.75) < 0.03
    after = [ranked(weights | {"d": 1.0}, "member", str(k))[0] for k in range(4000)]
    moved = {new for old, new in zip(before, after, strict=True) if old != new}
    assert moved == {"d"}
    assert abs(Counter(after)["d"] / 4000 - 0.2) < 0.03


def test_examples_are_one_persons_labels(tmp_path: Path) -> None:
    rows = [
        {"instruction": f"i{k}", "output_1": "a", "output_2": "b", "annotator": who, "preference": 1 + k % 2}
        for k in range(10)
        for who in ("ann", "bob")
    ]
    (tmp_path / "labels.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    with pytest.raises(InputError, match="has the labels of ann, bob; name one of them as person"):
        loaded(tmp_path, members=[LETTER | {"examples": "labels.jsonl"}])
    with pytest.raises(InputError, match="has no person 'eve'; it has ann, bob"):
        loaded(tmp_path, members=[LETTER | {"examples": {"file": "labels.jsonl", "person": "eve"}}])
    with pytest.raises(InputError, match="has 10 labels that can be shown, and 12 are wanted; lower n"):
        loaded(tmp_path, members=[LETTER | {"examples": {"file": "labels.jsonl", "person": "ann", "n": 12}}])
    people = loaded(tmp_path, members=[LETTER | {"examples": {"file": "labels.jsonl", "person": "ann"}}])
    shown = people.members[0].judge.examples
    assert [(e.comparison.instruction, e.p) for e in shown] == [(f"i{k}", k % 2) for k in range(8)]
    assert {e.order for e in shown} == {"12", "21"}
