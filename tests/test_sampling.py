"""One vocabulary of sampling: what a judge's file may hold, what generation draws by, and what each backend sends."""

from __future__ import annotations

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml

from simfarm.backends.http.anthropic import AnthropicBackend
from simfarm.backends.http.dialect import EXTENSIONS, WIRE, Dialect
from simfarm.backends.local.models import check_sampling
from simfarm.data.exchange import Request
from simfarm.data.sampling import ANTHROPIC, LITELLM, LOCAL, OPENAI, VOCABULARY, Sampling, taken_by
from simfarm.errors import InputError
from simfarm.judges import load_judge
from simfarm.judges.fields import JUDGED
from simfarm.judges.schema import judge_schema

SCHEMA = {"type": "object", "properties": {"winner": {"type": "string"}}, "required": ["winner"]}
VALUES: dict[str, Any] = {
    "temperature": 0.5,
    "top_p": 0.9,
    "repetition_penalty": 1.1,
    "max_tokens": 7,
    "logprobs": 5,
    "seed": 3,
    "stop": ["END"],
    "effort": "low",
    "thinking": True,
    "chat_template": "{{ messages[0]['content'] }}",
    "template_args": {"loud": True},
    "extra": {"min_p": 0.1},
    "schema": SCHEMA,
    "choices": ["A", "B"],
}
ASKED = ({"role": "user", "content": "Which is better?"},)


def body(wire: Dialect | AnthropicBackend, **sampling: Any) -> dict[str, Any]:
    model = "claude-opus-4-6" if isinstance(wire, AnthropicBackend) else "m"
    return wire.body(Request(model, ASKED, sampling))


def test_every_name_has_a_value_that_fits_and_values_that_do_not() -> None:
    assert VALUES.keys() == VOCABULARY.keys()
    assert all(option.fits(VALUES[name]) for name, option in VOCABULARY.items())
    for name, least, most in (("temperature", -0.1, 100.1), ("logprobs", 0, 21), ("repetition_penalty", 0, 101)):
        assert not VOCABULARY[name].fits(least)
        assert not VOCABULARY[name].fits(most)
    assert not VOCABULARY["top_p"].fits(0)
    assert VOCABULARY["top_p"].fits(1)
    assert not VOCABULARY["seed"].fits(0.5)
    assert not VOCABULARY["max_tokens"].fits(True)
    assert not VOCABULARY["temperature"].fits(float("nan"))


def test_generation_draws_by_names_of_the_vocabulary() -> None:
    assert {field.name for field in fields(Sampling)} - {"n"} <= VOCABULARY.keys()


def test_a_server_is_sent_every_name_that_it_takes() -> None:
    dialect = Dialect("http://127.0.0.1:9/v1")
    plain = body(dialect)
    for name in taken_by(OPENAI):
        assert body(dialect, **{name: VALUES[name]}) != plain, name
    assert WIRE.keys() | EXTENSIONS.keys() <= taken_by(OPENAI)
    for name in VOCABULARY.keys() - taken_by(OPENAI):
        with pytest.raises(InputError, match=f"unknown sampling option '{name}': openai/ takes chat_template, effort"):
            body(dialect, **{name: VALUES[name]})


def test_claude_is_sent_every_name_that_it_takes_but_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", "none")
    backend = AnthropicBackend(base_url="http://127.0.0.1:9")
    plain = body(backend)
    for name in taken_by(ANTHROPIC) - {"seed"}:
        assert body(backend, **{name: VALUES[name]}) != plain, name
    assert body(backend, seed=3) == plain
    assert body(backend, logprobs=0) == plain
    for name in VOCABULARY.keys() - taken_by(ANTHROPIC) - {"logprobs"}:
        with pytest.raises(InputError, match=f"unknown sampling option '{name}': anthropic/ takes effort, extra"):
            body(backend, **{name: VALUES[name]})


def test_what_the_others_take() -> None:
    open_models = {"repetition_penalty", "chat_template", "template_args"}
    servers = {"effort", "thinking", "extra"}
    assert taken_by(LOCAL) == VOCABULARY.keys() - servers
    assert taken_by(LITELLM) == VOCABULARY.keys() - open_models - {"choices"}
    with pytest.raises(InputError, match="takes no effort"):
        check_sampling("vllm", {"effort": "low"})
    with pytest.raises(InputError, match="unknown sampling option 'extra': vllm/ takes chat_template, choices"):
        check_sampling("vllm", {"extra": {}})


def judged(folder: Path, **sampling: Any) -> Path:
    bundled = load_judge("pairwise-reasoned").path
    file = yaml.safe_load(bundled.read_text("utf-8")) | {"sampling": sampling}
    (folder / "judge.yaml").write_text(yaml.safe_dump(file), "utf-8")
    (folder / "template.jinja").write_text((bundled.parent / "template.jinja").read_text("utf-8"), "utf-8")
    return folder


@pytest.mark.parametrize("name", [name for name, option in VOCABULARY.items() if option.judged])
def test_a_judge_may_name_whatever_makes_sense_in_one(tmp_path: Path, name: str) -> None:
    judge = load_judge(judged(tmp_path, **{name: VALUES[name]}))
    assert judge.sampling == {name: VALUES[name]}
    assert judge.hash != load_judge("pairwise-reasoned").hash
    assert JUDGED.keys() == VOCABULARY.keys() - {"schema", "choices"}


@pytest.mark.parametrize(
    ("sampling", "told"),
    [
        ({"temperature": 2.5}, "sampling.temperature: must be a number from 0 to 2, not 2.5"),
        ({"top_p": 0}, "sampling.top_p: must be a number above 0 and at most 1, not 0"),
        (
            {"repetition_penalty": 0},
            r"must be a number from 0.01 to 100 \(1 is none\), not 0",
        ),
        ({"max_tokens": 0}, "sampling.max_tokens: must be a whole number from 1, not 0"),
        ({"logprobs": 21}, "sampling.logprobs: must be a whole number from 1 to 20, not 21"),
        ({"seed": 0.5}, "sampling.seed: must be a whole number, not 0.5"),
        ({"thinking": 1}, r"sampling.thinking: must be true, false or a whole number from 1024 \(tokens\), not 1"),
        ({"stop": "END"}, "sampling.stop: must be a list of texts, not 'END'"),
        ({"chat_template": " "}, "sampling.chat_template: must be a text, not ' '"),
        ({"choices": ["A"]}, "unknown key 'choices'"),
        ({"schema": SCHEMA}, "unknown key 'schema'"),
    ],
)
def test_what_a_judge_may_not_name_is_said(tmp_path: Path, sampling: dict[str, Any], told: str) -> None:
    with pytest.raises(InputError, match=told):
        load_judge(judged(tmp_path, **sampling))


def test_the_schema_of_a_judges_file_says_the_same() -> None:
    options = judge_schema()["properties"]["sampling"]["properties"]
    assert options.keys() == JUDGED.keys()
    assert json.loads(json.dumps(options, allow_nan=False)) == options
    assert options["temperature"] == {"type": "number", "minimum": 0, "maximum": 2}
    assert options["top_p"] == {"type": "number", "minimum": 1e-6, "maximum": 1}
    assert options["max_tokens"] == {"type": "integer", "minimum": 1}
    assert options["seed"] == {"type": "integer"}


def test_what_cannot_be_sent_is_refused_before_the_first_call(tmp_path: Path) -> None:
    judge = load_judge(judged(tmp_path, repetition_penalty=1.1))
    Dialect("http://127.0.0.1:9/v1").check("m", judge.sampling)
    with pytest.raises(InputError, match="OpenAI's own models take no repetition_penalty"):
        Dialect(None).check("gpt-6-luna", judge.sampling)
