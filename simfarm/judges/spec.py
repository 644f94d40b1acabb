"""What a judge is: a value, whichever file it was read from (`simfarm.judges.files`).

What it asks and how it reads the answer are all in it, and `hash` names exactly that, so that annotations made by two
different judges are never taken for one.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.data.decision import Question
from simfarm.errors import InputError
from simfarm.judges import decisions, fields
from simfarm.judges.criteria import MARKING, Criterion, criteria_of
from simfarm.judges.examples import Example
from simfarm.judges.given import Given
from simfarm.judges.likelihoods import Scoring
from simfarm.judges.orders import ORDERS, RANKED
from simfarm.judges.parsers import VerdictSpec
from simfarm.judges.stages import Stage, earlier

if TYPE_CHECKING:
    from simfarm.judges.template import Template

__all__ = ["RULES", "Judge", "check_sampling"]

RULES = ("longest", "first", "random", "surface")


@dataclass(frozen=True)
class Judge:
    """Either a rule (`rule` set, no model is called) or a template with a model and a way to read its replies.

    `template` is the source text; `path` is the YAML file. `name` is the name of the file or folder, under which
    verdicts are recorded. `weights` are one person's taste, for the rule `surface` alone. `alternatives` are models
    that would do as well, `checked` is the day when it was looked up that `model` is to be had, `until` the last day on
    which it is: remarks, no part of the hash. `persona` and `examples` say as whom it judges, where it is to stand for
    a particular person. `scoring` is what a judge of likelihoods computes: it has no verdict to read, and a template
    only where its score needs one. `stages` are asked before the template, whose reply is the verdict. `context` is
    what the judge is told of who asks, and `columns` say which of its template's variables come from which column of
    the input.
    """

    name: str
    description: str
    path: Path
    protocol: str = "pairwise"
    order: str = "both"
    rule: str | None = None
    weights: Mapping[str, float] | None = None
    template: str | None = None
    verdict: VerdictSpec | None = None
    model: str | None = None
    sampling: Mapping[str, Any] = field(default_factory=dict)
    criteria: tuple[Any, ...] = ()
    delimiters: tuple[str, ...] = ()
    alternatives: tuple[str, ...] = ()
    checked: date | None = None
    until: date | None = None
    persona: str = ""
    examples: tuple[Example, ...] = ()
    scoring: Scoring | None = None
    stages: tuple[Stage, ...] = ()
    context: str = ""
    columns: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def hash(self) -> str:
        """16 hexadecimal digits over everything that can change a verdict; not over the name or the description."""
        verdict = self.verdict
        content: dict[str, Any] = {
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
        if verdict is not None and verdict.parser == "decision":
            # as a list: the model sees the options in this order
            labels = list(verdict.labels.items())
            content["verdict"] = [verdict.parser, labels, verdict.question, verdict.descriptions]
        if verdict is not None and verdict.scale:
            content["scale"] = list(verdict.scale.items())
        if self.rule == "surface":
            from simfarm.judges.surface import WEIGHTS

            content["weights"] = dict(WEIGHTS)
            if self.weights is not None:
                content["person"] = {name: float(weight) for name, weight in self.weights.items() if weight}
        if self.scoring is not None:
            content["scoring"] = self.scoring.content
        if self.persona:
            content["persona"] = self.persona
        if self.examples:
            content["examples"] = [
                [e.comparison.instruction, e.comparison.output_1, e.comparison.output_2, e.p] for e in self.examples
            ]
        if self.stages:
            content["stages"] = [stage.content for stage in self.stages]
        if self.context or self.columns:
            content["given"] = [self.context, sorted(self.columns.items())]
        if self.asks_marks or any(criterion.check for criterion in self.marks):
            content["marks"] = [criterion.kind for criterion in self.marks]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @cached_property
    def questions(self) -> tuple[Question, ...]:
        """What a decision judge asks about all that it is shown; nothing for any other judge."""
        if self.verdict is None or self.verdict.parser != "decision":
            return ()
        return decisions.questions(self.verdict, [c for c in self.criteria if "check" not in c])

    @cached_property
    def marks(self) -> tuple[Criterion, ...]:
        """The criteria in their one form; of a decision judge the checks alone, the others are its `questions`."""
        own = [c for c in self.criteria if "check" in c] if self.questions else self.criteria
        return criteria_of(f"{self.path}: criteria", own, alone=self.alone)

    @property
    def asks_marks(self) -> bool:
        """Whether its model marks by criteria, in a reply in JSON."""
        return self.verdict is not None and self.verdict.parser in MARKING and any(c.asked for c in self.marks)

    @cached_property
    def given(self) -> Given:
        """What it is told beside what it judges."""
        checklists = [("checklist", c.column) for c in self.marks if c.kind == "checklist"]
        return Given(self.context, (*self.columns.items(), *checklists))

    @cached_property
    def scales(self) -> dict[str, tuple[float, float]]:
        """From where to where the score by each criterion can go, where the judge gives numbers."""
        asked = [c for c in self.criteria if "check" not in c] if self.questions else []
        numbers = {criterion["name"]: decisions.numbers_of(criterion) for criterion in asked}
        marked = [c for c in self.marks if c.check or (c.asked and self.asks_marks)]
        ends = {c.name: (c.low, c.high) for c in marked if c.high < math.inf}
        return {name: (min(own), max(own)) for name, own in numbers.items()} | ends

    @property
    def auxiliary(self) -> int:
        """How many answers to an instruction it compares to derive the criteria that it rates by; 0 for none."""
        return max((stage.auxiliary for stage in self.stages), default=0)

    @property
    def alone(self) -> bool:
        """Whether it rates one output at a time, where others compare two."""
        return self.protocol == "rating"

    @property
    def ranks(self) -> bool:
        """Whether it orders all outputs to an instruction at once."""
        return self.protocol == "ranking"

    @property
    def ends(self) -> tuple[float | None, float | None]:
        """The lowest and the highest score on its scale; two None for a judge that has none."""
        scale = self.verdict.scale if self.verdict is not None else {}
        return min(scale.values(), default=None), max(scale.values(), default=None)

    @property
    def several(self) -> bool:
        """Whether its prompt may hold several pairs: its template goes through `pairs`."""
        return self.template is not None and "pairs" in self.compiled.variables

    @cached_property
    def compiled(self) -> Template:
        """The template, ready to render. Raises InputError where it is not a valid one."""
        from simfarm.judges.template import compile_template

        if self.template is None:
            raise ValueError(f"judge {self.name} has no template")
        where, alone = f"the template of {self.path}", self.alone or self.scoring is not None
        blind, known = self.scoring is not None and self.scoring.score == "instruction", earlier(self.stages)
        shows = "blind" if blind else {"ranking": "outputs", "joint": "joint"}.get(self.protocol, "")
        return compile_template(
            self.template, self.delimiters, where, alone, shows=shows, earlier=known, given=self.given
        )

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
            order=self.order
            if order is None
            else fields.choice(f"{where}: order", order, RANKED if self.ranks else ORDERS),
            model=self.model if model is None else fields.text(f"{where}: model", model),
            sampling=self.sampling if sampling is None else fields.sampling(f"{where}: sampling", sampling),
        )
        if changed.model != self.model:
            changed = dataclasses.replace(changed, checked=None, until=None)
        check_sampling(where, changed.verdict, changed.sampling)
        if changed.scoring is not None:
            decisions.check_drawn(f"{where}: sampling", changed.sampling)
        return changed

    def as_person(self, *, persona: str = "", examples: tuple[Example, ...] = ()) -> Judge:
        """The same judge in the place of a person: of whom a text tells, or `examples` of what they prefer."""
        if self.rule is not None:
            raise InputError(f"judge {self.name} follows a rule and knows no person; name one with a template")
        if self.protocol != "pairwise":
            raise InputError(f"judge {self.name} does not compare two outputs and knows no person; name one that does")
        if self.stages:
            raise InputError(
                f"judge {self.name} asks in several calls, which stand for nobody; name one of a single template"
            )
        return dataclasses.replace(self, persona=persona or self.persona, examples=examples or self.examples)


def check_sampling(where: str, verdict: VerdictSpec | None, sampling: Mapping[str, Any]) -> None:
    """Refuse a judge that weighs tokens and asks for none, or that decides and draws. Raises InputError."""
    if verdict is not None and verdict.parser == "decision":
        decisions.check_drawn(f"{where}: sampling", sampling)
    if verdict is not None and verdict.scale and verdict.parser == "token_logprobs":
        if sampling.get("logprobs", 0) < len(verdict.scale):
            raise InputError(
                f"{where}: sampling: the expected score needs the probability of each label; set logprobs: "
                f"{len(verdict.scale)} or more"
            )
    elif verdict is not None and verdict.parser == "token_logprobs" and sampling.get("logprobs", 0) < 2:
        raise InputError(
            f"{where}: sampling: the parser token_logprobs needs the label tokens; set logprobs: 5 (at least 2)"
        )
