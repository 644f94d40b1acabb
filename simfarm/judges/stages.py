"""Judges of several calls: what is asked before the verdict, and what each later template is shown of it.

A critique before the verdict, what a user does with each answer, an argument for each, contexts in which the question
may be asked: each stage is a template of its own, whose reply the later ones see by its name. A reply is the judge's
own words about what candidates wrote, and may quote them: it is data, never rendered, and neutralised as they are.

What a stage shows decides what it costs. One that shows a single answer (`output`) is asked once for each of the two,
and one that shows no order is the same in both orders: equal requests are asked once.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.data.exchange import Completion, Message
from simfarm.data.records import Comparison
from simfarm.errors import InputError
from simfarm.judges import fields
from simfarm.judges.contexts import MOST_CONTEXTS, contexts_schema, read_contexts
from simfarm.judges.derived import COMPARED, auxiliary_of, check_derived, derived_schema, listed, read_derived
from simfarm.judges.parsers import REFUSALS

if TYPE_CHECKING:
    from simfarm.judges.spec import Judge
    from simfarm.judges.template import Template

__all__ = [
    "ENDS",
    "MOST_ROUNDS",
    "MOST_STAGES",
    "NAME",
    "PROTOCOLS",
    "RESERVED",
    "STAGE_KEYS",
    "VERDICT",
    "Stage",
    "Turn",
    "check_stages",
    "compiled_stage",
    "earlier",
    "every_stage",
    "last_messages",
    "literals",
    "samplings",
    "shown_variables",
    "stage_sampling",
    "stages_of",
    "told_to",
    "tried",
    "turn_messages",
    "turns",
    "unusable",
]

STAGE_KEYS = ("name", "template", "sampling", "rounds", "contexts", "auxiliary")
NAME = r"[a-z][a-z0-9_]{0,39}"
ENDS = ("_first", "_second", "_other", "_1", "_2")
"""What tells the two answers of a stage apart: no name's own end."""

VERDICT = "verdict"
"""What the last stage is called in files: the judge's own template."""

RESERVED = (
    *(VERDICT, "instruction", "messages", "first", "second", "output", "other", "pairs", "criteria", "reference"),
    *(
        "context",
        "checklist",
        "auxiliary",
        "range",
        "dict",
        "cycler",
        "joiner",
        "namespace",
        "loop",
        "self",
        "super",
        "caller",
    ),
    *("auxiliary", "varargs", "kwargs", "true", "false", "none", "and", "or", "not", "in", "is", "if", "else", "for"),
)
"""Names that already mean something in a template."""

PROTOCOLS = ("pairwise", "rating")
MOST_STAGES, MOST_ROUNDS = 8, 5
OWN = ("max_tokens", "logprobs", "choices", "schema", "stop")
"""Of a judge's sampling: about the form of its verdict, and nothing to a stage."""

Texts = Mapping[tuple[str, str], str]
"""What was said: (a stage's name, the output it is about; "" for both) -> its reply."""


@dataclass(frozen=True)
class Stage:
    """A call before the verdict. `template` is the source text, `where` says whose in errors; `sampling` is what
    differs from the judge's. One that is asked for `each` answer may go several `rounds`, each showing what was said
    before. With `contexts` its reply is so many weighted contexts at most, and the verdict is asked under each. With
    `auxiliary` it compares so many answers to the instruction and its reply is a list of criteria."""

    name: str
    template: str
    where: str
    sampling: Mapping[str, Any] = field(default_factory=dict)
    rounds: int = 1
    contexts: int = 0
    each: bool = False
    auxiliary: int = 0

    @property
    def content(self) -> list[Any]:
        """What of it can change a verdict."""
        compared = [self.auxiliary] if self.auxiliary else []
        return [self.name, self.template, dict(self.sampling), self.rounds, self.contexts, *compared]

    def told(self, reply: str) -> str:
        """What later templates show of its reply."""
        return listed(reply) if self.auxiliary else reply.strip()


@dataclass(frozen=True, slots=True)
class Turn:
    """One call of a stage: about the output `side` ("1", "2"; "" for what is shown whole), in a round from 0. `step` is
    its place among the calls of a verdict."""

    stage: Stage
    place: int
    step: int
    side: str = ""
    round: int = 0

    @property
    def label(self) -> str:
        """What it is called in files: by the output that it is about, whichever was shown first."""
        name = f"{self.stage.name}_{self.side}" if self.side else self.stage.name
        return f"{name}, round {self.round + 1}" if self.stage.rounds > 1 else name


def turns(stages: Sequence[Stage]) -> list[list[Turn]]:
    """The calls before a verdict; those of one list wait for none of each other."""
    groups: list[list[Turn]] = []
    step = 0
    for place, stage in enumerate(stages):
        for n in range(stage.rounds):
            sides = ("1", "2") if stage.each else ("",)
            groups.append([Turn(stage, place, step + k, side, n) for k, side in enumerate(sides)])
            step += len(sides)
    return groups


def told_to(stages: Sequence[Stage], texts: Texts, side: str, order: str) -> dict[str, str]:
    """What a template knows of earlier replies, by name: about each answer NAME_first and NAME_second, as they are
    shown in `order`; in the turn of one answer (`side`) NAME and NAME_other."""
    told: dict[str, str] = {}
    for stage in stages:
        if not stage.each:
            told[stage.name] = texts.get((stage.name, ""), "")
            continue
        one, two = (side, "21"[int(side) - 1]) if side else (order[0], order[-1])
        names = _names(stage.name, bool(side))
        told |= zip(names, (texts.get((stage.name, s), "") for s in (one, two)), strict=True)
    return told


def _names(name: str, aside: bool) -> tuple[str, str]:
    """What the replies about each answer are called in a later template; `aside` where that is about one of them."""
    return (name, f"{name}_other") if aside else (f"{name}_first", f"{name}_second")


def compiled_stage(judge: Judge, place: int) -> Template:
    """The template of a stage, ready to render. Raises `InputError` where it is not a valid one."""
    return _compiled(judge.stages, place, judge)


def _compiled(stages: Sequence[Stage], place: int, judge: Judge) -> Template:
    from simfarm.judges.template import compile_template

    stage = stages[place]
    own = ((stage.name, True),) if stage.rounds > 1 else ()
    known = (*earlier(stages[:place]), *own)
    shows, given = COMPARED if stage.auxiliary else "", judge.given
    source, tags, alone = stage.template, judge.delimiters, judge.alone
    return compile_template(source, tags, stage.where, alone, shows=shows, earlier=known, stage=True, given=given)


def earlier(stages: Iterable[Stage]) -> tuple[tuple[str, bool], ...]:
    """What templates after these know of them."""
    return tuple((stage.name, stage.each) for stage in stages)


def turn_messages(judge: Judge, turn: Turn, comparison: Comparison, order: str, texts: Texts) -> tuple[Message, ...]:
    """What a stage is asked about a comparison, with what was said before it."""
    upto = turn.place + (turn.stage.rounds > 1)
    told = told_to(judge.stages[:upto], texts, turn.side, order)
    return compiled_stage(judge, turn.place).render_stage(comparison, order, judge.criteria, told, turn.side)


def last_messages(judge: Judge, comparison: Comparison, order: str, told: Mapping[str, str]) -> tuple[Message, ...]:
    """What is asked for the verdict, with all that was said before it."""
    return judge.compiled.render(comparison, order, judge.criteria, told)


def tried(judge: Judge, comparison: Comparison, order: str) -> dict[str, tuple[Message, ...]]:
    """What each call would be sent about a comparison, by its name in files, with a text in the place of every reply
    that says whose it is: to look at, and to check."""
    texts: dict[tuple[str, str], str] = {}
    sent: dict[str, tuple[Message, ...]] = {}
    for group in turns(judge.stages):
        for turn in group:
            sent[turn.label] = turn_messages(judge, turn, comparison, order, texts)
        texts |= {(turn.stage.name, turn.side): _sample(turn, order) for turn in group}
    return sent | {VERDICT: last_messages(judge, comparison, order, told_to(judge.stages, texts, "", order))}


def _sample(turn: Turn, order: str) -> str:
    """What stands for a reply that nobody has given."""
    shown = {order[0]: " of the answer shown first", order[-1]: " of the answer shown second"}
    return f"(what the stage {turn.stage.name} says{shown.get(turn.side, '')})"


def stage_sampling(judge: Judge, stage: Stage) -> dict[str, Any]:
    """The sampling of a stage's request: the judge's, without what is about the form of a verdict, and its own."""
    common = {name: value for name, value in judge.sampling.items() if name not in OWN}
    if "effort" in stage.sampling or "thinking" in stage.sampling:
        # two words for one thing: the stage's own holds
        common = {name: value for name, value in common.items() if name not in ("effort", "thinking")}
    schema = contexts_schema() if stage.contexts else derived_schema() if stage.auxiliary else None
    return common | dict(stage.sampling) | ({} if schema is None else {"schema": schema})


def unusable(stage: Stage, completion: Completion) -> str | None:
    """Why a stage's reply cannot be gone on with, in words; None where it can. Half a critique is none."""
    if completion.finish_reason in REFUSALS:
        return f"the stage {stage.name} was refused"
    if completion.finish_reason == "length":
        return f"the stage {stage.name} was cut off by the token limit"
    if not completion.text.strip():
        return f"the stage {stage.name} came back empty"
    try:
        if stage.contexts:
            read_contexts(completion.text, stage.contexts)
        if stage.auxiliary:
            read_derived(completion.text)
    except ValueError as error:
        return f"the stage {stage.name}: {error}"
    return None


def stages_of(path: Path, value: Any, read: Callable[[Path, Any], str], protocol: str) -> tuple[Stage, ...]:
    """The stages that a judge's file lists, without what their templates decide (`check_stages`); `read` gives a
    template's text. Raises `InputError`."""
    where = f"{path}: stages"
    if not isinstance(value, list) or not value:
        raise InputError(f"{where}: must be a list such as [{{name: critique, template: critique.jinja}}]")
    if protocol not in PROTOCOLS:
        raise InputError(f"{where}: protocol {protocol} has none; they are for {' and '.join(PROTOCOLS)}: remove them")
    if len(value) > MOST_STAGES:
        raise InputError(f"{where}: {len(value)} are too many before one verdict; keep {MOST_STAGES} at most")
    stages = [_stage(f"{where}[{number}]", path, item, read) for number, item in enumerate(value, 1)]
    names = [stage.name for stage in stages]
    if twice := [name for name in names if names.count(name) > 1]:
        raise InputError(f"{where}: two are named {twice[0]!r}; give each a name of its own")
    check_derived(where, [stage.name for stage in stages if stage.auxiliary], protocol)
    if early := [stage.name for stage in stages[:-1] if stage.contexts]:
        raise InputError(f"{where}: {early[0]} proposes contexts for the verdict; let it be the last of the list")
    return tuple(stages)


def _stage(where: str, path: Path, item: Any, read: Callable[[Path, Any], str]) -> Stage:
    if not isinstance(item, Mapping):
        raise InputError(f"{where}: must be a mapping such as {{name: critique, template: critique.jinja}}")
    fields.known_keys(where, item, STAGE_KEYS)
    name = item.get("name")
    if not isinstance(name, str) or not re.fullmatch(NAME, name):
        raise InputError(f"{where}: name it in small letters, digits and _, a letter first, not {name!r}")
    if name in RESERVED or name.endswith(ENDS):
        raise InputError(f"{where}: the name {name!r} means something else in a template; give it another")
    if item.get("template") is None:
        raise InputError(f"{where}: the key 'template' is missing; name the file of what is asked")
    rounds, contexts = item.get("rounds", 1), item.get("contexts", 0)
    if isinstance(rounds, bool) or not isinstance(rounds, int) or not 1 <= rounds <= MOST_ROUNDS:
        raise InputError(f"{where}.rounds: must be a whole number from 1 to {MOST_ROUNDS}, not {rounds!r}")
    least = 2 if "contexts" in item else 0
    if isinstance(contexts, bool) or not isinstance(contexts, int) or not least <= contexts <= MOST_CONTEXTS:
        raise InputError(f"{where}.contexts: must be a whole number from 2 to {MOST_CONTEXTS}, not {contexts!r}")
    if contexts and rounds > 1:
        raise InputError(f"{where}: contexts are proposed once; remove rounds")
    sampling = fields.sampling(f"{where}.sampling", item.get("sampling", {}))
    if "logprobs" in sampling:
        raise InputError(f"{where}.sampling: the log probabilities of a stage are read by nobody; remove logprobs")
    source = read(path, item["template"])
    return Stage(name, source, f"{where} ({name})", sampling, rounds, contexts, auxiliary=auxiliary_of(where, item))


def check_stages(judge: Judge) -> Judge:
    """The judge with its stages as their templates have them. Raises `InputError` for templates that do not work
    together, and for a reply that nobody would see."""
    stages: list[Stage] = []
    for place, stage in enumerate(judge.stages):
        template = _compiled((*stages, stage), place, judge)
        if stage.rounds > 1 and not template.each:
            raise InputError(
                f"{stage.where}: rounds are for what is asked of each answer; show {{{{ output }}}} in its template, "
                "or remove rounds"
            )
        if stage.contexts and template.each:
            raise InputError(f"{stage.where}: contexts are those of the question; do not show {{{{ output }}}}")
        stages.append(dataclasses.replace(stage, each=template.each))
    made = dataclasses.replace(judge, stages=tuple(stages))
    if made.several:  # which also looks whether the template is a valid one
        raise InputError(f"{judge.path}: stages are about one comparison; do not go through pairs in the template")
    for place, stage in enumerate(stages):
        # a reply that only its own later rounds see is still for nobody
        later = [compiled_stage(made, n).variables for n in range(place + 1, len(stages))]
        names = {stage.name, *_names(stage.name, False), *_names(stage.name, True)}
        if not any(names & shown for shown in (*later, made.compiled.variables)):
            name = _names(stage.name, False)[0] if stage.each else stage.name
            raise InputError(
                f"{stage.where}: no later template shows its reply; use {{{{ {name} }}}} in one, or remove the stage"
            )
    return made


def shown_variables(judge: Judge) -> frozenset[str]:
    """What the templates of a judge show, all together."""
    own = judge.compiled.variables
    return own.union(*(compiled_stage(judge, place).variables for place in range(len(judge.stages))))


def literals(judge: Judge) -> tuple[str, ...]:
    """What the templates of a judge write of their own."""
    stages = [compiled_stage(judge, place).literals for place in range(len(judge.stages))]
    return tuple(text for own in (*stages, judge.compiled.literals) for text in own)


def every_stage(judge: Judge, change: Callable[[Mapping[str, Any]], Mapping[str, Any]]) -> Judge:
    """The judge with what its stages say of sampling changed."""
    stages = tuple(dataclasses.replace(stage, sampling=change(stage.sampling)) for stage in judge.stages)
    return dataclasses.replace(judge, stages=stages)


def samplings(judge: Judge) -> Iterator[dict[str, Any]]:
    """Of every stage's requests."""
    for stage in judge.stages:
        yield stage_sampling(judge, stage)
