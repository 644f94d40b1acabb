"""The board of a judge that rates outputs one by one: each model's mean score, the instruction as the unit."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from simfarm.data.scores import Scores
from simfarm.errors import InputError
from simfarm.ranking.each import each_or_else
from simfarm.ranking.table import PLACES, barely_met, best_first, records, tiered
from simfarm.ranking.units import judge_hash_of
from simfarm.statistics.estimate import Estimate, intervals, mean_estimate
from simfarm.text.shown import Shown
from simfarm.text.words import plural

__all__ = ["SCORE_COLUMNS", "ScoreBoard", "score_boards"]

SCORE_COLUMNS = (
    *("model", "score", "standard_error", "score_low", "score_high", *PLACES),
    *("n_total", "n_unparseable", "n_error", "avg_length", "annotator", "judge_hash", "scale_low", "scale_high"),
)

_NO_CONTROL = (
    "mean scores are not held at equal length; --baseline NAME or --rank bradley-terry compares the models by the "
    "preferences that their scores imply"
)


@dataclass(frozen=True)
class ScoreBoard(Shown):
    """One annotator's mean scores. `table` has `SCORE_COLUMNS`, best first; `estimates` are on the `scale` (its ends,
    None where the file does not say them). An annotator that could not be ranked, beside others that could, has no
    models, and `warnings` say why."""

    annotator: str
    level: float
    scale: tuple[float, float] | None
    table: pd.DataFrame
    estimates: Mapping[str, Estimate]
    n_clusters: int
    warnings: tuple[str, ...]
    notes: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """The board as plain JSON values; a number that does not exist is null."""
        return {
            "annotator": self.annotator,
            "level": self.level,
            "scale": None if self.scale is None else list(self.scale),
            "models": records(self.table),
            "warnings": list(self.warnings),
            "notes": list(self.notes),
        }


def score_boards(scores: Scores, *, level: float = 0.95, allow_mixed: bool = False) -> list[ScoreBoard]:
    """One board for each annotator: a model's score is the mean over instructions of its mean on each, its interval
    that of a mean within the scale (`statistics.bounded`), by t where no scale is known. Tiers and ranks are those of
    all pairs of models, by paired differences. Raises `InputError` where nothing can be ranked."""
    return each_or_else(
        scores.by_annotator(),
        lambda name, part: _board(name, part, level, allow_mixed),
        lambda name, _, why: ScoreBoard(
            name, level, None, pd.DataFrame(columns=list(SCORE_COLUMNS)), {}, 0, (f"{name} is not ranked: {why}",), ()
        ),
    )


def _board(annotator: str, part: pd.DataFrame, level: float, allow_mixed: bool) -> ScoreBoard:
    judge_hash, scale = judge_hash_of(part, annotator, allow_mixed), _scale(part, annotator)
    models = list(pd.unique(part["generator"]))
    by_model = {m: part[part["generator"] == m] for m in models}
    estimates = {
        str(m): mean_estimate(own["score"].to_numpy(), own["cluster"].to_numpy(), scale) for m, own in by_model.items()
    }
    clusters = part["cluster"][part["score"].notna()].nunique()
    if clusters < 2:
        raise InputError(
            f"{plural(clusters, 'instruction')} with a score; an interval needs at least two, score the answers to more"
        )
    limits = intervals(list(estimates.values()), level)
    lines = [
        {
            "model": m,
            "score": e.value,
            "standard_error": e.standard_error,
            "score_low": low,
            "score_high": high,
            "n_total": int(own["score"].notna().sum()),
            "n_unparseable": int((own["status"] == "unparseable").sum()),
            "n_error": int((own["status"] == "error").sum()),
            "avg_length": float(np.nanmean(own["length"])) if own["length"].notna().any() else math.nan,
            "annotator": annotator,
            "judge_hash": judge_hash,
            "scale_low": math.nan if scale is None else scale[0],
            "scale_high": math.nan if scale is None else scale[1],
        }
        for (m, e), (low, high), own in zip(estimates.items(), limits, by_model.values(), strict=True)
    ]
    table = tiered(best_first(pd.DataFrame(lines), "score"), estimates, level)[list(SCORE_COLUMNS)]
    missing = int(part["score"].isna().sum())
    warnings = [f"{plural(missing, 'score is', 'scores are')} missing and left out"] if missing else []
    notes = [] if scale is not None else ["the file does not say the scale (scale_low, scale_high): intervals are by t"]
    return ScoreBoard(
        annotator, level, scale, table, estimates, clusters, (*warnings, *barely_met(estimates)), (*notes, _NO_CONTROL)
    )


def _scale(part: pd.DataFrame, annotator: str) -> tuple[float, float] | None:
    """The ends of an annotator's one scale, None where no row says them; raises `InputError` for two scales."""
    ends = part[["low", "high"]].drop_duplicates()
    if len(ends) > 1:
        named = ", ".join(f"{low:g} to {high:g}" for low, high in ends.itertuples(index=False))
        raise InputError(f"annotator {annotator!r} has scores on several scales ({named}); evaluate them apart")
    low, high = map(float, ends.iloc[0])
    return None if math.isnan(low) or math.isnan(high) else (low, high)
