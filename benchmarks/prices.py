"""What simfarm and litellm make of the answers whose cost a provider's own page gives.

    python benchmarks/prices.py [--litellm PYTHON]

Each line is one bill of tests/billing.py: the page's arithmetic, simfarm's price for the same answer and their ratio,
and what litellm's `completion_cost` makes of the same `usage`. litellm runs in an environment of its own, whose
interpreter `--litellm` names. Nothing is asked of anybody. DeepSeek's prices are of this hour, its bill the off-peak
one.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from billing import BILLS, Bill

from simfarm.backends.http.answers import usage_fields
from simfarm.data.exchange import Completion
from simfarm.engine.prices import Tariff, price_table

RIVAL = """
import json, os, sys
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
import litellm
from importlib.metadata import version
from litellm.llms.anthropic.chat.transformation import AnthropicConfig
from litellm.types.utils import ModelResponse, Usage

made = [version("litellm")]
for model, usage in json.load(sys.stdin):
    try:
        if "input_tokens" in usage:
            read = AnthropicConfig().calculate_usage(usage_object=usage, reasoning_content=None)
        else:
            read = Usage(**usage)
        made.append(litellm.completion_cost(completion_response=ModelResponse(model=model, usage=read), model=model))
    except Exception as error:
        made.append(type(error).__name__)
print(json.dumps(made))
"""


def of_simfarm(bill: Bill) -> float | None:
    done = Completion("m", model=bill.model, **usage_fields({"usage": bill.usage}))
    return Tariff(bill.backend, bill.base_url).paid(done)


def of_litellm(python: str | None) -> list[Any]:
    """litellm's version, then its price (US dollars, or the error's name) for each bill; nothing without it."""
    if python is None:
        return ["not run", *[None] * len(BILLS)]
    asked = [(bill.rival or bill.model, bill.usage) for bill in BILLS]
    done = subprocess.run(
        [python, "-c", RIVAL], input=json.dumps(asked), capture_output=True, text=True, check=True, timeout=300
    )
    made: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return made


def cell(dollars: Any, due: float) -> str:
    if dollars is None or isinstance(dollars, str):
        return dollars or "-"
    return f"${dollars:.7f} ({dollars / due:.4f})"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--litellm", metavar="PYTHON", help="an interpreter that has litellm")
    rival, *theirs = of_litellm(parser.parse_args().litellm)
    print(f"simfarm's prices: {price_table()}; litellm {rival}. In brackets: over the provider's own.\n")
    print("| model | answer | the provider's arithmetic | simfarm | litellm |\n|---|---|---|---|---|")
    ratios = []
    for bill, other in zip(BILLS, theirs, strict=True):
        ours = of_simfarm(bill)
        ratios.append((ours or 0.0) / bill.dollars)
        mine, peer = cell(ours, bill.dollars), cell(other, bill.dollars)
        print(f"| {bill.model} | {bill.name} | ${bill.dollars:.7f} | {mine} | {peer} |")
    print(f"\nsimfarm over the provider: {min(ratios):.4f} to {max(ratios):.4f} over {len(BILLS)} answers")


if __name__ == "__main__":
    main()
