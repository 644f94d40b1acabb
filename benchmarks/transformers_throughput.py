"""Tokens a second of the transformers backend against a bare padded `model.generate` loop on the same prompts.

    python benchmarks/transformers_throughput.py MODEL-FOLDER [--limit N] [--batch-size B] [--tokens T] [--rounds R]

Both run in one process, in turn, with the same weights in float32, the same batch size and both greedy and sampled
(temperature 0.8, top_p 0.95); the bare loop sorts its prompts by length. Prints tokens a second of wall time and of
processor time (the fairer one on a machine with other work), the median of the rounds.
"""

import argparse
import asyncio
import json
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
import transformers

from simfarm.backends.transformers.backend import TransformersBackend
from simfarm.data.exchange import Request

PROMPTS = Path(__file__).parents[1] / "examples" / "instructions.jsonl"
SAMPLED = {"temperature": 0.8, "top_p": 0.95}


def timed(run: Callable[[], int]) -> tuple[float, float]:
    """Tokens a second of wall time and of processor time."""
    wall, processor = time.perf_counter(), time.process_time()
    tokens = run()
    return tokens / (time.perf_counter() - wall), tokens / (time.process_time() - processor)


def bare(model: Any, tokenizer: Any, texts: list[str], sizes: tuple[int, int], sampled: bool) -> int:
    """The loop that anyone would write; `sizes` are rows of a batch and tokens of an answer. Gives the tokens made, up
    to each end token."""
    size, limit = sizes
    options = {"do_sample": True, "top_k": 0, **SAMPLED} if sampled else {"do_sample": False}
    total = 0
    for start in range(0, len(texts), size):
        batch = tokenizer(texts[start : start + size], return_tensors="pt", padding=True, add_special_tokens=False)
        with torch.inference_mode():
            out = model.generate(**batch, max_new_tokens=limit, pad_token_id=tokenizer.eos_token_id, **options)
        for row in out[:, batch["input_ids"].shape[1] :].tolist():
            total += row.index(tokenizer.eos_token_id) + 1 if tokenizer.eos_token_id in row else len(row)
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--limit", type=int, default=16)
    parser.add_argument("--batch-size", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    rows = [json.loads(line) for line in PROMPTS.read_text().splitlines()][: arguments.limit]
    messages = [({"role": "user", "content": row["instruction"]},) for row in rows]
    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.folder, padding_side="left")
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.folder, dtype=torch.float32).eval()
    texts = [tokenizer.apply_chat_template(list(m), tokenize=False, add_generation_prompt=True) for m in messages]
    texts.sort(key=len)
    sizes = (arguments.batch_size, arguments.tokens)
    backend = TransformersBackend(arguments.folder, {"device": "cpu", "batch_size": arguments.batch_size})
    loop = asyncio.new_event_loop()

    def farmed(sampled: bool) -> int:
        sampling = {"max_tokens": arguments.tokens, **(SAMPLED if sampled else {})}

        async def run() -> int:
            requests = [Request(backend.model, m, {**sampling, "seed": i}) for i, m in enumerate(messages)]
            return sum(a.output_tokens or 0 for a in await asyncio.gather(*map(backend.complete, requests)))

        return loop.run_until_complete(run())

    loop.run_until_complete(backend.complete(Request(backend.model, messages[0], {"max_tokens": 2})))
    for sampled in (False, True):
        rates: dict[str, list[tuple[float, float]]] = {"simfarm": [], "bare loop": []}
        for _ in range(arguments.rounds):
            rates["simfarm"].append(timed(partial(farmed, sampled)))
            rates["bare loop"].append(timed(partial(bare, model, tokenizer, texts, sizes, sampled)))
        middle = {
            name: [statistics.median(column) for column in zip(*pairs, strict=True)] for name, pairs in rates.items()
        }
        kind = "sampled" if sampled else "greedy"
        for name, (wall, processor) in middle.items():
            print(f"{kind:8} {name:10} {wall:8.1f} tokens/s {processor:8.1f} tokens per processor second")
        ratios = [a / b for a, b in zip(middle["simfarm"], middle["bare loop"], strict=True)]
        print(f"{kind:8} {'ratio':10} {ratios[0]:8.3f}          {ratios[1]:8.3f}")
    loop.run_until_complete(backend.close())


if __name__ == "__main__":
    main()
