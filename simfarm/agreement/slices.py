"""Does a judge travel: does what it reaches on some comparisons say what it reaches on others?

A judge that was chosen on easy comparisons may fail on hard ones. Each slice (a `dataset` or `category`) is set beside
all others: one judge's agreement there and elsewhere, and whether the judges keep their order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from scipy.stats import spearmanr

from simfarm.agreement.trust import mean_over
from simfarm.data.identity import Codes
from simfarm.statistics.estimate import Array, Estimate

__all__ = ["SLICED", "Slice", "Travel", "slices_of", "travels"]

SLICED = ("dataset", "category")
_SMALLEST = 20
"""Labelled comparisons of a slice."""
_JUDGES = 3
"""Judges that an order needs."""


@dataclass(frozen=True)
class Slice:
    """One judge on one slice: its agreement there, and `beside_rest`, what that is above its agreement elsewhere."""

    judge: str
    column: str
    name: str
    n_comparisons: int
    agreement: Estimate
    beside_rest: Estimate


@dataclass(frozen=True)
class Travel:
    """The judges on one slice and elsewhere: `spearman` of their agreement in both; the judge that is `chosen`
    elsewhere has here `loss` less agreement than the `best` one of this slice, picked after the fact."""

    column: str
    name: str
    n_judges: int
    spearman: float
    chosen: str
    best: str
    loss: float


def slices_of(fits: Mapping[str, Array], items: pd.DataFrame, cluster: Codes) -> list[Slice]:
    """Each judge (`fits`: how well its verdicts fit people's) on each slice of the labelled comparisons."""
    made = []
    for column in (name for name in SLICED if name in items):
        label = items[column].astype(object).to_numpy()
        for name in pd.unique(label[~pd.isna(label)]):
            inside = label == name
            for judge, fit in fits.items():
                known = ~np.isnan(fit)
                n = int((known & inside).sum())
                if not _SMALLEST <= n <= known.sum() - _SMALLEST:
                    continue
                here = mean_over(np.where(inside, fit, np.nan), cluster)
                there = mean_over(np.where(inside, np.nan, fit), cluster)
                made.append(Slice(judge, column, str(name), n, here, here - there))
    return made


def travels(slices: list[Slice]) -> list[Travel]:
    """Of every slice whether it ranks the judges as the other comparisons do; needs three judges."""
    made = []
    for column, name in dict.fromkeys((s.column, s.name) for s in slices):
        here = [s for s in slices if (s.column, s.name) == (column, name)]
        if len(here) < _JUDGES:
            continue
        inside = np.array([s.agreement.value for s in here])
        outside = inside - np.array([s.beside_rest.value for s in here])
        chosen, best = int(outside.argmax()), int(inside.argmax())
        loss = float(inside[best] - inside[chosen])
        rho = float(spearmanr(outside, inside).statistic) if np.ptp(outside) > 0 < np.ptp(inside) else np.nan
        made.append(Travel(column, name, len(here), rho, here[chosen].judge, here[best].judge, loss))
    return made
