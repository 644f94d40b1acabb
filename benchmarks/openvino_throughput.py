"""Tokens a second of `simfarm generate`'s run on the openvino backend against the bare engine on the same prompts.

    python benchmarks/openvino_throughput.py [MODEL] [--limit N] [--tokens T] [--concurrency C] [--rounds R]

MODEL is `embedded` (default) or a GGUF file or folder. Both sides run in one process, in turn, greedy, with the same
weights. Bare is openvino-genai's ContinuousBatchingPipeline as its documentation uses it: all prompts framed, encoded
and given to `generate` at once; nothing is kept. The farm is `GenerationRun` with a store on disk: requests, hashes,
commits, outputs in order. Printed are tokens a second of wall time and of processor time (the fairer one beside other
work), the medians of the rounds; what the farm adds to an output; the time to the first committed output; what a rerun
costs, all of whose answers are in the store; and the process's peak memory with both engines loaded.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import openvino_genai as genai

from simfarm.backends import local_spec, open_model
from simfarm.backends.base import Scorer
from simfarm.data.inputs import instructions_for
from simfarm.data.records import Instruction
from simfarm.data.sampling import Sampling
from simfarm.runs.generation import GenerationRun
from simfarm.runs.options import RunOptions

PROMPTS = Path(__file__).parents[1] / "examples" / "instructions.jsonl"


def bare(pipeline: Any, instructions: list[Instruction], tokens: int) -> int:
    """Every prompt at once; gives the tokens made."""
    tokenizer = pipeline.get_tokenizer()
    config = genai.GenerationConfig(max_new_tokens=tokens, do_sample=False)
    config.set_eos_token_id(tokenizer.get_eos_token_id())
    prompts = []
    for asked in instructions:
        chat = [{"role": "user", "content": asked.instruction}]
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True)
        prompts.append(tokenizer.encode(text, add_special_tokens=False).input_ids)
    results = pipeline.generate(prompts, [config] * len(prompts))
    texts = [tokenizer.decode(list(result.m_generation_ids[0])) for result in results]
    assert len(texts) == len(instructions)
    return sum(len(result.m_generation_ids[0]) for result in results)


def farm(
    model: Scorer, instructions: list[Instruction], tokens: int, concurrency: int | None, store: Path
) -> tuple[int, float]:
    """(tokens made, seconds to the first committed output)."""
    run = GenerationRun.open(model, Sampling(max_tokens=tokens), RunOptions(store=store, concurrency=concurrency))
    begun = time.perf_counter()
    first = 0.0
    for output in run.results(instructions):
        first = first or time.perf_counter() - begun
        assert output.output is not None
    return run.tallies.stats.output_tokens, first


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", default="embedded")
    parser.add_argument("--limit", type=int, default=60)
    parser.add_argument("--tokens", type=int, default=128)
    parser.add_argument("--concurrency", type=int)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    instructions = instructions_for([PROMPTS], options.limit)
    spec = local_spec(options.model) or options.model
    model = open_model(spec)
    pipeline = genai.ContinuousBatchingPipeline(spec.partition("/")[2], genai.SchedulerConfig(), "CPU")
    with tempfile.TemporaryDirectory() as folder:
        bare(pipeline, instructions[:2], 4)
        farm(model, instructions[:2], 4, None, Path(folder) / "warm.sqlite")
        rates: dict[str, list[tuple[float, float, float]]] = {"bare": [], "farm": []}
        firsts = []
        for number in range(options.rounds):
            store = Path(folder) / f"{number}.sqlite"
            for side in ("bare", "farm") if number % 2 else ("farm", "bare"):
                wall, processor = time.perf_counter(), time.process_time()
                if side == "bare":
                    made = bare(pipeline, instructions, options.tokens)
                else:
                    made, first = farm(model, instructions, options.tokens, options.concurrency, store)
                    firsts.append(first)
                wall, processor = time.perf_counter() - wall, time.process_time() - processor
                rates[side].append((made / wall, made / processor, wall))
                print(f"{number} {side}: {made} tokens, {made / wall:.1f}/s wall, {made / processor:.1f}/s processor")
        again = time.perf_counter()
        farm(model, instructions, options.tokens, options.concurrency, store)
        again = time.perf_counter() - again
    asyncio.run(model.close())
    median = {side: [statistics.median(column) for column in zip(*rows, strict=True)] for side, rows in rates.items()}
    for position, what in enumerate(("wall", "processor")):
        ratio = median["farm"][position] / median["bare"][position]
        told = f"farm {median['farm'][position]:.1f}, bare {median['bare'][position]:.1f}"
        print(f"tokens a second of {what} time: {told}, ratio {ratio:.3f}")
    added, again = ((median["farm"][2] - median["bare"][2]) / options.limit * 1000, again / options.limit * 1000)
    print(f"added to an output: {added:.2f} ms of wall time; a rerun from the store: {again:.2f} ms")
    print(f"first committed output after {statistics.median(firsts):.2f} s")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB (both engines)")


if __name__ == "__main__":
    main()
