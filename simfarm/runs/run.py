"""What every run is: many requests to one open model, from records to results, counted as they come and summed up.

The command line, the Python functions and a cluster's workers take any run. It gives a plain iterator, so that a writer
can stream it to a file and Ctrl-C lands where it always does; everything asynchronous stays inside.
"""

from __future__ import annotations

import asyncio
import re
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Generic, Protocol, Self, TypeAlias, TypeVar

from simfarm.backends import TIMEOUT, opened
from simfarm.backends.base import Backend
from simfarm.backends.http.about import About
from simfarm.backends.http.traits import refuse_unsent
from simfarm.backends.replay import ReplayBackend
from simfarm.data.exchange import Request
from simfarm.data.records import Record
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store, default_store_path
from simfarm.engine.stored import remember
from simfarm.errors import InputError
from simfarm.runs.forecast import forecast
from simfarm.runs.options import RunOptions
from simfarm.runs.stream import drained
from simfarm.runs.tallies import Tallies
from simfarm.text.words import plural

__all__ = ["Follow", "OpenModel", "Result", "Row", "Run", "same_model"]


class Row(Protocol):
    """What a run gives: something that knows its row in a file."""

    def row(self) -> dict[str, Any]: ...


Result = TypeVar("Result", bound=Row)


@dataclass(frozen=True, slots=True)
class OpenModel:
    """A backend that is ready, the model's name for requests, and the options in force on it. `spec` is the model as
    the user wrote it, None where it was open already; then it is not `owned`, and stays open."""

    backend: Backend
    name: str
    options: RunOptions
    spec: str | None

    @classmethod
    def of(cls, model: str | Backend, options: RunOptions, usual: float) -> OpenModel:
        """Opens a spec, or takes what is open; `usual` is a server's time-out in seconds where the user names none.
        Raises `InputError`."""
        backend, name = opened(
            model, base_url=options.base_url, timeout=options.timeout or usual, engine_args=options.engine_args
        )
        return cls(backend, name, options.on(backend, usual), model if isinstance(model, str) else None)

    @property
    def owned(self) -> bool:
        """Whether the run closes it."""
        return self.spec is not None

    @property
    def recorded(self) -> ReplayBackend | None:
        """The recording that stands for a model, where there is one."""
        return self.backend if isinstance(self.backend, ReplayBackend) else None

    def refuse_unsent(self, sampling: Mapping[str, Any], named: Iterable[str]) -> None:
        """Raise `InputError` for what a server's model takes no word of, among the sampling that the user `named`: the
        record would say what was never sent."""
        if not (self.backend.in_process or self.recorded):
            refuse_unsent(self.name, sampling, named)


@dataclass(slots=True, kw_only=True)
class Run(ABC, Generic[Record, Result]):
    """A model that is open (None for a judge that is a rule and asks none), how hard to ask it, and what was counted so
    far. `tell` is given what the user must know while it runs, as `Engine` takes it; `about` is what is known of the
    model once it was asked anything."""

    backend: Backend | None
    model: str
    options: RunOptions
    tallies: Tallies
    spec: str | None = None
    owned: bool = True
    tell: Callable[[str, str], None] | None = None
    about: About | None = None

    adds_to: ClassVar[str] = "this board"
    """What the results are added to, for warnings."""

    @property
    def columns(self) -> Sequence[str]:
        """Of a file of its results, in order; empty where the rows have them."""
        return ()

    @property
    @abstractmethod
    def name(self) -> str:
        """Whom the results are by."""

    @property
    def apart(self) -> str:
        """What an estimate leaves out, in words."""
        return ""

    @abstractmethod
    def count(self, records: Sequence[Record]) -> int:
        """How many results the run will give."""

    @abstractmethod
    def made_by(self) -> dict[str, Any]:
        """What changes the results beside the records, by name, without a secret: for a manifest."""

    @abstractmethod
    def closing_lines(self) -> list[str]:
        """What happened, for stderr: what was made, what it took, what is missing and why."""

    @abstractmethod
    def _counted(self, records: Sequence[Record]) -> str:
        """What a run is asked for, in words."""

    @abstractmethod
    def _new(self, records: Sequence[Record], engine: Engine) -> Iterator[Request | None]:
        """For each question what the run would ask first; None where it would ask nothing."""

    @abstractmethod
    def _stream(self, records: Sequence[Record]) -> AsyncGenerator[Result]:
        """The results, in the order of the records."""

    def results(self, records: Sequence[Record]) -> Generator[Result]:
        """The results in the order of the records, as they become ready. Close it when done.

        Raises `ProviderError` when the provider refuses every call, `InputError` where the options cannot work. What
        was answered before an error or Ctrl-C is in the store.
        """
        return drained(self._stream(records))

    def notes(self, records: Sequence[Record]) -> list[str]:
        """What a user must know before the first call."""
        return []

    def estimate(self, records: Sequence[Record]) -> str:
        """What a run would ask and cost at most, in words; asks nothing. Answers in the store cost nothing."""
        counted = self._counted(records)
        if self.backend is None:
            return f"{counted}\nno model is asked: $0.00"
        return f"{counted}\n{asyncio.run(self._forecast(records))}{self.apart}"

    async def _forecast(self, records: Sequence[Record]) -> str:
        async with self._engine() as engine:
            requests = list(self._new(records, engine))
            new = [request for request in requests if request is not None]
            return forecast(engine, new, known=len(requests) - len(new))

    @asynccontextmanager
    async def _engine(self) -> AsyncGenerator[Engine]:
        """The engine over the model and the store, both closed at the end."""
        assert self.backend is not None
        options = self.options
        path = options.store or default_store_path()
        store = None if isinstance(self.backend, ReplayBackend) else Store(path)
        try:
            async with Engine(
                self.backend,
                store,
                concurrency=options.concurrency or self.backend.concurrency,
                rpm=options.rpm,
                tpm=options.tpm,
                budget=options.budget,
                price=options.price,
                timeout=options.timeout,
                tell=self.tell,
                close_backend=self.owned,
                adds_to=self.adds_to,
            ) as engine:
                try:
                    yield engine
                finally:
                    self.about = engine.lifetime.about
                    if store is not None and self._asker() is not None:
                        remember(path, engine.newly_asked, str(self._asker()))
        finally:
            if store is not None:
                store.close()

    def _asker(self) -> str | None:
        """Who is written beside the answers in the store."""
        return None

    def pace(self) -> str:
        """What the run cost so far, for a progress bar: `unknown price` where the table knows no price for some of its
        calls, nothing for a model in this process."""
        return "" if self.backend is None or self.backend.in_process else self.tallies.stats.money()

    def reopened(self) -> OpenModel:
        """The model opened once more, where this run, or its copy, has none. Raises `InputError` where that is another
        one by now."""
        assert self.spec is not None
        model = OpenModel.of(self.spec, self.options, TIMEOUT)
        if model.name != self.model:
            raise InputError(
                f"a worker found {model.name} where the run began with {self.model}: bring the same weights to all "
                "machines, then run it again"
            )
        return model

    def bare(self) -> Self:
        """A copy that can travel: without the open model, its tallies at zero."""
        return replace(self, backend=None, tell=None, about=None, tallies=type(self.tallies)())

    def _answers(self, took: str) -> str:
        """How many answers are new and what they `took`, and how many were known."""
        stats = self.tallies.stats
        took = f" ({took})" if took else ""
        retries = (
            f", {plural(stats.retries, 'retry', 'retries')} ({stats.throttled} throttled)" if stats.retries else ""
        )
        return f"{plural(stats.asked, 'new answer')}{took}, {stats.cached} from the store{retries}"

    def _others(self, answered_by: Counter[str]) -> list[str]:
        """A warning where other models answered than the one that was asked."""
        others = {name: n for name, n in answered_by.items() if not same_model(self.model, name)}
        if not others:
            return []
        names = ", ".join(f"{name} ({n}×)" for name, n in list(others.items())[:3])
        return [f"warning: {self.model} was asked, but {names} answered"]


Follow: TypeAlias = Callable[[Run[Any, Any], Sequence[Any]], Iterable[Any]]
"""How a run is followed: its results, with whatever is shown meanwhile."""


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
