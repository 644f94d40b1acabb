"""What people and judges reward: the weights of answers' properties in what each prefers, side by side.

One logistic model for each reader, logit P(output_2 preferred) = Σ β·Δ over the same comparisons and in the same units,
so that the weights of people and of a judge subtract to a paired difference. It describes preferences, it does not say
why: a property that good answers happen to have is rewarded with them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from simfarm.agreement.votes import Votes
from simfarm.data.identity import Codes
from simfarm.errors import InputError
from simfarm.settings import spelled
from simfarm.statistics.discoveries import false_discovery_rates
from simfarm.statistics.estimate import Array, Estimate
from simfarm.statistics.rewards import independent, property_weights
from simfarm.statistics.style import frequent
from simfarm.text.marks import FEATURES, ORDER, SHOWN_FIRST
from simfarm.text.properties import GENERATORS, PROPERTIES
from simfarm.text.words import named, plural

__all__ = ["DISCOVERY", "OUTPUT_2", "Rewards", "called", "dissect", "reasons"]

DISCOVERY = 0.1
"""The share of false ones among the slices that are pointed out (Benjamini and Hochberg 1995)."""
OUTPUT_2 = "output_2"
"""The weight of being output_2, all else equal."""
_COUNTS = (*FEATURES[1:], "hedges", "numbers")
_FEW = 3
"""Properties of one reason that an error names."""
_RELIABLE = 2
"""Instructions to a weight at least; with fewer the intervals hold no more what they say."""


@dataclass(frozen=True)
class Rewards:
    """What one judge rewards, beside people where there are labels.

    `spread` is a property's root mean square difference about zero: the unit of its weights, in its own units. `judge`,
    `people` and `difference` (judge − people) are logits for one spread, `differs` the share of comparisons in which
    the outputs differ in it. `q` is the p of the difference, adjusted for how many were tested. `left_out` says why a
    property has no weight.
    """

    name: str
    spread: Mapping[str, float]
    differs: Mapping[str, float]
    judge: Mapping[str, Estimate]
    people: Mapping[str, Estimate]
    difference: Mapping[str, Estimate]
    q: Mapping[str, float]
    left_out: Mapping[str, str]
    n_comparisons: int
    n_instructions: int
    n_labels: int
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class _Compared:
    """Comparisons, `items` (places among the `n` of all votes), with their `cluster`: columns `names` of x in units of
    their `spread`, `held` (columns too) without a name, and `turned`, −1 where output_2 is the baseline's."""

    items: Codes
    n: int
    cluster: Codes
    names: tuple[str, ...]
    x: Array
    spread: Array
    held: Array
    turned: Array
    left_out: Mapping[str, str]


def called(name: str) -> str:
    """How a property stands in a table: length is compared by its logarithm."""
    return "log length" if name == "length" else name


def reasons(left_out: Mapping[str, str], most: int = len(PROPERTIES)) -> list[str]:
    """Why properties have no weight, those of one reason together: "bold, code (the outputs never differ in it)"; the
    first `most` of them by name."""
    whys: dict[str, list[str]] = {}
    for name, why in left_out.items():
        whys.setdefault(why, []).append(called(name))
    return [f"{named(names, most)} ({why})" for why, names in whys.items()]


def dissect(votes: Votes, judge: str, names: Sequence[str], *, asked: bool = True) -> Rewards:
    """The weights of the properties `names` (as of `property_names`) in the verdicts of one judge and in people's.

    Where there are people, both are fitted to the comparisons that both have. Every reader has a term for output_2
    (the quality that a baseline's opponents have, or a habit), one for order where its verdicts were asked in either,
    and with `generators` one for each of these. Properties that nobody can know (no texts), that never differ or that
    fewer than three instructions carry are left out, with the reason; where they were `asked` for, raises `InputError`
    for the first kind. Raises it too where there are too few comparisons for so many weights.
    """
    place = votes.judges.index(judge)
    known = ~np.isnan(votes.judged[place])
    labelled = np.zeros(len(known), dtype=bool)
    labelled[votes.labels[0]] = True
    if votes.people:
        known &= labelled
        if not known.any():
            raise InputError(f"no label is for a comparison that {judge!r} has a verdict on; label some of these")
    texts, missing = _texts(votes.items, known, names, asked)
    notes = []
    known &= ~_same(votes.items)
    if lost := int((known & ~texts).sum()):
        notes.append(f"{plural(lost, 'comparison')} without the texts or numbers of both outputs left out")
    found = _compared(votes, np.flatnonzero(known & texts), [n for n in names if n not in missing])
    if not found.names:
        whys = "; ".join(reasons({**missing, **found.left_out}, _FEW))
        raise InputError(f"no property is left to weigh: {whys}; name others with {spelled('control')}")
    ordered = ORDER in names
    own = _weights(found, votes.of(judge), ordered, reader=1)
    people = _weights(found, votes.votes[votes.votes["human"].to_numpy()], ordered) if votes.people else {}
    differences = {name: own[name] - people[name] for name in found.names if name in people}
    ps = np.array([e.p_value() for e in differences.values()])
    qs = false_discovery_rates(ps)
    return Rewards(
        name=judge,
        spread=dict(zip(found.names, found.spread.tolist(), strict=True)),
        differs=dict(zip(found.names, (found.x != 0).mean(axis=0).tolist(), strict=True)),
        judge=own,
        people=people,
        difference=differences,
        q=dict(zip(differences, qs.tolist(), strict=True)),
        left_out={**missing, **found.left_out},
        n_comparisons=len(found.items),
        n_instructions=len(np.unique(found.cluster)),
        n_labels=int(np.isin(votes.labels[0], found.items).sum()),
        notes=tuple(notes),
    )


def _columns(name: str) -> tuple[str, str]:
    stem = name if name == "length" else f"style_{name}" if name in PROPERTIES else f"covariate_{name}"
    return f"{stem}_1", f"{stem}_2"


def _texts(
    items: pd.DataFrame, known: NDArray[np.bool_], names: Sequence[str], asked: bool
) -> tuple[NDArray[np.bool_], dict[str, str]]:
    """(which comparisons have every property that most have, why the others are left out)."""
    complete = np.ones(len(items), dtype=bool)
    missing: dict[str, str] = {}
    for name in names:
        if name in (ORDER, GENERATORS):
            continue
        columns = [c for c in _columns(name) if c in items]
        has = items[columns].notna().all(axis=1).to_numpy() if len(columns) == 2 else ~complete & complete
        if has[known].mean() > (0 if asked else 0.5):
            complete &= has
            continue
        missing[name] = "no lengths" if name == "length" else "no texts"
        if asked:
            raise InputError(
                f"the weight of {name!r} needs {missing[name].removeprefix('no ')}, and the files have none; give "
                f"files with instruction, output_1 and output_2, or leave {name!r} out"
            )
    return complete, missing


def _same(items: pd.DataFrame) -> NDArray[np.bool_]:
    """Comparisons of one generator's output with itself, a tie that nobody judged."""
    one, other = (items[f"generator_{side}"].astype(object) for side in ("1", "2"))
    return (one.notna() & (one == other) & (items["length_1"] == items["length_2"])).to_numpy()


def _compared(votes: Votes, items: Codes, names: Sequence[str]) -> _Compared:
    """What is to be known of the comparisons `items` to weigh the properties `names`, those left out that cannot be."""
    table, cluster = votes.items.iloc[items], votes.cluster[items]
    properties = [name for name in names if name not in (ORDER, GENERATORS)]
    x = _differences(table, properties)
    spread = np.sqrt((x**2).mean(axis=0))
    carried = frequent(x, np.ones(len(x)), cluster) if properties else np.zeros(0, dtype=bool)
    told = set(np.flatnonzero(carried)[independent(x[:, carried])].tolist())
    left_out = {}
    for k, name in enumerate(properties):
        if spread[k] == 0:
            left_out[name] = "the outputs never differ in it"
        elif not carried[k]:
            left_out[name] = "too rare to estimate: they differ in it on fewer than three instructions"
        elif k not in told:
            left_out[name] = "cannot be told from the others"
    kept = sorted(told)
    return _Compared(
        items=items,
        n=len(votes.items),
        cluster=cluster,
        names=tuple(properties[k] for k in kept),
        x=x[:, kept] / spread[kept],
        spread=spread[kept],
        held=_generators(table) if GENERATORS in names else np.zeros((len(items), 0)),
        turned=_turned(table),
        left_out=left_out,
    )


def _differences(items: pd.DataFrame, names: Sequence[str]) -> Array:
    """Signed differences (n × K), output_2 minus output_1.

    Length by its logarithm, counts relative to their sum, so that one answer with 200 items does not decide the weight,
    everything else plain.
    """
    columns = []
    for name in names:
        one, other = (items[c].to_numpy(dtype=float) for c in _columns(name))
        if name == "length":
            columns.append(np.log1p(other) - np.log1p(one))
        elif name in _COUNTS:
            total = one + other
            columns.append(np.divide(other - one, total, out=np.zeros_like(total), where=total > 0))
        else:
            columns.append(other - one)
    return np.column_stack(columns) if columns else np.zeros((len(items), 0))


def _turned(items: pd.DataFrame) -> Array:
    """−1 for comparisons that have output_2 where the others have the generator that is in all, else 1."""
    one, other = items["generator_1"].astype(object), items["generator_2"].astype(object)
    # of two that are in all, the one that is mostly output_1
    for name in sorted((one.iloc[0], other.iloc[0]), key=lambda name: -int((one == name).sum())):
        if name is not None and ((one == name) | (other == name)).all():
            return np.where((one == name).to_numpy(), 1.0, -1.0)
    return np.ones(len(items))


def _generators(items: pd.DataFrame) -> Array:
    """A column for each generator, 1 where it wrote output_2 and −1 where output_1."""
    sides = [items[f"generator_{side}"].astype(object) for side in ("1", "2")]
    if any(side.isna().any() for side in sides):
        raise InputError(f"the control {GENERATORS!r} needs generator_1 and generator_2 in every row; add them")
    one, other = (side.to_numpy() for side in sides)
    names = sorted({*one, *other})
    return np.column_stack([(other == name) * 1.0 - (one == name) for name in names[1:]])


def _weights(found: _Compared, calls: pd.DataFrame, ordered: bool, reader: int = 0) -> dict[str, Estimate]:
    """One reader's weights, from its calls (rows of `Votes.votes`): those of output_2 and of order last."""
    place = np.full(found.n, -1)
    place[found.items] = np.arange(len(found.items))
    at, p = place[calls["item"].to_numpy()], calls["p"].to_numpy()
    used = (at >= 0) & ~np.isnan(p)
    at, p = at[used], p[used]
    shown = calls["order"].astype(object).to_numpy()[used]
    # an order that never changes is output_2's side, and drops out as such
    orders = {SHOWN_FIRST: (shown == "21") * 1.0 - (shown == "12")} if ordered else {}
    names = [*found.names, OUTPUT_2, *orders]
    x = np.column_stack([found.x[at], found.turned[at], *orders.values(), found.held[at]])
    kept, cluster = independent(x), found.cluster[at]
    if (n := len(np.unique(cluster))) < _RELIABLE * len(kept):
        raise InputError(
            f"{plural(n, 'instruction')} are too few for {plural(len(kept), 'weight')}; give more, or fewer properties "
            f"({spelled('control', 'length,lists')})"
        )
    estimates = property_weights(x[:, kept], p, 1 / np.bincount(at)[at], cluster, reader=reader)
    return {names[k]: e for k, e in zip(kept, estimates, strict=True) if k < len(names)}
