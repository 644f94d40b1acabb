"""Options for vLLM's engine, checked before anything is loaded, and vLLM itself, imported quietly.

vLLM would take a misspelt option as a TypeError, a wrong one as a page of pydantic, a missing GPU as a traceback: what
can be seen beforehand is said beforehand, in one line.
"""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from simfarm.backends.vllm_failures import NO_GPU, broken_install, unknown_option
from simfarm.errors import InputError

__all__ = ["CHANGING", "check_device", "check_options", "import_vllm", "lora_rank", "stderr_to", "watch"]

CHANGING = frozenset(
    {"adapter", "dtype", "quantization", "quantization_config", "kv_cache_dtype", "lora_dtype", "load_format"}
    | {"tokenizer", "tokenizer_mode", "tokenizer_revision", "hf_overrides", "model_impl", "generation_config"}
)
"""Options that change what a model says, and so its name."""

OURS = {
    "model": "the model is named by --model vllm/NAME",
    "enable_lora": "name the adapter's folder, adapter=DIR",
    "skip_tokenizer_init": "prompts need the tokenizer",
    "logprobs_mode": "log probabilities are the model's own, before temperature and penalties",
}
"""Options that simfarm sets itself or leaves alone, and why."""

QUIET = "VLLM_LOGGING_LEVEL" not in os.environ
"""Whether the user asked for none of vLLM's messages: then what its processes write is kept and read on failure."""

ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Set where the user has not: no chatter, nothing on stdout (rows go there), no report to vLLM's makers."""

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for `max_lora_rank`."""


def import_vllm() -> Any:
    """The package. Raises `InputError` where it is installed and does not import."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        with tempfile.TemporaryFile() as unread, stderr_to(unread):
            vllm = importlib.import_module("vllm")
            importlib.import_module("vllm.v1.engine.async_llm")
    except (ImportError, AttributeError, RuntimeError, OSError) as error:
        # a package that is there in another version than vllm was built for shows as any of these
        raise InputError(broken_install(error)) from None
    return vllm


def check_options(options: Iterable[str], known: Iterable[str]) -> None:
    """Refuses an option that vLLM does not have, or that is not the user's to set. Raises `InputError`."""
    names = set(known)
    for name in options:
        if name in OURS:
            raise InputError(f"--engine-arg {name} cannot be set: {OURS[name]}")
        if name not in names:
            raise InputError(unknown_option(name, names))


def check_device(asked: str | None, found: str) -> None:
    """Refuses a device that is not there. `found` is vLLM's word for what it runs on: cuda, rocm, xpu, cpu, or "" for
    nothing. Raises `InputError`."""
    kind = (asked or found).partition(":")[0]
    if not found or (kind not in (found, "cpu") and found == "cpu"):
        raise InputError(NO_GPU)
    if kind not in (found, "gpu"):
        raise InputError(
            f"this vLLM runs on {found}, not on {kind}: leave --engine-arg device out, or use openvino/PATH"
        )
    if asked and ":" in asked:
        raise InputError(f"--engine-arg device={asked}: choose a GPU by CUDA_VISIBLE_DEVICES={asked.partition(':')[2]}")


def lora_rank(adapter: str) -> int:
    """`max_lora_rank` for an adapter: the least that vLLM takes and that is enough. Raises `InputError` for a folder
    that holds no LoRA adapter."""
    path = Path(adapter) / "adapter_config.json"
    try:
        config: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        rank = int(config["r"])
    except FileNotFoundError:
        raise InputError(f"{adapter}: holds no LoRA adapter (no adapter_config.json)") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise InputError(f"{path}: is not the description of a LoRA adapter (no rank r)") from None
    if rank > LORA_RANKS[-1]:
        raise InputError(f"{adapter}: has rank {rank}, and vLLM takes adapters up to {LORA_RANKS[-1]}; merge it")
    return next(r for r in LORA_RANKS if r >= rank)


WATCH = """
import os, signal, sys
if not sys.stdin.buffer.read():
    for pid in map(int, sys.argv[1:]):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
"""


def watch(processes: Iterable[int]) -> subprocess.Popen[bytes]:
    """A small process that ends vLLM's when this one is killed: they would outlive it and keep the GPU's memory, and
    the next run would find none. It waits for the end of its input; what is written there tells it to leave them."""
    command = [sys.executable, "-S", "-E", "-c", WATCH, *map(str, processes)]
    # killed outright: an engine whose caller is gone does not heed SIGTERM, and its workers end when it does;
    # in a session of its own: Ctrl-C and a killed process group are for the others
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True)


@contextmanager
def stderr_to(log: IO[bytes]) -> Iterator[None]:
    """What this process and those it starts write to stderr goes to a file meanwhile; the started ones keep it."""
    if not QUIET:
        yield
        return
    sys.stderr.flush()
    terminal = os.dup(2)
    try:
        os.dup2(log.fileno(), 2)
        yield
    finally:
        os.dup2(terminal, 2)
        os.close(terminal)
