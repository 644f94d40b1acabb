"""Does a judge prefer what its own model wrote? More than people do, and more than it departs from people for others.

That a judge prefers its own generator's outputs shows nothing: they may be better. So people's preference is taken off.
That what is left is above zero shows little: the same departure may favour every long-winded model. So the departure
for other generators is taken off too, a difference in differences:

    (judge − people, for the judge's own generator) − (judge − people, for the other generators on average)

A departure belongs to a pair of generators; it is taken for the difference of two generators' (least squares, as
Bradley-Terry has it for preferences), so that it does not matter which pairs happen to have been compared. Panickssery,
Bowman and Feng (2024, LLM evaluators recognize and favor their own generations) and Wataoka, Takahashi and Ri (2024,
Self-preference bias in LLM-as-a-judge) compare a judge's rates alone, or within people's verdicts of one pair.
"""

from __future__ import annotations

import math

import numpy as np

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes

__all__ = ["self_preference"]

_EXACT = 2000
"""Most clusters whose own pull on the fit is taken out one by one; of more, each has next to none."""


def self_preference(
    judged: Array, people: Array, generator_1: Codes, generator_2: Codes, cluster: Codes, *, own: int
) -> Estimate:
    """How much more often the judge prefers outputs of generator `own` than people do, beyond how much more often it
    prefers the others'; in shares of comparisons, −1 to 1, 0 for a judge without the habit.

    One entry for each item: the judge's p and the mean of people's votes (NaN where there is none: left out), the codes
    of the two generators. NaN over no clusters where `own` is compared with nobody, or the others hang together only
    through items without verdicts. With two generators it is the departure in favour of `own` alone.
    """
    if not len(judged) == len(people) == len(generator_1) == len(generator_2) == len(cluster):
        raise InputError(
            "verdicts, people's means, generators and clusters differ in length; give one each for an item"
        )
    known = ~np.isnan(judged) & ~np.isnan(people) & (generator_1 != generator_2)
    names, codes = np.unique(np.stack([generator_1, generator_2])[:, known], return_inverse=True)
    first, second = codes.reshape(2, -1)
    departure, n = (judged - people)[known], len(names)
    laplacian = np.zeros((n, n))
    np.add.at(laplacian, (first, second), -1.0)
    laplacian = laplacian + laplacian.T
    laplacian[np.diag_indices(n)] = -laplacian.sum(axis=1)
    at = np.flatnonzero(names == own)
    if not len(at) or np.linalg.matrix_rank(laplacian) < n - 1:
        return Estimate(math.nan, np.zeros(0), cluster[:0], rate=False)
    contrast = np.where(np.arange(n) == at[0], 1.0, -1.0 / (n - 1))
    inverse: Array = np.linalg.pinv(laplacian).astype(np.float64)
    sums = np.bincount(second, departure, minlength=n) - np.bincount(first, departure, minlength=n)
    effects = inverse @ sums
    left = departure - (effects[second] - effects[first])
    ids, place = np.unique(cluster[known], return_inverse=True)
    if len(ids) <= _EXACT:
        left = _without_own_pull(left, first, second, place, inverse)
    # least squares gives each item a fixed weight in the contrast
    reach = inverse @ contrast
    pull = np.bincount(place, (reach[second] - reach[first]) * left) * len(ids)
    return Estimate(float(effects @ contrast), pull - pull.mean(), ids, rate=False)


def _without_own_pull(left: Array, first: Codes, second: Codes, cluster: Codes, inverse: Array) -> Array:
    """What is left of each item's departure by a fit without its cluster (CR3 of Bell and McCaffrey 2002)."""
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order], prepend=-1))
    corrected = left.copy()
    for rows in np.split(order, starts[1:]):
        x = np.zeros((len(rows), len(inverse)))
        x[np.arange(len(rows)), second[rows]] += 1
        x[np.arange(len(rows)), first[rows]] -= 1
        # a hair short of the whole, so that what a cluster alone decides has a solution
        corrected[rows] = np.linalg.solve(np.eye(len(rows)) - (1 - 1e-7) * (x @ inverse @ x.T), left[rows])
    return corrected * (1 - 1 / len(starts))
