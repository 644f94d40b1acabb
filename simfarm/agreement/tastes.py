"""Is a simulated crowd moved by what moves people, and can a classifier tell the two apart?"""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from simfarm.agreement.figures import Limits
from simfarm.agreement.habits import favoured
from simfarm.agreement.measures import LIKE, Bench, Measure, judged
from simfarm.data.identity import Codes
from simfarm.errors import InputError
from simfarm.statistics.agreement import side_counts, sides
from simfarm.statistics.discriminate import discriminators, label_rows
from simfarm.statistics.estimate import Array
from simfarm.statistics.habits import first_shown, preference_for
from simfarm.statistics.persons import MIN_LABELS, MIN_PERSONS, PersonSpread, person_spread, spread_difference

__all__ = ["classifiers", "person_error", "tastes"]

_LIKES = {
    "longer": (
        "prefers the longer output",
        "wrong length taste: longer too often",
        "wrong length taste: shorter too often",
    ),
    "lists": ("prefers the output with a list", "wrong taste: lists too often", "wrong taste: lists too seldom"),
    "bold": ("prefers the output with bold text", "wrong taste: bold too often", "wrong taste: bold too seldom"),
}
_ABSENT = {
    "longer": "no lengths, or none that differ by 30 characters",
    "lists": "no texts with a list on one side alone",
    "bold": "no texts with bold text on one side alone",
}
_ITEMS = 2_000
"""Comparisons that the classifiers see at most: more make them slow, and hardly surer."""


def tastes(bench: Bench, items: pd.DataFrame, runs: Array | None) -> list[Measure]:
    """P(longer) and how far persons differ in it, P(output_1), P(first), and where runs are given how often the judge's
    side is taken, where all its runs agree and where they do not."""
    cluster = bench.cluster
    both = bench.people, bench.crowd
    made = []
    habits = favoured(items)
    for name, which in habits.items():
        words, above, below = _LIKES[name]
        shares = (preference_for(x.item, x.vote, which, cluster, ties=False) for x in both)
        made += bench.compared(name, words, (above, below), *shares, why=_ABSENT[name])
        if name == "longer":
            made += _persons(bench, which)
    sides_taken = ("output_1 too often", "output_2 too often")
    everywhere = np.full(len(cluster), -1)
    shares = (preference_for(x.item, x.vote, everywhere, cluster, ties=False) for x in both)
    made += bench.compared("output_1", "prefers output_1", sides_taken, *shares)
    made += _first(bench)
    if runs is not None:
        made += _by_margin(bench, runs)
    else:
        bench.why["follows_sure"] = "no runs of the judge (--annotations)"
    return made


def _first(bench: Bench) -> list[Measure]:
    """P(first), where both say which output was shown first."""
    for labels, who in ((bench.people, "people"), (bench.crowd, "the crowd")):
        if labels.swapped is None or np.isnan(labels.swapped).all():
            bench.why["first"] = f"the labels of {who} do not say which output was shown first: column order"
            return []
    off = ("wrong place: the output shown first too often", "wrong place: the output shown second too often")
    shares = [
        first_shown(x.item, x.vote, x.swapped, bench.cluster)
        for x in (bench.people, bench.crowd)
        if x.swapped is not None
    ]
    return bench.compared("first", "prefers the output shown first", off, *shares, why="too few labels of known order")


def _by_margin(bench: Bench, runs: Array) -> list[Measure]:
    """How often labels take the judge's side where its runs agree, and where they do not."""
    side = sides(runs)
    votes = np.where(side >= 0, side - 1.0, np.nan)
    cast = (side >= 0).sum(axis=0)
    lean = np.divide(np.nansum(votes, axis=0), cast, out=np.zeros(len(cast)), where=cast > 0)
    made = []
    unsure = (
        "where the runs disagree no side has more of them" if (np.abs(lean) < 1).any() else "the runs never disagree"
    )
    for name, words, rows, why in (
        ("follows_sure", "takes the judge's side, its runs agreed", np.abs(lean) == 1, "the runs never agree"),
        ("follows_unsure", "takes its side, they did not", np.abs(lean) < 1, unsure),
    ):
        which: Codes = np.where(rows, np.sign(lean), 0).astype(np.int64)
        shares = (preference_for(x.item, x.vote, which, bench.cluster, ties=False) for x in (bench.people, bench.crowd))
        off = ("follows the judge too often", "follows the judge too seldom")
        made += bench.compared(name, words, off, *shares, why=why)
    return made


def _spreads(bench: Bench, which: Codes) -> tuple[PersonSpread | None, PersonSpread | None]:
    one, other = (person_spread(x.item, x.vote, x.person, which) for x in (bench.people, bench.crowd))
    return one, other


def _persons(bench: Bench, which: Codes) -> list[Measure]:
    """How far persons differ in their taste for length, beyond what so few labels would make of equal ones."""
    if not which.any():
        return []
    people, crowd = _spreads(bench, which)
    if people is None or crowd is None:
        whose = "people" if people is None else "the crowd"
        bench.why["longer_spread"] = f"fewer than {MIN_PERSONS} persons of {whose} chose between {MIN_LABELS} lengths"
        return []
    gap = spread_difference(people, crowd, bench.level, bench.fit_errors.get("longer_spread", 0.0))
    one, other = (Limits(x.value, *x.interval(bench.level), len(x.rates)) for x in (people, crowd))
    difference = Limits(gap.value, gap.low, gap.high, len(people.rates))
    words = ("sd of persons in that", "persons differ too much", "persons too much alike")
    return [judged("longer_spread", words, one, other, difference, limits=(gap.low, gap.high), p=gap.p)]


def person_error(bench: Bench, items: pd.DataFrame) -> float:
    """The standard error that people's P(longer) has of who they are: intervals are of other items, not of other
    people. NaN where it is not known."""
    which = favoured(items)["longer"]
    people = _spreads(bench, which)[0] if which.any() else None
    return math.nan if people is None else people.value / math.sqrt(len(people.rates))


def classifiers(bench: Bench, items: pd.DataFrame, runs: Array | None) -> list[Measure]:
    """The two discriminators on as many labels of each item, beside the same test where there is nothing to tell."""
    people, crowd = bench.kept
    used = np.unique(people.item)
    if len(used) > _ITEMS:
        used = np.sort(np.random.default_rng(0).permutation(used)[:_ITEMS])
    features = _features(items, runs)[used]
    rows = [label_rows(side_counts(x.item, x.vote, len(items))[used], features) for x in (people, crowd)]
    try:
        found = discriminators(rows[0], rows[1], bench.cluster[used])
    except InputError as error:
        bench.why.update(dict.fromkeys(("logistic", "boosted"), str(error)))
        return []
    made = []
    for name, one in found.items():
        null = Limits(float(one.null.mean()), *one.band(bench.level), one.area.n_clusters)
        verdict = LIKE if one.p > 1 - bench.level else "told apart"
        words = f"AUC of {_CLASSIFIERS[name]}"
        made.append(Measure(name, words, "number", null, one.area, p=one.p, verdict=verdict))
    return made


_CLASSIFIERS = {"logistic": "a logistic classifier", "boosted": "boosted trees"}


def _features(items: pd.DataFrame, runs: Array | None) -> Array:
    """What the classifiers know of each item, of output_2 minus output_1: length, lists, bold text and where there are
    runs how the judge leans; 0 where it is not known."""
    gap = (items["length_2"] - items["length_1"]).to_numpy(dtype=float)
    scale = math.sqrt(float(np.nanmean(gap**2))) if (np.abs(gap) > 0).any() else 1.0
    columns = [np.tanh(2 * gap / scale)]
    columns += [which for name, which in favoured(items).items() if name != "longer"]
    if runs is not None:
        known = ~np.isnan(runs)
        total = np.where(known, 2 * runs - 1, 0.0).sum(axis=0)
        columns.append(total / np.maximum(1, known.sum(axis=0)))
    made: Array = np.nan_to_num(np.column_stack(columns).astype(np.float64))
    return made[:, made.any(axis=0)]
