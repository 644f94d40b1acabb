"""A run of questions that are no verdicts: each is asked, its reply read, and asked for once more where it cannot be.

They pass through the same engine and store as verdicts, so that a rerun pays for nothing twice.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, Self

from simfarm.backends import usual_timeout
from simfarm.backends.base import Backend
from simfarm.data.exchange import CallError, Completion, Judged, Message, Request, TransientError
from simfarm.engine.runner import Engine
from simfarm.errors import BudgetError
from simfarm.judges.question import repair_messages
from simfarm.runs.options import RunOptions
from simfarm.runs.run import OpenModel, Run
from simfarm.runs.stream import in_order
from simfarm.runs.tallies import Tallies
from simfarm.text.words import plural

__all__ = ["Question", "QuestionRun", "QuestionTallies", "Reply"]


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: `sampling` by the provider-neutral names, `judged` what a recording finds it by."""

    messages: tuple[Message, ...]
    sampling: Mapping[str, Any]
    judged: Judged | None = None
    sample: int = 0


@dataclass(frozen=True, slots=True)
class Reply:
    """What was read from a reply; None where there is none, and then `problem` says why."""

    question: Question
    value: Any
    problem: str | None = None

    def row(self) -> dict[str, Any]:
        return {"value": self.value, "problem": self.problem}


@dataclass(slots=True)
class QuestionTallies(Tallies):
    """Why questions have no reply that could be read."""

    problems: Counter[str] = field(default_factory=Counter)

    @property
    def missing(self) -> int:
        """Questions without a reply."""
        return self.problems.total()

    def add(self, more: Self, start: int) -> None:
        """Questions have no places of their own: `start` changes nothing."""
        self.stats.add(more.stats)
        self.stopped = self.stopped or more.stopped
        self.problems.update(more.problems)


@dataclass(slots=True, kw_only=True)
class QuestionRun(Run[Question, Reply]):
    """Questions of one kind (`what`), whose replies `read` understands: it gives a value, or raises `ValueError` with
    what is wrong, in words that the model is told."""

    what: str
    read: Callable[[str], Any]
    words: str = ""
    tallies: QuestionTallies = field(default_factory=QuestionTallies)

    @classmethod
    def open(cls, model: str | Backend, running: RunOptions, *, what: str, read: Callable[[str], Any]) -> QuestionRun:
        """A run on a model that is opened here, or open already; raises `InputError` for what cannot be."""
        opened = OpenModel.of(model, running, usual_timeout(model))
        return cls(
            what=what,
            read=read,
            backend=opened.backend,
            model=opened.name,
            options=opened.options,
            spec=opened.spec,
            owned=opened.owned,
        )

    @property
    def name(self) -> str:
        """What is asked for."""
        return self.what

    @property
    def apart(self) -> str:
        """A reply that cannot be read is asked for once more."""
        return ", repairs apart"

    def count(self, records: Sequence[Question]) -> int:
        return len(records)

    def made_by(self) -> dict[str, Any]:
        return {"what": self.what, "model": self.model}

    def closing_lines(self) -> list[str]:
        """What went wrong, for stderr."""
        lines = [
            f"warning: {self.what}: no reply {count}×: {why}" for why, count in self.tallies.problems.most_common(3)
        ]
        return [*lines, *self.tallies.stats.warnings()]

    def _counted(self, records: Sequence[Question]) -> str:
        return self.words or f"{self.what}: {plural(len(records), 'question')}"

    def _new(self, records: Sequence[Question], engine: Engine) -> Iterator[Request | None]:
        for question in records:
            request = self._request(question)
            yield request if engine.cached(request) is None else None

    async def _stream(self, records: Sequence[Question]) -> AsyncGenerator[Reply]:
        async with self._engine() as engine:
            self.tallies.stats = engine.stats
            asked = (self._asked(question, engine) for question in records)
            async with aclosing(in_order(asked, 4 * engine.concurrency)) as replies:
                async for reply in replies:
                    if reply.problem is not None:
                        self.tallies.problems[reply.problem] += 1
                    yield reply

    async def _asked(self, question: Question, engine: Engine) -> Reply:
        request = self._request(question)
        try:
            completion, _ = await engine.complete(request)
            value, problem = self._value(completion)
            if problem is None:
                return Reply(question, value)
            repair = Request(
                request.model,
                repair_messages(request.messages, completion, problem),
                request.sampling,
                request.sample,
                judged=_second(question.judged),
            )
            try:
                completion, _ = await engine.complete(repair)
            except (CallError, TransientError):
                # the first reply stands as what it was: unreadable
                return Reply(question, None, problem)
            return Reply(question, *self._value(completion))
        except (CallError, TransientError) as error:
            return Reply(question, None, str(error))
        except BudgetError as error:
            self.tallies.stopped = str(error)
            return Reply(question, None, "not asked: the budget was reached")

    def _value(self, completion: Completion) -> tuple[Any, str | None]:
        try:
            return self.read(completion.text), None
        except ValueError as error:
            return None, str(error)

    def _request(self, question: Question) -> Request:
        return Request(self.model, question.messages, question.sampling, question.sample, judged=question.judged)

    def _asker(self) -> str:
        return self.what


def _second(about: Judged | None) -> Judged | None:
    return None if about is None else replace(about, step=1)
