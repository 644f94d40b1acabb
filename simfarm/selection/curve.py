"""What best-of-n buys: the expected gold score of the sample that a proxy likes best among n, for every n.

Picking one set of n among N samples throws the others away; the mean over *all* sets of n is as unbiased, has less
noise, and has a closed form. It is to best-of-n what Chen et al.'s (2021) estimator is to pass@k. It holds for a proxy
that scores each sample by itself: a share of wins against the siblings is another score among n than among N.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from simfarm.data.evidence import text_digest
from simfarm.data.identity import cluster_codes
from simfarm.data.records import Output
from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate, mean_estimate
from simfarm.text.words import plural

__all__ = [
    "Curve",
    "best_of_n_curve",
    "curve_rows",
    "expected_best",
    "generator_curves",
    "group_clusters",
    "kl_bound",
]


@dataclass(frozen=True)
class Curve:
    """Position k is for `n[k]`. `gold` is the expected true score of the sample chosen among n, `proxy` what the proxy
    itself promises of it, `gains` gold minus gold at n = 1: is choosing better than not choosing? All in the scores'
    own units, over the instructions that have n scored samples (`gold[k].n_clusters` of them); `kl` is in nats.

    Where their number falls, two points of `gold` are of different instructions; a gain compares the same ones."""

    n: NDArray[np.int64]
    kl: Array
    gold: tuple[Estimate, ...]
    proxy: tuple[Estimate, ...]
    gains: tuple[Estimate, ...]


def kl_bound(n: ArrayLike) -> Array:
    """log n - (n-1)/n: nats between best-of-n and the model it samples from.

    Stiennon et al. (2020) take it for the distance itself, which it is where no two samples are alike; in general it is
    an upper bound (Beirami et al. 2024): where the model repeats itself, the true distance is smaller.
    """
    sizes = np.asarray(n, dtype=np.float64)
    return np.log(sizes) - (sizes - 1) / sizes


@lru_cache(maxsize=8)
def _weights(samples: int, sizes: tuple[int, ...]) -> Array:
    """(sizes, samples): at [k, i-1] the chance that the best of n = `sizes[k]` out of N is the one of rank i (1
    lowest), C(i-1, n-1) / C(N, n).

    As a product: the chance that none of n is above rank i falls by (i - n)/i from each rank to the next lower one.
    Every factor is in [0, 1], so that nothing overflows and what underflows is 0.
    """
    rank = np.arange(samples, 0, -1.0)
    n = np.array(sizes, dtype=np.float64)[:, None]
    steps = np.maximum(rank[:-1] - n, 0) / rank[:-1]
    none_above = np.cumprod(np.hstack([np.ones((len(n), 1)), steps]), axis=1)
    # the best is at rank i: none above it, and one of the n at it
    weights: Array = (none_above * n / rank)[:, ::-1]
    return weights


def expected_best(proxy: ArrayLike, gold: ArrayLike, sizes: Sequence[int] | None = None) -> Array:
    """Expected gold score of the proxy's favourite among n of one instruction's N samples, for n = 1 … N, or for each n
    of `sizes`: of many thousand samples every n would be a table of their number squared.

    `proxy` and `gold` have shape (N,). Samples that the proxy cannot tell apart are chosen with equal chance. Unbiased
    for what n fresh samples would give, for every n <= N, where a sample's scores do not depend on the other samples.
    """
    liked, true = np.asarray(proxy, dtype=np.float64), np.asarray(gold, dtype=np.float64)
    if liked.shape != true.shape or liked.ndim != 1 or not len(liked):
        raise InputError("an instruction's proxy and gold scores must be two lists of one length, at least 1")
    wanted = tuple(range(1, len(liked) + 1) if sizes is None else sizes)
    for n in wanted:
        if not 1 <= n <= len(liked):
            raise InputError(f"best of {n} cannot be told from {len(liked)} samples; n runs from 1 to their number")
    _, tied, count = np.unique(liked, return_inverse=True, return_counts=True)
    level = np.bincount(tied, true) / count
    best: Array = _weights(len(liked), wanted) @ np.repeat(level, count)
    return best


def best_of_n_curve(
    proxy: Sequence[ArrayLike],
    gold: Sequence[ArrayLike] | None = None,
    clusters: ArrayLike | None = None,
    sizes: Sequence[int] | None = None,
) -> Curve:
    """The curve over instructions: `proxy[i]` and `gold[i]` hold the scores of instruction i's samples.

    Without `gold` the proxy is taken for the truth. A sample's scores must be its own: those of a win share, which
    depend on the other samples, give a wrong curve. Samples whose proxy is NaN (no verdict) are left out with their
    gold score; n runs to the largest number of samples left, or over `sizes` (1 first, ascending), each n over the
    instructions that have as many.
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
    most = max(len(liked) for liked, _ in kept)
    n = np.arange(1, most + 1) if sizes is None else np.array([size for size in sizes if size <= most])
    cluster = np.asarray(units, dtype=np.int64) if clusters is None else np.asarray(clusters, dtype=np.int64)[units]
    true_best, proxy_best = np.full((2, len(kept), len(n)), np.nan)
    for row, (liked, true) in enumerate(kept):
        own = n[n <= len(liked)].tolist()
        true_best[row, : len(own)] = expected_best(liked, true, own)
        proxy_best[row, : len(own)] = expected_best(liked, liked, own)

    def estimates(values: Array) -> tuple[Estimate, ...]:
        # scores have any range: no rate, and so no logit scale
        return tuple(mean_estimate(column, cluster, None) for column in values.T)

    return Curve(n, kl_bound(n), estimates(true_best), estimates(proxy_best), estimates(true_best - true_best[:, :1]))


def group_clusters(outputs: Sequence[Output], groups: Sequence[Sequence[int]]) -> NDArray[np.int64]:
    """Which instruction each group answers, as every estimate counts them (see `identity.cluster_codes`): the
    same text in two datasets is one. Raises `InputError` where one id stands for two instructions."""
    firsts = [outputs[group[0]] for group in groups]
    texts = [first.instruction.strip() for first in firsts]
    data = pd.DataFrame({"instruction_sha256": map(text_digest, texts), "instruction_start": [t[:40] for t in texts]})
    for name in ("instruction_id", "dataset"):
        column = pd.Series([getattr(first, name) for first in firsts], dtype=object)
        if column.notna().any():
            data[name] = column
    return cluster_codes(data)


def generator_curves(
    outputs: Sequence[Output],
    groups: Sequence[Sequence[int]],
    proxy: Sequence[float],
    gold: Sequence[float],
    note: Callable[[str], None],
) -> dict[str, Curve]:
    """The curve of each generator, from the scores of all outputs. `note` is told of one that has no scored sample, and
    of one whose instructions become fewer."""
    clusters = group_clusters(outputs, groups)
    curves = {}
    for name in dict.fromkeys(outputs[group[0]].generator for group in groups):
        own = [g for g, group in enumerate(groups) if outputs[group[0]].generator == name]
        liked = [[proxy[row] for row in groups[g]] for g in own]
        if all(math.isnan(value) for group in liked for value in group):
            note(f"no curve of {name}: none of its samples has a score")
            continue
        curve = best_of_n_curve(liked, [[gold[row] for row in groups[g]] for g in own], clusters[own])
        first, last = curve.gold[0].n_clusters, curve.gold[-1].n_clusters
        if last < first:
            note(
                f"the curve of {name} rests on {plural(first, 'instruction')} at n = 1 and on {last} at n = "
                f"{len(curve.n)}: not all have as many scores"
            )
        curves[name] = curve
    return curves


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
