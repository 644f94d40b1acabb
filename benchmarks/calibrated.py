"""Does the human-calibrated interval hold the human win rate, and is it as narrow as predicted?

    python benchmarks/calibrated.py --replicates 1000 --data ../shared/data/human

Planted: 1,000 instructions, a judge with 2 orders and 3 repeats on each (six verdicts that are nearly one), 2 people on
each labelled one, who share its difficulty; the judge leans to the model by 0.8 logits. Beside it: the labels alone,
the judge alone with AlpacaEval's standard error (every verdict independent), and PPI++ that takes every row for a
cluster of its own. Real: AlpacaFarm's 648 cross-annotated pairs as a finite pool of which 100
are labelled, with the recorded GPT-4 verdicts.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy.special import expit, roots_hermitenorm

from simfarm.ranking import Calibrated, calibrate

ROOT = Path(__file__).resolve().parents[1]
ORDER = np.repeat([0.5, -0.5], 3)
THETA, SPREAD, LEAN = 0.3, 1.5, 0.8
JUDGES = {"poor": 3.0, "fair": 1.2, "good": 0.3}
"""How far the judge's view of an instruction strays from people's (sd in logits)."""


def plant(stray: float, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """(verdicts n × 6, labels n × 2), each 0 or 1."""
    people = THETA + SPREAD * rng.standard_normal(n)
    judge = 2.5 * (people + LEAN + stray * rng.standard_normal(n))
    verdicts = rng.binomial(1, expit(judge[:, None] + ORDER)).astype(float)
    labels = rng.binomial(1, expit(people[:, None] + np.zeros(2))).astype(float)
    return verdicts, labels


def true_rate() -> float:
    nodes, weights = roots_hermitenorm(80)
    return float(expit(THETA + SPREAD * nodes) @ weights / weights.sum())


def calibrate_rows(verdicts: np.ndarray, labels: np.ndarray, chosen: np.ndarray, *, clustered: bool) -> Calibrated:
    """One row a verdict; a label, of one person after the other, stands on each row of its instruction."""
    n, calls = verdicts.shape
    label = np.full((n, calls), np.nan)
    label[chosen] = np.repeat(labels[chosen], calls // labels.shape[1], axis=1)
    cluster = np.repeat(np.arange(n), calls) if clustered else np.arange(n * calls)
    return calibrate(verdicts.ravel(), label.ravel(), cluster, ["planted"])


def planted(stray: float, n_labels: int, replicates: int, seed: int) -> dict[str, float]:
    rng = np.random.default_rng(seed)
    truth = true_rate()
    lines = []
    for _ in range(replicates):
        verdicts, labels = plant(stray, 1000, rng)
        chosen = rng.choice(len(verdicts), n_labels, replace=False)
        found = calibrate_rows(verdicts, labels, chosen, clustered=True)
        rows_low, rows_high = calibrate_rows(verdicts, labels, chosen, clustered=False).estimate.interval()
        low, high = found.estimate.interval()
        human_low, human_high = found.human.interval()
        rows = verdicts.ravel()
        half = 1.96 * rows.std(ddof=1) / np.sqrt(len(rows))
        line = {
            "coverage": low <= truth <= high,
            "human_coverage": human_low <= truth <= human_high,
            "width_ratio": (high - low) / (human_high - human_low),
            "predicted_width_ratio": found.predicted_width_ratio,
            "rho": found.rho,
            "worth": found.worth,
            "false_alarms": bool(found.warnings),
            "bias": found.estimate.value - truth,
            "judge_alone_coverage": abs(rows.mean() - truth) <= half,
            "rows_as_clusters_coverage": rows_low <= truth <= rows_high,
        }
        lines.append(line)
    return _summary(lines)


def alpacafarm(data: Path, replicates: int, seed: int) -> list[dict[str, Any]]:
    """100 of 648 pairs labelled with the mean of their 4 people; rate = P(output_2 preferred), truth = all 648."""
    people = pd.read_parquet(data / "alpacafarm_cross.parquet").groupby("item_id")["preference"].mean() - 1
    recorded = pd.read_parquet(data / "alpacafarm_cross_judges.parquet")
    recorded["run"] = recorded["judge"] + " seed " + recorded["seed"].astype(str)
    runs = {name: part.set_index("item_id")["preference"] - 1 for name, part in recorded.groupby("run")}
    runs = {"mean of the 8 runs": recorded.groupby("item_id")["preference"].mean() - 1} | runs
    y = people.to_numpy()
    n, n_labels, truth = len(y), 100, y.mean()
    found = []
    for name, verdicts in runs.items():
        f = verdicts.reindex(people.index).to_numpy()
        rng = np.random.default_rng(seed)
        rho = np.corrcoef(y, f)[0, 1]
        lines = []
        for _ in range(replicates):
            labels = np.full(n, np.nan)
            chosen = rng.choice(n, n_labels, replace=False)
            labels[chosen] = y[chosen]
            one = calibrate(f, labels, np.arange(n), [name])
            low, high = one.estimate.interval()
            human_low, human_high = one.human.interval()
            lines.append(
                {
                    "coverage": low <= truth <= high,
                    "human_coverage": human_low <= truth <= human_high,
                    "width_ratio": (high - low) / (human_high - human_low),
                    "worth": one.worth,
                    "false_alarms": bool(one.warnings),
                }
            )
        figures = _summary(lines) | {"rho": float(rho), "judge_alone": float(f.mean()), "truth": float(truth)}
        figures["predicted_width_ratio"] = float(np.sqrt(1 - rho**2 * (n - n_labels) / n))
        found.append({"judge": name, **figures})
    return found


def _summary(lines: list[dict[str, Any]]) -> dict[str, float]:
    """Medians of ratios, ρ and worth; means of everything else."""
    table = pd.DataFrame(lines).astype(float)
    medians = [c for c in table if "ratio" in c or c in ("rho", "worth")]
    return {c: float(table[c].median() if c in medians else table[c].mean()) for c in table}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--replicates", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--data", type=Path, default=ROOT.parent / "shared" / "data" / "human")
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    found: list[dict[str, Any]] = []
    for name, stray in JUDGES.items():
        for n_labels in (30, 100, 300):
            figures = planted(stray, n_labels, options.replicates, options.seed)
            found.append({"what": "planted", "judge": name, "labels": n_labels, **figures})
    if options.data.is_dir():
        for figures in alpacafarm(options.data, options.replicates, options.seed):
            found.append({"what": "alpacafarm_cross", "labels": 100, **figures})
    for line in found:
        print(", ".join(f"{k} {v:.3f}" if isinstance(v, float) else f"{v}" for k, v in line.items()))
    if options.output:
        made = {"replicates": options.replicates, "seed": options.seed}
        options.output.write_text(json.dumps({"options": made, "figures": found}, indent=1) + "\n")


if __name__ == "__main__":
    main()
