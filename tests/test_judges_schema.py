"""The schema of a judge's file: what loads is valid by it, what is refused is marked, and it names every key."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from test_judges_spec import BAD_KEYS, GOOD

from simfarm.cli import main
from simfarm.judges import list_judges
from simfarm.judges.schema import judge_schema

jsonschema = pytest.importorskip("jsonschema")
ROOT = Path(__file__).parents[1]
UNSAID = (
    *("gone.jinja", "criteria are either", "a checklist is either", "a context is either", "is not used"),
    *("two names", "put it in quotes", "two criteria", "weights sum to 0", "is no regular expression"),
    *("nothing is marked", "the fewest comes first"),
)
"""What a schema cannot say: of the template, of two values beside each other, of keys that are no text in YAML."""


def is_valid(judge: Any) -> bool:
    """As an editor reads it: dates are texts, and so are all keys."""
    plain = json.loads(json.dumps(judge, default=str))
    return bool(jsonschema.Draft202012Validator(judge_schema()).is_valid(plain))


def test_it_is_a_schema_that_the_command_prints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judges", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert schema == judge_schema()
    jsonschema.Draft202012Validator.check_schema(schema)


def test_every_judge_that_ships_is_valid() -> None:
    paths = [judge.path for judge in list_judges()] + sorted((ROOT / "examples" / "judges").glob("*/judge.yaml"))
    assert len(paths) > 8
    for path in paths:
        assert is_valid(yaml.safe_load(path.read_text(encoding="utf-8"))), path


@pytest.mark.parametrize(("changes", "message"), BAD_KEYS)
def test_what_loading_refuses_is_invalid(changes: dict[str, Any], message: str) -> None:
    judge = {key: value for key, value in (GOOD | changes).items() if value != "REMOVED"}
    assert is_valid(judge) == any(part in message for part in UNSAID)


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"checked": "2026-11-26", "until": None, "alternatives": ["openai/other"]},
        {"model": "embedded", "alternatives": ["q.gguf", "models/q.gguf"]},
        {"sampling": {"top_p": 0.5, "seed": 1, "stop": ["."], "thinking": False, "extra": {"reasoning": {}}}},
        {"verdict": {"parser": "json", "labels": {"A": "first", "B": "second", "C": "tie"}, "winner": "w"}},
        {
            "verdict": {"parser": "token_logprobs", "labels": {" a": "first", "b": "second"}},
            "sampling": {"logprobs": 2},
        },
    ],
)
def test_what_loads_is_valid(changes: dict[str, Any]) -> None:
    assert is_valid(GOOD | changes)


def test_a_body_field_that_follows_from_the_judge_is_invalid() -> None:
    assert not is_valid(GOOD | {"sampling": {"extra": {"messages": []}}})
