"""How far simulated people can be told from real ones, by their labels of the same comparisons.

Agreement with people is no measure of it: one judge that never wavers reaches as much of that as a crowd does. What a
crowd is for is its variance, so it is held against people in how often two of them agree, how their votes split, what
moves them, and by classifiers that try to say whose labels they see. How far it leans as people do is said apart: no
noise, however human, can change that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from simfarm.agreement.consistency import consistency, even, leaning
from simfarm.agreement.measures import Bench, Fidelity, Labels, Measure
from simfarm.agreement.tastes import classifiers, person_error, tastes
from simfarm.data.identity import Codes
from simfarm.errors import InputError
from simfarm.statistics.estimate import Array
from simfarm.text.words import plural

__all__ = ["fidelity"]


def fidelity(
    simulated: Labels,
    human: Labels,
    items: pd.DataFrame,
    *,
    runs: Array | None = None,
    name: str = "the crowd",
    level: float = 0.95,
    fit_errors: Mapping[str, float] | None = None,
    notes: Sequence[str] = (),
) -> Fidelity:
    """The fidelity of simulated people, over the comparisons (rows of `items`, see `Votes.items`) that both labelled.

    `runs` are the p of a judge's runs on each comparison (runs × items, NaN none): what people and the crowd do by its
    margin. `fit_errors` are standard errors, by measure, that the crowd's values have of a fit to other labels. Raises
    `InputError` where no comparison has labels of both, or fewer than two have those of two people.
    """
    n = len(items)
    shared = np.intersect1d(simulated.item, human.item)
    if not len(shared):
        own, theirs = (plural(len(np.unique(x.item)), "comparison") for x in (simulated, human))
        raise InputError(
            f"the simulated labels ({own}) and people's ({theirs}) share no comparison; give labels of the same ones"
        )
    people, crowd = human.among(shared), simulated.among(shared)
    several = int((np.bincount(people.item) > 1).sum())
    if several < 2:
        raise InputError(
            f"fidelity needs at least two labels on the same items: {plural(several, 'item')} "
            f"{'has' if several == 1 else 'have'} them"
        )
    cluster: Codes = items["cluster"].to_numpy()
    m, kept = even(people, crowd, n)
    bench = Bench(people, crowd, kept, m, cluster, level, fit_errors or {}, {})
    measures: list[Measure] = [
        *leaning(bench),
        *consistency(bench),
        *tastes(bench, items, runs),
        *classifiers(bench, items, runs),
    ]
    return Fidelity(
        name=name,
        measures=tuple(measures),
        n_comparisons=len(shared),
        n_instructions=len(np.unique(cluster[shared])),
        n_people=len(np.unique(people.person)),
        n_simulated=len(np.unique(crowd.person)),
        per_item=m,
        n_even=len(np.unique(kept[0].item)),
        person_error=person_error(bench, items),
        why=dict(bench.why),
        notes=tuple(notes),
        level=level,
    )
