"""How one server takes OpenAI's chat completions: a request as its body, and what the server's answers teach about it.

Servers and models differ in what they refuse, rename and ignore, and in whether they think. What is known by a model's
name is a first guess; what the server itself says counts, for every call of this process, those in flight among them.
"""

from __future__ import annotations

import logging
import math
import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from simfarm.backends.http.complaints import unquoted
from simfarm.backends.http.meanings import of_the_row
from simfarm.backends.http.traits import budget_of, room_for, split_thoughts, traits, wants_none
from simfarm.data.exchange import Request
from simfarm.data.sampling import DRAWN, OPENAI, refuse_unknown
from simfarm.errors import InputError, ProviderError

__all__ = ["EXTENSIONS", "READS_TEXT", "WIRE", "Dialect", "check_thinking", "objects", "refuse_wanted"]

WIRE = {
    "temperature": "temperature",
    "top_p": "top_p",
    "seed": "seed",
    "stop": "stop",
    "effort": "reasoning_effort",
}
"""What has a field of its own in OpenAI's body, or in litellm's."""

EXTENSIONS = {
    "repetition_penalty": "repetition_penalty",
    "chat_template": "chat_template",
    "template_args": "chat_template_kwargs",
}
"""What the servers for open models add to OpenAI's body."""

DROPPED = ("temperature", "top_p", "seed", "stop", "response_format")
"""Fields that a request is also understood without; an effort is not among them."""

HOMES = ("openai.com", "azure.com", "anthropic.com", "googleapis.com", "x.ai", "mistral.ai")
"""Hosts of those who made the models that they serve."""

LIMITS = ("max_tokens", "max_completion_tokens")

READS_TEXT = "use a judge that reads text (pairwise-reasoned)"

_OBJECTS = re.compile(
    r"support|unavailable|not available|deprecated|unrecognized|unknown|not (?:permitted|allowed|accepted)|"
    r"extra inputs|extra_forbidden|"
    r"cannot be|mandatory|unexpected|invalid|only the default|(?:must|should) be|too large|greater|less than|at most|"
    r"maximum|\brange\b"
)
_THINKING = re.compile(r"effort|reasoning is\b|thinking[ _]?(?:level|budget)|\bbudget\b")
_AMOUNTS = re.compile(r"too large|greater|less than|at most|maximum|must be|<=|exceed|context|\brange\b")


def objects(error: Mapping[str, str]) -> bool:
    """Whether a refusal is about how a question was put, a parameter, by its code or words."""
    # a gateway puts the code of the provider behind it where the type was
    codes = (error["code"], error["type"])
    about = any(code.startswith(("unsupported", "unknown_param")) for code in codes)
    return not of_the_row(400, error) and (about or bool(_OBJECTS.search(error["message"].lower())))


def check_thinking(model: str, host: str | None, sampling: Mapping[str, Any]) -> None:
    """Refuses, before any call, an effort that the model has not at its own provider (gateways have names of their own
    for them; `host` None is the provider), and log probabilities where there are none. Raises `InputError`."""
    known = traits(model, host)
    effort = sampling.get("effort")
    if effort and known.efforts is not None and effort not in known.efforts and (host is None or host.endswith(HOMES)):
        takes = f"it takes {', '.join(known.efforts)}" if known.efforts else "it takes no effort; leave it out"
        if effort == "none" and known.efforts and known.off is not None:
            takes += "; sampling: {thinking: false} in the judge switches its thinking off"
        raise InputError(f"{model} has no effort '{effort}': {takes}")
    if sampling.get("thinking") and known.efforts == ():
        raise InputError(f"{model} does not think: leave thinking out")
    if budget_of(sampling) and "budget_tokens" not in (known.on or {}).get("thinking", {}):
        takes = f"an effort ({', '.join(known.efforts)})" if known.efforts else "thinking: true or false"
        raise InputError(f"{model} takes no number of tokens to think in: use {takes}")
    if effort and "thinking" in sampling:
        raise InputError("an effort and thinking are two words for one thing: leave one of them out")
    if not sampling.get("logprobs"):
        return
    if not known.logprobs:
        raise InputError(f"{model} gives no log probabilities: {READS_TEXT} or another model")
    if known.efforts and (sampling.get("thinking") or effort not in (None, "none")):
        raise InputError(f"{model} gives no log probabilities while it thinks: {READS_TEXT}, or sampling effort: none")


@dataclass(slots=True)
class _Learnt:
    """What a server has shown of one model: what it `refused` (a body's field; "off", "least": a way not to think),
    from how many characters of a prompt it has no room to think in (`cramped`), whether it `thinks` though nothing told
    so, and what it must be told as it may `never`."""

    refused: set[str] = field(default_factory=set)
    cramped: float = math.inf
    thinks: bool = False
    never: Mapping[str, Any] | None = None


class Dialect:
    """Bodies for one server; without an address, OpenAI's own."""

    def __init__(self, base_url: str | None) -> None:
        self.host = urlsplit(base_url).hostname if base_url else None
        self._learnt: defaultdict[str, _Learnt] = defaultdict(_Learnt)

    def check(self, model: str, sampling: Mapping[str, Any]) -> None:
        """Refuses, before any call, what this model cannot do. Raises `InputError`."""
        refuse_unknown("openai", OPENAI, sampling)
        extended = EXTENSIONS.keys() & sampling.keys()
        if extended and self.host is None:
            raise InputError(
                f"OpenAI's own models take no {min(extended)}: leave it out (effort: none is what switches their "
                "thinking off), or name a server with --base-url"
            )
        check_thinking(model, self.host, sampling)

    def body(self, request: Request) -> dict[str, Any]:
        """The request as it goes over the wire. Raises `InputError` as `check` does."""
        sampling, model = request.sampling, request.model
        self.check(model, sampling)
        known, refused, thinks = traits(model, self.host), self._learnt[model].refused, self.thinks(request)
        body: dict[str, Any] = {"model": model, "messages": [dict(m) for m in request.messages]}
        body |= {wire: sampling[name] for name, wire in WIRE.items() if name in sampling and wire not in refused}
        if not (known.drawn if thinks else known.drawn_quiet):
            for name in (*DRAWN, *(("stop",) if "reasoning_effort" in known.least else ())):
                body.pop(name, None)
        body |= {wire: sampling[name] for name, wire in EXTENSIONS.items() if name in sampling}
        for name, value in self._switch(request).items():
            body[name] = {**body[name], **value} if isinstance(body.get(name), dict) else value
        limit = self.most_tokens(request)
        if limit is not None:
            renamed = (not known.drawn or "max_tokens" in refused) and "max_completion_tokens" not in refused
            body[LIMITS[renamed]] = limit
        if sampling.get("logprobs"):
            # as many as there are: they cost nothing, and a verdict whose label is rare is not lost
            most = sampling["logprobs"] if "top_logprobs" in refused else known.top_logprobs
            body |= {"logprobs": most} if known.counted else {"logprobs": True, "top_logprobs": most}
        if "schema" in sampling and "response_format" not in refused:
            described = {"name": "verdict", "schema": sampling["schema"], "strict": True}
            body["response_format"] = {"type": "json_schema", "json_schema": described}
        return body | dict(sampling.get("extra", {}))

    def thinks(self, request: Request) -> bool:
        """Whether the model will think about a request, as far as is known."""
        sampling, known, learnt = request.sampling, traits(request.model, self.host), self._learnt[request.model]
        if "effort" in sampling:
            return bool(sampling["effort"] != "none")
        if "enable_thinking" in sampling.get("template_args", {}):
            return bool(sampling["template_args"]["enable_thinking"])
        if sampling.get("thinking"):
            return True
        if learnt.never or not (known.thinks or learnt.thinks):
            return False
        return not wants_none(sampling) or known.off is None or "off" in learnt.refused

    def most_tokens(self, request: Request) -> int | None:
        """The limit of a request on the wire: the reply's own, and room to think in where it will be needed; None where
        the request names none."""
        limit = request.sampling.get("max_tokens")
        if limit is None or not self.thinks(request) or _size(request) >= self._learnt[request.model].cramped:
            return limit
        return int(limit) + room_for(request.sampling)

    def _switch(self, request: Request) -> Mapping[str, Any]:
        """What a body says so that the model thinks, does not, or thinks as little as it can."""
        sampling, known, learnt = request.sampling, traits(request.model, self.host), self._learnt[request.model]
        if "effort" in sampling or "enable_thinking" in sampling.get("template_args", {}):
            return {}
        if sampling.get("thinking"):
            return {} if known.thinks else known.on or {}
        if learnt.never is not None:
            return learnt.never
        # it does not think by itself, but takes no temperature unless that is said
        silent = not known.thinks and "none" in (known.efforts or ())
        if not silent and not (wants_none(sampling) and (known.thinks or learnt.thinks or "thinking" in sampling)):
            return {}
        if known.off is not None and "off" not in learnt.refused:
            return known.off
        return {} if silent or "least" in learnt.refused else known.least

    def learns(self, request: Request, body: Mapping[str, Any], error: Mapping[str, str], words: str) -> bool:
        """Whether a refusal names a field of `body` that can be left out or put otherwise, by this call or by another
        while it was under way: then the request is to be sent again, as `body` now makes it. `words` are the server's,
        for what ends the run: `ProviderError` for an effort or log probabilities that the model has not."""
        error = unquoted(error, request.messages)
        if objects(error) and not self._learn(request, body, error, words):
            return False
        return self.body(request) != body

    def _learn(self, request: Request, body: Mapping[str, Any], error: Mapping[str, str], words: str) -> bool:
        """Takes in what a refusal says of `body`, as it was sent. False for one that speaks of what was left out: this
        row is refused for something else, and so it was when that was learnt, which is forgotten."""
        model, sampling, learnt = request.model, request.sampling, self._learnt[request.model]
        refused = learnt.refused
        message = error["message"].lower()
        said, amount = f"{error['param'].lower()} {message}", bool(_AMOUNTS.search(message))
        ending = f": {words}" if words else ""
        limits = [limit for limit in LIMITS if limit in body]
        # OpenAI says max_tokens of too high a limit, whatever its name was
        if any(limit in said for limit in (LIMITS if limits and amount else limits)):
            if not amount:
                refused.update(limits)
            elif self.most_tokens(request) != sampling.get("max_tokens"):
                learnt.cramped = min(learnt.cramped, _size(request))
            return True
        if "logprobs" in said and "logprobs" in body:
            if not amount:
                asked = traits(model, self.host).efforts or "effort" in sampling
                quiet = "" if asked else ", or effort none where it thinks"
                raise ProviderError(f"{model} gives no log probabilities: {READS_TEXT}{quiet}{ending}")
            if body.get("top_logprobs", body["logprobs"]) <= sampling["logprobs"]:
                raise ProviderError(
                    f"{model} gives fewer likely tokens than the judge's {sampling['logprobs']}{ending}"
                )
            refused.add("top_logprobs")
            return True
        refuse_wanted(model, sampling, said, ending)
        if "enable_thinking must be set to false" in message:
            # DashScope, for some models: they think on streams alone
            learnt.never = {"enable_thinking": False}
            return True
        known = traits(model, self.host)
        for way, switch in (("off", known.off or {}), ("least", known.least)):
            if _holds(body, switch) and any(name in said for name in _names(switch)):
                refused.add(way)
                return True
        return self._drop(model, body, said)

    def _drop(self, model: str, body: Mapping[str, Any], said: str) -> bool:
        """Leaves out from now on what a refusal names; False where it was left out already."""
        refused = self._learnt[model].refused
        named = [name for name in DROPPED if re.search(rf"\b{name}\b", said)]
        sent = next((name for name in named if name in body), None)
        if sent is None:
            refused.difference_update(named)
            return not named
        if sent not in refused:
            refused.add(sent)
            logging.getLogger("simfarm").warning("%s takes no %s: it is asked without", model, sent)
        return True

    def starved(self, request: Request, body: Mapping[str, Any], text: str, thought: bool, cut: bool) -> bool:
        """Whether an answer holds nothing because the model used up its limit (`cut`) by thinking, and is worth asking
        again, with room to think or without thinking. `thought`: the answer shows that it thinks."""
        learnt = self._learnt[request.model]
        visible, inline = split_thoughts(text)
        thought = thought or inline is not None
        if thought and not self._switch(request):
            learnt.thinks = True
        # blank lines are a reply; nothing at all may be thoughts that are not shown
        if not cut or visible.strip() or (not thought and (text or request.sampling.get("logprobs"))):
            return False
        if _holds(body, traits(request.model, self.host).off or {}):
            learnt.refused.add("off")
        learnt.thinks = True
        return self.body(request) != body


def refuse_wanted(model: str, sampling: Mapping[str, Any], said: str, ending: str) -> None:
    """Ends a run whose server refuses what was asked for by name, and is never left out. Raises `ProviderError`."""
    if "effort" in sampling and _THINKING.search(said):
        raise ProviderError(f"{model} refuses the effort '{sampling['effort']}'{ending}")
    for name in (*(wire for name, wire in EXTENSIONS.items() if name in sampling), *sampling.get("extra", ())):
        if re.search(rf"\b{re.escape(name).replace('_', '[_ ]')}\b", said, re.IGNORECASE):
            raise ProviderError(f"{model} takes no {name}, which was asked for: leave it out{ending}")


def _size(request: Request) -> int:
    """The characters of a prompt."""
    return sum(len(message["content"]) for message in request.messages)


def _holds(body: Mapping[str, Any], switch: Mapping[str, Any]) -> bool:
    """Whether a body has a switch in it, perhaps among other arguments of the chat template."""
    for name, value in switch.items():
        held = body.get(name)
        if isinstance(value, dict) and isinstance(held, dict):
            held = {inner: held.get(inner) for inner in value}
        if held != value:
            return False
    return bool(switch)


def _names(switch: Mapping[str, Any]) -> list[str]:
    """The fields of a switch, and those in them that have a name of their own."""
    inner = (value for value in switch.values() if isinstance(value, dict))
    return [*switch, *(name for value in inner for name in value if "_" in name)]
