"""Scores of samples by a model: the mean log likelihood per token of an output, given its instruction.

The mean, not the sum: a sum falls with every token, and its best of n is the shortest. A likelihood is kept in the same
store as completions, as one whose only token's log probability is the total, so that a rerun computes nothing twice.
"""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simfarm.backends.base import CallError, Completion, Message, Request, Scorer, TokenLogprob, TransientError
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store
from simfarm.generation.select import Cost, Scores
from simfarm.records import Output

__all__ = ["Likelihoods"]

PASSED_ON = 1024
"""Texts handed to the engine at a time: enough for any batch, few enough that their tasks take no memory."""


class Likelihoods:
    """Scores outputs by a model in this process. After `scores`, `asked` and `cached` count the texts that were
    computed and those found in the store, and `problems` why some have none.

    Takes the model over and closes it. Without a store nothing is kept.
    """

    def __init__(self, model: Scorer, store: Path | None = None) -> None:
        self.model = model
        self.asked = self.cached = 0
        self.problems: Counter[str] = Counter()
        self._store = store

    def scores(
        self,
        outputs: Sequence[Output],
        groups: Sequence[Sequence[int]],
        tick: Callable[[], None] = lambda: None,
    ) -> Scores:
        """Nats per token for each output in a group, NaN where the model could not score it (empty, too long).

        The cost counts the tokens read, prompt and output; none are written. `tick` is called after each text. In a
        notebook, whose event loop is running already, await `score` instead.
        """
        return asyncio.run(self.score(outputs, groups, tick))

    async def score(
        self, outputs: Sequence[Output], groups: Sequence[Sequence[int]], tick: Callable[[], None] = lambda: None
    ) -> Scores:
        """As `scores`. Outputs of one group with the same text are scored once."""
        made = Scores([math.nan] * len(outputs), [Cost() for _ in groups])
        texts: dict[tuple[int, str], list[int]] = {}
        for number, group in enumerate(groups):
            for row in group:
                texts.setdefault((number, outputs[row].output), []).append(row)
        todo = [(number, rows) for (number, _), rows in texts.items()]
        store = None if self._store is None else Store(self._store)
        try:
            async with Engine(_Reader(self.model), store, concurrency=self.model.concurrency, timeout=None) as engine:

                async def one(number: int, rows: list[int]) -> None:
                    completion = await self._completion(engine, outputs[rows[0]], len(rows))
                    if completion is not None:
                        for row in rows:
                            made.values[row] = mean_log_likelihood(completion)
                        read = (completion.input_tokens or 0) + (completion.output_tokens or 0)
                        made.costs[number].add(1, read, 0)
                    tick()

                for start in range(0, len(todo), PASSED_ON):
                    await _all([one(number, rows) for number, rows in todo[start : start + PASSED_ON]])
                self.asked, self.cached = engine.stats.asked, engine.stats.cached
        finally:
            if store is not None:
                store.close()
        return made

    async def _completion(self, engine: Engine, output: Output, count: int) -> Completion | None:
        try:
            completion, _ = await engine.complete(self._request(output))
        except (CallError, TransientError) as error:
            self.problems[str(error)] += count
            return None
        return completion

    def _request(self, output: Output) -> Request:
        """The prompt that the sample answered, with the system message that `simfarm generate` recorded, and it."""
        asked: Sequence[Mapping[str, Any]] = output.messages or ({"role": "user", "content": output.instruction},)
        prompt = [{"role": str(m["role"]), "content": str(m["content"])} for m in asked]
        system = output.extra.get("system")
        if isinstance(system, str) and prompt[0]["role"] != "system":
            prompt.insert(0, {"role": "system", "content": system})
        answer = {"role": "assistant", "content": output.output}
        return Request(self.model.model, (*prompt, answer), {"log_likelihood": True})


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Awaits everything; the first error (no such model, a full disk) ends the rest and passes as it is."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def mean_log_likelihood(completion: Completion) -> float:
    """Nats per token of a kept likelihood."""
    assert completion.logprobs is not None
    return completion.logprobs[0].logprob / max(1, completion.output_tokens or 0)


class _Reader:
    """A scorer as a backend: a request's last message is the continuation, and the completion its likelihood."""

    in_process = True
    base_url: str | None = None

    def __init__(self, scorer: Scorer) -> None:
        self._scorer = scorer
        self.name = scorer.name
        self.concurrency = scorer.concurrency

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """A scorer can score."""

    async def complete(self, request: Request) -> Completion:
        prompt: tuple[Message, ...] = request.messages[:-1]
        text = request.messages[-1]["content"]
        total = await self._scorer.log_likelihood(prompt, text)
        counts = [await self._scorer.count_tokens(m["content"]) for m in request.messages]
        return Completion(
            text="",
            logprobs=(TokenLogprob("", total, {}),),
            input_tokens=sum(counts[:-1]),
            output_tokens=counts[-1],
            model=self._scorer.model,
        )

    async def close(self) -> None:
        await self._scorer.close()
