"""How an answer is drawn: the options of `simfarm generate` as the sampling of a request.

Greedy is the default for one answer, because it is the same tomorrow; several answers to one prompt need a temperature,
and get 1 where none is named.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from simfarm.data.cells import stable_digest
from simfarm.errors import InputError

__all__ = ["MAX_TOKENS", "Sampling"]

MAX_TOKENS = 1024
"""Of an answer, where the user names no number: AlpacaEval's models seldom need more, and a looping one stops."""

COOLEST = 0.01
"""The lowest temperature above greedy that engines compute without overflow (vLLM's own bound)."""

LIMITS = {
    "temperature": (0.0, 100.0, "0 (greedy) or above, up to 100"),
    "top_p": (1e-6, 1.0, "above 0 and at most 1"),
    "repetition_penalty": (0.01, 100.0, "from 0.01 to 100 (1 is none)"),
}


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
        for name, (least, most, told) in LIMITS.items():
            value = getattr(self, name)
            if value is not None and not (isinstance(value, int | float) and least <= value <= most):
                raise InputError(f"{name} is {value!r}; it must be {told}")
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
