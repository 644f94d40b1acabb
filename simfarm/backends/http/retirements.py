"""When models are known to be shut down: a dated table that ships with simfarm, for where the provider says nothing.

It is only ever a warning. Providers move their dates, and decide themselves what they still answer: what one says today
(`simfarm.backends.http.about`) beats what stands here.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from importlib.resources import files
from urllib.parse import urlsplit

__all__ = ["Retirement", "named", "retirement", "retirements"]

HOSTS = {
    "openai.com": "openai",
    "azure.com": "azure",
    "anthropic.com": "anthropic",
    "googleapis.com": "gemini",
    "groq.com": "groq",
    "mistral.ai": "mistral",
    "deepseek.com": "deepseek",
    "x.ai": "xai",
}
"""Whose dates hold for a server, by the end of its name; elsewhere a model lives as long as its owner likes."""

OWN_NAMES = ("openai", "anthropic", "gemini", "mistral", "deepseek", "xai")
"""Providers whose models have names of their own; others serve open models by the names that everybody uses."""


@dataclass(frozen=True, slots=True)
class Retirement:
    """A line of the table: the day after which `model` is no longer to be had of `provider`, what the provider names in
    its place (None where it names nothing), where that stands, and the day when it was looked up."""

    provider: str
    model: str
    shutdown: date
    replacement: str | None
    source: str
    checked: date


@lru_cache(maxsize=1)
def retirements() -> Mapping[tuple[str, str], Retirement]:
    """The table: (provider, model) -> its line. Read when it is first asked for."""
    text = files("simfarm.backends.http").joinpath("retirements.csv").read_text("utf-8")
    return {
        (row["provider"], row["model"]): Retirement(
            row["provider"],
            row["model"],
            date.fromisoformat(row["shutdown"]),
            row["replacement"] or None,
            row["source"],
            date.fromisoformat(row["checked"]),
        )
        for row in csv.DictReader(text.splitlines())
    }


def retirement(spec: str, base_url: str | None = None) -> Retirement | None:
    """What the table says of a model as it is asked for, `PREFIX/NAME` with the server's address where one is named;
    None for a model that it does not know, or a server that is nobody's in it."""
    prefix, _, name = spec.partition("/")
    if prefix == "litellm":
        prefix, _, name = name.partition("/")
    if base_url is not None:
        prefix = _provider(base_url) or ""
    return retirements().get((prefix, _plain(name)))


def named(model: str) -> Retirement | None:
    """What the table says of a model of which only the name is known, as an annotation has it."""
    name = _plain(model)
    known = (retirements().get((provider, name)) for provider in OWN_NAMES)
    return next((line for line in known if line is not None), None)


def _provider(base_url: str) -> str | None:
    host = urlsplit(base_url).hostname or ""
    return next((provider for end, provider in HOSTS.items() if host == end or host.endswith("." + end)), None)


def _plain(name: str) -> str:
    """A name as the table has it; a fine-tuned model lives as long as the one it was made of."""
    name = name.lower().removeprefix("models/")
    return name.split(":")[1] if name.startswith("ft:") else name
