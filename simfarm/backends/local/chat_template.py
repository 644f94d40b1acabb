"""A model's chat template, rendered as its makers meant it: for engines that do not come with transformers.

Engines in C++ bring template interpreters of their own, which fill in what a template lacks (a system message is put
into the user's text, a tool's answer into JSON) and say nothing. The prompt would then not be the one that the same
model gets elsewhere. This is the environment that transformers documents for templates:
https://huggingface.co/docs/transformers/chat_templating_writing
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import lru_cache
from typing import Any

import jinja2

from simfarm.backends.local.framing import templating
from simfarm.data.exchange import Message
from simfarm.text.sandbox import Bounded, TooMuch

__all__ = ["render_chat"]


def render_chat(
    template: str, messages: Sequence[Message], *, tokens: Mapping[str, str], arguments: Mapping[str, Any]
) -> str:
    """The text of a chat up to where the answer begins.

    `tokens` are the special ones by the names templates give them (bos_token, eos_token …), `arguments` the user's own
    (enable_thinking …). Raises `InputError` for a template that is none, `CallError` where it refuses these messages.
    """
    named = {"tools": None, "documents": None, **tokens, **arguments}
    with templating():
        chat = [dict(message) for message in messages]
        compiled, environment = _compiled(template)
        environment.begin()
        return compiled.render(messages=chat, add_generation_prompt=True, **named)


@lru_cache(maxsize=16)
def _compiled(template: str) -> tuple[jinja2.Template, Bounded]:
    environment = Bounded(trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"])
    environment.add_filter("tojson", _to_json)
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _now}
    return environment.from_string(template), environment


def _to_json(value: Any, indent: int | None = None) -> str:
    # not Jinja2's own, which escapes the characters of HTML
    return json.dumps(value, ensure_ascii=False, indent=indent)


def _now(form: str) -> str:
    if re.search(r"\d{3}", form):
        raise TooMuch("a field of strftime is too wide")
    return datetime.now().strftime(form)


def _refuse(message: str) -> None:
    raise jinja2.TemplateError(message)
