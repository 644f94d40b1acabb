"""Where completions come from, chosen by the prefix of a model's name: `openai/gpt-6-luna`, `vllm/PATH`, `replay/FILE`.

Each SDK is imported when its prefix is asked for, so that a run pays for one of them and `--help` for none.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

from simfarm.backends.base import Backend, Scorer
from simfarm.backends.http.traits import traits
from simfarm.backends.local.models import ENGINES, SERVERS, local_spec
from simfarm.errors import InputError

__all__ = ["PREFIXES", "TIMEOUT", "open_backend", "open_model", "opened", "read_dotenv", "usual_timeout"]

PREFIXES = (*SERVERS, *ENGINES)

TIMEOUT = 120.0
"""Seconds that a server has for one call, unless the user says otherwise."""


def usual_timeout(model: str | Backend) -> float:
    """Seconds that a server has for a verdict where the user names none: more for a model that thinks first."""
    return 5 * TIMEOUT if isinstance(model, str) and traits(model).thinks else TIMEOUT


def open_model(spec: str, engine_args: Mapping[str, Any] | None = None) -> Scorer:
    """A model that runs in this process: `embedded`, a GGUF file, a model's folder, or `ENGINE/PATH-OR-HUB-NAME`.

    `engine_args` are the engine's own options (device, dtype, adapter, tensor_parallel_size …). The model is loaded at
    the first call and can serve generation, verdicts and likelihoods alike; whoever opens it closes it. Raises
    `InputError` for what cannot be found or run here.
    """
    local = local_spec(spec) if isinstance(spec, str) else None
    if local is None:
        raise InputError(f"{spec}: no such model here; name a GGUF file, a model's folder or vllm/HUB-NAME")
    prefix, _, name = local.partition("/")
    if not name:
        raise InputError(f"'{spec}' names no model: write {prefix}/PATH, or {prefix}/owner/name for one from the hub")
    options = dict(engine_args or {})
    if prefix == "openvino":
        from simfarm.backends.openvino.backend import OpenVINOBackend

        return OpenVINOBackend(name, options)
    if prefix == "vllm":
        from simfarm.backends.vllm.backend import VLLMBackend

        return VLLMBackend(name, options)
    from simfarm.backends.transformers.backend import TransformersBackend
    from simfarm.backends.transformers.reward import RewardBackend, is_reward_model

    return RewardBackend(name, options) if is_reward_model(name) else TransformersBackend(name, options)


def open_backend(
    spec: str,
    *,
    base_url: str | None = None,
    timeout: float | None = None,
    engine_args: Mapping[str, Any] | None = None,
) -> tuple[Backend, str]:
    """The backend that `spec` (`PREFIX/NAME`, or what `open_model` takes) names, and the model's name for requests.

    `base_url` points `openai`, `anthropic` and `systemone` at any compatible server (vLLM, SGLang, Ollama …). `timeout`
    is in seconds for a whole call (default 120; a model in this process has none, and is what `engine_args` are
    for). Keys come from the environment, or from a `.env` file in the working directory where the environment lacks
    them. Raises `InputError` for an unknown prefix, a missing name or a missing key, before any call.
    """
    if local_spec(spec) is not None:
        if base_url is not None:
            raise InputError(
                f"{spec} runs in this process and asks no server: leave --base-url out, or use openai/NAME"
            )
        model = open_model(spec, engine_args)
        return model, model.model
    if engine_args:
        raise InputError(f"--engine-arg {min(engine_args)} is for a model in this process, and {spec} asks a server")
    if base_url is not None and not base_url.strip():
        # not the provider's own address: what was meant for a server at home would leave the house
        raise InputError("--base-url is empty (a variable that is not set?): name the server, or leave it out")
    timeout = timeout or TIMEOUT
    prefix, _, name = spec.partition("/")
    if prefix not in PREFIXES:
        known = ", ".join(f"{p}/…" for p in PREFIXES)
        raise InputError(f"no backend for the model '{spec}': write it as one of {known}, a model's folder or embedded")
    if not name:
        raise InputError(f"'{spec}' names no model: write {prefix}/NAME")
    if prefix == "replay":
        from simfarm.backends.replay import ReplayBackend

        if base_url is not None:
            raise InputError("replay/ reads a file and asks no server: leave --base-url out")
        return ReplayBackend(name), name
    read_dotenv()
    if prefix == "openai":
        from simfarm.backends.http.openai import OpenAIBackend

        return OpenAIBackend(base_url=base_url, timeout=timeout), name
    if prefix == "anthropic":
        from simfarm.backends.http.anthropic import AnthropicBackend

        return AnthropicBackend(base_url=base_url, timeout=timeout), name
    if prefix == "systemone":
        from simfarm.backends.http.systemone import SystemOneBackend

        return SystemOneBackend(base_url=base_url, timeout=timeout), name
    from simfarm.backends.http.litellm import LiteLLMBackend

    return LiteLLMBackend(name, base_url=base_url, timeout=timeout), name


def opened(
    model: str | Backend,
    *,
    base_url: str | None = None,
    timeout: float | None = None,
    engine_args: Mapping[str, Any] | None = None,
) -> tuple[Backend, str]:
    """A spec's backend and model as `open_backend` gives them, or those of a model that is open already."""
    if isinstance(model, str):
        return open_backend(model, base_url=base_url, timeout=timeout, engine_args=engine_args)
    if not hasattr(model, "complete"):
        raise InputError(f"the model is {model!r}; name one, openai/gpt-6-luna for example, or give one that is open")
    if base_url or engine_args:
        raise InputError("the model is open already: give base_url and engine options where it is opened")
    return model, cast("Scorer", model).model


def read_dotenv() -> None:
    """Adds the working directory's `.env` to the environment (the SDKs look there); what is set already stays."""
    path = Path.cwd() / ".env"
    if path.is_file():
        from dotenv import load_dotenv

        load_dotenv(path, override=False)
