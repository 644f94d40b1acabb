"""Places that are sure: tiers and ranks from who is shown to be better than whom."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

__all__ = ["levels"]

Codes = NDArray[np.int64]


def levels(better: NDArray[np.bool_]) -> tuple[Codes, Codes]:
    """(1 + the longest chain of models shown to be better, one above the other; the ranks that leaves, M × 2), where
    `better[m, k]` says that k is shown to be better than m."""
    above = better.copy()
    for _ in range(max(1, math.ceil(math.log2(len(above))))):
        wider = above | (above.astype(np.float32) @ above.astype(np.float32) > 0)
        if (wider == above).all():
            break
        above = wider
    above &= ~above.T
    n_above = above.sum(axis=1)
    tier = np.ones(len(above), dtype=np.int64)
    for m in np.argsort(n_above, kind="stable"):
        if n_above[m]:
            tier[m] = 1 + tier[above[m]].max()
    return tier, np.stack([1 + n_above, len(above) - above.sum(axis=0)], axis=1)
