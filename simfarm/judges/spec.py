"""A judge as it is written down: a YAML file and, where a model judges, the template beside it.

A judge is a value. What it asks and how it reads the answer are all in it, and `hash` names exactly that, so that
annotations made by two different judges are never taken for one.
"""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.data.reading import read_text
from simfarm.errors import InputError
from simfarm.judges import fields
from simfarm.judges.orders import ORDERS
from simfarm.judges.parsers import VerdictSpec
from simfarm.resources import prompts_dir

if TYPE_CHECKING:
    from simfarm.judges.template import Template

__all__ = ["PROTOCOLS", "RULES", "Judge", "list_judges", "load_judge"]

PROTOCOLS = ("pairwise",)
RULES = ("longest", "first", "random", "surface")
KEYS = ("description", "protocol", "order")
LIFE_KEYS = ("alternatives", "checked", "until")
MODEL_KEYS = ("template", "verdict", "model", *LIFE_KEYS, "sampling", "criteria", "delimiters")


@dataclass(frozen=True)
class Judge:
    """Either a rule (`rule` set, no model is called) or a template with a model and a way to read its replies.

    `template` is the source text; `path` is the YAML file. `name` is the name of the file or folder, under which
    verdicts are recorded. `alternatives` are models that would do as well, `checked` is the day when it was looked up
    that `model` is to be had, `until` the last day on which it is: remarks, no part of the hash.
    """

    name: str
    description: str
    path: Path
    protocol: str = "pairwise"
    order: str = "both"
    rule: str | None = None
    template: str | None = None
    verdict: VerdictSpec | None = None
    model: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    criteria: tuple[Any, ...] = ()
    delimiters: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    checked: date | None = None
    until: date | None = None

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits over everything that can change a verdict; not over the name or the description."""
        verdict = self.verdict
        content = {
            "protocol": self.protocol,
            "order": self.order,
            "rule": self.rule,
            "template": self.template,
            "verdict": verdict and [verdict.parser, verdict.labels, verdict.delimiters, verdict.winner, verdict.reason],
            "model": self.model,
            "sampling": self.sampling,
            "criteria": self.criteria,
            "delimiters": sorted(self.delimiters),
        }
        if self.rule == "surface":
            from simfarm.judges.surface import WEIGHTS

            content["weights"] = dict(WEIGHTS)
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def compiled(self) -> Template:
        """The template, ready to render. Raises InputError where it is not a valid one."""
        from simfarm.judges.template import compile_template

        if self.template is None:
            raise ValueError(f"judge {self.name} follows a rule: it has no template")
        return compile_template(self.template, self.delimiters, f"the template of {self.path}")

    def replace(
        self, *, order: str | None = None, model: str | None = None, sampling: Mapping[str, Any] | None = None
    ) -> Judge:
        """The same judge with another order, model or sampling (the whole mapping); None keeps what it has.

        A model need not be provider/name here: a replayed judge goes by the name that was recorded.
        """
        where = f"judge {self.name}"
        if self.rule is not None and (model is not None or sampling is not None):
            raise InputError(f"{where} follows a rule and calls no model; choose a judge with a template to name one")
        changed = dataclasses.replace(
            self,
            order=self.order if order is None else fields.choice(f"{where}: order", order, ORDERS),
            model=self.model if model is None else fields.text(f"{where}: model", model),
            sampling=self.sampling if sampling is None else fields.sampling(f"{where}: sampling", sampling),
        )
        if changed.model != self.model:
            changed = dataclasses.replace(changed, checked=None, until=None)
        _check_logprobs(where, changed.verdict, changed.sampling)
        return changed


def load_judge(name_or_path: str | Path) -> Judge:
    """A judge by its bundled name, its YAML file or its folder. A bundled name wins; `./name` is a path."""
    bundled = _bundled()
    if str(name_or_path) in bundled:
        return _read(bundled[str(name_or_path)])
    path = Path(name_or_path).expanduser()
    if path.is_dir():
        path = path / "judge.yaml"
    if path.is_file():
        return _read(path)
    near = difflib.get_close_matches(str(name_or_path), bundled, n=1)
    hint = f"did you mean {near[0]}?" if near else f"bundled judges: {', '.join(bundled)}"
    raise InputError(
        f"no judge {str(name_or_path)!r}: neither a bundled name nor a file or folder with judge.yaml; {hint}"
    )


def list_judges() -> list[Judge]:
    """The bundled judges, by name."""
    return [_read(path) for path in _bundled().values()]


def _bundled() -> dict[str, Path]:
    found = {path.parent.name: path for path in prompts_dir().glob("*/judge.yaml")}
    found |= {path.stem: path for path in prompts_dir().glob("*.yaml")}
    return dict(sorted(found.items()))


def _read(path: Path) -> Judge:
    data = fields.read_yaml(path)
    name = path.resolve().parent.name if path.stem == "judge" else path.stem
    fields.known_keys(str(path), data, (*KEYS, "rule", *MODEL_KEYS))
    judge = Judge(
        name=name,
        description=fields.text(f"{path}: description", _required(path, data, "description")),
        path=path,
        protocol=fields.choice(f"{path}: protocol", _required(path, data, "protocol"), PROTOCOLS),
        order=fields.choice(f"{path}: order", data.get("order", "both"), ORDERS),
    )
    if "rule" in data:
        if extra := [key for key in MODEL_KEYS if key in data]:
            raise InputError(f"{path}: a judge with a rule calls no model; remove {extra[0]!r} or the rule")
        return dataclasses.replace(judge, rule=fields.choice(f"{path}: rule", data["rule"], RULES))
    judge = dataclasses.replace(
        judge,
        template=_template(path, _required(path, data, "template")),
        verdict=fields.verdict(f"{path}: verdict", _required(path, data, "verdict")),
        model=fields.model(f"{path}: model", _required(path, data, "model")),
        alternatives=fields.models(f"{path}: alternatives", data.get("alternatives", [])),
        checked=fields.day(f"{path}: checked", data.get("checked")),
        until=fields.day(f"{path}: until", data.get("until")),
        sampling=fields.sampling(f"{path}: sampling", data.get("sampling", {})),
        criteria=fields.criteria(f"{path}: criteria", data.get("criteria", [])),
        delimiters=fields.delimiters(f"{path}: delimiters", data.get("delimiters", [])),
    )
    _check_logprobs(f"{path}", judge.verdict, judge.sampling)
    if bool(judge.criteria) != ("criteria" in judge.compiled.variables):
        raise InputError(
            f"{path}: criteria are either listed and used as {{{{ criteria }}}} in the template, or neither"
        )
    return judge


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


def _check_logprobs(where: str, verdict: VerdictSpec | None, sampling: Mapping[str, Any]) -> None:
    if verdict is not None and verdict.parser == "token_logprobs" and sampling.get("logprobs", 0) < 2:
        raise InputError(
            f"{where}: sampling: the parser token_logprobs needs the label tokens; set logprobs: 5 (at least 2)"
        )
