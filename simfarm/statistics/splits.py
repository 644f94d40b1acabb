"""How equally many labels of each item split: all alike, one against the rest, evenly; and how far two crowds' splits
are apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from scipy.special import entr, ndtri, stdtrit

from simfarm.statistics.agreement import side_counts
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes
from simfarm.statistics.ratios import ratio_estimate

__all__ = ["SplitDistance", "label_entropy", "split_distance", "splits"]

_DRAWS = 20_000


@dataclass(frozen=True)
class SplitDistance:
    """How far the splits of two crowds are apart: `value` is the total variation distance, the share of items that
    would have to split otherwise. It has the limits `low` and `high`, and `p` is of "they are the same"."""

    value: float
    low: float
    high: float
    p: float
    n_clusters: int


def label_entropy(item: Codes, vote: Array, cluster: Codes) -> Estimate:
    """The mean entropy, in bits, of the shares that the three sides have of an item's labels. It grows with their
    number: only crowds with as many labels of each item can be compared."""
    counts = side_counts(item, vote, len(cluster))
    total = counts.sum(axis=1, keepdims=True)
    shares = np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0)
    most = np.log2(3 if counts[:, 1].any() else 2)
    return ratio_estimate(entr(shares).sum(axis=1) / np.log(2), np.ones(len(cluster)), cluster, (0.0, float(most)))


def splits(item: Codes, vote: Array, cluster: Codes, among: tuple[str, ...] = ()) -> Mapping[str, Estimate]:
    """The share of items that split each way ("4–0", "3–1" …; a tie is a side of its own: "2–1–1"), the clearest first;
    those of `among` too where no item does."""
    counts = side_counts(item, vote, len(cluster))
    sizes = -np.sort(-counts, axis=1).astype(np.int64)
    labelled = sizes[:, 0] > 0
    named = np.array([_name(row) for row in sizes], dtype=object)
    kinds = sorted({*named[labelled], *among}, key=lambda name: tuple(-int(x) for x in name.split("–")))
    ones = np.ones(len(cluster))
    return {kind: ratio_estimate(np.where(labelled, named == kind, np.nan), ones, cluster) for kind in kinds}


def _name(sizes: Codes) -> str:
    """4, 0, 0 as 4–0."""
    shown = sizes if sizes[2] else sizes[:2]
    return "–".join(str(x) for x in shown)


def split_distance(
    one: Mapping[str, Estimate], other: Mapping[str, Estimate], level: float = 0.95, extra: float = 0.0
) -> SplitDistance:
    """The distance of two crowds' `splits` of the same kinds, ½ Σ |differences|.

    A distance is never below 0, and two samples of one crowd are some way apart. So its limits are those that the
    triangle inequality gives: it is no further from the truth than the noise's own distance from 0, whose quantile is
    drawn from a normal with the clusters' covariance. They hold or are too wide, and leave 0 out just where that
    noise seldom gets so far. `extra` is a standard error beside the sample's.
    """
    gaps = [other[kind] - one[kind] for kind in one]
    value = 0.5 * sum(abs(gap.value) for gap in gaps)
    n = gaps[0].n_clusters
    if n < 2:
        return SplitDistance(value, np.nan, np.nan, np.nan, n)
    pulls = np.stack([gap.influence for gap in gaps])
    # a normal that varies as the differences do: the eigenvectors' signs do not matter to what is drawn
    root = np.linalg.cholesky(pulls @ pulls.T / (n * (n - 1)) + 1e-12 * np.eye(len(gaps)))
    drawn = 0.5 * np.abs(np.random.default_rng(0).standard_normal((_DRAWS, len(gaps))) @ root.T).sum(axis=1)
    wider = float(stdtrit(n - 1.0, 0.975) / ndtri(0.975))
    noise = np.sqrt((wider * drawn) ** 2 + (extra * ndtri(0.5 + level / 2)) ** 2) if extra else wider * drawn
    reach = float(np.quantile(noise, level))
    p = (1 + float((noise >= value).sum())) / (1 + _DRAWS)
    if value > 0 and not any(gap.influence.any() for gap in gaps):
        # each crowd's items all split alike: their variance says nothing, the bounds of a share do
        each = 1 - (1 - level) / len(gaps)
        reach = max(reach, *(gap.interval(each)[1] - gap.value for gap in gaps))
        p = max(p, min(1.0, len(gaps) * min(gap.p_value() for gap in gaps)))
    return SplitDistance(value, max(0.0, value - reach), min(1.0, value + reach), p, n)
