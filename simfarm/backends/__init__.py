"""Where completions come from, chosen by the prefix of a model's name: `openai/gpt-4.1`, `replay/FILE`.

Each SDK is imported when its prefix is asked for, so that a run pays for one of them and `--help` for none.
"""

from __future__ import annotations

from pathlib import Path

from simfarm.backends.base import Backend
from simfarm.errors import InputError

__all__ = ["PREFIXES", "open_backend"]

PREFIXES = ("openai", "anthropic", "litellm", "replay")


def open_backend(spec: str, *, base_url: str | None = None, timeout: float = 120.0) -> tuple[Backend, str]:
    """The backend that `spec` (`PREFIX/NAME`) names, and the model's name without the prefix.

    `base_url` points `openai` and `anthropic` at any compatible server (vLLM, SGLang, llama.cpp …). `timeout` is in
    seconds for a whole call. Keys come from the environment, or from a `.env` file in the working directory where the
    environment lacks them. Raises `InputError` for an unknown prefix, a missing name or a missing key, before any call.
    """
    prefix, _, name = spec.partition("/")
    if prefix not in PREFIXES:
        known = ", ".join(f"{p}/…" for p in PREFIXES)
        raise InputError(f"no backend for the model '{spec}': write it as one of {known}")
    if not name:
        raise InputError(f"'{spec}' names no model: write {prefix}/NAME")
    if prefix == "replay":
        from simfarm.backends.replay import ReplayBackend

        if base_url is not None:
            raise InputError("replay/ reads a file and asks no server: leave --base-url out")
        return ReplayBackend(name), name
    _read_dotenv()
    if prefix == "openai":
        from simfarm.backends.openai import OpenAIBackend

        return OpenAIBackend(base_url=base_url, timeout=timeout), name
    if prefix == "anthropic":
        from simfarm.backends.anthropic import AnthropicBackend

        return AnthropicBackend(base_url=base_url, timeout=timeout), name
    from simfarm.backends.litellm import LiteLLMBackend

    return LiteLLMBackend(name, base_url=base_url, timeout=timeout), name


def _read_dotenv() -> None:
    """Adds the working directory's `.env` to the environment (the SDKs look there); what is set already stays."""
    path = Path.cwd() / ".env"
    if path.is_file():
        from dotenv import load_dotenv

        load_dotenv(path, override=False)
