"""What a judge prefers whatever is better: the output it saw first, the longer one, the one with a list.

A habit is a share of preferences and means nothing alone: people prefer longer answers too, and rightly where they say
more. So each is given beside people's own share, and length also within what people said (`longer_given`). A tie is
half a preference for either. Arguments are those of `simfarm.statistics.agreement`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from simfarm.errors import InputError
from simfarm.statistics.agreement import sides, vote_mean
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes
from simfarm.statistics.means import group_means
from simfarm.statistics.ratios import ratio_estimate
from simfarm.text.words import plural

__all__ = [
    "NOTABLE_LENGTH",
    "LongerGiven",
    "Swaps",
    "first_shown",
    "longer",
    "longer_given",
    "preference_for",
    "swaps",
]

NOTABLE_LENGTH = 30
"""Characters that two lengths must differ by, and more, for one output to be the longer: AlpacaEval's."""


@dataclass(frozen=True)
class LongerGiven:
    """How often a judge prefers the longer output where people prefer the longer, and where they prefer the shorter.

    `bias` is the first plus the second minus 1: 0 for a judge that errs as often towards either, 1 for `longest`. It is
    what equal opportunity means for length (Saito et al. 2023, Verbosity bias in preference labeling by large language
    models): being right as often where the shorter is better.
    """

    longer: Estimate
    shorter: Estimate
    bias: Estimate


@dataclass(frozen=True)
class Swaps:
    """What the two orders of one comparison did: `same` side both times, `reversed` to the other side, or `tie` in one
    only; shares of the comparisons that have a verdict in both orders, which sum to 1."""

    same: Estimate
    reversed: Estimate
    tie: Estimate


def longer(length_1: Array, length_2: Array) -> Codes:
    """Which output (n,) is notably longer: 1 for output_2, −1 for output_1, 0 for neither."""
    difference = length_2 - length_1
    return np.where(np.abs(difference) > NOTABLE_LENGTH, np.sign(difference), 0).astype(np.int64)


def preference_for(item: Codes, vote: Array, which: Codes, cluster: Codes, *, ties: bool = True) -> Estimate:
    """How often votes prefer the output that has something the other has not: P(longer), P(list), P(bold).

    `which` has 1 for an item where output_2 alone has it, −1 for output_1, 0 where neither or both have: these do not
    count. A vote weighs one. Without `ties` it is the share of the votes that took a side. AlpacaEval's shares take
    one vote an item, and a tie for output_2.
    """
    has = which[item]
    preferred, counts = np.where(has > 0, vote, 1 - vote), has != 0
    if not ties:
        counts = counts & (sides(preferred) != 1)
        preferred = np.where(np.isnan(preferred), np.nan, (preferred > 0.5).astype(np.float64))
    return vote_mean(np.where(counts, preferred, np.nan), item, cluster, by="vote")


def first_shown(item: Codes, vote: Array, swapped: Array, cluster: Codes) -> Estimate:
    """P(first): how often the output that was shown first is preferred; ½ for a judge without the habit.

    `swapped` (n,) is 1 where output_2 was shown first, 0 where output_1, NaN where unknown. It is ½ + (A − B)/2 with A
    how often output_1 is preferred when shown first, B when shown second: so that how good the outputs are cancels out,
    however often each order was asked. Over the items that were asked in both orders where most were, else over all.
    """
    n = len(cluster)
    first, second = (group_means(np.where(swapped == order, 1 - vote, np.nan), item, n) for order in (0.0, 1.0))
    both = ~np.isnan(first + second)
    if 2 * both.sum() >= (~np.isnan(first) | ~np.isnan(second)).sum():
        return ratio_estimate((1 + first - second) / 2, np.ones(n), cluster)
    parts = [ratio_estimate(part, np.ones(n), cluster) for part in (first, second)]
    if min(part.n_clusters for part in parts) < 2:
        return Estimate(np.nan, np.zeros(0), cluster[:0])
    gap = parts[0] - parts[1]
    half = replace(gap, value=(1 + gap.value) / 2, influence=gap.influence / 2, shared=gap.shared / 2)
    return replace(half, rate=True, bounds=None, plain=None)


def swaps(as_given: Array, swapped: Array, cluster: Codes) -> Swaps:
    """How two verdicts on each item (n,), of output_1 shown first and of output_2 shown first, go together.

    Both are preferences for output_2, NaN where there is none. A reversal contradicts itself; between a tie and a side
    it only wavers, and judges that allow ties do that far more often.
    """
    one, two = sides(as_given), sides(swapped)
    both = (one >= 0) & (two >= 0)
    kinds = (one == two, np.abs(one - two) == 2, np.abs(one - two) == 1)
    ones = np.ones(len(cluster))
    found = [ratio_estimate(np.where(both, kind, np.nan), ones, cluster) for kind in kinds]
    return Swaps(*found)


def longer_given(judged: Array, item: Codes, vote: Array, which: Codes, cluster: Codes) -> LongerGiven:
    """A judge's preference for the longer output by what each person's vote preferred; `which` is that of `longer`.

    A vote weighs one; ties of people and items without a longer output do not count, a judge's tie counts a half.
    """
    if len(judged) != len(cluster):
        raise InputError(f"{plural(len(judged), 'verdict')} for {plural(len(cluster), 'item')}: give one each, or NaN")
    has, said = which[item], judged[item]
    toward = np.where(has > 0, said, 1 - said)
    people = np.where(has > 0, vote, 1 - vote)
    known = (has != 0) & ~np.isnan(said) & (sides(vote) != 1) & (sides(vote) >= 0)
    chosen = [known & side for side in (people > 0.5, people < 0.5)]
    one, other = (vote_mean(np.where(rows, toward, np.nan), item, cluster, by="vote") for rows in chosen)
    return LongerGiven(one, other, _sum_less_one((one, other), [int(rows.sum()) for rows in chosen]))


def _sum_less_one(shares: tuple[Estimate, Estimate], votes: list[int]) -> Estimate:
    """The sum of two shares, each of votes of its own, less 1: a mean over clusters to first order, in which one unseen
    vote may be all that its own share has not seen. Where the shares do not vary it has a width all the same."""
    if not all(votes):
        return Estimate(np.nan, np.zeros(0), shares[0].clusters[:0], rate=False)
    ids = np.union1d(shares[0].clusters, shares[1].clusters)
    influence, down, up = np.zeros(len(ids)), 0.0, 0.0
    for share, n in zip(shares, votes, strict=True):
        influence[np.searchsorted(ids, share.clusters)] += share.influence * len(ids) / share.n_clusters
        down, up = max(down, share.value * sum(votes) / n), max(up, (1 - share.value) * sum(votes) / n)
    value = shares[0].value + shares[1].value - 1
    return Estimate(value, influence, ids, rate=False, bounds=(value - down, value + up), weights=np.ones(len(ids)))
