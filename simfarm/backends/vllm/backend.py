"""A model in this process, run by vLLM: the ordinary case on a GPU.

vLLM's asynchronous engine batches whatever is in flight and keeps the beginnings that prompts share; `vllm_engine`
holds it. vLLM's `LLM` class would be simpler, but takes whole lists: the farm's calls come one by one and must be
committed one by one.
"""

from __future__ import annotations

import asyncio
import dataclasses
import importlib
import itertools
import math
import threading
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from simfarm.backends.base import Prompt
from simfarm.backends.local.deciding import Ballot, ballots, check_questions, decision
from simfarm.backends.local.framing import check_framing, check_pair, encode, first_line, frame, room, stops
from simfarm.backends.local.models import check_sampling, find_model
from simfarm.backends.vllm.options import changing, check_device, check_options, import_vllm, lora_rank
from simfarm.backends.vllm.thread import EngineThread
from simfarm.data.decision import Decision, Question
from simfarm.data.exchange import LEAST_LOGPROB, CallError, Completion, Request, TokenLogprob
from simfarm.errors import InputError, ProviderError

__all__ = ["VLLMBackend"]

Answer = TypeVar("Answer")

NAMED = 128
"""Tokens whose log probabilities one request can name (vLLM's `MAX_LOGPROB_TOKEN_IDS`)."""


class VLLMBackend:
    """Chat completions, likelihoods and decisions from vLLM's engine; `options` are `vllm.AsyncEngineArgs`'
    (tensor_parallel_size, data_parallel_size, dtype, max_model_len, gpu_memory_utilization …) and `adapter`, a LoRA
    adapter's folder.

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
        model = find_model(self.name, name, changing(options))
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
        self._lock = threading.Lock()
        self._running: EngineThread | None = None

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses, before the model is loaded, what it cannot do. Raises `InputError`."""
        check_sampling(self.name, sampling)
        check_framing(sampling)
        asked = sampling.get("logprobs") or 0
        if 0 <= self._most_logprobs < asked:
            raise InputError(
                f"vLLM gives {self._most_logprobs} log probabilities a token and {asked} are asked for: "
                f"add --engine-arg max_logprobs={asked}"
            )
        try:
            self._sampling(sampling, 1)
        except (ValueError, TypeError, self._errors.VLLMClientError) as error:
            raise InputError(f"vLLM refuses the sampling options: {first_line(error)}") from None

    def most_tokens(self, request: Request) -> int | None:
        """The limit that the request names: what a model in this process thinks is part of its reply."""
        return request.sampling.get("max_tokens")

    async def complete(self, request: Request) -> Completion:
        """The model's answer, never from a shortened prompt: one that does not fit the context is a `CallError`; an
        answer that does not fit what is left of it ends there, with the reason `length`."""
        return await self._call(lambda running: self._complete(running, request))

    async def log_likelihood(
        self, prompt: Prompt, continuation: str, framing: Mapping[str, Any] | None = None
    ) -> float:
        """log P(continuation | prompt) in nats; see `Scorer`.

        From vLLM's prompt log probabilities. They need the hidden states of the whole prompt, so that vLLM does not
        read its prefix cache for them (it fills it): continuations of one prompt are batched, and each computes the
        prompt again. Forcing it to read would be wrong now and then: for a prompt that was set aside for want of memory
        vLLM does not tell how much came from the cache.
        """
        return await self._call(lambda running: self._log_likelihood(running, prompt, continuation, framing or {}))

    def check_questions(self, model: str, questions: Sequence[Question]) -> None:
        """Refuses questions that have no labels. Raises `InputError`."""
        check_questions(questions)

    async def decide(self, request: Request) -> Decision:
        """Its options' probabilities for each question: the raw log probabilities of the labels' tokens, named one by
        one, from one reading of the prompt; labels of several tokens are scored whole, in one reading for each. What
        the questions of a request have in common is in the prefix cache when the first has been read."""
        return await self._call(lambda running: self._decide(running, request))

    async def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without special ones."""

        async def count(running: EngineThread) -> int:
            return len(encode((await running.engine()).get_tokenizer(), text))

        return await self._call(count)

    async def close(self) -> None:
        """Ends the engine and its processes, also while it loads; calls that still wait are cancelled. A later call
        loads the model again."""
        with self._lock:
            running, self._running = self._running, None
        if running is not None:
            await running.close()

    async def _call(self, work: Callable[[EngineThread], Coroutine[Any, Any, Answer]]) -> Answer:
        """Runs `work` in the engine's thread, which starts with the first call."""
        with self._lock:
            if self._running is None:
                self._running = EngineThread(self.model, self._options)
            # submitted under the lock: so it comes before whatever closes this engine
            future = self._running.submit(work(self._running))
        return await asyncio.wrap_future(future)

    async def _complete(self, running: EngineThread, request: Request) -> Completion:
        engine = await running.engine()
        started = time.perf_counter()
        sampling = request.sampling
        tokens = frame(engine.get_tokenizer(), self.model, request.messages, sampling)
        most = room(len(tokens), engine.model_config.max_model_len, sampling.get("max_tokens"))
        output = await self._generate(running, tokens, self._sampling(sampling, most))
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

    async def _log_likelihood(
        self, running: EngineThread, prompt: Prompt, continuation: str, framing: Mapping[str, Any]
    ) -> float:
        engine = await running.engine()
        tokenizer = engine.get_tokenizer()
        before = frame(tokenizer, self.model, prompt, framing)
        after = encode(tokenizer, continuation)
        # one token less than the context: vLLM wants room for a token even where none is wanted
        check_pair(before, after, engine.model_config.max_model_len - 1)
        return await self._whole(running, before, after)

    async def _whole(self, running: EngineThread, before: list[int], after: list[int]) -> float:
        """log P(after | before) in nats, both in tokens."""
        tokens = [*before, *after]
        params = self._vllm.SamplingParams(
            temperature=0.0,
            max_tokens=1,
            prompt_logprobs=0,
            detokenize=False,
            output_kind=self._parameters.RequestOutputKind.FINAL_ONLY,
        )
        rows = (await self._generate(running, tokens, params)).prompt_logprobs
        return math.fsum(rows[i][tokens[i]].logprob for i in range(len(before), len(tokens)))

    async def _decide(self, running: EngineThread, request: Request) -> Decision:
        engine = await running.engine()
        tokenizer = engine.get_tokenizer()
        started = time.perf_counter()
        polled = ballots(
            request,
            frame=lambda messages, sampling: frame(tokenizer, self.model, messages, sampling),
            encode=lambda text: encode(tokenizer, text),
            decode=lambda tokens: str(tokenizer.decode(tokens)),
            context=engine.model_config.max_model_len - 1,
        )
        first = await self._chances(running, polled[0])
        others = await asyncio.gather(*(self._chances(running, ballot) for ballot in polled[1:]))
        seconds = time.perf_counter() - started
        return decision(polled, [first, *others], model=self.model, seconds=seconds, engine=self._engine_name)

    async def _chances(self, running: EngineThread, ballot: Ballot) -> list[float]:
        """log P(option | prompt) in nats for a ballot's options."""
        if not ballot.single:
            whole = (self._whole(running, ballot.prompt, option) for option in ballot.options)
            return list(await asyncio.gather(*whole))
        tokens = [token for (token,) in ballot.options]
        nats: list[float] = []
        for start in range(0, len(tokens), NAMED):
            named = tokens[start : start + NAMED]
            params = self._vllm.SamplingParams(
                temperature=0.0,
                max_tokens=1,
                logprob_token_ids=named,
                detokenize=False,
                output_kind=self._parameters.RequestOutputKind.FINAL_ONLY,
            )
            (place,) = (await self._generate(running, ballot.prompt, params)).outputs[0].logprobs
            nats += [place[token].logprob for token in named]
        return nats

    def _sampling(self, sampling: Mapping[str, Any], most: int) -> Any:
        """vLLM's sampling parameters; at most `most` tokens."""
        schema = sampling.get("schema")
        form: dict[str, Any] = {} if schema is None else {"json": dict(schema)}
        if choices := sampling.get("choices"):
            form = {"choice": list(choices)}
        return self._vllm.SamplingParams(
            temperature=sampling.get("temperature", 0.0),
            top_p=sampling.get("top_p", 1.0),
            repetition_penalty=sampling.get("repetition_penalty", 1.0),
            seed=sampling.get("seed"),
            stop=list(stops(sampling)),
            max_tokens=most,
            logprobs=sampling.get("logprobs") or None,
            structured_outputs=self._parameters.StructuredOutputsParams(**form) if form else None,
            output_kind=self._parameters.RequestOutputKind.FINAL_ONLY,
        )

    async def _generate(self, running: EngineThread, tokens: list[int], params: Any) -> Any:
        """One request through the engine: its one and last output."""
        engine = await running.engine()
        lora = None
        if self._adapter is not None:
            lora = importlib.import_module("vllm.lora.request").LoRARequest("adapter", 1, self._adapter)
        stream = engine.generate({"prompt_token_ids": tokens}, params, f"simfarm-{next(self._ids)}", lora_request=lora)
        try:
            # to its end: a stream that is left is a request that is aborted
            return [output async for output in stream][-1]
        except (ValueError, self._errors.VLLMClientError) as error:
            raise CallError(f"vLLM refuses this request: {first_line(error)}") from None
        except self._errors.VLLMServerError as error:
            if not engine.errored:
                raise CallError(f"vLLM failed on this request: {first_line(error)}") from None
            raise ProviderError(running.death()) from None


def token_logprobs(tokens: Sequence[int], places: Sequence[Mapping[int, Any]], most: int) -> tuple[TokenLogprob, ...]:
    """vLLM's log probabilities as its server gives them: at each place the chosen token, then the likeliest, `most` in
    all; of two tokens with the same text (halves of a character) the later counts."""
    logprobs = []
    for token, place in zip(tokens, places, strict=True):
        likeliest = [(p.decoded_token, max(p.logprob, LEAST_LOGPROB)) for p in place.values()]
        chosen = place[token]
        logprobs.append(TokenLogprob(chosen.decoded_token, max(chosen.logprob, LEAST_LOGPROB), dict(likeliest[:most])))
    return tuple(logprobs)
