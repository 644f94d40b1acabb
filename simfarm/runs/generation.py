"""One generation run from options to outputs: opens the model and the store, asks for what is missing, counts.

Instructions in, outputs out, in input order, each answer committed to the store as it comes: killed and run again, only
what is missing is made. What a user must know stands in `closing_lines`.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator, Iterator, Mapping, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from simfarm.backends import opened
from simfarm.backends.base import Backend
from simfarm.backends.http.traits import is_drawn, refuse_unsent, split_thoughts, traits
from simfarm.backends.replay import ReplayBackend
from simfarm.data.exchange import CallError, Completion, Message, Request, TransientError
from simfarm.data.records import Instruction, Output
from simfarm.data.sampling import Sampling
from simfarm.engine.runner import Engine, Stats, run_limits
from simfarm.engine.store import Store, default_store_path
from simfarm.errors import BudgetError, InputError
from simfarm.runs.annotation import same_model
from simfarm.runs.forecast import forecast
from simfarm.runs.stream import drained, in_order
from simfarm.settings import check_numbers
from simfarm.text.words import plural

__all__ = ["Generation"]

TIMEOUT = 600.0
"""Seconds that a server has for one answer: a long one from a busy server takes minutes."""

NOT_DRAWN = (
    "the server may ignore the temperature (transformers serve does, unless the model's generation_config.json has "
    "do_sample: true)"
)


@dataclass(slots=True)
class Generation:
    """A model, how it is to answer, and under which name its outputs are filed."""

    backend: Backend
    model: str
    generator: str
    sampling: Sampling
    system: str | None = None
    store: Path = field(default_factory=default_store_path)
    concurrency: int = 64
    owned: bool = True
    limits: dict[str, Any] = field(default_factory=dict)
    stats: Stats = field(default_factory=Stats)
    made: int = 0
    cut_off: int = 0
    empty: int = 0
    further: int = 0
    repeated: int = 0
    """Samples after an instruction's first, and how many of them are the one before them word for word."""
    failed: list[tuple[int, Instruction, int, str]] = field(default_factory=list)
    """(position from 1, instruction, sample, why) of every output that could not be made."""
    passing: int = 0
    """How many of them may be made by another run (a busy server, not a prompt that is too long)."""
    stopped: str | None = None
    tell: Callable[[str, str], None] | None = None
    """Given what the user must know while it runs, as `Engine` takes it."""

    @classmethod
    def open(
        cls,
        model: str | Backend,
        sampling: Sampling | None = None,
        *,
        generator: str | None = None,
        system: str | None = None,
        base_url: str | None = None,
        engine: Mapping[str, Any] | None = None,
        store: Path | None = None,
        concurrency: int | None = None,
        timeout: float | None = None,
        rpm: float | None = None,
        tpm: float | None = None,
        budget: float | None = None,
        price: tuple[float, float] | None = None,
    ) -> Generation:
        """Check everything that can be checked before a call; raises `InputError`.

        `model` is a spec, or a model opened with `open_model`, which stays open. The other options are as in
        `Session.open`; `timeout` is 600 seconds for a server where None, and none for a model in this process.
        """
        wanted = sampling or Sampling()
        check_numbers({"timeout": timeout, "rpm": rpm, "tpm": tpm, "budget": budget, "price": price})
        backend, name = opened(model, base_url=base_url, timeout=timeout or TIMEOUT, engine=engine)
        if isinstance(backend, ReplayBackend):
            raise InputError("replay/ holds verdicts, not outputs: name a model that can generate")
        if not (backend.in_process or (backend.name == "openai" and backend.base_url)):
            wanted = _switched(wanted)
        backend.check(name, wanted.of_sample(0))
        _refuse_unsent(backend, name, wanted)
        return cls(
            backend,
            name,
            generator or (name.rpartition("@")[0] if backend.in_process else name),
            wanted,
            system=system,
            store=store or default_store_path(),
            concurrency=concurrency or backend.concurrency,
            owned=backend is not model,
            limits=run_limits(
                backend, concurrency, timeout, TIMEOUT, {"rpm": rpm, "tpm": tpm, "budget": budget, "price": price}
            ),
        )

    def request(self, asked: Instruction, sample: int) -> Request:
        """The question for one output."""
        messages = self._messages(asked)
        sampling = self.sampling.of_sample(sample, [dict(message) for message in messages])
        return Request(self.model, messages, sampling, sample)

    def _messages(self, asked: Instruction) -> tuple[Message, ...]:
        """The chat of an instruction; `system` goes first, unless the chat has a system message of its own."""
        chat: tuple[Message, ...] = asked.messages or ({"role": "user", "content": asked.instruction},)
        system = self._system(asked)
        return chat if system is None else ({"role": "system", "content": system}, *chat)

    def _system(self, asked: Instruction) -> str | None:
        """What is put before an instruction."""
        return None if asked.messages and asked.messages[0]["role"] == "system" else self.system

    def estimate(self, instructions: Sequence[Instruction]) -> str:
        """What a run would ask and cost at most, in words; asks nothing."""
        return asyncio.run(self._estimated(instructions))

    async def _estimated(self, instructions: Sequence[Instruction]) -> str:
        requests = [self.request(asked, sample) for asked in instructions for sample in range(self.sampling.n)]
        async with self._engine() as engine:
            new = [request for request in requests if engine.cached(request) is None]
            return f"{plural(len(requests), 'output')}\n{forecast(engine, new, known=len(requests) - len(new))}"

    def outputs(self, instructions: Sequence[Instruction]) -> Generator[Output]:
        """The outputs in the order of the instructions, their samples side by side, as they become ready; those that
        could not be made are in `failed`. Close it when done. Raises `ProviderError` and `InputError` where nothing can
        go on."""
        return drained(self._stream(instructions))

    async def _stream(self, instructions: Sequence[Instruction]) -> AsyncGenerator[Output]:
        async with self._engine() as engine:
            self.stats = engine.stats
            made = in_order(self._calls(engine, instructions), window=4 * self.concurrency)
            last = ""
            async with aclosing(made):
                async for output in made:
                    if output is not None:
                        self.made += 1
                        self.further += output.sample > 0
                        self.repeated += output.sample > 0 and output.output == last
                        last = output.output
                        yield output
        self.failed.sort(key=lambda failure: (failure[0], failure[2]))

    def _calls(
        self, engine: Engine, instructions: Sequence[Instruction]
    ) -> Iterator[Coroutine[Any, Any, Output | None]]:
        for position, asked in enumerate(instructions, 1):
            for sample in range(self.sampling.n):
                yield self._one(engine, position, asked, sample)

    async def _one(self, engine: Engine, position: int, asked: Instruction, sample: int) -> Output | None:
        try:
            completion, _ = await engine.complete(self.request(asked, sample))
        except (CallError, TransientError) as error:
            self.passing += isinstance(error, TransientError)
            self.failed.append((position, asked, sample, str(error)))
            return None
        except BudgetError as error:
            self.stopped = str(error)
            self.failed.append((position, asked, sample, "not asked: the budget was reached"))
            return None
        return self._output(asked, sample, completion, engine.price_of(completion))

    def _output(self, asked: Instruction, sample: int, completion: Completion, price: float | None) -> Output:
        text, thinking = split_thoughts(completion.text)
        self.cut_off += completion.finish_reason == "length"
        self.empty += not text.strip()
        model, revision = completion.model or self.model, None
        if self.backend.in_process:
            model, _, revision = model.rpartition("@")
        record = {
            "finish_reason": completion.finish_reason,
            "model": model,
            "revision": revision,
            "engine": completion.engine or self.backend.name,
            "system": self._system(asked),
            "sampling": self._recorded(sample),
            "thinking": thinking,
            "input_tokens": completion.input_tokens,
            "output_tokens": completion.output_tokens,
            "price": price,
            "seconds": completion.seconds,
        }
        return Output(
            instruction=asked.instruction,
            output=text,
            generator=self.generator,
            instruction_id=asked.instruction_id,
            dataset=asked.dataset,
            sample=sample,
            messages=asked.messages,
            extra=dict(asked.extra) | {name: value for name, value in record.items() if value is not None},
        )

    def _recorded(self, sample: int) -> dict[str, Any]:
        """How an answer was drawn, without a temperature that the model takes no word of."""
        recorded = self.sampling.recorded(sample)
        if not (self.backend.in_process or is_drawn(self.model, recorded)):
            del recorded["temperature"]
        return recorded

    @asynccontextmanager
    async def _engine(self) -> AsyncGenerator[Engine]:
        store = Store(self.store)
        try:
            async with Engine(
                self.backend,
                store,
                concurrency=self.concurrency,
                close_backend=self.owned,
                tell=self.tell,
                made="these outputs",
                **self.limits,
            ) as engine:
                yield engine
        finally:
            store.close()

    def pace(self) -> str:
        """Tokens a second and the cost so far, for a progress bar."""
        cost = "" if self.backend.in_process or not self.stats.asked else f", {self.stats.money()}"
        return f"{self.stats.tokens_per_second():,.0f} tokens/s{cost}"

    def closing_lines(self) -> list[str]:
        """What happened, for stderr: what was made, what it took, and what could not be made and why."""
        stats = self.stats
        told = [f"{plural(self.made, 'output')} by {self.generator}"]
        if self.failed:
            told[0] += f", {len(self.failed)} could not be made"
        new = plural(stats.asked, "new answer")
        if stats.asked:
            new += f" ({stats.output_tokens:,} tokens, {self.pace()})"
        retries = (
            f", {plural(stats.retries, 'retry', 'retries')} ({stats.throttled} throttled)" if stats.retries else ""
        )
        told += [f"{new}, {stats.cached} from the store{retries}", *stats.warnings()]
        for why, count in Counter(why for *_, why in self.failed).most_common(5):
            position, asked, *_ = next(failure for failure in self.failed if failure[3] == why)
            name = f" ({asked.instruction_id})" if asked.instruction_id is not None else ""
            told.append(f"no output {count}×, first for instruction {position}{name}: {why}")
        if self.cut_off:
            limit = f"the limit of {plural(self.sampling.max_tokens, 'token')} or the context's end"
            told.append(f"warning: {plural(self.cut_off, 'output was', 'outputs were')} cut off by {limit}")
        others = {name: n for name, n in stats.models.items() if not same_model(self.model, name)}
        if others:
            names = ", ".join(f"{name} ({n}×)" for name, n in list(others.items())[:3])
            told.append(f"warning: {self.model} was asked, but {names} answered")
        if self.empty:
            told.append(f"warning: {plural(self.empty, 'output is', 'outputs are')} empty")
        if self.further and self.repeated == self.further:
            told.append(f"warning: the {self.sampling.n} samples of every instruction are the same: {NOT_DRAWN}")
        if self.stopped:
            told.append(f"stopped: {self.stopped}")
        elif self.passing:
            told.append("run the same command again: only what is missing is asked")
        return told


def _switched(sampling: Sampling) -> Sampling:
    """The switch of open models' chat templates as what other providers have for it."""
    args = dict(sampling.template_args)
    if "enable_thinking" not in args:
        return sampling
    thinking = bool(args.pop("enable_thinking"))
    return replace(sampling, thinking=thinking, template_args=args)


def _refuse_unsent(backend: Backend, model: str, sampling: Sampling) -> None:
    """Raise `InputError` for what a model takes no word of: the record would say what was never sent."""
    known = traits(model)
    if sampling.thinking is False and known.thinks and known.off is None:
        raise InputError(f"{model} cannot but think: leave that out, or ask for less of it (effort)")
    named = {"temperature": sampling.temperature, "top_p": sampling.top_p, "stop": sampling.stop or None}
    if backend.name == "anthropic":
        del named["stop"]
    if not backend.in_process:
        refuse_unsent(model, sampling.of_sample(0), (name for name, value in named.items() if value is not None))
