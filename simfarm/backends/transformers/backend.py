"""Any causal language model that Hugging Face transformers can read: completions, likelihoods and decisions.

The route for what vLLM does not install on or does not run, and for likelihoods to the last digit. On a CPU, requests
are answered in padded batches; on a GPU by transformers' continuous batching, save those that it has no form for (log
probabilities of likely tokens, repetition penalty, choices, likelihoods, decisions), which are padded there too.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simfarm.backends.base import Prompt
from simfarm.backends.local.deciding import check_questions
from simfarm.backends.local.framing import Continuation, check_framing, first_line
from simfarm.backends.local.models import check_sampling, find_model, missing_engine
from simfarm.backends.local.worker import Worker
from simfarm.data.decision import Decision, Question
from simfarm.data.exchange import Completion, Request
from simfarm.errors import InputError

if TYPE_CHECKING:
    from simfarm.backends.transformers.padded import Batches

__all__ = ["ATTENTIONS", "BATCH", "DTYPES", "GPU_BATCH", "TransformersBackend", "device_of", "whole"]

OPTIONS = ("adapter", "attn_implementation", "batch_size", "batching", "device", "dtype")
DTYPES = ("auto", "bfloat16", "float16", "float32")
BATCHINGS = ("padded", "continuous")
ATTENTIONS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flash_attention_4", "flex_attention")
"""Those in transformers itself; it would also fetch one from the hub by its name, and run the code that it finds."""

BATCH = 16
"""Rows of a padded batch on a CPU: more make a step slower by as much as they add."""

GPU_BATCH = 64
"""Rows of a padded batch on a GPU."""

STREAMED = 256
"""Requests in flight for continuous batching."""

STREAMS_SINCE = (5, 19)
"""The first transformers whose model answers a padded batch between two steps of continuous batching; in 5.17 and 5.18
an attention that is paged refuses it."""

Asked = Request | Continuation | str


class TransformersBackend:
    """A folder or hub name that transformers reads. Implements `Scorer` and `Decider`.

    Options: `device` (cuda where there is one, else cpu), `dtype` (the model's own on a GPU; float32 on a CPU, where
    bfloat16 is several times slower), `adapter` (a LoRA folder, needs peft), `batch_size` of padded batches,
    `batching` (continuous on a GPU with transformers 5.19 or later, padded elsewhere), `attn_implementation`. `schema`
    is not held to: the judge's parser has the last word anyway. Raises `InputError` for what cannot be found or run
    here.
    """

    name = "transformers"
    in_process = True
    base_url: str | None = None

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        unknown = options.keys() - set(OPTIONS)
        if unknown:
            raise InputError(f"unknown engine option '{min(unknown)}': transformers/ takes {', '.join(OPTIONS)}")
        if name.lower().endswith(".gguf"):
            raise InputError(f"{name}: run a GGUF file with openvino/, which reads it as it is: --model openvino/FILE")
        if any(importlib.util.find_spec(package) is None for package in ("torch", "transformers")):
            raise InputError(missing_engine(self.name))
        self._adapter = _adapter(options.get("adapter"))
        dtype = options.get("dtype")
        if dtype is not None and dtype not in DTYPES:
            raise InputError(f"dtype={dtype}: transformers/ runs a model in {', '.join(DTYPES)}")
        batching = options.get("batching")
        if batching is not None and batching not in BATCHINGS:
            raise InputError(f"batching={batching}: must be {' or '.join(BATCHINGS)}")
        self._attention = options.get("attn_implementation")
        if self._attention is not None and self._attention not in ATTENTIONS:
            raise InputError(f"attn_implementation={self._attention}: must be one of {', '.join(ATTENTIONS)}")
        self._device = device_of(options.get("device"))
        on_cpu = self._device == "cpu"
        self._dtype = dtype or ("float32" if on_cpu else "auto")
        streams = tuple(map(int, version("transformers").split(".")[:2])) >= STREAMS_SINCE
        if batching == "continuous" and not streams:
            since = ".".join(map(str, STREAMS_SINCE))
            older = version("transformers")
            raise InputError(f"batching=continuous needs transformers>={since}, here is {older}; leave it out")
        self._streams = (batching or ("continuous" if streams and not on_cpu else "padded")) == "continuous"
        if self._streams and self._attention == "eager":
            raise InputError("attn_implementation=eager goes with batching=padded alone: leave one of them out")
        self._batch = whole("batch_size", options.get("batch_size", BATCH if on_cpu else GPU_BATCH))
        # two batches' worth, so that the next one is whole when this one ends
        self.concurrency = STREAMED if self._streams else 2 * self._batch
        changing: dict[str, Any] = {} if self._dtype == "auto" else {"dtype": self._dtype}
        if self._adapter is not None:
            changing["adapter"] = self._adapter
        local = find_model("transformers", name, changing)
        self.model = local.full_name
        self._path = local.path
        self._worker: Worker[Asked] = Worker("transformers", self._work)

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses sampling options and template arguments that are none. Raises `InputError`."""
        check_sampling(self.name, sampling)
        check_framing(sampling)

    def most_tokens(self, request: Request) -> int | None:
        """The limit that the request names: what a model in this process thinks is part of its reply."""
        return request.sampling.get("max_tokens")

    async def complete(self, request: Request) -> Completion:
        """One answer. Greedy without a temperature; the same seed gives the same text whatever else is in the batch (in
        float32; lower precisions round differently with the batch's shape). Log probabilities are the model's own,
        before temperature, and include the end token's, as vLLM's do."""
        answer: Completion = await self._worker.ask(request)
        return answer

    async def log_likelihood(
        self, prompt: Prompt, continuation: str, framing: Mapping[str, Any] | None = None
    ) -> float:
        """log P(continuation | prompt) in nats, summed over the continuation's tokens."""
        return float(await self._worker.ask(Continuation(prompt, continuation, framing or {})))

    def check_questions(self, model: str, questions: Sequence[Question]) -> None:
        """Refuses questions that have no labels. Raises `InputError`."""
        check_questions(questions)

    async def decide(self, request: Request) -> Decision:
        """Its options' probabilities for each question, from one reading where their labels are single tokens. What
        the questions of a request have in common is read once."""
        answer: Decision = await self._worker.ask(request)
        return answer

    async def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without special ones."""
        return int(await self._worker.ask(text))

    async def close(self) -> None:
        """Frees the model after the step it is in; a later call would load it again."""
        await self._worker.close()

    def _work(self, worker: Worker[Asked]) -> None:
        """The worker's thread, from the model's loading to its end."""
        from simfarm.backends.transformers.checkpoint import free_memory

        self._serve(worker)
        free_memory()

    def _serve(self, worker: Worker[Asked]) -> None:
        from simfarm.backends.transformers.checkpoint import Checkpoint, out_of_memory
        from simfarm.backends.transformers.padded import Batches, run_padded

        checkpoint = Checkpoint(
            self._path,
            self.model,
            device=self._device,
            dtype=self._dtype,
            attention=self._attention,
            adapter=self._adapter,
        )
        batches = Batches(checkpoint, self._batch)
        try:
            if self._streams:
                _stream(batches, worker)
            else:
                run_padded(batches, worker)
        except RuntimeError as error:
            if out_of_memory(error):
                raise InputError(f"{self.model}: out of memory; take a smaller model, or batching=padded") from None
            raise InputError(f"{self.model}: transformers failed while it ran ({first_line(error)})") from None


def _stream(batches: Batches, worker: Worker[Asked]) -> None:
    try:
        from simfarm.backends.transformers.continuous import run_stream
    except ImportError:
        raise InputError("this version of transformers has another continuous batching: give batching=padded") from None
    run_stream(batches, worker)


def device_of(asked: str | None) -> str:
    """The torch device to run on. Raises `InputError` for a GPU that is not there."""
    import torch

    if asked is None:
        return "cuda" if torch.cuda.is_available() else "cpu"
    kind, _, number = asked.partition(":")
    if asked != "cpu" and (kind not in ("cuda", "mps") or (number and not number.isdecimal())):
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


def whole(option: str, value: Any) -> int:
    if not str(value).isdecimal() or int(value) < 1:
        raise InputError(f"{option}={value}: must be a whole number above 0")
    return int(value)
