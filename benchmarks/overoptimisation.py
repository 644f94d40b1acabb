"""Does noise in the labels matter? Best of n by a proxy fitted on labels, on AlpacaEval 2's recorded verdicts.

    python benchmarks/overoptimisation.py --data ../shared/data/alpaca_eval_2 --replicates 100 -o overoptimisation.md

Half of the 805 instructions give labelled pairs (two models' outputs to one instruction), the other half the outputs
from which the best of n is chosen, pooled over instructions and models. The truth is the recorded judge: logit of its
preference over the baseline. Labels are the judge's own (*noise-free*: which output stands higher), the same with one
in four turned round (*flipped*), or a *crowd's*: calibrated on AlpacaFarm's people, it follows the judge where eight
runs of it agree and prefers what is longer. The proxy is a ridge logistic regression (normal prior of precision 1 on
standardised differences). A score is the share of the other outputs to the same instruction that are worse, or of the
whole pool; what the proxy promises is the chance that the labeller prefers its choice to an output of the pool.

Three sets of features, since the texts of most models are not at hand:
  lengths   31 models, seven functions of the lengths of the output and the baseline's
  texts     the 7 models with texts, 19 surface features and properties
  words     the same and 256 hashed words, so that there are more weights than some labels can tell

The recorded judge names the longer of two outputs in 69 % of the pairs, as the crowd does: against such a truth a taste
for length is hardly a mistake. So lengths and texts come again with a truth from which length is taken out.
"""

from __future__ import annotations

import argparse
import json
import re
import time
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit

import simfarm
from simfarm.judges.surface import features
from simfarm.selection.curve import Curve, best_of_n_curve
from simfarm.statistics.crowd import CrowdParameters, crowd_probability, unanimity
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes
from simfarm.statistics.ridge import ridge_logistic
from simfarm.text.properties import PROPERTIES, copied, measures

ROOT = Path(__file__).parents[1]
CROWD = CrowdParameters(scale=245.6, judge=1.04, length=0.75, length_sd=0.54, position_sd=0.18)
RUNS, PERSONS, FLIP, WORDS = 8, 16, 0.25, 256
LABELS = (200, 1000, 4000)
KINDS = ("noise-free", "flipped", "crowd")
SIZES = [2**k for k in range(13)]
COLUMNS = (
    *("labels", "kind", "n = 1", "16", "256", "last n", "promised there", "peak at", "last − peak"),
    *("pool: peak → last", "− noise-free, last n"),
)
LEFT_OUT = ("NullModel", "gpt4_1106_preview")
"""One constant string written to fool the judge, and the baseline itself."""


@dataclass(frozen=True)
class World:
    """Outputs, sorted by instruction: features, the truth in logits, characters, and the instruction (codes from 0)."""

    x: Array
    gold: Array
    length: Array
    instruction: Codes

    @property
    def within(self) -> Array:
        """The share of the other outputs to the same instruction that are worse."""
        ranked = pd.Series(self.gold).groupby(self.instruction).rank()
        count = pd.Series(self.gold).groupby(self.instruction).transform("size")
        return ((ranked - 1) / (count - 1)).to_numpy()


def lengths(data: Path) -> World:
    """Of all models but those left out, by length alone."""
    rows = pd.read_parquet(data / "preferences.parquet")
    rows = rows[~rows["generator_2"].isin(LEFT_OUT)].sort_values("instruction_id", kind="stable")
    own, other = (rows[f"length_{side}"].to_numpy(float) for side in (2, 1))
    long, ratio, more = np.log1p(own), np.log((own + 1) / (other + 1)), (own - other) / 1000
    x = np.column_stack([long, long**2, ratio, ratio**2, np.tanh(more), more, own])
    return World(x, _gold(rows["preference"].to_numpy(float)), own, rows["instruction_id"].to_numpy(np.int64))


def texts(data: Path) -> World:
    """Of the models whose outputs are at hand: what `surface` and `text.properties` see, then hashed words."""
    asked = [json.loads(line)["instruction"] for line in (data / "instructions.jsonl").open(encoding="utf-8")]
    rows = [
        (int(row["instruction_id"]), str(row["output_2"]), float(row["preference"]))
        for path in sorted((data / "annotations").glob("*.zst"))
        if path.name.partition(".annotations")[0] not in LEFT_OUT
        for row in simfarm.read(path)
        if row["preference"] not in (None, "")
    ]
    rows.sort(key=lambda row: row[0])
    made = []
    for number, text, _ in rows:
        shown = [*measures(text, PROPERTIES[1:-1]), copied(text, asked[number])]
        words = np.zeros(WORDS)
        for word in set(re.findall(r"\w+", text.lower())):
            words[zlib.crc32(word.encode()) % WORDS] += 1
        counted = np.sign(shown) * np.log1p(np.abs(shown))
        made.append(np.concatenate([features(asked[number], text), counted, np.log1p(words)]))
    numbers, answers, preferences = zip(*rows, strict=True)
    long = np.array([len(one) for one in answers], dtype=np.float64)
    return World(np.array(made), _gold(np.array(preferences)), long, np.array(numbers))


def _gold(preference: Array) -> Array:
    gold: Array = logit(np.clip(preference - 1, 1e-6, 1 - 1e-6))
    return gold


def equal_length(world: World) -> World:
    """The same with a truth that length, within an instruction, does not foretell (by least squares)."""
    groups = pd.Series(world.length).groupby(world.instruction)
    more = world.length - groups.transform("mean").to_numpy()
    x = np.tanh(more / more.std())
    gold = world.gold - pd.Series(world.gold).groupby(world.instruction).transform("mean").to_numpy()
    x -= pd.Series(x).groupby(world.instruction).transform("mean").to_numpy()
    return replace(world, gold=world.gold - (x @ gold) / (x @ x) * x)


def pairs(random: np.random.Generator, instruction: Codes, n: int) -> tuple[Codes, Codes]:
    """n pairs of two outputs to one instruction, the instruction drawn first; `instruction` is sorted."""
    _, start, count = np.unique(instruction, return_index=True, return_counts=True)
    at = random.integers(len(start), size=n)
    first = random.integers(count[at])
    second = (first + 1 + random.integers(count[at] - 1)) % count[at]
    return start[at] + first, start[at] + second


def labelled(random: np.random.Generator, gold: Array, longer: Array) -> dict[str, Array]:
    """Labels of pairs by kind; `gold` and `longer` are the second output's less the first's."""
    free = (gold > 0) * 1.0
    runs = (random.random((RUNS, len(gold))) < expit(gold)) * 1.0
    own, place = random.standard_normal((2, PERSONS))
    who = random.integers(PERSONS, size=len(gold))
    p = crowd_probability(CROWD, unanimity(runs), longer, person_length=own[who], person_position=place[who])
    flip = random.random(len(gold)) < FLIP
    drawn = (random.random(len(gold)) < p) * 1.0
    return dict(zip(KINDS, (free, np.where(flip, 1 - free, free), drawn), strict=True))


def promised(score: Array) -> Array:
    """The chance that the labeller prefers each output to one of the pool, as the proxy sees it."""
    others = np.quantile(score, np.linspace(0, 1, 101))
    chance: Array = expit(score[:, None] - others).mean(axis=1)
    return chance


def replicate(world: World, n: int, random: np.random.Generator) -> Iterator[tuple[str, Array, Array, Array]]:
    """(kind of label, promised, share worse within the instruction, in the pool) of one draw of n labels."""
    ids = random.permutation(np.unique(world.instruction))
    chosen = np.isin(world.instruction, ids[: len(ids) // 2])
    x, gold, length = world.x[chosen], world.gold[chosen], world.length[chosen]
    first, second = pairs(random, world.instruction[chosen], n)
    seen = x[second] - x[first]
    scale = np.sqrt((seen**2).mean(axis=0))
    used = scale > 0
    pool = world.gold[~chosen]
    in_pool = (pd.Series(pool).rank().to_numpy() - 1) / (len(pool) - 1)
    for kind, label in labelled(random, gold[second] - gold[first], length[second] - length[first]).items():
        weights = ridge_logistic(seen[:, used] / scale[used], label, 1.0)
        score = world.x[~chosen][:, used] / scale[used] @ weights
        yield kind, promised(score), world.within[~chosen], in_pool


def curves(world: World, n: int, replicates: int, seed: int) -> dict[str, tuple[Curve, Curve]]:
    """Best-of-n curves by kind of label, (within the instruction, in the pool); their unit is the draw of labels."""
    found: dict[str, list[tuple[Array, Array, Array]]] = {kind: [] for kind in KINDS}
    for k in range(replicates):
        for kind, *scores in replicate(world, n, np.random.default_rng([seed, n, k])):
            found[kind].append((scores[0], scores[1], scores[2]))
    made = {}
    for kind, each in found.items():
        proxy, within, pooled = zip(*each, strict=True)
        made[kind] = best_of_n_curve(proxy, within, sizes=SIZES), best_of_n_curve(proxy, pooled, sizes=SIZES)
    return made


def table(world: World, replicates: int, seed: int) -> list[str]:
    """The lines of a world's table."""
    lines = [f"| {' | '.join(COLUMNS)} |", "|---:|---|" + "---:|" * (len(COLUMNS) - 2)]
    for n in LABELS:
        found = curves(world, n, replicates, seed)
        clean = found[KINDS[0]][0].gold[-1]
        for kind, (within, pooled) in found.items():
            beside = "–" if kind == KINDS[0] else _said(within.gold[-1] - clean)
            lines.append(f"| {n:,} | {kind} | {' | '.join([*_cells(within, pooled), beside])} |")
            print(lines[-1], flush=True)
    return lines


def _cells(within: Curve, pooled: Curve) -> list[str]:
    values = np.array([one.value for one in within.gold])
    peak, sizes = int(values.argmax()), within.n.tolist()
    whole = [one.value for one in pooled.gold]
    fall = "–" if peak == len(values) - 1 else _said(within.gold[-1] - within.gold[peak])
    known = [f"{values[sizes.index(n)]:.2f}" for n in (1, 16, 256)]
    ends = [f"{values[-1]:.2f} ± {within.gold[-1].standard_error:.2f}", f"{within.proxy[-1].value:.2f}"]
    return [*known, *ends, f"{sizes[peak]:,}", fall, f"{max(whole):.2f} → {whole[-1]:.2f}"]


def _said(difference: Estimate) -> str:
    return f"{difference.value:+.2f} ± {difference.standard_error:.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "alpaca_eval_2")
    parser.add_argument("--replicates", type=int, default=100, help="draws of labels")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="write the tables as Markdown")
    options = parser.parse_args()
    words = texts(options.data)
    plain = World(words.x[:, :-WORDS], words.gold, words.length, words.instruction)
    recorded = {"lengths": lengths(options.data), "texts": plain, "words": words}
    even = {f"{name}, truth at equal length": equal_length(recorded[name]) for name in ("lengths", "texts")}
    lines = []
    for name, world in (recorded | even).items():
        begun = time.perf_counter()
        lines += [f"## {name}: {len(world.gold):,} outputs, {world.x.shape[1]} features", ""]
        lines += [*table(world, options.replicates, options.seed), ""]
        print(f"{name}: {time.perf_counter() - begun:.0f} s", flush=True)
    if options.output:
        options.output.write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
