"""How often people agree with one another, and a judge with them; the first is the ceiling for the second.

All functions take votes as rows: `item` (which comparison, a code), `vote` in [0, 1] (how strongly output_2 is
preferred, ½ a tie, NaN none), and `cluster`, one code for each item. Two votes agree if they take the same side, or are
both ties. An item weighs one however many people voted on it, clusters are what intervals take for independent.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes
from simfarm.statistics.ratios import ratio_estimate

__all__ = [
    "Split",
    "agreement_with_mode",
    "agreement_with_votes",
    "leave_one_out",
    "modes",
    "most_disagreement",
    "pairwise_agreement",
    "side_counts",
    "sides",
    "vote_mean",
]

Split = Literal["half", "second", "out"]
"""What a mode is where votes are split evenly: each half of it (or a third), the second of two and the first of three
(AlpacaEval's, whose random choice has a fixed seed), or none, so that the item is left out."""


def sides(p: Array) -> Codes:
    """0 for output_1, 1 for a tie, 2 for output_2; −1 where there is no verdict."""
    return np.where(np.isnan(p), -1, 1 + np.sign(np.nan_to_num(p, nan=0.5) - 0.5)).astype(np.int64)


def side_counts(item: Codes, vote: Array, n: int) -> Array:
    """How many votes took each side, shape n items × 3."""
    _check(item, vote, n)
    side = sides(vote)
    cast = side >= 0
    return np.bincount(3 * item[cast] + side[cast], minlength=3 * n).reshape(n, 3).astype(np.float64)


def modes(counts: Array, split: Split = "half") -> Array:
    """The share that each side has in the mode of an item's votes, n × 3; NaN where there is none.

    One for the most frequent side; under `split` "half" as many equal shares as sides are the most frequent.
    """
    top = (counts == counts.max(axis=1, keepdims=True)) & (counts.sum(axis=1, keepdims=True) > 0)
    tied = top.sum(axis=1, keepdims=True)
    if split == "second":
        last = np.where(tied[:, 0] == 3, 0, 2 - np.argmax(top[:, ::-1], axis=1))
        top, tied = top & (np.arange(3) == last[:, None]), np.minimum(tied, 1)
    shares = np.divide(top, tied, out=np.full(counts.shape, np.nan), where=tied > 0)
    return np.where(tied > 1, np.nan, shares) if split == "out" else shares


def pairwise_agreement(item: Codes, vote: Array, cluster: Codes, *, by: Literal["item", "pair"] = "item") -> Estimate:
    """The share of pairs of votes on one item that agree: the mean over items with two votes or more, or over pairs."""
    counts = side_counts(item, vote, len(cluster))
    votes = counts.sum(axis=1)
    pairs = votes * (votes - 1)
    alike = (counts * (counts - 1)).sum(axis=1)
    whole = np.where(pairs > 0, 1.0 if by == "item" else pairs, np.nan)
    agreed = alike / np.where(pairs > 0, pairs, np.nan) * whole
    return ratio_estimate(agreed, whole, cluster, (1 - most_disagreement(counts), 1.0))


def most_disagreement(counts: Array) -> float:
    """The largest share of pairs that may disagree on one item (`counts` n × 3): votes split evenly over the sides that
    are in use. Of twenty votes that is about half, not all, and an unseen item is no worse."""
    votes = counts.sum(axis=1)
    m = float(votes[votes > 1].mean()) if (votes > 1).any() else 2.0
    k = min(m, 3 if counts[:, 1].any() else 2)
    return min(1.0, m * (1 - 1 / k) / (m - 1))


def leave_one_out(item: Codes, vote: Array, cluster: Codes) -> Estimate:
    """How often a vote is the mode of the others on its item, a share of it where they are split.

    The ceiling: what a judge that were one more person would reach. Over items with two votes or more.
    """
    counts = side_counts(item, vote, len(cluster))
    votes = counts.sum(axis=1)
    hits = np.zeros(len(cluster))
    for side in range(3):
        others = counts - (np.arange(3) == side)
        cast = counts[:, side] > 0
        hits[cast] += counts[cast, side] * np.nan_to_num(modes(others[cast])[:, side])
    several = votes > 1
    agreed = np.divide(hits, votes, out=np.full(len(cluster), np.nan), where=several)
    return ratio_estimate(agreed, np.ones(len(cluster)), cluster)


def agreement_with_mode(
    judged: Array, item: Codes, vote: Array, cluster: Codes, *, split: Split = "half", ties: bool = True
) -> Estimate:
    """How often a judge's verdict (`judged`, one for each item, NaN none) is the mode of people's votes.

    Without `ties` only items whose mode is a side count, and a judge's tie is half right there.
    """
    shares = modes(side_counts(item, vote, len(cluster)), split)
    side = sides(judged)
    right = np.where(side >= 0, np.take_along_axis(shares, np.maximum(side, 0)[:, None], axis=1)[:, 0], np.nan)
    if not ties:
        right = np.where(side == 1, 0.5, right)
        right = np.where(shares[:, 1] == 0, right, np.nan)
        right = np.where(side >= 0, right, np.nan)
    return ratio_estimate(right, np.ones(len(cluster)), cluster)


def agreement_with_votes(
    judged: Array, item: Codes, vote: Array, cluster: Codes, *, by: Literal["side", "distance"] = "side"
) -> Estimate:
    """How well a judge's verdict fits each person's vote, the mean over an item's votes and then over items.

    By "side" it fits where both take one side or both are ties; by "distance" it is 1 − |p − vote|, so that a tie is
    half right beside a side, and a soft preference counts as what it is.
    """
    _check(item, vote, len(cluster))
    said = judged[item]
    if by == "side":
        fits = np.where(np.isnan(said) | np.isnan(vote), np.nan, sides(said) == sides(vote))
    else:
        fits = 1 - np.abs(said - vote)
    return vote_mean(fits, item, cluster)


def vote_mean(values: Array, item: Codes, cluster: Codes, *, by: Literal["item", "vote"] = "item") -> Estimate:
    """The mean of numbers in [0, 1], one for each vote (NaN left out): over items, of each the mean; or over votes."""
    known = ~np.isnan(values)
    count = np.bincount(item[known], minlength=len(cluster)).astype(np.float64)
    total = np.bincount(item[known], values[known], minlength=len(cluster))
    whole = np.where(count > 0, count if by == "vote" else 1.0, np.nan)
    return ratio_estimate(np.where(count > 0, total / np.maximum(count, 1), np.nan) * whole, whole, cluster)


def _check(item: Codes, vote: Array, n: int) -> None:
    if len(item) != len(vote):
        raise InputError(f"there are {len(vote)} votes for {len(item)} item codes; give each vote its item")
    if len(item) and (item.min() < 0 or item.max() >= n):
        raise InputError(f"an item code is outside 0 … {n - 1}; give every item a cluster")
    if np.nanmin(vote, initial=0.0) < 0 or np.nanmax(vote, initial=0.0) > 1:
        raise InputError("a vote is outside [0, 1]; recode 1 / 1.5 / 2 to 0 / 0.5 / 1")
