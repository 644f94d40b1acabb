"""What a judge's own probabilities leave open of a mean score: another thing than what a sample leaves open.

A judge that says "true with probability .7" of each of a hundred answers leaves open how many of these very answers it
is true of, though its mean .7 is known exactly. The interval of a mean is about other instructions; this is about the
same answers, and only where the probabilities are true. Neither holds the other: they are not to be added up.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from simfarm.statistics.estimate import Array, grouped

__all__ = ["own_error"]


def own_error(sd: Array, clusters: NDArray[np.int64]) -> float:
    """√(Σ s_g²)/G: the standard error that independent draws from the judge's distributions would give the mean over G
    clusters of the cluster means, where s_g is the mean of the standard deviations `sd` (n,) in cluster g.

    The calls about one instruction (orders, repeats, rivals) ask one judge about one answer and doubt together: their
    standard deviations are averaged, as those of numbers that go up and down together are. NaN where any is not known.
    """
    if not len(sd):
        return math.nan
    ids, position = grouped(clusters)
    each = np.bincount(position, sd) / np.bincount(position)
    return float(math.sqrt(each @ each) / len(ids))
