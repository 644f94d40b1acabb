"""Would people rank the models as the judge does, and would other instructions?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.agreement.figures import Limits, Value
from simfarm.agreement.votes import Votes
from simfarm.data.identity import Codes
from simfarm.errors import InputError
from simfarm.statistics.boards import MIN_MODELS, board_agreement
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.means import quotient
from simfarm.statistics.ratios import ratio_estimate
from simfarm.statistics.sets import SetAgreement, set_agreement
from simfarm.text.words import plural

__all__ = ["Contest", "InstructionSet", "contest_of", "instruction_sets", "judge_board"]

_SMALLEST = 20
"""Instructions of a set, or of a board."""
_EQUAL = 1e-12
_GROUPS = 2000
"""Instructions beyond which a board takes groups of them for independent."""
_DRAWN = 20_000_000
"""Instructions drawn at most for the band of one set."""
_MOST_DRAWS = 2000


@dataclass(frozen=True)
class Contest:
    """Which models met in each comparison: `first` and `second` are codes of `models`, the baseline's the one after
    them; −1 where one has no name."""

    first: Codes
    second: Codes
    models: tuple[str, ...]


@dataclass(frozen=True)
class InstructionSet:
    """Does a set of instructions (`name`, of `column`) rank the `n_models` models as all others do, under one judge?"""

    judge: str
    column: str
    name: str
    n_models: int
    found: SetAgreement


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
    if len(models) < MIN_MODELS:
        return None, "a ranking needs three models"
    index = pd.Index([*models, *in_all[:1]])
    first, second = (index.get_indexer(side.astype(str)).astype(np.int64) for side in (one, other))
    return Contest(first, second, models), None


def _won(contest: Contest, p: Array, known: NDArray[np.bool_], cluster: Codes) -> tuple[Array, Array, Codes]:
    """(what each model won, how often it met another, both clusters × models; the clusters) where p is `known`."""
    rows = np.flatnonzero(known)
    ids, place = np.unique(cluster[rows], return_inverse=True)
    width = len(contest.models) + 1
    at = [place * width + side[rows] for side in (contest.first, contest.second)]
    n = len(ids) * width
    shares = np.concatenate([1 - p[rows], p[rows]])
    won, met = (
        np.bincount(np.concatenate(at), w, minlength=n).astype(np.float64) for w in (shares, np.ones(len(shares)))
    )
    return won.reshape(-1, width)[:, :-1], met.reshape(-1, width)[:, :-1], ids


def judge_board(
    judged: Array, mean: Array, contest: Contest, cluster: Codes, level: float
) -> tuple[dict[str, Value], str | None]:
    """(how alike the judge's ranking of the models and people's (`mean` vote) are, on the comparisons that both judged,
    noise taken off; why there is no such figure)."""
    known = (contest.first >= 0) & (contest.second >= 0) & ~np.isnan(judged) & ~np.isnan(mean)
    places = _grouped(cluster)
    boards = []
    for p in (judged, mean):
        won, met, ids = _won(contest, p, known, places)
        seen = (met > 0).sum(axis=0) > 1
        boards.append([ratio_estimate(won[:, m], met[:, m], ids) for m in np.flatnonzero(seen)])
    if len(ids) < _SMALLEST or seen.sum() < MIN_MODELS:
        return {}, f"needs {plural(_SMALLEST, 'labelled instruction')} and three models on them"
    found = board_agreement(*boards, level=level)
    named = {"spearman": found.spearman, "kendall": found.kendall, "board_error": found.mean_absolute_error}
    n = len(np.unique(cluster[known]))
    even = [whose for whose, board in zip(("the judge", "people"), boards, strict=True) if _all_equal(board)]
    why = f"all models have one win rate by {' and by '.join(even)}" if even else None
    return {name: Limits(f.value, f.low, f.high, n) for name, f in named.items()}, why


def _all_equal(board: list[Estimate]) -> bool:
    return float(np.ptp([rate.value for rate in board])) < _EQUAL


def _grouped(cluster: Codes) -> Codes:
    """The clusters; very many in groups of equal size, drawn by lot: a board of means does not mind, and is faster."""
    n = int(cluster.max(initial=0)) + 1
    return cluster if n <= _GROUPS else np.random.default_rng(0).permutation(np.arange(n) % _GROUPS)[cluster]


def instruction_sets(votes: Votes, judge: str, judged: Array, contest: Contest, column: str) -> list[InstructionSet]:
    """Each set of instructions (of a `column` of the items) beside the rest and random sets of its size; needs no
    labels. Left out are sets of fewer than 20 instructions, and models that do not stand on both sides."""
    known = (contest.first >= 0) & (contest.second >= 0) & ~np.isnan(judged)
    won, met, ids = _won(contest, judged, known, votes.cluster)
    rates = quotient(won, met).T
    labels = pd.Series(votes.items[column].to_numpy(), dtype=object).groupby(votes.cluster).first().reindex(ids)
    draws = int(min(_MOST_DRAWS // len(votes.judges) + 200, _DRAWN / max(1, len(ids))))
    made = []
    for name, size in labels.value_counts().items():
        chosen = (labels == name).to_numpy()
        if not _SMALLEST <= size <= len(ids) - _SMALLEST:
            continue
        there = ~np.isnan(rates)
        both = there[:, chosen].any(axis=1) & there[:, ~chosen].any(axis=1)
        try:
            found = set_agreement(rates[both], chosen, draws=draws)
        except InputError:
            continue
        made.append(InstructionSet(judge, column, str(name), int(both.sum()), found))
    return made
