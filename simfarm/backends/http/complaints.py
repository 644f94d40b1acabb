"""What an error body says, whoever wrote it: OpenAI's object, a list of one, FastAPI's list, JSON within a message.

One reader for all of them, because a gateway wraps what the provider behind it wrote, and the reason lies innermost.
What is passed on never carries a key or a prompt.
"""

from __future__ import annotations

import email.utils
import json
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any

from simfarm.data.exchange import Message
from simfarm.text.harmless import one_line
from simfarm.text.masking import masked

__all__ = ["error_fields", "provider_words", "retry_after", "unquoted"]

QUOTE = 24
"""Characters in a row that a provider's message may share with the prompt; more and it is withheld."""

WORDS = 200
"""Characters of a provider's message that are passed on."""

DEEPEST = 5
"""Wrappings that are opened; a gateway before a gateway has three."""

NAMES = ("message", "code", "type", "param", "reason")

_AGAIN = re.compile(
    r"try (?:again )?(?:in|after) (?:(?P<h>\d+)h)?(?:(?P<m>\d+)m(?!s))?"
    r"(?:(?P<s>\d+(?:\.\d+)?) ?(?P<unit>ms|s|sec\w*)\b)?",
    re.IGNORECASE,
)
"""Groq's "try again in 7m12.5s", Gemini's "retry in 51.4s", Azure's "retry after 20 seconds"."""


def retry_after(headers: Mapping[str, str], message: str = "") -> float | None:
    """Seconds the server asks to wait: `retry-after-ms`, `Retry-After` in seconds or as a date, or what its `message`
    says; None where it asks for nothing."""
    milliseconds = headers.get("retry-after-ms")
    if milliseconds is not None:
        try:
            return max(0.0, float(milliseconds) / 1000)
        except ValueError:
            pass
    value = headers.get("retry-after")
    if value is not None:
        try:
            return max(0.0, float(value))
        except ValueError:
            pass
        try:
            return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
        except ValueError:
            pass
    said = _AGAIN.search(message[: 50 * WORDS])
    if said is None or not any(said.group("h", "m", "s")):
        return None
    seconds = float(said["s"] or 0) / (1000 if said["unit"] == "ms" else 1)
    return seconds + 60.0 * float(said["m"] or 0) + 3600.0 * float(said["h"] or 0)


def error_fields(body: object) -> dict[str, str]:
    """`message`, `code`, `type`, `param` and `reason` of an error body, "" where absent. `reason` holds the finer codes
    that providers add (Google's status and details, Azure's inner error, OpenRouter's metadata), one blank between."""
    fields = _fields(body, DEEPEST)
    return {name: fields.get(name, "") for name in NAMES}


def _fields(body: object, depth: int) -> dict[str, str]:
    if isinstance(body, str):
        inner = _parsed(body)
        if inner is None:
            page = body.lstrip()[:1] == "<"
            return {} if page or not body.strip() else {"message": body}
        body = inner
    if isinstance(body, list):
        body = body[0] if body else None
    if not isinstance(body, Mapping) or not depth:
        return {}
    if isinstance(body.get("msg"), str):
        return _refused_field(body)
    fields = {name: _word(body.get(name)) for name in NAMES[:-1]}
    fields["reason"] = " ".join(filter(None, _reasons(body)))
    for name in ("message", "error", "errors", "detail"):
        inside = _fields(body.get(name), depth - 1)
        if len(inside) == 1:
            # a plain text: what is beside it says no less
            fields["message"] = fields["message"] or inside["message"]
            continue
        reasons = " ".join(filter(None, (fields["reason"], inside.pop("reason", ""))))
        fields |= {part: value for part, value in inside.items() if value} | {"reason": reasons}
    fields["message"] = _fields(_raw(body), depth - 1).get("message") or fields["message"]
    return fields


def _refused_field(item: Mapping[Any, Any]) -> dict[str, str]:
    """One entry of pydantic's list of what is wrong with a body, which names the field by its path."""
    where = item.get("loc")
    path = [str(part) for part in where if part != "body"] if isinstance(where, list) else []
    return {"message": item["msg"], "type": _word(item.get("type")), "param": path[-1] if path else ""}


def _reasons(body: Mapping[Any, Any]) -> Iterable[str]:
    """The finer codes of an error, wherever its provider puts them."""
    yield _word(body.get("status"))
    inner = body.get("innererror")
    if isinstance(inner, Mapping):
        yield _word(inner.get("code"))
    details = body.get("details")
    for detail in details if isinstance(details, list) else [details]:
        if isinstance(detail, Mapping):
            yield _word(detail.get("error_code"))
            yield _word(detail.get("reason"))
            violations = detail.get("violations")
            for violation in violations if isinstance(violations, list) else ():
                if isinstance(violation, Mapping):
                    yield _word(violation.get("quotaId"))
    metadata = body.get("metadata")
    if isinstance(metadata, Mapping):
        for name in ("error_type", "reason", "limit_source"):
            yield _word(metadata.get(name))
        if "flagged_input" in metadata or "patterns" in metadata:
            yield "moderation"


def _raw(body: Mapping[Any, Any]) -> object:
    """What the provider told OpenRouter, which itself says "Provider returned error"."""
    metadata = body.get("metadata")
    return metadata.get("raw") if isinstance(metadata, Mapping) else None


def _parsed(text: str) -> object:
    """The JSON that a text holds whole, None for any other text."""
    if text.lstrip()[:1] not in ("{", "["):
        return None
    try:
        body: object = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return body


def _word(value: object) -> str:
    """A field that is one text or number; a message that is JSON is no text."""
    if isinstance(value, str):
        return value if _parsed(value) is None else ""
    return str(value) if isinstance(value, int) and value else ""


def provider_words(text: str, messages: Iterable[Message], secrets: Iterable[str] = ()) -> str:
    """A provider's message on one line of at most `WORDS` characters, cut after a word, "" where it quotes the prompt;
    keys and `secrets` are blanked."""
    line = one_line(masked(" ".join(text[: 50 * WORDS].split()), secrets))
    if len(line) > WORDS:
        line = (line[:WORDS].rpartition(" ")[0] or line[: WORDS - 1]) + " …"
    return "" if line and _quotes(line, messages) else line


def unquoted(fields: Mapping[str, str], messages: Iterable[Message]) -> dict[str, str]:
    """An error's fields (`error_fields`) without a message that quotes the prompt: what a row says is no word of the
    provider's."""
    line = " ".join(fields["message"][: 50 * WORDS].split())
    return {**fields, "message": ""} if len(line) >= QUOTE and _quotes(line, messages) else dict(fields)


def _quotes(line: str, messages: Iterable[Message]) -> bool:
    """Whether a line shares `QUOTE` characters in a row with the prompt (a long line: some more)."""
    contents = [" ".join(m["content"].split()) for m in messages]
    starts = range(0, max(1, len(line) - QUOTE + 1), 1 + len(line) // (5 * WORDS))
    windows = {line[i : i + QUOTE] for i in starts}
    return any(window in content for content in contents for window in windows)
