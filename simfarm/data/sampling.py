"""How an answer is drawn: the vocabulary of a request's sampling, and the options of `simfarm generate` in it.

Judges, generation and every backend read the one table: a name that a judge's file may hold and a name that an engine
takes are then never two, and what cannot be sent is refused and not dropped.

Greedy is the default for one answer, because it is the same tomorrow; several answers to one prompt need a temperature,
and get 1 where none is named.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simfarm.data.cells import stable_digest
from simfarm.errors import InputError

__all__ = [
    "ANTHROPIC",
    "COOLEST",
    "DECIDED",
    "DRAWN",
    "FRAMING",
    "LITELLM",
    "LOCAL",
    "MAX_TOKENS",
    "OPENAI",
    "VOCABULARY",
    "Option",
    "Sampling",
    "refuse_unknown",
    "taken_by",
]

MAX_TOKENS = 1024
"""Of an answer, where the user names no number: AlpacaEval's models seldom need more, and a looping one stops."""

LEAST_BUDGET = 1024
"""Tokens to think in: the least that Anthropic takes."""

COOLEST = 0.01
"""The lowest temperature above greedy that engines compute without overflow (vLLM's own bound)."""

LOCAL, OPENAI, ANTHROPIC, LITELLM = "local", "openai", "anthropic", "litellm"
"""Who may take a name: the engines in this process, servers that speak OpenAI's or Anthropic's protocol, litellm."""


@dataclass(frozen=True, slots=True)
class Option:
    """One name of the vocabulary. `kind` is what its value is: a number, whole, a switch, a budget (a switch, or a
    whole number of tokens), a text, texts or a mapping. A number is at `least` and at `most` so much; `words` say so.
    `takers` can be sent it, or act by it; `judged`: a judge's file may hold it."""

    kind: str
    takers: frozenset[str]
    least: float = -math.inf
    most: float = math.inf
    words: str = ""
    judged: bool = True

    @property
    def form(self) -> str:
        """What a value must be, in words."""
        nouns = {
            "number": "a number",
            "whole": "a whole number",
            "switch": "true or false",
            "budget": "true, false or a whole number",
            "texts": "a list of texts",
        }
        return f"{nouns[self.kind]} {self.words}".strip()

    def fits(self, value: Any) -> bool:
        """Whether a value is of this form; of a text and a mapping nothing is known here."""
        match self.kind:
            case "number" | "whole":
                if isinstance(value, bool) or not isinstance(value, int if self.kind == "whole" else int | float):
                    return False
                return self.least <= value <= self.most
            case "switch":
                return isinstance(value, bool)
            case "budget":
                return isinstance(value, bool) or (isinstance(value, int) and self.least <= value <= self.most)
            case "texts":
                return isinstance(value, list) and bool(value) and all(isinstance(text, str) and text for text in value)
        return True


_SERVERS = frozenset({OPENAI, ANTHROPIC, LITELLM})
_EVERY = _SERVERS | {LOCAL}
_OPEN = frozenset({LOCAL, OPENAI})

VOCABULARY: Mapping[str, Option] = {
    "temperature": Option("number", _EVERY, 0, 100, "0 (greedy) or above, up to 100"),
    "top_p": Option("number", _EVERY, 1e-6, 1, "above 0 and at most 1"),
    "repetition_penalty": Option("number", _OPEN, 0.01, 100, "from 0.01 to 100 (1 is none)"),
    "max_tokens": Option("whole", _EVERY, 1, words="from 1"),
    "logprobs": Option("whole", _EVERY - {ANTHROPIC}, 1, 20, "from 1 to 20"),
    "seed": Option("whole", _EVERY),
    "stop": Option("texts", _EVERY),
    "effort": Option("text", _SERVERS),
    "thinking": Option("budget", _SERVERS, LEAST_BUDGET, words=f"from {LEAST_BUDGET} (tokens)"),
    "chat_template": Option("text", _OPEN),
    "template_args": Option("mapping", _OPEN),
    "extra": Option("mapping", _SERVERS),
    "schema": Option("mapping", _EVERY, judged=False),
    "choices": Option("texts", frozenset({LOCAL}), judged=False),
}
"""Every name in a request's sampling. `max_tokens` is for the reply: a server's model gets more to think in. `logprobs`
are the likely tokens at each place. `thinking` may be how many tokens, for models that are told so (older Claudes).
`extra` are fields of the server's own. A judge's `schema` and `choices`, the texts that the answer must be one of,
follow from its verdict, and are in no file."""

DRAWN = ("temperature", "top_p")
"""What a model that thinks takes no word of, where it decides itself how it draws."""

FRAMING = ("chat_template", "template_args")
"""What says how messages become a prompt."""

DECIDED = (*FRAMING, "extra")
"""What a request for a decision may hold: nothing is drawn, and nothing generated."""


def taken_by(taker: str) -> frozenset[str]:
    """The names that a taker has a form for."""
    return frozenset(name for name, option in VOCABULARY.items() if taker in option.takers)


def refuse_unknown(prefix: str, taker: str, names: Iterable[str]) -> None:
    """Raise `InputError` for a name that a backend does not take; `prefix` is how its models are named."""
    known = taken_by(taker)
    unknown = set(names) - known
    if unknown:
        raise InputError(f"unknown sampling option '{min(unknown)}': {prefix}/ takes {', '.join(sorted(known))}")


@dataclass(frozen=True, slots=True)
class Sampling:
    """Options of every answer. `n` answers a prompt; a `seed` makes them repeatable; `effort` is how much a server's
    model thinks (none, low, medium …), which `max_tokens` does not bound, `thinking` whether it does; `stop` strings
    end an answer and are no part of it; `template_args` go to the chat template (enable_thinking …). Raises
    `InputError` for what cannot be."""

    n: int = 1
    temperature: float | None = None
    top_p: float | None = None
    repetition_penalty: float | None = None
    max_tokens: int = MAX_TOKENS
    seed: int | None = None
    effort: str | None = None
    thinking: bool | None = None
    stop: Sequence[str] = ()
    chat_template: str | None = None
    template_args: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name, value in (("n", self.n), ("max_tokens", self.max_tokens)):
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}; it must be a whole number of at least 1")
        for name in ("temperature", "top_p", "repetition_penalty"):
            value, option = getattr(self, name), VOCABULARY[name]
            if value is not None and not option.fits(value):
                raise InputError(f"{name} is {value!r}; it must be {option.words}")
        if self.temperature is not None and 0 < self.temperature < COOLEST:
            raise InputError(f"temperature is {self.temperature!r}; it must be 0 (greedy) or at least {COOLEST}")
        if self.seed is not None and not (isinstance(self.seed, int) and 0 <= self.seed < 2**32):
            raise InputError(f"seed is {self.seed!r}; it must be a whole number from 0 to {2**32 - 1}")
        self._check_texts()
        try:
            json.dumps(dict(self.template_args), allow_nan=False)
        except (TypeError, ValueError) as error:
            raise InputError(f"template_args must be what JSON can hold ({error})") from None
        if self.n > 1 and self.temperature == 0:
            raise InputError(f"{self.n} answers at temperature 0 would all be the same; give a temperature above 0")

    def _check_texts(self) -> None:
        if self.effort is not None and not (isinstance(self.effort, str) and self.effort.strip()):
            raise InputError(f"effort is {self.effort!r}; it must be a word such as none, low, medium or high")
        if isinstance(self.stop, str) or not all(isinstance(text, str) for text in self.stop):
            raise InputError(f"stop is {self.stop!r}; it must be a list of texts")
        if not all(self.stop):
            raise InputError("a stop string is empty: it would end every answer before it began; leave it out")
        if any(not _is_text(text) for text in (*self.stop, self.chat_template or "")):
            raise InputError("a stop string or the chat template is not valid Unicode text; write it as UTF-8")
        if self.chat_template is not None and not self.chat_template.strip():
            raise InputError("the chat template is empty; leave it out for the model's own")

    @property
    def heat(self) -> float:
        """The temperature in force."""
        return float(self.temperature if self.temperature is not None else self.n > 1)

    def of_sample(self, sample: int, prompt: Any = None) -> dict[str, Any]:
        """The sampling of one answer's request. Its own seed follows from `seed`, the prompt and the sample: one seed
        for all prompts would give their answers the same luck, and an interval over prompts takes them for
        independent."""
        given: dict[str, Any] = {"temperature": self.heat, "max_tokens": self.max_tokens}
        for name in ("top_p", "repetition_penalty"):
            if getattr(self, name) is not None:
                given[name] = float(getattr(self, name))
        if self.chat_template is not None:
            given["chat_template"] = self.chat_template
        if self.seed is not None and self.heat > 0:
            given["seed"] = int.from_bytes(stable_digest("sample", self.seed, prompt, sample)[:4]) >> 1
        for name in ("effort", "thinking"):
            if getattr(self, name) is not None:
                given[name] = getattr(self, name)
        if self.stop:
            given["stop"] = list(self.stop)
        if self.template_args:
            given["template_args"] = dict(self.template_args)
        return given

    def recorded(self, sample: int) -> dict[str, Any]:
        """The same for an output's record: the user's own seed, a chat template as its hash."""
        given = self.of_sample(sample)
        if "seed" in given:
            given["seed"] = self.seed
        if "chat_template" in given:
            given["chat_template"] = f"sha256:{hashlib.sha256(given['chat_template'].encode()).hexdigest()[:12]}"
        return given


def _is_text(text: str) -> bool:
    """Whether a text has a UTF-8 form: half of a surrogate pair has none."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
