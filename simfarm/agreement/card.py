"""The report card: everything that is known of how far each judge can be trusted, beside people and the longest output.

A judge's figures that need people's labels are over the comparisons that have both; what cannot be estimated is not
left out but has a reason instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd

from simfarm.agreement.advice import advice
from simfarm.agreement.boards import InstructionSet
from simfarm.agreement.figures import FIGURES, Figure, Row, with_limits
from simfarm.agreement.pairs import Alike, Pair, alike, compared
from simfarm.agreement.rows import Making
from simfarm.agreement.slices import Slice, Travel, slices_of, travels
from simfarm.agreement.trust import Definitions, People
from simfarm.agreement.votes import Votes
from simfarm.errors import InputError
from simfarm.ranking.table import plain
from simfarm.statistics.panels import EffectiveJudges
from simfarm.text.shown import Shown

__all__ = ["ONE_BY_ONE", "ReportCard", "report_card"]

ONE_BY_ONE = 2
"""Judges up to which each has a card of its own."""


@dataclass(frozen=True)
class ReportCard(Shown):
    """How far judges can be trusted. `rows` are people (where there are labels), `longest` (the judge that prefers the
    longer output) and each judge, all with `figures` of `FIGURES` as values with intervals; `pairs` says which judge is
    better, `alike` which say the same, `slices` and `travel` what they reach where, `sets` whether sets of instructions
    rank models alike, `panel` how many independent judges these are worth. `people` are the persons' names; `notes` are
    about how rows were matched; `votes` is what all this is of, for whoever looks closer. `own_beside` has, of one
    judge or two, the rows of people and `longest` on the comparisons that the judge has verdicts on, where these are
    not all (`beside`). `epsilon` is what a judge that replaces a person may be worse by."""

    rows: tuple[Row, ...]
    people: tuple[str, ...]
    pairs: tuple[Pair, ...] = ()
    alike: tuple[Alike, ...] = ()
    slices: tuple[Slice, ...] = ()
    travel: tuple[Travel, ...] = ()
    sets: tuple[InstructionSet, ...] = ()
    panel: EffectiveJudges | None = None
    notes: tuple[str, ...] = ()
    level: float = 0.95
    compat: str | None = None
    epsilon: float = 0.1
    own_beside: Mapping[str, tuple[Row, ...]] = field(default_factory=dict)
    votes: Votes | None = field(default=None, repr=False, compare=False)

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

    def beside(self, judge: str) -> tuple[Row, ...]:
        """People's row and that of `longest` on the comparisons of one judge where they are known, else on all."""
        return self.own_beside.get(judge, self.rows_beside)

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
            "epsilon": self.epsilon,
            "people": list(self.people),
            "raters": [self._record(row) for row in (*self.rows_beside, *self.judges)],
            "pairs": [_pair_record(pair, self.level) for pair in self.pairs],
            "alike": [_alike_record(one) for one in self.alike],
            "slices": [_slice_record(one, self.level) for one in self.slices],
            "travel": [{name: plain(value) for name, value in vars(one).items()} for one in self.travel],
            "sets": [_set_record(one) for one in self.sets],
            "panel": None if self.panel is None else _panel_record(self.panel, self.level),
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
            "beside": [self._record(other) for other in self.own_beside.get(row.name, ())],
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
        "p_value": plain(pair.p_value),
        "real": pair.real,
        "n_comparisons": pair.n_comparisons,
        "n_needed": plain(pair.needed),
    }


def _alike_record(one: Alike) -> dict[str, Any]:
    low, high = one.limits or (np.nan, np.nan)
    names = {"a": one.a, "b": one.b, "n_comparisons": one.n_comparisons}
    return names | {"cohen_kappa": one.kappa, "low": plain(low), "high": plain(high)}


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


def _set_record(one: InstructionSet) -> dict[str, Any]:
    found = one.found
    return {
        "judge": one.judge,
        one.column: one.name,
        "n_instructions": found.n_in,
        "n_models": one.n_models,
        "spearman": plain(found.value),
        "low": plain(found.low),
        "high": plain(found.high),
        "p_value": plain(found.p),
        "news": found.news,
    }


def _panel_record(panel: EffectiveJudges, level: float) -> dict[str, Any]:
    low, high = (plain(float(x)) for x in panel.interval(level))
    return {"n_judges": panel.n, "n_independent": plain(panel.value), "low": low, "high": high}


def report_card(
    votes: Votes,
    *,
    level: float = 0.95,
    compat: str | None = None,
    own: Mapping[str, str] | None = None,
    epsilon: float = 0.1,
) -> ReportCard:
    """The card of all judges of `votes`. `compat` is None or `alpaca-eval`; `own` names the generator whose outputs are
    a judge's own, where that is not of its name; `epsilon` is that of `alternative_annotator_test`. Raises `InputError`
    for an `own` that is no judge or no generator."""
    people = People.of(votes, Definitions.of(compat))
    made = Making(votes, people, level, own or {}, epsilon)
    judges = [row for k in range(len(votes.judges)) for row in with_limits([made.judge(k)], level)]
    slices = slices_of(made.fits, votes.items, votes.cluster) if len(people.item) else []
    beside = [*([made.people_row()] if len(people.item) else []), *([made.longest_row()] if made.has_lengths else [])]
    beside = with_limits(beside, level)
    few = range(len(votes.judges) if len(votes.judges) <= ONE_BY_ONE else 0)
    own_beside = {votes.judges[k]: tuple(with_limits(rows, level)) for k in few if (rows := made.beside(k))}
    return ReportCard(
        rows=(*beside, *judges),
        people=votes.people,
        pairs=tuple(compared(made.fits, votes.cluster, level)) if len(judges) > 1 else (),
        alike=tuple(alike(votes.judges, votes.judged, votes.cluster, level)),
        slices=tuple(slices),
        travel=tuple(travels(slices)),
        sets=tuple(made.sets()),
        panel=made.panel() if len(judges) > 1 else None,
        notes=votes.notes,
        level=level,
        compat=compat,
        epsilon=epsilon,
        own_beside=own_beside,
        votes=votes,
    )
