"""Simulated people as data: who they are, how their labels scatter, and what is wrong with a file that says so.

A population is no better judge: it is a crowd whose labels vary as people's do. Its members are judges, each perhaps
with another model, temperature and persona, of whom one is drawn for each comparison; `noise` flips labels, in
AlpacaFarm's manner; `population` holds the numbers of a calibrated crowd, in which the judge's runs say how far it is
sure and the people differ around it. All of it is data, so that a fit can be written down, read and changed.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

from simfarm.errors import InputError
from simfarm.judges import fields
from simfarm.judges.examples import examples
from simfarm.judges.orders import ORDERS
from simfarm.judges.protocols.rating import refuse_pairs
from simfarm.judges.spec import Judge

__all__ = ["POPULATION_KEYS", "Crowd", "Member", "Persons", "Population", "is_population", "population_of"]

POPULATION_KEYS = ("members", "noise", "population")
"""Keys that make a population of a judge's file."""

MEMBER_KEYS = (
    "judge",
    "name",
    "model",
    "temperature",
    "order",
    "persona",
    "examples",
    "person",
    "weight",
    "comparisons",
)
CROWD_KEYS = ("runs", "link", "scale", "judge", "length", "bias", "item_sd", "tie", "persons")
PERSON_KEYS = ("n", "length_sd", "position_sd")
LINKS = ("unanimity",)
RUNS = 8


@dataclass(frozen=True)
class Member:
    """One kind of simulated person: a judge as this member asks it (with its model, temperature, order, persona and
    examples), under a `name` that is its own in the population. Drawn in proportion to `weight`; asked about up to
    `comparisons` at once. `key` is what draws go by: a name that the file gives, else the judge's content."""

    name: str
    judge: Judge
    weight: float = 1.0
    comparisons: int = 1
    key: str = ""


@dataclass(frozen=True)
class Persons:
    """The people of a calibrated crowd: how many there are, and how much they differ (standard deviations, on the logit
    scale) in their taste for length and for what stands second. None is left open, for `simfarm calibrate` to fit."""

    n: int
    length_sd: float | None = 0.0
    position_sd: float | None = 0.0


@dataclass(frozen=True)
class Crowd:
    """A calibrated crowd: P(person k prefers output_2 of item i) =
    σ(β_J·U_i + (β_L + γ_k)·tanh(Δchars/c) + β_0 + π_k + τ·u_i), U_i = ±1 where all of the judge's `runs` agree, else 0.

    `judge` is β_J, `length` β_L, `length_scale` c in characters, `bias` β_0, `item_sd` τ; `tie` is for labels that have
    ties; without `persons` all people are alike. What is None is left open, for `simfarm calibrate` to fit.
    """

    runs: int = RUNS
    link: str = "unanimity"
    length_scale: float | None = None
    judge: float | None = None
    length: float | None = None
    bias: float | None = 0.0
    item_sd: float | None = None
    tie: float | None = None
    persons: Persons | None = None

    @property
    def open(self) -> tuple[str, ...]:
        """What has no number yet, as the file names it; a crowd without ties has no `tie`."""
        named = {"scale": self.length_scale, "judge": self.judge, "length": self.length, "bias": self.bias}
        named |= {"item_sd": self.item_sd}
        if self.persons is not None:
            named |= {f"persons.{name}": getattr(self.persons, name) for name in ("length_sd", "position_sd")}
        return tuple(name for name, value in named.items() if value is None)

    def to_yaml(self) -> dict[str, Any]:
        """What stands under `population` in a file."""
        values: dict[str, Any] = {"runs": self.runs, "link": self.link}
        if self.length_scale is not None:
            values["scale"] = {"length": self.length_scale}
        values |= {name: getattr(self, name) for name in ("judge", "length", "bias", "item_sd")}
        if self.tie is not None:
            values["tie"] = self.tie
        if self.persons is not None:
            values["persons"] = dataclasses.asdict(self.persons)
        return values


@dataclass(frozen=True)
class Population:
    """Simulated people: `members` of whom one is drawn for each label, `flip` as the share of labels that noise turns
    round, and the `crowd` where it is a calibrated one. `name` is the file's, under which labels are recorded."""

    name: str
    description: str
    path: Path
    members: tuple[Member, ...]
    flip: float = 0.0
    crowd: Crowd | None = None

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits over everything that can change a label."""
        asked = [[m.key, m.judge.hash, m.weight, m.comparisons] for m in self.members]
        content: dict[str, Any] = {"members": sorted(asked), "flip": self.flip}
        if self.crowd is not None:
            content |= {"crowd": dataclasses.asdict(self.crowd), "name": self.name}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def people(self) -> int | None:
        """How many people there are; None for as many as are asked for, all alike but for chance."""
        if self.crowd is None:
            return sum(member.weight > 0 for member in self.members)
        return None if self.crowd.persons is None else self.crowd.persons.n

    @property
    def weights(self) -> dict[str, float]:
        """Each member's weight by its key."""
        return {member.key: member.weight for member in self.members}

    def replace(self, change: Callable[[Judge], Judge]) -> Population:
        """The same population with every member's judge changed; the draws stay as they are."""
        changed = tuple(dataclasses.replace(member, judge=change(member.judge)) for member in self.members)
        return dataclasses.replace(self, members=changed)


def is_population(data: Mapping[Any, Any]) -> bool:
    """Whether what a judge's file holds describes people: it has members, noise or the numbers of a crowd."""
    return any(key in data for key in POPULATION_KEYS)


def population_of(
    path: Path,
    name: str,
    data: Mapping[Any, Any],
    load: Callable[[str], Judge],
    own: Callable[[Mapping[Any, Any]], Judge],
) -> Population:
    """The population that a file's `data` describe; `load` finds a judge by what a member calls it, `own` reads the
    judge that the file itself is where it has no members. Raises `InputError`."""
    crowd = None if data.get("population") is None else _crowd(f"{path}: population", data["population"])
    rest = {key: value for key, value in data.items() if key not in POPULATION_KEYS}
    if "members" in data:
        fields.known_keys(str(path), rest, ("description",))
        members = _members(path, data["members"], load)
    elif "judge" in data:
        member = {key: value for key, value in rest.items() if key != "description"}
        members = _members(path, [member], load)
    else:
        judge = own(rest)
        members = (Member(judge.name, judge, key=judge.hash),)
    flip = _noise(f"{path}: noise", data.get("noise", {}))
    if crowd is not None and flip:
        raise InputError(f"{path}: noise: the labels of a calibrated crowd are drawn already; leave noise out")
    if data.get("description") is None:
        raise InputError(f"{path}: the key 'description' is missing; add it")
    return Population(
        name, fields.text(f"{path}: description", data["description"]), path, members, flip=flip, crowd=crowd
    )


def _members(path: Path, value: Any, load: Callable[[str], Judge]) -> tuple[Member, ...]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{path}: members: must be a list of members, each with a judge, not {value!r}")
    members = [_member(f"{path}: members[{place}]", path, item, load) for place, item in enumerate(value, 1)]
    if not sum(member.weight for member in members) > 0:
        raise InputError(f"{path}: members: the weights sum to 0, so that nobody can be drawn; give one a weight")
    given = [item["name"] for item in value if "name" in item]
    if twice := [name for name in given if given.count(name) > 1]:
        raise InputError(f"{path}: members: two are called {twice[0]!r}; give each a name of its own")
    return _named(members, set(given))


def _named(members: list[Member], taken: set[str]) -> tuple[Member, ...]:
    """The members with names and keys of their own: one whose file gives no name is called as its judge, the second of
    these with a number."""
    names, made, keys = set(taken), [], dict[str, int]()
    for member in members:
        name, key = member.name, member.key
        if not key:
            key = member.judge.hash
            keys[key] = keys.get(key, 0) + 1
            key += f"-{keys[key]}" if keys[key] > 1 else ""
            number = 1
            while name in names:
                number += 1
                name = f"{member.name}-{number}"
            names.add(name)
        made.append(dataclasses.replace(member, name=name, key=key))
    return tuple(made)


def _member(where: str, path: Path, value: Any, load: Callable[[str], Judge]) -> Member:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping with a judge, such as {{judge: pairwise-letter}}, not {value!r}")
    fields.known_keys(where, value, MEMBER_KEYS)
    named = value.get("judge", "surface" if "person" in value else None)
    judge = _judge(where, path, fields.text(f"{where}: judge", named), load)
    if "order" in value:
        judge = judge.replace(order=fields.choice(f"{where}: order", value["order"], ORDERS))
    if "model" in value:
        judge = judge.replace(model=fields.model(f"{where}: model", value["model"]))
    if "temperature" in value:
        sampling = fields.sampling(where, {"temperature": value["temperature"]})
        judge = judge.replace(sampling={**judge.sampling, **sampling})
    if "persona" in value:
        judge = judge.as_person(persona=fields.text(f"{where}: persona", value["persona"]))
    if "examples" in value:
        judge = judge.as_person(examples=examples(f"{where}: examples", path.parent, value["examples"], judge))
    if "person" in value:
        judge = _logistic(f"{where}: person", value["person"], judge)
    comparisons = _whole(f"{where}: comparisons", value.get("comparisons", 1))
    if comparisons > 1 and not judge.several:
        raise InputError(
            f"{where}: comparisons: the judge {judge.name!r} shows one pair at a time; name one whose template shows "
            "{{ pairs }} (people-several), or leave comparisons out"
        )
    weight = _number(f"{where}: weight", value.get("weight", 1), least=0)
    name = fields.text(f"{where}: name", value["name"]) if "name" in value else ""
    return Member(name or judge.name, judge, weight, comparisons, key=name)


def _judge(where: str, path: Path, name: str, load: Callable[[str], Judge]) -> Judge:
    """A member's judge: a bundled name, or a file that stands as the population's own folder sees it."""
    beside = path.parent / name
    try:
        judge = load(str(beside) if beside.exists() else name)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if judge.alone:
        raise InputError(f"{where}: {refuse_pairs(judge)}")
    return judge


def _logistic(where: str, value: Any, judge: Judge) -> Judge:
    """The judge `surface` with one person's weights."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping such as {{weights: {{length: 0.8}}}}, not {value!r}")
    fields.known_keys(where, value, ("weights",))
    if judge.rule != "surface":
        raise InputError(f"{where}: is a taste for the judge surface, not for {judge.name!r}; leave judge out")
    return dataclasses.replace(judge, weights=fields.taste(f"{where}: weights", value.get("weights")))


def _noise(where: str, value: Any) -> float:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping such as {{flip: 0.25}}, not {value!r}")
    fields.known_keys(where, value, ("flip",))
    flip = _number(f"{where}.flip", value.get("flip", 0), least=0)
    if flip >= 0.5:
        raise InputError(f"{where}.flip: must be from 0 to below 0.5, not {flip:g}: at 0.5 a label says nothing")
    return flip


def _crowd(where: str, value: Any) -> Crowd:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping with runs, judge, length …, not {value!r}")
    fields.known_keys(where, value, CROWD_KEYS)
    scale = value.get("scale") or {}
    if not isinstance(scale, Mapping):
        raise InputError(f"{where}.scale: must be a mapping such as {{length: 245.6}}, not {scale!r}")
    fields.known_keys(f"{where}.scale", scale, ("length",))
    length_scale = _open(f"{where}.scale.length", scale.get("length"), least=0)
    if length_scale == 0:
        raise InputError(f"{where}.scale.length: must be above 0; it is the spread of the lengths, in characters")
    return Crowd(
        runs=_whole(f"{where}.runs", value.get("runs", RUNS)),
        link=fields.choice(f"{where}.link", value.get("link", "unanimity"), LINKS),
        length_scale=length_scale,
        judge=_open(f"{where}.judge", value.get("judge")),
        length=_open(f"{where}.length", value.get("length")),
        bias=_open(f"{where}.bias", value.get("bias", 0.0)),
        item_sd=_open(f"{where}.item_sd", value.get("item_sd"), least=0),
        tie=_open(f"{where}.tie", value.get("tie"), least=0),
        persons=None if value.get("persons") is None else _persons(f"{where}.persons", value["persons"]),
    )


def _persons(where: str, value: Any) -> Persons:
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping such as {{n: 16, length_sd: 0.5}}, not {value!r}")
    fields.known_keys(where, value, PERSON_KEYS)
    if value.get("n") is None:
        raise InputError(f"{where}: n is missing; say how many people there are")
    spreads = {name: _open(f"{where}.{name}", value.get(name, 0.0), least=0) for name in ("length_sd", "position_sd")}
    return Persons(_whole(f"{where}.n", value["n"]), **spreads)


def _open(where: str, value: Any, *, least: float = -math.inf) -> float | None:
    """A number, or None where it is left open."""
    return None if value is None else _number(where, value, least=least)


def _number(where: str, value: Any, *, least: float) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value) or value < least:
        at_least = "" if math.isinf(least) else f" of at least {least:g}"
        raise InputError(f"{where}: must be a number{at_least}, not {value!r}")
    return float(value)


def _whole(where: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise InputError(f"{where}: must be a whole number of at least 1, not {value!r}")
    return value
