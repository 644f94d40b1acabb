"""What is wrong with a judge that asking again would not mend, and what would: AlpacaEval's bias and variance.

Bias is how far the mode of all of a judge's runs is from the mode of people's votes; variance how far one run is from
the mode of the judge's other runs (of people: one vote from the others'). The distance of two opposite sides is 1, of a
tie from a side ½. Arguments are those of `simfarm.statistics.agreement`; a judge's runs are votes too.

AlpacaEval's own numbers (github.com/tatsu-lab/alpaca_eval, analyze.py) take exactly m votes an item (`first_votes`) and
the fixed choice `split="second"` where they are even.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from simfarm.statistics.agreement import Split, modes, side_counts, sides, vote_mean
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes
from simfarm.statistics.ratios import ratio_estimate

__all__ = ["first_votes", "judge_bias", "vote_variance", "votes_with_modes"]

_DISTANCE = np.abs(np.subtract.outer([0.0, 0.5, 1.0], [0.0, 0.5, 1.0]))


def first_votes(item: Codes, vote: Array, m: int) -> NDArray[np.bool_]:
    """Which votes are among the first `m` on their item, of items that have as many; others are left out."""
    cast = np.flatnonzero(~np.isnan(vote))
    order = cast[np.argsort(item[cast], kind="stable")]
    _, start, count = np.unique(item[order], return_index=True, return_counts=True)
    place = np.arange(len(order)) - np.repeat(start, count)
    kept = np.zeros(len(vote), dtype=np.bool_)
    kept[order[(place < m) & np.repeat(count >= m, count)]] = True
    return kept


def judge_bias(
    item: Codes, vote: Array, people_item: Codes, people_vote: Array, cluster: Codes, *, split: Split = "half"
) -> Estimate:
    """The mean distance of the mode of a judge's runs (`item`, `vote`) from the mode of people's votes.

    It holds what people's own chance adds: the mode of four is not that of all people.
    """
    judge, people = (modes(side_counts(*x, len(cluster)), split) for x in ((item, vote), (people_item, people_vote)))
    apart = np.einsum("is,st,it->i", judge, _DISTANCE, people)
    return ratio_estimate(apart, np.ones(len(cluster)), cluster)


def vote_variance(item: Codes, vote: Array, cluster: Codes, *, split: Split = "half") -> Estimate:
    """The mean distance of one vote from the mode of the others on its item, over items with two votes or more."""
    counts = side_counts(item, vote, len(cluster))
    votes = counts.sum(axis=1)
    apart = np.zeros(len(cluster))
    for side in range(3):
        cast = (counts[:, side] > 0) & (votes > 1)
        others = modes(counts[cast] - (np.arange(3) == side), split)
        apart[cast] += counts[cast, side] * (others @ _DISTANCE[side])
    apart = np.divide(apart, votes, out=np.full(len(cluster), np.nan), where=votes > 1)
    return ratio_estimate(apart, np.ones(len(cluster)), cluster)


def votes_with_modes(
    item: Codes, vote: Array, people_item: Codes, people_vote: Array, cluster: Codes, *, split: Split = "half"
) -> Estimate:
    """How near a judge's runs are to the mode of people's votes, one minus the distance: AlpacaEval's agreement.

    The mean over an item's runs and then over items; of one run `agreement_with_mode` where there are no ties.
    """
    people = modes(side_counts(people_item, people_vote, len(cluster)), split)
    apart = np.einsum("it,it->i", _DISTANCE[sides(vote)], people[item])
    return vote_mean(np.where(np.isnan(vote), np.nan, 1 - apart), item, cluster)
