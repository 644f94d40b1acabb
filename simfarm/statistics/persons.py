"""How far persons differ in a taste, beyond what the luck of their few labels makes of equal ones."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import chdtri, ndtr, ndtri

from simfarm.statistics.agreement import sides
from simfarm.statistics.estimate import Array
from simfarm.statistics.logistic import Codes

__all__ = ["MIN_LABELS", "MIN_PERSONS", "PersonSpread", "SpreadDifference", "person_spread", "spread_difference"]

MIN_LABELS = 20
"""Labels that took a side, of items where one output has what the taste is for, without which a person is left out."""
MIN_PERSONS = 3


@dataclass(frozen=True)
class PersonSpread:
    """The shares `rates` (K,) of K persons who prefer what a taste is for, by their `n_labels`; `seen` is the standard
    deviation of the shares, `sampling` what equal persons would show."""

    rates: Array
    n_labels: Codes

    @property
    def seen(self) -> float:
        return float(self.rates.std(ddof=1))

    @property
    def sampling(self) -> float:
        return math.sqrt(float((self.rates * (1 - self.rates) / (self.n_labels - 1)).mean()))

    @property
    def value(self) -> float:
        """The standard deviation net of sampling, 0 where there is less than sampling makes."""
        return _net(self.seen**2, self.sampling**2)

    def interval(self, level: float = 0.95) -> tuple[float, float]:
        """Limits from those that χ² gives the shares' variance (K − 1 degrees of freedom), sampling taken off."""
        freedom = len(self.rates) - 1
        low, high = (freedom / float(chdtri(freedom, tail)) for tail in ((1 - level) / 2, (1 + level) / 2))
        return tuple(_net(times * self.seen**2, self.sampling**2) for times in (low, high))  # type: ignore[return-value]


@dataclass(frozen=True)
class SpreadDifference:
    """The difference of two spreads with its limits, and the p of "there is none"."""

    value: float
    low: float
    high: float
    p: float


def person_spread(item: Codes, vote: Array, person: Codes, which: Codes) -> PersonSpread | None:
    """The spread over persons of P(longer) and the like; `which` is that of `statistics.habits`, ties are left out.

    None with fewer than `MIN_PERSONS` persons who have `MIN_LABELS` labels.
    """
    has = which[item]
    used = (has != 0) & (sides(vote) != 1) & (sides(vote) >= 0)
    takes = ((vote[used] > 0.5) == (has[used] > 0)).astype(np.float64)
    count = np.bincount(person[used])
    kept = np.flatnonzero(count >= MIN_LABELS)
    if len(kept) < MIN_PERSONS:
        return None
    return PersonSpread(np.bincount(person[used], takes)[kept] / count[kept], count[kept].astype(np.int64))


def spread_difference(
    one: PersonSpread, other: PersonSpread, level: float = 0.95, extra: float = 0.0
) -> SpreadDifference:
    """other − one, whose limits are put together of theirs (Zou and Donner 2008: each limit's distance from its value,
    squared and added), with `extra` as a standard error beside them."""
    value = other.value - one.value

    def reach(upwards: bool) -> float:
        (low_1, high_1), (low_2, high_2) = one.interval(level), other.interval(level)
        far = (high_2 - other.value, one.value - low_1) if upwards else (other.value - low_2, high_1 - one.value)
        return math.hypot(*far, extra * float(ndtri(0.5 + level / 2)))

    low, high = value - reach(False), value + reach(True)
    towards = reach(value < 0)
    z = float(ndtri(0.5 + level / 2)) * abs(value) / towards if towards > 0 else math.inf * abs(value)
    p = 1.0 if value == 0 else 2 * float(ndtr(-z))
    return SpreadDifference(value, low, high, p)


def _net(seen: float, sampling: float) -> float:
    return math.sqrt(max(0.0, seen - sampling))
