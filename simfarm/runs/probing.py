"""A probing run: an annotation run in which some pairs are judged in another manner of the same judge.

Everything else is the annotation run's own: one model, one store, one budget, and its rules for what is no verdict.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from simfarm.data.records import Comparison
from simfarm.engine.runner import Engine
from simfarm.errors import InputError
from simfarm.judges import Judge, load_one
from simfarm.judges.probes.plan import PLACE
from simfarm.runs.annotation import AnnotationRun
from simfarm.runs.asking import Call, Member, plan_calls
from simfarm.runs.options import JudgeOptions, RunOptions

__all__ = ["ProbeRun"]


@dataclass(slots=True, kw_only=True)
class ProbeRun(AnnotationRun):
    """`judges` are those for the manners that the pairs' `extra` names; a pair at another place is asked about once
    more, as a repeat, which the store takes for a question of its own."""

    judges: Mapping[str, Judge] = field(default_factory=dict)

    @classmethod
    def open(cls, judging: JudgeOptions | None = None, running: RunOptions | None = None) -> ProbeRun:
        """As `AnnotationRun.open`; raises `InputError` also for a judge that does not compare two outputs. One that
        scores each of them shows none first, and is asked without an order."""
        judging = judging or JudgeOptions()
        judge = load_one(judging.judge) if isinstance(judging.judge, str | Path) else judging.judge
        if isinstance(judge, Judge) and judge.protocol not in ("pairwise", "likelihood"):
            raise InputError(
                f"the judge {judge.name!r} asks in the protocol {judge.protocol}; probes are pairs: name a pairwise "
                "judge"
            )
        if isinstance(judge, Judge) and judge.scoring is not None:
            judging = replace(judging, judge=judge, order=None)
        run = AnnotationRun.open(judging, running)
        return cls(
            judge=run.judge,
            backend=run.backend,
            model=run.model,
            options=run.options,
            spec=run.spec,
            owned=run.owned,
            repeats=run.repeats,
            retry_unparseable=run.retry_unparseable,
        )

    def calls(self, pairs: Sequence[Comparison], engine: Engine | None = None) -> Iterator[Call]:
        """Every question of the run, each to the judge in the manner of its pair."""
        for pair in pairs:
            manner = pair.extra["manner"]
            member = Member(self.judges.get(manner, self.judge), self.model, engine)
            again = self.repeats if manner == PLACE else 0
            for call in plan_calls([pair], [member], self.repeats + again):
                if call.repeat >= again or call.order is None:
                    yield call
