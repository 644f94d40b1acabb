"""A model in this process, run by vLLM: the ordinary case on a GPU.

vLLM's asynchronous engine batches whatever is in flight and keeps the beginnings that prompts share. It lives in one
thread with an event loop of its own, and works in child processes; calls come from any loop. vLLM's `LLM` class would
be simpler, but takes whole lists: the farm's calls come one by one and must be committed one by one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import gc
import importlib
import itertools
import math
import multiprocessing
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, TypeVar

import jinja2

from simfarm.backends.base import CallError, Completion, Prompt, Request, TokenLogprob
from simfarm.backends.local import check_sampling, find_model
from simfarm.backends.vllm_failures import explain
from simfarm.backends.vllm_options import (
    CHANGING,
    check_device,
    check_options,
    import_vllm,
    lora_rank,
    stderr_to,
    watch,
)
from simfarm.errors import InputError, ProviderError

__all__ = ["VLLMBackend"]

Answer = TypeVar("Answer")

LEAST_LOGPROB = -9999.0
"""What vLLM's server gives for log 0: JSON has no -inf."""


class VLLMBackend:
    """Chat completions and likelihoods from vLLM's engine; `options` are `vllm.AsyncEngineArgs`' (tensor_parallel_size,
    data_parallel_size, dtype, max_model_len, gpu_memory_utilization …) and `adapter`, a LoRA adapter's folder.

    A request's sampling is all there is: the defaults in a model's generation_config.json (a temperature, a repetition
    penalty) are not applied, and no temperature means greedy. Raises `InputError` for an option that vLLM does not
    have, for a model or adapter that is none, and where there is no GPU or no working vLLM.
    """

    name = "vllm"
    base_url: str | None = None
    in_process = True
    concurrency = 512
    """Twice the sequences that vLLM runs at a time by default (256): when one ends, the next waits in the engine."""

    def __init__(self, name: str, options: Mapping[str, Any]) -> None:
        if name.endswith(".gguf"):
            raise InputError(f"{name}: vLLM does not read GGUF files; use openvino/{name}, or the model's folder")
        options = dict(options)
        adapter = options.pop("adapter", None)
        if adapter is not None:
            options["adapter"] = adapter = str(Path(adapter).expanduser())
            options.setdefault("max_lora_rank", lora_rank(adapter))
        model = find_model(self.name, name, {k: v for k, v in options.items() if k in CHANGING})
        self.model = model.full_name
        options.pop("adapter", None)
        self._vllm = import_vllm()
        self._parameters = importlib.import_module("vllm.sampling_params")
        self._errors = importlib.import_module("vllm.exceptions")
        fields = {f.name: f.default for f in dataclasses.fields(self._vllm.AsyncEngineArgs)}
        check_device(
            options.pop("device", None), importlib.import_module("vllm.platforms").current_platform.device_type
        )
        check_options(options, fields)
        self._most_logprobs = int(options.get("max_logprobs", fields["max_logprobs"]))
        self._adapter = adapter
        self._options = {
            "model": str(model.path),
            "enable_prefix_caching": True,
            "disable_log_stats": True,
            "use_tqdm_on_load": False,
            "enable_lora": adapter is not None,
            **options,
        }
        self._engine_name = f"vllm {self._vllm.__version__}"
        self._ids = itertools.count()
        self._calls: set[Any] = set()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._engine: asyncio.Task[Any] | None = None
        self._log: IO[bytes] | None = None
        self._watch: subprocess.Popen[bytes] | None = None

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses, before the model is loaded, what it cannot do. Raises `InputError`."""
        check_sampling(self.name, sampling)
        asked = sampling.get("logprobs") or 0
        if 0 <= self._most_logprobs < asked:
            raise InputError(
                f"vLLM gives {self._most_logprobs} log probabilities a token and {asked} are asked for: "
                f"add --engine-arg max_logprobs={asked}"
            )
        try:
            self._sampling(sampling, 1)
        except (ValueError, TypeError, self._errors.VLLMClientError) as error:
            raise InputError(f"vLLM refuses the sampling options: {_first_line(error)}") from None

    async def complete(self, request: Request) -> Completion:
        """The model's answer, never from a shortened prompt: one that does not fit the context is a `CallError`; an
        answer that does not fit what is left of it ends there, with the reason `length`."""
        return await self._call(lambda: self._complete(request))

    async def log_likelihood(self, prompt: Prompt, continuation: str) -> float:
        """log P(continuation | prompt) in nats; see `Scorer`.

        From vLLM's prompt log probabilities. They need the hidden states of the whole prompt, so that vLLM does not
        read its prefix cache for them (it fills it): continuations of one prompt are batched, and each computes the
        prompt again. Forcing it to read would be wrong now and then: for a prompt that was set aside for want of memory
        vLLM does not tell how much came from the cache.
        """
        return await self._call(lambda: self._log_likelihood(prompt, continuation))

    async def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without special ones."""

        async def count() -> int:
            return len((await self._ready()).get_tokenizer().encode(text, add_special_tokens=False))

        return await self._call(count)

    async def close(self) -> None:
        """Ends the engine and its processes; a later call would load the model again."""
        with self._lock:
            thread, loop = self._thread, self._loop
            self._thread = self._loop = None
        if thread is None or loop is None:
            return
        await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(self._shut_down(), loop))
        loop.call_soon_threadsafe(loop.stop)
        await asyncio.to_thread(thread.join)
        loop.close()
        # the engine refers to itself, and what it does when it is freed fails once the interpreter is ending
        gc.collect()

    async def _call(self, work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Runs `work` in the engine's loop; whoever stops waiting stops it there too, and with it the request."""
        with self._lock:
            if self._loop is None:
                self._loop = asyncio.new_event_loop()
                self._thread = threading.Thread(target=self._loop.run_forever, name="simfarm-vllm", daemon=True)
                self._thread.start()
            future = asyncio.run_coroutine_threadsafe(self._tracked(work), self._loop)
        return await asyncio.wrap_future(future)

    async def _tracked(self, work: Callable[[], Coroutine[Any, Any, Answer]]) -> Answer:
        """Runs `work` so that `close` can find it."""
        task = asyncio.current_task()
        self._calls.add(task)
        try:
            return await work()
        finally:
            self._calls.discard(task)

    async def _ready(self) -> Any:
        """The engine, loaded at the first call; a failure to load is everybody's."""
        if self._engine is None:
            self._engine = asyncio.ensure_future(self._load())
        # shielded: one caller who stops waiting does not stop the loading for the others
        return await asyncio.shield(self._engine)

    async def _load(self) -> Any:
        async_llm = importlib.import_module("vllm.v1.engine.async_llm").AsyncLLM
        context = importlib.import_module("vllm.usage.usage_lib").UsageContext.LLM_CLASS
        self._log = tempfile.TemporaryFile("a+b")  # noqa: SIM115 open as long as the engine's processes write to it
        try:
            with stderr_to(self._log):
                arguments = self._vllm.AsyncEngineArgs(**self._options)
                before = set(multiprocessing.active_children())
                # as in the class LLM, whose batches are larger than a server's
                engine = async_llm.from_engine_args(arguments, usage_context=context)
            started = set(multiprocessing.active_children()) - before
            self._watch = watch(process.pid for process in started if process.pid)
            return engine
        except Exception as error:  # noqa: BLE001 vLLM raises of every kind here; all of it is told, and ends the run
            told = f"{type(error).__name__}: {error}\n{self._said()}"
            raise InputError(f"{self.model}: {explain(told)}") from None

    async def _complete(self, request: Request) -> Completion:
        engine = await self._ready()
        started = time.perf_counter()
        sampling = request.sampling
        tokens = self._prompt_tokens(engine, request.messages, sampling)
        context = engine.model_config.max_model_len
        room = context - len(tokens)
        if room < 1:
            raise CallError(f"the prompt has {len(tokens)} tokens and the context holds {context}")
        output = await self._generate(engine, tokens, self._sampling(sampling, room))
        answer = output.outputs[0]
        if answer.finish_reason not in ("stop", "length"):
            raise CallError(f"vLLM gave this prompt up ({answer.finish_reason})")
        asked = sampling.get("logprobs")
        return Completion(
            text=answer.text,
            logprobs=token_logprobs(answer.token_ids, answer.logprobs, asked) if asked else None,
            finish_reason=answer.finish_reason,
            input_tokens=len(tokens),
            output_tokens=len(answer.token_ids),
            model=self.model,
            seconds=round(time.perf_counter() - started, 4),
            engine=self._engine_name,
        )

    async def _log_likelihood(self, prompt: Prompt, continuation: str) -> float:
        engine = await self._ready()
        tokenizer = engine.get_tokenizer()
        check_text(continuation, *([prompt] if isinstance(prompt, str) else ()))
        before = tokenizer.encode(prompt) if isinstance(prompt, str) else self._prompt_tokens(engine, prompt, {})
        after = tokenizer.encode(continuation, add_special_tokens=False)
        if not before or not after:
            raise CallError(f"the {'continuation' if before else 'prompt'} is empty")
        tokens, context = [*before, *after], engine.model_config.max_model_len
        # one token less than the context: vLLM wants room for a token even where none is wanted
        if len(tokens) >= context:
            raise CallError(
                f"prompt and continuation have {len(tokens)} tokens and the context holds {context - 1} to be scored"
            )
        params = self._vllm.SamplingParams(
            temperature=0.0,
            max_tokens=1,
            prompt_logprobs=0,
            detokenize=False,
            output_kind=self._parameters.RequestOutputKind.FINAL_ONLY,
        )
        rows = (await self._generate(engine, tokens, params)).prompt_logprobs
        return math.fsum(rows[i][tokens[i]].logprob for i in range(len(before), len(tokens)))

    def _prompt_tokens(self, engine: Any, messages: Any, sampling: Mapping[str, Any]) -> list[int]:
        """The tokens of a conversation, up to where the model's answer begins."""
        tokenizer = engine.get_tokenizer()
        template = sampling.get("chat_template")
        if template is None and getattr(tokenizer, "chat_template", None) is None:
            raise InputError(f"{self.model} has no chat template: add --chat-template FILE")
        check_text(*(m["content"] for m in messages))
        try:
            tokens: list[int] = tokenizer.apply_chat_template(
                [dict(m) for m in messages],
                chat_template=template,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=False,
                **(sampling.get("template_args") or {}),
            )
        except jinja2.TemplateSyntaxError as error:
            raise InputError(f"the chat template cannot be read: {_first_line(error)} (line {error.lineno})") from None
        except jinja2.TemplateError as error:
            raise CallError(f"the chat template refuses these messages: {_first_line(error)}") from None
        return tokens

    def _sampling(self, sampling: Mapping[str, Any], room: int) -> Any:
        """vLLM's sampling parameters; at most `room` tokens."""
        schema, stop = sampling.get("schema"), sampling.get("stop")
        structured = None if schema is None else self._parameters.StructuredOutputsParams(json=dict(schema))
        return self._vllm.SamplingParams(
            temperature=sampling.get("temperature", 0.0),
            top_p=sampling.get("top_p", 1.0),
            repetition_penalty=sampling.get("repetition_penalty", 1.0),
            seed=sampling.get("seed"),
            stop=[stop] if isinstance(stop, str) else list(stop or ()),
            max_tokens=min(room, sampling.get("max_tokens") or room),
            logprobs=sampling.get("logprobs") or None,
            structured_outputs=structured,
            output_kind=self._parameters.RequestOutputKind.FINAL_ONLY,
        )

    async def _generate(self, engine: Any, tokens: list[int], params: Any) -> Any:
        """One request through the engine: its one and last output."""
        lora = None
        if self._adapter is not None:
            lora = importlib.import_module("vllm.lora.request").LoRARequest("adapter", 1, self._adapter)
        stream = engine.generate({"prompt_token_ids": tokens}, params, f"simfarm-{next(self._ids)}", lora_request=lora)
        try:
            # to its end: a stream that is left is a request that is aborted
            return [output async for output in stream][-1]
        except (ValueError, self._errors.VLLMClientError) as error:
            raise CallError(f"vLLM refuses this request: {_first_line(error)}") from None
        except self._errors.VLLMServerError as error:
            if not engine.errored:
                raise CallError(f"vLLM failed on this request: {_first_line(error)}") from None
            raise ProviderError(f"{self.model}: the engine died: {explain(self._said())}") from None

    async def _shut_down(self) -> None:
        loading, self._engine = self._engine, None
        engine = None
        if loading is not None and (await asyncio.wait([loading])) and loading.exception() is None:
            engine = loading.result()
        # calls first, so that their requests are taken out of the engine; then its reader, which would log its death
        for tasks in (set(self._calls), {engine.output_handler} if engine is not None else set()):
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        if engine is not None:
            engine.shutdown()
            await asyncio.gather(*asyncio.all_tasks() - {asyncio.current_task()}, return_exceptions=True)
        if self._watch is not None:
            self._watch.communicate(b"ended")
            self._watch = None
        if self._log is not None:
            self._log.close()
            self._log = None

    def _said(self) -> str:
        """What the engine's processes wrote; nothing where the user lets them write to the terminal."""
        if self._log is None:
            return ""
        self._log.seek(0)
        return self._log.read().decode("utf-8", "replace")


def token_logprobs(tokens: Sequence[int], places: Sequence[Mapping[int, Any]], most: int) -> tuple[TokenLogprob, ...]:
    """vLLM's log probabilities as its server gives them: at each place the chosen token, then the likeliest, `most` in
    all; of two tokens with the same text (halves of a character) the later counts."""
    found = []
    for token, place in zip(tokens, places, strict=True):
        told = [(p.decoded_token, max(p.logprob, LEAST_LOGPROB)) for p in place.values()]
        chosen = place[token]
        found.append(TokenLogprob(chosen.decoded_token, max(chosen.logprob, LEAST_LOGPROB), dict(told[:most])))
    return tuple(found)


def check_text(*texts: str) -> None:
    """Refuses halves of surrogate pairs, which no tokenizer takes. Raises `CallError`."""
    try:
        for text in texts:
            text.encode()
    except UnicodeEncodeError:
        raise CallError("the prompt is not valid Unicode text") from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:240]
