"""Requests through transformers' continuous batching: each joins the running batch when it comes and leaves when done.

Faster than padded batches where a GPU has memory for the keys and values of many requests. The manager's own sampling
(one generator for everybody) is replaced by ours, so that a seeded answer is the same as in a padded batch.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from typing import Any

import torch
from transformers.generation.continuous_batching.cb_logits_processors import (
    ContinuousBatchingLogitsProcessor,
    ContinuousBatchingLogitsProcessorList,
    ContinuousBatchingTemperatureLogitsWarper,
    ContinuousBatchingTopPLogitsWarper,
)
from transformers.generation.continuous_batching.model_runner import infer_max_single_request_tokens

from simfarm.backends.local.framing import first_line
from simfarm.backends.local.worker import Worker
from simfarm.backends.transformers.checkpoint import Checkpoint, transformers
from simfarm.backends.transformers.padded import Batches
from simfarm.backends.transformers.sampler import Draws, Row, gumbel
from simfarm.data.exchange import CallError

__all__ = ["run_stream"]

MEMORY = 0.7
"""Share of the free GPU memory for keys and values; the rest is for logits and for padded batches between."""

PAGE, CPU_PAGES, CPU_STEP = 256, 32, 512
"""Tokens of a page; on a CPU, pages (at least a whole context) and tokens read at a time: left to itself, the manager
takes most of the machine's memory there."""

NAP = 0.02
"""Seconds to wait for a token before looking for new requests."""


LOGGER = "ContinuousBatchingLogger"
"""Writes a traceback for every failure, also of one request, and heeds no setting of transformers' verbosity."""


class Noise(ContinuousBatchingLogitsProcessor):  # type: ignore[misc, unused-ignore]  # where none is installed
    """The sampler's noise inside continuous batching: a request's `draws` keyed by where its token stands."""

    supported_kwargs: dict[str, type] = {"draws": Draws}  # noqa: RUF012 as in the class it extends
    ignored_kwargs: tuple[str, ...] = ()

    def fill_defaults(self, int32_tensor: torch.Tensor) -> None:
        int32_tensor.zero_()

    def prepare_tensor_args(self, requests_with_new_token: list[Any]) -> torch.Tensor:
        """Keys of the requests whose next token this step makes; 0 for greedy ones. `position_offset` already counts
        what this step reads, so it is the new token's place, also after a request was put aside and read again."""
        keys = []
        for request in requests_with_new_token:
            draws = request.state.logit_processor_kwargs.get("draws")
            keys.append(0 if draws is None else draws.key(request.state.position_offset - draws.start))
        return torch.tensor(keys, dtype=torch.int32)

    def __call__(self, scores: torch.Tensor, tensor_arg: torch.Tensor) -> torch.Tensor:
        keys = tensor_arg[: scores.size(0)]
        return scores + torch.where((keys != 0)[:, None], gumbel(keys, scores.size(1)), 0.0)


class Stream:
    """The running batch: rows go in with `add`, and come out of `step` when they are over."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint
        # what it says is told in the errors that whoever asked gets
        logging.getLogger(LOGGER).setLevel(logging.CRITICAL + 1)
        sizes: dict[str, Any] = {"max_memory_percent": MEMORY}
        if checkpoint.model.device.type == "cpu":
            pages = max(CPU_PAGES, math.ceil(checkpoint.context / PAGE) + 1)
            sizes = {"page_size": PAGE, "num_blocks": pages, "max_batch_tokens": CPU_STEP}
        self.manager = checkpoint.model.init_continuous_batching(
            generation_config=transformers.GenerationConfig(do_sample=False, eos_token_id=-1),
            continuous_batching_config=transformers.ContinuousBatchingConfig(**sizes),
        )
        processors = [
            ContinuousBatchingTemperatureLogitsWarper(transformers.TemperatureLogitsWarper(1.0)),
            ContinuousBatchingTopPLogitsWarper(transformers.TopPLogitsWarper(1.0)),
            Noise(),
        ]
        chosen = ContinuousBatchingLogitsProcessorList(transformers.LogitsProcessorList(processors))
        chosen.tensors_required = len(processors)
        self.manager.logit_processor = chosen
        self.manager.warmup()
        # a request that outgrows the memory for keys and values would end the whole batch
        checkpoint.context = min(
            checkpoint.context, infer_max_single_request_tokens(self.manager.batch_processor.cache)
        )
        self.manager.start()
        self.rows: dict[str, tuple[Row, float]] = {}
        self._count = 0

    def add(self, row: Row) -> None:
        """Puts a row into the batch. Stop strings are watched here, token by token: the manager knows none.
        Raises `RuntimeError` where the batch has failed."""
        self._count += 1
        warm: dict[str, Any] = {}
        if row.temperature > 0:
            warm = {"temperature": row.temperature, "top_p": row.top_p, "draws": row.draws}
        name = self.manager.add_request(
            row.prompt,
            request_id=str(self._count),
            max_new_tokens=row.limit,
            streaming=bool(row.stop),
            eos_token_id=sorted(self._checkpoint.ends) or [-1],
            **warm,
        )
        if name is None:
            raise self._failure()
        self.rows[name] = (row, time.perf_counter())

    def step(self) -> list[tuple[Row, float]]:
        """The rows that are over now, each with when it began; waits a moment for one. A request that failed alone is
        answered here. Raises `RuntimeError` where the batch has failed."""
        over = []
        output = self.manager.get_result(timeout=NAP)
        while output is not None:
            row, _ = self.rows.get(output.request_id, (None, 0.0))
            if row is not None and output.error is not None:
                self._fail(row, RuntimeError(output.error))
                del self.rows[output.request_id]
            elif row is not None:
                for token in output.generated_tokens[len(row.tokens) :]:
                    if row.finish is None:
                        row.add(token, self._checkpoint)
                if row.finish is not None:
                    over.append(self.rows.pop(output.request_id))
                    if not output.is_finished():
                        self.manager.cancel_request(output.request_id)
            output = None if self.manager.output_router.output_queue.empty() else self.manager.get_result(timeout=NAP)
        for name in [name for name, (row, _) in self.rows.items() if row.job.abandoned]:
            self.manager.cancel_request(name)
            del self.rows[name]
        if not self.manager.is_running():
            raise self._failure()
        return over

    def _fail(self, row: Row, error: RuntimeError) -> None:
        """Fails one row, or raises where the manager is ending, for then every row has this error."""
        if self.manager.background_thread_status.can_accept_new_requests() is not None:
            raise error
        row.job.fail(CallError(f"transformers failed on this request ({first_line(error)})"))

    def _failure(self) -> RuntimeError:
        return RuntimeError(str(self.manager.background_thread_status.fatal_error or "the batch has stopped"))


def run_stream(batches: Batches, worker: Worker[Any]) -> None:
    """Works until the worker is closed."""
    stream = Stream(batches.checkpoint)
    try:
        while (jobs := worker.take(wait=False)) is not None:
            # the manager's thread is no daemon: left running it would keep the process from ending
            if not threading.main_thread().is_alive():
                return
            waiting = batches.prepare(jobs)
            padded = []
            for item in waiting:
                if isinstance(item, Row) and item.logprobs is None and item.penalty == 1 and not item.choices:
                    stream.add(item)
                else:
                    padded.append(item)
            while padded:
                batch = batches.choose(padded)
                padded = [item for item in padded if item not in batch]
                with stream.manager.pause():
                    batches.run(batch)
            for row, started in stream.step():
                batches.answer(row, started)
    finally:
        stream.manager.stop(hard_stop=True)
