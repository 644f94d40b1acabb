"""One annotation run from options to rows: opens the backend and the store, drives the event loop, closes both.

The command line and the Python functions share it. It gives a plain iterator, so that a writer can stream it to a file
and Ctrl-C lands where it always does; everything asynchronous stays inside.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator, Callable, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from simfarm.backends import opened, usual_timeout
from simfarm.backends.base import Backend
from simfarm.backends.http.about import About, known_about
from simfarm.backends.http.retirements import retirement
from simfarm.backends.http.traits import refuse_unsent
from simfarm.backends.replay import ReplayBackend
from simfarm.data.exchange import Request
from simfarm.data.records import Annotation, Comparison
from simfarm.engine.runner import Engine, Stats, run_limits
from simfarm.engine.store import Store, default_store_path
from simfarm.engine.stored import remember
from simfarm.errors import InputError
from simfarm.judges import Judge, load_judge
from simfarm.judges.family import model_family
from simfarm.judges.protocols.pairwise import held, in_process, request_sampling
from simfarm.runs.forecast import forecast
from simfarm.runs.stream import drained
from simfarm.runs.verdicts import MAX_ATTEMPTS, Call, Summary, annotate, next_request, plan_calls
from simfarm.settings import check_numbers, refuse, refuse_unasked, spelled
from simfarm.text.words import plural

__all__ = ["DEFAULT_JUDGE", "Session"]

DEFAULT_JUDGE = "surface"
"""The judge where none is named: embedded, free, and introduced by its banner."""


@dataclass(slots=True)
class Session:
    """A judge, its backend, and how hard to ask it."""

    judge: Judge
    backend: Backend | None
    model: str
    store: Path
    repeats: int = 1
    retry_unparseable: bool = False
    concurrency: int = 64
    owned: bool = True
    limits: dict[str, Any] = field(default_factory=dict)
    summary: Summary = field(default_factory=Summary)
    stats: Stats | None = None
    about: About | None = None
    """What is known of the judge's model, once it was asked anything."""
    tell: Callable[[str, str], None] | None = None
    """Given what the user must know while it runs, as `Engine` takes it."""

    @classmethod
    def open(
        cls,
        judge: str | Path | Judge | None = None,
        *,
        model: str | Backend | None = None,
        base_url: str | None = None,
        engine: Mapping[str, Any] | None = None,
        order: str | None = None,
        repeats: int = 1,
        store: Path | None = None,
        retry_unparseable: bool = False,
        concurrency: int | None = None,
        timeout: float | None = None,
        rpm: float | None = None,
        tpm: float | None = None,
        budget: float | None = None,
        price: tuple[float, float] | None = None,
        max_tokens: int | None = None,
        temperature: float | None = None,
        top_p: float | None = None,
        effort: str | None = None,
    ) -> Session:
        """Check everything that can be checked before a call; raises `InputError`.

        `model` is a spec, or a model opened with `open_model`, which stays open; `engine` holds the options of a model
        in this process. `budget` is in US dollars, `price` is (IN, OUT) in dollars a million tokens, `timeout` in
        seconds, `rpm` and `tpm` in requests and tokens a minute; `concurrency` is the backend's own where None.
        `max_tokens`, `temperature`, `top_p` and `effort` change the judge's own, and so its hash. An option that would
        do nothing is refused.
        """
        if repeats < 1:
            raise InputError(f"{spelled('repeats')} is {repeats}; it must be at least 1")
        chosen = judge if isinstance(judge, Judge) else load_judge(str(judge or DEFAULT_JUDGE))
        if order:
            chosen = chosen.replace(order=order)
        drawn = {"max_tokens": max_tokens, "temperature": temperature, "top_p": top_p, "effort": effort}
        asking: dict[str, Any] = {
            "concurrency": concurrency,
            "rpm": rpm,
            "tpm": tpm,
            "timeout": timeout,
            "budget": budget,
        }
        check_numbers(asking | {"price": price})
        asking |= {"price": price, "store": store}
        if chosen.rule is not None:
            if model and judge is None:
                raise InputError(
                    f"{spelled('model')} goes with a judge that asks one: add {spelled('judge', 'pairwise-reasoned')} "
                    f"(where none is named the judge is {chosen.name}, a rule)"
                )
            unasked = {"model": model, "base_url": base_url, "engine": engine, "repeats": repeats, **drawn, **asking}
            refuse_unasked(unasked | {"retry_unparseable": retry_unparseable}, chosen.name)
            return cls(chosen, None, "", default_store_path(), repeats=1)
        chosen = _with_sampling(chosen, drawn)
        spec = model or chosen.model
        if not spec:
            raise InputError(
                f"the judge {chosen.name!r} names no model; add {spelled('model', 'openai/gpt-6-luna')}, for example"
            )
        usual = usual_timeout(spec)
        backend, name = opened(spec, base_url=base_url, timeout=timeout or usual, engine=engine)
        if isinstance(backend, ReplayBackend):
            refuse({k: v for k, v in asking.items() if k != "price"} | drawn, "with a recording, which asks nobody")
            recorded = sorted(backend.models)
            chosen = chosen.replace(model=recorded[0]) if len(recorded) == 1 else chosen
        else:
            chosen = chosen.replace(model=f"{backend.name}/{name}")
            chosen = held(in_process(chosen)) if backend.in_process else chosen
        backend.check(name, chosen.sampling)
        if not (backend.in_process or isinstance(backend, ReplayBackend)):
            refuse_unsent(name, chosen.sampling, (n for n in ("temperature", "top_p") if drawn[n] is not None))
        return cls(
            chosen,
            backend,
            name,
            store or default_store_path(),
            repeats=repeats,
            retry_unparseable=retry_unparseable,
            concurrency=concurrency or backend.concurrency,
            owned=backend is not model,
            limits=run_limits(
                backend, concurrency, timeout, usual, {"rpm": rpm, "tpm": tpm, "budget": budget, "price": price}
            ),
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
                window=4 * self.concurrency,
            )
            async with aclosing(made):
                async for annotation in made:
                    yield annotation

    @asynccontextmanager
    async def _engine(self) -> AsyncGenerator[Engine]:
        assert self.backend is not None
        store = None if isinstance(self.backend, ReplayBackend) else Store(self.store)
        try:
            async with Engine(
                self.backend,
                store,
                concurrency=self.concurrency,
                close_backend=self.owned,
                tell=self.tell,
                **self.limits,
            ) as engine:
                try:
                    yield engine
                finally:
                    self.about = engine.lifetime.about
                    if store is not None:
                        remember(self.store, engine.newly_asked, f"{self.judge.name} ({self.judge.hash})")
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


def _with_sampling(judge: Judge, drawn: Mapping[str, float | str | None]) -> Judge:
    """The judge with the sampling options that were given."""
    given = {name: value for name, value in drawn.items() if value is not None}
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
