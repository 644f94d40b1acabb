"""A judge probed: outputs in, everything asked in one run, what the judge can be fooled by out.

Where a model is to make twins of the outputs, it is asked before the judge; both share the budget and the store.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from simfarm.backends.base import Backend
from simfarm.data.exchange import Judged
from simfarm.data.files import read_rows
from simfarm.data.records import Annotation, Comparison, Output, outputs_from_rows
from simfarm.engine.stats import Stats
from simfarm.errors import BudgetError, InputError
from simfarm.judges import Judge, load_judge
from simfarm.judges.probes import Plan, planned
from simfarm.judges.probes.plan import probed_outputs
from simfarm.judges.probes.twins import WAYS, asked_for, read_twin, twins
from simfarm.methods.probed import Probed, measured
from simfarm.resources import prompts_dir
from simfarm.runs.options import JudgeOptions, RunOptions
from simfarm.runs.probing import ProbeRun
from simfarm.runs.questions import Question, QuestionRun
from simfarm.runs.run import Run
from simfarm.settings import spelled

__all__ = ["Follow", "Prober", "bundled_outputs"]

_LONGEST = 2048
"""Tokens of a twin."""

Follow = Callable[[Run[Any, Any], Sequence[Any]], Iterable[Any]]
"""How a run is followed: its results, with whatever is shown meanwhile."""


def bundled_outputs(limit: int | None = None) -> list[Output]:
    """The instructions and answers that ship with simfarm, in our own words: sixteen with three answers each, the first
    `limit` of them."""
    path = prompts_dir() / "probes" / "outputs.jsonl"
    outputs = outputs_from_rows(read_rows(path), str(path))
    kept = list(dict.fromkeys(output.instruction for output in outputs))[:limit]
    return [output for output in outputs if output.instruction in kept]


@dataclass(slots=True)
class Prober:
    """One judge's probing under way. `twins` is the model that makes twins along each of the `respects` (where none is
    named, correctness), if any; `run` and `plan` are what was asked, once it was."""

    outputs: Sequence[Output]
    judging: JudgeOptions
    running: RunOptions
    follow: Follow
    twins: str | Backend | None = None
    respects: tuple[str, ...] = ()
    level: float = 0.95
    took: Stats = field(default_factory=Stats)
    missing: int = 0
    notes: list[str] = field(default_factory=list)
    run: ProbeRun = field(init=False)
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        if not any(output.output.strip() for output in self.outputs):
            raise InputError("all outputs are empty: there is nothing to probe a judge with; name other outputs")
        if self.respects and self.twins is None:
            raise InputError(f"{spelled('along')} is for twins; add {spelled('twins', 'SPEC')}, or leave it out")
        if not all(respect.strip() for respect in self.respects):
            raise InputError(f"{spelled('along')} is empty; say in which respect twins are to differ")
        self.respects = self.respects or ("correctness",)
        if self.judging.order not in (None, "both"):
            raise InputError(
                f"a probe is asked in both orders, or the place would be taken for the answer: leave "
                f"{spelled('order', self.judging.order)} out"
            )
        self.judging = replace(self.judging, order="both")

    def probed(self) -> tuple[Probed, list[Annotation]]:
        """(the figures, the annotations behind them). Raises `BudgetError` where the budget does not reach beyond the
        twins; one that ends among the verdicts leaves figures of what there is."""
        self._open()
        if self.twins is not None:
            self._open(self._made())
        annotations = list(self.follow(self.run, self.plan.pairs))
        return measured(self.plan, annotations, self.run.judge, self.level), annotations

    def estimate(self) -> str:
        """What that would ask and cost at most, in words; asks nothing. A twin is taken to be as long as its output."""
        said = []
        extra: list[Comparison] = []
        if self.twins is not None:
            run = self._twin_run()
            said.append(run.estimate([question for question, *_ in self._questions()]))
            extra = list(twins([(o, r, way, f"{o.output} …") for _, o, r, way in self._questions()]))
        self._open(extra)
        return "\n".join([*said, self.run.estimate(self.plan.pairs)])

    def _open(self, extra: Sequence[Comparison] = ()) -> None:
        """Before twins are made too, so that nothing is paid for a judge that cannot be asked."""
        self.run = ProbeRun.open(self.judging, self._of_judge().after(self.took))
        self.plan = planned(self.outputs, self.run.judge, extra)
        self.run.judges = self.plan.judges

    @property
    def judge(self) -> Judge:
        """The judge as it was asked."""
        return self.run.judge

    def _of_judge(self) -> RunOptions:
        """The options for asking the judge: beside a rule, which asks nobody, all are the twins'."""
        judge = self.judging.judge
        loaded = load_judge(judge) if isinstance(judge, str | Path) else judge
        rule = isinstance(loaded, Judge) and loaded.rule is not None
        return RunOptions() if rule and self.twins is not None else self.running

    def _twin_run(self) -> QuestionRun:
        assert self.twins is not None
        # the server and the engine's options are the judge's model's
        running = replace(self.running, base_url=None, engine_args={})
        return QuestionRun.open(self.twins, running, what="probe: twins", read=read_twin)

    def _questions(self) -> list[tuple[Question, Output, str, str]]:
        return [
            (
                Question(
                    asked_for(output, respect, way),
                    {"temperature": 0, "max_tokens": _LONGEST},
                    Judged(output.instruction, output.generator, respect, way, 0),
                ),
                output,
                respect,
                way,
            )
            for output in probed_outputs(self.outputs)
            for respect in self.respects
            for way in WAYS
        ]

    def _made(self) -> list[Comparison]:
        """The pairs of the twins."""
        asked, run = self._questions(), self._twin_run()
        replies = list(self.follow(run, [question for question, *_ in asked]))
        self.took.add(run.tallies.stats)
        self.missing = run.tallies.missing
        self.notes += run.closing_lines()
        if run.tallies.stopped:
            raise BudgetError(f"{run.tallies.stopped}; what was answered is kept: run it again with a larger budget")
        texts = (reply.value for reply in replies)
        return list(twins([(o, r, way, text) for (_, o, r, way), text in zip(asked, texts, strict=True)]))
