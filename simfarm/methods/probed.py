"""What a judge can be fooled by: verdicts on probes as figures with intervals, beside what the longer output gets.

A verdict is right where it takes the side of the output that is right by construction; both orders are averaged first,
so that a judge who goes by the place alone is neither right nor wrong. Which probes fool a judge is told by the
tests of all of them together (Holm): of fourteen coins one lands on an edge.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import pandas as pd

from simfarm.agreement.trust import mean_over
from simfarm.agreement.votes import opinion
from simfarm.data.records import Annotation, Comparison
from simfarm.judges import Judge
from simfarm.judges.probes.plan import MANNER_TITLES, NATURAL, PROBES, Plan, Probe
from simfarm.ranking.guard.hints import sign
from simfarm.statistics.boards import MIN_MODELS, Figure, board_agreement
from simfarm.statistics.discoveries import holm
from simfarm.statistics.estimate import Array, Estimate

__all__ = ["FEWEST", "Manner", "Probed", "Tried", "Turned", "measured"]

_TWINS = ("degraded", "improved")
FEWEST = 5
"""Instructions of an interval, of a finding and of a model's rank: of two to four, a share of several verdicts each, an
interval of 95 % holds the truth in 70 to 92 % of samples."""

Found = Literal["fooled", "holds", "not told"]
Heed = Literal["blind", "heeds", "not told"]


@dataclass(frozen=True)
class Tried:
    """One probe: `right` is the share of verdicts for the output that is right (ties half), `longest` that of the rule
    longest on the same pairs, `p` of "a coin" among all probes; `guarded` of the pairs have a sign that a board's guard
    sees; `variants` are (share, pairs) by variant; `not_made` for so many outputs, `missing` pairs have no verdict."""

    probe: Probe
    right: Estimate
    longest: float
    n: int
    missing: int
    not_made: int
    p: float
    found: Found
    guarded: int = 0
    variants: Mapping[str, tuple[float, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Turned:
    """One pair under two opposite words: `flips` is the share of pairs whose verdict turned round, `both` that of pairs
    right under both. A judge whose verdicts mostly stay is `blind`, one that is mostly right under both `heeds`."""

    probe: Probe
    flips: Estimate
    both: Estimate
    n: int
    missing: int
    not_made: int
    heed: Heed


@dataclass(frozen=True)
class Manner:
    """How often a verdict stays on its side when it is asked for in another manner (`same`), and the rank correlation
    of the models; None where there is none, for the reason `why`."""

    name: str
    title: str
    same: Estimate | None
    ranks: Figure | None
    n: int
    why: str = ""


@dataclass(frozen=True)
class Probed:
    """All that was found of one judge, over `n` instructions."""

    judge: Judge
    level: float
    n: int
    tried: tuple[Tried, ...]
    turned: tuple[Turned, ...]
    manners: tuple[Manner, ...]
    verdicts: int
    missing: int

    def names(self, found: str) -> list[str]:
        """The probes of which this was found, those of a model's twins by what they are."""
        tried = [one for one in self.tried if one.n and one.found == found]
        return [one.probe.title if one.probe.kind == "twins" else one.probe.name for one in tried]


def measured(plan: Plan, annotations: Sequence[Annotation], judge: Judge, level: float = 0.95) -> Probed:
    """The figures of a probing run's annotations, which may lack calls that were not asked."""
    table, p = _table(plan.pairs, annotations)
    base = table[table["manner"] == ""] if len(table) else table
    tried = _tried(plan, base, p, 1 - level)
    turned = [
        _turned(probe, _of(table, probe.name), p, plan.not_made.get(probe.name, 0), level)
        for probe in PROBES.values()
        if probe.kind == "opposite"
    ]
    calls = _calls(plan.pairs, annotations)
    manners = [
        _order(base, calls),
        *(_manner(name, plan, table, p, level) for name in MANNER_TITLES if name != "order"),
    ]
    return Probed(
        judge=judge,
        level=level,
        n=plan.n,
        tried=tuple(tried),
        turned=tuple(turned),
        manners=tuple(manners),
        verdicts=sum(a.preference is not None for a in annotations),
        missing=sum(a.preference is None for a in annotations),
    )


def _calls(pairs: Sequence[Comparison], annotations: Sequence[Annotation]) -> pd.DataFrame:
    place = {id(pair): k for k, pair in enumerate(pairs)}
    made = [(place[id(a.comparison)], a.repeat, a.order, a.judge_order) for a in annotations]
    p = [np.nan if a.preference is None else a.preference - 1 for a in annotations]
    return pd.DataFrame(made, columns=["item", "repeat", "order", "judge_order"]).assign(p=p)


def _table(pairs: Sequence[Comparison], annotations: Sequence[Annotation]) -> tuple[pd.DataFrame, Array]:
    """(a row for each pair: what its `extra` says, lengths, its instruction's code; p of output_2 by both orders)."""
    p = opinion(_calls(pairs, annotations), len(pairs))
    rows = [
        {
            **{name: pair.extra.get(name) for name in ("probe", "variant", "right", "manner", "pair", "about")},
            "first": pair.generator_1,
            "second": (pair.generator_2 or "").partition(" (")[0],
            "longer": float(np.sign(len(pair.output_2) - len(pair.output_1))),
            "guarded": sign(pair.output_1 if pair.extra["right"] == 2 else pair.output_2) is not None,
            "cluster": pair.extra["of"],
        }
        for pair in pairs
    ]
    return pd.DataFrame(rows), p


def _of(table: pd.DataFrame, probe: str) -> pd.DataFrame:
    return table[table["probe"] == probe] if len(table) else table


def _credit(rows: pd.DataFrame, p: Array) -> Array:
    """Whether each verdict takes the right side: 1, 0, ½ for a tie, NaN for none. However faintly: how sure a judge is
    of being fooled is another question."""
    own = (1 + np.sign(p[rows.index.to_numpy()] - 0.5)) / 2
    return np.asarray(np.where(rows["right"].to_numpy() == 2, own, 1 - own), dtype=np.float64)


def _tried(plan: Plan, base: pd.DataFrame, p: Array, alpha: float) -> list[Tried]:
    made: list[tuple[Probe, pd.DataFrame, Array, Estimate]] = []
    probes = [probe for probe in PROBES.values() if probe.kind != "opposite"]
    for name in _TWINS:
        for variant in dict.fromkeys(_of(base, name)["variant"]) if len(base) else ():
            probes.append(Probe(name, "twins", f"{variant}, by a model: {name}"))
    for probe in probes:
        rows = _of(base, probe.name)
        if probe.kind == "twins":
            rows = rows[rows["variant"] == probe.title.partition(", by a model")[0]]
        credit = _credit(rows, p) if len(rows) else np.zeros(0)
        cluster = rows["cluster"].to_numpy() if len(rows) else np.zeros(0, dtype=np.int64)
        made.append((probe, rows, credit, mean_over(credit, cluster)))
    tests = np.array([e.p_value(0.5) if e.n_clusters >= FEWEST else np.nan for *_, e in made])
    adjusted = np.full(len(tests), np.nan)
    adjusted[~np.isnan(tests)] = holm(tests[~np.isnan(tests)])
    found = []
    for (probe, rows, credit, right), q in zip(made, adjusted.tolist(), strict=True):
        known = ~np.isnan(credit)
        longest = float(_longest(rows)[known].mean()) if known.any() else np.nan
        found.append(
            Tried(
                probe=probe,
                right=right,
                longest=longest,
                n=int(known.sum()),
                missing=int((~known).sum()),
                not_made=plan.not_made.get(probe.name, 0),
                p=q,
                found=_found(probe, right.value, q, alpha),
                guarded=int(rows["guarded"].sum()) if len(rows) else 0,
                variants=_variants(rows, credit),
            )
        )
    return found


def _found(probe: Probe, right: float, q: float, alpha: float) -> Found:
    """In words; of a probe without a right answer either side is a fool's."""
    if not q <= alpha:
        return "not told"
    return "fooled" if probe.even or right < 0.5 else "holds"


def _longest(rows: pd.DataFrame) -> Array:
    longer = rows["longer"].to_numpy(dtype=np.float64)
    return np.asarray((1 + np.where(rows["right"].to_numpy() == 2, longer, -longer)) / 2, dtype=np.float64)


def _variants(rows: pd.DataFrame, credit: Array) -> dict[str, tuple[float, int]]:
    made = {}
    for variant in sorted(set(rows["variant"]) - {""}) if len(rows) else ():
        own = credit[(rows["variant"] == variant).to_numpy()]
        own = own[~np.isnan(own)]
        made[variant] = (float(own.mean()) if len(own) else np.nan, len(own))
    return made


def _turned(probe: Probe, rows: pd.DataFrame, p: Array, not_made: int, level: float) -> Turned:
    """A pair's two verdicts side by side."""
    if not len(rows):
        nothing = mean_over(np.zeros(0), np.zeros(0, dtype=np.int64))
        return Turned(probe, nothing, nothing, 0, 0, not_made, "not told")
    own = rows.assign(p=p[rows.index.to_numpy()]).pivot(index="about", columns="right", values="p")
    first, second = (np.sign(own[k].to_numpy() - 0.5) for k in (1, 2))
    unknown = np.isnan(first + second)
    flips = np.where(unknown, np.nan, first * second < 0)
    both = np.where(unknown, np.nan, (first < 0) & (second > 0))
    cluster = np.arange(len(own))
    estimates = mean_over(flips, cluster), mean_over(both, cluster)
    heed: Heed = "not told"
    if estimates[0].n_clusters >= FEWEST:
        if estimates[0].interval(level)[1] < 0.5:
            heed = "blind"
        elif estimates[1].interval(level)[0] > 0.5:
            heed = "heeds"
    return Turned(probe, *estimates, int((~unknown).sum()), int(unknown.sum()), not_made, heed)


def _order(base: pd.DataFrame, calls: pd.DataFrame) -> Manner:
    """Of each pair as the judge is, whether its two orders name the same side."""
    name, title = "order", MANNER_TITLES["order"]
    if not len(base):
        return Manner(name, title, None, None, 0, "there are no pairs")
    wide = calls.pivot_table(index="item", columns="order", values="p", aggfunc="mean", dropna=False)
    if not {"12", "21"} <= set(wide.columns):
        return Manner(name, title, None, None, 0, "it was asked in one order")
    wide = wide.reindex(base.index)
    first, second = (np.sign(wide[order].to_numpy(dtype=np.float64) - 0.5) for order in ("12", "21"))
    same = np.where(np.isnan(first + second), np.nan, first == second)
    return Manner(name, title, mean_over(same, base["cluster"].to_numpy()), None, int((~np.isnan(same)).sum()))


def _manner(name: str, plan: Plan, table: pd.DataFrame, p: Array, level: float) -> Manner:
    """The verdicts in one manner beside those on the same pairs as the judge is."""
    title = MANNER_TITLES[name]
    copies = table[table["manner"] == name] if len(table) else table
    if name in plan.absent or not len(copies):
        return Manner(name, title, None, None, 0, plan.absent.get(name, "there are no pairs"))
    own = table[(table["manner"] == "") & table["pair"].isin(copies["pair"])].reset_index().set_index("pair")
    own = own.loc[copies["pair"]]
    before, after = p[own["index"].to_numpy()], p[copies.index.to_numpy()]
    unknown = np.isnan(before + after)
    same = np.where(unknown, np.nan, np.sign(before - 0.5) == np.sign(after - 0.5))
    ranks, why = _ranks(copies[~unknown], before[~unknown], after[~unknown], level)
    return Manner(name, title, mean_over(same, copies["cluster"].to_numpy()), ranks, int((~unknown).sum()), why)


def _ranks(rows: pd.DataFrame, before: Array, after: Array, level: float) -> tuple[Figure | None, str]:
    """The rank correlation of the models' rates before and after; or why there is none."""
    if not (rows["probe"] == NATURAL).any():
        return None, "no models to rank"
    models = sorted({*rows["first"], *rows["second"]})
    boards: list[list[Estimate]] = [[], []]
    for model in models:
        is_first, is_second = (rows[side].to_numpy() == model for side in ("first", "second"))
        met = is_first | is_second
        if met.sum() < FEWEST:
            continue
        for board, said in zip(boards, (before, after), strict=True):
            won = np.where(is_second, said, 1 - said)[met]
            board.append(mean_over(won, rows["cluster"].to_numpy()[met]))
    if len(boards[0]) < MIN_MODELS:
        return None, f"ranks take {MIN_MODELS} models, each met {FEWEST} times"
    found = board_agreement(*boards, level=level).spearman
    return (None, "the models have no order") if np.isnan(found.plain) else (found, "")
