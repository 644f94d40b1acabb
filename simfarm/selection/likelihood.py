"""Scores of samples by a model: the mean log likelihood per token of an output, given its instruction.

The mean, not the sum: a sum falls with every token, and its best of n is the shortest. A likelihood is kept in the same
store as completions, so that a rerun computes nothing twice.
"""

from __future__ import annotations

import asyncio
import json
import math
from collections import Counter
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from simfarm.backends.base import Scorer
from simfarm.data.cells import plain, stable_digest
from simfarm.data.exchange import CallError, Likelihood, Request, TransientError
from simfarm.data.records import Output
from simfarm.data.sampling import Sampling
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store
from simfarm.errors import InputError
from simfarm.selection.samples import Cost, Scores
from simfarm.text.words import plural

__all__ = ["Likelihoods"]

PASSED_ON = 1024
"""Texts handed to the engine at a time: enough for any batch, few enough that their tasks take no memory."""


class Likelihoods:
    """Scores outputs by a model in this process. After `scores`, `asked` and `cached` count the texts that were
    computed and those found in the store, and `problems` why some have none.

    Outputs of `simfarm generate` are read as they were asked for: after their system message, framed with the template
    arguments of their record, and with `chat_template` (its text) where one is given. Takes the model over and closes
    it. Without a store nothing is kept.
    """

    def __init__(self, model: Scorer, store: Path | None = None, *, chat_template: str | None = None) -> None:
        self.model = model
        self._chat_template = chat_template
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

        The cost counts the tokens read of the messages' texts and the output; those that a chat template puts between
        them no engine tells here. None are written. `tick` is called after each text. In a notebook, whose event loop
        is running already, await `score` instead. Raises `InputError` as `check`.
        """
        return asyncio.run(self.score(outputs, groups, tick))

    async def score(
        self, outputs: Sequence[Output], groups: Sequence[Sequence[int]], tick: Callable[[], None] = lambda: None
    ) -> Scores:
        """As `scores`. Outputs of one group that were asked for alike and have the same text are scored once."""
        self.check(outputs, groups)
        scores = Scores([math.nan] * len(outputs), [Cost() for _ in groups])
        todo = self.questions(outputs, groups)
        store = None if self._store is None else Store(self._store)
        try:
            async with Engine(self.model, store, concurrency=self.model.concurrency, timeout=None) as engine:

                async def one(number: int, rows: list[int]) -> None:
                    likelihood = await self._likelihood(engine, outputs[rows[0]], len(rows))
                    if likelihood is not None:
                        for row in rows:
                            scores.values[row] = likelihood.per_token
                        scores.costs[number].add(1, likelihood.input_tokens or 0, 0)
                    tick()

                for start in range(0, len(todo), PASSED_ON):
                    await _all([one(number, rows) for number, rows in todo[start : start + PASSED_ON]])
                self.asked, self.cached = engine.stats.asked, engine.stats.cached
        finally:
            if store is not None:
                store.close()
        return scores

    def check(self, outputs: Sequence[Output], groups: Sequence[Sequence[int]]) -> None:
        """Refuse to read this model's own answers under another chat template than they were given under: they would
        be answers to another prompt. Raises `InputError`. Another model has a template of its own."""
        # as a generation with this template records it
        given = Sampling(chat_template=self._chat_template).recorded(0).get("chat_template")
        own = self.model.model.rpartition("@")[0]
        for output in (outputs[row] for group in groups for row in group):
            sampling = _sampling(output)
            recorded = sampling.get("chat_template")
            if not sampling or output.extra.get("model") != own or recorded == given:
                continue
            if given is None:
                raise InputError(
                    f"{output.generator} answered under a chat template of its own ({recorded}); give that file with "
                    "--chat-template"
                )
            other = "the model's own" if recorded is None else f"another ({recorded})"
            raise InputError(
                f"{output.generator} answered under {other} chat template, not under the one given ({given}); "
                + ("leave --chat-template out" if recorded is None else "give that one")
            )

    def questions(self, outputs: Sequence[Output], groups: Sequence[Sequence[int]]) -> list[tuple[int, list[int]]]:
        """(group, the outputs that share one likelihood) for every likelihood there is to compute."""
        alike: dict[tuple[int, bytes], list[int]] = {}
        for number, group in enumerate(groups):
            for row in group:
                asked = self._request(outputs[row])
                key = stable_digest([dict(m) for m in asked.messages], dict(asked.sampling))
                alike.setdefault((number, key), []).append(row)
        return [(number, rows) for (number, _), rows in alike.items()]

    def notes(self, outputs: Sequence[Output], groups: Sequence[Sequence[int]]) -> list[str]:
        """What a user must know before the first likelihood."""
        thought = sum(bool(outputs[row].extra.get("thinking")) for group in groups for row in group)
        if not thought:
            return []
        return [
            f"warning: {plural(thought, 'output was', 'outputs were')} thought about first (column thinking): the "
            "likelihood is that of the answer alone, as if the model had not thought"
        ]

    async def _likelihood(self, engine: Engine, output: Output, count: int) -> Likelihood | None:
        try:
            likelihood, _ = await engine.score(self._request(output))
        except (CallError, TransientError) as error:
            self.problems[str(error)] += count
            return None
        return likelihood

    def _request(self, output: Output) -> Request:
        """The prompt that the sample answered, with the system message that `simfarm generate` recorded, and it."""
        asked: Sequence[Mapping[str, Any]] = output.messages or ({"role": "user", "content": output.instruction},)
        # a Parquet file gives every message and every record the names of all
        prompt = [{name: value for name, value in message.items() if value is not None} for message in asked]
        system = output.extra.get("system")
        if isinstance(system, str) and prompt[0]["role"] != "system":
            prompt.insert(0, {"role": "system", "content": system})
        answer = {"role": "assistant", "content": output.output}
        sampling: dict[str, Any] = {"log_likelihood": True}
        if self._chat_template is not None:
            sampling["chat_template"] = self._chat_template
        recorded = _sampling(output).get("template_args")
        arguments = {k: v for k, v in recorded.items() if v is not None} if isinstance(recorded, Mapping) else {}
        if arguments:
            sampling["template_args"] = arguments
        return Request(self.model.model, (*prompt, answer), sampling)


def _sampling(output: Output) -> dict[str, Any]:
    """The sampling that `simfarm generate` recorded; CSV carries it as JSON text."""
    recorded = output.extra.get("sampling")
    if isinstance(recorded, str):
        try:
            recorded = json.loads(recorded)
        except ValueError:
            return {}
    return plain(dict(recorded)) if isinstance(recorded, Mapping) else {}


async def _all(work: Iterable[Coroutine[Any, Any, None]]) -> None:
    """Awaits everything; the first error (no such model, a full disk) ends the rest and passes as it is."""
    tasks = [asyncio.ensure_future(one) for one in work]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
