"""What choosing among n samples buys, on planted scores: curves against their theory, coverage, methods at equal cost.

    python benchmarks/best_of_n.py --replicates 1000

`curves`: true scores are uniform, so that the best of n is n/(n+1) on average; the oracle must follow that, the random
control must stay at 1/2, and a noisy proxy with a taste of its own (true score + noise, plus a bonus for a rare
feature that is bad) shows over-optimisation: its own score rises while the true one falls. Its truth is
taken by quadrature. Coverage is of the 95 % interval, over replicates of `--instructions` instructions. `error ratio`:
the standard error of the mean of one subset (the first n samples, what a plain experiment would do) over that of the
curve.
`methods`: verdicts are coin tosses of a judge that sees the difference in quality and leans to the answer shown first;
the true score, in standard deviations above a random sample, of what each method chooses among 16, and its calls.
`kl`: the bound beside the exact distance where the model has only so many different answers.
"""

from __future__ import annotations

import argparse
import json
import math
import time
from pathlib import Path
from typing import Any

import numpy as np
from scipy.special import expit, ndtr

from simfarm.data.records import Annotation, Output
from simfarm.selection.contests import Contest, against_baseline, against_siblings
from simfarm.selection.curve import best_of_n_curve, kl_bound
from simfarm.selection.samples import Scores, choose, length_scores, random_scores, sample_groups

SAMPLES = 64
SIZES = np.array([1, 2, 4, 8, 16, 32, 64])
RARE, BONUS, HARM, NOISE = 0.02, 1.0, 0.6, 0.3
"""Share of samples with the feature, what the proxy likes and the truth dislikes about it, the proxy's noise."""


def plant(shape: tuple[int, ...], rng: np.random.Generator) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Proxy and true score of samples, for each proxy."""
    quality = rng.random(shape)
    rare = rng.random(shape) < RARE
    fooled = quality + NOISE * rng.standard_normal(shape) + BONUS * rare
    return {
        "oracle": (quality, quality),
        "random": (rng.random(shape), quality),
        "fooled": (fooled, quality - HARM * rare),
    }


def truths() -> dict[str, np.ndarray]:
    """The expected true score of the favourite among n, for the sizes; of the fooled proxy by quadrature over quality
    and proxy: the mean of n F(x)^(n-1) times the true score that goes with a proxy of x."""
    quality = (np.arange(2000) + 0.5) / 2000
    liked = np.linspace(-2.5, 4.5, 7001)
    below, density, scored = np.zeros((3, len(liked)))
    for share, bonus, harm in ((1 - RARE, 0.0, 0.0), (RARE, BONUS, HARM)):
        z = (liked[:, None] - quality - bonus) / NOISE
        near = np.exp(-z * z / 2) / (NOISE * math.sqrt(2 * math.pi))
        below += share * ndtr(z).mean(axis=1)
        density += share * near.mean(axis=1)
        scored += share * (near @ (quality - harm)) / len(quality)
    step = liked[1] - liked[0]
    assert abs(density.sum() * step - 1) < 1e-9
    fooled = [(n * below ** (n - 1) * scored).sum() * step for n in SIZES]
    return {"oracle": SIZES / (SIZES + 1), "random": np.full(len(SIZES), 0.5), "fooled": np.array(fooled)}


def curves(instructions: int, replicates: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    truth = truths()
    covered = {name: np.zeros(len(SIZES)) for name in truth}
    values: dict[str, list[Any]] = {name: [] for name in truth}
    errors: dict[str, list[Any]] = {name: [] for name in truth}
    single: dict[str, list[Any]] = {name: [] for name in truth}
    promised: dict[str, list[Any]] = {name: [] for name in truth}
    for _ in range(replicates):
        for name, (proxy, gold) in plant((instructions, SAMPLES), rng).items():
            curve = best_of_n_curve(proxy, gold)
            at = [curve.gold[n - 1] for n in SIZES]
            intervals = np.array([e.interval() for e in at])
            covered[name] += (intervals[:, 0] <= truth[name]) & (truth[name] <= intervals[:, 1])
            values[name].append([e.value for e in at])
            errors[name].append([e.standard_error for e in at])
            promised[name].append([curve.proxy[n - 1].value for n in SIZES])
            rows = np.arange(instructions)
            firsts = [gold[rows, proxy[:, :n].argmax(axis=1)] for n in SIZES]
            single[name].append([one.std(ddof=1) / math.sqrt(instructions) for one in firsts])
    return [
        {
            "proxy": name,
            "n": int(n),
            "kl_bound": float(kl_bound(n)),
            "truth": float(truth[name][k]),
            "mean": float(np.mean(values[name], axis=0)[k]),
            "mean_error": float(np.std(values[name], axis=0)[k] / math.sqrt(replicates)),
            "standard_error": float(np.mean(errors[name], axis=0)[k]),
            "coverage": float(covered[name][k] / replicates),
            "promised": float(np.mean(promised[name], axis=0)[k]),
            "error_ratio": float((np.mean(single[name], axis=0) / np.mean(errors[name], axis=0))[k]),
        }
        for name in truth
        for k, n in enumerate(SIZES)
    ]


def verdicts(contest: Contest, quality: dict[str, float], lean: float, rng: np.random.Generator) -> list[Annotation]:
    """A judge's coin tosses, in both orders; `lean` is in logits towards the answer shown first."""
    made = []
    for pair in contest.comparisons:
        better = 1.5 * (quality[pair.output_2] - quality[pair.output_1])
        for order, sign in (("12", -1), ("21", 1)):
            second = rng.random() < expit(better + sign * lean)
            answer: dict[str, Any] = {"calls": 1, "input_tokens": 1, "output_tokens": 1}
            made.append(Annotation(pair, "planted", 1.0 + second, "verdict", order=order, **answer))
    return made


def methods(instructions: int, rng: np.random.Generator) -> list[dict[str, Any]]:
    """Quality is standard normal, also the baseline's; a text's length goes with its quality a little."""
    quality: dict[str, float] = {}
    outputs, baseline = [], []
    for i in range(instructions):
        for s in range(-1, 16):
            own = rng.standard_normal()
            text = f"{i} {s} " + "x" * int(max(1, 40 + 10 * (0.3 * own + rng.standard_normal())))
            quality[text] = own
            if s < 0:
                baseline.append(Output(str(i), text, "base"))
            else:
                outputs.append(Output(str(i), text, "m", sample=s))
    groups = sample_groups(outputs)
    true = np.array([quality[o.output] for o in outputs])
    found = []

    def report(name: str, scores: Scores) -> None:
        chosen = np.array([i for i in choose(scores, outputs, groups) if i is not None])
        gains = true[chosen] - true.reshape(instructions, 16).mean(axis=1)
        error = gains.std(ddof=1) / math.sqrt(instructions)
        calls = sum(cost.calls for cost in scores.costs) / instructions
        found.append({"method": name, "calls": calls, "gain": float(gains.mean()), "error": float(error)})

    report("random", random_scores(outputs, groups))
    report("longest", length_scores(outputs, groups))
    for lean in (0.0, 1.5):
        contest = against_baseline(outputs, groups, baseline)
        report(f"best-of-16 by judge, lean {lean}", contest.scores(verdicts(contest, quality, lean, rng)))
        for rivals in (2, 4, None):
            contest = against_siblings(outputs, groups, rivals)
            name = f"win-share, {rivals or 15} rivals, lean {lean}"
            report(name, contest.scores(verdicts(contest, quality, lean, rng)))
    oracle = Scores(list(true), random_scores(outputs, groups).costs)
    report("oracle", oracle)
    return found


def kl(different: int, n: np.ndarray) -> np.ndarray:
    """The exact distance, in nats, of best-of-n from a model with so many equally likely answers, one better than the
    other."""
    below = np.arange(different + 1)[:, None] / different
    chance = np.diff(below**n, axis=0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.nansum(chance * np.log(chance * different), axis=0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--instructions", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    made: dict[str, Any] = {"options": {k: v for k, v in vars(options).items() if k != "output"}}
    made["curves"] = curves(options.instructions, options.replicates, rng)
    made["methods"] = methods(4000, rng)
    exact = {d: kl(d, SIZES).tolist() for d in (4, 16, 256, 65536)}
    made["kl"] = {"n": SIZES.tolist(), "bound": kl_bound(SIZES).tolist(), "different": exact}
    begun = time.perf_counter()
    best_of_n_curve(rng.standard_normal((805, 1024)), rng.standard_normal((805, 1024)))
    made["seconds_805_by_1024"] = time.perf_counter() - begun
    for name in ("curves", "methods"):
        for row in made[name]:
            print(", ".join(f"{k} {v:.4f}" if isinstance(v, float) else f"{k} {v}" for k, v in row.items()))
    print(json.dumps(made["kl"]), f"\n805 instructions of 1,024 samples: {made['seconds_805_by_1024']:.2f} s")
    if options.output:
        options.output.write_text(json.dumps(made, indent=1) + "\n")


if __name__ == "__main__":
    main()
