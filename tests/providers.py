"""How providers answer: what one is, and the refusals and completions that it makes of a request's body.

A `Provider` is a value; `providers.yaml` has twelve, and the rules that they share are here. Answers follow from a hash
of the prompt alone. `speaker.py` is the server that speaks so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from loopback import LABELS, Call, share_first

Body = Mapping[str, Any]

KEY = "sk-good-0123456789abcdefghij"
"""The key that is let in."""

THOUGHT = 300
"""Tokens that a model thinks, where it does; they count against the limit."""


@dataclass(frozen=True, slots=True)
class Said:
    """A refusal: its status, body and headers, in which {model}, {key}, {field}, {value} and {values} are filled in.
    `reason` is what a user has to be told of it."""

    status: int
    body: Any
    reason: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Model:
    """What a model does. It `thinks` where a body says nothing of it; `quiet` is what a body must hold so that it does
    not (None: nothing does). `efforts` are those it takes (None: ignored, (): the parameter is refused). `drawn`: it
    takes a temperature while it thinks, `drawn_quiet`: while it does not. `top` is the most likely tokens it gives
    (None: log probabilities are refused, 0: left out without a word), `top_thinking` the same while it thinks.
    `renamed`: it refuses max_tokens. `schema`: it takes one. `streams`: it thinks only where the answer is streamed.
    `hidden`: its name says nothing, so that nobody can know how to switch its thinking off."""

    thinks: bool = False
    quiet: Body | None = None
    efforts: Sequence[str] | None = ()
    drawn: bool = True
    drawn_quiet: bool = True
    top: int | None = 20
    top_thinking: int | None = None
    renamed: bool = False
    schema: bool = True
    streams: bool = False
    hidden: bool = False


@dataclass(frozen=True, slots=True)
class Provider:
    """How a provider speaks.

    `host` and `path` are its address, `prefix` what a model's name starts with in simfarm, `variable` where the key is.
    `limits` are the names of the token limit that it heeds; `fields` those that a body may have (None: any, others are
    ignored). `words` are its refusals by what is refused: field, temperature, effort, no effort, logprobs,
    top_logprobs, schema, max_tokens, thinking, stream. `stops` are its refusals of everything: key, model, credit …;
    `busy`, `overloaded` and `flagged` those of one request. `thought` is where its models' thoughts stand (a field's
    name, parts, tag; "": nowhere), `bills` how its usage counts them (among the completion's, apart, total), `logprobs`
    the shape of log probabilities (content, legacy). `headers` come with every answer."""

    name: str
    host: str
    path: str
    models: Mapping[str, Model]
    stops: Mapping[str, Said]
    busy: Said
    overloaded: Said
    flagged: Said
    words: Mapping[str, Said] = field(default_factory=dict)
    prefix: str = "openai"
    variable: str = "OPENAI_API_KEY"
    limits: Sequence[str] = ("max_tokens", "max_completion_tokens")
    fields: Sequence[str] | None = None
    thought: str = "reasoning_content"
    bills: str = "among"
    logprobs: str = "content"
    finish: str = "stop"
    headers: Mapping[str, str] = field(default_factory=dict)

    def gives(self, model: str, judge: str) -> bool:
        """Whether a model can give the verdicts of a bundled judge."""
        made = self.models[model]
        silent = not made.thinks or (made.quiet is not None and not made.hidden)
        return judge != "pairwise-logprob" or bool(made.top if silent else made.top_thinking)


def refused_of(provider: Provider, body: Body) -> tuple[str, dict[str, str]] | None:
    """The first thing of a body that is refused, by its name in `words`, and what is filled in there; what a model has
    not and its provider has no words for is ignored."""
    for name in body:
        if provider.fields is not None and name not in provider.fields:
            return "field", {"field": name}
    model = provider.models[body["model"]]
    effort = body.get("reasoning_effort", body.get("output_config", {}).get("effort"))
    top, drawn = (model.top_thinking, model.drawn) if _thinks(model, body) else (model.top, model.drawn_quiet)
    checks: dict[str, tuple[bool, Any]] = {
        "max_tokens": (model.renamed and "max_tokens" in body, ""),
        "no effort": (effort is not None and model.efforts is not None and not model.efforts, effort),
        "effort": (effort is not None and bool(model.efforts) and effort not in (model.efforts or ()), effort),
        "thinking": (_switched_wrongly(model, body), body.get("thinking", {}).get("type")),
        "temperature": ("temperature" in body and not drawn, body.get("temperature")),
        "logprobs": (bool(body.get("logprobs")) and top is None, ""),
        "top_logprobs": (bool(body.get("logprobs") and top) and body.get("top_logprobs", 0) > (top or 0), top),
        "schema": ("response_format" in body and not model.schema, ""),
        "stream": (model.streams and _thinks(model, body), ""),
    }
    values = ", ".join(f"'{one}'" for one in model.efforts or ())
    for name, (refused, value) in checks.items():
        if refused and name in provider.words:
            return name, {"value": str(value), "values": values}
    return None


def _switched_wrongly(model: Model, body: Body) -> bool:
    """Whether a body switches thinking off in a way that the model has not."""
    off = body.get("thinking", {}).get("type") in ("disabled", "between_tools")
    off = off or body.get("reasoning", {}).get("enabled") is False
    return off and not (model.quiet is not None and _holds(body, model.quiet))


def _thinks(model: Model, body: Body) -> bool:
    if model.quiet is not None and _holds(body, model.quiet):
        return False
    effort = body.get("reasoning_effort")
    asked = bool(model.efforts) and effort not in (None, "none")
    return model.thinks or asked or body.get("thinking", {}).get("type") in ("enabled", "adaptive")


def _holds(body: Any, part: Any) -> bool:
    """Whether a body has all that `part` has."""
    if isinstance(part, Mapping):
        return isinstance(body, Mapping) and all(_holds(body.get(name), value) for name, value in part.items())
    return bool(body == part)


class _Made(NamedTuple):
    """An answer before it is written down: its text, the tokens thought and replied, whether the limit cut it off."""

    text: str
    thought: int
    reply: int
    cut: bool


def _made(provider: Provider, body: Body, text: str) -> _Made:
    """What a model makes of its verdict under a body's limit, which thoughts use up first."""
    thought = THOUGHT if _thinks(provider.models[body["model"]], body) else 0
    reply = max(1, len(text) // 4)
    limit = next((body[name] for name in provider.limits if name in body), thought + reply)
    if limit >= thought + reply:
        return _Made(text, thought, reply, cut=False)
    left = max(0, limit - thought)
    return _Made(text[: 4 * left], min(thought, limit), left, cut=True)


def message(provider: Provider, call: Call, prompt: str) -> dict[str, Any]:
    """Anthropic's."""
    made = _made(provider, call.body, verdict_text(prompt))
    blocks: list[dict[str, Any]] = [{"type": "thinking", "thinking": "", "signature": "EqQB"}] if made.thought else []
    blocks += [{"type": "text", "text": made.text}] if made.text else []
    usage = {
        "input_tokens": len(prompt) // 4,
        "cache_creation_input_tokens": 0,
        "cache_read_input_tokens": 0,
        "output_tokens": made.thought + made.reply,
        "service_tier": "standard",
    }
    return {
        "id": f"msg_{call.hash[:12]}",
        "type": "message",
        "role": "assistant",
        "model": call.body["model"],
        "content": blocks,
        "stop_reason": "max_tokens" if made.cut else "end_turn",
        "stop_sequence": None,
        "usage": usage,
    }


def completion(provider: Provider, call: Call, prompt: str) -> dict[str, Any]:
    """OpenAI's, with the corners of whoever copied it."""
    made = _made(provider, call.body, verdict_text(prompt))
    counted = made.reply + (made.thought if provider.bills == "among" else 0)
    usage: dict[str, Any] = {
        "prompt_tokens": len(prompt) // 4,
        "completion_tokens": counted,
        "total_tokens": len(prompt) // 4 + made.thought + made.reply,
    }
    if provider.bills != "total":
        usage["completion_tokens_details"] = {"reasoning_tokens": made.thought}
    choice = {
        "index": 0,
        "message": {"role": "assistant", **_shown(provider.thought, made)},
        "finish_reason": "length" if made.cut else provider.finish,
        "logprobs": _logprobs(provider, call.body, prompt),
    }
    return {
        "id": f"chatcmpl-{call.hash[:12]}",
        "object": "chat.completion",
        "created": 0,
        "model": call.body["model"],
        "choices": [choice],
        "usage": usage,
    }


def _shown(where: str, made: _Made) -> dict[str, Any]:
    """The content of a message, and its thoughts where the provider shows them."""
    words = "Let me compare the two answers."
    if where == "parts" and made.thought:
        thoughts = {"type": "thinking", "thinking": [{"type": "text", "text": words}]}
        return {"content": [thoughts, {"type": "text", "text": made.text}]}
    if where == "tag" and made.thought:
        return {"content": f"<think>\n{words}\n" + (f"</think>\n\n{made.text}" if made.text else "")}
    if where in ("", "parts", "tag"):
        return {"content": made.text}
    return {"content": made.text or None, where: words if made.thought else None}


def _logprobs(provider: Provider, body: Body, prompt: str) -> dict[str, Any] | None:
    """The likely tokens of the first place, as many as were asked for."""
    model, wanted = provider.models[body["model"]], body.get("logprobs")
    if not wanted or not (model.top_thinking if _thinks(model, body) else model.top):
        return None
    first = share_first(prompt)
    top = {"m": math.log(first), "M": math.log(1 - first)} | {f"t{i}": -20.0 - i for i in range(18)}
    if provider.logprobs == "legacy":
        # an integer asks for so many; true is one
        shown = dict(sorted(top.items(), key=lambda one: -one[1])[: int(wanted)])
        best = max(shown, key=lambda token: shown[token])
        return {"tokens": [best], "token_logprobs": [shown[best]], "top_logprobs": [shown]}
    shown = dict(sorted(top.items(), key=lambda one: -one[1])[: body.get("top_logprobs", 0)])
    listed = [{"token": token, "logprob": value, "bytes": list(token.encode())} for token, value in shown.items()]
    return {"content": [{**listed[0], "top_logprobs": listed}]}


def verdict_text(prompt: str) -> str:
    """A verdict in the form that the bundled judges ask for."""
    first = share_first(prompt)
    if '"winner"' in prompt:
        return json.dumps({"reason": "It answers what was asked.", "winner": "A" if first > 0.5 else "B"})
    if "A>>B" in prompt:
        return f"Answer A has its merits, and so has B.\n\nMy verdict: [[{LABELS[int((1 - first) * len(LABELS))]}]]"
    if "[[A]]" in prompt:
        return "[[A]]" if first > 0.5 else "[[B]]"
    return "m" if first > 0.5 else "M"


def prompt_of(body: Body) -> str:
    return "\n".join([str(body.get("system", "")), *(str(one["content"]) for one in body["messages"])])


def _provider(name: str, row: dict[str, Any]) -> Provider:
    for one in ("busy", "overloaded", "flagged"):
        row[one] = Said(**row[one])
    for several in ("stops", "words"):
        row[several] = {key: Said(**said) for key, said in row.get(several, {}).items()}
    models = {key: Model(**made) for key, made in row.pop("models").items()}
    return Provider(name, models=models, **row)


PROVIDERS: Mapping[str, Provider] = {
    name: _provider(name, row) for name, row in yaml.safe_load(Path(__file__).with_suffix(".yaml").read_text()).items()
}
