"""The leaderboard's table: its columns, in the order users rely on, and its rows as plain values."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from simfarm.ranking.units import Units
from simfarm.ranking.winrate import counts
from simfarm.statistics.estimate import Estimate, intervals
from simfarm.statistics.tiers import shared_clusters, tiers
from simfarm.text.words import plural

__all__ = ["COLUMNS", "PLACES", "barely_met", "best_first", "board_table", "plain", "records", "tiered"]

COLUMNS = (
    "model", "flags", "win_rate", "standard_error", "win_rate_low", "win_rate_high", "length_controlled_winrate",
    "lc_standard_error", "lc_low", "lc_high", "n_wins", "n_wins_base", "n_draws", "n_total", "n_unparseable",
    "n_error", "discrete_win_rate", "avg_length", "annotator", "judge_hash", "baseline",
)  # fmt: skip
PLACES = ("tier", "rank_low", "rank_high")
_COUNTS = ("n_wins", "n_wins_base", "n_draws", "n_total", "n_unparseable", "n_error", "avg_length")


def _percents(estimates: Mapping[str, Estimate], level: float) -> dict[str, list[float]]:
    """Value, standard error, low and high of each in percent."""
    limits = intervals(list(estimates.values()), level)
    return {
        model: [100 * x for x in (e.value, e.standard_error, *ends)]
        for (model, e), ends in zip(estimates.items(), limits, strict=True)
    }


def board_table(
    units: Units,
    estimates: Mapping[str, Estimate],
    lc_estimates: Mapping[str, Mapping[str, Estimate]],
    raised: Mapping[str, tuple[str, ...]],
    level: float,
) -> pd.DataFrame:
    """The table of `Board`, models in order of appearance."""
    counted = counts(units.table).join(units.calls, how="left")
    names = list(lc_estimates)
    rates, equal = _percents(estimates, level), _percents(lc_estimates[names[0]] if names else {}, level)
    lines = []
    for model in estimates:
        own = model == units.baseline
        rate = [50.0, 0.0, 50.0, 50.0] if own else rates[model]
        lc = rate if own and equal else equal.get(model, [math.nan] * 4)
        line: dict[Any, Any] = dict(zip(COLUMNS[2:10], [*rate, *lc], strict=True))
        line |= {"model": model, "flags": ", ".join(raised.get(model, ()))}
        line |= {"annotator": units.annotator, "judge_hash": units.judge_hash, "baseline": units.baseline}
        line |= counted.loc[model].to_dict()
        for name in names[1:]:
            other = lc_estimates[name].get(model)
            line[f"length_controlled_winrate_{name}"] = 100 * other.value if other is not None else math.nan
        lines.append(line)
    extra = [f"length_controlled_winrate_{name}" for name in names[1:]]
    table = pd.DataFrame(lines, columns=[*COLUMNS, *extra])
    return table.astype(dict.fromkeys(_COUNTS, "Int64"))


def best_first(table: pd.DataFrame, headline: str) -> pd.DataFrame:
    """Best first; equal rates fall back on the name, so that a board is the same whatever the order of its rows."""
    return table.sort_values([headline, "model"], ascending=[False, True], na_position="last").reset_index(drop=True)


def tiered(table: pd.DataFrame, leading: Mapping[str, Estimate], level: float) -> pd.DataFrame:
    """The table with `PLACES` for each model: its tier, in which nobody is told apart from anybody else (max-t over all
    pairs), and the lowest and highest rank that the same pairs leave it, which hold for all models together. Models on
    fewer than two instructions have none."""
    usable = _usable(leading)
    found = np.ones((len(usable), 3), dtype=np.int64)
    if len(usable) > 1:
        all_pairs = tiers([leading[m] for m in usable], level=level)
        found = np.column_stack([all_pairs.tier, all_pairs.ranks])
    places = pd.DataFrame(found, index=pd.Index(usable, dtype=object), columns=list(PLACES))
    return table.assign(**{c: table["model"].map(places[c]).astype("Int64") for c in PLACES})


def barely_met(leading: Mapping[str, Estimate]) -> list[str]:
    """A warning, of the worst pair, where two models share under half of the instructions of either."""
    usable = _usable(leading)
    if len(usable) < 2:
        return []
    shared = shared_clusters([leading[m] for m in usable])
    sizes = np.diag(shared)
    first, second = np.triu_indices(len(usable), 1)
    share = shared[first, second] / np.maximum(sizes[first], sizes[second])
    n_few, worst = int((share < 0.5).sum()), int(share.argmin())
    if not n_few:
        return []
    a, b, common = usable[first[worst]], usable[second[worst]], int(shared[first[worst], second[worst]])
    more = f" (and {plural(n_few - 1, 'more pair does', 'more pairs do')} under half)" if n_few > 1 else ""
    return [
        f"{a} and {b} share {plural(common, 'instruction')} of {sizes[first[worst]]} and {sizes[second[worst]]}{more}: "
        "their rates are of different instructions, and the table's order need not be theirs; judge all on the same"
    ]


def _usable(leading: Mapping[str, Estimate]) -> list[str]:
    return [m for m in leading if leading[m].n_clusters > 1]


def records(table: pd.DataFrame) -> list[dict[str, Any]]:
    """The rows as JSON values; see `plain`."""
    return [{str(k): plain(v) for k, v in row.items()} for row in table.astype(object).to_dict("records")]


def plain(value: Any) -> Any:
    """A JSON value; a number that does not exist is null."""
    if value is None or value is pd.NA or (isinstance(value, float) and not math.isfinite(value)):
        return None
    return value.item() if isinstance(value, np.generic) else value
