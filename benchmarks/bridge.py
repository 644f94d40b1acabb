"""Does a board carried to a new judge hold what the new judge says of everything?

    python benchmarks/bridge.py --data ../shared/data -o benchmarks/results/DATE-bridge.md

Real: recorded verdicts of two judges on the same comparisons (AlpacaEval's: GPT-4, Claude, GPT-4 turbo with and without
reasons, and its letter's log probabilities). The new judge's rate over all instructions is the truth; n of them are
judged by both. With `drawn` the old file itself is a draw first (two thirds as many, with replacement). Link: M models
are judged by both on n instructions, the others are carried by the link. `longest`, the rule, is a new judge that
models stray from with long tails: no judge of quality, and a hard case. Planted: instructions, models and verdicts
from a normal model with a known misfit; the truth is that of all instructions there could be.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit, logit, roots_hermitenorm

from simfarm.errors import InputError
from simfarm.ranking import Calibrated, calibrate
from simfarm.statistics.bridge import fit_link
from simfarm.statistics.estimate import Array, mean_estimate

ROOT = Path(__file__).resolve().parents[1]
BANDS = (0.0, 0.05, 0.1, 0.2, 0.4, 0.6, 1.0)
FEWEST = 200
"""Instructions that both judges judged of a model, for it to be a population."""
RULE = "longest"


@dataclass(frozen=True)
class Pair:
    """Two judges' verdicts (instructions × models, p of the model, NaN for none) on the same comparisons."""

    name: str
    old: Array
    new: Array


def recorded(data: Path) -> Iterator[Pair]:
    """Every pair of judges that both judged a model on 200 instructions or more, against one baseline."""
    folder = data / "alpaca_eval_2"
    others = pd.read_parquet(folder / "other_judges.parquet")
    letters = pd.read_parquet(folder / "preferences.parquet").rename(
        columns={"generator_2": "model", "length_1": "len_output_1", "length_2": "len_output_2"}
    )
    rows = pd.concat([others, letters])
    rows = rows[~rows["generator_1"].str.endswith("?") & (rows["model"] != rows["generator_1"])]
    rows = rows[rows["model"] != "NullModel"]
    rows["p"] = rows["preference"].replace(0, 1.5) - 1
    keys = ["generator_1", "instruction_id", "model"]
    wide = rows.pivot_table(index=keys, columns="annotator", values="p")
    texts = rows.drop_duplicates(keys).set_index(keys).loc[wide.index]
    longer = np.sign(texts["len_output_2"].astype(float) - texts["len_output_1"].astype(float))
    wide[RULE] = (longer + 1) / 2
    for old, new in permutations(wide.columns, 2):
        for baseline, part in wide[[old, new]].dropna().groupby(level="generator_1"):
            counts = part.groupby(level="model").size()
            models = list(counts[counts >= FEWEST].index)
            if models and old != RULE:
                both = part.droplevel(0).unstack("model")
                yield Pair(f"{old} → {new}, over {baseline}", *(both[j][models].to_numpy() for j in (old, new)))


def bridge(old: Array, new: Array, chosen: Array) -> Calibrated | None:
    """One model's rate, `chosen` instructions judged by both; None where fewer than 30 have both verdicts."""
    labels = np.full(len(old), np.nan)
    labels[chosen] = new[chosen]
    if (~np.isnan(labels) & ~np.isnan(old)).sum() < 30:
        return None
    return calibrate(old, labels, np.arange(len(old)), ["new"])


def old_file(n: int, drawn: bool, rng: np.random.Generator) -> Array:
    return rng.choice(n, 2 * n // 3) if drawn else np.arange(n)


def bridged(pair: Pair, n_both: int, replicates: int, rng: np.random.Generator, *, drawn: bool) -> list[dict]:
    """Of each model: how often the interval holds the truth, and its width beside that of the part judged alone."""
    cells = []
    for m in range(pair.old.shape[1]):
        known = ~np.isnan(pair.old[:, m]) & ~np.isnan(pair.new[:, m])
        old, new = pair.old[known, m], pair.new[known, m]
        truth, lines = new.mean(), []
        for _ in range(replicates):
            of = old_file(len(old), drawn, rng)
            found = bridge(old[of], new[of], rng.choice(len(of), n_both, replace=False))
            (low, high), (least, most) = found.interval(), found.human.interval()
            plain_low, plain_high = found.estimate.interval()
            lines.append((low <= truth <= high, plain_low <= truth <= plain_high, high - low, most - least))
        held, plain, width, alone = np.array(lines, dtype=float).T
        cell = {"rate": truth, "coverage": held.mean(), "sandwich": plain.mean(), "ratio": np.median(width / alone)}
        cells.append({"pair": pair.name, "n": n_both, "drawn": drawn, **cell})
    return cells


def linked(
    pair: Pair, n_models: int, n_both: int, replicates: int, rng: np.random.Generator, *, drawn: bool
) -> dict | None:
    """How often the intervals of models that were not judged by the new judge hold the truth."""
    truth = np.nanmean(pair.new, axis=0)
    held, widths, missed, refused = [], [], [], 0
    for _ in range(replicates):
        of = old_file(len(pair.old), drawn, rng)
        old, new = pair.old[of], pair.new[of]
        order = rng.permutation(len(truth))
        chosen = rng.choice(len(of), min(n_both, len(of)), replace=False)
        rates = [mean_estimate(old[:, m], np.arange(len(of))) for m in range(len(truth))]
        own = {m: found for m in order[:n_models] if (found := bridge(old[:, m], new[:, m], chosen)) is not None}
        try:
            link = fit_link(
                [rates[m] for m in own], [c.estimate for c in own.values()], [c.n_labelled for c in own.values()]
            )
        except InputError:
            refused += 1
            continue
        for m in order[n_models:]:
            estimate, low, high = link.rate(rates[m])
            held.append(low <= truth[m] <= high)
            widths.append(high - low)
            missed.append(estimate.value - truth[m])
    if not held:
        return None
    figures = {"coverage": np.mean(held), "width": np.median(widths), "missed": np.sqrt(np.mean(np.square(missed)))}
    what = {"pair": pair.name, "drawn": drawn, "models": n_models, "n": n_both, "intervals": len(held)}
    return {**what, "refused": refused / replicates, **figures}


def planted(n_models: int, n_both: int, misfit: float, replicates: int, rng: np.random.Generator) -> dict[str, float]:
    """Coverage of bridged and of linked models where everything is known. Old and new judge share most of what they
    see in an instruction; the new one's logits are .8 times the old one's, plus .3, plus each model's misfit."""
    nodes, weights = roots_hermitenorm(40)
    weights, n = weights / weights.sum(), 400
    lines: list[tuple[bool, bool]] = []
    for _ in range(replicates):
        level = rng.normal(-0.5, 1.0, n_models + 1)
        target = 0.3 + 0.8 * logit_of_mean(level, nodes, weights) + misfit * rng.standard_normal(n_models + 1)
        truth = expit(target)
        shift = solved(truth, nodes, weights)
        item = rng.standard_normal((n, 1))
        own = rng.standard_normal((n, n_models + 1))
        seen = 0.6 * item + 0.8 * own
        old = rng.binomial(1, expit(level + seen)).astype(float)
        new = rng.binomial(1, expit(shift + 0.9 * seen + np.sqrt(0.19) * rng.standard_normal(seen.shape))).astype(float)
        chosen = rng.choice(n, n_both, replace=False)
        rates = [mean_estimate(old[:, m], np.arange(n)) for m in range(n_models + 1)]
        found = [bridge(old[:, m], new[:, m], chosen) for m in range(n_models)]
        low, high = found[0].interval()
        link = fit_link(rates[:-1], [c.estimate for c in found], [c.n_labelled for c in found])
        _, link_low, link_high = link.rate(rates[-1])
        lines.append((low <= truth[0] <= high, link_low <= truth[-1] <= link_high))
    held, by_link = np.array(lines, dtype=float).mean(axis=0)
    return {"models": n_models, "n": n_both, "misfit": misfit, "bridged": held, "link": by_link}


def logit_of_mean(level: Array, nodes: Array, weights: Array) -> Array:
    return logit(expit(level[:, None] + nodes) @ weights)


def solved(rates: Array, nodes: Array, weights: Array) -> Array:
    """The logits that have these rates over instructions."""
    shift = logit(rates)
    for _ in range(60):
        shift = shift - (logit_of_mean(shift, nodes, weights) - logit(rates))
    return shift


def table(frame: pd.DataFrame) -> list[str]:
    cells = [[f"{v:.3f}" if isinstance(v, float) else str(v) for v in row] for row in frame.itertuples(index=False)]
    return [f"| {' | '.join(line)} |" for line in ([*frame.columns], ["---"] * len(frame.columns), *cells)]


def report(bridges: pd.DataFrame, links: pd.DataFrame, plants: pd.DataFrame) -> list[str]:
    lines = ["## Planted: models judged by both, instructions, misfit (logits); coverage of 95 % intervals", ""]
    lines += table(plants)
    if bridges.empty:
        return lines
    bridges = bridges.assign(
        rate=pd.cut(bridges["rate"], BANDS).map(lambda band: f"{100 * band.left:.0f} to {100 * band.right:.0f} %")
    )
    by = bridges.groupby(["drawn", "n", "rate"], observed=True)
    shown = by.agg(
        cells=("coverage", "size"),
        coverage=("coverage", "mean"),
        lowest=("coverage", "min"),
        sandwich=("sandwich", "mean"),
        width=("ratio", "median"),
    )
    lines += ["", "## Bridged models: recorded verdicts", "", *table(shown.reset_index())]
    kind = np.where(links["pair"].str.contains(RULE), RULE, "language models")
    by = links.assign(judge=kind).groupby(["judge", "drawn", "models", "n"])
    shown = by.agg(
        pairs=("coverage", "size"),
        intervals=("intervals", "sum"),
        coverage=("coverage", "mean"),
        lowest=("coverage", "min"),
        width=("width", "median"),
        missed=("missed", "median"),
        refused=("refused", "mean"),
    )
    return [*lines, "", "## Models carried by the link alone: recorded verdicts", "", *table(shown.reset_index())]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("-o", "--output", type=Path, help="write the tables as Markdown")
    options = parser.parse_args()
    rng = np.random.default_rng(options.seed)
    plants = [
        planted(m, n, misfit, options.replicates, rng) for m in (5, 10, 20) for n in (60, 200) for misfit in (0.0, 0.2)
    ]
    bridges: list[dict] = []
    links: list[dict] = []
    for pair in recorded(options.data) if (options.data / "alpaca_eval_2").is_dir() else ():
        for drawn in (False, True):
            if RULE not in pair.name:
                for n in (30, 60, 100):
                    bridges += bridged(pair, n, options.replicates, rng, drawn=drawn)
            sizes = [m for m in (4, 5, 8, 15, 30) if m < pair.old.shape[1]]
            for m, n in [(m, n) for m in sizes for n in (100, 805)]:
                found = linked(pair, m, n, max(20, options.replicates // 8), rng, drawn=drawn)
                links += [found] if found else []
    text = "\n".join(report(*(pd.DataFrame(rows) for rows in (bridges, links, plants)))) + "\n"
    print(text)
    if options.output:
        options.output.write_text(text)


if __name__ == "__main__":
    main()
