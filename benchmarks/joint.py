"""The `joint` length control beside AlpacaEval 2's published one, which it never sees.

    python benchmarks/joint.py --data ../shared/data/alpaca_eval_2

Prints the rank correlation and mean difference with the published length-controlled win rates, how far a model's number
still moves when it is only told to be brief or verbose, and how the result depends on the size of the panel.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd

from simfarm.data.frames import frame_verdicts
from simfarm.ranking import boards

COLUMN = "length_controlled_winrate"
FAMILY = ["gpt-3.5-turbo-1106", "gpt-3.5-turbo-1106_concise", "gpt-3.5-turbo-1106_verbose"]


def compare(table: pd.DataFrame, published: pd.DataFrame) -> dict[str, float]:
    """Spearman and mean absolute difference of `joint` and of the raw win rate to the published length control."""
    own = table[table.index != table["baseline"]]
    names = own.index.intersection(published.index)
    target = published.loc[names, COLUMN]
    figures = {"models": float(len(names))}
    for name, column in (("joint", COLUMN), ("raw", "win_rate")):
        figures[f"{name}_spearman"] = float(own.loc[names, column].rank().corr(target.rank()))
        figures[f"{name}_mean_difference"] = float((own.loc[names, column] - target).abs().mean())
    return figures


def relative_spread(values: pd.Series) -> float:
    """sd/mean over one model asked plainly, concisely and verbosely: what prompting for length alone can win."""
    return float(values.std() / values.mean())


def by_panel_size(rows: pd.DataFrame, full: pd.Series, replicates: int, seed: int) -> dict[int, float]:
    """Mean absolute difference of `joint` on random panels of a size to the same models' numbers on the full panel."""
    rng = np.random.default_rng(seed)
    result = {}
    for size in (2, 5, 10, 20):
        differences = []
        for _ in range(replicates):
            chosen = rng.choice(full.index, size, replace=False)
            [board] = boards(frame_verdicts(rows[rows["generator_2"].isin(chosen)], "the rows"))
            differences.append((board.table.set_index("model")[COLUMN] - full[chosen]).abs().mean())
        result[size] = float(np.mean(differences))
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/alpaca_eval_2"))
    parser.add_argument("--replicates", type=int, default=20, help="random panels of each size (default 20)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    rows = pd.read_parquet(options.data / "preferences.parquet")
    published = pd.read_csv(options.data / "published_leaderboard.csv").set_index("model")
    [board] = boards(frame_verdicts(rows, "the rows"))
    table = board.table.set_index("model")
    figures: dict[str, object] = dict(compare(table, published))
    spreads = {
        "joint": relative_spread(table.loc[FAMILY, COLUMN]),
        "raw": relative_spread(table.loc[FAMILY, "win_rate"]),
        "published": relative_spread(published.loc[FAMILY, COLUMN]),
    }
    figures["relative_spread"] = spreads
    for name in ("joint", "raw"):
        spearman, difference = figures[f"{name}_spearman"], figures[f"{name}_mean_difference"]
        print(
            f"{name:5s} against the published length control: Spearman {spearman:.4f}, mean difference {difference:.2f}"
        )
    ratios = {name: spread / spreads["raw"] for name, spread in spreads.items()}
    print("gpt-3.5-turbo-1106 plain/concise/verbose, sd/mean as a share of the raw one: ", end="")
    print(", ".join(f"{name} {ratio:.3f}" for name, ratio in ratios.items()))
    assert board.slope is not None
    slope = board.slope
    print(
        f"slope {slope.value:.3f} [{slope.low:.3f}, {slope.high:.3f}], spread {slope.spread:.3f} over {slope.n_models}"
    )
    full = table.loc[table.index != board.baseline, COLUMN]
    sizes = by_panel_size(rows, full, options.replicates, options.seed)
    figures["by_panel_size"] = sizes
    for size, difference in sizes.items():
        print(f"panels of {size:2d} models: {difference:.2f} points from the full panel")
    if options.output:
        options.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
