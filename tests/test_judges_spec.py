"""Judge files: what is in them is in the hash, and whatever is wrong is one line that names file, key and remedy."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from simfarm.errors import InputError
from simfarm.judges import Judge, list_judges, load_judge
from simfarm.resources import leaderboards_dir, prompts_dir

ROOT = Path(__file__).parents[1]
TEMPLATE = "{% block user %}{{ instruction }} {{ first }} {{ second }}{% endblock %}"
GOOD: dict[str, Any] = {
    "description": "A judge for tests",
    "protocol": "pairwise",
    "template": "template.jinja",
    "verdict": {"parser": "label", "labels": {"A": "first", "B": "second"}, "delimiters": ["[[", "]]"]},
    "order": "both",
    "model": "openai/test",
    "sampling": {"temperature": 0, "max_tokens": 99},
    "delimiters": ["<a>", "</a>"],
}


def write(folder: Path, changes: dict[str, Any], template: str = TEMPLATE) -> Path:
    folder.mkdir(exist_ok=True)
    spec = {key: value for key, value in (GOOD | changes).items() if value != "REMOVED"}
    (folder / "judge.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
    (folder / "template.jinja").write_text(template, encoding="utf-8")
    return folder


BAD_KEYS: list[tuple[dict[str, Any], str]] = [
    ({"templte": "x"}, r"unknown key 'templte'; did you mean 'template'\?"),
    ({"zzz": 1}, "unknown key 'zzz'; it can be description"),
    ({"description": "REMOVED"}, "the key 'description' is missing"),
    ({"description": 3}, "description: must be a text"),
    ({"protocol": "REMOVED"}, "the key 'protocol' is missing"),
    ({"protocol": "debate"}, "protocol: 'debate' is not known; it can be pairwise, rating"),
    ({"protocol": "pairwize"}, r"did you mean 'pairwise'\?"),
    ({"order": "alpaca_eval"}, r"order: 'alpaca_eval' is not known; did you mean 'alpaca-eval'\?"),
    ({"order": ["both"]}, "order: "),
    ({"template": "REMOVED"}, "'template' is missing; add it .or a rule"),
    ({"template": "gone.jinja"}, "template: .*gone.jinja: no such file"),
    ({"model": "REMOVED"}, "the key 'model' is missing"),
    ({"model": "gpt-4"}, "model: must be provider/name, e.g. openai/"),
    ({"model": ".gguf"}, "or embedded, or a GGUF file"),
    ({"sampling": [1]}, "sampling: must be a mapping"),
    ({"sampling": {"temprature": 0}}, r"sampling: unknown key 'temprature'; did you mean 'temperature'\?"),
    ({"sampling": {"temperature": "hot"}}, "sampling.temperature: must be a number from 0 to 2, not 'hot'"),
    ({"sampling": {"temperature": True}}, "sampling.temperature"),
    ({"sampling": {"max_tokens": 0}}, "sampling.max_tokens"),
    ({"sampling": {"max_tokens": 1.5}}, "sampling.max_tokens"),
    ({"sampling": {"logprobs": 21}}, "sampling.logprobs"),
    ({"sampling": {"seed": "a"}}, "sampling.seed"),
    ({"sampling": {"effort": 3}}, "sampling.effort"),
    ({"sampling": {"effort": False}}, "not False .YAML reads a bare on, off, yes and no so: quote it"),
    ({"sampling": {"stop": "x"}}, "sampling.stop"),
    ({"criteria": "be nice"}, "criteria: must be a list"),
    ({"criteria": ["be nice"]}, "criteria are either listed and used"),
    ({"criteria": [3]}, "criteria: must be a list of texts or of mappings"),
    ({"criteria": [" "]}, "criteria, number 1: must be a text"),
    ({"criteria": ["be nice", {"name": "true"}]}, "criteria, number 2: has no text; say in text what is looked at"),
    ({"criteria": [{"text": "x", "wieght": 2}]}, r"unknown key 'wieght'; did you mean 'weight'\?"),
    ({"criteria": [{"name": "c", "text": "x", "question": "y"}]}, "has a text and a question; keep one"),
    ({"criteria": [{"text": "x", "weight": -1}]}, "weight: must be a number of at least 0, not -1"),
    ({"criteria": [{"text": "x", "weight": 0}, {"text": "y", "weight": 0.0}]}, "the weights sum to 0"),
    ({"criteria": [{"text": "x", "anchors": {1: "a", 5: "b"}}]}, "name it in letters"),
    ({"criteria": [{"question": "x"}]}, "name it in letters"),
    ({"criteria": [{"name": "winner", "text": "x"}]}, "'winner' is a field of the reply"),
    ({"criteria": [{"name": "c_1", "text": "x"}]}, "ends as those of one answer do"),
    ({"criteria": [{"name": "c", "text": "x", "anchors": {1: "a"}}]}, "two or more whole numbers stand for"),
    ({"criteria": [{"name": "c", "text": "x", "anchors": {"low": "a", "high": "b"}}]}, "two or more whole numbers"),
    ({"criteria": [{"name": "c", "text": "x", "anchors": {1: "a", 2: ""}}]}, "anchors.2: must be a text"),
    ({"criteria": [{"name": "c", "text": "x", "levels": ["a"]}]}, "levels: must be 2 to 100 different texts"),
    (
        {"criteria": [{"name": "c", "text": "x", "levels": ["a", "b"], "check": {"json": True}}]},
        "levels and check",
    ),
    ({"criteria": [{"name": "c", "text": "x"}, {"name": "c", "text": "y"}]}, "two criteria are named 'c'"),
    ({"criteria": [{"errors": {}}]}, "must say what each type is"),
    ({"criteria": [{"name": "slips", "errors": {"a": "x"}}]}, "errors are named by their types"),
    ({"criteria": [{"name": "errors_a", "text": "x"}]}, "is a field of the reply"),
    ({"criteria": [{"errors": {"a b": "x"}}]}, "name it in letters"),
    ({"criteria": [{"errors": {"a": "x"}, "weight": 2}]}, "errors are counted by type and weigh nothing"),
    ({"criteria": [{"checklist": "items"}]}, "a checklist is either listed"),
    ({"criteria": [{"checklist": ""}]}, "checklist: must be a text"),
    ({"criteria": [{"name": "c", "check": "json"}]}, "check: must be one of {pattern: REGEX}"),
    ({"criteria": [{"name": "c", "check": {"jsn": True}}]}, "'jsn' is no check"),
    ({"criteria": [{"name": "c", "check": {"json": False}}]}, "json: must be true"),
    ({"criteria": [{"name": "c", "check": {"length": [9, 1]}}]}, "length: the fewest comes first"),
    ({"criteria": [{"name": "c", "check": {"length": [None, None]}}]}, "the fewest and the most characters"),
    ({"criteria": [{"name": "c", "check": {"pattern": ""}}]}, "must be a regular expression"),
    ({"criteria": [{"name": "c", "check": {"pattern": "("}}]}, "is no regular expression"),
    ({"criteria": [{"name": "c", "check": {"python": "mine"}}]}, "must be module:function"),
    ({"criteria": [{"check": {"json": True}}]}, "name it in letters"),
    ({"context": ""}, "context: must be a text"),
    ({"context": {"colum": "who"}}, r"unknown key 'colum'; did you mean 'column'\?"),
    ({"context": "A nurse asks."}, "a context is either given"),
    ({"reference": "reference"}, "reference: comes from the input; write {column: reference}"),
    ({"reference": {"column": "gold"}}, "reference: is not used"),
    ({"verdict": {"parser": "criteria", "labels": {"A": "first", "B": "second", "C": "tie"}}}, "'tie' is not known"),
    (
        {"verdict": {"parser": "criteria", "labels": {"A": "first", "B": "second"}}},
        "nothing is marked",
    ),
    ({"delimiters": "<a>"}, "delimiters: must be a list"),
    ({"delimiters": ["#"]}, "delimiters: '#' cannot be neutralised"),
    ({"rule": "longest"}, "a judge with a rule calls no model; remove 'template'"),
    ({"weights": {"length": 1}}, "weights are a person's taste, for a judge with rule: surface"),
    ({"verdict": "label"}, "verdict: must be a mapping"),
    ({"verdict": {"labels": {}}}, "verdict: name a parser"),
    ({"verdict": {"parser": "labels"}}, r"verdict.parser: 'labels' is not known; did you mean 'label'\?"),
    ({"verdict": GOOD["verdict"] | {"label": 5}}, r"verdict: unknown key 'label'; did you mean 'labels'\?"),
    ({"verdict": GOOD["verdict"] | {"winner": "w"}}, "verdict: unknown key 'winner'"),
    ({"verdict": GOOD["verdict"] | {"labels": None}}, "verdict.labels: must map each label"),
    ({"verdict": GOOD["verdict"] | {"labels": {"A": "first"}}}, "no label means 'second'"),
    ({"verdict": GOOD["verdict"] | {"labels": {"A": "first", "B": "first"}}}, "two labels mean 'first'"),
    ({"verdict": GOOD["verdict"] | {"labels": {"A": "first", "B": "secnd"}}}, r"did you mean 'second'\?"),
    ({"verdict": GOOD["verdict"] | {"labels": {True: "first", "B": "second"}}}, "put it in quotes"),
    ({"verdict": GOOD["verdict"] | {"labels": {" A": "first", "B": "second"}}}, "has blanks around it"),
    ({"verdict": GOOD["verdict"] | {"labels": {"": "first", "B": "second"}}}, "a label is empty"),
    ({"verdict": GOOD["verdict"] | {"labels": {1: "first", "1": "second"}}}, "'1' is given twice"),
    (
        {"verdict": GOOD["verdict"] | {"labels": {"A": "first", "B": "second", "AA": "much-first"}}},
        "much-first and much-second come together",
    ),
    ({"verdict": GOOD["verdict"] | {"delimiters": ["[["]}}, "verdict.delimiters: must be the two texts"),
    ({"verdict": GOOD["verdict"] | {"delimiters": ["[[", ""]}}, "verdict.delimiters: must be the two texts"),
    ({"verdict": {"parser": "json", "labels": {"A": "first", "B": "second"}, "winner": "reason"}}, "two names"),
    ({"verdict": {"parser": "token_logprobs", "labels": {"A": "first", "B": "second"}}}, "set logprobs: 5"),
    (
        {"verdict": {"parser": "token_logprobs", "labels": {"A": "first", "B": "second", "C": "tie"}}},
        "verdict.labels.C: 'tie' is not known; it can be first, second",
    ),
]


def test_bundled_judges() -> None:
    names = [judge.name for judge in list_judges()]
    asking = [f"pairwise-{manner}" for manner in ("decision", "json", "letter", "logprob", "reasoned")]
    rating = ["ranking-letter", "rating-5", "rating-decision", "rating-derived", "rating-logprob"]
    scoring = ["follow-ups", "likelihood-answer", "likelihood-instruction"]
    people, marking = ["joint-letter", "people-choice", "people-several"], ["checklist-json", "rubric-json"]
    staged = ["contexts", "critique-verdict", "debate", "hindsight"]
    others = [*asking, *people, *rating, *scoring, *marking, *staged]
    assert names == sorted(["first", "longest", "random", "surface", *others])
    for name in names:
        judge = load_judge(name)
        assert judge.name == name
        assert (judge.rule is None) == (judge.model is not None)
        shown = judge.scoring.shows if judge.scoring else judge.model is not None
        assert shown == (judge.template is not None)
    assert len({judge.hash for judge in list_judges()}) == len(names)


def test_a_judge_is_a_name_a_file_or_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(tmp_path / "mine", {})
    monkeypatch.chdir(tmp_path)
    for way in (folder, str(folder), folder / "judge.yaml", "mine", "./mine/judge.yaml"):
        judge = load_judge(way)
        assert (judge.name, judge.model, judge.template) == ("mine", "openai/test", TEMPLATE)
    (tmp_path / "other.yaml").write_text((folder / "judge.yaml").read_text())
    shutil.copy(folder / "template.jinja", tmp_path)
    assert load_judge("other.yaml").name == "other"
    assert load_judge("other.yaml").hash == load_judge("mine").hash
    write(tmp_path / "longest", {})
    assert load_judge("longest").rule == "longest"
    assert load_judge("./longest").rule is None


@pytest.mark.parametrize(("changes", "told"), BAD_KEYS)
def test_every_bad_key_is_one_line_with_its_remedy(tmp_path: Path, changes: dict[str, Any], told: str) -> None:
    folder = write(tmp_path / "mine", changes)
    with pytest.raises(InputError, match=told) as caught:
        load_judge(folder)
    assert str(folder / "judge.yaml") in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("raw", "told"),
    [
        (b"a: [", "is not valid YAML"),
        (b"- a\n- b\n", "holds no judge"),
        (b"", "holds no judge"),
        (b"\xff\xfe\xfa", "not UTF-8 text"),
        (b"order: both\norder: fixed\n", "the key 'order' is given twice"),
        (b"verdict: {labels: {A: first, A: second}}\n", "the key 'A' is given twice"),
        (b"? [a]\n: 1\n", "judge.yaml"),
        (b"x: !!python/object/apply:os.system ['true']\n", "is not valid YAML"),
    ],
)
def test_a_file_that_is_no_mapping_is_one_line(tmp_path: Path, raw: bytes, told: str) -> None:
    (tmp_path / "judge.yaml").write_bytes(raw)
    with pytest.raises(InputError, match=told) as caught:
        load_judge(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_bad_template_names_its_judge(tmp_path: Path) -> None:
    folder = write(tmp_path / "mine", {}, TEMPLATE + "\n\n{% endif %}")
    with pytest.raises(InputError, match=r"the template of .*judge\.yaml, line 3: "):
        load_judge(folder)


def test_an_unknown_name_offers_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"did you mean pairwise-json\?"):
        load_judge("pairwise_json")
    with pytest.raises(InputError, match="bundled judges: checklist-json, contexts, critique-verdict, crowd, debate, "):
        load_judge(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"order": "fixed"},
        {"model": "openai/other"},
        {"sampling": {"temperature": 1, "max_tokens": 99}},
        {"verdict": GOOD["verdict"] | {"labels": {"A": "second", "B": "first"}}},
        {"verdict": GOOD["verdict"] | {"delimiters": ["((", "))"]}},
        {"verdict": {"parser": "json", "labels": {"A": "first", "B": "second"}}},
        {"delimiters": ["<a>"]},
    ],
)
def test_the_hash_covers_what_can_change_a_verdict(tmp_path: Path, changes: dict[str, Any]) -> None:
    assert load_judge(write(tmp_path / "x", changes)).hash != load_judge(write(tmp_path / "y", {})).hash


def test_the_hash_covers_the_template_and_the_criteria(tmp_path: Path) -> None:
    rubric = TEMPLATE.replace("{{ first }}", "{{ criteria }} {{ first }}")
    hashes = {
        load_judge(write(tmp_path / "a", {})).hash,
        load_judge(write(tmp_path / "b", {}, TEMPLATE.replace(" ", "  ", 1))).hash,
        load_judge(write(tmp_path / "c", {"criteria": ["x"]}, rubric)).hash,
        load_judge(write(tmp_path / "d", {"criteria": ["y"]}, rubric)).hash,
    }
    assert len(hashes) == 4


def test_the_hash_of_the_embedded_judge_covers_its_weights(monkeypatch: pytest.MonkeyPatch) -> None:
    before = load_judge("surface").hash
    monkeypatch.setattr("simfarm.judges.surface.WEIGHTS", {"length": (1.0, 1.0)})
    assert load_judge("surface").hash != before


def test_the_hash_does_not_cover_names_or_the_order_of_keys(tmp_path: Path) -> None:
    one = load_judge(write(tmp_path / "x", {"description": "one", "delimiters": ["</a>", "<a>"]}))
    two = load_judge(write(tmp_path / "y", {"description": "two", "sampling": {"max_tokens": 99, "temperature": 0}}))
    assert one.hash == two.hash
    assert len(one.hash) == 16
    assert int(one.hash, 16) >= 0


def test_replace_checks_what_it_is_given() -> None:
    judge = load_judge("pairwise-logprob")
    other = judge.replace(order="hashed", model="anthropic/x", sampling={"logprobs": 3})
    assert (other.order, other.model, other.sampling, other.name) == (
        "hashed",
        "anthropic/x",
        {"logprobs": 3},
        judge.name,
    )
    assert other.hash != judge.hash
    assert judge.replace() == judge
    assert judge.replace(order="both").hash == judge.hash
    for bad in ({"order": "twice"}, {"model": ""}, {"sampling": {"logprobs": 3, "max_token": 1}}, {"sampling": {}}):
        with pytest.raises(InputError, match="judge pairwise-logprob"):
            judge.replace(**bad)
    with pytest.raises(InputError, match="follows a rule"):
        load_judge("longest").replace(model="openai/x")
    assert load_judge("longest").replace(order="both").order == "both"


def test_criteria_may_be_mappings_for_a_template_that_takes_them_apart(tmp_path: Path) -> None:
    template = TEMPLATE.replace(
        "{{ first }}", "{% for c in criteria %}{{ c.name }}={{ c.weight }};{% endfor %}{{ first }}"
    )
    judge = load_judge(
        write(tmp_path / "x", {"criteria": [{"name": "truth", "text": "It is true.", "weight": 2}]}, template)
    )
    from simfarm.data.records import Comparison
    from simfarm.judges.protocols.pairwise import messages

    assert "truth=2;" in messages(judge, Comparison("i", "a", "b"), "12")[0]["content"]


def test_importing_judges_is_light() -> None:
    code = "import sys, simfarm.judges; print({'jinja2', 'yaml', 'numpy', 'pandas'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"


def test_judges_are_found_in_a_clone_and_in_an_installation(tmp_path: Path) -> None:
    assert prompts_dir() == ROOT / "prompts"
    assert leaderboards_dir() == ROOT / "leaderboards"
    shutil.copytree(ROOT / "simfarm", tmp_path / "simfarm", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "prompts", tmp_path / "simfarm" / "_data" / "prompts")
    code = (
        "import simfarm.judges as j, simfarm.resources as r; print(r.prompts_dir(), [x.name for x in j.list_judges()])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True).stdout
    assert done.startswith(str(tmp_path / "simfarm" / "_data" / "prompts"))
    assert "pairwise-reasoned" in done
    shutil.rmtree(tmp_path / "simfarm" / "_data")
    broken = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "SimfarmError: the folder prompts/ is missing" in broken.stderr


def test_a_judge_is_a_value() -> None:
    judge: Judge = load_judge("pairwise-json")
    with pytest.raises(AttributeError):
        judge.order = "fixed"  # type: ignore[misc]
    assert judge == load_judge("pairwise-json")
