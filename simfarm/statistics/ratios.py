"""A ratio of sums over clusters as one estimate: rates of which clusters have unequal parts, κ and its kin."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from simfarm.statistics.estimate import Array, Estimate, grouped

__all__ = ["ratio_estimate"]

_FAR = 2.0
"""Standard deviations that an unseen cluster may be out at least: nearer, ten clusters cover .85."""


def ratio_estimate(
    part: Array, whole: Array, clusters: NDArray[np.int64], bounds: tuple[float, float] = (0.0, 1.0)
) -> Estimate:
    """Σ `part` / Σ `whole` over rows (n,) of `clusters`, whose sums are the units: a row weighs as much as its whole.

    `bounds` are those of part / whole in one row. Where all clusters have the same whole and one row each it is the
    plain mean of their ratios. Of several rows in a cluster not all will be at the far end unless they share their
    luck: what an unseen cluster may be is then drawn in to as many rows as count for one, by the design effect, though
    not to under two standard deviations. NaN over no clusters where there is nothing to divide by. Rows with a NaN are
    left out.
    """
    known = ~np.isnan(part) & ~np.isnan(whole)
    ids, position = grouped(clusters[known])
    parts, wholes = np.bincount(position, part[known]), np.bincount(position, whole[known])
    total = float(wholes.sum())
    if not len(ids) or abs(total) < 1e-12:
        return Estimate(math.nan, np.zeros(0), ids[:0])
    value, mean = float(parts.sum()) / total, total / len(ids)
    pulls = parts - value * wholes
    weights = wholes / mean
    rate, rows = bounds[0] >= 0 and bounds[1] <= 1, len(position) / len(ids)
    influence = pulls / mean
    apart = float(((part[known] - value * whole[known]) ** 2).sum())
    reach = min(1.0, max(1.0, float(pulls @ pulls) / apart) / rows) if apart > 1e-12 else 1.0
    if reach < 1:
        least = _FAR * float(np.sqrt(influence @ influence / len(ids)))
        down, up = (min(x, max(reach * x, least)) for x in (value - bounds[0], bounds[1] - value))
        bounds = value - down, value + up
    even = reach == 1 and bool(np.ptp(weights) < 1e-12)
    return Estimate(value, influence, ids, rate, bounds=bounds, weights=None if even else weights)
