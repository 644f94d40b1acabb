"""A crowd of simulated people: how likely each prefers output_2, from a judge's unanimity and the outputs' lengths.

    η = β_J · U_i + (β_L + γ_k) · tanh(Δ_i / c) + β_0 + π_k + τ · u_i
    P(person k prefers output_2 of comparison i) = σ(η − t), output_1 σ(−η − t), neither: the rest

U_i is ±1 where all runs of the judge agree, else 0: people lean with a judge where it is sure, and hardly at all where
its runs differ, which is a cliff and no slope. Δ_i is the difference of the outputs' lengths, c its scale; γ_k ~ N(0,
s_γ²) and π_k ~ N(0, s_π²) are what one person has of a taste for length and for a place; u_i ~ N(0, 1) is what people
see in a comparison that neither the judge nor its length tells. t is 0 where people were not offered a tie. Whoever
draws from it brings the normal draws (γ_k, π_k, u_i): they are hashes elsewhere, and nodes or nothing here.
`simfarm.statistics.crowd_fit` fits it to people's labels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import expit, roots_hermitenorm

from simfarm.errors import InputError
from simfarm.statistics.estimate import Array

__all__ = [
    "CrowdParameters",
    "crowd_logit",
    "crowd_mean",
    "crowd_probability",
    "crowd_shares",
    "crowd_votes",
    "hermite",
    "length_scale",
    "unanimity",
]

_NODES = 31


@dataclass(frozen=True)
class CrowdParameters:
    """What a crowd is drawn from, in logits but for `scale` (characters): `judge` β_J, `length` β_L, `bias` β_0,
    `item_sd` τ, `tie` t, `length_sd` s_γ, `position_sd` s_π. Raises `InputError` for a scale that is not positive and
    for a negative spread or tie."""

    scale: float
    judge: float
    length: float
    bias: float = 0.0
    item_sd: float = 0.0
    tie: float = 0.0
    length_sd: float = 0.0
    position_sd: float = 0.0

    def __post_init__(self) -> None:
        if not self.scale > 0:
            raise InputError(f"the scale of length is {self.scale:g}; give a positive number of characters")
        for name in ("item_sd", "tie", "length_sd", "position_sd"):
            if not getattr(self, name) >= 0:
                raise InputError(f"{name} is {getattr(self, name):g}; give 0 or more")


def unanimity(p: Array) -> Array:
    """U of each item: 1 where all of a judge's runs prefer output_2, −1 output_1, 0 where they differ or one is a tie.

    `p` is runs × items in [0, 1], NaN a run without a verdict, which has no say; NaN where no run has one.
    """
    side = np.sign(p - 0.5)
    known = ~np.isnan(side)
    total = np.where(known, side, 0.0).sum(axis=0)
    n = known.sum(axis=0)
    agreed = np.where(np.abs(total) == n, np.sign(total), 0.0)
    return np.where(n > 0, agreed, np.nan)


def length_scale(delta: Array) -> float:
    """c: the standard deviation (ddof 1) of the items' length differences. 1 where they do not differ."""
    spread = float(np.std(delta, ddof=1)) if len(delta) > 1 else 0.0
    return spread if spread > 0 else 1.0


def crowd_logit(
    parameters: CrowdParameters,
    unanimous: ArrayLike,
    delta: ArrayLike,
    *,
    person_length: ArrayLike = 0.0,
    person_position: ArrayLike = 0.0,
    item: ArrayLike = 0.0,
) -> Array:
    """η of each row; arrays that broadcast. `person_length`, `person_position` and `item` are standard normal draws."""
    own = parameters.length + parameters.length_sd * np.asarray(person_length)
    at = parameters.bias + parameters.position_sd * np.asarray(person_position)
    x = np.tanh(np.asarray(delta) / parameters.scale)
    eta: Array = parameters.judge * np.asarray(unanimous) + own * x + at + parameters.item_sd * np.asarray(item)
    return eta


def crowd_shares(parameters: CrowdParameters, eta: ArrayLike) -> Array:
    """P(output_1), P(tie), P(output_2) at η, in a last axis of three."""
    eta = np.asarray(eta, dtype=np.float64)
    second, first = expit(eta - parameters.tie), expit(-eta - parameters.tie)
    return np.stack([first, np.maximum(0.0, 1 - first - second), second], axis=-1)


def crowd_probability(
    parameters: CrowdParameters,
    unanimous: ArrayLike,
    delta: ArrayLike,
    *,
    person_length: ArrayLike = 0.0,
    person_position: ArrayLike = 0.0,
    item: ArrayLike = 0.0,
) -> Array:
    """How strongly a person prefers output_2: P(output_2) + ½ P(tie), arguments as of `crowd_logit`."""
    eta = crowd_logit(
        parameters, unanimous, delta, person_length=person_length, person_position=person_position, item=item
    )
    return _preference(parameters, eta)


def crowd_mean(parameters: CrowdParameters, unanimous: ArrayLike, delta: ArrayLike) -> Array:
    """`crowd_probability` of the whole crowd: the mean over persons and over what is not known of the comparison.

    All three draws are normal and add up, so that one integral over their sum is enough.
    """
    eta = crowd_logit(parameters, unanimous, delta)
    x = np.tanh(np.asarray(delta) / parameters.scale)
    spread = np.sqrt(parameters.item_sd**2 + (parameters.length_sd * x) ** 2 + parameters.position_sd**2)
    node, weight = hermite(_NODES)
    mean: Array = _preference(parameters, eta[..., None] + spread[..., None] * node) @ weight
    return mean


def crowd_votes(parameters: CrowdParameters, eta: ArrayLike, uniform: ArrayLike) -> Array:
    """The votes (0, ½, 1) that `uniform` draws in [0, 1) make at η: output_2 where the draw is small."""
    shares = crowd_shares(parameters, eta)
    second, first = shares[..., 2], shares[..., 0]
    draw = np.asarray(uniform)
    return np.where(draw < second, 1.0, np.where(draw >= 1 - first, 0.0, 0.5))


def _preference(parameters: CrowdParameters, eta: Array) -> Array:
    if parameters.tie == 0:
        return np.asarray(expit(eta), dtype=np.float64)
    return np.asarray((expit(eta - parameters.tie) + expit(eta + parameters.tie)) / 2, dtype=np.float64)


@cache
def hermite(n: int) -> tuple[Array, Array]:
    """(nodes, weights) of a mean over N(0, 1): Gauss–Hermite, the weights sum to 1."""
    node, weight = roots_hermitenorm(n)
    return node, weight / weight.sum()
