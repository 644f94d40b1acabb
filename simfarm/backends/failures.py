"""What a failed call means: this row alone, try again, or stop. One table for every provider that speaks HTTP.

The text of a failure reaches annotation files and terminals, so it never carries a key, an address beyond its host, or
a prompt: a provider's own words are passed on only where they quote none of them.
"""

from __future__ import annotations

import asyncio
import email.utils
import errno
import os
import ssl
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from simfarm.backends.base import CallError, Message, TransientError
from simfarm.errors import InputError, ProviderError
from simfarm.harmless import one_line
from simfarm.masking import masked, secrets_of, shown_url

__all__ = [
    "OutOfFiles",
    "Unreachable",
    "check_address",
    "check_key",
    "connection_error",
    "error_fields",
    "provider_words",
    "retry_after",
    "status_error",
]

QUOTE = 24
"""Characters in a row that a provider's message may share with the prompt; more and it is withheld."""

WORDS = 200
"""Characters of a provider's message that are passed on."""

OF_THE_ROW = {"content_filter", "content_policy_violation", "context_length_exceeded", "invalid_prompt"}
"""Codes of refusals for what a prompt holds."""


class Unreachable(TransientError):
    """No connection could be made at all: a wrong address or a missing network as likely as a moment's trouble."""


class OutOfFiles(TransientError):
    """This process may open no further connection (`ulimit -n`): the fewer calls at a time the better."""


def check_address(url: str | None, given_by: str) -> None:
    """Refuse an address that no call can go to, before any call; None is the provider's own. `given_by` is the option
    or variable to change. Raises `InputError`."""
    if url is None:
        return
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        whole = parts.scheme in ("http", "https") and parts.port != 0 and url.isprintable() and " " not in url
        usable = whole and len(host.encode("idna")) > 0
    except ValueError:
        # a port beyond 65535, half an IPv6 address, an empty label in the host's name
        usable = False
    if usable and parts.username is not None:
        raise InputError(f"{given_by} carries a user or password; leave them out and give the key by the environment")
    if not usable:
        raise InputError(
            f"{given_by} {shown_url(url)!r} is no web address: write it as http://HOST:PORT/v1 or https://HOST/v1"
        )


def check_key(variable: str) -> None:
    """Refuse a key that no header can carry, before any call; a `.env` file with Windows' line ends makes such. Raises
    `InputError`, which names the variable and never its value."""
    key = os.environ.get(variable, "")
    if key.isascii() and key.isprintable() and " " not in key.strip():
        return
    what = "a letter outside ASCII" if not key.isascii() else "a blank" if key.isprintable() else "a line break"
    raise InputError(f"{variable} is no key: it holds {what}; copy the key again, alone on its line")


def connection_error(
    error: BaseException, provider: str, base_url: str | None
) -> CallError | TransientError | ProviderError:
    """The exception for a call without an HTTP answer, by what lies at the bottom of the SDK's wrapping.

    The SDKs' transport calls every lost connection a time-out; the causes tell them apart. A certificate or a protocol
    that does not fit fits no later call either, and stops the run.
    """
    causes = [error]
    while (cause := causes[-1].__cause__) is not None:
        causes.append(cause)
    root = causes[-1]
    where = shown_url(base_url) if base_url else provider
    if isinstance(root, CallError):
        return root
    if isinstance(root, OSError) and root.errno in (errno.EMFILE, errno.ENFILE):
        return OutOfFiles("no further file or connection can be opened (ulimit -n)")
    if isinstance(root, ssl.SSLError):
        return ProviderError(_tls_trouble(root, where))
    why = _no_connection(causes, urlsplit(base_url).hostname if base_url else provider)
    if why is not None:
        return Unreachable(f"cannot connect to {where}{why}")
    if isinstance(root, asyncio.TimeoutError):
        return TransientError(f"{where} did not answer in time", slow=True)
    return TransientError(f"{where} dropped the connection")


def _tls_trouble(error: ssl.SSLError, where: str) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        why = one_line(error.verify_message or "it cannot be verified")
        return f"the certificate of {where} is not trusted ({why}): name its authority's file in SSL_CERT_FILE"
    if error.reason in ("WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"):
        return f"{where} speaks http, not https: write http:// in --base-url"
    return f"{where} accepts no TLS connection ({error.reason})"


def _no_connection(causes: Sequence[BaseException], host: str | None) -> str | None:
    """Why no connection came about, None where one did."""
    if any(isinstance(cause, aiohttp.ClientConnectorDNSError) for cause in causes):
        return f": no such host ({one_line(host)})"
    if isinstance(causes[-1], ConnectionRefusedError):
        return ": nothing listens there (connection refused)"
    if any(isinstance(cause, aiohttp.ConnectionTimeoutError) for cause in causes):
        return " in time"
    return "" if any(isinstance(cause, aiohttp.ClientConnectorError) for cause in causes) else None


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks to wait (`retry-after-ms`, else `Retry-After` in seconds or as a date), or None."""
    milliseconds = headers.get("retry-after-ms")
    if milliseconds is not None:
        try:
            return max(0.0, float(milliseconds) / 1000)
        except ValueError:
            pass
    value = headers.get("retry-after")
    if value is None:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - time.time())
    except ValueError:
        return None


def error_fields(body: object) -> dict[str, str]:
    """`message`, `code`, `type` and `param` of an error body, "" where absent; servers nest them differently."""
    fields: Mapping[Any, Any] = body if isinstance(body, Mapping) else {}
    inner = fields.get("error") or fields.get("detail")
    if isinstance(inner, list) and inner and isinstance(inner[0], Mapping):
        # FastAPI's refusal of a body: a list of what is wrong with it
        inner = inner[0].get("msg")
    if isinstance(inner, Mapping):
        fields = inner
    elif isinstance(inner, str):
        fields = {"message": inner}
    found = {name: fields.get(name) for name in ("message", "code", "type", "param")}
    return {name: str(value) if isinstance(value, str | int) and value else "" for name, value in found.items()}


def provider_words(text: str, messages: Iterable[Message], secrets: Iterable[str] = ()) -> str:
    """A provider's message on one line of at most `WORDS` characters, cut after a word, "" where it quotes the prompt;
    keys and `secrets` are blanked."""
    line = one_line(masked(" ".join(text[: 50 * WORDS].split()), secrets))
    if len(line) > WORDS:
        line = (line[:WORDS].rpartition(" ")[0] or line[: WORDS - 1]) + " …"
    contents = [" ".join(m["content"].split()) for m in messages]
    windows = {line[i : i + QUOTE] for i in range(max(1, len(line) - QUOTE + 1))}
    if line and any(window in content for content in contents for window in windows):
        return ""
    return line


def status_error(
    status: int,
    headers: Mapping[str, str],
    body: object,
    *,
    provider: str,
    key_variable: str,
    model: str,
    messages: Iterable[Message],
    base_url: str | None = None,
) -> CallError | TransientError | ProviderError:
    """The exception for an HTTP error status.

    Stops the run (`ProviderError`): 401, 402, 403, an unknown model, a used-up account. Comes back (`TransientError`):
    408, 409, 429, 5xx. Anything else is this row's own (`CallError`).
    """
    fields = error_fields(body)
    where = provider + (f" at {shown_url(base_url)}" if base_url else "")
    stop = _stop(status, fields, where, key_variable, model)
    if stop is not None:
        return ProviderError(stop)
    words = provider_words(fields["message"], messages, secrets_of(base_url, key_variable))
    told = f"{provider} answered {status}" + (f": {words}" if words else "")
    if status in (408, 409, 429) or status >= 500:
        return TransientError(told, throttled=status == 429, retry_after=retry_after(headers))
    return CallError(told, own=fields["code"] in OF_THE_ROW)


def _stop(status: int, fields: Mapping[str, str], where: str, key_variable: str, model: str) -> str | None:
    """Why every further call would fail as this one did, None where it would not."""
    said = f"{fields['message']} {fields['code']} {fields['type']}".lower()
    if status == 401 and not os.environ.get(key_variable):
        return f"{where} wants a key (401): export {key_variable}, or write it into a .env file here"
    if status in (401, 403):
        verb = "rejected the key" if status == 401 else "refused access"
        return f"{where} {verb} ({status}): check {key_variable} and what it may use"
    if status == 402 or any(word in said for word in ("insufficient_quota", "credit balance", "billing_error")):
        return f"{where} has no credit left for this account ({status}): top it up, then run again"
    if status == 404 and not fields["message"]:
        return f"{where} has nothing at this address (404): check --base-url (it often ends in /v1)"
    unknown_model = fields["param"] == "model" or fields["code"] in ("model_not_found", "invalid_model")
    if status == 404:
        unknown_model = unknown_model or "model" in said or "deployment" in said
    if status in (400, 404) and unknown_model:
        return f"{where} has no model '{model}' ({status}): check its name with --model"
    return None
