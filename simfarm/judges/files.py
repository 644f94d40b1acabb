"""Judges as files: the bundled ones by name, and a user's own YAML file with the template beside it.

Everything that is wrong in a file is refused here, with the remedy, before anything is asked.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from simfarm.data.reading import read_text
from simfarm.errors import InputError
from simfarm.judges import fields
from simfarm.judges.criteria import check_listed
from simfarm.judges.decisions import check_criteria, check_drawn
from simfarm.judges.given import check_given, given_of
from simfarm.judges.likelihoods import LIKELIHOOD_KEYS, check_keys, scoring_of
from simfarm.judges.listing import ranking_verdict
from simfarm.judges.orders import ORDERS, RANKED
from simfarm.judges.panel import Panel, is_panel, panel_of
from simfarm.judges.parsers import VerdictSpec
from simfarm.judges.population import Population, is_population, population_of
from simfarm.judges.protocols import PROTOCOLS
from simfarm.judges.scales import rating_verdict, scale
from simfarm.judges.spec import RULES, Judge, check_sampling
from simfarm.judges.stages import check_stages, stages_of
from simfarm.resources import prompts_dir

__all__ = [
    "KEYS",
    "MODEL_KEYS",
    "RULE_KEYS",
    "list_judges",
    "list_populations",
    "load_judge",
    "load_one",
    "load_panel",
]

KEYS = ("description", "protocol", "order", "scale")
RULE_KEYS = ("rule", "weights")
LIFE_KEYS = ("alternatives", "checked", "until")
MODEL_KEYS = (
    *("template", "verdict", "model", *LIFE_KEYS, "sampling", "criteria", "context", "reference", "delimiters"),
    "stages",
)


def load_judge(name_or_path: str | Path) -> Judge | Population | Panel:
    """A judge, a population or a panel, by its bundled name, its YAML file or its folder. A bundled name wins;
    `./name` is a path."""
    return _read(_found(name_or_path))


def load_one(name_or_path: str | Path) -> Judge:
    """The same where neither a population nor a panel will do. Raises `InputError` for one."""
    path = _found(name_or_path)
    data = fields.read_yaml(path)
    if is_panel(data):
        raise InputError(f"{str(name_or_path)!r} is a panel, for simfarm annotate and evaluate; name one judge")
    if is_population(data):
        raise InputError(
            f"{str(name_or_path)!r} is a population, simulated people for simfarm annotate and evaluate; name a judge"
        )
    return _judge(path, data)


def load_panel(name_or_path: str | Path) -> Panel:
    """A panel by its file. Raises `InputError` for what is none."""
    found = load_judge(name_or_path)
    if not isinstance(found, Panel):
        raise InputError(f"{str(name_or_path)!r} is no panel: its file has no key 'panel'; name one that has")
    return found


def _found(name_or_path: str | Path) -> Path:
    bundled = _bundled()
    if str(name_or_path) in bundled:
        return bundled[str(name_or_path)]
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        path = path / "judge.yaml"
    if path.is_file():
        return path
    near = difflib.get_close_matches(str(name_or_path), bundled, n=1)
    hint = f"did you mean {near[0]}?" if near else f"bundled judges: {', '.join(bundled)}"
    raise InputError(
        f"no judge {str(name_or_path)!r}: neither a bundled name nor a file or folder with judge.yaml; {hint}"
    )


def list_judges() -> list[Judge]:
    """The bundled judges, by name."""
    return [judge for path in _bundled().values() if isinstance(judge := _read(path), Judge)]


def list_populations() -> list[Population]:
    """The bundled populations, by name."""
    return [people for path in _bundled().values() if isinstance(people := _read(path), Population)]


def _bundled() -> dict[str, Path]:
    paths = {path.parent.name: path for path in prompts_dir().glob("*/judge.yaml")}
    paths |= {path.stem: path for path in prompts_dir().glob("*.yaml")}
    return dict(sorted(paths.items()))


def _read(path: Path) -> Judge | Population | Panel:
    data = fields.read_yaml(path)
    if is_panel(data):
        return panel_of(path, _name(path), data, load_one)
    if not is_population(data):
        return _judge(path, data)
    return population_of(path, _name(path), data, load_one, lambda own: _judge(path, own))


def _name(path: Path) -> str:
    return path.resolve().parent.name if path.stem == "judge" else path.stem


def _judge(path: Path, data: Mapping[Any, Any]) -> Judge:
    fields.known_keys(str(path), data, (*KEYS, *RULE_KEYS, *MODEL_KEYS, *LIKELIHOOD_KEYS))
    judge = Judge(
        name=_name(path),
        description=fields.text(f"{path}: description", _required(path, data, "description")),
        path=path,
        protocol=fields.choice(f"{path}: protocol", _required(path, data, "protocol"), PROTOCOLS),
    )
    judge = dataclasses.replace(
        judge,
        order=fields.choice(f"{path}: order", data.get("order", "both"), RANKED if judge.ranks else ORDERS),
    )
    if judge.protocol == "likelihood":
        return _scored(path, data, judge)
    if own := [key for key in LIKELIHOOD_KEYS if key in data]:
        raise InputError(f"{path}: {own[0]} is for protocol: likelihood; name that or remove it")
    if judge.alone:
        if given := [key for key in ("order", "rule") if key in data]:
            raise InputError(f"{path}: a judge that rates is shown one output and asks a model; remove {given[0]!r}")
        judge = dataclasses.replace(judge, order="fixed")
    elif "scale" in data:
        raise InputError(f"{path}: a scale is for protocol: rating; name that or remove it")
    if judge.ranks and "rule" in data:
        raise InputError(f"{path}: a judge that ranks asks a model; remove 'rule', or name protocol: pairwise")
    if "rule" in data:
        if extra := [key for key in MODEL_KEYS if key in data]:
            raise InputError(f"{path}: a judge with a rule calls no model; remove {extra[0]!r} or the rule")
        rule = fields.choice(f"{path}: rule", data["rule"], RULES)
        return dataclasses.replace(judge, rule=rule, weights=_taste(path, data, rule))
    if "weights" in data:
        raise InputError(
            f"{path}: weights are a person's taste, for a judge with rule: surface; add that or remove them"
        )
    context, columns = given_of(f"{path}", data)
    judge = dataclasses.replace(
        _with_model(path, data, judge),
        template=_template(path, _required(path, data, "template")),
        verdict=_verdict(path, data, judge.protocol),
        criteria=fields.criteria(f"{path}: criteria", data.get("criteria", [])),
        context=context,
        columns=columns,
    )
    check_sampling(f"{path}", judge.verdict, judge.sampling)
    if "stages" in data:
        judge = dataclasses.replace(judge, stages=stages_of(path, data["stages"], _template, judge.protocol))
        judge = check_stages(judge)
    if judge.verdict is not None and judge.verdict.parser == "decision":
        asked = [c for c in judge.criteria if not (isinstance(c, Mapping) and "check" in c)]
        check_criteria(f"{path}: criteria", asked, judge.alone)
    check_listed(f"{path}: criteria", judge)
    check_given(f"{path}", judge)
    return judge


def _with_model(path: Path, data: Mapping[str, Any], judge: Judge) -> Judge:
    """The judge with the model that it asks, and how."""
    return dataclasses.replace(
        judge,
        model=fields.model(f"{path}: model", _required(path, data, "model")),
        alternatives=fields.models(f"{path}: alternatives", data.get("alternatives", [])),
        checked=fields.day(f"{path}: checked", data.get("checked")),
        until=fields.day(f"{path}: until", data.get("until")),
        sampling=fields.sampling(f"{path}: sampling", data.get("sampling", {})),
        delimiters=fields.delimiters(f"{path}: delimiters", data.get("delimiters", [])),
    )


def _scored(path: Path, data: Mapping[str, Any], judge: Judge) -> Judge:
    """A judge of likelihoods, which generates nothing."""
    scoring = scoring_of(path, data)
    shared = ("description", "protocol", "template", "model", *LIFE_KEYS, "sampling", "delimiters")
    check_keys(path, data, scoring, shared)
    judge = dataclasses.replace(_with_model(path, data, judge), order="fixed", scoring=scoring)
    check_drawn(f"{path}: sampling", judge.sampling)
    if scoring.shows:
        judge = dataclasses.replace(judge, template=_template(path, data["template"]))
        if told := judge.compiled.told - {"reference"}:
            raise InputError(f"{path}: a judge of likelihoods has no {min(told)}; take it out of the template")
    return judge


def _taste(path: Path, data: Mapping[str, Any], rule: str) -> dict[str, float] | None:
    """What a logistic person goes by, None for a judge that is none."""
    if "weights" not in data:
        return None
    if rule != "surface":
        raise InputError(f"{path}: weights are a person's taste; rule {rule!r} has none: use surface, or remove them")
    return fields.taste(f"{path}: weights", data["weights"])


def _verdict(path: Path, data: Mapping[str, Any], protocol: str) -> VerdictSpec:
    """How the judge's replies are read."""
    if protocol == "ranking":
        return ranking_verdict(f"{path}: verdict", _required(path, data, "verdict"))
    if protocol != "rating":
        return fields.verdict(f"{path}: verdict", _required(path, data, "verdict"))
    numbers = scale(f"{path}: scale", _required(path, data, "scale"))
    return rating_verdict(f"{path}: verdict", _required(path, data, "verdict"), numbers)


def _required(path: Path, data: Mapping[str, Any], key: str) -> Any:
    if data.get(key) is None:
        remedy = " (or a rule, for a judge without a model)" if key in MODEL_KEYS else ""
        raise InputError(f"{path}: the key {key!r} is missing; add it{remedy}")
    return data[key]


def _template(path: Path, value: Any) -> str:
    file = path.parent / fields.text(f"{path}: template", value)
    try:
        return read_text(file)
    except InputError as error:
        raise InputError(f"{path}: template: {error}; name a file beside the judge") from error
