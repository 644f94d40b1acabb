"""The report card: everything that is known of how far each judge can be trusted, beside people and the longest output.

A judge's figures that need people's labels are over the comparisons that have both; what cannot be estimated is not
left out but has a reason instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from simfarm.agreement.advice import advice
from simfarm.agreement.boards import Contest, Sets, contest_of, instruction_sets, judge_board
from simfarm.agreement.calls import judge_calls
from simfarm.agreement.figures import FIGURES, Figure, Row, Value, known, with_limits
from simfarm.agreement.habits import favoured, judge_habits, own_outputs, people_habits, self_preference
from simfarm.agreement.means import quotient
from simfarm.agreement.pairs import Pair, compared
from simfarm.agreement.slices import SLICED, Slice, Travel, slices_of, travels
from simfarm.agreement.soft import judge_softness
from simfarm.agreement.trust import (
    Definitions,
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
from simfarm.ranking.table import plain
from simfarm.statistics.estimate import Array

__all__ = ["ReportCard", "report_card"]

LONGEST = "longest"
PEOPLE = "people"


@dataclass(frozen=True)
class ReportCard:
    """How far judges can be trusted. `rows` are people (where there are labels), `longest` (the judge that prefers the
    longer output) and each judge, all with `figures` of `FIGURES` as values with intervals; `pairs` compares judges,
    `slices` and `travel` say what they reach where, `sets` whether sets of instructions rank models alike. `people` are
    the persons' names; `notes` are about how rows were matched."""

    rows: tuple[Row, ...]
    people: tuple[str, ...]
    pairs: tuple[Pair, ...] = ()
    slices: tuple[Slice, ...] = ()
    travel: tuple[Travel, ...] = ()
    sets: tuple[Sets, ...] = ()
    notes: tuple[str, ...] = ()
    level: float = 0.95
    compat: str | None = None

    @property
    def judges(self) -> tuple[Row, ...]:
        """The judges' rows, those that agree most with people first."""
        rows = [row for row in self.rows if row.kind == "judge"]
        return tuple(sorted(rows, key=lambda row: -(a.value if (a := row.get("agreement")) else -1.0)))

    def row(self, name: str) -> Row:
        """The row of a judge, `people` or `longest`. Raises `InputError` for a name that is none."""
        found = next((row for row in self.rows if row.name == name), None)
        if found is None:
            raise InputError(f"no judge {name!r}; there are {', '.join(row.name for row in self.rows)}")
        return found

    @cached_property
    def advice(self) -> Mapping[str, list[str]]:
        """Of each judge what its figures say to do, in words."""
        people = next((row for row in self.rows if row.kind == "people"), None)
        return {row.name: advice(row, people) for row in self.judges}

    @property
    def table(self) -> pd.DataFrame:
        """One row a rater with every figure that any of them has: NAME, NAME_low, NAME_high; rates in percent."""
        shown = [f for f in FIGURES if any(row.get(f.name) is not None for row in self.rows)]
        return pd.DataFrame([self._line(row, shown) for row in (*self.rows_beside, *self.judges)])

    @property
    def rows_beside(self) -> tuple[Row, ...]:
        """People's row and that of `longest`."""
        return tuple(row for row in self.rows if row.kind != "judge")

    def _line(self, row: Row, shown: Sequence[Figure]) -> dict[str, Any]:
        line: dict[str, Any] = {"rater": row.name, "kind": row.kind}
        line |= {"n_comparisons": row.n_comparisons, "n_labelled": row.n_labelled}
        for figure in shown:
            numbers = scaled(row, figure) or (np.nan,) * 3
            line |= dict(zip((figure.name, f"{figure.name}_low", f"{figure.name}_high"), numbers, strict=True))
        return line

    def to_json(self) -> dict[str, Any]:
        """Plain JSON values; a number that does not exist is null."""
        return {
            "level": self.level,
            "compat": self.compat,
            "people": list(self.people),
            "raters": [self._record(row) for row in (*self.rows_beside, *self.judges)],
            "pairs": [_pair_record(pair, self.level) for pair in self.pairs],
            "slices": [_slice_record(one, self.level) for one in self.slices],
            "travel": [{name: plain(value) for name, value in vars(one).items()} for one in self.travel],
            "sets": [{name: plain(value) for name, value in vars(one).items()} for one in self.sets],
            "notes": list(self.notes),
        }

    def _record(self, row: Row) -> dict[str, Any]:
        figures = {}
        for figure in FIGURES:
            value = row.get(figure.name)
            if value is not None:
                numbers = [plain(x) for x in scaled(row, figure) or ()]
                named = dict(zip(("value", "low", "high"), numbers, strict=True))
                figures[figure.name] = named | {"n_instructions": value.n_clusters}
        return {
            "rater": row.name,
            "kind": row.kind,
            "n_comparisons": row.n_comparisons,
            "n_labelled": row.n_labelled,
            "figures": figures,
            "not_estimable": dict(row.why),
            "advice": self.advice.get(row.name, []),
        }


def scaled(row: Row, figure: Figure) -> tuple[float, float, float] | None:
    """(a row's figure, its limits) as they are printed: rates and points times 100; None without one."""
    value = row.get(figure.name)
    if value is None:
        return None
    times = 100 if figure.unit in ("percent", "points") else 1
    low, high = row.limits[figure.name]
    return times * value.value, times * low, times * high


def _pair_record(pair: Pair, level: float) -> dict[str, Any]:
    low, high = pair.difference.interval(level)
    return {
        "a": pair.a,
        "b": pair.b,
        "difference": 100 * pair.difference.value,
        "low": plain(100 * low),
        "high": plain(100 * high),
        "p_value": plain(pair.difference.p_value()),
        "n_comparisons": pair.n_comparisons,
        "n_needed": plain(pair.needed),
    }


def _slice_record(one: Slice, level: float) -> dict[str, Any]:
    (low, high), (least, most) = one.agreement.interval(level), one.beside_rest.interval(level)
    return {
        "judge": one.judge,
        one.column: one.name,
        "n_comparisons": one.n_comparisons,
        "agreement": 100 * one.agreement.value,
        "low": plain(100 * low),
        "high": plain(100 * high),
        "beside_rest": 100 * one.beside_rest.value,
        "beside_rest_low": plain(100 * least),
        "beside_rest_high": plain(100 * most),
    }


def report_card(
    votes: Votes,
    *,
    level: float = 0.95,
    compat: str | None = None,
    own: Mapping[str, str] | None = None,
) -> ReportCard:
    """The card of all judges of `votes`. `compat` is None or `alpaca-eval`; `own` names the generator whose outputs are
    a judge's own, where that is not of its name. Raises `InputError` for an `own` that is no judge or no generator."""
    people = People.of(votes, Definitions.of(compat))
    made = _Making(votes, people, level, own or {})
    judges = [row for k in range(len(votes.judges)) for row in with_limits([made.judge(k)], level)]
    slices = slices_of(made.fits, votes.items, votes.cluster) if len(people.item) else []
    beside = [*([made.people_row()] if len(people.item) else []), *([made.longest_row()] if made.has_lengths else [])]
    beside = with_limits(beside, level)
    return ReportCard(
        rows=(*beside, *judges),
        people=votes.people,
        pairs=tuple(compared(made.fits, votes.cluster, level)) if len(judges) > 1 else (),
        slices=tuple(slices),
        travel=tuple(travels(slices)),
        sets=tuple(made.sets()),
        notes=votes.notes,
        level=level,
        compat=compat,
    )


class _Making:
    """What the rows of one card have in common."""

    def __init__(self, votes: Votes, people: People, level: float, own: Mapping[str, str]) -> None:
        self._votes, self._people, self._level = votes, people, level
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
        """People's row; with fewer than two labels of each comparison there is no ceiling."""
        people = self._people
        figures = people_agreement(people) | people_habits(people, self._habits)
        n = int((~np.isnan(people.mean)).sum())
        several = (people.counts.sum(axis=1) > 1).any()
        why = {} if several else {"agreement": "no comparison has labels of two people: no ceiling"}
        return Row(PEOPLE, "people", figures, why, n, n)

    def longest_row(self) -> Row:
        """The row of the judge that prefers the longer output."""
        figures: dict[str, Value] = {}
        people = self._people
        if len(people.item):
            calls = (np.arange(len(self._long)), self._long)
            figures = judge_agreement(self._long, fits(self._long, people, calls), people, self._long)
            del figures["above_longest"]
        judged = ~np.isnan(self._long)
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
            stands_in, no_test = replacement(judged, people, self._level)
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
        why |= _whys(figures, calls)
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
        items = self._votes.items
        one, other = (items[f"generator_{side}"].isin(own).to_numpy() for side in ("1", "2"))
        which = np.where(one == other, np.nan, other)
        reference = self._people.mean if len(self._people.item) else self._others(name)
        return {"self_preference": self_preference(which, judged, reference, self._votes.cluster)}, None

    def _others(self, name: str) -> Array:
        """The mean of the other judges' p."""
        others = self._votes.judged[[k for k, judge in enumerate(self._votes.judges) if judge != name]]
        return quotient(np.nansum(others, axis=0), (~np.isnan(others)).sum(axis=0).astype(np.float64))

    def sets(self) -> list[Sets]:
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
