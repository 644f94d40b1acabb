"""Human labels beside a judge's verdicts: which comparison each label belongs to, and the calibrated win rate.

Labels are annotation rows by people. A label may show the pair the other way round; several people on one comparison
are averaged. What is estimated is each model's win rate over the baseline as people would give it.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from simfarm.errors import InputError
from simfarm.ranking.board import Board
from simfarm.ranking.units import prepare, units_by_annotator
from simfarm.statistics.calibration import Calibrated, align_labels, calibrate

__all__ = ["calibrated_win_rates"]


def calibrated_win_rates(rows: pd.DataFrame, labels: pd.DataFrame, board: Board) -> Mapping[str, Calibrated]:
    """The human-calibrated win rate (fractions) of each model that has at least 30 labels, for one annotator's board.

    `rows` are the annotations that `board` was made from, `labels` annotation rows by people. Raises `InputError` for
    labels of comparisons that were not judged, for fewer than 30 labels of every model, or where they lie on the other
    side of no baseline.
    """
    own = prepare(rows[rows["annotator"].astype(str) == board.annotator])
    everybody = prepare(pd.concat([own, labels.assign(annotator="people", judge_hash=None)], ignore_index=True))
    units = {u.annotator: u.table for u in units_by_annotator(everybody, board.baseline, allow_mixed=True)}
    if "people" not in units or units["people"].empty:
        raise InputError(f"no label compares a model with the baseline {board.baseline}; label pairs of this board")
    judged = units[board.annotator]
    people = units["people"]
    keys = [list(zip(t["cluster"], t["model"], strict=True)) for t in (judged, people)]
    aligned = align_labels(keys[0], keys[1], people["p"].to_numpy())
    hashes = sorted(own["judge_hash"].astype(str).unique())
    found = {}
    few = {}
    for model, part in judged.assign(label=aligned).groupby("model", sort=False, observed=True):
        n_labels = int(part["label"].notna().sum())
        if n_labels < 30:
            few[str(model)] = n_labels
            continue
        length = (part["length"] - part["length_baseline"]).to_numpy(dtype=float)
        features = {} if np.isnan(length).any() else {"length difference": length}
        found[str(model)] = calibrate(
            part["p"].to_numpy(), part["label"].to_numpy(), part["cluster"].to_numpy(), hashes, features
        )
    if not found:
        told = ", ".join(f"{m} has {n}" for m, n in list(few.items())[:3])
        raise InputError(f"calibration needs at least 30 human labels of one model; {told}: label more, at random")
    return found
