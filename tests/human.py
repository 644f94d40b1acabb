"""The shared human labels as codes and arrays, for tests of agreement."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

SETS = ("alpacafarm_cross", "pandalm", "vicuna80", "llmbar")


@dataclass(frozen=True)
class Labels:
    """One set: `item` and `vote` of each vote, what each item is called, its lengths, the recorded judges' rows."""

    item: Codes
    vote: Array
    rater: Codes
    names: Array
    lengths: Array
    judges: pd.DataFrame

    @property
    def cluster(self) -> Codes:
        return np.arange(len(self.names))

    @property
    def longest(self) -> Array:
        """What a judge says that prefers the longer output, whatever is in it."""
        difference = self.lengths[:, 1] - self.lengths[:, 0]
        return (1 + np.sign(difference)) / 2

    def judged(self, judge: str, **which: Any) -> Array:
        """One judge's p for each item, NaN where there is none."""
        rows = self.judges[self.judges.judge == judge]
        for column, value in which.items():
            rows = rows[rows[column] == value]
        p = np.full(len(self.names), np.nan)
        p[np.searchsorted(self.names, rows.item_id.to_numpy(object))] = rows.preference - 1
        return p


def labels(data: Path, name: str) -> Labels:
    """The set `name` of `data`, as read from its files."""
    frame = pd.read_parquet(data / "human" / f"{name}.parquet")
    names, first, item = np.unique(frame.item_id.to_numpy(object), return_index=True, return_inverse=True)
    rows = frame.iloc[first]
    lengths = np.stack([rows.output_1.str.len(), rows.output_2.str.len()], axis=1).astype(float)
    rater = np.unique(frame.annotator.to_numpy(object), return_inverse=True)[1]
    judges = pd.read_parquet(data / "human" / f"{name}_judges.parquet")
    return Labels(item, frame.preference.to_numpy(float) - 1, rater, names, lengths, judges)


def reference(data: Path) -> dict[str, Any]:
    """The figures that two independent programs found."""
    found: dict[str, Any] = json.loads((data / "human" / "reference_metrics.json").read_text(encoding="utf-8"))
    return found
