"""What principles are worth on pairs nobody has looked at: how often each is right, and how often all of them are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from simfarm.agreement.trust import mean_over
from simfarm.engine.stats import Stats
from simfarm.judges import Judge
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.principles import Kept
from simfarm.statistics.ratios import ratio_estimate

__all__ = ["Explained", "Principle", "credit", "measured", "right"]


@dataclass(frozen=True)
class Principle:
    """A principle that was kept: on what share of the held-out pairs it has a bearing, how often it is right there, its
    weight in logits on the pairs that voted, and its q among all candidates."""

    text: str
    applies: Estimate
    right: Estimate
    weight: float
    q: float


@dataclass(frozen=True)
class Explained:
    """The principles kept, the strongest first; the `judge` that goes by them (None where none was kept); and how often
    held-out preferences are reconstructed (`accuracy`): by that judge (`principles`), by the judge `without` them, by
    the principles' own `votes`, by the `longest` output, and by `shuffled`, the whole procedure on shuffled labels.

    `gain` is that with principles less that without, on the same pairs. `rejected` are candidates that were wrong more
    often than right, beyond chance.
    """

    annotator: str
    principles: tuple[Principle, ...]
    judge: Judge | None
    accuracy: Mapping[str, Estimate]
    gain: Estimate | None
    counts: Mapping[str, int]
    rejected: tuple[str, ...]
    took: Stats
    in_process: bool
    level: float
    notes: tuple[str, ...] = ()


def right(said: Array, second: NDArray[np.bool_]) -> Array:
    """1 where a principle favours the preferred output, -1 the other, 0 none, NaN unknown."""
    return np.asarray(said * np.where(second, 1.0, -1.0)[:, None], dtype=np.float64)


def credit(p: Array, second: NDArray[np.bool_]) -> Array:
    """1 where p is on the side of the preference, ½ where it is on none, NaN without a verdict."""
    side = np.sign(p - 0.5)
    return np.asarray((1 + side * np.where(second, 1.0, -1.0)) / 2, dtype=np.float64)


def measured(texts: Sequence[str], votes: Array, cluster: NDArray[np.int64], kept: Kept) -> list[Principle]:
    made = []
    for k, text in enumerate(texts):
        known = ~np.isnan(votes[:, k])
        bears = np.where(known, votes[:, k] != 0, np.nan).astype(float)
        hits = np.where(known, votes[:, k] == 1, np.nan).astype(float)
        rate = ratio_estimate(hits[bears == 1], np.ones(int((bears == 1).sum())), cluster[bears == 1])
        made.append(
            Principle(text, mean_over(bears, cluster), rate, float(kept.weights[k]), float(kept.q[kept.order[k]]))
        )
    return made
