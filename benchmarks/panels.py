"""Panels of the judges recorded on LLMBar, a fitted judge, ratings against choices: what each is worth beside its best.

    python benchmarks/panels.py --data ../shared/data/human -o benchmarks/results/2026-11-27-panels.md

Every judge is its mean of both orders: a tie where they disagree. Natural pairs (100) are as people would write them;
adversarial ones (319) were chosen so that the worse answer looks better. *Held out*: ten folds of whole instructions,
the mean over `--splits` deals of them, ± their standard deviation. The penalty on weights was chosen on LLMBar's
processed and case-study items, of which no figure here is.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from simfarm.judges.surface import AGREEMENT, WEIGHTS, features
from simfarm.methods.fitting import fitted_judge
from simfarm.statistics.agreement import sides
from simfarm.statistics.disagreement import disagreement
from simfarm.statistics.estimate import Array
from simfarm.statistics.jury import jury, jury_weights
from simfarm.statistics.panels import effective_judges

ROOT = Path(__file__).parents[1]
FIVE = tuple(f"{name}/Vanilla" for name in ("GPT-4", "ChatGPT", "LLaMA2", "PaLM2", "Falcon"))
WEAK = ("ChatGPT/Vanilla", "LLaMA2/Vanilla", "PaLM2/Vanilla")
KINDS = {"non-negative": (False, 10.0), "signed": (True, 1e-9), "signed, ridge": (True, 10.0)}


def recorded(folder: Path) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    """(p of each item and judge, the gold verdict as p, the source) of LLMBar."""
    calls = pd.read_parquet(folder / "llmbar_judges.parquet")
    gold = pd.read_parquet(folder / "llmbar.parquet").set_index("item_id")
    by_order = calls.assign(p=calls["preference"] - 1).pivot_table("p", "item_id", ["judge", "order"], dropna=False)
    p = (by_order.xs("12", axis=1, level="order") + by_order.xs("21", axis=1, level="order")) / 2
    return p, gold["preference"].loc[p.index] - 1, gold["source"].loc[p.index]


def right(p: Array, gold: Array) -> float:
    """The share that is right, a tie half; items without a verdict left out."""
    known = ~np.isnan(p)
    return float((1 - np.abs(sides(p[known]) / 2 - gold[known])).mean())


def majority(p: pd.DataFrame, members: Sequence[str], gold: Array) -> float:
    """What the members' majority is right in."""
    return right(jury(p[list(members)].to_numpy().T, "majority").p, gold)


def held_out(p: Array, gold: Array, kind: str, splits: int) -> tuple[float, float]:
    """(mean, standard deviation) over deals of ten folds of what a weighted panel is right in."""
    signed, ridge = KINDS[kind]
    made, cluster = [], np.arange(len(gold))
    for seed in range(splits):
        fold = np.random.default_rng(seed).permutation(cluster) % 10
        said = np.full(len(gold), np.nan)
        for k in range(10):
            weights = jury_weights(p, np.where(fold == k, np.nan, gold), cluster, signed=signed, ridge=ridge)
            said[fold == k] = jury(p[:, fold == k], "weighted", weights).p
        made.append(right(said, gold))
    return float(np.mean(made)), float(np.std(made))


def panels(folder: Path, splits: int) -> list[str]:
    """The tables of panels."""
    p, gold, source = recorded(folder)
    parts = {"natural": source.str.endswith("/Natural"), "adversarial": source.str.contains("/Adversarial/")}
    data = {name: (p[where], gold[where].to_numpy()) for name, where in parts.items()}
    four = [name for name in p if name.startswith("GPT-4/")]
    rows = ["| judges | rule | natural | adversarial |", "|---|---|---|---|"]

    def line(who: str, rule: str, *cells: str) -> None:
        rows.append(f"| {who} | {rule} | {' | '.join(cells)} |")

    for who, members in (("GPT-4", FIVE[:1]), ("five judges", FIVE), ("ChatGPT, LLaMA2, PaLM2", WEAK)):
        rule = "alone" if len(members) == 1 else "majority"
        line(
            who, rule, *(f"{right(jury(q[list(members)].to_numpy().T, 'majority').p, g):.3f}" for q, g in data.values())
        )
    for who, members in (("five judges", list(FIVE)), ("15 prompts of GPT-4", four)):
        if members is four:
            best = (f"{max(right(q[m].to_numpy(), g) for m in members):.3f}" for q, g in data.values())
            line(who, "the best of them", *best)
            line(
                who,
                "majority",
                *(f"{right(jury(q[members].to_numpy().T, 'majority').p, g):.3f}" for q, g in data.values()),
            )
        for kind in KINDS:
            found = (held_out(q[members].to_numpy().T, g, kind, splits) for q, g in data.values())
            line(who, f"weighted, {kind}, held out", *(f"{mean:.3f} ± {sd:.3f}" for mean, sd in found))
    rows += ["", "Weighted on natural, tested on adversarial, where GPT-4 alone has .810:", ""]
    (q, g), (r, h) = data["natural"], data["adversarial"]
    for kind, (signed, ridge) in KINDS.items():
        weights = jury_weights(q[list(FIVE)].to_numpy().T, g, np.arange(len(g)), signed=signed, ridge=ridge)
        said = jury(r[list(FIVE)].to_numpy().T, "weighted", weights).p
        rows.append(f"- {kind}: {right(said, h):.3f}")
    worth = effective_judges(r[four].to_numpy().T, np.arange(len(h)), h)
    low, high = worth.interval()
    rows += [
        "",
        f"The errors of the 15 prompts on adversarial pairs have the correlation {worth.correlation.value:.2f}: they "
        f"are worth {worth.value:.2f} independent judges ({low:.2f} to {high:.2f}).",
    ]
    return rows


def ratings(folder: Path) -> list[str]:
    """How often a rating and a choice of one model part."""
    p, _, source = recorded(folder)
    where = source.str.contains("LLMBar/")
    rows = ["| judge | verdicts differ | a tie against a side | opposite sides | pairs |", "|---|---|---|---|---|"]
    for name in ("GPT-4", "ChatGPT"):
        one, other = (p.loc[where, f"{name}/{prompt}"].to_numpy() for prompt in ("Rating", "Vanilla"))
        found = disagreement(one, other, np.arange(len(one)))
        shares = (found.any, found.ties, found.reversals)
        cells = (f"{100 * x.value:.1f} ({100 * x.interval()[0]:.1f} to {100 * x.interval()[1]:.1f})" for x in shares)
        rows.append(f"| {name} | {' | '.join(cells)} | {found.n_items} |")
    return rows


def fitted(folder: Path) -> list[str]:
    """A judge fitted on AlpacaFarm's cross-annotations, and what its signals are worth on other sets."""
    names = {"item_id": "instruction_id", "judge": "annotator", "seed": "repeat"}
    labels = pd.read_parquet(folder / "alpacafarm_cross.parquet").rename(columns=names)
    judges = pd.read_parquet(folder / "alpacafarm_cross_judges.parquet").rename(columns=names)
    rows = ["| fitted on | with people | longest | above it | beside the best judge |", "|---|---|---|---|---|"]

    def cell(estimate: object) -> str:
        low, high = (100 * x for x in estimate.interval())  # type: ignore[attr-defined]
        return f"{100 * estimate.value:.1f} ({low:.1f} to {high:.1f})"  # type: ignore[attr-defined]

    alone = fitted_judge(labels)
    for who, found in (("signals", alone), ("signals and two judges", fitted_judge(labels, [judges]))):
        beside = "" if found.beside_best is None else cell(found.beside_best)
        rows.append(f"| {who} | {cell(found.agreement)} | {cell(found.longest)} | {cell(found.gap)} | {beside} |")
    rows += ["", "| set | fitted on AlpacaFarm | `surface`, which never saw the set | longest |", "|---|---|---|---|"]
    beta = np.array([alone.signals[name] / scale for name, (_, scale) in WEIGHTS.items()])
    for name, file, part in (
        ("PandaLM", "pandalm", ""),
        ("Vicuna-80", "vicuna80", ""),
        ("LLMBar", "llmbar", ""),
        ("LLMBar Natural", "llmbar", "/Natural"),
        ("LLMBar Adversarial", "llmbar", "/Adversarial/"),
    ):
        votes = pd.read_parquet(folder / f"{file}.parquet")
        votes = votes[votes["source"].str.contains(part, regex=False)]
        items = votes.groupby("item_id", sort=False).first()
        mode = votes.groupby("item_id", sort=False)["preference"].agg(_mode).to_numpy(float)
        texts = zip(items["instruction"], items["output_1"], items["output_2"], strict=True)
        score = np.array([np.subtract(features(i, b), features(i, a)) @ beta for i, a, b in texts])
        hits = (0.5 + np.sign(score) * (mode - 0.5))[~np.isnan(mode)]
        ours, longest = AGREEMENT[name]
        rows.append(f"| {name} | {100 * hits.mean():.1f} | {100 * ours:.1f} | {100 * longest:.1f} |")
    return rows


def _mode(preference: pd.Series) -> float:
    """The side that most chose, as p; NaN where two lead or it is a tie."""
    counts = preference.value_counts()
    lead = counts[counts == counts.max()].index
    return float(lead[0] - 1) if len(lead) == 1 and lead[0] != 1.5 else np.nan


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "human")
    parser.add_argument("--splits", type=int, default=20, help="deals of the folds (default 20)")
    parser.add_argument("-o", "--output", type=Path, help="write the page")
    options = parser.parse_args()
    page = [
        "# Panels, fitted judges, ratings",
        "",
        f"By `benchmarks/panels.py --splits {options.splits}`, on recorded verdicts. Fractions right beside LLMBar's "
        "gold verdicts, a tie half; every judge is the mean of both orders. Held out: ten folds, the mean over "
        f"{options.splits} deals ± their standard deviation. In brackets: 95 % intervals.",
        "",
        "## Panels on LLMBar",
        "",
        *panels(options.data, options.splits),
        "",
        "## Ratings against choices",
        "",
        "In percent, on all 419 pairs: a rating of each answer, and a choice between the two, by one model.",
        "",
        *ratings(options.data),
        "",
        "## Judges fitted on AlpacaFarm's cross-annotations",
        "",
        "In percent, cross-validated by instruction; below what the signals' weights are worth on other sets.",
        "",
        *fitted(options.data),
        "",
    ]
    print("\n".join(page))
    if options.output:
        options.output.write_text("\n".join(page), "utf-8")


if __name__ == "__main__":
    main()
