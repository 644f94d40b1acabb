"""Win rates of many models over one baseline, and the counts that go beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from simfarm.ranking.units import GROUPS
from simfarm.statistics.estimate import Estimate, intervals, mean_estimate

__all__ = ["breakdown", "counts", "win_rates"]


def win_rates(table: pd.DataFrame) -> dict[str, Estimate]:
    """Win rate of each model: mean p over clusters, ties a half, as a fraction. `table` is `Units.table`."""
    return {
        str(model): mean_estimate(part["p"].to_numpy(), part["cluster"].to_numpy())
        for model, part in table.groupby("model", sort=False, observed=True)
    }


def counts(table: pd.DataFrame) -> pd.DataFrame:
    """By model: n_wins, n_wins_base, n_draws, n_total, discrete_win_rate (percent) and avg_length.

    They count comparisons that have a verdict, as AlpacaEval's columns do: a win is p > 0.5 however narrow. avg_length
    is the mean length in characters of all the model's outputs, cut to a whole number.
    """
    p = table["p"]
    known = pd.DataFrame(
        {
            "model": table["model"],
            "n_wins": p > 0.5,
            "n_wins_base": p < 0.5,
            "n_draws": p == 0.5,
            "n_total": p.notna(),
        }
    )
    result = known.groupby("model", sort=False, observed=True).sum()
    total = result["n_total"].where(result["n_total"] > 0, np.nan)
    result["discrete_win_rate"] = (result["n_wins"] + result["n_draws"] / 2) / total * 100
    length = table.groupby("model", sort=False, observed=True)["length"].mean()
    result["avg_length"] = np.floor(length).astype("Int64")
    return result


def breakdown(table: pd.DataFrame, level: float, models: Sequence[str] = ()) -> pd.DataFrame:
    """Win rate (percent, with its interval) of each of `models`, in their order, within each dataset and category that
    the file names.

    Columns: by, group, model, win_rate, standard_error, win_rate_low, win_rate_high, n_total. A column with one value
    alone gives no rows, because it would repeat the board.
    """
    columns = ["by", "group", "model", "win_rate", "standard_error", "win_rate_low", "win_rate_high", "n_total"]
    lines = []
    for by in GROUPS:
        if by not in table or table[by].nunique() < 2:
            continue
        for group, rows in table.groupby(by, observed=True):
            known, judged = rows["p"].notna().groupby(rows["model"], observed=True).sum(), win_rates(rows)
            rates = {model: judged[model] for model in models if model in judged}
            for (model, rate), limits in zip(rates.items(), intervals(list(rates.values()), level), strict=True):
                percent = [100 * x for x in (rate.value, rate.standard_error, *limits)]
                lines.append([by, group, model, *percent, int(known[model])])
    return pd.DataFrame(lines, columns=columns)
