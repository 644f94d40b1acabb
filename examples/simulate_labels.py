"""Labels by five simulated people on the example outputs: no human feedback, and said to be none in every row.

python simulate_labels.py OUTPUTS BASELINE LABELS

Thirty of the sixty instructions, drawn at random, are labelled, each comparison by two of the five. A person prefers an
output by what its model is worth on this instruction (planted below) and by its length, of which each has a taste of
their own, and is sometimes careless. A judge's card on these labels shows how a card is read, nothing about a judge.
"""

import math
import sys
from itertools import combinations
from pathlib import Path

import numpy as np

from simfarm import write
from simfarm.data.inputs import comparisons_for

QUALITY = {"qwen2.5-coder-1.5b": 1.2, "smollm2-135m-concise": 0.1, "smollm2-135m-verbose": -0.2, "restater": -2.5}
PEOPLE = 5

rng = np.random.default_rng(2026)
taste = rng.normal(0.4, 0.4, PEOPLE)
careless = rng.uniform(0.02, 0.1, PEOPLE)
couples = list(combinations(range(PEOPLE), 2))

folder, baseline, target = sys.argv[1:]
files = [str(path) for path in sorted(Path(folder).glob("*.json"))]
pairs = comparisons_for(files, baseline)
asked = sorted({pair.instruction for pair in pairs})
labelled = {asked[place] for place in rng.permutation(len(asked))[:30]}
rows = []
for number, pair in enumerate(pair for pair in pairs if pair.instruction in labelled):
    worth = QUALITY[pair.generator_2] + rng.normal(0, 0.8)
    longer = math.tanh((len(pair.output_2) - len(pair.output_1)) / 600)
    for person in couples[number % len(couples)]:
        likes = 1 / (1 + math.exp(-worth - taste[person] * longer))
        chosen = rng.random() < (1 - careless[person]) * likes + careless[person] / 2
        rows.append(
            {
                "instruction_id": pair.instruction_id,
                "dataset": pair.dataset,
                "instruction": pair.instruction,
                "generator_1": pair.generator_1,
                "generator_2": pair.generator_2,
                "length_1": len(pair.output_1),
                "length_2": len(pair.output_2),
                "category": pair.extra["category"],
                "annotator": f"simulated-{person + 1}",
                "preference": 2 if chosen else 1,
            }
        )
write(target, rows)
