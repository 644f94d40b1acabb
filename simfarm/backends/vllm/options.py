"""Options for vLLM's engine, checked before anything is loaded, and vLLM itself, imported quietly.

vLLM would take a misspelt option as a TypeError, a wrong one as a page of pydantic, a missing GPU as a traceback: what
can be seen beforehand is said beforehand, in one line.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from simfarm.backends.vllm.failures import NO_GPU, broken_install, unknown_option
from simfarm.errors import InputError

__all__ = [
    "changing",
    "check_device",
    "check_options",
    "import_vllm",
    "last_words",
    "logged_to",
    "lora_rank",
    "stderr_to",
    "unlogged",
    "watch",
]

UNCHANGING = frozenset(
    # where it runs
    {"device", "device_ids", "distributed_executor_backend", "master_addr", "master_port", "nnodes", "node_rank"}
    | {"tensor_parallel_size", "pipeline_parallel_size", "enable_expert_parallel", "max_parallel_loading_workers"}
    | {"data_parallel_size", "data_parallel_size_local", "data_parallel_address", "data_parallel_rpc_port"}
    | {"data_parallel_backend", "disable_custom_all_reduce", "numa_bind", "numa_bind_nodes", "numa_bind_cpus"}
    # in how much memory
    | {"gpu_memory_utilization", "kv_cache_memory_bytes", "num_gpu_blocks_override", "block_size", "cpu_offload_gb"}
    | {"kv_offloading_size", "kv_offloading_backend"}
    # in which batches
    | {"max_num_seqs", "max_num_batched_tokens", "enable_chunked_prefill", "long_prefill_token_threshold"}
    | {"enable_prefix_caching", "prefix_caching_hash_algo", "scheduling_policy", "async_scheduling", "stream_interval"}
    | {"enforce_eager", "cudagraph_capture_sizes", "max_cudagraph_capture_size"}
    # how it is read and what is told
    | {"download_dir", "hf_token", "safetensors_load_strategy", "use_tqdm_on_load", "disable_log_stats", "log_level"}
    | {"max_logprobs", "max_lora_rank", "max_loras", "max_cpu_loras", "fully_sharded_loras"}
)
"""Options that change nothing in what a model says, beyond the rounding that batches bring anyway. Every other one
goes into the model's name: one too many costs a question asked twice, one too few an answer of another model. Among
those is `max_model_len`: answers without a limit end there, and scaled contexts are scaled by it."""

OURS = {
    "model": "the model is named by --model vllm/NAME",
    "revision": "name the model's revision with it, --model vllm/OWNER/NAME@REVISION",
    "enable_lora": "name the adapter's folder, adapter=DIR",
    "skip_tokenizer_init": "prompts need the tokenizer",
    "logprobs_mode": "log probabilities are the model's own, before temperature and penalties",
}
"""Options that simfarm sets itself or leaves alone, and why."""

ENVIRONMENT = {
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_LOGGING_STREAM": "ext://sys.stderr",
    "VLLM_NO_USAGE_STATS": "1",
}
"""Set where the user has not: no chatter, nothing on stdout (rows go there), no report to vLLM's makers."""

QUIET = os.environ.get("VLLM_LOGGING_LEVEL", "ERROR") == "ERROR"
"""Whether the user asked for none of vLLM's messages: then what its processes write is kept and read on failure. Our
own setting, come from a process that started this one, is no such wish."""

LORA_RANKS = (8, 16, 32, 64, 128, 256, 320, 512)
"""What vLLM takes for `max_lora_rank`."""


def import_vllm() -> Any:
    """The package. Raises `InputError` where it is installed and does not import."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        with tempfile.TemporaryFile() as log, last_words(log), stderr_to(log):
            vllm = importlib.import_module("vllm")
            importlib.import_module("vllm.v1.engine.async_llm")
    except (ImportError, AttributeError, RuntimeError, OSError) as error:
        # a package that is there in another version than vllm was built for shows as any of these
        raise InputError(broken_install(error)) from None
    return vllm


def changing(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options that go into the model's name. Raises `InputError` for one that is not the user's to set."""
    for name in options:
        if name in OURS:
            raise InputError(f"--engine-arg {name} cannot be set: {OURS[name]}")
    return {name: value for name, value in options.items() if name not in UNCHANGING}


def check_options(options: Iterable[str], known: Iterable[str]) -> None:
    """Refuses an option that vLLM does not have. Raises `InputError`."""
    names = set(known)
    for name in options:
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
if not sys.stdin.buffer.read(1):
    for pid in map(int, sys.argv[1:]):
        try:
            os.kill(pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
"""
# one byte, not all until the end: a process forked in between may hold the pipe open


def watch(processes: Iterable[int]) -> subprocess.Popen[bytes]:
    """A small process that ends vLLM's when this one is killed: they would outlive it and keep the GPU's memory, and
    the next run would find none. It waits for the end of its input; what is written there tells it to leave them."""
    # killed outright: an engine whose caller is gone does not heed SIGTERM, and its workers end when it does
    return beside(WATCH, *map(str, processes))


WITNESS = """
import os, sys
if not sys.stdin.buffer.read(1):
    log = int(sys.argv[1])
    words = os.pread(log, 65536, max(0, os.fstat(log).st_size - 65536)).decode("utf-8", "replace")
    lines = [line.strip() for line in words.splitlines() if line.strip()] or ["nothing"]
    last = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in lines[-1][:240])
    print("simfarm: the process ended inside vLLM, which said last: " + last, file=sys.stderr)
"""


@contextmanager
def last_words(log: IO[bytes]) -> Iterator[None]:
    """Where this process ends meanwhile without a word (an abort in native code, such as an instruction that the CPU
    lacks), the last line of the file that took its stderr is told all the same. To be entered before `stderr_to`."""
    if not QUIET:
        yield
        return
    witness = beside(WITNESS, str(log.fileno()), keep=(log.fileno(),))
    try:
        yield
    finally:
        witness.communicate(b"ended")


def beside(script: str, *words: str, keep: tuple[int, ...] = ()) -> subprocess.Popen[bytes]:
    """A script in a small process with a pipe to its input, which ends when this process does; `keep` files open."""
    command = [sys.executable, "-S", "-E", "-c", script, *words]
    # in a session of its own: Ctrl-C and a killed process group are for the others
    return subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True, pass_fds=keep)


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


def logged_to(log: IO[bytes]) -> logging.Handler | None:
    """What vLLM logs in this process goes to a file from now on, until `unlogged`: it reports an engine's death there,
    by a traceback. None where the user asked for its messages."""
    if not QUIET:
        return None
    logger = logging.getLogger("vllm")
    for handler in logger.handlers[:]:
        if handler.name == "vllm":
            # its own, to stderr; one that does nothing keeps `logging` from writing there itself
            logger.removeHandler(handler)
            logger.addHandler(logging.NullHandler())
    ours = logging.StreamHandler(os.fdopen(os.dup(log.fileno()), "a", encoding="utf-8"))
    logger.addHandler(ours)
    return ours


def unlogged(handler: Any) -> None:
    """Ends what `logged_to` began."""
    if handler is not None:
        logging.getLogger("vllm").removeHandler(handler)
        handler.stream.close()
