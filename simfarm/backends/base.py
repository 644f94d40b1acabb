"""What a backend is: one method that turns a request into a completion, awaited many at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeAlias, runtime_checkable

from simfarm.data.decision import Decision, Question
from simfarm.data.exchange import CallError, Completion, Likelihood, Message, Request, Starved, read_logprob
from simfarm.data.sampling import FRAMING

__all__ = ["Backend", "Decider", "Likely", "Prompt", "Scorer", "insist", "likelihood"]

Prompt: TypeAlias = str | Sequence[Message]
"""What a continuation follows: chat messages, framed by the model's chat template, or a text as it is."""


class Backend(Protocol):
    """Where completions come from. Raises `CallError`, `TransientError`, or `simfarm.errors.ProviderError`."""

    name: str
    """The provider's prefix (openai, anthropic, litellm, replay, openvino, vllm, transformers)."""

    base_url: str | None
    """Where requests go, part of the store's key; None for the provider's own address or no network."""

    in_process: bool
    """Whether the model runs in this process: then a call waits its turn as long as it takes, and costs nothing."""

    concurrency: int
    """Calls to have in flight where the user names no number."""

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuse, before any call, what this model cannot do (log probabilities …); raises `InputError`."""

    def most_tokens(self, request: Request) -> int | None:
        """The most tokens that the answer may have, thinking among them; None where nothing bounds them."""

    async def complete(self, request: Request) -> Completion: ...

    async def close(self) -> None: ...


async def insist(backend: Backend, request: Request) -> Completion:
    """A completion, asked for again where a model used up its limit by thinking; the cost of all is in it."""
    paid: list[Completion] = []
    while True:
        try:
            return (await backend.complete(request)).after(paid)
        except Starved as error:
            paid.append(error.paid)


@runtime_checkable
class Decider(Protocol):
    """A backend that can also decide: typed questions about one input, and a probability for every option."""

    def check_questions(self, model: str, questions: Sequence[Question]) -> None:
        """Refuse, before any call, questions that this model cannot be asked (more options than the server takes …);
        raises `InputError`."""

    async def decide(self, request: Request) -> Decision:
        """The answers to a request's `questions`, of which it has at least one, about its `messages`; of its sampling
        `data.sampling.DECIDED` counts. Raises as `Backend.complete`: a refusal of one question is no error."""


class Scorer(Backend, Protocol):
    """A backend that can also say how likely a text is. Such backends run in process; they may be awaited from any
    event loop, and load their model at the first call."""

    model: str
    """NAME@REVISION: another name whenever weights, adapter or precision change; what requests and annotations name."""

    async def log_likelihood(
        self, prompt: Prompt, continuation: str, framing: Mapping[str, Any] | None = None
    ) -> float:
        """log P(continuation | prompt) in nats: the sum over the continuation's own tokens, no end-of-text token.

        After chat messages the continuation stands where the model's answer would begin; `framing` holds the
        chat_template and template_args of a request's sampling, where the answer was made with some. Prompt and
        continuation are tokenised apart, so that the same text has the same tokens whatever it follows. Raises
        `CallError` where both together exceed the context, or where the continuation is empty.
        """

    async def count_tokens(self, text: str) -> int:
        """How many tokens a text has, without special ones: what a mean log likelihood divides by."""


@runtime_checkable
class Likely(Protocol):
    """A backend that tells likelihoods a request at a time: a server, a recording, two models side by side."""

    def check_likelihoods(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuse, before any call, what this model cannot do of it; raises `InputError`."""

    async def likelihood(self, request: Request) -> Likelihood:
        """As `likelihood`. Raises as `Backend.complete`."""


async def likelihood(scorer: Scorer | Likely, request: Request) -> Likelihood:
    """How likely a request's last message is, as the model's answer to the others; of its sampling `FRAMING` counts.
    Raises `CallError` as `Scorer.log_likelihood`, and for a model whose arithmetic fails on it."""
    if isinstance(scorer, Likely):
        return await scorer.likelihood(request)
    *prompt, answer = request.messages
    framing = {name: request.sampling[name] for name in FRAMING if name in request.sampling}
    total = await scorer.log_likelihood(prompt, answer["content"], framing=framing)
    *read, written = [await scorer.count_tokens(message["content"]) for message in request.messages]
    try:
        nats = read_logprob(total)
    except ValueError:
        raise CallError(f"the model's likelihood of this text is no number ({total})") from None
    return Likelihood(nats, written, input_tokens=sum(read) + written, output_tokens=0, model=scorer.model)
