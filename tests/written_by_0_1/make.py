"""Makes the files of this folder, with the simfarm that is installed: run here once, with 0.1 (see README.md).

PYTHONPATH=CHECKOUT_OF_0.1:tests python tests/written_by_0_1/make.py
"""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

from loopback import Call, Loopback
from tiny_model import build_tiny_model

from simfarm.cli import main

HERE = Path(__file__).parent
EXAMPLES = HERE.parents[1] / "examples" / "outputs"
PROMPTS = HERE.parents[1] / "prompts"
PORT = 48123
SERVER = ["--model", "openai/judge-model", "--base-url", f"http://127.0.0.1:{PORT}/v1", "--store", "store.db"]
INPUT = ["annotate", "restater.json", "--baseline", "baseline.json"]
MADE = ("*.json", "*.jsonl", "*.csv", "*.parquet", "*.zst", "*.gz", "*.db")


def inputs() -> None:
    """Eight instructions of the examples, answered twice; two judges as they were; prompts for a model of no use."""
    for name, source in (("baseline", "smollm2-135m-concise"), ("restater", "restater")):
        rows = json.loads((EXAMPLES / f"{source}.json").read_text("utf-8"))[:8]
        Path(f"{name}.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", "utf-8")
    for judge in ("pairwise-letter", "pairwise-logprob"):
        shutil.copytree(PROMPTS / judge, Path("judges") / judge)
    lines = [
        {"instruction_id": "q1", "instruction": "Why is the sea salt?", "weight": 0.5},
        {"instruction_id": "q2", "instruction": "Name three rivers.", "weight": 1.5},
        {
            "instruction_id": "q3",
            "messages": [
                {"role": "user", "content": "Hello."},
                {"role": "assistant", "content": "Good day."},
                {"role": "user", "content": "What did I say?"},
            ],
        },
    ]
    Path("prompts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    build_tiny_model(Path("model"), width=8)


def rubbish(call: Call) -> str:
    """A fault: an answer that holds no verdict."""
    choice = {"index": 0, "message": {"role": "assistant", "content": "It depends."}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}
    made = {"id": "x", "object": "chat.completion", "created": 0, "model": call.body["model"], "choices": [choice]}
    return "json:" + json.dumps({**made, "usage": usage})


def simfarm(*arguments: str, status: int = 0) -> None:
    """One command, which must end as it should."""
    print("simfarm", *arguments, flush=True)
    ended = main(arguments)
    assert ended == status, ended


def verdicts(server: Loopback) -> None:
    """Of one instruction every answer is rubbish, of another the first two: the one's stay without a verdict after
    three runs, the other's are repaired."""
    letter = [*INPUT, "--judge", "judges/pairwise-letter", *SERVER]
    rows = json.loads(Path("restater.json").read_text("utf-8"))
    hopeless, mended = rows[2]["instruction"], rows[5]["instruction"]
    for spoilt in ([hopeless, mended], [hopeless, mended], [hopeless]):
        server.plan.refuse = lambda call, spoilt=spoilt: (
            rubbish(call) if any(text in call.prompt for text in spoilt) else None
        )
        simfarm(*letter, "-o", "annotations.jsonl", status=4)
    server.plan.refuse = lambda call: "500"
    for suffix in ("csv", "parquet", "jsonl.zst"):
        simfarm(*letter, "-o", f"annotations.{suffix}", status=4)


def make() -> None:
    """Everything, in order."""
    os.chdir(HERE)
    os.environ |= {"OPENAI_API_KEY": "sk-loopback", "COLUMNS": "100"}
    for folder in ("judges", "model", "cluster"):
        shutil.rmtree(folder, ignore_errors=True)
    for old in (path for pattern in MADE for path in HERE.glob(pattern)):
        old.unlink()
    inputs()
    logprob = ["--judge", "judges/pairwise-logprob", *SERVER]
    with Loopback(port=PORT) as server:
        verdicts(server)
        server.plan.refuse = lambda call: None
        simfarm(*INPUT, *logprob, "--repeats", "2", "-o", "repeats.jsonl.gz")
        simfarm(*INPUT, *logprob, "--engine", "ray", "--partition-rows", "3", "--workers", "1", "-o", "cluster")
    simfarm("evaluate", "annotations.jsonl", "--add-to", "board.csv")
    tiny = ["--model", "transformers/model", "--engine-arg", "device=cpu", "--store", "store.db"]
    simfarm(
        *["generate", "prompts.jsonl", *tiny, "--n", "3", "--max-tokens", "12", "--seed", "1", "--generator", "tiny"],
        *["--system", "Be brief.", "-o", "samples.jsonl"],
    )
    simfarm("select", "samples.jsonl", "--method", "best-of-n", "--by", "likelihood", *tiny, "-o", "chosen.jsonl")


if __name__ == "__main__":
    make()
