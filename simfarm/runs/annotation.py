"""One annotation run from options to rows: opens the backend and the store, drives the event loop, closes both.

The command line and the Python functions share it. It gives a plain iterator, so that a writer can stream it to a file
and Ctrl-C lands where it always does; everything asynchronous stays inside.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from simfarm.backends import opened, usual_timeout
from simfarm.backends.base import Backend
from simfarm.backends.http.about import About, known_about
from simfarm.backends.http.retirements import retirement
from simfarm.backends.http.traits import refuse_unsent
from simfarm.backends.replay import ReplayBackend
from simfarm.data.exchange import Request
from simfarm.data.records import Annotation, Comparison
from simfarm.engine.runner import Engine, Stats
from simfarm.engine.store import Store, default_store_path
from simfarm.engine.stored import remember
from simfarm.errors import InputError
from simfarm.judges import Judge, load_judge
from simfarm.judges.family import model_family
from simfarm.judges.protocols.pairwise import held, in_process, request_sampling
from simfarm.runs.forecast import forecast
from simfarm.runs.options import JudgeOptions, RunOptions, by_name
from simfarm.runs.stream import drained
from simfarm.runs.verdicts import MAX_ATTEMPTS, Call, Summary, annotate, next_request, plan_calls
from simfarm.settings import refuse, refuse_unasked, spelled
from simfarm.text.words import plural

__all__ = ["DEFAULT_JUDGE", "AnnotationRun"]

DEFAULT_JUDGE = "surface"
"""The judge where none is named: embedded, free, and introduced by its banner."""


@dataclass(slots=True)
class AnnotationRun:
    """A judge, its backend, and how hard to ask it."""

    judge: Judge
    backend: Backend | None
    model: str
    options: RunOptions
    repeats: int = 1
    retry_unparseable: bool = False
    owned: bool = True
    summary: Summary = field(default_factory=Summary)
    stats: Stats | None = None
    about: About | None = None
    """What is known of the judge's model, once it was asked anything."""
    tell: Callable[[str, str], None] | None = None
    """Given what the user must know while it runs, as `Engine` takes it."""

    @classmethod
    def open(cls, judging: JudgeOptions | None = None, running: RunOptions | None = None) -> AnnotationRun:
        """Check everything that can be checked before a call; raises `InputError`.

        A model that is open already stays open. An option that would do nothing is refused.
        """
        judging, running = judging or JudgeOptions(), running or RunOptions()
        chosen = judging.judge if isinstance(judging.judge, Judge) else load_judge(str(judging.judge or DEFAULT_JUDGE))
        if judging.order:
            chosen = chosen.replace(order=judging.order)
        if chosen.rule is not None:
            _refuse_model(chosen, judging, running)
            return cls(chosen, None, "", running)
        chosen = _with_sampling(chosen, judging.sampling())
        spec = judging.model or chosen.model
        if not spec:
            raise InputError(
                f"the judge {chosen.name!r} names no model; add {spelled('model', 'openai/gpt-6-luna')}, for example"
            )
        usual = usual_timeout(spec)
        backend, name = opened(
            spec, base_url=running.base_url, timeout=running.timeout or usual, engine_args=running.engine_args
        )
        if isinstance(backend, ReplayBackend):
            idle = ("concurrency", "rpm", "tpm", "timeout", "budget", "store")
            given = {name: getattr(running, name) for name in idle} | judging.sampling()
            refuse(given, "with a recording, which asks nobody")
            recorded = sorted(backend.models)
            chosen = chosen.replace(model=recorded[0]) if len(recorded) == 1 else chosen
        else:
            chosen = chosen.replace(model=f"{backend.name}/{name}")
            chosen = held(in_process(chosen)) if backend.in_process else chosen
        backend.check(name, chosen.sampling)
        if not (backend.in_process or isinstance(backend, ReplayBackend)):
            refuse_unsent(name, chosen.sampling, (n for n in ("temperature", "top_p") if n in judging.sampling()))
        return cls(
            chosen,
            backend,
            name,
            running.on(backend, usual),
            repeats=judging.repeats,
            retry_unparseable=judging.retry_unparseable,
            owned=backend is not judging.model,
        )

    def calls(self, pairs: Sequence[Comparison]) -> Iterator[Call]:
        return plan_calls(pairs, self.judge, self.repeats)

    def notes(self, pairs: Sequence[Comparison]) -> list[str]:
        """What a user must know before the first call: a shared family, outputs that are cut off or empty."""
        told = []
        if self.backend is not None:
            told += self._unwanted_thoughts()
            if self.judge.until is not None:
                told.append(f"warning: by the judge's file {self.model} is shut down on {self.judge.until}")
            family = model_family(self.judge.model or self.model)
            kin = sorted({g for p in pairs for g in (p.generator_1, p.generator_2) if g and model_family(g) == family})
            if family and kin:
                told.append(
                    f"warning: the judge and {', '.join(kin[:5])}{' …' if len(kin) > 5 else ''} are of one family "
                    f"({family}); judges favour their own, so check with a judge of another family"
                )
        texts = (
            ((p.instruction, generator, text), p.extra.get(f"finish_reason_{side}"))
            for p in pairs
            for side, generator, text in (("1", p.generator_1, p.output_1), ("2", p.generator_2, p.output_2))
        )
        # an output counts once, however often it is compared; hashes, because the texts may be many
        odd = {
            (hash(about), reason == "length", not about[2].strip())
            for about, reason in texts
            if reason == "length" or not about[2].strip()
        }
        cut, empty = sum(c for _, c, _ in odd), sum(e for _, _, e in odd)
        if cut:
            told.append(
                f"warning: {plural(cut, 'output was', 'outputs were')} cut off by the token limit (finish_reason "
                "length)"
            )
        if empty:
            told.append(f"warning: {plural(empty, 'output is', 'outputs are')} empty, judged like any other")
        return told

    def _unwanted_thoughts(self) -> list[str]:
        """What a judge that wants no thinking gets from a model that cannot do without."""
        assert self.backend is not None
        limit = self.judge.sampling.get("max_tokens")
        most = self.backend.most_tokens(Request(self.model, (), request_sampling(self.judge)))
        if limit is None or most is None or most == limit or self.judge.sampling.get("thinking") is not False:
            return []
        room = f"up to {most - limit:,} tokens are allowed for that, beside {limit:,} of a verdict"
        return [f"warning: {self.model} cannot but think, though the judge wants none of it: {room}"]

    def count_calls(self, pairs: Sequence[Comparison]) -> int:
        """How many annotations the run will give."""
        return sum(1 for _ in self.calls(pairs))

    def estimate(self, pairs: Sequence[Comparison]) -> str:
        """What a run would ask and cost at most, in words; asks nothing. Answers in the store cost nothing."""
        calls = list(self.calls(pairs))
        questions = [call for call in calls if call.order is not None]
        ties = f", {plural(len(calls) - len(questions), 'tie')} without a call" if len(calls) > len(questions) else ""
        told = (
            f"{plural(len(pairs), 'comparison')}, {plural(len(questions), 'question')} to judge {self.judge.name}{ties}"
        )
        if self.backend is None:
            return f"{told}\nno model is asked: $0.00"
        return asyncio.run(self._estimated(questions, told))

    async def _estimated(self, questions: list[Call], told: str) -> str:
        async with self._engine() as engine:
            wanted = (
                next_request(call, self.judge, self.model, engine.cached, self.retry_unparseable) for call in questions
            )
            new = [request for request in wanted if request is not None]
            return f"{told}\n{forecast(engine, new, known=len(questions) - len(new))}, repairs apart"

    def annotations(self, pairs: Sequence[Comparison]) -> Generator[Annotation]:
        """Judge all pairs; gives annotations in the order of the pairs, as they become ready. Close it when done.

        Raises `ProviderError` when the provider refuses every call, `InputError` where the options cannot work. What
        was answered before an error or Ctrl-C is in the store.
        """
        return drained(self._stream(pairs))

    async def _stream(self, pairs: Sequence[Comparison]) -> AsyncGenerator[Annotation]:
        if self.backend is None:
            async with aclosing(annotate(self.calls(pairs), self.judge, "", None, self.summary)) as made:
                async for annotation in made:
                    yield annotation
            return
        async with self._engine() as engine:
            self.stats = engine.stats
            made = annotate(
                self.calls(pairs),
                self.judge,
                self.model,
                engine,
                self.summary,
                retry_unparseable=self.retry_unparseable,
                window=4 * engine.concurrency,
            )
            async with aclosing(made):
                async for annotation in made:
                    yield annotation

    @asynccontextmanager
    async def _engine(self) -> AsyncGenerator[Engine]:
        assert self.backend is not None
        path = self.options.store or default_store_path()
        store = None if isinstance(self.backend, ReplayBackend) else Store(path)
        try:
            async with Engine(
                self.backend,
                store,
                concurrency=self.options.concurrency or self.backend.concurrency,
                rpm=self.options.rpm,
                tpm=self.options.tpm,
                budget=self.options.budget,
                price=self.options.price,
                timeout=self.options.timeout,
                close_backend=self.owned,
                tell=self.tell,
            ) as engine:
                try:
                    yield engine
                finally:
                    self.about = engine.lifetime.about
                    if store is not None:
                        remember(path, engine.newly_asked, f"{self.judge.name} ({self.judge.hash})")
        finally:
            if store is not None:
                store.close()

    def life(self) -> About:
        """How long the judge's model lives: as its provider said in this run, else by the table."""
        assert self.backend is not None
        line = retirement(f"{self.backend.name}/{self.model}", self.backend.base_url)
        return self.about or known_about(None, line) or About()

    def closing_lines(self) -> list[str]:
        """What happened, for stderr: calls and cost, verdicts missing and why, warnings about the judge's answers."""
        summary, stats = self.summary, self.stats
        told = [
            f"{plural(sum(summary.status.values()), 'annotation')} by {self.judge.name}: "
            f"{plural(summary.status['verdict'], 'verdict')}"
        ]
        for status in ("unparseable", "error"):
            if summary.status[status]:
                told[0] += f", {summary.status[status]} {status}"
        if summary.ties_without_call:
            told.append(f"{plural(summary.ties_without_call, 'pair')} of identical outputs tied without a call")
        if stats is not None and self.backend is not None and self.backend.name != "replay":
            cost = self.cost_so_far()
            told.append(
                f"{plural(stats.asked, 'new answer')}{f' ({cost})' if cost else ''}, {stats.cached} from the store"
                + (
                    f", {plural(stats.retries, 'retry', 'retries')} ({stats.throttled} throttled)"
                    if stats.retries
                    else ""
                )
                + (f", {plural(summary.repaired, 'answer')} repaired by asking again" if summary.repaired else "")
            )
            told += stats.warnings()
        for problem, count in summary.problems.most_common(5):
            told.append(f"no verdict {count}×: {problem}")
        if summary.cut_off:
            told.append(
                f"warning: {plural(summary.cut_off, 'verdict was', 'verdicts were')} cut off by the token limit, where "
                f"asking again would end as well: {spelled('max_tokens', 'N')} raises it"
            )
        others = {name: n for name, n in summary.answered_by.items() if not same_model(self.model, name)}
        if others and self.backend is not None and self.backend.name != "replay":
            names = ", ".join(f"{name} ({n}×)" for name, n in list(others.items())[:3])
            told.append(f"warning: {self.model} was asked, but {names} answered")
        if summary.stopped:
            told.append(f"stopped: {summary.stopped}")
        elif summary.missing > summary.exhausted + summary.refused + summary.cut_off:
            told.append("run the same command again: only what has no verdict is asked")
        if summary.exhausted:
            told.append(
                f"{plural(summary.exhausted, 'answer')} still unparseable after {MAX_ATTEMPTS} attempts, not asked "
                "again; --retry-unparseable asks once more"
            )
        return told

    def cost_so_far(self) -> str:
        """This run's new calls in US dollars, `unknown price` where the table knows no price for some of them; nothing
        for a model in this process."""
        return "" if self.backend is None or self.backend.in_process or self.stats is None else self.stats.money()


def _refuse_model(judge: Judge, judging: JudgeOptions, running: RunOptions) -> None:
    """Raise `InputError` for an option about a model, where the judge is a rule."""
    if judging.model and judging.judge is None:
        raise InputError(
            f"{spelled('model')} goes with a judge that asks one: add {spelled('judge', 'pairwise-reasoned')} "
            f"(where none is named the judge is {judge.name}, a rule)"
        )
    given = by_name(judging) | by_name(running)
    refuse_unasked({name: value for name, value in given.items() if name not in ("judge", "order")}, judge.name)


def _with_sampling(judge: Judge, given: dict[str, Any]) -> Judge:
    """The judge with the sampling options that were given."""
    own = {name: value for name, value in judge.sampling.items() if name != "thinking" or "effort" not in given}
    return judge.replace(sampling=own | given) if given else judge


def same_model(asked: str, answered: str) -> bool:
    """Whether a provider's answer names the model asked for; an alias may be answered by its dated version, a name by
    that with its revision (NAME@main)."""
    short, full = asked.rsplit("/", 1)[-1].lower(), answered.rsplit("/", 1)[-1].lower()
    if "@" not in short:
        full = full.partition("@")[0]
    return (
        full == short
        or re.fullmatch(re.escape(short.removesuffix("-latest")) + r"-\d{3}[\d-]*(-?v\d+(:\d+)?)?", full) is not None
    )
