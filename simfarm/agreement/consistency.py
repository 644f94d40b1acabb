"""Does a simulated crowd lean as people do, and does it agree with itself as little as they do?"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from simfarm.agreement.figures import Limits, known
from simfarm.agreement.measures import LIKE, Bench, Labels, Measure
from simfarm.agreement.trust import mean_over
from simfarm.data.identity import Codes
from simfarm.statistics.agreement import leave_one_out, pairwise_agreement, side_counts
from simfarm.statistics.estimate import Estimate
from simfarm.statistics.leanings import leanings
from simfarm.statistics.panels import EffectiveJudges
from simfarm.statistics.splits import label_entropy, split_distance, splits
from simfarm.text.words import plural

__all__ = ["consistency", "even", "leaning"]

_MOST = 6
"""Labels of an item that a split is of at most: of twenty there are hundreds of splits, each of them rare."""

ONE_LABEL = "the simulation has one label an item"


def even(people: Labels, crowd: Labels, n: int) -> tuple[int, tuple[Labels, Labels]]:
    """(m, both crowds' labels of the items that have m of either, m each, drawn at random but always the same).

    m is such that the most labels are used; more than one where any item has them.
    """
    least = np.minimum(*(np.bincount(x.item, minlength=n) for x in (people, crowd)))
    sizes = np.arange(1, _MOST + 1)
    used = sizes * (least[:, None] >= sizes).sum(axis=0)
    m = 1 if not used[1:].any() else 2 + int(len(used) - 2 - used[:0:-1].argmax())
    items = np.flatnonzero(least >= m)
    return m, (_drawn(people.among(items), m), _drawn(crowd.among(items), m))


def _drawn(labels: Labels, m: int) -> Labels:
    """m labels of each item."""
    order = np.random.default_rng(0).permutation(len(labels.item))
    order = order[np.argsort(labels.item[order], kind="stable")]
    item = labels.item[order]
    start = np.searchsorted(item, item)
    return labels.at(np.sort(order[np.arange(len(item)) - start < m]))


def leaning(bench: Bench) -> list[Measure]:
    """ρ, agreement with people and the worth of the crowd's labels: these describe, and tell nothing apart."""
    people, crowd, cluster, level = bench.people, bench.crowd, bench.cluster, bench.level
    several = [int((np.bincount(x.item) > 1).sum()) for x in (people, crowd)]
    found = leanings((people.item, people.vote), (crowd.item, crowd.vote), cluster)
    made: list[Measure] = []
    weak = [not e.interval(level)[0] > 0 for e in found.strength]
    if several[1] < 2:
        bench.why["rho"] = bench.why["worth"] = ONE_LABEL
    elif any(weak):
        who = "people" if weak[0] else "the crowd"
        bench.why["rho"] = f"the labels of {who} are not shown to lean either way on the single item"
    else:
        low, high = found.limits(level)
        value = min(1.0, max(-1.0, found.correlation.value))
        rho = Limits(value, low, high, found.correlation.n_clusters)
        same = Limits(1.0, 1.0, 1.0, rho.n_clusters)
        said = "may be people's own" if high >= 1 else "none shown" if low <= 0 else "partly people's"
        made.append(Measure("rho", "leanings in common, ρ", "number", same, rho, verdict=said))
    among = [pairwise_agreement(people.item, people.vote, cluster), _across(people, crowd, cluster)]
    made.append(Measure("with_people", "a label is a person's", "percent", among[0], among[1]))
    if "worth" not in bench.why and known(found.shared_error):
        n = int(np.bincount(np.bincount(crowd.item)[np.unique(crowd.item)])[2:].argmax()) + 2
        made.append(_worth(n, found.shared_error, level))
    return made


def _across(people: Labels, crowd: Labels, cluster: Codes) -> Estimate:
    """The chance that a simulated label is that of a person on the same item."""
    shares = []
    for x in (people, crowd):
        counts = side_counts(x.item, x.vote, len(cluster))
        total = counts.sum(axis=1, keepdims=True)
        shares.append(np.divide(counts, total, out=np.full(counts.shape, np.nan), where=total > 0))
    return mean_over((shares[0] * shares[1]).sum(axis=1), cluster)


def _worth(n: int, shared_error: Estimate, level: float) -> Measure:
    """How many people n of the crowd's labels are worth: what they have wrong in common does not go away."""
    worth = EffectiveJudges(n, shared_error)
    low, high = worth.interval(level)
    people = Limits(float(n), float(n), float(n), shared_error.n_clusters)
    crowd = Limits(worth.value, low, high, shared_error.n_clusters)
    return Measure("worth", f"worth of {plural(n, 'label')}, in people's", "number", people, crowd)


def consistency(bench: Bench) -> list[Measure]:
    """Pairwise agreement on all labels; leave-one-out, entropy and splits of as many of each item."""
    consistent = ("too consistent", "not consistent enough")
    every, kept, cluster = (bench.people, bench.crowd), bench.kept, bench.cluster
    made = bench.compared(
        "pairwise", "two labels agree", consistent, *(pairwise_agreement(x.item, x.vote, cluster) for x in every)
    )
    if bench.m < 2:
        bench.why.update(dict.fromkeys(("pairwise", "leave_one_out", "entropy", "splits"), ONE_LABEL))
        return made
    if bench.m > 2:  # of two labels all of these say whether they agree
        others = (leave_one_out(x.item, x.vote, cluster) for x in kept)
        made += bench.compared("leave_one_out", "a label is the others' mode", consistent, *others)
        bits = (label_entropy(x.item, x.vote, cluster) for x in kept)
        words = f"entropy of {plural(bench.m, 'label')}, bits"
        made += [replace(one, unit="number") for one in bench.compared("entropy", words, consistent[::-1], *bits)]
    return made + _splits(bench)


def _splits(bench: Bench) -> list[Measure]:
    kinds = tuple(dict.fromkeys(kind for x in bench.kept for kind in splits(x.item, x.vote, bench.cluster)))
    people, crowd = (splits(x.item, x.vote, bench.cluster, kinds) for x in bench.kept)
    extra = bench.fit_errors.get("splits", 0.0)
    found = split_distance(people, crowd, bench.level, extra)
    if np.isnan(found.p):
        bench.why["splits"] = "fewer than two instructions"
        return []
    distance = Limits(found.value, found.low, found.high, found.n_clusters)
    verdict = LIKE if found.low <= 0 else "its labels split otherwise"
    made = [
        Measure(
            "splits",
            "items that split otherwise",
            "percent",
            None,
            None,
            distance,
            limits=(found.low, found.high),
            p=found.p,
            verdict=verdict,
        )
    ]
    for kind in people:
        gap = crowd[kind] - people[kind]
        limits = gap.interval(bench.level)
        made.append(
            Measure(f"split {kind}", f"  split {kind}", "percent", people[kind], crowd[kind], gap, limits=limits)
        )
    return made
