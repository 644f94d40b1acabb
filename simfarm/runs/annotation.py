"""An annotation run: comparisons in, annotations by a judge out, asked of its model or decided by its rule."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any, Self

from simfarm.backends import usual_timeout
from simfarm.backends.base import Backend
from simfarm.backends.http.about import About, known_about
from simfarm.backends.http.retirements import retirement
from simfarm.data.exchange import Request
from simfarm.data.rated import RATING_COLUMNS, Rated
from simfarm.data.records import ANNOTATION_COLUMNS, Annotation, Comparison
from simfarm.data.sampling import DRAWN
from simfarm.engine.runner import Engine
from simfarm.errors import InputError
from simfarm.judges import Judge, Panel, Population, load_one
from simfarm.judges.marks import marks_expected
from simfarm.judges.question import held, in_process, request_sampling
from simfarm.judges.rules import introduction
from simfarm.judges.stages import every_stage, samplings
from simfarm.runs.asking import MAX_ATTEMPTS, Call, Member, plan_calls
from simfarm.runs.cautions import joint_lines, kin_lines, odd_outputs
from simfarm.runs.derived import beside_pairwise, with_compared
from simfarm.runs.fitness import check_questions, check_scoring, check_spec
from simfarm.runs.options import JudgeOptions, RunOptions, by_name
from simfarm.runs.outlook import staged_forecast
from simfarm.runs.parts import server_name
from simfarm.runs.room import check_room
from simfarm.runs.run import OpenModel, Run
from simfarm.runs.scoring import beside_reference, next_requests
from simfarm.runs.tallies import AnnotationTallies
from simfarm.runs.verdicts import annotate
from simfarm.settings import refuse, refuse_unasked, spelled
from simfarm.text.words import plural

__all__ = ["DEFAULT_JUDGE", "AnnotationRun", "missing_lines", "resume_lines", "with_model"]

DEFAULT_JUDGE = "surface"
"""The judge where none is named: embedded, free, and introduced by its banner."""


@dataclass(slots=True, kw_only=True)
class AnnotationRun(Run[Comparison, Annotation]):
    """A judge, its model, and how often it is asked."""

    judge: Judge
    repeats: int = 1
    retry_unparseable: bool = False
    tallies: AnnotationTallies = field(default_factory=AnnotationTallies)

    @classmethod
    def open(cls, judging: JudgeOptions | None = None, running: RunOptions | None = None) -> AnnotationRun:
        """Check everything that can be checked before a call; raises `InputError`.

        A model that is open already stays open. An option that would do nothing is refused.
        """
        judging, running = judging or JudgeOptions(), running or RunOptions()
        judge = judging.judge if isinstance(judging.judge, Judge) else load_one(_named(judging.judge))
        refuse({"order": judging.order if judge.alone else None}, f"with {judge.name!r}, which is shown one output")
        if judge.scoring is not None:
            said = {"order": judging.order, "repeats": judging.repeats}
            refuse(said, f"with {judge.name!r}: a likelihood is the same in every order and every time")
        if judging.order:
            judge = judge.replace(order=judging.order)
        refuse({"annotators": judging.annotators, "soft": judging.soft}, f"with {judge.name!r}, which is no population")
        if judge.rule is not None:
            _refuse_model(judge, judging, running)
            return cls(judge=judge, backend=None, model="", options=running)
        judge, model = with_model(judge, judging, running)
        return cls(
            judge=judge,
            backend=model.backend,
            model=model.name,
            options=model.options,
            spec=model.spec,
            owned=model.owned,
            repeats=judging.repeats,
            retry_unparseable=judging.retry_unparseable,
        )

    @property
    def columns(self) -> Sequence[str]:
        """Those of ratings, or of verdicts on pairs; of a judge that gives both, those of its records."""
        if self.judge.scoring is not None:
            return ()
        return RATING_COLUMNS if self.judge.alone else ANNOTATION_COLUMNS

    @property
    def name(self) -> str:
        """The judge's name, under which its verdicts are recorded."""
        return self.judge.name

    @property
    def judge_hash(self) -> str:
        """The judge's."""
        return self.judge.hash

    @property
    def order(self) -> str:
        """In which order pairs are shown, as a judge's file says it."""
        return self.judge.order

    @property
    def asks(self) -> bool:
        """Whether anything is asked that may cost."""
        return self.backend is not None

    @property
    def introduction(self) -> str | None:
        """What a user must know of a judge that reads no meaning."""
        return introduction(self.judge)

    def calls(self, pairs: Sequence[Comparison], engine: Engine | None = None) -> Iterator[Call]:
        """Every question of the run, to be asked through `engine`, and the ties that need none."""
        planned = plan_calls(pairs, [Member(self.judge, self.model, engine)], self.repeats)
        return with_compared(planned, pairs, self.judge.auxiliary) if self.judge.auxiliary else planned

    def count(self, records: Sequence[Comparison]) -> int:
        """How many annotations the run will give."""
        return sum(1 for _ in self.calls(records))

    def made_by(self) -> dict[str, Any]:
        """The judge with its hash, and the server that its model runs on."""
        return {
            "verb": "annotate",
            "judge": self.judge.name,
            "judge_hash": self.judge.hash,
            "server": None if self.backend is None else server_name(self.backend.base_url),
            "repeats": self.repeats,
        }

    def bare(self) -> Self:
        """Also without the judge's compiled template, which cannot travel: a copy of the judge has none yet."""
        return replace(Run.bare(self), judge=replace(self.judge))

    def notes(self, records: Sequence[Comparison]) -> list[str]:
        """What a user must know before the first call: a shared family, outputs that are cut off or empty."""
        lines = []
        if self.backend is not None:
            lines += self._unwanted_thoughts()
            if self.judge.until is not None:
                lines.append(
                    f"warning: by the judge's file {self.model} is shut down on {self.judge.until}: "
                    f"{spelled('model', 'PREFIX/NAME')} names another"
                )
            lines += kin_lines(self.judge.model or self.model, records)
        lines += joint_lines(records) if self.judge.protocol == "joint" else []
        return [*lines, *odd_outputs(records)]

    def _unwanted_thoughts(self) -> list[str]:
        """What a judge that wants no thinking gets from a model that cannot do without."""
        assert self.backend is not None
        limit = self.judge.sampling.get("max_tokens")
        most = self.backend.most_tokens(Request(self.model, (), request_sampling(self.judge)))
        if limit is None or most is None or most == limit or self.judge.sampling.get("thinking") is not False:
            return []
        room = f"up to {most - limit:,} tokens are allowed for that, beside {limit:,} of a verdict"
        return [f"warning: {self.model} cannot but think, though the judge wants none of it: {room}"]

    @property
    def apart(self) -> str:
        """A reply that cannot be read is asked for once more; a decision or a likelihood is read, or there is none."""
        return "" if self.judge.questions or self.judge.scoring else ", repairs apart"

    def _counted(self, records: Sequence[Comparison]) -> str:
        orders = [call.order for call in self.calls(records) if call.place == 0]
        ties = f", {plural(orders.count(None), 'tie')} without a call" if None in orders else ""
        alone = self.judge.alone or any(isinstance(record, Rated) for record in islice(records, 1))
        shown = plural(len(records), "output" if alone else "comparison")
        asked = plural(len(orders) - orders.count(None), "question")
        return f"{shown}, {asked} to judge {self.judge.name}{ties}"

    def _new(self, records: Sequence[Comparison], engine: Engine) -> Iterator[Request | None]:
        for call in self.calls(records, engine):
            # of those that make one request, the first
            if call.order is not None and call.place == 0:
                yield from next_requests(call, self.retry_unparseable)

    async def _forecast(self, records: Sequence[Comparison]) -> str:
        if not self.judge.stages:
            return await Run._forecast(self, records)
        async with self._engine() as engine:
            calls = [call for call in self.calls(records, engine) if call.order is not None]
            told = staged_forecast(engine, calls, self.retry_unparseable)
            return f"{told}\n{beside_pairwise(calls, engine)}" if self.judge.auxiliary else told

    async def _stream(self, records: Sequence[Comparison]) -> AsyncGenerator[Annotation]:
        if self.backend is None:
            async with aclosing(annotate(self.calls(records), self.tallies)) as annotations:
                async for annotation in annotations:
                    yield annotation
            return
        async with self._engine() as engine:
            self.tallies.stats = engine.stats
            if self.judge.ranks:
                await check_room(self.calls(records, engine), engine)
            annotations = annotate(
                self.calls(records, engine),
                self.tallies,
                retry_unparseable=self.retry_unparseable,
                window=4 * engine.concurrency,
            )
            async with aclosing(annotations):
                async for annotation in annotations:
                    yield annotation

    def _asker(self) -> str:
        return f"{self.judge.name} ({self.judge.hash})"

    def life(self) -> About:
        """How long the judge's model lives: as its provider said in this run, else by the table."""
        assert self.backend is not None
        line = retirement(f"{self.backend.name}/{self.model}", self.backend.base_url)
        return self.about or known_about(None, line) or About()

    def closing_lines(self) -> list[str]:
        """What happened, for stderr: calls and cost, verdicts missing and why, warnings about the judge's answers."""
        tallies = self.tallies
        status = tallies.status
        verdicts = f"{plural(status.total(), 'annotation')} by {self.name}: {plural(status['verdict'], 'verdict')}"
        missing = [f", {status[why]} {why}" for why in ("unparseable", "error") if status[why]]
        lines = ["".join([verdicts, *missing])]
        if tallies.ties_without_call:
            lines.append(f"{plural(tallies.ties_without_call, 'pair')} of identical outputs tied without a call")
        asked = self.backend is not None and self.backend.name != "replay"
        if asked:
            repaired = f", {plural(tallies.repaired, 'answer')} repaired by asking again" if tallies.repaired else ""
            lines += [
                self._answers(self.pace()) + repaired,
                *tallies.stages.costs(priced=bool(self.pace())),
                *tallies.stats.warnings(),
            ]
        lines += tallies.stages.contexts()
        lines += missing_lines(tallies, marks_expected(self.judge))
        if asked:
            lines += self._others(tallies.answered_by)
        return [*lines, *resume_lines(tallies)]


def missing_lines(tallies: AnnotationTallies, marks: int) -> list[str]:
    """Why verdicts are missing, and what of those that are there; `marks` is how many criteria each is marked by."""
    lines = [f"no verdict {count}×: {problem}" for problem, count in tallies.problems.most_common(5)]
    if tallies.unmarked:
        asked_of = plural(marks * tallies.status["verdict"], "mark")
        lines.append(
            f"warning: {tallies.unmarked:,} of {asked_of} by criteria are missing (refused or not answered); the "
            "verdicts stand"
        )
    if tallies.cut_off:
        lines.append(
            f"warning: {plural(tallies.cut_off, 'verdict was', 'verdicts were')} cut off by the token limit, where "
            f"asking again would end as well: {spelled('max_tokens', 'N')} raises it"
        )
    return lines


def resume_lines(tallies: AnnotationTallies) -> list[str]:
    """What stopped a run, and what the next one would do."""
    lines = []
    if tallies.stopped:
        lines.append(f"stopped: {tallies.stopped}")
    elif tallies.missing > tallies.exhausted + tallies.refused + tallies.cut_off:
        lines.append("run the same command again: only what has no verdict is asked")
    if tallies.exhausted:
        lines.append(
            f"{plural(tallies.exhausted, 'answer')} still unparseable after {MAX_ATTEMPTS} attempts, not asked "
            "again; --retry-unparseable asks once more"
        )
    return lines


def _named(judge: str | Path | Population | Panel | None) -> str:
    """The judge's name or file; raises `InputError` for a population or a panel."""
    if isinstance(judge, Panel):
        raise InputError(f"{judge.name!r} is a panel, for simfarm annotate and evaluate; name one judge")
    if isinstance(judge, Population):
        raise InputError(f"{judge.name!r} is a population, simulated people for annotate and evaluate; name a judge")
    return str(judge or DEFAULT_JUDGE)


def with_model(
    judge: Judge,
    judging: JudgeOptions,
    running: RunOptions,
    opening: Callable[[str | Backend, RunOptions, float], OpenModel] = OpenModel.of,
) -> tuple[Judge, OpenModel]:
    """(the judge as its model takes it, the model open), everything checked that can be before a call. Raises
    `InputError`."""
    judge = _with_sampling(judge, judging.sampling())
    spec = judging.model or judge.model
    if not spec:
        raise InputError(
            f"the judge {judge.name!r} names no model; add {spelled('model', 'openai/gpt-6-luna')}, for example"
        )
    if isinstance(spec, str):
        check_spec(judge, spec)
    model = opening(spec, running, usual_timeout(spec))
    judge = _on_model(judge, model, judging, running)
    check_questions(judge, model.backend, model.name)
    check_scoring(judge, model.backend, model.name)
    judge, model = beside_reference(judge, model, lambda other: opening(other, running, usual_timeout(other)))
    for sampling in (judge.sampling, *samplings(judge)):
        model.backend.check(model.name, sampling)
        model.refuse_unsent(sampling, (name for name in DRAWN if name in judging.sampling()))
    return judge, model


def _refuse_model(judge: Judge, judging: JudgeOptions, running: RunOptions) -> None:
    """Raise `InputError` for an option about a model, where the judge is a rule."""
    if judging.model and judging.judge is None:
        raise InputError(
            f"{spelled('model')} goes with a judge that asks one: add {spelled('judge', 'pairwise-reasoned')} "
            f"(where none is named the judge is {judge.name}, a rule)"
        )
    given = by_name(judging) | by_name(running)
    refuse_unasked({name: value for name, value in given.items() if name not in ("judge", "order")}, judge.name)


def _on_model(judge: Judge, model: OpenModel, judging: JudgeOptions, running: RunOptions) -> Judge:
    """The judge as its model takes it; raises `InputError` for an option that does nothing with a recording."""
    if model.recorded is None:
        judge = judge.replace(model=f"{model.backend.name}/{model.name}")
        return held(in_process(judge)) if model.backend.in_process else judge
    idle = ("concurrency", "rpm", "tpm", "timeout", "budget", "store")
    given = {name: value for name, value in by_name(running).items() if name in idle}
    refuse(given | judging.sampling(), "with a recording, which asks nobody")
    recorded = sorted(model.recorded.models)
    return judge.replace(model=recorded[0]) if len(recorded) == 1 else judge


def _with_sampling(judge: Judge, given: dict[str, Any]) -> Judge:
    """The judge with the sampling options that were given, in all of its stages."""
    if not given:
        return judge

    def replaced(own: Mapping[str, Any]) -> dict[str, Any]:
        return {name: value for name, value in own.items() if name != "thinking" or "effort" not in given} | given

    return every_stage(judge.replace(sampling=replaced(judge.sampling)), replaced)
