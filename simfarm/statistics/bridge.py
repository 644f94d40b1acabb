"""From one judge's rates to another's: the link that models judged by both give, for models judged by the old alone.

It is fitted on the models' rates, not on single verdicts: a verdict is a noisy sight of what its judge thinks, and a
line through noisy sights is too flat (regression dilution). On recorded GPT-4 and Claude verdicts a link of single
verdicts missed a model that was left out by 5 to 18 points, one of rates by 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc, expit, gammaincinv, logit, ndtri, stdtrit

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array, Estimate
from simfarm.text.words import plural

__all__ = ["MIN_MODELS", "Link", "fit_link", "missing_to_judge"]

MIN_MODELS = 4
"""A line has two coefficients; what is left over must say how far models stray from it."""

_TAILS = 1.3
"""By how much the variance of a model's own misfit is more than those of the models seen: models stray with longer
tails than a normal's. By `benchmarks/bridge.py`, where the rule `longest` as the new judge had .91 to .95 without."""

_QUANTILES = (np.arange(2000) + 0.5) / 2000
_STEPS, _RUN_OFF = 100, 50.0


@dataclass(frozen=True)
class Link:
    """logit(new rate) = intercept + slope · logit(old rate), with how far models stray from it (`misfit`, the standard
    deviation on that scale). `slope_low` and `slope_high` are at `level`; `missed` is the root mean square, in
    fractions, of what the link says of each of its models when fitted on the others; `lowest` and `highest` are the old
    rates it was fitted on, beyond which it is a guess.

    The rest is what `rate` works with: the design's weights, the models' errors on the clusters, and draws of misfit².
    """

    intercept: float
    slope: float
    slope_low: float
    slope_high: float
    misfit: float
    missed: float
    n_models: int
    lowest: float
    highest: float
    level: float
    weights: Array = field(repr=False)
    errors: Array = field(repr=False)
    clusters: NDArray[np.int64] = field(repr=False)
    misfits: Array = field(repr=False)
    widening: float

    def rate(self, old: Estimate) -> tuple[Estimate, float, float]:
        """(the new judge's rate, low, high) of a model that it never judged, from the old judge's rate of it.

        Three errors: that of the old rate (instructions), that of the link (instructions and models) and the model's
        own misfit, which no number of verdicts on others makes smaller. The last is mixed over all sizes that the
        models seen are in keeping with, as in prediction intervals of meta-analysis (Nagashima, Noma and Furukawa
        2019), so that few models give wide intervals.
        """
        x, scale = _smoothed(old)
        row = np.array([1.0, x]) @ self.weights
        eta = self.intercept + self.slope * x
        known = np.unique(np.concatenate([self.clusters, old.clusters]))
        error = np.zeros(len(known) + self.errors.shape[1] - len(self.clusters))
        error[np.searchsorted(known, self.clusters)] = row @ self.errors[:, : len(self.clusters)]
        error[len(known) :] = row @ self.errors[:, len(self.clusters) :]
        error[np.searchsorted(known, old.clusters)] += self.slope * scale * _root(old)
        sampled = float(error @ error) * self.widening**2
        half = _half_width(np.sqrt(_TAILS * self.misfits * (1 + float(row @ row)) + sampled), self.level)
        value = float(expit(eta))
        slope = value * (1 - value)
        n = len(known)
        # what the interval has beyond the instructions' share, so that differences of models carry it too
        whole = half / float(stdtrit(n - 1, 0.5 + self.level / 2))
        own = math.sqrt(max(0.0, whole**2 - float(error[:n] @ error[:n])))
        estimate = Estimate(
            value, slope * error[:n] * math.sqrt(n * (n - 1)), known, shared=np.array([slope * own]), rate=True
        )
        return estimate, float(expit(eta - half)), float(expit(eta + half))


def fit_link(old: Sequence[Estimate], new: Sequence[Estimate], labelled: Sequence[int], level: float = 0.95) -> Link:
    """The link of two judges' rates of the same models (`old`, `new`, in one order).

    A logistic regression of rates on the logit of rates (quasi-likelihood; a rate of 0 or 1 under the new judge is
    taken as it is, under the old one half a verdict is added to either side). `labelled` counts the instructions that
    both judged, of each model. Raises `InputError` where there is no link: fewer than 4 models, or rates that do not
    vary. A slope that may be 0 is no reason: links that are kept for being steep are steep by luck, and cover less.
    """
    if len(old) < MIN_MODELS:
        raise InputError(
            f"{plural(len(old), 'model')} with enough comparisons judged by both; a link needs at least {MIN_MODELS}"
        )
    pairs = [_smoothed(estimate) for estimate in old]
    x, scales = np.array([p[0] for p in pairs]), np.array([p[1] for p in pairs])
    y = np.array([estimate.value for estimate in new])
    if np.ptp(x) < 1e-6 or np.ptp(y) < 1e-9:
        raise InputError(f"the {'old' if np.ptp(x) < 1e-6 else 'new'} judge gives every model the same rate")
    design = np.column_stack([np.ones(len(x)), x])
    coefficients = _fitted(design, y)
    mean = expit(design @ coefficients)
    spread = mean * (1 - mean)
    weights = np.linalg.solve(design.T @ (design * spread[:, None]), design.T * spread)
    residual = (y - mean) / spread
    intercept, slope = (float(c) for c in coefficients)
    clusters, errors = _errors(old, new, slope * scales, spread)
    df = len(x) - 2
    left = np.eye(len(x)) - design @ weights
    sampled = left @ errors
    noise = float(spread @ (sampled * sampled).sum(axis=1)) / df
    share = float((spread[:, None] * left * left).sum()) / df
    found = float(spread @ residual**2) / df
    misfits = np.maximum(0.0, found * df / (2 * gammaincinv(df / 2, _QUANTILES)) - noise) / share
    widening = float(stdtrit(min(labelled) - 1, 0.975) / ndtri(0.975))
    own = weights[1]
    error = (own @ errors) * widening
    half = _half_width(np.sqrt(misfits * float(own @ own) + float(error @ error)), level)
    lever = np.diag(design @ weights)
    missed = spread * residual * lever / (1 - lever) + (y - mean)
    rates = [estimate.value for estimate in old]
    return Link(
        intercept=intercept,
        slope=slope,
        slope_low=slope - half,
        slope_high=slope + half,
        misfit=math.sqrt(max(0.0, found - noise) / share),
        missed=math.sqrt(float((missed**2).mean())),
        n_models=len(x),
        lowest=min(rates),
        highest=max(rates),
        level=level,
        weights=weights,
        errors=errors,
        clusters=clusters,
        misfits=misfits,
        widening=widening,
    )


def missing_to_judge(spread: float, n: int, half_width: float, level: float = 0.95) -> int:
    """How many of a model's n instructions to judge with both judges, so that its carried rate is within `half_width`
    of what judging all of them would give, at `level`.

    `spread` is the variance over instructions of the new verdict given the old one. A random part of k leaves an error
    of variance spread · (1/k − 1/n): what the n instructions themselves leave open is the board's, whoever judges.
    """
    z = float(ndtri(0.5 + level / 2))
    if spread <= 0:
        return 0
    return min(n, math.ceil(1 / ((half_width / z) ** 2 / spread + 1 / n) - 1e-9))


def _fitted(design: Array, y: Array) -> Array:
    """Quasi-binomial fit by Newton's method; raises `InputError` where it runs off."""
    coefficients = np.array([0.0, 1.0])
    for _ in range(_STEPS):
        mean = expit(design @ coefficients)
        information = design.T @ (design * (mean * (1 - mean))[:, None])
        if not np.abs(coefficients).max() < _RUN_OFF or np.linalg.cond(information) > 1e10:
            break
        step = np.linalg.solve(information, design.T @ (y - mean))
        coefficients = coefficients + step * min(1.0, 1 / float(np.abs(step).max() + 1e-12))
        if np.abs(step).max() < 1e-9:
            return np.asarray(coefficients, dtype=np.float64)
    raise InputError("the models' rates under the new judge are all or nothing: no line describes them")


def _smoothed(estimate: Estimate) -> tuple[float, float]:
    """(logit of a rate with half a verdict added to either side, its derivative in the rate)."""
    n = estimate.n_clusters
    rate = (n * estimate.value + 0.5) / (n + 1)
    return float(logit(rate)), n / (n + 1) / (rate * (1 - rate))


def _root(estimate: Estimate) -> Array:
    """The clusters' shares of the error: their squares add up to the variance."""
    n = estimate.n_clusters
    return estimate.influence / math.sqrt(n * (n - 1))


def _errors(
    old: Sequence[Estimate], new: Sequence[Estimate], scales: Array, spread: Array
) -> tuple[NDArray[np.int64], Array]:
    """(clusters, a row a model: its residual's error on each cluster, then a column a model for what is no cluster's).
    Models share instructions, and so errors."""
    clusters = np.unique(np.concatenate([e.clusters for e in (*old, *new)]))
    errors = np.zeros((len(old), len(clusters) + len(old)))
    for m, (before, after) in enumerate(zip(old, new, strict=True)):
        errors[m, np.searchsorted(clusters, after.clusters)] += _root(after) / spread[m]
        errors[m, np.searchsorted(clusters, before.clusters)] -= scales[m] * _root(before)
        errors[m, len(clusters) + m] = math.sqrt(float(after.shared @ after.shared)) / spread[m]
    return clusters, errors


def _half_width(errors: Array, level: float) -> float:
    """The half-width that a normal error, its standard deviation any of `errors`, exceeds with chance 1 − level."""
    floor = np.maximum(errors, 1e-12)
    low, high = 0.0, float(floor.max()) * 40
    for _ in range(80):
        middle = (low + high) / 2
        outside = float(erfc(middle / (floor * math.sqrt(2))).mean())
        low, high = (middle, high) if outside > 1 - level else (low, middle)
    return high
