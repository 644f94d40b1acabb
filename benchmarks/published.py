"""simfarm's numbers beside AlpacaEval 2's published ones, from the slim annotations of 33 models.

    python benchmarks/published.py --data ../shared/data/alpaca_eval_2

Three checks: the plain columns, the published length control refitted, and the published weights of the length control
applied to the published difficulties.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import expit

from simfarm.data.frames import frame_verdicts
from simfarm.ranking import boards

PLAIN = ("win_rate", "standard_error", "n_wins", "n_wins_base", "n_draws", "n_total", "discrete_win_rate", "avg_length")
WEIGHTS = ["glm_w_not_gamed_baseline", "glm_w_instruction_difficulty"]


def plain_columns(board: pd.DataFrame, published: pd.DataFrame) -> dict[str, float]:
    """Largest absolute difference of each plain column over the models that are on both boards."""
    names = board.index.intersection(published.index)
    return {c: float((board.loc[names, c].astype(float) - published.loc[names, c]).abs().max()) for c in PLAIN}


def refit(board: pd.DataFrame, published: pd.DataFrame) -> pd.Series:
    """Absolute difference of the refitted length control, models with all 805 rows."""
    full = board[(board["n_total"] == 805) & (board.index != board["baseline"])]
    names = full.index.intersection(published.index)
    column = "length_controlled_winrate"
    return (full.loc[names, column] - published.loc[names, column]).abs()


def published_weights(published: pd.DataFrame, difficulty: np.ndarray) -> pd.Series:
    """Absolute difference between 100·mean σ(b₀ + b₂·d) under the published weights and the published number."""
    known = published.dropna(subset=WEIGHTS)
    b0, b2 = (known[w].to_numpy()[:, None] for w in WEIGHTS)
    rate = 100 * expit(b0 + b2 * difficulty).mean(axis=1)
    return (pd.Series(rate, known.index) - known["length_controlled_winrate"]).abs()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/alpaca_eval_2"))
    parser.add_argument("-o", "--output", type=Path, help="write the figures as JSON")
    options = parser.parse_args()
    rows = pd.read_parquet(options.data / "preferences.parquet")
    published = pd.read_csv(options.data / "published_leaderboard.csv").set_index("model")
    [board] = boards(frame_verdicts(rows, "the rows"), length_control=["alpaca-eval-2"], lc_data=options.data)
    table = board.table.set_index("model")
    plain = plain_columns(table, published)
    for name, worst in plain.items():
        print(f"{name:18s} largest difference to the published value: {worst:.3g}")
    refitted = refit(table, published)
    print(
        f"alpaca-eval-2, {len(refitted)} models with 805 rows: "
        f"largest {refitted.max():.4f} ({refitted.idxmax()}), median {refitted.median():.5f} points"
    )
    difficulty = pd.read_csv(options.data / "instruction_difficulty.csv").set_index("index")["instruction_difficulty"]
    weights = published_weights(published, difficulty.to_numpy())
    off = weights[weights > 1e-6].sort_values(ascending=False)
    print(f"published weights reproduce the published number to 1e-6 for {(weights <= 1e-6).sum()} of {len(weights)}")
    print("not for: " + ", ".join(f"{name} ({value:.3f})" for name, value in off.items()))
    if options.output:
        figures = {
            "plain": plain,
            "refit": {"models": len(refitted), "largest": refitted.max(), "median": refitted.median()},
            "weights": {"models": len(weights), "off": off.to_dict()},
        }
        options.output.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main()
