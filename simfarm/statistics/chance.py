"""Agreement beyond chance: κ of two raters and of many, Krippendorff's α, Gwet's AC1, each with a cluster interval.

All are 1 − D_o/D_e, the disagreement seen over the one expected by chance, and differ in what chance is. Chance is
estimated too: an item's part in D_e is D_e's value plus the item's influence on it, so that Σ part / Σ whole is the
coefficient itself and its interval that of a ratio (`simfarm.statistics.weighted`), which a few disagreements among
many items do not fool. Where nothing could disagree (all votes alike) a coefficient is not defined: NaN.

Arguments are those of `simfarm.statistics.agreement`. κ and AC1 are of sides (output_1, tie, output_2).
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from simfarm.errors import InputError
from simfarm.statistics.agreement import most_disagreement, side_counts, sides
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.logistic import Codes
from simfarm.statistics.ratios import ratio_estimate

__all__ = ["Metric", "cohen_kappa", "cohen_kappas", "fleiss_kappa", "gwet_ac1", "krippendorff_alpha"]

Metric = Literal["nominal", "ordinal", "interval"]


def cohen_kappa(a: Array, b: Array, cluster: Codes) -> Estimate:
    """Cohen's (1960) κ of two raters' verdicts, one each for an item (n,), over the items that both judged."""
    if not len(a) == len(b) == len(cluster):
        raise InputError("the two raters' verdicts and the clusters differ in length; give one each for an item")
    both = ~np.isnan(a) & ~np.isnan(b)
    one, two = (np.eye(3)[sides(x[both])] for x in (a, b))
    p, q = (x.mean(axis=0) if len(x) else np.zeros(3) for x in (one, two))
    seen = 1 - (one * two).sum(axis=1)
    return _coefficient(seen, 1 + p @ q - one @ q - two @ p, cluster[both], 1.0)


def cohen_kappas(p: Array) -> Array:
    """The value of Cohen's κ of every two of J raters, J × J, from their verdicts (J × n, NaN for none): all at once,
    where J² intervals would take minutes. NaN on the diagonal and where two share no item or could not disagree."""
    side = sides(p)
    taken = (side[:, None, :] == np.arange(3)[:, None]).astype(np.float32)
    j, n = p.shape
    flat = taken.reshape(3 * j, n)
    met = (flat @ flat.T).astype(np.float64).reshape(j, 3, j, 3)
    both = met.sum(axis=(1, 3))
    same = np.trace(met, axis1=1, axis2=3)
    chance = np.einsum("iaj,ija->ij", met.sum(axis=3), met.sum(axis=1))
    # both² (1 − seen) over both² (1 − chance)
    wrong, expected = both * (both - same), both**2 - chance
    found: Array = np.full((j, j), np.nan)
    np.divide(expected - wrong, expected, out=found, where=expected > 1e-12 * np.maximum(both, 1) ** 2)
    np.fill_diagonal(found, np.nan)
    return found


def fleiss_kappa(item: Codes, vote: Array, cluster: Codes) -> Estimate:
    """Fleiss' (1971) κ of many raters, over the items that have the most usual number of votes (two or more).

    It is defined for equally many votes only; α has no need of that.
    """
    counts = side_counts(item, vote, len(cluster))
    votes = counts.sum(axis=1).astype(np.int64)
    usual = np.bincount(votes[votes > 1], minlength=1)
    m = int(np.argmax(usual)) if usual.any() else 2
    counts, cluster = counts[votes == m], cluster[votes == m]
    shares = counts / m
    p = shares.mean(axis=0) if len(shares) else np.zeros(3)
    seen = 1 - (counts * (counts - 1)).sum(axis=1) / (m * (m - 1))
    return _coefficient(seen, 1 + p @ p - 2 * shares @ p, cluster, most_disagreement(counts))


def gwet_ac1(item: Codes, vote: Array, cluster: Codes) -> Estimate:
    """Gwet's (2008) AC1 of any number of raters: chance is guessing by those who guess, so that it stays high where
    nearly all votes take one side, where κ and α fall to 0 however often people agree.

    Disagreement is over items with two votes or more, the shares of the sides over all items with a vote; there are
    three sides where any vote is a tie, else two.
    """
    counts = side_counts(item, vote, len(cluster))
    votes = counts.sum(axis=1)
    several, any_vote = votes > 1, votes > 0
    shares = np.divide(counts, votes[:, None], out=np.zeros_like(counts), where=votes[:, None] > 0)
    pi = shares[any_vote].mean(axis=0) if any_vote.any() else np.zeros(3)
    spread = 3 if counts[:, 1].any() else 2
    pairs = np.maximum(votes * (votes - 1), 1)
    seen = 1 - (counts * (counts - 1)).sum(axis=1) / pairs
    # D_e = 1 − Σ π(1 − π)/(K − 1), an item's pull on it −Σ (1 − 2π)(share − π)/(K − 1)
    chance = float(pi @ (1 - pi)) / (spread - 1)
    pull = -((shares - pi) @ (1 - 2 * pi)) / (spread - 1)
    n, k = int(any_vote.sum()), int(several.sum())
    parts = np.where(several, seen, 0.0) / max(k, 1)
    wholes = np.where(any_vote, pull, 0.0) / max(n, 1) + several * (1 - chance) / max(k, 1)
    if not k:
        parts = np.full(len(parts), np.nan)
    used = any_vote
    return _coefficient(parts[used] * k, wholes[used] * k, cluster[used], most_disagreement(counts))


def krippendorff_alpha(item: Codes, vote: Array, cluster: Codes, metric: Metric = "nominal") -> Estimate:
    """Krippendorff's (2004) α of any number of raters, over items with two votes or more.

    "nominal" is of sides, "interval" of squared differences of votes, "ordinal" of squared differences of their ranks
    (middle ranks of all pairable votes, which is Krippendorff's ordinal metric). One pass over the votes, not over
    pairs of values, of which soft preferences have as many as there are votes.
    """
    n = len(cluster)
    counts = side_counts(item, vote, n)
    several = counts.sum(axis=1) > 1
    if metric == "nominal":
        counts, cluster = counts[several], cluster[several]
        votes, totals = counts.sum(axis=1), counts.sum(axis=0)
        size = float(totals.sum())
        seen = (votes**2 - (counts**2).sum(axis=1)) / (votes - 1)
        expected = (size**2 - float(totals @ totals)) / max(size - 1, 1)
        pull = 2 * (counts @ (size - totals)) / max(size - 1, 1) - votes * expected / max(size, 1)
        return _coefficient(seen, pull, cluster, float(votes.mean() if len(votes) else 1) * most_disagreement(counts))
    kept = ~np.isnan(vote) & several[item]
    return _alpha_of_numbers(item[kept], vote[kept], cluster, metric == "ordinal")


def _alpha_of_numbers(item: Codes, vote: Array, cluster: Codes, ranked: bool) -> Estimate:
    """α of squared differences of votes (or of their middle ranks), all of items with two votes or more."""
    n, size = len(cluster), len(vote)
    levels, level = np.unique(vote, return_inverse=True)
    totals = np.bincount(level, minlength=len(levels)).astype(np.float64)
    scale = np.cumsum(totals) - totals / 2 if ranked else levels
    if size:
        scale = scale - scale @ totals / size
    x = scale[level]
    votes, sums, squares = (np.bincount(item, w, minlength=n) for w in (np.ones(size), x, x * x))
    used = votes > 0
    over = np.where(used, votes - 1, 1)
    seen = 2 * (votes * squares - sums**2) / over
    spread = float(squares.sum())  # x has mean 0
    expected = 2 * size * spread / max(size - 1, 1)
    pull = 2 * (size * squares + votes * spread) / max(size - 1, 1) - votes * expected / max(size, 1)
    if ranked and size:
        # a vote moves the ranks of all above it, and with them both disagreements
        at_seen = np.bincount(level, (4 * (votes[item] * x - sums[item]) / over[item]), minlength=len(levels))
        at_pull = 4 * size / (size - 1) * totals * scale
        at = np.stack([at_seen, at_pull])
        above = np.cumsum(at[:, ::-1], axis=1)[:, ::-1] - at / 2
        above -= (above @ totals)[:, None] / size
        seen, pull = (x + np.bincount(item, y[level], minlength=n) for x, y in zip((seen, pull), above, strict=True))
    m = float(votes[used].mean()) if used.any() else 2.0
    most = float(np.ptp(scale)) ** 2 * m**2 / (2 * (m - 1)) if size else 1.0  # half of the votes at either end
    return _coefficient(seen[used], pull[used], cluster[used], most)


def _coefficient(seen: Array, expected: Array, cluster: Codes, most: float) -> Estimate:
    """1 − Σ `seen` / Σ `expected`; `most` is the largest that `seen` may be for an item."""
    total = float(expected.sum()) if len(expected) else 0.0
    if not len(seen) or np.isnan(seen).any() or total <= 1e-12 * len(expected):
        return Estimate(np.nan, np.zeros(0), cluster[:0], rate=False)
    mean = total / len(expected)
    return ratio_estimate(expected - seen, expected, cluster, (1 - most / mean, 1.0))
