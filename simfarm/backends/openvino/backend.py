"""Models in this process on a CPU or an Intel GPU, through openvino-genai: GGUF files and OpenVINO folders.

Its continuous batching takes requests as they come and gives each answer as it is done, so that one slow answer holds
up nobody and a killed run has kept all that were finished. One thread owns the pipeline (`Worker`).
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from simfarm.backends.base import Prompt
from simfarm.backends.http.about import About
from simfarm.backends.local.deciding import Ballot, check_questions, decision
from simfarm.backends.local.framing import Continuation, check_framing
from simfarm.backends.local.gguf import context_length, read_metadata
from simfarm.backends.local.models import check_sampling, find_model
from simfarm.backends.local.worker import Job, Worker
from simfarm.backends.openvino.pipeline import (
    Asked,
    Following,
    Pipeline,
    Running,
    Whole,
    decides,
    engine_name,
    reads,
    reason,
)
from simfarm.data.decision import Decision, Question
from simfarm.data.exchange import CallError, Completion, Request
from simfarm.errors import InputError

__all__ = ["OpenVINOBackend"]

OPTIONS = ("device", "dtype", "cache_size", "max_num_batched_tokens", "prefix_caching")
DTYPES = ("f32", "f16", "bf16")

READ = 4
"""Prompts of decisions that are read at a time: reading one keeps a processor busy, and what has been read is decided
at once and makes room."""


class OpenVINOBackend:
    """One model. `engine` may hold device (CPU, GPU, …), dtype (f32, f16, bf16: the arithmetic; the default is the
    device's own), cache_size (GB for the attention cache; 0 grows as needed), max_num_batched_tokens,
    prefix_caching (a prompt's beginning is computed once; then there are no likelihoods), and OpenVINO properties by
    their names in capitals. Log probabilities are those of the chosen token alone. Raises `InputError`."""

    name = "openvino"
    in_process = True
    base_url: str | None = None
    concurrency = 64
    """Tokens a second grow with the batch on a CPU too: SmolLM2-135M on two cores gives 900 at 16, 1,120 at 32 and
    1,250 at 64."""

    def __init__(self, name: str, engine: Mapping[str, Any]) -> None:
        self._properties = {key: value for key, value in engine.items() if key.isupper()}
        options = {key: value for key, value in engine.items() if key not in self._properties}
        if unknown := options.keys() - set(OPTIONS):
            raise InputError(
                f"openvino/ has no option '{min(unknown)}': it takes {', '.join(OPTIONS)} "
                "and OpenVINO properties in capitals"
            )
        dtype = options.get("dtype")
        if dtype is not None and dtype not in DTYPES:
            raise InputError(f"openvino/ has no dtype '{dtype}': it computes in {', '.join(DTYPES)}")
        self._device = str(options.get("device", "CPU")).upper()
        changing = self._properties | ({"dtype": dtype} if dtype else {})
        if self._device != "CPU":
            changing["device"] = self._device
        if dtype:
            self._properties.setdefault("INFERENCE_PRECISION_HINT", dtype)
        if dtype == "f32":
            # else the attention cache and the activations are rounded all the same, by amounts that follow the batch
            self._properties = {"KV_CACHE_PRECISION": "f32", "DYNAMIC_QUANTIZATION_GROUP_SIZE": 0} | self._properties
        self._prefix_caching = options.get("prefix_caching", False)
        if not isinstance(self._prefix_caching, bool):
            raise InputError(f"openvino/ needs true or false for prefix_caching, not {self._prefix_caching!r}")
        self._cache_size = _whole(options, "cache_size", 0, least=0)
        self._batched = _whole(options, "max_num_batched_tokens", 512, least=1)
        local = find_model("openvino", name, changing)
        self.model = local.full_name
        self._path = local.path
        self._context, self._kind = _told(local.path)
        self._worker: Worker[Asked] = Worker("openvino", self._work)

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses what this engine cannot do, and a device that is not here. Raises `InputError`."""
        check_sampling(self.name, sampling)
        check_framing(sampling)
        if (sampling.get("logprobs") or 0) > 1:
            raise InputError(
                "openvino/ gives the log probability of the chosen token only: use a judge that reads text "
                "(pairwise-letter), or vllm/, transformers/ or a server for this one"
            )
        if self._device != "CPU":
            import openvino

            here = openvino.Core().available_devices
            wanted = self._device.partition(":")[2].split(",") if ":" in self._device else [self._device]
            # the names are OpenVINO's: GPU.0, AUTO, MULTI:GPU,CPU
            absent = [
                d for d in wanted if d != "AUTO" and not any(h.partition(".")[0] == d.partition(".")[0] for h in here)
            ]
            if absent:
                raise InputError(
                    f"openvino/ finds no device {absent[0]} here, only {', '.join(here)}: leave device out"
                )

    def most_tokens(self, request: Request) -> int | None:
        """The limit that the request names: what a model in this process thinks is part of its reply."""
        return request.sampling.get("max_tokens")

    async def complete(self, request: Request) -> Completion:
        """One completion. Raises `CallError` for a prompt that the context cannot hold."""
        self.check(request.model, request.sampling)
        answer: Completion = await self._worker.ask(request)
        return answer

    async def log_likelihood(
        self, prompt: Prompt, continuation: str, framing: Mapping[str, Any] | None = None
    ) -> float:
        """log P(continuation | prompt) in nats, in this engine's own arithmetic: its weights and activations may be
        quantised further than the file's, so another engine gives other values for the same file."""
        if self._prefix_caching:
            raise InputError("openvino/ gives no likelihoods with prefix_caching: leave that option out")
        total: float = await self._worker.ask(Continuation(prompt, continuation, framing or {}))
        return total

    def check_questions(self, model: str, questions: Sequence[Question]) -> None:
        """Refuses questions that have no labels. Raises `InputError`."""
        check_questions(questions)

    async def decide(self, request: Request) -> Decision:
        """Its options' probabilities for each question. The prompt is read once: a pipeline that keeps what prompts
        begin with has it when the options' tokens are asked for, one by one, which is next to nothing. Labels of
        several tokens, and tokens that an answer cannot be held to by their text, are scored whole, in one reading for
        each option."""
        self.check(request.model, request.sampling)
        started = time.perf_counter()
        polled: list[Ballot] = await self._worker.ask(request)
        nats = await self._options(polled)
        import openvino_genai as genai

        seconds = time.perf_counter() - started
        return decision(polled, nats, model=self.model, seconds=seconds, engine=engine_name(genai))

    async def _options(self, polled: Sequence[Ballot]) -> list[list[float]]:
        """log P(option | prompt) in nats for each ballot's options."""
        ask = self._worker.ask
        prompts = [ballot.prompt for ballot in polled if ballot.single]
        # the first alone: the others then find what they share with it
        for some in (prompts[:1], prompts[1:]):
            await asyncio.gather(*(ask(Following(prompt, None)) for prompt in some))

        async def told(ballot: Ballot) -> list[float]:
            if ballot.single:
                # not for labels of several tokens: what continues a prompt in two ways at a time shares its last block
                nats = await asyncio.gather(*(ask(Following(ballot.prompt, token)) for (token,) in ballot.options))
                if None not in nats:
                    return list(nats)
            if self._prefix_caching:
                raise InputError(
                    f"openvino/ scores the options of the question '{ballot.question.name}' whole, which it cannot "
                    "with prefix_caching: leave that option out"
                )
            return list(await asyncio.gather(*(ask(Whole(ballot.prompt, option)) for option in ballot.options)))

        return list(await asyncio.gather(*map(told, polled)))

    async def count_tokens(self, text: str) -> int:
        tokens: int = await self._worker.ask(text)
        return tokens

    async def about(self, model: str) -> About | None:
        """How much the model holds, by its own files."""
        return None if self._context is None else About(context=self._context)

    async def close(self) -> None:
        """Ends the thread; the model's memory goes with it."""
        await self._worker.close()

    def _work(self, worker: Worker[Asked]) -> None:
        """The thread: loads the model, then keeps the pipeline stepping while anything runs. Decisions have a pipeline
        of their own, which keeps what prompts begin with; both hold the model where both are asked."""
        pipelines: dict[bool, Pipeline] = {}
        running: dict[bool, list[Running]] = {}
        held: list[Job[Asked]] = []
        while True:
            jobs = worker.take(wait=not held and not any(running.values()))
            if jobs is None:
                for kept, pipeline in pipelines.items():
                    pipeline.drop(running[kept])
                return
            jobs, held = [*held, *jobs], []
            for job in jobs:
                if reads(job.asked) and sum(reads(one.job.asked) for one in running.get(True, ())) >= READ:
                    held.append(job)
                    continue
                kept = self._prefix_caching or decides(job.asked)
                if kept not in pipelines:
                    pipelines[kept], running[kept] = Pipeline(self._load(kept), self.model, self._context), []
                try:
                    started = pipelines[kept].start(job)
                except (CallError, InputError) as error:
                    job.fail(error)
                except (RuntimeError, ValueError, TypeError, OverflowError) as error:
                    job.fail(CallError(f"openvino does not take this request ({reason(error)})"))
                else:
                    running[kept] += [started] if started else []
            for kept, pipeline in pipelines.items():
                if running[kept]:
                    running[kept] = pipeline.step(running[kept])

    def _load(self, prefix_caching: bool) -> Any:
        import openvino_genai as genai

        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = self._cache_size
        scheduler.max_num_batched_tokens = self._batched
        scheduler.enable_prefix_caching = prefix_caching
        properties = {key: str(value) for key, value in self._properties.items()}
        try:
            return genai.ContinuousBatchingPipeline(str(self._path), scheduler, self._device, properties)
        except (RuntimeError, ValueError, TypeError, LookupError, MemoryError) as error:
            kind = f"this kind of model, {self._kind}" if self._kind else "it"
            raise InputError(f"{self._path}: openvino cannot load {kind} ({reason(error)})") from None


def _told(path: Path) -> tuple[int | None, str | None]:
    """(tokens that the model holds, its architecture) by its own files; None where they do not say."""
    if path.is_file():
        metadata = read_metadata(path)
        kind = metadata.get("general.architecture")
        return context_length(metadata), str(kind) if kind else None
    try:
        config = json.loads((path / "config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None, None
    length = config.get("max_position_embeddings")
    return length if isinstance(length, int) else None, config.get("model_type")


def _whole(options: Mapping[str, Any], name: str, default: int, *, least: int) -> int:
    value = options.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value < 2**31:
        raise InputError(f"openvino/ needs a whole number of at least {least} for {name}, not {value!r}")
    return value
