"""A panel's run: comparisons in, the verdicts of every member out and after them the panel's own.

Each member is asked as a judge is, through an engine over its model, one store and one budget, and its verdicts stand
in the file under its own name: so a board shows the panel beside each of them, and nothing is asked twice. The panel's
verdict is made of theirs afterwards and never stored. A member without one abstains.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from simfarm.data.exchange import Request
from simfarm.data.juries import instruction_key
from simfarm.data.records import ANNOTATION_COLUMNS, Annotation, Comparison
from simfarm.engine.prices import at_most
from simfarm.engine.runner import Engine
from simfarm.engine.stats import Stats
from simfarm.judges import Judge, Panel, Population
from simfarm.judges.marks import marks_expected
from simfarm.judges.population import Member as Person
from simfarm.judges.protocols import protocol_of
from simfarm.judges.rules import introduction
from simfarm.runs.annotation import missing_lines, resume_lines
from simfarm.runs.asking import Call, Member, plan_calls
from simfarm.runs.cautions import kin_lines, odd_outputs
from simfarm.runs.forecast import forecast
from simfarm.runs.members import opened_members, seated
from simfarm.runs.options import JudgeOptions, RunOptions
from simfarm.runs.run import OpenModel, Run, same_model
from simfarm.runs.scoring import next_requests
from simfarm.runs.tallies import AnnotationTallies
from simfarm.runs.verdicts import annotate
from simfarm.settings import refuse, spelled
from simfarm.statistics.jury import jury
from simfarm.text.words import named, plural

__all__ = ["PanelRun"]


@dataclass(slots=True, kw_only=True)
class PanelRun(Run[Comparison, Annotation]):
    """A panel with its members' judges as their models take them (`people`), and these models open (None for a rule).
    `tallies` count the members' calls; `own` the panel's verdicts by status, `abstained` the members missing in them,
    `clear` and `mixed` the sums of their strength and entropy."""

    panel: Panel
    people: Population
    models: tuple[OpenModel | None, ...]
    repeats: int = 1
    retry_unparseable: bool = False
    tallies: AnnotationTallies = field(default_factory=AnnotationTallies)
    seats: list[Member] = field(default_factory=list)
    engines: list[Engine] = field(default_factory=list)
    own: Counter[str] = field(default_factory=Counter)
    abstained: Counter[str] = field(default_factory=Counter)
    clear: float = 0.0
    mixed: float = 0.0

    @classmethod
    def open(cls, judging: JudgeOptions, running: RunOptions) -> PanelRun:
        """Check everything that can be checked before a call; raises `InputError`. The judge is a panel."""
        panel = judging.judge
        assert isinstance(panel, Panel)
        given = {"annotators": judging.annotators, "soft": judging.soft}
        refuse(given, f"with {panel.name!r}, which is no population")
        judges, asked = _on_models(panel, judging)
        people = Population(
            panel.name, panel.description, panel.path, tuple(Person(name, judge) for name, judge in judges.items())
        )
        taken, models = opened_members(people, asked, running)
        # a verdict stands under its member's name, which is no part of a judge's hash
        named_so = [replace(judge, name=name) for name, judge in zip(judges, taken, strict=True)]
        seats = tuple(replace(seat, judge=judge) for seat, judge in zip(panel.members, named_so, strict=True))
        members = tuple(Person(judge.name, judge) for judge in named_so)
        return cls(
            panel=replace(panel, members=seats),
            people=replace(people, members=members),
            models=tuple(models),
            repeats=judging.repeats,
            retry_unparseable=judging.retry_unparseable,
            backend=None,
            model="",
            options=running,
        )

    @property
    def columns(self) -> Sequence[str]:
        """Those of verdicts on pairs."""
        return ANNOTATION_COLUMNS

    @property
    def name(self) -> str:
        """The panel's name, under which its own verdicts are recorded."""
        return self.panel.name

    @property
    def judge_hash(self) -> str:
        """The panel's, with its members as their models take them."""
        return self.panel.hash

    @property
    def order(self) -> str:
        """Of the panel's own verdict, one a comparison."""
        return "fixed"

    @property
    def asks(self) -> bool:
        """Whether anything is asked that may cost."""
        return any(model is not None for model in self.models)

    @property
    def introduction(self) -> str | None:
        """What a user must know of members that read no meaning."""
        return next(filter(None, (introduction(judge) for judge in self._judges())), None)

    def _judges(self) -> list[Judge]:
        return [member.judge for member in self.people.members]

    def count(self, records: Sequence[Comparison]) -> int:
        """How many rows the run will give: the members' calls and the panel's own verdicts."""
        return sum(self._size(record) + 1 for record in records)

    def _size(self, record: Comparison) -> int:
        return sum(1 for judge in self._judges() for _ in protocol_of(judge).calls(judge, record, self.repeats))

    def made_by(self) -> dict[str, Any]:
        """The panel with its hash."""
        return {"verb": "annotate", "judge": self.name, "judge_hash": self.judge_hash, "repeats": self.repeats}

    def notes(self, records: Sequence[Comparison]) -> list[str]:
        """What a user must know before the first call: kin, odd outputs, weights that were fitted on other data."""
        models = sorted({judge.model for judge in self._judges() if judge.model})
        lines = [line for model in models for line in kin_lines(model, records)]
        fitted = self.panel.fitted
        other = fitted and fitted.warning(self.name, {instruction_key(pair.instruction) for pair in records})
        return [*([f"warning: {other}"] if other else []), *lines, *odd_outputs(records)]

    def estimate(self, records: Sequence[Comparison]) -> str:
        """What a run would ask and cost at most; asks nothing."""
        return asyncio.run(self._forecast(records))

    async def _forecast(self, records: Sequence[Comparison]) -> str:
        async with self._seated():
            lines, prices = [self._counted(records)], list[float | None]()
            for engine in self.engines:
                requests = list(self._new(records, engine))
                new = [request for request in requests if request is not None]
                lines.append(forecast(engine, new, known=len(requests) - len(new)) + ", repairs apart")
                if not engine.backend.in_process:
                    prices += [engine.estimate(request)[2] for request in new]
            whole = "unknown" if None in prices else f"at most {at_most(sum(price or 0.0 for price in prices))}"
            return "\n".join([*lines, f"all in all {whole}" if self.engines else "no model is asked: $0.00"])

    def _counted(self, records: Sequence[Comparison]) -> str:
        questions = sum(call.order is not None for call in self._calls(records))
        members = plural(len(self.people.members), "member")
        return f"{plural(len(records), 'comparison')}, {plural(questions, 'question')} to the {members} of {self.name}"

    def _calls(self, records: Sequence[Comparison]) -> Iterator[Call]:
        return plan_calls(records, self.seats, self.repeats)

    def _new(self, records: Sequence[Comparison], engine: Engine) -> Iterator[Request | None]:
        for call in self._calls(records):
            if call.member.engine is engine and call.order is not None:
                yield from next_requests(call, self.retry_unparseable)

    @asynccontextmanager
    async def _seated(self) -> AsyncIterator[None]:
        """The members as they are asked, each with the engine over its model; all closed at the end."""
        asker = f"{self.name} ({self.judge_hash})"
        async with seated(self.people, self.models, self.options, self.tell, asker) as (seats, engines):
            self.seats, self.engines = seats, engines
            yield

    async def _stream(self, records: Sequence[Comparison]) -> AsyncGenerator[Annotation]:
        async with self._seated():
            try:
                window = 4 * max((engine.concurrency for engine in self.engines), default=64)
                verdicts = annotate(
                    self._calls(records), self.tallies, retry_unparseable=self.retry_unparseable, window=window
                )
                async with aclosing(verdicts):
                    for record in records:
                        given = []
                        for _ in range(self._size(record)):
                            given.append(await anext(verdicts))
                            yield given[-1]
                        yield self._decided(record, given)
            finally:
                self.tallies.stats = self._stats()

    def _decided(self, record: Comparison, given: Sequence[Annotation]) -> Annotation:
        """The panel's own verdict on a comparison; what it took is what its members' calls did."""
        calls = [[one for one in given if one.annotator == judge.name] for judge in self._judges()]
        p = np.array([[_opinion(own)] for own in calls])
        weights = np.array([seat.weight for seat in self.panel.members]) if self.panel.rule == "weighted" else None
        made = jury(p, self.panel.rule, weights)
        side, voted, n = float(made.p[0]), int(made.voted[0]), len(calls)
        lost = any(one.status == "error" for one in given)
        status = "verdict" if not np.isnan(side) else "error" if lost else "unparseable"
        self.own[status] += 1
        self.abstained.update(j.name for j, own in zip(self._judges(), p[:, 0], strict=True) if np.isnan(own))
        reason = None
        if status == "verdict":
            self.clear += float(made.strength[0])
            self.mixed += float(made.entropy[0])
            reason = (
                f"{voted} of {plural(n, 'member')} by {self.panel.rule}: strength {made.strength[0]:.2f}, entropy "
                f"{made.entropy[0]:.2f} bits"
            )
        return Annotation(
            comparison=record,
            annotator=self.name,
            preference=1.0 + side if status == "verdict" else None,
            status=status,
            reason=reason,
            error=None if reason else f"{voted} of {plural(n, 'member')} gave a verdict, fewer than half",
            judge_hash=self.judge_hash,
            **_took(given),
        )

    def _stats(self) -> Stats:
        total = Stats()
        for engine in self.engines:
            total.add(engine.stats)
        return total

    def pace(self) -> str:
        """What the run cost so far."""
        return self._stats().money() if any(not engine.backend.in_process for engine in self.engines) else ""

    def closing_lines(self) -> list[str]:
        """What happened, for stderr: the panel's verdicts and how clear they are, calls and cost, what is missing."""
        tallies, n = self.tallies, self.own["verdict"]
        lines = [f"{plural(n, 'verdict')} by {self.name} ({self.panel.rule} of {plural(len(self.seats), 'member')})"]
        if n:
            lines[0] += f": strength {self.clear / n:.2f}, entropy {self.mixed / n:.2f} bits on average"
        if undecided := self.own.total() - n:
            lines.append(f"{plural(undecided, 'comparison')} without a verdict: fewer than half of the members had one")
        if self.abstained:
            by = ", ".join(f"{name} {count:,}×" for name, count in self.abstained.most_common(5))
            lines.append(f"abstained: {by}")
        missing = "".join(f", {tallies.status[w]:,} {w}" for w in ("unparseable", "error") if tallies.status[w])
        rows = plural(tallies.status.total(), "annotation")
        lines.append(f"{rows} by its members: {plural(tallies.status['verdict'], 'verdict')}{missing}")
        paying = any(engine.backend.name != "replay" for engine in self.engines)
        if paying:
            lines += [self._answers(self.pace()), *tallies.stats.warnings()]
        lines += missing_lines(tallies, max((marks_expected(judge) for judge in self._judges()), default=0))
        if paying:
            names = [model.name for model in self.models if model is not None]
            others = [name for name in tallies.answered_by if not any(same_model(one, name) for one in names)]
            if others:
                lines.append(f"warning: {named(names)} were asked, but {named(others)} answered")
        return [*lines, *resume_lines(tallies), "whether it beats its best member: simfarm agreement --human"]


def _on_models(panel: Panel, judging: JudgeOptions) -> tuple[dict[str, Judge], JudgeOptions]:
    """(each member's judge by name, in the order and on the model that the options name; the options left to apply).
    A member whose model the panel's file names keeps it. Raises `InputError` where a model would then go nowhere."""
    judges = panel.judges
    if order := judging.order:
        judges = {name: judge.replace(order=order) for name, judge in judges.items()}
    fixed = {seat.name for seat in panel.members if seat.fixed}
    free = [name for name, judge in judges.items() if judge.rule is None and name not in fixed]
    if judging.model is None or not fixed:
        return judges, replace(judging, order=None)
    if not free or not isinstance(judging.model, str):
        whole = "names the model of every member" if not free else f"names the model of {named(sorted(fixed))}"
        refuse({"model": judging.model}, f"with {panel.path}, which {whole}; {spelled('model')} would replace none")
    changed = {name: judges[name].replace(model=str(judging.model)) for name in free}
    return judges | changed, replace(judging, order=None, model=None)


def _opinion(calls: Sequence[Annotation]) -> float:
    """p of one member on one comparison: the mean of complete repeats; NaN where half of a swap, or all, is missing."""
    repeats: dict[int, list[float | None]] = {}
    for one in calls:
        repeats.setdefault(one.repeat, []).append(None if one.preference is None else one.preference - 1)
    whole = [[p for p in own if p is not None] for own in repeats.values() if None not in own]
    return float(np.mean([np.mean(own) for own in whole])) if whole else float("nan")


def _took(given: Sequence[Annotation]) -> dict[str, Any]:
    """What the members' calls took together; None where that of one is not known."""
    asked = [one for one in given if one.calls or one.price is not None]
    made: dict[str, Any] = {}
    for name in ("input_tokens", "output_tokens", "price", "seconds"):
        values = [getattr(one, name) for one in asked]
        made[name] = sum(values) if values and None not in values else None
    return made
