"""Draws that follow from what they are about: the same for a comparison, a member and a person on every machine.

A rerun that drew otherwise would ask, and pay for, other questions. Nothing here depends on a row's place, on the other
rows or on how many there are, and each purpose has draws of its own, independent of those for another.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from statistics import NormalDist

from simfarm.data.cells import stable_digest
from simfarm.data.records import Comparison

__all__ = ["comparison_key", "normal", "ranked", "uniform"]

_NORMAL = NormalDist()


def comparison_key(comparison: Comparison) -> str:
    """What draws about a comparison go by: its texts, generators and messages, as 64 hexadecimal digits."""
    return stable_digest(
        comparison.instruction,
        comparison.output_1,
        comparison.output_2,
        comparison.generator_1,
        comparison.generator_2,
        [dict(message) for message in comparison.messages or ()],
    ).hex()


def uniform(*parts: str) -> float:
    """A number in (0, 1), uniform over what the parts may be: the first 53 bits of their SHA-256, and half a bit."""
    return ((int.from_bytes(stable_digest(*parts)[:8]) >> 11) + 0.5) / 2**53


def normal(*parts: str) -> float:
    """A number drawn from N(0, 1), by the quantile of `uniform`."""
    return _NORMAL.inv_cdf(uniform(*parts))


def ranked(weights: Mapping[str, float], *parts: str) -> Sequence[str]:
    """Names in the order of a draw without replacement, each next one with chances in proportion to its weight; those
    of weight 0 are left out.

    Weighted rendezvous hashing: each name has a time of its own, exponential with its weight as the rate, and the
    earliest comes first. A name that is added takes its own share of the draws and moves no other, which numbering the
    names and drawing a number would not do. Source: Efraimidis and Spirakis 2006 (the order); Thaler and Ravishankar
    1998 (the hashing).
    """
    times = {name: -math.log(uniform(*parts, name)) / weight for name, weight in weights.items() if weight > 0}
    return sorted(times, key=lambda name: (times[name], name))
