"""openvino-genai's continuous batching in the words of the farm: requests in, completions and likelihoods out, and the
log probabilities of single tokens, of which decisions are made.

A step computes the next token of everything that runs; between two steps new requests come in and finished ones go. All
of it belongs to the one thread that made it.
"""

from __future__ import annotations

import functools
import json
import operator
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

from simfarm.backends.base import Prompt
from simfarm.backends.local.chat_template import render_chat
from simfarm.backends.local.deciding import Ballot, ballots
from simfarm.backends.local.framing import ENDLESS, Continuation, before, check_pair, room, stops
from simfarm.backends.local.worker import Job
from simfarm.data.exchange import CallError, Completion, Request, TokenLogprob
from simfarm.errors import InputError

__all__ = ["Asked", "Following", "Pipeline", "Running", "Whole", "decides", "engine_name", "reads", "reason"]


@dataclass(frozen=True, slots=True)
class Following:
    """The question how likely one token is after a prompt; None: that prompt is to be read, for the tokens asked of
    next. The answer is None where the token cannot be asked for alone."""

    prompt: list[int]
    token: int | None


@dataclass(frozen=True, slots=True)
class Whole:
    """The question how likely some tokens are after a prompt."""

    prompt: list[int]
    tokens: list[int]


Asked: TypeAlias = Request | Continuation | Following | Whole | str
"""What is asked: an answer (or the ballots of a request with questions), a likelihood, that of tokens, or how many
tokens a text has."""


def decides(asked: Asked) -> bool:
    """Whether a question is part of a decision, for which what prompts begin with is to be kept."""
    return isinstance(asked, Following) or (isinstance(asked, Request) and bool(asked.questions))


def reads(asked: Asked) -> bool:
    """Whether a question is that of a decision whose prompt is to be read."""
    return isinstance(asked, Following) and asked.token is None


PROBE = "a b " * 2**15
"""A text of at least half as many tokens as characters, more than any tokenizer's limit that is not its model's."""


@dataclass(slots=True)
class Running:
    """A question that the engine is at."""

    job: Job[Asked]
    handle: Any
    prompt_tokens: int
    started: float


class Pipeline:
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
        # a tokenizer may cut texts off and say nothing (one made from GGUF at 8,192 tokens, whatever the context holds)
        self._most = len(self._encoded(PROBE))
        if self._most >= len(PROBE) // 2:
            self._most = -1
        self._number = 0

    def start(self, job: Job[Asked]) -> Running | None:
        """Puts a question into the pipeline; None where it is answered at once."""
        asked = job.asked
        if isinstance(asked, str):
            job.finish(len(self._ids(asked)))
            return None
        if isinstance(asked, Request) and asked.questions:
            job.finish(self._ballots(asked))
            return None
        config = self._genai.GenerationConfig()
        config.set_eos_token_id(self._tokenizer.get_eos_token_id())
        config.stop_token_ids = self._ends
        if isinstance(asked, Continuation | Whole):
            prompt, continuation = self._pair(asked)
            ids = prompt + continuation
            config.echo, config.logprobs, config.max_new_tokens = True, 1, 0
        elif isinstance(asked, Following):
            ids = prompt = asked.prompt
            config.logprobs, config.max_new_tokens = 1, 1
            if asked.token is not None:
                text = self._tokenizer.decode([asked.token])
                if not text:
                    job.finish(None)
                    return None
                # held to the token, while its log probability is the model's own: that is taken before the grammar
                config.structured_output_config = _one_of(self._genai, [text])
        else:
            ids = prompt = self._prompt(asked.messages, asked.sampling)
            limit = room(len(ids), self._context, asked.sampling.get("max_tokens"))
            _configure(self._genai, config, asked.sampling, limit)
        self._number += 1
        import numpy
        import openvino

        handle = self._pipeline.add_request(
            self._number, openvino.Tensor(numpy.array([ids], dtype=numpy.int64)), config
        )
        return Running(job, handle, len(prompt), time.perf_counter())

    def step(self, running: list[Running]) -> list[Running]:
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

    def drop(self, running: list[Running]) -> None:
        """Gives up what runs: one more step lets the engine free its memory, else it complains when it ends, also of
        what was cancelled in the last step."""
        for one in running:
            one.handle.cancel()
        if self._pipeline.has_non_finished_requests():
            self._pipeline.step()

    def _answer(self, one: Running) -> None:
        outputs = one.handle.read_all()
        if one.handle.get_status() != self._genai.GenerationStatus.FINISHED or not outputs:
            one.job.fail(CallError("the engine had no memory left for this record: lower --concurrency or max_tokens"))
            return
        (output,) = outputs
        if isinstance(one.job.asked, Following):
            (token,), (value,) = output.generated_ids, output.generated_log_probs
            # a text may be begun by another token too ("y" for "yes"), which then was the likelier
            one.job.finish(float(value) if token == one.job.asked.token else None)
            return
        if isinstance(one.job.asked, Continuation | Whole):
            one.job.finish(float(sum(output.generated_log_probs[one.prompt_tokens :])))
            return
        one.job.finish(self._completion(one, output))

    def _ballots(self, request: Request) -> list[Ballot]:
        return ballots(
            request,
            frame=self._prompt,
            encode=self._ids,
            decode=lambda tokens: str(self._tokenizer.decode(tokens, skip_special_tokens=False)),
            context=self._context or ENDLESS,
        )

    def _pair(self, asked: Continuation | Whole) -> tuple[list[int], list[int]]:
        """The tokens of a prompt and of what follows it. Raises `CallError` where they have no likelihood."""
        if isinstance(asked, Whole):
            return asked.prompt, asked.tokens
        prompt, continuation = self._prompt(asked.prompt, asked.framing), self._ids(asked.continuation)
        check_pair(prompt, continuation, self._context or ENDLESS)
        return prompt, continuation

    def _completion(self, one: Running, output: Any) -> Completion:
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
            text=before(self._tokenizer.decode(ids), stops(asked.sampling)),
            logprobs=logprobs,
            finish_reason="length" if cut else "stop",
            input_tokens=one.prompt_tokens,
            output_tokens=len(ids),
            model=self._model,
            seconds=round(time.perf_counter() - one.started, 4),
            engine=engine_name(self._genai),
        )

    def _ids(self, text: str) -> list[int]:
        ids = self._encoded(text)
        if len(ids) == self._most:
            raise CallError(
                f"the text has {self._most} tokens or more, and openvino's tokenizer of this model ends there"
            )
        return ids

    def _encoded(self, text: str) -> list[int]:
        encoded = self._tokenizer.encode(text, add_special_tokens=False, max_length=ENDLESS - 1)
        return [int(token) for token in encoded.input_ids.data.reshape(-1)]

    def _prompt(self, prompt: Prompt, sampling: Mapping[str, Any]) -> list[int]:
        """The token ids of a prompt, at least one; chat messages are framed by the chat template."""
        text = prompt
        if not isinstance(text, str):
            template = sampling.get("chat_template") or self._template
            if not template:
                raise InputError(f"{self._model} has no chat template: give one with --chat-template FILE")
            special = {"bos_token": self._tokenizer.get_bos_token(), "eos_token": self._tokenizer.get_eos_token()}
            text = render_chat(template, text, tokens=special, arguments=sampling.get("template_args") or {})
        ids = self._ids(text)
        if not ids:
            raise CallError(
                "the prompt is empty: there is nothing that an answer follows"
                if isinstance(prompt, str)
                else "the chat template renders nothing for these messages"
            )
        return ids


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
    if stop := stops(sampling):
        config.stop_strings = set(stop)
        # left to itself the engine cuts whole tokens off, and leaves the beginning of a string that starts within one
        config.include_stop_str_in_output = True
    config.logprobs = 1 if sampling.get("logprobs") else 0
    if choices := sampling.get("choices"):
        config.structured_output_config = _one_of(genai, choices)
    elif sampling.get("schema"):
        config.structured_output_config = genai.StructuredOutputConfig(json_schema=json.dumps(sampling["schema"]))


def engine_name(genai: Any) -> str:
    """What answers name as their engine."""
    return f"openvino-genai {genai.__version__.partition('-')[0]}"


def _one_of(genai: Any, texts: Sequence[str]) -> Any:
    """The grammar of an answer that is one of these texts."""
    allowed = functools.reduce(operator.or_, map(genai.StructuredOutputConfig.ConstString, texts))
    return genai.StructuredOutputConfig(structural_tags_config=allowed)


def reason(error: Exception) -> str:
    """The one line of an engine's message that says why: its last one, without the source files it names."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip() and not line.startswith("Exception from")]
    return lines[-1][:200] if lines else type(error).__name__
