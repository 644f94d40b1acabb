"""A panel of judges as data: who sits on it, by which rule they decide, and what is wrong with a file that says so.

Each member is a judge, asked and recorded as one; the panel adds a verdict of its own to theirs. It is no better for
being many: members that err together are one judge asked often, and a majority of weak ones outvotes a good one. So it
is always shown beside its members, its rule has no negative weights unless the file asks for them, and weights that
were fitted say what on.
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

from simfarm.data.juries import Fitted, JuryRule, Rule
from simfarm.errors import InputError
from simfarm.judges import fields
from simfarm.judges.debate import DEBATE, PANEL_RULES, PanelRule, check_debaters, read_rounds
from simfarm.judges.orders import ORDERS
from simfarm.judges.protocols.rating import refuse_pairs
from simfarm.judges.spec import Judge

__all__ = ["PANEL", "Panel", "Seat", "is_panel", "panel_of", "written"]

PANEL = "panel"
"""The key that makes a panel of a judge's file."""
KEYS = ("description", "protocol", PANEL)
PANEL_KEYS = ("members", "rule", "rounds", "signed", "fitted_on")
MEMBER_KEYS = ("judge", "name", "model", "order", "weight")
FITTED_KEYS = ("labels", "comparisons", "instructions", "keys")


@dataclass(frozen=True)
class Seat:
    """A member of a panel: a judge, under a `name` that is its own there and stands in files; `weight` counts under the
    rule `weighted`. `fixed` where the panel's file names its model. Without a `judge` there are recorded verdicts of
    that name alone, and nobody to ask."""

    name: str
    judge: Judge | None
    weight: float = 1.0
    fixed: bool = False


@dataclass(frozen=True)
class Panel:
    """Judges who decide together by `rule`. `name` is the file's, under which the panel's own verdicts are recorded;
    `fitted` is what its weights were fitted on, where they were: a remark, no part of the hash. Where they debate,
    members answer again in `rounds` at most."""

    name: str
    description: str
    path: Path
    members: tuple[Seat, ...]
    rule: PanelRule
    signed: bool = False
    fitted: Fitted | None = None
    rounds: int = 0

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits over everything that can change a verdict: the rule, the members, their weights."""
        who = [(seat.judge.hash if seat.judge else seat.name, seat.weight) for seat in self.members]
        seats = sorted([one, weight if self.rule == "weighted" else 1.0] for one, weight in who)
        debated = {"rounds": self.rounds} if self.rounds else {}
        content = json.dumps({"rule": self.rule, "members": seats} | debated, sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    @property
    def weights(self) -> dict[str, float] | None:
        """Of each member by name; None where the rule has none."""
        return {seat.name: seat.weight for seat in self.members} if self.rule == "weighted" else None

    @property
    def voting(self) -> Rule:
        """How the members' last verdicts are put together."""
        return "majority" if self.rule == DEBATE else self.rule

    @property
    def recorded(self) -> JuryRule:
        """The panel over verdicts that are recorded under its members' names. Raises `InputError` for one that
        debates."""
        if self.rule == DEBATE:
            raise InputError(
                f"{self.path}: recorded verdicts cannot debate; take --jury majority, or have the panel asked (simfarm "
                "annotate --judge FILE)"
            )
        names = tuple(seat.name for seat in self.members)
        return JuryRule(self.name, self.voting, names, self.weights, self.signed, self.fitted)

    @property
    def judges(self) -> dict[str, Judge]:
        """Of each member by name, to be asked. Raises `InputError` for one that has recorded verdicts alone."""
        if silent := [seat.name for seat in self.members if seat.judge is None]:
            raise InputError(
                f"{self.path}: the member {silent[0]!r} names no judge, so that nobody can be asked; add judge: to it, "
                "or take the panel over recorded verdicts (simfarm agreement --jury)"
            )
        return {seat.name: seat.judge for seat in self.members if seat.judge is not None}


def is_panel(data: Mapping[Any, Any]) -> bool:
    """Whether what a judge's file holds describes a panel."""
    return PANEL in data


def panel_of(path: Path, name: str, data: Mapping[Any, Any], load: Callable[[str], Judge]) -> Panel:
    """The panel that a file's `data` describe; `load` finds a judge by what a member calls it. Raises `InputError`."""
    fields.known_keys(str(path), data, KEYS)
    if data.get("description") is None:
        raise InputError(f"{path}: the key 'description' is missing; add it")
    if data.get("protocol", "pairwise") != "pairwise":
        raise InputError(f"{path}: protocol: a panel's own verdicts are pairwise; leave it out")
    where, value = f"{path}: {PANEL}", data[PANEL]
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping with members and a rule, not {value!r}")
    fields.known_keys(where, value, PANEL_KEYS)
    seats = _seats(where, path, value.get("members"), load)
    weighed = any(isinstance(item, Mapping) and "weight" in item for item in value["members"])
    rule = _rule(f"{where}.rule", value.get("rule", "weighted" if weighed else "majority"))
    signed = value.get("signed", False)
    if not isinstance(signed, bool):
        raise InputError(f"{where}.signed: must be true or false, not {signed!r}")
    if weighed and rule != "weighted":
        raise InputError(f"{where}: the rule {rule} has no weights; leave them out, or take rule: weighted")
    if rule == "weighted":
        _check_weights(where, seats, value["members"], signed)
    rounds = read_rounds(where, value, rule)
    if rule == DEBATE:
        check_debaters(f"{where}.members", {seat.name: seat.judge for seat in seats})
    if name in {seat.name for seat in seats}:
        raise InputError(f"{where}.members: {name!r} is the panel's own name; give that member another (name: …)")
    fitted = None if value.get("fitted_on") is None else _fitted(f"{where}.fitted_on", value["fitted_on"])
    about = fields.text(f"{path}: description", data["description"])
    return Panel(name, about, path, seats, rule, signed, fitted, rounds)


def _rule(where: str, value: Any) -> PanelRule:
    found = fields.choice(where, value, PANEL_RULES)
    return next(rule for rule in PANEL_RULES if rule == found)


def _check_weights(where: str, seats: tuple[Seat, ...], given: list[Any], signed: bool) -> None:
    lacking = [seat.name for seat, item in zip(seats, given, strict=True) if not _has_weight(item)]
    if lacking:
        raise InputError(
            f"{where}: the rule weighted needs a weight of every member, and {lacking[0]} has none; write it, or have "
            "them fitted on labels (simfarm judges fit LABELS ANNOTATIONS -o FILE)"
        )
    negative = [seat.name for seat in seats if seat.weight < 0]
    if negative and not signed:
        raise InputError(
            f"{where}: {negative[0]} has a negative weight, which turns its verdicts round; give it 0, or write "
            "signed: true if that is meant"
        )
    if math.isclose(sum(seat.weight for seat in seats), 0.0, abs_tol=1e-12):
        raise InputError(f"{where}: the weights sum to 0, so that the panel has no side; raise one of them")


def _has_weight(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("weight") is not None


def _seats(where: str, path: Path, value: Any, load: Callable[[str], Judge]) -> tuple[Seat, ...]:
    if not isinstance(value, list) or not value:
        raise InputError(f"{where}.members: must be a list of judges, not {value!r}")
    seats = [_seat(f"{where}.members[{place}]", path, item, load) for place, item in enumerate(value, 1)]
    if len(seats) == 1:
        raise InputError(
            f"{where}.members: a panel of one is {seats[0].name!r} itself; name it as the judge, or add one"
        )
    named = _named(seats)
    names = [seat.name for seat in named]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(
            f"{where}.members: two are called {twice[0]!r}; give one another model, or each a name of its own (name: …)"
        )
    return named


def _named(seats: list[Seat]) -> tuple[Seat, ...]:
    """The seats; judges of one name that ask different models are told apart by these."""
    names = [seat.name for seat in seats]
    return tuple(
        dataclasses.replace(seat, name=f"{seat.name}@{seat.judge.model.rpartition('/')[2]}")
        if names.count(seat.name) > 1 and seat.judge is not None and seat.judge.model
        else seat
        for seat in seats
    )


def _seat(where: str, path: Path, value: Any, load: Callable[[str], Judge]) -> Seat:
    """A member: a judge's name or file, or a mapping with more."""
    item = {"judge": value} if isinstance(value, str) else value
    if not isinstance(item, Mapping):
        raise InputError(f"{where}: must be a judge, such as longest or {{judge: pairwise-letter}}, not {value!r}")
    fields.known_keys(where, item, MEMBER_KEYS)
    weight = _weight(f"{where}.weight", item.get("weight", 1.0))
    called = fields.text(f"{where}.name", item["name"]) if "name" in item else None
    if "judge" not in item and called is not None:
        if asked := [key for key in ("model", "order") if key in item]:
            raise InputError(f"{where}: {asked[0]} is of a judge, and {called!r} names none; add judge:, or remove it")
        return Seat(called, None, weight)
    name = fields.text(f"{where}.judge", item.get("judge"))
    beside = path.parent / name
    try:
        judge = load(str(beside) if beside.exists() else name)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error
    if judge.alone:
        raise InputError(f"{where}: {refuse_pairs(judge)}")
    if "order" in item:
        judge = judge.replace(order=fields.choice(f"{where}.order", item["order"], ORDERS))
    if "model" in item:
        judge = judge.replace(model=fields.model(f"{where}.model", item["model"]))
    return Seat(called or judge.name, judge, weight, "model" in item)


def _weight(where: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise InputError(f"{where}: must be a number, not {value!r}")
    return float(value)


def _fitted(where: str, value: Any) -> Fitted:
    """What weights were fitted on, as `written` wrote it."""
    if not isinstance(value, Mapping):
        raise InputError(f"{where}: must be a mapping with {', '.join(FITTED_KEYS)}, not {value!r}")
    fields.known_keys(where, value, FITTED_KEYS)
    n, instructions, keys = (value.get(name) for name in ("comparisons", "instructions", "keys"))
    if not (isinstance(n, int) and isinstance(instructions, int) and isinstance(keys, list) and keys):
        raise InputError(f"{where}: comparisons, instructions and keys are written by simfarm judges fit; leave it so")
    return Fitted(fields.text(f"{where}.labels", value.get("labels")), n, instructions, tuple(map(str, keys)))


def written(fitted: Fitted) -> dict[str, Any]:
    """What stands under `fitted_on` in a file."""
    return {
        "labels": fitted.name,
        "comparisons": fitted.comparisons,
        "instructions": fitted.instructions,
        "keys": list(fitted.keys),
    }
