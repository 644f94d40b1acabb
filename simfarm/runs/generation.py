"""A generation run: instructions in, outputs out, what a model answers to each."""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncGenerator, Coroutine, Iterator, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

from simfarm.backends.base import Backend
from simfarm.backends.http.traits import is_drawn, split_thoughts, traits
from simfarm.data.exchange import CallError, Completion, Message, Request, TransientError
from simfarm.data.records import Instruction, Output
from simfarm.data.sampling import Sampling
from simfarm.engine.runner import Engine
from simfarm.errors import BudgetError, InputError
from simfarm.runs.options import RunOptions
from simfarm.runs.parts import server_name
from simfarm.runs.run import OpenModel, Run
from simfarm.runs.stream import in_order
from simfarm.runs.tallies import Failure, GenerationTallies
from simfarm.text.words import plural

__all__ = ["GenerationRun"]

TIMEOUT = 600.0
"""Seconds that a server has for one answer: a long one from a busy server takes minutes."""

NOT_DRAWN = (
    "the server may ignore the temperature (transformers serve does, unless the model's generation_config.json has "
    "do_sample: true)"
)


@dataclass(slots=True, kw_only=True)
class GenerationRun(Run[Instruction, Output]):
    """A model, how it is to answer, and under which name (`generator`) its outputs are filed; `system` is a message
    before every instruction."""

    backend: Backend
    generator: str
    sampling: Sampling
    system: str | None = None
    tallies: GenerationTallies = field(default_factory=GenerationTallies)

    adds_to: ClassVar[str] = "these outputs"

    @classmethod
    def open(
        cls,
        model: str | Backend,
        sampling: Sampling | None = None,
        running: RunOptions | None = None,
        *,
        generator: str | None = None,
        system: str | None = None,
    ) -> GenerationRun:
        """Check everything that can be checked before a call; raises `InputError`.

        `model` is a spec, or a model opened with `open_model`, which stays open. A server has 600 seconds for an answer
        where `running` names no time-out.
        """
        wanted = sampling or Sampling()
        ready = OpenModel.of(model, running or RunOptions(), TIMEOUT)
        backend = ready.backend
        if ready.recorded:
            raise InputError("replay/ holds verdicts, not outputs: name a model that can generate")
        if not (backend.in_process or (backend.name == "openai" and backend.base_url)):
            wanted = _switched(wanted)
        _check(ready, wanted)
        return cls(
            backend=backend,
            model=ready.name,
            options=ready.options,
            spec=ready.spec,
            owned=ready.owned,
            generator=generator or (ready.name.rpartition("@")[0] if backend.in_process else ready.name),
            sampling=wanted,
            system=system,
        )

    @property
    def name(self) -> str:
        """The name that outputs are filed under."""
        return self.generator

    def count(self, records: Sequence[Instruction]) -> int:
        """How many outputs the run will give, where none fails."""
        return self.sampling.n * len(records)

    def made_by(self) -> dict[str, Any]:
        """The model, the server that it runs on, and how it answers."""
        return {
            "verb": "generate",
            "model": f"{self.backend.name}/{self.model}",
            "server": server_name(self.backend.base_url),
            "generator": self.generator,
            "system": self.system,
            "sampling": self.sampling.recorded(0),
            "samples": self.sampling.n,
        }

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

    def _counted(self, records: Sequence[Instruction]) -> str:
        return plural(self.count(records), "output")

    def _new(self, records: Sequence[Instruction], engine: Engine) -> Iterator[Request | None]:
        for asked in records:
            for sample in range(self.sampling.n):
                request = self.request(asked, sample)
                yield request if engine.cached(request) is None else None

    async def _stream(self, records: Sequence[Instruction]) -> AsyncGenerator[Output]:
        tallies = self.tallies
        async with self._engine() as engine:
            tallies.stats = engine.stats
            last = ""
            async with aclosing(in_order(self._calls(engine, records), window=4 * engine.concurrency)) as outputs:
                async for output in outputs:
                    if output is not None:
                        tallies.made += 1
                        tallies.further += output.sample > 0
                        tallies.repeated += output.sample > 0 and output.output == last
                        last = output.output
                        yield output
        tallies.sort()

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
            self.tallies.passing += isinstance(error, TransientError)
            self.tallies.failed.append(Failure(position, asked, sample, str(error)))
            return None
        except BudgetError as error:
            self.tallies.stopped = str(error)
            self.tallies.failed.append(Failure(position, asked, sample, "not asked: the budget was reached"))
            return None
        return self._output(asked, sample, completion, engine.price_of(completion))

    def _output(self, asked: Instruction, sample: int, completion: Completion, price: float | None) -> Output:
        text, thinking = split_thoughts(completion.text)
        self.tallies.cut_off += completion.finish_reason == "length"
        self.tallies.empty += not text.strip()
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

    def pace(self) -> str:
        """Tokens a second and the cost so far, for a progress bar."""
        stats = self.tallies.stats
        cost = "" if self.backend.in_process or not stats.asked else f", {stats.money()}"
        return f"{stats.tokens_per_second():,.0f} tokens/s{cost}"

    def closing_lines(self) -> list[str]:
        """What happened, for stderr: what was made, what it took, and what could not be made and why."""
        tallies, stats = self.tallies, self.tallies.stats
        missing = f", {tallies.missing} could not be made" if tallies.missing else ""
        took = f"{stats.output_tokens:,} tokens, {self.pace()}" if stats.asked else ""
        lines = [f"{plural(tallies.made, 'output')} by {self.generator}{missing}", self._answers(took)]
        lines += stats.warnings()
        for why, count in Counter(failure.why for failure in tallies.failed).most_common(5):
            first = next(failure for failure in tallies.failed if failure.why == why)
            name = f" ({first.asked.instruction_id})" if first.asked.instruction_id is not None else ""
            lines.append(f"no output {count}×, first for instruction {first.position}{name}: {why}")
        if tallies.cut_off:
            limit = f"the limit of {plural(self.sampling.max_tokens, 'token')} or the context's end"
            lines.append(f"warning: {plural(tallies.cut_off, 'output was', 'outputs were')} cut off by {limit}")
        lines += self._others(stats.models)
        if tallies.empty:
            lines.append(f"warning: {plural(tallies.empty, 'output is', 'outputs are')} empty")
        if tallies.further and tallies.repeated == tallies.further:
            lines.append(f"warning: the {self.sampling.n} samples of every instruction are the same: {NOT_DRAWN}")
        if tallies.stopped:
            lines.append(f"stopped: {tallies.stopped}")
        elif tallies.passing:
            lines.append("run the same command again: only what is missing is asked")
        return lines


def _switched(sampling: Sampling) -> Sampling:
    """The switch of open models' chat templates as what other providers have for it."""
    args = dict(sampling.template_args)
    if "enable_thinking" not in args:
        return sampling
    thinking = bool(args.pop("enable_thinking"))
    return replace(sampling, thinking=thinking, template_args=args)


def _check(model: OpenModel, sampling: Sampling) -> None:
    """Raise `InputError` for what the model cannot do, and for what it takes no word of."""
    known = traits(model.name)
    model.backend.check(model.name, sampling.of_sample(0))
    if sampling.thinking is False and known.thinks and known.off is None:
        raise InputError(f"{model.name} cannot but think: leave that out, or ask for less of it (effort)")
    named = {"temperature": sampling.temperature, "top_p": sampling.top_p, "stop": sampling.stop or None}
    if model.backend.name == "anthropic":
        del named["stop"]
    model.refuse_unsent(sampling.of_sample(0), (name for name, value in named.items() if value is not None))
