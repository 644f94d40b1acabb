"""Models in this process on a CPU or an Intel GPU, through openvino-genai: GGUF files and OpenVINO folders.

Its continuous batching takes requests as they come and gives each answer as it is done, so that one slow answer holds
up nobody and a killed run has kept all that were finished. One thread owns the pipeline (`Worker`).
"""

from __future__ import annotations

import json
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from simfarm.backends.base import CallError, Completion, Prompt, Request, TokenLogprob
from simfarm.backends.chat_template import render_chat
from simfarm.backends.gguf import context_length, read_metadata
from simfarm.backends.local import check_sampling, find_model
from simfarm.backends.worker import Job, Worker
from simfarm.errors import InputError

__all__ = ["OpenVINOBackend"]

OPTIONS = ("device", "dtype", "cache_size", "max_num_batched_tokens", "prefix_caching")
DTYPES = ("f32", "f16", "bf16")


@dataclass(frozen=True, slots=True)
class _Score:
    """The log likelihood of a continuation."""

    prompt: Prompt
    continuation: str
    framing: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class _Count:
    text: str


_Asked = Request | _Score | _Count


@dataclass(slots=True)
class _Running:
    job: Job[_Asked]
    handle: Any
    prompt_tokens: int
    limit: int
    started: float


class OpenVINOBackend:
    """One model. `engine` may hold device (CPU, GPU, …), dtype (f32, f16, bf16: the arithmetic; the default is the
    device's own), cache_size (GB for the attention cache; 0 grows as needed), max_num_batched_tokens,
    prefix_caching (a prompt's beginning is computed once; then there are no likelihoods), and OpenVINO properties by
    their names in capitals. Log probabilities are those of the chosen token alone. Raises `InputError`."""

    name = "openvino"
    in_process = True
    base_url: str | None = None
    concurrency = 32
    """On a CPU the throughput of a small model stops growing about here."""

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
        found = find_model("openvino", name, changing)
        self.model = found.full_name
        self._path = found.path
        self._context, self._kind = _told(found.path)
        self._worker: Worker[_Asked] = Worker("openvino", self._work)

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses what this engine cannot do, and a device that is not here. Raises `InputError`."""
        check_sampling(self.name, sampling)
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
        total: float = await self._worker.ask(_Score(prompt, continuation, framing or {}))
        return total

    async def count_tokens(self, text: str) -> int:
        tokens: int = await self._worker.ask(_Count(text))
        return tokens

    async def close(self) -> None:
        """Ends the thread; the model's memory goes with it."""
        await self._worker.close()

    def _work(self, worker: Worker[_Asked]) -> None:
        """The thread: loads the model, then keeps the pipeline stepping while anything runs."""
        pipeline = _Pipeline(self._load(), self.model, self._context)
        running: list[_Running] = []
        while True:
            jobs = worker.take(wait=not running)
            if jobs is None:
                pipeline.drop(running)
                return
            for job in jobs:
                try:
                    started = pipeline.start(job)
                except (CallError, InputError) as error:
                    job.fail(error)
                except (RuntimeError, ValueError, TypeError, OverflowError) as error:
                    job.fail(CallError(f"openvino does not take this request ({_reason(error)})"))
                else:
                    running += [started] if started else []
            if running:
                running = pipeline.step(running)

    def _load(self) -> Any:
        import openvino_genai as genai

        scheduler = genai.SchedulerConfig()
        scheduler.cache_size = self._cache_size
        scheduler.max_num_batched_tokens = self._batched
        scheduler.enable_prefix_caching = self._prefix_caching
        properties = {key: str(value) for key, value in self._properties.items()}
        try:
            return genai.ContinuousBatchingPipeline(str(self._path), scheduler, self._device, properties)
        except (RuntimeError, ValueError, TypeError, LookupError, MemoryError) as error:
            kind = f"this kind of model, {self._kind}" if self._kind else "it"
            raise InputError(f"{self._path}: openvino cannot load {kind} ({_reason(error)})") from None


class _Pipeline:
    """The engine's pipeline in the words of the farm. Used by the thread that made it alone."""

    def __init__(self, pipeline: Any, model: str, context: int | None) -> None:
        import openvino_genai as genai

        self._genai = genai
        self._pipeline = pipeline
        self._tokenizer = pipeline.get_tokenizer()
        self._template = self._tokenizer.get_original_chat_template() or self._tokenizer.chat_template
        # a folder's generation_config.json may name further ends of an answer (<end_of_turn> …)
        self._ends = {*pipeline.get_config().stop_token_ids, self._tokenizer.get_eos_token_id()}
        self._model = model
        self._context = context
        self._number = 0

    def start(self, job: Job[_Asked]) -> _Running | None:
        """Puts a question into the pipeline; None where it is answered at once."""
        asked = job.asked
        if isinstance(asked, _Count):
            job.finish(len(self._ids(asked.text)))
            return None
        config = self._genai.GenerationConfig()
        config.set_eos_token_id(self._tokenizer.get_eos_token_id())
        config.stop_token_ids = self._ends
        if isinstance(asked, _Score):
            prompt = self._prompt(asked.prompt, asked.framing)
            continuation = self._ids(asked.continuation)
            if not continuation or not prompt:
                raise CallError("a likelihood needs a prompt and a continuation, and one of them is empty")
            ids, limit = prompt + continuation, 0
            config.echo, config.logprobs, config.max_new_tokens = True, 1, 0
        else:
            ids = prompt = self._prompt(asked.messages, asked.sampling)
            if not ids:
                raise CallError("the chat template renders nothing for these messages")
            limit = self._room(len(ids), asked.sampling.get("max_tokens"))
            _configure(self._genai, config, asked.sampling, limit)
        if self._context is not None and len(ids) > self._context - (limit > 0):
            what = "prompt and continuation have" if isinstance(asked, _Score) else "the prompt has"
            raise CallError(f"{what} {len(ids)} tokens and the context holds {self._context}")
        self._number += 1
        import numpy
        import openvino

        handle = self._pipeline.add_request(
            self._number, openvino.Tensor(numpy.array([ids], dtype=numpy.int64)), config
        )
        return _Running(job, handle, len(prompt), limit, time.perf_counter())

    def step(self, running: list[_Running]) -> list[_Running]:
        """One step of everything that runs; answers what is finished and gives what is not."""
        self._pipeline.step()
        still = []
        for one in running:
            if one.job.abandoned:
                one.handle.cancel()
            elif one.handle.get_status() == self._genai.GenerationStatus.RUNNING:
                still.append(one)
            else:
                self._answer(one)
        return still

    def drop(self, running: list[_Running]) -> None:
        """Gives up what runs: one more step lets the engine free its memory, else it complains when it ends."""
        for one in running:
            one.handle.cancel()
        if running:
            self._pipeline.step()

    def _answer(self, one: _Running) -> None:
        outputs = one.handle.read_all()
        if one.handle.get_status() != self._genai.GenerationStatus.FINISHED or not outputs:
            one.job.fail(CallError("the engine had no memory left for this record: lower --concurrency or max_tokens"))
            return
        (output,) = outputs
        if isinstance(one.job.asked, _Score):
            one.job.finish(float(sum(output.generated_log_probs[one.prompt_tokens :])))
            return
        one.job.finish(self._completion(one, output))

    def _completion(self, one: _Running, output: Any) -> Completion:
        asked = one.job.asked
        assert isinstance(asked, Request)
        ids = list(output.generated_ids)
        logprobs = None
        if asked.sampling.get("logprobs"):
            texts = [self._tokenizer.decode([token]) for token in ids]
            logprobs = tuple(
                TokenLogprob(text, float(value), {text: float(value)})
                for text, value in zip(texts, output.generated_log_probs, strict=True)
            )
        cut = output.finish_reason == self._genai.GenerationFinishReason.LENGTH
        return Completion(
            text=_before(self._tokenizer.decode(ids), asked.sampling.get("stop") or ()),
            logprobs=logprobs,
            finish_reason="length" if cut else "stop",
            input_tokens=one.prompt_tokens,
            output_tokens=len(ids),
            model=self._model,
            seconds=round(time.perf_counter() - one.started, 4),
            engine=f"openvino-genai {self._genai.__version__.partition('-')[0]}",
        )

    def _ids(self, text: str) -> list[int]:
        # without max_length the tokenizer cuts a text off at the model's context, and says nothing
        encoded = self._tokenizer.encode(text, add_special_tokens=False, max_length=2**31 - 1)
        return [int(token) for token in encoded.input_ids.data.reshape(-1)]

    def _prompt(self, prompt: Prompt, sampling: Mapping[str, Any]) -> list[int]:
        """The token ids of a prompt; chat messages are framed by the chat template."""
        if isinstance(prompt, str):
            return self._ids(prompt)
        template = sampling.get("chat_template") or self._template
        if not template:
            raise InputError(f"{self._model} has no chat template: give one with --chat-template FILE")
        special = {"bos_token": self._tokenizer.get_bos_token(), "eos_token": self._tokenizer.get_eos_token()}
        return self._ids(render_chat(template, prompt, tokens=special, arguments=sampling.get("template_args") or {}))

    def _room(self, prompt: int, wanted: int | None) -> int:
        """Tokens that an answer may have: what was asked for, as far as the context holds it."""
        room = None if self._context is None else max(1, self._context - prompt)
        return min(n for n in (wanted, room, 2**31) if n is not None)


def _configure(genai: Any, config: Any, sampling: Mapping[str, Any], limit: int) -> None:
    """The request's sampling in the engine's words."""
    temperature = float(sampling.get("temperature") or 0.0)
    config.max_new_tokens = limit
    config.do_sample = temperature > 0
    if temperature > 0:
        config.temperature = temperature
        config.top_p = float(sampling.get("top_p", 1.0))
        seed = sampling.get("seed")
        # the engine's own default is one fixed seed: without one, samples of a prompt would all be the same
        config.rng_seed = secrets.randbits(32) if seed is None else int(seed)
    config.repetition_penalty = float(sampling.get("repetition_penalty", 1.0))
    if sampling.get("stop"):
        stop = sampling["stop"]
        config.stop_strings = {stop} if isinstance(stop, str) else set(stop)
        # left to itself the engine cuts whole tokens off, and leaves the beginning of a string that starts within one
        config.include_stop_str_in_output = True
    config.logprobs = 1 if sampling.get("logprobs") else 0
    if sampling.get("schema"):
        config.structured_output_config = genai.StructuredOutputConfig(json_schema=json.dumps(sampling["schema"]))


def _before(text: str, stop: str | Sequence[str]) -> str:
    """The text up to the first of the stop strings in it."""
    found = [text.find(s) for s in ([stop] if isinstance(stop, str) else stop)]
    return text[: min((at for at in found if at >= 0), default=len(text))]


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


def _reason(error: Exception) -> str:
    """The one line of an engine's message that says why: its last one, without the source files it names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from")]
    return lines[-1][:200] if lines else type(error).__name__
