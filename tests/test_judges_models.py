"""Judges that outlive their model: bundled ones name models that live, and what is known of a model is said."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml

from simfarm.backends.http.retirements import retirement
from simfarm.cli import main
from simfarm.errors import InputError
from simfarm.judges import list_judges, load_judge
from simfarm.judges.check import check_judge
from simfarm.runs.fitness import doubts, last_day

TODAY = datetime.now(UTC).date()
PAST = TODAY - timedelta(days=40)


def test_bundled_judges_name_models_that_live() -> None:
    for judge in list_judges():
        if judge.model in (None, "embedded"):
            assert (judge.alternatives, judge.checked, judge.until) == ((), None, None)
            continue
        assert judge.checked is not None
        assert judge.checked >= date(2026, 11, 26)
        for spec in (judge.model, *judge.alternatives):
            assert retirement(spec) is None, f"{judge.name}: {spec} ends"
        providers = {spec.partition("/")[0] for spec in (judge.model, *judge.alternatives)}
        # no Claude gives log probabilities or decides
        alone = judge.sampling.get("logprobs") or judge.questions
        assert providers == ({"openai"} if alone else {"openai", "anthropic"})


@pytest.mark.parametrize(
    ("name", "was"),
    [
        ("pairwise-json", "40259568ccc51804"),
        ("pairwise-letter", "4edc8c99803edb12"),
        ("pairwise-logprob", "472035d61f51bc95"),
        ("pairwise-reasoned", "217a6c715fb4ac9d"),
    ],
)
def test_what_was_begun_with_the_model_of_before_is_continued(name: str, was: str) -> None:
    before = load_judge(name).replace(model="openai/gpt-4.1-2025-04-14")
    assert before.hash == was
    assert (before.checked, before.until) == (None, None)


def written(folder: Path, **changes: Any) -> Path:
    bundled = load_judge("pairwise-letter").path
    spec = yaml.safe_load(bundled.read_text("utf-8")) | changes
    folder.mkdir(exist_ok=True)
    (folder / "judge.yaml").write_text(yaml.safe_dump(spec), "utf-8")
    (folder / "template.jinja").write_text((bundled.parent / "template.jinja").read_text("utf-8"), "utf-8")
    return folder


def test_remarks_on_a_model_are_no_part_of_the_hash(tmp_path: Path) -> None:
    plain = load_judge(written(tmp_path / "j"))
    remarked = load_judge(written(tmp_path / "j", checked="2027-02-03", until=date(2028, 1, 1), alternatives=[]))
    assert remarked.hash == plain.hash
    assert (remarked.checked, remarked.until, remarked.alternatives) == (date(2027, 2, 3), date(2028, 1, 1), ())


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"checked": "yesterday"}, "checked: must be a date such as 2026-11-26, not 'yesterday'"),
        ({"until": 2027}, "until: must be a date such as 2026-11-26, not 2027"),
        ({"until": datetime(2027, 1, 1, 12)}, "until: must be a date"),
        ({"alternatives": "anthropic/x"}, r"alternatives: must be a list such as \[anthropic/"),
        ({"alternatives": ["claude"]}, "alternatives: must be provider/name"),
    ],
)
def test_bad_remarks_are_refused(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        load_judge(written(tmp_path / "j", **changes))


def test_a_judge_whose_model_ends_is_warned_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = load_judge(written(tmp_path / "old", model="openai/gpt-4.1", alternatives=[]))
    assert last_day(old) == date(2027, 1, 14)
    assert last_day(load_judge(written(tmp_path / "said", model="openai/gpt-4.1", until=TODAY))) == TODAY
    assert check_judge(old, doubts(old, date(2026, 10, 1))).warnings == ()
    assert check_judge(old, doubts(old)).warnings == ()
    (near,) = check_judge(old, doubts(old, date(2026, 11, 26))).warnings
    assert near == (
        "its model openai/gpt-4.1 is shut down on 2027-01-14: boards end with it; there is openai/gpt-6-luna"
    )
    (late,) = check_judge(old, doubts(old, date(2027, 1, 14))).warnings
    assert "was shut down on 2027-01-14; there is openai/gpt-6-luna" in late
    own = load_judge(written(tmp_path / "own", model="openai/mine", until=PAST, alternatives=["openai/other"]))
    assert check_judge(own, doubts(own, TODAY)).warnings == (
        f"its model openai/mine was shut down on {PAST}; there is openai/other",
    )
    assert main(["judges", "check", str(tmp_path / "own")]) == 0
    assert f"warning: its model openai/mine was shut down on {PAST}" in capsys.readouterr().out


def test_judges_are_listed_with_what_is_known_of_their_models(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["judges", "list"]) == 0
    listed = capsys.readouterr().out
    assert listed.count("openai/gpt-6-luna (checked 2026-11-26)") == 16
    assert main(["judges", "show", "pairwise-reasoned", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["checked"] == "2026-11-26"
    assert "anthropic/claude-haiku-5-5" in shown["alternatives"]
    assert main(["judges", "show", str(written(tmp_path / "old", model="openai/gpt-4.1"))]) == 0
    assert "until: 2027-01-14" in capsys.readouterr().out
