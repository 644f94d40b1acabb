"""Any causal language model that Hugging Face transformers can read, in this process: completions and likelihoods.

The route for what vLLM does not install on or does not run, and for likelihoods to the last digit. On a CPU, requests
are answered in padded batches; on a GPU by transformers' continuous batching, save those that it has no form for (log
probabilities of likely tokens, repetition penalty, likelihoods), which go in padded batches there too.
"""

from __future__ import annotations

import importlib.util
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.backends.base import CallError, Completion, Prompt, Request
from simfarm.backends.local import check_sampling, find_model, missing_engine
from simfarm.backends.worker import Job, Worker
from simfarm.errors import InputError

if TYPE_CHECKING:
    from simfarm.backends.checkpoint import Checkpoint
    from simfarm.backends.sampler import Row

__all__ = ["TransformersBackend"]

OPTIONS = ("adapter", "attn_implementation", "batch_size", "batching", "device", "dtype")
DTYPES = ("auto", "bfloat16", "float16", "float32")
BATCHINGS = ("padded", "continuous")

BATCH = 16
"""Rows of a padded batch on a CPU: more make a step slower by as much as they add."""

GPU_BATCH = 64
"""Rows of a padded batch on a GPU."""

STREAMED = 256
"""Requests in flight for continuous batching."""

GATHERED = 0.005
"""Seconds to wait for more questions after the first: those asked together arrive one by one."""


@dataclass(frozen=True, slots=True)
class Likelihood:
    """The question how likely a continuation is."""

    prompt: Prompt
    continuation: str


@dataclass(slots=True, eq=False)
class Pair:
    """A likelihood's tokens, and who waits for it."""

    job: Job[Any]
    prompt: list[int]
    continuation: list[int]


Asked = Request | Likelihood | str


class TransformersBackend:
    """A folder or hub name that transformers reads. Implements `Scorer`.

    Options: `device` (cuda where there is one, else cpu), `dtype` (the model's own on a GPU; float32 on a CPU, where
    bfloat16 is several times slower), `adapter` (a LoRA folder, needs peft), `batch_size` of padded batches,
    `batching` (continuous on a GPU, padded elsewhere), `attn_implementation`. `schema` is not held to: the judge's
    parser has the last word anyway. Raises `InputError` for what cannot be found or run here.
    """

    name = "transformers"
    in_process = True
    base_url: str | None = None

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        unknown = options.keys() - set(OPTIONS)
        if unknown:
            raise InputError(f"unknown engine option '{min(unknown)}': transformers/ takes {', '.join(OPTIONS)}")
        if name.endswith(".gguf"):
            raise InputError(f"{name}: run a GGUF file with openvino/, which reads it as it is: --model openvino/FILE")
        if importlib.util.find_spec("transformers") is None:
            raise InputError(missing_engine(self.name))
        self._adapter = _adapter(options.get("adapter"))
        dtype = options.get("dtype")
        if dtype is not None and dtype not in DTYPES:
            raise InputError(f"dtype={dtype}: transformers/ runs a model in {', '.join(DTYPES)}")
        batching = options.get("batching")
        if batching is not None and batching not in BATCHINGS:
            raise InputError(f"batching={batching}: must be {' or '.join(BATCHINGS)}")
        found = find_model("transformers", name)
        self._device = _device(options.get("device"))
        on_cpu = self._device == "cpu"
        self._dtype = dtype or ("float32" if on_cpu else "auto")
        self._streams = (batching or ("padded" if on_cpu else "continuous")) == "continuous"
        self._attention = options.get("attn_implementation")
        if self._streams and self._attention == "eager":
            raise InputError("attn_implementation=eager goes with batching=padded alone: leave one of them out")
        self._batch = _whole("batch_size", options.get("batch_size", BATCH if on_cpu else GPU_BATCH))
        # two batches' worth, so that the next one is whole when this one ends
        self.concurrency = STREAMED if self._streams else 2 * self._batch
        changing: dict[str, Any] = {} if self._dtype == "auto" else {"dtype": self._dtype}
        if self._adapter is not None:
            changing["adapter"] = self._adapter
        if changing:
            found = find_model("transformers", name, changing)
        self.model = found.full_name
        self._path = found.path
        self._worker: Worker[Asked] = Worker("transformers", self._work)

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses an unknown sampling option. Raises `InputError`."""
        check_sampling(self.name, sampling)

    async def complete(self, request: Request) -> Completion:
        """One answer. Greedy without a temperature; the same seed gives the same text whatever else is in the batch (in
        float32; lower precisions round differently with the batch's shape). Log probabilities are the model's own,
        before temperature, and include the end token's, as vLLM's do."""
        answer: Completion = await self._worker.ask(request)
        return answer

    async def log_likelihood(self, prompt: Prompt, continuation: str) -> float:
        """log P(continuation | prompt) in nats, summed over the continuation's tokens."""
        return float(await self._worker.ask(Likelihood(prompt, continuation)))

    async def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without special ones."""
        return int(await self._worker.ask(text))

    async def close(self) -> None:
        """Frees the model after the step it is in."""
        await self._worker.close()

    # everything below runs in the worker's thread

    def _work(self, worker: Worker[Asked]) -> None:
        from simfarm.backends.checkpoint import Checkpoint, first_line, out_of_memory, transformers

        checkpoint = Checkpoint(
            self._path,
            self.model,
            device=self._device,
            dtype=self._dtype,
            attention=self._attention,
            adapter=self._adapter,
        )
        self._engine = f"transformers {transformers.__version__}"
        try:
            if self._streams:
                self._run_stream(checkpoint, worker)
            else:
                self._run_padded(checkpoint, worker)
        except RuntimeError as error:
            if out_of_memory(error):
                raise InputError(f"{self.model}: out of memory; take a smaller model, or batching=padded") from None
            raise InputError(f"{self.model}: transformers failed while it ran ({first_line(error)})") from None

    def _run_stream(self, checkpoint: Checkpoint, worker: Worker[Asked]) -> None:
        try:
            from simfarm.backends.stream import run_stream
        except ImportError:
            raise InputError(f"{self._engine} has another continuous batching: give batching=padded") from None
        run_stream(self, checkpoint, worker)

    def _run_padded(self, checkpoint: Checkpoint, worker: Worker[Asked]) -> None:
        waiting: list[Row | Pair] = []
        while (jobs := worker.take(wait=not waiting)) is not None:
            if not waiting:
                time.sleep(GATHERED)
                jobs += worker.take(wait=False) or []
            waiting = [item for item in waiting if not item.job.abandoned]
            waiting += self.prepare(checkpoint, jobs)
            if waiting:
                batch = self.next_batch(waiting)
                waiting = [item for item in waiting if item not in batch]
                self.run_batch(checkpoint, batch)

    def prepare(self, checkpoint: Checkpoint, jobs: Sequence[Job[Asked]]) -> list[Row | Pair]:
        """Questions as tokens. What needs no model is answered at once, and so is what cannot be asked."""
        ready: list[Row | Pair] = []
        for job in jobs:
            try:
                asked = job.asked
                if isinstance(asked, str):
                    job.finish(len(checkpoint.encode(asked)))
                elif isinstance(asked, Likelihood):
                    ready.append(_pair(checkpoint, job, asked))
                else:
                    ready.append(_row(checkpoint, job, asked))
            except (InputError, CallError) as error:
                job.fail(error)
        return ready

    def next_batch(self, waiting: Sequence[Row | Pair]) -> list[Row | Pair]:
        """The question that has waited longest, and those most like it: likelihoods of the same prompt, where there
        are any, else prompts of a length near its own, since padding costs as much as text."""
        oldest = waiting[0]
        alike = [item for item in waiting if type(item) is type(oldest)]
        if isinstance(oldest, Pair):
            times = Counter(tuple(item.prompt) for item in alike)
            if times[tuple(oldest.prompt)] > 1:
                return [item for item in alike if item.prompt == oldest.prompt][: self._batch]
            alike = [item for item in alike if times[tuple(item.prompt)] == 1]
        return sorted(alike, key=lambda item: abs(len(item.prompt) - len(oldest.prompt)))[: self._batch]

    def run_batch(self, checkpoint: Checkpoint, batch: Sequence[Row | Pair]) -> None:
        """Answers a batch; one that does not fit in memory is run again in halves."""
        from simfarm.backends.checkpoint import free_memory, out_of_memory

        try:
            if isinstance(batch[0], Pair):
                self._score(checkpoint, [item for item in batch if isinstance(item, Pair)])
            else:
                self._generate(checkpoint, [item for item in batch if not isinstance(item, Pair)])
            return
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        # out of the except block: the error's frames held the batch's tensors
        left = [item for item in batch if not item.job.answer.done() and (isinstance(item, Pair) or not item.over)]
        free_memory()
        if len(left) == 1:
            size = len(left[0].prompt)
            left[0].job.fail(CallError(f"no memory for this call alone (a prompt of {size} tokens)"))
        elif left:
            for part in (left[: len(left) // 2], left[len(left) // 2 :]):
                for item in part:
                    if not isinstance(item, Pair):
                        item.restart()
                self.run_batch(checkpoint, part)

    def _score(self, checkpoint: Checkpoint, pairs: Sequence[Pair]) -> None:
        from simfarm.backends.scoring import log_likelihoods

        totals = log_likelihoods(checkpoint, [(pair.prompt, pair.continuation) for pair in pairs])
        for pair, total in zip(pairs, totals, strict=True):
            pair.job.finish(total)

    def _generate(self, checkpoint: Checkpoint, rows: Sequence[Row]) -> None:
        """One padded batch through `generate`; each row is answered as it ends."""
        import torch

        from simfarm.backends.checkpoint import transformers
        from simfarm.backends.sampler import Sampler

        started = time.perf_counter()
        sampler = Sampler(rows, checkpoint, lambda row: self.answer(checkpoint, row, started))
        width = max(len(row.prompt) for row in rows)
        padded = [[checkpoint.pad] * (width - len(row.prompt)) + row.prompt for row in rows]
        mask = [[0] * (width - len(row.prompt)) + [1] * len(row.prompt) for row in rows]
        device = checkpoint.model.device
        with torch.inference_mode():
            checkpoint.model.generate(
                input_ids=torch.tensor(padded, device=device),
                attention_mask=torch.tensor(mask, device=device),
                generation_config=transformers.GenerationConfig(
                    max_new_tokens=max(row.limit for row in rows), do_sample=False, pad_token_id=checkpoint.pad
                ),
                logits_processor=transformers.LogitsProcessorList([sampler]),
                stopping_criteria=transformers.StoppingCriteriaList([sampler.finished]),
            )

    def answer(self, checkpoint: Checkpoint, row: Row, started: float) -> None:
        """Gives a finished row to whoever waits for it."""
        row.job.finish(
            Completion(
                text=row.text(checkpoint),
                logprobs=None if row.logprobs is None else tuple(row.noted),
                finish_reason=row.finish,
                input_tokens=len(row.prompt),
                output_tokens=len(row.tokens),
                model=self.model,
                seconds=round(time.perf_counter() - started, 4),
                engine=self._engine,
            )
        )


def _row(checkpoint: Checkpoint, job: Job[Any], request: Request) -> Row:
    """A request as a row of a batch. Raises `CallError` for a prompt that leaves no room in the context."""
    from simfarm.backends.sampler import Draws, Row

    sampling = request.sampling
    prompt = checkpoint.frame(request.messages, sampling.get("chat_template"), sampling.get("template_args"))
    room = checkpoint.context - len(prompt)
    if room < 1:
        raise CallError(f"the prompt has {len(prompt)} tokens and the context holds {checkpoint.context}")
    stop = sampling.get("stop") or ()
    return Row(
        job,
        prompt,
        limit=min(int(sampling.get("max_tokens") or room), room),
        temperature=float(sampling.get("temperature") or 0),
        top_p=float(sampling.get("top_p") or 1),
        penalty=float(sampling.get("repetition_penalty") or 1),
        draws=Draws(sampling.get("seed"), prompt),
        stop=(stop,) if isinstance(stop, str) else tuple(stop),
        logprobs=int(sampling["logprobs"]) if sampling.get("logprobs") else None,
    )


def _pair(checkpoint: Checkpoint, job: Job[Any], asked: Likelihood) -> Pair:
    prompt, continuation = checkpoint.frame(asked.prompt), checkpoint.encode(asked.continuation)
    if not continuation:
        raise CallError("the continuation is empty: it has no likelihood")
    if not prompt:
        raise CallError("the prompt is empty: there is nothing that the continuation follows")
    size = len(prompt) + len(continuation)
    if size > checkpoint.context:
        raise CallError(f"prompt and continuation have {size} tokens and the context holds {checkpoint.context}")
    return Pair(job, prompt, continuation)


def _device(asked: str | None) -> str:
    """The torch device to run on. Raises `InputError` for a GPU that is not there."""
    import torch

    if asked is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = asked.partition(":")
    if asked != "cpu" and (kind not in ("cuda", "mps") or (number and not number.isdigit())):
        raise InputError(f"device={asked}: must be cpu, cuda, cuda:NUMBER or mps")
    present = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[kind]
    if int(number or 0) >= present:
        raise InputError(
            f"device={asked}: torch {torch.__version__} sees no such GPU here; leave device out for the CPU"
        )
    return asked


def _adapter(asked: str | None) -> Path | None:
    if asked is None:
        return None
    folder = Path(asked).expanduser()
    if not (folder / "adapter_config.json").is_file():
        raise InputError(f"adapter={asked}: is no folder with a LoRA adapter (adapter_config.json)")
    if importlib.util.find_spec("peft") is None:
        raise InputError(f"adapter={asked}: a LoRA adapter needs: pip install peft")
    return folder


def _whole(option: str, value: Any) -> int:
    if not str(value).isdigit() or int(value) < 1:
        raise InputError(f"{option}={value}: must be a whole number above 0")
    return int(value)
