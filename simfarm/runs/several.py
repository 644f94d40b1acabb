"""What every run by several judges is: their models open, an engine over each, one store and one budget for all.

A panel decides by its members' verdicts and a population draws one of its members for each label; how they are opened,
asked, paid and summed up is the same.
"""

from __future__ import annotations

import asyncio
from abc import abstractmethod
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from simfarm.data.records import ANNOTATION_COLUMNS, Annotation, Comparison
from simfarm.engine.runner import Engine
from simfarm.engine.stats import Stats
from simfarm.judges import Judge, Population
from simfarm.judges.marks import marks_expected
from simfarm.runs.asking import Call, Member
from simfarm.runs.cautions import kin_lines
from simfarm.runs.forecast import forecast
from simfarm.runs.members import seated
from simfarm.runs.outlook import outlook
from simfarm.runs.run import OpenModel, Run, same_model
from simfarm.text.words import named

__all__ = ["SeveralRun"]


@dataclass(slots=True, kw_only=True)
class SeveralRun(Run[Comparison, Annotation]):
    """Members (`people`) whose judges are as their models take them, and these models open (None for a rule). While it
    runs, `seats` are the members as they are asked, `engines` those that ask."""

    people: Population
    models: tuple[OpenModel | None, ...]
    retry_unparseable: bool = False
    seats: list[Member] = field(default_factory=list)
    engines: list[Engine] = field(default_factory=list)

    @property
    def columns(self) -> Sequence[str]:
        """Those of verdicts on pairs."""
        return ANNOTATION_COLUMNS

    @property
    def name(self) -> str:
        """Under which what they say together is recorded."""
        return self.people.name

    @property
    @abstractmethod
    def judge_hash(self) -> str:
        """Of all of them, as their models take them."""

    @property
    def order(self) -> str:
        """Of what they say together, one a comparison: output_1 first."""
        return "fixed"

    @property
    def asks(self) -> bool:
        """Whether anything is asked that may cost."""
        return any(model is not None for model in self.models)

    @abstractmethod
    def _calls(self, records: Sequence[Comparison]) -> Iterator[Call]:
        """Every question to a member who sits."""

    def _judges(self) -> list[Judge]:
        return [member.judge for member in self.people.members]

    def _kin(self, records: Sequence[Comparison]) -> list[str]:
        """Warnings of members that judge outputs of their own family."""
        models = sorted({judge.model for judge in self._judges() if judge.model})
        return [line for model in models for line in kin_lines(model, records)]

    def estimate(self, records: Sequence[Comparison]) -> str:
        """What a run would ask and cost at most, in words; asks nothing."""
        return asyncio.run(self._forecast(records))

    def _forecasts(self, records: Sequence[Comparison]) -> tuple[list[str], list[float | None]]:
        """(what each engine would be asked, in words; the price of each request at most, None: unknown)."""
        lines, prices = [], list[float | None]()
        for engine in self.engines:
            ahead = outlook(self._staged(records, engine), engine, self.retry_unparseable)
            requests = list(self._new(records, engine))
            new = [*ahead.now, *(request for request in requests if request is not None)]
            known = ahead.known + requests.count(None)
            lines.append("\n".join([forecast(engine, new, known), *ahead.then(engine)]) + ", repairs apart")
            if not engine.backend.in_process:
                prices += [engine.estimate(request)[2] for request in [*new, *ahead.later]]
        return lines, prices

    def _staged(self, records: Sequence[Comparison], engine: Engine) -> Iterator[Call]:
        """The calls through an engine of judges that ask in several."""
        for call in self._calls(records):
            if call.member.engine is engine and call.order is not None and call.member.judge.stages:
                yield call

    @asynccontextmanager
    async def _seated(self) -> AsyncIterator[None]:
        """The members as they are asked, each with the engine over its model; all closed at the end."""
        asker = f"{self.name} ({self.judge_hash})"
        async with seated(self.people, self.models, self.options, self.tell, asker) as (seats, engines):
            self.seats, self.engines = seats, engines
            yield

    @property
    def _window(self) -> int:
        """How many calls may be begun beyond the first that is unanswered."""
        return 4 * max((engine.concurrency for engine in self.engines), default=64)

    def _stats(self) -> Stats:
        total = Stats()
        for engine in self.engines:
            total.add(engine.stats)
        return total

    def pace(self) -> str:
        """What the run cost so far."""
        return self._stats().money() if any(not engine.backend.in_process for engine in self.engines) else ""

    @property
    def _paying(self) -> bool:
        """Whether any member is no recording."""
        return any(engine.backend.name != "replay" for engine in self.engines)

    @property
    def _marks(self) -> int:
        """By how many criteria a verdict is marked at most."""
        return max((marks_expected(judge) for judge in self._judges()), default=0)

    def _strangers(self, answered_by: Counter[str]) -> list[str]:
        """A warning where other models answered than were asked."""
        names = [model.name for model in self.models if model is not None]
        others = [name for name in answered_by if not any(same_model(one, name) for one in names)]
        if not (self._paying and others):
            return []
        return [f"warning: {named(names)} were asked, but {named(others)} answered"]
