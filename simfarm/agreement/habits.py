"""What moves a judge beside what is written: the place, the length, lists and bold text, and who wrote it.

A habit alone is no fault: longer answers often are better. So each is printed beside what people do on the same
comparisons, and the difference of the two is the judge's own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from simfarm.agreement.figures import Value
from simfarm.agreement.trust import People, mean_over
from simfarm.agreement.votes import questions
from simfarm.data.identity import Codes
from simfarm.statistics.agreement import sides, vote_mean
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.habits import first_shown, longer, longer_given, preference_for, swaps
from simfarm.statistics.means import group_means

__all__ = ["excess", "favoured", "judge_habits", "own_outputs", "people_habits"]


def favoured(items: pd.DataFrame) -> dict[str, Codes]:
    """Of each habit the output that has it in each comparison: 1 for output_2, −1 for output_1, 0 where neither or both
    have it, or it is not known."""
    made = {"longer": longer(items["length_1"].to_numpy(dtype=float), items["length_2"].to_numpy(dtype=float))}
    for name in ("lists", "bold"):
        if f"style_{name}_1" in items:
            one, other = (items[f"style_{name}_{side}"].to_numpy(dtype=float) for side in ("1", "2"))
            known = ~np.isnan(one + other)
            made[name] = np.where(known, (other > 0).astype(np.int64) - (one > 0), 0)
    return made


def people_habits(people: People, habits: Mapping[str, Codes]) -> dict[str, Value]:
    """People's, over their single votes; ties left out of the habits."""
    item, vote, cluster = people.item, people.vote, people.cluster
    made: dict[str, Value] = {
        "ties": vote_mean(np.where(sides(vote) == 1, 1.0, 0.0), item, cluster, by="vote"),
        "output_1": vote_mean(1 - vote, item, cluster, by="vote"),
    }
    return made | {name: preference_for(item, vote, which, cluster, ties=False) for name, which in habits.items()}


def judge_habits(judged: Array, calls: pd.DataFrame, people: People, habits: Mapping[str, Codes]) -> dict[str, Value]:
    """One judge's: `judged` is its p of each comparison, `calls` are its rows of `Votes.votes`."""
    cluster = people.cluster
    made: dict[str, Value] = {
        "ties": mean_over(np.where(np.isnan(judged), np.nan, sides(judged) == 1), cluster),
        "output_1": mean_over(1 - judged, cluster),
        **_order(calls, cluster),
    }
    each = np.arange(len(judged))
    for name, which in habits.items():
        made[name] = preference_for(each, judged, which, cluster, ties=False)
        made[f"{name}_excess"] = excess(judged, people, which)
    if len(people.item):
        given = longer_given(judged, people.item, people.vote, habits["longer"], cluster)
        made |= {"longer_rightly": given.longer, "longer_wrongly": given.shorter, "length_bias": given.bias}
    return made


def excess(judged: Array, people: People, which: Codes) -> Estimate:
    """How much more often a judge takes the output with a habit than people do, on the comparisons where both took a
    side."""
    of_people = group_means(_taken(people.vote, which[people.item]), people.item, len(people.cluster))
    return mean_over(_taken(judged, which) - of_people, people.cluster, (-1.0, 1.0))


def _taken(p: Array, which: Codes) -> Array:
    """Whether a verdict takes the output with the habit (1 or 0); NaN for ties, and where neither has it."""
    side = np.where(np.isnan(p) | (p == 0.5) | (which == 0), np.nan, p > 0.5)
    return np.where(np.isnan(side), np.nan, side == (which > 0))


def _order(calls: pd.DataFrame, cluster: Codes) -> dict[str, Value]:
    """How often the output shown first is taken, by single calls' sides, and what swapping does to them."""
    p, item = calls["p"].to_numpy(), calls["item"].to_numpy()
    question, of_question, asked = questions(calls)
    swapped = np.select(asked, [0.0, 1.0], np.nan)
    made: dict[str, Value] = {"first": first_shown(item, np.sign(p - 0.5) / 2 + 0.5, swapped, cluster)}
    n = len(of_question)
    for_second = [group_means(np.where(rows, p, np.nan), question, n) for rows in asked]
    changed = swaps(for_second[0], for_second[1], cluster[of_question])
    made |= {"reversals": changed.reversed, "tie_changes": changed.tie}
    return made


def own_outputs(judge: str, models: Sequence[str], generators: Sequence[str]) -> list[str]:
    """The generators that are the judge itself: of its own name, or of a model's that it asked, whatever the path,
    the case and the punctuation."""
    names = {_bare(name) for name in (judge, *models)}
    return [name for name in generators if _bare(name) in names]


def _bare(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower().rsplit("/", 1)[-1])
