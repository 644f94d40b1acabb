"""Addresses and keys as they may be shown: an address by its host alone, a key not at all.

People put keys into the path or the query of an address, and providers quote both in their messages; messages reach
terminals, the `error` column of files that are published, and manifests.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import unquote, urlsplit

__all__ = ["masked", "secrets_of", "shown_url"]

HIDDEN = "[key]"

_URL = re.compile(r"\bhttps?://[^\s'\"<>|)\]}]+", re.IGNORECASE)
_KEY_LIKE = re.compile(
    r"\b(?:sk|pk|rk|gsk|xai|hf|r8|nvapi|pplx|csk|key)[-_][\w*.-]{6,}"
    r"|\bAIza[\w-]{10,}"
    r"|(?<=\bBearer )[\w*.~+/=-]{6,}"
    r"|(?:(?<=key=)|(?<=key: )|(?<=token=)|(?<=token: )|(?<=secret=)|(?<=password=))(?=[\w*.-]*\d)[\w*.-]{6,}",
    re.IGNORECASE,
)


def shown_url(url: str) -> str:
    """An address as it may be shown: `http://host:port/…`, without user, password, path and query."""
    scheme, separator, rest = url.partition("://")
    if not separator:
        scheme, rest = "", url
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    more = "/…" if rest[len(authority) :].strip("/") else ""
    host = authority.rpartition("@")[2]
    port = re.search(r":([^:\]]*)$", host)
    if "@" in rest[len(authority) :] and port and not port[1].isdigit():
        # a password with a slash in it: what looks like the host is the user's name
        host = "…"
    return f"{scheme}{separator}{host}{more}"


ROUTES = frozenset({"accounts", "completions", "decisions", "inference", "invocations", "openai", "systemone"})
"""Parts of an address that are no secret: a complaint about one of them says what is wrong with it."""


def secrets_of(base_url: str | None, *variables: str) -> set[str]:
    """What a message must not repeat: the keys in these variables, the parts of an address beyond its host."""
    secrets = {value.strip() for name in variables if (value := os.environ.get(name))}
    if base_url:
        try:
            parts = urlsplit(base_url)
        except ValueError:
            return secrets
        user = parts.netloc.rpartition("@")[0]
        pieces = [*parts.path.split("/"), *re.split(r"[&=;]", parts.query), *user.split(":"), parts.fragment]
        long = {piece for piece in pieces if len(piece) >= 6 and piece not in ROUTES}
        secrets |= {form for piece in long for form in (piece, unquote(piece))}
    return {value for value in secrets if len(value) >= 4}


def masked(text: str, secrets: Iterable[str] = ()) -> str:
    """A text without the `secrets`, without what looks like a key, and with addresses as `shown_url` gives them."""
    text = _URL.sub(lambda match: shown_url(match.group()), text)
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _KEY_LIKE.sub(HIDDEN, text)
