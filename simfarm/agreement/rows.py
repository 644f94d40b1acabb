"""The rows of a report card: every figure of one judge, of people and of the longest output, or why there is none."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from simfarm.agreement.boards import Contest, InstructionSet, contest_of, instruction_sets, judge_board
from simfarm.agreement.calls import judge_calls
from simfarm.agreement.figures import Row, Value, known
from simfarm.agreement.habits import favoured, judge_habits, own_outputs, people_habits
from simfarm.agreement.slices import SLICED
from simfarm.agreement.soft import judge_softness
from simfarm.agreement.trust import (
    People,
    fits,
    judge_agreement,
    longest,
    mean_over,
    people_agreement,
    replacement,
    spread,
)
from simfarm.agreement.votes import Votes, opinion
from simfarm.errors import InputError
from simfarm.statistics.estimate import Array
from simfarm.statistics.means import quotient
from simfarm.statistics.own import self_preference
from simfarm.statistics.panels import EffectiveJudges, effective_judges

__all__ = ["LONGEST", "PEOPLE", "Making"]

LONGEST = "longest"
PEOPLE = "people"

MIN_INSTRUCTIONS = 20
"""Instructions without which self-preference is not said: fitted to three, its limits are hundreds of points."""


class Making:
    """What the rows of one card have in common."""

    def __init__(self, votes: Votes, people: People, level: float, own: Mapping[str, str], epsilon: float) -> None:
        self._votes, self._people, self._level, self._epsilon = votes, people, level, epsilon
        self._habits = favoured(votes.items)
        items = votes.items
        length_1, length_2 = (items[name].to_numpy(dtype=float) for name in ("length_1", "length_2"))
        self._long = longest(length_1, length_2, people.definitions)
        self._contest: Contest | None
        self._contest, self._no_contest = contest_of(votes)
        self._own = own
        generators = pd.unique(pd.concat([items["generator_1"], items["generator_2"]]).dropna().astype(str))
        self._generators = [str(name) for name in generators]
        for judge, generator in own.items():
            if judge not in votes.judges:
                raise InputError(f"{judge!r} is no annotator; there are {', '.join(votes.judges[:6])}")
            if generator not in self._generators:
                raise InputError(f"{generator!r} is no generator; there are {', '.join(self._generators[:6])}")
        self.fits: dict[str, Array] = {}

    @property
    def has_lengths(self) -> bool:
        return bool((~np.isnan(self._long)).any())

    def people_row(self) -> Row:
        """People's row, over all their labels; with fewer than two of each comparison there is no ceiling."""
        return self._people_row(self._people)

    def longest_row(self) -> Row:
        """The row of the judge that prefers the longer output, on all comparisons."""
        return self._longest_row(self._long)

    def beside(self, k: int) -> list[Row]:
        """People's row and that of `longest` on the comparisons of the k-th judge; none where these are all."""
        judged = ~np.isnan(self._votes.judged[k])
        people = self._people
        if not len(people.item) or (judged[people.item].all() and judged[~np.isnan(self._long)].all()):
            return []
        kept = judged[people.item]
        item, vote, person = people.item[kept], people.vote[kept], people.person[kept]
        some = People(item, vote, person, people.cluster, people.definitions)
        rows = [self._people_row(some)] if kept.any() else []
        return [*rows, *([self._longest_row(np.where(judged, self._long, np.nan))] if self.has_lengths else [])]

    def _people_row(self, people: People) -> Row:
        figures = people_agreement(people) | people_habits(people, self._habits)
        n = int((~np.isnan(people.mean)).sum())
        several = (people.counts.sum(axis=1) > 1).any()
        why = {} if several else {"agreement": "no comparison has labels of two people"}
        return Row(PEOPLE, "people", figures, why, n, n)

    def _longest_row(self, long: Array) -> Row:
        figures: dict[str, Value] = {}
        people = self._people
        if len(people.item):
            figures = judge_agreement(long, fits(long, people, (np.arange(len(long)), long)), people, long)
            del figures["above_longest"]
        judged = ~np.isnan(long)
        return Row(LONGEST, "longest", figures, {}, int(judged.sum()), int((judged & ~np.isnan(people.mean)).sum()))

    def judge(self, k: int) -> Row:
        """The row of the k-th judge."""
        votes, people = self._votes, self._people
        name, judged = votes.judges[k], votes.judged[k]
        calls = votes.of(name)
        single = (calls["item"].to_numpy(), calls["p"].to_numpy())
        figures: dict[str, Value] = {}
        why: dict[str, str] = {}
        if len(people.item):
            self.fits[name] = fits(judged, people, single)
            figures |= judge_agreement(judged, self.fits[name], people, self._long)
            figures |= self._by_order(calls)
            stands_in, no_test = replacement(judged, people, self._epsilon, self._level)
            figures |= stands_in
            why |= {} if no_test is None else {"winning_rate": no_test}
            soft, no_soft = judge_softness(judged, single[1], people, self._level)
            figures |= soft
            why |= {} if no_soft is None else {"calibration_error": no_soft}
            board, no_board = self._board(judged)
            figures |= board
            why |= {} if no_board is None else {"spearman": no_board}
        else:
            why["agreement"] = "no labels (--human)"
        figures |= spread(single, people)
        figures |= judge_habits(judged, calls, people, self._habits)
        figures |= judge_calls(calls, votes.cluster)
        own, no_own = self._self_preference(name, calls, judged)
        figures |= own
        why |= {} if no_own is None else {"self_preference": no_own}
        why = _whys(figures, calls) | why
        labelled = ~np.isnan(judged) & ~np.isnan(people.mean)
        return Row(name, "judge", figures, why, int((~np.isnan(judged)).sum()), int(labelled.sum()))

    def _by_order(self, calls: pd.DataFrame) -> dict[str, Value]:
        """Agreement of the calls of either order alone."""
        made: dict[str, Value] = {}
        orders = {order: calls[(calls["order"] == order).to_numpy()] for order in ("12", "21")}
        if all(len(part) for part in orders.values()):
            for order, part in orders.items():
                p = opinion(part.assign(order=None), len(self._votes.items))
                fit = fits(p, self._people, (part["item"].to_numpy(), part["p"].to_numpy()))
                made[f"agreement_{order}"] = mean_over(fit, self._votes.cluster)
        return made

    def _board(self, judged: Array) -> tuple[dict[str, Value], str | None]:
        if self._contest is None:
            return {}, self._no_contest
        return judge_board(judged, self._people.mean, self._contest, self._votes.cluster, self._level)

    def _self_preference(self, name: str, calls: pd.DataFrame, judged: Array) -> tuple[dict[str, Value], str | None]:
        """How much more the judge prefers its own outputs than people do, or where there are none the other judges."""
        models = [] if "model" not in calls else [str(m) for m in pd.unique(calls["model"].dropna())]
        own = [self._own[name]] if name in self._own else own_outputs(name, models, self._generators)
        if not own:
            return {}, "no generator of its name; --own names it"
        index = pd.Index(self._generators)
        sides = (self._votes.items[f"generator_{side}"].astype(str).to_numpy() for side in ("1", "2"))
        one, other = (index.get_indexer(pd.Index(side)).astype(np.int64) for side in sides)
        reference = self._people.mean if len(self._people.item) else self._others(name)
        named = (one >= 0) & (other >= 0)
        found = self_preference(
            judged[named],
            reference[named],
            one[named],
            other[named],
            self._votes.cluster[named],
            own=self._generators.index(own[0]),
        )
        if found.n_clusters < MIN_INSTRUCTIONS:
            return {}, f"its own outputs and others' met on fewer than {MIN_INSTRUCTIONS} instructions"
        return {"self_preference": found}, None

    def _others(self, name: str) -> Array:
        """The mean of the other judges' p."""
        others = self._votes.judged[[k for k, judge in enumerate(self._votes.judges) if judge != name]]
        return quotient(np.nansum(others, axis=0), (~np.isnan(others)).sum(axis=0).astype(np.float64))

    def panel(self) -> EffectiveJudges:
        """How many independent judges all together are worth: of how far they are off, where there are labels."""
        return effective_judges(
            self._votes.judged, self._votes.cluster, self._people.mean if len(self._people.item) else None
        )

    def sets(self) -> list[InstructionSet]:
        """Every set of instructions under every judge; without models there is none to rank."""
        if self._contest is None:
            return []
        columns = [name for name in SLICED if name in self._votes.items]
        return [
            one
            for name, judged in zip(self._votes.judges, self._votes.judged, strict=True)
            for column in columns
            for one in instruction_sets(self._votes, name, judged, self._contest, column)
        ]


def _whys(figures: Mapping[str, Value], calls: pd.DataFrame) -> dict[str, str]:
    """Why there is no number, of what every judge could have."""
    orders = sorted(calls["order"].dropna().unique())
    reasons = {
        "agreement": "fewer than two instructions have a verdict and a label",
        "first": "no column order" if not orders else f"only order {orders[0]} was asked",
        "reversals": "no comparison was asked in both orders",
        "retest": "nothing was asked twice in one order",
        "variance": "nothing was asked twice",
        "longer": "no lengths, or none that differ by 30 characters",
        "lists": "no texts with a list on one side alone",
        "bold": "no texts with bold text on one side alone",
        "price_per_1000": "no column price",
        "seconds_per_1000": "no column seconds",
    }
    return {name: why for name, why in reasons.items() if name not in figures or not known(figures[name])}
