"""What a model is known to do, by its name: whether it thinks before it answers, what stops that, what it takes.

A first guess that saves the first refusals, never a verdict on a model: a name that is not here is asked as it is, and
what a server refuses or shows counts (`dialect`). By the providers' pages of November 2026, see docs/providers.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import Any

from simfarm.errors import InputError

__all__ = [
    "BRIEF",
    "Traits",
    "budget_of",
    "is_drawn",
    "refuse_unsent",
    "room_for",
    "split_thoughts",
    "traits",
    "wants_none",
]

ROOM = 8192
"""Tokens that a model gets to think in, beside those of its reply: providers bound only both together."""

DEEP_ROOM = 32768
"""The same where much thinking is asked for."""

DEEP = {"high", "xhigh", "max"}

BRIEF = 16
"""The most tokens of a reply that is a label and nothing else: whoever asks for one wants no thinking before it."""

Fields = Mapping[str, Any]
"""Fields of a request's body."""


@dataclass(frozen=True, slots=True)
class Traits:
    """`thinks`: where a request says nothing of it. `off` and `on` are what a body has to say so that it does not, or
    does, None where nothing does; `least` what makes it think as little as it can. `efforts` are those it takes, None
    where that is not known. `drawn`: it takes a temperature while it thinks; `drawn_quiet`: while it does not.
    `logprobs`: False where it gives none even without thinking, `top_logprobs` how many of them at most, and `counted`
    whether the server is told that number alone."""

    thinks: bool = False
    off: Fields | None = None
    on: Fields | None = None
    least: Fields = field(default_factory=dict)
    efforts: tuple[str, ...] | None = None
    drawn: bool = True
    drawn_quiet: bool = True
    logprobs: bool = True
    top_logprobs: int = 20
    counted: bool = False


def _by_effort(*efforts: str, thinks: bool = True, drawn: bool = True, logprobs: bool = True) -> Traits:
    """A model whose thinking has levels, the lowest first; "none" is the switch where it has one."""
    off = {"reasoning_effort": "none"} if "none" in efforts else None
    least = {"reasoning_effort": next(effort for effort in efforts if effort != "none")}
    on = {"reasoning_effort": "medium" if "medium" in efforts else efforts[-1]}
    return Traits(thinks, off, on, least, efforts, drawn=drawn, logprobs=logprobs and off is not None)


def _claude(thinks: bool, *efforts: str, off: str | None = "disabled", drawn: bool = False, budget: int = 0) -> Traits:
    """A Claude; none gives log probabilities. Its effort is about the whole answer, and so no part of `off`; `budget`
    is for those that want to be told how much to think."""
    on = {"type": "enabled", "budget_tokens": budget} if budget else {"type": "adaptive"}
    switch = None if off is None else {"thinking": {"type": off}}
    least = {"output_config": {"effort": "low"}}
    return Traits(thinks, switch, {"thinking": on}, least, efforts, drawn=False, drawn_quiet=drawn, logprobs=False)


def _switched(*, thinks: bool = True, drawn: bool = True) -> Traits:
    """An open model whose chat template has a switch."""
    off, on = ({"chat_template_kwargs": {"enable_thinking": value}} for value in (False, True))
    return Traits(thinks, off, on, drawn=drawn, drawn_quiet=drawn)


PLAIN = Traits(efforts=())
"""A model that answers at once and takes no effort."""

ALWAYS = Traits(thinks=True)
"""A model that cannot but think, and has no levels that are known."""

UNKNOWN = _switched(thinks=False)
"""A model of another server: should it turn out to think, most have this switch."""

LEVELS = ("low", "medium", "high", "xhigh", "max")

FAMILIES: tuple[tuple[str, Traits], ...] = (
    (r"gpt-5-chat|(?:chat)?gpt-[34]", PLAIN),
    (r"gpt-5\.\d-chat|chat-latest", Traits(True, efforts=("medium",), drawn=False, logprobs=False)),
    (r"codex|gpt-5.*(?:codex|-pro)|o[1-9]-pro", Traits(True, drawn=False, logprobs=False)),
    (r"o[1-9]\b", _by_effort(*LEVELS[:3], drawn=False)),
    (r"gpt-5(?![.\d])", _by_effort("minimal", *LEVELS[:3], drawn=False)),
    (r"gpt-5\.1\b", _by_effort("none", *LEVELS[:3], thinks=False, drawn=False)),
    (r"gpt-5\.[2-4]\b", _by_effort("none", *LEVELS[:4], thinks=False, drawn=False)),
    (r"gpt-5\.5\b", _by_effort("none", *LEVELS[:4], drawn=False)),
    (r"gpt-6-astra|gpt-6\.2|gpt-6\.1-sol|gpt-6-rosalind", _by_effort(*LEVELS[:4], drawn=False)),
    (r"gpt-(?:5\.[6-9]|[6-9])", _by_effort("none", *LEVELS[:4], drawn=False)),
    (r"gpt-oss", _by_effort(*LEVELS[:3])),
    (r"claude-opus-4[.-][78]", _claude(False, *LEVELS)),
    (r"claude-(?:opus|sonnet)-4[.-]6", _claude(False, "low", "medium", "high", "max", drawn=True)),
    (r"claude-opus-4[.-]5", _claude(False, *LEVELS[:3], drawn=True, budget=ROOM // 2)),
    (r"claude-(?:[23]|instant|(?:opus|sonnet|haiku)-4)", _claude(False, drawn=True, budget=ROOM // 2)),
    (r"claude-sonnet-5[.-]5", _claude(True, *LEVELS, off="between_tools")),
    (r"claude-(?:opus-5[.-]5|fable|mythos)", _claude(True, *LEVELS, off=None)),
    (r"claude", _claude(True, *LEVELS)),
    (r"gemini-2\.5-flash-lite", _by_effort("none", "minimal", *LEVELS[:3], thinks=False)),
    (r"gemini-2\.5-flash", _by_effort("none", "minimal", *LEVELS[:3])),
    (r"gemini-3(?:\.[1356])?-flash", _by_effort("minimal", *LEVELS[:3])),
    (r"gemini-(?:2\.5-pro|[3-9])", _by_effort(*LEVELS[:3])),
    (r"grok-(?:4\.3|3|4-0709|4-fast|latest)", _by_effort("none", *LEVELS[:4])),
    (r"grok-4\.5", _by_effort("minimal", *LEVELS[:3])),
    (r"grok-4\.[6-9]", _by_effort("minimal", *LEVELS[:4])),
    (r"deepseek-(?:v3\.1|chat)", _switched(thinks=False)),
    (r"deepseek-(?:r1|reasoner)", ALWAYS),
    (r"deepseek-(?:v3\.2|v[4-9]|flash)", _switched()),
    (r"qwq|qwen.*thinking|kimi-k2(?:\.7-code|-thinking)|glm-5\.3|magistral|minimax", ALWAYS),
    (r"qwen.*instruct|qwen3-max|qwen-?(?:[12]|turbo|plus|flash|max)", UNKNOWN),
    (r"qwen-?3|glm-(?:4\.[5-9]|[5-9])", _switched()),
    (r"kimi-k2\.[56]", _switched(drawn=False)),
    (r"kimi-k[3-9]", replace(_by_effort(*LEVELS[:3]), drawn=False, drawn_quiet=False)),
    (r"mistral-(?:small|medium)", _by_effort("none", "high", thinks=False)),
    (r"mistral-large-4", Traits(on={"reasoning_effort": "high"}, efforts=LEVELS[:3])),
)
"""The first that matches the beginning of a name, provider and fine-tune marks apart."""

_Switch = tuple[Fields, Fields, Fields]

_TYPED: _Switch = ({"thinking": {"type": "disabled"}}, {"thinking": {"type": "enabled"}}, {})
_EFFORT: _Switch = ({"reasoning_effort": "none"}, {"reasoning_effort": "medium"}, {"reasoning_effort": "low"})
_ENABLED: _Switch = (
    {"reasoning": {"enabled": False}},
    {"reasoning": {"enabled": True}},
    {"reasoning": {"effort": "low"}},
)

SWITCHES: Mapping[str, _Switch] = {
    "openrouter.ai": _ENABLED,
    "together.xyz": _ENABLED,
    "together.ai": _ENABLED,
    "aliyuncs.com": ({"enable_thinking": False}, {"enable_thinking": True}, {}),
    "deepseek.com": (*_TYPED[:2], {"reasoning_effort": "low"}),
    "z.ai": _TYPED,
    "moonshot.ai": (*_TYPED[:2], {"reasoning_effort": "low"}),
    "groq.com": ({"reasoning_effort": "none"}, {"reasoning_effort": "default"}, {"reasoning_effort": "low"}),
    "fireworks.ai": _EFFORT,
}
"""Servers with a switch of their own for all their models, by the end of the host's name: off, on, as little as can be.
A model that cannot be switched off is told the last."""

WEIGHING: Mapping[str, int] = {
    "groq.com": 0,
    "googleapis.com": 0,
    "anthropic.com": 0,
    "x.ai": 8,
    "aliyuncs.com": 5,
    "fireworks.ai": 5,
}
"""How many likely tokens a host tells at most, 0: it gives no log probabilities at all."""


COUNTING = ("together.xyz", "together.ai")
"""Hosts where `logprobs` is a number, and not a switch beside one."""


@lru_cache(maxsize=1024)
def traits(model: str, host: str | None = None) -> Traits:
    """What is known of a model, by its name (with or without a provider's prefix) and by the server's host."""
    name = model.rpartition("/")[2].lower().removeprefix("ft:")
    known = next((known for pattern, known in FAMILIES if re.match(pattern, name)), UNKNOWN if host else Traits())
    for end, (off, on, least) in SWITCHES.items():
        if host is not None and host.endswith(end) and (known.thinks or known.off is not None):
            known = replace(known, off=None if known.off is None else off, on=on, least=least)
    for end, most in WEIGHING.items():
        if host is not None and host.endswith(end):
            known = replace(known, top_logprobs=most, logprobs=known.logprobs and most > 0)
    return replace(known, counted=True) if host is not None and host.endswith(COUNTING) else known


def wants_none(sampling: Mapping[str, Any]) -> bool:
    """Whether a request wants its reply at once: it says so, or it leaves room for a label only, or weighs the first
    token. One that names an effort or a switch of the chat template says all there is to say."""
    if "effort" in sampling or "enable_thinking" in sampling.get("template_args", {}):
        return False
    if "thinking" in sampling:
        return not sampling["thinking"]
    return bool(sampling.get("logprobs")) or sampling.get("max_tokens", BRIEF + 1) <= BRIEF


def budget_of(sampling: Mapping[str, Any]) -> int:
    """The number of tokens that a request names to think in, 0 for none."""
    wanted = sampling.get("thinking")
    return 0 if wanted is None or isinstance(wanted, bool) else int(wanted)


def is_drawn(model: str, sampling: Mapping[str, Any]) -> bool:
    """Whether the model takes a temperature with a request, as far as is known by its name."""
    known = traits(model)
    if "effort" in sampling:
        thinks = sampling["effort"] != "none"
    elif sampling.get("thinking"):
        thinks = True
    else:
        thinks = known.thinks and not (wants_none(sampling) and known.off is not None)
    return known.drawn if thinks else known.drawn_quiet


def refuse_unsent(model: str, sampling: Mapping[str, Any], given: Iterable[str]) -> None:
    """Refuses what was `given` for drawing an answer to a model that takes no word of it: what is recorded would never
    have been sent. Raises `InputError`."""
    name = None if is_drawn(model, sampling) else next(iter(given), None)
    if name is not None:
        while_thinking = " while it thinks" if traits(model).drawn_quiet else ""
        raise InputError(f"{model} takes no {name}{while_thinking}: leave it out")


def room_for(sampling: Mapping[str, Any]) -> int:
    """Tokens to think in, for a request whose model will think."""
    if budget := budget_of(sampling):
        return budget
    return DEEP_ROOM if sampling.get("effort") in DEEP else ROOM


def split_thoughts(text: str) -> tuple[str, str | None]:
    """(the reply, what the model thought before it): a server may leave a `<think>` block in the text.

    The opening tag may stand in the chat template instead of the text. Thinking that the token limit cut off leaves an
    empty reply.
    """
    thought, closed, reply = text.partition("</think>")
    if closed and ("<think>" not in thought or thought.lstrip().startswith("<think>")):
        return reply.lstrip(), thought.replace("<think>", "", 1).strip()
    if text.lstrip().startswith("<think>"):
        return "", text.replace("<think>", "", 1).strip()
    return text, None
