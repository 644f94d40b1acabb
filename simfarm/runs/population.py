"""A population's run: comparisons in, labels of simulated people out, each of its members asked as a judge is.

Several models may be asked, each by an engine of its own over one store and one budget. What is asked and what is kept
are the members' verdicts; noise and the draws of a crowd are made of them afterwards and never stored.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import tee
from typing import Any

from simfarm.data.exchange import Request
from simfarm.data.records import Annotation, Comparison
from simfarm.engine.prices import at_most
from simfarm.engine.runner import Engine
from simfarm.engine.store import request_key
from simfarm.judges import Population
from simfarm.judges.rules import introduction
from simfarm.runs.annotation import missing_lines, resume_lines
from simfarm.runs.asking import Call, next_request, request_for
from simfarm.runs.cautions import odd_outputs
from simfarm.runs.drawing import Drawn, draw, missing, parameters_of, shares
from simfarm.runs.labels import Item, Plan
from simfarm.runs.members import check_people, opened_members
from simfarm.runs.options import JudgeOptions, RunOptions
from simfarm.runs.scoring import next_requests
from simfarm.runs.several import SeveralRun
from simfarm.runs.tallies import AnnotationTallies
from simfarm.runs.verdicts import annotate
from simfarm.settings import refuse, spelled
from simfarm.statistics.crowd import CrowdParameters
from simfarm.text.words import named, plural

__all__ = ["PopulationRun"]

PAID_PEOPLE = "AlpacaFarm paid people $300"
"""For 1,000 labels (Dubois et al. 2023)."""


@dataclass(slots=True, kw_only=True)
class PopulationRun(SeveralRun):
    """A population (`people`) and how many of them label each comparison; `soft` gives the mean of all instead.
    `parameters` are a calibrated crowd's. `tallies` count labels, `asked` the calls for them, `noised` the labels that
    noise decided; `paid` is what the answers cost, whoever paid it (None: unknown)."""

    annotators: int = 1
    soft: bool = False
    parameters: CrowdParameters | None = None
    tallies: AnnotationTallies = field(default_factory=AnnotationTallies)
    asked: AnnotationTallies = field(default_factory=AnnotationTallies)
    noised: int = 0
    paid: float | None = 0.0

    @classmethod
    def open(cls, judging: JudgeOptions, running: RunOptions) -> PopulationRun:
        """Check everything that can be checked before a call; raises `InputError`. The judge is a population."""
        people = judging.judge
        assert isinstance(people, Population)
        refuse({"repeats": judging.repeats}, f"with a population: {spelled('annotators', 'K')} asks for more labels")
        check_people(people, judging)
        parameters = None if people.crowd is None else parameters_of(people)
        if order := judging.order:
            people = people.replace(lambda judge: judge.replace(order=order))
        judges, models = opened_members(people, judging, running)
        asked = [replace(member, judge=judge) for member, judge in zip(people.members, judges, strict=True)]
        return cls(
            people=replace(people, members=tuple(asked)),
            models=tuple(models),
            annotators=judging.annotators,
            soft=judging.soft,
            retry_unparseable=judging.retry_unparseable,
            parameters=parameters,
            backend=None,
            model="",
            options=running,
        )

    @property
    def judge_hash(self) -> str:
        """The population's, with its members as their models take them."""
        return self.people.hash

    @property
    def introduction(self) -> str | None:
        """What a user must know of members that read no meaning."""
        rules = [member.name for member in self.people.members if introduction(member.judge)]
        if not rules:
            return None
        what = "is a rule and reads" if len(rules) == 1 else "are rules and read"
        return f"judge: {self.name}, whose {named(rules)} {what} no meaning: for trying the farm"

    def count(self, records: Sequence[Comparison]) -> int:
        """How many labels the run will give."""
        plan = self._plan(records)
        if self.parameters is not None:
            return sum(len(item.labels) for item in plan.items())
        return sum(1 if x.coin else len(plan.questions(i, x.member)) for i in plan.items() for x in i.labels)

    def made_by(self) -> dict[str, Any]:
        """The population with its hash."""
        return {"verb": "annotate", "judge": self.name, "judge_hash": self.judge_hash, "annotators": self.annotators}

    def notes(self, records: Sequence[Comparison]) -> list[str]:
        """What a user must know before the first call."""
        lines = self._kin(records)
        crowd = self.people.crowd
        cold = [m.name for m in self.people.members if m.judge.sampling.get("temperature") == 0]
        if crowd is not None and crowd.runs > 2 and cold:
            lines.append(
                f"warning: {crowd.runs} runs at temperature 0 say the same; give the member {cold[0]} a temperature"
            )
        return [*lines, *odd_outputs(records)]

    async def _forecast(self, records: Sequence[Comparison]) -> str:
        async with self._seated():
            told, prices = self._forecasts(records)
            lines = [self._counted(records), *told]
            if not self.engines:
                lines.append("no model is asked: $0.00")
            labels = sum(len(item.labels) for item in self._plan(records).items())
            total = None if None in prices else sum(price or 0.0 for price in prices)
            whole, each = "unknown", "unknown"
            if total is not None:
                whole, each = f"at most {at_most(total)}", at_most(1000 * total / max(labels, 1))
            return "\n".join([*lines, f"all in all {whole}; {each} for 1,000 labels, where {PAID_PEOPLE}"])

    def _counted(self, records: Sequence[Comparison]) -> str:
        coins = [label.coin for item in self._plan(records).items() for label in item.labels]
        noised = sum(coin is not None for coin in coins)
        decided = f", {noised:,} of them decided by noise without a call" if noised else ""
        return f"{plural(len(records), 'comparison')}, {plural(len(coins), 'label')} by {self.name}{decided}"

    def _new(self, records: Sequence[Comparison], engine: Engine) -> Iterator[Request | None]:
        """For each question of one engine, several comparisons' as one, what would be asked; None for nothing."""
        seen: set[bytes] = set()
        for call in self._calls(records):
            if call.member.engine is not engine or call.order is None or call.member.judge.stages:
                continue
            if call.member.judge.scoring is not None:
                yield from next_requests(call, self.retry_unparseable)
                continue
            request = next_request(call, self.retry_unparseable)
            key = request_key(engine.backend.name, engine.backend.base_url, request or request_for(call))
            if key not in seen:
                seen.add(key)
                yield request

    def _calls(self, records: Sequence[Comparison]) -> Iterator[Call]:
        return self._plan(records).calls(self.seats)

    def _plan(self, records: Sequence[Comparison]) -> Plan:
        return Plan(self.people, records, self.annotators, self.soft)

    async def _stream(self, records: Sequence[Comparison]) -> AsyncGenerator[Annotation]:
        plan = self._plan(records)
        # the calls run ahead of the labels by no more than the window
        ahead, items = tee(plan.items())
        async with self._seated():
            try:
                calls, again = plan.calls(self.seats, ahead), self.retry_unparseable
                verdicts = annotate(calls, self.asked, retry_unparseable=again, window=self._window)
                async with aclosing(verdicts):
                    for item in items:
                        given = [[await anext(verdicts) for _ in plan.questions(item, member)] for member in item.asked]
                        for label in self._labels(item, given):
                            self.tallies.count(label)
                            yield label
            finally:
                self._sum_up()

    def _sum_up(self) -> None:
        """Makes what was counted of the calls the run's own."""
        self.tallies.stats, self.tallies.stopped = self._stats(), self.asked.stopped

    def _labels(self, item: Item, given: Sequence[Sequence[Annotation]]) -> Iterator[Annotation]:
        """The labels about one comparison, from the calls of each of those who were asked."""
        self._count_price([call for calls in given for call in calls])
        if self.parameters is not None:
            yield from self._drawn(item, given[0])
            return
        answers = iter(given)
        for nth, label in enumerate(item.labels):
            about: dict[str, Any] = {
                "annotator": self.name,
                "judge_hash": self.judge_hash,
                "person": label.person,
                "repeat": nth,
            }
            if label.coin is not None:
                self.noised += 1
                yield Annotation(item.comparison, preference=label.coin, status="verdict", is_noised=True, **about)
                continue
            for call in next(answers):
                p = None if call.preference is None else self._flipped(call.preference - 1)
                preference = 1 + p if self.soft and p is not None else call.preference
                yield replace(call, preference=preference, p_true=p, is_noised=False, **about)

    def _flipped(self, p: float) -> float:
        """The chance that a label says output_2 where a verdict does so with the chance p."""
        return (1 - 2 * self.people.flip) * p + self.people.flip

    def _drawn(self, item: Item, runs: Sequence[Annotation]) -> Iterator[Annotation]:
        """The labels of a calibrated crowd: drawn around the judge's runs; none where one of those is missing."""
        assert self.parameters is not None
        people = [label.person for label in item.labels]
        lost, same = missing(runs), item.comparison.output_1 == item.comparison.output_2
        drawn: Sequence[Drawn | None] = [None] * len(people)
        if not lost:
            said = [run.preference - 1 for run in runs if run.preference is not None]
            drawn = (
                [Drawn(1.5, 0.5)] * len(people)
                if same
                else draw(self.parameters, self.name, item.comparison, said, people)
            )
        for nth, (person, one) in enumerate(zip(people, drawn, strict=True)):
            yield Annotation(
                comparison=item.comparison,
                annotator=self.name,
                preference=None if one is None else one.preference,
                status=lost[0] if lost else "verdict",
                repeat=nth,
                error=lost[1] if lost else None,
                judge_hash=self.judge_hash,
                model=runs[0].model,
                person=person or None,
                p_true=None if one is None else one.p,
                is_noised=False,
                **shares(runs, nth, len(people)),
            )

    def _count_price(self, calls: Sequence[Annotation]) -> None:
        """Adds what the answers cost, whenever they were paid for; unknown where the price of one is."""
        for call in calls:
            known = call.price if call.raw_completion is not None else 0.0
            self.paid = None if self.paid is None or known is None else self.paid + known

    def closing_lines(self) -> list[str]:
        """What happened, for stderr: the labels, what they took beside what people cost, what is missing and why."""
        tallies, asked = self.tallies, self.asked
        rows = plural(tallies.status.total(), "row")
        said = [f"{rows} by the people of {self.name}: {plural(tallies.status['verdict'], 'verdict')}"]
        said += [f", {tallies.status[why]} {why}" for why in ("unparseable", "error") if tallies.status[why]]
        lines = ["".join(said)]
        if self.noised:
            lines.append(f"{plural(self.noised, 'label')} decided by noise, without a call")
        if asked.ties_without_call:
            lines.append(f"{plural(asked.ties_without_call, 'question')} about identical outputs: ties without a call")
        if self._paying:
            repaired = f", {plural(asked.repaired, 'verdict')} repaired by asking again" if asked.repaired else ""
            lines += [
                self._answers(self.pace()) + repaired,
                *asked.stages.costs(priced=bool(self.pace())),
                *tallies.stats.warnings(),
            ]
            lines += self._cost()
        lines += [*asked.stages.contexts(), *missing_lines(asked, self._marks)]
        lines += self._strangers(asked.answered_by)
        return [*lines, *resume_lines(asked)]

    def _cost(self) -> list[str]:
        labels = self.tallies.status["verdict"]
        if not self.paid or not labels:
            return []
        each = 1000 * self.paid / labels
        return [f"all these labels cost ${self.paid:.4f}: ${each:.2f} for 1,000, where {PAID_PEOPLE}"]
