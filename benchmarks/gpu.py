"""What a model in this process does on one GPU: as fast as without simfarm, in how much memory, and what it says when
there is none left.

    python benchmarks/gpu.py [--wheels FOLDER] [--quick] [--minutes 8]     # writes benchmarks/results/DATE-gpu.md
    python benchmarks/gpu.py --tiny                                        # on a CPU: does the script still run?

For a bare machine: Python, PyTorch, transformers and one GPU, no network and no weights. The weights are random, of the
shapes of a Qwen2 with half a billion parameters and of one with seven; the tokenizer is that of the tests, and a judge
is answered with a verdict. `--wheels` is a folder of wheels that are installed first, for what simfarm needs and the
machine lacks; best-of-n alone needs pandas and scipy. Where there is a network, for the same Python:

    pip download -d wheels --only-binary :all: aiohttp genai-prices orjson python-dotenv

Every part is a process of its own with a limit of seconds: what fails, hangs or does not fit into the minutes left is
named in the report, and the others are made.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import gc
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path += [str(ROOT), str(ROOT / "tests")]

EXAMPLES = ROOT / "examples"

SHAPES: dict[str, dict[str, int]] = {
    "tiny": {"hidden_size": 128, "intermediate_size": 256, "num_hidden_layers": 2, "num_attention_heads": 4},
    "0.5B": {"hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14},
    "7B": {"hidden_size": 3584, "intermediate_size": 18944, "num_hidden_layers": 28, "num_attention_heads": 28},
}
HEADS = {"tiny": 2, "0.5B": 2, "7B": 4}
"""Of keys and values."""

VOCABULARY = {"tiny": 1024, "0.5B": 151_936, "7B": 151_936}

CONTEXT = 8192


@dataclass(frozen=True, slots=True)
class Load:
    """How much is asked: requests, tokens of an answer at most, rows of a batch, pairs that are judged."""

    requests: int
    tokens: int
    batch: int
    judged: int
    rounds: int


LOADS = {"tiny": Load(12, 8, 4, 4, 1), "quick": Load(64, 48, 64, 32, 1), "whole": Load(192, 96, 64, 60, 2)}

PARTS: tuple[tuple[str, int, str], ...] = (
    ("weights", 90, "random weights, written and read again"),
    ("bare", 100, "a bare loop over generate"),
    ("padded", 100, "simfarm, padded batches"),
    ("continuous", 120, "simfarm, continuous batching"),
    ("judge", 60, "a judge by log probabilities"),
    ("likelihoods", 45, "likelihoods"),
    ("best-of-n", 60, "best of 4 by likelihood"),
)
"""Name, most seconds, what it is; for each size."""

ONCE: tuple[tuple[str, int, str], ...] = (
    ("memory", 60, "out of memory, told in one line"),
    ("vllm", 150, "vLLM, simfarm against a bare loop"),
)
"""On the smaller size alone, the first before the larger one and the other after it."""


# --- the parts: each prints one line of JSON ----------------------------------------------------------------------


def device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def make_weights(folder: Path, size: str, load: Load) -> dict[str, Any]:
    """A model of random weights in `folder`."""
    import torch
    from tiny_model import JUDGE_TEMPLATE, add_verdicts, build_tiny_model, teach_verdicts
    from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM

    began = time.perf_counter()
    build_tiny_model(folder, context=CONTEXT, chat_template=JUDGE_TEMPLATE)
    words = AutoTokenizer.from_pretrained(folder)
    add_verdicts(words)
    shutil.rmtree(folder)
    config = Qwen2Config(
        **SHAPES[size],
        num_key_value_heads=HEADS[size],
        vocab_size=VOCABULARY[size],
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=False,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(torch.bfloat16 if device() == "cuda" else torch.float32)
    with torch.device(device()):
        model = Qwen2ForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    teach_verdicts(model, words)
    model.save_pretrained(folder)
    words.save_pretrained(folder)
    parameters = sum(weights.numel() for weights in model.parameters())
    return {"parameters": parameters, "seconds": round(time.perf_counter() - began, 1)}


def prompts(load: Load) -> list[str]:
    """The example instructions, again and again under another number."""
    lines = (EXAMPLES / "instructions.jsonl").read_text("utf-8").splitlines()
    texts = [json.loads(line)["instruction"] for line in lines]
    return [f"{number}. {texts[number % len(texts)]}" for number in range(load.requests)]


def limits(load: Load, even: bool) -> list[int]:
    """Tokens of each answer: all alike, or an eighth to the whole of it, as answers are."""
    whole = load.tokens
    return [whole if even else max(1, whole * (1 + number * 5 % 8) // 8) for number in range(load.requests)]


def peak() -> float | None:
    """GiB of the GPU at most since the last call, None on a CPU."""
    import torch

    if not torch.cuda.is_available():
        return None
    most = torch.cuda.max_memory_allocated() / 2**30
    torch.cuda.reset_peak_memory_stats()
    return round(most, 2)


def measured(run: Callable[[list[int]], tuple[int, float]], load: Load) -> dict[str, Any]:
    """Tokens a second with even and with uneven limits (the median of the rounds), seconds to the first output."""
    made: dict[str, Any] = {}
    for name, even, rounds in (("even", True, load.rounds), ("uneven", False, 1)):
        rates, firsts = [], []
        for _ in range(rounds):
            began = time.perf_counter()
            tokens, first = run(limits(load, even))
            rates.append(tokens / (time.perf_counter() - began))
            firsts.append(first - began)
        made[name] = round(statistics.median(rates), 1)
        made[f"first {name}"] = round(statistics.median(firsts), 2)
        made[f"peak {name}"] = peak()
    return made


def run_bare(folder: Path, size: str, load: Load) -> dict[str, Any]:
    """The loop that anyone would write: batches of prompts near in length, each until its longest answer is over."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    began = time.perf_counter()
    words = AutoTokenizer.from_pretrained(folder, padding_side="left")
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").to(device()).eval()
    loaded = time.perf_counter() - began
    texts = [
        words.apply_chat_template([{"role": "user", "content": text}], tokenize=False, add_generation_prompt=True)
        for text in prompts(load)
    ]

    def run(most: list[int]) -> tuple[int, float]:
        order = sorted(range(len(texts)), key=lambda number: len(texts[number]))
        total, first = 0, None
        for start in range(0, len(order), load.batch):
            rows = order[start : start + load.batch]
            batch = words([texts[row] for row in rows], return_tensors="pt", padding=True, add_special_tokens=False)
            batch = {name: tensor.to(device()) for name, tensor in batch.items() if name != "token_type_ids"}
            with torch.inference_mode():
                out = model.generate(
                    **batch,
                    max_new_tokens=max(most[row] for row in rows),
                    do_sample=False,
                    pad_token_id=words.pad_token_id,
                )
            answers = out[:, batch["input_ids"].shape[1] :].tolist()
            for row, answer in zip(rows, answers, strict=True):
                ended = answer.index(words.eos_token_id) + 1 if words.eos_token_id in answer else len(answer)
                total += min(ended, most[row])
            words.batch_decode(out, skip_special_tokens=True)
            first = first or time.perf_counter()
        return total, first or 0.0

    run([2] * load.requests)
    peak()
    return {"load": round(loaded, 1), **measured(run, load)}


def run_backend(folder: Path, size: str, load: Load, batching: str) -> dict[str, Any]:
    """The same questions through the backend."""
    from simfarm.backends.transformers.backend import TransformersBackend
    from simfarm.data.exchange import Request

    backend = TransformersBackend(str(folder), {"batching": batching, "batch_size": load.batch, "device": device()})
    messages = [({"role": "user", "content": text},) for text in prompts(load)]
    loop = asyncio.new_event_loop()

    async def ask(most: list[int]) -> tuple[int, float]:
        first: list[float] = []

        async def one(number: int) -> int:
            limited = {"max_tokens": most[number]}
            completion = await backend.complete(Request(backend.model, messages[number], limited))
            first.append(time.perf_counter())
            return completion.output_tokens or 0

        return sum(await asyncio.gather(*map(one, range(load.requests)))), min(first)

    def run(most: list[int]) -> tuple[int, float]:
        return loop.run_until_complete(ask(most))

    began = time.perf_counter()
    loop.run_until_complete(backend.complete(Request(backend.model, messages[0], {"max_tokens": 1})))
    loaded = time.perf_counter() - began
    run([2] * load.requests)
    peak()
    made = {"load": round(loaded, 1), **measured(run, load)}
    loop.run_until_complete(backend.close())
    return made


def simfarm(*arguments: str) -> float:
    """One command; gives its seconds."""
    from simfarm.cli import main

    began = time.perf_counter()
    status = main(arguments)
    assert status == 0, f"exit status {status}"
    return time.perf_counter() - began


def local(folder: Path) -> list[str]:
    return [
        *["--model", f"transformers/{folder}", "--engine-arg", f"device={device()}", "--engine-arg", "dtype=auto"],
        *["--store", str(folder.with_suffix(".sqlite")), "--quiet"],
    ]


def run_judge(folder: Path, size: str, load: Load) -> dict[str, Any]:
    """Every pair of two example files in both orders; a rerun, from the store, takes the loading off."""
    out = folder.with_suffix(".jsonl")
    outputs = EXAMPLES / "outputs"
    ask = ["annotate", str(outputs / "restater.json"), "--baseline", str(outputs / "smollm2-135m-concise.json")]
    ask += ["--judge", "pairwise-logprob", "--limit", str(load.judged), "-o", str(out), *local(folder)]
    whole, again = simfarm(*ask), simfarm(*ask)
    rows = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    verdicts = sum(row["status"] == "verdict" for row in rows)
    tokens = sum(row["input_tokens"] or 0 for row in rows)
    took = {"seconds": round(whole, 1), "rerun": round(again, 2), "peak": peak()}
    return {"calls": len(rows), "verdicts": verdicts, "input tokens": tokens, **took}


def run_likelihoods(folder: Path, size: str, load: Load) -> dict[str, Any]:
    """Of one answer to each instruction, and how far from a sum over the bare model's log probabilities."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from simfarm.backends.transformers.backend import TransformersBackend

    rows = json.loads((EXAMPLES / "outputs" / "smollm2-135m-concise.json").read_text("utf-8"))[: load.judged]
    pairs = [(({"role": "user", "content": row["instruction"]},), row["output"]) for row in rows]

    async def score() -> tuple[list[float], float]:
        backend = TransformersBackend(str(folder), {"device": device(), "dtype": "auto"})
        await backend.log_likelihood(*pairs[0])
        began = time.perf_counter()
        sums = await asyncio.gather(*(backend.log_likelihood(*pair) for pair in pairs))
        seconds = time.perf_counter() - began
        await backend.close()
        return sums, seconds

    sums, seconds = asyncio.run(score())
    most = peak()
    gc.collect()
    words = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="auto").to(device()).eval()
    apart = []
    for (messages, text), found in zip(pairs, sums, strict=True):
        framed = words.apply_chat_template(list(messages), tokenize=False, add_generation_prompt=True)
        before = words(framed, add_special_tokens=False).input_ids
        after = words(text, add_special_tokens=False).input_ids
        with torch.inference_mode():
            logits = model(torch.tensor([before + after], device=device())).logits[0, len(before) - 1 : -1]
        chosen = torch.log_softmax(logits.double(), -1).gather(1, torch.tensor(after, device=logits.device)[:, None])
        apart.append(abs(float(chosen.sum()) - found) / len(after))
    return {
        "texts": len(pairs),
        "seconds": round(seconds, 2),
        "nats a token apart": float(f"{max(apart):.1g}"),
        "peak": most,
    }


def run_best_of_n(folder: Path, size: str, load: Load) -> dict[str, Any]:
    """Samples of the model, the likeliest of each four chosen by it."""
    samples, chosen = folder.with_suffix(".samples.jsonl"), folder.with_suffix(".chosen.jsonl")
    asked = ["--n", "4", "--temperature", "0.8", "--seed", "1", "--max-tokens", str(load.tokens)]
    prompts = ["--limit", str(load.judged // 2), "-o", str(samples), *local(folder)]
    made = simfarm("generate", str(EXAMPLES / "instructions.jsonl"), *asked, *prompts)
    by = ["--method", "best-of-n", "--by", "likelihood", "-o", str(chosen), *local(folder)]
    took = simfarm("select", str(samples), *by)
    counts = [len(path.read_text("utf-8").splitlines()) for path in (samples, chosen)]
    return {"samples": counts[0], "chosen": counts[1], "generate": round(made, 1), "select": round(took, 1)}


def run_memory(folder: Path, size: str, load: Load) -> dict[str, Any]:
    """What is said where the weights do not fit; a batch that does not, in halves; a call that does not fit alone."""
    import torch

    if not torch.cuda.is_available():
        raise SystemExit("no GPU, whose memory alone can be cut")
    from simfarm.backends.transformers.backend import TransformersBackend
    from simfarm.data.exchange import Request

    total = torch.cuda.get_device_properties(0).total_memory
    weights = sum(path.stat().st_size for path in folder.glob("*.safetensors"))

    def ask(room: float, words: Sequence[int]) -> list[Any]:
        """The answers to prompts of so many words with `room` bytes beside the weights."""
        torch.cuda.set_per_process_memory_fraction(min(1.0, (weights + room) / total))

        async def run() -> list[Any]:
            backend = TransformersBackend(str(folder), {"batching": "padded", "batch_size": 64, "device": "cuda"})
            requests = [
                Request(backend.model, ({"role": "user", "content": "fox " * count},), {"max_tokens": 4})
                for count in words
            ]
            try:
                return await asyncio.gather(*map(backend.complete, requests), return_exceptions=True)
            finally:
                await backend.close()

        return asyncio.run(run())

    def lines(answers: list[Any]) -> list[str]:
        told = sorted({f"{type(a).__name__}: {a}" for a in answers if isinstance(a, Exception)})
        assert all("\n" not in line for line in told), told
        return [line.replace(str(folder), "FOLDER") for line in told]

    none = ask(-weights / 2, [5])
    halves = ask(2 * 2**30, [1500] * 64)
    alone = ask(150 * 2**20, [5, 3500])
    return {
        "weights do not fit": lines(none),
        "64 long prompts in 2 GiB": [f"{sum(not isinstance(a, Exception) for a in halves)} answered", *lines(halves)],
        "one prompt too long": [f"{sum(not isinstance(a, Exception) for a in alone)} of 2 answered", *lines(alone)],
    }


def run_vllm(folder: Path, size: str, load: Load) -> dict[str, Any]:
    """`vllm_throughput.py` on the same weights."""
    try:
        version("vllm")
    except PackageNotFoundError:
        raise SystemExit("vllm is not installed") from None
    script = ["vllm_throughput.py", str(folder), "--dtype", "bfloat16" if device() == "cuda" else "float32"]
    script += ["--max-tokens", str(load.tokens), "--rounds", "1", "--memory", "0.4"]
    done = subprocess.run(
        [sys.executable, *script], cwd=ROOT / "benchmarks", capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit((done.stderr.strip().splitlines() or ["failed"])[-1])
    return {"lines": done.stdout.strip().splitlines()}


RUNS: dict[str, Callable[[Path, str, Load], dict[str, Any]]] = {
    "weights": make_weights,
    "bare": run_bare,
    "padded": lambda *given: run_backend(*given, "padded"),
    "continuous": lambda *given: run_backend(*given, "continuous"),
    "judge": run_judge,
    "likelihoods": run_likelihoods,
    "best-of-n": run_best_of_n,
    "memory": run_memory,
    "vllm": run_vllm,
}


def run_part(name: str, folder: Path, size: str, load: Load) -> None:
    """In a process of its own: prints what it found, or why there is nothing."""
    from simfarm.errors import SimfarmError

    try:
        print(json.dumps(RUNS[name](folder, size, load)))
    except (SimfarmError, ModuleNotFoundError, AssertionError) as error:
        raise SystemExit(f"{type(error).__name__}: {error}".splitlines()[0]) from None


# --- the whole ----------------------------------------------------------------------------------------------------


class Run:
    """The parts in their order, within the minutes there are; `found` and `left_out` hold (size, part)."""

    def __init__(self, minutes: float, load: str) -> None:
        self.ends = time.monotonic() + 60 * minutes
        self.load = load
        self.found: dict[tuple[str, str], dict[str, Any]] = {}
        self.left_out: dict[tuple[str, str], str] = {}

    def part(self, name: str, most: int, size: str, folder: Path) -> None:
        left = self.ends - time.monotonic()
        if name != "weights" and (size, "weights") not in self.found:
            self.left_out[size, name] = "no weights"
            return
        if left < most / 3:
            self.left_out[size, name] = "no time left"
            return
        command = [sys.executable, __file__, "--part", name, "--size", size, "--folder", str(folder)]
        limit = min(most, left)
        try:
            done = subprocess.run(
                [*command, "--load", self.load], capture_output=True, text=True, timeout=limit, check=False
            )
        except subprocess.TimeoutExpired:
            self.left_out[size, name] = f"not over after {limit:.0f} s"
            return
        if done.returncode == 0:
            self.found[size, name] = json.loads(done.stdout.splitlines()[-1])
        else:
            self.left_out[size, name] = " / ".join(done.stderr.strip().splitlines()[-2:])[-300:] or "no word of why"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """A folder for weights, in memory where there is room: a disk would be most of what is measured."""
    shared = Path("/dev/shm")
    roomy = shared.is_dir() and os.access(shared, os.W_OK) and shutil.disk_usage(shared).free > 40 * 2**30
    with tempfile.TemporaryDirectory(dir=shared if roomy else None) as folder:
        yield Path(folder)


def machine() -> list[str]:
    """What was measured on."""
    import torch

    if torch.cuda.is_available():
        known = torch.cuda.get_device_properties(0)
        gpu = f"{known.name}, {known.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
    else:
        gpu = f"no GPU; {platform.processor() or platform.machine()}, {os.cpu_count()} cores"
    named = []
    for package in ("torch", "transformers", "tokenizers", "flash-attn", "kernels", "vllm"):
        with contextlib.suppress(PackageNotFoundError):
            named.append(f"{package} {version(package)}")
    return [f"{gpu}.", f"Python {platform.python_version()}, {', '.join(named)}."]


def speeds(run: Run, sizes: Sequence[str]) -> list[str]:
    """The table of the ways to generate."""
    lines = [
        "| model | way | even: tokens/s | ratio | first | uneven: tokens/s | ratio | first | peak | loading |",
        "|---|---|---|---|---|---|---|---|---|---|",
    ]
    for size in sizes:
        bare = run.found.get((size, "bare"))
        for name in ("bare", "padded", "continuous"):
            row = run.found.get((size, name))
            if row is None:
                continue
            cells = [size, name]
            for kind in ("even", "uneven"):
                ratio = f"{row[kind] / bare[kind]:.3f}" if bare else "–"
                cells += [f"{row[kind]:,}", ratio, f"{row[f'first {kind}']} s"]
            tops = [row[f"peak {kind}"] for kind in ("even", "uneven") if row[f"peak {kind}"] is not None]
            cells += [f"{max(tops)} GiB" if tops else "–", f"{row['load']} s"]
            lines.append(f"| {' | '.join(cells)} |")
    return lines


def report(run: Run, sizes: Sequence[str], load: Load, command: str) -> str:
    """The page."""
    lines = [f"# A model on one GPU, {datetime.now(UTC).date()}", "", *machine(), "", f"`{command}`: random weights, "]
    lines[-1] += (
        f"{load.requests} requests, {load.tokens} tokens an answer (uneven: an eighth to the whole), greedy, batches "
        f"of {load.batch}. `bare` is a loop over `generate` with the same model and batches, `first` its first batch "
        "or our first output, `peak` the GPU's memory (continuous batching takes most of what is free)."
    )
    lines += ["", *speeds(run, sizes), ""]
    told = {name: what for name, _, what in (*PARTS, *ONCE)}
    for (size, name), found in run.found.items():
        if name in ("bare", "padded", "continuous"):
            continue
        if "lines" in found:
            lines += [f"**{size}, {told[name]}**", "", "```text", *found["lines"], "```", ""]
        elif name == "memory":
            lines += [f"**{size}, {told[name]}**", ""]
            lines += [f"- {what}: {'; '.join(said) or 'nothing'}" for what, said in found.items()] + [""]
        else:
            values = ", ".join(f"{key} {value:,}" for key, value in found.items() if value is not None)
            lines += [f"**{size}, {told[name]}**: {values}", ""]
    if run.left_out:
        lines += ["Left out:", ""]
        lines += [f"- {size}, {told[name]}: {why}" for (size, name), why in run.left_out.items()] + [""]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--wheels", metavar="FOLDER", help="wheels to install first, without asking an index")
    parser.add_argument("--quick", action="store_true", help="the smaller model and a quarter of the requests")
    parser.add_argument("--tiny", action="store_true", help="a model of no size: whether the script runs")
    parser.add_argument("--minutes", type=float, default=8.0, help="the most it may take")
    parser.add_argument("-o", "--output", metavar="FILE", help="(default: benchmarks/results/DATE-gpu.md)")
    for name in ("part", "size", "folder", "load"):
        parser.add_argument(f"--{name}", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.part:
        run_part(given.part, Path(given.folder), given.size, LOADS[given.load])
        return
    if given.wheels:
        wheels = sorted(map(str, Path(given.wheels).glob("*.whl")))
        if not wheels:
            parser.error(f"{given.wheels} holds no wheel; leave --wheels out")
        install = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", *wheels]
        subprocess.run(install, check=True, stdout=sys.stderr)
    sizes = ["tiny"] if given.tiny else ["0.5B"] if given.quick else ["0.5B", "7B"]
    run = Run(given.minutes, "tiny" if given.tiny else "quick" if given.quick else "whole")
    memory, vllm = ONCE
    smaller, *larger = sizes
    todo = [*((smaller, part) for part in (*PARTS, memory)), *((size, part) for size in larger for part in PARTS)]
    with scratch() as folder:
        for size, (name, most, _) in [*todo, (smaller, vllm)]:
            run.part(name, most, size, folder / size)
            print(size, name, run.found.get((size, name)) or run.left_out[size, name], file=sys.stderr, flush=True)
    command = " ".join(["python benchmarks/gpu.py", *(f"--{n}" for n in ("quick", "tiny") if getattr(given, n))])
    page = report(run, sizes, LOADS[run.load], command)
    target = Path(given.output or ROOT / "benchmarks" / "results" / f"{datetime.now(UTC).date()}-gpu.md")
    target.write_text(page, "utf-8")
    print(page)
    if run.left_out.keys() & {(size, "weights") for size in sizes}:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
