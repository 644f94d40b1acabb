"""What a failed call means: this row alone, try again, or stop. One reading for every provider that speaks HTTP.

The text of a failure reaches annotation files and terminals, so it never carries a key, an address beyond its host, or
a prompt: a provider's own words are passed on only where they quote none of them. What they mean is in `meanings`.
"""

from __future__ import annotations

import asyncio
import errno
import os
import re
import ssl
from collections.abc import Mapping, Sequence
from typing import Protocol
from urllib.parse import urlsplit

import aiohttp

from simfarm.backends.http.complaints import error_fields, provider_words, retry_after, unquoted
from simfarm.backends.http.meanings import (
    BAD_KEY,
    NOT_THERE,
    QUESTIONS,
    of_the_row,
    overloaded,
    stop_for,
    stop_for_decisions,
)
from simfarm.data.exchange import CallError, Request, TransientError
from simfarm.errors import InputError, ProviderError
from simfarm.text.harmless import one_line
from simfarm.text.masking import secrets_of, shown_url

__all__ = [
    "Asker",
    "OutOfFiles",
    "Unreachable",
    "answer_error",
    "check_address",
    "check_key",
    "connection_error",
    "error_fields",
    "status_error",
    "words_of",
]


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


class Asker(Protocol):
    """Who asks: a backend, with the variable that holds its key."""

    name: str
    base_url: str | None
    key_variable: str


def words_of(error: Mapping[str, str], asker: Asker, request: Request) -> str:
    """What a server says of a failure (`error_fields`), fit to be shown: without a key or the prompt, as the part
    of a line that it becomes."""
    secrets = secrets_of(asker.base_url, asker.key_variable)
    return provider_words(error["message"], request.messages, secrets).rstrip(".")


def status_error(
    status: int, headers: Mapping[str, str], body: object, asker: Asker, request: Request, *, answered: bool = False
) -> CallError | TransientError | ProviderError:
    """The exception for an HTTP error status, by the status and what `meanings` makes of the words. Questions that were
    `answered` before are not what is refused.

    Stops the run (`ProviderError`): a key, an account, a model or an address that no call gets past. Comes back
    (`TransientError`): 408, 409, 429, 498 and 5xx. Anything else is this row's own (`CallError`).
    """
    fields = error_fields(body)
    words, key = words_of(fields, asker, request), asker.key_variable
    line = f"{asker.name} answered {status}" + (f": {words}" if words else "")
    if of_the_row(status, fields):
        return CallError(line, own=True)
    meaning = stop_for_decisions if request.questions else stop_for
    stop = meaning(status, unquoted(fields, request.messages))
    if stop is not None and not (answered and stop is QUESTIONS):
        where = asker.name + (f" at {shown_url(asker.base_url)}" if asker.base_url else "")
        other = "openai/NAME for OpenAI's shape" if asker.name == "systemone" else "systemone/NAME for System One's"
        what, remedy = (text.format(model=request.model, key=key, other=other) for text in (stop.what, stop.remedy))
        if stop is BAD_KEY and not os.environ.get(key):
            what, remedy = "wants a key", f"export {key}, or write it into a .env file here"
        if stop is NOT_THERE and asker.name == "anthropic":
            remedy = "check --base-url (for anthropic/ it ends without /v1)"
        if stop is NOT_THERE and not asker.base_url:
            remedy = "take another model with --model"
        return ProviderError(f"{where} {what} ({status}): " + (f"{words}; {remedy}" if words else remedy))
    if status in (402, 408, 409, 429, 498) or status >= 500:
        busy = overloaded(status, fields)
        return TransientError(
            line,
            throttled=status in (402, 429) and not busy,
            overloaded=busy,
            slow=status in (408, 504, 524),
            retry_after=retry_after(headers, fields["message"]),
        )
    return CallError(line)


def answer_error(answer: object, asker: Asker, request: Request) -> CallError | TransientError | ProviderError | None:
    """The exception for an answer of status 200 that is an error or holds one in its first choice (OpenRouter and other
    gateways, whose provider failed after the headers were sent); None for any other answer.

    Its code is read as a status would be. One without comes back as if the server had failed: what it wrote of a reply
    until then is none.
    """
    if not isinstance(answer, Mapping):
        return None
    choices = answer.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else None
    failed = choice if isinstance(choice, Mapping) and choice.get("finish_reason") == "error" else None
    error = answer.get("error") or (failed.get("error") if failed is not None else None)
    if not error and not failed and (choices or answer.get("object") != "error"):
        return None
    body = error or {"message": answer.get("message"), "code": answer.get("code")}
    code = error_fields(body)["code"]
    status = int(code) if re.fullmatch("[45][0-9][0-9]", code) else 500
    return status_error(status, {}, body, asker, request)
