"""From a question to token ids, and from an answer to its text: what the engines in this process do alike.

A judge's verdict and a likelihood depend on the prompt to the token, so that there is one way to frame it: the chat
template gives a text, and the text is tokenised as it is. transformers' `apply_chat_template` would do both at once,
and take options of the tokeniser among the template's: one of them cuts prompts short and says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import jinja2

from simfarm.backends.base import Prompt
from simfarm.data.exchange import CallError
from simfarm.errors import InputError
from simfarm.text.sandbox import TooMuch

__all__ = [
    "ENDLESS",
    "Continuation",
    "before",
    "check_framing",
    "check_pair",
    "encode",
    "first_line",
    "frame",
    "room",
    "stops",
    "templating",
]

RESERVED = frozenset(
    {"add_generation_prompt", "chat_template", "continue_final_message", "conversation", "conversations", "max_length"}
    | {
        "messages",
        "padding",
        "return_assistant_tokens_mask",
        "return_dict",
        "return_tensors",
        "sanitize_control_tokens",
    }
    | {"tokenize", "tokenizer_kwargs", "truncation"}
)
"""What a template is not given through template_args: the conversation, and `apply_chat_template`'s own options.
`tools` and `documents` are not among them: templates read those."""

ENDLESS = 2**31
"""Tokens that an answer may have where neither the request nor the model sets an end."""


@dataclass(frozen=True, slots=True)
class Continuation:
    """The question how likely a continuation is. `framing` is what `frame` reads of a request's sampling."""

    prompt: Prompt
    continuation: str
    framing: Mapping[str, Any] = field(default_factory=dict)


def first_line(error: BaseException) -> str:
    """The first line of an engine's message, which often has a page."""
    lines = str(error).strip().splitlines()
    return lines[0][:200] if lines else type(error).__name__


def check_framing(sampling: Mapping[str, Any]) -> None:
    """Refuses template arguments that are no variables of a template. Raises `InputError`."""
    args = sampling.get("template_args") or {}
    if not isinstance(args, Mapping):
        raise InputError("template_args must hold names and values, like {enable_thinking: false}")
    if reserved := args.keys() & RESERVED:
        raise InputError(f"the template argument '{min(reserved)}' is simfarm's to set: leave it out")


def frame(
    tokenizer: Any, model: str, prompt: Prompt, sampling: Mapping[str, Any], *, answered: bool = False
) -> list[int]:
    """The tokens of a prompt, never cut and never none: a text as the tokenizer begins one, messages as the chat
    template frames them, up to where the model's answer begins; to the end of them where they are `answered`.

    `tokenizer` is one of transformers', `model` its name for errors; of `sampling`, chat_template and template_args are
    read. Raises `InputError` where there is no template, one that is not Jinja, or an argument that is none;
    `CallError` for messages that the template refuses or makes nothing of.
    """
    if isinstance(prompt, str):
        tokens = encode(tokenizer, prompt, special=True)
        if not tokens:
            raise CallError("the prompt is empty: there is nothing that an answer follows")
        return tokens
    check_framing(sampling)
    template, own = sampling.get("chat_template"), getattr(tokenizer, "chat_template", None)
    if template is None and (not own or (isinstance(own, Mapping) and "default" not in own)):
        raise InputError(f"{model} has no chat template: give one with --chat-template FILE")
    options = {
        **(sampling.get("template_args") or {}),
        "chat_template": template,
        "add_generation_prompt": not answered,
        "tokenize": False,
    }
    with templating():
        text = tokenizer.apply_chat_template([dict(message) for message in prompt], **options)
    tokens = encode(tokenizer, text)
    if not tokens:
        raise CallError("the chat template renders nothing for these messages")
    return tokens


@contextmanager
def templating() -> Iterator[None]:
    """A chat template at work in the block. Raises `InputError` for one that is not Jinja or asks for too much,
    `CallError` for messages that it refuses or fails on: a template is a program, and may fail in any way."""
    try:
        yield
    except jinja2.TemplateSyntaxError as error:
        raise InputError(f"the chat template is not valid Jinja (line {error.lineno}: {first_line(error)})") from None
    except (TooMuch, RecursionError, MemoryError) as error:
        reason = str(error) if isinstance(error, TooMuch) else "it calls itself, or is nested, without end"
        raise InputError(f"the chat template cannot be rendered: {reason}") from None
    except jinja2.TemplateError as error:
        raise CallError(f"the chat template refuses these messages ({first_line(error)})") from None
    except Exception as error:  # noqa: BLE001 whatever it is, it is this record's; Python's own words may quote the prompt
        raise CallError(f"the chat template fails on these messages ({type(error).__name__})") from None


def encode(tokenizer: Any, text: str, *, special: bool = False) -> list[int]:
    """A text's tokens, all of them; with those that begin a text where `special`. Raises `CallError` for what is not
    Unicode text."""
    try:
        text.encode()
    except UnicodeEncodeError:
        # half a surrogate pair, which no tokenizer takes: some say TypeError
        raise CallError("the text is not valid Unicode") from None
    return list(tokenizer(text, add_special_tokens=special, truncation=False, verbose=False).input_ids)


def room(prompt: int, context: int | None, wanted: int | None) -> int:
    """Tokens that an answer may have after a prompt of `prompt` tokens: what was asked for, as far as the context holds
    it. Raises `CallError` for a prompt that leaves no room."""
    left = ENDLESS if context is None else context - prompt
    if left < 1:
        raise CallError(f"the prompt has {prompt} tokens and the context holds {context}")
    return min(wanted or left, left)


def check_pair(prompt: Sequence[int], continuation: Sequence[int], context: int) -> None:
    """Refuses a continuation without a likelihood: one of no tokens, or of more than the context holds after its
    prompt. Raises `CallError`."""
    if not continuation:
        raise CallError("the continuation is empty: it has no likelihood")
    size = len(prompt) + len(continuation)
    if size > context:
        raise CallError(
            f"prompt and continuation have {size} tokens and the context holds {context}: name a model that holds more"
        )


def stops(sampling: Mapping[str, Any]) -> tuple[str, ...]:
    """A request's stop strings."""
    stop = sampling.get("stop") or ()
    return (stop,) if isinstance(stop, str) else tuple(stop)


def before(text: str, stop: Sequence[str]) -> str:
    """The text up to where the first of the stop strings in it begins."""
    return text[: min((at for string in stop if (at := text.find(string)) >= 0), default=len(text))]
