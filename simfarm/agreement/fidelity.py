"""How far simulated people can be told from real ones, by their labels of the same comparisons.

Agreement with people is no measure of it: one judge that never wavers reaches as much of that as a crowd does. What a
crowd is for is its variance, so it is held against people in how often two of them agree, how their votes split, what
moves them, and by classifiers that try to say whose labels they see.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from simfarm.agreement.habits import favoured
from simfarm.agreement.measures import Fidelity, Labels, Measure, compared
from simfarm.data.identity import Codes
from simfarm.errors import InputError
from simfarm.statistics.agreement import pairwise_agreement
from simfarm.statistics.estimate import Array
from simfarm.statistics.habits import preference_for
from simfarm.text.words import plural

__all__ = ["fidelity"]


def fidelity(
    simulated: Labels,
    human: Labels,
    items: pd.DataFrame,
    *,
    runs: Array | None = None,
    name: str = "simulated",
    level: float = 0.95,
    fit_errors: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
) -> Fidelity:
    """The fidelity of simulated people, over the comparisons (rows of `items`, see `Votes.items`) that both labelled.

    `runs` are the p of a judge's runs on each comparison (runs × items, NaN none): what people and the crowd do by its
    margin. `fit_errors` are standard errors, by measure, that the crowd's values have of a fit to other labels. Raises
    `InputError` where no comparison has labels of both, or none has those of two people.
    """
    shared = np.intersect1d(simulated.item, human.item)
    if not len(shared):
        raise InputError("the simulated labels and people's share no comparison; give labels of the same comparisons")
    people, crowd = human.among(shared), simulated.among(shared)
    several = int((np.bincount(people.item) > 1).sum())
    if several < 2:
        raise InputError(
            f"fidelity needs at least two labels on the same items: {plural(several, 'item')} "
            f"{'has' if several == 1 else 'have'} them"
        )
    cluster: Codes = items["cluster"].to_numpy()
    errors = fit_errors or {}
    measures: list[Measure] = []
    pairwise = [pairwise_agreement(x.item, x.vote, cluster) for x in (people, crowd)]
    words = ("two votes agree", "too consistent", "not consistent enough")
    measures.append(
        compared("pairwise", words, pairwise[0], pairwise[1], level=level, fit_error=errors.get("pairwise", 0.0))
    )
    which = favoured(items)["longer"]
    longer = [preference_for(x.item, x.vote, which, cluster, ties=False) for x in (people, crowd)]
    words = (
        "prefers the longer output",
        "wrong length taste: the longer too often",
        "wrong length taste: the longer too seldom",
    )
    measures.append(compared("longer", words, longer[0], longer[1], level=level, fit_error=errors.get("longer", 0.0)))
    return Fidelity(
        name=name,
        measures=tuple(measures),
        n_comparisons=len(shared),
        n_instructions=len(np.unique(cluster[shared])),
        n_people=len(np.unique(people.person)),
        n_simulated=len(np.unique(crowd.person)),
        per_item=2,
        notes=tuple(notes),
        level=level,
    )
