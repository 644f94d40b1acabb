"""Human labels beside a judge's verdicts: which comparison each label belongs to, and the calibrated win rate.

Labels are annotation rows by people. A label may show the pair the other way round; several people on one comparison
are averaged. What is estimated is each model's win rate over the baseline as people would give it.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence

import numpy as np
import pandas as pd

from simfarm.data.frames import Verdicts, together
from simfarm.errors import InputError
from simfarm.ranking.board import Board
from simfarm.ranking.units import units_by_annotator
from simfarm.statistics.calibration import Calibrated, calibrate
from simfarm.statistics.estimate import Array
from simfarm.text.words import plural

__all__ = ["align_labels", "calibrated_win_rates"]


def calibrated_win_rates(verdicts: Verdicts, labels: Verdicts, board: Board) -> Mapping[str, Calibrated]:
    """The human-calibrated win rate (fractions) of each model that has at least 30 labels, for one annotator's board.

    `verdicts` are those that `board` was made from, `labels` are by people. Raises `InputError` for
    labels of comparisons that were not judged, for fewer than 30 labels of every model, or where they lie on the other
    side of no baseline.
    """
    own = verdicts.of(board.annotator)
    # a label is whole by itself: people see a pair once, whichever output came first
    people_alone = Verdicts(labels.table.assign(order=pd.Series(None, index=labels.table.index, dtype=object)))
    everybody = together(own, people_alone.by("people", "unknown"))
    units = {u.annotator: u.table for u in units_by_annotator(everybody, board.baseline, allow_mixed=True)}
    if "people" not in units or units["people"].empty:
        raise InputError(f"no label compares a model with the baseline {board.baseline}; label pairs of this board")
    judged = units[board.annotator]
    people = units["people"]
    keys = [list(zip(t["cluster"], t["model"], strict=True)) for t in (judged, people)]
    aligned = align_labels(keys[0], keys[1], people["p"].to_numpy(), _called(everybody.table, keys[1]))
    hashes = sorted(own.table["judge_hash"].astype(str).unique())
    rates = {}
    few = {}
    for model, part in judged.assign(label=aligned).groupby("model", sort=False, observed=True):
        n_labels = int(part["label"].notna().sum())
        if n_labels < 30:
            few[str(model)] = n_labels
            continue
        length = (part["length"] - part["length_baseline"]).to_numpy(dtype=float)
        features = {} if np.isnan(length).any() else {"the difference in length": length}
        rates[str(model)] = calibrate(
            part["p"].to_numpy(), part["label"].to_numpy(), part["cluster"].to_numpy(), hashes, features
        )
    if not rates:
        counts = ", ".join(f"{m} has {n}" for m, n in list(few.items())[:3])
        raise InputError(f"calibration needs at least 30 human labels of one model; {counts}: label more, at random")
    return rates


def _called(table: pd.DataFrame, keys: Sequence[tuple[int, str]]) -> list[str]:
    """What a reader calls (cluster, model): the model, and the instruction's beginning or its id."""
    names = next(c for c in ("instruction_start", "messages_start", "instruction_id") if c in table)
    known = table.dropna(subset=[names]).drop_duplicates("cluster").set_index("cluster")[names]
    return [f"{model} on {known.get(cluster, 'an instruction without a name')!r}" for cluster, model in keys]


def align_labels(
    comparisons: Sequence[Hashable], keys: Sequence[Hashable], labels: Array, names: Sequence[str] | None = None
) -> Array:
    """Mean label of each comparison (NaN without one), from labels under the same keys, several to a key allowed.
    `names` are what the message calls the keys.

    Raises `InputError` for a label whose key is no comparison's: a label lost by a typing error is a biased sample.
    """
    place = {key: i for i, key in enumerate(comparisons)}
    unknown = [names[i] if names else repr(key) for i, key in enumerate(keys) if key not in place]
    if unknown:
        raise InputError(
            f"{len(unknown)} of {plural(len(keys), 'label')} are for comparisons that were not judged (first: "
            f"{unknown[0]}); give labels of these comparisons, or annotate the missing ones"
        )
    where = np.array([place[key] for key in keys], dtype=np.int64)
    known = ~np.isnan(labels)
    count = np.bincount(where[known], minlength=len(comparisons))
    total = np.bincount(where[known], labels[known], minlength=len(comparisons))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)
