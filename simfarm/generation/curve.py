"""What best-of-n buys: the expected gold score of the sample that a proxy likes best among n, for every n.

Picking one set of n among N samples throws the others away; the mean over *all* sets of n is as unbiased, has less
noise, and has a closed form. It is to best-of-n what Chen et al.'s (2021) estimator is to pass@k.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from simfarm.errors import InputError
from simfarm.ranking.estimate import Array, Estimate, mean_estimate

__all__ = ["Curve", "best_of_n_curve", "curve_rows", "curve_table", "expected_best", "kl_bound"]


@dataclass(frozen=True)
class Curve:
    """Position k is n = k + 1. `gold` is the expected true score of the sample chosen among n, `proxy` what the proxy
    itself promises of it; both in their own units, over the same instructions. `kl` is in nats."""

    n: NDArray[np.int64]
    kl: Array
    gold: tuple[Estimate, ...]
    proxy: tuple[Estimate, ...]

    @property
    def gains(self) -> tuple[Estimate, ...]:
        """Gold minus gold at n = 1, paired by instruction: is choosing better than not choosing?"""
        return tuple(estimate - self.gold[0] for estimate in self.gold)


def kl_bound(n: ArrayLike) -> Array:
    """log n - (n-1)/n: nats between best-of-n and the model it samples from.

    Stiennon et al. (2020) take it for the distance itself, which it is where no two samples are alike; in general it is
    an upper bound (Beirami et al. 2024): where the model repeats itself, the true distance is smaller.
    """
    sizes = np.asarray(n, dtype=np.float64)
    return np.log(sizes) - (sizes - 1) / sizes


@lru_cache(maxsize=8)
def _weights(samples: int, most: int) -> Array:
    """(most, samples): at [n-1, i-1] the chance that the best of n out of N is the one of rank i (1 lowest),
    C(i-1, n-1) / C(N, n).

    As a product: the chance that none of n is above rank i falls by (i - n)/i from each rank to the next lower one.
    Every factor is in [0, 1], so that nothing overflows and what underflows is 0.
    """
    rank = np.arange(samples, 0, -1.0)
    n = np.arange(1.0, most + 1)[:, None]
    steps = np.maximum(rank[:-1] - n, 0) / rank[:-1]
    none_above = np.cumprod(np.hstack([np.ones((most, 1)), steps]), axis=1)
    # the best is at rank i: none above it, and one of the n at it
    weights: Array = (none_above * n / rank)[:, ::-1]
    return weights


def expected_best(proxy: ArrayLike, gold: ArrayLike, most: int | None = None) -> Array:
    """Expected gold score of the proxy's favourite among n of one instruction's N samples, for n = 1 … `most` (N).

    `proxy` and `gold` have shape (N,). Samples that the proxy cannot tell apart are chosen with equal chance. Unbiased
    for what n fresh samples would give, for every n <= N.
    """
    liked, true = np.asarray(proxy, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    if liked.shape != true.shape or liked.ndim != 1 or not len(liked):
        raise InputError("an instruction's proxy and gold scores must be two lists of one length, at least 1")
    if most is not None and not 1 <= most <= len(liked):
        raise InputError(f"best of {most} cannot be told from {len(liked)} samples; n runs from 1 to their number")
    _, tied, count = np.unique(liked, return_inverse=True, return_counts=True)
    level = np.bincount(tied, true) / count
    best: Array = _weights(len(liked), most or len(liked)) @ np.repeat(level, count)
    return best


def best_of_n_curve(
    proxy: Sequence[ArrayLike], gold: Sequence[ArrayLike] | None = None, clusters: ArrayLike | None = None
) -> Curve:
    """The curve over instructions: `proxy[i]` and `gold[i]` hold the scores of instruction i's samples.

    Without `gold` the proxy is taken for the truth. Samples whose proxy is NaN (no verdict) are left out with their
    gold score, instructions that have no others too; n runs to the smallest number of samples left in an instruction.
    The interval's unit is the instruction, or what `clusters` (one number for each) says. Raises `InputError` where
    nothing is left, or for a gold score that is no finite number.
    """
    golds = proxy if gold is None else gold
    if len(golds) != len(proxy):
        raise InputError(f"there are proxy scores for {len(proxy)} instructions and gold scores for {len(golds)}")
    kept: list[tuple[Array, Array]] = []
    units = []
    for number, (one, two) in enumerate(zip(proxy, golds, strict=True)):
        liked, true = np.asarray(one, dtype=np.float64), np.asarray(two, dtype=np.float64)
        if liked.shape != true.shape:
            raise InputError(f"instruction {number} has {liked.size} proxy scores and {true.size} gold scores")
        known = ~np.isnan(liked)
        if not np.isfinite(true[known]).all():
            raise InputError(f"instruction {number} has a gold score that is no finite number")
        if known.any():
            kept.append((liked[known], true[known]))
            units.append(number)
    if not kept:
        raise InputError("there is no curve to draw: no sample has a score")
    most = min(len(liked) for liked, _ in kept)
    cluster = np.asarray(units, dtype=np.int64) if clusters is None else np.asarray(clusters, dtype=np.int64)[units]
    sizes = np.arange(1, most + 1)
    true_best = np.array([expected_best(liked, true, most) for liked, true in kept])
    proxy_best = np.array([expected_best(liked, liked, most) for liked, _ in kept])

    def estimates(values: Array) -> tuple[Estimate, ...]:
        # scores have any range: no rate, and so no logit scale
        return tuple(replace(mean_estimate(column, cluster), rate=False) for column in values.T)

    return Curve(sizes, kl_bound(sizes), estimates(true_best), estimates(proxy_best))


def curve_rows(curve: Curve, level: float = 0.95) -> list[dict[str, Any]]:
    """The curve as a table: `gain` is the gold score over that of n = 1; intervals end in `_low` and `_high`."""
    rows = []
    for k, (gold, gain, proxy) in enumerate(zip(curve.gold, curve.gains, curve.proxy, strict=True)):
        row: dict[str, Any] = {"n": int(curve.n[k]), "kl_bound": float(curve.kl[k])}
        for name, estimate in (("gold", gold), ("gain", gain), ("proxy", proxy)):
            low, high = estimate.interval(level)
            row |= {name: estimate.value, f"{name}_low": low, f"{name}_high": high}
        rows.append({**row, "instructions": gold.n_clusters})
    return rows


def curve_table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The rows of `curve_rows` as an aligned Markdown table, the intervals in brackets."""
    head = [c for c in rows[0] if not c.endswith(("_low", "_high"))]
    cells = [head]
    for row in rows:
        line = []
        for column in head:
            value = row[column]
            told = f"{value:.4g}" if isinstance(value, float) else str(value)
            if f"{column}_low" in row:
                told += f" [{row[f'{column}_low']:.4g}, {row[f'{column}_high']:.4g}]"
            line.append(told)
        cells.append(line)
    widths = [max(len(line[k]) for line in cells) for k in range(len(head))]
    cells.insert(1, ["-" * width for width in widths])
    return "\n".join("| " + " | ".join(map(str.ljust, line, widths)) + " |" for line in cells)
