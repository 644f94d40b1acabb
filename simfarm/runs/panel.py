"""A panel's run: comparisons in, the verdicts of every member out and after them the panel's own.

Each member is asked as a judge is, through an engine over its model, one store and one budget, and its verdicts stand
in the file under its own name: so a board shows the panel beside each of them, and nothing is asked twice. The panel's
verdict is made of theirs afterwards and never stored. A member without one abstains.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Iterable, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from simfarm.data.exchange import Request
from simfarm.data.juries import instruction_key
from simfarm.data.records import Annotation, Comparison
from simfarm.engine.runner import Engine
from simfarm.judges import Judge, Panel, Population
from simfarm.judges.population import Member as Person
from simfarm.judges.protocols import protocol_of
from simfarm.judges.rules import introduction
from simfarm.runs.annotation import missing_lines, resume_lines
from simfarm.runs.asking import Call, plan_calls
from simfarm.runs.cautions import odd_outputs
from simfarm.runs.debate import debated, rounds_ahead, with_rounds
from simfarm.runs.members import opened_members
from simfarm.runs.options import JudgeOptions, RunOptions
from simfarm.runs.outlook import most
from simfarm.runs.scoring import next_requests
from simfarm.runs.several import SeveralRun
from simfarm.runs.stream import in_order
from simfarm.runs.tallies import AnnotationTallies
from simfarm.runs.verdicts import annotate
from simfarm.settings import refuse, spelled
from simfarm.statistics.jury import jury
from simfarm.text.words import named, plural

__all__ = ["PanelRun"]


@dataclass(slots=True, kw_only=True)
class PanelRun(SeveralRun):
    """A panel, its members as `people`. `tallies` count the members' calls; `own` the panel's verdicts by status,
    `abstained` the members missing in them, `clear` and `mixed` the sums of their strength and entropy; `debates` the
    comparisons that were debated, `changed` the verdicts that a member changed in one."""

    panel: Panel
    repeats: int = 1
    tallies: AnnotationTallies = field(default_factory=AnnotationTallies)
    own: Counter[str] = field(default_factory=Counter)
    abstained: Counter[str] = field(default_factory=Counter)
    debates: int = 0
    changed: Counter[str] = field(default_factory=Counter)
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
    def judge_hash(self) -> str:
        """The panel's, with its members as their models take them."""
        return self.panel.hash

    @property
    def introduction(self) -> str | None:
        """What a user must know of members that read no meaning."""
        return next(filter(None, (introduction(judge) for judge in self._judges())), None)

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
        fitted = self.panel.fitted
        other = fitted and fitted.warning(self.name, {instruction_key(pair.instruction) for pair in records})
        return [*([f"warning: {other}"] if other else []), *self._kin(records), *odd_outputs(records)]

    async def _forecast(self, records: Sequence[Comparison]) -> str:
        async with self._seated():
            told, prices = self._forecasts(records)
            lines = [self._counted(records), *told]
            if self.panel.rounds:
                for engine in self.engines:
                    ahead = rounds_ahead(self._calls(records), engine, len(self.seats), self.panel.rounds)
                    lines += ahead.then(engine)
                    if not engine.backend.in_process:
                        prices += [engine.estimate(request)[2] for request in ahead.later]
            return "\n".join([*lines, f"all in all {most(prices)}" if self.engines else "no model is asked: $0.00"])

    def _counted(self, records: Sequence[Comparison]) -> str:
        questions = sum(call.order is not None and call.place == 0 for call in self._calls(records))
        members = plural(len(self.people.members), "member")
        return f"{plural(len(records), 'comparison')}, {plural(questions, 'question')} to the {members} of {self.name}"

    def _calls(self, records: Sequence[Comparison]) -> Iterator[Call]:
        return plan_calls(records, self.seats, self.repeats)

    def _new(self, records: Sequence[Comparison], engine: Engine) -> Iterator[Request | None]:
        for call in self._calls(records):
            asked = call.order is not None and call.place == 0 and not call.member.judge.stages
            if asked and call.member.engine is engine:
                yield from next_requests(call, self.retry_unparseable)

    async def _stream(self, records: Sequence[Comparison]) -> AsyncGenerator[Annotation]:
        async with self._seated():
            try:
                async with aclosing(self._debates(records) if self.panel.rounds else self._votes(records)) as rows:
                    async for row in rows:
                        yield row
            finally:
                self.tallies.stats = self._stats()

    async def _votes(self, records: Sequence[Comparison]) -> AsyncGenerator[Annotation]:
        """The members' verdicts and the panel's, comparison by comparison."""
        again, window = self.retry_unparseable, self._window
        verdicts = annotate(self._calls(records), self.tallies, retry_unparseable=again, window=window)
        async with aclosing(verdicts):
            for record in records:
                given = []
                for _ in range(self._size(record)):
                    given.append(await anext(verdicts))
                    yield given[-1]
                yield self._decided(record, given, given)

    async def _debates(self, records: Sequence[Comparison]) -> AsyncGenerator[Annotation]:
        """The same where the members answer again before they vote."""
        ahead = max(1, self._window // len(self.seats))
        async with aclosing(in_order((self._debate(record) for record in records), ahead)) as settled:
            async for rows in settled:
                for row in rows:
                    yield row

    async def _debate(self, record: Comparison) -> list[Annotation]:
        calls = list(self._calls([record]))
        given = [one async for one in annotate(calls, self.tallies, retry_unparseable=self.retry_unparseable)]
        later = await debated(calls, given, self.panel.rounds, self._again)
        last = [said[-1] if said else first for first, said in zip(given, later, strict=True)]
        self.debates += any(later)
        moved = [one for one, was in zip(last, given, strict=True) if one.preference not in (None, was.preference)]
        self.changed.update(one.annotator for one in moved)
        rows = [with_rounds(first, said) for first, said in zip(given, later, strict=True)]
        return [*rows, self._decided(record, last, rows)]

    async def _again(self, calls: Iterable[Call]) -> AsyncGenerator[Annotation]:
        """What members say in a round of a debate; of these calls only what is missing is counted."""
        tallies = AnnotationTallies()
        async with aclosing(annotate(calls, tallies, retry_unparseable=self.retry_unparseable)) as answers:
            async for answer in answers:
                yield answer
        del tallies.status["verdict"]
        self.tallies.add(tallies, 0)

    def _decided(self, record: Comparison, given: Sequence[Annotation], rows: Sequence[Annotation]) -> Annotation:
        """The panel's own verdict on a comparison by what its members said at last; what it took is what their `rows`
        did."""
        calls = [[one for one in given if one.annotator == judge.name] for judge in self._judges()]
        p = np.array([[_opinion(own)] for own in calls])
        weights = np.array([seat.weight for seat in self.panel.members]) if self.panel.rule == "weighted" else None
        made = jury(p, self.panel.voting, weights)
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
            **_took(rows),
        )

    def closing_lines(self) -> list[str]:
        """What happened, for stderr: the panel's verdicts and how clear they are, calls and cost, what is missing."""
        tallies, n = self.tallies, self.own["verdict"]
        lines = [f"{plural(n, 'verdict')} by {self.name} ({self.panel.rule} of {plural(len(self.seats), 'member')})"]
        if n:
            lines[0] += f": strength {self.clear / n:.2f}, entropy {self.mixed / n:.2f} bits on average"
        if self.panel.rounds:
            by = ", ".join(f"{name} {count:,}×" for name, count in self.changed.most_common(5))
            moved = f"; verdicts changed: {by}" if by else "; no verdict was changed" if self.debates else ""
            lines.append(f"{plural(self.debates, 'comparison')} debated, all members of one mind on the rest{moved}")
        if undecided := self.own.total() - n:
            lines.append(f"{plural(undecided, 'comparison')} without a verdict: fewer than half of the members had one")
        if self.abstained:
            by = ", ".join(f"{name} {count:,}×" for name, count in self.abstained.most_common(5))
            lines.append(f"abstained: {by}")
        missing = "".join(f", {tallies.status[w]:,} {w}" for w in ("unparseable", "error") if tallies.status[w])
        rows = plural(tallies.status.total(), "annotation")
        lines.append(f"{rows} by its members: {plural(tallies.status['verdict'], 'verdict')}{missing}")
        if self._paying:
            lines += [
                self._answers(self.pace()),
                *tallies.stages.costs(priced=bool(self.pace())),
                *tallies.stats.warnings(),
            ]
        lines += [*tallies.stages.contexts(), *missing_lines(tallies, self._marks)]
        lines += self._strangers(tallies.answered_by)
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
    # one of several calls that share an answer has its part of it, and no call of its own
    asked = [one for one in given if one.calls or one.price is not None or one.input_tokens is not None]
    made: dict[str, Any] = {}
    for name in ("input_tokens", "output_tokens", "price", "seconds"):
        values = [getattr(one, name) for one in asked]
        made[name] = sum(values) if values and None not in values else None
    return made
