"""Panels as files: what they say, and what is refused with the remedy before anybody is asked."""

from pathlib import Path

import pytest
import yaml

from simfarm.cli import main
from simfarm.errors import InputError
from simfarm.judges import Panel, load_judge, load_one, load_panel
from simfarm.judges.schema import judge_schema


def file(folder: Path, panel: object, **more: object) -> Path:
    path = folder / "three.yaml"
    path.write_text(yaml.safe_dump({"description": "Three rules", "panel": panel, **more}), "utf-8")
    return path


def loaded(folder: Path, panel: object) -> Panel:
    return load_panel(file(folder, panel))


def test_a_panel_is_a_judges_file(tmp_path: Path) -> None:
    panel = loaded(tmp_path, {"members": ["longest", {"judge": "surface"}, {"judge": "random", "name": "coin"}]})
    assert (panel.name, panel.rule) == ("three", "majority")
    assert [seat.name for seat in panel.members] == ["longest", "surface", "coin"]
    assert panel.recorded.members == ("longest", "surface", "coin")
    assert isinstance(load_judge(panel.path), Panel)
    with pytest.raises(InputError, match="is a panel"):
        load_one(panel.path)
    with pytest.raises(InputError, match="no key 'panel'"):
        load_panel("longest")


def test_one_prompt_under_two_models_has_two_names(tmp_path: Path) -> None:
    two = [{"judge": "pairwise-letter", "model": model} for model in ("openai/a-1", "anthropic/b-2")]
    panel = loaded(tmp_path, {"members": two})
    assert [seat.name for seat in panel.members] == ["pairwise-letter@a-1", "pairwise-letter@b-2"]


def test_the_hash_is_of_what_changes_a_verdict(tmp_path: Path) -> None:
    members = [{"judge": "longest", "weight": 2}, {"judge": "surface", "weight": 1}]
    first = loaded(tmp_path, {"members": members}).hash
    assert loaded(tmp_path, {"members": members[::-1]}).hash == first
    heavier = [{"judge": "longest", "weight": 3}, members[1]]
    assert loaded(tmp_path, {"members": heavier}).hash != first
    assert loaded(tmp_path, {"members": ["longest", "surface"], "rule": "mean"}).hash != first
    fitted = {"labels": "l.jsonl", "comparisons": 9, "instructions": 9, "keys": ["00ab"]}
    panel = loaded(tmp_path, {"members": members, "fitted_on": fitted})
    assert panel.hash == first
    assert panel.fitted is not None
    assert panel.fitted.keys == ("00ab",)


TWO = ["longest", "surface"]
TALK = ["pairwise-json", "pairwise-reasoned"]


@pytest.mark.parametrize(
    ("panel", "said"),
    [
        ({"members": ["longest"]}, "a panel of one is 'longest' itself"),
        ({"members": []}, "must be a list of judges"),
        ({"members": [*TWO, "lngest"]}, r"members\[3\]: no judge 'lngest'.*did you mean longest"),
        ({"members": ["longest", "longest"]}, "two are called 'longest'"),
        ({"members": [*TWO, "rating-5"]}, r"members\[3\]: the judge rating-5 rates one output at a time"),
        (
            {"members": TWO, "rule": "debate"},
            "longest cannot debate, it follows a rule; take a judge that gives reasons",
        ),
        ({"members": [*TALK, "pairwise-letter"], "rule": "debate"}, "it writes a label and no reasons"),
        ({"members": [*TALK, "pairwise-logprob"], "rule": "debate"}, "it writes no reasons"),
        ({"members": [*TALK, "pairwise-decision"], "rule": "debate"}, "it writes no reasons"),
        ({"members": [*TALK, "hindsight"], "rule": "debate"}, "it asks in several calls"),
        ({"members": [*TALK, {"name": "x"}], "rule": "debate"}, "x has recorded verdicts alone, which cannot debate"),
        (
            {"members": [*TALK, {"judge": "pairwise-json", "name": "y", "order": "fixed"}], "rule": "debate"},
            r"not all have one order \(pairwise-json both, .*; give one",
        ),
        ({"members": TALK, "rule": "debate", "rounds": 0}, "rounds: must be a whole number from 1 to 5, not 0"),
        ({"members": TALK, "rule": "debate", "rounds": 9}, "rounds: must be a whole number from 1 to 5, not 9"),
        ({"members": TALK, "rounds": 2}, "the rule majority has none; remove them, or take rule: debate"),
        ({"members": TWO, "rule": "median"}, "'median' is not known"),
        ({"members": TWO, "rule": "weighted"}, "longest has none.*judges fit"),
        ({"members": [{"judge": "longest", "weight": 1}, {"judge": "surface", "weight": -1}]}, "signed: true"),
        (
            {"members": [{"judge": "longest", "weight": 1}, {"judge": "surface", "weight": -1}], "signed": True},
            "the weights sum to 0",
        ),
        ({"members": [{"judge": "longest", "weight": 0}, {"judge": "surface", "weight": 0}]}, "the weights sum to 0"),
        ({"members": [{"judge": "longest", "weight": 1}, "surface"], "rule": "mean"}, "mean has no weights"),
        ({"members": [{"judge": "longest", "weight": "much"}, "surface"]}, "must be a number"),
        ({"members": TWO, "members_": 3}, "unknown key 'members_'"),
        ({"members": [{"name": "three"}, "surface"]}, "the panel's own name"),
        ("longest", "must be a mapping"),
    ],
)
def test_what_is_wrong_is_refused_with_the_remedy(tmp_path: Path, panel: object, said: str) -> None:
    with pytest.raises(InputError, match=said) as refused:
        load_judge(file(tmp_path, panel))
    assert "\n" not in str(refused.value)


def test_who_has_recorded_verdicts_alone_cannot_be_asked(tmp_path: Path) -> None:
    panel = loaded(tmp_path, {"members": [{"name": "GPT-4/Vanilla", "weight": 2}, {"judge": "longest", "weight": 1}]})
    assert panel.recorded.weights == {"GPT-4/Vanilla": 2, "longest": 1}
    with pytest.raises(InputError, match="names no judge"):
        _ = panel.judges


def test_shown_and_checked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = file(tmp_path, {"members": ["longest", {"judge": "surface", "name": "marks"}], "rule": "mean"})
    assert main(["judges", "show", str(path)]) == 0
    shown = capsys.readouterr().out
    assert "rule: mean" in shown
    assert "name: marks, judge: surface" in shown
    assert main(["judges", "check", str(path)]) == 0
    assert capsys.readouterr().out.count("fit for use") == 2


@pytest.mark.parametrize("rule", ["majority", "mean", "weighted", "median"])
def test_the_schema_knows_panels(rule: str) -> None:
    jsonschema = pytest.importorskip("jsonschema")
    is_valid = jsonschema.Draft202012Validator(judge_schema()).is_valid
    members = ["longest", {"judge": "surface", "weight": 2}]
    panel = {"members": members, "rule": rule}
    assert is_valid({"description": "Two", "panel": panel}) == (rule != "median")
    assert not is_valid({"description": "Two", "panel": panel, "rule": "longest"})
    assert not is_valid({"description": "Two", "panel": {"members": ["longest"]}})


def test_a_panel_that_debates(tmp_path: Path) -> None:
    once = loaded(tmp_path, {"members": TALK, "rule": "debate"})
    assert (once.rounds, once.voting) == (1, "majority")
    twice = loaded(tmp_path, {"members": TALK, "rule": "debate", "rounds": 2})
    voted = loaded(tmp_path, {"members": TALK, "rule": "majority"})
    assert len({once.hash, twice.hash, voted.hash}) == 3
    with pytest.raises(InputError, match="recorded verdicts cannot debate; take --jury majority, or have"):
        _ = once.recorded
