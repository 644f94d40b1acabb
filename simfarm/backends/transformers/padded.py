"""Questions to a checkpoint, gathered into batches: what goes together, and the answers handed back.

Used by both ways a model runs with transformers: padded batches are all there is in one (`run_padded`), and in the
other they stand in for what continuous batching has no form for (`stream`).
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from simfarm.backends.local.deciding import Ballot, ballots, decision
from simfarm.backends.local.framing import Continuation, check_pair, room, stops
from simfarm.backends.local.worker import Job, Worker
from simfarm.backends.transformers.checkpoint import Checkpoint, free_memory, out_of_memory, transformers
from simfarm.backends.transformers.sampler import Draws, Row, Sampler
from simfarm.backends.transformers.scoring import log_likelihoods, option_likelihoods
from simfarm.data.exchange import CallError, Completion, Request
from simfarm.data.sampling import COOLEST
from simfarm.errors import InputError

__all__ = ["Batches", "Pair", "Poll", "run_padded"]

GATHERED = 0.005
"""Seconds to wait for more questions after the first: those asked together arrive one by one."""


@dataclass(slots=True, eq=False)
class Pair:
    """A likelihood's tokens, and who waits for it."""

    job: Job[Any]
    prompt: list[int]
    continuation: list[int]


@dataclass(slots=True, eq=False)
class Poll:
    """A decision's questions, and who waits for it."""

    job: Job[Any]
    ballots: list[Ballot]

    @property
    def prompt(self) -> list[int]:
        """The first question's: the others differ from it in their last words."""
        return self.ballots[0].prompt


class Batches:
    """A checkpoint's questions as batches of at most `size` rows. Used by the thread that owns the model alone."""

    def __init__(self, checkpoint: Checkpoint, size: int) -> None:
        self.checkpoint = checkpoint
        self._size = size
        self._engine = f"transformers {transformers.__version__}"

    def prepare(self, jobs: Sequence[Job[Any]]) -> list[Row | Pair | Poll]:
        """Questions as tokens. What needs no model is answered at once, and so is what cannot be asked."""
        ready: list[Row | Pair | Poll] = []
        for job in jobs:
            try:
                if isinstance(job.asked, str):
                    job.finish(len(self.checkpoint.encode(job.asked)))
                elif isinstance(job.asked, Continuation):
                    ready.append(self._pair(job, job.asked))
                elif job.asked.questions:
                    ready.append(self._poll(job, job.asked))
                else:
                    ready.append(self._row(job, job.asked))
            except (InputError, CallError) as error:
                job.fail(error)
        return ready

    def _row(self, job: Job[Any], request: Request) -> Row:
        sampling = request.sampling
        prompt = self.checkpoint.frame(request.messages, sampling)
        temperature, top_p = float(sampling.get("temperature") or 0), sampling.get("top_p")
        top_p = 1.0 if top_p is None else float(top_p)
        return Row(
            job,
            prompt,
            limit=room(len(prompt), self.checkpoint.context, sampling.get("max_tokens")),
            # no mass at all leaves the most likely token
            temperature=max(temperature, COOLEST) if temperature > 0 and top_p > 0 else 0.0,
            top_p=top_p,
            penalty=float(sampling.get("repetition_penalty") or 1),
            draws=Draws(sampling.get("seed"), prompt),
            stop=stops(sampling),
            logprobs=int(sampling["logprobs"]) if sampling.get("logprobs") else None,
            choices=tuple(self._choice(text) for text in sampling.get("choices") or ()),
        )

    def _choice(self, text: str) -> tuple[int, ...]:
        """An answer's tokens with the one that ends it, where the model has one: else nothing would tell a choice that
        begins another from the longer one."""
        return (*self.checkpoint.encode(text), *sorted(self.checkpoint.ends)[:1])

    def _pair(self, job: Job[Any], asked: Continuation) -> Pair:
        continuation = self.checkpoint.encode(asked.continuation)
        prompt = self.checkpoint.frame(asked.prompt, asked.framing)
        check_pair(prompt, continuation, self.checkpoint.context)
        return Pair(job, prompt, continuation)

    def _poll(self, job: Job[Any], request: Request) -> Poll:
        checkpoint = self.checkpoint
        polled = ballots(
            request,
            frame=checkpoint.frame,
            encode=checkpoint.encode,
            decode=checkpoint.spelt,
            context=checkpoint.context,
        )
        return Poll(job, polled)

    def choose(self, waiting: Sequence[Row | Pair | Poll]) -> list[Row | Pair | Poll]:
        """The question that has waited longest, and those most like it: likelihoods of the same prompt, where there
        are any, the questions of one decision, else prompts of a length near its own, since padding costs as much as
        text."""
        oldest = waiting[0]
        alike = [item for item in waiting if type(item) is type(oldest)]
        if isinstance(oldest, Pair):
            times = Counter(tuple(item.prompt) for item in alike)
            if times[tuple(oldest.prompt)] > 1:
                return [item for item in alike if item.prompt == oldest.prompt][: self._size]
            alike = [item for item in alike if times[tuple(item.prompt)] == 1]
        if isinstance(oldest, Poll):
            if len(oldest.ballots) > 1:
                return [oldest]
            alike = [item for item in alike if isinstance(item, Poll) and len(item.ballots) == 1]
        return sorted(alike, key=lambda item: abs(len(item.prompt) - len(oldest.prompt)))[: self._size]

    def run(self, batch: Sequence[Row | Pair | Poll]) -> None:
        """Answers a batch; one that does not fit in memory is run again in halves."""
        try:
            if isinstance(batch[0], Pair):
                self._score([item for item in batch if isinstance(item, Pair)])
            elif isinstance(batch[0], Poll):
                self._decide([item for item in batch if isinstance(item, Poll)])
            else:
                self._generate([item for item in batch if isinstance(item, Row)])
            return
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # out of the except block: the error's frames held the batch's tensors
        left = [item for item in batch if not item.job.answer.done() and not (isinstance(item, Row) and item.over)]
        free_memory()
        if len(left) == 1:
            size = len(left[0].prompt)
            left[0].job.fail(CallError(f"no memory for this call alone (a prompt of {size} tokens)"))
        elif left:
            for part in (left[: len(left) // 2], left[len(left) // 2 :]):
                for item in part:
                    if isinstance(item, Row):
                        item.restart()
                self.run(part)

    def _score(self, pairs: Sequence[Pair]) -> None:
        totals = log_likelihoods(self.checkpoint, [(pair.prompt, pair.continuation) for pair in pairs])
        for pair, total in zip(pairs, totals, strict=True):
            pair.job.finish(total)

    def _decide(self, polls: Sequence[Poll]) -> None:
        started = time.perf_counter()
        told = iter(option_likelihoods(self.checkpoint, [b for poll in polls for b in poll.ballots], self._size))
        seconds = time.perf_counter() - started
        for poll in polls:
            nats = [next(told) for _ in poll.ballots]
            poll.job.finish(
                decision(poll.ballots, nats, model=self.checkpoint.name, seconds=seconds, engine=self._engine)
            )

    def _generate(self, rows: Sequence[Row]) -> None:
        """One padded batch through `generate`; each row is answered as it ends."""
        started = time.perf_counter()
        sampler = Sampler(rows, self.checkpoint, lambda row: self.answer(row, started))
        pad, model = self.checkpoint.pad, self.checkpoint.model
        width = max(len(row.prompt) for row in rows)
        padded = [[pad] * (width - len(row.prompt)) + row.prompt for row in rows]
        mask = [[0] * (width - len(row.prompt)) + [1] * len(row.prompt) for row in rows]
        with torch.inference_mode():
            model.generate(
                input_ids=torch.tensor(padded, device=model.device),
                attention_mask=torch.tensor(mask, device=model.device),
                generation_config=transformers.GenerationConfig(
                    max_new_tokens=max(row.limit for row in rows), do_sample=False, pad_token_id=pad
                ),
                logits_processor=transformers.LogitsProcessorList([sampler]),
                stopping_criteria=transformers.StoppingCriteriaList([sampler.finished]),
            )

    def answer(self, row: Row, started: float) -> None:
        """Gives a finished row to whoever waits for it."""
        row.job.finish(
            Completion(
                text=row.text(self.checkpoint),
                logprobs=None if row.logprobs is None else tuple(row.noted),
                finish_reason=row.finish,
                input_tokens=len(row.prompt),
                output_tokens=len(row.tokens),
                model=self.checkpoint.name,
                seconds=round(time.perf_counter() - started, 4),
                engine=self._engine,
            )
        )


def run_padded(batches: Batches, worker: Worker[Any]) -> None:
    """Works in padded batches until the worker is closed."""
    waiting: list[Row | Pair | Poll] = []
    while (jobs := worker.take(wait=not waiting)) is not None:
        if not waiting:
            time.sleep(GATHERED)
            jobs += worker.take(wait=False) or []
        waiting = [item for item in waiting if not item.job.abandoned]
        waiting += batches.prepare(jobs)
        if waiting:
            batch = batches.choose(waiting)
            waiting = [item for item in waiting if item not in batch]
            batches.run(batch)
