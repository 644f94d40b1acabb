"""Would people rank the models as the judge does, and would other instructions?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.agreement.figures import Limits, Value
from simfarm.agreement.votes import Votes
from simfarm.data.identity import Codes
from simfarm.statistics.estimate import Array
from simfarm.statistics.rankings import alike, rate_table, rates, spearman
from simfarm.text.words import plural

__all__ = ["Contest", "Sets", "contest_of", "instruction_sets", "judge_board"]

_FEWEST = 3
"""Models that a ranking needs."""
_SETS = 500
"""Random sets of instructions that the band is of."""
_SMALLEST = 20
"""Instructions of a set."""


@dataclass(frozen=True)
class Contest:
    """Which models met in each comparison: `first` and `second` are codes of `models`; −1 where one has no name."""

    first: Codes
    second: Codes
    models: tuple[str, ...]


@dataclass(frozen=True)
class Sets:
    """Does a set of instructions (`name`, of `column`) rank the models as all others do, under one judge?

    `spearman` is the correlation of its ranking with that of the rest; `low` and `high` hold the middle 95 % of random
    sets of as many instructions. Within them the set says nothing that any other of its size would not."""

    judge: str
    column: str
    name: str
    n_instructions: int
    n_models: int
    spearman: float
    low: float
    high: float

    @property
    def news(self) -> bool:
        """Whether it ranks otherwise than a random set of its size does."""
        return not self.low <= self.spearman <= self.high


def contest_of(votes: Votes) -> tuple[Contest | None, str | None]:
    """(the models of all comparisons; why there is no ranking of them). The baseline, a model in every comparison, is
    none of them: it meets each on equal terms already."""
    sides = [votes.items["generator_1"], votes.items["generator_2"]]
    named = (sides[0].notna() & sides[1].notna()).to_numpy()
    if not named.any():
        return None, "no columns generator_1 and generator_2"
    one, other = (side.astype(object).where(named, None) for side in sides)
    names = pd.unique(pd.concat([one[named], other[named]]).astype(str))
    in_all = [name for name in names if ((one == name) | (other == name))[named].all()]
    models = tuple(name for name in names if name not in in_all[:1])
    if len(models) < _FEWEST:
        return None, "a ranking needs three models"
    # the baseline has the last place, which no ranking looks at
    index = pd.Index([*models, *in_all[:1]])
    first, second = (index.get_indexer(side.astype(str)).astype(np.int64) for side in (one, other))
    return Contest(first, second, models), None


def _tables(contest: Contest, ps: list[Array], cluster: Codes) -> tuple[list[Array], Array, Codes]:
    """(what each model won under each p, how often it met another, the clusters) where all of `ps` have a verdict."""
    known = (contest.first >= 0) & (contest.second >= 0) & ~np.isnan(np.sum(ps, axis=0))
    first, second, places = contest.first[known], contest.second[known], cluster[known]
    n = len(contest.models)
    tables = [rate_table(first, second, p[known], places, n + 1) for p in ps]
    return [won[:, :n] for won, _ in tables], tables[0][1][:, :n], np.unique(places)


def judge_board(
    judged: Array, mean: Array, contest: Contest, cluster: Codes, level: float
) -> tuple[dict[str, Value], str | None]:
    """(how alike the judge's ranking of the models and people's are, on the comparisons that both judged; why not)."""
    (one, other), met, clusters = _tables(contest, [judged, mean], cluster)
    if len(clusters) < _SMALLEST or (met.sum(axis=0) > 0).sum() < _FEWEST:
        return {}, f"needs {plural(_SMALLEST, 'labelled instruction')} and three models on them"
    found = alike(one, other, met, level)
    named = {"spearman": found.spearman, "kendall": found.kendall, "board_error": found.error}
    return {name: Limits(*three, found.n_clusters) for name, three in named.items()}, None


def instruction_sets(votes: Votes, judge: str, judged: Array, contest: Contest, column: str) -> list[Sets]:
    """Each set of instructions (of a `column` of the items) beside the rest and random sets of its size; needs no
    labels. Models that the set or the rest lacks are left out."""
    (won,), met, clusters = _tables(contest, [judged], votes.cluster)
    of_cluster = pd.Series(votes.items[column].to_numpy(), dtype=object).groupby(votes.cluster).first()
    label = of_cluster.reindex(clusters).to_numpy()
    everywhere = met.sum(axis=0) > 0
    made = []
    rng = np.random.default_rng(0)
    for name, size in pd.Series(label).value_counts().items():
        if not _SMALLEST <= size <= len(clusters) - _SMALLEST or everywhere.sum() < _FEWEST:
            continue
        found = _against_rest(won[:, everywhere], met[:, everywhere], label == name)
        drawn = [
            _against_rest(won[:, everywhere], met[:, everywhere], rng.permutation(len(clusters)) < size)
            for _ in range(_SETS)
        ]
        low, high = np.nanquantile(drawn, [0.025, 0.975])
        n_models = int(everywhere.sum())
        made.append(Sets(judge, column, str(name), int(size), n_models, found, float(low), float(high)))
    return made


def _against_rest(won: Array, met: Array, inside: NDArray[np.bool_]) -> float:
    """Spearman's ρ of the rates inside a set and outside it."""
    own = rates(won[inside], met[inside]), rates(won[~inside], met[~inside])
    both = ~np.isnan(own[0] + own[1])
    return spearman(own[0][both], own[1][both])
