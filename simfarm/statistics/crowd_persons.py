"""The persons behind labels: which of them are looked at singly, and how far their own numbers differ."""

from __future__ import annotations

import numpy as np
from scipy.optimize import brentq

from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["by_person", "likeliest_variance", "looked_at", "own_noise"]

_PERSONS, _PERSONS_MOST, _LABELS = 3, 60, 8
"""Persons with at least so many labels are looked at singly: from three on, and the sixty with most labels."""


def looked_at(person: Codes) -> Codes:
    """The persons with most labels, from 0; −1 for the others, and for all where they are too few."""
    count = np.bincount(person)
    most = np.argsort(-count, kind="stable")[:_PERSONS_MOST]
    most = most[count[most] >= _LABELS]
    place = np.full(len(count), -1)
    if len(most) >= _PERSONS:
        place[most] = np.arange(len(most))
    return place[person]


def by_person(person: Codes, n: int, column: Array) -> Array:
    """`column` in each person's own place (labels × n)."""
    made = np.zeros((len(person), n))
    known = person >= 0
    made[np.flatnonzero(known), person[known]] = column[known]
    return made


def own_noise(error: Array, variance: float) -> Array:
    """The variance with which each person's number is seen, of its variance under the prior (`error`)."""
    return 1 / np.maximum(1 / error - 1 / variance, 1e-12)


def likeliest_variance(squares: Array, noise: Array) -> float:
    """The variance s that maximises Σ log N(y; 0, s + noise), 0 where it falls from there."""

    def slope(s: float) -> float:
        return float((squares / (s + noise) ** 2 - 1 / (s + noise)).sum())

    return float(brentq(slope, 0.0, float(squares.max()))) if slope(0.0) > 0 else 0.0
